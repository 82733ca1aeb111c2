// SPDX-License-Identifier: MIT OR Apache-2.0

//! Granule tracking: which granules of DRAM the host has delegated, and which of those are in use.
//!
//! Two bits say the state of a granule. They are kept for those regions of 2 MiB only in which there is
//! a granule that is not simply the host's: one gibibyte of DRAM costs 1 KiB, and each region that is
//! in use 128 bytes more, out of a pool whose size the embedder chooses. With an empty pool a granule of
//! a new region cannot be delegated; nothing else ever needs the pool, so memory always finds its way
//! back.
//!
//! A granule that is on its way from one world to the other is [`Moving`](GranuleState::Moving), which
//! is its lock: whoever moved it there is the only one to move it on, and does so outside the lock of
//! the tracker, which is held for a few words' work only.

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use psmmu::HostGranule;
use psmmu::sync::Lock;
use psmmu_abi::GRANULE_SIZE;

use crate::dram::Dram;

/// Bytes of a region, whose granules are tracked together.
pub const REGION_SIZE: u64 = 2 << 20;

/// Granules of a region.
const GRANULES: u64 = REGION_SIZE / GRANULE_SIZE as u64;
/// Bits of a granule's state.
const BITS: u64 = 2;
/// Granules of which one word has the states.
const PER_WORD: u64 = 64 / BITS;
/// Words of a leaf.
const LEAF_WORDS: usize = (GRANULES / PER_WORD) as usize;
/// The lowest bit of each granule's state.
const LOWEST: u64 = u64::MAX / 3;

/// State of a granule of DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GranuleState {
    /// The host's, or at least not ours.
    Undelegated = 0,
    /// Given to the Realm world, and not in use.
    Delegated = 1,
    /// Donated to an operation, or part of what an operation made.
    InUse = 2,
    /// On its way from one world to the other.
    Moving = 3,
}

impl GranuleState {
    const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::Undelegated,
            1 => Self::Delegated,
            2 => Self::InUse,
            _ => Self::Moving,
        }
    }
}

/// Granules one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// PA of the first one.
    pub address: u64,
    /// How many, at least one.
    pub granules: u16,
}

impl Region {
    /// A region of one granule.
    #[must_use]
    pub const fn granule(address: u64) -> Self {
        Self { address, granules: 1 }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.granules as u64 * GRANULE_SIZE as u64
    }
}

/// Why granules were not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackError {
    /// They are not all in one bank of DRAM, or in a part of it that is not tracked.
    Untracked,
    /// One of them is in this state, and not in the one that was expected.
    State(GranuleState),
    /// The pool is empty.
    Full,
}

/// The states of a region's granules.
#[derive(Debug)]
pub struct Leaf([AtomicU64; LEAF_WORDS]);

impl Leaf {
    /// A leaf for the pool.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; LEAF_WORDS])
    }

    fn load(&self, word: usize) -> u64 {
        self.0.get(word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn store(&self, word: usize, value: u64) {
        if let Some(word) = self.0.get(word) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn is_idle(&self) -> bool {
        self.0.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

impl Default for Leaf {
    fn default() -> Self {
        Self::new()
    }
}

/// The leaves that are not in use.
#[derive(Debug)]
struct Pool {
    /// How many were ever in use.
    touched: u16,
    /// The one that was put back last, as [`Tracker::regions`] says it; its first word says the next.
    free: u16,
}

/// Tracks granules.
#[derive(Debug)]
pub struct Tracker<'a> {
    dram: Dram,
    /// For each region, the banks one behind the other, 0 or the number of its leaf plus one.
    regions: &'a [AtomicU16],
    leaves: &'a [Leaf],
    pool: Lock<Pool>,
}

/// The part of a region of granules that one word of states speaks of.
struct Part {
    /// Index into [`Tracker::regions`].
    region: usize,
    /// Word of the leaf.
    word: usize,
    /// Lowest bits of the states.
    lowest: u64,
}

impl<'a> Tracker<'a> {
    /// Tracks the granules of `dram`. `regions` has a place for each 2 MiB of it or part of them, bank
    /// by bank; what is beyond them is not tracked. `leaves` has one for each region that can have
    /// delegated granules at the same time, at most 65,535. Both must be as they were made.
    #[must_use]
    pub const fn new(dram: Dram, regions: &'a [AtomicU16], leaves: &'a [Leaf]) -> Self {
        Self { dram, regions, leaves, pool: Lock::new(Pool { touched: 0, free: 0 }) }
    }

    /// Returns how many regions `dram` has.
    #[must_use]
    pub fn regions_of(dram: &Dram) -> u64 {
        dram.banks().iter().map(|bank| bank.size().div_ceil(REGION_SIZE)).sum()
    }

    /// Returns the state of a granule.
    ///
    /// # Errors
    /// [`TrackError::Untracked`].
    pub fn state(&self, granule: HostGranule) -> Result<GranuleState, TrackError> {
        let region = Region::granule(granule.address());
        let _pool = self.pool.lock();
        let part = self.parts(region)?.next().ok_or(TrackError::Untracked)?;
        let word = self.leaf(part.region).map_or(0, |leaf| leaf.load(part.word));
        Ok(GranuleState::from_bits(word >> part.lowest.trailing_zeros()))
    }

    /// Moves all granules of `region` from state `from` to state `to`.
    ///
    /// # Errors
    /// [`TrackError`]; none is moved.
    pub fn transition(
        &self,
        region: Region,
        from: GranuleState,
        to: GranuleState,
    ) -> Result<(), TrackError> {
        let mut pool = self.pool.lock();
        for part in self.parts(region)? {
            let word = self.leaf(part.region).map_or(0, |leaf| leaf.load(part.word));
            let expected = part.lowest * from as u64;
            let wrong = (word ^ expected) & (part.lowest * 3);
            if wrong != 0 {
                let first = wrong.trailing_zeros() & !1;
                return Err(TrackError::State(GranuleState::from_bits(word >> first)));
            }
        }
        self.prepare(&mut pool, region)?;
        for part in self.parts(region)? {
            let Some(leaf) = self.leaf(part.region) else {
                continue;
            };
            let word = leaf.load(part.word);
            let word = word & !(part.lowest * 3) | (part.lowest * to as u64);
            leaf.store(part.word, word);
            if word == 0 && leaf.is_idle() {
                self.put_back(&mut pool, part.region);
            }
        }
        Ok(())
    }

    /// Returns the end of the part of `base..top` that is alike in that it is tracked or is not, and
    /// which of them.
    #[must_use]
    pub fn run(&self, base: HostGranule, top: u64) -> (u64, bool) {
        let (mut end, mut tracked) = (base.address(), false);
        // Banks that touch each other are one to the host, in whatever order they are listed.
        while let Some(next) = self.bank_end(end).filter(|_| end < top) {
            (end, tracked) = (next, true);
        }
        if !tracked {
            end = self
                .tracked_banks()
                .map(|(_, start, _)| start)
                .filter(|&start| start > base.address())
                .min()
                .unwrap_or(top);
        }
        (end.min(top), tracked)
    }

    /// Returns the end of the bank that tracks `address`.
    fn bank_end(&self, address: u64) -> Option<u64> {
        self.tracked_banks()
            .find(|&(_, base, end)| (base..end).contains(&address))
            .map(|(_, _, end)| end)
    }

    /// Returns for each bank, as far as it is tracked, its first region, base and end.
    fn tracked_banks(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let mut next = 0_u64;
        self.dram.banks().iter().filter_map(move |bank| {
            let first = next;
            next = first.wrapping_add(bank.size().div_ceil(REGION_SIZE));
            let room = (self.regions.len() as u64).saturating_sub(first);
            let size = bank.size().min(room.saturating_mul(REGION_SIZE));
            // A bank ends within the address space.
            (size != 0).then(|| (first, bank.base(), bank.base().wrapping_add(size)))
        })
    }

    /// Returns the words that speak of `region`.
    fn parts(&self, region: Region) -> Result<impl Iterator<Item = Part> + use<>, TrackError> {
        let granule = GRANULE_SIZE as u64;
        let end = region.address.checked_add(region.bytes()).ok_or(TrackError::Untracked)?;
        let (first_region, base, _) = self
            .tracked_banks()
            .find(|&(_, base, bank_end)| base <= region.address && end <= bank_end)
            .filter(|_| region.address.is_multiple_of(granule) && region.granules != 0)
            .ok_or(TrackError::Untracked)?;
        // Granules counted from the bank's first.
        let mut next = (region.address - base) / granule;
        let behind = (end - base) / granule;
        Ok(core::iter::from_fn(move || {
            let offset = next % PER_WORD;
            let count = (PER_WORD - offset).min(behind.checked_sub(next).filter(|&n| n != 0)?);
            let mask = if count == PER_WORD { u64::MAX } else { (1 << (count * BITS)) - 1 };
            let part = Part {
                region: first_region.wrapping_add(next / GRANULES) as usize,
                word: (next % GRANULES / PER_WORD) as usize,
                lowest: (LOWEST & mask) << (offset * BITS),
            };
            next = next.wrapping_add(count);
            Some(part)
        }))
    }

    /// Returns the leaf of a region that has one.
    fn leaf(&self, region: usize) -> Option<&'a Leaf> {
        let number = self.regions.get(region)?.load(Ordering::Relaxed).checked_sub(1)?;
        self.leaves.get(usize::from(number))
    }

    /// Sees to it that each region that `region` lies in has a leaf: all, or no new one.
    fn prepare(&self, pool: &mut Pool, region: Region) -> Result<(), TrackError> {
        let missing = |part: &Part| self.leaf(part.region).is_none();
        for part in self.parts(region)?.filter(missing) {
            let taken = self.take(pool).and_then(|number| {
                self.regions.get(part.region)?.store(number, Ordering::Relaxed);
                Some(())
            });
            if taken.is_none() {
                // Those that were just taken are idle still.
                for part in self.parts(region)? {
                    if self.leaf(part.region).is_some_and(|leaf| leaf.is_idle()) {
                        self.put_back(pool, part.region);
                    }
                }
                return Err(TrackError::Full);
            }
        }
        Ok(())
    }

    /// Takes an idle leaf from the pool, as [`regions`](Self::regions) says it.
    fn take(&self, pool: &mut Pool) -> Option<u16> {
        let free = pool.free;
        if let Some(index) = free.checked_sub(1) {
            let leaf = self.leaves.get(usize::from(index))?;
            pool.free = leaf.load(0) as u16;
            leaf.store(0, 0);
            return Some(free);
        }
        if usize::from(pool.touched) >= self.leaves.len() {
            return None;
        }
        pool.touched = pool.touched.checked_add(1)?;
        Some(pool.touched)
    }

    /// Puts the leaf of a region, which is idle, back into the pool.
    fn put_back(&self, pool: &mut Pool, region: usize) {
        if let (Some(leaf), Some(entry)) = (self.leaf(region), self.regions.get(region)) {
            leaf.store(0, pool.free.into());
            pool.free = entry.swap(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::boxed::Box;
    use std::vec::Vec;

    use super::GranuleState::{Delegated, InUse, Moving, Undelegated};
    use super::*;
    use crate::dram::Bank;

    const BASE: u64 = 0x8000_0000;

    fn tracker(regions: usize, leaves: usize) -> Tracker<'static> {
        let mut dram = Dram::default();
        // Three regions and a granule; a bank of its own; one that touches the first.
        dram.add(Bank::new(BASE, 3 * REGION_SIZE + 0x1000).unwrap()).unwrap();
        dram.add(Bank::new(0x8_8000_1000, REGION_SIZE).unwrap()).unwrap();
        dram.add(Bank::new(BASE + 3 * REGION_SIZE + 0x1000, 0x2000).unwrap()).unwrap();
        assert_eq!(Tracker::regions_of(&dram), 6);
        let regions: Vec<_> = (0..regions).map(|_| AtomicU16::new(0)).collect();
        let leaves: Vec<_> = (0..leaves).map(|_| Leaf::new()).collect();
        Tracker::new(dram, Box::leak(regions.into()), Box::leak(leaves.into()))
    }

    fn state(tracker: &Tracker<'_>, address: u64) -> Result<GranuleState, TrackError> {
        tracker.state(HostGranule::new(address).unwrap())
    }

    #[test]
    fn each_granule_has_a_state_of_its_own() {
        let tracker = tracker(6, 6);
        let banks: Vec<_> = tracker.tracked_banks().collect();
        let all: Vec<u64> = banks
            .into_iter()
            .flat_map(|(_, base, end)| (base..end).step_by(GRANULE_SIZE))
            .collect();
        assert_eq!(all.len(), 3 * 512 + 1 + 512 + 2);
        let turn = [Undelegated, Delegated, InUse, Moving];
        for (number, &address) in all.iter().enumerate() {
            let to = turn[number % 4];
            tracker.transition(Region::granule(address), Undelegated, to).unwrap();
        }
        for (number, &address) in all.iter().enumerate() {
            assert_eq!(state(&tracker, address), Ok(turn[number % 4]), "{address:#x}");
        }
    }

    #[test]
    fn a_region_moves_as_a_whole_or_not_at_all() {
        let tracker = tracker(6, 6);
        let region = Region { address: BASE + REGION_SIZE - 0x2_1000, granules: 512 };
        tracker.transition(region, Undelegated, Delegated).unwrap();
        let hole = Region::granule(BASE + REGION_SIZE + 0x4_2000);
        tracker.transition(hole, Delegated, Moving).unwrap();
        assert_eq!(tracker.transition(region, Delegated, InUse), Err(TrackError::State(Moving)),);
        assert_eq!(state(&tracker, region.address), Ok(Delegated));
        assert_eq!(state(&tracker, region.address - 0x1000), Ok(Undelegated));
        tracker.transition(hole, Moving, Delegated).unwrap();
        tracker.transition(region, Delegated, InUse).unwrap();
        let last = region.address + region.bytes() - 0x1000;
        assert_eq!(state(&tracker, last), Ok(InUse));
        assert_eq!(state(&tracker, last + 0x1000), Ok(Undelegated));
    }

    #[test]
    fn what_is_no_dram_or_leaves_its_bank_is_not_tracked() {
        let tracker = tracker(6, 6);
        for region in [
            Region::granule(0),
            Region::granule(BASE - 0x1000),
            Region::granule(BASE + 1),
            Region::granule(u64::MAX - 0xFFF),
            Region { address: BASE, granules: 0 },
            Region { address: 0x8_8000_1000 + REGION_SIZE - 0x1000, granules: 2 },
            Region { address: BASE + 3 * REGION_SIZE, granules: 2 },
        ] {
            assert_eq!(
                tracker.transition(region, Undelegated, Delegated),
                Err(TrackError::Untracked),
                "{region:x?}"
            );
        }
        assert_eq!(state(&tracker, 0x1000), Err(TrackError::Untracked));
    }

    #[test]
    fn an_empty_pool_refuses_new_regions_and_nothing_else() {
        let tracker = tracker(6, 2);
        let first = Region::granule(BASE);
        let second = Region::granule(BASE + REGION_SIZE);
        let third = Region::granule(BASE + 2 * REGION_SIZE);
        tracker.transition(first, Undelegated, Delegated).unwrap();
        tracker.transition(second, Undelegated, Moving).unwrap();
        assert_eq!(tracker.transition(third, Undelegated, Moving), Err(TrackError::Full));
        let wide = Region { address: BASE + REGION_SIZE - 0x1000, granules: 1023 };
        tracker.transition(second, Moving, Undelegated).unwrap();
        assert_eq!(tracker.transition(wide, Undelegated, Delegated), Err(TrackError::Full));
        // The leaf that it had taken for its second region is free again.
        tracker.transition(third, Undelegated, Delegated).unwrap();
        tracker.transition(first, Delegated, InUse).unwrap();
        tracker.transition(first, InUse, Delegated).unwrap();
        tracker.transition(first, Delegated, Undelegated).unwrap();
        tracker.transition(second, Undelegated, Delegated).unwrap();
        assert_eq!(state(&tracker, third.address), Ok(Delegated));
    }

    #[test]
    fn banks_beyond_the_places_are_not_tracked() {
        let tracker = tracker(3, 6);
        let last = BASE + 3 * REGION_SIZE;
        assert_eq!(state(&tracker, last - 0x1000), Ok(Undelegated));
        assert_eq!(state(&tracker, last), Err(TrackError::Untracked));
        assert_eq!(state(&tracker, 0x8_8000_1000), Err(TrackError::Untracked));
    }

    #[test]
    fn a_run_ends_where_tracking_changes() {
        let tracker = tracker(6, 6);
        let end = BASE + 3 * REGION_SIZE + 0x3000;
        let run = |base, top| tracker.run(HostGranule::new(base).unwrap(), top);
        assert_eq!(run(BASE, BASE + 0x1000), (BASE + 0x1000, true));
        assert_eq!(run(BASE + 0x5000, u64::MAX), (end, true), "two banks that touch");
        assert_eq!(run(0, 0x1000), (0x1000, false));
        assert_eq!(run(0, u64::MAX), (BASE, false));
        assert_eq!(run(end, u64::MAX), (0x8_8000_1000, false));
        assert_eq!(run(1 << 40, u64::MAX), (u64::MAX, false));
    }
}
