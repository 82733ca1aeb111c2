// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the embedder gives: traits that it implements, and what it says of each PSMMU.

#![forbid(unsafe_code)]

mod clock;
mod config;
mod device_memory;
mod host_memory;
mod registers;
mod stream_owners;
mod table_memory;

pub use clock::{Clock, microseconds};
pub use config::{Config, Delivery, Interface, QueueAbortPolicy, Sizes};
pub use device_memory::{DeviceMemory, Granules};
pub use host_memory::{HostFault, HostGranule, HostMemory};
pub use registers::Registers;
pub use stream_owners::{NoVsmmu, VsmmuLookup};
pub use table_memory::TableMemory;
