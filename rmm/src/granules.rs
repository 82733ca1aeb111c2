// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tracks which granules the host has delegated, and which of those are in use.
//!
//! Two bits hold the state of each granule of DRAM and of device memory from boot on: 64 KiB for a GiB.
//! So no delegation can fail for lack of tracking memory.
//!
//! A granule whose PAS is being changed is [`Moving`](GranuleState::Moving), which acts as its lock: only
//! the CPU that set this state changes it, outside of the tracker's lock, which is held only to check and
//! change the words of one region.

use core::sync::atomic::{AtomicU64, Ordering};

use heapless::Vec;
use psmmu::HostGranule;
use psmmu::sync::Lock;
use psmmu_abi::{GRANULE_SIZE, MemoryCategory};

use crate::dram::{Bank, Dram};
use crate::manifest::MAX_DEVICE_REGIONS;

/// Bytes of a granule.
const GRANULE: u64 = GRANULE_SIZE as u64;
/// Bits of a granule's state.
const BITS: u64 = 2;
/// Granules whose states are in one word.
const PER_WORD: u64 = 64 / BITS;
/// The lowest bit of each granule's state.
const LOWEST: u64 = u64::MAX / 3;

/// Largest number of banks of DRAM and regions of device memory that are tracked.
const MAX_AREAS: usize = Dram::MAX_BANKS + Dram::MAX_HOLES + MAX_DEVICE_REGIONS + 1;

/// State of a granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GranuleState {
    /// Undelegated: not in Realm PAS.
    Undelegated = 0,
    /// Delegated, and not in use.
    Delegated = 1,
    /// Donated to an operation, or part of an object that an operation created.
    InUse = 2,
    /// Its PAS is being changed.
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

/// Consecutive granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// PA of the first one.
    pub address: u64,
    /// Number of granules, at least 1.
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

/// Why the state of granules was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackError {
    /// They are not all in one bank of DRAM or region of device memory, or a part of that is not tracked.
    Untracked,
    /// One of them is in this state, which is not the expected one.
    State(GranuleState),
    /// Device memory is never in use.
    Device,
    /// The tracker was [closed](Tracker::close).
    Closed,
}

/// A bank of DRAM or a region of device memory.
#[derive(Clone, Copy, Debug)]
struct Area {
    bank: Bank,
    category: MemoryCategory,
    /// Index of its first word in [`Tracker::words`].
    first: usize,
}

impl Area {
    const fn end(&self) -> u64 {
        // Does not overflow: a bank ends within the address space.
        self.bank.base().wrapping_add(self.bank.size())
    }
}

/// The tracked areas: banks of DRAM and regions of device memory.
#[derive(Clone, Debug, Default)]
pub struct Areas {
    areas: Vec<Area, MAX_AREAS>,
    words: usize,
}

impl Areas {
    /// Adds a bank. Where two overlap the first one counts. More than a manifest can list are left out.
    pub fn add(&mut self, bank: Bank, category: MemoryCategory) {
        if self.areas.push(Area { bank, category, first: self.words }).is_ok() {
            let words = bank.size().div_ceil(PER_WORD * GRANULE);
            self.words = self.words.saturating_add(words as usize);
        }
    }

    /// Returns the number of words needed to track all areas.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.words
    }
}

/// Words with the states of consecutive granules.
struct Span<'a> {
    words: &'a [AtomicU64],
    /// Mask of the lowest bit of each selected state in the first word.
    head: u64,
    /// Mask of the last word.
    tail: u64,
    category: MemoryCategory,
}

impl Span<'_> {
    /// Returns each word with its mask.
    fn iter(&self) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let last = self.words.len().wrapping_sub(1);
        self.words.iter().enumerate().map(move |(index, word)| {
            let head = if index == 0 { self.head } else { LOWEST };
            let tail = if index == last { self.tail } else { LOWEST };
            (word, head & tail)
        })
    }
}

/// State common to all granules.
#[derive(Debug)]
struct Account {
    /// Number of granules that are not undelegated.
    taken: u64,
    /// No granule may be delegated.
    is_closed: bool,
}

/// Tracks granules.
#[derive(Debug)]
pub struct Tracker<'a> {
    areas: Vec<Area, MAX_AREAS>,
    words: &'a [AtomicU64],
    account: Lock<Account>,
}

impl<'a> Tracker<'a> {
    /// Tracks the granules of `areas`, in the order in which they were added, as far as `words` suffice,
    /// which must be zero. Granules beyond that are not tracked.
    #[must_use]
    pub fn new(mut areas: Areas, words: &'a [AtomicU64]) -> Self {
        areas.areas.retain_mut(|area| {
            let room = words.len().saturating_sub(area.first) as u64;
            let size = area.bank.size().min(room.saturating_mul(PER_WORD * GRANULE));
            match Bank::new(area.bank.base(), size) {
                Some(bank) => area.bank = bank,
                None => return false,
            }
            true
        });
        Self {
            areas: areas.areas,
            words,
            account: Lock::new(Account { taken: 0, is_closed: false }),
        }
    }

    /// Returns the state of a granule.
    ///
    /// # Errors
    /// [`TrackError::Untracked`].
    pub fn state(&self, granule: HostGranule) -> Result<GranuleState, TrackError> {
        let span = self.span(Region::granule(granule.address()))?;
        let word = span.words.first().map_or(0, |word| word.load(Ordering::Relaxed));
        Ok(GranuleState::from_bits(word >> span.head.trailing_zeros()))
    }

    /// Changes all granules of `region` from state `from` to state `to`, and returns their memory
    /// category.
    ///
    /// # Errors
    /// [`TrackError`]; no state is changed.
    pub fn transition(
        &self,
        region: Region,
        from: GranuleState,
        to: GranuleState,
    ) -> Result<MemoryCategory, TrackError> {
        let span = self.span(region)?;
        if to == GranuleState::InUse && span.category != MemoryCategory::Conventional {
            return Err(TrackError::Device);
        }
        let mut account = self.account.lock();
        let (leaves, returns) =
            (from == GranuleState::Undelegated, to == GranuleState::Undelegated);
        if leaves && account.is_closed {
            return Err(TrackError::Closed);
        }
        for (word, lowest) in span.iter() {
            let word = word.load(Ordering::Relaxed);
            let wrong = (word ^ (lowest * from as u64)) & (lowest * 3);
            if wrong != 0 {
                let first = wrong.trailing_zeros() & !1;
                return Err(TrackError::State(GranuleState::from_bits(word >> first)));
            }
        }
        for (word, lowest) in span.iter() {
            let others = word.load(Ordering::Relaxed) & !(lowest * 3);
            word.store(others | (lowest * to as u64), Ordering::Relaxed);
        }
        let granules = u64::from(region.granules);
        match (leaves, returns) {
            (true, false) => account.taken = account.taken.wrapping_add(granules),
            (false, true) => account.taken = account.taken.wrapping_sub(granules),
            _ => {}
        }
        Ok(span.category)
    }

    /// Closes the tracker if all granules are undelegated, and returns whether they are. From then on
    /// none can be delegated.
    pub fn close(&self) -> bool {
        let mut account = self.account.lock();
        account.is_closed |= account.taken == 0;
        account.is_closed
    }

    /// Opens the tracker again.
    pub fn open(&self) {
        self.account.lock().is_closed = false;
    }

    /// Returns the end of the uniform first part of `base..top`, and its memory category; `None` if it is
    /// not tracked.
    #[must_use]
    pub fn run(&self, base: HostGranule, top: u64) -> (u64, Option<MemoryCategory>) {
        let mut end = base.address();
        let Some(category) = self.area(end).map(|area| area.category) else {
            let bases = self.areas.iter().map(|area| area.bank.base());
            let next = bases.filter(|&start| start > end).min();
            return (next.unwrap_or(top).min(top), None);
        };
        // Adjacent areas of one category are reported as one, in whatever order they are listed.
        while let Some(area) = self.area(end).filter(|area| area.category == category)
            && end < top
        {
            end = area.end();
        }
        (end.min(top), Some(category))
    }

    /// Returns the first area that contains `address`.
    fn area(&self, address: u64) -> Option<&Area> {
        self.areas.iter().find(|area| address.wrapping_sub(area.bank.base()) < area.bank.size())
    }

    /// Returns the words with the states of `region`.
    fn span(&self, region: Region) -> Result<Span<'a>, TrackError> {
        let end = region.address.checked_add(region.bytes()).ok_or(TrackError::Untracked)?;
        let area = self
            .area(region.address)
            .filter(|area| end <= area.end())
            .filter(|_| region.address.is_multiple_of(GRANULE) && region.granules != 0)
            .ok_or(TrackError::Untracked)?;
        // Granule numbers, from the bank's first.
        let first = region.address.wrapping_sub(area.bank.base()) / GRANULE;
        let last = first.wrapping_add(u64::from(region.granules)).wrapping_sub(1);
        let word = |granule: u64| area.first.wrapping_add((granule / PER_WORD) as usize);
        let words = self.words.get(word(first)..=word(last)).ok_or(TrackError::Untracked)?;
        Ok(Span {
            words,
            head: LOWEST << (first % PER_WORD * BITS),
            tail: LOWEST >> ((PER_WORD - 1 - last % PER_WORD) * BITS),
            category: area.category,
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::boxed::Box;
    use std::vec::Vec;

    use super::GranuleState::{Delegated, InUse, Moving, Undelegated};
    use super::*;

    const BASE: u64 = 0x8000_0000;
    /// Bytes of the first bank: whole words and a granule.
    const SIZE: u64 = 3 * 0x2_0000 + 0x1000;
    const OTHER: u64 = 0x8_8000_1000;
    const DEVICES: u64 = 0x1000_0000;
    /// Words of all of it.
    const WORDS: usize = 4 + 16 + 1 + 2 + 1;

    fn tracker_of(words: usize) -> Tracker<'static> {
        let mut areas = Areas::default();
        for (base, size, category) in [
            // One that ends within a word; a separate one; one adjacent to the first.
            (BASE, SIZE, MemoryCategory::Conventional),
            (OTHER, 0x20_0000, MemoryCategory::Conventional),
            (BASE + SIZE, 0x2000, MemoryCategory::Conventional),
            // Two adjacent ones of different kinds.
            (DEVICES, 0x4_0000, MemoryCategory::DeviceNonCoherent),
            (DEVICES + 0x4_0000, 0x1000, MemoryCategory::DeviceCoherent),
        ] {
            areas.add(Bank::new(base, size).unwrap(), category);
        }
        assert_eq!(areas.words(), WORDS);
        let words: Vec<_> = (0..words).map(|_| AtomicU64::new(0)).collect();
        Tracker::new(areas, Box::leak(words.into()))
    }

    fn tracker() -> Tracker<'static> {
        tracker_of(WORDS)
    }

    fn state(tracker: &Tracker<'_>, address: u64) -> Result<GranuleState, TrackError> {
        tracker.state(HostGranule::new(address).unwrap())
    }

    #[test]
    fn each_granule_has_a_state_of_its_own() {
        let tracker = tracker();
        let all: Vec<(u64, MemoryCategory)> = tracker
            .areas
            .iter()
            .flat_map(|area| {
                let granules = (area.bank.base()..area.end()).step_by(GRANULE_SIZE);
                granules.map(|granule| (granule, area.category))
            })
            .collect();
        assert_eq!(all.len(), 3 * 32 + 1 + 512 + 2 + 64 + 1);
        let states = [Undelegated, Delegated, Moving, InUse];
        let expected = |number: usize, category| match category {
            MemoryCategory::Conventional => states[number % 4],
            _ => states[number % 3],
        };
        for (number, &(address, category)) in all.iter().enumerate() {
            let to = expected(number, category);
            let moved = tracker.transition(Region::granule(address), Undelegated, to);
            assert_eq!(moved, Ok(category), "{address:#x}");
        }
        for (number, &(address, category)) in all.iter().enumerate() {
            assert_eq!(state(&tracker, address), Ok(expected(number, category)), "{address:#x}");
        }
    }

    #[test]
    fn every_granule_can_be_delegated_at_the_same_time() {
        let tracker = tracker();
        // One of each word first, as a host may do to use up tracking memory.
        for offset in [0, 1] {
            for first in (0..0x20_0000).step_by(0x2000) {
                let granule = Region::granule(OTHER + first + offset * 0x1000);
                assert!(tracker.transition(granule, Undelegated, Delegated).is_ok());
            }
        }
        let all = Region { address: OTHER, granules: 512 };
        assert!(tracker.transition(all, Delegated, InUse).is_ok());
    }

    #[test]
    fn a_region_moves_as_a_whole_or_not_at_all() {
        let tracker = tracker();
        for (first, granules) in [(0, 1), (0, 97), (1, 96), (31, 2), (32, 64), (5, 3), (95, 2)] {
            let region = Region { address: BASE + first * 0x1000, granules };
            let end = region.address + region.bytes();
            assert!(tracker.transition(region, Undelegated, Delegated).is_ok());
            for hole in (region.address..end).step_by(GRANULE_SIZE).map(Region::granule) {
                assert!(tracker.transition(hole, Delegated, Moving).is_ok());
                let refused = tracker.transition(region, Delegated, InUse);
                assert_eq!(refused, Err(TrackError::State(Moving)), "{hole:x?} of {region:x?}");
                assert!(tracker.transition(hole, Moving, Delegated).is_ok());
            }
            assert!(tracker.transition(region, Delegated, InUse).is_ok());
            for granule in (BASE..BASE + SIZE).step_by(GRANULE_SIZE) {
                let is_inside = (region.address..end).contains(&granule);
                let expected = if is_inside { InUse } else { Undelegated };
                assert_eq!(state(&tracker, granule), Ok(expected), "{granule:#x} of {region:x?}");
            }
            assert!(tracker.transition(region, InUse, Undelegated).is_ok());
        }
    }

    #[test]
    fn what_is_no_memory_or_leaves_its_bank_is_not_tracked() {
        let tracker = tracker();
        for region in [
            Region::granule(0),
            Region::granule(BASE - 0x1000),
            Region::granule(BASE + 1),
            Region::granule(u64::MAX - 0xFFF),
            Region { address: BASE, granules: 0 },
            Region { address: OTHER + 0x20_0000 - 0x1000, granules: 2 },
            Region { address: BASE + SIZE - 0x1000, granules: 2 },
            Region { address: DEVICES + 0x3_F000, granules: 2 },
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
    fn device_memory_is_delegated_and_never_in_use() {
        let tracker = tracker();
        let granule = Region::granule(DEVICES);
        let category = Ok(MemoryCategory::DeviceNonCoherent);
        assert_eq!(tracker.transition(granule, Undelegated, Delegated), category);
        assert_eq!(tracker.transition(granule, Delegated, InUse), Err(TrackError::Device));
        assert_eq!(state(&tracker, DEVICES), Ok(Delegated));
        assert_eq!(tracker.transition(granule, Delegated, Undelegated), category);
    }

    #[test]
    fn banks_beyond_the_words_are_not_tracked() {
        let tracker = tracker_of(5);
        assert_eq!(state(&tracker, BASE + SIZE - 0x1000), Ok(Undelegated));
        assert_eq!(state(&tracker, OTHER + 0x1_F000), Ok(Undelegated));
        for address in [OTHER + 0x2_0000, BASE + SIZE, DEVICES] {
            assert_eq!(state(&tracker, address), Err(TrackError::Untracked), "{address:#x}");
        }
    }

    #[test]
    fn it_closes_only_when_all_granules_are_the_hosts() {
        let tracker = tracker();
        let region = Region { address: BASE + 0x1000, granules: 70 };
        let device = Region::granule(DEVICES);
        for (region, state) in [(region, Moving), (region, Delegated), (device, Delegated)] {
            assert!(tracker.transition(region, Undelegated, state).is_ok());
            assert!(!tracker.close(), "{state:?}");
            assert!(tracker.transition(region, state, Undelegated).is_ok());
        }
        assert!(tracker.close() && tracker.close());
        let refused = tracker.transition(region, Undelegated, Moving);
        assert_eq!(refused, Err(TrackError::Closed));
        tracker.open();
        assert!(tracker.transition(region, Undelegated, Moving).is_ok());
    }

    #[test]
    fn a_run_ends_where_the_kind_of_memory_changes() {
        let tracker = tracker();
        let end = BASE + SIZE + 0x2000;
        let run = |base, top| tracker.run(HostGranule::new(base).unwrap(), top);
        let dram = Some(MemoryCategory::Conventional);
        let [non_coherent, coherent] =
            [MemoryCategory::DeviceNonCoherent, MemoryCategory::DeviceCoherent].map(Some);
        assert_eq!(run(BASE, BASE + 0x1000), (BASE + 0x1000, dram));
        assert_eq!(run(BASE + 0x5000, u64::MAX), (end, dram), "two banks that touch");
        assert_eq!(run(0, 0x1000), (0x1000, None));
        assert_eq!(run(0, u64::MAX), (DEVICES, None));
        let kinds_meet = DEVICES + 0x4_0000;
        assert_eq!(run(DEVICES, u64::MAX), (kinds_meet, non_coherent));
        assert_eq!(run(kinds_meet, u64::MAX), (kinds_meet + 0x1000, coherent));
        assert_eq!(run(end, u64::MAX), (OTHER, None));
        assert_eq!(run(1 << 40, u64::MAX), (u64::MAX, None));
    }
}
