// SPDX-License-Identifier: MIT OR Apache-2.0

//! The RMI status of each error. Where a command is said to answer with a status, this is where it comes from.

#![forbid(unsafe_code)]

use psmmu_abi::{ResultWord, Status};

use crate::logic::DeviceError;
use crate::platform::HostFault;
use crate::psmmu::{ActivateError, DeactivateError, State, StateError, TableError};

impl From<HostFault> for Status {
    fn from(_: HostFault) -> Self {
        Self::ErrorInput
    }
}

impl From<StateError> for Status {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Wrong(State::Failed) => Self::ErrorDevice,
            StateError::Wrong(_) | StateError::Attached | StateError::NotAttached => {
                Self::ErrorInput
            }
        }
    }
}

impl From<DeviceError> for Status {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Busy => Self::Busy,
            DeviceError::NoCommandQueue => Self::ErrorInput,
            DeviceError::CommandRejected | DeviceError::TimedOut => Self::ErrorDevice,
        }
    }
}

impl From<ActivateError> for Status {
    fn from(error: ActivateError) -> Self {
        match error {
            ActivateError::State(error) => error.into(),
            ActivateError::Device(error) => error.into(),
            ActivateError::Unsupported => Self::ErrorDevice,
            ActivateError::Memory | ActivateError::Msi | ActivateError::PageRequests => {
                Self::ErrorInput
            }
        }
    }
}

impl From<DeactivateError> for Status {
    fn from(error: DeactivateError) -> Self {
        match error {
            DeactivateError::State(error) => error.into(),
            DeactivateError::Device(error) => error.into(),
            DeactivateError::TablesLive => Self::ErrorInput,
        }
    }
}

impl From<TableError> for ResultWord {
    fn from(error: TableError) -> Self {
        /// Where the walk of the host's request has ended.
        const LEVEL: u8 = 2;
        let status = match error {
            TableError::Exists | TableError::InUse => return Self::stream_table(LEVEL),
            TableError::State(error) => error.into(),
            TableError::Device(error) => error.into(),
            TableError::Stream | TableError::Missing | TableError::Memory => Status::ErrorInput,
            TableError::BeingMade => Status::Blocked,
            TableError::NotOpened => Status::Busy,
        };
        Self::of(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status that each call answers `error` with.
    fn statuses<E: Copy>(error: E) -> [Status; 3]
    where
        ActivateError: From<E>,
        DeactivateError: From<E>,
        TableError: From<E>,
    {
        let table = ResultWord::from(TableError::from(error));
        assert_eq!(table.data(), 0);
        let table = table.status().expect("a status");
        [ActivateError::from(error).into(), DeactivateError::from(error).into(), table]
    }

    #[test]
    fn a_common_error_has_one_status_in_each_command() {
        for (error, status) in [
            (DeviceError::Busy, Status::Busy),
            (DeviceError::NoCommandQueue, Status::ErrorInput),
            (DeviceError::CommandRejected, Status::ErrorDevice),
            (DeviceError::TimedOut, Status::ErrorDevice),
        ] {
            assert_eq!(statuses(error), [status; 3], "{error:?}");
        }
        for (error, status) in [
            (StateError::Wrong(State::Failed), Status::ErrorDevice),
            (StateError::Wrong(State::Inactive), Status::ErrorInput),
            (StateError::Wrong(State::Active), Status::ErrorInput),
            (StateError::Attached, Status::ErrorInput),
            (StateError::NotAttached, Status::ErrorInput),
        ] {
            assert_eq!(statuses(error), [status; 3], "{error:?}");
        }
    }
}
