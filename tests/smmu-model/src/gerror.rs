// SPDX-License-Identifier: MIT OR Apache-2.0

//! Global errors: a bit of GERROR that differs from GERRORN is active (IHI 0070, "Global errors").

use crate::Device;
use crate::interrupts::Source;
use crate::violation::Violation;

/// CMDQ_ERR: a command failed and the command queue stands still.
pub const CMDQ_ERR: u32 = 1 << 0;
/// EVENTQ_ABT_ERR: a write to the event queue was aborted; nothing is recorded.
pub const EVENTQ_ABT_ERR: u32 = 1 << 2;
/// PRIQ_ABT_ERR: a write to the PRI queue was aborted; page requests fail.
pub const PRIQ_ABT_ERR: u32 = 1 << 3;
/// MSI_CMDQ_ABT_ERR: the MSI of a CMD_SYNC was aborted.
pub const MSI_CMDQ_ABT_ERR: u32 = 1 << 4;
/// MSI_EVENTQ_ABT_ERR: an MSI of the event queue was aborted.
pub const MSI_EVENTQ_ABT_ERR: u32 = 1 << 5;
/// MSI_PRIQ_ABT_ERR: an MSI of the PRI queue was aborted.
pub const MSI_PRIQ_ABT_ERR: u32 = 1 << 6;
/// MSI_GERROR_ABT_ERR: an MSI of the global errors was aborted. It raises no interrupt.
pub const MSI_GERROR_ABT_ERR: u32 = 1 << 7;
/// CMDQP_ERR: an enhanced command queue has an error.
pub const CMDQP_ERR: u32 = 1 << 9;
/// DPT_ERR: a lookup in the device permission table failed.
pub const DPT_ERR: u32 = 1 << 10;

/// Bits that the Realm copy has on one device or other; bit 8, SFM_ERR, is not among them.
const ALL: u32 = 0b110_1111_1101;

impl Device {
    /// Returns the errors that are not reserved. Bits 9 and 10, which only a test raises, never are.
    const fn error_bits(&self) -> u32 {
        let mut bits = ALL;
        if !self.config.has_pri() {
            bits &= !(PRIQ_ABT_ERR | MSI_PRIQ_ABT_ERR);
        }
        if !self.config.has_msi() {
            bits &=
                !(MSI_CMDQ_ABT_ERR | MSI_EVENTQ_ABT_ERR | MSI_PRIQ_ABT_ERR | MSI_GERROR_ABT_ERR);
        }
        bits
    }

    /// Returns whether one of `errors` is active.
    #[must_use]
    pub const fn is_active(&self, errors: u32) -> bool {
        self.active_errors() & errors != 0
    }

    /// Returns the active errors.
    #[must_use]
    pub const fn active_errors(&self) -> u32 {
        self.gerror ^ self.gerrorn
    }

    /// Returns GERROR and GERRORN.
    #[must_use]
    pub const fn errors(&self) -> (u32, u32) {
        (self.gerror, self.gerrorn)
    }

    /// Makes errors active, as far as they are not. All but MSI_GERROR_ABT_ERR, and those that are
    /// reserved, raise the interrupt.
    pub(crate) fn activate(&mut self, errors: u32) {
        let inactive = errors & !self.active_errors();
        self.gerror ^= inactive;
        if inactive & self.error_bits() & !MSI_GERROR_ABT_ERR != 0 {
            self.request_interrupt(Source::Gerror);
        }
    }

    /// Writes GERRORN. Toggles that the architecture forbids have no effect.
    pub(crate) fn write_gerrorn(&mut self, value: u32) {
        let toggled = self.gerrorn ^ value;
        let reserved = toggled & !self.error_bits();
        if reserved != 0 {
            self.violate(Violation::ReservedErrorToggled { bits: reserved });
        }
        let (gerror, gerrorn) = self.errors();
        let inactive = toggled & self.error_bits() & !self.active_errors();
        if inactive != 0 {
            self.violate(Violation::InactiveErrorToggled { bits: inactive, gerror, gerrorn });
        }
        let acknowledged = toggled & self.error_bits() & self.active_errors();
        if acknowledged & CMDQ_ERR != 0 {
            self.check_commands_visible();
        }
        self.gerrorn ^= acknowledged;
    }
}
