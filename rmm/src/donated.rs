// SPDX-License-Identifier: MIT OR Apache-2.0

//! Donated memory becomes memory of a PSMMU: the one place of this library where that is vouched for, by what
//! [`sro`](crate::sro) and the granule tracker see to.

use psmmu::{StreamTableEntry, TableMemory};

use crate::dispatch::{Environment, Rmm};
use crate::granules::Region;

/// Opens a region that an operation, which has all that it needs, has taken from the host.
pub(crate) fn open<E: Environment>(environment: &E, region: Region) -> E::Memory {
    // SAFETY: 1. An operation takes only regions of the tracker, all of whose granules were delegated and then
    // are in use. 2. They are let go, and so can be taken or undelegated again, when the operation has ended
    // without the PSMMU, or the PSMMU has given the memory back; each is opened for the one purpose of its
    // operation.
    unsafe { environment.open(region) }
}

/// The environment, as the keeper of level-2 tables.
pub(crate) struct Tables<'r, 'a, E: Environment>(pub(crate) &'r Rmm<'a, E>);

// SAFETY: 1. `Environment::open` opens what it is asked for. 2. A PSMMU asks for tables that it has, or is just
// being given by `Rmm::st_l2_create_finish`: a granule that an operation has taken from the host, which is let go when
// the table was not made and is free, or was destroyed.
unsafe impl<E: Environment> TableMemory for Tables<'_, '_, E> {
    type Memory = E::Memory;

    #[cfg_attr(core_from_source, optimize(size))]
    fn open(&self, address: u64) -> Option<E::Memory> {
        // SAFETY: 1. The granule of a table is one that an operation has taken, and in use. 2. A PSMMU has one
        // table open at a time, and drops it before the granule can be let go.
        Some(unsafe { self.0.environment.open(Region::granule(address)) })
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn default_ste(&self, stream: u32) -> StreamTableEntry {
        self.0.environment.default_ste(stream)
    }
}
