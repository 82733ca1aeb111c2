// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens donated memory for a PSMMU: the only unsafe code of this library, whose conditions
//! [`sro`](crate::sro) and the granule tracker guarantee.

use psmmu::{StreamTableEntry, TableMemory};

use crate::dispatch::{Environment, Rmm};
use crate::granules::Region;

/// Opens a donated region of an operation that has all of its memory.
pub(crate) fn open<E: Environment>(environment: &E, region: Region) -> E::Memory {
    // SAFETY: 1. An operation takes only regions of the tracker, all of whose granules were delegated and
    // are then in use. 2. They are released, and so can be donated or undelegated again, after the
    // operation has ended without the PSMMU, or the PSMMU has returned the memory; each is opened for the
    // purpose of its operation only.
    unsafe { environment.open(region) }
}

/// The environment, as the memory of level-2 tables.
pub(crate) struct Tables<'r, 'a, E: Environment>(pub(crate) &'r Rmm<'a, E>);

// SAFETY: 1. `Environment::open` opens the requested region. 2. A PSMMU opens tables that it has, or that
// `Rmm::st_l2_create_finish` is creating: a donated granule, which is released if creation fails without
// the device holding it, or after the table was destroyed.
unsafe impl<E: Environment> TableMemory for Tables<'_, '_, E> {
    type Memory = E::Memory;

    #[cfg_attr(core_from_source, optimize(size))]
    fn open(&self, address: u64) -> Option<E::Memory> {
        // SAFETY: 1. The granule of a table is one that an operation has taken, and in use. 2. A PSMMU
        // has one table open at a time, and drops it before the granule can be released.
        Some(unsafe { self.0.environment.open(Region::granule(address)) })
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn default_ste(&self, stream: u32) -> StreamTableEntry {
        self.0.environment.default_ste(stream)
    }
}
