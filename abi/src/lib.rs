// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
//!
//! # How to read it
//! Read it along a call: [`Function`] is its identifier in X0, [`ResultWord`] its result in X0, and the file of the
//! command group has its arguments and outputs: [`Version`] and [`features`], [`RmmConfig`], [`PsmmuInfo`],
//! [`PsmmuParams`], [`IrqSet`] and [`Notification`], [`TrackingState`], and [`DonateRequest`] with [`AddressRange`]
//! for commands that take more than one call. [`EventNumber`], [`Syndrome`] and [`ErrorCause`] are what an SMMU
//! reports.
//!
//! Every number's source and the revision of the specification that it belongs to are listed in
//! `docs/abi.md`. `docs/event.md` follows one event through all crates.
//!
//! | side | crate |
//! |---|---|
//! | RMM | [`psmmu`](../psmmu/index.html), which implements the commands |
//! | host | [`psmmu_host`](../psmmu_host/index.html), which calls them |
//!
//! All addresses are physical addresses (PA), all structures little-endian, all sizes in bytes.

#![no_std]
#![forbid(unsafe_code)]
#![deny(unnameable_types, unreachable_pub)]

#[cfg(not(target_endian = "little"))]
compile_error!("RMI structures are little-endian and are read and written in place");

mod activate;
mod config;
mod event;
pub mod features;
mod function;
mod info;
mod notify;
mod operation;
mod result;
mod tracking;
mod version;

pub use activate::{MsiMessage, PsmmuParams, PsmmuParamsFields, PsmmuParamsFlags};
pub use config::RmmConfig;
pub use event::{ErrorCause, EventNumber, FaultClass, Syndrome};
pub use function::{Function, SVE_HINT};
pub use info::{IrqDelivery, IrqSlot, PsmmuInfo, PsmmuInfoFields};
pub use notify::{Event, EventKind, IrqSet, Notification};
pub use operation::{AddressRange, BlockSize, DonateRequest, MemState};
pub use result::{MemoryTransfer, ResultWord, SMCCC_NOT_SUPPORTED, Status};
pub use tracking::{GptState, MemoryCategory, TrackingState};
pub use version::Version;

/// Bytes in an RMI granule of 4 KiB, the only granule size of this project.
pub const GRANULE_SIZE: usize = 0x1000;

/// A number from the other side that this ABI does not define.
///
/// It is kept for log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown(pub u64);

impl core::fmt::Display for Unknown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x} has no meaning", self.0)
    }
}

impl core::error::Error for Unknown {}
