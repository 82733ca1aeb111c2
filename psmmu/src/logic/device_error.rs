// SPDX-License-Identifier: MIT OR Apache-2.0

//! The error that every call has in common that has commands run or waits for the device.

#![forbid(unsafe_code)]

use super::wait::TimedOut;

/// What the device, or another CPU that waits for it, is in the way with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Another CPU issues commands to the same PSMMU and may be waiting for the device. Nothing has changed,
    /// and the call is to be tried again.
    #[error("another CPU waits for the device")]
    Busy,
    /// The module does not have the command queue: the PSMMU was attached without it.
    #[error("the module does not have the command queue")]
    NoCommandQueue,
    /// The device rejected a command, as CMDQ_ERR says; other commands of the call have run.
    #[error("the device rejected a command")]
    CommandRejected,
    /// The device does not answer within [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT). The PSMMU has failed.
    #[error("the device does not answer")]
    TimedOut,
}

impl From<TimedOut> for DeviceError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}
