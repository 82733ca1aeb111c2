// SPDX-License-Identifier: MIT OR Apache-2.0

//! Consuming: the host is done with the event that it was reported.

#![forbid(unsafe_code)]

use psmmu_abi::IrqSet;

use super::{Psmmu, State, StateError};
use crate::arch::registers::{Gerror, Register64};
use crate::logic::{Entry, Queue, QueueCounters, Reported, Staged, is_running};
use crate::platform::{DeviceMemory, QueueAbortPolicy, Registers};
use crate::sync::Lock;

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Takes the reported event off the first source in `set` that has one, in the order of
    /// [`notify`](Self::notify), queues without an interrupt of their own included. Without one nothing
    /// happens.
    ///
    /// # Errors
    /// [`StateError`] when the PSMMU is not active, or has failed and has no reported event left.
    #[inline(always)]
    pub fn consume(&self, set: IrqSet) -> Result<(), StateError> {
        // What the events of a burst are consumed with: the rest is out of its way.
        if set == IrqSet::EVENTQ && self.state() == State::Active && self.consume_event(true) {
            return Ok(());
        }
        self.consume_any(set)
    }

    /// As [`consume`](Self::consume), for every set and state.
    #[inline(never)]
    fn consume_any(&self, set: IrqSet) -> Result<(), StateError> {
        let state = self.serving_state()?;
        let errors = set.contains(IrqSet::GERROR);
        let (events, requests) = (set.contains(IrqSet::EVENTQ), set.contains(IrqSet::PRIQ));
        let consumed = errors && self.consume_errors()
            || (events || errors) && self.consume_event(events)
            || (requests || errors) && self.consume_request(requests);
        if consumed { Ok(()) } else { state.refuse_if_failed() }
    }

    /// Drops the reported event if the queue is `named` or unannounced, and
    /// returns whether there was one.
    #[inline(always)]
    fn consume_event(&self, named: bool) -> bool {
        let consumed = match self.events.lock().as_mut() {
            Some(events) if named || events.is_unannounced() => events.consume(),
            _ => false,
        };
        if consumed {
            self.counters.events.consumed.add(1);
        }
        consumed
    }

    /// Drops the reported page request if the queue is `named` or unannounced, answers it if
    /// that is ours to do, and says whether there was one.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn consume_request(&self, named: bool) -> bool {
        // Taken first, and so that no deactivation comes between the request and its answer.
        let mut commands = self.commands.lock();
        let consumed = match self.requests.lock().as_mut() {
            Some(requests) if named || requests.is_unannounced() => requests.take_reported(),
            _ => None,
        };
        let Some((entry, reported)) = consumed else {
            return false;
        };
        self.counters.page_requests.consumed.add(1);
        if let (Staged::Record(request), Reported::AsPsmmu) = (entry, reported) {
            self.deny(&mut commands, &request);
        }
        true
    }

    /// Repairs and acknowledges the reported errors, and says whether there were any.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn consume_errors(&self) -> bool {
        let mut errors = self.errors.lock();
        if !errors.has_reported() {
            return false;
        }
        let acknowledge = errors.consume();
        if acknowledge.is_empty() || self.refuse_if_failed().is_err() {
            return true;
        }
        if !is_running(&self.registers) {
            self.give_up_with(&mut errors, Gerror::CMDQ_ERR);
            return true;
        }
        self.discard_spoiled(acknowledge, &self.events, &self.counters.events);
        self.discard_spoiled(acknowledge, &self.requests, &self.counters.page_requests);
        if acknowledge.contains(Gerror::DPT_ERR) {
            self.registers.write64(Register64::DPT_CFG_FAR, 0);
        }
        errors.acknowledge(&self.registers, acknowledge);
        // Behind the acknowledgement: an MSI that is lost from now on is announced anew.
        self.unannounce(acknowledge, &self.events);
        self.unannounce(acknowledge, &self.requests);
        true
    }

    /// Discards a queue if one of `errors` has spoiled it.
    #[cfg_attr(core_from_source, optimize(size))]
    fn discard_spoiled<E: Entry>(
        &self,
        errors: Gerror,
        queue: &Lock<Queue<M, E>>,
        counters: &QueueCounters,
    ) {
        if self.config.abort == QueueAbortPolicy::Discard
            && errors.contains(E::WRITE_ABORT)
            && let Some(queue) = queue.lock().as_mut()
        {
            queue.discard(&self.registers, counters);
            self.fail_with(queue);
        }
    }

    /// Has NOTIFY of the global errors report a queue if one of `errors` is that its MSI was lost.
    fn unannounce<E: Entry>(&self, errors: Gerror, queue: &Lock<Queue<M, E>>) {
        if errors.contains(E::MSI_ABORT)
            && let Some(queue) = queue.lock().as_mut()
        {
            queue.unannounce();
        }
    }
}
