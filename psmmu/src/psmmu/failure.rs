// SPDX-License-Identifier: MIT OR Apache-2.0

//! Giving a PSMMU up whose device has stopped answering, or reported inconsistent state.

#![forbid(unsafe_code)]

use super::{Psmmu, State};
use crate::arch::registers::Gerror;
use crate::logic::{Entry, Errors, Queue, TraceEvent};
use crate::platform::{DeviceMemory, Registers};

impl<R: Registers, M> Psmmu<R, M> {
    /// Fails the PSMMU if it is active. What is staged can still be reported.
    ///
    /// While it is activating or deactivating, the owner of the transition detects the failure itself, and its
    /// claim must stay.
    ///
    /// Returns the state that it was in. Of several callers one finds it active, and reports that.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn set_failed(&self) -> State {
        match self.claim(State::Active, State::Failed) {
            Ok(()) => {
                self.counters.trace.push(TraceEvent::Failed);
                State::Active
            }
            Err(_) => self.state(),
        }
    }

    /// As [`set_failed`](Self::set_failed), because of `error`, which is reported once.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn give_up(&self, error: Gerror) {
        self.give_up_with(&mut self.errors.lock(), error);
    }

    /// As [`give_up`](Self::give_up), for a caller that has the lock of the errors.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn give_up_with(&self, errors: &mut Errors, error: Gerror) {
        if self.set_failed() != State::Failed {
            errors.latch(error, &self.counters);
        }
    }

    /// Gives the PSMMU up if `queue`, whose lock the caller has, was.
    #[inline]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn fail_with<E: Entry>(&self, queue: &mut Queue<M, E>)
    where
        M: DeviceMemory,
    {
        if queue.has_failed() && self.set_failed() == State::Active {
            queue.push_failure();
        }
    }

    /// Gives up the PSMMU that the caller has claimed.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn fail_claimed(&self) {
        self.set_state(State::Failed);
        self.counters.trace.push(TraceEvent::Failed);
    }
}
