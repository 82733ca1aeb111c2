// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stream tables of two levels: the first level finds the table of 64 streams, the second has an
//! entry of 64 bytes for each.
//!
//! A stream without a level-2 table is refused with C_BAD_STREAMID, one with an invalid entry with
//! C_BAD_STE: both are recorded for each access. Only [`StreamTableEntry::ABORT`] is quiet.

#![forbid(unsafe_code)]

use crate::queue::DeviceMemory;

/// Log2 of the streams of one level-2 table, SPLIT.
pub const SPLIT: u32 = 6;

/// Bytes of a level-2 table, one granule.
pub const L2_BYTES: usize = (WORDS * 8) << SPLIT;

/// 64-bit words of an entry.
const WORDS: usize = 8;

/// SPAN of a level-1 descriptor whose table has 2^[`SPLIT`] entries: one more than the log2.
const SPAN: u64 = SPLIT as u64 + 1;

/// Bits of a level-1 descriptor that hold the table's address, 55:6.
const L2_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFC0;

/// What a stream does with stage 2 of translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2 {
    /// PA of the first translation table, aligned to its size.
    pub table: u64,
    /// VMID that its translations are tagged with.
    pub vmid: u16,
    /// Size of the input space, 64 minus its bits. Not zero.
    pub t0sz: u8,
    /// Level at which the walk starts, as in VTCR_EL2.SL0.
    pub sl0: u8,
    /// Size of the output space, as in VTCR_EL2.PS.
    pub ps: u8,
}

/// A stream table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamTableEntry([u64; WORDS]);

impl StreamTableEntry {
    /// V of the first word.
    const VALID: u64 = 1 << 0;
    /// Config of the first word: stage 2 only.
    const CONFIG_STAGE_2: u64 = 0b110 << 1;
    /// S2T0SZ, S2SL0, S2IR0, S2OR0, S2SH0 and S2PS of the third word.
    const T0SZ_SHIFT: u32 = 32;
    const SL0_SHIFT: u32 = 38;
    const INNER_WRITE_BACK: u64 = 1 << 40;
    const OUTER_WRITE_BACK: u64 = 1 << 42;
    const INNER_SHAREABLE: u64 = 3 << 44;
    const PS_SHIFT: u32 = 48;
    /// S2AA64 of the third word: tables of AArch64.
    const AA64: u64 = 1 << 51;
    /// S2R of the third word: faults are recorded.
    const RECORD: u64 = 1 << 58;
    /// S2TTB, bits 55:4 of the fourth word.
    const TABLE: u64 = 0x00FF_FFFF_FFFF_FFF0;

    /// Aborts every access and records none.
    pub const ABORT: Self = Self([Self::VALID, 0, 0, 0, 0, 0, 0, 0]);

    /// Translates by stage 2 and records what faults.
    #[must_use]
    pub const fn stage_2(stage_2: Stage2) -> Self {
        let control = stage_2.vmid as u64
            | (stage_2.t0sz as u64 & 0x3F) << Self::T0SZ_SHIFT
            | (stage_2.sl0 as u64 & 3) << Self::SL0_SHIFT
            | Self::INNER_WRITE_BACK
            | Self::OUTER_WRITE_BACK
            | Self::INNER_SHAREABLE
            | (stage_2.ps as u64 & 7) << Self::PS_SHIFT
            | Self::AA64
            | Self::RECORD;
        let valid = Self::VALID | Self::CONFIG_STAGE_2;
        Self([valid, 0, control, stage_2.table & Self::TABLE, 0, 0, 0, 0])
    }
}

/// Fills the level-2 table in `memory` with `entry`. The table must not be linked yet.
pub fn fill(memory: &impl DeviceMemory, entry: StreamTableEntry) {
    for index in 0..memory.words() {
        memory.store(index, entry.0[index % WORDS]);
    }
}

/// Links the level-2 table at PA `table` into the level-1 table `l1`, for the 64 streams from
/// `first_stream` on. The device must not have looked at the level-1 table before, or be told by
/// CMD_CFGI_ALL.
pub fn link(l1: &impl DeviceMemory, first_stream: u32, table: u64) {
    l1.store((first_stream >> SPLIT) as usize, table & L2_ADDRESS | SPAN);
}

/// STRTAB_BASE_CFG of a level-1 table that covers StreamIDs of `sid_bits`.
pub(crate) const fn base_cfg(sid_bits: u32) -> u32 {
    const FORMAT_TWO_LEVEL: u32 = 1 << 16;
    FORMAT_TWO_LEVEL | SPLIT << 6 | sid_bits
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;
    use crate::queue::Granules;

    #[test]
    fn entries_have_the_bits_of_the_architecture() {
        assert_eq!(StreamTableEntry::ABORT.0, [1, 0, 0, 0, 0, 0, 0, 0]);
        let entry = StreamTableEntry::stage_2(Stage2 {
            table: 0x4020_0000,
            vmid: 0x1234,
            t0sz: 25,
            sl0: 1,
            ps: 4,
        });
        // Record bits: S2VMID 143:128, VTCR fields 178:160, S2AA64 179, S2R 186, S2TTB 247:196.
        let vtcr = 25 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 4 << 16;
        let third = 0x1234 | vtcr << (160 - 128) | 1 << (179 - 128) | 1 << (186 - 128);
        assert_eq!(entry.0, [0b1101, 0, third, 0x4020_0000, 0, 0, 0, 0]);
    }

    #[test]
    fn a_linked_table_of_64_streams_has_span_7() {
        let words = [const { AtomicU64::new(0) }; 4];
        let l1 = Granules::new(&words, 0x1000);
        link(&l1, 64, 0x4021_0000);
        assert_eq!([0, 1, 2].map(|index| l1.load(index)), [0, 0x4021_0007, 0]);
        assert_eq!(L2_BYTES, 0x1000);
        assert_eq!(base_cfg(16), 0x1_0190);
    }
}
