// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls to the RMM, one method each.

use core::fmt;

use psmmu_abi::{Function, IrqSet, Notification, ResultWord, Status, Unknown, Version};

/// Makes a secure monitor call.
///
/// The one thing that the crate needs from its surroundings: put `x` into X0 to X7, execute `smc #0`
/// by SMCCC 1.2 or later, return X0 to X7. May be called from interrupt handlers and from several
/// CPUs at once.
pub trait Conduit {
    /// Makes the call.
    fn call(&self, x: [u64; 8]) -> [u64; 8];
}

impl<C: Conduit + ?Sized> Conduit for &C {
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        (**self).call(x)
    }
}

/// Why a call did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RmiError {
    /// The command failed with this status.
    Status(Function, Status),
    /// The answer means nothing in this ABI; all ones mean that there is no such command, or no RMM.
    Malformed(Function, Unknown),
    /// `RMI_VERSION` does not know the version of this crate: the lower and the higher one that the
    /// RMM has.
    Version(Version, Version),
}

impl fmt::Display for RmiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(function, status) => write!(f, "{function:?} answered {status:?}"),
            Self::Malformed(function, Unknown(u64::MAX)) => {
                write!(f, "{function:?} does not exist: no RMM, or one without it")
            }
            Self::Malformed(function, Unknown(value)) => {
                write!(f, "{function:?} answered {value:#x}, which means nothing")
            }
            Self::Version(lower, higher) => {
                write!(f, "RMI {} is needed, the RMM has {lower} to {higher}", Version::RMI_2_0)
            }
        }
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

    /// Makes a call with up to three arguments, the others zero, and returns X1 to X6.
    fn call(&self, function: Function, arguments: [u64; 3]) -> Result<[u64; 6], RmiError> {
        let [x1, x2, x3] = arguments;
        let x = self.conduit.call([function.id(), x1, x2, x3, 0, 0, 0, 0]);
        let [x0, x1, x2, x3, x4, x5, x6, _] = x;
        match ResultWord::from_x0(x0).status() {
            Ok(Status::Success) => Ok([x1, x2, x3, x4, x5, x6]),
            Ok(Status::ErrorInput) if function == Function::Version => {
                let version = |word| {
                    Version::try_from(word)
                        .map_err(|unknown| RmiError::Malformed(function, unknown))
                };
                Err(RmiError::Version(version(x1)?, version(x2)?))
            }
            Ok(status) => Err(RmiError::Status(function, status)),
            Err(unknown) => Err(RmiError::Malformed(function, unknown)),
        }
    }

    /// Agrees on RMI 2.0 and returns the highest version that the RMM implements.
    ///
    /// # Errors
    /// [`RmiError::Version`] with what the RMM has instead; [`RmiError::Malformed`] without an RMM.
    pub fn version(&self) -> Result<Version, RmiError> {
        let [_, higher, ..] = self.call(Function::Version, [Version::RMI_2_0.word(), 0, 0])?;
        Version::try_from(higher).map_err(|unknown| RmiError::Malformed(Function::Version, unknown))
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

    /// Makes the RMM active.
    ///
    /// # Errors
    /// `ErrorGlobal` when it is active already.
    pub fn rmm_activate(&self) -> Result<(), RmiError> {
        self.call(Function::RmmActivate, [0, 0, 0]).map(drop)
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
    /// `params`.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or already active PSMMU, a bad address or parameters that it cannot
    /// serve; `ErrorDevice` when the device does not answer.
    pub fn psmmu_activate(&self, psmmu: u64, params: u64) -> Result<(), RmiError> {
        self.call(Function::PsmmuActivate, [psmmu, params, 0]).map(drop)
    }

    /// Asks what happened on the sources `set` of `psmmu`. Changes nothing: asked again, the RMM says
    /// the same until the event is consumed.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or inactive PSMMU; [`RmiError::Malformed`] for an answer that is no
    /// notification.
    pub fn irq_notify(&self, psmmu: u64, set: IrqSet) -> Result<Notification, RmiError> {
        let registers = self.call(Function::PsmmuIrqNotify, [psmmu, set.bits(), 0])?;
        Notification::try_from(registers)
            .map_err(|unknown| RmiError::Malformed(Function::PsmmuIrqNotify, unknown))
    }

    /// Takes off the event that [`irq_notify`](Self::irq_notify) reported for the same `set`.
    ///
    /// # Errors
    /// `ErrorInput` for an unknown or inactive PSMMU.
    pub fn event_consume(&self, psmmu: u64, set: IrqSet) -> Result<(), RmiError> {
        self.call(Function::PsmmuEventConsume, [psmmu, set.bits(), 0]).map(drop)
    }
}
