// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answering one interrupt of a PSMMU: ask, hand on, consume, as long as more is waiting.

use core::fmt;
use core::num::NonZeroU32;

use psmmu_abi::{Event, IrqSet};

use crate::rmi::{Conduit, Rmi, RmiError};

/// Takes the events.
pub trait EventSink {
    /// Takes one event of `source`, before it is consumed. It is never [`Event::None`].
    fn event(&mut self, source: IrqSet, event: &Event);
}

impl<F: FnMut(IrqSet, &Event)> EventSink for F {
    fn event(&mut self, source: IrqSet, event: &Event) {
        self(source, event);
    }
}

/// What a call of [`service`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serviced {
    /// Events handed to the sink and consumed.
    pub events: u32,
    /// The budget ran out with more waiting: call again soon, no interrupt will remind you.
    pub more: bool,
}

/// Why a call of [`service`] ended early. Events handed on before are consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// A call to the RMM failed.
    Rmi(RmiError),
    /// The RMM says that more is waiting and has nothing to show, which would never end.
    PendingWithoutEvent,
}

impl From<RmiError> for ServiceError {
    fn from(error: RmiError) -> Self {
        Self::Rmi(error)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rmi(error) => error.fmt(f),
            Self::PendingWithoutEvent => f.write_str("the RMM has something pending and no event"),
        }
    }
}

/// Services `source` of `psmmu`: hands each event to `sink` and consumes it until nothing is pending
/// or `budget` events are through.
///
/// Call it from the handler of the source's interrupt, and once for each source after activation,
/// since enabling interrupts raises none for what is there already.
///
/// # Errors
/// [`ServiceError`]; the source is then left as it is until the next interrupt.
pub fn service<C: Conduit>(
    rmi: &Rmi<C>,
    psmmu: u64,
    source: IrqSet,
    sink: &mut impl EventSink,
    budget: NonZeroU32,
) -> Result<Serviced, ServiceError> {
    let mut events = 0;
    loop {
        let notification = rmi.irq_notify(psmmu, source)?;
        match (&notification.event, notification.pending) {
            (Event::None, false) => return Ok(Serviced { events, more: false }),
            (Event::None, true) => return Err(ServiceError::PendingWithoutEvent),
            (event, _) => sink.event(source, event),
        }
        rmi.event_consume(psmmu, source)?;
        events += 1;
        if !notification.pending {
            return Ok(Serviced { events, more: false });
        }
        if events == budget.get() {
            return Ok(Serviced { events, more: true });
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

    const BUDGET: NonZeroU32 = NonZeroU32::new(4).unwrap();

    /// Answers NOTIFY from a list and remembers what was called.
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
    fn each_event_is_consumed_with_the_set_it_was_asked_for_until_nothing_is_pending() {
        let script = Script::new([stream(1, true), stream(2, true), stream(3, false)]);
        let (result, seen) = run(&script);
        assert_eq!(result, Ok(Serviced { events: 3, more: false }));
        assert_eq!(seen, [1, 2, 3]);
        let pair = [(Function::PsmmuIrqNotify, 2), (Function::PsmmuEventConsume, 2)];
        assert_eq!(*script.calls.borrow(), pair.repeat(3));
    }

    #[test]
    fn nothing_to_report_consumes_nothing() {
        let script = Script::new([(0, Notification::NONE)]);
        assert_eq!(run(&script).0, Ok(Serviced { events: 0, more: false }));
        assert_eq!(*script.calls.borrow(), [(Function::PsmmuIrqNotify, 2)]);
    }

    #[test]
    fn a_flood_ends_at_the_budget_and_says_that_more_is_waiting() {
        let script = Script::new((0..9).map(|n| stream(n, true)));
        let (result, seen) = run(&script);
        assert_eq!(result, Ok(Serviced { events: 4, more: true }));
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn an_rmm_that_is_pending_without_an_event_does_not_hold_the_cpu() {
        let script = Script::new([(0, Notification { pending: true, event: Event::None })]);
        assert_eq!(run(&script).0, Err(ServiceError::PendingWithoutEvent));
    }

    #[test]
    fn a_failing_call_ends_the_service_and_names_the_status() {
        let x0 = ResultWord::of(Status::ErrorInput).x0();
        let script = Script::new([stream(7, true), (x0, Notification::NONE)]);
        let (result, seen) = run(&script);
        let error = RmiError::Status(Function::PsmmuIrqNotify, Status::ErrorInput);
        assert_eq!(result, Err(ServiceError::Rmi(error)));
        assert_eq!(seen, [7]);
    }
}
