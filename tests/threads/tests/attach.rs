// SPDX-License-Identifier: MIT OR Apache-2.0

//! An embedder that attaches, detaches, activates and deactivates one PSMMU on several CPUs at once. Each
//! test runs under many schedules.

use psmmu::{ActivateError, AttachError, DeactivateError, DeviceError, NoVsmmu, State, StateError};
use psmmu_abi::IrqSet;
use smmu_model::{Record, Register};
use thread_tests::{Machine, spawn, under_all_schedules};

/// Schedules of each test, for each way to choose them.
const SCHEDULES: usize = 1000;

/// IRQ_CTRL with all three sources enabled.
const ALL_INTERRUPTS: u32 = 7;

/// A device whose queues run, not attached.
fn running() -> Machine {
    let machine = Machine::new(2);
    machine.run_queues();
    machine
}

fn interrupts(machine: &Machine) -> u32 {
    machine.read(Register::IrqCtrl)
}

/// Checks that the PSMMU is attached, that it interrupts, and that it can be detached.
fn check_attached(machine: &Machine) {
    assert_eq!(machine.psmmu().state(), State::Active);
    assert_eq!(interrupts(machine), ALL_INTERRUPTS);
    assert_eq!(machine.detach(), Ok(()));
    check_detached(machine);
}

/// Checks that nothing of the PSMMU runs but what the embedder has enabled.
fn check_detached(machine: &Machine) {
    assert_eq!(machine.psmmu().state(), State::Inactive);
    assert_eq!(interrupts(machine), 0);
}

/// Checks that the PSMMU was activated and that all of its memory comes back.
fn check_activated(machine: &Machine) {
    assert_eq!(machine.psmmu().state(), State::Active);
    assert_eq!(interrupts(machine), ALL_INTERRUPTS);
    assert_eq!(machine.detach(), Err(AttachError::State(StateError::NotAttached)));
    let memory = machine.deactivate().expect("it was activated").expect("it ran on memory");
    assert_eq!(memory.event_queue.0.address(), 0x9300_0000);
    check_detached(machine);
}

#[test]
fn detach_beside_attach_leaves_no_interrupt_on() {
    under_all_schedules(SCHEDULES, || {
        let machine = running();
        let attach = spawn(&machine, Machine::attach);
        let detach = spawn(&machine, Machine::detach);
        assert_eq!(attach.join().unwrap(), Ok(()));
        match detach.join().unwrap() {
            Ok(()) => check_detached(&machine),
            Err(
                AttachError::Device(DeviceError::Busy)
                | AttachError::State(StateError::Wrong(State::Inactive | State::Activating)),
            ) => {
                check_attached(&machine);
            }
            Err(error) => panic!("{error:?}"),
        }
    });
}

#[test]
fn attach_and_detach_on_two_cpus_leave_one_whole_state() {
    under_all_schedules(SCHEDULES, || {
        let machine = running();
        let threads = [(); 2].map(|()| {
            spawn(&machine, |machine| {
                let mut balance = 0;
                for _ in 0..2 {
                    balance += i32::from(machine.attach().is_ok());
                    balance -= i32::from(machine.detach().is_ok());
                }
                balance
            })
        });
        let balance: i32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        match balance {
            0 => check_detached(&machine),
            1 => check_attached(&machine),
            other => panic!("{other} attachments are left"),
        }
    });
}

#[test]
fn detach_beside_activation_takes_nothing_apart() {
    under_all_schedules(SCHEDULES, || {
        let machine = Machine::new(2);
        let activate = spawn(&machine, Machine::activate);
        let detach = spawn(&machine, Machine::detach);
        assert_eq!(activate.join().unwrap(), Ok(()));
        let detached = detach.join().unwrap();
        assert!(
            matches!(
                detached,
                Err(AttachError::State(StateError::NotAttached)
                    | AttachError::Device(DeviceError::Busy)
                    | AttachError::State(StateError::Wrong(State::Inactive | State::Activating)))
            ),
            "{detached:?}"
        );
        check_activated(&machine);
    });
}

#[test]
fn of_attach_beside_activation_one_wins_and_is_whole() {
    under_all_schedules(SCHEDULES, || {
        let machine = running();
        let attach = spawn(&machine, Machine::attach);
        let activate = spawn(&machine, Machine::activate);
        match (attach.join().unwrap(), activate.join().unwrap()) {
            (Ok(()), Err(ActivateError::State(_))) => check_attached(&machine),
            (Err(AttachError::State(_)), Ok(())) => check_activated(&machine),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn deactivation_beside_attach_leaves_its_queues_alone() {
    under_all_schedules(SCHEDULES, || {
        let machine = running();
        let enabled = machine.read(Register::Cr0);
        let attach = spawn(&machine, Machine::attach);
        let deactivate = spawn(&machine, |machine| machine.deactivate().err());
        assert_eq!(attach.join().unwrap(), Ok(()));
        let refused = deactivate.join().unwrap();
        assert!(
            matches!(
                refused,
                Some(
                    DeactivateError::State(StateError::Attached)
                        | DeactivateError::Device(DeviceError::Busy)
                        | DeactivateError::State(StateError::Wrong(
                            State::Inactive | State::Activating
                        ))
                )
            ),
            "{refused:?}"
        );
        assert_eq!(machine.read(Register::Cr0), enabled);
        check_attached(&machine);
    });
}

#[test]
fn finishing_one_deactivation_never_ends_one_that_runs() {
    under_all_schedules(SCHEDULES, || {
        let machine = Machine::active(2);
        let late = spawn(&machine, |machine| machine.psmmu().finish_deactivation());
        let deactivate =
            spawn(&machine, |machine| machine.psmmu().deactivate(machine.clock()).map(|_| ()));
        let activate = spawn(&machine, Machine::activate);
        let deactivated = deactivate.join().unwrap();
        late.join().unwrap();
        let activated = activate.join().unwrap();
        assert_eq!(deactivated, Ok(()));
        // Only an end that came behind the deactivation has ended it.
        match activated {
            Ok(()) => check_activated(&machine),
            Err(ActivateError::State(_)) => {
                machine.psmmu().finish_deactivation();
                check_detached(&machine);
            }
            Err(error) => panic!("{error:?}"),
        }
    });
}

/// Has three events recorded, and `end` take the queue away while a host takes two of them; returns how many
/// were consumed or dropped.
fn end_beside_host(machine: &Machine, end: fn(&Machine)) -> u64 {
    for address in 1..=3 {
        machine.device().record(Record::stage_2_write(8, address << 12));
    }
    let host = spawn(machine, |machine| {
        for _ in 0..2 {
            if machine.psmmu().notify(IrqSet::EVENTQ, &NoVsmmu).is_ok() {
                let _ = machine.psmmu().consume(IrqSet::EVENTQ);
            }
        }
    });
    let end = spawn(machine, end);
    host.join().unwrap();
    end.join().unwrap();
    let counters = &machine.psmmu().counters().events;
    counters.consumed.get() + counters.dropped.get()
}

#[test]
fn what_detach_beside_a_host_drops_is_counted_or_waits() {
    under_all_schedules(SCHEDULES, || {
        let machine = running();
        assert_eq!(machine.attach(), Ok(()));
        let counted = end_beside_host(&machine, |machine| assert_eq!(machine.detach(), Ok(())));
        let waiting = machine.device().queued_records().len() as u64;
        assert_eq!(counted + waiting, 3);
    });
}

#[test]
fn what_deactivation_beside_a_host_drops_is_counted_once() {
    under_all_schedules(SCHEDULES, || {
        let machine = Machine::active(2);
        let counted = end_beside_host(&machine, |machine| {
            assert!(machine.deactivate().expect("it is active").is_some());
        });
        assert_eq!(counted, 3);
    });
}
