// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disabling: what has happened when each acknowledge is there.

use smmu_model::{
    AckDelay, Command, Completion, Enable, Loss, Output, Record, Register, Source, Step, SyncMsi,
    Violation,
};

use crate::rig::{COMMANDS, EVENTS, Rig};

const WORD: u64 = 0x9000_0000;

fn inputs(records: &[Record]) -> Vec<u64> {
    records.iter().map(Record::input_address).collect()
}

#[test]
fn only_written_records_are_visible_once_the_queue_is_off() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_split(true);
    for address in [0x1000, 0x2000, 0x3000] {
        rig.fault(address);
    }
    for _ in 0..2 {
        rig.device().step(Step::DeliverRecord(0));
    }
    assert_eq!(rig.read32(Register::EventqProd), 0, "written, not shown");
    rig.write(Register::Cr0, 0xBu32);
    rig.device().step(Step::AckCr0(Enable::Eventq));
    assert_eq!(rig.read32(Register::EventqProd), 2);
    assert_eq!(rig.drain(), [0x1000, 0x2000]);
    let [(lost, why)] = rig.device().take_losses()[..] else { panic!("one was not written") };
    assert_eq!((lost.input_address(), why), (0x3000, Loss::Disabled));
}

#[test]
fn records_that_lie_in_a_queue_that_goes_off_are_counted() {
    let rig = Rig::up();
    for address in [0x1000, 0x2000, 0x3000] {
        rig.fault(address);
    }
    let _ = rig.drain();
    rig.free(1);
    rig.device().set_eager(false);
    rig.write(Register::Cr0, 0xBu32);
    // Off is when it is acknowledged.
    rig.fault(0x4000);
    rig.device().step(Step::DeliverRecord(0));
    assert_eq!(rig.device().take_unconsumed_records(), []);
    rig.device().settle();
    assert_eq!(inputs(&rig.device().take_unconsumed_records()), [0x2000, 0x3000, 0x4000]);
    assert_eq!(rig.device().used(Output::Events), 3, "a driver may still read them");
    assert_eq!(rig.device().take_unconsumed_records(), []);
}

#[test]
fn a_driver_that_drains_behind_the_acknowledge_finds_all() {
    let rig = Rig::up();
    rig.fault(0x1000);
    rig.write(Register::Cr0, 0xBu32);
    assert_eq!(rig.drain(), [0x1000]);
    assert_eq!(inputs(&rig.device().take_unconsumed_records()), [0x1000]);
    rig.fault(0x2000);
    assert_eq!(rig.used(), 1, "nothing comes any more");
    rig.events.take_back();
}

#[test]
fn an_aborted_record_shows_when_the_queue_is_off() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_write_aborts(smmu_model::WriteAborts::Asynchronous);
    rig.device().abort_next_write(Output::Events);
    rig.fault(0x1000);
    rig.device().step(Step::DeliverRecord(0));
    assert_eq!(rig.read32(Register::Gerror), 0);
    rig.write(Register::Cr0, 0xBu32);
    rig.device().step(Step::AckCr0(Enable::Eventq));
    assert_eq!(rig.read32(Register::Gerror), smmu_model::gerror::EVENTQ_ABT_ERR);
}

#[test]
fn commands_stop_at_a_whole_one_and_cons_says_where() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_lazy_cons(true);
    rig.issue(&[Command::CfgiAll, Command::SYNC, Command::SYNC]);
    rig.device().step(Step::RunCommand);
    rig.device().step(Step::RunCommand);
    let before = rig.read32(Register::CmdqCons);
    rig.write(Register::Cr0, 0x7u32);
    rig.device().step(Step::AckCr0(Enable::Cmdq));
    assert_eq!(rig.read32(Register::CmdqCons), before + 2);
    assert_eq!(rig.device().waiting_commands(), 1);
    assert!(!rig.device().steps().contains(&Step::RunCommand));
    rig.commands.take_back();
}

#[test]
fn a_command_may_run_until_the_disable_is_acknowledged() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.write(Register::Cr0, 0x7u32);
    rig.issue(&[Command::SYNC]);
    assert!(rig.device().steps().contains(&Step::RunCommand));
    let violations = rig.violations(|rig| rig.commands.take_back());
    let (address, register) = (COMMANDS, Register::CmdqBase);
    assert_eq!(violations, [Violation::TakenBackInUse { address, register }]);
}

#[test]
fn a_msi_may_come_behind_the_disable_or_never() {
    for loses in [false, true] {
        let rig = Rig::up();
        let word = rig.smmu.memory().region(WORD, 1);
        rig.device().set_eager(false);
        rig.device().set_dropping_sync_msis(loses);
        let msi = SyncMsi::to_realm_memory(WORD, 7);
        rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi)))]);
        rig.device().step(Step::RunCommand);
        rig.write(Register::Cr0, 0x7u32);
        rig.device().step(Step::AckCr0(Enable::Cmdq));
        assert_eq!(word.load(0), 0);
        let is_due = rig.device().steps().contains(&Step::WriteMsi(Source::CmdSync));
        assert_eq!(is_due, !loses);
        rig.device().settle();
        assert_eq!(word.load(0), if loses { 0 } else { 7 });
        word.take_back();
    }
}

#[test]
fn a_late_acknowledge_keeps_the_memory_for_all_its_reads() {
    let rig = Rig::up();
    rig.device().set_ack_delay(AckDelay::Reads(3));
    rig.write(Register::Cr0, 0u32);
    for _ in 0..3 {
        assert_eq!(rig.read32(Register::Cr0Ack) & 0xF, 0xF);
        let saved = rig.device().clone();
        let violations = rig.violations(|rig| rig.events.take_back());
        let (address, register) = (EVENTS, Register::EventqBase);
        assert_eq!(violations, [Violation::TakenBackInUse { address, register }]);
        *rig.device() = saved;
    }
    rig.fault(0x1000);
    assert_eq!(rig.used(), 1, "it is still on");
    assert_eq!(rig.read32(Register::Cr0Ack) & 0xF, 0);
    rig.fault(0x2000);
    assert_eq!(rig.used(), 1);
    rig.events.take_back();
}

#[test]
fn no_msi_comes_behind_the_acknowledge_of_its_interrupt() {
    let rig = Rig::up();
    let word = rig.smmu.memory().region(WORD, 1);
    rig.write(Register::IrqCtrl, 0u32);
    rig.write(Register::EventqIrqCfg0, WORD);
    rig.write(Register::EventqIrqCfg1, 7u32);
    rig.write(Register::EventqIrqCfg2, 0xFu32);
    rig.write(Register::IrqCtrl, 4u32);
    rig.device().set_eager(false);
    rig.fault(0x1000);
    rig.device().step(Step::DeliverRecord(0));
    rig.write(Register::IrqCtrl, 0u32);
    assert_eq!(word.load(0), 0);
    rig.device().step(Step::AckIrqCtrl(Source::Eventq));
    assert_eq!(word.load(0), 7);
    word.take_back();
    rig.device().settle();
}
