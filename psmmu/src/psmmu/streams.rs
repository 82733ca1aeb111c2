// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams of devices that belong to Realms, for the embedding RMM:
//!
//! default STE -> [configured](Psmmu::configure_stream) -> [enabled](Psmmu::enable_stream) ->
//! [disabled](Psmmu::disable_stream), which is configured again -> [released](Psmmu::release_stream),
//! which has its default STE again.
//!
//! A stream that is configured aborts its accesses and records none. Each step has come into effect in
//! the device when it returns; a step that another CPU is in the way of is [`Busy`](DeviceError::Busy).
//!
//! A step waits for room and the end of each command that it runs, twice
//! [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT) at most: to configure and to enable run two, to disable
//! one, to release three. A device that fails then is waited for no more, but that disable and release wait
//! for five acknowledgements that it is off: disable for seven times at most, release for eleven.

#![forbid(unsafe_code)]

use super::{Psmmu, StateError};
use crate::arch::command::Command;
use crate::arch::l1_descriptor::Descriptor;
use crate::arch::stream_table_entry::StreamTableEntry;
use crate::logic::DeviceError;
use crate::logic::stream_tables::{self, StreamTables};
use crate::platform::{Clock, DeviceMemory, Registers, TableMemory, Translation};

/// Why a step of a stream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The PSMMU is not active, or has failed, or was attached.
    #[error(transparent)]
    State(#[from] StateError),
    /// The stream has no level-2 table.
    #[error("the stream has no level-2 table")]
    NoTable,
    /// [`TableMemory::open`] could not open its level-2 table. Nothing has changed, and the step may be
    /// tried again.
    #[error("the level-2 table cannot be opened now")]
    NotOpened,
    /// The stream is not in the state in which this step begins.
    #[error("the stream is not where the step begins")]
    WrongStep,
    /// The device would take this stage 2 for a bad entry.
    #[error("the device does not take this stage 2")]
    Stage2,
    /// Another CPU waits for the device, and nothing has changed; or that rejected an invalidation: the stream
    /// aborts or translates as it did, and the step may be tried again; or it does not answer, and has failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// The entry of one stream, for the holder of `cmdq_lock`, which alone changes it.
struct Entry<M> {
    table: M,
    stream: u32,
    now: StreamTableEntry,
}

impl<M: DeviceMemory> Entry<M> {
    #[cfg_attr(core_from_source, optimize(size))]
    fn store_first(&self, entry: StreamTableEntry) {
        stream_tables::store_first(entry, &self.table, self.stream);
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn store_rest(&self, entry: StreamTableEntry) {
        stream_tables::store_rest(entry, &self.table, self.stream);
    }
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Gives `stream`, which has its default STE, a stage 2 of translation, not enabled yet.
    ///
    /// # Errors
    /// [`StreamError`]; the stream keeps its default STE, but after
    /// [`CommandRejected`](DeviceError::CommandRejected) or [`TimedOut`](DeviceError::TimedOut) it may
    /// abort without a record where its default STE does something else.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn configure_stream<T: TableMemory>(
        &self,
        stream: u32,
        translation: Translation,
        memory: &T,
        clock: &impl Clock,
    ) -> Result<(), StreamError> {
        let _issue = self.issue_lock()?;
        self.refuse_if_failed()?;
        let takes = |tables: &StreamTables<M>| translation.stage_2().is_valid(tables.limits());
        let is_valid = self.tables.lock().as_ref().is_some_and(takes);
        let entry = self.entry(stream, memory)?;
        if !is_valid {
            return Err(StreamError::Stage2);
        }
        let default_ste = memory.default_ste(stream);
        if entry.now != default_ste && entry.now != default_ste.disabled() {
            return Err(StreamError::WrongStep);
        }
        let invalidate = [Command::cfgi_ste(stream)];
        // The other words may only change while the device does not read them. It reads the words
        // of an entry in any order, so what it caches of these is invalidated before the first one turns them
        // on.
        if entry.now.words()[0] != default_ste.disabled().words()[0] {
            entry.store_first(default_ste.disabled());
            self.registers.write_barrier();
            self.run_locked(clock, &invalidate)?;
        }
        entry.store_rest(StreamTableEntry::stage_2(translation));
        self.registers.write_barrier();
        let result = self.run_locked(clock, &invalidate);
        if result.is_err() {
            entry.store_rest(default_ste);
            self.registers.write_barrier();
        }
        result.map_err(Into::into)
    }

    /// Lets `stream`, which is configured, translate.
    ///
    /// # Errors
    /// [`StreamError`].
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn enable_stream<T: TableMemory>(
        &self,
        stream: u32,
        memory: &T,
        clock: &impl Clock,
    ) -> Result<(), StreamError> {
        let _issue = self.issue_lock()?;
        self.refuse_if_failed()?;
        let entry = self.configured(stream, memory)?;
        entry.store_first(entry.now.enabled());
        self.registers.write_barrier();
        let result = self.run_locked(clock, &[Command::cfgi_ste(stream)]);
        if result.is_err() {
            entry.store_first(entry.now);
            self.registers.write_barrier();
        }
        if result == Err(DeviceError::CommandRejected) {
            // The device may have taken the entry up meanwhile. Should it refuse again, the stream may
            // translate until its next step, which does no harm: its tables are its own that long.
            let _ = self.run_locked(clock, &[Command::cfgi_ste(stream)]);
        }
        result.map_err(Into::into)
    }

    /// Has `stream`, which is enabled, abort again. When this returns no access of it is under way.
    ///
    /// Of a PSMMU that has failed it returns once the device acknowledges that it is off.
    ///
    /// # Errors
    /// [`StreamError`]. Unless the step could not begin, the stream counts as disabled, and must be
    /// disabled again, which is then allowed, before its translation tables are touched.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn disable_stream<T: TableMemory>(
        &self,
        stream: u32,
        memory: &T,
        clock: &impl Clock,
    ) -> Result<(), StreamError> {
        let _issue = self.issue_lock()?;
        let entry = self.configured_or_enabled(stream, memory)?;
        entry.store_first(entry.now.disabled());
        self.registers.write_barrier();
        self.invalidate_and_sync(clock, &[Command::cfgi_ste(stream)]).map_err(Into::into)
    }

    /// Brings `stream`, which is configured and not enabled, to its default STE, and invalidates the
    /// translations of its VMID: from then on its tables may be used for something else, and so may the
    /// VMID if no other stream has it. Of a PSMMU that has failed, once the device acknowledges that it
    /// is off.
    ///
    /// # Errors
    /// [`StreamError`]; the stream stays configured, or is released but aborts without a record
    /// where its default STE does something else.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn release_stream<T: TableMemory>(
        &self,
        stream: u32,
        memory: &T,
        clock: &impl Clock,
    ) -> Result<(), StreamError> {
        let _issue = self.issue_lock()?;
        let entry = self.configured(stream, memory)?;
        let vmid = entry.now.vmid();
        self.invalidate_and_sync(
            clock,
            &[Command::cfgi_ste(stream), Command::tlbi_s12_vmall(vmid)],
        )?;
        let default_ste = memory.default_ste(stream);
        entry.store_rest(default_ste);
        self.registers.write_barrier();
        if default_ste.words()[0] == entry.now.words()[0] {
            return Ok(());
        }
        let invalidate = [Command::cfgi_ste(stream)];
        self.invalidate_and_sync(clock, &invalidate)?;
        entry.store_first(default_ste);
        self.registers.write_barrier();
        self.invalidate_and_sync(clock, &invalidate).map_err(Into::into)
    }

    /// Finds the entry of a stream that is configured and not enabled.
    #[cfg_attr(core_from_source, optimize(size))]
    fn configured<T: TableMemory>(
        &self,
        stream: u32,
        memory: &T,
    ) -> Result<Entry<T::Memory>, StreamError> {
        let entry = self.configured_or_enabled(stream, memory)?;
        if entry.now.is_enabled() { Err(StreamError::WrongStep) } else { Ok(entry) }
    }

    /// Finds the entry of a stream that is configured, enabled or not.
    #[cfg_attr(core_from_source, optimize(size))]
    fn configured_or_enabled<T: TableMemory>(
        &self,
        stream: u32,
        memory: &T,
    ) -> Result<Entry<T::Memory>, StreamError> {
        let entry = self.entry(stream, memory)?;
        let is_default = entry.now == memory.default_ste(stream);
        if entry.now.is_stage_2() && !is_default { Ok(entry) } else { Err(StreamError::WrongStep) }
    }

    /// Finds the entry of `stream`. Called with the lock of the command queue.
    #[cfg_attr(core_from_source, optimize(size))]
    fn entry<T: TableMemory>(
        &self,
        stream: u32,
        memory: &T,
    ) -> Result<Entry<T::Memory>, StreamError> {
        self.serving_state()?;
        let descriptor = match self.tables.lock().as_ref() {
            Some(tables) if tables.covers(stream) => tables.find(stream),
            Some(_) => Descriptor::None,
            None => return Err(self.without_tables().into()),
        };
        let Descriptor::Table(address) = descriptor else {
            return Err(StreamError::NoTable);
        };
        let table = memory.open(address).ok_or(StreamError::NotOpened)?;
        let now = stream_tables::load(&table, stream);
        Ok(Entry { table, stream, now })
    }
}
