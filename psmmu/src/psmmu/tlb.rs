// SPDX-License-Identifier: MIT OR Apache-2.0

//! TLB maintenance for stage-2 tables that change while streams translate by them.
//!
//! A PSMMU that this module activates is not required to act on broadcast TLB maintenance of CPUs: CR2.PTM is
//! set where it exists (IDR0.BTM). Whatever changes a stage-2 table of an enabled stream issues these commands
//! too, behind the stores to the table, and reuses the memory of what it has taken out once they return.
//!
//! Each waits for the device up to seven times [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT): for room and
//! for the end of its commands, and if that fails for five acknowledgements that the device is off.

#![forbid(unsafe_code)]

use super::{Psmmu, StreamError};
use crate::arch::command::Command;
use crate::platform::{Clock, DeviceMemory, Registers};

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Invalidates the stage-2 translations of `vmid` for the page or block that maps the intermediate
    /// physical address `ipa`, of which bits 55:12 count; with `leaf` those of the last level only, and not
    /// tables on the way. CMD_TLBI_S2_IPA and a SYNC: when this returns no access uses them.
    ///
    /// It is enough for streams with stage 2 alone, as [`configure_stream`](Self::configure_stream) makes
    /// them. Of a PSMMU that has failed it returns once the device acknowledges that it is off.
    ///
    /// # Errors
    /// [`StreamError::State`] when the PSMMU is neither active nor failed, or [`StreamError::Device`]: then
    /// translations may still be cached.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn tlbi_s2_ipa(
        &self,
        vmid: u16,
        ipa: u64,
        leaf: bool,
        clock: &impl Clock,
    ) -> Result<(), StreamError> {
        self.invalidate(Command::tlbi_s2_ipa(vmid, ipa, leaf), clock)
    }

    /// Invalidates all translations of `vmid`: CMD_TLBI_S12_VMALL and a SYNC. Otherwise as
    /// [`tlbi_s2_ipa`](Self::tlbi_s2_ipa).
    ///
    /// # Errors
    /// As there.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn tlbi_s12_vmall(&self, vmid: u16, clock: &impl Clock) -> Result<(), StreamError> {
        self.invalidate(Command::tlbi_s12_vmall(vmid), clock)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn invalidate(&self, command: Command, clock: &impl Clock) -> Result<(), StreamError> {
        let _issue = self.issue_lock()?;
        self.serving_state()?;
        // What was stored to the tables must be seen by the walks behind the invalidation.
        self.registers.write_barrier();
        self.invalidate_and_sync(clock, &[command]).map_err(Into::into)
    }
}
