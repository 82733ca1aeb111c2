// SPDX-License-Identifier: MIT OR Apache-2.0

//! Decodes the RMM's answer to a call, and describes errors.

use core::fmt;

use psmmu_abi::{Function, MemoryTransfer, ResultWord, Status, Unknown, Version};

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RmiError {
    /// The command failed with this status.
    Status(Function, Status),
    /// The command failed with this status, as a table walk ended at this level.
    Level(Function, Status, u8),
    /// The answer is not defined by the ABI; all ones means that the command is not implemented, or that
    /// there is no RMM.
    Malformed(Function, Unknown),
    /// `RMI_VERSION` does not support the version of this crate: the lower and the higher version of the
    /// RMM.
    Version(Version, Version),
}

impl RmiError {
    /// Returns whether the effect of the call is unknown. A failure with a defined status changed
    /// nothing, and neither did a command that does not exist.
    #[must_use]
    pub const fn is_effect_unknown(&self) -> bool {
        match self {
            Self::Malformed(_, Unknown(value)) => *value != u64::MAX,
            Self::Status(_, status) => matches!(status, Status::Incomplete | Status::Success),
            Self::Level(..) | Self::Version(..) => false,
        }
    }

    /// Returns the function that was called.
    #[must_use]
    pub const fn function(&self) -> Function {
        match self {
            Self::Status(function, _)
            | Self::Level(function, ..)
            | Self::Malformed(function, _) => *function,
            Self::Version(..) => Function::Version,
        }
    }

    const fn is(&self, wanted: Status) -> bool {
        matches!(self, Self::Status(_, status) if *status as u8 == wanted as u8)
    }

    /// Returns whether the RMM changed nothing and the call is to be retried.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.is(Status::Busy)
    }

    /// Returns whether another open operation blocks the object of the command.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.is(Status::Blocked)
    }
}

impl fmt::Display for RmiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(function, status) => {
                write!(f, "{function:?} answered {status:?}{}", advice(*status))
            }
            Self::Level(function, status, level) => {
                write!(f, "{function:?} answered {status:?} at level {level}")
            }
            Self::Malformed(function, Unknown(u64::MAX)) => {
                write!(f, "{function:?} is not implemented: no RMM, or one without it")
            }
            Self::Malformed(function, Unknown(value)) => {
                write!(f, "{function:?} answered {value:#x}, which is undefined")
            }
            Self::Version(lower, higher) => {
                write!(f, "RMI {} is needed, the RMM has {lower} to {higher}", Version::RMI_2_0)
            }
        }
    }
}

/// Returns a short explanation of a status for the log, and the remedy.
const fn advice(status: Status) -> &'static str {
    match status {
        Status::Busy => ": try again later",
        Status::Blocked => ": blocked by another operation, try again later",
        Status::ErrorInput => ": wrong argument, or wrong state of what it names",
        Status::ErrorGlobal => ": the RMM is not active yet, or active already",
        Status::ErrorNotSupported => ": the RMM does not have the feature",
        Status::ErrorDevice => ": the device does not respond, or is in the wrong state",
        Status::ErrorTracking => {
            ": the RMM has no room to track this granule, or does not; try others"
        }
        Status::ErrorGranule => ": a granule is in the wrong state",
        Status::Incomplete => ": more calls are required",
        _ => "",
    }
}

impl core::error::Error for RmiError {}

/// An answer of the RMM, not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    /// The function that was called.
    pub function: Function,
    /// X0.
    pub result: ResultWord,
    /// X1 to X6.
    pub outputs: [u64; 6],
}

/// A decoded [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The command completed.
    Success,
    /// A stateful operation is incomplete.
    Incomplete {
        /// The transfer that it requests; `None` for the reserved encoding.
        requested: Option<MemoryTransfer>,
        /// It can be cancelled by `RMI_OP_CANCEL`.
        can_cancel: bool,
    },
    /// The command failed.
    Failure(RmiError),
}

impl Answer {
    /// Decodes the answer. A success with data in X0 is malformed: the state of memory that the command
    /// names is unknown.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        let Self { function, result, .. } = *self;
        match result.status() {
            Ok(Status::Success) if result == ResultWord::SUCCESS => Meaning::Success,
            Ok(Status::Success) => {
                Meaning::Failure(RmiError::Malformed(function, Unknown(result.x0())))
            }
            Ok(Status::Incomplete) => {
                let can_cancel = result.x0()
                    & ResultWord::incomplete(MemoryTransfer::None, true).x0()
                    == ResultWord::incomplete(MemoryTransfer::None, true).x0();
                let requested = result.transfer().map(|(requested, _)| requested).ok();
                Meaning::Incomplete { requested, can_cancel }
            }
            Ok(
                status @ (Status::ErrorRtt
                | Status::ErrorRttAux
                | Status::ErrorPsmmuSt
                | Status::ErrorDpt),
            ) => Meaning::Failure(RmiError::Level(function, status, result.data() as u8)),
            Ok(status) => Meaning::Failure(RmiError::Status(function, status)),
            Err(unknown) => Meaning::Failure(RmiError::Malformed(function, unknown)),
        }
    }

    /// Returns X1 to X6 of a success of a command that transfers no memory: reserved bits of X0 are
    /// ignored, and returned if any are set.
    ///
    /// # Errors
    /// As [`success`](Self::success).
    #[inline(always)]
    pub(crate) fn plain_success(&self) -> Result<([u64; 6], Option<Unknown>), RmiError> {
        if self.result == ResultWord::SUCCESS {
            return Ok((self.outputs, None));
        }
        self.other_success()
    }

    /// The rare cases of [`plain_success`](Self::plain_success).
    #[cold]
    #[inline(never)]
    fn other_success(&self) -> Result<([u64; 6], Option<Unknown>), RmiError> {
        match self.result.status() {
            Ok(Status::Success) => Ok((self.outputs, Some(Unknown(self.result.x0())))),
            _ => self.success().map(|outputs| (outputs, None)),
        }
    }

    /// Returns X1 to X6 of a success.
    ///
    /// # Errors
    /// Any other answer of the RMM, "incomplete" included.
    pub fn success(&self) -> Result<[u64; 6], RmiError> {
        match self.meaning() {
            Meaning::Success => Ok(self.outputs),
            Meaning::Incomplete { .. } => Err(RmiError::Status(self.function, Status::Incomplete)),
            Meaning::Failure(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    fn meaning(x0: u64) -> Meaning {
        let function = Function::PsmmuActivate;
        Answer { function, result: ResultWord::from_x0(x0), outputs: [0; 6] }.meaning()
    }

    #[test]
    fn every_status_has_one_meaning() {
        use MemoryTransfer::{Donate, None as Nothing, Reclaim};
        let function = Function::PsmmuActivate;
        assert_eq!(meaning(0), Meaning::Success);
        for (x0, requested, can_cancel) in [
            (0x00D, Some(Nothing), false),
            (0x10D, Some(Donate), false),
            (0x60D, Some(Reclaim), true),
            (0x30D, None, false),
            (0x70D, None, true),
        ] {
            assert_eq!(meaning(x0), Meaning::Incomplete { requested, can_cancel }, "{x0:#x}");
        }
        for (x0, error) in [
            (1, RmiError::Status(function, Status::ErrorInput)),
            (0xFF01, RmiError::Status(function, Status::ErrorInput)),
            (0x208, RmiError::Level(function, Status::ErrorPsmmuSt, 2)),
            (0x100, RmiError::Malformed(function, Unknown(0x100))),
            (0x11, RmiError::Malformed(function, Unknown(0x11))),
            (u64::MAX, RmiError::Malformed(function, Unknown(u64::MAX))),
        ] {
            assert_eq!(meaning(x0), Meaning::Failure(error), "{x0:#x}");
        }
    }

    #[test]
    fn only_an_undefined_answer_leaves_the_effect_unknown() {
        let unknown = |x0| match meaning(x0) {
            Meaning::Failure(error) => error.is_effect_unknown(),
            other => panic!("{other:?}"),
        };
        assert!(unknown(0x11) && unknown(0x100));
        assert!(!unknown(1) && !unknown(10) && !unknown(0x208) && !unknown(u64::MAX));
    }

    #[test]
    fn errors_name_the_value_found_and_the_one_needed() {
        for (error, text) in [
            (
                RmiError::Version(Version { major: 1, minor: 0 }, Version { major: 1, minor: 1 }),
                "RMI 2.0 is needed, the RMM has 1.0 to 1.1",
            ),
            (
                RmiError::Level(Function::PsmmuStL2Create, Status::ErrorPsmmuSt, 1),
                "PsmmuStL2Create answered ErrorPsmmuSt at level 1",
            ),
            (
                RmiError::Malformed(Function::PsmmuInfo, Unknown(u64::MAX)),
                "PsmmuInfo is not implemented: no RMM, or one without it",
            ),
            (
                RmiError::Status(Function::PsmmuActivate, Status::Blocked),
                "PsmmuActivate answered Blocked: blocked by another operation, try again later",
            ),
            (
                RmiError::Status(Function::PsmmuActivate, Status::ErrorRtt),
                "PsmmuActivate answered ErrorRtt",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
