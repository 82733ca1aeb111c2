// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stream table: which event a StreamID gives.

use smmu_model::{
    Class, Command, Config, EventNumber, Kind, Outcome, Record, Register, Smmu, Step, Transaction,
    Walk,
};

use crate::rig::{LEVEL_2, NOWHERE, Rig, STAGE_2, Sizes, TABLE};

const SIZES: Sizes = Sizes { commands: 4, events: 2, pages: 2 };

fn entry(words: [u64; 8]) -> Rig {
    let rig = Rig::up();
    put(&rig.smmu, TABLE + 8 * 64, words);
    rig
}

fn put(smmu: &Smmu, address: u64, words: [u64; 8]) {
    for (word, value) in words.into_iter().enumerate() {
        smmu.device().store(address + 8 * word as u64, value);
    }
}

fn read(rig: &Rig, stream: u32) -> Outcome {
    rig.device().transaction(&Transaction::read(stream, 0x1234_5678))
}

/// A stage-1 entry with this S1CDMax and S1DSS.
fn stage_1(substream_bits: u64, without: u64) -> [u64; 8] {
    [0b1011 | substream_bits << 59, without, 0, 0, 0, 0, 0, 0]
}

#[test]
fn an_invalid_ste_gives_c_bad_ste_and_an_aborting_one_nothing() {
    let rig = entry([0; 8]);
    assert_eq!(read(&rig, 8), Outcome::Recorded(Record::bad_ste(8)));
    assert_eq!(rig.device().queued_records(), [Record::bad_ste(8)]);
    let rig = entry([1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read(&rig, 8), Outcome::Aborted);
    // With Config = 0 nothing else is read.
    let rig = entry([0b111, u64::MAX, u64::MAX, 0, 0, 0, 0, 0]);
    assert_eq!(read(&rig, 8), Outcome::Aborted);
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_bypassing_entry_lets_everything_through() {
    let rig = entry([0b1001, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read(&rig, 8), Outcome::Bypassed);
}

#[test]
fn stage_2_gives_the_fault_that_the_walk_ends_with() {
    for (walk, number) in [
        (Walk::NoTranslation, EventNumber::Translation),
        (Walk::AddressSize, EventNumber::AddrSize),
        (Walk::Access, EventNumber::Access),
        (Walk::Permission, EventNumber::Permission),
    ] {
        let rig = Rig::up();
        let transaction = Transaction::read(8, 0x1234_5678).with(walk);
        let expected =
            Record::new(number, 8).stage_2(Class::Input).read().input(0x1234_5678).ipa(0x1234_5000);
        let outcome = rig.device().transaction(&transaction);
        assert_eq!(outcome, Outcome::Recorded(expected));
    }
    let transaction = Transaction::read(8, 0x1234_5678).with(Walk::Translates);
    assert_eq!(Rig::up().device().transaction(&transaction), Outcome::Translated);
}

#[test]
fn stage_2_without_s2r_records_nothing() {
    let mut words = STAGE_2;
    words[2] &= !(1 << 58);
    assert_eq!(read(&entry(words), 8), Outcome::Aborted);
}

#[test]
fn entries_that_stall_are_illegal_on_the_realm_side() {
    let mut words = STAGE_2;
    words[2] |= 1 << 57;
    assert_eq!(read(&entry(words), 8), Outcome::Recorded(Record::bad_ste(8)), "S2S");
    let mut words = stage_1(0, 0);
    words[1] |= 1 << 27;
    assert_eq!(read(&entry(words), 8), Outcome::Recorded(Record::bad_ste(8)), "S1STALLD");
}

#[test]
fn stage_2_needs_tables_of_aarch64() {
    let mut words = STAGE_2;
    words[2] &= !(1 << 51);
    assert_eq!(read(&entry(words), 8), Outcome::Recorded(Record::bad_ste(8)));
}

#[test]
fn streams_outside_the_table_are_recorded_if_recinvsid_says_so() {
    let rig = Rig::up();
    assert_eq!(read(&rig, 16), Outcome::Recorded(Record::bad_stream_id(16)));
    rig.write(Register::Cr0, 0xEu32);
    rig.write(Register::Cr2, 0u32);
    rig.write(Register::Cr0, 0xFu32);
    assert_eq!(read(&rig, 16), Outcome::Aborted);
}

#[test]
fn a_table_that_cannot_be_read_gives_f_ste_fetch() {
    let rig = Rig::up();
    rig.table.abort_accesses(true);
    let expected = Record::ste_fetch(8, TABLE + 8 * 64);
    assert_eq!(read(&rig, 8), Outcome::Recorded(expected));
}

#[test]
fn with_smmuen_clear_all_but_ats_is_aborted_silently() {
    let rig = Rig::up();
    rig.write(Register::Cr0, 0xEu32);
    assert_eq!(read(&rig, 8), Outcome::Aborted);
    let ats = |kind| {
        let outcome = rig.device().transaction(&Transaction::read(8, 0x1234).by(kind));
        match outcome {
            Outcome::Recorded(record) => record.number(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ats(Kind::AtsRequest), EventNumber::BadAtsTreq as u8);
    assert_eq!(ats(Kind::AtsTranslated), EventNumber::TranslForbidden as u8);
}

#[test]
fn ats_needs_eats() {
    let rig = Rig::up();
    let number =
        |rig: &Rig, kind| match rig.device().transaction(&Transaction::read(8, 0x1234).by(kind)) {
            Outcome::Recorded(record) => record.number(),
            _ => 0,
        };
    assert_eq!(number(&rig, Kind::AtsRequest), EventNumber::BadAtsTreq as u8);
    assert_eq!(number(&rig, Kind::AtsTranslated), EventNumber::TranslForbidden as u8);
    let mut words = STAGE_2;
    words[1] |= 1 << 28;
    let rig = entry(words);
    assert_eq!(number(&rig, Kind::AtsRequest), 0, "the answer says what is missing");
    assert_eq!(number(&rig, Kind::AtsTranslated), 0);
}

#[test]
fn substreams_need_stage_1_and_a_place_in_its_table() {
    let bad = |rig: &Rig, substream| {
        let transaction = Transaction::read(8, 0).of(substream);
        match rig.device().transaction(&transaction) {
            Outcome::Recorded(record) => record.number(),
            _ => 0,
        }
    };
    let bad_substream = EventNumber::BadSubstreamId as u8;
    assert_eq!(bad(&Rig::up(), 1), bad_substream, "stage 2 only");
    assert_eq!(bad(&entry(stage_1(0, 0)), 1), bad_substream, "no substreams");
    let rig = entry(stage_1(4, 2));
    assert_eq!(bad(&rig, 16), bad_substream);
    assert_eq!(bad(&rig, 15), EventNumber::Translation as u8);
    assert_eq!(bad(&rig, 0), EventNumber::StreamDisabled as u8, "S1DSS = 2");
}

#[test]
fn a_stream_that_needs_substreams_is_disabled_without_one() {
    let disabled = Record::new(EventNumber::StreamDisabled, 8);
    assert_eq!(read(&entry(stage_1(4, 0)), 8), Outcome::Recorded(disabled));
    assert_eq!(read(&entry(stage_1(4, 1)), 8), Outcome::Bypassed);
    let expected = Record::translation(8).class(Class::Input).read().input(0x1234_5678);
    assert_eq!(read(&entry(stage_1(4, 2)), 8), Outcome::Recorded(expected));
    assert_eq!(read(&entry(stage_1(0, 0)), 8), Outcome::Recorded(expected));
}

#[test]
fn flags_of_a_transaction_are_in_its_record() {
    let rig = Rig::up();
    let transaction =
        Transaction { privileged: true, instruction: true, ..Transaction::read(8, 0x1000) };
    let expected = Record::stage_2_write(8, 0x1000).privileged().instruction();
    assert_eq!(rig.device().transaction(&transaction), Outcome::Recorded(expected));
    let transaction = Transaction::write(8, 0x1000);
    let expected = Record::stage_2_write(8, 0x1000);
    assert_eq!(rig.device().transaction(&transaction), Outcome::Recorded(expected));
}

/// A two-level table with this STRTAB_BASE_CFG.SPLIT, LOG2SIZE 12, and `descriptor` for the first
/// streams; its level-2 table has 64 stage-2 entries.
fn two_level(split: u32, descriptor: u64) -> Rig {
    let rig = Rig::with(Config::default(), SIZES);
    let level_1 = rig.smmu.memory().region(0x9000_0000, 64);
    let _level_2 = rig.smmu.memory().region(LEVEL_2, 8 << 6);
    for stream in 0..64 {
        put(&rig.smmu, LEVEL_2 + 64 * stream, STAGE_2);
    }
    rig.device().store(level_1.address(), descriptor);
    rig.program();
    rig.write(Register::StrtabBase, level_1.address());
    rig.write(Register::StrtabBaseCfg, 1 << 16 | split << 6 | 12);
    rig.write(Register::Cr0, 0xEu32);
    rig.issue(&[
        Command::CfgiAll,
        Command::tlbi(smmu_model::TlbiOperation::NsnhAll),
        Command::SYNC,
    ]);
    rig.write(Register::Cr0, 0xFu32);
    rig
}

fn is_bad_stream(rig: &Rig, stream: u32) -> bool {
    read(rig, stream) == Outcome::Recorded(Record::bad_stream_id(stream))
}

#[test]
fn a_span_covers_half_of_two_to_its_power() {
    let rig = two_level(6, LEVEL_2 | 7);
    assert!(!is_bad_stream(&rig, 0) && !is_bad_stream(&rig, 63));
    assert!(is_bad_stream(&rig, 64), "the next descriptor has no table");
    assert!(is_bad_stream(&rig, 1 << 12), "above LOG2SIZE");
    let rig = two_level(6, LEVEL_2 | 3);
    assert!(!is_bad_stream(&rig, 3) && is_bad_stream(&rig, 4));
}

#[test]
fn spans_that_mean_nothing_are_no_tables() {
    for span in [0, 8, 11, 12, 31] {
        assert!(is_bad_stream(&two_level(6, LEVEL_2 | span), 0), "span {span}");
    }
}

#[test]
fn a_split_that_means_nothing_acts_as_6() {
    for (split, has_more) in [(6, false), (8, true), (7, false), (0, false)] {
        let rig = two_level(split, LEVEL_2 | 7);
        // With SPLIT 8 the first descriptor covers 256 streams, 64 of which have entries.
        let has_table = read(&rig, 64) == read(&rig, 65);
        assert!(!has_table || has_more || is_bad_stream(&rig, 64), "split {split}");
        assert!(!is_bad_stream(&rig, 5), "split {split}");
    }
    let rig = two_level(8, LEVEL_2 | 9);
    assert!(!is_bad_stream(&rig, 63));
    let rig = two_level(6, LEVEL_2 | 9);
    assert!(is_bad_stream(&rig, 63), "a span above SPLIT + 1");
}

#[test]
fn a_level_2_table_that_cannot_be_read_gives_f_ste_fetch() {
    let rig = two_level(6, NOWHERE | 7);
    assert_eq!(read(&rig, 1), Outcome::Recorded(Record::ste_fetch(1, NOWHERE + 64)));
}

#[test]
fn entries_are_cached_until_an_invalidation_is_synchronized() {
    let rig = Rig::up();
    assert!(matches!(read(&rig, 8), Outcome::Recorded(record) if record.number() == 0x10));
    rig.table.store(8 * 8, 1);
    rig.smmu.write_barrier();
    assert!(matches!(read(&rig, 8), Outcome::Recorded(_)), "still cached");
    rig.issue(&[Command::CfgiSte { stream: 8, leaf: true }]);
    assert!(matches!(read(&rig, 8), Outcome::Recorded(_)), "not sure without a CMD_SYNC");
    rig.issue(&[Command::SYNC]);
    assert_eq!(read(&rig, 8), Outcome::Aborted);
    // Back to what it was, with the range that holds 8 and 9.
    rig.table.store(8 * 8, STAGE_2[0]);
    rig.smmu.write_barrier();
    rig.issue(&[Command::CfgiSteRange { stream: 9, range: 0 }, Command::SYNC]);
    assert!(matches!(read(&rig, 8), Outcome::Recorded(_)));
}

#[test]
fn a_level_1_descriptor_stays_cached_after_a_leaf_invalidation() {
    let rig = two_level(6, 0);
    assert!(is_bad_stream(&rig, 0));
    rig.device().store(0x9000_0000, LEVEL_2 | 7);
    rig.issue(&[Command::CfgiSte { stream: 0, leaf: true }, Command::SYNC]);
    assert!(is_bad_stream(&rig, 0));
    rig.issue(&[Command::CfgiSte { stream: 0, leaf: false }, Command::SYNC]);
    assert!(!is_bad_stream(&rig, 0));
}

#[test]
fn an_invalid_entry_is_cached_too() {
    let rig = entry([0; 8]);
    let _ = read(&rig, 8);
    put(&rig.smmu, TABLE + 8 * 64, STAGE_2);
    assert_eq!(read(&rig, 8), Outcome::Recorded(Record::bad_ste(8)));
    rig.device().invalidate_configuration();
    assert_ne!(read(&rig, 8), Outcome::Recorded(Record::bad_ste(8)));
    rig.device().cache_configuration(false);
    let _ = read(&rig, 8);
    put(&rig.smmu, TABLE + 8 * 64, [0; 8]);
    assert_eq!(read(&rig, 8), Outcome::Recorded(Record::bad_ste(8)));
}

#[test]
fn a_sync_waits_for_records_of_terminated_transactions() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    for stream in [8, 9] {
        let _ = read(&rig, stream);
    }
    rig.issue(&[Command::CfgiSte { stream: 8, leaf: true }, Command::SYNC]);
    rig.device().step(Step::RunCommand);
    rig.device().step(Step::RunCommand);
    let streams: Vec<_> = rig.device().queued_records().iter().map(Record::stream).collect();
    assert_eq!(streams, [8], "no more of this stream will come");
    assert!(rig.device().steps().contains(&Step::DeliverRecord(0)));
}
