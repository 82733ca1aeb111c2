// SPDX-License-Identifier: MIT OR Apache-2.0

//! Global errors: a bit of GERROR that differs from GERRORN is active until it is acknowledged.
//!
//! A command error stops the command queue, so it is repaired and acknowledged as soon as it is seen
//! and only then asked to the host. All others are reported first; they are acknowledged when the host
//! consumes them, exactly the bits that it was reported.

#![forbid(unsafe_code)]

use psmmu_abi::ErrorCause;

use super::counters::Counters;
use super::waiting::Waiting;
use crate::arch::registers::{Gerror, Register32};
use crate::logic::enables::is_running;
use crate::platform::Registers;

/// The global errors of one PSMMU.
#[derive(Debug)]
pub(crate) struct Errors {
    /// GERRORN as last written. Never read back.
    acknowledged: u32,
    /// Not active any more, and still to be reported.
    latched: Gerror,
    /// Reported to the host.
    reported: Gerror,
    /// Those of them that were not active any more when they were reported. What is latched besides has
    /// happened since, and is reported behind them.
    reported_latched: Gerror,
    /// Reported and consumed, but still active: a command error that the embedder is to repair.
    consumed: Gerror,
    /// Those that another owner acknowledges too, by writing GERRORN: the command error of a queue that is the
    /// embedder's.
    foreign: Gerror,
}

/// Says that there is no device behind the registers any more, or one that has lost its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotResponding;

impl Errors {
    /// Starts with nothing active and nothing reported.
    pub(crate) const fn new() -> Self {
        let none = Gerror::empty();
        Self {
            acknowledged: 0,
            latched: none,
            reported: none,
            reported_latched: none,
            consumed: none,
            foreign: none,
        }
    }

    /// Adopts GERRORN as it stands: what is not acknowledged is still to be reported. The errors in `foreign` may be
    /// acknowledged by another owner, too.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn resume(&mut self, registers: &impl Registers, foreign: Gerror) {
        let acknowledged = registers.read32(Register32::GERRORN);
        *self = Self { acknowledged, foreign, ..Self::new() };
    }

    /// Forgets all errors, those included that an earlier user of the device left active.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn reset(&mut self, registers: &impl Registers) {
        let left = registers.read32(Register32::GERROR);
        registers.write32(Register32::GERRORN, left);
        *self = Self { acknowledged: left, ..Self::new() };
    }

    /// Forgets what was reported or latched. What is active in the device stays so.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn clear(&mut self) {
        self.latched = Gerror::empty();
        self.reported = Gerror::empty();
        self.reported_latched = Gerror::empty();
        self.consumed = Gerror::empty();
    }

    /// Reads which errors are active, but for those that the host has consumed. One register read, two
    /// if there are any; one more where another owner acknowledges errors, too. What it has acknowledged is
    /// latched, unless it was reported.
    ///
    /// # Errors
    /// [`NotResponding`] when the register reads all ones, most of which no device has; and when errors seem active
    /// or acknowledged and the device is off: it was reset, and what was acknowledged before only reads like them.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn active(
        &mut self,
        registers: &impl Registers,
        counters: &Counters,
    ) -> Result<Gerror, NotResponding> {
        let gerror = registers.read32(Register32::GERROR);
        if gerror == u32::MAX {
            return Err(NotResponding);
        }
        // Behind GERROR: an error that is acknowledged in between is seen as acknowledged, not lost.
        if !self.foreign.is_empty() {
            self.adopt(registers, counters)?;
        }
        let active = Gerror::from_bits_truncate(gerror ^ self.acknowledged);
        if !active.is_empty() && !is_running(registers) {
            return Err(NotResponding);
        }
        Ok(active - self.consumed)
    }

    /// Adopts what another owner has acknowledged since. One register read, two if there is anything.
    ///
    /// # Errors
    /// As of [`active`](Self::active).
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    fn adopt(
        &mut self,
        registers: &impl Registers,
        counters: &Counters,
    ) -> Result<(), NotResponding> {
        let gerrorn = registers.read32(Register32::GERRORN);
        let errors = Gerror::from_bits_truncate(gerrorn ^ self.acknowledged) & self.foreign;
        if errors.is_empty() {
            return Ok(());
        }
        if !is_running(registers) {
            return Err(NotResponding);
        }
        self.acknowledged ^= errors.bits();
        let unconsumed = errors - self.consumed;
        self.consumed -= errors;
        self.settle(unconsumed, counters);
        Ok(())
    }

    /// Acknowledges a command error that the owner of the command queue has repaired, and says whether there is
    /// one. The host is notified of it if it was not.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn acknowledge_repaired(
        &mut self,
        registers: &impl Registers,
        counters: &Counters,
    ) -> bool {
        let error = Gerror::CMDQ_ERR;
        let Ok(active) = self.active(registers, counters) else {
            return false;
        };
        if self.consumed.contains(error) {
            self.consumed -= error;
            self.acknowledge(registers, error);
        } else if active.contains(error) {
            self.acknowledge_at_once(registers, error, counters);
        } else {
            return false;
        }
        true
    }

    /// Acknowledges `errors`, which must be active. One register write; what another owner has acknowledged
    /// stays so.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn acknowledge(&mut self, registers: &impl Registers, errors: Gerror) {
        self.acknowledged ^= errors.bits();
        let mut value = self.acknowledged;
        let foreign = (self.foreign - errors).bits();
        if foreign != 0 {
            value ^= (value ^ registers.read32(Register32::GERRORN)) & foreign;
        }
        registers.write32(Register32::GERRORN, value);
    }

    /// Acknowledges `errors`, which are active, before the host has consumed them, and keeps those to be
    /// reported that were not.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn acknowledge_at_once(
        &mut self,
        registers: &impl Registers,
        errors: Gerror,
        counters: &Counters,
    ) {
        self.acknowledge(registers, errors);
        self.settle(errors, counters);
    }

    /// Latches those of `errors`, which are acknowledged, that were not reported.
    #[cfg_attr(core_from_source, optimize(size))]
    fn settle(&mut self, errors: Gerror, counters: &Counters) {
        let reported = errors & (self.reported - self.reported_latched);
        self.reported_latched |= reported;
        self.latch(errors - reported, counters);
    }

    /// Keeps `errors`, which are not active, to be reported, and counts them: each time that they
    /// occur, though all that is latched becomes one event.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn latch(&mut self, errors: Gerror, counters: &Counters) {
        self.latched |= errors;
        if !errors.is_empty() {
            counters.found_errors(cause(errors));
        }
    }

    /// Says what is waiting, `active` being what was just read. Behind those of `recovered` there may be
    /// more, whatever is known now: what their CONSUME finds in a queue.
    pub(crate) fn waiting(&self, active: Gerror, recovered: Gerror) -> Waiting {
        let known = active | self.latched;
        let (first, more) = if self.reported.is_empty() {
            (known, false)
        } else {
            (self.reported, !self.latched.is_empty() || !self.reported.contains(active))
        };
        Waiting { any: !first.is_empty(), more: more || first.intersects(recovered) }
    }

    /// Reports the errors that were reported before, else all that are there, and counts the new ones.
    pub(crate) fn report(&mut self, active: Gerror, counters: &Counters) -> ErrorCause {
        if self.reported.is_empty() {
            self.reported_latched = self.latched - active;
            self.reported = active | self.latched;
            self.latched = Gerror::empty();
            if !active.is_empty() {
                counters.found_errors(cause(active));
            }
        }
        cause(self.reported)
    }

    /// Returns whether errors are reported and not consumed.
    pub(crate) const fn has_reported(&self) -> bool {
        !self.reported.is_empty()
    }

    /// Drops the reported errors and returns those among them that are still to be acknowledged. A command
    /// error never is: it is acknowledged by its repair.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn consume(&mut self) -> Gerror {
        let reported = core::mem::replace(&mut self.reported, Gerror::empty());
        let unacknowledged =
            reported - core::mem::replace(&mut self.reported_latched, Gerror::empty());
        self.consumed |= unacknowledged & Gerror::CMDQ_ERR;
        unacknowledged - Gerror::CMDQ_ERR
    }
}

/// Returns the cause that `errors` are reported as.
const fn cause(errors: Gerror) -> ErrorCause {
    ErrorCause::from_bits_retain(errors.bits() as u64)
}

// The causes that the host is reported are the bits of GERROR, but for the one that this side never sees.
static_assertions::const_assert_eq!(
    Gerror::all().bits() as u64,
    ErrorCause::CMDQ_ERR.bits()
        | ErrorCause::EVENTQ_ABT_ERR.bits()
        | ErrorCause::PRIQ_ABT_ERR.bits()
        | ErrorCause::MSI_CMDQ_ABT_ERR.bits()
        | ErrorCause::MSI_EVENTQ_ABT_ERR.bits()
        | ErrorCause::MSI_PRIQ_ABT_ERR.bits()
        | ErrorCause::MSI_GERROR_ABT_ERR.bits()
        | ErrorCause::CMDQP_ERR.bits()
        | ErrorCause::DPT_ERR.bits()
);
