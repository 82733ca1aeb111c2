// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which stream table entries are ILLEGAL (IHI 0070, 5.2.2 "Validity of STE"), on the Realm side.
//!
//! What is left out: tables of 128-bit descriptors (IDR5.D128), permission overlays (S2PIE, S2POE), VMS
//! (S1MPAM). Where SMMUv3.0 leaves a choice the entry is ILLEGAL, as from SMMUv3.1 on.

use crate::Config;
use crate::stream::{Entry, kind};

/// Takes bits `low + bits - 1 : low` of an entry, all in one word.
const fn field(entry: &Entry, low: u32, bits: u32) -> u64 {
    entry[low as usize / 64] >> (low % 64) & ((1 << bits) - 1)
}

const fn bit(entry: &Entry, at: u32) -> bool {
    field(entry, at, 1) != 0
}

/// S1ContextPtr, 55:6, and S2TTB, 247:196, hold their address in place.
const CONTEXT_POINTER: u64 = 0x00FF_FFFF_FFFF_FFC0;
const S2TTB: u64 = 0x00FF_FFFF_FFFF_FFF0;

/// Returns whether the device takes a valid `entry` for ILLEGAL.
pub(crate) const fn is_illegal(entry: &Entry, config: &Config) -> bool {
    // With Config = 0xx no other field counts.
    kind(entry) & 0b100 != 0
        && (is_ats_illegal(entry, config)
            || is_stage_1_illegal(entry, config)
            || is_stage_2_illegal(entry, config)
            || has_too_long_vmid(entry, config))
}

/// Judges EATS, which counts unless all stages are bypassed.
const fn is_ats_illegal(entry: &Entry, config: &Config) -> bool {
    let is_nested = kind(entry) == 0b111;
    let is_split = field(entry, 92, 2) == 0b10;
    let uses_dpt = field(entry, 92, 2) == 0b11 && config.has_dpt();
    if !config.has_ats() || kind(entry) & 0b11 == 0 {
        return false;
    }
    // DPT_VMATCH is 0 in a Realm entry.
    is_split && (!is_nested || !config.has_split_stage_ats())
        || uses_dpt && (field(entry, 190, 2) != 0 || !is_of_el1(entry, config))
}

/// Returns whether STRW is ignored, or says that the stream is one of EL1.
const fn is_of_el1(entry: &Entry, config: &Config) -> bool {
    ignores_strw(entry, config) || field(entry, 94, 2) == 0
}

const fn ignores_strw(entry: &Entry, config: &Config) -> bool {
    !config.has_stage_1() || kind(entry) != 0b101
}

const fn is_stage_1_illegal(entry: &Entry, config: &Config) -> bool {
    if !ignores_strw(entry, config) && bit(entry, 94) {
        return true;
    }
    if kind(entry) & 0b001 == 0 {
        return false;
    }
    let (substream_bits, format) = (field(entry, 59, 5), field(entry, 4, 2));
    let is_nested = kind(entry) & 0b010 != 0;
    let pointer_bits = if is_nested { config.input_bits() } else { config.address_bits() };
    let is_two_level = format == 0b01 || format == 0b10;
    // S1STALLD: nothing stalls on the Realm side.
    !config.has_stage_1()
        || bit(entry, 91)
        || config.substream_bits() != 0
            && (substream_bits > config.substream_bits()
                || substream_bits != 0 && is_two_level && !config.has_two_level_cds())
        || (entry[0] & CONTEXT_POINTER) >> pointer_bits != 0
}

const fn is_stage_2_illegal(entry: &Entry, config: &Config) -> bool {
    if kind(entry) & 0b010 == 0 {
        return false;
    }
    // S2AA64 = 0 selects tables of AArch32, which no Realm entry may have.
    if !config.has_stage_2() || !bit(entry, 179) || !config.has_aarch64_tables() {
        return true;
    }
    let (updates_dirty, updates_access) = (bit(entry, 183), bit(entry, 184));
    // S2S, S2HAFT, S2ENDI.
    if bit(entry, 185)
        || updates_access && config.hardware_updates() < 1
        || updates_dirty && config.hardware_updates() < 2
        || bit(entry, 187) && !updates_access && config.hardware_updates() == 3
        || !config.has_endianness(bit(entry, 180))
    {
        return true;
    }
    match Walk::of(entry, config) {
        Some(walk) => !walk.is_consistent() || walk.is_table_out_of_range(entry, config),
        None => true,
    }
}

const fn has_too_long_vmid(entry: &Entry, config: &Config) -> bool {
    let is_ignored = kind(entry) & 0b11 == 0 || !is_of_el1(entry, config) || !config.has_stage_2();
    !is_ignored && !config.has_vmid16() && field(entry, 136, 8) != 0
}

/// How stage-2 tables are walked: the fields that S2T0SZ, S2SL0, S2TG and S2DS make.
struct Walk {
    /// Bits of an input address.
    input_bits: u32,
    /// The level of the first table, 0 to 3. A walk from a level -1 has none here.
    level: u32,
    /// Log2 of the bytes of a granule.
    granule: u32,
    /// S2DS counts: addresses of 52 bits with small granules.
    is_52: bool,
    /// OAS.
    address_bits: u32,
}

impl Walk {
    /// Takes the fields apart; `None` for a value that is reserved or out of its range.
    const fn of(entry: &Entry, config: &Config) -> Option<Self> {
        let granule = match field(entry, 174, 2) {
            0b00 => 12,
            0b01 => 16,
            0b10 => 14,
            _ => return None,
        };
        if !config.has_granule(granule) {
            return None;
        }
        let has_ds = config.has_52_bits();
        let is_52 = has_ds && bit(entry, 195) && granule != 16;
        let t0sz = field(entry, 160, 6) as u32;
        let most = match (config.has_small_tables(), granule) {
            (true, 16) => 47,
            (true, _) => 48,
            (false, _) => 39,
        };
        let architecture = if granule == 16 || is_52 { 12 } else { 16 };
        let of_device = 64 - config.input_bits();
        let least = if architecture > of_device { architecture } else { of_device };
        if t0sz < least || t0sz > most {
            return None;
        }
        // S2SL0_2 is reserved without S2DS.
        let is_level_minus_1 = is_52 && bit(entry, 194);
        let level = match (granule, field(entry, 166, 2)) {
            _ if is_level_minus_1 => return None,
            (12, 3) if config.has_small_tables() => 3,
            (12, 3) => return None,
            (12, sl0) => 2 - sl0 as u32,
            (14, 3) if !is_52 => return None,
            (16, 3) => return None,
            (_, sl0) => 3 - sl0 as u32,
        };
        let (input_bits, address_bits) = (64 - t0sz, config.address_bits());
        Some(Self { input_bits, level, granule, is_52, address_bits })
    }

    /// Returns whether the first level fits the input size: at least one bit of the input indexes its
    /// table, and at most 16 tables lie one behind the other. The highest levels need a device with the
    /// addresses for them.
    const fn is_consistent(&self) -> bool {
        let step = self.granule - 3;
        let entry_bits = self.granule + step * (3 - self.level);
        let needs_more_than = match (self.granule, self.level) {
            (12, 0) | (16, 1) => 42,
            (14, 1) => 40,
            (16, 0) => return false,
            _ => 0,
        };
        self.input_bits > entry_bits
            && self.input_bits <= entry_bits + step + 4
            && self.address_bits > needs_more_than
    }

    /// Returns whether S2TTB lies outside of what S2PS and OAS say, or of 48 bits with small granules.
    const fn is_table_out_of_range(&self, entry: &Entry, config: &Config) -> bool {
        let table = entry[3] & S2TTB;
        let size = config.physical_bits(field(entry, 176, 3) as usize);
        let bits = if size < self.address_bits { size } else { self.address_bits };
        table >> bits != 0 || self.granule < 16 && !self.is_52 && table >> 48 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: u64 = 1;
    const BYPASS: u64 = 0b1001;
    const STAGE_1: u64 = 0b1011;
    const STAGE_2: u64 = 0b1101;
    const NESTED: u64 = 0b1111;

    /// A stage-2 entry: an input of 39 bits from level 1, an output of 40, granules of 4 KiB.
    const GOOD: Entry = stage_2(25, 1, 2, 0x8020_0000);

    const fn stage_2(t0sz: u64, sl0: u64, ps: u64, table: u64) -> Entry {
        let third = t0sz << 32 | sl0 << 38 | ps << 48 | 1 << 51 | 1 << 58;
        [STAGE_2, 0, third, table, 0, 0, 0, 0]
    }

    const fn with(mut entry: Entry, at: u32, value: u64) -> Entry {
        entry[at as usize / 64] |= value << (at % 64);
        entry
    }

    fn legal(entry: Entry) -> bool {
        !is_illegal(&entry, &Config::default())
    }

    #[test]
    fn nothing_else_counts_in_an_entry_that_aborts() {
        assert!(legal([VALID, !0, !0, !0, !0, !0, !0, !0]));
        assert!(legal([BYPASS, 0, !0, !0, 0, 0, 0, 0]), "stage 2 is off");
    }

    #[test]
    fn a_realm_entry_has_tables_of_aarch64_at_stage_2() {
        assert!(legal(GOOD));
        let mut entry = GOOD;
        entry[2] &= !(1 << 51);
        assert!(!legal(entry), "S2AA64 = 0");
        let aarch32 = Config { idr0: Config::default().idr0 | 1 << 2, ..Config::default() };
        assert!(is_illegal(&entry, &aarch32), "not even where there are tables of AArch32");
        let only_aarch32 = Config { idr0: aarch32.idr0 & !(1 << 3), ..aarch32 };
        assert!(is_illegal(&GOOD, &only_aarch32));
    }

    #[test]
    fn the_input_size_is_bounded_by_architecture_and_device() {
        for (bits, t0sz, sl0, is_legal) in [
            (48, 16, 2, true),
            (48, 15, 2, false),
            (44, 20, 2, true),
            (44, 19, 2, false),
            (40, 24, 1, true),
            (40, 23, 1, false),
            (32, 32, 1, true),
            (32, 31, 1, false),
            (52, 12, 2, false),
            (48, 39, 0, true),
            (48, 40, 0, false),
        ] {
            let config = Config::default().with_address_bits(bits);
            let entry = stage_2(t0sz, sl0, 0, 0x8020_0000);
            assert_eq!(!is_illegal(&entry, &config), is_legal, "{bits} bits, T0SZ {t0sz}");
        }
        // The input of AArch32 has 40 bits, whatever the output has.
        let mut config = Config::default().with_address_bits(32);
        config.idr0 |= 1 << 2;
        assert!(!is_illegal(&stage_2(24, 1, 0, 0x8020_0000), &config));
        let small = Config { idr3: Config::default().idr3 | 1 << 9, ..Config::default() };
        assert!(!is_illegal(&stage_2(43, 3, 0, 0x8020_0000), &small), "small tables");
        assert!(is_illegal(&stage_2(49, 3, 0, 0x8020_0000), &small));
    }

    #[test]
    fn the_first_level_fits_the_input_size() {
        // Bits of the input by SL0: at least 1 and at most 13 index the first table.
        for (sl0, least, most) in [(0, 22, 34), (1, 31, 43), (2, 40, 48)] {
            for bits in 25..=48 {
                let entry = stage_2(64 - bits, sl0, 5, 0x8020_0000);
                let fits = (least..=most).contains(&bits);
                assert_eq!(legal(entry), fits, "SL0 {sl0}, {bits} bits");
            }
        }
        assert!(!legal(stage_2(25, 3, 2, 0x8020_0000)), "SL0 3");
        // Level 0 needs addresses of more than 42 bits.
        for (bits, is_legal) in [(42, false), (44, true)] {
            let config = Config::default().with_address_bits(bits);
            let entry = stage_2(22, 2, 3, 0x8020_0000);
            assert_eq!(!is_illegal(&entry, &config), is_legal, "{bits} bits");
        }
    }

    #[test]
    fn the_first_table_lies_within_the_output_size() {
        assert!(legal(stage_2(25, 1, 0, 0xFFFF_F000)));
        assert!(!legal(stage_2(25, 1, 0, 1 << 32)), "above S2PS");
        assert!(legal(stage_2(25, 1, 1, 1 << 32)));
        assert!(legal(stage_2(25, 1, 6, 1 << 47)), "S2PS is capped by OAS");
        assert!(!legal(stage_2(25, 1, 6, 1 << 48)), "above OAS");
        let large = Config::default().with_address_bits(52);
        assert!(is_illegal(&stage_2(25, 1, 6, 1 << 48), &large), "above 48 bits, no S2DS");
    }

    #[test]
    fn granules_are_those_of_the_device() {
        let of_4k = Config { idr5: 0x15, ..Config::default() };
        for (granule, is_legal, has_it) in [(1, true, false), (2, true, false), (3, false, false)] {
            // 42 bits from level 2, or 36 from level 2 with 16 KiB.
            let entry = with(stage_2(28, 1, 5, 0x8020_0000), 174, granule);
            assert_eq!(legal(entry), is_legal, "S2TG {granule}");
            assert_eq!(!is_illegal(&entry, &of_4k), has_it, "S2TG {granule}");
        }
    }

    #[test]
    fn vmids_have_the_bits_of_the_device() {
        let of_8 = Config::default().with_vmids_of_8_bits();
        for (entry, vmid, is_illegal_there) in [
            (GOOD, 0xFF, false),
            (GOOD, 0x100, true),
            ([NESTED, GOOD[1], GOOD[2], GOOD[3], 0, 0, 0, 0], 0x8000, true),
            ([STAGE_1, 0, 0, 0, 0, 0, 0, 0], 0x100, true),
            // A stream of EL2 has none.
            (with([STAGE_1, 0, 0, 0, 0, 0, 0, 0], 94, 2), 0x100, false),
            ([BYPASS, 0, 0, 0, 0, 0, 0, 0], 0x100, false),
        ] {
            let entry = with(entry, 128, vmid);
            assert!(legal(entry), "{entry:x?}");
            assert_eq!(is_illegal(&entry, &of_8), is_illegal_there, "{entry:x?}");
        }
    }

    #[test]
    fn what_the_device_lacks_is_illegal() {
        let default = Config::default();
        let stage_1 = [STAGE_1, 0, 0, 0, 0, 0, 0, 0];
        let nested = [NESTED, GOOD[1], GOOD[2], GOOD[3], 0, 0, 0, 0];
        assert!(legal(stage_1) && legal(nested));
        let without_2 = default.clone().without_stage_2();
        assert!(is_illegal(&GOOD, &without_2) && is_illegal(&nested, &without_2));
        assert!(!is_illegal(&stage_1, &without_2));
        let without_1 = default.clone().without_stage_1();
        assert!(is_illegal(&stage_1, &without_1) && is_illegal(&nested, &without_1));
        assert!(!is_illegal(&GOOD, &without_1));
        // S2HD, S2HA, S2ENDI.
        for at in [183, 184, 180] {
            assert!(!legal(with(GOOD, at, 1)), "bit {at}");
        }
        let updating = Config { idr0: default.idr0 | 2 << 6, ..default.clone() };
        assert!(!is_illegal(&with(with(GOOD, 183, 1), 184, 1), &updating));
        // S1CDMax above SSIDSIZE; two-level CD tables; a context pointer above OAS.
        assert!(legal(with(stage_1, 59, 20)) && !legal(with(stage_1, 59, 21)));
        let linear = Config { idr0: default.idr0 & !(1 << 19), ..default };
        let two_level = with(with(stage_1, 59, 20), 4, 1);
        assert!(legal(two_level) && is_illegal(&two_level, &linear));
        assert!(legal(with(stage_1, 47, 1)) && !legal(with(stage_1, 48, 1)));
    }

    #[test]
    fn what_a_realm_stream_cannot_do_is_illegal() {
        let stage_1 = [STAGE_1, 0, 0, 0, 0, 0, 0, 0];
        assert!(!legal(with(GOOD, 185, 1)), "S2S");
        assert!(!legal(with(stage_1, 91, 1)), "S1STALLD");
        assert!(!legal(with(stage_1, 94, 1)), "STRW 1");
        assert!(legal(with(stage_1, 94, 2)), "STRW 2");
        assert!(!legal(with(GOOD, 92, 2)), "split-stage ATS without both stages");
        assert!(legal(with(GOOD, 92, 1)));
    }
}
