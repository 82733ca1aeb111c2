// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Realm side of the physical SMMUs, for any RMM to embed.
//!
//! A device that is assigned to a Realm faults in an SMMUv3. The record of the fault lands in a queue
//! in Realm memory, where the host may not look; the interrupt reaches the host, which may not act.
//! This module stands between the two: it brings the Realm programming interface of an SMMU up, and
//! it answers the host's `RMI_PSMMU_INFO`, `RMI_PSMMU_IRQ_NOTIFY` and `RMI_PSMMU_EVENT_CONSUME`.
//!
//! # How to read it
//! Follow one event; each file is a step on its way:
//!
//! 1. [`arch::registers`]: what the device shows; [`registers`] is the trait to reach it by, [`mmio`] the one door
//!    to it.
//! 2. [`queue`]: pointers with wrap and overflow bits, and the memory that is shared with the device.
//! 3. [`record`]: what the hardware wrote, and how much of it a host may learn.
//! 4. [`staging`]: records are copied to memory of the RMM and their hardware slots freed.
//! 5. [`report`]: the event is asked to the host, as often as it asks.
//! 6. [`consume`]: the host is done and the event is dropped.
//!
//! The numbers on both ends are those of [`psmmu_abi`]; a host's half is
//! [`psmmu_host`](../psmmu_host/index.html). `docs/event.md` goes the whole way with one event, through
//! all crates.
//!
//! Beside the way lie [`page_request`] (what the PRI queue holds; it is staged, reported and consumed
//! by the same code), [`gerror`] (errors of the SMMU itself), [`command`] (the command queue),
//! [`responder`] (the commands as the host sees them), [`directory`] (which PSMMU is meant) and
//! [`counters`] (for the embedder to read).
//!
//! A PSMMU's life is reported by [`activate`] (bring-up on memory that the host gave), [`tables`] (level-2
//! stream tables come and go), [`streams`] (devices of Realms are configured, enabled, disabled,
//! released), [`deactivate`] (to rest, and the memory back); [`stream_table`] is the layout of what
//! the device reads, [`limits`] which addresses it has, [`tlb`] what is to be done when stage-2 tables
//! change. An RMM that brings its SMMUs up itself hands the running queues over instead: [`attach`].
//!
//! # What the embedder gives
//! [`Registers`] of each SMMU, [`DeviceMemory`] for its queues and tables, [`TableMemory`] for those of level 2, [`HostMemory`] as the door
//! to the host's granules, [`VsmmuLookup`] who know the streams of virtual SMMUs, and a [`Clock`],
//! since no wait is without a bound. All dispatch is static.
//!
//! # Locks
//! Each source has a lock of its own, held for a bounded number of steps, so that a flood on one never
//! makes another wait. Where two are held they are taken in the order of [`Psmmu`]'s fields.

#![no_std]
#![cfg_attr(core_from_source, feature(optimize_attribute))]
#![deny(unsafe_code)]

pub mod activate;
pub mod arch;
pub mod attach;
pub mod clock;
pub mod command;
pub mod consume;
pub mod counters;
pub mod deactivate;
pub mod directory;
mod enables;
pub mod gerror;
pub mod host_memory;
pub mod limits;
#[expect(unsafe_code, reason = "the one file that touches the device")]
pub mod mmio;
pub mod owner;
pub mod page_request;
pub mod queue;
pub mod record;
pub mod registers;
pub mod report;
pub mod responder;
pub mod smmu;
pub mod staging;
pub mod stream_table;
pub mod streams;
pub mod sync;
pub mod tables;
pub mod tlb;
pub mod wait;

pub use activate::{
    ActivateError, ActivateParams, Activation, Memory, MemoryRequirements, MsiConfig, NotActivated,
};
pub use attach::{AttachError, LiveQueues};
pub use counters::Counters;
pub use deactivate::DeactivateError;
pub use directory::{Directory, DirectoryError};
pub use host_memory::{HostFault, HostGranule, HostMemory};
pub use limits::Limits;
pub use mmio::MmioRegisters;
pub use owner::{NoVsmmu, VsmmuLookup};
pub use queue::{DeviceMemory, Granules};
pub use registers::{Clock, Registers};
pub use responder::{Notified, Responder};
pub use smmu::{Config, Delivery, Interface, Psmmu, QueueAbortPolicy, Sizes, State};
pub use stream_table::{Stage2, StreamTableEntry, TableMemory};
pub use streams::StreamError;
pub use tables::{CreateError, L2TableToken, TableError};
