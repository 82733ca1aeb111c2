// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PSMMU as it is made, what can always be asked of it, and its states, with the claims by which it
//! changes from one to another.

#![forbid(unsafe_code)]

use psmmu_abi::{IrqDelivery, PsmmuInfoFields};

use super::Psmmu;
use crate::logic::{CommandQueue, Counters, Errors, EventQueue, PriQueue, StreamTables};
use crate::platform::{Config, Delivery, Registers};
use crate::sync::{AtomicU8, Lock, Ordering};

/// State of a PSMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// At rest; nothing of it runs.
    Inactive,
    /// Being brought up.
    Activating,
    /// It runs.
    Active,
    /// It stopped answering, or stopped making sense. What it may still access is not given back before
    /// it has acknowledged that it is off.
    Failed,
    /// Being brought to rest.
    Deactivating,
}

impl State {
    /// Refuses what a failed PSMMU cannot do.
    #[inline]
    pub(super) const fn refuse_if_failed(self) -> Result<(), NotServing> {
        match self {
            Self::Failed => Err(NotServing::Failed),
            _ => Ok(()),
        }
    }
}

/// How [`State::Deactivating`] is kept once the device is quiesced and its memory handed out. Apart, so
/// that the end of one deactivation cannot end another one, or a detachment, that still runs.
const DEACTIVATED: u8 = State::Deactivating as u8 + 1;

/// Another CPU issues commands to the same PSMMU and may be waiting for the device. Nothing has changed, and
/// the call is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Why a PSMMU does not serve a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServing {
    /// It is not active.
    NotActive,
    /// It has failed.
    Failed,
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
    pub(super) fn claim(&self, from: State, to: State) -> Result<(), State> {
        self.state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Self::state_of)
    }

    /// Refuses a PSMMU that cannot be quiesced, with its state.
    pub(super) fn can_end(&self) -> Result<(), State> {
        match self.state() {
            State::Active | State::Failed => Ok(()),
            state => Err(state),
        }
    }

    /// Claims the PSMMU to quiesce it, and returns whether it was active or failed; or says in which
    /// other state it is.
    pub(super) fn claim_end(&self) -> Result<State, State> {
        let claimed = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |number| {
            let can_end = matches!(Self::state_of(number), State::Active | State::Failed);
            can_end.then_some(State::Deactivating as u8)
        });
        claimed.map(Self::state_of).map_err(Self::state_of)
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

    /// Sets the state.
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Takes the lock under which commands are issued and waited for, until the result is dropped.
    ///
    /// # Errors
    /// [`Busy`] while another CPU has it, which may be waiting for the device.
    pub(super) fn issue_lock(&self) -> Result<impl Sized + '_, Busy> {
        self.cmdq_lock.try_lock().ok_or(Busy)
    }

    /// Refuses what a failed PSMMU cannot do.
    pub(super) fn refuse_if_failed(&self) -> Result<(), NotServing> {
        self.state().refuse_if_failed()
    }

    /// Returns the state if it is one in which events are reported.
    #[inline]
    pub(super) fn serving_state(&self) -> Result<State, NotServing> {
        match self.state() {
            state @ (State::Active | State::Failed) => Ok(state),
            State::Inactive | State::Activating | State::Deactivating => Err(NotServing::NotActive),
        }
    }
}
