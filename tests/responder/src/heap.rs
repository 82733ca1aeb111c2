// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that a host donates, as the host driver wants it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use psmmu_host::{Memory, Page};

use crate::Ram;

const GRANULE: u64 = 4096;
const WORDS: usize = 512;
/// What the host has left in memory that it donates.
const JUNK: u64 = 0xDEAD_DEAD_DEAD_DEAD;

/// An allocator of granules that checks what it gets back. Copies are the same allocator.
#[derive(Clone, Debug)]
pub struct Heap {
    ram: Ram,
    base: u64,
    granules: u64,
    used: Arc<Mutex<BTreeSet<u64>>>,
    lost: Arc<Mutex<BTreeSet<u64>>>,
}

impl Heap {
    /// Manages `granules` granules from `base` on.
    #[must_use]
    pub fn new(ram: Ram, base: u64, granules: u64) -> Self {
        Self { ram, base, granules, used: Arc::default(), lost: Arc::default() }
    }

    /// Returns how many granules are allocated.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.lock().unwrap().len()
    }

    /// Returns the granules that the driver gave up for lost.
    #[must_use]
    pub fn lost(&self) -> Vec<u64> {
        self.lost.lock().unwrap().iter().copied().collect()
    }

    /// Allocates `granules` granules in one piece that is aligned to its size, full of junk.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn take(&self, granules: u64) -> u64 {
        let bytes = granules * GRANULE;
        let mut used = self.used.lock().unwrap();
        let align = granules.next_power_of_two() * GRANULE;
        let end = self.base + self.granules * GRANULE;
        let mut address = self.base.next_multiple_of(align);
        loop {
            assert!(address + bytes <= end, "the host has no {granules} granules");
            match used.range(address..address + bytes).next_back() {
                None => break,
                Some(last) => address = (last + GRANULE).next_multiple_of(align),
            }
        }
        for granule in Ram::granules(address, bytes) {
            used.insert(granule);
            self.ram.fill(granule, JUNK);
        }
        address
    }

    /// Takes a granule back.
    ///
    /// # Panics
    /// When it was not allocated, is not the host's, or is not wiped.
    pub fn put(&self, granule: u64) {
        assert!(self.used.lock().unwrap().remove(&granule), "{granule:#x} was not donated");
        assert_eq!(self.ram.page(granule), [0; WORDS], "{granule:#x} comes back unwiped");
    }
}

impl Memory for Heap {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        Some(self.take(granules))
    }

    fn free(&mut self, address: u64, granules: u64) {
        Ram::granules(address, granules * GRANULE).for_each(|granule| self.put(granule));
    }

    fn leak(&mut self, address: u64, granules: u64) {
        let mut lost = self.lost.lock().unwrap();
        for granule in Ram::granules(address, granules * GRANULE) {
            assert!(lost.insert(granule), "{granule:#x} is lost twice");
        }
    }
}

/// A granule that host driver and RMM talk through.
#[derive(Clone, Debug)]
pub struct RamPage(pub Ram, pub u64);

impl Page for RamPage {
    fn address(&self) -> u64 {
        self.1
    }

    fn clear(&mut self) {
        self.0.fill(self.1, 0);
    }

    fn word(&self, index: usize) -> u64 {
        self.0.word(self.1, index)
    }

    fn set_word(&mut self, index: usize, value: u64) {
        self.0.set_word(self.1, index, value);
    }
}
