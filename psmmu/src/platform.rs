// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the embedder gives: traits that it implements, and what it says of each PSMMU.
//!
//! The files that are unsafe hold the contracts: traits, and functions that make a value, by which the device is led to
//! memory. Each has numbered conditions.

mod clock;
mod config;
#[expect(unsafe_code, reason = "a contract with the embedder")]
mod device_memory;
mod host_memory;
#[expect(unsafe_code, reason = "a contract with the embedder")]
mod registers;
mod stream_owners;
#[expect(unsafe_code, reason = "a contract with the embedder")]
mod table_memory;
#[expect(unsafe_code, reason = "a contract with the embedder")]
mod trusted;

pub use clock::{Clock, microseconds};
pub use config::{Config, Delivery, Interface, QueueAbortPolicy, Sizes};
pub use device_memory::{DeviceMemory, Granules};
pub use host_memory::{HostFault, HostGranule, HostMemory};
pub use registers::Registers;
pub use stream_owners::{NoVsmmu, VsmmuLookup};
pub use table_memory::TableMemory;
pub use trusted::Translation;
