// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ranges of granules into the Realm world and back.
//!
//! The RMM does as much of a range as it likes with one call and says how far it came. The two loops
//! here go on from there, and leave nothing half done: a range is delegated as a whole or not at all,
//! and of each granule that comes back, or does not, the caller learns which of the two.
//!
//! | the RMM answers | then the granules from there on are |
//! |---|---|
//! | success, and an end within the range | as asked, up to that end |
//! | a failure | as before |
//! | what has no meaning, or an end outside of the range | in doubt: only if they can be undelegated are they the host's |

use core::fmt;

use psmmu_abi::{Function, GRANULE_SIZE, MemoryTransfer, Status, Unknown};

use crate::rmi::{Answer, Conduit, Meaning, Patience, Rmi, RmiError};

/// Bytes in a granule.
const GRANULE: u64 = GRANULE_SIZE as u64;
/// First PA that no granule can have.
const PA_END: u64 = 1 << 52;

/// What became of granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are the host's.
    Undelegated,
    /// The RMM did not let them go: never touch them again.
    Lost,
}

/// A range was not delegated or undelegated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeError {
    /// PA of the first granule that failed.
    pub at: u64,
    /// Why.
    pub error: RmiError,
    /// Granules of the range that are lost.
    pub lost: u64,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for the granule at {:#x}", self.error, self.at)?;
        if self.lost != 0 {
            write!(f, "; {} granules are lost and must not be used again", self.lost)?;
        }
        Ok(())
    }
}

impl core::error::Error for RangeError {}

/// What one call did.
enum Step {
    /// All granules up to this PA.
    UpTo(u64),
    /// Nothing.
    Nothing(RmiError),
    /// Nobody knows.
    Doubt(RmiError),
}

/// Delegates `granules` granules from PA `base` on.
///
/// On failure `fate` is told of each granule of the range whether it is the host's, and the range as a
/// whole is no longer in the Realm world but for what is lost. Takes at most 2 calls for each granule and
/// what `patience` allows; on failure twice that.
///
/// # Errors
/// The first granule that failed, and why: `ErrorInput` without a call for a range that is not aligned
/// or ends above 2^52.
pub fn delegate<C: Conduit>(
    rmi: &Rmi<C>,
    base: u64,
    granules: u64,
    patience: &mut Patience,
    fate: &mut impl FnMut(u64, u64, Fate),
) -> Result<(), RangeError> {
    let function = Function::GranuleRangeDelegate;
    let Some(top) = top(base, granules) else {
        fate(base, granules, Fate::Undelegated);
        return Err(bad_range(function, base));
    };
    // An RMM that is too busy to go on must not keep what it has.
    let mut reserve = *patience;
    let mut at = base;
    while at < top {
        let (error, doubtful_to) = match step(rmi, function, at, top, patience) {
            Step::UpTo(end) => {
                at = end;
                continue;
            }
            Step::Nothing(error) => (error, at),
            Step::Doubt(error) => (error, top),
        };
        let back = undelegate(rmi, base, (doubtful_to - base) / GRANULE, &mut reserve, fate);
        if doubtful_to < top {
            fate(doubtful_to, (top - doubtful_to) / GRANULE, Fate::Undelegated);
        }
        return Err(RangeError { at, error, lost: back.map_or_else(|error| error.lost, |()| 0) });
    }
    Ok(())
}

/// Undelegates `granules` granules from PA `base` on, each that the RMM lets go.
///
/// `fate` is told of each granule of the range whether it is the host's. Takes at most 2 calls for each
/// granule, and what `patience` allows.
///
/// # Errors
/// The first granule that failed, why, and how many are lost. `ErrorInput` without a call for a range
/// that is not aligned or ends above 2^52; it is lost as a whole.
pub fn undelegate<C: Conduit>(
    rmi: &Rmi<C>,
    base: u64,
    granules: u64,
    patience: &mut Patience,
    fate: &mut impl FnMut(u64, u64, Fate),
) -> Result<(), RangeError> {
    let function = Function::GranuleRangeUndelegate;
    let Some(top) = top(base, granules) else {
        fate(base, granules, Fate::Lost);
        return Err(RangeError { lost: granules, ..bad_range(function, base) });
    };
    let mut failure: Option<RangeError> = None;
    let mut at = base;
    while at < top {
        match step(rmi, function, at, top, patience) {
            Step::UpTo(end) => {
                fate(at, (end - at) / GRANULE, Fate::Undelegated);
                at = end;
            }
            Step::Nothing(error) | Step::Doubt(error) => {
                fate(at, 1, Fate::Lost);
                failure.get_or_insert(RangeError { at, error, lost: 0 }).lost += 1;
                at += GRANULE;
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Returns the PA behind the range, if there is one.
fn top(base: u64, granules: u64) -> Option<u64> {
    let top = granules.checked_mul(GRANULE).and_then(|size| base.checked_add(size));
    top.filter(|&top| base.is_multiple_of(GRANULE) && top <= PA_END)
}

const fn bad_range(function: Function, base: u64) -> RangeError {
    RangeError { at: base, error: RmiError::Status(function, Status::ErrorInput), lost: 0 }
}

/// Makes one call, and what follows it if the RMM makes a stateful operation of it. One that wants
/// memory is given up: delegating granules cannot depend on delegating granules.
fn step<C: Conduit>(
    rmi: &Rmi<C>,
    function: Function,
    at: u64,
    top: u64,
    patience: &mut Patience,
) -> Step {
    let mut answer = rmi.patiently(patience, true, |rmi| match function {
        Function::GranuleRangeDelegate => rmi.granule_range_delegate(at, top),
        _ => rmi.granule_range_undelegate(at, top),
    });
    let [handle, ..] = answer.outputs;
    loop {
        answer = match answer.meaning() {
            Meaning::Success => return up_to(function, &answer, at, top),
            // Nothing changed, unless this is but the end of an operation.
            Meaning::Failure(error) if answer.function == function && !error.is_doubtful() => {
                return Step::Nothing(error);
            }
            Meaning::Failure(error) => return Step::Doubt(error),
            Meaning::Incomplete { wants: Some(MemoryTransfer::None), .. } if patience.spend() => {
                rmi.patiently(patience, false, |rmi| rmi.op_continue(handle, false))
            }
            Meaning::Incomplete { can_cancel, .. } => {
                if can_cancel {
                    // Whatever comes of it, the granules are in doubt.
                    let _ = rmi.op_cancel(handle);
                }
                return Step::Doubt(RmiError::Status(function, Status::Incomplete));
            }
        }
    }
}

/// Checks how far the RMM says that it came.
fn up_to(function: Function, answer: &Answer, at: u64, top: u64) -> Step {
    let [end, ..] = answer.outputs;
    if end > at && end <= top && end.is_multiple_of(GRANULE) {
        Step::UpTo(end)
    } else {
        Step::Doubt(RmiError::Malformed(function, Unknown(end)))
    }
}
