// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the host donates to the RMM: a pool of granules, and the proof that none is lost.
//!
//! A granule leaves the pool with numbers in it, and must come back wiped, or as it was if it never left
//! Non-secure PAS. Each that comes back is written, and read, when it leaves again or by
//! [`expect_whole`].

use core::sync::atomic::{AtomicU64, Ordering};

use psmmu_host::Memory;

use crate::granule::{Granule, SharedPage};
use crate::lock::Locked;
use crate::platform::{POOL, POOL_GRANULES};

/// Bytes in a granule.
pub const GRANULE: u64 = psmmu_abi::GRANULE_SIZE as u64;

const BITS: usize = u64::BITS as usize;

/// One bit for each granule that is out, and where the search for the next one begins: behind the last
/// one, so that a cycle does not run on the memory of the one before.
static OUT: Locked<Out> = Locked::new(Out { bits: [0; POOL_GRANULES / BITS], next: 0 });

struct Out {
    bits: [u64; POOL_GRANULES / BITS],
    next: usize,
}

impl Out {
    fn contains(&self, index: usize) -> bool {
        self.bits[index / BITS] >> (index % BITS) & 1 != 0
    }

    fn flip(&mut self, index: usize) {
        self.bits[index / BITS] ^= 1 << (index % BITS);
    }

    /// Takes `count` granules out, the first one a multiple of `step`.
    fn take(&mut self, count: usize, step: usize) -> Option<usize> {
        let room = POOL_GRANULES.checked_sub(count)?;
        let is_free = |&first: &usize| (first..first + count).all(|index| !self.contains(index));
        let next = self.next.next_multiple_of(step);
        let first = (next..=room).step_by(step).chain((0..=room).step_by(step)).find(is_free)?;
        (first..first + count).for_each(|index| self.flip(index));
        self.next = first + count;
        Some(first)
    }
}

/// Granules that came back wiped.
static WIPED: AtomicU64 = AtomicU64::new(0);

/// The pool, as the host driver sees it. Every CPU may donate from it.
#[derive(Clone, Copy, Debug)]
pub struct Pool;

/// The host driver's account of what the RMM holds.
pub type MemoryDonor = psmmu_host::MemoryDonor<Pool, SharedPage>;

/// Begins an account; `page` is for lists.
pub const fn donor(page: &'static Granule) -> MemoryDonor {
    MemoryDonor::new(Pool, SharedPage(page))
}

impl Memory for Pool {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        let count = usize::try_from(granules).ok().filter(|&count| count != 0)?;
        let step = count.checked_next_power_of_two()?;
        let first = OUT.with(|out| out.take(count, step))?;
        let address = POOL + first as u64 * GRANULE;
        each(address, granules).for_each(|granule| granule.scribble());
        Some(address)
    }

    fn free(&mut self, address: u64, granules: u64) {
        for granule in each(address, granules) {
            if granule.is_zero() {
                WIPED.fetch_add(1, Ordering::Relaxed);
            } else if let Some(word) = granule.changed() {
                let (address, value) = (granule.address(), granule.word(word));
                fail!("granule {address:#x} comes back with {value:#x} in word {word}");
            }
        }
        let first = ((address - POOL) / GRANULE) as usize;
        OUT.with(|out| {
            for index in first..first + granules as usize {
                require!(out.contains(index), "granule {index} of the pool came back twice");
                out.flip(index);
            }
        });
    }

    fn leak(&mut self, address: u64, granules: u64) {
        fail!("{granules} granules from {address:#x} on are lost");
    }
}

/// Returns a granule of the pool. Reading it while it is in Realm PAS is an exception.
pub fn granule(address: u64) -> &'static Granule {
    let aligned = address.is_multiple_of(GRANULE);
    let inside = (POOL..POOL + POOL_GRANULES as u64 * GRANULE).contains(&address);
    require!(aligned && inside, "{address:#x} is no granule of the pool");
    // SAFETY: a granule of memory that is mapped, that no image uses and that only this module
    // allocates; its words are atomic, and any value is a good one.
    unsafe { &*core::ptr::with_exposed_provenance::<Granule>(address as usize) }
}

/// Returns `granules` granules of the pool from PA `address` on.
fn each(address: u64, granules: u64) -> impl Iterator<Item = &'static Granule> {
    (0..granules).map(move |index| granule(address + index * GRANULE))
}

/// Returns the addresses of the granules that are out.
pub fn addresses_out() -> impl Iterator<Item = u64> {
    (0..POOL_GRANULES)
        .filter(|&index| OUT.with(|out| out.contains(index)))
        .map(|index| POOL + index as u64 * GRANULE)
}

/// Returns how many granules are out.
pub fn out() -> u32 {
    OUT.with(|out| out.bits.iter().map(|word| word.count_ones()).sum())
}

/// Returns how many granules came back wiped.
pub fn wiped() -> u64 {
    WIPED.load(Ordering::Relaxed)
}

/// Checks that no granule is out, and that all of them can be written and read.
pub fn expect_whole() {
    expect_eq!(out(), 0, "granules that did not come back");
    each(POOL, POOL_GRANULES as u64).for_each(Granule::scribble);
    expect_kept();
}

/// Checks that all granules have what [`expect_whole`] has written.
pub fn expect_kept() {
    for granule in each(POOL, POOL_GRANULES as u64) {
        require!(
            granule.changed().is_none(),
            "granule {:#x} does not keep what is written to it",
            granule.address()
        );
    }
}
