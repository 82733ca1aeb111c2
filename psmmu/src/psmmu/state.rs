// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PSMMU as it is made, what can always be asked of it, and its states, with the claims by which it
//! changes from one to another.

#![forbid(unsafe_code)]

use psmmu_abi::{IrqDelivery, PsmmuInfoFields};

use super::Psmmu;
use crate::logic::{
    CommandQueue, Counters, DeviceError, Errors, EventQueue, PriQueue, StreamTables,
};
use crate::platform::{Config, Delivery, Registers};
use crate::sync::{AtomicU8, Lock, Ordering};

/// State of a PSMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Disabled: translation, queues and interrupts are off.
    Inactive,
    /// An activation is under way.
    Activating,
    /// It runs.
    Active,
    /// It stopped answering, or reported inconsistent state. What it may still access is not given back before
    /// it has acknowledged that it is off.
    Failed,
    /// A deactivation is under way.
    Deactivating,
}

impl State {
    /// Refuses what a failed PSMMU cannot do.
    #[inline]
    pub(super) const fn refuse_if_failed(self) -> Result<(), StateError> {
        match self {
            Self::Failed => Err(StateError::Wrong(Self::Failed)),
            _ => Ok(()),
        }
    }
}

/// How [`State::Deactivating`] is kept once the device is quiesced and its memory handed out. Apart, so
/// that the end of one deactivation cannot end another one, or a detachment, that still runs.
const DEACTIVATED: u8 = State::Deactivating as u8 + 1;

/// Why a PSMMU does not do in its state what a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It is in this state, which is not one for the call.
    #[error("the PSMMU is in the state {0:?}")]
    Wrong(State),
    /// It was attached, and the call is for one that was activated.
    #[error("the PSMMU was attached, not activated")]
    Attached,
    /// It was activated, and the call is for one that was attached.
    #[error("the PSMMU was activated, not attached")]
    NotAttached,
}

impl<R, M> Psmmu<R, M> {
    /// Takes the registers of a PSMMU and what the platform says of it. The device is not touched
    /// before it is activated.
    #[must_use]
    pub const fn new(config: Config, registers: R) -> Self {
        Self {
            config,
            registers,
            state: AtomicU8::new(State::Inactive as u8),
            cmdq_lock: Lock::new(()),
            tables: Lock::new(None),
            commands: Lock::new(CommandQueue::new()),
            errors: Lock::new(Errors::new()),
            events: Lock::new(EventQueue::new()),
            requests: Lock::new(PriQueue::new()),
            counters: Counters::new(),
        }
    }

    /// Returns what the platform says of it.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the state, which may change at any moment.
    #[must_use]
    pub fn state(&self) -> State {
        Self::state_of(self.state.load(Ordering::Acquire))
    }

    /// Returns how the host will be interrupted. The same in every state.
    #[must_use]
    pub const fn info(&self) -> PsmmuInfoFields {
        let (delivery, gerror, eventq, priq) = match self.config.delivery {
            Delivery::Disabled => (IrqDelivery::Disabled, 0, 0, 0),
            Delivery::Wired { gerror, eventq, priq } => (IrqDelivery::Wired, gerror, eventq, priq),
            Delivery::Msi => (IrqDelivery::Msi, 0, 0, 0),
        };
        // Commands are completed by polling.
        PsmmuInfoFields { delivery, gerror, eventq, priq, cmdq_sync: 0 }
    }

    /// Returns what happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the registers.
    #[must_use]
    pub const fn registers(&self) -> &R {
        &self.registers
    }

    fn state_of(number: u8) -> State {
        match number {
            state if state == State::Inactive as u8 => State::Inactive,
            state if state == State::Activating as u8 => State::Activating,
            state if state == State::Active as u8 => State::Active,
            state if state == State::Deactivating as u8 => State::Deactivating,
            DEACTIVATED => State::Deactivating,
            _ => State::Failed,
        }
    }
}

impl<R: Registers, M> Psmmu<R, M> {
    /// Moves from one state to another, or says in which state it is instead. Of several callers one
    /// wins, and only the winner may [`set_state`](Self::set_state) from then on.
    pub(super) fn claim(&self, from: State, to: State) -> Result<(), StateError> {
        self.state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(|number| StateError::Wrong(Self::state_of(number)))
    }

    /// Refuses a PSMMU that cannot be quiesced, with its state.
    pub(super) fn can_end(&self) -> Result<(), StateError> {
        self.serving_state().map(drop)
    }

    /// Claims the PSMMU to quiesce it, and returns whether it was active or failed; or says in which
    /// other state it is.
    pub(super) fn claim_end(&self) -> Result<State, StateError> {
        let claimed = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |number| {
            let can_end = matches!(Self::state_of(number), State::Active | State::Failed);
            can_end.then_some(State::Deactivating as u8)
        });
        claimed.map(Self::state_of).map_err(|number| StateError::Wrong(Self::state_of(number)))
    }

    /// Marks the memory of a deactivation as handed out, for [`finish`](Self::finish) alone to end it.
    pub(super) fn set_deactivated(&self) {
        self.state.store(DEACTIVATED, Ordering::Release);
    }

    /// Makes a PSMMU inactive whose deactivation has handed its memory out. Any other one, and one that is
    /// still being quiesced, stays as it is.
    pub(super) fn finish(&self) {
        let (from, to) = (DEACTIVATED, State::Inactive as u8);
        let _ = self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Returns whether the PSMMU was attached, `tables` being its own: stream tables come with an
    /// activation and before all else of it, and queues are attached under the lock of `tables`.
    pub(super) fn is_attached(&self, tables: &Option<StreamTables<M>>) -> bool {
        tables.is_none() && self.events.lock().as_ref().is_some()
    }

    /// Says why there are no stream tables. Called with their lock: they are there before the PSMMU is
    /// active and until it is no more, unless it was attached.
    pub(super) fn without_tables(&self) -> StateError {
        match self.state() {
            State::Active => StateError::Attached,
            state => StateError::Wrong(state),
        }
    }

    /// Sets the state.
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Takes the lock under which commands are issued and waited for, until the result is dropped.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] while another CPU has it, which may be waiting for the device.
    pub(super) fn issue_lock(&self) -> Result<impl Sized + '_, DeviceError> {
        self.cmdq_lock.try_lock().ok_or(DeviceError::Busy)
    }

    /// Refuses what a failed PSMMU cannot do.
    pub(super) fn refuse_if_failed(&self) -> Result<(), StateError> {
        self.state().refuse_if_failed()
    }

    /// Returns the state if it is one in which events are reported.
    #[inline]
    pub(super) fn serving_state(&self) -> Result<State, StateError> {
        match self.state() {
            state @ (State::Active | State::Failed) => Ok(state),
            state => Err(StateError::Wrong(state)),
        }
    }
}
