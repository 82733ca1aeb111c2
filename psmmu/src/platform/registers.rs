// SPDX-License-Identifier: MIT OR Apache-2.0

//! The way to the registers of one SMMU.

use crate::arch::registers::{Access, ReadWrite, Register32, Register64};

/// Reaches the registers of one SMMU.
///
/// Only this module can name a register that is written, so that an implementor is asked for no writes but its
/// own. Calls may come from several CPUs at once; a register is written under the lock of its source only.
///
/// # Safety
/// The device reads and writes memory where these registers say, and stops when they say so. An implementor
/// promises:
/// 1. All registers are those of one SMMU, the same one as long as the value exists, or of none.
/// 2. Each write does what is said below: it reaches that register with that value, once, before the call
///    returns or in the order of the calls. No other write is made, also not with a [`Register32`] or
///    [`Register64`] that was passed in an earlier call.
/// 3. Each read returns what the register shows at that time: memory is given back when it shows that the device
///    is off.
/// 4. The barriers order as they say.
///
/// A model that has memory of its own, and so cannot touch any other whatever it is reported, may break them.
pub unsafe trait Registers {
    /// Reads a register with one 32-bit access.
    fn read32<A: Access>(&self, register: Register32<A>) -> u32;

    /// Writes a register with one 32-bit access.
    fn write32(&self, register: Register32<ReadWrite>, value: u32);

    /// Writes a register with one 64-bit access.
    fn write64(&self, register: Register64, value: u64);

    /// Orders the register read before it ahead of the memory reads behind it: PROD, then entries.
    fn read_barrier(&self);

    /// Orders all memory accesses before it ahead of the register write behind it: entries read, then
    /// CONS; commands and tables written, then the register that makes the device read them.
    fn write_barrier(&self);
}
