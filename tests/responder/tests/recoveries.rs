// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the promises come to when the device does not go on as before: MSIs that were aborted, slots that
//! were never written, pointers that contradict each other, a device that was reset behind the RMM's back.

use psmmu::State;
use psmmu_abi::{ErrorCause, Function, IrqSet, Status};
use responder_tests::{Faults, Machine, Options, PSMMU, STREAM, inputs};
use smmu_model::{Output, PageRequest, Register, Source, WriteAborts};

const GERROR: u64 = IrqSet::GERROR.bits();
const EVENTQ: u64 = IrqSet::EVENTQ.bits();
const PRIQ: u64 = IrqSet::PRIQ.bits();

const NOTHING: [u64; 6] = [0; 6];
const PENDING: u64 = 1;
const ERROR: u64 = 1 << 1;

const CMDQ_ERR: u32 = 1 << 0;
const EVENTQ_ABT_ERR: u32 = 1 << 2;
const PRIQ_ABT_ERR: u32 = 1 << 3;
const MSI_EVENTQ_ABT_ERR: u32 = 1 << 5;
const MSI_PRIQ_ABT_ERR: u32 = 1 << 6;
const OVFLG: u32 = 1 << 31;

/// A queue with room for `2^log2` entries of either kind.
fn machine(log2: u8) -> Machine {
    Machine::active(Options { event_queue: log2, pri_queue: Some(log2), ..Options::default() })
}

const QUEUES: [(Output, Register, u64, u32, u32); 2] = [
    (Output::Events, Register::EventqProd, EVENTQ, EVENTQ_ABT_ERR, MSI_EVENTQ_ABT_ERR),
    (Output::Pages, Register::PriqProd, PRIQ, PRIQ_ABT_ERR, MSI_PRIQ_ABT_ERR),
];

/// Records `number` in a queue: a fault, or a page request that ends its group.
fn record(machine: &Machine, output: Output, number: u64) {
    match output {
        Output::Events => machine.device().fault(number << 12),
        Output::Pages => {
            let group = (number % 512) as u16;
            machine.device().page_request(PageRequest::last_of(8, group, number << 12));
        }
    }
}

/// What NOTIFY reports: numbers of records, or the cause of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Record(u64),
    Error(u64),
}

/// Serves `set` as Linux does, to the end: `do { NOTIFY; CONSUME } while PENDING`. Returns what was
/// reported, and whether the end was an error.
fn serve(machine: &Machine, set: u64) -> (Vec<Reported>, bool) {
    let mut reported = Vec::new();
    for _ in 0..2000 {
        let [x0, flags, number, _, _, address, syndrome, _] =
            machine.call([Function::PsmmuIrqNotify.id(), PSMMU, set, 0, 0, 0, 0, 0]);
        if x0 != 0 {
            assert_eq!(x0 & 0xFF, Status::ErrorDevice as u64);
            return (reported, true);
        }
        match flags & !PENDING {
            0 => {
                assert_eq!(flags, 0, "nothing, and pending");
                return (reported, false);
            }
            ERROR => reported.push(Reported::Error(syndrome)),
            _ => {
                assert!(matches!(number, 0x10 | 0x24), "event {number:#x}");
                reported.push(Reported::Record(address >> 12));
            }
        }
        let [x0, ..] = machine.call([Function::PsmmuEventConsume.id(), PSMMU, set, 0, 0, 0, 0, 0]);
        assert!(x0 == 0 || machine.state() == State::Failed);
        if flags & PENDING == 0 {
            return (reported, false);
        }
    }
    panic!("no end: {reported:?}");
}

fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Reported> {
    numbers.into_iter().map(Reported::Record).collect()
}

// 5 and 10: a PROD that becomes inconsistent outside of NOTIFY.

#[test]
fn a_dead_prod_behind_a_lost_msi_fails_the_queue_once() {
    for (output, prod, source, abort, msi) in QUEUES {
        for raised in [msi, abort] {
            for host in [GERROR, source] {
                let machine = machine(2);
                machine.device().raise(raised);
                assert_eq!(machine.notify(GERROR), [ERROR | PENDING, 0, 0, 0, 0, raised.into()]);
                let good = machine.device().peek(prod) as u32;
                machine.device().set_prod_raw(output, good ^ 0x40);
                machine.consume(GERROR);
                // Whatever the RMM has written meanwhile, it is still inconsistent.
                machine.device().set_prod_raw(output, good ^ 0x40);
                let (reported, refused) = serve(&machine, host);
                assert_eq!(
                    reported,
                    [Reported::Error(abort.into())],
                    "{output:?} {raised:#x} {host}"
                );
                assert_eq!((refused, machine.state()), (false, State::Failed));
                for set in [GERROR, EVENTQ, PRIQ, GERROR | EVENTQ | PRIQ] {
                    assert_eq!(serve(&machine, set), (vec![], true), "{set}");
                }
            }
        }
    }
}

// 4: MSIs that were aborted, and a host that serves the interrupt that it gets.

#[test]
fn a_host_of_gerror_alone_gets_what_lost_msis_announced() {
    for (output, _, _, _, msi) in QUEUES {
        let machine = machine(6);
        (1..=40).for_each(|number| record(&machine, output, number));
        machine.device().raise(msi);
        let (reported, _) = serve(&machine, GERROR);
        assert_eq!(reported[0], Reported::Error(msi.into()));
        assert_eq!(reported[1..], records(1..=40), "{output:?}");
        // And from here on the queue interrupts again.
        let _ = machine.device().take_interrupts();
        record(&machine, output, 41);
        assert!(!machine.device().take_interrupts().is_empty());
        assert_eq!(serve(&machine, GERROR), (vec![], false), "its own interrupt speaks for it");
    }
}

#[test]
fn a_second_lost_msi_with_two_staged_entries_is_no_loss() {
    for (output, _, source, _, msi) in QUEUES {
        for host in [GERROR, source] {
            let machine = machine(6);
            (1..=3).for_each(|number| record(&machine, output, number));
            assert_eq!(machine.notify(source)[0] & PENDING, PENDING);
            // Their slots are free; the next one interrupts, and its MSI is lost.
            record(&machine, output, 4);
            machine.device().raise(msi);
            let (first, _) = serve(&machine, GERROR);
            assert_eq!(first[0], Reported::Error(msi.into()));
            assert_eq!(first[1..], records(1..=4), "{output:?}");
            assert_eq!(serve(&machine, host), (vec![], false));
            let _ = machine.device().take_interrupts();
            record(&machine, output, 5);
            assert!(!machine.device().take_interrupts().is_empty(), "{output:?}");
        }
    }
}

#[test]
fn an_msi_lost_before_the_last_is_acknowledged_is_no_loss() {
    // The error is active, so that this loss is announced by nothing new.
    for (output, _, _, _, msi) in QUEUES {
        let machine = machine(4);
        machine.device().raise(msi);
        let _ = machine.device().take_interrupts();
        machine.device().before_write(Register::Gerrorn, move |device| match output {
            Output::Events => device.fault(1 << 12),
            Output::Pages => device.page_request(PageRequest::last_of(8, 1, 1 << 12)),
        });
        let (reported, _) = serve(&machine, GERROR);
        assert_eq!(reported, [Reported::Error(msi.into()), Reported::Record(1)], "{output:?}");
    }
}

#[test]
fn what_was_there_at_activation_leaves_a_queue_that_interrupts() {
    let machine = Machine::started(Options::default());
    machine.device().before_write(Register::IrqCtrl, |_| ());
    machine.device().before_write(Register::IrqCtrl, |device| device.fault(1));
    machine.activate().unwrap();
    assert!(machine.device().take_interrupts().is_empty());
    // Without any NOTIFY since:
    machine.device().fault(2);
    assert!(machine.device().take_interrupts().contains(Source::Eventq));
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [1, 2]);
}

// 1: slots that PROD has passed and the device never wrote.

#[test]
fn a_slot_that_was_not_written_is_never_taken_for_a_record() {
    for aborts in [WriteAborts::Asynchronous, WriteAborts::Unreported] {
        for (output, _, source, abort, _) in QUEUES {
            let machine = machine(2);
            // A lap, so that each slot has held a record.
            (1..=4).for_each(|number| record(&machine, output, number));
            assert_eq!(serve(&machine, source).0, records(1..=4));
            let mut device = machine.device();
            device.set_write_aborts(aborts);
            // The error comes late, or never, but PROD moves.
            device.set_eager(false);
            device.abort_next_write(output);
            drop(device);
            record(&machine, output, 5);
            let step = machine.device().steps()[0];
            machine.device().step(step);
            let (reported, _) = serve(&machine, source);
            assert_eq!(
                reported,
                [Reported::Error(abort.into())],
                "{output:?}: a record of the lap before"
            );
            // What the device writes behind it is reported.
            machine.device().settle();
            let (errors, _) = serve(&machine, GERROR);
            let announced = usize::from(aborts == WriteAborts::Asynchronous);
            assert_eq!(errors.len(), announced, "{errors:?}");
            machine.device().set_eager(true);
            record(&machine, output, 6);
            assert_eq!(serve(&machine, source).0, records([6]));
            assert_eq!(machine.psmmu().counters().errors(ErrorCause::EVENTQ_ABT_ERR), {
                u64::from(announced == 1 && output == Output::Events)
            });
        }
    }
}

#[test]
fn slots_that_were_not_written_are_reported_in_place() {
    let machine = machine(3);
    machine.device().set_write_aborts(WriteAborts::Unreported);
    for number in 1..=6 {
        if matches!(number, 2 | 3 | 5) {
            machine.device().abort_next_write(Output::Events);
        }
        record(&machine, Output::Events, number);
    }
    let lost = Reported::Error(EVENTQ_ABT_ERR.into());
    let (reported, _) = serve(&machine, EVENTQ);
    assert_eq!(
        reported,
        [Reported::Record(1), lost, Reported::Record(4), lost, Reported::Record(6)]
    );
    let counters = &machine.psmmu().counters().events;
    assert_eq!((counters.staged.get(), counters.discards.get()), (3, 1));
}

#[test]
fn what_was_discarded_is_not_reported_a_lap_later() {
    for (output, _, source, abort, _) in QUEUES {
        let machine = machine(2);
        (1..=4).for_each(|number| record(&machine, output, number));
        machine.device().raise(abort);
        assert_eq!(serve(&machine, GERROR).0, [Reported::Error(abort.into())]);
        machine.device().set_write_aborts(WriteAborts::Unreported);
        for number in 5..=8 {
            machine.device().abort_next_write(output);
            record(&machine, output, number);
        }
        assert_eq!(serve(&machine, source).0, [Reported::Error(abort.into())], "{output:?}");
    }
}

// 1 and 8: losses that were announced before nonsense, and errors that come twice.

#[test]
fn an_announced_overflow_is_reported_before_nonsense() {
    for (output, prod, source, abort, _) in QUEUES {
        let overflow = Reported::Error(1 << if output == Output::Events { 32 } else { 33 });
        let lost = Reported::Error(abort.into());
        let overflowing = || {
            let machine = machine(2);
            (1..=5).for_each(|number| record(&machine, output, number));
            machine
        };
        // Acknowledged, and the read behind that contradicts.
        let machine = overflowing();
        machine.device().before_read(prod, |_| ());
        machine.device().before_read(prod, move |device| {
            let (prod, _) = device.pointers(output);
            device.set_prod_raw(output, prod ^ 0x40);
        });
        machine.device().before_read(prod, move |device| {
            let (_, cons) = device.pointers(output);
            device.set_prod_raw(output, cons);
        });
        let (reported, _) = serve(&machine, source);
        assert_eq!(reported[..4], records(1..=4), "{output:?}");
        assert_eq!(reported[4..], [overflow, lost], "{output:?}");
        let counters = machine.psmmu().counters();
        let counters =
            if output == Output::Events { &counters.events } else { &counters.page_requests };
        assert_eq!(counters.overflows.get(), 1);
        assert_eq!(machine.state(), State::Active);

        // An inconsistent one first: the flag of a consistent PROD counts.
        let machine = overflowing();
        let good = machine.device().peek(prod) as u32;
        machine.device().set_prod_raw(output, good ^ 0x40);
        machine.device().before_read(prod, |_| ());
        machine.device().before_read(prod, move |device| device.set_prod_raw(output, good));
        let (reported, _) = serve(&machine, source);
        assert_eq!(reported, [lost, overflow], "{output:?}");

        // And in none that does not.
        let machine = overflowing();
        assert_eq!(serve(&machine, source).0.len(), 5);
        let good = machine.device().peek(prod) as u32;
        machine.device().set_prod_raw(output, good ^ (OVFLG | 0x40));
        machine.device().before_read(prod, |_| ());
        machine.device().before_read(prod, move |device| device.set_prod_raw(output, good));
        assert_eq!(serve(&machine, source).0, [lost], "{output:?}");
    }
}

#[test]
fn a_second_command_error_is_counted_and_reported() {
    let machine = machine(2);
    machine.device().inject_command([0xFF, 0]);
    assert_eq!(machine.notify(GERROR), [ERROR, 0, 0, 0, 0, CMDQ_ERR.into()]);
    machine.device().inject_command([0xFF, 0]);
    assert_eq!(machine.notify(GERROR), [ERROR | PENDING, 0, 0, 0, 0, CMDQ_ERR.into()]);
    machine.consume(GERROR);
    assert_eq!(machine.notify(GERROR), [ERROR, 0, 0, 0, 0, CMDQ_ERR.into()], "the second one");
    machine.consume(GERROR);
    assert_eq!(machine.notify(GERROR), NOTHING);
    assert_eq!(machine.psmmu().counters().errors(ErrorCause::CMDQ_ERR), 2);
}

// 12: a device that lost its state.

/// Serves all sources until the PSMMU refuses, and returns what was reported.
fn until_refused(machine: &Machine, sets: &[u64]) -> Vec<Reported> {
    let mut all = Vec::new();
    for &set in sets {
        let (reported, refused) = serve(machine, set);
        all.extend(reported);
        if refused {
            return all;
        }
    }
    panic!("{:?} after {all:?}", machine.state());
}

#[test]
fn a_device_that_lost_its_state_fails_once_invents_nothing() {
    let all = GERROR | EVENTQ | PRIQ;
    for seed in 0..300 {
        let log2 = (seed % 8) as u8;
        let options = Options { event_queue: log2, pri_queue: Some(log2), ..Options::default() };
        let device = smmu_model::Config::default().with_seed(seed);
        let machine = Machine::with_device(options, device).activated();
        // Errors that were acknowledged, of which GERRORN keeps no trace behind a reset.
        machine.device().raise(MSI_PRIQ_ABT_ERR | 1 << 7);
        let _ = serve(&machine, GERROR);
        // Some laps; then what stays in the hardware queue.
        let entries = 1 << log2;
        for number in 0..3 * entries {
            record(&machine, Output::Events, 1000 + number);
            record(&machine, Output::Pages, 1000 + number);
            assert_eq!(serve(&machine, EVENTQ | PRIQ).0.len(), 2);
        }
        let waiting = seed / 8 % (entries + 1);
        (1..=waiting).for_each(|number| record(&machine, Output::Events, number));
        machine.device().reset();
        machine.device().forget_accesses();

        let sets = [EVENTQ, PRIQ, GERROR, all];
        let reported = until_refused(&machine, &[sets[(seed % 4) as usize], all, all]);
        let (last, before) = reported.split_last().expect("a failure");
        assert!(
            matches!(last, Reported::Error(cause) if *cause <= PRIQ_ABT_ERR.into()),
            "{reported:?}"
        );
        // Records that the device wrote before may be reported, from the first on, and nothing else.
        let expected = records(1..=before.len() as u64);
        assert_eq!(before, expected, "seed {seed}");
        assert!(before.len() as u64 <= waiting, "seed {seed}: {reported:?}");
        let trace = machine.psmmu().counters().trace.iter();
        assert_eq!(trace.filter(|event| *event == psmmu::TraceEvent::Failed).count(), 1);
    }
}

#[test]
fn errors_of_before_a_reset_are_not_acknowledged_after() {
    let machine = machine(2);
    machine.device().raise(MSI_EVENTQ_ABT_ERR | EVENTQ_ABT_ERR);
    assert_eq!(machine.notify(GERROR)[0] & !PENDING, ERROR);
    machine.device().reset();
    machine.device().forget_accesses();
    machine.consume(GERROR);
    assert_eq!(machine.device().accesses().1, 0, "an inactive error would be toggled");
    assert_eq!(serve(&machine, GERROR).0, [Reported::Error(CMDQ_ERR.into())]);
    assert_eq!(serve(&machine, EVENTQ), (vec![], true));
}

#[test]
fn what_a_reset_device_shows_is_not_counted() {
    let machine = machine(3);
    (1..=3).for_each(|number| record(&machine, Output::Events, number));
    machine.device().reset();
    assert_eq!(serve(&machine, GERROR).0, [Reported::Error(CMDQ_ERR.into())]);
    assert_eq!(machine.st_l2_destroy(STREAM), Ok(()));
    assert_eq!(machine.deactivate(), Ok(()));
    let counters = machine.psmmu().counters();
    assert_eq!(counters.events.dropped.get() + counters.page_requests.dropped.get(), 0);
}

#[test]
fn a_psmmu_is_activated_again_after_any_suspend() {
    for announced in [true, false] {
        let machine = machine(4);
        (1..=3).for_each(|number| record(&machine, Output::Events, number));
        if announced {
            assert_eq!(machine.st_l2_destroy(STREAM), Ok(()));
            assert_eq!(machine.deactivate(), Ok(()));
            assert_eq!(machine.psmmu().counters().events.dropped.get(), 3);
            machine.device().reset();
        } else {
            machine.device().reset();
            // Behind it the host asks about each source once, as behind an activation.
            let all = GERROR | EVENTQ | PRIQ;
            let _ = until_refused(&machine, &[GERROR, EVENTQ, PRIQ, all, all]);
            assert_eq!(machine.st_l2_destroy(STREAM), Ok(()));
            assert_eq!(machine.deactivate(), Ok(()));
        }
        assert_eq!(machine.activate(), Ok(()), "announced: {announced}");
        assert_eq!(machine.st_l2_create(STREAM), Ok(()));
        for source in [GERROR, EVENTQ, PRIQ] {
            assert_eq!(serve(&machine, source), (vec![], false), "nothing of before is made up");
        }
        let _ = machine.device().take_interrupts();
        record(&machine, Output::Events, 4);
        assert!(machine.device().take_interrupts().contains(Source::Eventq));
        assert_eq!(serve(&machine, EVENTQ).0, records([4]));
    }
}
