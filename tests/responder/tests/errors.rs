// SPDX-License-Identifier: MIT OR Apache-2.0

//! Global errors, command errors and devices that stop answering, through the RMI calls of the host.

use psmmu::State;
use psmmu::TraceEvent;
use psmmu_abi::{ErrorCause, Event, Function, IrqSet, Status};
use psmmu_host::RmiError;
use responder_tests::{Faults, Machine, Options, PSMMU, inputs};
use smmu_model::{Command, Completion, PageRequest, Register};

const GERROR: u64 = IrqSet::GERROR.bits();

const CMDQ_ERR: u32 = 1 << 0;
const PRIQ_ABT_ERR: u32 = 1 << 3;
const MSI_EVENTQ_ABT_ERR: u32 = 1 << 5;
const MSI_PRIQ_ABT_ERR: u32 = 1 << 6;

fn with_requests() -> Machine {
    Machine::active(Options { pri_queue: Some(4), ..Options::default() })
}

fn not_active() -> Machine {
    Machine::started(Options::default())
}

const REFUSED: Result<(), Status> = Err(Status::ErrorDevice);

#[test]
fn each_realm_error_is_reported_acknowledged_and_counted() {
    for bit in [2, 3, 4, 5, 6, 7, 9, 10] {
        let machine = with_requests();
        // The model has no device permission table and so no DPT_CFG_FAR.
        machine.device().collect_violations(bit == 10);
        machine.device().raise(1 << bit);
        let reported = machine.service(IrqSet::GERROR);
        let cause = ErrorCause::from_bits_retain(1 << bit);
        assert_eq!(reported, [Event::Error(cause)], "bit {bit}");
        assert_eq!(machine.device().active_errors(), 0, "bit {bit}");
        assert_eq!(machine.psmmu().counters().errors(cause), 1, "bit {bit}");
        let trace: Vec<_> = machine.psmmu().counters().trace.iter().collect();
        assert_eq!(trace, [TraceEvent::Errors(cause)], "bit {bit}");
        let cleared = machine.device().take_violations().len();
        assert_eq!(cleared, usize::from(bit == 10), "DPT_CFG_FAR is cleared");
    }
}

#[test]
fn an_aborted_queue_msi_makes_notify_poll_that_queue() {
    let machine = with_requests();
    machine.device().fault(1);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    // Their interrupts are lost.
    let _ = machine.device().take_interrupts();
    machine.device().raise(MSI_EVENTQ_ABT_ERR | MSI_PRIQ_ABT_ERR);
    assert_eq!(machine.service(IrqSet::GERROR).len(), 3, "the error, and what was not announced");
    let _ = machine.device().take_interrupts();
    machine.device().fault(2);
    assert!(machine.device().take_interrupts().contains(smmu_model::Source::Eventq));
    machine.device().page_request(PageRequest::last_of(8, 4, 0x8000));
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [2]);
    assert_eq!(machine.service(IrqSet::PRIQ).len(), 1);
}

#[test]
fn a_write_abort_on_the_pri_queue_spoils_what_it_holds() {
    let machine = with_requests();
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    machine.device().raise(PRIQ_ABT_ERR);
    assert_eq!(machine.service(IrqSet::GERROR), [Event::Error(ErrorCause::PRIQ_ABT_ERR)]);
    assert_eq!(machine.service(IrqSet::PRIQ), []);
    assert_eq!(machine.psmmu().counters().page_requests.discards.get(), 1);
    machine.device().page_request(PageRequest::last_of(8, 4, 0x8000));
    assert_eq!(machine.service(IrqSet::PRIQ).len(), 1);
}

#[test]
fn a_refused_command_fails_its_issuer_and_the_queue_continues() {
    let machine = not_active();
    machine.device().corrupt_next_command([0xFF, 0]);
    assert_eq!(machine.activate(), REFUSED);
    assert_eq!(machine.state(), State::Inactive, "a rejected command is no failure of the device");
    let commands = machine.device().take_commands();
    assert_eq!(commands.first(), Some(&Command::Sync(Completion::Silent)), "in its place");
    assert_eq!(machine.activate(), Ok(()));
}

#[test]
fn a_stuck_command_queue_fails_activation_once() {
    let machine = not_active();
    // It acknowledges the queue and then stops responding.
    machine.device().before_write(Register::CmdqProd, |_| ());
    machine.device().before_write(Register::CmdqProd, |device| device.set_hung(true));
    assert_eq!(machine.activate(), REFUSED);
    assert_eq!(machine.state(), State::Failed);
    machine.device().forget_accesses();
    assert_eq!(machine.activate(), REFUSED);
    assert_eq!(machine.device().accesses(), (0, 0));
}

#[test]
fn an_unfetchable_command_fails_without_an_error_storm() {
    let machine = with_requests();
    machine.device().abort_command_fetches(true);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    assert_eq!(machine.service(IrqSet::PRIQ).len(), 1);
    let mut reported = 0;
    while machine.state() == State::Active {
        reported += 1;
        assert!(reported < 20, "the error comes back for ever");
        assert_eq!(machine.notify(GERROR)[5], CMDQ_ERR.into());
        machine.consume(GERROR);
    }
    let end = machine.rmi().irq_notify(PSMMU, IrqSet::GERROR);
    let status = RmiError::Status(Function::PsmmuIrqNotify, Status::ErrorDevice);
    assert_eq!(end, Err(status));
}

#[test]
fn a_wait_for_room_in_the_queue_repairs_a_command_error() {
    let machine = Machine::active(Options { pri_queue: Some(6), ..Options::default() });
    machine.device().corrupt_next_command([0xFF, 0]);
    // As many answers as the command queue has places, the first of them refused.
    for round in 0..4 {
        for group in 0..64 {
            machine.device().page_request(PageRequest::last_of(8, group, round << 12));
        }
        assert_eq!(machine.service(IrqSet::PRIQ).len(), 64);
    }
    assert_eq!(machine.st_l2_create(64), Ok(()));
    assert_eq!(machine.state(), State::Active);
    assert_eq!(machine.service(IrqSet::GERROR), [Event::Error(ErrorCause::CMDQ_ERR)]);
    assert_eq!(machine.psmmu().counters().errors(ErrorCause::CMDQ_ERR), 1);
}

#[test]
fn fetch_aborts_with_progress_between_do_not_give_the_device_up() {
    let machine = not_active();
    machine.write_params(machine.flags(), &[]);
    assert_eq!(machine.activate(), Ok(()));
    for abort in 1..=20 {
        machine.device().abort_command_fetches(true);
        machine.device().before_write(Register::Gerrorn, |device| {
            device.abort_command_fetches(false);
        });
        // Two commands for each table that comes or goes: once around the queue of 256 and its wrap bit,
        // so that each abort meets the same pointer.
        for _ in 0..128 {
            assert_eq!(machine.st_l2_create(64), Ok(()), "abort {abort}");
            assert_eq!(machine.st_l2_destroy(64), Ok(()), "abort {abort}");
        }
        assert_eq!(machine.service(IrqSet::GERROR), [Event::Error(ErrorCause::CMDQ_ERR)]);
    }
    assert_eq!(machine.state(), State::Active);
}

#[test]
fn commands_are_completed_by_msis_where_the_device_has_them() {
    let options = Options { msis: true, ..Options::default() };
    let machine = Machine::active(options);
    let commands = machine.device().take_commands();
    assert!(
        matches!(commands.last(), Some(Command::Sync(Completion::Interrupt(Some(_))))),
        "{commands:?}"
    );
    let (reads, _) = machine.device().accesses_of(Register::CmdqCons);
    assert_eq!(reads, 0, "the wait reads memory");

    let device = smmu_model::Config::default().without_msi();
    let machine = Machine::with_device(options, device).activated();
    let commands = machine.device().take_commands();
    assert_eq!(commands.last(), Some(&Command::Sync(Completion::Silent)));
}

#[test]
fn the_msi_of_an_earlier_activation_is_not_taken_for_an_answer() {
    let machine = Machine::started(Options { msis: true, ..Options::default() });
    machine.device().corrupt_next_command([0xFF, 0]);
    assert_eq!(machine.activate(), REFUSED);
    assert_eq!(machine.state(), State::Inactive, "the SYNC has sent its msi");
    machine.device().before_write(Register::CmdqProd, |_| ());
    machine.device().before_write(Register::CmdqProd, |device| device.set_hung(true));
    assert_eq!(machine.activate(), REFUSED);
    assert_eq!(machine.state(), State::Failed);
    let device = machine.device();
    assert_eq!((device.cr0() & 1, device.irq_ctrl()), (0, 0), "it got no further than commands");
}

#[test]
fn acknowledges_that_take_their_time_are_waited_for() {
    for reads in [1, 3, 7] {
        let machine = not_active();
        machine.device().set_ack_delay(smmu_model::AckDelay::Reads(reads));
        assert_eq!(machine.activate(), Ok(()), "{reads} reads");
        machine.device().fault(1);
        assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [1]);
    }
}

#[test]
fn counters_say_what_happened() {
    let machine = Machine::active(Options { event_queue: 3, ..Options::default() });
    (0..10).for_each(|address| machine.device().fault(address));
    assert_eq!(machine.service(IrqSet::EVENTQ).len(), 9);
    let events = &machine.psmmu().counters().events;
    assert_eq!(events.staged.get(), 8);
    assert_eq!(events.consumed.get(), 9, "eight records and a loss");
    assert_eq!(events.overflows.get(), 1);
    assert_eq!(events.high_water(), 8);
}

#[test]
fn all_ones_gerror_is_one_error_and_never_acknowledged() {
    let machine = Machine::active(Options::default());
    machine.device().set_removed(true);
    for _ in 0..2 {
        let [flags, number, .., syndrome] = machine.notify(GERROR);
        assert_eq!((flags, number, syndrome), (0b010, 0, CMDQ_ERR.into()));
    }
    machine.consume(GERROR);
    assert_eq!(machine.state(), State::Failed);
    let refused = machine.rmi().irq_notify(PSMMU, IrqSet::GERROR);
    assert_eq!(refused, Err(RmiError::Status(Function::PsmmuIrqNotify, Status::ErrorDevice)));
    // All ones are no errors: whatever was acknowledged, the device would have to take it for one.
    assert_eq!(machine.device().accesses().1, 0);
}
