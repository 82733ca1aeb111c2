// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a source has to say, which NOTIFY joins to one answer.

#![forbid(unsafe_code)]

/// What a source has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// There is an event to report.
    pub(crate) any: bool,
    /// There is, or may be, more behind it.
    pub(crate) more: bool,
}
