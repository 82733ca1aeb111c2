// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reporting: NOTIFY tells the host the first event of the sources that it names.
//!
//! It only peeks. Repeated, it tells the same event until CONSUME has taken it; what may change is
//! that more is found to be waiting.

#![forbid(unsafe_code)]

use psmmu_abi::{Event, IrqSet, Notification};

use crate::counters::QueueCounters;
use crate::gerror::{Errors, Gone};
use crate::owner::StreamOwners;
use crate::queue::DeviceMemory;
use crate::record::Entry;
use crate::registers::{Gerror, Registers};
use crate::smmu::{Psmmu, Refusal, State};
use crate::staging::{Queue, Staged, Told, Waiting};
use crate::sync::Lock;

impl<M: DeviceMemory, E: Entry> Queue<M, E> {
    /// Tells the first staged entry and remembers as what.
    #[inline(always)]
    pub(crate) fn tell(&mut self, owners: &impl StreamOwners) -> Event {
        match self.staged.front() {
            None => Event::None,
            Some(Staged::Loss(cause)) => {
                self.told = Told::AsPsmmu;
                Event::Error(*cause)
            }
            Some(Staged::Record(record)) => {
                let is_owned = match self.told {
                    Told::No => owners.is_owned(record.stream_id()) && record.has_stream(),
                    told => told == Told::AsVsmmu,
                };
                if is_owned {
                    self.told = Told::AsVsmmu;
                    Event::Vsmmu { stream_id: record.stream_id() }
                } else {
                    self.told = Told::AsPsmmu;
                    record.event()
                }
            }
        }
    }
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Tells the first event of the sources in `set`, in the order global errors, event queue, PRI
    /// queue, and whether more is waiting on any of them. Events of streams that `owners` know are
    /// told as theirs.
    ///
    /// "Nothing" always comes with nothing pending. Without a pending event whatever happens next
    /// raises a new interrupt; a host that is told of one must ask again.
    ///
    /// # Errors
    /// [`Refusal`] when the PSMMU is not active, or has failed and all of its events are consumed.
    #[inline]
    pub fn notify(&self, set: IrqSet, owners: &impl StreamOwners) -> Result<Notification, Refusal> {
        match self.notify_staged(set, owners) {
            Some(told) => Ok(told),
            None => self.notify_sources(set, owners),
        }
    }

    /// As [`notify`](Self::notify), for what the events of a burst but for the first are asked with: it
    /// touches no device. `None` if it is something else.
    #[inline(always)]
    pub(crate) fn notify_staged(
        &self,
        set: IrqSet,
        owners: &impl StreamOwners,
    ) -> Option<Notification> {
        if set != IrqSet::EVENTQ || self.state() != State::Active {
            return None;
        }
        let mut events = self.events.lock();
        let events = events.as_mut()?;
        let waiting = events.waiting_without_a_look()?;
        Some(Notification { pending: waiting.more, event: events.tell(owners) })
    }

    /// As [`notify`](Self::notify), for everything.
    #[inline(never)]
    pub(crate) fn notify_sources(
        &self,
        set: IrqSet,
        owners: &impl StreamOwners,
    ) -> Result<Notification, Refusal> {
        let state = self.serving_state()?;
        let mut told = Notification::NONE;
        if set.contains(IrqSet::GERROR) {
            self.notify_errors(&mut told);
        }
        if set.contains(IrqSet::EVENTQ) {
            self.notify_queue(&mut told, &self.events, &self.counters.events, owners);
        }
        if set.contains(IrqSet::PRIQ) {
            self.notify_queue(&mut told, &self.requests, &self.counters.page_requests, owners);
        }
        if state == State::Failed && told.event == Event::None {
            return Err(Refusal::Failed);
        }
        Ok(told)
    }

    /// Tells the global errors. A command error is repaired at once, since the command queue stands
    /// still until it is; one of a queue that is somebody else's is told as it is.
    fn notify_errors(&self, told: &mut Notification) {
        // What a failed device shows means nothing any more.
        let read = |errors: &mut Errors| match self.state() {
            State::Active => errors.active(&self.registers).unwrap_or_else(|Gone| {
                errors.keep(Gerror::CMDQ_ERR);
                self.set_failed();
                Gerror::empty()
            }),
            _ => Gerror::empty(),
        };
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
        let waiting = errors.waiting(active);
        tell(told, waiting, || {
            let (causes, is_new) = errors.tell(active);
            if is_new {
                self.counters.found_errors(causes);
            }
            Event::Error(causes)
        });
    }

    /// Tells a queue.
    fn notify_queue<E: Entry>(
        &self,
        told: &mut Notification,
        queue: &Lock<Queue<M, E>>,
        counters: &QueueCounters,
        owners: &impl StreamOwners,
    ) {
        if let Some(queue) = queue.lock().as_mut() {
            let waiting = match self.state() {
                State::Active => queue.look(&self.registers, counters),
                _ => queue.waiting(),
            };
            if queue.has_failed() {
                self.set_failed();
            }
            tell(told, waiting, || queue.tell(owners));
        }
    }
}

/// Adds what one source has to say: its event if none is told yet, else only that more is waiting.
#[inline]
fn tell(told: &mut Notification, waiting: Waiting, event: impl FnOnce() -> Event) {
    if told.event != Event::None {
        told.pending |= waiting.any;
    } else if waiting.any {
        *told = Notification { pending: waiting.more, event: event() };
    }
}
