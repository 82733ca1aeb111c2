// SPDX-License-Identifier: MIT OR Apache-2.0

//! Global errors: a bit of GERROR that differs from GERRORN is active until it is acknowledged.
//!
//! A command error stops the command queue, so it is repaired and acknowledged as soon as it is seen
//! and only then told to the host. All others are told first; they are acknowledged when the host
//! consumes them, exactly the bits that it was told.

#![forbid(unsafe_code)]

use psmmu_abi::ErrorCause;

use crate::command::CommandQueue;
use crate::queue::DeviceMemory;
use crate::registers::{Gerror, Register32, Registers};
use crate::staging::Waiting;

/// The global errors of one PSMMU.
#[derive(Debug)]
pub struct Errors {
    /// GERRORN as last written. Never read back.
    acknowledged: u32,
    /// Acknowledged already, and still to be told or consumed.
    repaired: Gerror,
    /// Told to the host.
    pub(crate) reported: Gerror,
}

impl Errors {
    /// Starts with nothing active and nothing told.
    pub(crate) const fn new() -> Self {
        Self { acknowledged: 0, repaired: Gerror::empty(), reported: Gerror::empty() }
    }

    /// Forgets all errors, those included that an earlier user of the device left active.
    pub(crate) fn reset(&mut self, registers: &impl Registers) {
        let left = registers.read32(Register32::GERROR);
        registers.write32(Register32::GERRORN, left);
        *self = Self { acknowledged: left, ..Self::new() };
    }

    /// Reads which errors are active. One register read.
    pub(crate) fn active(&self, registers: &impl Registers) -> Gerror {
        let gerror = registers.read32(Register32::GERROR);
        Gerror::from_bits_truncate(gerror ^ self.acknowledged)
    }

    /// Acknowledges `errors`, which must be active. One register write.
    pub(crate) fn acknowledge(&mut self, registers: &impl Registers, errors: Gerror) {
        self.acknowledged ^= errors.bits();
        registers.write32(Register32::GERRORN, self.acknowledged);
    }

    /// Makes the command queue run again after a command error, and keeps the error to be told.
    /// One register read and one write.
    #[cold]
    pub(crate) fn repair_commands<M: DeviceMemory>(
        &mut self,
        registers: &impl Registers,
        commands: &CommandQueue<M>,
    ) {
        commands.skip_failed(registers);
        self.acknowledge(registers, Gerror::CMDQ_ERR);
        self.repaired |= Gerror::CMDQ_ERR;
    }

    /// Says what is waiting, `active` being what was just read.
    pub(crate) fn waiting(&self, active: Gerror) -> Waiting {
        let known = active | self.repaired;
        Waiting {
            any: !(known | self.reported).is_empty(),
            more: !self.reported.is_empty() && !self.reported.contains(known),
        }
    }

    /// Tells the errors that were told before, else all that are there.
    pub(crate) fn tell(&mut self, active: Gerror) -> ErrorCause {
        if self.reported.is_empty() {
            self.reported = active | self.repaired;
        }
        ErrorCause::from_bits_retain(self.reported.bits().into())
    }

    /// Drops the told errors and returns those among them that are still to be acknowledged. A command
    /// error never is: it is acknowledged by its repair.
    pub(crate) fn consume(&mut self) -> Gerror {
        let told = core::mem::replace(&mut self.reported, Gerror::empty());
        let unacknowledged = told - self.repaired - Gerror::CMDQ_ERR;
        self.repaired -= told;
        unacknowledged
    }
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
