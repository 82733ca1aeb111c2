// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory, and whose it is.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use psmmu::{HostFault, HostGranule, HostMemory};
use psmmu_abi::MemoryCategory;
use rmm::{Bank, DeviceRegion, Dram};

/// Bytes of a granule.
const GRANULE: u64 = 4096;
/// Words of a granule.
const WORDS: usize = 512;

/// Physical address space of a granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pas {
    /// The host's.
    NonSecure,
    /// Of the Realm world.
    Realm,
    /// Of the Secure world: no part of these tests ever gets it.
    Secure,
}

/// A granule that is not simply the host's and zero.
#[derive(Debug)]
struct Granule {
    pas: Pas,
    words: Box<[u64; WORDS]>,
}

impl Default for Granule {
    fn default() -> Self {
        Self { pas: Pas::NonSecure, words: Box::new([0; WORDS]) }
    }
}

#[derive(Debug, Default)]
struct Inner {
    banks: Vec<Range<u64>>,
    devices: Vec<DeviceRegion>,
    granules: HashMap<u64, Granule>,
    /// Accesses as [`HostMemory`] until one faults.
    until_fault: Option<u32>,
}

impl Inner {
    fn category(&self, address: u64) -> MemoryCategory {
        let holds = |&&DeviceRegion { bank, .. }: &&DeviceRegion| {
            address.wrapping_sub(bank.base()) < bank.size()
        };
        let device = self.devices.iter().find(holds);
        device.map_or(MemoryCategory::Conventional, |region| region.category)
    }

    fn is_memory(&self, address: u64) -> bool {
        self.banks.iter().any(|bank| bank.contains(&address))
    }

    fn pas(&self, address: u64) -> Pas {
        self.granules.get(&address).map_or(Pas::NonSecure, |granule| granule.pas)
    }

    /// Finds a granule for an access as [`HostMemory`].
    fn accessor(&mut self, granule: HostGranule) -> Result<&mut [u64; WORDS], HostFault> {
        match &mut self.until_fault {
            Some(0) => {
                self.until_fault = None;
                return Err(HostFault);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.of_host(granule.address())
    }

    /// Finds a granule for an access from the Non-secure world.
    fn of_host(&mut self, address: u64) -> Result<&mut [u64; WORDS], HostFault> {
        if !self.is_memory(address) || self.pas(address) != Pas::NonSecure {
            return Err(HostFault);
        }
        Ok(&mut self.granules.entry(address).or_default().words)
    }
}

/// Memory with a granule protection table. Copies are the same memory.
///
/// As [`HostMemory`] it is the RMM's accessor to the host's granules. The other methods that take a granule are
/// the host's own accesses, which fail the test where a CPU would take a granule protection fault.
#[derive(Clone, Debug, Default)]
pub struct Ram(Arc<Mutex<Inner>>);

impl Ram {
    /// Makes the memory of `banks`, all of it the host's and zero.
    #[must_use]
    pub fn new(banks: &[Bank]) -> Self {
        let banks = banks.iter().map(|bank| bank.base()..bank.base() + bank.size()).collect();
        Self(Arc::new(Mutex::new(Inner { banks, ..Inner::default() })))
    }

    /// Makes the memory of `dram`.
    #[must_use]
    pub fn of(dram: &Dram) -> Self {
        Self::new(dram.banks())
    }

    /// Adds device memory, which is never accessed.
    #[must_use]
    pub fn with_devices(self, devices: &[DeviceRegion]) -> Self {
        self.inner().devices = devices.into();
        self
    }

    /// Returns what kind of memory a granule is.
    #[must_use]
    pub fn category(&self, granule: u64) -> MemoryCategory {
        self.inner().category(granule)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A failed check panics with the lock; what is there can still be read.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, granule: u64, access: impl FnOnce(&mut [u64; WORDS]) -> T) -> T {
        match self.inner().of_host(granule) {
            Ok(words) => access(words),
            Err(HostFault) => panic!("the host faults at {granule:#x}"),
        }
    }

    /// Returns whose `granule` is; what is no memory counts as the host's.
    #[must_use]
    pub fn pas(&self, granule: u64) -> Pas {
        self.inner().pas(granule)
    }

    /// Returns the granules of the Realm world, in order.
    #[must_use]
    pub fn realm(&self) -> Vec<u64> {
        let inner = self.inner();
        let realm = inner.granules.iter().filter(|(_, granule)| granule.pas == Pas::Realm);
        let mut realm: Vec<_> = realm.map(|(&address, _)| address).collect();
        realm.sort_unstable();
        realm
    }

    /// Returns all words of a granule, as the host reads them.
    #[must_use]
    pub fn page(&self, granule: u64) -> [u64; WORDS] {
        self.with(granule, |words| *words)
    }

    /// Returns a word of a granule, as the host reads it.
    #[must_use]
    pub fn word(&self, granule: u64, index: usize) -> u64 {
        self.with(granule, |words| words[index])
    }

    /// Writes a word of a granule, as the host does.
    pub fn set_word(&self, granule: u64, index: usize, value: u64) {
        self.with(granule, |words| words[index] = value);
    }

    /// Writes all words of a granule, as the host does.
    pub fn fill(&self, granule: u64, value: u64) {
        self.with(granule, |words| words.fill(value));
    }

    /// Makes an access as [`HostMemory`] fault once, after so many accesses that do not: another
    /// CPU of the host has moved the granule away, and brings it back. `None` ends that.
    pub fn fault_after(&self, accesses: Option<u32>) {
        self.inner().until_fault = accesses;
    }

    /// Gives a granule to the Realm world as EL3 does: refuses what is not the host's.
    #[must_use]
    pub fn delegate(&self, granule: u64) -> bool {
        let mut inner = self.inner();
        let is_there =
            inner.is_memory(granule) || inner.category(granule) != MemoryCategory::Conventional;
        if !is_there || inner.pas(granule) != Pas::NonSecure {
            return false;
        }
        inner.granules.entry(granule).or_default().pas = Pas::Realm;
        true
    }

    /// Gives a granule to the Secure world, as EL3 does on its own account.
    pub fn set_secure(&self, granule: u64) {
        self.inner().granules.entry(granule).or_default().pas = Pas::Secure;
    }

    /// Takes a granule from the Realm world.
    ///
    /// # Panics
    /// When it is not there: EL3 and the RMM disagree.
    pub fn undelegate(&self, granule: u64) {
        let mut inner = self.inner();
        assert_eq!(inner.pas(granule), Pas::Realm, "undelegate of {granule:#x}");
        inner.granules.entry(granule).or_default().pas = Pas::NonSecure;
    }

    /// Zeroes a granule of the Realm world.
    ///
    /// # Panics
    /// When it is not one, or is device memory.
    pub fn wipe(&self, granule: u64) {
        let mut inner = self.inner();
        assert_eq!(inner.category(granule), MemoryCategory::Conventional, "wipe of {granule:#x}");
        assert_eq!(inner.pas(granule), Pas::Realm, "wipe of {granule:#x}");
        inner.granules.entry(granule).or_default().words.fill(0);
    }

    /// Returns all words of a granule of the Realm world, as the RMM reads them.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn realm_page(&self, granule: u64) -> [u64; WORDS] {
        let mut inner = self.inner();
        assert_eq!(inner.pas(granule), Pas::Realm, "the RMM touches {granule:#x}");
        *inner.granules.entry(granule).or_default().words
    }

    /// Returns the granules that `address..address + bytes` touches.
    pub fn granules(address: u64, bytes: u64) -> impl Iterator<Item = u64> {
        (address..address + bytes).step_by(GRANULE as usize)
    }
}

impl HostMemory for Ram {
    fn read(&self, granule: HostGranule, first: usize, words: &mut [u64]) -> Result<(), HostFault> {
        let mut inner = self.inner();
        let page = inner.accessor(granule)?;
        let part = page.get(first..first + words.len()).ok_or(HostFault)?;
        words.copy_from_slice(part);
        Ok(())
    }

    fn write(&self, granule: HostGranule, first: usize, words: &[u64]) -> Result<(), HostFault> {
        let mut inner = self.inner();
        let page = inner.accessor(granule)?;
        let part = page.get_mut(first..first + words.len()).ok_or(HostFault)?;
        part.copy_from_slice(words);
        Ok(())
    }

    fn replace(&self, granule: HostGranule, words: &[u64]) -> Result<(), HostFault> {
        let mut inner = self.inner();
        let page = inner.accessor(granule)?;
        page.get_mut(..words.len()).ok_or(HostFault)?.copy_from_slice(words);
        page[words.len()..].fill(0);
        Ok(())
    }
}
