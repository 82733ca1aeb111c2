// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device that stops responding, at each access of each step of the lifecycle. Memory is returned
//! only when the device cannot reach it any more, which the model checks, and held only as long as it
//! can; and once the device responds again, all comes back.

use std::sync::atomic::Ordering;

use psmmu::State;
use responder_tests::raw::{fid, x0};
use responder_tests::{Machine, Options};
use rmm::Environment;

use crate::rig::{
    activate, active, create, deactivate, destroy, revive, run_cycle, started, started_with,
    stop_responding,
};

/// How long the device hangs: for good, or for so many accesses.
const DURATIONS: [u64; 6] = [u64::MAX, 1, 5, 12, 25, 40];

/// Makes the device hang at each access of `action` in turn, for each of [`DURATIONS`]. `action` is
/// given a machine and what `prepare` made of it; behind it `check` is given the machine, whose device responds
/// again, and the answer.
fn at_each_access(
    prepare: impl Fn(&Machine) -> u64,
    action: impl Fn(&Machine, u64) -> u64,
    check: impl Fn(&Machine, u64, &str),
) {
    // With and without MSIs that say when commands are done.
    let all = DURATIONS.map(|duration| [false, true].map(|msis| (duration, msis)));
    for (duration, msis) in all.into_iter().flatten() {
        let mut failed = 0;
        for access in 0.. {
            let machine = started_with(Options { msis, ..Options::default() });
            let handle = prepare(&machine);
            let count = stop_responding(&machine, access, access.saturating_add(duration));
            let x0 = action(&machine, handle);
            let context = format!("no response from access {access} for {duration}: {x0:#x}");
            assert!(count.load(Ordering::Relaxed) < 200, "{context}: nothing spins on it");
            let is_through = count.load(Ordering::Relaxed) <= access;
            assert!(!is_through || x0 == x0::SUCCESS, "{context}");
            failed += u32::from(x0 != x0::SUCCESS);
            revive(&machine);
            check(&machine, x0, &context);
            if is_through {
                break;
            }
        }
        assert!(failed > 0 || duration < 40, "no response for {duration}: it is never noticed");
    }
}

/// Returns whether the device can still reach memory: by a queue or by translation.
fn can_reach_memory(machine: &Machine) -> bool {
    let device = machine.device();
    (device.cr0() | device.cr0ack()) & 0xF != 0
}

/// Deactivates the PSMMU from whatever state, and runs one more cycle.
fn recover(machine: &Machine, context: &str) {
    if machine.state() != State::Inactive {
        assert_eq!(deactivate(machine), x0::SUCCESS, "{context}");
    }
    machine.check_quiesced();
    run_cycle(machine);
}

/// Checks of a device that hangs, or has, that what was not returned is out of reach of the host.
fn check_kept(machine: &Machine) {
    for granule in machine.host.realm() {
        assert_eq!(machine.undelegate(granule), x0::INPUT, "{granule:#x} is in use");
    }
}

#[test]
fn activation_memory_is_held_while_the_device_may_use_it() {
    at_each_access(
        |machine| {
            let (handle, mut request) = machine.begin_activate();
            while let (x0::DONATE, next, _) = machine.give(handle, request) {
                request = next;
            }
            handle
        },
        |machine, handle| {
            let x0 = machine.finish(handle);
            check_kept(machine);
            let kept = machine.heap.used() != 0;
            assert_eq!(kept, can_reach_memory(machine), "X0 {x0:#x}");
            x0
        },
        |machine, x0, context| {
            let expected = match x0 {
                x0::SUCCESS => State::Active,
                x0::DEVICE => State::Failed,
                other => panic!("{other:#x}"),
            };
            assert_eq!(machine.state(), expected, "{context}");
            recover(machine, context);
        },
    );
}

#[test]
fn a_deactivation_that_times_out_keeps_all_and_can_be_retried() {
    at_each_access(
        activate,
        |machine, _| {
            let x0 = deactivate(machine);
            check_kept(machine);
            assert_eq!(machine.heap.used(), if x0 == x0::SUCCESS { 0 } else { 4 }, "X0 {x0:#x}");
            x0
        },
        |machine, x0, context| {
            if x0 != x0::SUCCESS {
                assert_eq!(x0, x0::DEVICE, "{context}");
                assert_eq!(machine.state(), State::Failed, "{context}");
            }
            recover(machine, context);
        },
    );
}

#[test]
fn a_table_is_held_until_the_device_has_invalidated_it() {
    at_each_access(
        |machine| {
            assert_eq!(activate(machine), x0::SUCCESS);
            let (handle, request) = machine.begin_create(64);
            machine.give(handle, request);
            handle
        },
        |machine, handle| {
            let x0 = machine.finish(handle);
            check_kept(machine);
            x0
        },
        |machine, x0, context| {
            match x0 {
                x0::SUCCESS => assert_eq!(machine.state(), State::Active, "{context}"),
                x0 => {
                    assert_eq!((x0, machine.state()), (x0::DEVICE, State::Failed), "{context}");
                }
            }
            // Kept it is there, and handed back it is not.
            let kept = machine.heap.used() - 4;
            let expected = if kept == 0 { x0::INPUT } else { x0::SUCCESS };
            assert_eq!(destroy(machine, 64), expected, "{context}");
            recover(machine, context);
        },
    );
}

#[test]
fn a_table_that_the_device_has_not_invalidated_stays() {
    at_each_access(
        |machine| {
            assert_eq!(activate(machine), x0::SUCCESS);
            create(machine, 64)
        },
        |machine, _| {
            let x0 = destroy(machine, 64);
            check_kept(machine);
            x0
        },
        |machine, x0, context| {
            if x0 != x0::SUCCESS {
                assert_eq!((x0, machine.state()), (x0::DEVICE, State::Failed), "{context}");
                let status = machine.status(fid::PSMMU_DEACTIVATE, [responder_tests::PSMMU, 0, 0]);
                assert_eq!(status, x0::INPUT, "{context}: with a table");
                assert_eq!(destroy(machine, 64), x0::SUCCESS, "{context}");
            }
            recover(machine, context);
        },
    );
}

#[test]
fn an_unresponsive_device_keeps_its_memory_on_every_retry() {
    let machine = active();
    assert_eq!(create(&machine, 64), x0::SUCCESS);
    machine.device().set_hung(true);
    for _ in 0..3 {
        machine.device().forget_accesses();
        assert_eq!(destroy(&machine, 64), x0::DEVICE);
        let (reads, writes) = machine.device().accesses();
        assert!(reads < 60 && writes < 10, "{reads} reads, {writes} writes");
    }
    let status = |function, x2| machine.status(function, [responder_tests::PSMMU, x2, 0]);
    assert_eq!(status(fid::PSMMU_DEACTIVATE, 0), x0::INPUT, "with a table");
    assert_eq!(status(fid::PSMMU_ACTIVATE, responder_tests::HOST_PAGE), x0::DEVICE);
    assert_eq!(status(fid::ST_L2_CREATE, 0), x0::DEVICE);
    check_kept(&machine);
    revive(&machine);
    assert_eq!(destroy(&machine, 64), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn a_failed_activation_is_deactivated_and_activated_again() {
    let machine = started();
    let (handle, _) = machine.begin_activate();
    // It is removed before it was seen to be disabled, so it never learns of the memory.
    machine.device().set_removed(true);
    assert_eq!(machine.finish(handle), x0::DEVICE);
    assert_eq!((machine.state(), machine.heap.used()), (State::Failed, 0));
    assert_eq!(deactivate(&machine), x0::DEVICE, "its state is unknown");
    machine.device().set_removed(false);
    assert_eq!(machine.begin(fid::PSMMU_DEACTIVATE, 0, x0::CONTINUE), (machine.handles()[0], 0));
    assert_eq!(machine.finish(machine.handles()[0]), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn a_failed_activation_reports_nothing_of_the_cycle_before() {
    let machine = active();
    machine.device().raise(1 << 5);
    assert_ne!(machine.notify(1), [0; 6]);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    let (handle, _) = machine.begin_activate();
    machine.device().set_removed(true);
    assert_eq!(machine.finish(handle), x0::DEVICE);
    let notify = machine.call([fid::IRQ_NOTIFY, responder_tests::PSMMU, 7, 0, 0, 0, 0, 0]);
    assert_eq!(notify, [x0::DEVICE, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn memory_of_an_absent_device_is_held_until_it_returns() {
    let machine = active();
    assert_eq!(create(&machine, 0), x0::SUCCESS);
    machine.device().set_removed(true);
    assert_eq!(destroy(&machine, 0), x0::DEVICE);
    assert_eq!(machine.state(), State::Failed);
    check_kept(&machine);
    machine.device().set_removed(false);
    assert_eq!(destroy(&machine, 0), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn every_wait_ends_with_a_clock_that_stands_still() {
    let machine = active();
    assert_eq!(create(&machine, 64), x0::SUCCESS);
    machine.harness.clock().stop(true);
    // A device that responds is served without a clock.
    assert_eq!(create(&machine, 0), x0::SUCCESS);
    machine.device().set_hung(true);
    assert_eq!(destroy(&machine, 0), x0::DEVICE);
    assert_eq!(machine.state(), State::Failed);
    assert_eq!(destroy(&machine, 64), x0::DEVICE);
    check_kept(&machine);
    revive(&machine);
    assert_eq!(destroy(&machine, 0), x0::SUCCESS);
    assert_eq!(destroy(&machine, 64), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}
