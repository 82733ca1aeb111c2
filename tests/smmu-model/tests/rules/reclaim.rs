// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory is granted at any time, taken back when the device cannot reach it any more, and granted again.

use smmu_model::{
    Command, Completion, Enable, Outcome, Record, Register, Source, Step, SyncMsi, TlbiOperation,
    Violation,
};

use crate::rig::{EVENTS, LEVEL_1, LEVEL_2, Rig, SPAN};

const GIVEN: u64 = 0x9000_0000;

#[test]
fn memory_is_given_while_the_device_runs() {
    let (rig, _, _level_2) = Rig::linked();
    assert!(matches!(rig.touch(5), Outcome::Recorded(record) if record.number() == 0x10));
    let cell = rig.smmu.memory().region(GIVEN, 1);
    let msi = SyncMsi::to_realm_memory(GIVEN, 7);
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi)))]);
    assert_eq!(cell.load(0), 7);
}

#[test]
fn memory_that_was_taken_back_is_given_again_as_new() {
    let rig = Rig::up();
    let first = rig.smmu.memory().region(GIVEN, 4);
    rig.publish(&first, 1, 7);
    rig.smmu.memory().take_back(GIVEN);
    let second = rig.smmu.memory().region(GIVEN, 4);
    assert_eq!(second.load(1), 0);
    second.store(1, 8);
    let address = GIVEN + 8;
    let violations = rig.violations(|_| (first.load(1), first.store(1, 9)));
    let expected = [false, true].map(|write| Violation::DriverUsedUngranted { address, write });
    assert_eq!(violations, expected, "an old handle");
    assert_eq!(second.load(1), 8);
}

#[test]
fn a_store_that_was_on_its_way_does_not_reach_the_next_region() {
    let rig = Rig::up();
    rig.smmu.memory().region(GIVEN, 1).store(0, 7);
    rig.smmu.memory().take_back(GIVEN);
    assert_eq!(rig.device().load(GIVEN), Some(7));
    let next = rig.smmu.memory().region(GIVEN, 1);
    rig.smmu.write_barrier();
    assert_eq!((next.load(0), rig.device().load(GIVEN)), (0, Some(0)));
}

#[test]
fn memory_goes_and_comes_in_parts() {
    let rig = Rig::up();
    let whole = rig.smmu.memory().region(GIVEN, 12);
    whole.fill(3);
    rig.smmu.memory().take_back_part(GIVEN + 32, 4);
    assert_eq!((whole.load(3), whole.load(8)), (3, 3));
    let violations = rig.violations(|_| whole.load(4));
    let address = GIVEN + 32;
    assert_eq!(violations, [Violation::DriverUsedUngranted { address, write: false }]);
    let part = rig.smmu.memory().region(GIVEN + 40, 2);
    assert_eq!((part.load(0), rig.device().load(GIVEN + 32)), (0, Some(3)));
    part.take_back();
    // All of it, the parts that are gone included.
    whole.take_back();
    let again = rig.smmu.memory().region(GIVEN, 12);
    assert_eq!(again.load(11), 0);
}

#[test]
#[should_panic(expected = "two regions at")]
fn memory_is_not_given_twice() {
    let rig = Rig::up();
    let _whole = rig.smmu.memory().region(GIVEN, 12);
    rig.smmu.memory().take_back_part(GIVEN, 4);
    let _again = rig.smmu.memory().region(GIVEN, 5);
}

#[test]
fn regions_of_the_same_content_make_equal_devices() {
    let rig = Rig::up();
    let _first = rig.smmu.memory().region(GIVEN, 1);
    let before = rig.device().clone();
    rig.smmu.memory().take_back(GIVEN);
    assert!(*rig.device() != before);
    let _second = rig.smmu.memory().region(GIVEN, 1);
    assert!(*rig.device() == before);
}

#[test]
fn all_memory_is_reclaimed_from_a_disabled_device() {
    let (rig, level_1, level_2) = Rig::linked();
    let _ = rig.touch(5);
    rig.quiesce();
    for region in [&level_1, &level_2, &rig.commands, &rig.events, &rig.pages, &rig.table] {
        region.take_back();
    }
}

#[test]
fn a_device_that_never_acknowledges_keeps_its_memory() {
    let (rig, level_1, level_2) = Rig::linked();
    rig.device().set_hung(true);
    rig.write(Register::Cr0, 0u32);
    for (region, register) in [
        (&level_1, Register::StrtabBase),
        (&rig.commands, Register::CmdqBase),
        (&rig.events, Register::EventqBase),
        (&rig.pages, Register::PriqBase),
    ] {
        let violations = rig.violations(|_| region.take_back());
        let address = region.address();
        assert_eq!(violations, [Violation::TakenBackInUse { address, register }]);
    }
    let violations = rig.violations(|_| level_2.take_back());
    let (address, descriptor) = (LEVEL_2, LEVEL_1);
    assert_eq!(violations, [Violation::TakenBackLinked { address, descriptor }]);
    // It still writes to what it should have kept.
    let violations = rig.violations(|rig| rig.fault(0x1000));
    assert_eq!(violations, [Violation::DeviceUsedTakenBack { address: EVENTS, write: true }]);
}

#[test]
fn a_level_2_table_is_reclaimed_once_unlinked_and_invalidated() {
    let taken = |unlink: bool, commands: &[Command]| {
        let (rig, level_1, level_2) = Rig::linked();
        let _ = rig.touch(5);
        if unlink {
            rig.publish(&level_1, 0, 0);
        }
        rig.issue(commands);
        rig.violations(|_| level_2.take_back())
    };
    let (address, descriptor) = (LEVEL_2, LEVEL_1);
    let linked = Violation::TakenBackLinked { address, descriptor };
    let descriptor = [Violation::TakenBackCached { address, from: LEVEL_1 }];
    let entry = Violation::TakenBackCached { address, from: LEVEL_2 + 5 * 64 };
    let all = [Command::CfgiAll, Command::SYNC];
    let first = Command::CfgiSte { stream: 0, leaf: false };
    let range = Command::CfgiSteRange { stream: 0, range: 5 };
    let others = Command::CfgiSteRange { stream: 64, range: 5 };

    assert_eq!(taken(true, &all), []);
    assert_eq!(taken(true, &[range, Command::SYNC]), []);
    assert_eq!(taken(false, &all), [linked]);
    assert_eq!(taken(true, &[]), descriptor);
    assert_eq!(taken(true, &all[..1]), descriptor, "no CMD_SYNC");
    assert_eq!(taken(true, &[others, Command::SYNC]), descriptor);
    assert_eq!(taken(true, &[first, Command::SYNC]), [entry]);
    let leaf = Command::CfgiSte { stream: 5, leaf: true };
    assert_eq!(taken(true, &[leaf, Command::SYNC]), descriptor);
}

#[test]
fn an_unlinked_table_is_in_use_until_the_device_can_see_that() {
    let (rig, level_1, level_2) = Rig::linked();
    level_1.store(0, 0);
    let violations = rig.violations(|_| level_2.take_back());
    assert!(matches!(violations[..], [Violation::TakenBackLinked { .. }]));
}

#[test]
fn descriptors_without_a_table_keep_no_memory() {
    let (rig, level_1, level_2) = Rig::linked();
    rig.publish(&level_1, 0, LEVEL_2);
    rig.publish(&level_1, 1, LEVEL_2 | 12);
    rig.publish(&level_1, 2, LEVEL_2 + 0x1000 + SPAN);
    rig.issue(&[Command::CfgiAll, Command::SYNC]);
    assert_eq!(rig.touch(0), Outcome::Recorded(Record::bad_stream_id(0)));
    rig.issue(&[Command::CfgiAll, Command::SYNC]);
    level_2.take_back();
}

#[test]
fn stale_configuration_is_invalidated_before_smmuen() {
    let enabled = |commands: &[Command]| {
        let (rig, level_1, level_2) = Rig::linked();
        let _ = rig.touch(5);
        rig.write(Register::Cr0, 0xEu32);
        level_2.take_back();
        rig.publish(&level_1, 0, 0);
        rig.issue(commands);
        rig.violations(|rig| rig.write(Register::Cr0, 0xFu32))
    };
    let orphan = |from| [Violation::EnabledWithOrphans { cr0: 0xF, from }];
    assert_eq!(enabled(&[]), orphan(LEVEL_1));
    let first = Command::CfgiSte { stream: 0, leaf: false };
    assert_eq!(enabled(&[first, Command::SYNC]), orphan(LEVEL_2 + 5 * 64));
    assert_eq!(enabled(&[Command::CfgiAll, Command::SYNC]), []);
}

#[test]
fn the_target_of_a_msi_is_kept_until_the_msi_has_come() {
    let rig = Rig::up();
    let cell = rig.smmu.memory().region(GIVEN, 2);
    let msi = SyncMsi::to_realm_memory(GIVEN + 8, 7);
    let sync = Command::Sync(Completion::Interrupt(Some(msi)));
    rig.device().set_eager(false);
    rig.issue(&[sync, Command::tlbi(TlbiOperation::NsnhAll)]);
    let (address, target) = (GIVEN, GIVEN + 8);
    let expected = [Violation::TakenBackBeforeMsi { address, target }];
    let checked = |rig: &Rig| {
        let saved = rig.device().clone();
        let violations = rig.violations(|_| cell.take_back());
        *rig.device() = saved;
        violations
    };
    assert_eq!(checked(&rig), expected, "the command waits");
    rig.device().step(Step::RunCommand);
    assert_eq!(checked(&rig), expected, "the command is done, its msi is not");
    // Off does not mean that the MSI never comes.
    rig.write(Register::Cr0, 0u32);
    for enable in [Enable::Smmu, Enable::Cmdq] {
        rig.device().step(Step::AckCr0(enable));
    }
    assert_eq!(checked(&rig), expected, "the queue is off, the msi is due");
    rig.device().step(Step::WriteMsi(Source::CmdSync));
    assert_eq!(checked(&rig), []);
}

#[test]
fn a_later_sync_sees_the_msis_of_earlier_ones_out() {
    let rig = Rig::up();
    let cell = rig.smmu.memory().region(GIVEN, 1);
    let msi = SyncMsi::to_realm_memory(GIVEN, 7);
    rig.device().set_eager(false);
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi))), Command::SYNC]);
    rig.device().step(Step::RunCommand);
    rig.device().step(Step::RunCommand);
    cell.take_back();
}

#[test]
fn the_target_of_an_enabled_interrupt_is_in_use() {
    let rig = Rig::up();
    let cell = rig.smmu.memory().region(GIVEN, 1);
    rig.write(Register::IrqCtrl, 0u32);
    rig.write(Register::EventqIrqCfg0, GIVEN);
    rig.write(Register::EventqIrqCfg1, 7u32);
    rig.write(Register::EventqIrqCfg2, 0xFu32);
    rig.write(Register::IrqCtrl, 4u32);
    rig.device().set_eager(false);
    rig.write(Register::IrqCtrl, 0u32);
    let saved = rig.device().clone();
    let violations = rig.violations(|_| cell.take_back());
    let (address, register) = (GIVEN, Register::EventqIrqCfg0);
    assert_eq!(violations, [Violation::TakenBackInUse { address, register }]);
    *rig.device() = saved;
    rig.device().settle();
    cell.take_back();
}
