// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host's side of a physical SMMU whose Realm half belongs to an RMM.
//!
//! The interrupt of a Realm event reaches the host, which may not look into the Realm's queues: it
//! asks the RMM what happened and says when it is done. Before that it starts the RMM and the Realm
//! half, and lends them memory. This crate does the asking and the lending, and nothing that a kernel
//! does itself: no interrupt controller, no allocation, no printing.
//!
//! Read it in the order of use:
//!
//! | module | what it does |
//! |---|---|
//! | [`rmi`] | makes the calls, one method each, over a [`Conduit`] |
//! | [`memory`] | what a kernel lends: a [`Page`] to talk through, [`Memory`] to hand over |
//! | [`rmm`] | checks version and features, makes the RMM active |
//! | [`mod@discover`] | finds out whether an SMMU has a Realm side and how it interrupts |
//! | [`source`], [`msi`] | the interrupts: wires, or which message is whose and what the RMM is told of it |
//! | [`psmmu`] | activates it, adds and removes stream tables, deactivates it |
//! | [`lender`], [`operation`] | the one loop for all commands that take more than one call, and the account of what the RMM holds |
//! | [`granules`] | ranges of granules into the Realm world and back |
//! | [`service`](mod@service) | answers one interrupt |
//! | [`describe`], [`limiter`], [`counters`] | make events readable, not too many, and counted |

#![no_std]
#![forbid(unsafe_code)]

pub mod counters;
pub mod describe;
pub mod discover;
pub mod granules;
mod ledger;
pub mod lender;
pub mod limiter;
pub mod memory;
pub mod msi;
pub mod operation;
pub mod psmmu;
pub mod rmi;
pub mod rmm;
pub mod service;
pub mod source;

pub use counters::Counters;
pub use describe::Described;
pub use discover::{Interrupts, Topology, discover};
pub use lender::Lender;
pub use limiter::{Limiter, Verdict};
pub use memory::{Memory, Page};
pub use msi::{MessageError, Vector, Vectors, World};
pub use operation::{Cause, Limits, OperationError, Traffic};
pub use rmi::{Answer, Command, Conduit, Meaning, Patience, Rmi, RmiError};
pub use service::{EventSink, ServiceError, Serviced, service};
pub use source::{IntId, Source, Warning};
