// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reporting: NOTIFY tells the host the first event of the sources that it names.
//!
//! It only peeks. Repeated, it tells the same event until CONSUME has taken it; what may change is
//! that more is found to be waiting.

#![forbid(unsafe_code)]

use psmmu_abi::{Event, IrqSet, Notification};

use crate::queue::DeviceMemory;
use crate::registers::{Gerror, Registers};
use crate::smmu::{Psmmu, Refusal, State};
use crate::staging::{EventQueue, Staged, Waiting};

impl<M: DeviceMemory> EventQueue<M> {
    /// Tells the first staged entry and remembers that it was told.
    #[inline(always)]
    pub(crate) fn tell(&mut self) -> Event {
        match self.staged.front() {
            None => Event::None,
            Some(staged) => {
                self.reported = true;
                match staged {
                    Staged::Record(record) => record.event(),
                    Staged::Loss(cause) => Event::Error(*cause),
                }
            }
        }
    }
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Tells the first event of the sources in `set`, in the order global errors, event queue, and
    /// whether more is waiting on any of them.
    ///
    /// "Nothing" always comes with nothing pending. Without a pending event whatever happens next
    /// raises a new interrupt.
    ///
    /// # Errors
    /// [`Refusal`] when the PSMMU is not active, or has failed and all of its events are consumed.
    #[inline]
    pub fn notify(&self, set: IrqSet) -> Result<Notification, Refusal> {
        // What the events of a burst but for the first are asked with: it touches no device.
        if set == IrqSet::EVENTQ
            && self.state() == State::Active
            && let Some(events) = self.events.lock().as_mut()
            && let Some(waiting) = events.waiting_without_a_look()
        {
            return Ok(Notification { pending: waiting.more, event: events.tell() });
        }
        self.notify_sources(set)
    }

    /// As [`notify`](Self::notify).
    #[inline(never)]
    fn notify_sources(&self, set: IrqSet) -> Result<Notification, Refusal> {
        let state = self.serving_state()?;
        let mut told = Notification::NONE;

        if set.contains(IrqSet::GERROR) && state == State::Active {
            told = self.notify_errors();
        }
        if set.contains(IrqSet::EVENTQ)
            && let Some(events) = self.events.lock().as_mut()
        {
            let waiting = events.look(&self.registers);
            if events.has_failed() {
                self.set_state(State::Failed);
            }
            tell(&mut told, waiting, || events.tell());
        }

        if state == State::Failed && told.event == Event::None {
            return Err(Refusal::Failed);
        }
        Ok(told)
    }

    /// Tells the global errors. A command error is repaired at once, since the command queue stands
    /// still until it is.
    fn notify_errors(&self) -> Notification {
        let mut errors = self.errors.lock();
        let mut active = errors.active(&self.registers);
        if active.contains(Gerror::CMDQ_ERR) {
            drop(errors);
            self.repair_commands();
            errors = self.errors.lock();
            active = errors.active(&self.registers);
        }
        let waiting = errors.waiting(active);
        let mut told = Notification::NONE;
        tell(&mut told, waiting, || Event::Error(errors.tell(active)));
        told
    }

    /// Makes the command queue run again. If somebody waits for his commands there, nothing is done:
    /// he sees the error and repairs it himself.
    #[cold]
    fn repair_commands(&self) {
        if let Some(mut commands) = self.commands.try_lock()
            && let Some(commands) = commands.as_mut()
        {
            let mut errors = self.errors.lock();
            if errors.active(&self.registers).contains(Gerror::CMDQ_ERR) {
                errors.repair_commands(&self.registers, commands);
            }
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
