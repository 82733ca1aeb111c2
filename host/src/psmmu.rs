// SPDX-License-Identifier: MIT OR Apache-2.0

//! The life of a PSMMU's Realm side: activate, level-2 stream tables, deactivate.
//!
//! In this order, with [`rmm::start`](crate::rmm::start) before it:
//!
//! 1. [`activate`], then [`service`](crate::service()) once for each source, since nothing interrupts
//!    for what was there before.
//! 2. [`st_l2_create`] for each device that is assigned, [`st_l2_destroy`] when it is not any more.
//! 3. [`deactivate`], once no table is left.
//!
//! Each may make the RMM take memory or give it back. Only one at a time for one PSMMU.

use core::fmt;

use psmmu_abi::{MsiMessage, PsmmuParamsFields, Status};

use crate::donor::MemoryDonor;
use crate::memory::{Memory, Page};
use crate::operation::{Cause, OperationError, TransferStats};
use crate::rmi::{Command, Conduit, Rmi, RmiError};

/// StreamIDs that one level-2 table is for, 64 entries of 64 bytes in a granule.
pub const STREAMS_PER_TABLE: u32 = 64;

/// Level that a walk of the stream table ends at when it meets a level-2 table.
const LEVEL_2: u8 = 2;

/// Starts the Realm side of the PSMMU whose Non-secure register page 0 lies at PA `psmmu`.
///
/// `params` says how it interrupts and what it serves: [`Vectors::parameters`](crate::Vectors::parameters) builds it
/// for MSIs, [`PARAMS_NO_MSI`] is for wires and for none. It is passed through `page`, which is the caller's
/// again on return.
///
/// # Errors
/// [`OperationError`]: `ErrorNotSupported` without device assignment; `ErrorInput` for an unknown PSMMU,
/// for one that is not inactive and for parameters that it cannot serve; `ErrorDevice` when it does not
/// answer. It is inactive then.
pub fn activate<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu: u64,
    page: &mut impl Page,
    params: &PsmmuParamsFields,
) -> Result<TransferStats, OperationError> {
    page.clear();
    for (index, word) in words(params).into_iter().enumerate() {
        page.set_word(index, word);
    }
    donor.run(rmi, Command::PsmmuActivate { psmmu, params: page.address() })
}

/// Parameters without MSIs, address translation services and page requests.
pub const PARAMS_NO_MSI: PsmmuParamsFields = PsmmuParamsFields {
    flags: psmmu_abi::PsmmuParamsFlags::empty(),
    gerror: MsiMessage { address: 0, data: 0 },
    eventq: MsiMessage { address: 0, data: 0 },
    priq: MsiMessage { address: 0, data: 0 },
};

const fn words(params: &PsmmuParamsFields) -> [u64; PsmmuParamsFields::WORDS] {
    let PsmmuParamsFields { flags, gerror, eventq, priq } = params;
    [
        flags.bits(),
        gerror.address,
        gerror.data,
        eventq.address,
        eventq.data,
        priq.address,
        priq.data,
    ]
}

/// Stops the Realm side. What the RMM held for it comes back; what does not is lost.
///
/// # Errors
/// [`OperationError`]: `ErrorInput` for an unknown PSMMU, for one that is not active and for one with
/// level-2 tables.
pub fn deactivate<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu: u64,
) -> Result<TransferStats, OperationError> {
    donor.run(rmi, Command::PsmmuDeactivate { psmmu })
}

/// Whether [`st_l2_create`] made a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// It did.
    Created,
    /// There is one already: another device has a StreamID beside this one.
    Exists,
}

/// Sees to it that there is a level-2 stream table for `stream`.
///
/// # Errors
/// [`OperationError`]: `ErrorInput` for an unknown PSMMU, for one that is not active and for a StreamID
/// that it does not have.
pub fn st_l2_create<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu: u64,
    stream: u32,
) -> Result<Table, OperationError> {
    match donor.run(rmi, Command::CreateTable { psmmu, stream: first(stream) }) {
        Ok(_) => Ok(Table::Created),
        Err(error) if met_table(&error) => Ok(Table::Exists),
        Err(error) => Err(error),
    }
}

/// Why [`st_l2_destroy`] did not remove a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyError {
    /// A device beside this one still uses it. Whoever removes the last one comes again.
    InUse,
    /// The operation failed.
    Failed(OperationError),
}

impl fmt::Display for DestroyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => {
                f.write_str("the level-2 stream table is still in use by another device")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DestroyError {}

/// Removes the level-2 stream table of `stream`.
///
/// # Errors
/// [`DestroyError::InUse`] while an entry of it belongs to a device; else as [`st_l2_create`], and
/// `ErrorInput` when there is no such table.
pub fn st_l2_destroy<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu: u64,
    stream: u32,
) -> Result<TransferStats, DestroyError> {
    donor.run(rmi, Command::DestroyTable { psmmu, stream: first(stream) }).map_err(|error| {
        if met_table(&error) { DestroyError::InUse } else { DestroyError::Failed(error) }
    })
}

/// Returns the first StreamID of the table that `stream` is in.
const fn first(stream: u32) -> u32 {
    stream & !(STREAMS_PER_TABLE - 1)
}

/// Returns whether the RMM refused because of the table that it met.
fn met_table(error: &OperationError) -> bool {
    matches!(
        error.cause,
        Cause::Rmi(RmiError::Level(function, Status::ErrorPsmmuSt, LEVEL_2))
            if function == error.command.function()
    )
}
