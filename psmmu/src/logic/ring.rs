// SPDX-License-Identifier: MIT OR Apache-2.0

//! The staging ring: what is copied from a hardware queue and not yet consumed.
//!
//! A number of entries beside the index of the first: to ask how many there are, and to drop one, is what each
//! event costs. The places are a power of two, so that an index needs no check.

#![forbid(unsafe_code)]

use psmmu_abi::ErrorCause;

/// Records that one NOTIFY stages at most.
pub const BATCH: u32 = 32;

/// Entries that are staged at most. The hardware is read only while at most one entry is staged; a
/// batch comes behind it, with one loss inside and one behind. Two more when the queue is resynchronised,
/// one more when it is discarded, and nothing after that until the ring has been emptied.
pub(crate) const CAPACITY: usize = 1 + BATCH as usize + 2 + 2 + 1;

/// What waits to be reported to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Staged<E> {
    /// The hardware said that records were lost here.
    Loss(ErrorCause),
    /// A record.
    Record(E),
}

/// Places of the ring.
const PLACES: usize = CAPACITY.next_power_of_two();

/// Entries in the order staged.
#[derive(Debug)]
pub(crate) struct Ring<E> {
    places: [Staged<E>; PLACES],
    /// Index of the first entry, modulo [`PLACES`].
    first: u8,
    /// Number of entries, at most [`CAPACITY`].
    len: u8,
}

impl<E> Ring<E> {
    /// Makes an empty ring.
    pub(crate) const fn new() -> Self {
        const { assert!(PLACES <= 1 << (u8::BITS - 1), "an index and a number fit in a byte") };
        Self { places: [const { Staged::Loss(ErrorCause::empty()) }; PLACES], first: 0, len: 0 }
    }

    /// Returns the number of entries.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns whether there is no entry.
    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the first entry.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<&Staged<E>> {
        (!self.is_empty()).then(|| &self.places[place(self.first)])
    }

    /// Returns the last entry.
    pub(crate) fn last(&self) -> Option<&Staged<E>> {
        let last = self.len.checked_sub(1)?;
        Some(&self.places[place(self.first.wrapping_add(last))])
    }

    /// Drops the first entry, and returns whether there was one.
    #[inline(always)]
    pub(crate) fn drop_first(&mut self) -> bool {
        let Some(len) = self.len.checked_sub(1) else { return false };
        self.len = len;
        self.first = self.first.wrapping_add(1);
        true
    }

    /// Adds an entry, and returns whether there was a place.
    pub(crate) fn push(&mut self, entry: Staged<E>) -> bool {
        let is_free = self.len() < CAPACITY;
        if is_free {
            self.places[place(self.first.wrapping_add(self.len))] = entry;
            self.len = self.len.wrapping_add(1);
        }
        is_free
    }

    /// Drops all entries.
    pub(crate) const fn clear(&mut self) {
        self.len = 0;
    }
}

/// Returns where in the ring the entry with this index is.
#[inline(always)]
const fn place(index: u8) -> usize {
    index as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapless::Deque;

    #[test]
    fn entries_come_out_as_they_went_in_at_every_place_and_length() {
        let mut ring = Ring::new();
        let mut reference: Deque<u16, CAPACITY> = Deque::new();
        // Grows by one and shrinks by one in turns of every length, around the ring many times.
        for step in 0..1000_u16 {
            let is_push = (step / CAPACITY as u16).is_multiple_of(2) || step.is_multiple_of(3);
            if is_push {
                assert_eq!(ring.push(Staged::Record(step)), reference.push_back(step).is_ok());
            } else {
                assert_eq!(ring.drop_first(), reference.pop_front().is_some());
            }
            assert_eq!(ring.len(), reference.len());
            assert_eq!(ring.is_empty(), reference.is_empty());
            assert_eq!(ring.first(), reference.front().map(|&it| Staged::Record(it)).as_ref());
            assert_eq!(ring.last(), reference.back().map(|&it| Staged::Record(it)).as_ref());
        }
        ring.clear();
        assert!(!ring.drop_first());
        assert_eq!((ring.first(), ring.last()), (None, None));
    }

    #[test]
    fn a_full_ring_takes_nothing_and_loses_nothing() {
        let mut ring = Ring::new();
        for entry in 0..CAPACITY {
            assert!(ring.push(Staged::Record(entry)));
        }
        assert!(!ring.push(Staged::Record(0)));
        for entry in 0..CAPACITY {
            assert_eq!(ring.first(), Some(&Staged::Record(entry)));
            assert!(ring.drop_first());
        }
        assert!(ring.is_empty());
    }
}
