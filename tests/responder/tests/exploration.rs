// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exhaustive exploration of the notification protocol for small bounds: every order of device steps,
//! register accesses of the RMM and steps of the host.
//!
//! [`responder_tests::explore`] has a host that serves the interrupts that it gets, as Linux does, injects up
//! to two faults into the device, and predicts each answer. `EXPLORE_FAULTS=n` records n faults more in each
//! run, which takes about ten times as long for each.
//!
//! The runs of this file have more handlers than one, and handlers that poll. At the end of one everything
//! that was written must have been consumed once and in order, and every loss reported behind all that was
//! written before it. They find what is wrong with the responder that first comes to mind, one that frees
//! a slot when the host consumes and calls pending what is behind it: it is why events are staged.

use std::sync::{Arc, Mutex};

use psmmu::{DeviceMemory, NoVsmmu, Psmmu, QueueAbortPolicy, Registers};
use psmmu_abi::{Event, IrqSet};
use responder_tests::explore::{Bounds, Choices, Host, Injection, Nonsense, activated, explore};
use responder_tests::{Faults, ModelMemory, ModelRegisters, input};
use smmu_model::{Output, Register, Smmu, WriteAborts};

/// What a responder reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    Record(u64),
    Loss,
}

/// Something that answers the host.
trait Responds {
    fn notify(&mut self) -> (Reported, bool);
    fn consume(&mut self);
}

impl Responds for Psmmu<ModelRegisters, ModelMemory> {
    fn notify(&mut self) -> (Reported, bool) {
        let notification = Psmmu::notify(self, IrqSet::EVENTQ, &NoVsmmu).expect("it is active");
        let event = match notification.event {
            Event::None => Reported::Nothing,
            Event::Error(_) => Reported::Loss,
            event => Reported::Record(input(&event).expect("a fault")),
        };
        (event, notification.pending)
    }

    fn consume(&mut self) {
        Psmmu::consume(self, IrqSet::EVENTQ).expect("it is active");
    }
}

/// The responder that first comes to mind: the hardware queue is all the memory it needs.
struct Naive {
    registers: ModelRegisters,
    queue: ModelMemory,
    mask: u32,
    cons: u32,
    reported: bool,
}

impl Responds for Naive {
    fn notify(&mut self) -> (Reported, bool) {
        let prod = self.registers.read(Register::EventqProd);
        self.registers.read_barrier();
        let held = prod.wrapping_sub(self.cons) & self.mask;
        if held == 0 {
            return (Reported::Nothing, false);
        }
        self.reported = true;
        let entry = (self.cons & self.mask >> 1) as usize;
        (Reported::Record(self.queue.load(4 * entry + 2)), held > 1)
    }

    fn consume(&mut self) {
        if std::mem::take(&mut self.reported) {
            self.cons = self.cons.wrapping_add(1) & self.mask;
            self.registers.write_barrier();
            self.registers.write(Register::EventqCons, self.cons);
        }
    }
}

/// What is explored with more handlers than one.
#[derive(Clone, Copy, Debug)]
struct Handlers {
    /// Log2 of the queue's entries.
    queue: u32,
    /// Faults of the device.
    faults: u64,
    /// CPUs of the host that take the interrupt.
    handlers: usize,
    /// Times that a handler begins without an interrupt.
    polls: usize,
}

/// Where a CPU of the host is in its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    Idle,
    Asking,
    Consuming { pending: bool },
}

/// What went wrong in a run.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// Events that the host never asks for.
    LeftBehind(Vec<u64>),
    /// Not what was written, or not in that order.
    Records(Vec<Reported>),
    /// A loss that was not reported, or too early.
    Loss(u64, Vec<Reported>),
    /// "Nothing, but more".
    NothingPending,
    /// The host's loop does not end.
    Endless,
}

struct Run {
    smmu: Smmu,
    choices: Arc<Mutex<Choices>>,
    /// Faults to come; the next one has the number `faults + 1 - left`.
    left: Arc<Mutex<u64>>,
    bounds: Handlers,
}

impl Run {
    fn fault(&self, times: u64) {
        let mut left = self.left.lock().unwrap();
        for _ in 0..times {
            self.smmu.device().fault(self.bounds.faults + 1 - *left);
            *left -= 1;
        }
    }

    /// Plays the run to its end.
    fn play(&self, responder: &mut impl Responds) -> Result<(), Wrong> {
        let mut handlers = vec![Handler::Idle; self.bounds.handlers];
        let mut polls = self.bounds.polls;
        // What the responder reported last and was not consumed; what was consumed.
        let mut reported = Reported::Nothing;
        let mut consumed = Vec::new();
        for _ in 0..200 {
            let interrupt = !self.smmu.device().interrupts().is_empty();
            // What may happen next: a fault, a step of a handler, a handler that begins by itself.
            let mut next = Vec::new();
            if *self.left.lock().unwrap() > 0 {
                next.push(None);
            }
            let mut idle = true;
            for (index, handler) in handlers.iter().enumerate() {
                let is_idle = *handler == Handler::Idle;
                idle &= is_idle;
                if !is_idle || interrupt || polls > 0 {
                    next.push(Some(index));
                }
            }
            if idle && !interrupt && *self.left.lock().unwrap() == 0 {
                return self.judge(&consumed);
            }
            let choice = self.choices.lock().unwrap().choose(next.len());
            let Some(index) = next[choice] else {
                self.fault(1);
                continue;
            };
            handlers[index] = match handlers[index] {
                Handler::Idle => {
                    if interrupt {
                        let _ = self.smmu.device().take_interrupts();
                    } else {
                        polls -= 1;
                    }
                    Handler::Asking
                }
                Handler::Asking => match responder.notify() {
                    (Reported::Nothing, true) => return Err(Wrong::NothingPending),
                    (Reported::Nothing, false) => Handler::Idle,
                    (event, pending) => {
                        reported = event;
                        Handler::Consuming { pending }
                    }
                },
                Handler::Consuming { pending } => {
                    responder.consume();
                    if reported != Reported::Nothing {
                        consumed.push(std::mem::replace(&mut reported, Reported::Nothing));
                    }
                    if pending { Handler::Asking } else { Handler::Idle }
                }
            };
        }
        Err(Wrong::Endless)
    }

    /// Compares what was consumed with what the device did.
    fn judge(&self, consumed: &[Reported]) -> Result<(), Wrong> {
        let losses = self.smmu.device().take_losses();
        let lost: Vec<_> = losses.iter().map(|(record, _)| record.input_address()).collect();
        let written: Vec<_> =
            (1..=self.bounds.faults).filter(|number| !lost.contains(number)).collect();
        let records: Vec<_> = consumed
            .iter()
            .filter_map(|reported| match reported {
                Reported::Record(number) => Some(*number),
                _ => None,
            })
            .collect();
        if records.len() < written.len() && written.starts_with(&records) {
            return Err(Wrong::LeftBehind(written[records.len()..].to_vec()));
        }
        if records != written {
            return Err(Wrong::Records(consumed.to_vec()));
        }
        for number in lost {
            let before = |reported: &Reported| matches!(reported, Reported::Record(other) if *other < number);
            let behind = consumed.iter().rposition(before).map_or(0, |at| at + 1);
            if !consumed[behind..].contains(&Reported::Loss) {
                return Err(Wrong::Loss(number, consumed.to_vec()));
            }
        }
        Ok(())
    }
}

/// Runs every order that `bounds` allow with the responder that `make` gives for a device that was just
/// brought up. Returns how many there are, or the first that goes wrong.
fn explore_handlers<T: Responds>(
    bounds: Handlers,
    make: impl Fn(Psmmu<ModelRegisters, ModelMemory>, ModelRegisters, ModelMemory) -> T,
) -> Result<usize, (Wrong, Choices)> {
    let choices = Arc::new(Mutex::new(Choices::default()));
    let mut runs = 0;
    loop {
        let (smmu, psmmu) = activated(Output::Events, bounds.queue, QueueAbortPolicy::Discard);
        let registers = ModelRegisters::new(smmu.clone());
        let queue = smmu.memory().find(0x9300_0000).expect("it was made for the queue");
        let queue = ModelMemory(queue);

        let left = Arc::new(Mutex::new(bounds.faults));
        let (chooser, faults) = (choices.clone(), left.clone());
        smmu.device().on_access(move |device, _| {
            let mut left = faults.lock().unwrap();
            let times = chooser.lock().unwrap().choose(*left as usize + 1);
            for _ in 0..times {
                device.fault(bounds.faults + 1 - *left);
                *left -= 1;
            }
        });
        let run = Run { smmu: smmu.clone(), choices: choices.clone(), left, bounds };
        let mut responder = make(psmmu, registers, queue);
        let result = run.play(&mut responder);
        smmu.device().clear_hooks();
        runs += 1;
        if let Err(wrong) = result {
            return Err((wrong, std::mem::take(&mut *choices.lock().unwrap())));
        }
        if !choices.lock().unwrap().next_run() {
            return Ok(runs);
        }
    }
}

fn explore_ours(bounds: Handlers) -> usize {
    match explore_handlers(bounds, |psmmu, _, _| psmmu) {
        Ok(runs) => {
            println!("{bounds:?}: {runs} orders");
            runs
        }
        Err((wrong, choices)) => panic!("{bounds:?}: {wrong:?} by {choices:?}"),
    }
}

fn explore_naive(bounds: Handlers) -> Result<usize, Wrong> {
    let naive = |_, registers, queue| Naive {
        registers,
        queue,
        mask: (2 << bounds.queue) - 1,
        cons: 0,
        reported: false,
    };
    explore_handlers(bounds, naive).map_err(|(wrong, _)| wrong)
}

#[test]
fn one_handler_that_polls_as_well_gets_all_once_and_in_order() {
    for (queue, faults) in [(0, 4), (1, 4), (2, 4)] {
        explore_ours(Handlers { queue, faults, handlers: 1, polls: 2 });
    }
}

#[test]
fn two_handlers_at_once_leave_nothing_behind() {
    for (queue, faults) in [(0, 2), (1, 2), (1, 3)] {
        explore_ours(Handlers { queue, faults, handlers: 2, polls: 0 });
    }
}

#[test]
fn freeing_slots_on_consume_fails_the_same_exploration() {
    // With room for all: the second fault comes between NOTIFY and CONSUME, raises no interrupt, and
    // waits for ever.
    let bounds = Handlers { queue: 2, faults: 2, handlers: 1, polls: 0 };
    assert_eq!(explore_naive(bounds), Err(Wrong::LeftBehind(vec![2])));
    explore_ours(bounds);
    // With too little room the loss is never reported either.
    let bounds = Handlers { queue: 0, faults: 3, handlers: 1, polls: 0 };
    assert!(explore_naive(bounds).is_err());
}

/// Faults on top of those that a test records in each run.
fn more() -> u64 {
    let more = std::env::var("EXPLORE_FAULTS").ok();
    more.map_or(0, |more| more.parse().expect("EXPLORE_FAULTS is a number"))
}

const MSI: Injection = Injection::MsiAbort;
const NOT_RECORDED: Injection = Injection::WriteAbort(WriteAborts::Synchronous);
const NOT_WRITTEN: Injection = Injection::WriteAbort(WriteAborts::Asynchronous);
const NEVER_SHOWN: Injection = Injection::WriteAbort(WriteAborts::Unreported);
const ONCE: Injection = Injection::ProdOnce(Nonsense::StrayBits);
const ONCE_TOO_MANY: Injection = Injection::ProdOnce(Nonsense::TooMany);
const FOR_GOOD: Injection = Injection::ProdForGood(Nonsense::StrayBits);
const FOR_GOOD_TOO_MANY: Injection = Injection::ProdForGood(Nonsense::TooMany);

/// Makes the runs of `faults` faults with queues of 1 << `sizes` entries and each of `injections`.
fn explore_each(sizes: &[u32], faults: u64, injections: &[&[Injection]], to: fn(Bounds) -> Bounds) {
    for &log2 in sizes {
        let bounds = || to(Bounds::new(log2, faults + more()));
        let without = explore(&bounds());
        for &injections in injections {
            assert!(explore(&bounds().with(injections)) > without, "nothing is injected");
        }
    }
}

#[test]
fn all_is_reported_once_and_in_order_in_every_order_of_steps() {
    for log2 in 0..4 {
        assert!(explore(&Bounds::new(log2, 6 + more())) > 10_000, "nothing is explored");
    }
}

#[test]
fn aborted_msis_leave_nothing_behind_in_any_order() {
    explore_each(&[0, 1, 2], 4, &[&[MSI], &[MSI, MSI]], |bounds| bounds);
    explore_each(&[0, 1], 4, &[&[MSI]], |bounds| bounds.for_host(Host::AllAtOnce));
}

#[test]
fn a_host_of_the_errors_alone_gets_all_in_any_order() {
    explore_each(&[0, 1, 2], 4, &[], |bounds| bounds.for_host(Host::ErrorsAlone));
    explore_each(&[0, 1], 3, &[&[NEVER_SHOWN], &[NOT_RECORDED], &[ONCE], &[FOR_GOOD]], |bounds| {
        bounds.for_host(Host::ErrorsAlone)
    });
}

#[test]
fn no_slot_that_was_not_written_is_a_record_in_any_order() {
    explore_each(&[0, 1, 2], 4, &[&[NOT_RECORDED], &[NEVER_SHOWN]], |bounds| bounds);
    explore_each(&[0, 1], 4, &[&[NOT_WRITTEN]], |bounds| bounds);
    explore_each(&[0], 5, &[&[NEVER_SHOWN, NEVER_SHOWN]], |bounds| bounds);
}

#[test]
fn a_queue_that_a_write_abort_keeps_is_kept_in_any_order() {
    explore_each(&[0, 1, 2], 4, &[&[NOT_RECORDED], &[NOT_RECORDED, MSI]], Bounds::keeping);
}

#[test]
fn an_inconsistent_prod_is_reported_once_in_any_order() {
    explore_each(&[0, 1, 2], 4, &[&[ONCE], &[FOR_GOOD], &[ONCE, ONCE]], |bounds| bounds);
    explore_each(&[1, 2], 4, &[&[ONCE_TOO_MANY], &[FOR_GOOD_TOO_MANY]], |bounds| bounds);
    let before = [Injection::ProdOnce(Nonsense::BeforeTheLoss)];
    explore_each(&[0], 5, &[&before], |bounds| bounds);
}

#[test]
fn two_kinds_of_faults_at_once_lose_nothing_in_any_order() {
    let all = [MSI, NOT_RECORDED, NOT_WRITTEN, NEVER_SHOWN, ONCE, FOR_GOOD];
    let pairs = all
        .iter()
        .enumerate()
        .flat_map(|(at, one)| all[at..].iter().map(move |other| [*one, *other]));
    for pair in pairs {
        explore_each(&[0, 1], 3, &[&pair], |bounds| bounds);
    }
    explore_each(&[1], 3, &[&[MSI, ONCE_TOO_MANY], &[NEVER_SHOWN, ONCE_TOO_MANY]], |bounds| bounds);
}

#[test]
fn page_requests_are_reported_alike_in_any_order() {
    explore_each(&[0, 1, 2], 4, &[&[MSI], &[NOT_RECORDED], &[NEVER_SHOWN]], Bounds::of_pages);
    explore_each(&[0, 1], 3, &[&[NOT_WRITTEN], &[ONCE], &[FOR_GOOD]], Bounds::of_pages);
}

#[test]
fn answers_that_wait_for_room_are_all_given_in_any_order() {
    // The command queue holds three answers.
    for (before, later) in [(5, 0), (3, 1), (4, 1)] {
        assert!(explore(&Bounds::new(3, later + more()).answering(before)) > 500);
    }
}
