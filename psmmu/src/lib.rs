// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
//!
//! # How to read it
//! Three layers, one folder each, upon what the embedder gives; an arrow leads downwards only, and no files use each
//! other in a circle (`tools/xtask/tests/arrows.rs`).
//!
//! | layer | what it is |
//! |---|---|
//! | `psmmu.rs`, `psmmu/` | [`Psmmu`] with its locks and states: a file for each step of its lifecycle and of an event's way. Above it `responder.rs`, which turns registers into calls and results into statuses, with `directory.rs`, which finds the PSMMU that is meant |
//! | `logic/` | the logic without locks: a queue that is staged and drained, the global errors, the command queue, the stream table. Plain state, and functions over [`Registers`] |
//! | `platform/` | what the embedder gives: traits, and its description of a PSMMU. `mmio.rs` is the one file that accesses a device |
//! | `arch/` | what the architecture says: numbers and layouts, each file one table of it |
//!
//! Follow one event from the bottom up; each file is a step on its way, and leads to none before it:
//!
//! 1. `arch/registers.rs`: what the device shows, and `arch/queue_pointer.rs`: how PROD and CONS are read.
//! 2. `arch/event_record.rs`: what the hardware wrote, and how much of it a host may learn. In the PRI queue:
//!    `arch/page_request.rs`.
//! 3. `logic/entry.rs` and `logic/queue.rs`: what of a queue is staged, reported, consumed, whichever of the two
//!    it is.
//! 4. `logic/queue/stage.rs`: records are copied to memory of the RMM and their hardware slots freed.
//! 5. `psmmu/notify.rs`: the event is reported to the host, as often as it asks.
//! 6. `psmmu/consume.rs`: the host is done and the event is dropped.
//! 7. `responder.rs`: both as the host sees them.
//!
//! The numbers on both ends are those of [`psmmu_abi`](../psmmu_abi/index.html); a host's half is
//! [`psmmu_host`](../psmmu_host/index.html). `docs/event.md` goes the whole way with one event, through
//! all crates.
//!
//! Beside the way lie `logic/gerror.rs` (errors of the SMMU itself), `logic/command_queue.rs` with
//! `psmmu/commands.rs` (the command queue), `psmmu/page_responses.rs` (answers to page requests) and
//! [`Counters`] (for the embedder to read).
//!
//! The lifecycle of a PSMMU is in `psmmu/activate.rs` (bring-up on memory that the host gave),
//! `psmmu/l2_tables.rs` (level-2 stream tables come and go), `psmmu/streams.rs` (devices of Realms are
//! configured, enabled, disabled, released), `psmmu/tlb.rs` (what is to be done when stage-2 tables change) and
//! `psmmu/deactivate.rs` (quiesced, and the memory back). An RMM that brings its SMMUs up itself hands the
//! running queues over instead: `psmmu/attach.rs`.
//!
//! # What the embedder gives
//! [`Registers`] of each SMMU, [`DeviceMemory`] for its queues and tables, [`TableMemory`] for those of level 2,
//! [`HostMemory`] as the way to the host's granules, [`VsmmuLookup`] that knows the streams of virtual SMMUs, and a
//! [`Clock`], since no wait is without a bound. All dispatch is static.
//!
//! # What is unsafe
//! A device reads and writes memory at the addresses that it was given, past all that the compiler knows. So
//! whatever leads it to memory is vouched for at one place, with numbered conditions: the registers
//! ([`MmioRegisters::new`], [`Registers`]), the memory of queues and tables ([`DeviceMemory`], [`TableMemory`],
//! [`Granules::new`]), what translates the accesses of devices ([`Translation::new`]) and commands of the
//! embedder's own ([`Command::new`]). All else is safe to call: a register that is written can be named by this
//! crate alone, and what it does with those values is code that forbids `unsafe`. Doorbells of MSIs are no part
//! of this: they lie in Non-secure memory, which is the host's.
//!
//! # Locks
//! Each source has a lock of its own, held for a bounded number of steps, so that a flood on one never
//! makes another wait. Where two are held they are taken in the order of [`Psmmu`]'s fields.

#![no_std]
#![cfg_attr(core_from_source, feature(optimize_attribute))]
#![deny(unsafe_code, unreachable_pub)]

// From the bottom up; no arrow leads back.

/// Locks and atomics, public for the project's own crates alone: its images and the tests that explore
/// interleavings. No part of the interface.
#[doc(hidden)]
pub mod sync;

mod arch;
mod platform;

#[expect(unsafe_code, reason = "the one file that touches the device")]
mod mmio;

mod logic;

mod psmmu;

mod directory;
mod responder;

pub use arch::command::Command;
pub use arch::limits::Limits;
pub use arch::registers;
pub use arch::stream_table_entry::{Stage2, StreamTableEntry};
pub use directory::{Directory, DirectoryError, MAX_PSMMUS};
pub use logic::{
    BATCH, CMDQ_MIN_ENTRIES, Counter, Counters, DEVICE_TIMEOUT, DeviceError, MAX_POLLS, Memory,
    MemoryRequirements, QueueCounters, STANDSTILL, Trace, TraceEvent,
};
pub use mmio::MmioRegisters;
pub use platform::{
    Clock, Config, Delivery, DeviceMemory, Granules, HostFault, HostGranule, HostMemory, Interface,
    NoVsmmu, QueueAbortPolicy, Registers, Sizes, TableMemory, Translation, VsmmuLookup,
    microseconds,
};
pub use psmmu::{
    ActivateError, ActivateParams, Activation, AttachError, CommandError, CreateError,
    DeactivateError, L2TableToken, LiveQueues, MsiConfig, NotActivated, Psmmu, State, StateError,
    StreamError, TableError,
};
pub use responder::{Deactivated, Notified, Responder};

/// For the project's own bench, which drives a queue as another driver would. No part of the interface.
#[doc(hidden)]
pub use arch::queue_pointer::{Log2Size, OVERFLOW};
