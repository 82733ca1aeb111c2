// SPDX-License-Identifier: MIT OR Apache-2.0

//! Physical memory: regions that the driver is granted, the CPU's store buffer, and what a CPU may
//! have read ahead.
//!
//! The words of a region are what the device sees. A store of the CPU waits in a store buffer until
//! [`Smmu::write_barrier`](crate::Smmu::write_barrier); what the device wrote is hidden from the CPU
//! behind the old value until [`Smmu::read_barrier`](crate::Smmu::read_barrier).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Device;
use crate::violation::Violation;

/// Whether a region may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grant {
    NotYet,
    Granted,
    TakenBack,
}

/// Reports a region from an earlier one at the same address. The device cannot, so it makes no two
/// devices different.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity(u64);

impl Identity {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl PartialEq for Identity {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A region of physical memory, or what is left of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Block {
    /// Shared between copies of a device until one of them writes.
    words: Arc<Vec<u64>>,
    grant: Grant,
    aborts: bool,
    identity: Identity,
}

/// The physical memory of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PhysicalMemory {
    blocks: BTreeMap<u64, Block>,
    /// Addresses that take MSIs, and whether they are Non-secure.
    pub doorbells: BTreeMap<u64, bool>,
    /// Addresses that MSIs are aborted at, whatever is there.
    pub refused: BTreeSet<u64>,
    /// Stores of the CPU that the device does not see yet.
    store_buffer: BTreeMap<u64, u64>,
    /// What the CPU still sees where the device has written.
    stale: BTreeMap<u64, u64>,
    pub hides_device_writes: bool,
    hides_cpu_writes: bool,
}

/// An access of the device ended with an external abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abort;

/// Where a device access goes.
enum Target {
    Word,
    Abort,
    Forbidden(Violation),
}

impl PhysicalMemory {
    pub fn new() -> Self {
        Self {
            blocks: BTreeMap::new(),
            doorbells: BTreeMap::new(),
            refused: BTreeSet::new(),
            store_buffer: BTreeMap::new(),
            stale: BTreeMap::new(),
            hides_device_writes: true,
            hides_cpu_writes: true,
        }
    }

    /// Finds the region that holds `address`.
    fn block(&self, address: u64) -> Option<(u64, &Block)> {
        let (&base, block) = self.blocks.range(..=address).next_back()?;
        ((address - base) / 8 < block.words.len() as u64).then_some((base, block))
    }

    fn block_mut(&mut self, address: u64) -> &mut Block {
        let found = self.blocks.range_mut(..=address).next_back();
        found.map(|(_, block)| block).expect("no region there")
    }

    /// Returns the blocks that have words between `first` and `end`, the highest first.
    fn overlapping(&self, first: u64, end: u64) -> impl Iterator<Item = (u64, &Block)> {
        let below = self.blocks.range(..end).rev().map(|(&base, block)| (base, block));
        below.take_while(move |(base, block)| base + 8 * block.words.len() as u64 > first)
    }

    /// Returns the words between `first` and `end` that are there, as the device sees them.
    pub fn words_in(&self, first: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        self.overlapping(first, end).flat_map(move |(base, block)| {
            let from = (first.saturating_sub(base) / 8) as usize;
            let to = ((end - base).div_ceil(8) as usize).min(block.words.len());
            let addresses = (base + 8 * from as u64..).step_by(8);
            addresses.zip(block.words[from..to].iter().copied())
        })
    }

    /// Parts the block that holds `address`, if any, so that one begins there.
    fn cut(&mut self, address: u64) {
        let Some((base, _)) = self.block(address) else { return };
        if base == address {
            return;
        }
        let block = self.block_mut(base);
        let (lower, upper) = block.words.split_at(((address - base) / 8) as usize);
        let (lower, upper) = (Arc::new(lower.to_vec()), Arc::new(upper.to_vec()));
        let other = Block { words: upper, ..block.clone() };
        block.words = lower;
        self.blocks.insert(address, other);
    }

    /// Makes a region, in the place of what was taken back there.
    fn insert(&mut self, address: u64, words: usize, grant: Grant) -> Identity {
        assert!(words > 0 && address.is_multiple_of(8), "no region at {address:#x}");
        let end = address.checked_add(8 * words as u64).expect("a region ends within 2^64");
        let is_free = |(_, block): (u64, &Block)| block.grant == Grant::TakenBack;
        assert!(self.overlapping(address, end).all(is_free), "two regions at {address:#x}");
        self.cut(address);
        self.cut(end);
        let old: Vec<u64> = self.blocks.range(address..end).map(|(&base, _)| base).collect();
        for base in old {
            self.blocks.remove(&base);
        }
        let identity = Identity::fresh();
        let words = Arc::new(vec![0; words]);
        self.blocks.insert(address, Block { words, grant, aborts: false, identity });
        identity
    }

    /// Takes the words between `first` and `end` back. What CPUs have stored there is on its way no
    /// more: that is up to its next owner.
    pub fn take_back(&mut self, first: u64, end: u64) {
        let stores: Vec<_> = self.store_buffer.range(first..end).map(|(&at, &v)| (at, v)).collect();
        for (address, value) in stores {
            self.store_buffer.remove(&address);
            self.write(address, value);
        }
        self.stale.retain(|address, _| !(first..end).contains(address));
        self.cut(first);
        self.cut(end);
        for block in self.blocks.range_mut(first..end).map(|(_, block)| block) {
            block.grant = Grant::TakenBack;
        }
    }

    fn is_guard(&self, address: u64, guard_bytes: u64) -> bool {
        let above = self.blocks.range(address..).next();
        let below = self.blocks.range(..=address).next_back();
        above.is_some_and(|(base, _)| base - address <= guard_bytes)
            || below.is_some_and(|(base, block)| {
                address - (base + 8 * block.words.len() as u64) < guard_bytes
            })
    }

    fn target(&self, address: u64, write: bool, guard_bytes: u64) -> Target {
        match self.block(address) {
            Some((_, Block { grant: Grant::NotYet, .. })) => {
                Target::Forbidden(Violation::DeviceUsedUngranted { address, write })
            }
            Some((_, Block { grant: Grant::TakenBack, .. })) => {
                Target::Forbidden(Violation::DeviceUsedTakenBack { address, write })
            }
            Some((_, Block { aborts: true, .. })) => Target::Abort,
            Some(_) => Target::Word,
            None if self.is_guard(address, guard_bytes) => {
                Target::Forbidden(Violation::DeviceUsedGuard { address, write })
            }
            None => Target::Abort,
        }
    }

    /// Reads the word that holds `address` as the device sees it.
    pub fn peek(&self, address: u64) -> Option<u64> {
        let (base, block) = self.block(address)?;
        block.words.get(((address - base) / 8) as usize).copied()
    }

    /// Returns the first address in `first..end` that a store of the CPU still waits for.
    pub fn unseen_store(&self, first: u64, end: u64) -> Option<u64> {
        if first >= end {
            return None;
        }
        self.store_buffer.range(first..end).next().map(|(&address, _)| address)
    }

    /// Returns the store to `address` that the device does not see yet.
    pub fn unseen(&self, address: u64) -> Option<u64> {
        self.store_buffer.get(&address).copied()
    }

    /// Returns the stores that the device does not see yet, by their addresses.
    pub fn stores(&self) -> impl Iterator<Item = (u64, u64)> {
        self.store_buffer.iter().map(|(&address, &value)| (address, value))
    }

    /// Lets the device see all stores of the CPU.
    pub fn drain_stores(&mut self) {
        for (address, value) in std::mem::take(&mut self.store_buffer) {
            self.stale.remove(&address);
            self.write(address, value);
        }
    }

    /// Lets the CPU see all writes of the device.
    pub fn drop_stale(&mut self) {
        self.stale.clear();
    }

    fn write(&mut self, address: u64, value: u64) {
        let Some((base, _)) = self.block(address) else { return };
        let block = self.block_mut(base);
        let index = ((address - base) / 8) as usize;
        if block.words[index] != value {
            Arc::make_mut(&mut block.words)[index] = value;
        }
    }

    fn cpu_load(&self, address: u64) -> u64 {
        let early = self.store_buffer.get(&address).or_else(|| self.stale.get(&address));
        early.copied().or_else(|| self.peek(address)).unwrap_or(0)
    }

    fn is_stale(&self, address: u64) -> bool {
        self.stale.contains_key(&address)
    }
}

impl Device {
    /// Reads a word as the device.
    pub(crate) fn fetch(&mut self, address: u64) -> Result<u64, Abort> {
        match self.memory.target(address, false, self.config.guard_bytes) {
            Target::Word => self.memory.peek(address).ok_or(Abort),
            Target::Abort => Err(Abort),
            Target::Forbidden(violation) => {
                self.violate(violation);
                Err(Abort)
            }
        }
    }

    /// Writes words as the device, all or none of them; `at_once` lets the CPU see them without a
    /// barrier.
    pub(crate) fn put(&mut self, address: u64, words: &[u64], at_once: bool) -> Result<(), Abort> {
        let addresses = || (0..words.len() as u64).map(|word| address + 8 * word);
        for address in addresses() {
            match self.memory.target(address, true, self.config.guard_bytes) {
                Target::Word => {}
                Target::Abort => return Err(Abort),
                Target::Forbidden(violation) => {
                    self.violate(violation);
                    return Err(Abort);
                }
            }
        }
        for (address, &value) in addresses().zip(words) {
            if self.memory.hides_device_writes && !at_once {
                let seen = self.memory.peek(address).unwrap_or(0);
                self.memory.stale.entry(address).or_insert(seen);
            }
            self.memory.write(address, value);
        }
        Ok(())
    }

    pub(crate) fn cpu_load(&mut self, address: u64, identity: Identity) -> u64 {
        if !self.may_use(address, identity, false) {
            return 0;
        }
        if self.memory.is_stale(address) && self.is_waiting_entry(address) {
            self.violate(Violation::ReadWithoutBarrier { address });
        }
        self.note_entry_read(address);
        self.memory.cpu_load(address)
    }

    pub(crate) fn cpu_store(&mut self, address: u64, identity: Identity, value: u64) {
        if !self.may_use(address, identity, true) {
            return;
        }
        self.memory.store_buffer.insert(address, value);
        if !self.memory.hides_cpu_writes {
            self.drain_stores();
        }
    }

    /// Checks that the driver has the memory at `address`, and has it by the handle of that region.
    fn may_use(&mut self, address: u64, identity: Identity, write: bool) -> bool {
        let granted = self.memory.block(address).is_some_and(|(_, block)| {
            block.grant == Grant::Granted && block.identity.0 == identity.0
        });
        if !granted {
            self.violate(Violation::DriverUsedUngranted { address, write });
        }
        granted
    }

    /// Reads the word at `address` as the device would, for the test: nothing is checked. `None` where
    /// there is no memory.
    #[must_use]
    pub fn load(&self, address: u64) -> Option<u64> {
        self.memory.peek(address)
    }

    /// Writes the word at `address` for the test: nothing is checked, and it is visible to CPU and
    /// device at once.
    pub fn store(&mut self, address: u64, value: u64) {
        self.memory.store_buffer.remove(&address);
        self.memory.stale.remove(&address);
        self.memory.write(address, value);
    }

    /// Chooses whether a CPU sees writes of the device only from the next read barrier on, and the
    /// device those of the CPU only from the next write barrier on. Both are so by default.
    pub fn hide_writes(&mut self, of_device: bool, of_cpu: bool) {
        self.memory.hides_device_writes = of_device;
        self.memory.hides_cpu_writes = of_cpu;
        if !of_device {
            self.memory.drop_stale();
            self.eventq.entries_read = false;
            self.priq.entries_read = false;
        }
        if !of_cpu {
            self.drain_stores();
        }
    }

    /// Makes `words` words of zeroed memory at `address`, granted to the driver or not yet. It may be
    /// done at any time, and where memory was taken back.
    ///
    /// # Panics
    /// When the region is empty, not aligned to 8 bytes, or overlaps one that was not taken back.
    pub fn add_region(&mut self, address: u64, words: usize, granted: bool) {
        self.insert_region(address, words, granted);
    }

    pub(crate) fn insert_region(&mut self, address: u64, words: usize, granted: bool) -> Identity {
        let grant = if granted { Grant::Granted } else { Grant::NotYet };
        self.memory.insert(address, words, grant)
    }

    /// Returns words and identity of the region that begins at `address`.
    pub(crate) fn find_region(&self, address: u64) -> Option<(usize, Identity)> {
        self.memory.blocks.get(&address).map(|block| (block.words.len(), block.identity))
    }

    /// Returns the words of the region that begins at `address`.
    #[must_use]
    pub fn region_words(&self, address: u64) -> Option<usize> {
        self.memory.blocks.get(&address).map(|block| block.words.len())
    }

    /// Grants the region at `address` to the driver, as it is.
    ///
    /// # Panics
    /// When there is none.
    pub fn grant(&mut self, address: u64) {
        self.memory.block_mut(address).grant = Grant::Granted;
    }

    /// Writes `value` to all words of the region at `address`, for the test: memory of a host holds
    /// anything.
    ///
    /// # Panics
    /// When there is none.
    pub fn fill(&mut self, address: u64, value: u64) {
        let words = self.region_words(address).expect("no region there");
        for address in (address..).step_by(8).take(words) {
            self.store(address, value);
        }
    }

    /// Makes all device accesses of the region at `address` end with an external abort, as a granule
    /// protection fault does, or stops that.
    ///
    /// # Panics
    /// When there is none.
    pub fn abort_accesses(&mut self, address: u64, aborts: bool) {
        self.memory.block_mut(address).aborts = aborts;
    }

    /// Makes the 32-bit word at `address`, of the Non-secure or the Realm address space, take MSIs.
    pub fn add_doorbell(&mut self, address: u64, non_secure: bool) {
        self.memory.doorbells.insert(address, non_secure);
    }

    /// Makes all MSIs to the 32-bit word at `address` end with an abort, whatever is there, or ends
    /// that.
    pub fn refuse_msis(&mut self, address: u64, refuse: bool) {
        if refuse {
            self.memory.refused.insert(address);
        } else {
            self.memory.refused.remove(&address);
        }
    }
}
