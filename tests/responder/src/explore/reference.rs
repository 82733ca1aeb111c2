// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must be reported of one queue and of the global errors, predicted from what the device does and
//! which registers the RMM accesses.
//!
//! The rules, each a promise of docs/promises.md:
//!
//! * What a CONS write frees is reported, in order, once: a record, or an ERROR where the slot was not
//!   written. Losses next to each other become one ERROR as long as that is not reported.
//! * An overflow that a CONS write acknowledges is reported behind the last entry that the next read of PROD
//!   shows; behind all that is staged if that read is inconsistent.
//! * Entries are dropped by a CONSUME of the write abort, all that PROD shows, and behind an inconsistent
//!   PROD, all that the queue holds: that is an ERROR of its own. A second inconsistent PROD in a row is the
//!   end of the queue, reported in the same ERROR, and the queue is left alone.
//! * All errors that GERROR shows are reported as one event, and its CONSUME acknowledges exactly those.
//! * PENDING says whether more is staged, or may be in hardware, of the sources that were named; of a lost
//!   MSI or a write abort, that its CONSUME may find more.

use std::collections::VecDeque;

use psmmu::QueueAbortPolicy;
use smmu_model::{Device, OVERFLOW_FLAG, Output, Shape};

use super::{Bounds, Nonsense};

/// Most entries that one NOTIFY stages.
const BATCH: u32 = 32;
const CMDQ_ERR: u32 = 1 << 0;

/// What an answer of NOTIFY reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// NONE.
    Nothing,
    /// The record or page request of this number.
    Record(u64),
    /// An ERROR of this cause.
    Error(u64),
}

/// What becomes of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndelegateOutcome {
    /// It is written to the queue.
    Written,
    /// The queue is full, or the PRI queue closed: the overflow flag is set.
    Overflowed,
    /// PROD passes its slot, which is not written.
    NotWritten,
    /// Its write was aborted, or one before it and that is not acknowledged: GERROR shows that.
    NotRecorded,
}

/// What became of a fault, as far as the RMM is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is in hardware, or was lost.
    Is(UndelegateOutcome),
    /// It was copied, so that it is reported.
    Staged,
    /// It was dropped by the CONSUME of a write abort.
    Discarded,
    /// It was dropped behind an inconsistent PROD.
    Dropped,
}

/// An overflow that was acknowledged and has no place yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    /// Its place is what the next read of PROD shows.
    Acknowledged,
    /// It is behind the entry before this pointer.
    Before(u32),
}

/// What the RMM does about an inconsistent PROD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resync {
    No,
    /// PROD was inconsistent.
    Found,
    /// CONS was moved to it, over all that the queue holds.
    Dropped,
}

/// The reference; see the head of this file.
#[derive(Debug)]
pub struct Reference {
    output: Output,
    shape: Shape,
    spoils: bool,
    /// What the device has written and the RMM not taken, by slot.
    slots: Vec<Option<u64>>,
    outcomes: Vec<Outcome>,
    cons: u32,
    /// What the last PROD read showed.
    shown: u32,
    loss: Loss,
    resync: Resync,
    failed: bool,
    /// PROD was ahead of the device's own.
    astray: bool,
    /// Nothing of the queue is named, or a PROD read behind the last CONS write showed nothing.
    drained: bool,
    unannounced: bool,
    staged: VecDeque<Report>,
    /// The first of them is.
    reported: bool,
    consumed: Vec<Report>,
    /// Errors that are reported.
    errors: u32,
    /// Errors that are active; how often each became so, and was consumed.
    active: u32,
    became_active: [u32; 32],
    errors_consumed: [u32; 32],
    /// Of the call that runs.
    call: Call,
}

/// What the RMM has accessed in a call.
#[derive(Debug, Default)]
struct Call {
    /// Errors that it acknowledges and recovers from, if it is a CONSUME of them.
    consumes: u32,
    acknowledged: u32,
    gerror_reads: Vec<u32>,
    prod_reads: u32,
    cons_writes: u32,
    /// A PROD was inconsistent.
    resynced: bool,
}

impl Reference {
    pub fn new(bounds: &Bounds) -> Self {
        let shape = Shape::new(bounds.log2);
        Self {
            output: bounds.output,
            shape,
            spoils: bounds.abort == QueueAbortPolicy::Discard,
            slots: vec![None; shape.entries() as usize],
            outcomes: Vec::new(),
            cons: 0,
            shown: 0,
            loss: Loss::None,
            resync: Resync::No,
            failed: false,
            astray: false,
            // The activation has polled.
            drained: true,
            unannounced: false,
            staged: VecDeque::new(),
            reported: false,
            consumed: Vec::new(),
            errors: 0,
            active: 0,
            became_active: [0; 32],
            errors_consumed: [0; 32],
            call: Call::default(),
        }
    }

    const fn overflow_cause(&self) -> u64 {
        match self.output {
            Output::Events => 1 << 32,
            Output::Pages => 1 << 33,
        }
    }

    /// Returns the bit of GERROR of a write abort of the queue.
    pub const fn abort_error(&self) -> u32 {
        match self.output {
            Output::Events => 1 << 2,
            Output::Pages => 1 << 3,
        }
    }

    const fn msi_error(&self) -> u32 {
        match self.output {
            Output::Events => 1 << 5,
            Output::Pages => 1 << 6,
        }
    }

    /// Returns whether the queue was given up.
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Returns whether PROD was inconsistent and the RMM has done nothing about it yet.
    pub fn is_resyncing(&self) -> bool {
        self.resync == Resync::Found
    }

    /// Returns whether CONS was moved to where the device is not.
    pub const fn was_led_astray(&self) -> bool {
        self.astray
    }

    /// Returns the numbers of what was reported and consumed.
    pub fn consumed(&self) -> Vec<u64> {
        let record = |report: &Report| match report {
            Report::Record(number) => Some(*number),
            _ => None,
        };
        self.consumed.iter().filter_map(record).collect()
    }

    /// Returns what PROD reads as in place of `prod`, if `nonsense` is one as things stand.
    pub fn nonsense(&self, nonsense: Nonsense, prod: u32) -> Option<u32> {
        let flag = prod & OVERFLOW_FLAG;
        match (nonsense, self.loss) {
            (Nonsense::StrayBits, _) => Some(prod ^ 2 << self.shape.log2() << 2),
            (Nonsense::TooMany, _) if self.shape.log2() > 0 => {
                Some(flag | self.shape.advance(self.cons, self.shape.entries() + 1))
            }
            (Nonsense::BeforeTheLoss, Loss::Before(place)) if self.ahead(place) != 0 => {
                Some(flag | self.shape.pointer(self.cons))
            }
            _ => None,
        }
    }

    /// How many entries lie between CONS and `pointer`.
    const fn ahead(&self, pointer: u32) -> u32 {
        self.shape.used(pointer, self.cons)
    }

    /// Notes what becomes of fault `number`, whose slot would be `slot`.
    pub fn note(&mut self, number: u64, slot: usize, fate: UndelegateOutcome) {
        self.outcomes.push(Outcome::Is(fate));
        match fate {
            UndelegateOutcome::Written => self.slots[slot] = Some(number),
            UndelegateOutcome::NotWritten => self.slots[slot] = None,
            UndelegateOutcome::Overflowed | UndelegateOutcome::NotRecorded => {}
        }
    }

    /// Notes which errors are active behind a step of the device.
    pub fn note_errors(&mut self, active: u32) {
        let fresh = active & !self.active;
        for (bit, times) in self.became_active.iter_mut().enumerate() {
            *times += fresh >> bit & 1;
        }
        self.active = active;
    }

    fn push(&mut self, report: Report) {
        self.staged.push_back(report);
    }

    /// Entries are missing here. One ERROR says so for all next to each other.
    fn push_abort(&mut self) {
        let report = Report::Error(self.abort_error().into());
        let is_reported = self.reported && self.staged.len() == 1;
        if is_reported || self.staged.back() != Some(&report) {
            self.push(report);
        }
    }

    fn push_loss(&mut self) {
        self.loss = Loss::None;
        self.push(Report::Error(self.overflow_cause()));
    }

    fn push_loss_if_here(&mut self) {
        if self.loss == Loss::Before(self.shape.pointer(self.cons)) {
            self.push_loss();
        }
    }

    fn is_spent(&self) -> bool {
        self.staged.is_empty() && self.drained
    }

    /// Once all is seen and consumed, whatever comes interrupts.
    fn forget_if_spent(&mut self) {
        self.unannounced &= !self.is_spent();
    }

    /// Takes what a slot holds.
    fn take(&mut self, pointer: u32, outcome: Outcome) -> Option<u64> {
        let number = self.slots[self.shape.index(pointer) as usize].take()?;
        self.outcomes[number as usize - 1] = outcome;
        Some(number)
    }

    /// Drops all slots, since the RMM does so before it moves CONS.
    pub fn before_cons_write(&mut self) {
        if self.resync == Resync::Found {
            for slot in 0..self.shape.entries() {
                let _ = self.take(slot, Outcome::Dropped);
            }
        }
    }

    /// Notes that PROD is read as `prod`.
    pub fn prod_is_read(&mut self, prod: u32) {
        assert!(!self.failed, "a queue that was given up is left alone");
        self.call.prod_reads += 1;
        let shown = self.ahead(prod);
        let has_stray_bits = prod & !OVERFLOW_FLAG != self.shape.pointer(prod);
        let hides_loss = matches!(self.loss, Loss::Before(place) if self.ahead(place) > shown);
        let is_consistent = !has_stray_bits && shown <= self.shape.entries() && !hides_loss;
        self.shown = shown;
        match (is_consistent, self.resync) {
            (_, Resync::Found) => panic!("PROD is read again before CONS is moved to it"),
            (true, _) => {
                self.resync = Resync::No;
                self.drained = shown == 0 && (prod ^ self.cons) & OVERFLOW_FLAG == 0;
                if self.loss == Loss::Acknowledged {
                    self.loss = Loss::Before(self.shape.pointer(prod));
                    self.push_loss_if_here();
                }
                if self.loss != Loss::None && self.is_discarding() {
                    self.push_loss();
                }
            }
            (false, Resync::No) => {
                if self.loss != Loss::None {
                    self.push_loss();
                }
                self.push_abort();
                self.resync = Resync::Found;
                self.call.resynced = true;
            }
            (false, Resync::Dropped) => {
                self.resync = Resync::No;
                self.failed = true;
                self.drained = true;
                self.push_abort();
            }
        }
        self.forget_if_spent();
    }

    /// Whether the queue is to be discarded by the CONSUME that runs.
    const fn is_discarding(&self) -> bool {
        self.spoils && self.call.consumes & self.abort_error() != 0
    }

    /// Notes that CONS is written, the device showing an overflow or not.
    pub fn cons_is_written(&mut self, value: u32, overflowed: bool) {
        assert!(!self.failed, "a queue that was given up is left alone");
        self.call.cons_writes += 1;
        self.drained = false;
        let freed = self.ahead(value);
        let acknowledges = (value ^ self.cons) & OVERFLOW_FLAG != 0;
        assert_eq!(value & !OVERFLOW_FLAG, self.shape.pointer(value), "CONS {value:#x}");
        if self.resync == Resync::Found {
            self.resync = Resync::Dropped;
            self.astray |= freed != self.shown || self.shown > self.shape.entries();
            assert!(!acknowledges, "an overflow is acknowledged that has no place");
        } else if self.is_discarding() {
            assert_eq!(freed, self.shown, "of a spoiled queue all is dropped that PROD shows");
            assert!(!acknowledges, "an overflow is acknowledged that has no place");
            for entry in 0..freed {
                let _ = self.take(self.cons.wrapping_add(entry), Outcome::Discarded);
            }
        } else {
            assert_eq!(freed, self.shown.min(BATCH), "all that PROD shows is staged");
            for entry in 1..=freed {
                match self.take(self.cons, Outcome::Staged) {
                    Some(number) => self.push(Report::Record(number)),
                    None => self.push_abort(),
                }
                let pointer = self.shape.advance(self.cons, 1);
                self.cons = self.cons & OVERFLOW_FLAG | pointer;
                self.push_loss_if_here();
                debug_assert!(entry <= BATCH);
            }
            if acknowledges {
                assert!(overflowed, "an overflow is acknowledged that is not there");
                assert_eq!(
                    self.loss,
                    Loss::None,
                    "an overflow is acknowledged before the last has a place"
                );
                self.loss = Loss::Acknowledged;
            }
        }
        self.cons = value;
    }

    /// Notes that GERROR is read while `active` is.
    pub fn gerror_is_read(&mut self, active: u32) {
        self.call.gerror_reads.push(active);
    }

    /// Notes that `errors` are acknowledged.
    pub fn errors_are_acknowledged(&mut self, errors: u32) {
        // A command error is repaired and acknowledged by whichever call meets it.
        let others = errors & !CMDQ_ERR;
        assert_eq!(
            others & !self.call.consumes,
            0,
            "errors are acknowledged that are not consumed"
        );
        assert_eq!(errors & !self.active, 0, "errors are acknowledged that are not active");
        self.call.acknowledged |= others;
        self.active &= !errors;
    }

    /// Whether a set names the queue, or speaks for it.
    const fn is_meant(&self, of_queue: bool, of_errors: bool) -> bool {
        of_queue || of_errors && self.unannounced
    }

    /// Notes that a NOTIFY begins.
    pub fn begin_notify(&mut self) {
        self.call = Call::default();
    }

    /// Checks what a NOTIFY has answered; `None` if the PSMMU has failed and nothing is left. `is_backlogged`
    /// if answers to page requests wait for room, so that nothing was staged.
    pub fn end_notify(
        &mut self,
        of_errors: bool,
        before: &Before,
        is_backlogged: bool,
        answer: Option<(Report, bool)>,
    ) {
        assert_eq!(self.resync, Resync::No, "CONS was not moved behind an inconsistent PROD");
        let reads = &self.call.gerror_reads;
        let is_repaired = reads.first().is_some_and(|active| active & CMDQ_ERR != 0);
        // A command error is repaired first, which reads GERROR, and then the errors are read.
        let shown = reads.get(if is_repaired { 2 } else { 0 }).copied().unwrap_or(0) & !CMDQ_ERR;
        assert!(!of_errors || before.failed || !reads.is_empty(), "GERROR is not read");
        let mut later = 0;
        if of_errors && self.errors == 0 {
            self.errors = shown;
        } else if of_errors {
            later = shown & !self.errors;
        }
        if before.is_meant && !before.failed && is_backlogged {
            assert_eq!(self.call.prod_reads, 0, "requests are staged while answers wait");
            self.unannounce();
        } else {
            let polls = before.is_meant && before.has_reason && !before.failed;
            assert_eq!(self.call.prod_reads != 0, polls, "whether the queue is polled: {before:?}");
        }
        let bound = if self.call.resynced { (4, 3) } else { (3, 2) };
        let accesses = (self.call.prod_reads, self.call.cons_writes);
        assert!(
            accesses.0 <= bound.0 && accesses.1 <= bound.1,
            "{accesses:?} accesses of PROD and CONS"
        );

        let first = self.staged.front().copied().filter(|_| before.is_meant);
        let report = match first {
            _ if of_errors && self.errors != 0 => Report::Error(self.errors.into()),
            Some(first) => first,
            None => Report::Nothing,
        };
        let recovers = self.msi_error() | if self.spoils { self.abort_error() } else { 0 };
        let pending = match report {
            Report::Nothing => false,
            _ if of_errors && self.errors != 0 => {
                first.is_some() || later != 0 || self.errors & recovers != 0
            }
            _ => {
                self.reported = true;
                self.staged.len() > 1 || !self.drained
            }
        };
        let expected = (report != Report::Nothing || !self.failed).then_some((report, pending));
        assert_eq!(answer, expected, "NOTIFY");
        self.forget_if_spent();
    }

    /// Returns what a NOTIFY finds, before it begins.
    pub fn before(&self, of_queue: bool, of_errors: bool) -> Before {
        let is_fresh = !self.reported && self.drained && !self.unannounced;
        Before {
            is_meant: self.is_meant(of_queue, of_errors),
            has_reason: match self.staged.len() {
                0 => true,
                1 => !is_fresh,
                _ => false,
            },
            failed: self.failed,
        }
    }

    /// From here on a host of the errors alone is given what the queue has.
    fn unannounce(&mut self) {
        self.unannounced = true;
        self.drained = self.failed;
    }

    /// Notes that a CONSUME begins.
    pub fn begin_consume(&mut self, of_errors: bool) {
        let consumes = if of_errors { self.errors } else { 0 };
        self.call = Call { consumes, ..Call::default() };
    }

    /// Checks what a CONSUME has done: whether it was refused, and how many events of the queue it took.
    pub fn end_consume(
        &mut self,
        of_queue: bool,
        of_errors: bool,
        failed: bool,
        taken: u64,
        refused: bool,
    ) {
        let errors = std::mem::take(&mut self.call.consumes);
        let is_meant = self.is_meant(of_queue, of_errors);
        if errors != 0 {
            assert_eq!((taken, refused), (0, false), "CONSUME of {errors:#x}");
            for (bit, times) in self.errors_consumed.iter_mut().enumerate() {
                *times += errors >> bit & 1;
            }
            self.errors = 0;
            if failed {
                assert_eq!(self.call.acknowledged, 0, "what has failed is left alone");
            } else {
                assert_eq!(
                    self.call.acknowledged, errors,
                    "exactly what was reported is acknowledged"
                );
                let discards = self.spoils && errors & self.abort_error() != 0;
                assert_eq!(self.call.prod_reads != 0, discards, "whether the queue is discarded");
                if errors & self.msi_error() != 0 || self.call.resynced {
                    self.unannounce();
                }
            }
        } else {
            let takes = is_meant && self.reported;
            assert_eq!((taken, refused), (takes.into(), !takes && failed), "CONSUME");
            assert_eq!((self.call.prod_reads, self.call.cons_writes), (0, 0), "CONSUME");
            if takes {
                self.reported = false;
                let report = self.staged.pop_front().expect("what is reported is staged");
                self.consumed.push(report);
            }
        }
        assert_eq!(self.resync, Resync::No, "CONS was not moved behind an inconsistent PROD");
        self.forget_if_spent();
    }

    /// Checks that a run that is over has left nothing, and that what is missing has its ERROR.
    pub fn check_end(&self, device: &Device) {
        assert_eq!(self.staged, [], "events that no interrupt announces");
        assert_eq!(self.errors, 0, "errors that are not consumed");
        if self.failed {
            let pairs = self.became_active.iter().zip(&self.errors_consumed);
            assert!(pairs.clone().all(|(active, consumed)| consumed <= active));
        } else {
            assert_eq!(device.used(self.output), 0, "entries that no interrupt announces");
            assert!(!device.has_overflowed(self.output), "an overflow that no interrupt announces");
            assert_eq!(self.loss, Loss::None, "an overflow that is never reported");
            assert_eq!(device.active_errors(), 0, "errors that are never reported");
            let (active, consumed) = (&self.became_active[1..], &self.errors_consumed[1..]);
            assert_eq!(active, consumed, "how often each error is reported");
        }
        self.check_outcomes();
    }

    /// Checks what became of each fault against what the host was given, whatever was predicted.
    fn check_outcomes(&self) {
        let staged = (1..).zip(&self.outcomes).filter(|(_, outcome)| **outcome == Outcome::Staged);
        let staged: Vec<u64> = staged.map(|(number, _)| number).collect();
        assert_eq!(self.consumed(), staged, "each record once, in order");
        let abort = u64::from(self.abort_error());
        for (number, outcome) in (1..).zip(&self.outcomes) {
            let before =
                |report: &Report| matches!(report, Report::Record(other) if *other < number);
            let behind = self.consumed.iter().rposition(before).map_or(0, |at| at + 1);
            let is_reported = |cause| self.consumed[behind..].contains(&Report::Error(cause));
            let is_error = self.errors_consumed[abort.trailing_zeros() as usize] != 0;
            let is_excused = match outcome {
                Outcome::Staged => true,
                // Nothing says of a queue that was given up what it held.
                Outcome::Is(_) if self.failed => self.consumed.contains(&Report::Error(abort)),
                Outcome::Is(UndelegateOutcome::Overflowed) => is_reported(self.overflow_cause()),
                Outcome::Is(UndelegateOutcome::NotWritten) => is_error || is_reported(abort),
                Outcome::Is(UndelegateOutcome::NotRecorded) | Outcome::Discarded => is_error,
                Outcome::Dropped => is_reported(abort),
                Outcome::Is(UndelegateOutcome::Written) => false,
            };
            assert!(is_excused, "fault {number} is missing, {outcome:?}");
        }
    }
}

/// What a NOTIFY finds.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// The queue is named, or the errors speak for it.
    is_meant: bool,
    /// What is staged does not say what is to be answered.
    has_reason: bool,
    /// The PSMMU had failed.
    failed: bool,
}
