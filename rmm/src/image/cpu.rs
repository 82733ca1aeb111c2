// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which CPU this is.

use core::arch::asm;

/// Returns the index of this CPU.
pub fn cpu() -> usize {
    let cpu: usize;
    // SAFETY: reads a register that the entry code has written.
    unsafe { asm!("mrs {}, tpidr_el2", out(reg) cpu, options(nomem, nostack, preserves_flags)) };
    cpu
}
