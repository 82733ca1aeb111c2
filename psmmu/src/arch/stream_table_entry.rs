// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entries of the stream table (IHI 0070, 5.2), and which stage 2 of translation a device takes.

#![forbid(unsafe_code)]

use super::limits::Limits;
use super::registers::address_bits;

/// What a stream does with stage 2 of translation: the fields of VTCR_EL2, with tables of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2 {
    /// PA of the first translation table, aligned to its size, of at most 48 bits and within `ps`.
    pub table: u64,
    /// VMID that its translations are tagged with; below 256 where the device has no 16-bit VMIDs.
    pub vmid: u16,
    /// Size of the input space, 64 minus its bits: 16 to 39, and no more bits than the device has for an
    /// input ([`Limits::input_bits`]).
    pub t0sz: u8,
    /// Level at which the walk starts, as in VTCR_EL2.SL0: 0 for level 2, 1 for level 1, 2 for level 0,
    /// which a device with addresses of at most 42 bits does not take.
    pub sl0: u8,
    /// Size of the output space, as in VTCR_EL2.PS: 0 to 6 for 32 to 52 bits, and no more than the device
    /// has ([`Limits::output_bits`]).
    pub ps: u8,
}

impl Stage2 {
    /// Returns whether a device with `limits` takes these values (IHI 0070, 5.2.2): what it does not
    /// would be a bad entry, recorded at each access.
    #[must_use]
    pub const fn is_valid(&self, limits: &Limits) -> bool {
        /// Log2 of the bytes that a table of level 3 maps, and of the entries of a table.
        const LEVEL_3: u32 = 12;
        const STEP: u32 = 9;
        /// Up to 16 first tables may lie one behind the other.
        const CONCATENATED: u32 = 4;
        /// The walk begins at level 0 only where addresses have more bits than this.
        const WITHOUT_LEVEL_0: u32 = 42;
        if self.t0sz < 16 || self.t0sz > 39 || self.sl0 > 2 || self.ps > 6 {
            return false;
        }
        let (input_bits, output_bits) = (64 - self.t0sz as u32, address_bits(self.ps as u32));
        if input_bits > limits.input_bits || output_bits > limits.output_bits {
            return false;
        }
        if self.sl0 == 2 && limits.output_bits <= WITHOUT_LEVEL_0 {
            return false;
        }
        // Bits of the input that index the first table: those above what its entries map.
        let entry_bits = LEVEL_3 + STEP * (self.sl0 as u32 + 1);
        let Some(index_bits) = input_bits.checked_sub(entry_bits) else {
            return false;
        };
        if index_bits == 0 || index_bits > STEP + CONCATENATED {
            return false;
        }
        // 8 bytes an entry, at least the 64 that S2TTB can say. Without S2DS it has 48 bits.
        let align = if index_bits < 3 { 64 } else { 8 << index_bits };
        let table_bits = if output_bits < 48 { output_bits } else { 48 };
        self.table & (align - 1) == 0
            && self.table >> table_bits == 0
            && limits.take_vmid(self.vmid)
    }
}

/// A stream table entry.
#[derive(Clone, Copy, Debug, Eq)]
pub struct StreamTableEntry([u64; Self::WORDS]);

impl PartialEq for StreamTableEntry {
    /// Compares by words: as an array it would be compared by bytes, eight times as many.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl StreamTableEntry {
    /// 64-bit words of an entry.
    pub(crate) const WORDS: usize = 8;
    /// V of the first word.
    const VALID: u64 = 1 << 0;
    /// Config of the first word.
    const CONFIG_MASK: u64 = 0b111 << 1;
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

    /// No entry: every access is aborted and recorded with C_BAD_STE. For tests of the way of events.
    pub const INVALID: Self = Self([0; Self::WORDS]);

    /// Translates by `stage_2` and records what faults.
    #[inline]
    pub(crate) const fn translating(stage_2: &Stage2) -> Self {
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

    /// Returns the entry with its translation turned off. The device then reads the first word
    /// alone.
    pub(crate) const fn disabled(self) -> Self {
        let [first, a, b, c, d, e, f, g] = self.0;
        Self([first & !Self::CONFIG_MASK | Self::VALID, a, b, c, d, e, f, g])
    }

    /// Returns the entry with its stage 2 of translation turned on.
    pub(crate) const fn enabled(self) -> Self {
        let [first, a, b, c, d, e, f, g] = self.disabled().0;
        Self([first | Self::CONFIG_STAGE_2, a, b, c, d, e, f, g])
    }

    /// Returns whether it is one that [`stage_2`](Self::stage_2) makes, on or off.
    pub(crate) const fn is_stage_2(self) -> bool {
        Self::is_control_of_stage_2(self.0[2])
    }

    /// Returns whether the third word of an entry is one that [`stage_2`](Self::stage_2) makes.
    pub(crate) const fn is_control_of_stage_2(control: u64) -> bool {
        control & Self::AA64 != 0
    }

    /// Returns whether it is a translation that is turned on.
    pub(crate) const fn is_enabled(self) -> bool {
        const ON: u64 = StreamTableEntry::VALID | StreamTableEntry::CONFIG_STAGE_2;
        self.0[0] & (Self::VALID | Self::CONFIG_MASK) == ON
    }

    /// Returns the VMID of its translations.
    pub(crate) const fn vmid(self) -> u16 {
        self.0[2] as u16
    }

    /// Makes an entry of its words, the first one lowest.
    pub(crate) const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }

    /// Returns the words, the first one lowest. By the first one the device takes all of them.
    pub(crate) const fn words(&self) -> &[u64; Self::WORDS] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device with addresses of 48 bits and VMIDs of 16.
    const LIMITS: Limits = Limits { output_bits: 48, input_bits: 48, has_vmid16: true };

    #[test]
    fn entries_have_the_bits_of_the_architecture() {
        assert_eq!(StreamTableEntry::ABORT.0, [1, 0, 0, 0, 0, 0, 0, 0]);
        let entry = StreamTableEntry::translating(&Stage2 {
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
    fn only_a_stage_2_that_a_device_takes_is_valid() {
        let good = Stage2 { table: 0x4020_0000, vmid: 1, t0sz: 25, sl0: 1, ps: 2 };
        let cases = [
            (good, true),
            // 40 bits from level 1: two tables one behind the other.
            (Stage2 { t0sz: 24, ..good }, true),
            (Stage2 { t0sz: 24, table: 0x4020_1000, ..good }, false),
            // 43 bits from level 1 are 16 tables, 44 bits are too many.
            (Stage2 { t0sz: 21, table: 0x4021_0000, ..good }, true),
            (Stage2 { t0sz: 20, table: 0x4022_0000, ..good }, false),
            (Stage2 { t0sz: 16, sl0: 2, ..good }, true),
            // 33 bits leave level 1 three bits: 64 bytes. 30 bits leave it none.
            (Stage2 { t0sz: 31, table: 0x4020_0040, ..good }, true),
            (Stage2 { t0sz: 34, ..good }, false),
            (Stage2 { t0sz: 34, sl0: 0, ..good }, true),
            (Stage2 { t0sz: 0, ..good }, false),
            (Stage2 { t0sz: 40, sl0: 0, ..good }, false),
            (Stage2 { sl0: 3, ..good }, false),
            (Stage2 { ps: 7, ..good }, false),
            (Stage2 { table: 0x4020_0800, ..good }, false),
            (Stage2 { table: 1 << 52, ..good }, false),
        ];
        for (stage_2, valid) in cases {
            assert_eq!(stage_2.is_valid(&LIMITS), valid, "{stage_2:x?}");
        }
    }

    #[test]
    fn an_entry_that_is_turned_off_keeps_what_it_was() {
        let entry = StreamTableEntry::translating(&Stage2 {
            table: 0x4020_0000,
            vmid: 7,
            t0sz: 25,
            sl0: 1,
            ps: 2,
        });
        let off = entry.disabled();
        assert_eq!(off.0[0], StreamTableEntry::ABORT.0[0]);
        assert_eq!(off.0[1..], entry.0[1..]);
        assert!(entry.is_enabled() && !off.is_enabled());
        assert_eq!(off.enabled(), entry);
        assert!(off.is_stage_2() && !StreamTableEntry::ABORT.is_stage_2());
        assert_eq!(off.vmid(), 7);
    }
}
