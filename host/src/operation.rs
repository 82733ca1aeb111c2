// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a stateful operation may cost, what it did, and why it failed.
//!
//! The loop itself is [`MemoryDonor::run`](crate::MemoryDonor::run).

use core::fmt;

use psmmu_abi::Unknown;

use crate::granules::RangeError;
use crate::rmi::{Command, RmiError};

/// What one operation may cost before the host takes the RMM for broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Granules that are handed over in all.
    pub granules: u64,
    /// Calls in which no memory changes hands; once more as many after the operation was given up.
    pub rounds: u32,
    /// Repetitions of calls that the RMM was too busy for; as many again to take back what was
    /// delegated in vain, and as many to get memory back from the RMM.
    pub retries: u32,
}

impl Limits {
    /// 32 MiB, which is two of the largest event queues; a thousand calls that wait for something;
    /// ten thousand repetitions.
    pub const DEFAULT: Self = Self { granules: 8192, rounds: 1000, retries: 10_000 };

    /// Returns how many calls an operation takes at most when `held` granules were handed over before.
    ///
    /// Each granule is delegated, donated, reclaimed and undelegated no more than once, and changing
    /// its world may take two calls.
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

/// Memory that changed hands in one operation.
///
/// `leaked` and `refused` are 0 with an RMM in order, whether the operation succeeds or not: print them if
/// they are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferStats {
    /// Granules that the RMM took.
    pub donated: u64,
    /// Granules that came back from it, of this operation or of earlier ones.
    pub returned: u64,
    /// Granules of an operation on a PSMMU that failed, which the RMM did not let go, as when a device
    /// does not answer and may still use them. They stay donated until that PSMMU is deactivated.
    pub kept: u64,
    /// Granules that the RMM neither holds by its own word nor let go;
    /// [`Memory::leak`](crate::Memory::leak) was reported which.
    pub leaked: u64,
    /// Entries of the RMM's lists that make no sense or name memory that it was not given, or that it
    /// gave back already. Such memory was not touched.
    pub refused: u32,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The RMM said so, or said something that has no meaning.
    Rmi(RmiError),
    /// The host has no region of so many granules.
    NoMemory(u64),
    /// The host's memory could not be delegated.
    Delegate(RangeError),
    /// The RMM asks for memory in a form that this driver does not know: the word that asks.
    Request(Unknown),
    /// There is no room to note one more region; see [`MemoryDonor`](crate::MemoryDonor).
    NoRoom,
    /// The RMM asked for so many granules more than [`Limits::granules`] allows.
    TooMuch(u64),
    /// The RMM did not come to an end within [`Limits::rounds`].
    Endless,
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
                write!(f, "no {granules} granules in one piece: free memory and try again")
            }
            Self::Delegate(error) => error.fmt(f),
            Self::Request(Unknown(word)) => {
                write!(f, "the RMM asks for memory by {word:#x}, which this driver does not know")
            }
            Self::NoRoom => {
                f.write_str("no room to note one more region: make the MemoryDonor larger")
            }
            Self::TooMuch(granules) => {
                write!(f, "the RMM asks for {granules} granules more, which is above the limit")
            }
            Self::Endless => f.write_str("the RMM does not come to an end"),
        }
    }
}

/// An operation failed. The memory that it was given is the host's again, but for what the RMM keeps
/// and what is leaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// What was to be done.
    pub command: Command,
    /// Why it was not. If the host gave up, why the host did.
    pub cause: Cause,
    /// The RMM may still be at it, and what the command is about stays blocked.
    pub alive: bool,
    /// The memory that changed hands.
    pub stats: TransferStats,
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Rmi(error) if error.function() == self.command.function() => error.fmt(f)?,
            cause => write!(f, "{:?}: {cause}", self.command.function())?,
        }
        if self.alive {
            f.write_str("; the RMM may still be at it, only a reset helps")?;
        }
        if self.stats.kept != 0 {
            write!(f, "; {} granules stay donated until deactivation", self.stats.kept)?;
        }
        if self.stats.leaked != 0 {
            let leaked = self.stats.leaked;
            write!(f, "; {leaked} granules are leaked and must not be used again")?;
        }
        if self.stats.refused != 0 {
            write!(f, "; {} impossible entries in the RMM's lists", self.stats.refused)?;
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
    fn errors_say_what_failed_and_what_it_cost() {
        let status = RmiError::Status(Function::PsmmuDeactivate, Status::ErrorInput);
        let error = OperationError {
            command: Command::PsmmuDeactivate { psmmu: 0 },
            cause: Cause::Rmi(status),
            alive: true,
            stats: TransferStats { leaked: 2, ..TransferStats::default() },
        };
        assert_eq!(
            error.to_string(),
            "PsmmuDeactivate answered ErrorInput: wrong argument, or wrong state of what it names; the \
             RMM may still be at it, only a reset helps; 2 granules are leaked and must not be used again"
        );
        let error = OperationError {
            cause: Cause::NoRoom,
            alive: false,
            stats: TransferStats { kept: 4, refused: 3, ..TransferStats::default() },
            ..error
        };
        assert_eq!(
            error.to_string(),
            "PsmmuDeactivate: no room to note one more region: make the MemoryDonor larger; 4 granules stay \
             donated until deactivation; 3 impossible entries in the RMM's lists"
        );
        assert_eq!(
            Cause::NoMemory(4).to_string(),
            "no 4 granules in one piece: free memory and try again"
        );
    }

    #[test]
    fn no_limit_is_too_large_to_compute() {
        let limits = Limits { granules: 1 << 40, rounds: u32::MAX, retries: u32::MAX };
        assert_eq!(limits.calls(u64::MAX), u64::MAX);
        assert!(Limits::DEFAULT.calls(0) < 100_000);
    }
}
