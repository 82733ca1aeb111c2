// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page requests and streams of virtual SMMUs, through the RMI calls of the host.

use psmmu::State;
use psmmu_abi::{ErrorCause, Event, IrqSet, PsmmuParamsFlags, Status, Syndrome};
use responder_tests::{Faults, Machine, Options};
use smmu_model::{Answer, Answerer, Output, PageRequest, Record, Register, Response, Source};

const PRIQ: u64 = IrqSet::PRIQ.bits();
const NOTHING: [u64; 6] = [0; 6];
const PENDING: u64 = 1;
const EVENT: u64 = 2 << 1;
const OWNED: u64 = 3 << 1;

fn machine(log2: u8) -> Machine {
    Machine::active(Options { pri_queue: Some(log2), ..Options::default() })
}

fn request(address: u64) -> Event {
    Event::Psmmu {
        number: 0x24,
        fetch_address: 0,
        input_address: address,
        syndrome: Syndrome::default(),
    }
}

fn denial(stream: u32, group: u16) -> Answer {
    let (by, response) = (Answerer::Driver, Response::InvalidRequest);
    Answer { by, stream, substream: None, group, response }
}

#[test]
fn page_requests_need_host_consent_and_device_support() {
    let machine = machine(4);
    assert_eq!(machine.device().cr0ack() & 0b1111, 0b1111);
    assert_eq!(machine.device().irq_ctrlack(), 0b111);

    let machine = Machine::active(Options::default());
    assert_eq!(machine.device().cr0ack() & 0b1111, 0b1101);
    assert_eq!(machine.notify(PRIQ), NOTHING);

    let device = smmu_model::Config::default().without_pri();
    let options = Options { pri_queue: Some(4), ..Options::default() };
    let machine = Machine::with_device(options, device).with_active_rmm();
    machine.write_params(PsmmuParamsFlags::PRI, &[]);
    assert_eq!(machine.activate(), Err(Status::ErrorInput));
    machine.write_params(PsmmuParamsFlags::empty(), &[]);
    assert_eq!(machine.activate(), Ok(()), "it is inactive again");
}

#[test]
fn an_unowned_request_is_denied_as_invalid_when_it_is_consumed() {
    let machine = machine(4);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    assert!(machine.device().take_interrupts().contains(Source::Priq));
    for _ in 0..2 {
        assert_eq!(machine.notify(PRIQ), [EVENT, 0x24, 0, 0, 0x7000, 0]);
    }
    assert_eq!(machine.device().take_answers(), [], "NOTIFY only peeks");
    machine.consume(PRIQ);
    assert_eq!(machine.device().take_answers(), [denial(8, 3)]);
    machine.consume(PRIQ);
    assert_eq!(machine.device().take_answers(), [], "answered once");
    assert_eq!(machine.psmmu().counters().pri_resp_sent(), 1);
    assert_eq!(machine.notify(PRIQ), NOTHING);
}

#[test]
fn only_the_last_of_a_group_is_answered_and_a_stop_marker_never() {
    let machine = machine(4);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x1000).more());
    machine.device().page_request(PageRequest::last_of(8, 3, 0x2000));
    machine.device().page_request(PageRequest::stop_marker(8, 5, 3));
    machine.device().page_request(PageRequest::last_of(9, 4, 0x3000).of(5));
    let events = machine.service(IrqSet::PRIQ);
    assert_eq!(events, [request(0x1000), request(0x2000), request(0), request(0x3000)]);
    let with_substream = Answer { substream: Some(5), ..denial(9, 4) };
    assert_eq!(machine.device().take_answers(), [denial(8, 3), with_substream]);
    assert_eq!(machine.device().unanswered_groups(), [], "requests never pile up");
}

#[test]
fn a_flood_of_requests_is_answered_request_by_request() {
    let machine = machine(6);
    for round in 0..20_u16 {
        for group in 0..64 {
            let address = u64::from(round) << 32 | u64::from(group) << 12;
            machine.device().page_request(PageRequest::last_of(8, group, address));
        }
        assert_eq!(machine.service(IrqSet::PRIQ).len(), 64);
        assert_eq!(machine.device().take_answers().len(), 64);
    }
    assert_eq!(machine.psmmu().counters().pri_resp_dropped.get(), 0);
}

#[test]
fn a_priq_overflow_stops_it_and_is_reported_behind_what_fitted() {
    let machine = machine(2);
    for group in 0..6 {
        machine.device().page_request(PageRequest::last_of(8, group, 0x1000));
    }
    // The device has answered the two that did not fit by itself.
    assert_eq!(machine.device().take_answers().len(), 2);
    let events = machine.service(IrqSet::PRIQ);
    assert_eq!(events[..4], [request(0x1000); 4]);
    assert_eq!(events[4..], [Event::Error(ErrorCause::PRIQ_OVERFLOW)]);
    assert_eq!(machine.device().take_answers().len(), 4);
    assert!(!machine.device().has_overflowed(Output::Pages));

    machine.device().page_request(PageRequest::last_of(8, 7, 0x2000));
    assert_eq!(machine.service(IrqSet::PRIQ), [request(0x2000)]);
    assert_eq!(machine.psmmu().counters().page_requests.overflows.get(), 1);
}

/// Serves the interrupts that come and nothing else, and returns what was reported.
fn serve_interrupts(machine: &Machine) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let interrupts = machine.device().take_interrupts();
        if interrupts.is_empty() {
            return events;
        }
        for (source, set) in [
            (Source::Gerror, IrqSet::GERROR),
            (Source::Eventq, IrqSet::EVENTQ),
            (Source::Priq, IrqSet::PRIQ),
        ] {
            if interrupts.contains(source) {
                events.extend(machine.service(set));
            }
        }
    }
}

#[test]
fn a_stuck_command_queue_makes_consume_neither_wait_nor_fail() {
    let machine = machine(6);
    machine.device().set_hung(true);
    let mut reported = 0;
    // More answers than the command queue of 256 has places.
    for round in 0..6 {
        for group in 0..64 {
            machine.device().page_request(PageRequest::last_of(8, group, round << 12));
        }
        machine.device().forget_accesses();
        let events = machine.service(IrqSet::PRIQ);
        let (reads, writes) = machine.device().accesses();
        let bound = 4 * events.len() as u32 + 8;
        assert!(reads <= bound && writes <= bound, "{reads} reads, {writes} writes");
        reported += events.len();
    }
    assert!(reported >= 256, "{reported} reported");
    assert_eq!(machine.psmmu().counters().pri_resp_dropped.get(), 0);
}

#[test]
fn no_answer_is_lost_while_the_command_queue_is_full() {
    for groups in [250, 256, 257, 300, 512] {
        let machine = machine(9);
        machine.device().set_hung(true);
        for group in 0..groups {
            let address = u64::from(group) << 12;
            machine.device().page_request(PageRequest::last_of(8, group, address));
        }
        let mut events = serve_interrupts(&machine);
        assert_eq!(machine.device().take_answers(), []);
        // It runs again, and the host learns of nothing but interrupts.
        machine.device().set_hung(false);
        machine.device().settle();
        events.extend(serve_interrupts(&machine));
        let addresses: Vec<_> = (0..groups).map(|group| request(u64::from(group) << 12)).collect();
        assert!(events == addresses, "{} events of {groups} groups", events.len());
        let answers: Vec<_> = (0..groups).map(|group| denial(8, group)).collect();
        let given = machine.device().take_answers();
        assert!(given == answers, "{} answers to {groups} groups", given.len());
        let counters = machine.psmmu().counters();
        assert_eq!(counters.pri_resp_sent(), groups.into());
        assert_eq!(counters.pri_resp_dropped.get(), 0);
        assert_eq!(counters.errors(ErrorCause::CMDQ_ERR), 0);
        assert_eq!(machine.device().active_errors(), 0);
    }
}

#[test]
fn an_answer_that_the_device_refuses_is_counted_as_refused() {
    let machine = machine(4);
    machine.device().corrupt_next_command([0xFF, 0]);
    for group in 0..3 {
        machine.device().page_request(PageRequest::last_of(8, group, 0x1000));
    }
    assert_eq!(machine.service(IrqSet::PRIQ).len(), 3);
    assert_eq!(machine.service(IrqSet::GERROR), [Event::Error(ErrorCause::CMDQ_ERR)]);
    assert_eq!(machine.device().take_answers(), [denial(8, 1), denial(8, 2)]);
    let counters = machine.psmmu().counters();
    assert_eq!(counters.pri_resp_sent(), 2);
    assert_eq!(counters.pri_resp_refused.get(), 1);
    assert_eq!(counters.pri_resp_dropped.get(), 0);

    // A refused command of another kind is no answer.
    machine.device().corrupt_next_command([0xFF, 0]);
    assert_eq!(machine.st_l2_create(64), Err(Status::ErrorDevice));
    assert_eq!(machine.psmmu().counters().pri_resp_refused.get(), 1);
}

#[test]
fn requests_left_at_deactivation_are_denied() {
    // Reported, staged, and more in the device's queue than one batch.
    for groups in [1, 2, 40, 100] {
        let machine = machine(7);
        assert_eq!(machine.st_l2_destroy(8), Ok(()));
        for group in 0..groups {
            machine.device().page_request(PageRequest::last_of(8, group, 0x1000).more());
            machine.device().page_request(PageRequest::last_of(8, group, 0x2000));
        }
        machine.device().page_request(PageRequest::stop_marker(8, 5, 3));
        let stored = machine.device().unanswered_groups().len();
        let _ = machine.device().take_answers();
        assert_ne!(machine.notify(PRIQ), NOTHING);
        assert_eq!(machine.deactivate(), Ok(()));
        let answers: Vec<_> = (0..stored as u16).map(|group| denial(8, group)).collect();
        assert!(machine.device().take_answers() == answers, "{groups} groups");
        assert_eq!(machine.device().unanswered_groups(), []);
        let counters = machine.psmmu().counters();
        assert_eq!(counters.pri_resp_sent(), stored as u64);
        assert_eq!(counters.pri_resp_dropped.get(), 0);
    }
}

#[test]
fn answers_that_find_no_room_are_given_at_deactivation() {
    let machine = machine(9);
    assert_eq!(machine.st_l2_destroy(8), Ok(()));
    machine.device().set_hung(true);
    for group in 0..300 {
        machine.device().page_request(PageRequest::last_of(8, group, 0x1000));
    }
    let _ = serve_interrupts(&machine);
    machine.device().set_hung(false);
    assert_eq!(machine.deactivate(), Ok(()));
    let answers: Vec<_> = (0..300).map(|group| denial(8, group)).collect();
    assert!(machine.device().take_answers() == answers);
    assert_eq!(machine.psmmu().counters().pri_resp_dropped.get(), 0);
}

#[test]
fn answers_that_a_dead_device_never_took_are_counted_as_dropped() {
    let machine = machine(9);
    assert_eq!(machine.st_l2_destroy(8), Ok(()));
    machine.device().abort_command_fetches(true);
    for group in 0..300 {
        machine.device().page_request(PageRequest::last_of(8, group, 0x1000));
    }
    while machine.state() == State::Active {
        let _ = machine.try_service(IrqSet::PRIQ);
        let _ = machine.try_service(IrqSet::GERROR);
    }
    let given = machine.psmmu().counters().pri_resp_sent();
    assert_eq!(given, 255, "the last place is the wake-up's");
    assert_eq!(machine.deactivate(), Ok(()));
    let counters = machine.psmmu().counters();
    assert_eq!(counters.pri_resp_sent(), given);
    assert!(counters.pri_resp_dropped.get() >= 1);
}

#[test]
fn vsmmu_events_carry_nothing_but_the_stream() {
    let machine = machine(4);
    machine.owners.0.lock().unwrap().insert(8);
    machine.device().fault(0x5000);
    assert_eq!(machine.notify(IrqSet::EVENTQ.bits()), [OWNED, 0, 8, 0, 0, 0]);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    machine.device().page_request(PageRequest::last_of(9, 4, 0x8000));
    assert_eq!(machine.notify(PRIQ), [OWNED | PENDING, 0, 8, 0, 0, 0]);
    machine.consume(PRIQ);
    assert_eq!(machine.device().take_answers(), [], "its owner answers");
    assert_eq!(machine.notify(PRIQ), [EVENT, 0x24, 0, 0, 0x8000, 0]);
    machine.consume(PRIQ);
    assert_eq!(machine.device().take_answers(), [denial(9, 4)]);
}

#[test]
fn of_a_record_of_unknown_layout_the_number_alone_is_reported() {
    let machine = machine(4);
    machine.owners.0.lock().unwrap().insert(8);
    // In faults word 3 is the IPA; in this record it may be anything, and word 0 need not name a stream.
    for number in [0xE0, 0x75_u64, 0xFF] {
        machine.device().record(Record([8 << 32 | number, 0x0000_0388_0000_0000, 0x1234, 0x5678]));
        assert_eq!(machine.notify(IrqSet::EVENTQ.bits()), [EVENT, number, 0, 0, 0, 0]);
        machine.consume(IrqSet::EVENTQ.bits());
    }
}

#[test]
fn an_event_keeps_its_class_when_its_stream_changes_owner() {
    let machine = machine(4);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    assert_eq!(machine.notify(PRIQ)[0], EVENT);
    machine.owners.0.lock().unwrap().insert(8);
    assert_eq!(machine.notify(PRIQ)[0], EVENT);
    machine.consume(PRIQ);
    assert_eq!(machine.device().take_answers(), [denial(8, 3)]);

    machine.device().page_request(PageRequest::last_of(8, 4, 0x7000));
    assert_eq!(machine.notify(PRIQ)[0], OWNED);
    machine.owners.0.lock().unwrap().clear();
    assert_eq!(machine.notify(PRIQ)[0], OWNED);
    machine.consume(PRIQ);
    assert_eq!(machine.device().take_answers(), []);
}

#[test]
fn report_order_is_errors_events_page_requests() {
    let machine = machine(4);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    machine.device().fault(0x5000);
    machine.device().raise(1 << 5);
    let all = IrqSet::all().bits();
    let [flags, .., syndrome] = machine.notify(all);
    assert_eq!((flags, syndrome), (1 << 1 | PENDING, 1 << 5));
    machine.consume(all);
    assert_eq!(machine.notify(all)[..2], [EVENT | PENDING, 0x10]);
    machine.consume(all);
    assert_eq!(machine.notify(all)[..2], [EVENT, 0x24]);
    machine.consume(all);
    assert_eq!(machine.notify(all), NOTHING);
}

#[test]
fn a_burst_of_32_requests_costs_three_queue_accesses() {
    let machine = machine(6);
    for group in 0..32 {
        machine.device().page_request(PageRequest::last_of(8, group, 0x1000).more());
    }
    machine.device().forget_accesses();
    assert_eq!(machine.service(IrqSet::PRIQ).len(), 32);
    assert_eq!(machine.device().accesses(), (2, 1));
    assert_eq!(machine.device().accesses_of(Register::PriqProd), (2, 0));
}
