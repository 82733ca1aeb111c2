// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the host lends to the RMM: a pool of granules, and the proof that none is lost.
//!
//! A granule leaves the pool with numbers in it, and must come back wiped, or as it was if it never left
//! the host's world.

use psmmu_host::Memory;

use crate::granule::{Granule, Lent};
use crate::lock::Locked;
use crate::platform::{POOL, POOL_GRANULES};

/// Bytes in a granule.
pub const GRANULE: u64 = psmmu_abi::GRANULE_SIZE as u64;

const BITS: usize = u64::BITS as usize;

/// One bit for each granule that is out.
static OUT: Locked<[u64; POOL_GRANULES / BITS]> = Locked::new([0; POOL_GRANULES / BITS]);

/// The pool, as the host driver sees it. Every CPU may lend from it.
#[derive(Clone, Copy, Debug)]
pub struct Pool;

/// The host driver's account of what the RMM holds.
pub type Lender = psmmu_host::Lender<Pool, Lent>;

/// Begins an account; `page` is for lists.
pub const fn lender(page: &'static Granule) -> Lender {
    Lender::new(Pool, Lent(page))
}

impl Memory for Pool {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        let count = usize::try_from(granules).ok().filter(|&count| count != 0)?;
        let step = count.checked_next_power_of_two()?;
        let first = OUT.with(|out| {
            let is_free = |&first: &usize| (first..first + count).all(|index| !bit(out, index));
            let room = POOL_GRANULES.checked_sub(count)?;
            let first = (0..=room).step_by(step).find(is_free)?;
            (first..first + count).for_each(|index| out[index / BITS] |= 1 << (index % BITS));
            Some(first)
        })?;
        let address = POOL + first as u64 * GRANULE;
        each(address, granules).for_each(|granule| granule.scribble());
        Some(address)
    }

    fn free(&mut self, address: u64, granules: u64) {
        for granule in each(address, granules) {
            if granule.is_zero() {
                continue;
            }
            if let Some(word) = granule.changed() {
                let (address, value) = (granule.address(), granule.word(word));
                fail!("granule {address:#x} comes back with {value:#x} in word {word}");
            }
        }
        let first = ((address - POOL) / GRANULE) as usize;
        OUT.with(|out| {
            for index in first..first + granules as usize {
                require!(bit(out, index), "granule {index} of the pool comes back and was not out");
                out[index / BITS] &= !(1 << (index % BITS));
            }
        });
    }

    fn lose(&mut self, address: u64, granules: u64) {
        fail!("{granules} granules from {address:#x} on are lost");
    }
}

fn bit(out: &[u64; POOL_GRANULES / BITS], index: usize) -> bool {
    out[index / BITS] >> (index % BITS) & 1 != 0
}

/// Returns a granule of the pool. Reading it while it is in the Realm world is an exception.
pub fn granule(address: u64) -> &'static Granule {
    let aligned = address.is_multiple_of(GRANULE);
    let inside = (POOL..POOL + POOL_GRANULES as u64 * GRANULE).contains(&address);
    require!(aligned && inside, "{address:#x} is no granule of the pool");
    // SAFETY: a granule of memory that is mapped, that no image uses and that only this module hands
    // out; its words are atomic, and any value is a good one.
    unsafe { &*core::ptr::with_exposed_provenance::<Granule>(address as usize) }
}

/// Returns `granules` granules of the pool from PA `address` on.
fn each(address: u64, granules: u64) -> impl Iterator<Item = &'static Granule> {
    (0..granules).map(move |index| granule(address + index * GRANULE))
}
