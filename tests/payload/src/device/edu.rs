// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's `edu` device.

use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::edu::Access;

/// Vendor in 15:0, device in 31:16.
pub const ID: u32 = 0x11E8_1234;

/// A longer transfer overruns the device's buffer, which QEMU does not check.
pub const MAX_WORDS: u32 = 1024;

/// Registers, from the start of BAR0.
#[repr(C)]
pub struct Registers {
    _identification_to_interrupts: [u32; 32],
    /// 0x80.
    source: ReadPureWrite<u64>,
    /// 0x88.
    destination: ReadPureWrite<u64>,
    /// 0x90: bytes.
    count: ReadPureWrite<u64>,
    /// 0x98.
    command: ReadPureWrite<u64>,
}

const RUN: u64 = 1 << 0;
const TO_MEMORY: u64 = 1 << 1;
/// Where the device has its own end of a transfer.
const BUFFER: u64 = 0x4_0000;

/// Has the device begin a transfer of 32-bit words, each an access of its own.
pub fn start(
    registers: &mut UniqueMmioPointer<'_, Registers>,
    access: Access,
    at: u64,
    words: u32,
) {
    let (source, destination, command) = match access {
        Access::Read => (at, BUFFER, RUN),
        Access::Write => (BUFFER, at, RUN | TO_MEMORY),
    };
    field!(*registers, source).write(source);
    field!(*registers, destination).write(destination);
    field!(*registers, count).write(u64::from(words) * 4);
    field!(*registers, command).write(command);
}

/// Returns whether the last transfer has still to end.
pub fn is_busy(registers: &UniqueMmioPointer<'_, Registers>) -> bool {
    field_shared!(*registers, command).read() & RUN != 0
}
