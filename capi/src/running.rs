// SPDX-License-Identifier: MIT OR Apache-2.0

//! SMMUs that the embedder has brought up itself.

use psmmu::command::{Command, CommandError, MIN_ENTRIES};
use psmmu::{AttachError, LiveQueues};

use crate::memory::Shared;
use crate::set::{self, Set};
use crate::types::{self, CommandWords, Error, MessageTriple, RunningQueues};

/// Bytes of an event record.
const RECORD: u64 = 32;
/// Bytes of a page request, and of a command.
const REQUEST_OR_COMMAND: u64 = 16;

impl From<AttachError> for Error {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::State(_) | AttachError::NotAttached => Self::State,
            AttachError::NotRunning => Self::NotRunning,
            AttachError::Memory => Self::Memory,
            AttachError::PageRequests => Self::PageRequests,
            AttachError::Msi => Self::Messages,
            AttachError::TimedOut => Self::TimedOut,
            AttachError::Busy => Self::Busy,
        }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotActive => Self::State,
            CommandError::Rejected => Self::Refused,
            CommandError::TimedOut => Self::TimedOut,
            CommandError::Busy => Self::Busy,
            CommandError::TooMany => Self::Argument,
        }
    }
}

/// See `psmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `psmmu_open` gave.
/// 2. `running` is null or can be read; its queues are Realm memory as the header says, mapped as long as
///    the SMMU is attached.
/// 3. `MSIs` is null or can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn psmmu_attach(
    set: *const Set,
    name: u64,
    running: *const RunningQueues,
    msis: *const MessageTriple,
) -> i32 {
    let attach = || {
        // SAFETY: 1.
        let (set, unit) = unsafe { set::unit(set, name) }?;
        // SAFETY: 2.
        let queues = unsafe { set::read(running) }.ok_or(Error::Argument)?;
        // SAFETY: 3.
        let msis = unsafe { set::read(msis) };
        // SAFETY: 2., for this and the next two.
        let event_queue = unsafe { Shared::queue(&queues.event_queue, RECORD) }?;
        // SAFETY: 2.
        let pri_queue = unsafe { Shared::queue(&queues.pri_queue, REQUEST_OR_COMMAND) }?;
        // SAFETY: 2.
        let command_queue = unsafe { Shared::queue(&queues.command_queue, REQUEST_OR_COMMAND) }?;
        let event_queue = event_queue.ok_or(Error::Argument)?;
        let running = LiveQueues { event_queue, pri_queue, command_queue };
        let msis = msis.as_ref().map(Into::into);
        unit.psmmu.attach(running, msis, &set.door).map_err(Error::from)
    };
    types::code(attach())
}

/// See `psmmu.h`.
///
/// # Safety
/// `set` is null or one that `psmmu_open` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn psmmu_detach(set: *const Set, name: u64) -> i32 {
    // SAFETY: the condition is the same.
    let unit = unsafe { set::unit(set, name) };
    types::code(unit.and_then(|(set, unit)| unit.psmmu.detach(&set.door).map_err(Error::from)))
}

/// See `psmmu.h`.
///
/// # Safety
/// `set` is null or one that `psmmu_open` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn psmmu_command_repaired(set: *const Set, name: u64) -> bool {
    // SAFETY: the condition is the same.
    let unit = unsafe { set::unit(set, name) };
    unit.is_ok_and(|(_, unit)| unit.psmmu.command_repaired())
}

/// See `psmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `psmmu_open` gave.
/// 2. `commands` is null or `count` of them can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn psmmu_run_commands(
    set: *const Set,
    name: u64,
    commands: *const CommandWords,
    count: usize,
) -> i32 {
    const MOST: usize = MIN_ENTRIES as usize - 1;
    let run = || {
        // SAFETY: 1.
        let (set, unit) = unsafe { set::unit(set, name) }?;
        let mut own = [Command::SYNC; MOST];
        let own = own.get_mut(..count).ok_or(Error::Argument)?;
        for (command, index) in own.iter_mut().zip(0..count) {
            if commands.is_null() {
                return Err(Error::Argument);
            }
            // SAFETY: 2.
            let words = unsafe { set::read(commands.wrapping_add(index)) };
            *command = Command::new(words.ok_or(Error::Argument)?.words);
        }
        unit.psmmu.run_commands(&set.door, own).map_err(Error::from)
    };
    types::code(run())
}
