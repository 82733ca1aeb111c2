// SPDX-License-Identifier: MIT OR Apache-2.0

//! What several CPUs may do at once with the lifecycle of a PSMMU and with memory. Each test runs under many
//! schedules.

use model_adapter::{Tables, configure_stream};
use psmmu::{DeviceError, Stage2, State, StreamError};
use psmmu_abi::{Event, Function, MemoryTransfer, Status};
use rmm::Environment;
use shuttle::thread::{self, JoinHandle};
use smmu_model::Record;
use thread_tests::{Monitor, Reply, spawn, under_all_schedules};

/// Schedules of each test, for each way to choose them.
const SCHEDULES: usize = 300;

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Repeats a call that another CPU is in the way of.
fn with_retries(mut call: impl FnMut() -> Status) -> Status {
    loop {
        match call() {
            Status::Busy => thread::yield_now(),
            status => return status,
        }
    }
}

/// Repeats a step of a stream that another CPU is in the way of.
fn unless_busy(mut step: impl FnMut() -> Result<(), StreamError>) -> Result<(), StreamError> {
    loop {
        match step() {
            Err(StreamError::Device(DeviceError::Busy)) => thread::yield_now(),
            result => return result,
        }
    }
}

/// Begins a table and donates nothing yet.
fn st_l2_create_begin(monitor: &Monitor, stream: u64) -> u64 {
    let reply = monitor.begin(Function::PsmmuStL2Create, stream);
    assert_eq!(reply.wants(), Some(MemoryTransfer::Donate), "{reply:?}");
    reply.outputs[0]
}

/// Ends a table that failed.
fn end_failed(monitor: &Monitor, handle: u64) {
    let end = monitor.finish(0, Reply { outputs: [handle, 0, 0], ..monitor.proceed(handle) }, 8);
    assert_eq!(end, Status::ErrorInput);
}

#[test]
fn concurrent_moves_of_a_granule_leave_it_in_one_state() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::new();
        let threads = [(); 3].map(|()| {
            spawn(&monitor, |monitor| {
                let mut moves = [0, 0];
                for _ in 0..2 {
                    moves[0] += u32::from(with_retries(|| monitor.delegate(0)) == Status::Success);
                    moves[1] +=
                        u32::from(with_retries(|| monitor.undelegate(0)) == Status::Success);
                }
                moves
            })
        });
        let moves =
            join(threads).into_iter().fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
        let [delegated, undelegated] = moves;
        assert!(delegated >= 1);
        let inside = monitor.realm().len() as u32;
        assert_eq!(delegated, undelegated + inside, "{moves:?}");
        if inside == 1 {
            assert_eq!(monitor.undelegate(0), Status::Success);
        }
        monitor.check_quiesced();
    });
}

#[test]
fn the_rmm_leaves_service_with_nothing_delegated_or_begun_alone() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::new();
        let leaving = spawn(&monitor, |monitor| {
            with_retries(|| monitor.ask(Function::RmmDeactivate)) == Status::Success
        });
        let delegation = spawn(&monitor, |monitor| monitor.delegate(9) == Status::Success);
        let activation = spawn(&monitor, |monitor| monitor.begin(Function::PsmmuActivate, 0));
        let left = leaving.join().unwrap();
        let (delegated, begun) = (delegation.join().unwrap(), activation.join().unwrap());
        let is_open = begun.wants() == Some(MemoryTransfer::Donate);
        assert!(!left || !delegated && !is_open, "{delegated}, {begun:?}");
        if left {
            assert_eq!(monitor.delegate(9), Status::ErrorGlobal);
            assert_eq!(monitor.ask(Function::RmmActivate), Status::Success);
        } else {
            assert_eq!(monitor.ask(Function::RmmActivate), Status::ErrorGlobal);
        }
        if delegated {
            assert_eq!(monitor.undelegate(9), Status::Success);
        }
        let end = if is_open { monitor.finish(0, begun, 0) } else { monitor.activate(0) };
        assert_eq!(end, Status::Success);
        assert_eq!(monitor.deactivate(0), Status::Success);
        assert_eq!(with_retries(|| monitor.ask(Function::RmmDeactivate)), Status::Success);
        monitor.check_quiesced();
    });
}

#[test]
fn two_donations_and_an_undelegation_of_a_granule_race_safely() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        let handles = [0, 64].map(|stream| st_l2_create_begin(&monitor, stream));
        assert_eq!(monitor.delegate(3), Status::Success);
        let donors = [0, 1].map(|thread| {
            let handle = handles[thread];
            spawn(&monitor, move |monitor| monitor.donate(thread as u64, handle, 3))
        });
        let host = spawn(&monitor, |monitor| monitor.undelegate(3));
        let donations = join(donors);
        let undelegated = host.join().unwrap() == Status::Success;
        let taken: Vec<_> = (0..2).filter(|&thread| donations[thread].outputs[0] == 1).collect();
        assert_eq!(taken.len() + usize::from(undelegated), 1, "{donations:?}");
        for (thread, handle) in handles.into_iter().enumerate() {
            if taken.contains(&thread) {
                assert!(monitor.proceed(handle).is_success());
                let stream = [0, 64][thread];
                assert_eq!(monitor.run(0, Function::PsmmuStL2Destroy, stream, 8), Status::Success);
            } else {
                end_failed(&monitor, handle);
            }
        }
        assert_eq!(monitor.deactivate(0), Status::Success);
        monitor.check_quiesced();
    });
}

#[test]
fn of_two_that_go_on_with_one_operation_one_ends_it() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        let handle = st_l2_create_begin(&monitor, 0);
        assert_eq!(monitor.delegate(3), Status::Success);
        assert_eq!(monitor.donate(0, handle, 3).outputs[0], 1);
        let threads = [(); 3].map(|()| spawn(&monitor, move |monitor| monitor.proceed(handle)));
        let ends: Vec<_> = join(threads).iter().map(Reply::status).collect();
        let won = ends.iter().filter(|status| **status == Status::Success).count();
        let lost = ends.iter().filter(|status| **status == Status::ErrorInput).count();
        assert_eq!((won, lost), (1, 2), "{ends:?}");
        assert_eq!(monitor.run(0, Function::PsmmuStL2Destroy, 0, 8), Status::Success);
        assert_eq!(monitor.deactivate(0), Status::Success);
        monitor.check_quiesced();
    });
}

#[test]
fn two_that_reclaim_from_one_operation_get_each_granule_once() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        let reply = monitor.begin(Function::PsmmuDeactivate, 0);
        let handle = reply.outputs[0];
        let threads = [0, 1].map(|thread| {
            spawn(&monitor, move |monitor| {
                let mut mine = Vec::new();
                for _ in 0..6 {
                    let (_, numbers) = monitor.reclaim(thread, handle, 1);
                    for number in numbers {
                        assert_eq!(monitor.undelegate(number), Status::Success);
                        mine.push(number);
                    }
                    thread::yield_now();
                }
                mine
            })
        });
        let mut all = join(threads).concat();
        let (_, rest) = monitor.reclaim(0, handle, 3);
        for &number in &rest {
            assert_eq!(monitor.undelegate(number), Status::Success);
        }
        all.extend(rest);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        assert!(monitor.proceed(handle).is_success());
        monitor.check_quiesced();
    });
}

#[test]
fn of_two_that_activate_by_operations_one_begins() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::new();
        let threads = [0, 1].map(|thread| {
            spawn(&monitor, move |monitor| {
                monitor.run(thread, Function::PsmmuActivate, 0, 4 * thread)
            })
        });
        let mut ends = join(threads);
        ends.sort_unstable_by_key(|status| *status as u8);
        assert_eq!(ends, [Status::Success, Status::ErrorInput]);
        assert_eq!(monitor.deactivate(0), Status::Success);
        monitor.check_quiesced();
    });
}

#[test]
fn tables_come_and_go_on_several_cpus_while_events_are_served() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        let makers = [0, 1].map(|thread| {
            spawn(&monitor, move |monitor| {
                let stream = 64 * thread;
                for _ in 0..2 {
                    let first = 4 + thread;
                    let made = monitor.run(thread, Function::PsmmuStL2Create, stream, first);
                    assert_eq!(made, Status::Success);
                    let gone = monitor.run(thread, Function::PsmmuStL2Destroy, stream, first);
                    assert_eq!(gone, Status::Success);
                }
            })
        });
        let host = spawn(&monitor, |monitor| {
            for address in 1..=3 {
                monitor.device().record(Record::stage_2_write(8, address << 12));
                let reported = monitor.notify(2).expect("active");
                assert!(
                    matches!(reported.event, Event::Psmmu { input_address, .. }
                    if input_address == address << 12),
                    "{reported:?}"
                );
                assert_eq!(monitor.consume(2), Status::Success);
            }
        });
        join(makers);
        host.join().unwrap();
        assert_eq!(monitor.deactivate(0), Status::Success);
        monitor.check_quiesced();
    });
}

#[test]
fn concurrent_create_and_destroy_of_one_table_are_serialized() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        let threads = [0, 1, 2].map(|thread| {
            spawn(&monitor, move |monitor| {
                let made = monitor.run(thread, Function::PsmmuStL2Create, 0, 4 + thread);
                let gone = monitor.run(thread, Function::PsmmuStL2Destroy, 0, 4 + thread);
                (made, gone)
            })
        });
        let (mut made, mut gone) = (0, 0);
        for (create, destroy) in join(threads) {
            assert!(
                matches!(create, Status::Success | Status::ErrorPsmmuSt | Status::Blocked),
                "{create:?}"
            );
            assert!(
                matches!(destroy, Status::Success | Status::ErrorInput | Status::Blocked),
                "{destroy:?}"
            );
            made += u32::from(create == Status::Success);
            gone += u32::from(destroy == Status::Success);
        }
        if made != gone {
            assert_eq!(made, gone + 1);
            assert_eq!(monitor.run(0, Function::PsmmuStL2Destroy, 0, 8), Status::Success);
        }
        assert_eq!(monitor.deactivate(0), Status::Success);
        monitor.check_quiesced();
    });
}

#[test]
fn a_table_does_not_go_under_a_stream_that_is_configured() {
    const STAGE_2: Stage2 = Stage2 { table: 0x8020_0000, vmid: 7, t0sz: 25, sl0: 1, ps: 2 };
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        assert_eq!(monitor.run(0, Function::PsmmuStL2Create, 0, 3), Status::Success);
        let owner = spawn(&monitor, |monitor| {
            let (tables, clock) = (Tables(monitor.harness()), monitor.harness().clock());
            let psmmu = monitor.psmmu();
            unless_busy(|| configure_stream(psmmu, 8, STAGE_2, &tables, clock))?;
            unless_busy(|| psmmu.enable_stream(8, &tables, clock))
        });
        let destroyer = spawn(&monitor, |monitor| monitor.run(0, Function::PsmmuStL2Destroy, 0, 8));
        match (owner.join().unwrap(), destroyer.join().unwrap()) {
            (Ok(()), Status::ErrorPsmmuSt) => {
                let (tables, clock) = (Tables(monitor.harness()), monitor.harness().clock());
                let psmmu = monitor.psmmu();
                assert_eq!(psmmu.disable_stream(8, &tables, clock), Ok(()));
                assert_eq!(psmmu.release_stream(8, &tables, clock), Ok(()));
                assert_eq!(monitor.run(0, Function::PsmmuStL2Destroy, 0, 8), Status::Success);
            }
            (Err(StreamError::NoTable), Status::Success) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(monitor.deactivate(0), Status::Success);
        monitor.check_quiesced();
    });
}

#[test]
fn a_psmmu_is_not_deactivated_under_a_table() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        let maker = spawn(&monitor, |monitor| monitor.run(0, Function::PsmmuStL2Create, 0, 4));
        let stopper = spawn(&monitor, |monitor| monitor.deactivate(1));
        match (maker.join().unwrap(), stopper.join().unwrap()) {
            (Status::Success, Status::ErrorInput) => {
                assert_eq!(monitor.run(0, Function::PsmmuStL2Destroy, 0, 8), Status::Success);
                assert_eq!(monitor.deactivate(0), Status::Success);
            }
            (Status::ErrorInput, Status::Success) => {}
            other => panic!("{other:?}"),
        }
        monitor.check_quiesced();
    });
}

/// Asks and consumes whatever the state is; nothing that is reported may be of another cycle than the
/// first.
fn serve(monitor: &Monitor) {
    for _ in 0..3 {
        match monitor.notify(7) {
            Ok(reported) => assert!(reported.event != Event::None || !reported.pending),
            Err(status) => {
                assert!(matches!(status, Status::ErrorInput | Status::ErrorDevice), "{status:?}")
            }
        }
        let consumed = monitor.consume(7);
        assert!(
            matches!(consumed, Status::Success | Status::ErrorInput | Status::ErrorDevice),
            "{consumed:?}"
        );
    }
}

#[test]
fn calls_during_a_deactivation_do_no_harm() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        (1..=4).for_each(|address| monitor.device().record(Record::stage_2_write(8, address)));
        monitor.device().raise(1 << 5);
        let hosts = [(); 2].map(|()| spawn(&monitor, serve));
        let stopper = spawn(&monitor, |monitor| monitor.deactivate(0));
        // Its granules come behind those of the first cycle.
        let starter = spawn(&monitor, |monitor| monitor.run(1, Function::PsmmuActivate, 0, 4));
        join(hosts);
        assert_eq!(stopper.join().unwrap(), Status::Success);
        match starter.join().unwrap() {
            Status::Success => {
                assert_eq!(monitor.psmmu().state(), State::Active);
                let reported = monitor.notify(7).expect("active");
                assert_eq!(reported.event, Event::None, "of the cycle before");
                assert_eq!(monitor.deactivate(0), Status::Success);
            }
            status => assert_eq!(status, Status::ErrorInput),
        }
        monitor.check_quiesced();
    });
}

#[test]
fn of_two_concurrent_deactivations_one_reclaims_the_memory() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        let threads =
            [0, 1].map(|thread| spawn(&monitor, move |monitor| monitor.deactivate(thread)));
        let mut ends = join(threads);
        ends.sort_unstable_by_key(|status| *status as u8);
        assert_eq!(ends, [Status::Success, Status::ErrorInput]);
        monitor.check_quiesced();
    });
}

#[test]
fn a_deactivation_that_fails_is_not_continued_by_another_caller() {
    under_all_schedules(SCHEDULES, || {
        let monitor = Monitor::active();
        // Commands are never through, so the wait for them fails; that it is off it acknowledges.
        monitor.device().abort_command_fetches(true);
        // An inconsistent queue makes it fail as well.
        let broken = spawn(&monitor, |monitor| {
            monitor.device().set_prod_raw(smmu_model::Output::Events, 0x4000_0000);
            monitor.device().collect_violations(true);
            serve(monitor);
        });
        let replies =
            [0, 1].map(|_| spawn(&monitor, |monitor| monitor.begin(Function::PsmmuDeactivate, 0)));
        let replies = join(replies);
        broken.join().unwrap();
        let begun: Vec<_> =
            replies.iter().filter(|reply| reply.status() == Status::Incomplete).collect();
        // The second may come when the first has not begun, but not in its middle.
        assert_eq!(begun.len(), 1, "{replies:?}");
        assert_eq!(begun[0].wants(), Some(MemoryTransfer::Reclaim));
        assert_eq!(monitor.psmmu().state(), State::Deactivating);
        assert_eq!(monitor.finish(0, *begun[0], 8), Status::Success);
        monitor.check_quiesced();
    });
}
