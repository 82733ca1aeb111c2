// SPDX-License-Identifier: MIT OR Apache-2.0

//! Consuming: the host is done with the event that it was told.

#![forbid(unsafe_code)]

use psmmu_abi::IrqSet;

use crate::counters::Trouble;
use crate::page_request::PageRequest;
use crate::queue::DeviceMemory;
use crate::record::Entry;
use crate::registers::{Gerror, Register64, Registers};
use crate::smmu::{AbortBehaviour, Psmmu, Refusal};
use crate::staging::{Queue, Staged, Told};

impl<M, E> Queue<M, E> {
    /// Drops the first staged entry if it was told, and returns it with what it was told as.
    #[inline]
    pub(crate) fn consume(&mut self) -> Option<(Staged<E>, Told)> {
        match core::mem::replace(&mut self.told, Told::No) {
            Told::No => None,
            told => self.staged.pop_front().map(|entry| (entry, told)),
        }
    }
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Takes the told event off the first source in `set` that has one, in the order of
    /// [`notify`](Self::notify). Without one nothing happens.
    ///
    /// # Errors
    /// [`Refusal`] when the PSMMU is not active, or has failed and has no told event left.
    #[inline]
    pub fn consume(&self, set: IrqSet) -> Result<(), Refusal> {
        let state = self.serving_state()?;
        if set.contains(IrqSet::GERROR) && self.consume_errors() {
            return Ok(());
        }
        if set.contains(IrqSet::EVENTQ)
            && let Some(events) = self.events.lock().as_mut()
            && events.consume().is_some()
        {
            self.counters.events.consumed.add(1);
            return Ok(());
        }
        if set.contains(IrqSet::PRIQ) && self.consume_request() {
            return Ok(());
        }
        state.refuse_if_failed()
    }

    /// Drops the told page request, answers it if that is ours to do, and says whether there was one.
    #[inline(never)]
    fn consume_request(&self) -> bool {
        // The lock is not held while the answer is posted, as that takes another one.
        let consumed = self.requests.lock().as_mut().and_then(Queue::consume);
        let Some((entry, told)) = consumed else {
            return false;
        };
        self.counters.page_requests.consumed.add(1);
        if let (Staged::Record(request), Told::AsPsmmu) = (entry, told) {
            self.answer(&request);
        }
        true
    }

    /// Denies the group of a page request of a stream without an owner, if it is its last.
    fn answer(&self, request: &PageRequest) {
        let Some(denial) = request.denial() else {
            return;
        };
        let posted = match self.commands.lock().as_mut() {
            Some(commands) => commands.post(&self.registers, denial),
            None => false,
        };
        if posted {
            self.counters.failures_answered.add(1);
        } else {
            self.counters.unanswered.add(1);
            self.counters.trace.push(Trouble::Unanswered(request.stream_id()));
        }
    }

    /// Repairs and acknowledges the told errors, and says whether there were any.
    #[inline(never)]
    fn consume_errors(&self) -> bool {
        let mut errors = self.errors.lock();
        if errors.told.is_empty() {
            return false;
        }
        let acknowledge = errors.consume();
        if acknowledge.is_empty() || self.refuse_if_failed().is_err() {
            return true;
        }
        let has = |error| acknowledge.contains(error);
        let is_spoiled = self.config.abort == AbortBehaviour::SpoilsQueue;
        if let Some(events) = self.events.lock().as_mut() {
            if has(Gerror::EVENTQ_ABT_ERR) && is_spoiled {
                events.discard(&self.registers, &self.counters.events);
            } else if has(Gerror::MSI_EVENTQ_ABT_ERR) {
                // The message that should have told of these is lost, and none will follow as long as
                // the hardware queue is not empty.
                events.look_unasked(&self.registers, &self.counters.events);
            }
        }
        if let Some(requests) = self.requests.lock().as_mut() {
            if has(Gerror::PRIQ_ABT_ERR) && is_spoiled {
                requests.discard(&self.registers, &self.counters.page_requests);
            } else if has(Gerror::MSI_PRIQ_ABT_ERR) {
                requests.look_unasked(&self.registers, &self.counters.page_requests);
            }
        }
        if has(Gerror::DPT_ERR) {
            self.registers.write64(Register64::DPT_CFG_FAR, 0);
        }
        errors.acknowledge(&self.registers, acknowledge);
        true
    }
}
