// SPDX-License-Identifier: MIT OR Apache-2.0

//! Host driver, RMM and the model of the SMMU in one process.
//!
//! [`Machine`] is what a test has: a host that calls the RMM through its dispatcher, the way EL3 would
//! pass the calls on, memory that changes its physical address space as EL3 has it, and devices whose
//! every step the test decides. A device is [`smmu_model`]'s, which fails the test when the driver
//! breaks a rule of the architecture; so does [`model_adapter`] when the RMM touches memory that is
//! not the Realm world's.

use std::collections::HashSet;

use psmmu_abi::Event;
use smmu_model::{Device, Record};

pub mod explore;
mod heap;
pub mod hostile;
mod machine;
pub mod raw;
pub mod walk;

pub use heap::{Heap, RamPage};
pub use machine::{DOORBELLS, Machine, Options};
pub use model_adapter::{
    Harness, ModelMemory, ModelRegisters, Owners, Pas, Ram, Steps, Tables, configure_stream,
};

/// Address of the PSMMU, or of the first one.
pub const PSMMU: u64 = 0x2B40_0000;
/// From one PSMMU's address to the next one's.
pub const PSMMU_STEP: u64 = 0x20_0000;
/// A granule of the host, for parameters and for INFO.
pub const HOST_PAGE: u64 = 0x8000_0000;
/// The granule in which the host driver has its lists.
pub const LIST_PAGE: u64 = 0x8000_1000;
/// A granule for the lists of calls that are made register by register.
pub const RAW_LIST: u64 = 0x8000_2000;
/// First granule of the memory that the host driver donates, in order of address.
pub const HEAP: u64 = 0x8100_0000;
/// First granule of the RMM, which lies within the host's memory.
pub const RMM: u64 = 0x8F00_0000;
/// First granule of the memory of devices: so many that are not coherent, and as many that are.
pub const DEVICE_MEMORY: u64 = 0x1000_0000;
/// How many granules of each kind.
pub const DEVICE_GRANULES: u64 = 4;
/// What no bank of memory has.
pub const NO_MEMORY: u64 = 0x4000_0000;
/// A stream of the table that a machine begins with.
pub const STREAM: u32 = 8;

/// Makes a stream fault.
pub trait Faults {
    /// Faults at `address`: an F_TRANSLATION record of [`STREAM`], a write at stage 2.
    fn fault(&mut self, address: u64);
}

impl Faults for Device {
    fn fault(&mut self, address: u64) {
        self.record(Record::stage_2_write(STREAM, address));
    }
}

/// Returns the input address of an event that came from [`Faults::fault`].
///
/// # Errors
/// The event, if it is something else.
pub fn input(event: &Event) -> Result<u64, Event> {
    match event {
        Event::Psmmu { number: 0x10, input_address, .. } => Ok(*input_address),
        other => Err(*other),
    }
}

/// Returns the input addresses of `events`, all of which must be faults, each seen once.
#[must_use]
pub fn inputs(events: &[Event]) -> Vec<u64> {
    let inputs: Vec<_> =
        events.iter().map(|event| input(event).expect("a translation fault")).collect();
    assert_eq!(inputs.iter().collect::<HashSet<_>>().len(), inputs.len(), "reported twice");
    inputs
}
