// SPDX-License-Identifier: MIT OR Apache-2.0

//! Delegates and undelegates ranges of granules.
//!
//! The RMM processes a part of a range with each call and returns the end of that part. The two loops
//! here continue from that end: a range is delegated as a whole or not at all, and the caller receives
//! the outcome of each granule that was undelegated or leaked.
//!
//! | the RMM answers | then the granules from there on are |
//! |---|---|
//! | success, and an end within the range | as asked, up to that end |
//! | a failure | as before |
//! | an undefined result, or an end outside of the range | in an unknown state: the host's only if they can be undelegated |

use core::fmt;

use psmmu_abi::{Function, GRANULE_SIZE, MemoryTransfer, Status, Unknown};

use crate::rmi::{Answer, Conduit, Meaning, RetryBudget, Rmi, RmiError};

/// Bytes in a granule.
const GRANULE: u64 = GRANULE_SIZE as u64;
/// Exclusive upper limit of a granule's PA.
const PA_END: u64 = 1 << 52;

/// Outcome of undelegating granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndelegateOutcome {
    /// They are undelegated: the host owns them.
    Undelegated,
    /// The RMM did not undelegate them: the host must never access them again.
    Leaked,
}

/// A range was not delegated or undelegated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeError {
    /// PA of the first granule that failed, in bytes.
    pub at: u64,
    /// Why.
    pub error: RmiError,
    /// Number of granules of the range that are leaked.
    pub leaked: u64,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for the granule at {:#x}", self.error, self.at)?;
        if self.leaked != 0 {
            write!(f, "; {} granules are leaked and must not be used again", self.leaked)?;
        }
        Ok(())
    }
}

impl core::error::Error for RangeError {}

/// Effect of one call.
enum Step {
    /// All granules up to this PA were changed.
    UpTo(u64),
    /// No granule was changed.
    Unchanged(RmiError),
    /// The state of the granules is unknown.
    Unknown(RmiError),
}

/// Delegates `granules` granules from PA `base` on.
///
/// On failure the whole range is undelegated again, except leaked granules, and `outcome` is called with
/// the outcome of each granule. Makes at most 2 calls for each granule, and the retries of
/// `retry_budget`; on failure twice as many.
///
/// # Errors
/// The first granule that failed, and why: `ErrorInput` without a call for a range that is not aligned
/// or ends above 2^52.
pub fn delegate<C: Conduit>(
    rmi: &Rmi<C>,
    base: u64,
    granules: u64,
    retry_budget: &mut RetryBudget,
    outcome: &mut impl FnMut(u64, u64, UndelegateOutcome),
) -> Result<(), RangeError> {
    let function = Function::GranuleRangeDelegate;
    let Some(top) = top(base, granules) else {
        outcome(base, granules, UndelegateOutcome::Undelegated);
        return Err(bad_range(function, base));
    };
    // An RMM that stays busy must not keep the granules delegated so far.
    let mut reserve = *retry_budget;
    let mut at = base;
    while at < top {
        let (error, doubtful_to) = match step(rmi, function, at, top, retry_budget) {
            Step::UpTo(end) => {
                at = end;
                continue;
            }
            Step::Unchanged(error) => (error, at),
            Step::Unknown(error) => (error, top),
        };
        let back = undelegate(rmi, base, (doubtful_to - base) / GRANULE, &mut reserve, outcome);
        if doubtful_to < top {
            outcome(doubtful_to, (top - doubtful_to) / GRANULE, UndelegateOutcome::Undelegated);
        }
        return Err(RangeError {
            at,
            error,
            leaked: back.map_or_else(|error| error.leaked, |()| 0),
        });
    }
    Ok(())
}

/// Undelegates `granules` granules from PA `base` on, and leaks those that the RMM does not undelegate.
///
/// Calls `outcome` with the outcome of each granule of the range. Makes at most 2 calls for each granule,
/// and the retries of `retry_budget`.
///
/// # Errors
/// The first granule that failed, why, and how many are leaked. `ErrorInput` without a call for a range
/// that is not aligned or ends above 2^52; it is leaked as a whole.
pub fn undelegate<C: Conduit>(
    rmi: &Rmi<C>,
    base: u64,
    granules: u64,
    retry_budget: &mut RetryBudget,
    outcome: &mut impl FnMut(u64, u64, UndelegateOutcome),
) -> Result<(), RangeError> {
    let function = Function::GranuleRangeUndelegate;
    let Some(top) = top(base, granules) else {
        outcome(base, granules, UndelegateOutcome::Leaked);
        return Err(RangeError { leaked: granules, ..bad_range(function, base) });
    };
    let mut failure: Option<RangeError> = None;
    let mut at = base;
    while at < top {
        match step(rmi, function, at, top, retry_budget) {
            Step::UpTo(end) => {
                outcome(at, (end - at) / GRANULE, UndelegateOutcome::Undelegated);
                at = end;
            }
            Step::Unchanged(error) | Step::Unknown(error) => {
                outcome(at, 1, UndelegateOutcome::Leaked);
                failure.get_or_insert(RangeError { at, error, leaked: 0 }).leaked += 1;
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
    RangeError { at: base, error: RmiError::Status(function, Status::ErrorInput), leaked: 0 }
}

/// Makes one call, and continues it if the RMM makes it a stateful operation. An operation that asks for
/// memory is cancelled: delegation cannot depend on further delegation.
fn step<C: Conduit>(
    rmi: &Rmi<C>,
    function: Function,
    at: u64,
    top: u64,
    retry_budget: &mut RetryBudget,
) -> Step {
    let mut answer = rmi.with_retries(retry_budget, true, |rmi| match function {
        Function::GranuleRangeDelegate => rmi.granule_range_delegate(at, top),
        _ => rmi.granule_range_undelegate(at, top),
    });
    let [handle, ..] = answer.outputs;
    loop {
        answer = match answer.meaning() {
            Meaning::Success => return up_to(function, &answer, at, top),
            // Nothing has changed, unless this is the end of a stateful operation.
            Meaning::Failure(error)
                if answer.function == function && !error.is_effect_unknown() =>
            {
                return Step::Unchanged(error);
            }
            Meaning::Failure(error) => return Step::Unknown(error),
            Meaning::Incomplete { requested: Some(MemoryTransfer::None), .. }
                if retry_budget.spend() =>
            {
                rmi.with_retries(retry_budget, false, |rmi| rmi.op_continue(handle, false))
            }
            Meaning::Incomplete { can_cancel, .. } => {
                if can_cancel {
                    // The state of the granules is unknown, whatever the answer is.
                    let _ = rmi.op_cancel(handle);
                }
                return Step::Unknown(RmiError::Status(function, Status::Incomplete));
            }
        }
    }
}

/// Checks the end of the processed part that the RMM returned.
fn up_to(function: Function, answer: &Answer, at: u64, top: u64) -> Step {
    let [end, ..] = answer.outputs;
    if end > at && end <= top && end.is_multiple_of(GRANULE) {
        Step::UpTo(end)
    } else {
        Step::Unknown(RmiError::Malformed(function, Unknown(end)))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::cell::RefCell;
    use std::collections::VecDeque;
    use std::vec::Vec;

    use super::*;

    const A: u64 = 0x8000_0000;
    const TRIES: u32 = 3;

    /// Answers from a list of X0 and X1, and records functions and arguments.
    struct Script {
        answers: RefCell<VecDeque<(u64, u64)>>,
        calls: RefCell<Vec<(Function, u64, u64)>>,
    }

    impl Conduit for Script {
        fn call(&self, x: [u64; 8]) -> [u64; 8] {
            let function = Function::try_from(x[0]).expect("a function of the ABI");
            self.calls.borrow_mut().push((function, x[1], x[2]));
            let (x0, x1) = self.answers.borrow_mut().pop_front().expect("one call too many");
            [x0, x1, 0, 0, 0, 0, 0, 0]
        }
    }

    type UndelegateOutcomes = Vec<(u64, u64, UndelegateOutcome)>;

    struct Outcome {
        result: Result<(), RangeError>,
        outcomes: UndelegateOutcomes,
        calls: Vec<(Function, u64, u64)>,
    }

    fn run(function: Function, granules: u64, answers: &[(u64, u64)]) -> Outcome {
        let answers = RefCell::new(answers.iter().copied().collect());
        let script = Script { answers, calls: RefCell::default() };
        let (rmi, mut outcomes) = (Rmi::new(&script), UndelegateOutcomes::new());
        let mut outcome = |address, granules, outcome| outcomes.push((address, granules, outcome));
        let mut retry_budget = RetryBudget::new(TRIES);
        let result = match function {
            Function::GranuleRangeDelegate => {
                delegate(&rmi, A, granules, &mut retry_budget, &mut outcome)
            }
            _ => undelegate(&rmi, A, granules, &mut retry_budget, &mut outcome),
        };
        assert_eq!(script.answers.borrow().len(), 0, "unused answers");
        Outcome { result, outcomes, calls: script.calls.into_inner() }
    }

    const IN: Function = Function::GranuleRangeDelegate;
    const OUT: Function = Function::GranuleRangeUndelegate;

    const fn at(granule: u64) -> u64 {
        A + granule * GRANULE
    }

    #[test]
    fn a_range_takes_as_many_calls_as_the_rmm_needs() {
        let run = run(IN, 5, &[(0, at(1)), (0, at(4)), (0, at(5))]);
        assert_eq!((run.result, run.outcomes), (Ok(()), UndelegateOutcomes::new()));
        assert_eq!(run.calls, [(IN, at(0), at(5)), (IN, at(1), at(5)), (IN, at(4), at(5))]);
    }

    #[test]
    fn a_failure_midway_undelegates_and_reports_each_granule() {
        let run = run(IN, 4, &[(0, at(2)), (1, 0), (0, at(1)), (1, 0)]);
        let error = RmiError::Status(IN, Status::ErrorInput);
        assert_eq!(run.result, Err(RangeError { at: at(2), error, leaked: 1 }));
        assert_eq!(
            run.outcomes,
            [
                (at(0), 1, UndelegateOutcome::Undelegated),
                (at(1), 1, UndelegateOutcome::Leaked),
                (at(2), 2, UndelegateOutcome::Undelegated)
            ]
        );
    }

    #[test]
    fn an_end_outside_of_the_range_makes_its_state_unknown() {
        for end in [0, at(0), at(0) + 1, at(3), u64::MAX] {
            let run = run(IN, 2, &[(0, end), (0, at(1)), (1, 0)]);
            let error = RmiError::Malformed(IN, Unknown(end));
            assert_eq!(run.result, Err(RangeError { at: at(0), error, leaked: 1 }));
            assert_eq!(
                run.outcomes,
                [(at(0), 1, UndelegateOutcome::Undelegated), (at(1), 1, UndelegateOutcome::Leaked)]
            );
        }
    }

    #[test]
    fn a_busy_rmm_is_retried_as_often_as_the_budget_allows() {
        let busy = Status::Busy as u64;
        let blocked = Status::Blocked as u64;
        let run_1 = run(IN, 1, &[(busy, 0), (blocked, 0), (busy, 0), (0, at(1))]);
        assert_eq!(run_1.result, Ok(()));
        let run_2 = run(IN, 1, &[(busy, 0); 4]);
        let error = RmiError::Status(IN, Status::Busy);
        assert_eq!(run_2.result, Err(RangeError { at: at(0), error, leaked: 0 }));
        assert_eq!(
            run_2.outcomes,
            [(at(0), 1, UndelegateOutcome::Undelegated)],
            "it never was in the Realm world"
        );
    }

    #[test]
    fn undoing_after_a_busy_rmm_has_the_same_retry_budget() {
        let busy = [(Status::Busy as u64, 0); TRIES as usize];
        let mut answers = std::vec![(0, at(1))];
        answers.extend(busy);
        answers.push(busy[0]);
        answers.extend(busy);
        answers.push((0, at(1)));
        let run = run(IN, 2, &answers);
        let error = RmiError::Status(IN, Status::Busy);
        assert_eq!(run.result, Err(RangeError { at: at(1), error, leaked: 0 }));
        assert_eq!(
            run.outcomes,
            [
                (at(0), 1, UndelegateOutcome::Undelegated),
                (at(1), 1, UndelegateOutcome::Undelegated)
            ]
        );
    }

    #[test]
    fn only_granules_that_are_not_undelegated_are_leaked() {
        let run = run(OUT, 3, &[(0, at(1)), (16, 0), (0, at(3))]);
        let error = RmiError::Status(OUT, Status::ErrorGranule);
        assert_eq!(run.result, Err(RangeError { at: at(1), error, leaked: 1 }));
        let [back, leaked] = [UndelegateOutcome::Undelegated, UndelegateOutcome::Leaked];
        assert_eq!(run.outcomes, [(at(0), 1, back), (at(1), 1, leaked), (at(2), 1, back)]);
    }

    #[test]
    fn a_change_that_takes_more_than_one_call_is_completed() {
        const HANDLE: u64 = 77;
        let run = run(IN, 2, &[(0xD, HANDLE), (0xD, 1), (0, at(2))]);
        assert_eq!(run.result, Ok(()));
        let go_on = (Function::OpContinue, HANDLE, 0);
        assert_eq!(run.calls, [(IN, at(0), at(2)), go_on, go_on]);
    }

    #[test]
    fn an_endless_change_is_abandoned_when_retries_are_used_up() {
        let run = run(OUT, 1, &[(0xD, 5); 1 + TRIES as usize]);
        let error = RmiError::Status(OUT, Status::Incomplete);
        assert_eq!(run.result, Err(RangeError { at: at(0), error, leaked: 1 }));
    }

    #[test]
    fn a_change_that_requests_memory_is_cancelled_if_possible() {
        for (x0, cancels) in [(0x10D, 0), (0x50D, 1), (0x20D, 0), (0x30D, 0)] {
            let mut answers = std::vec![(x0, 5)];
            answers.extend((0..cancels).map(|_| (0, 0)));
            answers.push((0, at(1)));
            let run = run(IN, 1, &answers);
            let error = RmiError::Status(IN, Status::Incomplete);
            assert_eq!(run.result, Err(RangeError { at: at(0), error, leaked: 0 }));
            assert_eq!(run.outcomes, [(at(0), 1, UndelegateOutcome::Undelegated)]);
        }
    }

    #[test]
    fn an_invalid_range_is_refused_without_a_call() {
        let rmi = Rmi::new(Script { answers: RefCell::default(), calls: RefCell::default() });
        let mut retry_budget = RetryBudget::new(0);
        for (base, granules) in [(A + 1, 1), (PA_END, 1), (A, u64::MAX), (u64::MAX - 0xFFF, 1)] {
            let mut outcomes = UndelegateOutcomes::new();
            let mut outcome =
                |address, granules, outcome| outcomes.push((address, granules, outcome));
            assert!(delegate(&rmi, base, granules, &mut retry_budget, &mut outcome).is_err());
            assert!(undelegate(&rmi, base, granules, &mut retry_budget, &mut outcome).is_err());
            assert_eq!(
                outcomes,
                [
                    (base, granules, UndelegateOutcome::Undelegated),
                    (base, granules, UndelegateOutcome::Leaked)
                ]
            );
        }
    }
}
