// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who owns a stream: the virtual SMMU of some Realm, or none.

#![forbid(unsafe_code)]

/// Knows the streams of virtual SMMUs.
pub trait VsmmuLookup {
    /// Returns whether a virtual SMMU owns `stream`. Asked once for each record, when it is first
    /// reported, with the lock of its queue held: the answer must come in a bounded number of steps.
    fn is_owned(&self, stream: u32) -> bool;
}

/// An RMM without virtual SMMUs: no stream is owned by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVsmmu;

impl VsmmuLookup for NoVsmmu {
    fn is_owned(&self, _: u32) -> bool {
        false
    }
}
