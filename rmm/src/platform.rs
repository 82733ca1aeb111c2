// SPDX-License-Identifier: MIT OR Apache-2.0

//! Platforms: what the boot manifest does not say. A platform is data and nothing else.

use psmmu::Config;

mod qemu;

pub use qemu::QEMU;

/// A PSMMU of a platform.
#[derive(Clone, Copy, Debug)]
pub struct PsmmuDescription {
    /// Name on the wire, delivery of interrupts, behaviour.
    pub config: Config,
    /// PA of page 0 of the programming interface that the RMM uses.
    pub realm_page_0: u64,
    /// PA of its page 1.
    pub realm_page_1: u64,
    /// What to know of it, for the boot log.
    pub remark: &'static str,
}

/// A platform.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Its name, for the boot log.
    pub name: &'static str,
    /// PA of a PL011 console, for a manifest without one.
    pub console: u64,
    /// Size of the protected address space as GPCCR_EL3.PPS encodes it.
    pub protected_size: u8,
    /// Its PSMMUs.
    pub psmmus: &'static [PsmmuDescription],
}
