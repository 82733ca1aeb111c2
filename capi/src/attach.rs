// SPDX-License-Identifier: MIT OR Apache-2.0

//! SMMUs that the embedder has brought up itself.

use psmmu::{AttachError, CMDQ_MIN_ENTRIES, Command, CommandError, DeviceError, LiveQueues};

use crate::memory::Shared;
use crate::set::{self, Set};
use crate::types::{self, CommandWords, Error, MsiTriple, Queues};

/// Bytes of an event record.
const RECORD: u64 = 32;
/// Bytes of a page request, and of a command.
const REQUEST_OR_COMMAND: u64 = 16;

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Busy => Self::Busy,
            DeviceError::NoCommandQueue => Self::State,
            DeviceError::CommandRejected => Self::Cmd,
            DeviceError::TimedOut => Self::TimedOut,
        }
    }
}

impl From<AttachError> for Error {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::State(_) => Self::State,
            AttachError::NotEnabled => Self::NotEnabled,
            AttachError::Memory => Self::Memory,
            AttachError::PageRequests => Self::Pri,
            AttachError::Msi => Self::Msi,
            AttachError::Device(error) => error.into(),
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::State(_) => Self::State,
            CommandError::TooMany => Self::Inval,
            CommandError::Device(error) => error.into(),
        }
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `queues` is null or can be read; its queues are Realm memory as the header says, mapped as long as
///    the SMMU is attached.
/// 3. `msi` is null or can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_attach(
    set: *const Set,
    psmmu_ptr: u64,
    queues: *const Queues,
    msi: *const MsiTriple,
) -> i32 {
    let attach = || {
        // SAFETY: 1.
        let (set, unit) = unsafe { set::unit(set, psmmu_ptr) }?;
        // SAFETY: 2.
        let queues = unsafe { set::read(queues) }.ok_or(Error::Inval)?;
        // SAFETY: 3.
        let msi = unsafe { set::read(msi) };
        // SAFETY: 2., for this and the next two.
        let event_queue = unsafe { Shared::queue(&queues.event_queue, RECORD) }?;
        // SAFETY: 2.
        let pri_queue = unsafe { Shared::queue(&queues.pri_queue, REQUEST_OR_COMMAND) }?;
        // SAFETY: 2.
        let command_queue = unsafe { Shared::queue(&queues.command_queue, REQUEST_OR_COMMAND) }?;
        let event_queue = event_queue.ok_or(Error::Inval)?;
        let running = LiveQueues { event_queue, pri_queue, command_queue };
        let msi = msi.as_ref().map(Into::into);
        unit.psmmu.attach(running, msi, &set.callbacks).map_err(Error::from)
    };
    types::code(attach())
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_detach(set: *const Set, psmmu_ptr: u64) -> i32 {
    // SAFETY: the condition is the same.
    let unit = unsafe { set::unit(set, psmmu_ptr) };
    types::code(unit.and_then(|(set, unit)| unit.psmmu.detach(&set.callbacks).map_err(Error::from)))
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_command_repaired(set: *const Set, psmmu_ptr: u64) -> bool {
    // SAFETY: the condition is the same.
    let unit = unsafe { set::unit(set, psmmu_ptr) };
    unit.is_ok_and(|(_, unit)| unit.psmmu.command_repaired())
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `commands` is null or `count` of them can be read.
/// 3. None of them has the SMMU write memory that is not the embedder's for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_run_commands(
    set: *const Set,
    psmmu_ptr: u64,
    commands: *const CommandWords,
    count: usize,
) -> i32 {
    const MOST: usize = CMDQ_MIN_ENTRIES as usize - 1;
    let run = || {
        // SAFETY: 1.
        let (set, unit) = unsafe { set::unit(set, psmmu_ptr) }?;
        let mut own = [Command::SYNC; MOST];
        let own = own.get_mut(..count).ok_or(Error::Inval)?;
        for (command, index) in own.iter_mut().zip(0..count) {
            if commands.is_null() {
                return Err(Error::Inval);
            }
            // SAFETY: 2.
            let words = unsafe { set::read(commands.wrapping_add(index)) };
            let words = words.ok_or(Error::Inval)?.words;
            // SAFETY: 3.
            *command = unsafe { Command::new(words) };
        }
        unit.psmmu.run_commands(&set.callbacks, own).map_err(Error::from)
    };
    types::code(run())
}
