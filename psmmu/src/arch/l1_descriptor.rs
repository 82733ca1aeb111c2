// SPDX-License-Identifier: MIT OR Apache-2.0

//! Descriptors of a two-level stream table's first level (IHI 0070, 5.1): each finds the table of 64 streams.

#![forbid(unsafe_code)]

use super::stream_table_entry::StreamTableEntry;

/// Log2 of the streams of one level-2 table, SPLIT.
pub(crate) const SPLIT: u32 = 6;

/// Streams of one level-2 table.
pub(crate) const STREAMS: u32 = 1 << SPLIT;

/// Bytes of a level-2 table, one granule.
pub(crate) const L2_BYTES: usize = (StreamTableEntry::WORDS * 8) << SPLIT;

/// SPAN of a level-1 descriptor whose table has 2^[`SPLIT`] entries: one more than the log2.
const SPAN: u64 = SPLIT as u64 + 1;

/// Bits of a level-1 descriptor that hold the table's address, 55:6.
const L2_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFC0;

/// Bytes of a granule are those of a level-2 table.
const _: () = assert!(L2_BYTES == psmmu_abi::GRANULE_SIZE);

/// A level-1 descriptor of a table that is being made: SPAN is zero, so there is none for the device,
/// which ignores the other bits.
const BEING_MADE: u64 = 1 << 6;

/// What a level-1 descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// There is no table.
    None,
    /// One is being made or taken away.
    BeingMade,
    /// There is a table at this PA.
    Table(u64),
}

impl Descriptor {
    /// Returns what the word of a descriptor says.
    pub(crate) const fn of_word(word: u64) -> Self {
        match word {
            0 => Self::None,
            BEING_MADE => Self::BeingMade,
            descriptor => Self::Table(descriptor & L2_ADDRESS),
        }
    }

    /// Returns the word that says it.
    pub(crate) const fn word(self) -> u64 {
        match self {
            Self::None => 0,
            Self::BeingMade => BEING_MADE,
            Self::Table(address) => address & L2_ADDRESS | SPAN,
        }
    }
}

/// STRTAB_BASE_CFG of a level-1 table that covers StreamIDs of `sid_bits`.
pub(crate) const fn base_cfg(sid_bits: u32) -> u32 {
    const FORMAT_TWO_LEVEL: u32 = 1 << 16;
    FORMAT_TWO_LEVEL | SPLIT << 6 | sid_bits
}
