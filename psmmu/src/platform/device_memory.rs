// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is shared with the device.

#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_behind_the_end_reads_zero_and_takes_nothing() {
        let words = [AtomicU64::new(7)];
        let memory = Granules::new(&words, 0);
        memory.store(1, 9);
        assert_eq!((memory.load(0), memory.load(1)), (7, 0));
    }
}
