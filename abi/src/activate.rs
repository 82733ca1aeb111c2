// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_PSMMU_ACTIVATE`.
//!
//! X1 in: the PSMMU. X2 in: PA of a [`PsmmuParams`]. X0 out: result. While the result is "incomplete"
//! X1 is the handle of the operation and X2 a [`DonateRequest`].

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags::bitflags! {
    /// What the host asks of a PSMMU. Unknown bits are kept, to be refused or ignored by the reader.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PsmmuParamsFlags: u64 {
        /// Bit 0: interrupts by message, with the addresses and data of the structure.
        const MSI = 1 << 0;
        /// Bit 1: address translation services.
        const ATS = 1 << 1;
        /// Bit 2: page requests.
        const PRI = 1 << 2;
        const _ = !0;
    }
}

/// A message-signalled interrupt.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MsiMessage {
    /// PA of the doorbell.
    pub address: u64,
    /// What is written there; the device writes the low 32 bits.
    pub data: u64,
}

/// The parameters as they lie in memory, one granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PsmmuParams {
    /// [`PsmmuParamsFlags`].
    pub flags: u64,
    /// Message for global errors.
    pub gerror: MsiMessage,
    /// Message for the event queue.
    pub eventq: MsiMessage,
    /// Message for the PRI queue; address 0 without [`PsmmuParamsFlags::PRI`].
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

/// What a [`PsmmuParams`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsmmuParamsFields {
    /// What is asked for.
    pub flags: PsmmuParamsFlags,
    /// Message for global errors.
    pub gerror: MsiMessage,
    /// Message for the event queue.
    pub eventq: MsiMessage,
    /// Message for the PRI queue.
    pub priq: MsiMessage,
}

impl PsmmuParamsFields {
    /// Number of 64-bit words that say something; all behind them is not looked at.
    pub const WORDS: usize = 7;

    /// Reads the words that begin the granule.
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

/// What memory an operation asks for, X2 of an "incomplete, donate" answer.
///
/// Only memory that is already delegated is ever asked for: that state is encoded as zero in every
/// revision of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct DonateRequest(u64);

impl DonateRequest {
    const COUNT_SHIFT: u32 = 2;
    const COUNT_MASK: u64 = 0x3FFF;
    const CONTIGUOUS: u64 = 1 << 16;

    /// Asks for `count` granules of 4 KiB, 1 to 1023, as one region that is aligned to its size when
    /// `contiguous`, else anywhere.
    #[must_use]
    pub const fn granules(count: u16, contiguous: bool) -> Self {
        let contiguous = if contiguous { Self::CONTIGUOUS } else { 0 };
        Self((count as u64 & Self::COUNT_MASK) << Self::COUNT_SHIFT | contiguous)
    }

    /// Takes X2 as it came.
    #[must_use]
    pub const fn from_x2(x2: u64) -> Self {
        Self(x2)
    }

    /// Returns the value for X2.
    #[must_use]
    pub const fn x2(self) -> u64 {
        self.0
    }

    /// Returns how many blocks are asked for.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 >> Self::COUNT_SHIFT & Self::COUNT_MASK
    }

    /// Returns whether the blocks must be one aligned region.
    #[must_use]
    pub const fn is_contiguous(self) -> bool {
        self.0 & Self::CONTIGUOUS != 0
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn parameters_lie_where_the_wire_has_them_and_keep_unknown_flags() {
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

    #[test]
    fn donation_requests_have_the_words_of_the_wire_and_read_back() {
        for (count, word) in [(1, 0x1_0004), (4, 0x1_0010)] {
            let request = DonateRequest::granules(count, true);
            assert_eq!(request.x2(), word);
            assert_eq!(DonateRequest::from_x2(word).count(), u64::from(count));
            assert!(request.is_contiguous());
        }
        assert_eq!(DonateRequest::granules(3, false).x2(), 0xC);
    }
}
