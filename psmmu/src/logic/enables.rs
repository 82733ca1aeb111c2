// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the enables say of the state of the device.

#![forbid(unsafe_code)]

use crate::arch::registers::{Cr0, Register32};
use crate::platform::Registers;

/// Returns whether the device has kept its state: the event queue of a PSMMU that is active is enabled.
/// Reset and loss of power clear that, and of a device that is gone all bits read one. One register read.
pub(crate) fn is_running(registers: &impl Registers) -> bool {
    let enables = registers.read32(Register32::CR0ACK);
    enables != u32::MAX && Cr0::from_bits_truncate(enables).contains(Cr0::EVENTQEN)
}
