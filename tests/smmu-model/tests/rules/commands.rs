// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command queue.

use smmu_model::gerror::CMDQ_ERR;
use smmu_model::{
    Command, CommandError, Completion, Config, Enable, Register, Source, Step, SyncMsi,
    TlbiOperation, Violation,
};

use crate::rig::{COMMANDS, Rig, Sizes};

const ILLEGAL: [u64; 2] = [0xFF, 0];

/// Returns RD and ERR.
fn cons(rig: &Rig) -> (u32, u32) {
    let cons = rig.read32(Register::CmdqCons);
    (cons & 0xF_FFFF, cons >> 24 & 0x7F)
}

/// Where CONS is after bring-up.
fn start(rig: &Rig) -> u32 {
    cons(rig).0
}

#[test]
fn commands_are_consumed_in_order() {
    let rig = Rig::up();
    let commands = [
        Command::CfgiSte { stream: 8, leaf: true },
        Command::tlbi(TlbiOperation::El2All),
        Command::SYNC,
    ];
    rig.issue(&commands);
    assert_eq!(cons(&rig).0, start(&rig));
    assert_eq!(rig.read32(Register::CmdqCons), rig.read32(Register::CmdqProd));
    assert_eq!(rig.device().take_commands(), commands);
}

#[test]
fn queues_of_all_sizes_wrap() {
    for log2 in 0..=19 {
        let sizes = Sizes { commands: log2, events: 2, pages: 2 };
        let rig = Rig::with(Config::default(), sizes);
        rig.program();
        let entries = 1u32 << log2;
        for start in [entries.saturating_sub(1), 2 * entries - 1] {
            rig.write(Register::Cr0, 0u32);
            rig.write(Register::CmdqProd, start);
            rig.write(Register::CmdqCons, start);
            rig.write(Register::Cr0, Enable::Cmdq.bits());
            for turn in 0..4 {
                let command = Command::CfgiSte { stream: turn, leaf: false };
                rig.issue(&[command]);
                assert_eq!(rig.device().take_commands(), [command], "2^{log2} from {start:#x}");
            }
            let end = (start + 4) & (2 * entries - 1);
            assert_eq!(rig.read32(Register::CmdqCons), end, "2^{log2}");
        }
    }
}

#[test]
fn a_full_queue_is_consumed() {
    let rig = Rig::up();
    rig.issue(&[Command::SYNC; 16]);
    assert_eq!(rig.device().take_commands().len(), 16);
    assert_eq!(rig.device().waiting_commands(), 0);
}

#[test]
fn an_illegal_command_stops_the_queue_until_it_is_acknowledged() {
    let rig = Rig::up();
    let first = start(&rig);
    rig.issue_words(&[Command::CfgiAll.words(), ILLEGAL, Command::SYNC.words()]);
    assert_eq!(cons(&rig), (first + 1, CommandError::Illegal as u32));
    assert_eq!(rig.read32(Register::Gerror), CMDQ_ERR);
    assert_eq!(rig.pulses(), Source::Gerror.bit());
    rig.issue(&[Command::SYNC]);
    assert_eq!(cons(&rig), (first + 1, 1), "ERR is stable, nothing moves");
    assert_eq!(rig.device().take_commands(), [Command::CfgiAll]);

    // Acknowledged without a repair, it fails again.
    rig.write(Register::Gerrorn, CMDQ_ERR);
    assert_eq!(rig.read32(Register::Gerror), 0, "active again");
    assert!(rig.device().has_command_error());
    assert_eq!(cons(&rig), (first + 1, 1));

    // Repaired, it goes on without a write of PROD: it is fetched again.
    let index = 2 * ((first + 1) & 0xF) as usize;
    rig.commands.store(index, Command::SYNC.words()[0]);
    rig.commands.store(index + 1, 0);
    rig.smmu.write_barrier();
    rig.write(Register::Gerrorn, 0u32);
    assert_eq!(cons(&rig).0, first + 4);
    assert_eq!(rig.device().take_commands(), [Command::SYNC; 3]);
}

#[test]
fn a_repair_that_is_not_visible_is_reported() {
    let rig = Rig::up();
    let index = 2 * (start(&rig) & 0xF) as usize;
    rig.issue_words(&[ILLEGAL]);
    rig.commands.store(index, Command::SYNC.words()[0]);
    let violations = rig.violations(|rig| rig.write(Register::Gerrorn, CMDQ_ERR));
    let address = COMMANDS + 8 * index as u64;
    assert_eq!(violations, [Violation::CommandNotVisible { address }]);
    assert!(rig.device().has_command_error(), "the old command failed again");
}

#[test]
fn what_is_not_for_a_realm_queue_is_illegal() {
    let illegal = [
        Command::Resume { stream: 8, stag: 0x55 }.words(),
        Command::StallTerm { stream: 8 }.words(),
        [Command::SYNC.words()[0] | 1 << 10, 0],
        [0x50, 0],
        [0x18, 0],
        [Command::SYNC.words()[0] | 3 << 12, 0],
    ];
    for words in illegal {
        let rig = Rig::up();
        rig.issue_words(&[words]);
        assert_eq!(cons(&rig).1, CommandError::Illegal as u32, "{words:x?}");
    }
}

#[test]
fn a_fetch_that_aborts_stops_the_queue_for_as_long_as_it_does() {
    let rig = Rig::up();
    rig.device().abort_command_fetches(true);
    rig.issue(&[Command::SYNC]);
    for gerrorn in [1u32, 0, 1] {
        assert_eq!(cons(&rig).1, CommandError::Abort as u32);
        assert!(rig.device().has_command_error());
        rig.write(Register::Gerrorn, gerrorn);
    }
    rig.device().abort_command_fetches(false);
    rig.write(Register::Gerrorn, 0u32);
    assert_eq!(rig.device().take_commands(), [Command::SYNC]);

    let rig = Rig::up();
    rig.commands.abort_accesses(true);
    rig.issue(&[Command::SYNC]);
    assert_eq!(cons(&rig).1, CommandError::Abort as u32, "a granule protection fault");
}

#[test]
fn the_error_is_in_cons_before_it_is_in_gerror() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_split(true);
    rig.issue_words(&[ILLEGAL]);
    rig.device().step(Step::RunCommand);
    assert_eq!((cons(&rig).1, rig.read32(Register::Gerror)), (1, 0));
    assert_eq!(rig.device().steps(), [Step::RaiseCommandError]);
    rig.device().step(Step::RaiseCommandError);
    assert_eq!(rig.read32(Register::Gerror), CMDQ_ERR);
}

#[test]
fn cons_can_be_late() {
    let rig = Rig::up();
    let first = start(&rig);
    rig.device().set_eager(false);
    rig.device().set_lazy_cons(true);
    rig.issue(&[Command::CfgiAll, Command::SYNC]);
    rig.device().step(Step::RunCommand);
    rig.device().step(Step::RunCommand);
    assert_eq!(rig.device().take_commands().len(), 2);
    assert_eq!(cons(&rig).0, first);
    rig.device().step(Step::PublishCons);
    assert_eq!(cons(&rig).0, first + 2);
}

#[test]
fn cons_is_valid_when_the_disable_is_acknowledged() {
    let rig = Rig::up();
    let first = start(&rig);
    rig.device().set_eager(false);
    rig.device().set_lazy_cons(true);
    rig.issue(&[Command::CfgiAll, Command::SYNC]);
    rig.device().step(Step::RunCommand);
    rig.write(Register::Cr0, 0x7u32);
    rig.device().step(Step::AckCr0(Enable::Cmdq));
    assert_eq!(cons(&rig).0, first + 1);
    assert!(!rig.device().steps().contains(&Step::RunCommand));
    // CONS is plain read-write now.
    rig.write(Register::CmdqCons, 5u32);
    assert_eq!(cons(&rig).0, 5);
}

#[test]
fn a_sync_completes_by_its_msi_or_a_wired_interrupt() {
    let rig = Rig::up();
    let cell = COMMANDS + 8 * 64;
    let _words = rig.smmu.memory().region(cell, 1);
    let msi = SyncMsi::to_realm_memory(cell + 4, 0xAB);
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi)))]);
    assert_eq!(rig.device().load(cell), Some(0xAB << 32), "32 bits");
    assert_eq!(rig.pulses(), 0);
    assert_eq!(rig.device().take_msis()[0].source, Source::CmdSync);

    rig.issue(&[Command::Sync(Completion::Interrupt(None))]);
    assert_eq!(rig.pulses(), Source::CmdSync.bit(), "IRQ_CTRL has no say in it");

    rig.issue(&[Command::Sync(Completion::Sev)]);
    assert_eq!(rig.device().wake_ups(), 1);
    assert_eq!(rig.pulses(), 0);
}

#[test]
fn a_sync_msi_to_the_wrong_space_is_aborted() {
    let rig = Rig::up();
    let cell = rig.smmu.memory().region(0x9000_0000, 1);
    let msi = SyncMsi { non_secure: true, ..SyncMsi::to_realm_memory(cell.address(), 0xAB) };
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi)))]);
    assert!(rig.device().take_msis()[0].aborted);
    assert_eq!(rig.device().load(cell.address()), Some(0));
}

#[test]
fn a_sync_without_msis_or_events_has_neither() {
    let config = Config::default().without_msi().without_sev();
    let rig = Rig::with(config, Sizes { commands: 4, events: 2, pages: 2 });
    rig.bring_up();
    let msi = SyncMsi::to_realm_memory(0x9000_0000, 1);
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi)))]);
    assert_eq!(rig.pulses(), Source::CmdSync.bit());
    rig.issue(&[Command::Sync(Completion::Sev)]);
    assert_eq!(rig.device().wake_ups(), 0);
}

#[test]
fn a_sync_waits_for_the_msis_of_those_before_it() {
    let rig = Rig::up();
    let cell = rig.smmu.memory().region(0x9000_0000, 1);
    rig.device().set_eager(false);
    let msi = SyncMsi::to_realm_memory(cell.address(), 0xAB);
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi))), Command::SYNC]);
    rig.device().step(Step::RunCommand);
    assert_eq!(rig.device().load(cell.address()), Some(0), "consumed, not reported yet");
    rig.device().step(Step::RunCommand);
    assert_eq!(cell.load(0), 0xAB, "a CPU that polls needs no barrier");
}

#[test]
fn an_atc_invalidation_that_times_out_fails_the_next_sync_once() {
    let rig = Rig::up();
    let invalidation =
        Command::AtcInv { stream: 8, substream: None, global: false, address: 0, size: 52 };
    let first = start(&rig);
    rig.device().time_out_next_atc_inv();
    rig.issue(&[invalidation, Command::CfgiAll, Command::SYNC]);
    assert_eq!(cons(&rig), (first + 2, CommandError::AtcInvSync as u32));
    rig.write(Register::Gerrorn, CMDQ_ERR);
    assert_eq!(cons(&rig).0, first + 3, "run again");
    assert!(!rig.device().has_command_error());
}

#[test]
fn prod_is_not_moved_past_what_the_queue_holds() {
    let rig = Rig::up();
    let old = start(&rig);
    rig.device().set_eager(false);
    let value = (old + 17) & 0x1F;
    let violations = rig.violations(|rig| rig.write(Register::CmdqProd, value));
    assert_eq!(violations, [Violation::CommandProdPastCons { old, value, cons: old }]);
}

#[test]
fn prod_is_moved_back_only_while_the_queue_stands_still() {
    let rig = Rig::up();
    let cons = start(&rig);
    rig.device().set_eager(false);
    rig.issue(&[Command::SYNC; 3]);
    let (old, value) = (cons + 3, cons + 1);
    let violations = rig.violations(|rig| rig.write(Register::CmdqProd, value));
    assert_eq!(violations, [Violation::CommandProdBackwards { old, value, cons }]);

    let rig = Rig::up();
    let first = start(&rig);
    rig.issue_words(&[ILLEGAL, ILLEGAL]);
    rig.write(Register::CmdqProd, first);
    rig.write(Register::Gerrorn, CMDQ_ERR);
    assert!(!rig.device().has_command_error());
}

#[test]
fn a_command_without_a_barrier_is_a_violation_on_old_memory() {
    let rig = Rig::up();
    let first = start(&rig);
    let violations = rig.violations(|rig| {
        let prod = rig.write_commands(&[Command::SYNC.words()]);
        rig.write(Register::CmdqProd, prod);
    });
    let address = COMMANDS + 16 * u64::from(first);
    assert_eq!(violations, [Violation::CommandNotVisible { address }]);
    assert_eq!(cons(&rig).1, CommandError::Illegal as u32, "there was nothing");
}

#[test]
fn an_unresponsive_device_processes_nothing() {
    let rig = Rig::up();
    let first = start(&rig);
    rig.device().set_hung(true);
    rig.issue(&[Command::SYNC]);
    assert_eq!(cons(&rig).0, first);
    assert_eq!(rig.read32(Register::Gerror), 0, "service failure has no sign");
    rig.device().set_hung(false);
    assert_eq!(cons(&rig).0, first + 1);
}

#[test]
fn commands_can_be_spoiled_or_slipped_in() {
    let rig = Rig::up();
    rig.device().corrupt_next_command(ILLEGAL);
    rig.issue(&[Command::CfgiAll, Command::SYNC]);
    assert_eq!(cons(&rig).1, CommandError::Illegal as u32);

    let rig = Rig::up();
    let first = start(&rig);
    rig.device().inject_command(ILLEGAL);
    assert_eq!(cons(&rig), (first, CommandError::Illegal as u32));
    assert_eq!(rig.read32(Register::CmdqProd), first + 1);
}

#[test]
fn commands_work_while_translation_is_off() {
    let rig = Rig::new();
    rig.program();
    rig.write(Register::Cr0, Enable::Cmdq.bits());
    rig.issue(&[Command::CfgiAll, Command::SYNC]);
    assert_eq!(rig.device().take_commands(), [Command::CfgiAll, Command::SYNC]);
}
