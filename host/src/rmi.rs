// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls to the RMM, one method each.
//!
//! What may take more than one call is begun by [`Rmi::begin`] and led on by `op_continue` and its
//! kin; [`MemoryDonor::run`](crate::MemoryDonor::run) is the loop around them. The other methods are done when
//! they return.

mod answer;

use psmmu_abi::{
    Function, IrqSet, MemoryCategory, Notification, ResultWord, Status, TrackingState, Unknown,
    Version,
};

pub use answer::{Answer, Meaning, RmiError};

/// Makes a secure monitor call.
///
/// The one thing that the crate needs from its surroundings: put `x` into X0 to X7, execute `smc #0`
/// by SMCCC 1.2 or later, return X0 to X7. May be called from interrupt handlers and from several
/// CPUs at once.
pub trait Conduit {
    /// Makes the call.
    fn call(&self, x: [u64; 8]) -> [u64; 8];

    /// Waits a little before a call is repeated that the RMM was too busy for. A kernel may put its
    /// scheduling point here; interrupt handlers never come here.
    fn pause(&self) {
        core::hint::spin_loop();
    }
}

impl<C: Conduit + ?Sized> Conduit for &C {
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        (**self).call(x)
    }

    fn pause(&self) {
        (**self).pause();
    }
}

/// A command that may be a stateful operation: it may take more than one call, since memory changes
/// hands on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes the RMM active.
    RmmActivate,
    /// Starts the Realm side of a PSMMU.
    PsmmuActivate {
        /// PA of its Non-secure register page 0.
        psmmu: u64,
        /// PA of a [`PsmmuParams`](psmmu_abi::PsmmuParams).
        params: u64,
    },
    /// Stops it.
    PsmmuDeactivate {
        /// As above.
        psmmu: u64,
    },
    /// Adds a level-2 stream table.
    CreateTable {
        /// As above.
        psmmu: u64,
        /// First StreamID of the table.
        stream: u32,
    },
    /// Removes one.
    DestroyTable {
        /// As above.
        psmmu: u64,
        /// First StreamID of the table.
        stream: u32,
    },
}

impl Command {
    /// Returns the function and its arguments.
    const fn registers(self) -> (Function, [u64; 2]) {
        match self {
            Self::RmmActivate => (Function::RmmActivate, [0, 0]),
            Self::PsmmuActivate { psmmu, params } => (Function::PsmmuActivate, [psmmu, params]),
            Self::PsmmuDeactivate { psmmu } => (Function::PsmmuDeactivate, [psmmu, 0]),
            Self::CreateTable { psmmu, stream } => {
                (Function::PsmmuStL2Create, [psmmu, stream as u64])
            }
            Self::DestroyTable { psmmu, stream } => {
                (Function::PsmmuStL2Destroy, [psmmu, stream as u64])
            }
        }
    }

    /// Returns the function that begins it.
    #[must_use]
    pub const fn function(self) -> Function {
        self.registers().0
    }

    /// Returns the PSMMU that it is about, 0 for the RMM as a whole.
    #[must_use]
    pub const fn psmmu(self) -> u64 {
        match self {
            Self::RmmActivate => 0,
            Self::PsmmuActivate { psmmu, .. }
            | Self::PsmmuDeactivate { psmmu }
            | Self::CreateTable { psmmu, .. }
            | Self::DestroyTable { psmmu, .. } => psmmu,
        }
    }
}

/// How an RMM tracks memory, the answer of [`Rmi::granule_tracking`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Kind of memory.
    pub category: MemoryCategory,
    /// How it is tracked.
    pub state: TrackingState,
    /// PA behind the part that this holds for.
    pub top: u64,
}

/// How many calls may be repeated that the RMM was too busy for.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget(u32);

impl RetryBudget {
    /// Allows `retries` repetitions in all.
    #[must_use]
    pub const fn new(retries: u32) -> Self {
        Self(retries)
    }

    /// Takes one off. Returns false if none was left.
    pub(crate) const fn spend(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }
}

/// The RMM behind a conduit.
#[derive(Clone, Copy, Debug)]
pub struct Rmi<C> {
    conduit: C,
}

impl<C: Conduit> Rmi<C> {
    /// Uses `conduit` for every call.
    pub const fn new(conduit: C) -> Self {
        Self { conduit }
    }

    /// Makes a call with up to three arguments, the others zero.
    #[inline(always)]
    fn ask(&self, function: Function, arguments: [u64; 3]) -> Answer {
        let [x1, x2, x3] = arguments;
        let [x0, outputs @ .., _] = self.conduit.call([function.id(), x1, x2, x3, 0, 0, 0, 0]);
        Answer { function, result: ResultWord::from_x0(x0), outputs }
    }

    /// Makes a call that is done when it returns, and returns X1 to X6. Reserved bits of X0 are ignored.
    #[inline]
    fn call(&self, function: Function, arguments: [u64; 3]) -> Result<[u64; 6], RmiError> {
        self.ask(function, arguments).plain_success().map(|(outputs, _)| outputs)
    }

    /// Repeats `call` while it answers "busy", or "blocked" if `blocked`, as often as `retry_budget`
    /// allows. Neither changes anything.
    pub(crate) fn with_retries(
        &self,
        retry_budget: &mut RetryBudget,
        blocked: bool,
        mut call: impl FnMut(&Self) -> Answer,
    ) -> Answer {
        loop {
            let answer = call(self);
            match answer.meaning() {
                Meaning::Failure(error) if error.is_busy() || blocked && error.is_blocked() => {
                    if !retry_budget.spend() {
                        return answer;
                    }
                    self.conduit.pause();
                }
                _ => return answer,
            }
        }
    }

    /// Agrees on RMI 2.0 and returns the highest version that the RMM implements.
    ///
    /// # Errors
    /// [`RmiError::Version`] with what the RMM has instead; [`RmiError::Malformed`] without an RMM.
    pub fn version(&self) -> Result<Version, RmiError> {
        let function = Function::Version;
        let answer = self.ask(function, [Version::RMI_2_0.word(), 0, 0]);
        let [lower, higher, ..] = answer.outputs;
        let version = |word| {
            Version::try_from(word).map_err(|unknown| RmiError::Malformed(function, unknown))
        };
        match answer.success() {
            Ok(_) => version(higher),
            Err(RmiError::Status(_, Status::ErrorInput)) => {
                Err(RmiError::Version(version(lower)?, version(higher)?))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads feature register `index`; one that does not exist reads zero.
    ///
    /// # Errors
    /// None by the specification; what the RMM answered all the same.
    pub fn features(&self, index: u64) -> Result<u64, RmiError> {
        self.call(Function::Features, [index, 0, 0]).map(|[x1, ..]| x1)
    }

    /// Sets the RMM's configuration from the [`RmmConfig`](psmmu_abi::RmmConfig) at PA `config`.
    ///
    /// # Errors
    /// `ErrorGlobal` when the RMM is active already, `ErrorInput` for a bad address or value.
    pub fn rmm_config_set(&self, config: u64) -> Result<(), RmiError> {
        self.call(Function::RmmConfigSet, [config, 0, 0]).map(drop)
    }

    /// Writes the RMM's configuration to the granule at PA `config`.
    ///
    /// # Errors
    /// `ErrorInput` for a bad address.
    pub fn rmm_config_get(&self, config: u64) -> Result<(), RmiError> {
        self.call(Function::RmmConfigGet, [config, 0, 0]).map(drop)
    }

    /// Returns the RMM's state as the RMM numbers it. The numbers are not public: 0 is believed to be
    /// INIT and 1 ACTIVE, so nothing here depends on them.
    ///
    /// # Errors
    /// [`RmiError::Malformed`] from an RMM before bet1, which does not have the command.
    pub fn rmm_state(&self) -> Result<u64, RmiError> {
        self.call(Function::RmmStateGet, [0, 0, 0]).map(|[x1, ..]| x1)
    }

    /// Makes an RMM active that needs no memory for it. [`rmm::start`](crate::rmm::start) is for any.
    ///
    /// # Errors
    /// `ErrorGlobal` when it is active already; `Incomplete` when it wants more calls, which are left
    /// undone.
    pub fn rmm_activate(&self) -> Result<(), RmiError> {
        self.begin(Command::RmmActivate).success().map(drop)
    }

    /// Returns how the RMM tracks memory from PA `base` to `top`.
    ///
    /// # Errors
    /// `ErrorInput` for a bad range; [`RmiError::Malformed`] for numbers that do not exist and for an
    /// end that is not within the range.
    pub fn granule_tracking(&self, base: u64, top: u64) -> Result<Tracking, RmiError> {
        let function = Function::GranuleTrackingGet;
        let [category, state, end, ..] = self.call(function, [base, top, 0])?;
        let malformed = |unknown| RmiError::Malformed(function, unknown);
        if end <= base || end > top {
            return Err(malformed(Unknown(end)));
        }
        Ok(Tracking {
            category: category.try_into().map_err(malformed)?,
            state: state.try_into().map_err(malformed)?,
            top: end,
        })
    }

    /// Gives granules from PA `base` on, at most to `top`, to the Realm world. X1 of a success is the
    /// PA behind the last one. [`granules::delegate`](crate::granules::delegate) is the loop around it.
    pub fn granule_range_delegate(&self, base: u64, top: u64) -> Answer {
        self.ask(Function::GranuleRangeDelegate, [base, top, 0])
    }

    /// Takes granules back from there. As above;
    /// [`granules::undelegate`](crate::granules::undelegate) is the loop around it.
    pub fn granule_range_undelegate(&self, base: u64, top: u64) -> Answer {
        self.ask(Function::GranuleRangeUndelegate, [base, top, 0])
    }

    /// Begins `command`. While the answer is "incomplete" X1 is the handle of the operation, and X2
    /// what it asks for.
    pub fn begin(&self, command: Command) -> Answer {
        let (function, [x1, x2]) = command.registers();
        self.ask(function, [x1, x2, 0])
    }

    /// Goes on with an operation, or asks it to `stop` as soon as it can.
    pub fn op_continue(&self, handle: u64, stop: bool) -> Answer {
        self.ask(Function::OpContinue, [handle, stop.into(), 0])
    }

    /// Gives an operation the memory in the `entries` first entries of the list at PA `list`. X1 of
    /// the answer is the number of granules taken, from the first on, whatever X0 is.
    pub fn op_mem_donate(&self, handle: u64, list: u64, entries: u64) -> Answer {
        self.ask(Function::OpMemDonate, [handle, list, entries])
    }

    /// Takes memory back from an operation, into a list at PA `list` with room for `room` entries. X1
    /// of the answer is the number of entries written.
    pub fn op_mem_reclaim(&self, handle: u64, list: u64, room: u64) -> Answer {
        self.ask(Function::OpMemReclaim, [handle, list, room])
    }

    /// Gives an operation up.
    pub fn op_cancel(&self, handle: u64) -> Answer {
        self.ask(Function::OpCancel, [handle, 0, 0])
    }

    /// Has the granule at PA `page` filled with the [`PsmmuInfo`](psmmu_abi::PsmmuInfo) of `psmmu`.
    ///
    /// # Errors
    /// `ErrorNotSupported` without device assignment, `ErrorInput` for an unknown PSMMU or a bad
    /// address. The granule is untouched then.
    pub fn psmmu_info(&self, psmmu: u64, page: u64) -> Result<(), RmiError> {
        self.call(Function::PsmmuInfo, [psmmu, page, 0]).map(drop)
    }

    /// Starts the Realm side of `psmmu` with the [`PsmmuParams`](psmmu_abi::PsmmuParams) at PA
    /// `params`, if the RMM needs no memory for it. [`psmmu::activate`](crate::psmmu::activate) is
    /// for any.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or already active PSMMU, a bad address or parameters that it cannot
    /// serve; `ErrorDevice` when the device does not answer; `Incomplete` when the RMM wants more
    /// calls, which are left undone.
    pub fn psmmu_activate(&self, psmmu: u64, params: u64) -> Result<(), RmiError> {
        self.begin(Command::PsmmuActivate { psmmu, params }).success().map(drop)
    }

    /// Asks what happened on the sources `set` of `psmmu`. Changes nothing: asked again, the RMM says
    /// the same until the event is consumed. Reserved bits of the answer are ignored.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or inactive PSMMU.
    pub fn irq_notify(&self, psmmu: u64, set: IrqSet) -> Result<Notification, RmiError> {
        self.irq_notify_with_reserved(psmmu, set).map(|(notification, _)| notification)
    }

    /// As [`irq_notify`](Self::irq_notify), and returns which register had reserved bits set, if one had.
    #[inline(always)]
    pub(crate) fn irq_notify_with_reserved(
        &self,
        psmmu: u64,
        set: IrqSet,
    ) -> Result<(Notification, Option<Unknown>), RmiError> {
        let answer = self.ask(Function::PsmmuIrqNotify, [psmmu, set.bits(), 0]);
        let (registers, reserved_of_x0) = answer.plain_success()?;
        let (notification, reserved) = Notification::from_registers(registers);
        Ok((notification, reserved_of_x0.or(reserved)))
    }

    /// Takes off the event that [`irq_notify`](Self::irq_notify) reported for the same `set`.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or inactive PSMMU.
    #[inline]
    pub fn event_consume(&self, psmmu: u64, set: IrqSet) -> Result<(), RmiError> {
        self.call(Function::PsmmuEventConsume, [psmmu, set.bits(), 0]).map(drop)
    }
}
