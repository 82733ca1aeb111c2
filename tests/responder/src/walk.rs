// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random walks of device, host and RMM, checked step by step against a reference.
//!
//! The reference is the plain list of what must be reported: for each queue the records that were
//! written and the losses that were announced, and the global errors that became active. The device
//! acts between the steps of the host and before each register access of the RMM.
//!
//! A seed decides everything. A walk that fails prints it, with the step.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Once, PoisonError};

use psmmu::{Delivery, QueueAbortPolicy, State};
use psmmu_abi::{Function, IrqSet};
use smmu_model::{
    Access, Answer, Answerer, Device, Loss, Output, PageRequest, Record, Register, Response,
    Source, Step, Violation, WriteAborts,
};

use crate::{DOORBELLS, Machine, Options, PSMMU};

const GERROR: u64 = IrqSet::GERROR.bits();
const EVENTQ: u64 = IrqSet::EVENTQ.bits();
const PRIQ: u64 = IrqSet::PRIQ.bits();
const SOURCES: u64 = GERROR | EVENTQ | PRIQ;

const PENDING: u64 = 1;
const NOTHING: [u64; 6] = [0; 6];
const ERROR: u64 = 1 << 1;
const EVENT: u64 = 2 << 1;
const OWNED: u64 = 3 << 1;

const CMDQ_ERR: u32 = 1 << 0;
const MSI_GERROR_ABT_ERR: u32 = 1 << 7;
/// The errors that a device of the Realm side can raise.
const ERRORS: [u32; 9] = [0, 2, 3, 4, 5, 6, 7, 9, 10];

/// Steps between two moments at which the device stops and all is counted.
const ROUND: u64 = 400;
/// Streams of page requests begin here, those of faults lie below.
const PAGE_STREAMS: u32 = 16;

/// A generator of numbers (xorshift); the same ones for the same seed.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Takes a seed, which may be any number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Mixed, so that neighbours have nothing in common; the state must not be 0.
        let mixed = (seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Self((mixed ^ mixed >> 29) | 1)
    }

    /// Returns the next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    /// Returns true once in `times`.
    pub const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What a queue must report.
#[derive(Clone, Copy, Debug)]
struct Written {
    /// How many were written before it.
    place: u64,
    /// PROD has passed its slot, and its write was aborted: it is reported as an error.
    hole: bool,
    /// A hole behind another one, which may have been reported with that.
    merged: bool,
    stream: u32,
    address: u64,
    request: Option<PageRequest>,
}

/// What a queue, or the errors, reported last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Entry { owned: bool },
    Hole,
    Loss,
}

/// The reference of one queue.
#[derive(Debug)]
struct Queue {
    output: Output,
    log2: u32,
    /// Written and neither consumed nor discarded.
    entries: VecDeque<Written>,
    /// How many of these the RMM has staged, freeing their slots.
    staged: usize,
    written: u64,
    /// For each announced overflow that is not reported: how many were written before the last loss
    /// that it stands for.
    losses: VecDeque<u64>,
    reported: Option<Reported>,
    /// The next CONS write drops what it passes.
    discarding: bool,
    /// The next write that finds room is aborted.
    abort_armed: bool,
    /// An MSI was lost, and the error acknowledged, so that the errors speak for the queue until it is
    /// empty in hardware and RMM.
    unannounced: bool,
    /// That is so whatever became of holes.
    surely_unannounced: bool,
    /// The last PROD read showed nothing.
    seen_empty: bool,
}

impl Queue {
    fn new(output: Output, log2: u32) -> Self {
        Self {
            output,
            log2,
            entries: VecDeque::new(),
            staged: 0,
            written: 0,
            losses: VecDeque::new(),
            reported: None,
            discarding: false,
            abort_armed: false,
            unannounced: false,
            surely_unannounced: false,
            seen_empty: false,
        }
    }

    /// An entry has been written.
    fn push(&mut self, stream: u32, address: u64, request: Option<PageRequest>) {
        let (place, hole, merged) = (self.written, false, false);
        self.entries.push_back(Written { place, hole, merged, stream, address, request });
        self.written += 1;
    }

    /// PROD passes a slot that is not written.
    fn push_hole(&mut self) {
        self.push(0, 0, None);
        self.entries.back_mut().expect("just pushed").hole = true;
    }

    /// The source in a set.
    const fn source(&self) -> u64 {
        match self.output {
            Output::Events => EVENTQ,
            Output::Pages => PRIQ,
        }
    }

    /// Whether `set` is asked about this queue.
    const fn is_meant(&self, set: u64) -> bool {
        set & self.source() != 0 || set & GERROR != 0 && self.unannounced
    }

    /// As [`is_meant`](Self::is_meant), whatever became of holes.
    const fn is_surely_meant(&self, set: u64) -> bool {
        set & self.source() != 0 || set & GERROR != 0 && self.surely_unannounced
    }

    /// Lets the errors speak for the queue no more when nothing is left and whatever comes interrupts.
    fn forget_if_empty(&mut self) {
        let done = self.done();
        let loss = self.losses.iter().any(|place| *place <= done);
        if self.seen_empty && self.sure() == 0 && self.reported.is_none() && !loss {
            // Of merged holes it is not known whether the RMM has them still.
            self.unannounced &= self.staged != 0;
            self.surely_unannounced = false;
        }
    }

    /// Drops holes at the front, before `place`, that were reported with the one before.
    fn skip_merged(&mut self, place: u64) {
        let is_merged = |entry: &Written| entry.merged && entry.place < place;
        while self.staged != 0 && self.entries.front().is_some_and(is_merged) {
            self.entries.pop_front();
            self.staged -= 1;
        }
    }

    /// How many staged entries are sure to be reported each by itself.
    fn sure(&self) -> usize {
        let mut behind_hole = false;
        let mut count = 0;
        for entry in self.entries.iter().take(self.staged) {
            count += usize::from(!(entry.merged || entry.hole && behind_hole));
            behind_hole = entry.hole;
        }
        count
    }

    /// An entry was lost; `announced` if the flag said so before.
    fn lose(&mut self, announced: bool) {
        match self.losses.back_mut() {
            Some(place) if announced => *place = self.written,
            _ => {
                assert!(!announced, "an announcement was reported before it was acknowledged");
                self.losses.push_back(self.written);
            }
        }
    }

    /// How many of the written ones are reported and consumed, or discarded.
    fn done(&self) -> u64 {
        self.entries.front().map_or(self.written, |entry| entry.place)
    }

    /// CONS moves over `freed` entries.
    fn free(&mut self, freed: usize) {
        if self.discarding {
            self.entries.drain(self.staged..self.staged + freed);
        } else {
            self.staged += freed;
            assert!(
                self.staged <= self.entries.len(),
                "{:?}: more freed than written",
                self.output
            );
        }
    }

    /// Whether a NOTIFY that starts now has something to report.
    fn has_something(&self, device: &Device) -> bool {
        self.sure() != 0
            || self.reported.is_some()
            || device.used(self.output) != 0
            || !self.losses.is_empty()
    }

    /// Checks that an overflow may be reported now.
    fn report_loss(&self) {
        let done = self.done();
        assert!(
            self.losses.front().is_some_and(|place| *place <= done),
            "{:?}: an overflow is reported behind {done} of {:?}",
            self.output,
            self.losses
        );
    }

    fn consume(&mut self) -> Option<(Written, bool)> {
        match self.reported.take()? {
            Reported::Entry { owned } => {
                self.staged = self.staged.checked_sub(1).expect("what was reported was staged");
                self.entries.pop_front().map(|entry| (entry, owned))
            }
            Reported::Hole => {
                self.staged = self.staged.checked_sub(1).expect("what was reported was staged");
                self.entries.pop_front();
                let run = self.entries.iter_mut().take_while(|entry| entry.hole);
                run.for_each(|entry| entry.merged = true);
                None
            }
            Reported::Loss => {
                self.losses.pop_front();
                None
            }
        }
    }
}

/// What must be reported, and what the device does next.
#[derive(Debug)]
struct Reference {
    numbers: Numbers,
    queues: [Queue; 2],
    /// Errors that were active since they were last consumed.
    open: u32,
    reported: u32,
    /// Those of them that the last read of GERROR in a call could show.
    shown: u32,
    /// Errors that became active once more while they were reported.
    again: u32,
    /// Which MSIs may be aborted.
    lost_msis: LostMsis,
    /// Commands that the device refused.
    refused: usize,
    has_pri: bool,
    /// Steps are as small as can be.
    is_split: bool,
    /// All steps of the device come at once.
    gentle: bool,
    /// Nothing new happens any more.
    stopped: bool,
    /// One in how many chances is taken.
    pace: u64,
    errors: bool,
    next: u64,
    overflowing: bool,
    saw_command_error: bool,
    /// A write that is aborted leaves a slot that PROD passes.
    prod_passes_holes: bool,
}

impl Reference {
    /// Whether an ERROR with this cause, of a set with GERROR, is one of the global errors.
    const fn is_error(&self, cause: u64) -> bool {
        cause >> 32 == 0 && (self.reported != 0 || self.shown != 0)
    }

    fn queue(&self, source: u64) -> &Queue {
        &self.queues[usize::from(source == PRIQ)]
    }

    fn queue_mut(&mut self, source: u64) -> &mut Queue {
        &mut self.queues[usize::from(source == PRIQ)]
    }

    /// Whether the abort that was asked for meets the entry that has just found room in a queue.
    fn takes_abort(&mut self, output: Output) -> bool {
        std::mem::take(&mut self.queues[usize::from(output == Output::Pages)].abort_armed)
    }

    /// Some MSIs from here on are aborted, or none.
    fn toggle_msis(&mut self, device: &mut Device) {
        let first = match self.lost_msis {
            LostMsis::None => return,
            LostMsis::Queues | LostMsis::AllOfQueues => 1,
            LostMsis::Any => 0,
        };
        for doorbell in &DOORBELLS[first..] {
            let refuse = self.lost_msis == LostMsis::AllOfQueues || self.numbers.once_in(2);
            device.refuse_msis(*doorbell, refuse);
        }
    }

    fn address(&mut self) -> u64 {
        self.next += 1;
        self.next << 12
    }

    fn fault(&mut self, device: &mut Device) {
        let stream = self.numbers.below(8) as u32;
        let address = self.address();
        let announced = device.has_overflowed(Output::Events);
        device.record(Record::stage_2_write(stream, address));
        device.step(Step::DeliverRecord(0));
        match device.take_losses()[..] {
            [] => self.queues[0].push(stream, address, None),
            [(_, Loss::Overflow)] => self.queues[0].lose(announced),
            [(_, Loss::Abort)] => {
                let _ = self.takes_abort(Output::Events);
                if self.prod_passes_holes {
                    self.queues[0].push_hole();
                }
                self.open |= device.active_errors();
            }
            [(_, Loss::Error)] => {}
            ref other => panic!("{other:?}"),
        }
    }

    fn page_request(&mut self, device: &mut Device) {
        let stream = PAGE_STREAMS + self.numbers.below(8) as u32;
        let group = self.numbers.below(512) as u16;
        let address = self.address();
        let request = match self.numbers.below(8) {
            0 => PageRequest { address, ..PageRequest::stop_marker(stream, 3, group) },
            1 | 2 => PageRequest::last_of(stream, group, address).more(),
            3 => PageRequest::last_of(stream, group, address).of(5),
            _ => PageRequest::last_of(stream, group, address),
        };
        let announced = device.has_overflowed(Output::Pages);
        let is_off = device.is_active(1 << 3);
        device.page_request(request);
        device.step(Step::DeliverPageRequest(0));
        if is_off {
            // The device has answered it, and the error is to be reported.
        } else if device.has_overflowed(Output::Pages) {
            self.queues[1].lose(announced);
        } else if self.takes_abort(Output::Pages) {
            if self.prod_passes_holes {
                self.queues[1].push_hole();
            }
            self.open |= device.active_errors();
        } else {
            self.queues[1].push(stream, address, Some(request));
        }
    }

    fn step(&mut self, device: &mut Device, step: Step) {
        let stood = device.is_active(CMDQ_ERR);
        device.step(step);
        let stands = device.is_active(CMDQ_ERR);
        self.refused += usize::from(!stood && stands);
        self.again |= if !stood && stands { self.reported & CMDQ_ERR } else { 0 };
        self.open |= device.active_errors();
    }

    fn settle(&mut self, device: &mut Device) {
        while let Some(&step) = device.steps().first() {
            self.step(device, step);
        }
    }

    /// The device does something, or nothing.
    fn act(&mut self, device: &mut Device) {
        if !self.stopped && self.numbers.once_in(self.pace) {
            let count = match self.numbers.below(24) {
                0 => self.numbers.below(3 << self.queues[0].log2.min(7)),
                1..4 => self.numbers.below(8),
                _ => 1,
            };
            let pages = self.has_pri && self.numbers.once_in(3);
            match self.numbers.below(40) {
                0 if self.errors => {
                    let bit = ERRORS[self.numbers.below(ERRORS.len() as u64) as usize];
                    // Between the two halves of a real command error it would hide that one.
                    if bit != 0 || !self.is_split {
                        let stood = device.is_active(CMDQ_ERR);
                        device.raise(1 << bit);
                        self.again |= if bit == 0 && !stood { self.reported & CMDQ_ERR } else { 0 };
                        // What CONS announces it is left from an earlier error, whose repair drops a
                        // command.
                        self.refused += usize::from(bit == 0);
                    }
                    self.open |= device.active_errors();
                }
                1 if self.errors => device.corrupt_next_command([0xFF, 0]),
                2 if self.errors => {
                    device.abort_next_write(if pages { Output::Pages } else { Output::Events });
                    self.queues[usize::from(pages)].abort_armed = true;
                }
                3 => self.toggle_msis(device),
                _ if pages => (0..count).for_each(|_| self.page_request(device)),
                _ => (0..count).for_each(|_| self.fault(device)),
            }
        }
        if self.gentle {
            self.settle(device);
        } else if self.numbers.once_in(2) {
            let steps = device.steps();
            if !steps.is_empty() {
                let step = steps[self.numbers.below(steps.len() as u64) as usize];
                self.step(device, step);
            }
        }
    }

    /// Just before the RMM's access.
    fn on_access(&mut self, device: &mut Device, access: &Access) {
        self.act(device);
        self.note(device);
        if access.write.is_none() && access.register() == Some(Register::Gerror) {
            self.shown = self.open;
        }
        for queue in &mut self.queues {
            let register = match queue.output {
                Output::Events => Register::EventqCons,
                Output::Pages => Register::PriqCons,
            };
            let prod = match queue.output {
                Output::Events => Register::EventqProd,
                Output::Pages => Register::PriqProd,
            };
            if access.write.is_none() && access.register() == Some(prod) {
                let shows_nothing = device.used(queue.output) == 0;
                let overflowed = device.has_overflowed(queue.output);
                queue.seen_empty = shows_nothing && !overflowed && !queue.discarding;
                queue.forget_if_empty();
            }
            if let (Some(value), Some(at)) = (access.write, access.register())
                && at == register
            {
                let (_, old) = device.pointers(queue.output);
                queue.free(((value as u32).wrapping_sub(old) & ((2 << queue.log2) - 1)) as usize);
            }
        }
    }

    fn note(&mut self, device: &Device) {
        self.overflowing |=
            [Output::Events, Output::Pages].iter().any(|output| device.has_overflowed(*output));
        self.saw_command_error |= device.is_active(CMDQ_ERR);
    }
}

/// Where a CPU of the host is in its loop.
#[derive(Clone, Copy, Debug)]
enum Handler {
    Idle,
    Asking,
    Consuming { pending: bool },
}

/// Which MSIs may be aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LostMsis {
    /// None; or interrupts are wired.
    None,
    /// Now and then those of the queues.
    Queues,
    /// All of the queues: nothing but errors interrupts, and the host serves nothing else.
    AllOfQueues,
    /// Now and then any. A lost one of the errors is announced by nothing, so nothing can be asked of hosts
    /// that wait for it.
    Any,
}

/// How a walk goes.
#[derive(Clone, Copy, Debug)]
struct Style {
    options: Options,
    lost_msis: LostMsis,
    write_aborts: WriteAborts,
    /// Each handler asks for one source, goes on as long as it is asked to, and is started by its
    /// interrupt, so nothing may be left behind. Otherwise sets are arbitrary and hosts careless.
    strict: bool,
}

impl Style {
    fn choose(numbers: &mut Numbers) -> Self {
        let event_queue = match numbers.below(400) {
            // As many as fit into what a host can be asked for in one piece.
            0 => 10 + numbers.below(7) as u8,
            _ => numbers.below(10) as u8,
        };
        let pri_queue = (!numbers.once_in(4)).then(|| numbers.below(6) as u8);
        let abort = match numbers.below(2) {
            0 => QueueAbortPolicy::Discard,
            _ => QueueAbortPolicy::Preserve,
        };
        let msis = numbers.once_in(2);
        let lost_msis = match numbers.below(8) {
            0 | 1 => LostMsis::Queues,
            2 | 3 => LostMsis::AllOfQueues,
            4 | 5 => LostMsis::Any,
            _ => LostMsis::None,
        };
        let delivery = match lost_msis {
            LostMsis::None if numbers.once_in(2) => Options::default().delivery,
            _ => Delivery::Msi,
        };
        let write_aborts = match numbers.below(3) {
            0 => WriteAborts::Asynchronous,
            1 => WriteAborts::Unreported,
            _ => WriteAborts::Synchronous,
        };
        let options =
            Options { event_queue, pri_queue, msis, abort, delivery, ..Options::default() };
        let strict = lost_msis != LostMsis::Any && !numbers.once_in(3);
        Self { options, lost_msis, write_aborts, strict }
    }
}

thread_local! {
    /// Seed and step of this thread's walk.
    static PLACE: Cell<Option<(u64, u64, Style)>> = const { Cell::new(None) };
}

/// Lets a panic say which walk it was. A hook, as a release build does not unwind.
fn name_failing_walks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            if let Some((seed, step, style)) = PLACE.get() {
                eprintln!("WALK_SEED={seed} fails at step {step} ({style:?})");
            }
        }));
    });
}

struct Walk {
    seed: u64,
    machine: Machine,
    reference: Arc<Mutex<Reference>>,
    style: Style,
    numbers: Numbers,
    /// Interrupts that no handler has taken.
    latched: u32,
    handlers: Vec<(u64, Handler)>,
    /// Answers that are due, oldest first.
    answers: VecDeque<Answer>,
    skipped: usize,
    step: u64,
}

/// Walks `steps` steps or a few more, as `seed` says, and returns how many.
///
/// # Panics
/// When a promise is broken.
#[must_use]
pub fn walk(seed: u64, steps: u64) -> u64 {
    let mut numbers = Numbers::new(seed);
    let style = Style::choose(&mut numbers);
    name_failing_walks();
    PLACE.set(Some((seed, 0, style)));
    let machine = Machine::active(style.options);
    let log2 = [style.options.event_queue, style.options.pri_queue.unwrap_or(0)].map(u32::from);
    let is_split = numbers.once_in(2);
    let reference = Reference {
        numbers: Numbers::new(!seed),
        queues: [Queue::new(Output::Events, log2[0]), Queue::new(Output::Pages, log2[1])],
        open: 0,
        reported: 0,
        shown: 0,
        again: 0,
        lost_msis: style.lost_msis,
        refused: 0,
        has_pri: style.options.pri_queue.is_some(),
        is_split,
        gentle: numbers.once_in(3),
        stopped: false,
        pace: 1 + numbers.below(6),
        errors: !numbers.once_in(4),
        next: 0,
        overflowing: false,
        saw_command_error: false,
        prod_passes_holes: style.write_aborts != WriteAborts::Synchronous,
    };
    let reference = Arc::new(Mutex::new(reference));
    {
        let mut device = machine.device();
        device.set_eager(false);
        device.set_split(is_split);
        device.set_lazy_cons(numbers.once_in(2));
        device.set_write_aborts(style.write_aborts);
        let _ = device.take_msis();
        if style.lost_msis == LostMsis::AllOfQueues {
            DOORBELLS[1..].iter().for_each(|doorbell| device.refuse_msis(*doorbell, true));
        }
        // The model has no DPT_CFG_FAR, which the repair of DPT_ERR clears.
        device.collect_violations(true);
        let reference = Arc::clone(&reference);
        device.on_access(move |device, access| {
            let mut reference = reference.lock().unwrap_or_else(PoisonError::into_inner);
            reference.on_access(device, access);
        });
    }
    let handlers = if style.strict && style.lost_msis == LostMsis::AllOfQueues {
        vec![(GERROR, Handler::Idle); 2]
    } else if style.strict {
        [GERROR, GERROR, EVENTQ, EVENTQ, PRIQ, PRIQ].map(|set| (set, Handler::Idle)).to_vec()
    } else {
        vec![(SOURCES, Handler::Idle); 3]
    };
    let mut walk = Walk {
        machine,
        reference,
        style,
        numbers,
        latched: 0,
        handlers,
        answers: VecDeque::new(),
        skipped: 0,
        step: 0,
        seed,
    };
    while walk.step < steps && walk.round() {}
    // The PSMMU stays for good, what it ran on need not.
    let mut device = walk.machine.device();
    device.clear_hooks();
    *device = Device::new(smmu_model::Config::default());
    PLACE.set(None);
    walk.step
}

impl Walk {
    /// Does something to device and reference while no call runs.
    fn with<T>(&self, action: impl FnOnce(&mut Device, &mut Reference) -> T) -> T {
        let mut device = self.machine.device();
        let mut reference = self.reference.lock().expect("a walk ends at the first panic");
        action(&mut device, &mut reference)
    }

    /// Walks until the device stops, and on until nothing is left. Returns whether it can go on.
    fn round(&mut self) -> bool {
        self.with(|_, reference| reference.stopped = false);
        for _ in 0..ROUND {
            self.step(true);
        }
        if self.numbers.once_in(6) {
            return self.hostile();
        }
        self.with(|_, reference| reference.stopped = true);
        self.finish();
        if self.numbers.once_in(6) { self.hostile() } else { true }
    }

    /// Lets the host go on until it has nothing to do, and checks that nothing is left.
    fn finish(&mut self) {
        let bound = self.bound();
        let before = self.machine.calls();
        loop {
            self.step(false);
            let calls = self.machine.calls() - before;
            assert!(calls <= bound, "the host does not come to an end in {bound} calls");
            let idle = self.handlers.iter().all(|(_, handler)| matches!(handler, Handler::Idle));
            let quiet = self.with(|device, _| device.steps().is_empty());
            self.latch();
            if idle && quiet && self.latched == 0 {
                break;
            }
        }
        if self.style.strict {
            self.with(|_, reference| {
                for queue in &reference.queues {
                    let Queue { output, entries, losses, .. } = queue;
                    assert!(
                        queue.sure() == 0 && queue.staged == entries.len() && losses.is_empty(),
                        "{output:?}: left behind without an interrupt: {entries:?}, {losses:?}"
                    );
                }
                // The one error without an interrupt, reported with the next one.
                assert_eq!(reference.open & !MSI_GERROR_ABT_ERR, 0, "errors left behind");
            });
        }
        // A poll finds whatever careless hosts have left.
        for set in [GERROR, EVENTQ, PRIQ, GERROR] {
            let mut calls = 0;
            while self.notify(set, false).is_some() {
                self.consume(set);
                calls += 2;
                assert!(calls <= bound, "a poll of {set} does not come to an end in {bound} calls");
            }
        }
        self.with(|device, reference| reference.settle(device));
        // The repair of a command that failed just now lets the commands behind it run.
        while self.notify(GERROR, false).is_some() {
            self.consume(GERROR);
            self.with(|device, reference| reference.settle(device));
        }
        self.with(|_, reference| {
            for Queue { output, entries, losses, .. } in &reference.queues {
                let all = entries.iter().all(|entry| entry.merged) && losses.is_empty();
                assert!(all, "{output:?}: {entries:?}, {losses:?}");
            }
            assert_eq!(reference.open, 0, "errors never reported");
        });
        self.check_answers();
    }

    /// How many calls a host needs at most for what is there.
    fn bound(&self) -> u64 {
        self.with(|_, reference| {
            let queues = reference.queues.iter();
            let events: usize =
                queues.map(|queue| queue.entries.len() + queue.losses.len() + 2).sum();
            // Two handlers may be reported the same, and one of a kind may ask for nothing.
            6 * events as u64 + 200
        })
    }

    /// One step of device or host.
    fn step(&mut self, free: bool) {
        self.step += 1;
        PLACE.set(Some((self.seed, self.step, self.style)));
        self.latch();
        match self.numbers.below(16) {
            0..4 => self.with(|device, reference| reference.act(device)),
            4 if free => {
                let set = self.any_set();
                self.consume(set);
            }
            5 if free => {
                // Sets that name nothing that there is.
                let set = self.numbers.next() & !SOURCES;
                self.machine.device().forget_accesses();
                assert_eq!(self.machine.notify(set), NOTHING, "{set:#x}");
                assert_eq!(self.machine.device().accesses(), (0, 0), "{set:#x}");
            }
            6 if free && self.numbers.once_in(8) => {
                let stream = self.numbers.below(2 * u64::from(PAGE_STREAMS)) as u32;
                let mut owners = self.machine.owners.0.lock().unwrap();
                if !owners.remove(&stream) {
                    owners.insert(stream);
                }
            }
            7 if free && !self.style.strict => {
                let set = self.any_set();
                let first = self.notify(set, true);
                assert!(first.is_none() || self.notify(set, true).is_some(), "NOTIFY took it");
            }
            _ => self.handle(free),
        }
    }

    /// Takes the interrupts that have reached the host.
    fn latch(&mut self) {
        let mut device = self.machine.device();
        let pulses = device.take_interrupts().bits();
        let taken = device.take_msis().into_iter().filter(|msi| !msi.aborted);
        let msis = taken.fold(0, |bits, msi| bits | msi.source.bit());
        self.latched |= match self.style.options.delivery {
            Delivery::Msi => msis & !Source::CmdSync.bit(),
            _ => pulses,
        };
    }

    /// One step of some handler.
    fn handle(&mut self, free: bool) {
        let at = self.numbers.below(self.handlers.len() as u64) as usize;
        let (set, handler) = self.handlers[at];
        let reserved = self.reserved();
        let (set, handler) = match handler {
            Handler::Idle => {
                let mine = if self.style.strict { wire(set) } else { !0 };
                let called = self.latched & mine != 0;
                self.latched &= !mine;
                if called || free && self.numbers.once_in(16) {
                    let set = if self.style.strict { set } else { self.any_set() };
                    (set, Handler::Asking)
                } else {
                    (set, Handler::Idle)
                }
            }
            Handler::Asking => match self.notify(set | reserved, true) {
                Some(pending) => (set, Handler::Consuming { pending }),
                None => (set, Handler::Idle),
            },
            Handler::Consuming { pending } => {
                self.consume(set | reserved);
                (set, if pending { Handler::Asking } else { Handler::Idle })
            }
        };
        self.handlers[at] = (set, handler);
    }

    fn any_set(&mut self) -> u64 {
        self.numbers.below(SOURCES + 1) & SOURCES | self.reserved()
    }

    /// Reserved bits, now and then.
    fn reserved(&mut self) -> u64 {
        if self.numbers.once_in(8) { self.numbers.next() & !0xF } else { 0 }
    }

    /// Asks, checks the answer, and returns whether more is pending, or `None` if there is nothing.
    fn notify(&self, set: u64, free: bool) -> Option<bool> {
        let stopped = self.with(|device, reference| {
            let stopped = reference.stopped;
            reference.stopped |= !free;
            (reference.overflowing, reference.saw_command_error) = (false, false);
            reference.shown = 0;
            reference.note(device);
            device.forget_accesses();
            stopped
        });
        let (something, open) = self.with(|device, reference| {
            if set & GERROR != 0 && device.is_active(CMDQ_ERR) {
                reference.again |= reference.reported & CMDQ_ERR;
            }
            let named = if reference.has_pri { SOURCES } else { !PRIQ };
            let something = [EVENTQ, PRIQ].map(|source| {
                let queue = reference.queue(source);
                named & source != 0 && queue.is_surely_meant(set) && queue.has_something(device)
            });
            (something, if set & GERROR != 0 { reference.open } else { 0 })
        });
        let answer = self.machine.notify(set);
        let pending = answer[0] & PENDING != 0;
        let owners = self.machine.owners.0.lock().unwrap().clone();
        self.with(|device, reference| {
            reference.note(device);
            check_accesses(device, reference, set);
            check_violations(device);
            reference.stopped = stopped;
            if reference.gentle {
                reference.settle(device);
            }
            let context = format!("{answer:x?} of {set:#x}");
            let first_errors = open != 0 || reference.reported != 0 && set & GERROR != 0;
            match answer[0] & !PENDING {
                0 => {
                    assert_eq!(answer, NOTHING);
                    assert!(!first_errors, "{context} while {open:#x} is active");
                    assert_eq!(something, [false; 2], "{context} with something to report");
                    None
                }
                ERROR if set & GERROR != 0 && reference.is_error(answer[5]) => {
                    let bits = answer[5] as u32;
                    if reference.reported == 0 {
                        assert_eq!(open & !bits, 0, "{context} of {open:#x}");
                        assert_eq!(bits & !reference.open, 0, "{context}: never active");
                        reference.reported = bits;
                    }
                    assert_eq!(bits, reference.reported, "{context}");
                    assert!(pending || something == [false; 2], "{context}: more is there");
                    let lost = bits & (1 << 5 | 1 << 6) != 0;
                    assert!(pending || !lost, "{context}: a loss is asked about next");
                    Some(pending)
                }
                kind => {
                    assert!(!first_errors, "{context} before the error {open:#x}");
                    let is_page = match kind {
                        ERROR => matches!(answer[5], 0x2_0000_0000 | 8),
                        EVENT => answer[1] == 0x24,
                        OWNED => answer[2] >= PAGE_STREAMS.into(),
                        _ => panic!("{context}"),
                    };
                    let source = if is_page { PRIQ } else { EVENTQ };
                    assert!(reference.queue(source).is_meant(set), "{context}");
                    assert!(!(is_page && something[0]), "{context} before the event queue");
                    let behind = !is_page && something[1];
                    assert!(pending || !behind, "{context}: a page request is there");
                    let queue = reference.queue_mut(source);
                    let reported = check_queue(queue, answer, &owners, &context);
                    let before = queue.reported;
                    assert!(
                        before.is_none_or(|before| before == reported),
                        "{context}: was {before:?}"
                    );
                    queue.reported = Some(reported);
                    let rest = queue.sure().saturating_sub(usize::from(reported != Reported::Loss));
                    assert!(pending || rest == 0, "{context}: {rest} more staged");
                    Some(pending)
                }
            }
        })
    }

    /// Consumes, and lets the reference do the same.
    fn consume(&mut self, set: u64) {
        let spoils = self.style.options.abort == QueueAbortPolicy::Discard;
        let errors = self.with(|device, reference| {
            device.forget_accesses();
            let errors = if set & GERROR != 0 { reference.reported } else { 0 };
            reference.queues[0].discarding = spoils && errors & 1 << 2 != 0;
            reference.queues[1].discarding = spoils && errors & 1 << 3 != 0 && reference.has_pri;
            errors
        });
        let consumed_of = || {
            let counters = self.machine.psmmu().counters();
            [counters.events.consumed.get(), counters.page_requests.consumed.get()]
        };
        let before = consumed_of();
        self.machine.consume(set);
        let after = consumed_of();
        let consumed = self.with(|device, reference| {
            let (reads, writes) = device.accesses();
            assert!(reads <= 9 && writes <= 7, "CONSUME: {reads} reads, {writes} writes");
            check_violations(device);
            reference.queues.iter_mut().for_each(|queue| queue.discarding = false);
            if errors != 0 {
                reference.reported = 0;
                let again = std::mem::take(&mut reference.again);
                reference.open = reference.open & !errors | again | device.active_errors();
                for (queue, bit) in reference.queues.iter_mut().zip([5, 6]) {
                    queue.unannounced |= errors & 1 << bit != 0;
                    queue.surely_unannounced |= errors & 1 << bit != 0;
                    queue.seen_empty &= errors & 1 << bit == 0;
                }
                return None;
            }
            assert_eq!(writes & !1, 0, "CONSUME without an error writes a command at most");
            // Where it is not sure whether the errors speak for a queue, the counters say what the RMM
            // thinks; it must be one of the two.
            let mut consumed = None;
            for (queue, at) in reference.queues.iter_mut().zip(0..) {
                let is_reported = queue.reported.is_some() && consumed.is_none();
                let does = after[at] != before[at];
                assert!(
                    !does || is_reported && queue.is_meant(set),
                    "consumed what was not reported"
                );
                assert!(does || !(is_reported && queue.is_surely_meant(set)), "not consumed");
                if does {
                    consumed = Some(queue.consume());
                }
            }
            let consumed = consumed.flatten();
            reference.queues.iter_mut().for_each(Queue::forget_if_empty);
            if reference.gentle {
                reference.settle(device);
            }
            consumed
        });
        if let Some((Written { request: Some(request), .. }, false)) = consumed
            && request.last
            && !request.is_stop_marker()
        {
            let PageRequest { stream, substream, group, .. } = request;
            let (by, response) = (Answerer::Driver, Response::InvalidRequest);
            self.answers.push_back(Answer { by, stream, substream, group, response });
        }
    }

    /// Checks that each group without an owner got its answer, once and in order, but for those whose
    /// command the device refused or had no room for.
    fn check_answers(&mut self) {
        let answers = self.machine.device().take_answers();
        for answer in answers.into_iter().filter(|answer| answer.by == Answerer::Driver) {
            loop {
                match self.answers.pop_front() {
                    None => panic!("{answer:?} answers nothing"),
                    Some(due) if due == answer => break,
                    Some(_) => self.skipped += 1,
                }
            }
        }
        self.skipped += std::mem::take(&mut self.answers).len();
        let dropped = self.machine.psmmu().counters().pri_resp_dropped.get();
        assert_eq!(dropped, 0, "the device takes commands");
        let excused = self.with(|_, reference| reference.refused);
        assert!(self.skipped <= excused, "{} groups without an answer", self.skipped - excused);
    }

    /// Shows a PROD that no device shows. What is lost then cannot be known, but a PROD that is
    /// inconsistent is reported as an error, and calls stay bounded. Returns whether the device goes on.
    fn hostile(&mut self) -> bool {
        let pages = self.style.options.pri_queue.is_some() && self.numbers.once_in(2);
        let (output, source, register) = if pages {
            (Output::Pages, PRIQ, Register::PriqProd)
        } else {
            (Output::Events, EVENTQ, Register::EventqProd)
        };
        let log2 = self.with(|_, reference| reference.queue(source).log2);
        let mask = (2 << log2) - 1;
        let value = match self.numbers.below(4) {
            0 => u32::MAX,
            1 => self.numbers.next() as u32,
            2 => self.numbers.next() as u32 & mask,
            _ => self.numbers.next() as u32 & (1 << 31 | mask),
        };
        let recovers = self.numbers.once_in(2);
        let is_gone = self.numbers.once_in(6);
        let was_reset = !is_gone && self.numbers.once_in(5);
        // MSIs and writes were aborted before, and a host may be about to consume that.
        if self.numbers.once_in(2) {
            let bits = self.numbers.next() as u32 & (1 << 2 | 1 << 3 | 1 << 5 | 1 << 6);
            self.machine.device().clear_hooks();
            self.machine.device().raise(bits);
            if self.numbers.once_in(2) {
                let _ = self.machine.notify(GERROR);
            }
        }
        let mut device = self.machine.device();
        device.clear_hooks();
        if recovers {
            device.before_read(register, |_| ());
            device.before_read(register, move |device| {
                device.set_prod_raw(output, value & (1 << 31 | mask));
            });
        }
        drop(device);
        let is_consistent = self.with(|device, reference| {
            reference.stopped = true;
            reference.settle(device);
            let (_, cons) = device.pointers(output);
            device.set_prod_raw(output, value);
            device.set_removed(is_gone);
            if was_reset {
                device.reset();
            }
            let used = value.wrapping_sub(cons) & mask;
            !is_gone && value & !(1 << 31) & !mask == 0 && used <= 1 << log2
        });
        let bound = self.bound() + 4 * (2 << log2) + 100;
        // A device that is gone may be found out by its errors first.
        let cause = if pages { 1 << 3 } else { 1 << 2 } | u64::from(is_gone);
        let mut reported = false;
        let first = if self.numbers.once_in(2) { GERROR } else { source };
        let mut made_up = 0;
        for set in [first, source, SOURCES] {
            let mut calls = 0;
            loop {
                let notify = [Function::PsmmuIrqNotify.id(), PSMMU, set, 0, 0, 0, 0, 0];
                let [status, flags, number, _, _, address, syndrome, _] = self.machine.call(notify);
                let is_known = |queue: &Queue| {
                    queue.entries.iter().any(|entry| entry.address == address && !entry.hole)
                };
                if was_reset && flags & !PENDING == EVENT {
                    let (output, queues) = (usize::from(number == 0x24), &self.reference);
                    let queues = &queues.lock().expect("a walk ends at the first panic").queues;
                    made_up += u32::from(!is_known(&queues[output]));
                }
                if status != 0 || flags == 0 {
                    assert!(status == 0 || self.machine.state() == State::Failed);
                    break;
                }
                reported |= flags & !PENDING == ERROR && syndrome & cause != 0;
                let consume = [Function::PsmmuEventConsume.id(), PSMMU, set, 0, 0, 0, 0, 0];
                let _ = self.machine.call(consume);
                calls += 2;
                assert!(calls <= bound, "PROD {value:#x}: no end in {bound} calls");
            }
        }
        if was_reset {
            assert_eq!(self.machine.state(), State::Failed, "a reset is not found out");
            assert_eq!(made_up, 0, "events that the device never recorded");
            return false;
        }
        assert!(is_consistent || reported, "PROD {value:#x} is inconsistent and is not reported");
        if self.machine.state() == State::Failed {
            return false;
        }
        if is_consistent {
            // What such a PROD hides the device has written, and never shows: as if it had not.
            self.with(|device, _| wipe(device, output, log2));
        }
        self.resume()
    }

    /// Begins with an empty list behind a hostile PROD.
    fn resume(&mut self) -> bool {
        // Commands that still stand behind a failed one would answer later.
        self.with(|device, reference| reference.settle(device));
        while self.machine.notify(GERROR) != NOTHING {
            self.machine.consume(GERROR);
            self.with(|device, reference| reference.settle(device));
        }
        let reference = Arc::clone(&self.reference);
        self.latched = 0;
        self.handlers.iter_mut().for_each(|(_, handler)| *handler = Handler::Idle);
        self.answers.clear();
        self.skipped = 0;
        self.with(|device, reference| {
            for queue in &mut reference.queues {
                let Queue { written, abort_armed, .. } = *queue;
                let fresh = Queue::new(queue.output, queue.log2);
                *queue = Queue { written, abort_armed, ..fresh };
            }
            reference.settle(device);
            (reference.reported, reference.again) = (0, 0);
            reference.open = device.active_errors();
        });
        let mut device = self.machine.device();
        let _ = (device.take_interrupts(), device.take_answers(), device.take_violations());
        device.clear_hooks();
        device.on_access(move |device, access| {
            let mut reference = reference.lock().unwrap_or_else(PoisonError::into_inner);
            reference.on_access(device, access);
        });
        true
    }
}

/// Zeroes the slots of a queue that is empty.
fn wipe(device: &mut Device, output: Output, log2: u32) {
    let (register, bytes) = match output {
        Output::Events => (Register::EventqBase, 32),
        Output::Pages => (Register::PriqBase, 16),
    };
    let base = device.peek(register) & 0x00FF_FFFF_FFFF_FFE0;
    (0..bytes << log2).step_by(8).for_each(|offset| device.store(base + offset, 0));
}

/// Returns the wire of the one source in `set`.
const fn wire(set: u64) -> u32 {
    match set {
        GERROR => Source::Gerror.bit(),
        EVENTQ => Source::Eventq.bit(),
        _ => Source::Priq.bit(),
    }
}

/// Checks what a queue reported, and returns what it was.
fn check_queue(
    queue: &mut Queue,
    answer: [u64; 6],
    owners: &std::collections::HashSet<u32>,
    context: &str,
) -> Reported {
    let [flags, number, stream, fetch, input, syndrome] = answer;
    if flags & !PENDING == ERROR && syndrome >> 32 == 0 {
        let first = queue.entries.front().filter(|_| queue.staged != 0);
        assert!(first.is_some_and(|entry| entry.hole), "{context}: all slots were written");
        return Reported::Hole;
    }
    if flags & !PENDING == ERROR {
        if queue.reported.is_none() {
            let place = queue.losses.front().copied().unwrap_or(0);
            queue.skip_merged(place);
            queue.report_loss();
        }
        return Reported::Loss;
    }
    queue.skip_merged(u64::MAX);
    let first = queue.entries.front().unwrap_or_else(|| panic!("{context}: nothing was written"));
    let owned = match queue.reported {
        Some(Reported::Entry { owned }) => owned,
        _ => owners.contains(&first.stream),
    };
    assert!(!first.hole, "{context}: a slot that was not written is reported as a record");
    let expected = match (owned, first.request) {
        (true, _) => (OWNED, 0, u64::from(first.stream), 0, 0, 0),
        (false, None) => (EVENT, 0x10, 0, 0, first.address, 0b1010),
        (false, Some(_)) => (EVENT, 0x24, 0, 0, first.address, 0),
    };
    let reported = (flags & !PENDING, number, stream, fetch, input, syndrome);
    assert_eq!(reported, expected, "{context}: not the first that was written");
    assert!(queue.staged != 0, "{context}: reported before its slot was freed");
    Reported::Entry { owned }
}

/// Checks that NOTIFY kept to its bounds: of the queues that `set` names, two reads and one write, one
/// of each more behind an overflow; of the errors one read, and the repair of a command error.
fn check_accesses(device: &Device, reference: &Reference, set: u64) {
    let more = u32::from(reference.overflowing);
    let (mut counted, mut polled) = ((0, 0), 0);
    for (source, prod, cons) in [
        (EVENTQ, Register::EventqProd, Register::EventqCons),
        (PRIQ, Register::PriqProd, Register::PriqCons),
    ] {
        let (reads, writes) = (device.accesses_of(prod).0, device.accesses_of(cons).1);
        let named = u32::from(set & source != 0 || set & GERROR != 0);
        polled += named;
        assert!(reads <= named * (2 + more), "{reads} reads of {}", prod.name());
        assert!(writes <= named * (1 + more), "{writes} writes of {}", cons.name());
        counted = (counted.0 + reads, counted.1 + writes);
    }
    let repair = u32::from(reference.saw_command_error && set & GERROR != 0);
    let errors = u32::from(set & GERROR != 0);
    let (reads, writes) = device.accesses();
    let (reads, writes) = (reads - counted.0, writes - counted.1);
    // Of the enables one for each queue and one with each read of GERROR.
    assert!(reads <= polled + 2 * errors + 5 * repair, "{reads} more reads");
    assert!(writes <= repair, "{writes} more writes");
}

/// Checks that the RMM has broken no rule of the architecture; the model lacks one register.
fn check_violations(device: &mut Device) {
    for violation in device.take_violations() {
        assert!(matches!(violation, Violation::UnknownRegister { .. }), "{violation}");
    }
}
