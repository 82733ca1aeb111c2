// SPDX-License-Identifier: MIT OR Apache-2.0

//! Consuming: the host is done with the event that it was told.

#![forbid(unsafe_code)]

use psmmu_abi::IrqSet;

use crate::queue::DeviceMemory;
use crate::registers::{Gerror, Registers};
use crate::smmu::{AbortBehaviour, Psmmu, Refusal};
use crate::staging::EventQueue;

impl<M> EventQueue<M> {
    /// Drops the first staged entry if it was told, and says whether it was.
    #[inline]
    pub(crate) fn consume(&mut self) -> bool {
        let told = core::mem::take(&mut self.reported);
        if told {
            self.staged.pop_front();
        }
        told
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
            && events.consume()
        {
            return Ok(());
        }
        state.refuse_if_failed()
    }

    /// Repairs and acknowledges the told errors, and says whether there were any.
    #[inline(never)]
    fn consume_errors(&self) -> bool {
        let mut errors = self.errors.lock();
        if errors.reported.is_empty() {
            return false;
        }
        let acknowledge = errors.consume();
        if acknowledge.contains(Gerror::EVENTQ_ABT_ERR)
            && self.config.abort == AbortBehaviour::SpoilsQueue
            && let Some(events) = self.events.lock().as_mut()
        {
            events.discard(&self.registers);
        }
        if !acknowledge.is_empty() {
            errors.acknowledge(&self.registers, acknowledge);
        }
        true
    }
}
