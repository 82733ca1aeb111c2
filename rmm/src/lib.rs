// SPDX-License-Identifier: MIT OR Apache-2.0

//! A small Realm Management Monitor around [`psmmu`].
//!
//! This library is what such an RMM decides: how it answers EL3 at boot ([`boot`], [`manifest`]), which
//! memory is the host's ([`dram`]), which platforms there are ([`platform`]), what of manifest and
//! platform is used ([`layout`]), and how each call of the
//! host is answered: [`dispatch`] finds out which it is, [`delegate`] moves granules between the
//! worlds, whose state [`granules`] keeps, [`sro`] answers the commands that take more than one call,
//! whose state [`operation`] keeps. It has no hardware in it, is unsafe only where donated
//! memory becomes that of a PSMMU, and is tested on the build machine. The
//! binary beside it is the image for Realm EL2: entry, page tables, exceptions, console.

#![no_std]
#![cfg_attr(core_from_source, feature(optimize_attribute))]
#![deny(unsafe_code)]

pub mod boot;
pub mod delegate;
pub mod dispatch;
#[expect(unsafe_code, reason = "the one place where donated memory is vouched for")]
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

/// Most CPUs that this RMM serves, and so the most that EL3 may announce.
pub const MAX_CPUS: usize = 32;
