// SPDX-License-Identifier: MIT OR Apache-2.0

//! Level-2 stream tables: made in two steps, as memory is found in between, and taken away in one.
//!
//! The device sees a table when its descriptor of level 1 does, and no more when it has run
//! the invalidation that follows the descriptor of no table.

#![forbid(unsafe_code)]

use super::{Psmmu, State, StateError};
use crate::arch::command::Command;
use crate::arch::l1_descriptor::{Descriptor, L2_BYTES, STREAMS};
use crate::logic::DeviceError;
use crate::logic::stream_tables::{self, StreamTables};
use crate::platform::{Clock, DeviceMemory, Registers, TableMemory};

/// Why a level-2 table was not made or not taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The PSMMU is not active, or has failed, or was attached.
    #[error(transparent)]
    State(#[from] StateError),
    /// The stream is not the first of a table, or not within the level-1 table.
    #[error("the stream is not the first one of a level-2 table")]
    Stream,
    /// There is a table already.
    #[error("there is a level-2 table already")]
    Exists,
    /// There is none.
    #[error("there is no level-2 table")]
    Missing,
    /// Another call is making it.
    #[error("the level-2 table is being made")]
    BeingMade,
    /// A stream of it is configured.
    #[error("a stream of the level-2 table is configured")]
    InUse,
    /// Its granule is not aligned, or lies where the device cannot address it.
    #[error("the granule is not aligned or out of the device's reach")]
    Memory,
    /// [`TableMemory::open`] could not open it. Nothing has changed, and it may be tried again.
    #[error("the level-2 table cannot be opened now")]
    NotOpened,
    /// Another CPU waits for the device; or that rejected the invalidation, and nothing has changed; or it
    /// does not answer, and has failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl TableError {
    const BUSY: Self = Self::Device(DeviceError::Busy);
}

/// The claim to a table that is being made. Its owner ends it by [`Psmmu::st_l2_create_finish`] or
/// [`Psmmu::st_l2_create_cancel`].
#[derive(Debug)]
#[must_use = "dropping it leaves the table claimed"]
pub struct L2TableToken {
    first_stream: u32,
}

/// A table that was not made, and whether its memory is free: not if the device may still access it,
/// and then [`Psmmu::st_l2_destroy`] gives it back once the device answers.
#[derive(Debug, thiserror::Error)]
#[error("the level-2 table was not made: {error}")]
pub struct CreateError {
    /// Why.
    pub error: TableError,
    /// The memory may be used for something else.
    pub is_free: bool,
    /// The claim, after [`DeviceError::Busy`] and [`TableError::NotOpened`]: to be tried again, or abandoned.
    pub claim: Option<L2TableToken>,
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Claims the table of the 64 streams from `first_stream` on, for which one granule is needed.
    ///
    /// # Errors
    /// [`TableError`]; nothing has changed.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn st_l2_create_begin(&self, first_stream: u32) -> Result<L2TableToken, TableError> {
        self.with_tables(first_stream, |tables| {
            // A claim to deactivate is made under the same lock.
            match self.state() {
                State::Active => {}
                state => return Err(StateError::Wrong(state).into()),
            }
            match tables.find(first_stream) {
                Descriptor::None => tables.set(first_stream, Descriptor::BeingMade),
                Descriptor::BeingMade => return Err(TableError::BeingMade),
                Descriptor::Table(_) => return Err(TableError::Exists),
            }
            Ok(L2TableToken { first_stream })
        })
    }

    /// Gives the claim up.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn st_l2_create_cancel(&self, table: L2TableToken) {
        self.set_table(table.first_stream, Descriptor::None);
    }

    /// Makes the table in the granule at PA `address`, and links it for the device.
    ///
    /// # Errors
    /// [`CreateError`].
    ///
    /// # Waits
    /// For the device, up to nine times [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT): for room and
    /// the end of a command, if that fails once more, and if that fails for five acknowledgements.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn st_l2_create_finish<T: TableMemory>(
        &self,
        table: L2TableToken,
        address: u64,
        memory: &T,
        clock: &impl Clock,
    ) -> Result<(), CreateError> {
        let Ok(_issue) = self.issue_lock() else {
            return Err(CreateError { error: TableError::BUSY, is_free: true, claim: Some(table) });
        };
        // With a table that is being made it cannot have been deactivated.
        if let Err(failed) = self.refuse_if_failed() {
            self.st_l2_create_cancel(table);
            let error = failed.into();
            return Err(CreateError { error, is_free: true, claim: None });
        }
        let reaches = |tables: &StreamTables<M>| tables.limits().reach(address, L2_BYTES as u64);
        let is_reached = self.tables.lock().as_ref().is_some_and(reaches);
        if !is_reached || !address.is_multiple_of(L2_BYTES as u64) {
            self.st_l2_create_cancel(table);
            return Err(CreateError { error: TableError::Memory, is_free: true, claim: None });
        }
        let Some(entries) = memory.open(address) else {
            let (error, claim) = (TableError::NotOpened, Some(table));
            return Err(CreateError { error, is_free: true, claim });
        };
        let L2TableToken { first_stream } = table;
        stream_tables::fill(memory, &entries, first_stream);
        drop(entries);
        self.registers.write_barrier();
        self.set_table(first_stream, Descriptor::Table(address));
        let Err(error) = self.run_locked(clock, &[Command::cfgi_ste_and_table(first_stream)])
        else {
            return Ok(());
        };
        // What the device knows is uncertain. It must forget the table, or be off.
        self.set_table(first_stream, Descriptor::BeingMade);
        let is_free = self.unlink(first_stream, address, clock).is_ok();
        Err(CreateError { error: error.into(), is_free, claim: None })
    }

    /// Takes away the table of the 64 streams from `first_stream` on and returns the PA of its
    /// granule. Streams of it are from then on recorded as unknown.
    ///
    /// On a PSMMU that has failed this works once the device acknowledges that it is off.
    ///
    /// # Errors
    /// [`TableError`]; the table is as before.
    ///
    /// # Waits
    /// For the device, up to seven times [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT): for room and
    /// the end of a command, and if that fails for five acknowledgements.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn st_l2_destroy<T: TableMemory>(
        &self,
        first_stream: u32,
        memory: &T,
        clock: &impl Clock,
    ) -> Result<u64, TableError> {
        let _issue = self.issue_lock()?;
        let address = self.with_tables(first_stream, |tables| {
            self.serving_state()?;
            match tables.find(first_stream) {
                Descriptor::None => Err(TableError::Missing),
                Descriptor::BeingMade => Err(TableError::BeingMade),
                Descriptor::Table(address) => Ok(address),
            }
        })?;
        // The table stays where it is meanwhile: one that is there changes under the lock held here alone,
        // and while one is there the PSMMU is not deactivated.
        let entries = memory.open(address).ok_or(TableError::NotOpened)?;
        let mut streams = first_stream..=first_stream | (STREAMS - 1);
        if streams.any(|stream| stream_tables::is_configured(memory, &entries, stream)) {
            return Err(TableError::InUse);
        }
        drop(entries);
        // From here on no call finds it; the device may still have it.
        self.set_table(first_stream, Descriptor::BeingMade);
        self.unlink(first_stream, address, clock).map(|()| address)
    }

    /// Invalidates what the device caches of the table at `address`, which level 1 has as being made;
    /// if that fails, the table is linked again. Called with the lock of the command queue.
    #[cfg_attr(core_from_source, optimize(size))]
    fn unlink(
        &self,
        first_stream: u32,
        address: u64,
        clock: &impl Clock,
    ) -> Result<(), TableError> {
        // Entries of all 64 streams may be cached, and the descriptor.
        let result = self.invalidate_and_sync(clock, &[Command::CFGI_ALL]).map_err(Into::into);
        let descriptor = if result.is_ok() { Descriptor::None } else { Descriptor::Table(address) };
        self.set_table(first_stream, descriptor);
        // Before any entry of it changes.
        self.registers.write_barrier();
        result
    }

    /// Accesses the level-1 table for the 64 streams from `first_stream` on.
    #[cfg_attr(core_from_source, optimize(size))]
    fn with_tables<T>(
        &self,
        first_stream: u32,
        with: impl FnOnce(&mut StreamTables<M>) -> Result<T, TableError>,
    ) -> Result<T, TableError> {
        let mut tables = self.tables.lock();
        let tables = tables.as_mut().ok_or_else(|| self.without_tables())?;
        if !first_stream.is_multiple_of(STREAMS) || !tables.covers(first_stream) {
            return Err(TableError::Stream);
        }
        with(tables)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn set_table(&self, first_stream: u32, descriptor: Descriptor) {
        if let Some(tables) = self.tables.lock().as_mut() {
            tables.set(first_stream, descriptor);
        }
    }
}
