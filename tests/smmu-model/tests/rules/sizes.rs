// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices of all sizes: StreamIDs, addresses, queues.

use smmu_model::{Command, Config, Enable, Outcome, Record, Register, TlbiOperation, Violation};

use crate::rig::{EVENTS, LEVEL_2, Rig, STAGE_2, Sizes, TABLE};

const SIZES: Sizes = Sizes { commands: 4, events: 2, pages: 2 };

/// Makes a device that is up on a table with this base and configuration.
fn on_table(config: Config, base: u64, cfg: u32) -> Rig {
    let rig = Rig::with(config, SIZES);
    rig.program();
    rig.write(Register::StrtabBase, base);
    rig.write(Register::StrtabBaseCfg, cfg);
    rig.write(Register::Cr0, 0xEu32);
    rig.issue(&[Command::CfgiAll, Command::tlbi(TlbiOperation::NsnhAll), Command::SYNC]);
    rig.write(Register::Cr0, 0xFu32);
    rig
}

fn is_bad_stream(rig: &Rig, stream: u32) -> bool {
    rig.touch(stream) == Outcome::Recorded(Record::bad_stream_id(stream))
}

#[test]
fn a_device_of_one_stream_has_a_table_of_one_entry() {
    let config = Config::default().with_stream_bits(0);
    let rig = on_table(config.clone(), TABLE, 0);
    assert_eq!(rig.read32(Register::NsIdr1) & 0x3F, 0);
    assert_eq!(rig.touch(0), Outcome::Recorded(Record::bad_ste(0)));
    assert!(is_bad_stream(&rig, 1));

    // A size above SIDSIZE acts as SIDSIZE.
    let rig = on_table(config, TABLE, 1);
    assert_eq!(rig.touch(0), Outcome::Recorded(Record::bad_ste(0)));
    assert!(is_bad_stream(&rig, 1));
}

#[test]
fn a_stream_table_above_sidsize_is_aligned_as_written() {
    let config = Config::default().with_stream_bits(3);
    // 2^4 entries as written take 1 KiB, 2^3 that can be reached take 512 bytes.
    for (cfg, bytes) in [(4, 0x400), (5, 0x800), (1 << 16 | 6 << 6 | 10_u32, 0x80)] {
        let rig = Rig::with(config.clone(), SIZES);
        rig.program();
        rig.write(Register::StrtabBase, TABLE + bytes / 2);
        rig.write(Register::StrtabBaseCfg, cfg);
        rig.write(Register::Cr0, 0xEu32);
        rig.issue(&[Command::CfgiAll, Command::tlbi(TlbiOperation::NsnhAll), Command::SYNC]);
        let violations = rig.violations(|rig| rig.write(Register::Cr0, 0xFu32));
        let (register, address) = (Register::StrtabBase, TABLE + bytes / 2);
        let misaligned = Violation::MisalignedBase { register, address, alignment: bytes };
        assert_eq!(violations, [misaligned], "{cfg:#x}");
    }
}

#[test]
fn all_sizes_of_streamids_are_found_in_two_levels() {
    for bits in 0..=32 {
        for split in [6, 8, 10] {
            let config = Config::default().with_stream_bits(bits);
            let base = 0x40_0000_0000;
            let rig = on_table(config, base, 1 << 16 | split << 6 | bits);
            let last = ((1_u64 << bits) - 1) as u32;
            let span = bits.min(6) + 1;
            // One descriptor and one entry are enough: the device reads nothing else.
            let from = base + u64::from(last >> split) * 8;
            let index = u64::from(last & ((1 << (span - 1)) - 1));
            let descriptor = rig.smmu.memory().region(from, 1);
            let entry = rig.smmu.memory().region(LEVEL_2 + index * 64, 8);
            rig.store_entry(&entry, 0, STAGE_2);
            rig.smmu.write_barrier();
            rig.publish(&descriptor, 0, LEVEL_2 | u64::from(span));
            // Without an entry for the last stream of its descriptor, the last one there.
            let stream = last >> split << split | index as u32;
            assert!(rig.device().translate(stream, 0) == Outcome::Translated, "{bits}, {split}");
            if bits < 32 {
                assert!(is_bad_stream(&rig, last + 1), "{bits}, {split}");
            }
        }
    }
}

#[test]
fn queues_of_all_limits_are_of_use() {
    for (commands, events, pages) in [(1, 0, 0), (19, 0, 7), (2, 19, 1), (5, 3, 19), (3, 11, 13)] {
        let config = Config::default().with_queue_limits(commands, events, pages);
        let sizes = Sizes { commands: commands.min(4), events: events.min(2), pages: pages.min(2) };
        let rig = Rig::with(config, sizes);
        rig.program();
        rig.write(Register::Cr0, 0xEu32);
        rig.issue(&[Command::CfgiAll]);
        rig.issue(&[Command::tlbi(TlbiOperation::NsnhAll)]);
        rig.issue(&[Command::SYNC]);
        rig.write(Register::Cr0, 0xFu32);
        rig.fault(0x1000);
        assert_eq!(rig.drain(), [0x1000], "{commands}, {events}, {pages}");
    }
}

#[test]
fn limits_above_those_of_the_architecture_act_as_them() {
    let config = Config { idr1: 0x1F << 21 | 0x1F << 16 | 0x1F << 11 | 0x3F, ..Config::default() };
    let rig = Rig::with(config, SIZES);
    rig.program();
    rig.write(Register::EventqBase, EVENTS | 0x1F);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, Enable::Eventq.bits()));
    let register = Register::EventqBase;
    assert!(violations.contains(&Violation::SizeAboveLimit { register, log2: 0x1F, limit: 19 }));
}

#[test]
fn the_size_of_addresses_is_read_from_the_non_secure_page() {
    use smmu_model::Page;

    for (bits, oas) in [(32, 0), (48, 5), (52, 6), (56, 7)] {
        let rig = Rig::with(Config::default().with_address_bits(bits), SIZES);
        assert_eq!(rig.smmu.read32(Page::NonSecure0, 0x14) & 7, oas);
    }
}
