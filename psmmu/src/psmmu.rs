// SPDX-License-Identifier: MIT OR Apache-2.0

//! A physical SMMU: what it consists of, and the locks of its parts.
//!
//! The files below have one step each: what all steps need ([`State`] and its claims, failure, commands,
//! enables, interrupts), the lifecycle, stream tables and streams, and the way of an event.

#![forbid(unsafe_code)]

use crate::logic::{CommandQueue, Counters, Errors, EventQueue, PriQueue, StreamTables};
use crate::platform::Config;
use crate::sync::{AtomicU8, Lock};

// What each step needs.
mod state;

mod commands;
mod enables;
mod failure;
mod interrupts;
mod invalidate;
mod page_responses;
mod release;

// The lifecycle.
mod activate;
mod attach;
mod deactivate;

// Stream tables and streams.
mod l2_tables;
mod streams;
mod tlb;

// The way of an event.
mod notify;

mod consume;

pub use activate::{ActivateError, Activation, NotActivated};
pub use attach::{AttachError, CommandError, LiveQueues};
pub use deactivate::DeactivateError;
pub use interrupts::{ActivateParams, MsiConfig};
pub use l2_tables::{CreateError, L2TableToken, TableError};
pub use state::{State, StateError};
pub use streams::StreamError;

/// The Realm side of one physical SMMU.
///
/// Locks are taken in the order of the fields.
#[derive(Debug)]
pub struct Psmmu<R, M> {
    config: Config,
    registers: R,
    state: AtomicU8,
    /// Held to issue commands and wait for them: the one lock that is held while waiting for the device.
    /// NOTIFY and CONSUME never take it. Other calls that find it taken are answered with [`DeviceError::Busy`](crate::DeviceError), but for
    /// those that have claimed the PSMMU: no holder waits for the device of a PSMMU that another has
    /// claimed.
    cmdq_lock: Lock<()>,
    tables: Lock<Option<StreamTables<M>>>,
    commands: Lock<CommandQueue<M>>,
    errors: Lock<Errors>,
    events: Lock<EventQueue<M>>,
    requests: Lock<PriQueue<M>>,
    counters: Counters,
}
