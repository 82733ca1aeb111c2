// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device takes, at each of its bounds, against numbers that are written down here once more.

use psmmu::Limits;
use psmmu::registers::address_bits;
use psmmu::{Stage2, StreamTableEntry, Translation};

/// Limits of a device with 52 bits of address.
const WIDE: Limits = Limits { output_bits: 52, input_bits: 52, has_vmid16: true };

const GOOD: Stage2 = Stage2 { table: 0, vmid: 1, t0sz: 25, sl0: 1, ps: 6 };

#[test]
fn each_value_of_oas_is_its_number_of_bits() {
    // IHI 0070, 6.3.6: OAS. All other bits of IDR5 are ignored.
    for (oas, bits) in (0..).zip([32, 36, 40, 42, 44, 48, 52, 56]) {
        assert_eq!(address_bits(oas), bits);
        assert_eq!(address_bits(oas | !7), bits);
    }
}

#[test]
fn a_stage_2_is_valid_for_exactly_the_sizes_of_each_start_level() {
    for t0sz in 0..=u8::MAX {
        for sl0 in 0..=4 {
            for ps in 0..=8 {
                // Up to 16 tables of 512 entries; an entry maps 2 MiB, 1 GiB, 512 GiB.
                let sizes = match sl0 {
                    0 => 25..=34,
                    1 => 31..=43,
                    2 => 40..=48,
                    _ => 0..=0,
                };
                let valid = t0sz < 64 && ps <= 6 && sizes.contains(&(64 - u32::from(t0sz)));
                let stage_2 = Stage2 { t0sz, sl0, ps, ..GOOD };
                assert_eq!(stage_2.is_valid(&WIDE), valid, "{stage_2:?}");
            }
        }
    }
}

#[test]
fn a_first_table_is_aligned_to_its_size_and_to_64_bytes() {
    // Bits of the input that index it, from level 1: 1 to 13.
    for (index_bits, align) in (1..)
        .zip([64, 64, 64, 128, 256, 512, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000, 0x1_0000])
    {
        let at = |table| Stage2 { table, t0sz: 64 - 30 - index_bits, ..GOOD }.is_valid(&WIDE);
        assert!(at(align) && at(0x4020_0000 + align), "{index_bits}");
        for bit in 0..align.trailing_zeros() {
            assert!(!at(0x4020_0000 | 1 << bit), "{index_bits}: bit {bit}");
        }
    }
}

#[test]
fn a_first_table_lies_below_its_output_size_and_48_bits() {
    for (ps, bits) in (0..).zip([32, 36, 40, 42, 44, 48, 48]) {
        let at = |bit: u32| Stage2 { table: 1 << bit, ps, ..GOOD }.is_valid(&WIDE);
        assert!(at(bits - 1) && !at(bits), "{ps}");
    }
}

#[test]
fn sizes_and_vmids_beyond_the_device_are_refused() {
    let narrow = Limits { output_bits: 40, input_bits: 41, has_vmid16: false };
    let taken = |stage_2: Stage2| stage_2.is_valid(&narrow);
    let good = Stage2 { ps: 2, ..GOOD };
    assert!(taken(good) && !taken(Stage2 { ps: 3, ..good }));
    assert!(taken(Stage2 { t0sz: 64 - 41, ..good }) && !taken(Stage2 { t0sz: 64 - 42, ..good }));
    assert!(taken(Stage2 { vmid: 255, ..good }) && !taken(Stage2 { vmid: 256, ..good }));
    // Level 0 only with more than 42 bits of address.
    for (output_bits, valid) in [(42, false), (43, true), (44, true)] {
        let limits = Limits { output_bits, ..WIDE };
        let from_0 = Stage2 { sl0: 2, t0sz: 64 - 41, ps: 3, ..GOOD };
        assert_eq!(from_0.is_valid(&limits), valid, "{output_bits}");
    }
}

#[test]
fn entries_are_equal_when_all_their_words_are() {
    let entry = |table, vmid| {
        // SAFETY: no device uses it.
        StreamTableEntry::stage_2(unsafe { Translation::new(Stage2 { table, vmid, ..GOOD }) })
    };
    assert_eq!(entry(0x4020_0000, 1), entry(0x4020_0000, 1));
    assert_ne!(entry(0x4020_0000, 1), entry(0x4020_0000, 2));
    assert_ne!(entry(0x4020_0000, 1), entry(0x4021_0000, 1));
    // The same bit differs in two words.
    assert_ne!(entry(0x4020_0000, 0), entry(0x4020_1000, 0x1000));
    assert_ne!(StreamTableEntry::ABORT, StreamTableEntry::INVALID);
}
