// SPDX-License-Identifier: MIT OR Apache-2.0

//! Quiescing a PSMMU: translation off, interrupts off, commands finished, queues off, each
//! acknowledged. Only then may the memory that it ran on be used for something else.

#![forbid(unsafe_code)]

use super::{Psmmu, State, StateError};
use crate::arch::registers::{Cr0, Gerror, Register32};
use crate::logic::{BATCH, DeviceError, Memory, Queue, TimedOut, is_running};
use crate::platform::{Clock, DeviceMemory, Registers};

/// Why a PSMMU was not quiesced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeactivateError {
    /// It is neither active nor failed, or was attached and is to be detached.
    #[error(transparent)]
    State(#[from] StateError),
    /// It still has level-2 stream tables, or some are being made.
    #[error("there are level-2 stream tables")]
    TablesLive,
    /// The device does not answer: it has failed; its memory stays its own, and deactivating it may be
    /// tried again. Or another CPU waits for it.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Quiesces the PSMMU and returns what it ran on; nothing if it failed before it ran. Events
    /// that were not consumed are dropped and counted. The PSMMU stays
    /// [`Deactivating`](State::Deactivating) until [`finish_deactivation`](Self::finish_deactivation),
    /// so that it is not activated while its memory is being given back.
    ///
    /// # Errors
    /// [`DeactivateError`]. The PSMMU is as before, or has failed.
    ///
    /// # Waits
    /// For five acknowledgements, and for room and the end of a command: seven times
    /// [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT) at most. With a PRI queue for an acknowledgement,
    /// room and end more, ten times, and once more for each 32 page requests in it for which there is no
    /// room at first.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn deactivate(&self, clock: &impl Clock) -> Result<Option<Memory<M>>, DeactivateError> {
        self.can_end()?;
        let _issue = self.issue_lock()?;
        let was_active = self.claim_deactivation()?;
        if !is_running(&self.registers) {
            // Of a device that has lost its state the pointers mean nothing.
            self.events.lock().as_mut().into_iter().for_each(Queue::fail);
            self.requests.lock().as_mut().into_iter().for_each(Queue::fail);
        }
        if self.quiesce_device(was_active, clock).is_err() {
            self.errors.lock().latch(Gerror::CMDQ_ERR, &self.counters);
            self.fail_claimed();
            return Err(DeviceError::TimedOut.into());
        }
        let memory = self.take_memory();
        self.errors.lock().clear();
        self.set_deactivated();
        Ok(memory)
    }

    /// Ends a deactivation that has returned its memory: the PSMMU can be activated again. Without one
    /// nothing happens.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn finish_deactivation(&self) {
        self.finish();
    }

    /// Claims the PSMMU if it was activated and has no level-2 tables, and returns whether it was active.
    /// Tables are begun under the same lock, and only while the PSMMU is active.
    #[cfg_attr(core_from_source, optimize(size))]
    fn claim_deactivation(&self) -> Result<bool, DeactivateError> {
        let tables = self.tables.lock();
        if tables.as_ref().is_some_and(|tables| tables.live() != 0) {
            return Err(DeactivateError::TablesLive);
        }
        if self.is_attached(&tables) {
            return Err(StateError::Attached.into());
        }
        let was = self.claim_end()?;
        Ok(was == State::Active)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn quiesce_device(&self, was_active: bool, clock: &impl Clock) -> Result<(), TimedOut> {
        if was_active {
            self.close_requests(clock)?;
        }
        self.stop_translation(clock)?;
        if was_active {
            self.finish_commands(clock);
        }
        self.set_cr0(Cr0::empty(), clock)
    }

    /// Turns the PRI queue off, if there is one, and denies all that is in it: while translation is on, as
    /// the device ignores answers without.
    #[cfg_attr(core_from_source, optimize(size))]
    fn close_requests(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        let Some(size) = self.requests.lock().as_ref().map(Queue::size) else {
            return Ok(());
        };
        let on = Cr0::from_bits_truncate(self.registers.read32(Register32::CR0));
        self.set_cr0(on - Cr0::PRIQEN, clock)?;
        let counters = &self.counters.page_requests;
        let mut more = true;
        // A PROD that moves on all the same ends it by the number of its entries.
        for _ in 0..=size.entries() / BATCH {
            more = self.deny_staged(clock);
            if !more {
                break;
            }
            if let Some(queue) = self.requests.lock().as_mut() {
                queue.poll(&self.registers, counters);
                more = queue.staged_len() != 0;
            }
            if !more {
                break;
            }
        }
        if more {
            self.deny_staged(clock);
        }
        // Before translation goes off.
        let _ = self.run_locked(clock, &[]);
        Ok(())
    }
}
