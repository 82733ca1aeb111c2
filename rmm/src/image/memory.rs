// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory: the room behind the image, and what the host donates.
//!
//! All of it is Realm memory, mapped one to one, so an address of the CPU is a PA.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use psmmu::DeviceMemory;
use rmm::Region;

use super::mmu;

/// Takes room for `count` words behind the image, or for as many as there is, and zeroes it.
///
/// # Safety
/// Called at most once, while the first CPU boots.
pub unsafe fn take_room(count: usize) -> &'static [AtomicU64] {
    const WORD: usize = size_of::<u64>();
    let (address, bytes) = mmu::map_room(count.saturating_mul(WORD));
    let words = core::ptr::with_exposed_provenance_mut::<AtomicU64>(address);
    let count = count.min(bytes / WORD);
    // SAFETY: the words are mapped, writable, and aligned as pages are; nothing else uses that memory
    // (`map_room`), nor another caller of this function (its condition); and they are written first.
    unsafe {
        words.write_bytes(0, count);
        core::slice::from_raw_parts(words, count)
    }
}

/// Realm memory that a PSMMU uses.
#[derive(Debug)]
pub struct Shared {
    words: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the words are read and written as atomics only.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Opens a region that the host has donated.
    ///
    /// # Safety
    /// 1. The region is mapped one to one, writable, as Realm memory, and stays so.
    /// 2. It is Realm memory as long as this is used: the granules are in use, and the caller that ends that
    ///    uses this no longer.
    /// 3. No Rust reference to any of it exists meanwhile, and no other value for it is used.
    pub unsafe fn open(region: Region) -> Self {
        let words = core::ptr::with_exposed_provenance_mut(region.address as usize);
        // The granule at address 0, of which there can be no pointer, is never tracked.
        match NonNull::new(words) {
            Some(words) => Self { words, count: region.bytes() as usize / size_of::<u64>() },
            None => Self { words: NonNull::dangling(), count: 0 },
        }
    }

    /// Takes a word of the image's own.
    ///
    /// # Safety
    /// Nothing else uses the word, and no other value for it, while a device may.
    pub const unsafe fn word(word: &'static AtomicU64) -> Self {
        Self { words: NonNull::from_ref(word), count: 1 }
    }

    /// Returns the word at `index`, if there is one.
    fn get(&self, index: usize) -> Option<&AtomicU64> {
        // SAFETY: the word is mapped, aligned, used as an atomic only, and ours while `self` is
        // (conditions of `open`, or the image's own).
        (index < self.count).then(|| unsafe { self.words.add(index).as_ref() })
    }
}

// SAFETY: 1. The address of the words is their PA, and they are used as atomics. 2., 3. As the conditions of `open`
// and `word` say; the value cannot be cloned, and to drop it does nothing.
unsafe impl DeviceMemory for Shared {
    fn address(&self) -> u64 {
        self.words.as_ptr().expose_provenance() as u64
    }

    fn words(&self) -> usize {
        self.count
    }

    #[inline]
    fn load(&self, index: usize) -> u64 {
        self.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }
}
