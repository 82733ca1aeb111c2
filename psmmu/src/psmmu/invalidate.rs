// SPDX-License-Identifier: MIT OR Apache-2.0

//! Having the device drop what it has cached, or be off.

#![forbid(unsafe_code)]

use super::{Psmmu, State};
use crate::arch::command::Command;
use crate::logic::DeviceError;
use crate::platform::{Clock, DeviceMemory, Registers};

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Invalidates what the device caches of its tables, by `commands`. One that has failed, or fails at that,
    /// must acknowledge that it is off instead: then it reads no table, and an activation invalidates all
    /// before it reads one again. Called with the lock of the command queue.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn invalidate_and_sync(
        &self,
        clock: &impl Clock,
        commands: &[Command],
    ) -> Result<(), DeviceError> {
        let forgotten = match self.state() {
            State::Failed => Err(DeviceError::TimedOut),
            _ => self.run_locked(clock, commands),
        };
        match forgotten {
            Err(DeviceError::TimedOut) => self.quiesce(clock).map_err(|_| DeviceError::TimedOut),
            other => other,
        }
    }
}
