// SPDX-License-Identifier: MIT OR Apache-2.0

//! The promises of the responder, each through the RMI calls of the host.

use psmmu::BATCH;
use psmmu::{Delivery, QueueAbortPolicy, State};
use psmmu_abi::{ErrorCause, Event, Function, IrqSet, ResultWord, Status};
use psmmu_host::{RmiError, ServiceError};
use responder_tests::{
    Faults, HEAP, HOST_PAGE, Machine, NO_MEMORY, Options, PSMMU, RMM, input, inputs,
};
use smmu_model::{Command, Completion, Output, Record, Register, Source};

const GERROR: u64 = IrqSet::GERROR.bits();
const EVENTQ: u64 = IrqSet::EVENTQ.bits();
const BOTH: u64 = GERROR | EVENTQ;

const NOTHING: [u64; 6] = [0; 6];
const PENDING: u64 = 1;
const ERROR: u64 = 1 << 1;
const EVENT: u64 = 2 << 1;

const CMDQ_ERR: u32 = 1 << 0;
const EVENTQ_ABT_ERR: u32 = 1 << 2;
const MSI_CMDQ_ABT_ERR: u32 = 1 << 4;
const MSI_EVENTQ_ABT_ERR: u32 = 1 << 5;

/// What NOTIFY says of [`Faults::fault`] at `address`.
fn fault(address: u64, pending: u64) -> [u64; 6] {
    [EVENT | pending, 0x10, 0, 0, address, 0b1010]
}

fn queue_of(log2: u8) -> Machine {
    Machine::active(Options { event_queue: log2, ..Options::default() })
}

fn small() -> Machine {
    queue_of(2)
}

// 1 and 2: nothing is lost in silence, and order is kept.

#[test]
fn records_are_reported_once_in_order_at_every_queue_size() {
    for log2 in 0..=9 {
        let machine = queue_of(log2);
        let mut next = 0x1000;
        // Often enough for the pointers to wrap more than once.
        for burst in [1, 2, 3, 31, 32, 33, 200, 512, 512, 512] {
            let burst = burst.min(1_u64 << log2);
            let addresses: Vec<_> = (next..next + burst).collect();
            next += burst;
            for &address in &addresses {
                machine.device().fault(address);
            }
            assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), addresses, "2^{log2}");
        }
        assert_eq!(machine.notify(EVENTQ), NOTHING);
    }
}

#[test]
fn an_overflow_is_reported_behind_what_fitted_and_queue_resumes() {
    let machine = small();
    (1..=6).for_each(|address| machine.device().fault(address));
    let events = machine.service(IrqSet::EVENTQ);
    assert_eq!(inputs(&events[..4]), [1, 2, 3, 4]);
    assert_eq!(events[4..], [Event::Error(ErrorCause::EVENTQ_OVERFLOW)]);
    machine.device().fault(7);
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [7]);
    // The flag is a toggle: the second overflow is announced by its being clear.
    (8..=12).for_each(|address| machine.device().fault(address));
    let events = machine.service(IrqSet::EVENTQ);
    assert_eq!(inputs(&events[..4]), [8, 9, 10, 11]);
    assert_eq!(events[4..], [Event::Error(ErrorCause::EVENTQ_OVERFLOW)]);
}

#[test]
fn an_overflow_is_placed_behind_records_seen_after_its_ack() {
    // A queue larger than a batch: freed slots are taken again before CONS is written, and what is
    // lost then is announced by nothing but the flag that is already set.
    let machine = queue_of(6);
    (0..65).for_each(|address| machine.device().fault(address));
    machine.device().before_write(Register::EventqCons, |device| device.fault(65));
    let first = machine.notify(EVENTQ);
    assert_eq!(first, fault(0, PENDING));
    // Slots are free now; these records are behind the loss of 64 and 65.
    machine.device().fault(66);
    machine.device().fault(67);
    let events = machine.service(IrqSet::EVENTQ);
    let loss = events.iter().position(|event| input(event).is_err()).expect("the loss");
    assert_eq!(inputs(&events[..loss]), (0..64).collect::<Vec<_>>());
    assert_eq!(events[loss], Event::Error(ErrorCause::EVENTQ_OVERFLOW));
    assert_eq!(inputs(&events[loss + 1..]), [66, 67]);
}

#[test]
fn a_second_loss_before_the_place_of_the_first_is_reported_too() {
    let machine = queue_of(6);
    (0..65).for_each(|address| machine.device().fault(address));
    // Between the acknowledging write and the read behind it the queue fills up and overflows again.
    machine.device().before_read(Register::EventqProd, |_| ());
    machine.device().before_read(Register::EventqProd, |device| {
        (100..133).for_each(|address| device.fault(address))
    });
    let events = machine.service(IrqSet::EVENTQ);
    let losses: Vec<_> = (0..events.len()).filter(|&at| input(&events[at]).is_err()).collect();
    assert_eq!(losses, [96, 97], "64 and 32 records, then what was lost among and behind them");
    let records: Vec<_> = events.into_iter().filter(|event| input(event).is_ok()).collect();
    assert_eq!(inputs(&records), (0..64).chain(100..132).collect::<Vec<_>>());
}

// 3: NOTIFY peeks, CONSUME takes what was reported.

#[test]
fn notify_repeated_reports_the_same_event_until_it_is_consumed() {
    let machine = small();
    machine.device().fault(1);
    machine.device().fault(2);
    for _ in 0..3 {
        assert_eq!(machine.notify(EVENTQ), fault(1, PENDING));
    }
    machine.consume(EVENTQ);
    for _ in 0..3 {
        assert_eq!(machine.notify(EVENTQ), fault(2, 0));
    }
    machine.consume(EVENTQ);
    assert_eq!(machine.notify(EVENTQ), NOTHING);
}

#[test]
fn consume_without_a_reported_event_takes_nothing() {
    let machine = small();
    machine.device().fault(1);
    machine.device().fault(2);
    machine.consume(EVENTQ);
    assert_eq!(machine.notify(EVENTQ), fault(1, PENDING));
    machine.consume(EVENTQ);
    // The second event is staged, but was not reported.
    machine.consume(EVENTQ);
    machine.consume(EVENTQ);
    assert_eq!(machine.notify(EVENTQ), fault(2, 0));
}

#[test]
fn consume_of_another_source_takes_nothing() {
    let machine = small();
    machine.device().fault(1);
    assert_eq!(machine.notify(EVENTQ), fault(1, 0));
    for set in [0, GERROR, IrqSet::PRIQ.bits(), IrqSet::CMDQ.bits(), !BOTH] {
        machine.consume(set);
    }
    assert_eq!(machine.notify(EVENTQ), fault(1, 0));
}

// 4: no lost wake-up.

#[test]
fn a_record_between_notify_and_consume_raises_an_interrupt() {
    let machine = small();
    machine.device().fault(1);
    assert!(!machine.device().take_interrupts().is_empty());
    assert_eq!(machine.notify(EVENTQ), fault(1, 0));
    machine.device().fault(2);
    assert!(
        !machine.device().take_interrupts().is_empty(),
        "the host was notified that nothing is pending"
    );
    machine.consume(EVENTQ);
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [2]);
}

#[test]
fn a_record_during_notify_is_pending_or_raises_an_interrupt() {
    for moment in 0..3 {
        let machine = small();
        machine.device().fault(1);
        let mut device = machine.device();
        assert!(!device.take_interrupts().is_empty());
        match moment {
            0 => device.before_read(Register::EventqProd, |device| device.fault(2)),
            1 => device.before_write(Register::EventqCons, |device| device.fault(2)),
            _ => {
                device.before_read(Register::EventqProd, |_| ());
                device.before_read(Register::EventqProd, |device| device.fault(2));
            }
        }
        drop(device);
        let [flags, ..] = machine.notify(EVENTQ);
        let raised = !machine.device().take_interrupts().is_empty();
        assert!(flags & PENDING != 0 || raised, "moment {moment}");
        assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [1, 2], "moment {moment}");
    }
}

#[test]
fn two_cpus_that_serve_one_interrupt_each_leave_nothing_behind() {
    let machine = small();
    machine.device().fault(1);
    // The first CPU is notified of 1 and that nothing is pending; 2 comes with an interrupt that the
    // second CPU takes. Both then consume, and the first one leaves.
    assert_eq!(machine.notify(EVENTQ), fault(1, 0));
    machine.device().fault(2);
    let second = machine.notify(EVENTQ);
    machine.consume(EVENTQ);
    machine.consume(EVENTQ);
    assert_eq!(second, fault(1, PENDING), "the second CPU must come back for 2");
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [2]);
}

#[test]
fn records_of_the_activation_are_found_by_the_first_service() {
    let machine = Machine::started(Options::default());
    // The queue is enabled before the interrupts are, so this record raises none.
    machine.device().before_write(Register::IrqCtrl, |_| ());
    machine.device().before_write(Register::IrqCtrl, |device| device.fault(1));
    machine.activate().unwrap();
    assert!(machine.device().take_interrupts().is_empty());
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [1]);
}

// 5: the host's loop ends.

#[test]
fn nothing_never_comes_with_pending() {
    let machine = small();
    assert_eq!(machine.notify(EVENTQ), NOTHING);
    assert_eq!(machine.notify(BOTH), NOTHING);
    // An overflow is announced and no record is there, but some come before its place is known: they
    // must be reported in the same call.
    let mut device = machine.device();
    let prod = device.peek(Register::EventqProd) as u32;
    device.set_prod_raw(Output::Events, prod ^ 1 << 31);
    device.before_read(Register::EventqProd, |_| ());
    device.before_read(Register::EventqProd, |device| device.fault(1));
    drop(device);
    assert_eq!(machine.notify(EVENTQ), fault(1, PENDING));
    machine.consume(EVENTQ);
    assert_eq!(machine.notify(EVENTQ), [ERROR, 0, 0, 0, 0, 1 << 32]);
    machine.consume(EVENTQ);
    assert_eq!(machine.notify(EVENTQ), NOTHING);
}

#[test]
fn consuming_ends_after_as_many_calls_as_events() {
    let machine = queue_of(9);
    (0..512).for_each(|address| machine.device().fault(address));
    let before = machine.calls();
    assert_eq!(machine.service(IrqSet::EVENTQ).len(), 512);
    assert_eq!(machine.calls() - before, 2 * 512);
}

#[test]
fn empty_and_unknown_sets_report_nothing_and_touch_nothing() {
    let machine = small();
    machine.device().fault(1);
    machine.device().forget_accesses();
    for set in [0, IrqSet::PRIQ.bits(), IrqSet::CMDQ.bits(), !0xF, !BOTH] {
        assert_eq!(machine.notify(set), NOTHING, "{set:#x}");
    }
    assert_eq!(machine.device().accesses(), (0, 0));
    assert_eq!(machine.notify(EVENTQ | 1 << 63), fault(1, 0));
}

// 6: bounded work.

#[test]
fn a_burst_of_32_costs_three_register_accesses_to_the_end() {
    let machine = queue_of(9);
    (0..32).for_each(|address| machine.device().fault(address));
    assert_eq!(machine.service(IrqSet::EVENTQ).len(), 32);
    assert_eq!(machine.device().accesses(), (2, 1));
}

#[test]
fn a_flood_costs_two_reads_and_one_write_per_staged_batch() {
    let machine = queue_of(9);
    (0..512).for_each(|address| machine.device().fault(address));
    let batch = u64::from(BATCH);
    for address in 0..512 {
        machine.device().forget_accesses();
        let pending = if address == 511 { 0 } else { PENDING };
        assert_eq!(machine.notify(EVENTQ), fault(address, pending));
        machine.consume(EVENTQ);
        // A batch for the first event, and again whenever one entry is left of the batch before.
        let polls = address == 0 || address % batch == batch - 1 && address != 511;
        assert_eq!(machine.device().accesses(), if polls { (2, 1) } else { (0, 0) }, "{address}");
    }
}

#[test]
fn nothing_new_costs_one_read_and_one_of_the_enables() {
    let machine = small();
    for (set, register) in [(EVENTQ, Register::EventqProd), (GERROR, Register::Gerror)] {
        machine.device().forget_accesses();
        assert_eq!(machine.notify(set), NOTHING);
        let device = machine.device();
        assert_eq!(device.accesses(), (2, 0));
        let read = |register| device.accesses_of(register).0;
        assert_eq!((read(register), read(Register::Cr0Ack)), (1, 1));
    }
    // Behind a reported event it is one.
    machine.device().fault(1);
    assert_eq!(machine.notify(EVENTQ), fault(1, 0));
    machine.device().forget_accesses();
    assert_eq!(machine.notify(EVENTQ), fault(1, 0));
    assert_eq!(machine.device().accesses(), (1, 0));
}

// 7: bad input changes nothing.

#[test]
fn bad_addresses_and_states_get_status_zeros_and_no_effect() {
    let machine = Machine::new(Options::default());
    let commands = [Function::PsmmuIrqNotify, Function::PsmmuEventConsume];
    let call = |function: Function, x1, x2| {
        let x = machine.call([function.id(), x1, x2, 3, 4, 5, 6, 7]);
        assert_eq!(x[7], 7);
        // NOTIFY has outputs in X1 to X6; the others have none.
        let keeps = function != Function::PsmmuIrqNotify;
        assert_eq!(x[1..7], if keeps { [0, 0, 0, 4, 5, 6] } else { NOTHING }, "{function:?}");
        ResultWord::from_x0(x[0]).status()
    };
    for function in [Function::PsmmuInfo, Function::PsmmuActivate].into_iter().chain(commands) {
        assert_eq!(call(function, PSMMU, HOST_PAGE), Ok(Status::ErrorGlobal));
    }
    machine.rmi().rmm_activate().unwrap();
    for function in commands {
        assert_eq!(call(function, PSMMU, EVENTQ), Ok(Status::ErrorInput), "not active");
    }
    machine.activate().unwrap();
    machine.device().fault(1);
    for psmmu_ptr in [0, PSMMU + 1, PSMMU + 0x1000, !0, HOST_PAGE] {
        for function in [Function::PsmmuInfo, Function::PsmmuActivate].into_iter().chain(commands) {
            assert_eq!(
                call(function, psmmu_ptr, HOST_PAGE),
                Ok(Status::ErrorInput),
                "{psmmu_ptr:#x}"
            );
        }
    }
    assert_eq!(call(Function::PsmmuActivate, PSMMU, HOST_PAGE), Ok(Status::ErrorInput), "twice");
    assert_eq!(machine.notify(EVENTQ), fault(1, 0));
}

#[test]
fn a_bad_info_page_is_refused_and_a_good_one_written_whole() {
    let machine = Machine::started(Options::default());
    let input_error = RmiError::Status(Function::PsmmuInfo, Status::ErrorInput);
    machine.host.fill(HOST_PAGE, 0x55);
    let realm = machine.heap.take(1);
    assert!(machine.host.delegate(realm));
    for page in [HOST_PAGE + 8, realm, NO_MEMORY, RMM, 0, 1 << 40, 1 << 52, !0xFFF, !0] {
        assert_eq!(machine.rmi().psmmu_info(PSMMU, page), Err(input_error), "{page:#x}");
    }
    assert_eq!(machine.host.page(HOST_PAGE), [0x55; 512]);
    assert_eq!(machine.rmi().psmmu_info(PSMMU, HOST_PAGE), Ok(()));
    let page = machine.host.page(HOST_PAGE);
    assert_eq!(page[..5], [1, 111, 106, 107, 0]);
    assert_eq!(page[5..], [0; 507]);
}

#[test]
fn unusable_parameters_are_refused_before_any_device_write() {
    let machine = Machine::started(Options::default());
    let refused = Err(RmiError::Status(Function::PsmmuActivate, Status::ErrorInput));
    // MSIs on a platform of wired interrupts, ATS.
    for flags in [1, 2, 3, 5, 6, 7] {
        machine.host.set_word(HOST_PAGE, 0, flags);
        assert_eq!(machine.rmi().psmmu_activate(PSMMU, HOST_PAGE), refused, "flags {flags}");
    }
    for page in [HOST_PAGE + 1, 0, NO_MEMORY, RMM] {
        assert_eq!(machine.rmi().psmmu_activate(PSMMU, page), refused, "{page:#x}");
    }
    assert_eq!(machine.device().accesses().1, 0);
    // Bits that mean nothing are not the host's fault.
    machine.host.set_word(HOST_PAGE, 0, 0xFF00);
    assert_eq!(machine.activate(), Ok(()));
}

// 8: errors are handled.

#[test]
fn only_consume_acknowledges_and_only_the_reported_errors() {
    let machine = small();
    let (_, before) = machine.device().errors();
    machine.device().raise(MSI_CMDQ_ABT_ERR);
    assert_eq!(machine.notify(GERROR), [ERROR, 0, 0, 0, 0, MSI_CMDQ_ABT_ERR.into()]);
    machine.device().raise(1 << 7);
    // Reported again it is the same event, but now more is waiting.
    assert_eq!(machine.notify(GERROR), [ERROR | PENDING, 0, 0, 0, 0, MSI_CMDQ_ABT_ERR.into()]);
    assert_eq!(machine.device().errors().1, before);
    machine.consume(GERROR);
    assert_eq!(machine.device().errors().1, before ^ MSI_CMDQ_ABT_ERR);
    assert_eq!(machine.notify(GERROR), [ERROR, 0, 0, 0, 0, 1 << 7]);
    machine.consume(GERROR);
    assert_eq!(machine.notify(GERROR), NOTHING);
    let (gerror, gerrorn) = machine.device().errors();
    assert_eq!(gerror, gerrorn);
}

#[test]
fn reserved_error_bits_are_neither_reported_nor_toggled() {
    let machine = small();
    machine.device().raise(1 << 1 | 1 << 8 | 1 << 31 | MSI_EVENTQ_ABT_ERR);
    assert_eq!(machine.notify(GERROR)[5], MSI_EVENTQ_ABT_ERR.into());
    machine.consume(GERROR);
    let (gerror, gerrorn) = machine.device().errors();
    assert_eq!(gerror ^ gerrorn, 1 << 1 | 1 << 8 | 1 << 31);
}

#[test]
fn a_command_error_is_repaired_at_once_and_then_reported() {
    let machine = small();
    let _ = machine.device().take_commands();
    machine.device().inject_command([0xFF, 0]);
    assert!(machine.device().take_interrupts().contains(Source::Gerror));
    for _ in 0..2 {
        assert_eq!(machine.notify(GERROR), [ERROR, 0, 0, 0, 0, CMDQ_ERR.into()]);
        let (gerror, gerrorn) = machine.device().errors();
        assert_eq!(gerror, gerrorn, "acknowledged, and not raised again by the same command");
    }
    let ran = machine.device().take_commands();
    assert_eq!(ran, [Command::Sync(Completion::Silent)], "a SYNC stands in its place");
    machine.consume(GERROR);
    assert_eq!(machine.notify(GERROR), NOTHING);
}

#[test]
fn a_write_abort_discards_the_queue_unless_platform_preserves() {
    for (abort, kept) in
        [(QueueAbortPolicy::Discard, &[][..]), (QueueAbortPolicy::Preserve, &[1, 2][..])]
    {
        let machine = Machine::active(Options { abort, ..Options::default() });
        machine.device().fault(1);
        machine.device().fault(2);
        machine.device().raise(EVENTQ_ABT_ERR);
        machine.device().fault(3);
        let reported = machine.service(IrqSet::GERROR);
        assert_eq!(reported, [Event::Error(ErrorCause::EVENTQ_ABT_ERR)]);
        assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), kept);
        machine.device().fault(4);
        assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [4], "events flow again");
    }
}

#[test]
fn what_was_staged_before_a_write_abort_is_still_reported() {
    let machine = queue_of(7);
    (0..40).for_each(|address| machine.device().fault(address));
    assert_eq!(machine.notify(EVENTQ), fault(0, PENDING));
    machine.device().raise(EVENTQ_ABT_ERR);
    assert_eq!(machine.service(IrqSet::GERROR).len(), 1);
    let staged = machine.service(IrqSet::EVENTQ);
    assert_eq!(inputs(&staged), (0..u64::from(BATCH)).collect::<Vec<_>>());
}

#[test]
fn an_overflow_seen_before_a_write_abort_is_reported_too() {
    let machine = small();
    (0..5).for_each(|address| machine.device().fault(address));
    machine.device().raise(EVENTQ_ABT_ERR);
    assert_eq!(machine.service(IrqSet::GERROR), [Event::Error(ErrorCause::EVENTQ_ABT_ERR)]);
    assert_eq!(machine.service(IrqSet::EVENTQ), [Event::Error(ErrorCause::EVENTQ_OVERFLOW)]);
}

#[test]
fn an_overflow_in_a_queue_discarded_by_an_abort_is_reported() {
    let machine = queue_of(6);
    (0..65).for_each(|address| machine.device().fault(address));
    // Acknowledged, and its place is behind 32 records that are still in the queue.
    assert_eq!(machine.notify(EVENTQ), fault(0, PENDING));
    machine.device().raise(EVENTQ_ABT_ERR);
    assert_eq!(machine.service(IrqSet::GERROR).len(), 1);
    let events = machine.service(IrqSet::EVENTQ);
    assert_eq!(inputs(&events[..32]), (0..32).collect::<Vec<_>>());
    assert_eq!(events[32..], [Event::Error(ErrorCause::EVENTQ_OVERFLOW)]);
}

#[test]
fn report_order_is_errors_then_events() {
    let machine = small();
    machine.device().fault(1);
    machine.device().raise(MSI_EVENTQ_ABT_ERR);
    assert_eq!(machine.notify(BOTH), [ERROR | PENDING, 0, 0, 0, 0, MSI_EVENTQ_ABT_ERR.into()]);
    // The record was staged but not reported, so it must survive two CONSUMEs.
    machine.consume(BOTH);
    machine.consume(BOTH);
    assert_eq!(machine.notify(BOTH), fault(1, 0));
    machine.consume(BOTH);
    assert_eq!(machine.notify(BOTH), NOTHING);
}

// 9: least disclosure.

#[test]
fn a_psmmu_event_never_discloses_the_stream() {
    let machine = small();
    machine.device().record(Record([0xABCD_0000_FFFF_F810, !(1 << 31), 0x1000, 0x2000]));
    let [flags, number, stream, fetch, input, syndrome] = machine.notify(EVENTQ);
    assert_eq!((flags, number, stream, fetch, input), (EVENT, 0x10, 0, 0, 0x1000));
    assert_eq!(syndrome, 0b1111, "and no more than four bits of the rest");
}

// 10: hostile device.

#[test]
fn an_inconsistent_prod_is_one_error_and_resyncs_the_queue() {
    for bad in [0x5, 0x7, 0x10, 0x4000_0000] {
        let machine = small();
        let good = machine.device().peek(Register::EventqProd) as u32;
        machine.device().set_prod_raw(Output::Events, good ^ bad);
        machine.device().before_read(Register::EventqProd, |_| ());
        machine.device().before_write(Register::EventqCons, move |device| {
            // The device comes to its senses where the driver meets it.
            device.set_prod_raw(Output::Events, (good ^ bad) & 0x8000_0007);
        });
        assert_eq!(machine.service(IrqSet::EVENTQ).len(), 1, "{bad:#x}");
        machine.device().fault(9);
        assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [9], "{bad:#x}");
    }
}

#[test]
fn an_absent_device_is_reported_once_and_refused_afterwards() {
    let machine = small();
    machine.device().fault(1);
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [1]);
    machine.device().set_removed(true);
    assert_eq!(machine.notify(EVENTQ), [ERROR, 0, 0, 0, 0, EVENTQ_ABT_ERR.into()]);
    assert_eq!(machine.notify(EVENTQ), [ERROR, 0, 0, 0, 0, EVENTQ_ABT_ERR.into()]);
    machine.consume(EVENTQ);
    let refused = |function| RmiError::Status(function, Status::ErrorDevice);
    for set in [IrqSet::EVENTQ, IrqSet::GERROR, IrqSet::all()] {
        assert_eq!(
            machine.try_service(set),
            Err(ServiceError::Rmi(refused(Function::PsmmuIrqNotify)))
        );
        let consumed = machine.rmi().event_consume(PSMMU, set);
        assert_eq!(consumed, Err(refused(Function::PsmmuEventConsume)));
    }
    machine.device().forget_accesses();
    assert_eq!(
        machine.rmi().psmmu_activate(PSMMU, HOST_PAGE),
        Err(refused(Function::PsmmuActivate))
    );
    assert_eq!(machine.device().accesses(), (0, 0), "nothing spins on it");
}

// Bring-up.

#[test]
fn activation_enables_queues_smmu_irqs_and_invalidates_caches() {
    let machine = Machine::started(Options::default());
    assert_eq!(machine.activate(), Ok(()));
    let mut device = machine.device();
    // SMMUEN, EVENTQEN and CMDQEN; interrupts of GERROR and event queue.
    assert_eq!((device.cr0ack() & 0b1111, device.irq_ctrlack()), (0b1101, 0b101));
    let commands = device.take_commands();
    assert_eq!(commands.first(), Some(&Command::CfgiAll));
    assert_eq!(commands.last(), Some(&Command::Sync(Completion::Silent)));
    assert_eq!(commands.len(), 4, "{commands:?}");
    // Where the host gave the memory first; two levels, split 6, StreamIDs of 16 bits.
    assert_eq!(device.peek(Register::StrtabBase), 1 << 62 | HEAP);
    assert_eq!(device.peek(Register::StrtabBaseCfg), 0x1_0190);
    let (gerror, gerrorn) = device.errors();
    assert_eq!(gerror, gerrorn, "what an earlier user left is acknowledged");
}

#[test]
fn without_delivery_polling_finds_everything() {
    let machine = Machine::active(Options { delivery: Delivery::Disabled, ..Options::default() });
    machine.device().fault(1);
    machine.device().raise(MSI_EVENTQ_ABT_ERR);
    assert!(machine.device().take_interrupts().is_empty());
    assert_eq!(machine.service(IrqSet::all()).len(), 2);
}

#[test]
fn a_missing_acknowledge_fails_activation_in_bounded_time() {
    let machine = Machine::started(Options::default());
    machine.device().set_hung(true);
    let failed = Err(Status::ErrorDevice);
    assert_eq!(machine.activate(), failed);
    // The clock steps a tenth of a second at a time, a wait takes a second.
    assert!(machine.device().accesses().0 < 40);
    assert_eq!(machine.state(), State::Failed);
    assert_eq!(machine.activate(), failed);
}

// A reference: the plain list of what must be reported.

/// A generator of numbers; the same ones in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Where a CPU of the host is in its loop.
#[derive(Clone, Copy, Debug)]
enum Handler {
    Idle,
    Asking,
    Consuming { pending: bool },
}

#[test]
fn interrupt_driven_hosts_get_everything_in_any_step_order() {
    for seed in 1..=600 {
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let log2 = (seed % 8) as u8;
        let machine = queue_of(log2);
        // What was recorded and not consumed, whether the first of it was reported, the last number.
        let mut expected = std::collections::VecDeque::new();
        let (mut reported, mut last) = (false, 0);
        // Two CPUs, each of which goes on asking as long as it is notified that more is waiting.
        let mut handlers = [Handler::Idle; 2];
        for step in 0.. {
            assert!(step < 10_000, "seed {seed}: the host does not come to an end");
            let stopped = step > 400;
            let handler = &mut handlers[numbers.below(2) as usize];
            match numbers.below(8) {
                // Staging only makes room, so as long as no more is unconsumed than the queue holds,
                // nothing overflows.
                0..=2 if !stopped && (expected.len() as u64) < 1 << log2 => {
                    last += 1;
                    machine.device().fault(last);
                    expected.push_back(last);
                }
                // A CONSUME before which nothing was reported, or something to another CPU.
                3 => take(&machine, &mut reported, &mut expected),
                // A poll.
                4 if !stopped && matches!(handler, Handler::Idle) => *handler = Handler::Asking,
                _ => match *handler {
                    Handler::Idle => {
                        if !machine.device().take_interrupts().is_empty() {
                            *handler = Handler::Asking;
                        }
                    }
                    Handler::Asking => {
                        let answer = machine.notify(EVENTQ);
                        reported = check(&answer, expected.front(), seed);
                        let pending = answer[0] & PENDING != 0;
                        *handler =
                            if reported { Handler::Consuming { pending } } else { Handler::Idle };
                    }
                    Handler::Consuming { pending } => {
                        take(&machine, &mut reported, &mut expected);
                        *handler = if pending { Handler::Asking } else { Handler::Idle };
                    }
                },
            }
            let idle = handlers.iter().all(|handler| matches!(handler, Handler::Idle));
            if stopped && idle && machine.device().interrupts().is_empty() {
                break;
            }
        }
        assert!(expected.is_empty(), "seed {seed}: {expected:?} left behind");
    }
}

/// Consumes, and drops the first expected record if it was reported.
fn take(machine: &Machine, reported: &mut bool, expected: &mut std::collections::VecDeque<u64>) {
    machine.consume(EVENTQ);
    if std::mem::take(reported) {
        expected.pop_front();
    }
}

/// Checks an answer against the first record that is not consumed, and says whether it reports one.
fn check(answer: &[u64; 6], first: Option<&u64>, seed: u64) -> bool {
    match first {
        None => assert_eq!(*answer, NOTHING, "seed {seed}"),
        Some(&first) => {
            assert_eq!((answer[0] & !PENDING, answer[4]), (EVENT, first), "seed {seed}")
        }
    }
    first.is_some()
}
