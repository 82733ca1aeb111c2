// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stream tables of two levels: the first level finds the table of 64 streams, the second has an
//! entry of 64 bytes for each.
//!
//! A stream without a level-2 table is refused with C_BAD_STREAMID, one with an invalid entry with
//! C_BAD_STE: both are recorded for each access. Only [`StreamTableEntry::ABORT`] is quiet.

#![forbid(unsafe_code)]

use crate::arch::l1_descriptor::{Descriptor, SPLIT, STREAMS};
use crate::arch::limits::Limits;
use crate::arch::stream_table_entry::StreamTableEntry;
use crate::platform::{DeviceMemory, TableMemory};

/// Reads the entry of `stream` from its level-2 table.
pub(crate) fn load(table: &impl DeviceMemory, stream: u32) -> StreamTableEntry {
    let first = first_word(stream);
    StreamTableEntry::from_words(core::array::from_fn(|word| table.load(first.wrapping_add(word))))
}

/// Writes the first word of the entry of `stream`, by which the device takes all of it.
pub(crate) fn store_first(entry: StreamTableEntry, table: &impl DeviceMemory, stream: u32) {
    table.store(first_word(stream), entry.words()[0]);
}

/// Writes the other words of the entry of `stream`.
pub(crate) fn store_rest(entry: StreamTableEntry, table: &impl DeviceMemory, stream: u32) {
    let first = first_word(stream);
    let [_, rest @ ..] = *entry.words();
    for (word, value) in rest.into_iter().enumerate() {
        table.store(first.wrapping_add(1).wrapping_add(word), value);
    }
}

/// Index of the first word of the entry of `stream` in its table.
const fn first_word(stream: u32) -> usize {
    (stream & (STREAMS - 1)) as usize * StreamTableEntry::WORDS
}

/// Fills the level-2 table in `memory` with the default STEs of its streams, `first_stream` being the first
/// of them. The table must not be linked yet.
pub(crate) fn fill<T: TableMemory>(tables: &T, memory: &T::Memory, first_stream: u32) {
    for stream in first_stream..=first_stream | (STREAMS - 1) {
        let entry = tables.default_ste(stream);
        store_rest(entry, memory, stream);
        store_first(entry, memory, stream);
    }
}

/// Returns whether `stream` is configured. One load for a stream whose default STE aborts.
pub(crate) fn is_configured<T: TableMemory>(tables: &T, memory: &T::Memory, stream: u32) -> bool {
    let control = memory.load(first_word(stream).wrapping_add(2));
    StreamTableEntry::is_control_of_stage_2(control)
        && load(memory, stream) != tables.default_ste(stream)
}

/// The level-1 table of one PSMMU. What it says of level 2 is kept in it and nowhere else: it lies in
/// Realm memory that the device only reads.
#[derive(Debug)]
pub(crate) struct StreamTables<M> {
    l1: M,
    sid_bits: u32,
    limits: Limits,
    /// Level-2 tables that there are or that are being made.
    live: u32,
}

impl<M: DeviceMemory> StreamTables<M> {
    /// Starts without level-2 tables. `l1` must be zeroed.
    pub(crate) const fn new(l1: M, sid_bits: u32, limits: Limits) -> Self {
        Self { l1, sid_bits, limits, live: 0 }
    }

    /// Gives back the memory of the table.
    pub(crate) fn into_memory(self) -> M {
        self.l1
    }

    /// Returns how many level-2 tables there are or are being made.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// Returns whether `stream` is within the table.
    pub(crate) const fn covers(&self, stream: u32) -> bool {
        (stream as u64).wrapping_shr(self.sid_bits) == 0
    }

    /// Returns the limits of the device.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns what there is for `stream`.
    pub(crate) fn find(&self, stream: u32) -> Descriptor {
        Descriptor::of_word(self.l1.load(Self::index(stream)))
    }

    /// Sets what there is for the 64 streams from `first_stream` on.
    pub(crate) fn set(&mut self, first_stream: u32, descriptor: Descriptor) {
        let is_live = |descriptor| u32::from(descriptor != Descriptor::None);
        let before = is_live(self.find(first_stream));
        self.live = self.live.wrapping_add(is_live(descriptor)).wrapping_sub(before);
        self.l1.store(Self::index(first_stream), descriptor.word());
    }

    const fn index(stream: u32) -> usize {
        (stream >> SPLIT) as usize
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::arch::l1_descriptor::base_cfg;
    use crate::platform::Granules;

    /// A device with addresses of 48 bits and VMIDs of 16.
    const LIMITS: Limits = Limits { output_bits: 48, input_bits: 48, has_vmid16: true };

    #[test]
    fn a_linked_64_stream_table_has_span_7_and_an_unlinked_one_0() {
        let words = [const { AtomicU64::new(0) }; 4];
        let l1 = Granules::of_test(&words, 0x1000);
        let mut tables = StreamTables::new(l1, 8, LIMITS);
        tables.set(128, Descriptor::BeingMade);
        tables.set(64, Descriptor::BeingMade);
        tables.set(64, Descriptor::Table(0x4021_0000));
        assert_eq!(
            [0, 1, 2].map(|index: usize| words[index].load(Ordering::Relaxed)),
            [0, 0x4021_0007, 0x40]
        );
        assert_eq!(tables.live(), 2);
        assert_eq!(tables.find(127), Descriptor::Table(0x4021_0000));
        tables.set(128, Descriptor::None);
        assert_eq!((tables.find(128), tables.live()), (Descriptor::None, 1));
        assert_eq!([255, 256, u32::MAX].map(|stream| tables.covers(stream)), [true, false, false]);
        assert_eq!(base_cfg(16), 0x1_0190);
    }

    #[test]
    fn a_table_of_all_32_bits_of_streams_covers_every_stream() {
        let words = [const { AtomicU64::new(0) }; 1];
        assert!(StreamTables::new(Granules::of_test(&words, 0), 32, LIMITS).covers(u32::MAX));
    }
}
