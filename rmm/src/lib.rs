// SPDX-License-Identifier: MIT OR Apache-2.0

//! A small Realm Management Monitor around [`psmmu`].
//!
//! This library has the logic of the RMM: the boot interface to EL3 ([`boot`], [`manifest`]), the banks
//! of DRAM ([`dram`]), the platforms ([`platform`]), the selection of what is used of manifest and
//! platform ([`layout`]), and the handling of the host's calls: [`dispatch`] decodes them, [`delegate`]
//! changes the PAS of granules, whose state is in [`granules`], and [`sro`] implements the commands that
//! take more than one call, whose state is in [`operation`]. It accesses no hardware, is unsafe only where
//! donated memory becomes that of a PSMMU, and is tested on the build machine. The binary beside it is the
//! image for Realm EL2: entry, page tables, exceptions, console.

#![no_std]
#![cfg_attr(core_from_source, feature(optimize_attribute))]
#![deny(unsafe_code)]

pub mod boot;
pub mod delegate;
pub mod dispatch;
#[expect(unsafe_code, reason = "the only place where donated memory is opened for a PSMMU")]
mod donated;
pub mod dram;
pub mod granules;
pub mod layout;
pub mod manifest;
pub mod operation;
pub mod platform;
pub mod sro;

pub use boot::{BootArguments, BootCode, BootError, Interface};
pub use dispatch::{Environment, Features, Rmm, RmmState};
pub use dram::{Bank, BankError, Dram};
pub use granules::{Areas, GranuleState, Region, Tracker};
pub use layout::{Layout, Limits};
pub use manifest::{DeviceRegion, Manifest, ManifestError};
pub use platform::Platform;

/// Largest number of CPUs that this RMM supports, and so the largest that EL3 may pass.
pub const MAX_CPUS: usize = 32;
