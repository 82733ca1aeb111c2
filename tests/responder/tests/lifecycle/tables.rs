// SPDX-License-Identifier: MIT OR Apache-2.0

//! Level-2 tables come and go.

use psmmu::{CreateError, Stage2, StreamError, TableError, TableMemory};
use responder_tests::raw::{ONE_GRANULE, entry, fid, x0};
use responder_tests::{Machine, ModelMemory, PSMMU, Steps, Tables, configure_stream};
use rmm::Environment;
use smmu_model::{Command, Completion, Outcome, Record, Transaction, Walk};

use crate::rig::{active, create, deactivate, destroy, run_cycle, started};

fn outcome(machine: &Machine, stream: u32) -> Outcome {
    machine.device().transaction(&Transaction::read(stream, 0x1000))
}

#[test]
fn a_stream_with_a_table_aborts_and_without_one_is_bad() {
    let machine = active();
    let unknown = |stream| Outcome::Recorded(Record::bad_stream_id(stream).read());
    let is_unknown = |stream| match outcome(&machine, stream) {
        Outcome::Recorded(record) => record.number() == 0x02,
        Outcome::Aborted => false,
        other => panic!("{other:?} and not {:?}", unknown(stream)),
    };
    assert!(is_unknown(64));
    let (handle, request) = machine.begin_create(64);
    let _ = machine.device().take_commands();
    assert!(is_unknown(64), "while it is being made");
    machine.give(handle, request);
    assert!(is_unknown(64), "until the host goes on");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!([63, 64, 127, 128].map(is_unknown), [true, false, false, true]);
    let expected =
        [Command::CfgiSte { stream: 64, leaf: false }, Command::Sync(Completion::Silent)];
    assert_eq!(machine.device().take_commands(), expected);

    let (handle, _) = machine.begin(fid::ST_L2_DESTROY, 64, x0::RECLAIM);
    assert!(is_unknown(64), "before its granule is given back");
    let expected = [Command::CfgiAll, Command::Sync(Completion::Silent)];
    assert_eq!(machine.device().take_commands(), expected);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn a_table_that_exists_or_is_being_made_is_not_made_again() {
    let machine = active();
    let (handle, request) = machine.begin_create(64);
    assert_eq!(request, ONE_GRANULE);
    assert_eq!(machine.status(fid::ST_L2_CREATE, [PSMMU, 64, 0]), x0::BLOCKED);
    assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, 64, 0]), x0::BLOCKED);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(machine.status(fid::ST_L2_CREATE, [PSMMU, 64, 0]), x0::TABLE);
    // One whose making failed can be made.
    let (handle, _) = machine.begin_create(128);
    assert_eq!(machine.donate(handle, &[entry(0, 1)]), [x0::INPUT, 0, 0]);
    assert_eq!(machine.finish(handle), x0::INPUT);
    assert_eq!(create(&machine, 128), x0::SUCCESS);
}

#[test]
fn streams_that_begin_no_table_or_are_too_large_are_refused() {
    let machine = active();
    for stream in [1, 63, 65, 0xFFFF, 1 << 16, 1 << 32, 64 | 1 << 32, 1 << 63, !63, !0] {
        for function in [fid::ST_L2_CREATE, fid::ST_L2_DESTROY] {
            assert_eq!(machine.status(function, [PSMMU, stream, 0]), x0::INPUT, "{stream:#x}");
        }
    }
    assert_eq!(create(&machine, 0xFFC0), x0::SUCCESS, "the last one");
    assert_eq!(destroy(&machine, 0xFFC0), x0::SUCCESS);
}

#[test]
fn a_table_that_is_missing_is_not_destroyed() {
    let machine = active();
    assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, 0, 0]), x0::INPUT);
    assert_eq!(create(&machine, 0), x0::SUCCESS);
    assert_eq!(destroy(&machine, 0), x0::SUCCESS);
    assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, 0, 0]), x0::INPUT);
}

#[test]
fn a_psmmu_that_is_not_active_has_no_tables() {
    let machine = started();
    let refused = |what: &str| {
        for function in [fid::ST_L2_CREATE, fid::ST_L2_DESTROY] {
            assert_eq!(machine.status(function, [PSMMU, 0, 0]), x0::INPUT, "{what}");
            assert_eq!(machine.status(function, [PSMMU + 1, 0, 0]), x0::INPUT, "no PSMMU");
        }
    };
    refused("inactive");
    let (handle, _) = machine.begin_activate();
    refused("being activated");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    let (handle, _) = machine.begin(fid::PSMMU_DEACTIVATE, 0, x0::RECLAIM);
    refused("being deactivated");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn a_psmmu_with_tables_is_not_deactivated() {
    let machine = active();
    let busy = || assert_eq!(machine.status(fid::PSMMU_DEACTIVATE, [PSMMU, 0, 0]), x0::INPUT);
    let (handle, request) = machine.begin_create(0);
    busy();
    machine.give(handle, request);
    busy();
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    busy();
    // The table is unlinked, and its granule on the way back: no reason to wait.
    let (giving, _) = machine.begin(fid::ST_L2_DESTROY, 0, x0::RECLAIM);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    assert_eq!(machine.finish(giving), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn a_table_refused_by_the_device_is_returned_and_can_be_retried() {
    let machine = active();
    let (handle, request) = machine.begin_create(0);
    machine.give(handle, request);
    machine.device().corrupt_next_command([0xFF, 0]);
    let (x0, _) = machine.proceed(handle);
    assert_eq!(x0, x0::RECLAIM);
    assert_eq!(machine.finish(handle), x0::DEVICE);
    assert_eq!(
        machine.state(),
        psmmu::State::Active,
        "a rejected command is no failure of the device"
    );
    assert_eq!(create(&machine, 0), x0::SUCCESS);
    // The same when it is to go: it stays.
    machine.device().corrupt_next_command([0xFF, 0]);
    assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, 0, 0]), x0::DEVICE);
    assert_eq!(machine.status(fid::ST_L2_CREATE, [PSMMU, 0, 0]), x0::TABLE);
    assert_eq!(destroy(&machine, 0), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn a_table_whose_psmmu_has_failed_meanwhile_is_not_made() {
    let machine = active();
    let (handle, request) = machine.begin_create(0);
    machine.give(handle, request);
    machine.device().set_removed(true);
    let _ = machine.notify(2);
    assert_eq!(machine.state(), psmmu::State::Failed);
    machine.device().set_removed(false);
    machine.device().forget_accesses();
    assert_eq!(machine.proceed(handle), (x0::RECLAIM, 0));
    assert_eq!(machine.device().accesses(), (0, 0), "nothing waits for a failed device");
    assert_eq!(machine.finish(handle), x0::DEVICE);
    assert_eq!(machine.status(fid::ST_L2_CREATE, [PSMMU, 0, 0]), x0::DEVICE);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn all_tables_of_a_psmmu_can_be_there_at_once() {
    let machine = active();
    for table in 0..1 << 10 {
        assert_eq!(create(&machine, 64 * table), x0::SUCCESS);
    }
    assert_eq!(machine.heap.used(), 4 + (1 << 10));
    for table in (0..1 << 10).rev() {
        assert_eq!(destroy(&machine, 64 * table), x0::SUCCESS);
    }
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

/// Level-2 tables that cannot be opened.
struct Closed;

// SAFETY: nothing is ever open.
unsafe impl TableMemory for Closed {
    type Memory = ModelMemory;

    fn open(&self, _: u64) -> Option<ModelMemory> {
        None
    }
}

#[test]
fn a_table_that_cannot_be_mapped_changes_nothing() {
    const STAGE_2: Stage2 = Stage2 { table: 0x8020_0000, vmid: 1, t0sz: 25, sl0: 1, ps: 2 };
    let machine = active();
    assert_eq!(create(&machine, 64), x0::SUCCESS);
    let (psmmu, tables) = (machine.psmmu(), Tables(&machine.harness));
    let clock: &Steps = machine.harness.clock();
    assert_eq!(configure_stream(psmmu, 70, STAGE_2, &tables, clock), Ok(()));
    assert_eq!(psmmu.enable_stream(70, &tables, clock), Ok(()));
    let _ = machine.device().take_commands();

    let not_opened = Err(StreamError::NotOpened);
    assert_eq!(configure_stream(psmmu, 71, STAGE_2, &Closed, clock), not_opened);
    assert_eq!(psmmu.enable_stream(70, &Closed, clock), not_opened);
    assert_eq!(psmmu.disable_stream(70, &Closed, clock), not_opened);
    assert_eq!(psmmu.release_stream(70, &Closed, clock), not_opened);
    assert_eq!(psmmu.st_l2_destroy(64, &Closed, clock), Err(TableError::NotOpened));
    let table = psmmu.st_l2_create_begin(128).expect("there is none");
    match psmmu.st_l2_create_finish(table, 0x8030_0000, &Closed, clock) {
        Err(CreateError { error: TableError::NotOpened, is_free: true, claim: Some(table) }) => {
            psmmu.st_l2_create_cancel(table);
        }
        other => panic!("{other:?}"),
    }

    assert_eq!(machine.device().take_commands(), []);
    let walk = Transaction::read(70, 0x1000).with(Walk::Translates);
    assert_eq!(machine.device().transaction(&walk), Outcome::Translated);
    assert_eq!(psmmu.disable_stream(70, &tables, clock), Ok(()));
    assert_eq!(psmmu.release_stream(70, &tables, clock), Ok(()));
    assert_eq!([64, 128].map(|stream| create(&machine, stream)), [x0::TABLE, x0::SUCCESS]);
    assert_eq!([64, 128].map(|stream| destroy(&machine, stream)), [x0::SUCCESS; 2]);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}
