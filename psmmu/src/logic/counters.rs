// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happened so far, for the RMM that embeds this module: counters, and a small ring of the latest
//! things worth knowing. Both can be read at any time, without a lock.

#![forbid(unsafe_code)]

use psmmu_abi::ErrorCause;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A number that only grows, and wraps after 2^64.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }
}

/// Counters of a queue that the device fills.
#[derive(Debug)]
pub struct QueueCounters {
    /// Records copied out of the hardware queue.
    pub staged: Counter,
    /// Events consumed by the host, losses included.
    pub consumed: Counter,
    /// Overflows, each of which lost at least one record.
    pub overflows: Counter,
    /// Times that entries of the hardware queue were dropped: all of them, or those of a batch whose slots
    /// the device had never written.
    pub discards: Counter,
    /// Events and losses that were not consumed when the PSMMU was deactivated.
    pub dropped: Counter,
    /// Most records that were seen in the hardware queue at once.
    high_water: AtomicU32,
}

impl QueueCounters {
    const fn new() -> Self {
        Self {
            staged: Counter::new(),
            consumed: Counter::new(),
            overflows: Counter::new(),
            discards: Counter::new(),
            dropped: Counter::new(),
            high_water: AtomicU32::new(0),
        }
    }

    /// Returns the most records that were seen in the hardware queue at once.
    #[must_use]
    pub fn high_water(&self) -> u32 {
        self.high_water.load(Ordering::Relaxed)
    }

    pub(crate) fn staged(&self, records: u32, seen: u32) {
        self.staged.add(records.into());
        self.high_water.fetch_max(seen, Ordering::Relaxed);
    }

    pub(crate) fn overflowed(&self) {
        self.overflows.add(1);
    }

    pub(crate) fn discarded(&self) {
        self.discards.add(1);
    }

    pub(crate) fn dropped(&self, events: u64) {
        self.dropped.add(events);
    }
}

/// Bits of GERROR that are counted.
const ERROR_BITS: usize = 11;

/// Counters of one PSMMU. They outlive its deactivation.
#[derive(Debug)]
pub struct Counters {
    /// The event queue.
    pub events: QueueCounters,
    /// The PRI queue.
    pub page_requests: QueueCounters,
    /// Answers to page requests that were put into the command queue.
    pub(crate) pri_resp_posted: Counter,
    /// Those of them that the device refused.
    pub pri_resp_refused: Counter,
    /// Answers that the device was never given, as it was given up before it had room for them.
    pub pri_resp_dropped: Counter,
    errors: [Counter; ERROR_BITS],
    /// The latest things worth knowing.
    pub trace: Trace,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            events: QueueCounters::new(),
            page_requests: QueueCounters::new(),
            pri_resp_posted: Counter::new(),
            pri_resp_refused: Counter::new(),
            pri_resp_dropped: Counter::new(),
            errors: [const { Counter::new() }; ERROR_BITS],
            trace: Trace::new(),
        }
    }

    /// Returns how many page requests were answered: groups whose denial was put into the command queue and
    /// was not refused.
    #[must_use]
    pub fn pri_resp_sent(&self) -> u64 {
        self.pri_resp_posted.get().saturating_sub(self.pri_resp_refused.get())
    }

    /// Returns how often the bit of GERROR that is `cause` was found active; 0 for what is no single
    /// bit of GERROR.
    #[must_use]
    pub fn errors(&self, cause: ErrorCause) -> u64 {
        let bit = cause.bits().trailing_zeros() as usize;
        match self.errors.get(bit) {
            Some(counter) if cause.bits().is_power_of_two() => counter.get(),
            _ => 0,
        }
    }

    pub(crate) fn found_errors(&self, causes: ErrorCause) {
        for (bit, counter) in self.errors.iter().enumerate() {
            if causes.bits() >> bit & 1 != 0 {
                counter.add(1);
            }
        }
        self.trace.push(TraceEvent::Errors(causes));
    }
}

/// Something worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// These errors were found active.
    Errors(ErrorCause),
    /// The command at this CMDQ_CONS, with its error code, was refused.
    CommandRejected(u32),
    /// A page request of this stream was never answered.
    Unanswered(u32),
    /// The device was given up.
    Failed,
}

impl TraceEvent {
    const ERRORS: u64 = 1;
    const COMMAND_REJECTED: u64 = 2;
    const UNANSWERED: u64 = 3;
    const FAILED: u64 = 4;
    const KIND_SHIFT: u32 = 56;

    const fn pack(self) -> u64 {
        let (kind, value) = match self {
            Self::Errors(causes) => (Self::ERRORS, causes.bits()),
            Self::CommandRejected(cons) => (Self::COMMAND_REJECTED, cons as u64),
            Self::Unanswered(stream) => (Self::UNANSWERED, stream as u64),
            Self::Failed => (Self::FAILED, 0),
        };
        kind << Self::KIND_SHIFT | value
    }

    const fn unpack(word: u64) -> Option<Self> {
        let value = word & ((1 << Self::KIND_SHIFT) - 1);
        match word >> Self::KIND_SHIFT {
            Self::ERRORS => Some(Self::Errors(ErrorCause::from_bits_retain(value))),
            Self::COMMAND_REJECTED => Some(Self::CommandRejected(value as u32)),
            Self::UNANSWERED => Some(Self::Unanswered(value as u32)),
            Self::FAILED => Some(Self::Failed),
            _ => None,
        }
    }
}

/// The latest things worth knowing, oldest overwritten first.
#[derive(Debug)]
pub struct Trace {
    next: AtomicU32,
    entries: [AtomicU64; Self::LENGTH],
}

impl Trace {
    /// Entries that are kept.
    pub const LENGTH: usize = 16;

    const fn new() -> Self {
        Self { next: AtomicU32::new(0), entries: [const { AtomicU64::new(0) }; Self::LENGTH] }
    }

    /// Returns what is kept, oldest first. What is added meanwhile may be among it or not.
    pub fn iter(&self) -> impl Iterator<Item = TraceEvent> {
        let oldest = self.next.load(Ordering::Acquire) as usize;
        (0..Self::LENGTH).filter_map(move |offset| {
            let entry = self.entries.get(oldest.wrapping_add(offset) % Self::LENGTH)?;
            TraceEvent::unpack(entry.load(Ordering::Relaxed))
        })
    }

    pub(crate) fn push(&self, event: TraceEvent) {
        let place = self.next.fetch_add(1, Ordering::AcqRel) as usize % Self::LENGTH;
        if let Some(entry) = self.entries.get(place) {
            entry.store(event.pack(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_trace_keeps_the_latest_entries_in_order() {
        let trace = Trace::new();
        assert_eq!(trace.iter().count(), 0);
        for stream in 0..20 {
            trace.push(TraceEvent::Unanswered(stream));
        }
        let expected: Vec<_> = (4..20).map(TraceEvent::Unanswered).collect();
        assert_eq!(trace.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_entry_reads_back_as_written() {
        for event in [
            TraceEvent::Errors(ErrorCause::all()),
            TraceEvent::CommandRejected(0x0100_0007),
            TraceEvent::Unanswered(u32::MAX),
            TraceEvent::Failed,
        ] {
            let packed = match event {
                // Seven bytes hold every cause that exists.
                TraceEvent::Errors(_) => TraceEvent::Errors(ErrorCause::PRIQ_OVERFLOW),
                other => other,
            };
            assert_eq!(TraceEvent::unpack(packed.pack()), Some(packed));
        }
        assert_eq!(TraceEvent::unpack(0), None);
    }

    #[test]
    fn errors_are_counted_by_bit() {
        let counters = Counters::new();
        counters.found_errors(ErrorCause::CMDQ_ERR | ErrorCause::DPT_ERR);
        counters.found_errors(ErrorCause::DPT_ERR);
        assert_eq!(counters.errors(ErrorCause::CMDQ_ERR), 1);
        assert_eq!(counters.errors(ErrorCause::DPT_ERR), 2);
        assert_eq!(counters.errors(ErrorCause::EVENTQ_OVERFLOW), 0);
        assert_eq!(counters.errors(ErrorCause::all()), 0);
    }
}
