// SPDX-License-Identifier: MIT OR Apache-2.0

//! Services one interrupt of a PSMMU: NOTIFY, pass the event on, CONSUME, until nothing is pending.

use core::fmt;
use core::num::NonZeroU32;

use psmmu_abi::{ErrorCause, Event, IrqSet, Unknown};

use crate::rmi::{Conduit, Rmi, RmiError};

/// Handles events. A closure suffices where no stream has a virtual SMMU.
pub trait EventSink {
    /// Handles one event of `source`, before it is consumed. It is never [`Event::None`].
    fn event(&mut self, source: IrqSet, event: &Event);

    /// Handles the event of a stream that a virtual SMMU owns, and returns whether it did. An unhandled
    /// event is consumed nevertheless, and counted. By default it is passed to [`event`](Self::event) and
    /// counts as unhandled.
    fn vsmmu(&mut self, source: IrqSet, stream: u32) -> bool {
        self.event(source, &Event::Vsmmu { stream_id: stream });
        false
    }
}

impl<F: FnMut(IrqSet, &Event)> EventSink for F {
    fn event(&mut self, source: IrqSet, event: &Event) {
        self(source, event);
    }
}

/// Result of [`service`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serviced {
    /// Events passed to the sink and consumed.
    pub events: u32,
    /// Of those, events for a virtual SMMU that the sink did not handle.
    pub unhandled: u32,
    /// The budget is used up with events pending: call again soon, as no further interrupt is raised for
    /// these.
    pub more: bool,
    /// A register of the last answer that had reserved bits set, which were ignored. Worth one log line
    /// per driver instance: the RMM is of a later version, or faulty.
    pub reserved: Option<Unknown>,
    /// Queues whose lost MSI an error reported and that the budget did not suffice for: call for these
    /// soon as well. Empty unless [`more`](Self::more) is set.
    pub unserviced: IrqSet,
}

/// Why [`service`] ended early. Events passed to the sink before that are consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// A call to the RMM failed.
    Rmi(RmiError),
    /// The RMM reports pending events but returns none, so the loop would not end.
    PendingWithoutEvent,
}

impl core::error::Error for ServiceError {}

impl From<RmiError> for ServiceError {
    fn from(error: RmiError) -> Self {
        Self::Rmi(error)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rmi(error) => error.fmt(f),
            Self::PendingWithoutEvent => {
                f.write_str("the RMM reports pending events but returns none")
            }
        }
    }
}

/// Services `source` (one [`Source`](crate::Source), as each has its own interrupt) of `psmmu_ptr`:
/// passes each event to `sink` and consumes it, until nothing is pending or `budget` events are consumed.
///
/// If an error reports that an MSI of the event or PRI queue was aborted, no interrupt is raised for the
/// records of that queue, so it is serviced as well, within the same budget.
///
/// Call it from the handler of the source's interrupt, and once for each source after activation, since
/// enabling interrupts raises none for records that exist already.
///
/// Use one set for each source, and call for each set from one context at a time: the RMM keeps one
/// reported event for each source, not for each caller. Two contexts in this loop at once with
/// overlapping sets get the same event, and the second CONSUME consumes either nothing or an event that a
/// NOTIFY of the first context reported since and the second context has not received.
///
/// # Errors
/// [`ServiceError`]; the source is then not serviced further until the next call.
pub fn service<C: Conduit>(
    rmi: &Rmi<C>,
    psmmu_ptr: u64,
    source: impl Into<IrqSet>,
    sink: &mut (impl EventSink + ?Sized),
    budget: NonZeroU32,
) -> Result<Serviced, ServiceError> {
    let source = source.into();
    let mut serviced = Serviced {
        events: 0,
        unhandled: 0,
        more: false,
        reserved: None,
        unserviced: IrqSet::empty(),
    };
    serviced.more = service_set(rmi, psmmu_ptr, source, sink, budget, &mut serviced)?;
    for lost in [IrqSet::EVENTQ, IrqSet::PRIQ] {
        if serviced.more || !serviced.unserviced.contains(lost) {
            continue;
        }
        if serviced.events == budget.get() {
            serviced.more = true;
        } else {
            serviced.unserviced -= lost;
            serviced.more = service_set(rmi, psmmu_ptr, lost, sink, budget, &mut serviced)?;
            serviced.unserviced.set(lost, serviced.more);
        }
    }
    Ok(serviced)
}

/// Returns the queues whose lost MSI `event` reports, if any.
fn lost_msis(event: &Event) -> IrqSet {
    let mut lost = IrqSet::empty();
    if let Event::Error(cause) = event {
        lost.set(IrqSet::EVENTQ, cause.contains(ErrorCause::MSI_EVENTQ_ABT_ERR));
        lost.set(IrqSet::PRIQ, cause.contains(ErrorCause::MSI_PRIQ_ABT_ERR));
    }
    lost
}

/// Services `source` until nothing is pending or the budget is used up, and returns whether it is used
/// up.
fn service_set<C: Conduit>(
    rmi: &Rmi<C>,
    psmmu_ptr: u64,
    source: IrqSet,
    sink: &mut (impl EventSink + ?Sized),
    budget: NonZeroU32,
    serviced: &mut Serviced,
) -> Result<bool, ServiceError> {
    loop {
        let (notification, reserved) = rmi.irq_notify_with_reserved(psmmu_ptr, source)?;
        if reserved.is_some() {
            serviced.reserved = reserved;
        }
        match (&notification.event, notification.pending) {
            (Event::None, false) => return Ok(false),
            (Event::None, true) => return Err(ServiceError::PendingWithoutEvent),
            (Event::Vsmmu { stream_id }, _) => {
                serviced.unhandled += u32::from(!sink.vsmmu(source, *stream_id));
            }
            (event, _) => {
                serviced.unserviced |= lost_msis(event) - source;
                sink.event(source, event);
            }
        }
        rmi.event_consume(psmmu_ptr, source)?;
        serviced.events += 1;
        if !notification.pending {
            return Ok(false);
        }
        if serviced.events == budget.get() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::cell::RefCell;
    use std::collections::VecDeque;
    use std::vec::Vec;

    use psmmu_abi::{Function, Notification, ResultWord, Status};

    use super::*;
    use crate::source::Source;

    const BUDGET: NonZeroU32 = NonZeroU32::new(4).unwrap();

    /// Answers NOTIFY from a list and records the calls.
    struct Script {
        answers: RefCell<VecDeque<(u64, Notification)>>,
        calls: RefCell<Vec<(Function, u64)>>,
    }

    impl Script {
        fn new(answers: impl IntoIterator<Item = (u64, Notification)>) -> Self {
            Self { answers: RefCell::new(answers.into_iter().collect()), calls: RefCell::default() }
        }
    }

    impl Conduit for Script {
        fn call(&self, x: [u64; 8]) -> [u64; 8] {
            let function = Function::try_from(x[0]).unwrap();
            self.calls.borrow_mut().push((function, x[2]));
            if function == Function::PsmmuEventConsume {
                return [0; 8];
            }
            let (x0, answer) = self.answers.borrow_mut().pop_front().expect("one call too many");
            let [x1, x2, x3, x4, x5, x6] = answer.registers();
            [x0, x1, x2, x3, x4, x5, x6, 0]
        }
    }

    const fn serviced(events: u32, unhandled: u32, more: bool) -> Serviced {
        Serviced { events, unhandled, more, reserved: None, unserviced: IrqSet::empty() }
    }

    fn stream(stream_id: u32, pending: bool) -> (u64, Notification) {
        (0, Notification { pending, event: Event::Vsmmu { stream_id } })
    }

    fn run(script: &Script) -> (Result<Serviced, ServiceError>, Vec<u32>) {
        let mut seen = Vec::new();
        let mut sink = |_, event: &Event| {
            let Event::Vsmmu { stream_id } = event else { panic!("{event:?}") };
            seen.push(*stream_id);
        };
        (service(&Rmi::new(script), 0x1000, IrqSet::EVENTQ, &mut sink, BUDGET), seen)
    }

    #[test]
    fn each_event_is_consumed_with_its_set_until_none_is_pending() {
        let script = Script::new([stream(1, true), stream(2, true), stream(3, false)]);
        let (result, seen) = run(&script);
        assert_eq!(result, Ok(serviced(3, 3, false)));
        assert_eq!(seen, [1, 2, 3]);
        let pair = [(Function::PsmmuIrqNotify, 2), (Function::PsmmuEventConsume, 2)];
        assert_eq!(*script.calls.borrow(), pair.repeat(3));
    }

    #[test]
    fn nothing_to_report_consumes_nothing() {
        let script = Script::new([(0, Notification::NONE)]);
        assert_eq!(run(&script).0, Ok(serviced(0, 0, false)));
        assert_eq!(*script.calls.borrow(), [(Function::PsmmuIrqNotify, 2)]);
    }

    #[test]
    fn queues_whose_msi_was_lost_are_serviced_with_the_error() {
        let error = |cause| (0, Notification { pending: false, event: Event::Error(cause) });
        let both = ErrorCause::MSI_EVENTQ_ABT_ERR | ErrorCause::MSI_PRIQ_ABT_ERR;
        let served = |answers: &[(u64, Notification)], source| {
            let script = Script::new(answers.iter().copied());
            let mut sink = |_, _: &Event| {};
            let result = service(&Rmi::new(&script), 0x1000, source, &mut sink, BUDGET);
            let mut sets: Vec<_> = script.calls.borrow().iter().map(|(_, set)| *set).collect();
            sets.dedup();
            (result, sets)
        };
        let none = (0, Notification::NONE);
        let (result, sets) = served(&[error(both), stream(1, false), none], Source::Gerror);
        assert_eq!((result, sets), (Ok(serviced(2, 1, false)), [1, 2, 4].to_vec()));
        let (_, sets) = served(&[error(ErrorCause::MSI_PRIQ_ABT_ERR), none], Source::Gerror);
        assert_eq!(sets, [1, 4]);
        let (_, sets) = served(&[error(ErrorCause::CMDQ_ERR)], Source::Gerror);
        assert_eq!(sets, [1], "and no other");
        // The budget holds for all of them, and the queues that it leaves are named.
        let flood = [error(both), stream(1, true), stream(2, true), stream(3, true)];
        let (result, sets) = served(&flood, Source::Gerror);
        let unserviced = IrqSet::EVENTQ | IrqSet::PRIQ;
        assert_eq!(result, Ok(Serviced { unserviced, ..serviced(4, 3, true) }));
        assert_eq!(sets, [1, 2]);
    }

    #[test]
    fn a_flood_ends_at_the_budget_and_reports_more() {
        let script = Script::new((0..9).map(|n| stream(n, true)));
        let (result, seen) = run(&script);
        assert_eq!(result, Ok(serviced(4, 4, true)));
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn pending_without_an_event_does_not_loop() {
        let script = Script::new([(0, Notification { pending: true, event: Event::None })]);
        assert_eq!(run(&script).0, Err(ServiceError::PendingWithoutEvent));
    }

    /// Takes the events of stream 2.
    struct Owner(Vec<u32>);

    impl EventSink for Owner {
        fn event(&mut self, _: IrqSet, event: &Event) {
            panic!("{event:?}");
        }

        fn vsmmu(&mut self, _: IrqSet, stream: u32) -> bool {
            if stream == 2 {
                self.0.push(stream);
            }
            stream == 2
        }
    }

    #[test]
    fn an_unhandled_vsmmu_event_is_consumed_and_counted() {
        let script = Script::new([stream(1, true), stream(2, true), stream(3, false)]);
        let mut owner = Owner(Vec::new());
        let result = service(&Rmi::new(&script), 0x1000, Source::Priq, &mut owner, BUDGET);
        assert_eq!(result, Ok(serviced(3, 2, false)));
        assert_eq!(owner.0, [2]);
        let pair = [(Function::PsmmuIrqNotify, 4), (Function::PsmmuEventConsume, 4)];
        assert_eq!(*script.calls.borrow(), pair.repeat(3));
    }

    #[test]
    fn reserved_bits_are_ignored_reported_and_the_event_is_served() {
        let good = stream(7, false).1.registers();
        for (register, value) in [(0, 1 << 3), (0, 1 << 63), (2, 1 << 32)] {
            let mut registers = good;
            registers[register] |= value;
            let conduit = Raw([0, registers[0], 0, registers[2], 0, 0, 0, 0]);
            let mut seen = Vec::new();
            let mut sink = |_, event: &Event| seen.push(*event);
            let result = service(&Rmi::new(conduit), 0, Source::Eventq, &mut sink, BUDGET);
            let reserved = Some(Unknown(registers[register]));
            assert_eq!(result, Ok(Serviced { reserved, ..serviced(1, 1, false) }));
            assert_eq!(seen, [Event::Vsmmu { stream_id: 7 }]);
        }
    }

    #[test]
    fn reserved_bits_of_a_success_do_not_stop_the_service() {
        let [x1, ..] = stream(7, false).1.registers();
        let conduit = Raw([0x100, x1, 0, 7, 0, 0, 0, 0]);
        let mut seen = Vec::new();
        let mut sink = |_, event: &Event| seen.push(*event);
        let result = service(&Rmi::new(conduit), 0, Source::Eventq, &mut sink, BUDGET);
        let reserved = Some(Unknown(0x100));
        assert_eq!(result, Ok(Serviced { reserved, ..serviced(1, 1, false) }));
        assert_eq!(seen, [Event::Vsmmu { stream_id: 7 }]);
    }

    /// Answers every call with these registers.
    struct Raw([u64; 8]);

    impl Conduit for Raw {
        fn call(&self, _: [u64; 8]) -> [u64; 8] {
            self.0
        }
    }

    #[test]
    fn a_failing_notify_ends_the_service_and_is_reported_once() {
        let x0 = ResultWord::of(Status::ErrorInput).x0();
        let script = Script::new([stream(7, true), (x0, Notification::NONE)]);
        let (result, seen) = run(&script);
        let error = RmiError::Status(Function::PsmmuIrqNotify, Status::ErrorInput);
        assert_eq!(result, Err(ServiceError::Rmi(error)));
        assert_eq!(seen, [7]);
        assert_eq!(script.calls.borrow().len(), 3, "nothing is called after it");
    }
}
