// SPDX-License-Identifier: MIT OR Apache-2.0

//! Level-2 stream tables.

use psmmu::L2TableToken;
use psmmu_abi::{ResultWord, Status};

use crate::set::{self, Set, Unit};

impl Unit {
    /// Keeps the claim to a table for [`lpsmmu_st_l2_create_finish`]; gives it back when there are too many.
    fn keep_token(&self, first_stream: u32, table: L2TableToken) -> Result<(), L2TableToken> {
        let mut tables = self.new_tables.lock();
        match tables.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some((first_stream, Some(table)));
                Ok(())
            }
            None => Err(table),
        }
    }

    /// Takes the claim to a table, to be followed by [`return_table`](Self::return_table).
    fn take_table(&self, first_stream: u64) -> Option<L2TableToken> {
        let mut tables = self.new_tables.lock();
        let mut places = tables.iter_mut().flatten();
        places.find(|(stream, _)| u64::from(*stream) == first_stream)?.1.take()
    }

    /// Gives the claim to a table back, or ends it.
    fn return_table(&self, first_stream: u64, table: Option<L2TableToken>) {
        let mut tables = self.new_tables.lock();
        for place in tables.iter_mut() {
            match place {
                Some((stream, claim)) if u64::from(*stream) == first_stream => match table {
                    Some(table) => return *claim = Some(table),
                    None => return *place = None,
                },
                _ => {}
            }
        }
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_st_l2_create_begin(
    set: *const Set,
    psmmu_ptr: u64,
    first_stream: u64,
) -> u64 {
    let begin = || {
        // SAFETY: the condition is the same.
        let (set, unit) = unsafe { set::unit_for_host(set, psmmu_ptr) }?;
        if !set.callbacks.can_open() {
            return Err(ResultWord::of(Status::ErrorNotSupported));
        }
        let (psmmu, table) = set.responder.st_l2_create_begin(psmmu_ptr, first_stream)?;
        // It was accepted, so it has 32 bits.
        unit.keep_token(first_stream as u32, table).map_err(|table| {
            psmmu.st_l2_create_cancel(table);
            ResultWord::of(Status::Busy)
        })
    };
    set::x0(begin())
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. The granule is Realm memory that is the SMMU's until it is given back.
/// 3. `mem_released` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_st_l2_create_finish(
    set: *const Set,
    psmmu_ptr: u64,
    first_stream: u64,
    granule: u64,
    mem_released: *mut bool,
) -> u64 {
    let mut free = true;
    let mut make = || {
        // SAFETY: 1.
        let (set, unit) = unsafe { set::unit_for_host(set, psmmu_ptr) }?;
        let table = unit.take_table(first_stream).ok_or(Status::ErrorInput)?;
        match unit.psmmu.st_l2_create_finish(table, granule, &set.callbacks, &set.callbacks) {
            Ok(()) => {
                free = false;
                unit.return_table(first_stream, None);
                Ok(())
            }
            Err(failure) => {
                free = failure.is_free;
                unit.return_table(first_stream, failure.claim);
                Err(failure.error.into())
            }
        }
    };
    let result = make();
    // SAFETY: 3.
    unsafe { set::write(mem_released, free) };
    set::x0(result)
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_st_l2_create_cancel(
    set: *const Set,
    psmmu_ptr: u64,
    first_stream: u64,
) {
    // SAFETY: the condition is the same.
    if let Ok((_, unit)) = unsafe { set::unit(set, psmmu_ptr) }
        && let Some(table) = unit.take_table(first_stream)
    {
        unit.psmmu.st_l2_create_cancel(table);
        unit.return_table(first_stream, None);
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `granule` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_st_l2_destroy(
    set: *const Set,
    psmmu_ptr: u64,
    first_stream: u64,
    granule: *mut u64,
) -> u64 {
    let destroy = || {
        // SAFETY: 1.
        let set = unsafe { Set::from_raw(set) }.ok_or(Status::ErrorNotSupported)?;
        set.responder.st_l2_destroy(psmmu_ptr, first_stream, &set.callbacks, &set.callbacks)
    };
    // SAFETY: 2.
    set::x0(destroy().map(|address| unsafe { set::write(granule, address) }))
}
