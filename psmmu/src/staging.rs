// SPDX-License-Identifier: MIT OR Apache-2.0

//! Staging: records are copied to memory of the RMM and their hardware slots freed.
//!
//! The device interrupts only when its queue goes from empty to non-empty, and the host decides
//! whether to ask again before it consumes. Were a slot freed only when the host consumes, a record
//! that arrives in between would find the queue non-empty, raise no interrupt, and stay until the next
//! one. So each NOTIFY first takes over what the hardware holds; see `Queue::look`.
//!
//! The PRI queue is staged in the same way. Its overflow differs in that the device writes nothing more
//! until it is acknowledged, which makes the place of the loss no less true.

#![forbid(unsafe_code)]

use heapless::Deque;
use psmmu_abi::ErrorCause;

use crate::counters::QueueCounters;
use crate::page_request::PageRequest;
use crate::queue::{DeviceMemory, Log2Size, OVERFLOW};
use crate::record::{Entry, Record};
use crate::registers::Registers;

/// Records that one NOTIFY takes over at most.
pub const BATCH: u32 = 32;

/// Places in the staging ring. The hardware is looked at only while at most one entry is staged; a
/// batch comes behind it, with one loss inside and one behind. Two more when the queue starts over,
/// one more when it is discarded, and nothing after that until the ring has been emptied.
const CAPACITY: usize = 1 + BATCH as usize + 2 + 2 + 1;

/// What waits to be told to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Staged<E> {
    /// A record.
    Record(E),
    /// The hardware said that records were lost here.
    Loss(ErrorCause),
}

/// What a source has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// There is an event to tell.
    pub any: bool,
    /// There is, or may be, more behind it.
    pub more: bool,
}

/// A PROD that contradicts CONS or itself.
struct Inconsistent(u32);

/// Whether the first staged entry has been told to the host, and as what. That stays until it is
/// consumed, whoever owns the stream by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has not.
    No,
    /// As an event of the PSMMU, or an error.
    AsPsmmu,
    /// As an event for the virtual SMMU that owned the stream.
    AsVsmmu,
}

/// The event queue of one PSMMU.
pub type EventQueue<M> = Queue<M, Record>;

/// The PRI queue of one PSMMU.
pub type PriQueue<M> = Queue<M, PageRequest>;

/// A queue that the device fills: what is in hardware, and what is staged.
///
/// It stays in its place, whether there is a queue or not: its ring is larger than what an RMM's stack should
/// hold, so it is started and stopped and never moved.
#[derive(Debug)]
pub struct Queue<M, E> {
    /// What the device writes to; `None` while there is no queue.
    memory: Option<M>,
    size: Log2Size,
    /// CONS as last written: pointer and acknowledged overflow flag. Never read back.
    cons: u32,
    pub(crate) staged: Deque<Staged<E>, CAPACITY>,
    pub(crate) told: Told,
    /// A PROD read after the last CONS write showed nothing new, so that whatever comes later raises
    /// an interrupt.
    drained: bool,
    /// An acknowledged overflow whose place, behind the record before this pointer, is not yet staged.
    loss: Option<u32>,
    /// The hardware queue makes no sense any more and is left alone.
    failed: bool,
}

impl<M, E> Queue<M, E> {
    /// Makes the place of a queue that is not there.
    pub(crate) const fn new() -> Self {
        Self {
            memory: None,
            size: Log2Size::MIN,
            cons: 0,
            staged: Deque::new(),
            told: Told::No,
            drained: false,
            loss: None,
            failed: false,
        }
    }

    /// Returns the queue if it is there.
    #[inline]
    pub(crate) fn as_ref(&self) -> Option<&Self> {
        self.memory.is_some().then_some(self)
    }

    /// Returns the queue if it is there.
    #[inline]
    pub(crate) fn as_mut(&mut self) -> Option<&mut Self> {
        self.memory.is_some().then_some(self)
    }
}

impl<M: DeviceMemory, E: Entry> Queue<M, E> {
    /// Starts the queue in `memory`, with nothing staged; `cons` is CONS as the device has it.
    pub(crate) fn start(&mut self, memory: M, size: Log2Size, cons: u32) {
        self.memory = Some(memory);
        self.size = size;
        self.cons = cons & OVERFLOW | size.pointer(cons);
        self.staged.clear();
        self.told = Told::No;
        self.drained = false;
        self.loss = None;
        self.failed = false;
    }

    /// Stops the queue, and gives back the memory that the device wrote to.
    pub(crate) fn stop(&mut self) -> Option<M> {
        self.memory.take()
    }

    /// Returns how many entries nobody has consumed, in the ring and in a hardware queue that is off.
    /// One register read.
    pub(crate) fn left(&self, registers: &impl Registers) -> u64 {
        let prod = registers.read32(E::PROD);
        let shown = self.shown(prod).unwrap_or(0);
        let announced = self.loss.is_none() && self.has_overflowed(prod);
        self.held().saturating_add(shown.into()).saturating_add(announced.into())
    }

    /// Returns how many entries of the ring nobody has consumed, with a loss that is to come into it.
    pub(crate) fn held(&self) -> u64 {
        (self.staged.len() as u64).saturating_add(self.loss.is_some().into())
    }

    /// Returns whether the hardware queue was given up.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Takes over what the hardware holds, if there is a reason to look, and says what is waiting.
    ///
    /// Register accesses: none while two or more entries are staged; one read when nothing is new;
    /// else two reads and one write. After an overflow that is found with an empty queue, or pointers
    /// that contradict each other, one read and one write more.
    ///
    /// The answer is never "nothing, but more".
    pub(crate) fn look(&mut self, registers: &impl Registers, counters: &QueueCounters) -> Waiting {
        if self.has_reason_to_look()
            && let Err(Inconsistent(prod)) = self.take_over(registers, counters)
        {
            self.start_over(registers, counters, prod);
        }
        self.waiting()
    }

    /// Takes over what the hardware holds while nobody has asked. Whoever asks next must look again: he
    /// may do so because of what came since.
    pub(crate) fn look_unasked(&mut self, registers: &impl Registers, counters: &QueueCounters) {
        self.look(registers, counters);
        self.drained = false;
    }

    /// As [`look`](Self::look), or `None` if there is a reason to look.
    #[inline(always)]
    pub(crate) fn waiting_without_a_look(&self) -> Option<Waiting> {
        (!self.has_reason_to_look()).then(|| self.waiting())
    }

    /// Says what is waiting without a look at the device.
    #[inline]
    pub(crate) fn waiting(&self) -> Waiting {
        let staged = self.staged.len();
        Waiting { any: staged != 0, more: staged > 1 || !self.drained }
    }

    /// One entry alone, fresh from a queue that was seen empty behind it, can be told as the last one:
    /// what came since has raised an interrupt. Told again, it is asked for by that interrupt.
    #[inline(always)]
    fn has_reason_to_look(&self) -> bool {
        match self.staged.len() {
            0 => !self.failed,
            1 => !self.failed && (self.told != Told::No || !self.drained),
            _ => false,
        }
    }

    /// Stages what PROD shows, frees the slots, and looks again.
    fn take_over(
        &mut self,
        registers: &impl Registers,
        counters: &QueueCounters,
    ) -> Result<(), Inconsistent> {
        let mut prod = registers.read32(E::PROD);
        for _ in 0..2 {
            let shown = self.shown(prod)?;
            let overflowed = self.has_overflowed(prod);
            if shown == 0 && !overflowed {
                self.drained = true;
                return Ok(());
            }
            if shown != 0 {
                registers.read_barrier();
                self.copy(shown.min(BATCH));
                counters.staged(shown.min(BATCH), shown);
            }
            // While the place of one loss is still ahead, the next is left unacknowledged: the device
            // holds it as one announcement until its own place can be found.
            let acknowledge = overflowed && self.loss.is_none();
            if acknowledge {
                self.cons ^= OVERFLOW;
                counters.overflowed();
            }
            registers.write_barrier();
            registers.write32(E::CONS, self.cons);

            prod = registers.read32(E::PROD);
            let behind = self.shown(prod)?;
            if acknowledge {
                // What was lost between the first PROD read and the acknowledging write will not be
                // announced again, so the loss goes behind all that this second read shows.
                self.loss = Some(self.size.pointer(prod));
                self.place_loss();
            }
            self.drained = behind == 0 && !self.has_overflowed(prod);
            if !self.staged.is_empty() {
                return Ok(());
            }
            // All that was there was an overflow, and records have come before its place: the second
            // turn stages them.
        }
        Err(Inconsistent(prod))
    }

    /// Copies the next `count` records and moves CONS over them.
    #[inline]
    fn copy(&mut self, count: u32) {
        for _ in 0..count {
            let Some(memory) = &self.memory else { return };
            let record = E::read(memory, self.size.index(self.cons));
            self.push(Staged::Record(record));
            self.cons = self.cons & OVERFLOW | self.size.advance(self.cons, 1);
            self.place_loss();
        }
    }

    /// Stages the outstanding loss if all records before it are staged.
    #[inline]
    fn place_loss(&mut self) {
        if self.loss == Some(self.size.pointer(self.cons)) {
            self.loss = None;
            self.push(Staged::Loss(E::OVERFLOW));
        }
    }

    /// Drops what the hardware holds, because it cannot be trusted; the caller reports why. An
    /// overflow that was announced is reported all the same.
    pub(crate) fn discard(&mut self, registers: &impl Registers, counters: &QueueCounters) {
        let prod = registers.read32(E::PROD);
        if self.has_overflowed(prod) || self.loss.is_some() {
            self.push_loss(E::OVERFLOW);
        }
        counters.discarded();
        self.drop_hardware(registers, prod);
        self.drained = false;
    }

    /// Starts over behind a PROD that makes no sense: drops what the hardware holds, reports that as
    /// a spoiled queue, and gives the queue up if the next PROD makes no sense either.
    #[cold]
    fn start_over(&mut self, registers: &impl Registers, counters: &QueueCounters, prod: u32) {
        if self.loss.is_some() {
            self.push_loss(E::OVERFLOW);
        }
        self.push_loss(E::ABORT);
        counters.discarded();
        self.drop_hardware(registers, prod);
        let prod = registers.read32(E::PROD);
        match self.shown(prod) {
            Ok(shown) => self.drained = shown == 0 && !self.has_overflowed(prod),
            Err(Inconsistent(_)) => {
                self.failed = true;
                self.drained = true;
            }
        }
    }

    /// Moves CONS to `prod` without looking at what lies between.
    fn drop_hardware(&mut self, registers: &impl Registers, prod: u32) {
        self.loss = None;
        self.cons = prod & OVERFLOW | self.size.pointer(prod);
        registers.write_barrier();
        registers.write32(E::CONS, self.cons);
    }

    /// Returns how many records `prod` shows beyond CONS.
    fn shown(&self, prod: u32) -> Result<u32, Inconsistent> {
        let shown = self.size.used(prod, self.cons);
        let has_stray_bits = prod & !OVERFLOW != self.size.pointer(prod);
        let hides_the_loss =
            self.loss.is_some_and(|place| self.size.used(place, self.cons) > shown);
        if has_stray_bits || shown > self.size.entries() || hides_the_loss {
            return Err(Inconsistent(prod));
        }
        Ok(shown)
    }

    /// Returns whether `prod` announces a loss that is not acknowledged.
    const fn has_overflowed(&self, prod: u32) -> bool {
        (prod ^ self.cons) & OVERFLOW != 0
    }

    /// Stages a loss that is not tied to a record; one with the same loss just before it, if that is
    /// still to be told.
    fn push_loss(&mut self, cause: ErrorCause) {
        let loss = Staged::Loss(cause);
        let told = self.told != Told::No && self.staged.len() == 1;
        if told || self.staged.back() != Some(&loss) {
            self.push(loss);
        }
    }

    /// Stages an entry; [`CAPACITY`] says why there is a place.
    #[inline]
    fn push(&mut self, entry: Staged<E>) {
        let pushed = self.staged.push_back(entry);
        debug_assert!(pushed.is_ok());
    }
}
