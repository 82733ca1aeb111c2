// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reporting: NOTIFY reports the host the first event of the sources that it names.
//!
//! It only peeks. Repeated, it reports the same event until CONSUME has taken it; what may change is
//! that more is found to be waiting.

#![forbid(unsafe_code)]

use psmmu_abi::{Event, IrqSet, Notification};

use super::{Psmmu, State, StateError};
use crate::arch::event_record::Record;
use crate::arch::page_request::PageRequest;
use crate::arch::registers::Gerror;
use crate::logic::{Entry, Errors, NotResponding, Queue, QueueCounters, Waiting, is_running};
use crate::platform::{DeviceMemory, QueueAbortPolicy, Registers, VsmmuLookup};
use crate::sync::Lock;

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Reports the first event of the sources in `set`, in the order global errors, event queue, PRI
    /// queue, and whether more is waiting on any of them. Events of streams that `owners` know are
    /// reported as theirs.
    ///
    /// "Nothing" always comes with nothing pending. Without a pending event whatever happens next
    /// raises a new interrupt; a host that is notified of one must ask again.
    ///
    /// With the global errors go the queues that no interrupt announces, named or not: a host that
    /// serves the interrupt of the errors alone gets what the others would have brought.
    ///
    /// # Errors
    /// [`StateError`] when the PSMMU is not active, or has failed and all of its events are consumed.
    #[inline]
    pub fn notify(
        &self,
        set: IrqSet,
        owners: &impl VsmmuLookup,
    ) -> Result<Notification, StateError> {
        match self.notify_staged(set, owners) {
            Some(reported) => Ok(reported),
            None => self.notify_sources(set, owners),
        }
    }

    /// As [`notify`](Self::notify), for what the events of a burst but for the first are asked with: it
    /// touches no device. `None` if it is something else.
    #[inline(always)]
    pub(crate) fn notify_staged(
        &self,
        set: IrqSet,
        owners: &impl VsmmuLookup,
    ) -> Option<Notification> {
        if set != IrqSet::EVENTQ || self.state() != State::Active {
            return None;
        }
        let mut events = self.events.lock();
        let events = events.as_mut()?;
        let waiting = events.pending_cached()?;
        Some(Notification { pending: waiting.more, event: events.report(owners) })
    }

    /// As [`notify`](Self::notify), for everything.
    #[inline(never)]
    pub(crate) fn notify_sources(
        &self,
        set: IrqSet,
        owners: &impl VsmmuLookup,
    ) -> Result<Notification, StateError> {
        let state = self.serving_state()?;
        let mut reported = Notification::NONE;
        let errors = set.contains(IrqSet::GERROR);
        if errors {
            self.notify_errors(&mut reported);
        }
        if set.contains(IrqSet::EVENTQ) || errors {
            let named = set.contains(IrqSet::EVENTQ);
            self.notify_queue(
                &mut reported,
                named,
                &self.events,
                &self.counters.events,
                owners,
                true,
            );
        }
        if set.contains(IrqSet::PRIQ) || errors {
            self.notify_requests(&mut reported, set.contains(IrqSet::PRIQ), owners);
        }
        if state == State::Failed && reported.event == Event::None {
            return Err(StateError::Wrong(State::Failed));
        }
        Ok(reported)
    }

    /// Reports the global errors. A command error is repaired at once, since the command queue stands
    /// still until it is; one of a queue that the embedder owns is reported as it is.
    #[cfg_attr(core_from_source, optimize(size))]
    fn notify_errors(&self, reported: &mut Notification) {
        // What a failed device shows means nothing any more.
        let read = |errors: &mut Errors| match self.state() {
            State::Active => {
                errors.active(&self.registers, &self.counters).unwrap_or_else(|NotResponding| {
                    self.give_up_with(errors, Gerror::CMDQ_ERR);
                    Gerror::empty()
                })
            }
            _ => Gerror::empty(),
        };
        let recovered = self.recovered::<Record>() | self.recovered::<PageRequest>();
        let mut errors = self.errors.lock();
        let mut active = read(&mut errors);
        if active.contains(Gerror::CMDQ_ERR) {
            drop(errors);
            let is_repaired = self.repair_commands().is_some();
            errors = self.errors.lock();
            active = read(&mut errors);
            if is_repaired {
                active -= Gerror::CMDQ_ERR;
            }
        }
        let mut waiting = errors.waiting(active, recovered);
        // Before it is said that there is no error, the device is asked whether it is still there.
        if !waiting.any && self.state() == State::Active && !is_running(&self.registers) {
            self.give_up_with(&mut errors, Gerror::CMDQ_ERR);
            waiting = errors.waiting(active, recovered);
        }
        report(reported, waiting, || Event::Error(errors.report(active, &self.counters)));
    }

    /// Returns the errors whose CONSUME does something about a queue, so that there may be more to report
    /// than was known when the error was: its MSI was aborted, or it is discarded.
    fn recovered<E: Entry>(&self) -> Gerror {
        match self.config.abort {
            QueueAbortPolicy::Discard => E::MSI_ABORT | E::WRITE_ABORT,
            QueueAbortPolicy::Preserve => E::MSI_ABORT,
        }
    }

    /// Reports the page requests if they are `named` or no interrupt announces them. While answers to
    /// earlier ones wait for room in the command queue, no further ones are staged: so those that wait are
    /// bounded, and the device answers for itself when its queue overflows.
    #[cfg_attr(core_from_source, optimize(size))]
    fn notify_requests(&self, reported: &mut Notification, named: bool, owners: &impl VsmmuLookup) {
        // Held to the end, or another CPU could add an answer before this one stages requests.
        let mut commands = self.commands.lock();
        let may_stage = match (self.state(), commands.as_mut()) {
            (State::Active, Some(commands)) => self.post_answers(commands),
            _ => true,
        };
        let counters = &self.counters.page_requests;
        self.notify_queue(reported, named, &self.requests, counters, owners, may_stage);
    }

    /// Reports a queue that is `named` or that no interrupt announces. Nothing is staged first unless it
    /// `may_stage`.
    fn notify_queue<E: Entry>(
        &self,
        reported: &mut Notification,
        named: bool,
        queue: &Lock<Queue<M, E>>,
        counters: &QueueCounters,
        owners: &impl VsmmuLookup,
        may_stage: bool,
    ) {
        if let Some(queue) = queue.lock().as_mut()
            && (named || queue.is_unannounced())
        {
            if self.state() != State::Active {
                // What the device shows means nothing.
            } else if may_stage {
                queue.poll(&self.registers, counters);
                self.fail_with(queue);
            } else {
                queue.unannounce();
            }
            report(reported, queue.waiting(), || queue.report(owners));
        }
    }

    /// Stages what was recorded before the PSMMU became active, so that the next record interrupts.
    pub(super) fn poll_unsolicited(&self) {
        fn poll<R: Registers, M: DeviceMemory, E: Entry>(
            psmmu: &Psmmu<R, M>,
            queue: &Lock<Queue<M, E>>,
            counters: &QueueCounters,
        ) {
            if let Some(queue) = queue.lock().as_mut() {
                queue.poll_unsolicited(&psmmu.registers, counters);
                psmmu.fail_with(queue);
            }
        }
        poll(self, &self.events, &self.counters.events);
        poll(self, &self.requests, &self.counters.page_requests);
    }
}

/// Adds what one source has to say: its event if none is reported yet, else only that more is waiting.
#[inline]
fn report(reported: &mut Notification, waiting: Waiting, event: impl FnOnce() -> Event) {
    if reported.event != Event::None {
        reported.pending |= waiting.any;
    } else if waiting.any {
        *reported = Notification { pending: waiting.more, event: event() };
    }
}
