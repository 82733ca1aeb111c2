// SPDX-License-Identifier: MIT OR Apache-2.0

//! What several CPUs may do at once. Each test runs under many schedules.

use std::sync::{Arc, Mutex};

use psmmu::{NoVsmmu, State, StateError};
use psmmu_abi::{Event, IrqSet};
use shuttle::thread;
use smmu_model::{Answerer, PageRequest, Record, Source};
use thread_tests::{Machine, under_all_schedules};

/// Schedules of each test, for each way to choose them.
const SCHEDULES: usize = 1500;

/// The order in which events were consumed.
///
/// Its lock is an ordinary one, as no switch of threads happens while it is held.
#[derive(Clone, Debug, Default)]
struct Reported(Arc<Mutex<Vec<Event>>>);

impl Reported {
    fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    /// The input addresses in the order they were reported.
    fn inputs(&self) -> Vec<u64> {
        let events = self.0.lock().unwrap();
        events.iter().map(input).collect()
    }
}

fn input(event: &Event) -> u64 {
    match event {
        Event::Psmmu { input_address, .. } => *input_address,
        other => panic!("{other:?}"),
    }
}

fn fault(machine: &Machine, address: u64) {
    machine.device().record(Record::stage_2_write(8, address));
}

/// Asks and consumes until nothing is reported as pending, as the host's loop is.
fn service(machine: &Machine, set: IrqSet, reported: &Reported) {
    loop {
        let answer = machine.psmmu().notify(set, &NoVsmmu).expect("active");
        if answer.event == Event::None {
            assert!(!answer.pending, "nothing, and more of it");
            return;
        }
        reported.push(answer.event);
        machine.psmmu().consume(set).expect("active");
        if !answer.pending {
            return;
        }
    }
}

/// Serves interrupts of `source` until `is_over`, one more time at the end if one is left.
fn handle(
    machine: &Machine,
    taken: &Arc<Mutex<u32>>,
    source: Source,
    set: IrqSet,
    reported: &Reported,
) {
    for _ in 0..8 {
        if take(machine, taken, source) {
            service(machine, set, reported);
        }
        thread::yield_now();
    }
}

/// Takes the interrupt of `source`, leaving the others to those who wait for them.
fn take(machine: &Machine, taken: &Arc<Mutex<u32>>, source: Source) -> bool {
    let mut latched = taken.lock().unwrap();
    *latched |= machine.device().take_interrupts().bits();
    let is_mine = *latched & source.bit() != 0;
    *latched &= !source.bit();
    is_mine
}

#[test]
fn three_concurrent_sources_are_each_reported_once_in_order() {
    under_all_schedules(SCHEDULES, || {
        let machine = Machine::active(2);
        let taken = Arc::new(Mutex::new(0));
        let sources = [
            (Source::Gerror, IrqSet::GERROR),
            (Source::Eventq, IrqSet::EVENTQ),
            (Source::Priq, IrqSet::PRIQ),
        ];
        let hosts = sources.map(|(source, set)| {
            let (machine, taken, reported) =
                (machine.clone(), Arc::clone(&taken), Reported::default());
            let mine = reported.clone();
            let thread = thread::spawn(move || handle(&machine, &taken, source, set, &mine));
            (source, set, thread, reported)
        });
        let device = machine.clone();
        let device = thread::spawn(move || {
            for number in 1..=4 {
                fault(&device, number << 12);
                thread::yield_now();
                let group = number as u16;
                device.device().page_request(PageRequest::last_of(9, group, number << 12));
                thread::yield_now();
                if number == 2 {
                    device.device().raise(1 << 9);
                }
            }
        });
        device.join().unwrap();
        for (source, set, thread, reported) in hosts {
            thread.join().unwrap();
            if take(&machine, &taken, source) {
                service(&machine, set, &reported);
            }
            if source == Source::Gerror {
                assert_eq!(reported.0.lock().unwrap().len(), 1);
            } else {
                assert_eq!(reported.inputs(), [0x1000, 0x2000, 0x3000, 0x4000], "{source:?}");
            }
        }
        let answers = machine.device().take_answers();
        let groups: Vec<_> = answers.iter().map(|answer| (answer.by, answer.group)).collect();
        assert_eq!(groups, [1, 2, 3, 4].map(|group| (Answerer::Driver, group)));
        assert_eq!(machine.device().active_errors(), 0);
    });
}

#[test]
fn two_concurrent_handlers_of_one_source_lose_nothing() {
    under_all_schedules(SCHEDULES, || {
        let machine = Machine::active(3);
        let taken = Arc::new(Mutex::new(0));
        let hosts = [(); 2].map(|()| {
            let (machine, taken, reported) =
                (machine.clone(), Arc::clone(&taken), Reported::default());
            let mine = reported.clone();
            let run = move || handle(&machine, &taken, Source::Eventq, IrqSet::EVENTQ, &mine);
            (thread::spawn(run), reported)
        });
        let device = machine.clone();
        let device = thread::spawn(move || {
            for number in 1..=6 {
                fault(&device, number);
                thread::yield_now();
            }
        });
        device.join().unwrap();
        let mut reported = Vec::new();
        for (thread, mine) in hosts {
            thread.join().unwrap();
            // One host sees no event again once it has consumed it, nor an older one.
            let mine = mine.inputs();
            assert!(mine.is_sorted(), "{mine:?}");
            reported.extend(mine);
        }
        let last = Reported::default();
        if take(&machine, &taken, Source::Eventq) {
            service(&machine, IrqSet::EVENTQ, &last);
        }
        reported.extend(last.inputs());
        reported.sort_unstable();
        reported.dedup();
        assert_eq!(reported, [1, 2, 3, 4, 5, 6]);
        // Both may be reported the same event, and each event is taken once.
        assert_eq!(machine.psmmu().counters().events.consumed.get(), 6, "left behind");
    });
}

#[test]
fn of_two_that_activate_one_succeeds_and_notify_never_hangs() {
    under_all_schedules(SCHEDULES, || {
        let machine = Machine::new(1);
        let activate = [(); 2].map(|()| {
            let machine = machine.clone();
            thread::spawn(move || machine.activate())
        });
        let ask = machine.clone();
        let host = thread::spawn(move || {
            for set in [IrqSet::all(), IrqSet::EVENTQ, IrqSet::GERROR] {
                match ask.psmmu().notify(set, &NoVsmmu) {
                    Ok(reported) => {
                        assert!(reported.event == Event::None && !reported.pending, "{reported:?}")
                    }
                    Err(error) => assert_ne!(error, StateError::Wrong(State::Failed)),
                }
                if let Err(error) = ask.psmmu().consume(set) {
                    assert_ne!(error, StateError::Wrong(State::Failed));
                }
            }
        });
        let ended = activate.map(|thread| thread.join().unwrap());
        host.join().unwrap();
        let won = ended.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{ended:?}");
        for loser in ended.iter().filter_map(|result| result.err()) {
            let states =
                [State::Activating, State::Active].map(|state| StateError::Wrong(state).into());
            assert!(states.contains(&loser), "{loser:?}");
        }
        fault(&machine, 1);
        let reported = Reported::default();
        service(&machine, IrqSet::EVENTQ, &reported);
        assert_eq!(reported.inputs(), [1]);
    });
}

#[test]
fn page_requests_are_answered_during_a_command_error_repair() {
    under_all_schedules(SCHEDULES, || {
        let machine = Machine::active(3);
        for group in 1..=4 {
            machine.device().page_request(PageRequest::last_of(9, group, u64::from(group) << 12));
        }
        // The first answer becomes a command that the device refuses: it stands still.
        machine.device().corrupt_next_command([0xFF, 0]);
        let (host, reported) = (machine.clone(), Reported::default());
        let mine = reported.clone();
        let pages = thread::spawn(move || service(&host, IrqSet::PRIQ, &mine));
        let errors = [(); 2].map(|()| {
            let host = machine.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    service(&host, IrqSet::GERROR, &Reported::default());
                    thread::yield_now();
                }
            })
        });
        pages.join().unwrap();
        for thread in errors {
            thread.join().unwrap();
        }
        service(&machine, IrqSet::GERROR, &Reported::default());
        assert_eq!(reported.inputs(), [0x1000, 0x2000, 0x3000, 0x4000]);
        let answers = machine.device().take_answers();
        let groups: Vec<_> = answers.iter().map(|answer| answer.group).collect();
        assert_eq!(groups, [2, 3, 4], "all but the one that was refused");
        let counters = machine.psmmu().counters();
        assert_eq!((counters.pri_resp_sent(), counters.pri_resp_refused.get()), (3, 1));
        assert_eq!(counters.pri_resp_dropped.get(), 0);
        assert_eq!(machine.device().active_errors(), 0);
    });
}
