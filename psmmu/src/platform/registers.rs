// SPDX-License-Identifier: MIT OR Apache-2.0

//! The way to the registers of one SMMU.

#![forbid(unsafe_code)]

use crate::arch::registers::{Access, ReadWrite, Register32, Register64};

/// Reaches the registers of one SMMU.
///
/// Calls may come from several CPUs at once; a register is written under the lock of its source only.
pub trait Registers {
    /// Reads a register with one 32-bit access.
    fn read32<A: Access>(&self, register: Register32<A>) -> u32;

    /// Writes a register with one 32-bit access.
    fn write32(&self, register: Register32<ReadWrite>, value: u32);

    /// Writes a register with one 64-bit access.
    fn write64(&self, register: Register64, value: u64);

    /// Orders the register read before it ahead of the memory reads behind it: PROD, then entries.
    fn read_barrier(&self);

    /// Orders all memory accesses before it ahead of the register write behind it: entries read, then
    /// CONS; commands and tables written, then the register that makes the device look.
    fn write_barrier(&self);
}
