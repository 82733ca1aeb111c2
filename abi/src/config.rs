// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_RMM_CONFIG_SET` and `RMI_RMM_CONFIG_GET`. X1 in: PA of an [`RmmConfig`].

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The RMM's configuration, one granule.
///
/// Callers leave the rest of the granule undefined, so it is never checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RmmConfig {
    /// Size of a tracking region; for 4 KiB granules 0 means 1 GiB. One byte by the specification, in a
    /// slot of 8 bytes; hosts write and compare the whole slot.
    pub tracking_region_size: u64,
    /// Size of an RMI granule: 0 for 4 KiB, 1 for 16 KiB, 2 for 64 KiB. Slot as above.
    pub rmi_granule_size: u64,
    /// Not read.
    pub reserved: [u8; 0xFF0],
}

const_assert_eq!(size_of::<RmmConfig>(), 0x1000);
const_assert_eq!(core::mem::offset_of!(RmmConfig, tracking_region_size), 0x0);
const_assert_eq!(core::mem::offset_of!(RmmConfig, rmi_granule_size), 0x8);
