// SPDX-License-Identifier: MIT OR Apache-2.0

//! Granules change worlds: the host's become Realm memory and come back wiped.

use psmmu::HostGranule;
use psmmu_abi::{GRANULE_SIZE, MemoryCategory, ResultWord, Status, TrackingState};

use crate::dispatch::{Environment, Outputs, Rmm};
use crate::granules::{GranuleState, Region, TrackError};

/// Granules that one call moves at most. The host calls again for the rest, and is interrupted in
/// between.
pub const BATCH: u64 = 64;

const GRANULE: u64 = GRANULE_SIZE as u64;

impl<E: Environment> Rmm<'_, E> {
    /// `RMI_GRANULE_RANGE_DELEGATE`: gives the granules from PA `base` up to `top` to the Realm world,
    /// or the first of them; X1 is the end of what was given.
    ///
    /// Fails only when the first granule cannot be given: `ErrorInput` when the range is empty or not
    /// aligned, when the granule is not tracked, not the host's, or no memory; `Busy` when another
    /// CPU is just moving it; `ErrorTracking` when it is the first of its region and there is no memory
    /// to track one more. Then X1 is `base`, and nothing has changed.
    #[inline(never)]
    pub(crate) fn granule_range_delegate(&self, base: u64, top: u64) -> (ResultWord, Outputs) {
        self.each_granule(base, top, |granule| {
            let region = Region::granule(granule);
            self.tracker
                .transition(region, GranuleState::Undelegated, GranuleState::Moving)
                .map_err(status)?;
            let delegated = self.environment.delegate(granule);
            let to = if delegated { GranuleState::Delegated } else { GranuleState::Undelegated };
            self.tracker.transition(region, GranuleState::Moving, to).map_err(status)?;
            if delegated { Ok(()) } else { Err(Status::ErrorInput) }
        })
    }

    /// `RMI_GRANULE_RANGE_UNDELEGATE`: wipes the granules from PA `base` up to `top` and gives them
    /// back, or the first of them; X1 is the end of what was given back.
    ///
    /// Fails only when the first granule cannot be given back: `ErrorInput` when the range is empty or
    /// not aligned, when the granule is not tracked or not delegated, or in use, or cannot be
    /// wiped; `Busy` when another CPU
    /// is just moving it. Then X1 is `base`, and nothing has changed.
    #[inline(never)]
    pub(crate) fn granule_range_undelegate(&self, base: u64, top: u64) -> (ResultWord, Outputs) {
        self.each_granule(base, top, |granule| {
            let region = Region::granule(granule);
            self.tracker
                .transition(region, GranuleState::Delegated, GranuleState::Moving)
                .map_err(status)?;
            let wiped = self.environment.wipe(region);
            if wiped {
                self.environment.undelegate(granule);
            }
            let to = if wiped { GranuleState::Undelegated } else { GranuleState::Delegated };
            self.tracker.transition(region, GranuleState::Moving, to).map_err(status)?;
            if wiped { Ok(()) } else { Err(Status::ErrorInput) }
        })
    }

    /// Calls `step` on the granules of a range until it fails or [`BATCH`] are done.
    fn each_granule(
        &self,
        base: u64,
        top: u64,
        mut step: impl FnMut(u64) -> Result<(), Status>,
    ) -> (ResultWord, Outputs) {
        let aligned = base.is_multiple_of(GRANULE) && top.is_multiple_of(GRANULE);
        if !aligned || top <= base {
            return (Status::ErrorInput.into(), [base, 0, 0]);
        }
        let end = top.min(base.saturating_add(BATCH * GRANULE));
        let mut granule = base;
        while granule < end {
            match step(granule) {
                Ok(()) => granule = granule.wrapping_add(GRANULE),
                Err(status) if granule == base => return (status.into(), [base, 0, 0]),
                Err(_) => break,
            }
        }
        (ResultWord::SUCCESS, [granule, 0, 0])
    }

    /// `RMI_GRANULE_TRACKING_GET`: says how the memory from PA `base` on is tracked, X1 and X2, and up
    /// to where, X3, at most `top`.
    ///
    /// Success, or `ErrorInput` when the range is empty, not aligned, or beyond the address space.
    #[inline(never)]
    pub(crate) fn granule_tracking_get(&self, base: u64, top: u64) -> (ResultWord, Outputs) {
        let beyond = top.checked_shr(self.address_bits().into()).unwrap_or(0) != 0
            && top != 1_u64.checked_shl(self.address_bits().into()).unwrap_or(0);
        let range = HostGranule::new(base).filter(|_| top.is_multiple_of(GRANULE) && base < top);
        let Some(base) = range.filter(|_| !beyond) else {
            return (Status::ErrorInput.into(), [0; 3]);
        };
        let (end, tracked) = self.tracker.run(base, top);
        let state = if tracked { TrackingState::Fine } else { TrackingState::None };
        (ResultWord::SUCCESS, [MemoryCategory::Conventional as u64, state as u64, end])
    }
}

/// Returns what the host is told of a granule that could not be moved.
const fn status(error: TrackError) -> Status {
    match error {
        TrackError::State(GranuleState::Moving) => Status::Busy,
        TrackError::State(_) | TrackError::Untracked => Status::ErrorInput,
        TrackError::Full => Status::ErrorTracking,
    }
}
