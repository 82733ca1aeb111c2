// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors as an embedder meets them: in a `Box<dyn Error>`, and in a line of its log.

use std::collections::BTreeSet;
use std::error::Error;

use psmmu::{
    ActivateError, AttachError, CommandError, CreateError, DeactivateError, DeviceError,
    DirectoryError, Granules, HostFault, NotActivated, State, StateError, StreamError, TableError,
};
use psmmu_abi::Unknown;

const DEVICE: [DeviceError; 4] = [
    DeviceError::Busy,
    DeviceError::NoCommandQueue,
    DeviceError::CommandRejected,
    DeviceError::TimedOut,
];

const STATE: [StateError; 4] = [
    StateError::Wrong(State::Failed),
    StateError::Wrong(State::Inactive),
    StateError::Attached,
    StateError::NotAttached,
];

/// Says what each of `common` says inside the error of each call.
fn inside<E: Error + Copy>(common: E) -> [String; 6]
where
    ActivateError: From<E>,
    AttachError: From<E>,
    CommandError: From<E>,
    DeactivateError: From<E>,
    StreamError: From<E>,
    TableError: From<E>,
{
    [
        ActivateError::from(common).to_string(),
        AttachError::from(common).to_string(),
        CommandError::from(common).to_string(),
        DeactivateError::from(common).to_string(),
        StreamError::from(common).to_string(),
        TableError::from(common).to_string(),
    ]
}

#[test]
fn a_common_error_says_the_same_in_the_error_of_each_call() {
    for error in DEVICE {
        assert!(inside(error).iter().all(|said| *said == error.to_string()), "{error:?}");
    }
    for error in STATE {
        assert!(inside(error).iter().all(|said| *said == error.to_string()), "{error:?}");
    }
    let said: BTreeSet<_> = DEVICE
        .iter()
        .map(ToString::to_string)
        .chain(STATE.iter().map(ToString::to_string))
        .collect();
    assert_eq!(said.len(), DEVICE.len() + STATE.len(), "{said:?}");
}

#[test]
fn each_error_is_an_error_of_the_language_and_says_one_line() {
    let not_activated: NotActivated<Granules<'_>> =
        NotActivated { error: DeviceError::TimedOut.into(), memory: None };
    let table = CreateError { error: TableError::Memory, is_free: true, claim: None };
    let errors: [(Box<dyn Error>, &str); 12] = [
        (Box::new(not_activated), "the PSMMU was not activated: the device does not answer"),
        (
            Box::new(table),
            "the level-2 table was not made: the granule is not aligned or out of the device's reach",
        ),
        (Box::new(ActivateError::Msi), "the device cannot send these MSIs"),
        (Box::new(AttachError::NotEnabled), "a queue is not enabled"),
        (Box::new(CommandError::TooMany), "there are more commands than the queue has places"),
        (Box::new(DeactivateError::TablesLive), "there are level-2 stream tables"),
        (Box::new(StreamError::NoTable), "the stream has no level-2 table"),
        (Box::new(TableError::BeingMade), "the level-2 table is being made"),
        (Box::new(DirectoryError::TooMany), "there are more than 16 PSMMUs"),
        (Box::new(DirectoryError::DuplicatePsmmuPtr(0x2B40_0000)), "two PSMMUs are at 0x2b400000"),
        (Box::new(HostFault), "the granule is not memory of the host"),
        (Box::new(Unknown(0x30D)), "0x30d has no meaning"),
    ];
    for (error, line) in errors {
        assert_eq!(error.to_string(), line);
    }
}
