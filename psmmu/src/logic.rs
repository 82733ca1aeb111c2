// SPDX-License-Identifier: MIT OR Apache-2.0

//! The logic without locks: plain state, and functions over [`Registers`](crate::Registers).

#![forbid(unsafe_code)]

mod command_queue;
mod counters;
mod device;
mod device_error;
mod enables;
mod entry;
mod gerror;
mod memory;
mod program;
mod queue;
mod ring;
pub(crate) mod stream_tables;
mod wait;
mod waiting;

pub use command_queue::CMDQ_MIN_ENTRIES;
pub(crate) use command_queue::{CommandQueue, Repair};
pub use counters::{Counter, Counters, QueueCounters, Trace, TraceEvent};
pub(crate) use device::{Device, read_limits};
pub use device_error::DeviceError;
pub(crate) use enables::is_running;
pub(crate) use entry::Entry;
pub(crate) use gerror::{Errors, NotResponding};
pub use memory::{Memory, MemoryRequirements};
pub(crate) use memory::{QueueSizes, queue_size, reaches};
pub(crate) use program::program;
pub(crate) use queue::{EventQueue, PriQueue, Queue, Reported};
pub use ring::BATCH;
pub(crate) use ring::Staged;
pub(crate) use stream_tables::StreamTables;
pub use wait::{DEVICE_TIMEOUT, MAX_POLLS, STANDSTILL};
pub(crate) use wait::{TimedOut, wait};
pub(crate) use waiting::Waiting;
