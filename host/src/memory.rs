// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a kernel donates to the driver: pages to talk through, and memory to hand over.

/// A granule of the host that the RMM may read and write, in words of eight bytes.
///
/// The RMM is on the other side while a call lasts: reads must not be cached or repeated by the
/// compiler (volatile or atomic), and the CPU's mapping must be cacheable like the RMM's.
pub trait Page {
    /// Returns its PA, a multiple of 4096.
    fn address(&self) -> u64;

    /// Makes it all zero.
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

/// Memory that can be handed over to the RMM, by PA and in granules of 4 KiB.
///
/// What is allocated leaves the host's world until it is freed, so nothing of the kernel may touch it
/// meanwhile, not even by speculation through a mapping that would fault.
pub trait Memory {
    /// Allocates `granules` granules as one region, aligned to its size rounded up to a power of two,
    /// and returns its PA; `None` if there is none just now.
    fn allocate(&mut self, granules: u64) -> Option<u64>;

    /// Takes back `granules` granules from PA `address` on. The RMM gives memory back in pieces of its
    /// own: this may be a part of what was allocated at once or neighbours of several allocations, so
    /// take it granule by granule. No granule comes twice. What it contains is arbitrary.
    fn free(&mut self, address: u64, granules: u64);

    /// Is reported that `granules` granules from PA `address` on are lost: the RMM did not give them back
    /// or did not let them out of the Realm world. They must never be used again; an access may
    /// fault.
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
