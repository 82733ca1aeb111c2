// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stage-2 tables and what the device has cached of them.

use smmu_model::{Command, Outcome, Region, Register, Tlbi, TlbiOperation, Translation, Violation};

use crate::rig::{LEVEL_2, Rig, SPAN, STAGE_2, TRANSLATION_TABLE, stage_2};

const OTHER_TABLE: u64 = TRANSLATION_TABLE + 0x1000;
const VMID: u16 = 5;

fn invalidate(operation: TlbiOperation, vmid: u16) -> Command {
    Command::Tlbi(Tlbi { operation, vmid, asid: 0, address: 0, leaf: false })
}

fn drop_vmid(vmid: u16) -> Command {
    invalidate(TlbiOperation::S12Vmall, vmid)
}

const fn drop_stream(stream: u32) -> Command {
    Command::CfgiSte { stream, leaf: true }
}

/// Makes a device with a level-2 table of aborting entries but for stream 5, which is translated by a
/// table that is a region, and returns both regions.
fn translated() -> (Rig, Region, Region) {
    let (rig, level_1) = Rig::two_level();
    let level_2 = rig.smmu.memory().region(LEVEL_2, 8 << 6);
    let table = rig.smmu.memory().region(TRANSLATION_TABLE, 512);
    for index in 0..64 {
        let aborting = [1, 0, 0, 0, 0, 0, 0, 0];
        let entry = if index == 5 { stage_2(VMID, TRANSLATION_TABLE) } else { aborting };
        rig.store_entry(&level_2, index, entry);
    }
    rig.smmu.write_barrier();
    rig.publish(&level_1, 0, LEVEL_2 | SPAN);
    rig.issue(&[Command::CfgiSte { stream: 5, leaf: false }, Command::SYNC]);
    (rig, level_2, table)
}

/// Makes the entry of `stream` abort.
fn disable(rig: &Rig, level_2: &Region, stream: usize) {
    rig.publish(level_2, 8 * stream, 1);
}

#[test]
fn a_walk_leaves_translations_behind_whatever_it_ends_with() {
    let translation = Translation { vmid: VMID, table: TRANSLATION_TABLE };
    let (rig, ..) = translated();
    assert!(!rig.device().caches_vmid(VMID));
    assert_eq!(rig.device().translate(5, 0x1000), Outcome::Translated);
    assert_eq!(rig.device().translations().collect::<Vec<_>>(), [translation]);
    assert!(rig.device().caches_vmid(VMID) && !rig.device().caches_vmid(VMID + 1));
    assert!(rig.device().caches_table(TRANSLATION_TABLE));
    assert!(!rig.device().caches_table(OTHER_TABLE));

    let (rig, ..) = translated();
    assert!(matches!(rig.touch(5), Outcome::Recorded(_)));
    assert!(rig.device().caches_vmid(VMID), "the upper levels");
    let (rig, ..) = translated();
    assert_eq!(rig.touch(4), Outcome::Aborted);
    assert_eq!(rig.device().translations().count(), 0);
}

#[test]
fn nothing_is_cached_where_caching_is_off() {
    let (rig, ..) = translated();
    let _ = rig.device().translate(5, 0);
    rig.device().cache_configuration(false);
    let _ = rig.device().translate(5, 0);
    assert_eq!(rig.device().translations().count(), 0);
}

#[test]
fn translations_go_with_an_invalidation_of_all_that_and_a_sync() {
    let left = |commands: &[Command]| {
        let (rig, ..) = translated();
        let _ = rig.device().translate(5, 0x1000);
        rig.issue(commands);
        rig.device().caches_vmid(VMID)
    };
    let all = Command::tlbi(TlbiOperation::NsnhAll);
    assert!(!left(&[drop_vmid(VMID), Command::SYNC]));
    assert!(!left(&[all, Command::SYNC]));
    assert!(left(&[all]), "no CMD_SYNC");
    assert!(left(&[drop_vmid(VMID + 1), Command::SYNC]));
    for operation in
        [TlbiOperation::S2Ipa, TlbiOperation::NhAll, TlbiOperation::NhVa, TlbiOperation::El2All]
    {
        assert!(left(&[invalidate(operation, VMID), Command::SYNC]), "{operation:?}");
    }
    assert!(left(&[Command::CfgiAll, Command::SYNC]), "that is about configuration");
}

#[test]
fn a_stage_2_table_is_reclaimed_once_no_stream_uses_it() {
    let taken = |disabled: bool, commands: &[Command]| {
        let (rig, level_2, table) = translated();
        let _ = rig.device().translate(5, 0x1000);
        if disabled {
            disable(&rig, &level_2, 5);
        }
        rig.issue(commands);
        rig.violations(|_| table.take_back())
    };
    let (address, table, vmid, stream) = (TRANSLATION_TABLE, TRANSLATION_TABLE, VMID, 5);
    let both = [
        Violation::TakenBackTranslating { address, vmid, table },
        Violation::TakenBackConfigured { address, stream, table },
    ];
    let (cached, configured) = (&both[..1], &both[1..]);
    let (entry, all) = (drop_stream(5), drop_vmid(VMID));
    assert_eq!(taken(true, &[entry, Command::SYNC, all, Command::SYNC]), []);
    assert_eq!(taken(true, &[entry, all, Command::SYNC]), []);
    assert_eq!(taken(true, &[entry, all]), both, "no CMD_SYNC");
    assert_eq!(taken(true, &[entry, Command::SYNC]), *cached);
    assert_eq!(taken(true, &[all, Command::SYNC]), *configured, "the entry is cached");
    assert_eq!(taken(false, &[entry, all, Command::SYNC]), *configured, "it is still in memory");
    assert_eq!(taken(true, &[all, entry, Command::SYNC]), *cached, "the wrong order");
}

#[test]
fn a_table_that_no_entry_points_at_goes_at_any_time() {
    let (rig, ..) = translated();
    let _ = rig.device().translate(5, 0x1000);
    let other = rig.smmu.memory().region(OTHER_TABLE, 512);
    other.take_back();
}

#[test]
fn a_table_that_an_aborting_entry_points_at_goes_at_any_time() {
    let (rig, level_2, _table) = translated();
    let other = rig.smmu.memory().region(OTHER_TABLE, 512);
    rig.publish(&level_2, 8 * 6 + 3, OTHER_TABLE);
    assert_eq!(rig.touch(6), Outcome::Aborted);
    other.take_back();
}

#[test]
fn stale_translations_are_invalidated_before_smmuen() {
    let enabled = |commands: &[Command]| {
        let (rig, level_2, table) = translated();
        let _ = rig.device().translate(5, 0x1000);
        rig.write(Register::Cr0, 0xEu32);
        table.take_back();
        disable(&rig, &level_2, 5);
        rig.issue(commands);
        rig.violations(|rig| rig.write(Register::Cr0, 0xFu32))
    };
    let all = drop_vmid(VMID);
    assert_eq!(enabled(&[Command::CfgiAll, all, Command::SYNC]), []);
    let from = TRANSLATION_TABLE;
    let expected = [Violation::EnabledWithOrphans { cr0: 0xF, from }];
    assert_eq!(enabled(&[Command::CfgiAll, Command::SYNC]), expected);
}

#[test]
fn a_vmid_stands_for_one_table_until_its_translations_are_gone() {
    let used = |commands: &[Command]| {
        let (rig, level_2, _table) = translated();
        let _ = rig.device().translate(5, 0x1000);
        disable(&rig, &level_2, 5);
        rig.issue(&[drop_stream(5), Command::SYNC]);
        rig.issue(commands);
        for (word, value) in stage_2(VMID, OTHER_TABLE).into_iter().enumerate().skip(1) {
            level_2.store(8 * 6 + word, value);
        }
        rig.smmu.write_barrier();
        rig.publish(&level_2, 8 * 6, STAGE_2[0]);
        rig.issue(&[drop_stream(6), Command::SYNC]);
        rig.violations(|rig| rig.device().translate(6, 0x1000))
    };
    let (vmid, table, cached) = (VMID, OTHER_TABLE, TRANSLATION_TABLE);
    assert_eq!(used(&[]), [Violation::VmidReused { vmid, table, cached }]);
    let others = [drop_vmid(VMID + 1), Command::SYNC];
    assert_eq!(used(&others), [Violation::VmidReused { vmid, table, cached }]);
    assert_eq!(used(&[drop_vmid(VMID), Command::SYNC]), []);
}

#[test]
fn two_streams_share_a_table_and_its_vmid() {
    let (rig, level_2, _table) = translated();
    for (word, value) in stage_2(VMID, TRANSLATION_TABLE).into_iter().enumerate().skip(1) {
        level_2.store(8 * 6 + word, value);
    }
    rig.smmu.write_barrier();
    rig.publish(&level_2, 8 * 6, STAGE_2[0]);
    rig.issue(&[drop_stream(6), Command::SYNC]);
    let _ = rig.device().translate(5, 0);
    assert_eq!(rig.device().translate(6, 0), Outcome::Translated);
    assert_eq!(rig.device().translations().count(), 1);
}
