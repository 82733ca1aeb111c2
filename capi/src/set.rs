// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the memory that the state lies in, and to pointers as callers pass them.

use core::ffi::c_void;
use core::ptr::NonNull;

use psmmu::MAX_PSMMUS;
use psmmu::sync::Lock;
use psmmu::{Activation, Config, Directory, DirectoryError, L2TableToken, Psmmu, Responder};
use psmmu_abi::{ResultWord, Status};
use static_assertions::{const_assert, const_assert_eq};

use crate::memory::Shared;
use crate::ops::Callbacks;
use crate::registers::Pages;
use crate::types::Error;

/// LPSMMU_SET_BYTES.
pub const SET_BYTES: usize = 1024;
/// LPSMMU_UNIT_BYTES.
pub const UNIT_BYTES: usize = 6400;
/// LPSMMU_STATE_ALIGN.
pub const STATE_ALIGN: usize = 64;

const_assert!(size_of::<Set>() <= SET_BYTES);
const_assert!(size_of::<Unit>() <= UNIT_BYTES);
const_assert!(align_of::<Set>() <= STATE_ALIGN);
const_assert!(align_of::<Unit>() <= STATE_ALIGN);
// LPSMMU_MAX.
const_assert_eq!(MAX_PSMMUS, 16);

/// Level-2 tables of one SMMU that are being made at the same time.
const NEW_TABLES: usize = 8;

/// The first stream of a table that is being made, and the claim to it unless a call works on that.
pub type ClaimedTable = (u32, Option<L2TableToken>);

/// An SMMU, and what C cannot hold in its hands meanwhile.
#[derive(Debug)]
pub struct Unit {
    /// The SMMU.
    pub psmmu: Psmmu<Pages, Shared>,
    /// The claim of an activation that has begun.
    pub activation: Lock<Option<Activation>>,
    /// Claims of tables that are being made.
    pub new_tables: Lock<[Option<ClaimedTable>; NEW_TABLES]>,
}

impl Unit {
    const fn new(config: Config, pages: Pages) -> Self {
        Self {
            psmmu: Psmmu::new(config, pages),
            activation: Lock::new(None),
            new_tables: Lock::new([const { None }; NEW_TABLES]),
        }
    }
}

/// All SMMUs of a platform: struct lpsmmu_set.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Set {
    /// Answers the host.
    pub responder: Responder<'static, Pages, Shared, Callbacks, Callbacks>,
    /// The embedder's functions.
    pub callbacks: Callbacks,
    units: &'static [Unit],
}

impl Set {
    /// Puts a set of the SMMUs that `units` gives, `count` of them, into `memory`.
    ///
    /// # Errors
    /// When the memory is too small or not aligned, or two SMMUs have the same `psmmu_ptr`; or the first error
    /// of `units`.
    ///
    /// # Safety
    /// 1. `memory` is null, or `bytes` bytes from there on are readable and writable for good.
    /// 2. They are used by this library alone from now on.
    pub unsafe fn place(
        memory: *mut c_void,
        bytes: usize,
        count: usize,
        units: impl Iterator<Item = Result<(Config, Pages), Error>>,
        callbacks: Callbacks,
    ) -> Result<&'static Self, Error> {
        let place = NonNull::new(memory.cast::<Self>()).ok_or(Error::Inval)?;
        if count > MAX_PSMMUS {
            return Err(Error::Count);
        }
        let needed = count.saturating_mul(UNIT_BYTES).saturating_add(SET_BYTES);
        if bytes < needed || place.as_ptr().addr() & (STATE_ALIGN - 1) != 0 {
            return Err(Error::StateMemory);
        }
        // SAFETY: `needed` bytes are there, which are more.
        let first = unsafe { place.cast::<u8>().add(SET_BYTES).cast::<Unit>() };
        let mut placed = 0;
        for unit in units.take(count) {
            let (config, pages) = unit?;
            // SAFETY: `count` units fit behind the set, whose size keeps them aligned; the
            // memory is this library's alone (condition 2).
            unsafe { first.add(placed).write(Unit::new(config, pages)) };
            placed = placed.saturating_add(1);
        }
        // SAFETY: so many were written one behind the other; from now on they are only shared, for good
        // (conditions 1 and 2).
        let units = unsafe { core::slice::from_raw_parts(first.as_ptr(), placed) };
        let directory = Directory::new(units.iter().map(|unit| &unit.psmmu));
        let directory = directory.map_err(|error| match error {
            DirectoryError::DuplicatePsmmuPtr(_) => Error::Exist,
            DirectoryError::TooMany => Error::Count,
        })?;
        // SAFETY: the set fits into its part of the memory, is aligned, and is otherwise unused.
        unsafe {
            place.write(Self {
                responder: Responder::new(directory, callbacks, callbacks),
                callbacks,
                units,
            })
        };
        // SAFETY: it was just written, and is only shared from now on, for good.
        Ok(unsafe { place.as_ref() })
    }

    /// Takes a set as a caller passes it.
    ///
    /// # Safety
    /// It is null, or one that [`place`](Self::place) has made.
    #[inline]
    pub unsafe fn from_raw(set: *const Self) -> Option<&'static Self> {
        // SAFETY: it is one, and is never freed.
        unsafe { set.as_ref() }
    }

    /// Returns all SMMUs.
    #[must_use]
    pub const fn units(&self) -> &'static [Unit] {
        self.units
    }

    /// Finds an SMMU.
    ///
    /// # Errors
    /// When there is none of this `psmmu_ptr`.
    pub fn find(&self, psmmu_ptr: u64) -> Result<&'static Unit, Error> {
        self.units
            .iter()
            .find(|unit| unit.psmmu.config().psmmu_ptr == psmmu_ptr)
            .ok_or(Error::NoDev)
    }

    /// Finds an SMMU for the host.
    ///
    /// # Errors
    /// What the host is answered when there is none of this `psmmu_ptr`.
    pub fn find_for_host(&self, psmmu_ptr: u64) -> Result<&'static Unit, ResultWord> {
        self.find(psmmu_ptr).map_err(|_| {
            let has_any = self.responder.has_device_assignment();
            ResultWord::of(if has_any { Status::ErrorInput } else { Status::ErrorNotSupported })
        })
    }
}

/// Takes a set and an SMMU of it as a caller passes them.
///
/// # Errors
/// When the set is null, or has no SMMU of this `psmmu_ptr`.
///
/// # Safety
/// Those of [`Set::from_raw`].
pub unsafe fn unit(
    set: *const Set,
    psmmu_ptr: u64,
) -> Result<(&'static Set, &'static Unit), Error> {
    // SAFETY: the condition is the same.
    let set = unsafe { Set::from_raw(set) }.ok_or(Error::Inval)?;
    Ok((set, set.find(psmmu_ptr)?))
}

/// Takes a set and an SMMU of it as a caller passes them, to answer a host.
///
/// # Errors
/// As [`Set::find_for_host`]; a set that is null has no SMMUs.
///
/// # Safety
/// Those of [`Set::from_raw`].
pub unsafe fn unit_for_host(
    set: *const Set,
    psmmu_ptr: u64,
) -> Result<(&'static Set, &'static Unit), ResultWord> {
    // SAFETY: the condition is the same.
    let set = unsafe { Set::from_raw(set) }.ok_or(Status::ErrorNotSupported)?;
    Ok((set, set.find_for_host(psmmu_ptr)?))
}

/// Reads what a caller points at; `None` for null.
///
/// # Safety
/// The pointer is null, or aligned and to a value that can be read.
pub unsafe fn read<T: Copy>(from: *const T) -> Option<T> {
    // SAFETY: the condition is the same.
    NonNull::new(from.cast_mut()).map(|from| unsafe { from.read() })
}

/// Writes an output of a caller, unless its pointer is null.
///
/// # Safety
/// The pointer is null, or aligned and to a place that can be written.
pub unsafe fn write<T: Copy>(to: *mut T, value: T) {
    if let Some(to) = NonNull::new(to) {
        // SAFETY: the condition is the same.
        unsafe { to.write(value) };
    }
}

/// Returns X0 for the host.
#[must_use]
pub fn x0(result: Result<(), ResultWord>) -> u64 {
    match result {
        Ok(()) => ResultWord::SUCCESS.x0(),
        Err(result) => result.x0(),
    }
}
