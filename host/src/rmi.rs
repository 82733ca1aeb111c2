// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls the RMM: one method for each RMI command.
//!
//! [`Rmi::begin`] begins a command that may be a stateful operation, and the `op_` methods continue it;
//! [`MemoryDonor::run`](crate::MemoryDonor::run) is the loop around them. The other methods complete
//! before they return.

mod answer;

use psmmu_abi::{
    Function, IrqSet, MemoryCategory, Notification, ResultWord, Status, TrackingState, Unknown,
    Version,
};

pub use answer::{Answer, Meaning, RmiError};

/// Makes a secure monitor call.
///
/// The implementation loads `x` into X0 to X7, executes `smc #0` by SMCCC 1.2 or later and returns X0 to
/// X7. It may be called from interrupt handlers and from several CPUs at once.
pub trait Conduit {
    /// Makes the call.
    fn call(&self, x: [u64; 8]) -> [u64; 8];

    /// Waits briefly before a call is retried that the RMM answered with "busy". A kernel may reschedule
    /// here; it is never called from interrupt handlers.
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

/// A command that may be a stateful operation, which takes more than one call as memory is donated or
/// reclaimed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes the RMM active.
    RmmActivate,
    /// Activates the Realm side of a PSMMU.
    PsmmuActivate {
        /// PA of its Non-secure register page 0.
        psmmu_ptr: u64,
        /// PA of a [`PsmmuParams`](psmmu_abi::PsmmuParams).
        params: u64,
    },
    /// Deactivates it.
    PsmmuDeactivate {
        /// As above.
        psmmu_ptr: u64,
    },
    /// Creates a level-2 stream table.
    PsmmuStL2Create {
        /// As above.
        psmmu_ptr: u64,
        /// First StreamID of the table.
        stream: u32,
    },
    /// Destroys one.
    PsmmuStL2Destroy {
        /// As above.
        psmmu_ptr: u64,
        /// First StreamID of the table.
        stream: u32,
    },
}

impl Command {
    /// Returns the function and its arguments.
    const fn registers(self) -> (Function, [u64; 2]) {
        match self {
            Self::RmmActivate => (Function::RmmActivate, [0, 0]),
            Self::PsmmuActivate { psmmu_ptr, params } => {
                (Function::PsmmuActivate, [psmmu_ptr, params])
            }
            Self::PsmmuDeactivate { psmmu_ptr } => (Function::PsmmuDeactivate, [psmmu_ptr, 0]),
            Self::PsmmuStL2Create { psmmu_ptr, stream } => {
                (Function::PsmmuStL2Create, [psmmu_ptr, stream as u64])
            }
            Self::PsmmuStL2Destroy { psmmu_ptr, stream } => {
                (Function::PsmmuStL2Destroy, [psmmu_ptr, stream as u64])
            }
        }
    }

    /// Returns the function that begins it.
    #[must_use]
    pub const fn function(self) -> Function {
        self.registers().0
    }

    /// Returns the PSMMU that the command names, 0 for the RMM itself.
    #[must_use]
    pub const fn psmmu_ptr(self) -> u64 {
        match self {
            Self::RmmActivate => 0,
            Self::PsmmuActivate { psmmu_ptr, .. }
            | Self::PsmmuDeactivate { psmmu_ptr }
            | Self::PsmmuStL2Create { psmmu_ptr, .. }
            | Self::PsmmuStL2Destroy { psmmu_ptr, .. } => psmmu_ptr,
        }
    }
}

/// How the RMM tracks a range of memory, the result of [`Rmi::granule_tracking`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Kind of memory.
    pub category: MemoryCategory,
    /// How it is tracked.
    pub state: TrackingState,
    /// Exclusive end PA of the range that this holds for.
    pub top: u64,
}

/// Remaining retries of calls that the RMM answers with "busy".
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget(u32);

impl RetryBudget {
    /// Allows `retries` retries in total.
    #[must_use]
    pub const fn new(retries: u32) -> Self {
        Self(retries)
    }

    /// Uses one retry. Returns false if none is left.
    pub(crate) const fn spend(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }
}

/// The RMM, called through a conduit.
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

    /// Makes a call that completes before it returns, and returns X1 to X6. Reserved bits of X0 are
    /// ignored.
    #[inline]
    fn call(&self, function: Function, arguments: [u64; 3]) -> Result<[u64; 6], RmiError> {
        self.ask(function, arguments).plain_success().map(|(outputs, _)| outputs)
    }

    /// Retries `call` while the answer is "busy", or "blocked" if `blocked`, as often as `retry_budget`
    /// allows. Such answers change no state.
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

    /// Negotiates RMI 2.0 and returns the highest version that the RMM implements.
    ///
    /// # Errors
    /// [`RmiError::Version`] with the versions of the RMM; [`RmiError::Malformed`] without an RMM.
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

    /// Reads feature register `index`; a register that does not exist reads zero.
    ///
    /// # Errors
    /// None by the specification; otherwise the status that the RMM returned.
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

    /// Returns the RMM's state as a number. The encoding is not published: 0 is believed to be INIT and 1
    /// ACTIVE, so nothing here depends on it.
    ///
    /// # Errors
    /// [`RmiError::Malformed`] from an RMM before bet1, which does not have the command.
    pub fn rmm_state(&self) -> Result<u64, RmiError> {
        self.call(Function::RmmStateGet, [0, 0, 0]).map(|[x1, ..]| x1)
    }

    /// Activates an RMM that needs no memory for it. [`rmm::start`](crate::rmm::start) activates any RMM.
    ///
    /// # Errors
    /// `ErrorGlobal` when it is active already; `Incomplete` when it requires more calls, which are not
    /// made.
    pub fn rmm_activate(&self) -> Result<(), RmiError> {
        self.begin(Command::RmmActivate).success().map(drop)
    }

    /// Returns how the RMM tracks memory from PA `base` to `top`.
    ///
    /// # Errors
    /// `ErrorInput` for a bad range; [`RmiError::Malformed`] for undefined encodings and for an end
    /// outside of the range.
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

    /// Delegates granules from PA `base` to at most PA `top` (exclusive). On success X1 is the end of the
    /// part that was delegated. [`granules::delegate`](crate::granules::delegate) is the loop around it.
    pub fn granule_range_delegate(&self, base: u64, top: u64) -> Answer {
        self.ask(Function::GranuleRangeDelegate, [base, top, 0])
    }

    /// Undelegates granules, with the same arguments and result;
    /// [`granules::undelegate`](crate::granules::undelegate) is the loop around it.
    pub fn granule_range_undelegate(&self, base: u64, top: u64) -> Answer {
        self.ask(Function::GranuleRangeUndelegate, [base, top, 0])
    }

    /// Begins `command`. If the answer is "incomplete" X1 is the handle of the operation, and X2 its
    /// request for memory.
    pub fn begin(&self, command: Command) -> Answer {
        let (function, [x1, x2]) = command.registers();
        self.ask(function, [x1, x2, 0])
    }

    /// Continues an operation, or asks the RMM to `stop` it as soon as possible.
    pub fn op_continue(&self, handle: u64, stop: bool) -> Answer {
        self.ask(Function::OpContinue, [handle, stop.into(), 0])
    }

    /// Donates the memory in the first `entries` entries of the list at PA `list` to an operation. X1 of
    /// the answer is the number of granules taken, from the first on, whatever X0 is.
    pub fn op_mem_donate(&self, handle: u64, list: u64, entries: u64) -> Answer {
        self.ask(Function::OpMemDonate, [handle, list, entries])
    }

    /// Reclaims memory of an operation, as a list at PA `list` with room for `room` entries. X1 of the
    /// answer is the number of entries written.
    pub fn op_mem_reclaim(&self, handle: u64, list: u64, room: u64) -> Answer {
        self.ask(Function::OpMemReclaim, [handle, list, room])
    }

    /// Cancels an operation.
    pub fn op_cancel(&self, handle: u64) -> Answer {
        self.ask(Function::OpCancel, [handle, 0, 0])
    }

    /// Makes the RMM write the [`PsmmuInfo`](psmmu_abi::PsmmuInfo) of `psmmu_ptr` to the granule at PA
    /// `page`.
    ///
    /// # Errors
    /// `ErrorNotSupported` without device assignment, `ErrorInput` for an unknown PSMMU or a bad address.
    /// The granule is unchanged then.
    pub fn psmmu_info(&self, psmmu_ptr: u64, page: u64) -> Result<(), RmiError> {
        self.call(Function::PsmmuInfo, [psmmu_ptr, page, 0]).map(drop)
    }

    /// Activates the Realm side of `psmmu_ptr` with the [`PsmmuParams`](psmmu_abi::PsmmuParams) at PA
    /// `params`, if the RMM needs no memory for it. [`psmmu::activate`](crate::psmmu::activate) works
    /// with any RMM.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or already active PSMMU, a bad address or parameters that it does not
    /// support; `ErrorDevice` when the device does not respond; `Incomplete` when the RMM requires more
    /// calls, which are not made.
    pub fn psmmu_activate(&self, psmmu_ptr: u64, params: u64) -> Result<(), RmiError> {
        self.begin(Command::PsmmuActivate { psmmu_ptr, params }).success().map(drop)
    }

    /// Returns the oldest event of the sources `set` of `psmmu_ptr`. Consumes nothing: the RMM reports
    /// the same event until it is consumed. Reserved bits of the answer are ignored.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or inactive PSMMU.
    pub fn irq_notify(&self, psmmu_ptr: u64, set: IrqSet) -> Result<Notification, RmiError> {
        self.irq_notify_with_reserved(psmmu_ptr, set).map(|(notification, _)| notification)
    }

    /// As [`irq_notify`](Self::irq_notify), and returns which register had reserved bits set, if one had.
    #[inline(always)]
    pub(crate) fn irq_notify_with_reserved(
        &self,
        psmmu_ptr: u64,
        set: IrqSet,
    ) -> Result<(Notification, Option<Unknown>), RmiError> {
        let answer = self.ask(Function::PsmmuIrqNotify, [psmmu_ptr, set.bits(), 0]);
        let (registers, reserved_of_x0) = answer.plain_success()?;
        let (notification, reserved) = Notification::from_registers(registers);
        Ok((notification, reserved_of_x0.or(reserved)))
    }

    /// Consumes the event that [`irq_notify`](Self::irq_notify) reported for the same `set`.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or inactive PSMMU.
    #[inline]
    pub fn event_consume(&self, psmmu_ptr: u64, set: IrqSet) -> Result<(), RmiError> {
        self.call(Function::PsmmuEventConsume, [psmmu_ptr, set.bits(), 0]).map(drop)
    }
}
