// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_PSMMU_ACTIVATE`.
//!
//! X1 in: `psmmu_ptr`. X2 in: PA of a [`PsmmuParams`]. X0 out: result. While the result is "incomplete"
//! X1 is the handle of the operation and X2 a [`DonateRequest`](crate::DonateRequest).

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags::bitflags! {
    /// Features that the host requests of a PSMMU. Unknown bits are kept, for the reader to reject or
    /// ignore.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PsmmuParamsFlags: u64 {
        /// Bit 0: interrupts by MSI, with the addresses and data of the structure.
        const MSI = 1 << 0;
        /// Bit 1: address translation services.
        const ATS = 1 << 1;
        /// Bit 2: page requests.
        const PRI = 1 << 2;
        const _ = !0;
    }
}

/// Address and data of an MSI.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MsiMessage {
    /// PA of the doorbell.
    pub address: u64,
    /// Data that is written there; the device writes the low 32 bits.
    pub data: u64,
}

/// The parameters as laid out in memory, one granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PsmmuParams {
    /// [`PsmmuParamsFlags`].
    pub flags: u64,
    /// MSI for global errors.
    pub gerror: MsiMessage,
    /// MSI for the event queue.
    pub eventq: MsiMessage,
    /// MSI for the PRI queue; address 0 without [`PsmmuParamsFlags::PRI`].
    pub priq: MsiMessage,
    /// Should be zero.
    pub reserved: [u8; 0xFC8],
}

const_assert_eq!(size_of::<PsmmuParams>(), 0x1000);
const_assert_eq!(offset_of!(PsmmuParams, flags), 0x00);
const_assert_eq!(offset_of!(PsmmuParams, gerror), 0x08);
const_assert_eq!(offset_of!(PsmmuParams, eventq), 0x18);
const_assert_eq!(offset_of!(PsmmuParams, priq), 0x28);
const_assert_eq!(offset_of!(PsmmuParams, reserved), 0x38);
const_assert_eq!(offset_of!(MsiMessage, address), 0x0);
const_assert_eq!(offset_of!(MsiMessage, data), 0x8);

/// The decoded fields of a [`PsmmuParams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsmmuParamsFields {
    /// Requested features.
    pub flags: PsmmuParamsFlags,
    /// MSI for global errors.
    pub gerror: MsiMessage,
    /// MSI for the event queue.
    pub eventq: MsiMessage,
    /// MSI for the PRI queue.
    pub priq: MsiMessage,
}

impl PsmmuParamsFields {
    /// Number of 64-bit words in use; the rest of the granule is not read.
    pub const WORDS: usize = 7;

    /// Decodes the first words of the granule.
    #[must_use]
    pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [flags, a, b, c, d, e, f] = words;
        Self {
            flags: PsmmuParamsFlags::from_bits_retain(flags),
            gerror: MsiMessage { address: a, data: b },
            eventq: MsiMessage { address: c, data: d },
            priq: MsiMessage { address: e, data: f },
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn parameters_match_the_wire_layout_and_keep_unknown_flags() {
        let mut params = PsmmuParams::new_zeroed();
        params.flags = 0x8000_0000_0000_0005;
        params.gerror = MsiMessage { address: 1, data: 2 };
        params.eventq = MsiMessage { address: 3, data: 4 };
        params.priq = MsiMessage { address: 5, data: 6 };
        let (words, _) = <[u64; 7]>::read_from_prefix(params.as_bytes()).unwrap();
        assert_eq!(words, [params.flags, 1, 2, 3, 4, 5, 6]);

        let fields = PsmmuParamsFields::from_words(words);
        assert_eq!(fields.flags.bits(), params.flags);
        assert!(fields.flags.contains(PsmmuParamsFlags::MSI | PsmmuParamsFlags::PRI));
        assert_eq!(
            (fields.gerror, fields.eventq, fields.priq),
            (params.gerror, params.eventq, params.priq)
        );
    }
}
