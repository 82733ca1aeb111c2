// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values by which the embedder leads the device to memory that this module never sees: made by functions that
//! are unsafe, and safe to pass on.

use crate::arch::command::Command;
use crate::arch::stream_table_entry::{Stage2, StreamTableEntry};

/// A stage 2 of translation that a device may use: [`Stage2`], and the embedder's word for what its table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation(Stage2);

impl Translation {
    /// Takes a stage 2 for the streams of one or more devices.
    ///
    /// # Safety
    /// From when it is passed to [`Psmmu::configure_stream`](crate::Psmmu::configure_stream) to when
    /// [`Psmmu::release_stream`](crate::Psmmu::release_stream) has succeeded for each such stream, or the PSMMU
    /// is inactive again:
    /// 1. At PA `stage_2.table` is the first table of a stage 2 with these fields, and it and the tables behind
    ///    it stay that.
    /// 2. All memory that they map the devices of these streams may read and write as mapped; what was mapped
    ///    once, until its translations are invalidated
    ///    ([`Psmmu::tlbi_s2_ipa`](crate::Psmmu::tlbi_s2_ipa)).
    /// 3. No other translation of the PSMMU has the VMID `stage_2.vmid`, unless it is by the same tables.
    #[must_use]
    pub const unsafe fn new(stage_2: Stage2) -> Self {
        Self(stage_2)
    }

    /// Returns the fields.
    #[must_use]
    pub const fn stage_2(&self) -> &Stage2 {
        &self.0
    }
}

impl StreamTableEntry {
    /// Translates by stage 2 and records what faults.
    #[must_use]
    #[inline]
    pub const fn stage_2(translation: Translation) -> Self {
        Self::translating(&translation.0)
    }
}

impl Command {
    /// Takes the two words of a command, the first one lowest.
    ///
    /// # Safety
    /// 1. It has the device write no memory, as a `CMD_SYNC` with an MSI does, but such as the embedder has set
    ///    aside for it.
    #[must_use]
    pub const unsafe fn new(words: [u64; Self::WORDS]) -> Self {
        Self::from_words(words)
    }
}
