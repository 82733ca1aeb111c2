// SPDX-License-Identifier: MIT OR Apache-2.0

//! Activates a PSMMU's Realm side, creates and destroys its level-2 stream tables, and deactivates it.
//!
//! In this order, with [`rmm::start`](crate::rmm::start) before it:
//!
//! 1. [`activate`], then [`service`](crate::service()) once for each source, since what was recorded
//!    before raises no interrupt.
//! 2. [`st_l2_create`] for each device that is assigned, [`st_l2_destroy`] when it is unassigned.
//! 3. [`deactivate`], once no table is left.
//!
//! Each may donate memory to the RMM or reclaim it. For one PSMMU only one of them runs at a time.

use core::fmt;

use psmmu_abi::{MsiMessage, PsmmuParamsFields, Status};

use crate::donor::MemoryDonor;
use crate::memory::{Memory, Page};
use crate::operation::{Cause, OperationError, TransferStats};
use crate::rmi::{Command, Conduit, Rmi, RmiError};

/// StreamIDs that one level-2 table covers: 64 entries of 64 bytes in a granule.
pub const STREAMS_PER_TABLE: u32 = 64;

/// Level at which a walk of the stream table ends if it finds a level-2 table.
const LEVEL_2: u8 = 2;

/// Activates the Realm side of the PSMMU whose Non-secure register page 0 is at PA `psmmu_ptr`.
///
/// `params` has the MSIs and the features to enable: [`Vectors::parameters`](crate::Vectors::parameters)
/// builds it with MSIs, [`PARAMS_NO_MSI`] is for wired interrupts and for polling. It is passed in
/// `page`; the caller owns `page` again on return.
///
/// # Errors
/// [`OperationError`]: `ErrorNotSupported` without device assignment; `ErrorInput` for an unknown PSMMU,
/// for one that is not inactive and for parameters that it does not support; `ErrorDevice` when the
/// device does not respond. The PSMMU is inactive then.
pub fn activate<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu_ptr: u64,
    page: &mut impl Page,
    params: &PsmmuParamsFields,
) -> Result<TransferStats, OperationError> {
    page.clear();
    for (index, word) in words(params).into_iter().enumerate() {
        page.set_word(index, word);
    }
    donor.run(rmi, Command::PsmmuActivate { psmmu_ptr, params: page.address() })
}

/// Parameters without MSIs, ATS and PRI.
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

/// Deactivates the Realm side of `psmmu_ptr`. The memory donated for it is undelegated and freed;
/// granules that the RMM does not undelegate are leaked.
///
/// # Errors
/// [`OperationError`]: `ErrorInput` for an unknown PSMMU, for one that is not active and for one with
/// level-2 tables.
pub fn deactivate<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu_ptr: u64,
) -> Result<TransferStats, OperationError> {
    donor.run(rmi, Command::PsmmuDeactivate { psmmu_ptr })
}

/// Outcome of [`st_l2_create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The table was created.
    Created,
    /// The table exists already, for another device with a StreamID in its range.
    Exists,
}

/// Creates the level-2 stream table that covers the StreamID `stream`, unless it exists.
///
/// # Errors
/// [`OperationError`]: `ErrorInput` for an unknown PSMMU, for one that is not active and for a StreamID
/// out of its range.
pub fn st_l2_create<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu_ptr: u64,
    stream: u32,
) -> Result<Table, OperationError> {
    match donor.run(rmi, Command::PsmmuStL2Create { psmmu_ptr, stream: first(stream) }) {
        Ok(_) => Ok(Table::Created),
        Err(error) if met_table(&error) => Ok(Table::Exists),
        Err(error) => Err(error),
    }
}

/// Why [`st_l2_destroy`] did not destroy a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyError {
    /// An entry of the table is still assigned to a device. To be repeated when the last device is
    /// unassigned.
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

/// Destroys the level-2 stream table that covers the StreamID `stream`.
///
/// # Errors
/// [`DestroyError::InUse`] while an entry of it is assigned to a device; otherwise as [`st_l2_create`],
/// and `ErrorInput` if the table does not exist.
pub fn st_l2_destroy<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    psmmu_ptr: u64,
    stream: u32,
) -> Result<TransferStats, DestroyError> {
    donor.run(rmi, Command::PsmmuStL2Destroy { psmmu_ptr, stream: first(stream) }).map_err(
        |error| {
            if met_table(&error) { DestroyError::InUse } else { DestroyError::Failed(error) }
        },
    )
}

/// Returns the first StreamID of the table that covers `stream`.
const fn first(stream: u32) -> u32 {
    stream & !(STREAMS_PER_TABLE - 1)
}

/// Returns whether the RMM failed the command because of the table that its walk found.
fn met_table(error: &OperationError) -> bool {
    matches!(
        error.cause,
        Cause::Rmi(RmiError::Level(function, Status::ErrorPsmmuSt, LEVEL_2))
            if function == error.command.function()
    )
}
