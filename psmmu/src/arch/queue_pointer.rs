// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pointers of a queue, PROD and CONS (IHI 0070, 3.5.1).
//!
//! A pointer is an index in bits n-1:0 and a wrap bit at bit n, for a queue of 2^n entries. Two
//! pointers that are alike mean an empty queue; alike but for the wrap bit, a full one.

#![forbid(unsafe_code)]

/// OVFLG of EVENTQ_PROD and OVACKFLG of EVENTQ_CONS: different, they mean that records were lost.
pub const OVERFLOW: u32 = 1 << 31;

/// Log2 of a number of entries, 0 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Log2Size(u8);

impl Log2Size {
    /// The smallest queue, one entry.
    pub(crate) const MIN: Self = Self(0);

    /// The largest queue of the architecture, 2^19 entries.
    pub const MAX: Self = Self(19);

    /// Chooses the largest size that memory of `words` words at PA `address` holds with entries of
    /// `entry_words` words and that the device allows, `limit` being its log2 from IDR1.
    ///
    /// Returns `None` when the memory does not hold one entry or is not aligned to the size of the
    /// queue: the device would align it down in silence.
    #[must_use]
    pub fn choose(address: u64, words: usize, entry_words: usize, limit: u32) -> Option<Self> {
        let fits = (words / entry_words).checked_ilog2()?;
        let log2 = fits.min(limit).min(u32::from(Self::MAX.0));
        let bytes = (entry_words as u64 * 8) << log2;
        address.is_multiple_of(bytes.max(32)).then_some(Self(log2 as u8))
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
        Log2Size::choose(address, words, 4, limit).map(Log2Size::log2)
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
}
