// SPDX-License-Identifier: MIT OR Apache-2.0

//! Queues that are shared with the device: sizes, pointers, memory.
//!
//! A pointer is an index in bits n-1:0 and a wrap bit at bit n, for a queue of 2^n entries. Two
//! pointers that are alike mean an empty queue; alike but for the wrap bit, a full one.

#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

/// OVFLG of EVENTQ_PROD and OVACKFLG of EVENTQ_CONS: different, they mean that records were lost.
pub const OVERFLOW: u32 = 1 << 31;

/// Memory that the CPUs and a device both read and write.
///
/// No Rust reference to its content is ever made: single 64-bit words go in and out.
pub trait DeviceMemory {
    /// Returns the PA of the first byte.
    fn address(&self) -> u64;

    /// Returns the size in words of 64 bits.
    fn words(&self) -> usize;

    /// Reads the word at `index`; zero behind the end.
    fn load(&self, index: usize) -> u64;

    /// Writes the word at `index`; nothing behind the end.
    fn store(&self, index: usize, value: u64);

    /// Reads the word at `index` and writes zero there; zero and nothing behind the end.
    #[inline]
    fn take(&self, index: usize) -> u64 {
        let value = self.load(index);
        self.store(index, 0);
        value
    }

    /// Writes zero to `count` words from `first` on; nothing behind the end.
    fn clear(&self, first: usize, count: usize) {
        for index in first..first.saturating_add(count).min(self.words()) {
            self.store(index, 0);
        }
    }
}

/// Device memory that the RMM reaches through a mapping of its own.
#[derive(Clone, Copy, Debug)]
pub struct Granules<'a> {
    words: &'a [AtomicU64],
    address: u64,
}

impl<'a> Granules<'a> {
    /// Takes `words` that lie at PA `address`.
    #[must_use]
    pub const fn new(words: &'a [AtomicU64], address: u64) -> Self {
        Self { words, address }
    }
}

impl DeviceMemory for Granules<'_> {
    fn address(&self) -> u64 {
        self.address
    }

    fn words(&self) -> usize {
        self.words.len()
    }

    #[inline]
    fn load(&self, index: usize) -> u64 {
        self.words.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.words.get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// Log2 of a number of entries, 0 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Log2Size(u8);

impl Log2Size {
    /// The smallest queue, one entry.
    pub(crate) const MIN: Self = Self(0);

    /// The largest queue of the architecture, 2^19 entries.
    pub const MAX: Self = Self(19);

    /// Chooses the largest size that `memory` holds with entries of `entry_words` words and that the
    /// device allows, `limit` being its log2 from IDR1.
    ///
    /// Returns `None` when the memory does not hold one entry or is not aligned to the size of the
    /// queue: the device would align it down in silence.
    #[must_use]
    pub fn choose(memory: &impl DeviceMemory, entry_words: usize, limit: u32) -> Option<Self> {
        let fits = (memory.words() / entry_words).checked_ilog2()?;
        let log2 = fits.min(limit).min(u32::from(Self::MAX.0));
        let bytes = (entry_words as u64 * 8) << log2;
        memory.address().is_multiple_of(bytes.max(32)).then_some(Self(log2 as u8))
    }

    /// Returns the log2.
    #[must_use]
    pub const fn log2(self) -> u8 {
        self.0
    }

    /// Returns the number of entries.
    ///
    /// None of this arithmetic can overflow, since the log2 is at most 19; it is written so that the
    /// compiler need not know that, and leaves no panic behind.
    #[must_use]
    pub const fn entries(self) -> u32 {
        1_u32.wrapping_shl(self.0 as u32)
    }

    /// Returns the entry that `pointer` points at.
    #[must_use]
    pub const fn index(self, pointer: u32) -> usize {
        (pointer & self.entries().wrapping_sub(1)) as usize
    }

    /// Returns `pointer` without what lies above its wrap bit.
    #[must_use]
    pub const fn pointer(self, pointer: u32) -> u32 {
        pointer & self.entries().wrapping_mul(2).wrapping_sub(1)
    }

    /// Returns `pointer` moved on by `entries`.
    #[must_use]
    pub const fn advance(self, pointer: u32, entries: u32) -> u32 {
        self.pointer(pointer.wrapping_add(entries))
    }

    /// Returns how many entries lie between `cons` and `prod`, 0 to 2^(n+1) - 1. More than
    /// [`entries`](Self::entries) means that the pointers contradict each other.
    #[must_use]
    pub const fn used(self, prod: u32, cons: u32) -> u32 {
        self.pointer(prod.wrapping_sub(cons))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(words: usize, address: u64, limit: u32) -> Option<u8> {
        let memory: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
        let memory = Granules::new(&memory[..words], address);
        Log2Size::choose(&memory, 4, limit).map(Log2Size::log2)
    }

    #[test]
    fn used_follows_the_worked_vectors_of_four_entries() {
        let size = Log2Size(2);
        for (prod, cons, used) in [(0, 0, 0), (4, 0, 4), (5, 1, 4), (5, 5, 0), (1, 6, 3), (6, 0, 6)]
        {
            assert_eq!(size.used(prod, cons), used, "PROD {prod} CONS {cons}");
        }
        assert_eq!([6, 7, 0].map(|cons| size.index(cons)), [2, 3, 0]);
    }

    #[test]
    fn a_queue_of_one_entry_has_its_wrap_bit_at_bit_0() {
        let size = Log2Size(0);
        assert_eq!(size.used(1, 0), 1);
        assert_eq!(size.used(1, 1), 0);
        assert_eq!(size.index(1), 0);
        assert_eq!(size.advance(1, 1), 0);
    }

    #[test]
    fn sizes_are_bounded_by_memory_device_and_alignment() {
        assert_eq!(choose(64, 0x1000, 19), Some(4));
        assert_eq!(choose(63, 0x1000, 19), Some(3));
        assert_eq!(choose(64, 0x1000, 2), Some(2));
        assert_eq!(choose(4, 0x1020, 19), Some(0));
        assert_eq!(choose(3, 0x1000, 19), None);
        assert_eq!(choose(64, 0x1100, 19), None, "512 bytes aligned to 256");
    }

    #[test]
    fn memory_behind_the_end_reads_zero_and_takes_nothing() {
        let words = [AtomicU64::new(7)];
        let memory = Granules::new(&words, 0);
        memory.store(1, 9);
        assert_eq!((memory.load(0), memory.load(1)), (7, 0));
    }
}
