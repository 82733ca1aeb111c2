// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is shared with the device.

use core::sync::atomic::{AtomicU64, Ordering};

/// Memory that the CPUs and a device both read and write.
///
/// No Rust reference to its content is ever made: single 64-bit words go in and out.
///
/// # Safety
/// The device reads and writes at the PA that a value says, which this module programs. An implementor promises,
/// from when a value is passed to this module to when the same value is given back
/// ([`Memory`](crate::Memory) of an activation that failed or of a deactivation) or, of a queue that was attached,
/// to when it is detached:
/// 1. `address` and `words` do not change, and [`load`](Self::load) and the like access exactly the memory that
///    they say, a word of 64 bits at `address` + 8 * index, by single atomic or volatile accesses.
/// 2. The memory stays the device's to read and write. Dropping the value, also with the PSMMU that has it, does
///    not free it: a PSMMU that failed may still use it.
/// 3. Nothing else in this world reads or writes it, and no other value for any of it is passed to this module.
///
/// Where there is no device that reads and writes memory by its PA, as with a model that has memory of its own,
/// they hold of themselves.
pub unsafe trait DeviceMemory {
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
#[derive(Debug)]
pub struct Granules<'a> {
    words: &'a [AtomicU64],
    address: u64,
}

impl<'a> Granules<'a> {
    /// Takes `words` that lie at PA `address`.
    ///
    /// # Safety
    /// 1. The words are the memory at PA `address`, one behind the other, and mapped so that they are coherent
    ///    with the device.
    /// 2. For as long as [`DeviceMemory`] says the memory is the device's and this value's alone: `words` is
    ///    used for nothing else, although it may be shared.
    #[must_use]
    pub const unsafe fn new(words: &'a [AtomicU64], address: u64) -> Self {
        Self { words, address }
    }
}

// SAFETY: 1. The address is that of the words (condition 1 of `new`), which are atomics. 2., 3. As condition 2 of
// `new` says; the value cannot be cloned.
unsafe impl DeviceMemory for Granules<'_> {
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
impl<'a> Granules<'a> {
    /// As [`new`](Self::new), for tests of this crate, which have no device.
    pub(crate) const fn of_test(words: &'a [AtomicU64], address: u64) -> Self {
        Self { words, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_behind_the_end_reads_zero_and_takes_nothing() {
        let words = [AtomicU64::new(7)];
        let memory = Granules::of_test(&words, 0);
        memory.store(1, 9);
        assert_eq!((memory.load(0), memory.load(1)), (7, 0));
    }
}
