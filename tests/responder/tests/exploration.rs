// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exhaustive exploration of the notification protocol for small bounds: every order of device steps,
//! register accesses of the RMM and steps of the host's loop, as Linux has it.
//!
//! A run is a sequence of choices; all are run, one after the other, each from the beginning. Before
//! each register access of the RMM the device may do any number of its faults, and between the calls
//! device and host take turns in any order. At the end of a run everything that was written must have
//! been consumed once and in order, every loss must have been notified behind all that was written before
//! it, and the host must have come to rest.
//!
//! A second exploration has one more thing happen, at any point: an MSI is aborted, a slot is spoiled by a
//! write abort, or PROD becomes inconsistent for good. The host serves only the interrupts that it gets.
//!
//! The same exploration finds what is wrong with the responder that first comes to mind, one that frees
//! a slot when the host consumes and calls pending what is behind it: it is why events are staged.

use std::sync::{Arc, Mutex};

use psmmu::registers::Register32;
use psmmu::{
    ActivateParams, Config, Delivery, DeviceMemory, Interface, Memory, NoVsmmu, Psmmu,
    QueueAbortPolicy, Registers, Sizes, State,
};
use psmmu_abi::{Event, IrqSet};
use responder_tests::{Faults, ModelMemory, ModelRegisters, Steps, input};
use smmu_model::{Output, Smmu, Source, WriteAborts};

const MSI_EVENTQ_ABT_ERR: u32 = 1 << 5;

/// The choices of a run, and how many there were at each point.
#[derive(Debug, Default)]
struct Choices {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    /// Chooses one of `options`: as the last run did up to the point where this one differs, and the
    /// first one behind it.
    fn choose(&mut self, options: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, options));
        }
        let (choice, of) = self.taken[self.at];
        assert_eq!(of, options, "a run must depend on its choices alone");
        self.at += 1;
        choice
    }

    /// Moves on to the next run; false when there is none.
    fn next_run(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, options)) = self.taken.pop() {
            if choice + 1 < options {
                self.taken.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}

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
        let prod = self.registers.read32(Register32::EVENTQ_PROD);
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
            self.registers.write32(Register32::EVENTQ_CONS, self.cons);
        }
    }
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
struct Bounds {
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
    /// Events that nobody will ever ask for.
    LeftBehind(Vec<u64>),
    /// Not what was written, or not in that order.
    Records(Vec<Reported>),
    /// A loss that was not reported, or too early.
    Loss(u64, Vec<Reported>),
    /// "Nothing, but more".
    NothingPending,
    /// The host does not come to rest.
    Endless,
}

struct Run {
    smmu: Smmu,
    choices: Arc<Mutex<Choices>>,
    /// Faults to come; the next one has the number `faults + 1 - left`.
    left: Arc<Mutex<u64>>,
    bounds: Bounds,
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
        // What the responder reported last and nobody consumed; what was consumed.
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

/// Makes a device with an event queue of `1 << queue` entries, and brings it up.
fn brought_up(queue: u32) -> (Smmu, Psmmu<ModelRegisters, ModelMemory>) {
    let smmu = Smmu::new(smmu_model::Config::default().without_pri());
    let region = |address, words| ModelMemory(smmu.memory().region(address, words));
    let memory = Memory {
        stream_table: region(0x9000_0000, 8),
        command_queue: region(0x9200_0000, 8),
        event_queue: region(0x9300_0000, 4 << queue),
        pri_queue: None,
        completion: None,
    };
    let config = Config {
        psmmu_ptr: 0,
        interface: Interface::Realm,
        delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 0 },
        abort: QueueAbortPolicy::Discard,
        sizes: Sizes::DEFAULT,
    };
    let psmmu = Psmmu::new(config, ModelRegisters::new(smmu.clone()));
    let activation = psmmu.activate_begin(ActivateParams::default()).expect("a fresh device");
    psmmu.activate(activation, memory, &Steps::default()).expect("a device in order");
    (smmu, psmmu)
}

/// Runs every order that `bounds` allow with the responder that `make` gives for a device that was just
/// brought up. Returns how many there are, or the first that goes wrong.
fn explore<T: Responds>(
    bounds: Bounds,
    make: impl Fn(Psmmu<ModelRegisters, ModelMemory>, ModelRegisters, ModelMemory) -> T,
) -> Result<usize, (Wrong, Vec<(usize, usize)>)> {
    let choices = Arc::new(Mutex::new(Choices::default()));
    let mut runs = 0;
    loop {
        let (smmu, psmmu) = brought_up(bounds.queue);
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
            return Err((wrong, std::mem::take(&mut choices.lock().unwrap().taken)));
        }
        if !choices.lock().unwrap().next_run() {
            return Ok(runs);
        }
    }
}

fn explore_ours(bounds: Bounds) -> usize {
    match explore(bounds, |psmmu, _, _| psmmu) {
        Ok(runs) => {
            println!("{bounds:?}: {runs} orders");
            runs
        }
        Err((wrong, choices)) => panic!("{bounds:?}: {wrong:?} by {choices:?}"),
    }
}

fn explore_naive(bounds: Bounds) -> Result<usize, Wrong> {
    let naive = |_, registers, queue| Naive {
        registers,
        queue,
        mask: (2 << bounds.queue) - 1,
        cons: 0,
        reported: false,
    };
    explore(bounds, naive).map_err(|(wrong, _)| wrong)
}

#[test]
fn one_handler_is_reported_everything_once_and_in_order_in_every_order_of_steps() {
    for (queue, faults) in [(0, 6), (1, 6), (2, 6), (3, 6)] {
        let runs = explore_ours(Bounds { queue, faults, handlers: 1, polls: 0 });
        assert!(runs > 1000, "the exploration explores nothing");
    }
}

#[test]
fn one_handler_that_polls_as_well_is_reported_everything_once_and_in_order() {
    for (queue, faults) in [(0, 4), (1, 4), (2, 4)] {
        explore_ours(Bounds { queue, faults, handlers: 1, polls: 2 });
    }
}

#[test]
fn two_handlers_at_once_leave_nothing_behind() {
    for (queue, faults) in [(0, 2), (1, 2), (1, 3)] {
        explore_ours(Bounds { queue, faults, handlers: 2, polls: 0 });
    }
}

#[test]
fn the_responder_that_frees_slots_on_consume_fails_the_same_exploration() {
    // With room for all: the second fault comes between NOTIFY and CONSUME, raises no interrupt, and
    // waits for ever.
    let bounds = Bounds { queue: 2, faults: 2, handlers: 1, polls: 0 };
    assert_eq!(explore_naive(bounds), Err(Wrong::LeftBehind(vec![2])));
    explore_ours(bounds);
    // With too little room the loss is never reported either.
    let bounds = Bounds { queue: 0, faults: 3, handlers: 1, polls: 0 };
    assert!(explore_naive(bounds).is_err());
}

/// What else than a fault the device or its surroundings do, once in a run, between any two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TraceEvent {
    /// A fault whose interrupt, if there is one, is an MSI that is aborted: GERROR says so instead.
    MsiAborted,
    /// A fault whose record is aborted on its way, and PROD moves over the slot.
    SlotSpoiled(WriteAborts),
    /// PROD reads what contradicts CONS, from now on.
    ProdDies,
}

/// Faults and the trouble that are to come, and the interrupts that no handler has taken.
#[derive(Debug)]
struct Device {
    faults: u64,
    left: u64,
    trouble: Option<TraceEvent>,
    eventq: bool,
    gerror: bool,
}

impl Device {
    /// Does what was chosen at this point: nothing, or a number of steps. Returns whether a step was done.
    fn act(&mut self, device: &mut smmu_model::Device, choices: &mut Choices) -> bool {
        let mut acted = false;
        loop {
            let options = 1 + usize::from(self.left > 0) + usize::from(self.trouble.is_some());
            if options == 1 {
                return acted;
            }
            match choices.choose(options) {
                0 => return acted,
                1 if self.left > 0 => self.fault(device, true),
                _ => self.go_wrong(device),
            }
            acted = true;
        }
    }

    fn fault(&mut self, device: &mut smmu_model::Device, heard: bool) {
        device.fault(self.faults + 1 - self.left);
        self.left -= 1;
        let raised = device.take_interrupts();
        self.gerror |= raised.contains(Source::Gerror);
        match raised.contains(Source::Eventq) {
            true if heard => self.eventq = true,
            true => {
                device.raise(MSI_EVENTQ_ABT_ERR);
                self.gerror |= device.take_interrupts().contains(Source::Gerror);
            }
            false => {}
        }
    }

    fn go_wrong(&mut self, device: &mut smmu_model::Device) {
        let trouble = self.trouble.take().expect("it is still to come");
        match trouble {
            TraceEvent::MsiAborted if self.left > 0 => self.fault(device, false),
            TraceEvent::SlotSpoiled(aborts) if self.left > 0 => {
                device.set_write_aborts(aborts);
                device.abort_next_write(Output::Events);
                self.fault(device, true);
            }
            TraceEvent::ProdDies => {
                let (prod, _) = device.pointers(Output::Events);
                device.set_prod_raw(Output::Events, prod ^ 0x40);
            }
            _ => {}
        }
    }
}

/// A run with a trouble: the host serves each interrupt that it gets, of the source that it is of, as
/// Linux does. Returns what was reported, or what is wrong.
fn play_with(
    smmu: &Smmu,
    psmmu: &Psmmu<ModelRegisters, ModelMemory>,
    device: &Mutex<Device>,
    choices: &Mutex<Choices>,
) -> Result<Vec<Reported>, Wrong> {
    let mut reported = Vec::new();
    loop {
        let act = || {
            let mut guard = smmu.device();
            device.lock().unwrap().act(&mut guard, &mut choices.lock().unwrap())
        };
        act();
        let (eventq, gerror, over) = {
            let device = device.lock().unwrap();
            (device.eventq, device.gerror, device.left == 0)
        };
        let set = match (eventq, gerror) {
            (false, false) if over => return Ok(reported),
            // Nothing is to be served: the device goes on.
            (false, false) => {
                let mut guard = smmu.device();
                device.lock().unwrap().fault(&mut guard, true);
                continue;
            }
            (true, true) if choices.lock().unwrap().choose(2) == 1 => IrqSet::GERROR,
            (true, _) => IrqSet::EVENTQ,
            (false, true) => IrqSet::GERROR,
        };
        let mut taken = device.lock().unwrap();
        *if set == IrqSet::EVENTQ { &mut taken.eventq } else { &mut taken.gerror } = false;
        drop(taken);
        let mut calls = 0;
        // A failed PSMMU refuses once all of it is reported.
        while let Ok(notification) = psmmu.notify(set, &NoVsmmu) {
            calls += 1;
            match notification.event {
                Event::None if notification.pending => return Err(Wrong::NothingPending),
                Event::None => break,
                Event::Error(_) => reported.push(Reported::Loss),
                event => reported.push(Reported::Record(input(&event).expect("a fault"))),
            }
            if psmmu.consume(set).is_err() && psmmu.state() != State::Failed {
                return Err(Wrong::Records(reported));
            }
            if !notification.pending {
                break;
            }
            if calls > 100 {
                return Err(Wrong::Endless);
            }
        }
    }
}

/// Explores all orders of `faults` faults and one trouble with a queue of `1 << queue` entries.
fn explore_with(trouble: TraceEvent, queue: u32, faults: u64) -> usize {
    let choices = Arc::new(Mutex::new(Choices::default()));
    let mut runs = 0;
    loop {
        let (smmu, psmmu) = brought_up(queue);
        let device =
            Device { faults, left: faults, trouble: Some(trouble), eventq: false, gerror: false };
        let device = Arc::new(Mutex::new(device));
        let (of_device, of_choices) = (device.clone(), choices.clone());
        smmu.device().on_access(move |model, _| {
            of_device.lock().unwrap().act(model, &mut of_choices.lock().unwrap());
        });
        let result = play_with(&smmu, &psmmu, &device, &choices);
        smmu.device().clear_hooks();
        let lost = smmu.device().take_losses();
        let verdict = result
            .and_then(|reported| judge_with(trouble, faults, !lost.is_empty(), &psmmu, reported));
        if let Err(wrong) = verdict {
            let taken = &choices.lock().unwrap().taken;
            panic!("{trouble:?}, {faults} faults, queue {queue}: {wrong:?} by {taken:?}");
        }
        runs += 1;
        if !choices.lock().unwrap().next_run() {
            println!("{trouble:?}, queue {queue}, {faults} faults: {runs} orders");
            return runs;
        }
    }
}

/// Each record is reported once and in order; what is missing has an error in its stead, and may only be
/// missing where the device has lost it or contradicts itself.
fn judge_with(
    trouble: TraceEvent,
    faults: u64,
    lost: bool,
    psmmu: &Psmmu<ModelRegisters, ModelMemory>,
    reported: Vec<Reported>,
) -> Result<(), Wrong> {
    let records: Vec<u64> = reported
        .iter()
        .filter_map(
            |reported| if let Reported::Record(number) = reported { Some(*number) } else { None },
        )
        .collect();
    if !records.is_sorted_by(|a, b| a < b)
        || records.iter().any(|&number| number == 0 || number > faults)
    {
        return Err(Wrong::Records(reported));
    }
    let missing: Vec<u64> = (1..=faults).filter(|number| !records.contains(number)).collect();
    let is_whole = trouble == TraceEvent::MsiAborted && !lost;
    if !missing.is_empty() && (is_whole || !reported.contains(&Reported::Loss)) {
        return Err(Wrong::LeftBehind(missing));
    }
    let is_dead = trouble == TraceEvent::ProdDies && psmmu.state() == State::Failed;
    if psmmu.state() != State::Active && !is_dead {
        return Err(Wrong::Endless);
    }
    Ok(())
}

#[test]
fn aborted_msis_leave_nothing_behind_in_every_order_of_steps() {
    for (queue, faults) in [(0, 4), (1, 5), (2, 5)] {
        assert!(explore_with(TraceEvent::MsiAborted, queue, faults) > 1000);
    }
}

#[test]
fn no_spoiled_slot_is_a_record_in_every_order_of_steps() {
    for aborts in [WriteAborts::Asynchronous, WriteAborts::Unreported] {
        for (queue, faults) in [(0, 4), (1, 5), (2, 5)] {
            assert!(explore_with(TraceEvent::SlotSpoiled(aborts), queue, faults) > 1000);
        }
    }
}

#[test]
fn a_dying_prod_is_reported_and_ends_in_every_order_of_steps() {
    for (queue, faults) in [(0, 4), (1, 4), (2, 4)] {
        assert!(explore_with(TraceEvent::ProdDies, queue, faults) > 1000);
    }
}
