// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keeps account of the host's memory that is donated to the RMM.
//!
//! The RMM names memory that it returns by address. Only ranges recorded here were donated: any other
//! address must not reach the allocator.

use psmmu_abi::GRANULE_SIZE;

/// A number of granules that begin at a PA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub address: u64,
    pub granules: u64,
}

impl Range {
    /// Bytes in a granule.
    pub(crate) const GRANULE: u64 = GRANULE_SIZE as u64;

    /// Returns the first `granules` granules, or all if there are fewer, and the remainder.
    pub(crate) fn split(self, granules: u64) -> (Self, Self) {
        let first = granules.min(self.granules);
        let rest =
            Self { address: self.address + first * Self::GRANULE, granules: self.granules - first };
        (Self { granules: first, ..self }, rest)
    }

    const fn end(&self) -> u64 {
        self.address + self.granules * Self::GRANULE
    }

    const fn between(address: u64, end: u64) -> Option<Self> {
        if address >= end {
            return None;
        }
        Some(Self { address, granules: (end - address) / Self::GRANULE })
    }

    fn common(&self, other: &Self) -> Option<Self> {
        Self::between(self.address.max(other.address), self.end().min(other.end()))
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    range: Range,
    /// The PSMMU that it was donated for (`psmmu_ptr`); 0 for the RMM itself.
    psmmu_ptr: u64,
    /// The operation that it was donated to has not ended.
    in_operation: bool,
}

impl Entry {
    /// Adds `other` if it continues this one.
    fn join(&mut self, other: &Self) -> bool {
        let alike = self.psmmu_ptr == other.psmmu_ptr && self.in_operation == other.in_operation;
        if alike && self.range.end() == other.range.address {
            self.range.granules += other.range.granules;
            return true;
        }
        if alike && other.range.end() == self.range.address {
            self.range =
                Range { granules: self.range.granules + other.range.granules, ..other.range };
            return true;
        }
        false
    }
}

/// Up to `N` ranges.
#[derive(Debug)]
pub(crate) struct DonatedRanges<const N: usize> {
    entries: [Option<Entry>; N],
}

impl<const N: usize> DonatedRanges<N> {
    pub(crate) const fn new() -> Self {
        Self { entries: [None; N] }
    }

    /// Returns how many more ranges can be recorded.
    pub(crate) fn room(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_none()).count()
    }

    /// Returns how many granules are donated for `psmmu_ptr`.
    pub(crate) fn held(&self, psmmu_ptr: u64) -> u64 {
        let of = self.entries.iter().flatten().filter(|entry| entry.psmmu_ptr == psmmu_ptr);
        of.map(|entry| entry.range.granules).sum()
    }

    /// Returns how many granules are donated in all.
    pub(crate) fn total(&self) -> u64 {
        self.entries.iter().flatten().map(|entry| entry.range.granules).sum()
    }

    /// Records `range` for the current operation. Returns false if there is no room.
    pub(crate) fn add(&mut self, range: Range, psmmu_ptr: u64) -> bool {
        self.record(Entry { range, psmmu_ptr, in_operation: true })
    }

    /// Records `range` as donated beyond the current operation. Returns false if there is no room.
    pub(crate) fn retain(&mut self, range: Range, psmmu_ptr: u64) -> bool {
        self.record(Entry { range, psmmu_ptr, in_operation: false })
    }

    fn record(&mut self, new: Entry) -> bool {
        if self.entries.iter_mut().flatten().any(|entry| entry.join(&new)) {
            return true;
        }
        match self.entries.iter_mut().find(|entry| entry.is_none()) {
            Some(entry) => {
                *entry = Some(new);
                true
            }
            None => false,
        }
    }

    /// Removes a part of `range` that is donated and returns it; `None` if no part of it is. The second
    /// range is the remainder of the entry behind that part if there is no room to record it.
    pub(crate) fn take(&mut self, range: Range) -> Option<(Range, Option<Range>)> {
        let (slot, entry, common) = self.entries.iter_mut().find_map(|slot| {
            let entry = (*slot)?;
            let common = entry.range.common(&range)?;
            Some((slot, entry, common))
        })?;
        let keep = |range| Entry { range, ..entry };
        *slot = Range::between(entry.range.address, common.address).map(keep);
        let behind = Range::between(common.end(), entry.range.end());
        let unrecorded = behind.filter(|&behind| !self.record(keep(behind)));
        Some((common, unrecorded))
    }

    /// Marks the ranges of the current operation as donated beyond its end.
    pub(crate) fn settle(&mut self) {
        for entry in self.entries.iter_mut().flatten() {
            entry.in_operation = false;
        }
    }

    /// Removes a range of the current operation and returns it.
    pub(crate) fn take_fresh(&mut self) -> Option<Range> {
        self.take_if(|entry| entry.in_operation)
    }

    /// Removes a range of `psmmu_ptr` and returns it.
    pub(crate) fn take_of(&mut self, psmmu_ptr: u64) -> Option<Range> {
        self.take_if(|entry| entry.psmmu_ptr == psmmu_ptr)
    }

    fn take_if(&mut self, matches: impl Fn(&Entry) -> bool) -> Option<Range> {
        let mut slots = self.entries.iter_mut();
        let slot = slots.find(|slot| slot.as_ref().is_some_and(&matches))?;
        slot.take().map(|entry| entry.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 0x8000_0000;

    const fn range(first: u64, granules: u64) -> Range {
        Range { address: A + first * 0x1000, granules }
    }

    #[test]
    fn neighbours_take_one_line() {
        let mut donated_ranges = DonatedRanges::<2>::new();
        assert!(donated_ranges.add(range(0, 1), 1) && donated_ranges.add(range(2, 1), 1));
        assert!(donated_ranges.add(range(1, 1), 1), "beside the first");
        assert_eq!((donated_ranges.total(), donated_ranges.room()), (3, 0));
        assert!(!donated_ranges.add(range(3, 1), 2), "of another PSMMU");
        assert_eq!((donated_ranges.held(1), donated_ranges.held(2)), (3, 0));
    }

    #[test]
    fn reclaimed_granules_are_no_longer_counted_as_donated() {
        let mut donated_ranges = DonatedRanges::<2>::new();
        assert!(donated_ranges.add(range(0, 8), 1));
        assert_eq!(donated_ranges.take(range(2, 3)), Some((range(2, 3), None)));
        assert_eq!(donated_ranges.take(range(2, 3)), None, "twice");
        assert_eq!(donated_ranges.total(), 5);
        assert_eq!(
            donated_ranges.take(range(6, 1)),
            Some((range(6, 1), Some(range(7, 1)))),
            "no room"
        );
        assert_eq!(donated_ranges.take(range(0, 8)), Some((range(0, 2), None)));
        assert_eq!(donated_ranges.take(range(0, 8)), Some((range(5, 1), None)));
        assert_eq!((donated_ranges.take(range(0, 8)), donated_ranges.room()), (None, 2));
    }

    #[test]
    fn donations_belong_to_the_operation_until_it_ends() {
        let mut donated_ranges = DonatedRanges::<4>::new();
        assert!(donated_ranges.add(range(0, 1), 1));
        donated_ranges.settle();
        assert!(donated_ranges.add(range(1, 1), 1));
        assert_eq!(donated_ranges.take_fresh(), Some(range(1, 1)));
        assert_eq!(donated_ranges.take_fresh(), None);
        assert_eq!(
            (donated_ranges.take_of(2), donated_ranges.take_of(1)),
            (None, Some(range(0, 1)))
        );
    }
}
