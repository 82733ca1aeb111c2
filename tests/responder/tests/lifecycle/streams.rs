// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams of devices that belong to Realms, as the embedding RMM leads them.

use psmmu::{DeviceError, Stage2, State, StateError, StreamError};
use responder_tests::raw::{fid, x0};
use responder_tests::{Machine, Options, PSMMU, Steps, Tables, configure_stream};
use rmm::Environment;
use smmu_model::{Command, Completion, Outcome, Tlbi, TlbiOperation, Transaction, Walk};

use crate::rig::{active, create, deactivate, destroy, started};

const STREAM: u32 = 70;
const TABLE: u64 = 64;
const VMID: u16 = 0x1234;
const STAGE_2: Stage2 = Stage2 { table: 0x8020_0000, vmid: VMID, t0sz: 25, sl0: 1, ps: 2 };

const CFGI: Command = Command::CfgiSte { stream: STREAM, leaf: true };
const SYNC: Command = Command::Sync(Completion::Silent);
const TLBI: Command = Command::Tlbi(Tlbi {
    operation: TlbiOperation::S12Vmall,
    vmid: VMID,
    asid: 0,
    address: 0,
    leaf: false,
});

/// A step of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Configure,
    Enable,
    Disable,
    Release,
}
use Step::{Configure, Disable, Enable, Release};

fn step_of(machine: &Machine, stream: u32, step: Step) -> Result<(), StreamError> {
    let (psmmu, tables) = (machine.psmmu(), Tables(&machine.harness));
    let clock: &Steps = machine.harness.clock();
    match step {
        Configure => configure_stream(psmmu, stream, STAGE_2, &tables, clock),
        Enable => psmmu.enable_stream(stream, &tables, clock),
        Disable => psmmu.disable_stream(stream, &tables, clock),
        Release => psmmu.release_stream(stream, &tables, clock),
    }
}

fn step(machine: &Machine, step: Step) -> Result<(), StreamError> {
    step_of(machine, STREAM, step)
}

fn with_table() -> Machine {
    let machine = active();
    assert_eq!(create(&machine, TABLE), x0::SUCCESS);
    let _ = machine.device().take_commands();
    machine
}

fn outcome(machine: &Machine) -> Outcome {
    let transaction = Transaction::write(STREAM, 0x7000).with(Walk::Translates);
    machine.device().transaction(&transaction)
}

#[test]
fn a_stream_translates_only_between_enable_and_disable() {
    let machine = with_table();
    for _ in 0..2 {
        for (next, commands, expected) in [
            (Configure, &[CFGI, SYNC][..], Outcome::Aborted),
            (Enable, &[CFGI, SYNC], Outcome::Translated),
            (Disable, &[CFGI, SYNC], Outcome::Aborted),
            (Disable, &[CFGI, SYNC], Outcome::Aborted),
            (Enable, &[CFGI, SYNC], Outcome::Translated),
            (Disable, &[CFGI, SYNC], Outcome::Aborted),
            (Release, &[CFGI, TLBI, SYNC], Outcome::Aborted),
        ] {
            assert_eq!(step(&machine, next), Ok(()));
            assert_eq!(machine.device().take_commands(), commands, "{next:?}");
            assert_eq!(outcome(&machine), expected, "{next:?}");
            assert_eq!(machine.notify(2), [0; 6], "what aborts is not recorded");
        }
    }
    assert_eq!(destroy(&machine, TABLE), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn a_stream_step_in_the_wrong_state_changes_nothing() {
    for (before, wrong) in [
        (&[][..], &[Enable, Disable, Release][..]),
        (&[Configure], &[Configure]),
        (&[Configure, Enable], &[Configure, Enable, Release]),
        (&[Configure, Enable, Disable], &[Configure]),
        (&[Configure, Release], &[Enable, Disable, Release]),
    ] {
        let machine = with_table();
        before.iter().for_each(|&next| assert_eq!(step(&machine, next), Ok(())));
        let translates = outcome(&machine);
        let _ = machine.device().take_commands();
        for &wrong in wrong {
            assert_eq!(
                step(&machine, wrong),
                Err(StreamError::WrongStep),
                "{wrong:?} at {before:?}"
            );
            assert_eq!(outcome(&machine), translates);
        }
        assert_eq!(machine.device().take_commands(), []);
    }
}

#[test]
fn streams_of_one_table_are_led_apart() {
    let machine = with_table();
    assert_eq!(step(&machine, Configure), Ok(()));
    assert_eq!(step(&machine, Enable), Ok(()));
    for other in [64, 69, 71, 127] {
        assert_eq!(step_of(&machine, other, Enable), Err(StreamError::WrongStep));
        assert_eq!(step_of(&machine, other, Configure), Ok(()));
    }
    assert_eq!(outcome(&machine), Outcome::Translated);
}

#[test]
fn a_table_is_in_use_until_its_last_stream_is_released() {
    let machine = with_table();
    let in_use = || machine.status(fid::ST_L2_DESTROY, [PSMMU, TABLE, 0]);
    assert_eq!(step_of(&machine, 127, Configure), Ok(()));
    assert_eq!(in_use(), x0::TABLE);
    for next in [Configure, Enable, Disable] {
        assert_eq!(step(&machine, next), Ok(()));
        assert_eq!(in_use(), x0::TABLE, "{next:?}");
    }
    assert_eq!(step_of(&machine, 127, Release), Ok(()));
    assert_eq!(in_use(), x0::TABLE);
    assert_eq!(machine.status(fid::PSMMU_DEACTIVATE, [PSMMU, 0, 0]), x0::INPUT);
    assert_eq!(step(&machine, Release), Ok(()));
    assert_eq!(destroy(&machine, TABLE), x0::SUCCESS);
    assert_eq!(step(&machine, Configure), Err(StreamError::NoTable));
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn a_stream_without_a_table_or_a_psmmu_takes_no_step() {
    let machine = started();
    let all = [Configure, Enable, Disable, Release];
    let not_active = Err(StateError::Wrong(State::Inactive).into());
    all.map(|next| assert_eq!(step(&machine, next), not_active)).into_iter().for_each(drop);
    assert_eq!(crate::rig::activate(&machine), x0::SUCCESS);
    for stream in [STREAM, 0, 0xFFFF, 1 << 16, u32::MAX] {
        for next in all {
            assert_eq!(step_of(&machine, stream, next), Err(StreamError::NoTable), "{stream}");
        }
    }
    let (handle, _) = machine.begin_create(TABLE);
    assert_eq!(step(&machine, Configure), Err(StreamError::NoTable), "it is being made");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    machine.device().set_removed(true);
    let _ = machine.notify(2);
    machine.device().forget_accesses();
    for next in [Configure, Enable] {
        assert_eq!(step(&machine, next), Err(StateError::Wrong(State::Failed).into()));
    }
    for next in [Disable, Release] {
        assert_eq!(step(&machine, next), Err(StreamError::WrongStep));
    }
    assert_eq!(machine.device().accesses(), (0, 0));
}

#[test]
fn a_stage_2_that_the_device_would_not_take_is_refused() {
    let machine = with_table();
    let configure = |stage_2| {
        let (tables, clock) = (Tables(&machine.harness), machine.harness.clock());
        configure_stream(machine.psmmu(), STREAM, stage_2, &tables, clock)
    };
    for bad in [
        Stage2 { table: 0x8020_0800, ..STAGE_2 },
        Stage2 { table: 1 << 52, ..STAGE_2 },
        Stage2 { t0sz: 15, ..STAGE_2 },
        Stage2 { t0sz: 40, ..STAGE_2 },
        Stage2 { sl0: 3, ..STAGE_2 },
        Stage2 { ps: 7, ..STAGE_2 },
    ] {
        assert_eq!(configure(bad), Err(StreamError::Stage2), "{bad:x?}");
    }
    assert_eq!(outcome(&machine), Outcome::Aborted);
    for good in [
        Stage2 { t0sz: 24, ..STAGE_2 },
        Stage2 { t0sz: 16, sl0: 2, ps: 5, ..STAGE_2 },
        Stage2 { t0sz: 34, sl0: 0, ..STAGE_2 },
        Stage2 { vmid: !0, ..STAGE_2 },
    ] {
        assert_eq!(configure(good), Ok(()), "{good:x?}");
        assert_eq!(step(&machine, Enable), Ok(()));
        assert_eq!(outcome(&machine), Outcome::Translated, "the device takes {good:x?}");
        assert_eq!(step(&machine, Disable), Ok(()));
        assert_eq!(step(&machine, Release), Ok(()));
    }
}

/// The words of a stage-2 entry, as the architecture has them: S2VMID 143:128, S2T0SZ 165:160, S2SL0 167:166,
/// S2PS 178:176, S2AA64 179, S2TTB 247:196.
fn words(Stage2 { table, vmid, t0sz, sl0, ps }: Stage2) -> [u64; 8] {
    let (t0sz, sl0, ps) = (u64::from(t0sz), u64::from(sl0), u64::from(ps));
    let third = u64::from(vmid) | t0sz << 32 | sl0 << 38 | ps << 48 | 1 << 51;
    [0b1101, 0, third, table, 0, 0, 0, 0]
}

#[test]
fn a_stage_2_is_taken_exactly_if_the_device_takes_its_entry() {
    const AARCH32: u32 = 1 << 2;
    let mut taken = 0;
    for (bits, aarch32, vmid16) in [
        (32, false, true),
        (32, true, false),
        (36, false, false),
        (40, false, true),
        (42, false, true),
        (44, true, false),
        (48, false, true),
        (52, false, false),
        (56, false, true),
    ] {
        let mut device = smmu_model::Config::default().with_address_bits(bits);
        if aarch32 {
            device.idr0 |= AARCH32;
        }
        if !vmid16 {
            device = device.with_vmids_of_8_bits();
        }
        let machine = Machine::with_device(Options::default(), device.clone()).with_active_rmm();
        machine.write_params(machine.flags(), &[]);
        assert_eq!(crate::rig::activate(&machine), x0::SUCCESS);
        assert_eq!(create(&machine, TABLE), x0::SUCCESS);
        let (tables, clock) = (Tables(&machine.harness), machine.harness.clock());
        let psmmu = machine.psmmu();
        for (t0sz, sl0) in (0..64).flat_map(|t0sz| (0..4).map(move |sl0| (t0sz, sl0))) {
            for ps in 0..8 {
                let vmids = [(0x8020_0000, 0x100), (0x8020_0000, 0xFF)];
                let above = [1 << 32, 1 << bits.min(55), 1 << 48].map(|table| (table, 7));
                for (table, vmid) in vmids.into_iter().chain(above) {
                    let stage_2 = Stage2 { table, vmid, t0sz, sl0, ps };
                    // The device takes more addresses of S2PS for all that it has, and a misaligned
                    // table for one that is aligned: neither is to be relied on.
                    let has_ps = [32, 36, 40, 42, 44, 48, 52].get(usize::from(ps));
                    let is_good = device.takes_entry(&words(stage_2))
                        && has_ps.is_some_and(|&size| size <= bits);
                    let result = configure_stream(psmmu, STREAM, stage_2, &tables, clock);
                    let expected = if is_good { Ok(()) } else { Err(StreamError::Stage2) };
                    assert_eq!(result, expected, "{bits} bits, {stage_2:x?}");
                    if is_good {
                        taken += 1;
                        assert_eq!(psmmu.release_stream(STREAM, &tables, clock), Ok(()));
                    }
                }
            }
        }
    }
    assert!(taken > 1000, "{taken} combinations were taken");
}

#[test]
fn a_vmid_has_only_the_bits_that_the_device_tags_with() {
    const VMID16: u32 = 1 << 18;
    let mut device = smmu_model::Config::default();
    device.idr0 &= !VMID16;
    let machine = Machine::with_device(Options::default(), device).with_active_rmm();
    assert_eq!(crate::rig::activate(&machine), x0::SUCCESS);
    assert_eq!(create(&machine, TABLE), x0::SUCCESS);
    let configure = |vmid| {
        let (tables, clock) = (Tables(&machine.harness), machine.harness.clock());
        let stage_2 = Stage2 { vmid, ..STAGE_2 };
        configure_stream(machine.psmmu(), STREAM, stage_2, &tables, clock)
    };
    assert_eq!(configure(256), Err(StreamError::Stage2));
    assert_eq!(configure(u16::MAX), Err(StreamError::Stage2));
    assert_eq!(configure(255), Ok(()));
}

#[test]
fn a_step_that_the_device_refuses_can_be_tried_again() {
    let machine = with_table();
    let refused = |next| {
        machine.device().corrupt_next_command([0xFF, 0]);
        assert_eq!(step(&machine, next), Err(DeviceError::CommandRejected.into()), "{next:?}");
        // It affects nothing else.
        let _ = machine.service(psmmu_abi::IrqSet::GERROR);
    };
    assert_eq!(step(&machine, Configure), Ok(()));
    refused(Enable);
    assert_eq!(outcome(&machine), Outcome::Aborted);
    assert_eq!(step(&machine, Enable), Ok(()));
    refused(Disable);
    assert_eq!(step(&machine, Disable), Ok(()));
    assert_eq!(outcome(&machine), Outcome::Aborted);
    refused(Release);
    assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, TABLE, 0]), x0::TABLE);
    assert_eq!(step(&machine, Release), Ok(()));
    assert_eq!(destroy(&machine, TABLE), x0::SUCCESS);
}

#[test]
fn a_stuck_command_queue_fails_the_psmmu_and_its_streams() {
    for next in [Enable, Disable, Release] {
        let machine = with_table();
        assert_eq!(step(&machine, Configure), Ok(()));
        if next == Disable {
            assert_eq!(step(&machine, Enable), Ok(()));
        }
        machine.device().set_hung(true);
        assert_eq!(step(&machine, next), Err(DeviceError::TimedOut.into()), "{next:?}");
        let failed = Err(StateError::Wrong(State::Failed).into());
        assert_eq!([Configure, Enable].map(|next| step(&machine, next)), [failed; 2]);
    }
}

#[test]
fn streams_of_a_failed_psmmu_are_released_once_it_is_off() {
    for before in [&[Configure][..], &[Configure, Enable]] {
        let machine = with_table();
        before.iter().for_each(|&next| assert_eq!(step(&machine, next), Ok(())));
        assert_eq!(step_of(&machine, 127, Configure), Ok(()));
        machine.device().set_hung(true);
        assert_eq!(step_of(&machine, 127, Enable), Err(DeviceError::TimedOut.into()));
        // As long as its state is unknown, its tables stay as they are.
        for stream in [STREAM, 127] {
            assert_eq!(step_of(&machine, stream, Disable), Err(DeviceError::TimedOut.into()));
            assert_eq!(step_of(&machine, stream, Release), Err(DeviceError::TimedOut.into()));
        }
        assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, TABLE, 0]), x0::TABLE);
        machine.device().set_hung(false);
        for stream in [STREAM, 127] {
            assert_eq!(step_of(&machine, stream, Disable), Ok(()));
            assert_eq!(machine.device().cr0ack() & 1, 0, "it reads no STE");
            assert_eq!(step_of(&machine, stream, Release), Ok(()));
        }
        assert_eq!(destroy(&machine, TABLE), x0::SUCCESS);
        assert_eq!(deactivate(&machine), x0::SUCCESS);
        crate::rig::run_cycle(&machine);
    }
}

#[test]
fn unassigned_streams_may_bypass_where_the_platform_allows() {
    let machine = active();
    let own = Stage2 { vmid: 1, ..STAGE_2 };
    machine.harness.set_default_ste_to_stage_2(STREAM, own);
    assert_eq!(create(&machine, TABLE), x0::SUCCESS);
    assert_eq!(outcome(&machine), Outcome::Translated);
    for wrong in [Enable, Disable, Release] {
        assert_eq!(step(&machine, wrong), Err(StreamError::WrongStep), "{wrong:?}");
    }
    let _ = machine.device().take_commands();
    assert_eq!(step(&machine, Configure), Ok(()));
    assert_eq!(outcome(&machine), Outcome::Aborted);
    let twice = [CFGI, SYNC, CFGI, SYNC];
    assert_eq!(machine.device().take_commands(), twice, "it must stop to translate first");
    assert_eq!(step(&machine, Enable), Ok(()));
    assert_eq!(outcome(&machine), Outcome::Translated);
    assert_eq!(step(&machine, Disable), Ok(()));
    assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, TABLE, 0]), x0::TABLE);
    assert_eq!(step(&machine, Release), Ok(()));
    assert_eq!(outcome(&machine), Outcome::Translated);
    assert_eq!(destroy(&machine, TABLE), x0::SUCCESS);
}

/// The command that invalidates by IPA, as the device is to get it.
const fn by_ipa(address: u64, leaf: bool) -> Command {
    let operation = TlbiOperation::S2Ipa;
    Command::Tlbi(Tlbi { operation, vmid: VMID, asid: 0, address, leaf })
}

#[test]
fn translations_of_a_table_that_changes_are_invalidated() {
    let machine = with_table();
    let (psmmu, clock) = (machine.psmmu(), machine.harness.clock());
    assert_eq!(step(&machine, Configure), Ok(()));
    assert_eq!(step(&machine, Enable), Ok(()));
    assert_eq!(outcome(&machine), Outcome::Translated);
    assert!(machine.device().caches_vmid(VMID));
    let _ = machine.device().take_commands();
    assert_eq!(psmmu.tlbi_s2_ipa(VMID, 0x1234_5678, true, clock), Ok(()));
    assert_eq!(psmmu.tlbi_s2_ipa(VMID, 0xF000, false, clock), Ok(()));
    let expected = [by_ipa(0x1234_5000, true), SYNC, by_ipa(0xF000, false), SYNC];
    assert_eq!(machine.device().take_commands(), expected);
    assert_eq!(psmmu.tlbi_s12_vmall(VMID, clock), Ok(()));
    assert_eq!(machine.device().take_commands(), [TLBI, SYNC]);
    assert!(!machine.device().caches_vmid(VMID));
}

#[test]
fn an_invalidation_ends_by_its_error_in_every_state() {
    let machine = started();
    let (psmmu, clock) = (machine.psmmu(), machine.harness.clock());
    let both = || [psmmu.tlbi_s2_ipa(VMID, 0, true, clock), psmmu.tlbi_s12_vmall(VMID, clock)];
    assert_eq!(both(), [Err(StateError::Wrong(State::Inactive).into()); 2]);
    assert_eq!(crate::rig::activate(&machine), x0::SUCCESS);
    for by_ipa in [true, false] {
        machine.device().corrupt_next_command([0xFF, 0]);
        let result = if by_ipa {
            psmmu.tlbi_s2_ipa(VMID, 0, true, clock)
        } else {
            psmmu.tlbi_s12_vmall(VMID, clock)
        };
        assert_eq!(result, Err(DeviceError::CommandRejected.into()));
    }
    assert_eq!(both(), [Ok(()); 2]);
    machine.device().set_hung(true);
    assert_eq!(both(), [Err(DeviceError::TimedOut.into()); 2]);
    machine.device().set_hung(false);
    assert_eq!(both(), [Ok(()); 2], "it is off, and translates nothing");
    assert_eq!(machine.device().cr0ack() & 1, 0);
}

#[test]
fn broadcast_tlb_maintenance_is_switched_off_where_it_exists() {
    const PTM: u64 = 1 << 2;
    let default = smmu_model::Config::default();
    for (device, ptm) in [(default.clone().with_btm(), PTM), (default, 0)] {
        let machine = Machine::with_device(Options::default(), device).with_active_rmm();
        machine.write_params(machine.flags(), &[]);
        assert_eq!(crate::rig::activate(&machine), x0::SUCCESS);
        assert_eq!(machine.device().peek(smmu_model::Register::Cr2) & PTM, ptm);
    }
}
