// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interfaces that a kernel implements: a page shared with the RMM, and memory to donate.

/// A granule of the host that the RMM may read and write, accessed in words of 8 bytes.
///
/// The RMM accesses it during a call: the compiler must neither cache nor repeat accesses (volatile or
/// atomic), and the CPU's mapping must be cacheable like the RMM's.
pub trait Page {
    /// Returns its PA in bytes, a multiple of 4096.
    fn address(&self) -> u64;

    /// Clears it to zero.
    fn clear(&mut self);

    /// Returns word `index`, 0 to 511.
    fn word(&self, index: usize) -> u64;

    /// Writes `value` to word `index`, 0 to 511.
    fn set_word(&mut self, index: usize, value: u64);
}

impl<P: Page + ?Sized> Page for &mut P {
    fn address(&self) -> u64 {
        (**self).address()
    }

    fn clear(&mut self) {
        (**self).clear();
    }

    fn word(&self, index: usize) -> u64 {
        (**self).word(index)
    }

    fn set_word(&mut self, index: usize, value: u64) {
        (**self).set_word(index, value);
    }
}

/// An allocator of memory that can be donated to the RMM, by PA and in granules of 4 KiB.
///
/// Allocated memory is in Realm PAS until it is freed, so the kernel must not access it meanwhile, not
/// even speculatively through a mapping.
pub trait Memory {
    /// Allocates `granules` granules as one region, aligned to its size rounded up to a power of two, and
    /// returns its PA in bytes; `None` if there is none at present.
    fn allocate(&mut self, granules: u64) -> Option<u64>;

    /// Frees `granules` granules from PA `address` on. The RMM chooses the ranges in which it returns
    /// memory: a range may be a part of one allocation or span several, so free it granule by granule. No
    /// granule is freed twice. Its contents are arbitrary.
    fn free(&mut self, address: u64, granules: u64);

    /// Leaks `granules` granules from PA `address` on: the RMM did not return them or did not undelegate
    /// them. They must never be used again; an access may fault.
    fn leak(&mut self, address: u64, granules: u64);
}

impl<M: Memory + ?Sized> Memory for &mut M {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        (**self).allocate(granules)
    }

    fn free(&mut self, address: u64, granules: u64) {
        (**self).free(address, granules);
    }

    fn leak(&mut self, address: u64, granules: u64) {
        (**self).leak(address, granules);
    }
}
