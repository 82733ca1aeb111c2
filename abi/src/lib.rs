// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
//!
//! # How to read it
//! Read it along a call: [`Function`] names it in X0, [`ResultWord`] answers it in X0, and what is
//! between stands in the module of the command group: [`version`], [`features`], [`config`],
//! [`info`], [`activate`], [`notify`], [`tracking`], and [`operation`] for those that take more than one
//! call. [`event`] names what an SMMU reports.
//!
//! Every number's source and the revision of the specification that it belongs to are listed in
//! `docs/abi.md`. `docs/event.md` follows one event through all crates.
//!
//! | side | crate |
//! |---|---|
//! | RMM | [`psmmu`](../psmmu/index.html), the module that answers |
//! | host | [`psmmu_host`](../psmmu_host/index.html), which asks |
//!
//! All addresses are physical addresses (PA), all structures little-endian, all sizes in bytes.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!("RMI structures are little-endian and are read and written in place");

pub mod activate;
pub mod config;
pub mod event;
pub mod features;
pub mod function;
pub mod info;
pub mod notify;
pub mod operation;
pub mod result;
pub mod tracking;
pub mod version;

pub use activate::{MsiMessage, PsmmuParams, PsmmuParamsFields, PsmmuParamsFlags};
pub use config::RmmConfig;
pub use event::{ErrorCause, EventNumber, FaultClass, Syndrome};
pub use function::Function;
pub use info::{IrqDelivery, PsmmuInfo, PsmmuInfoFields};
pub use notify::{Event, EventKind, IrqSet, Notification};
pub use operation::{AddressRange, BlockSize, DonateRequest, MemState};
pub use result::{MemoryTransfer, ResultWord, Status};
pub use tracking::{GptState, MemoryCategory, TrackingState};
pub use version::Version;

/// Bytes in an RMI granule of 4 KiB, the only granule size of this project.
pub const GRANULE_SIZE: usize = 0x1000;

/// Says that a number from the other side has no meaning in this ABI.
///
/// The number is kept so that whoever prints can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown(pub u64);
