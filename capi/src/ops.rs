// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the embedder's functions: host memory, owners of streams, the clock, level-2 tables.

use core::ffi::c_void;

use psmmu::{Clock, DeviceMemory, HostFault, HostGranule, HostMemory, TableMemory, VsmmuLookup};
use psmmu_abi::GRANULE_SIZE;

use crate::memory::Shared;
use crate::types::{API_VERSION, Error, Ops};

/// The embedder's functions, of which those are there that must be.
#[derive(Clone, Copy, Debug)]
pub struct Callbacks {
    ops: Ops,
    replace_granule: unsafe extern "C" fn(*mut c_void, u64, *const u64, usize) -> bool,
    microseconds: unsafe extern "C" fn(*mut c_void) -> u64,
}

// SAFETY: the functions may be called on any CPU (the condition of `Callbacks::new`), and the cookie goes
// nowhere but to them.
unsafe impl Send for Callbacks {}
// SAFETY: as above, on several CPUs at once.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    /// Takes the functions.
    ///
    /// # Errors
    /// When they are of another version, or one is missing.
    ///
    /// # Safety
    /// Each function that is there does what the header says, on several CPUs at once, for good.
    pub unsafe fn new(ops: &Ops) -> Result<Self, Error> {
        if ops.version != API_VERSION {
            return Err(Error::Version);
        }
        let replace_granule = ops.replace_granule.ok_or(Error::Inval)?;
        let microseconds = ops.microseconds.ok_or(Error::Inval)?;
        Ok(Self { ops: *ops, replace_granule, microseconds })
    }

    /// Returns whether there is a function that opens granules.
    #[must_use]
    pub const fn can_open(&self) -> bool {
        self.ops.open_granule.is_some()
    }

    /// Closes what the embedder has opened at `va`.
    fn close(&self, va: *mut c_void) {
        if let Some(close) = self.ops.close_granule {
            // SAFETY: it was opened by the embedder, and nothing of it is used any more.
            unsafe { close(self.ops.cookie, va) }
        }
    }
}

impl HostMemory for Callbacks {
    fn read(&self, granule: HostGranule, first: usize, words: &mut [u64]) -> Result<(), HostFault> {
        let read = self.ops.read_granule.ok_or(HostFault)?;
        let (to, count) = (words.as_mut_ptr(), words.len());
        // SAFETY: the function does what it is for (the condition of `Callbacks::new`): it writes no more
        // than `count` words from `to` on, which are ours.
        if unsafe { read(self.ops.cookie, granule.address(), first, to, count) } {
            Ok(())
        } else {
            Err(HostFault)
        }
    }

    /// No function of this library writes a part of a granule.
    fn write(&self, _: HostGranule, _: usize, _: &[u64]) -> Result<(), HostFault> {
        Err(HostFault)
    }

    fn replace(&self, granule: HostGranule, words: &[u64]) -> Result<(), HostFault> {
        let (from, count) = (words.as_ptr(), words.len());
        // SAFETY: as in `read`; it reads `count` words from `from` on and writes the host's memory.
        if unsafe { (self.replace_granule)(self.ops.cookie, granule.address(), from, count) } {
            Ok(())
        } else {
            Err(HostFault)
        }
    }
}

impl VsmmuLookup for Callbacks {
    #[inline]
    fn is_owned(&self, stream: u32) -> bool {
        match self.ops.owns_stream {
            // SAFETY: the function only answers (the condition of `Callbacks::new`).
            Some(owns) => unsafe { owns(self.ops.cookie, stream) },
            None => false,
        }
    }
}

impl Clock for Callbacks {
    fn microseconds(&self) -> u64 {
        // SAFETY: the function only answers (the condition of `Callbacks::new`).
        unsafe { (self.microseconds)(self.ops.cookie) }
    }
}

/// A level-2 stream table while it is open.
#[derive(Debug)]
pub struct OpenGranule {
    callbacks: Callbacks,
    memory: Shared,
}

impl Drop for OpenGranule {
    fn drop(&mut self) {
        self.callbacks.close(self.memory.va());
    }
}

// SAFETY: 1. to 3. Those of the memory: each call goes on to it.
unsafe impl DeviceMemory for OpenGranule {
    fn address(&self) -> u64 {
        self.memory.address()
    }

    fn words(&self) -> usize {
        self.memory.words()
    }

    fn load(&self, index: usize) -> u64 {
        self.memory.load(index)
    }

    fn store(&self, index: usize, value: u64) {
        self.memory.store(index, value);
    }
}

// SAFETY: 1. The memory is at the address that was asked for, as the embedder's function has it (the condition
// of `Callbacks::new`), and is one granule. 2. The embedder opens none but granules that it has given for
// tables, and uses them for nothing else until they are back (the condition of `Callbacks::new`).
unsafe impl TableMemory for Callbacks {
    type Memory = OpenGranule;

    fn open(&self, address: u64) -> Option<OpenGranule> {
        let open = self.ops.open_granule?;
        // SAFETY: the function does what it is for (the condition of `Callbacks::new`).
        let va = unsafe { open(self.ops.cookie, address) };
        // SAFETY: 1., 3. The embedder has opened the granule, until it is closed, which is when the
        // value is dropped. 2. It has given the granule for a table of an SMMU.
        match unsafe { Shared::new(va, address, GRANULE_SIZE as u64) } {
            Ok(memory) => memory.map(|memory| OpenGranule { callbacks: *self, memory }),
            Err(_) => {
                // Open all the same, at an address that is none for words.
                self.close(va);
                None
            }
        }
    }
}
