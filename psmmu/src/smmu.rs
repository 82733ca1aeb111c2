// SPDX-License-Identifier: MIT OR Apache-2.0

//! A physical SMMU: what the platform says of it, its state, and the locks of its sources.

#![forbid(unsafe_code)]

use core::fmt;

use psmmu_abi::{IrqDelivery, PsmmuInfoFields};

use crate::command::CommandQueue;
use crate::counters::{Counters, TraceEvent};
use crate::gerror::Errors;
use crate::queue::DeviceMemory;
use crate::record::Entry;
use crate::registers::{Gerror, Registers};
use crate::staging::{EventQueue, PriQueue, Queue};
use crate::stream_table::StreamTables;
use crate::sync::{AtomicU8, Lock, Ordering};

/// How interrupts of the Realm side reach the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Not at all: the host polls, and the device's interrupts stay off.
    Disabled,
    /// By wires, whose GIC INTIDs these are; 0 for none.
    Wired {
        /// Global errors.
        gerror: u32,
        /// Event queue.
        eventq: u32,
        /// PRI queue.
        priq: u32,
    },
    /// By MSIs, to doorbells that the host gives at activation. A host that gives none polls.
    Msi,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("no interrupts"),
            Self::Wired { gerror, eventq, priq } => {
                write!(f, "wired, GERROR {gerror}, EVENTQ {eventq}, PRIQ {priq}")
            }
            Self::Msi => f.write_str("MSIs"),
        }
    }
}

/// What a write abort on a queue (EVENTQ_ABT_ERR, PRIQ_ABT_ERR) means for the records that are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueAbortPolicy {
    /// PROD may have moved over records that never arrived, so none can be trusted.
    #[default]
    Discard,
    /// PROD never moves over a record that was not written.
    Preserve,
}

impl fmt::Display for QueueAbortPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discard => "an aborted write spoils the queue",
            Self::Preserve => "an aborted write keeps the queue",
        })
    }
}

/// The largest tables and queues that a PSMMU gets, each the log2 of a number. The device's own limits
/// (IDR1) may be lower, and so may [`MAX`](Self::MAX). They decide how much memory the host is asked
/// for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// StreamIDs; the level-1 table takes 8 bytes for each 64 of them. A stream beyond is one that the
    /// device does not know.
    pub streams: u8,
    /// Commands, of 16 bytes, at least 2.
    pub commands: u8,
    /// Events, of 32 bytes.
    pub events: u8,
    /// Page requests, of 16 bytes.
    pub requests: u8,
}

impl Sizes {
    /// The largest that are used: a level-1 table of 2 MiB, and the largest queues of the architecture.
    pub const MAX: Self = Self { streams: 24, commands: 19, events: 19, requests: 19 };

    /// All StreamIDs; 4 KiB of commands, 16 KiB of events, 8 KiB of page requests.
    pub const DEFAULT: Self =
        Self { streams: Self::MAX.streams, commands: 8, events: 9, requests: 9 };
}

/// Which programming interface the registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The Realm one.
    Realm,
    /// The only one of an SMMU without Realms, standing in for it. Nothing isolates the host from it:
    /// for platforms that exist to run software, not to keep secrets.
    NonSecureOnly,
}

/// What the platform says of one PSMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// PA of the Non-secure register page 0: the PSMMU's psmmu_ptr on the wire. Only ever compared.
    pub psmmu_ptr: u64,
    /// Which interface the registers are.
    pub interface: Interface,
    /// How interrupts are delivered.
    pub delivery: Delivery,
    /// What a write abort means.
    pub abort: QueueAbortPolicy,
    /// How large its tables and queues may be.
    pub sizes: Sizes,
}

/// State of a PSMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// At rest; nothing of it runs.
    Inactive,
    /// Being brought up.
    Activating,
    /// Running.
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
    pub(crate) const fn refuse_if_failed(self) -> Result<(), NotServing> {
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

/// The Realm side of one physical SMMU.
///
/// Locks are taken in the order of the fields.
#[derive(Debug)]
pub struct Psmmu<R, M> {
    pub(crate) config: Config,
    pub(crate) registers: R,
    state: AtomicU8,
    /// Held to issue commands and wait for them: the one lock that is held while waiting for the device.
    /// NOTIFY and CONSUME never take it. Other calls that find it taken are answered with [`Busy`], but for
    /// those that have claimed the PSMMU: no holder waits for the device of a PSMMU that another has
    /// claimed.
    pub(crate) cmdq_lock: Lock<()>,
    pub(crate) tables: Lock<Option<StreamTables<M>>>,
    pub(crate) commands: Lock<CommandQueue<M>>,
    pub(crate) errors: Lock<Errors>,
    pub(crate) events: Lock<EventQueue<M>>,
    pub(crate) requests: Lock<PriQueue<M>>,
    pub(crate) counters: Counters,
}

impl<R: Registers, M> Psmmu<R, M> {
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

    /// Returns the registers.
    #[must_use]
    pub const fn registers(&self) -> &R {
        &self.registers
    }

    /// Returns what happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the state, which may change at any moment.
    #[must_use]
    pub fn state(&self) -> State {
        Self::state_of(self.state.load(Ordering::Acquire))
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

    /// Moves from one state to another, or says in which state it is instead. Of several callers one
    /// wins, and only the winner may [`set_state`](Self::set_state) from then on.
    pub(crate) fn claim(&self, from: State, to: State) -> Result<(), State> {
        self.state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Self::state_of)
    }

    /// Refuses a PSMMU that cannot be quiesced, with its state.
    pub(crate) fn can_end(&self) -> Result<(), State> {
        match self.state() {
            State::Active | State::Failed => Ok(()),
            state => Err(state),
        }
    }

    /// Claims the PSMMU to quiesce it, and returns whether it was active or failed; or says in which
    /// other state it is.
    pub(crate) fn claim_end(&self) -> Result<State, State> {
        let claimed = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |number| {
            let can_end = matches!(Self::state_of(number), State::Active | State::Failed);
            can_end.then_some(State::Deactivating as u8)
        });
        claimed.map(Self::state_of).map_err(Self::state_of)
    }

    /// Marks the memory of a deactivation as handed out, for [`finish`](Self::finish) alone to end it.
    pub(crate) fn set_deactivated(&self) {
        self.state.store(DEACTIVATED, Ordering::Release);
    }

    /// Makes a PSMMU inactive whose deactivation has handed its memory out. Any other one, and one that is
    /// still being quiesced, stays as it is.
    pub(crate) fn finish(&self) {
        let (from, to) = (DEACTIVATED, State::Inactive as u8);
        let _ = self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Returns whether the PSMMU was attached, `tables` being its own: stream tables come with an
    /// activation and before all else of it, and queues are attached under the lock of `tables`.
    pub(crate) fn is_attached(&self, tables: &Option<StreamTables<M>>) -> bool {
        tables.is_none() && self.events.lock().as_ref().is_some()
    }

    /// Sets the state.
    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Gives the PSMMU up if it is active. What is staged can still be reported.
    ///
    /// While it is brought up or to rest it is in the hands of who does that. He finds out himself, and
    /// nobody must be led to take it from him.
    ///
    /// Returns the state that it was in. Of several who give it up one finds it active, and reports that.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn set_failed(&self) -> State {
        match self.claim(State::Active, State::Failed) {
            Ok(()) => {
                self.counters.trace.push(TraceEvent::Failed);
                State::Active
            }
            Err(state) => state,
        }
    }

    /// As [`set_failed`](Self::set_failed), because of `error`, which is reported once.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn give_up(&self, error: Gerror) {
        self.give_up_with(&mut self.errors.lock(), error);
    }

    /// As [`give_up`](Self::give_up), for a caller that has the lock of the errors.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn give_up_with(&self, errors: &mut Errors, error: Gerror) {
        if self.set_failed() != State::Failed {
            errors.latch(error, &self.counters);
        }
    }

    /// Gives the PSMMU up if `queue`, whose lock the caller has, was.
    #[inline]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn fail_with<E: Entry>(&self, queue: &mut Queue<M, E>)
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
    pub(crate) fn fail_claimed(&self) {
        self.set_state(State::Failed);
        self.counters.trace.push(TraceEvent::Failed);
    }

    /// Takes the lock under which commands are issued and waited for, until the result is dropped.
    ///
    /// # Errors
    /// [`Busy`] while another CPU has it, which may be waiting for the device.
    pub(crate) fn issue_lock(&self) -> Result<impl Sized + '_, Busy> {
        self.cmdq_lock.try_lock().ok_or(Busy)
    }

    /// Refuses what a failed PSMMU cannot do.
    pub(crate) fn refuse_if_failed(&self) -> Result<(), NotServing> {
        self.state().refuse_if_failed()
    }

    /// Returns the state if it is one in which events are reported.
    #[inline]
    pub(crate) fn serving_state(&self) -> Result<State, NotServing> {
        match self.state() {
            state @ (State::Active | State::Failed) => Ok(state),
            State::Inactive | State::Activating | State::Deactivating => Err(NotServing::NotActive),
        }
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
}
