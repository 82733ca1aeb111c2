// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to Realm memory that an SMMU reads or writes too: queues and tables.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use psmmu::DeviceMemory;

use crate::types::{Error, Queue, Region};

/// Most bytes of a piece: the largest queue there is.
const MAX_BYTES: u64 = 32 << MAX_LOG2;
/// Log2 of the most entries of a queue.
const MAX_LOG2: u64 = 19;

/// Realm memory that an SMMU and the CPUs share.
#[derive(Debug)]
pub struct Shared {
    words: NonNull<AtomicU64>,
    count: usize,
    address: u64,
}

// SAFETY: the words are read and written as atomics only.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Takes memory by its VA and PA; `None` if there is none, which a null VA says.
    ///
    /// # Errors
    /// When it is not aligned to words, or larger than anything that an SMMU uses.
    ///
    /// # Safety
    /// Unless `va` is null:
    /// 1. `bytes` bytes from there on are mapped, readable and writable, as normal memory of the Realm
    ///    world, as long as the value is used.
    /// 2. Nothing but an SMMU and this library reads or writes them meanwhile, nor is another value made for any
    ///    of them; should an SMMU still have them when the value is dropped, also after that.
    /// 3. They lie at PA `pa`.
    pub unsafe fn new(va: *mut c_void, pa: u64, bytes: u64) -> Result<Option<Self>, Error> {
        let Some(words) = NonNull::new(va.cast::<AtomicU64>()) else {
            return Ok(None);
        };
        if !words.is_aligned() || !pa.is_multiple_of(8) || bytes > MAX_BYTES {
            return Err(Error::Memory);
        }
        Ok(Some(Self { words, count: (bytes / 8) as usize, address: pa }))
    }

    /// Takes a queue that runs, with entries of `entry_bytes`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Safety
    /// As [`new`](Self::new), for all entries.
    pub unsafe fn queue(queue: &Queue, entry_bytes: u64) -> Result<Option<Self>, Error> {
        if queue.log2_entries > MAX_LOG2 {
            return Err(Error::Memory);
        }
        let bytes = entry_bytes.wrapping_shl(queue.log2_entries as u32);
        // SAFETY: the conditions are the same.
        unsafe { Self::new(queue.va, queue.pa, bytes) }
    }

    /// Takes a piece for an activation.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Safety
    /// As [`new`](Self::new).
    pub unsafe fn piece(piece: &Region) -> Result<Option<Self>, Error> {
        // SAFETY: the conditions are the same.
        unsafe { Self::new(piece.va, piece.pa, piece.bytes) }
    }

    /// Returns the VA.
    #[must_use]
    pub const fn va(&self) -> *mut c_void {
        self.words.as_ptr().cast()
    }

    /// Returns what to give back.
    #[must_use]
    pub const fn into_region(self) -> Region {
        Region { va: self.va(), pa: self.address, bytes: (self.count as u64).wrapping_mul(8) }
    }

    /// Zeroes it.
    pub fn wipe(&self) {
        for index in 0..self.count {
            self.store(index, 0);
        }
    }

    fn get(&self, index: usize) -> Option<&AtomicU64> {
        // SAFETY: the word lies within what was given (condition 1 of `new`), is aligned, as the first
        // one is, and this world uses it as an atomic only (condition 2).
        (index < self.count).then(|| unsafe { self.words.add(index).as_ref() })
    }
}

// SAFETY: 1. The address is that of the words (condition 3 of `new`), which are used as atomics. 2., 3. As
// condition 2 of `new` says; the value cannot be cloned.
unsafe impl DeviceMemory for Shared {
    fn address(&self) -> u64 {
        self.address
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
