// SPDX-License-Identifier: MIT OR Apache-2.0

//! Delegates and undelegates granules: changes their PAS, and wipes them before they return to the host.

use psmmu::HostGranule;
use psmmu_abi::{GRANULE_SIZE, GptState, MemoryCategory, ResultWord, Status, TrackingState};

use crate::dispatch::{Environment, Outputs, Rmm};
use crate::granules::{GranuleState, Region, TrackError};

/// Largest number of granules of one call, as interrupts stay masked meanwhile: most of the time is spent
/// in EL3. The host calls again for the rest.
pub const BATCH: u64 = 3;

/// Bytes of a block that EL3 may split with the first granule delegated from it, and merge with the last
/// one undelegated, which costs as much as one granule: a call changes granules of one block only.
const BLOCK: u64 = 2 << 20;

const GRANULE: u64 = GRANULE_SIZE as u64;

impl<E: Environment> Rmm<'_, E> {
    /// `RMI_GRANULE_RANGE_DELEGATE`: delegates the granules from PA `base` to PA `top` (exclusive), or
    /// the first of them; X1 is the end of the delegated part.
    ///
    /// Fails only if the first granule cannot be delegated: `ErrorInput` if the range is empty or not
    /// aligned, if the granule is not tracked, not undelegated, or no memory; `Busy` while another CPU
    /// changes it; `ErrorGlobal` if another CPU has just deactivated the RMM. Then X1 is `base`, and
    /// nothing has changed.
    #[inline(never)]
    pub(crate) fn granule_range_delegate(&self, base: u64, top: u64) -> (ResultWord, Outputs) {
        self.each_granule(base, top, |granule| {
            let region = Region::granule(granule);
            let category = self
                .tracker
                .transition(region, GranuleState::Undelegated, GranuleState::Moving)
                .map_err(status)?;
            let delegated = self.environment.delegate(granule, category);
            let to = if delegated { GranuleState::Delegated } else { GranuleState::Undelegated };
            self.tracker.transition(region, GranuleState::Moving, to).map_err(status)?;
            if delegated { Ok(()) } else { Err(Status::ErrorInput) }
        })
    }

    /// `RMI_GRANULE_RANGE_UNDELEGATE`: wipes and undelegates the granules from PA `base` to PA `top`
    /// (exclusive), or the first of them; X1 is the end of the undelegated part. Device memory is not
    /// wiped.
    ///
    /// Fails only if the first granule cannot be undelegated: `ErrorInput` if the range is empty or not
    /// aligned, if the granule is not tracked or not delegated, is in use, or cannot be wiped; `Busy`
    /// while another CPU changes it. Then X1 is `base`, and nothing has changed.
    #[inline(never)]
    pub(crate) fn granule_range_undelegate(&self, base: u64, top: u64) -> (ResultWord, Outputs) {
        self.each_granule(base, top, |granule| {
            let region = Region::granule(granule);
            let category = self
                .tracker
                .transition(region, GranuleState::Delegated, GranuleState::Moving)
                .map_err(status)?;
            let is_memory = category == MemoryCategory::Conventional;
            let wiped = !is_memory || self.environment.wipe(region);
            if wiped {
                self.environment.undelegate(granule, category);
            }
            let to = if wiped { GranuleState::Undelegated } else { GranuleState::Delegated };
            self.tracker.transition(region, GranuleState::Moving, to).map_err(status)?;
            if wiped { Ok(()) } else { Err(Status::ErrorInput) }
        })
    }

    /// Calls `step` on the granules of a range until it fails, an interrupt is pending, or [`BATCH`] are
    /// done.
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
        let block_end = (base / BLOCK).saturating_add(1).saturating_mul(BLOCK);
        let end = top.min(block_end).min(base.saturating_add(BATCH * GRANULE));
        let mut granule = base;
        while granule < end {
            match step(granule) {
                Ok(()) => granule = granule.wrapping_add(GRANULE),
                Err(status) if granule == base => return (status.into(), [base, 0, 0]),
                Err(_) => break,
            }
            if self.environment.is_interrupt_pending() {
                break;
            }
        }
        (ResultWord::SUCCESS, [granule, 0, 0])
    }

    /// `RMI_GRANULE_TRACKING_GET`: returns how the memory from PA `base` on is tracked, in X1 and X2, and
    /// the exclusive end of that part, at most `top`, in X3.
    ///
    /// Success, or `ErrorInput` if the range is empty, not aligned, or beyond the address space.
    #[inline(never)]
    pub(crate) fn granule_tracking_get(&self, base: u64, top: u64) -> (ResultWord, Outputs) {
        let Some(base) = self.range_base(base, top) else {
            return (Status::ErrorInput.into(), [0; 3]);
        };
        let (end, category) = self.tracker.run(base, top);
        let state = if category.is_some() { TrackingState::Fine } else { TrackingState::None };
        let category = category.unwrap_or(MemoryCategory::Conventional);
        (ResultWord::SUCCESS, [category as u64, state as u64, end])
    }

    /// `RMI_GPT_INFO`: returns the owner of the granule protection tables of the memory from PA `base`
    /// on, in X2, and the exclusive end of that part, at most `top`, in X1. EL3 creates all tables, those
    /// of the whole protected address space.
    ///
    /// Statuses as of [`granule_tracking_get`](Self::granule_tracking_get).
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn gpt_info(&self, base: u64, top: u64) -> (ResultWord, Outputs) {
        let Some(base) = self.range_base(base, top) else {
            return (Status::ErrorInput.into(), [0; 3]);
        };
        let protected = self.protected_end();
        let (end, state) = if base.address() < protected {
            (top.min(protected), GptState::Platform)
        } else {
            (top, GptState::Reserved)
        };
        (ResultWord::SUCCESS, [end, state as u64, 0])
    }

    /// Returns the base of a range that is aligned, not empty, and within the address space.
    fn range_base(&self, base: u64, top: u64) -> Option<HostGranule> {
        let beyond = top.checked_shr(self.address_bits().into()).unwrap_or(0) != 0
            && top != 1_u64.checked_shl(self.address_bits().into()).unwrap_or(0);
        HostGranule::new(base)
            .filter(|_| top.is_multiple_of(GRANULE) && base < top)
            .filter(|_| !beyond)
    }
}

/// Returns the status for a granule whose state could not be changed.
const fn status(error: TrackError) -> Status {
    match error {
        TrackError::State(GranuleState::Moving) => Status::Busy,
        TrackError::State(_) | TrackError::Untracked | TrackError::Device => Status::ErrorInput,
        TrackError::Closed => Status::ErrorGlobal,
    }
}
