// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_PSMMU_INFO`: how the host will be interrupted.
//!
//! X1 in: the PSMMU, named by the PA of its Non-secure register page 0. X2 in: PA of a zeroed granule
//! of the host that the RMM fills with a [`PsmmuInfo`]. X0 out: status. On failure the granule is left
//! alone, and zero reads as [`IrqDelivery::Disabled`].

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Unknown;

/// How interrupts of the Realm side reach the host, bits 1:0 of the flags. Value 3 is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IrqDelivery {
    /// Not at all: the host polls.
    Disabled = 0,
    /// By the wires whose numbers stand in the structure.
    Wired = 1,
    /// By MSIs whose addresses and data the host passes to `RMI_PSMMU_ACTIVATE`.
    Msi = 2,
}

/// A 32-bit interrupt number in its slot of eight bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IrqSlot {
    /// The number; 0 means that there is none.
    pub number: u32,
    /// Zero.
    pub reserved: u32,
}

/// The granule as it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PsmmuInfo {
    /// Bits 1:0 [`IrqDelivery`], the rest zero.
    pub flags: u64,
    /// Global errors.
    pub gerror: IrqSlot,
    /// Event queue.
    pub eventq: IrqSlot,
    /// PRI queue.
    pub priq: IrqSlot,
    /// Completion of command-queue SYNCs. A host that finds a number here gives up the Realm side of
    /// this SMMU.
    pub cmdq_sync: IrqSlot,
    /// Zero.
    pub reserved: [u8; 0xFD8],
}

const_assert_eq!(size_of::<PsmmuInfo>(), 0x1000);
const_assert_eq!(offset_of!(PsmmuInfo, flags), 0x00);
const_assert_eq!(offset_of!(PsmmuInfo, gerror), 0x08);
const_assert_eq!(offset_of!(PsmmuInfo, eventq), 0x10);
const_assert_eq!(offset_of!(PsmmuInfo, priq), 0x18);
const_assert_eq!(offset_of!(PsmmuInfo, cmdq_sync), 0x20);
const_assert_eq!(offset_of!(PsmmuInfo, reserved), 0x28);

/// What a [`PsmmuInfo`] says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsmmuInfoFields {
    /// How interrupts are delivered.
    pub delivery: IrqDelivery,
    /// Number for global errors, 0 for none. Like the other three a GIC INTID, and only of use with
    /// [`IrqDelivery::Wired`].
    pub gerror: u32,
    /// Number for the event queue, 0 for none.
    pub eventq: u32,
    /// Number for the PRI queue, 0 for none.
    pub priq: u32,
    /// Number for command-queue SYNCs, 0 for none.
    pub cmdq_sync: u32,
}

impl PsmmuInfoFields {
    /// Number of 64-bit words in front of the zeroes.
    pub const WORDS: usize = 5;

    /// Returns the words that begin the granule; all behind them is zero.
    #[must_use]
    pub const fn words(&self) -> [u64; Self::WORDS] {
        [
            self.delivery as u64,
            self.gerror as u64,
            self.eventq as u64,
            self.priq as u64,
            self.cmdq_sync as u64,
        ]
    }
}

impl TryFrom<&PsmmuInfo> for PsmmuInfoFields {
    type Error = Unknown;

    /// Reads the granule. The reserved delivery is an error; other reserved bits are ignored.
    fn try_from(info: &PsmmuInfo) -> Result<Self, Unknown> {
        let delivery = match info.flags & 3 {
            0 => IrqDelivery::Disabled,
            1 => IrqDelivery::Wired,
            2 => IrqDelivery::Msi,
            _ => return Err(Unknown(info.flags)),
        };
        Ok(Self {
            delivery,
            gerror: info.gerror.number,
            eventq: info.eventq.number,
            priq: info.priq.number,
            cmdq_sync: info.cmdq_sync.number,
        })
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    const WIRED: PsmmuInfoFields = PsmmuInfoFields {
        delivery: IrqDelivery::Wired,
        gerror: 109,
        eventq: 106,
        priq: 107,
        cmdq_sync: 0,
    };

    fn granule(words: [u64; PsmmuInfoFields::WORDS]) -> PsmmuInfo {
        let mut info = PsmmuInfo::new_zeroed();
        info.as_mut_bytes()[..40].copy_from_slice(words.as_bytes());
        info
    }

    #[test]
    fn the_words_are_the_granule_and_read_back_as_written() {
        for delivery in [IrqDelivery::Disabled, IrqDelivery::Wired, IrqDelivery::Msi] {
            let fields = PsmmuInfoFields { delivery, ..WIRED };
            assert_eq!(PsmmuInfoFields::try_from(&granule(fields.words())), Ok(fields));
        }
        assert_eq!(WIRED.words(), [1, 109, 106, 107, 0]);
    }

    #[test]
    fn a_granule_that_was_left_alone_reads_as_disabled() {
        let info = PsmmuInfoFields::try_from(&PsmmuInfo::new_zeroed());
        assert_eq!(info.map(|info| info.delivery), Ok(IrqDelivery::Disabled));
    }

    #[test]
    fn the_reserved_delivery_is_a_typed_error() {
        assert_eq!(PsmmuInfoFields::try_from(&granule([3, 0, 0, 0, 0])), Err(Unknown(3)));
    }
}
