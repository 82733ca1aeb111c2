// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters of events by source and stream, for a kernel's statistics. Their memory is constant, whatever
//! a device does.

use core::fmt;

use psmmu_abi::{Event, IrqSet};

use crate::service::EventSink;
use crate::source::Source;

/// Counts of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Errors of the SMMU itself.
    pub errors: u64,
    /// Events of streams that no virtual SMMU owns.
    pub psmmu: u64,
    /// Events of streams that a virtual SMMU owns.
    pub vsmmu: u64,
    /// Of those, events that the sink did not handle.
    pub unhandled: u64,
}

impl fmt::Display for SourceCounts {
    /// Writes them on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { errors, psmmu, vsmmu, unhandled } = self;
        write!(
            f,
            "errors {errors}, events {psmmu}, for virtual SMMUs {vsmmu}, unhandled {unhandled}"
        )
    }
}

/// Counts of one PSMMU, for `STREAMS` streams by themselves.
///
/// The RMM names the stream only of an event that a virtual SMMU owns, so only those are counted by
/// stream. Counts stay at their largest value.
#[derive(Clone, Copy, Debug)]
pub struct Counters<const STREAMS: usize> {
    sources: [SourceCounts; Source::ALL.len()],
    streams: [Option<(u32, u64)>; STREAMS],
    overflow: u64,
}

impl<const STREAMS: usize> Default for Counters<STREAMS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const STREAMS: usize> Counters<STREAMS> {
    /// Counts from zero.
    #[must_use]
    pub const fn new() -> Self {
        const NONE: SourceCounts = SourceCounts { errors: 0, psmmu: 0, vsmmu: 0, unhandled: 0 };
        Self { sources: [NONE; Source::ALL.len()], streams: [None; STREAMS], overflow: 0 }
    }

    /// Returns the counts of `source`.
    #[must_use]
    pub const fn source(&self, source: Source) -> SourceCounts {
        self.sources[source as usize]
    }

    /// Returns each stream that has a line of its own, with its events.
    pub fn streams(&self) -> impl Iterator<Item = (u32, u64)> {
        self.streams.iter().copied().flatten()
    }

    /// Returns the number of events of streams for which the table had no free line.
    #[must_use]
    pub const fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Returns a sink that counts what goes through it to `sink`.
    pub const fn counting<'a, S: ?Sized>(
        &'a mut self,
        sink: &'a mut S,
    ) -> Counting<'a, S, STREAMS> {
        Counting { counters: self, sink }
    }

    fn each(&mut self, set: IrqSet, count: impl Fn(&mut SourceCounts)) {
        for (index, source) in Source::ALL.into_iter().enumerate() {
            if set.contains(source.set()) {
                count(&mut self.sources[index]);
            }
        }
    }

    fn stream(&mut self, stream: u32) {
        let known = |line: &&mut Option<(u32, u64)>| line.is_some_and(|(id, _)| id == stream);
        let line = match self.streams.iter_mut().find(known) {
            Some(line) => Some(line),
            None => self.streams.iter_mut().find(|line| line.is_none()),
        };
        match line {
            Some(line) => add(&mut line.get_or_insert((stream, 0)).1),
            None => add(&mut self.overflow),
        }
    }
}

const fn add(count: &mut u64) {
    *count = count.saturating_add(1);
}

/// A sink that counts each event, then passes it to the next sink.
#[derive(Debug)]
pub struct Counting<'a, S: ?Sized, const STREAMS: usize> {
    counters: &'a mut Counters<STREAMS>,
    sink: &'a mut S,
}

impl<S: EventSink + ?Sized, const STREAMS: usize> EventSink for Counting<'_, S, STREAMS> {
    fn event(&mut self, source: IrqSet, event: &Event) {
        self.counters.each(source, |counts| match event {
            Event::None => {}
            Event::Error(_) => add(&mut counts.errors),
            Event::Psmmu { .. } => add(&mut counts.psmmu),
            Event::Vsmmu { .. } => add(&mut counts.vsmmu),
        });
        self.sink.event(source, event);
    }

    fn vsmmu(&mut self, source: IrqSet, stream: u32) -> bool {
        let taken = self.sink.vsmmu(source, stream);
        self.counters.each(source, |counts| {
            add(&mut counts.vsmmu);
            if !taken {
                add(&mut counts.unhandled);
            }
        });
        self.counters.stream(stream);
        taken
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use psmmu_abi::{ErrorCause, Syndrome};

    use super::*;

    /// Handles the events of even streams.
    struct Even;

    impl EventSink for Even {
        fn event(&mut self, _: IrqSet, event: &Event) {
            assert!(!matches!(event, Event::Vsmmu { .. }));
        }

        fn vsmmu(&mut self, _: IrqSet, stream: u32) -> bool {
            stream.is_multiple_of(2)
        }
    }

    #[test]
    fn events_are_counted_by_source_and_kind() {
        let mut counters = Counters::<4>::new();
        let mut even = Even;
        let mut sink = counters.counting(&mut even);
        let (number, syndrome) = (0x10, Syndrome::from_bits(0));
        let fault = Event::Psmmu { number, fetch_address: 0, input_address: 0, syndrome };
        sink.event(IrqSet::GERROR, &Event::Error(ErrorCause::CMDQ_ERR));
        sink.event(IrqSet::EVENTQ, &fault);
        sink.event(IrqSet::EVENTQ, &fault);
        assert!(sink.vsmmu(IrqSet::PRIQ, 2));
        assert!(!sink.vsmmu(IrqSet::PRIQ, 3));
        let none = SourceCounts::default();
        assert_eq!(counters.source(Source::Gerror), SourceCounts { errors: 1, ..none });
        assert_eq!(counters.source(Source::Eventq), SourceCounts { psmmu: 2, ..none });
        let priq = SourceCounts { vsmmu: 2, unhandled: 1, ..none };
        assert_eq!(counters.source(Source::Priq), priq);
        assert_eq!(priq.to_string(), "errors 0, events 0, for virtual SMMUs 2, unhandled 1");
    }

    #[test]
    fn streams_are_counted_each_until_the_table_is_full() {
        let mut counters = Counters::<2>::new();
        let mut even = Even;
        let mut sink = counters.counting(&mut even);
        for stream in [8, 9, 8, 10, 11, 9, 8] {
            sink.vsmmu(IrqSet::EVENTQ, stream);
        }
        assert!(counters.streams().eq([(8, 3), (9, 2)]));
        assert_eq!(counters.overflow(), 2);
    }
}
