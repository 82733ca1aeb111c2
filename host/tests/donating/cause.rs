// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations that fail as they should.

use psmmu_host::{Cause, OperationError};

/// Returns why an operation failed that has ended and leaked nothing.
pub fn cause<T: std::fmt::Debug>(result: Result<T, OperationError>) -> Cause {
    let error = result.expect_err("it cannot succeed");
    assert_eq!(
        (error.still_open, error.stats.leaked, error.stats.invalid),
        (false, 0, 0),
        "{error}"
    );
    error.cause
}
