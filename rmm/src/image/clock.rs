// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generic timer as a clock.

use core::arch::asm;

use psmmu::Clock;
use psmmu::microseconds;

/// The physical count. The virtual one would not do: its offset belongs to the host.
#[derive(Clone, Copy, Debug)]
pub struct PhysicalCounter;

impl Clock for PhysicalCounter {
    fn microseconds(&self) -> u64 {
        let (count, frequency): (u64, u32);
        // SAFETY: reads of two registers that have no effect. The barrier keeps the count from being
        // read early.
        unsafe {
            asm!(
                "isb",
                "mrs {count}, cntpct_el0",
                "mrs {frequency:x}, cntfrq_el0",
                count = out(reg) count,
                frequency = out(reg) frequency,
                options(nomem, nostack, preserves_flags),
            );
        }
        microseconds(count, frequency)
    }
}
