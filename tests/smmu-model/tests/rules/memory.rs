// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory: grants, guards, what CPU and device see of each other's writes.

use smmu_model::{
    Command, Completion, Enable, Record, Register, Step, SyncMsi, Transaction, Violation,
};

use crate::rig::{COMMANDS, EVENTS, NOWHERE, Rig, TABLE};

#[test]
fn memory_is_not_taken_back_while_it_is_in_use() {
    let rig = Rig::up();
    let table = [
        (&rig.commands, Register::CmdqBase),
        (&rig.events, Register::EventqBase),
        (&rig.pages, Register::PriqBase),
        (&rig.table, Register::StrtabBase),
    ];
    for (region, register) in table {
        let address = region.address();
        let violations = rig.violations(|_| region.take_back());
        assert_eq!(violations, [Violation::TakenBackInUse { address, register }]);
    }
}

#[test]
fn memory_is_in_use_until_the_disable_is_acknowledged() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.write(Register::Cr0, 0u32);
    let violations = rig.violations(|rig| rig.events.take_back());
    assert!(matches!(violations[..], [Violation::TakenBackInUse { .. }]));
    rig.device().settle();
    rig.commands.take_back();
    rig.table.take_back();
}

#[test]
fn the_device_does_not_use_memory_that_was_taken_back() {
    let rig = Rig::up();
    let _ = rig.violations(|rig| rig.events.take_back());
    let violations = rig.violations(|rig| rig.fault(0x1000));
    let address = EVENTS;
    assert_eq!(violations, [Violation::DeviceUsedTakenBack { address, write: true }]);

    let cell = rig.smmu.memory().region(0x9000_0000, 1);
    cell.take_back();
    let msi = SyncMsi::to_realm_memory(cell.address(), 1);
    let sync = Command::Sync(Completion::Interrupt(Some(msi)));
    let violations = rig.violations(|rig| rig.issue(&[sync]));
    let address = cell.address();
    assert_eq!(violations, [Violation::DeviceUsedTakenBack { address, write: false }]);
}

#[test]
fn neither_device_nor_driver_use_memory_before_it_is_granted() {
    let rig = Rig::new();
    let queue = rig.smmu.memory().ungranted(0x9000_0000, 16);
    rig.program();
    rig.write(Register::EventqBase, queue.address() | 2);
    rig.write(Register::Cr0, Enable::Eventq.bits());
    let violations = rig.violations(|rig| rig.fault(0x1000));
    let address = queue.address();
    assert_eq!(violations, [Violation::DeviceUsedUngranted { address, write: true }]);
    let violations = rig.violations(|_| queue.load(0));
    assert_eq!(violations, [Violation::DriverUsedUngranted { address, write: false }]);
    queue.grant();
    queue.store(0, 1);
}

#[test]
fn the_driver_does_not_use_memory_that_was_taken_back() {
    let rig = Rig::new();
    rig.events.take_back();
    let violations = rig.violations(|rig| rig.events.store(0, 1));
    assert_eq!(violations, [Violation::DriverUsedUngranted { address: EVENTS, write: true }]);
    let violations = rig.violations(|rig| rig.commands.load(0x10_0000));
    let (address, index) = (COMMANDS, 0x10_0000);
    assert_eq!(violations, [Violation::DriverOutOfBounds { address, index }]);
}

#[test]
fn guards_at_both_ends_are_not_touched() {
    // A base that is aligned down lands before the region.
    let rig = Rig::new();
    let odd = rig.smmu.memory().region(0x9000_0040, 16);
    rig.program();
    rig.write(Register::EventqBase, odd.address() | 2);
    let violations = rig.violations(|rig| {
        rig.write(Register::Cr0, Enable::Eventq.bits());
        rig.fault(0x1000);
    });
    let address = 0x9000_0000;
    assert_eq!(violations[1..], [Violation::DeviceUsedGuard { address, write: true }]);

    // A queue that is larger than its memory runs over the end.
    let rig = Rig::new();
    rig.program();
    rig.write(Register::EventqBase, EVENTS | 3);
    rig.write(Register::Cr0, Enable::Eventq.bits());
    for n in 0..4 {
        rig.fault(n << 12);
    }
    let violations = rig.violations(|rig| rig.fault(0x4000));
    let address = EVENTS + 0x80;
    assert_eq!(violations, [Violation::DeviceUsedGuard { address, write: true }]);
}

#[test]
fn far_from_all_memory_there_is_an_abort_and_no_violation() {
    let rig = Rig::new();
    rig.program();
    rig.write(Register::CmdqBase, NOWHERE | 4);
    rig.write(Register::Cr0, Enable::Cmdq.bits());
    rig.write(Register::CmdqProd, 1u32);
    assert_eq!(rig.read32(Register::CmdqCons), 2 << 24, "CERROR_ABT");
}

#[test]
fn a_record_is_seen_only_behind_a_barrier() {
    let rig = Rig::up();
    rig.fault(0x1000);
    let read = |expected| {
        let violations = rig.violations(|rig| assert_eq!(rig.events.load(2), expected));
        violations.len()
    };
    assert_eq!(read(0), 1, "read ahead of PROD");
    rig.smmu.read_barrier();
    assert_eq!(read(0x1000), 0);
    let address = EVENTS + 16;
    rig.smmu.write_barrier();
    rig.free(1);
    for n in 2..=5 {
        rig.fault(n << 12);
    }
    let violations = rig.violations(|rig| rig.events.load(2));
    assert_eq!(violations, [Violation::ReadWithoutBarrier { address }]);
}

#[test]
fn an_entry_is_read_before_it_is_freed() {
    let rig = Rig::up();
    rig.fault(0x1000);
    rig.smmu.read_barrier();
    let _ = rig.events.load(0);
    let violations = rig.violations(|rig| rig.free(1));
    let register = Register::EventqCons;
    assert_eq!(violations, [Violation::FreedBeforeRead { register, value: 1 }]);
}

#[test]
fn both_kinds_of_hiding_can_be_switched_off() {
    let rig = Rig::up();
    rig.device().hide_writes(false, false);
    rig.fault(0x1000);
    assert_eq!(rig.events.load(2), 0x1000);
    rig.free(1);
    let prod = rig.write_commands(&[Command::SYNC.words()]);
    rig.write(Register::CmdqProd, prod);
    assert_eq!(rig.device().take_commands(), [Command::SYNC]);
}

#[test]
fn stores_reach_the_device_only_behind_a_barrier() {
    let rig = Rig::new();
    rig.events.store(1, 7);
    assert_eq!((rig.events.load(1), rig.device().load(EVENTS + 8)), (7, Some(0)));
    rig.smmu.write_barrier();
    assert_eq!(rig.device().load(EVENTS + 8), Some(7));
}

#[test]
fn a_store_that_drains_late_overwrites_what_the_device_wrote() {
    let rig = Rig::up();
    rig.events.store(2, 7);
    rig.fault(0x1000);
    rig.smmu.write_barrier();
    assert_eq!(rig.events.load(2), 7, "zeroing a queue needs a barrier before its enable");
}

#[test]
fn translation_is_not_enabled_with_a_table_that_is_not_visible() {
    let rig = Rig::up();
    rig.write(Register::Cr0, 0xEu32);
    rig.table.store(0, 1);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, 0xFu32));
    assert_eq!(violations, [Violation::TableNotVisible { address: TABLE }]);
}

#[test]
fn a_copy_of_a_device_has_its_own_memory() {
    let rig = Rig::up();
    let copy = rig.device().clone();
    assert!(copy == *rig.device());
    let other = smmu_model::Smmu::from(copy);
    other.device().record(Record::stage_2_write(8, 0x1000));
    assert!(*other.device() != *rig.device());
    assert_eq!(rig.device().load(EVENTS + 16), Some(0));
    other.read_barrier();
    assert_eq!(other.memory().find(EVENTS).map(|region| region.load(2)), Some(0x1000));
    assert!(other.memory().find(EVENTS + 8).is_none());
}

#[test]
fn a_stream_table_that_was_taken_back_is_not_read() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    let _ = rig.violations(|rig| rig.table.take_back());
    let violations = rig.violations(|rig| rig.device().transaction(&Transaction::read(8, 0x1000)));
    let address = TABLE + 8 * 64;
    assert_eq!(violations, [Violation::DeviceUsedTakenBack { address, write: false }]);
    rig.device().step(Step::DeliverRecord(0));
}
