// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory for drivers that have plain pointers: words of the test's own, kept like those of the model.
//!
//! A driver whose accesses of shared memory cannot be redirected keeps its pointers, and the test redirects
//! only its register accesses and its barriers. What one side wrote is carried over at the barrier behind
//! which the other may rely on it, and not earlier: a driver without its barriers sees what was there before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Page, Region, Smmu};

/// A piece of memory that both have.
struct Shared<'a> {
    region: Region,
    words: &'a [AtomicU64],
    /// What both had when it was last carried over: a word that differs was written since.
    carried: Vec<u64>,
}

impl Shared<'_> {
    /// Lets the device have what the driver has written.
    fn give_device(&mut self) {
        for (index, (word, carried)) in self.words.iter().zip(&mut self.carried).enumerate() {
            let value = word.load(Ordering::Relaxed);
            if value != *carried {
                *carried = value;
                self.region.store(index, value);
            }
        }
    }

    /// Lets the driver have what the device has written.
    fn give_driver(&mut self) {
        for (index, (word, carried)) in self.words.iter().zip(&mut self.carried).enumerate() {
            let value = self.region.load(index);
            if value != *carried {
                *carried = value;
                word.store(value, Ordering::Relaxed);
            }
        }
    }
}

/// A device for a driver with plain pointers. Copies are the same device and the same memory.
///
/// ```
/// use smmu_model::{Config, Mirror, Page, Register, Smmu};
///
/// let mirror = Mirror::new(Smmu::new(Config::default()));
/// // The driver's own pointer, and the physical address that its device knows it by.
/// let queue: *mut u64 = mirror.allocate(0x8000_0000, 16);
/// assert!(!queue.is_null());
/// // Its register accesses and barriers come here.
/// mirror.write32(Page::Realm0, 0x20, 0);
/// assert_eq!(mirror.read32(Page::Realm0, 0x24) & 1, 0);
/// mirror.write_barrier();
/// // The test has the device as ever.
/// assert_eq!(mirror.smmu().with(|device| device.peek(Register::Cr0)) & 1, 0);
/// ```
#[derive(Clone)]
pub struct Mirror<'a> {
    smmu: Smmu,
    shared: Arc<Mutex<Vec<Shared<'a>>>>,
}

impl std::fmt::Debug for Mirror<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("smmu", &self.smmu).finish_non_exhaustive()
    }
}

impl<'a> Mirror<'a> {
    /// Takes a device.
    #[must_use]
    pub fn new(smmu: Smmu) -> Self {
        Self { smmu, shared: Arc::default() }
    }

    /// Returns the device, for the test.
    #[must_use]
    pub const fn smmu(&self) -> &Smmu {
        &self.smmu
    }

    fn shared(&self) -> MutexGuard<'_, Vec<Shared<'a>>> {
        // A violation panics with the lock; the memory can still be inspected.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets driver and device share `words`, which lie at PA `address` for the device. Both begin with what
    /// the driver has there. It is granted until [`take_back`](Self::take_back).
    ///
    /// # Panics
    /// As [`Memory::region`](crate::Memory::region).
    pub fn share(&self, address: u64, words: &'a [AtomicU64]) {
        let region = self.smmu.memory().region(address, words.len());
        let mut shared = Shared { region, words, carried: vec![0; words.len()] };
        shared.give_device();
        self.smmu.write_barrier();
        self.shared().push(shared);
    }

    /// Ends the sharing of the memory at PA `address`, as [`Region::take_back`] does.
    ///
    /// # Panics
    /// When no memory is shared there.
    pub fn take_back(&self, address: u64) {
        let mut shared = self.shared();
        let is_it = |shared: &Shared| shared.region.address() == address;
        let index = shared.iter().position(is_it).expect("no memory is shared there");
        shared.remove(index).region.take_back();
    }

    /// Reads 32 bits at `offset` of `page`.
    #[must_use]
    pub fn read32(&self, page: Page, offset: u64) -> u32 {
        self.smmu.read32(page, offset)
    }

    /// Reads 64 bits at `offset` of `page`.
    #[must_use]
    pub fn read64(&self, page: Page, offset: u64) -> u64 {
        self.smmu.read64(page, offset)
    }

    /// Writes 32 bits at `offset` of `page`.
    pub fn write32(&self, page: Page, offset: u64, value: u32) {
        self.smmu.write32(page, offset, value);
    }

    /// Writes 64 bits at `offset` of `page`.
    pub fn write64(&self, page: Page, offset: u64, value: u64) {
        self.smmu.write64(page, offset, value);
    }

    /// As [`Smmu::read_barrier`]; from here on the driver's memory shows what the device has written.
    pub fn read_barrier(&self) {
        self.smmu.read_barrier();
        self.shared().iter_mut().for_each(Shared::give_driver);
    }

    /// As [`Smmu::write_barrier`]; the device sees what the driver has written so far.
    pub fn write_barrier(&self) {
        self.shared().iter_mut().for_each(Shared::give_device);
        self.smmu.write_barrier();
    }

    /// Orders all accesses before it ahead of all behind it, as a driver's only kind of barrier does: both
    /// of the above. Which of the two a driver needed there is not known, so the lack of a second one between
    /// entries and CONS is not noticed.
    pub fn barrier(&self) {
        self.read_barrier();
        self.write_barrier();
    }
}

impl Mirror<'static> {
    /// Makes `words` words of zeroed memory for good, lets driver and device share them by PA `address`, and
    /// returns the driver's pointer.
    ///
    /// # Panics
    /// As [`Memory::region`](crate::Memory::region).
    #[must_use]
    pub fn allocate(&self, address: u64, words: usize) -> *mut u64 {
        let words: Vec<AtomicU64> = (0..words).map(|_| AtomicU64::new(0)).collect();
        let words: &'static [AtomicU64] = Box::leak(words.into());
        self.share(address, words);
        words.first().map_or(std::ptr::null_mut(), AtomicU64::as_ptr)
    }
}
