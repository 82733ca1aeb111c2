// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which operation is meant, and how many there can be.

use responder_tests::raw::{fid, x0};
use responder_tests::{HOST_PAGE, Machine, Options, PSMMU, PSMMU_STEP, RAW_LIST};

use crate::rig::{active, create, deactivate, destroy, run_cycle, started};

/// All that goes on with an operation.
const ALL: [u64; 4] = [fid::OP_CONTINUE, fid::OP_MEM_DONATE, fid::OP_MEM_RECLAIM, fid::OP_CANCEL];

#[test]
fn the_first_handle_of_a_boot_is_zero_and_none_comes_again() {
    let machine = started();
    let mut seen = Vec::new();
    for _ in 0..20 {
        let (handle, _) = machine.begin_activate();
        seen.push(handle);
        assert_eq!(machine.finish(handle), x0::SUCCESS);
        assert_eq!(deactivate(&machine), x0::SUCCESS);
    }
    assert_eq!(seen[0], 0);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 20);
}

#[test]
fn an_invalid_or_completed_handle_changes_no_operation() {
    let machine = started();
    assert_eq!(ALL.map(|function| machine.status(function, [0, RAW_LIST, 1])), [x0::INPUT; 4]);
    let (stale, _) = machine.begin_activate();
    assert_eq!(machine.finish(stale), x0::SUCCESS);
    let (handle, request) = machine.begin_create(0);
    assert_ne!(handle, stale);
    for other in [stale, handle + 1, handle + 0x100, handle + 0x1_0000, handle | 1 << 63, !0] {
        for function in ALL {
            assert_eq!(machine.status(function, [other, RAW_LIST, 1]), x0::INPUT, "{other:#x}");
        }
    }
    assert_eq!(machine.proceed(handle), (x0::DONATE, request));
    assert_eq!(machine.finish(handle), x0::SUCCESS);
}

#[test]
fn the_arguments_of_continue_may_be_swapped() {
    let machine = active();
    let (handle, request) = machine.begin_create(0);
    assert_ne!(handle, 0);
    let answer = machine.ask(fid::OP_CONTINUE, [0, handle, 9]);
    assert_eq!(answer, [x0::DONATE, handle, request, 0]);
    machine.give(handle, request);
    assert_eq!(machine.ask(fid::OP_CONTINUE, [0, handle, 9]), [x0::SUCCESS, 0, 0, 0]);
    assert_eq!(machine.ask(fid::OP_CONTINUE, [0, handle, 9]), [x0::INPUT, 0, 0, 0]);
}

#[test]
fn swapped_arguments_never_select_handle_zero() {
    let machine = two();
    let (first, request) = machine.begin_activate();
    assert_eq!(first, 0);
    let [x0, second, ..] = machine.ask(fid::PSMMU_ACTIVATE, [PSMMU + PSMMU_STEP, HOST_PAGE, 0]);
    assert_eq!(x0, x0::DONATE);
    // The first one has all it needs, so that going on would end it.
    let mut next = (x0::DONATE, request);
    while let (x0::DONATE, request) = next {
        let (x0, request, _) = machine.give(first, request);
        next = (x0, request);
    }
    assert_eq!(machine.ask(fid::OP_CONTINUE, [0, second, 0]), [x0::DONATE, second, request, 0]);
    // One that is over selects no operation, and not the first one.
    assert_eq!(machine.finish(second), x0::SUCCESS);
    assert_eq!(machine.status(fid::OP_CONTINUE, [0, second, 0]), x0::INPUT);
    // The flag of haste is no handle.
    assert_eq!(machine.ask(fid::OP_CONTINUE, [0, 1, 0]), [x0::SUCCESS, 0, 0, 0]);
}

fn two() -> Machine {
    let devices = vec![smmu_model::Config::default(); 2];
    let machine = Machine::with_devices(Options::default(), devices).with_active_rmm();
    machine.write_params(machine.flags(), &[]);
    machine
}

#[test]
fn an_operation_cannot_be_continued_with_anothers_call() {
    let machine = active();
    let (giving, _) = {
        assert_eq!(create(&machine, 0), x0::SUCCESS);
        machine.begin(fid::ST_L2_DESTROY, 0, x0::RECLAIM)
    };
    let (taking, request) = machine.begin_create(64);
    assert_eq!(machine.status(fid::OP_MEM_DONATE, [giving, RAW_LIST, 1]), x0::INPUT);
    assert_eq!(machine.status(fid::OP_MEM_RECLAIM, [taking, RAW_LIST, 1]), x0::INPUT);
    assert_eq!(machine.proceed(giving), (x0::RECLAIM, 0));
    assert_eq!(machine.proceed(taking), (x0::DONATE, request));
    assert_eq!(machine.finish(taking), x0::SUCCESS);
    assert_eq!(machine.finish(giving), x0::SUCCESS);
    assert_eq!(destroy(&machine, 64), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn what_asks_for_memory_is_cancelled_and_gives_back_what_it_has() {
    for gives in 0..3 {
        let machine = started();
        let (handle, mut request) = machine.begin_activate();
        for _ in 0..gives {
            (_, request, _) = machine.give(handle, request);
        }
        let expected = if gives == 0 { x0::CONTINUE } else { x0::RECLAIM };
        assert_eq!(machine.status(fid::OP_CANCEL, [handle, 0, 0]), expected);
        assert_eq!(machine.status(fid::OP_CANCEL, [handle, 0, 0]), x0::INPUT, "twice");
        if gives != 0 {
            machine.reclaim_all(handle);
        }
        assert_eq!(machine.proceed(handle), (x0::INPUT, 0));
        machine.check_quiesced();
        run_cycle(&machine);
    }
    let machine = active();
    let (handle, _) = machine.begin_create(0);
    assert_eq!(machine.status(fid::OP_CANCEL, [handle, 0, 0]), x0::CONTINUE);
    assert_eq!(create(&machine, 64), x0::SUCCESS, "nothing is blocked");
    assert_eq!(machine.proceed(handle), (x0::INPUT, 0));
    assert_eq!(destroy(&machine, 0), x0::INPUT, "there is no table");
    assert_eq!(create(&machine, 0), x0::SUCCESS);
}

#[test]
fn what_does_not_ask_for_memory_cannot_be_cancelled_and_goes_on() {
    let machine = active();
    let refused = |handle| assert_eq!(machine.status(fid::OP_CANCEL, [handle, 0, 0]), x0::INPUT);
    let (handle, request) = machine.begin_create(0);
    machine.give(handle, request);
    refused(handle);
    assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    for (function, x2) in [(fid::ST_L2_DESTROY, 0), (fid::PSMMU_DEACTIVATE, 0)] {
        let (handle, _) = machine.begin(function, x2, x0::RECLAIM);
        refused(handle);
        machine.reclaim_all(handle);
        refused(handle);
        assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    }
    run_cycle(&machine);
}

#[test]
fn a_host_without_memory_cancels_and_reclaims_its_donations() {
    const STOP: u64 = 1;
    let machine = started();
    let stop = |handle| machine.ask(fid::OP_CONTINUE, [handle, STOP, 9]);
    let (handle, _) = machine.begin_activate();
    assert_eq!(stop(handle), [x0::INPUT, 0, 0, 0], "it had given nothing");
    machine.check_quiesced();
    let (handle, request) = machine.begin_activate();
    machine.give(handle, request);
    assert_eq!(stop(handle), [x0::RECLAIM, handle, 0, 0]);
    assert_eq!(stop(handle), [x0::RECLAIM, handle, 0, 0], "in no other case it does anything");
    assert_eq!(machine.finish(handle), x0::INPUT);
    run_cycle(&machine);
}

#[test]
fn operations_that_are_too_many_are_blocked_and_begin_nothing() {
    let machine = active();
    let open: Vec<_> = (0..8).map(|table| machine.begin_create(64 * table).0).collect();
    let blocked = |function, x2| machine.status(function, [PSMMU, x2, 0]);
    assert_eq!(blocked(fid::ST_L2_CREATE, 64 * 8), x0::BLOCKED);
    assert_eq!(blocked(fid::ST_L2_DESTROY, 0), x0::BLOCKED);
    assert_eq!(blocked(fid::PSMMU_DEACTIVATE, 0), x0::BLOCKED);
    assert_eq!(blocked(fid::PSMMU_ACTIVATE, HOST_PAGE), x0::BLOCKED);
    // What needs no operation goes on.
    assert_eq!(blocked(fid::PSMMU_INFO, HOST_PAGE), x0::SUCCESS);
    assert_eq!(machine.finish(open[3]), x0::SUCCESS);
    assert_eq!(create(&machine, 64 * 8), x0::SUCCESS, "it was not begun before");
    for (table, handle) in open.into_iter().enumerate().filter(|&(table, _)| table != 3) {
        assert_eq!(machine.finish(handle), x0::SUCCESS, "{table}");
    }
    (0..9).for_each(|table| assert_eq!(destroy(&machine, 64 * table), x0::SUCCESS));
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn a_failed_beginning_takes_no_place_and_no_handle() {
    let machine = started();
    for _ in 0..20 {
        assert_eq!(machine.status(fid::PSMMU_DEACTIVATE, [PSMMU, 0, 0]), x0::INPUT);
    }
    assert_eq!(machine.begin_activate().0, 0);
}
