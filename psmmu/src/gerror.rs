// SPDX-License-Identifier: MIT OR Apache-2.0

//! Global errors: a bit of GERROR that differs from GERRORN is active until it is acknowledged.
//!
//! A command error stops the command queue, so it is repaired and acknowledged as soon as it is seen
//! and only then told to the host. All others are told first; they are acknowledged when the host
//! consumes them, exactly the bits that it was told.

#![forbid(unsafe_code)]

use psmmu_abi::ErrorCause;

use crate::counters::Counters;
use crate::registers::{Gerror, Register32, Registers, is_running};
use crate::staging::Waiting;

/// The global errors of one PSMMU.
#[derive(Debug)]
pub struct Errors {
    /// GERRORN as last written. Never read back.
    acknowledged: u32,
    /// Not active any more, and still to be reported.
    kept: Gerror,
    /// Told to the host.
    pub(crate) told: Gerror,
    /// Those of them that were not active any more when they were reported. What is kept besides has
    /// happened since, and is reported behind them.
    told_kept: Gerror,
    /// Told and consumed, but still active: a command error that somebody else is to repair.
    consumed: Gerror,
}

/// Says that there is no device behind the registers any more, or one that has lost its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

impl Errors {
    /// Starts with nothing active and nothing told.
    pub(crate) const fn new() -> Self {
        let none = Gerror::empty();
        Self { acknowledged: 0, kept: none, told: none, told_kept: none, consumed: none }
    }

    /// Goes on where somebody else has stopped: what he has not acknowledged is still to be told.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn resume(&mut self, registers: &impl Registers) {
        let acknowledged = registers.read32(Register32::GERRORN);
        *self = Self { acknowledged, ..Self::new() };
    }

    /// Forgets all errors, those included that an earlier user of the device left active.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn reset(&mut self, registers: &impl Registers) {
        let left = registers.read32(Register32::GERROR);
        registers.write32(Register32::GERRORN, left);
        *self = Self { acknowledged: left, ..Self::new() };
    }

    /// Forgets what was told or kept. What is active in the device stays so.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn forget(&mut self) {
        self.kept = Gerror::empty();
        self.told = Gerror::empty();
        self.told_kept = Gerror::empty();
        self.consumed = Gerror::empty();
    }

    /// Reads which errors are active, but for those that the host has consumed. One register read, two
    /// if there are any.
    ///
    /// # Errors
    /// [`Gone`] when the register reads all ones, most of which no device has; and when errors seem active
    /// and the device is off: it was reset, and what was acknowledged before only looks like them.
    pub(crate) fn active(&self, registers: &impl Registers) -> Result<Gerror, Gone> {
        let gerror = registers.read32(Register32::GERROR);
        let active = Gerror::from_bits_truncate(gerror ^ self.acknowledged);
        if gerror == u32::MAX || !active.is_empty() && !is_running(registers) {
            return Err(Gone);
        }
        Ok(active - self.consumed)
    }

    /// Acknowledges a command error that somebody else has repaired, and says whether there is one. The
    /// host is told of it if it was not.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn acknowledge_repaired(
        &mut self,
        registers: &impl Registers,
        counters: &Counters,
    ) -> bool {
        let error = Gerror::CMDQ_ERR;
        if self.consumed.contains(error) {
            self.consumed -= error;
            self.acknowledge(registers, error);
        } else if self.active(registers).is_ok_and(|active| active.contains(error)) {
            self.acknowledge_at_once(registers, error, counters);
        } else {
            return false;
        }
        true
    }

    /// Acknowledges `errors`, which must be active. One register write.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn acknowledge(&mut self, registers: &impl Registers, errors: Gerror) {
        self.acknowledged ^= errors.bits();
        registers.write32(Register32::GERRORN, self.acknowledged);
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
        let told = errors & (self.told - self.told_kept);
        self.told_kept |= told;
        self.keep(errors - told, counters);
    }

    /// Keeps `errors`, which are not active, to be reported, and counts them: each time that they
    /// occur, though all that is kept becomes one event.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn keep(&mut self, errors: Gerror, counters: &Counters) {
        self.kept |= errors;
        if !errors.is_empty() {
            counters.found_errors(cause(errors));
        }
    }

    /// Says what is waiting, `active` being what was just read. Behind those of `recovered` there may be
    /// more, whatever is known now: what their CONSUME finds in a queue.
    pub(crate) fn waiting(&self, active: Gerror, recovered: Gerror) -> Waiting {
        let known = active | self.kept;
        let (first, more) = if self.told.is_empty() {
            (known, false)
        } else {
            (self.told, !self.kept.is_empty() || !self.told.contains(active))
        };
        Waiting { any: !first.is_empty(), more: more || first.intersects(recovered) }
    }

    /// Reports the errors that were reported before, else all that are there, and counts the new ones.
    pub(crate) fn tell(&mut self, active: Gerror, counters: &Counters) -> ErrorCause {
        if self.told.is_empty() {
            self.told_kept = self.kept - active;
            self.told = active | self.kept;
            self.kept = Gerror::empty();
            if !active.is_empty() {
                counters.found_errors(cause(active));
            }
        }
        cause(self.told)
    }

    /// Drops the told errors and returns those among them that are still to be acknowledged. A command
    /// error never is: it is acknowledged by its repair.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn consume(&mut self) -> Gerror {
        let told = core::mem::replace(&mut self.told, Gerror::empty());
        let unacknowledged = told - core::mem::replace(&mut self.told_kept, Gerror::empty());
        self.consumed |= unacknowledged & Gerror::CMDQ_ERR;
        unacknowledged - Gerror::CMDQ_ERR
    }
}

/// Returns the cause that `errors` are reported as.
const fn cause(errors: Gerror) -> ErrorCause {
    ErrorCause::from_bits_retain(errors.bits() as u64)
}

// The causes that the host is told are the bits of GERROR, but for the one that this side never sees.
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
