// SPDX-License-Identifier: MIT OR Apache-2.0

//! An access that may take an exception.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

global_asm!(
    ".globl probe_load, probe_store",
    "probe_load:",
    "ldr w0, [x0]",
    "ret",
    "probe_store:",
    "str w1, [x0]",
    "ret",
);

unsafe extern "C" {
    fn probe_load(address: u64) -> u32;
    fn probe_store(address: u64, value: u32);
}

/// Syndrome of the exception that was taken, if one was.
static SYNDROME: AtomicU64 = AtomicU64::new(0);

/// An exception of a [`load`] or a [`store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// ESR_EL2.
    pub syndrome: u64,
}

impl Fault {
    /// A data abort of this exception level, by a granule protection fault on what the access reaches.
    pub const fn granule_protection(write: bool) -> Self {
        const DATA_ABORT: u64 = 0x25 << 26;
        const LENGTH_32: u64 = 1 << 25;
        const GPF: u64 = 0x28;
        Self { syndrome: DATA_ABORT | LENGTH_32 | (write as u64) << 6 | GPF }
    }
}

/// Reads the word at `address`. For one CPU at a time.
pub fn load(address: u64) -> Result<u32, Fault> {
    // SAFETY: a load of memory or of a register that has no effect when it is read; an exception at it is
    // caught.
    let value = unsafe { probe_load(address) };
    taken(value)
}

/// Writes the word at `address`, which no Rust code refers to. For one CPU at a time.
pub fn store(address: u64, value: u32) -> Result<(), Fault> {
    // SAFETY: the callers write only what the host must not reach, which is what is tried; an exception at
    // it is caught.
    unsafe { probe_store(address, value) };
    taken(())
}

fn taken<T>(value: T) -> Result<T, Fault> {
    match SYNDROME.swap(0, Ordering::Relaxed) {
        0 => Ok(value),
        syndrome => Err(Fault { syndrome }),
    }
}

/// Catches an exception that was taken at `elr`, if that is one of the two accesses here. Returns where to
/// go on.
pub fn caught(elr: usize, syndrome: u64) -> Option<usize> {
    let is_here = [probe_load as *const () as usize, probe_store as *const () as usize];
    is_here.contains(&elr).then(|| {
        SYNDROME.store(syndrome, Ordering::Relaxed);
        elr + 4
    })
}
