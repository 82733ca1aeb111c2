// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_PSMMU_INFO`: how the Realm side interrupts the host.
//!
//! X1 in: `psmmu_ptr`, the PA of the SMMU's Non-secure register page 0. X2 in: PA of a zeroed granule of
//! the host to which the RMM writes a [`PsmmuInfo`]. X0 out: status. On failure the granule is unchanged,
//! and zero reads as [`IrqDelivery::Disabled`].

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Unknown;

/// How interrupts of the Realm side are delivered to the host, bits 1:0 of the flags. Value 3 is
/// reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IrqDelivery {
    /// No interrupts: the host polls.
    Disabled = 0,
    /// By wired interrupts, with the INTIDs in the structure.
    Wired = 1,
    /// By MSIs whose addresses and data the host passes to `RMI_PSMMU_ACTIVATE`.
    Msi = 2,
}

/// A 32-bit INTID in a slot of 8 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IrqSlot {
    /// The INTID; 0 means none.
    pub number: u32,
    /// Zero.
    pub reserved: u32,
}

/// The structure as laid out in memory, one granule.
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
    /// Completion of command-queue SYNCs. A host that finds a number here does not use the Realm side of
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

/// The decoded and checked fields of a [`PsmmuInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsmmuInfoFields {
    /// How interrupts are delivered.
    pub delivery: IrqDelivery,
    /// INTID for global errors, 0 for none. Like the other three it is meaningful with
    /// [`IrqDelivery::Wired`] only.
    pub gerror: u32,
    /// INTID for the event queue, 0 for none.
    pub eventq: u32,
    /// INTID for the PRI queue, 0 for none.
    pub priq: u32,
    /// INTID for command-queue SYNCs, 0 for none.
    pub cmdq_sync: u32,
}

impl PsmmuInfoFields {
    /// Number of 64-bit words in use; the rest of the granule is zero.
    pub const WORDS: usize = 5;

    /// Returns the first words of the granule; the rest is zero.
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

    /// Decodes the structure. The reserved delivery is an error; other reserved bits are ignored.
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
    fn an_unwritten_granule_reads_as_disabled() {
        let info = PsmmuInfoFields::try_from(&PsmmuInfo::new_zeroed());
        assert_eq!(info.map(|info| info.delivery), Ok(IrqDelivery::Disabled));
    }

    #[test]
    fn the_reserved_delivery_is_a_typed_error() {
        assert_eq!(PsmmuInfoFields::try_from(&granule([3, 0, 0, 0, 0])), Err(Unknown(3)));
    }
}
