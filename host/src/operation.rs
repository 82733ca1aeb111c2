// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits, statistics and errors of stateful operations.
//!
//! The loop itself is [`MemoryDonor::run`](crate::MemoryDonor::run).

use core::fmt;

use psmmu_abi::Unknown;

use crate::granules::RangeError;
use crate::rmi::{Command, RmiError};

/// Limits of one operation, beyond which the host treats the RMM as faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Granules donated in total.
    pub granules: u64,
    /// Calls that transfer no memory; as many again after the host has aborted the operation.
    pub rounds: u32,
    /// Retries of calls that the RMM answers with "busy"; as many again to undelegate memory that was not
    /// donated, and as many to reclaim memory.
    pub retries: u32,
}

impl Limits {
    /// 32 MiB, which is two of the largest event queues; a thousand calls that wait for something;
    /// ten thousand repetitions.
    pub const DEFAULT: Self = Self { granules: 8192, rounds: 1000, retries: 10_000 };

    /// Returns the largest number of calls of an operation when `held` granules are donated before it.
    ///
    /// Each granule is delegated, donated, reclaimed and undelegated at most once, and changing its PAS
    /// may take two calls.
    #[must_use]
    pub const fn calls(&self, held: u64) -> u64 {
        let fixed = 2 + 2 * self.rounds as u64 + 3 * self.retries as u64;
        let moved = self.granules.saturating_mul(6);
        fixed.saturating_add(moved).saturating_add(held.saturating_mul(3))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Statistics of the memory transferred in one operation.
///
/// `leaked` and `invalid` are 0 with a conforming RMM, whether the operation succeeds or not; other
/// values are worth a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferStats {
    /// Granules that the RMM took.
    pub donated: u64,
    /// Granules that the RMM returned, of this operation or of earlier ones.
    pub returned: u64,
    /// Granules of a failed operation on a PSMMU that the RMM did not undelegate, for example because a
    /// device that does not respond may still access them. They stay donated until that PSMMU is
    /// deactivated.
    pub retained: u64,
    /// Granules that the RMM neither reported as in use nor undelegated, passed to
    /// [`Memory::leak`](crate::Memory::leak).
    pub leaked: u64,
    /// Invalid entries of the RMM's lists: malformed, or naming memory that is not donated or was already
    /// returned. Such memory was not changed.
    pub invalid: u32,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The RMM failed the command, or its answer is malformed.
    Rmi(RmiError),
    /// The host has no contiguous region of this many granules.
    NoMemory(u64),
    /// The host's memory could not be delegated.
    Delegate(RangeError),
    /// The RMM asks for memory in a form that this driver does not support: the request word (X2).
    Request(Unknown),
    /// There is no room to record one more region; see [`MemoryDonor`](crate::MemoryDonor).
    NoRoom,
    /// The RMM asked for this many granules, which exceeds [`Limits::granules`].
    GranuleLimit(u64),
    /// The operation did not end within [`Limits::rounds`].
    RoundLimit,
}

impl From<RmiError> for Cause {
    fn from(error: RmiError) -> Self {
        Self::Rmi(error)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rmi(error) => error.fmt(f),
            Self::NoMemory(granules) => {
                write!(f, "no contiguous region of {granules} granules: free memory and try again")
            }
            Self::Delegate(error) => error.fmt(f),
            Self::Request(Unknown(word)) => {
                write!(
                    f,
                    "the RMM asks for memory by {word:#x}, which this driver does not support"
                )
            }
            Self::NoRoom => {
                f.write_str("no room to record one more region: enlarge the MemoryDonor")
            }
            Self::GranuleLimit(granules) => {
                write!(f, "the RMM asks for {granules} granules more, which exceeds the limit")
            }
            Self::RoundLimit => f.write_str("the operation does not end"),
        }
    }
}

/// An operation failed. The memory donated to it is the host's again, except granules that stay donated
/// and granules that are leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// The command.
    pub command: Command,
    /// Why it failed; if the host aborted the operation, the host's reason.
    pub cause: Cause,
    /// The operation is still open in the RMM, and the object of the command stays blocked.
    pub still_open: bool,
    /// The memory transferred.
    pub stats: TransferStats,
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Rmi(error) if error.function() == self.command.function() => error.fmt(f)?,
            cause => write!(f, "{:?}: {cause}", self.command.function())?,
        }
        if self.still_open {
            f.write_str("; operation still open in the RMM; reset required")?;
        }
        if self.stats.retained != 0 {
            write!(f, "; {} granules stay donated until deactivation", self.stats.retained)?;
        }
        if self.stats.leaked != 0 {
            let leaked = self.stats.leaked;
            write!(f, "; {leaked} granules are leaked and must not be used again")?;
        }
        if self.stats.invalid != 0 {
            write!(f, "; {} invalid entries in the RMM's lists", self.stats.invalid)?;
        }
        Ok(())
    }
}

impl core::error::Error for OperationError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use psmmu_abi::{Function, Status};

    use super::*;

    #[test]
    fn errors_name_the_failure_and_its_cost() {
        let status = RmiError::Status(Function::PsmmuDeactivate, Status::ErrorInput);
        let error = OperationError {
            command: Command::PsmmuDeactivate { psmmu_ptr: 0 },
            cause: Cause::Rmi(status),
            still_open: true,
            stats: TransferStats { leaked: 2, ..TransferStats::default() },
        };
        assert_eq!(
            error.to_string(),
            "PsmmuDeactivate answered ErrorInput: wrong argument, or wrong state of what it names; \
             operation still open in the RMM; reset required; 2 granules are leaked and must not be used \
             again"
        );
        let error = OperationError {
            cause: Cause::NoRoom,
            still_open: false,
            stats: TransferStats { retained: 4, invalid: 3, ..TransferStats::default() },
            ..error
        };
        assert_eq!(
            error.to_string(),
            "PsmmuDeactivate: no room to record one more region: enlarge the MemoryDonor; 4 granules stay \
             donated until deactivation; 3 invalid entries in the RMM's lists"
        );
        assert_eq!(
            Cause::NoMemory(4).to_string(),
            "no contiguous region of 4 granules: free memory and try again"
        );
    }

    #[test]
    fn no_limit_is_too_large_to_compute() {
        let limits = Limits { granules: 1 << 40, rounds: u32::MAX, retries: u32::MAX };
        assert_eq!(limits.calls(u64::MAX), u64::MAX);
        assert!(Limits::DEFAULT.calls(0) < 100_000);
    }
}
