// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes of stream tables that the device may read at any time.

use smmu_model::{Command, Outcome, Record, Region, Register, Violation};

use crate::rig::{LEVEL_1, LEVEL_2, Rig, SPAN, STAGE_2, TABLE, TRANSLATION_TABLE, stage_2};

const NEW: [u64; 8] = stage_2(7, TRANSLATION_TABLE);
/// The address of the third and the fourth word of the entry of stream 5.
const THIRD: u64 = LEVEL_2 + 5 * 64 + 16;
const FOURTH: u64 = THIRD + 8;

const CFGI_5: Command = Command::CfgiSte { stream: 5, leaf: true };

/// Writes the words of the entry of stream 5 behind the first.
fn fill(level_2: &Region, words: [u64; 8]) {
    for (word, value) in words.into_iter().enumerate().skip(1) {
        level_2.store(8 * 5 + word, value);
    }
}

fn is_translated(rig: &Rig, stream: u32) -> bool {
    rig.device().translate(stream, 0x1000) == Outcome::Translated
}

#[test]
fn an_entry_is_disabled_dropped_changed_and_enabled() {
    for first in [0, 1] {
        let (rig, _, level_2) = Rig::linked();
        rig.device().set_strict_entries(true);
        assert!(is_translated(&rig, 5));
        rig.publish(&level_2, 8 * 5, first);
        rig.issue(&[CFGI_5, Command::SYNC]);
        fill(&level_2, NEW);
        rig.smmu.write_barrier();
        rig.issue(&[CFGI_5, Command::SYNC]);
        assert!(!is_translated(&rig, 5), "words of an entry that aborts do not count");
        rig.publish(&level_2, 8 * 5, NEW[0]);
        assert!(!is_translated(&rig, 5), "it is cached as it was");
        rig.issue(&[CFGI_5, Command::SYNC]);
        assert!(is_translated(&rig, 5));
        assert!(rig.device().caches_table(TRANSLATION_TABLE));
    }
}

#[test]
fn an_enabled_entry_keeps_its_words() {
    let (rig, _, level_2) = Rig::linked();
    fill(&level_2, NEW);
    let violations = rig.violations(|rig| rig.smmu.write_barrier());
    let (stream, address) = (5, THIRD);
    assert_eq!(violations, [Violation::LiveEntryChanged { stream, address }]);
}

#[test]
fn an_entry_keeps_its_words_until_the_device_has_dropped_it() {
    let changed = |commands: &[Command]| {
        let (rig, _, level_2) = Rig::linked();
        rig.publish(&level_2, 8 * 5, 1);
        rig.issue(commands);
        fill(&level_2, NEW);
        rig.violations(|rig| rig.smmu.write_barrier())
    };
    let expected = [Violation::LiveEntryChanged { stream: 5, address: THIRD }];
    let other = Command::CfgiSte { stream: 6, leaf: true };
    assert_eq!(changed(&[]), expected);
    assert_eq!(changed(&[CFGI_5]), expected, "no CMD_SYNC");
    assert_eq!(changed(&[Command::SYNC, CFGI_5]), expected);
    assert_eq!(changed(&[other, Command::SYNC]), expected);
    assert_eq!(changed(&[CFGI_5, Command::SYNC]), []);
    assert_eq!(changed(&[Command::CfgiSteRange { stream: 4, range: 0 }, Command::SYNC]), []);
    assert_eq!(changed(&[Command::CfgiAll, Command::SYNC]), []);
}

#[test]
fn an_invalidation_ahead_of_the_disable_does_not_count() {
    let (rig, _, level_2) = Rig::linked();
    rig.issue(&[CFGI_5]);
    rig.publish(&level_2, 8 * 5, 1);
    rig.issue(&[Command::SYNC]);
    fill(&level_2, NEW);
    let violations = rig.violations(|rig| rig.smmu.write_barrier());
    assert!(matches!(violations[..], [Violation::LiveEntryChanged { stream: 5, .. }]));
}

#[test]
fn a_disable_and_a_change_are_not_one() {
    let (rig, _, level_2) = Rig::linked();
    level_2.store(8 * 5, 0);
    fill(&level_2, NEW);
    let violations = rig.violations(|rig| rig.smmu.write_barrier());
    assert_eq!(violations, [Violation::LiveEntryChanged { stream: 5, address: THIRD }]);
}

#[test]
fn an_entry_is_enabled_when_its_words_are_visible() {
    let (rig, _, level_2) = Rig::linked();
    rig.publish(&level_2, 8 * 5, 0);
    rig.issue(&[CFGI_5, Command::SYNC]);
    fill(&level_2, NEW);
    level_2.store(8 * 5, NEW[0]);
    let violations = rig.violations(|rig| rig.smmu.write_barrier());
    assert_eq!(violations, [Violation::EntryNotVisible { stream: 5, address: THIRD }]);
}

#[test]
fn a_strict_device_is_reported_before_an_entry_is_enabled() {
    let enabled = |strict: bool, commands: &[Command]| {
        let (rig, _, level_2) = Rig::linked();
        rig.device().set_strict_entries(strict);
        rig.publish(&level_2, 8 * 5, 0);
        rig.issue(&[CFGI_5, Command::SYNC]);
        fill(&level_2, NEW);
        rig.smmu.write_barrier();
        rig.issue(commands);
        level_2.store(8 * 5, NEW[0]);
        rig.violations(|rig| rig.smmu.write_barrier())
    };
    let address = LEVEL_2 + 5 * 64;
    let expected = [Violation::EntryNotInvalidated { stream: 5, address }];
    assert_eq!(enabled(true, &[]), expected);
    assert_eq!(enabled(true, &[CFGI_5]), expected);
    assert_eq!(enabled(true, &[CFGI_5, Command::SYNC]), []);
    assert_eq!(enabled(false, &[]), []);
}

#[test]
fn the_first_word_changes_at_any_time() {
    let (rig, _, level_2) = Rig::linked();
    rig.device().set_strict_entries(true);
    for first in [1, 0, STAGE_2[0], 0b1001, STAGE_2[0], 0b0011, STAGE_2[0]] {
        rig.publish(&level_2, 8 * 5, first);
    }
}

#[test]
fn the_words_of_an_aborting_entry_change_at_any_time() {
    let (rig, _, level_2) = Rig::linked();
    rig.publish(&level_2, 8 * 5, 1);
    rig.issue(&[CFGI_5, Command::SYNC]);
    for value in [u64::MAX, 0, 7] {
        rig.publish(&level_2, 8 * 5 + 3, value);
        assert_eq!(rig.touch(5), Outcome::Aborted);
    }
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_store_of_the_same_value_changes_nothing() {
    let (rig, _, level_2) = Rig::linked();
    rig.publish(&level_2, 8 * 5 + 2, STAGE_2[2]);
}

#[test]
fn a_linear_table_has_the_same_rules() {
    let rig = Rig::up();
    rig.table.store(8 * 9 + 3, TRANSLATION_TABLE);
    let violations = rig.violations(|rig| rig.smmu.write_barrier());
    let address = TABLE + 9 * 64 + 24;
    assert_eq!(violations, [Violation::LiveEntryChanged { stream: 9, address }]);
    // No entry is read while translation is off.
    rig.write(Register::Cr0, 0xEu32);
    rig.publish(&rig.table, 8 * 9 + 3, 0);
}

#[test]
fn stores_that_are_seen_at_once_are_judged_one_by_one() {
    let (rig, _, level_2) = Rig::linked();
    rig.device().hide_writes(true, false);
    level_2.store(8 * 5, 0);
    rig.issue(&[CFGI_5, Command::SYNC]);
    fill(&level_2, NEW);
    level_2.store(8 * 5, NEW[0]);
    let violations = rig.violations(|_| level_2.store(8 * 5 + 3, 0));
    assert_eq!(violations, [Violation::LiveEntryChanged { stream: 5, address: FOURTH }]);
}

#[test]
fn a_table_is_linked_when_its_entries_are_visible() {
    let (rig, level_1) = Rig::two_level();
    let level_2 = rig.smmu.memory().region(LEVEL_2, 8 << 6);
    rig.store_entry(&level_2, 5, NEW);
    level_1.store(0, LEVEL_2 | SPAN);
    let violations = rig.violations(|rig| rig.smmu.write_barrier());
    let (descriptor, address) = (LEVEL_1, LEVEL_2 + 5 * 64);
    assert_eq!(violations, [Violation::LinkedBeforeVisible { descriptor, address }]);
}

#[test]
fn entries_of_an_unlinked_table_are_written_in_any_order() {
    let (rig, level_1, level_2) = Rig::linked();
    let other = rig.smmu.memory().region(LEVEL_2 + 0x1000, 8 << 6);
    other.fill(u64::MAX);
    for index in 0..64 {
        rig.store_entry(&other, index, STAGE_2);
    }
    rig.smmu.write_barrier();
    rig.store_entry(&other, 3, NEW);
    rig.smmu.write_barrier();
    rig.publish(&level_1, 1, (LEVEL_2 + 0x1000) | SPAN);
    rig.issue(&[Command::CfgiSte { stream: 64, leaf: false }, Command::SYNC]);
    assert!(is_translated(&rig, 67) && is_translated(&rig, 3));
    assert_eq!(level_2.load(8), STAGE_2[0]);
}

#[test]
fn an_unlinked_table_keeps_its_entries_until_they_are_dropped() {
    let changed = |commands: &[Command]| {
        let (rig, level_1, level_2) = Rig::linked();
        rig.publish(&level_1, 0, 0);
        rig.issue(commands);
        fill(&level_2, NEW);
        rig.violations(|rig| rig.smmu.write_barrier())
    };
    let expected = [Violation::LiveEntryChanged { stream: 5, address: THIRD }];
    let first = Command::CfgiSte { stream: 0, leaf: false };
    assert_eq!(changed(&[]), expected);
    assert_eq!(changed(&[first, Command::SYNC]), expected);
    assert_eq!(changed(&[Command::CfgiSteRange { stream: 0, range: 5 }, Command::SYNC]), []);
}

#[test]
fn a_table_with_entries_that_may_be_cached_is_not_taken_back() {
    let (rig, level_1, level_2) = Rig::linked();
    rig.publish(&level_1, 0, 0);
    rig.issue(&[Command::CfgiSte { stream: 0, leaf: false }, Command::SYNC]);
    let violations = rig.violations(|_| level_2.take_back());
    let (address, from) = (LEVEL_2, LEVEL_2 + 64);
    assert_eq!(violations, [Violation::TakenBackCached { address, from }]);
}

#[test]
fn a_descriptor_is_in_use_until_invalidated_with_a_stream() {
    let relinked = |commands: &[Command]| {
        let (rig, level_1, _level_2) = Rig::linked();
        let _ = rig.touch(5);
        rig.publish(&level_1, 0, SPAN - 7);
        rig.issue(commands);
        rig.touch(6) == Outcome::Recorded(Record::bad_stream_id(6))
    };
    let drop = |stream, leaf| Command::CfgiSte { stream, leaf };
    assert!(!relinked(&[]));
    assert!(!relinked(&[drop(5, true), Command::SYNC]));
    assert!(!relinked(&[drop(64, false), Command::SYNC]), "the next descriptor");
    assert!(!relinked(&[drop(63, false)]));
    assert!(relinked(&[drop(63, false), Command::SYNC]));
    assert!(relinked(&[Command::CfgiAll, Command::SYNC]));
}

#[test]
fn the_device_reads_ahead_when_it_likes_or_is_asked() {
    let ahead = |action: fn(&Rig)| {
        let (rig, _, level_2) = Rig::linked();
        action(&rig);
        rig.publish(&level_2, 8 * 5, 1);
        rig.touch(5)
    };
    assert_eq!(ahead(|_| ()), Outcome::Aborted);
    assert!(matches!(ahead(|rig| rig.device().prefetch(5)), Outcome::Recorded(_)));
    let asked = ahead(|rig| rig.issue(&[Command::PrefetchConfig { stream: 5, substream: None }]));
    assert!(matches!(asked, Outcome::Recorded(_)));

    // What it may not find is not recorded, and a table is linked only where nothing was cached.
    let (rig, level_1) = Rig::two_level();
    rig.device().prefetch(70);
    assert_eq!(rig.used(), 0);
    let _level_2 = rig.smmu.memory().region(LEVEL_2, 8 << 6);
    rig.publish(&level_1, 1, LEVEL_2 | SPAN);
    assert_eq!(rig.touch(70), Outcome::Recorded(Record::bad_stream_id(70)));
}

#[test]
fn words_behind_the_level_1_table_link_nothing() {
    let (rig, level_1) = Rig::two_level();
    rig.publish(&level_1, 4, LEVEL_2 | SPAN);
    let level_2 = rig.smmu.memory().region(LEVEL_2, 8 << 6);
    level_2.take_back();
}

#[test]
fn smmuen_with_a_level_2_table_not_yet_visible_is_a_violation() {
    let (rig, _, level_2) = Rig::linked();
    rig.write(Register::Cr0, 0xEu32);
    level_2.store(8 * 5 + 1, 1 << 19);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, 0xFu32));
    assert_eq!(violations, [Violation::TableNotVisible { address: LEVEL_2 + 5 * 64 + 8 }]);
}
