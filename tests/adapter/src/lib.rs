// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine for an RMM to run on, all of it software: the model of the SMMU and the memory of a host,
//! behind the traits of `psmmu` and `rmm`.
//!
//! [`Ram`] is the memory, with a granule protection table as EL3 keeps it: accesses for the host fault on
//! what is Realm memory at that moment, and the RMM may touch nothing else. [`Harness`] is what an RMM
//! runs in: memory that it opens for a device becomes memory of the model, and is taken from the model
//! when it is wiped, so that a device that still uses it is detected.
//!
//! Each step may be announced to a [`Hook`], by which another thread gets its turn.

#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "the model answers the conditions of a device")]
mod device;
#[expect(unsafe_code, reason = "the model answers the conditions of a device")]
mod harness;
mod ram;

pub use device::{ModelMemory, ModelRegisters, configure_stream};
pub use harness::{Harness, Owners, Steps, Tables, tracker};
pub use ram::{Pas, Ram};

/// Called before each access of a register and each change of a granule's PAS.
pub trait Hook: Clone {
    /// Something is about to happen that others can see.
    fn step(&self);
}

impl Hook for () {
    fn step(&self) {}
}
