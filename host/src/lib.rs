// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host's side of a physical SMMU whose Realm half belongs to an RMM.
//!
//! The interrupt of a Realm event reaches the host, which may not look into the Realm's queues: it
//! asks the RMM what happened and says when it is done. This crate does the asking, and nothing that
//! a kernel does itself: no interrupt controller, no allocation, no printing.
//!
//! Read it in the order of use: [`rmi`] makes the calls over a [`Conduit`], [`mod@discover`] finds out
//! whether an SMMU has a Realm side and how it interrupts, [`service`](mod@service) answers one
//! interrupt, [`describe`] makes events readable.

#![no_std]
#![forbid(unsafe_code)]

pub mod describe;
pub mod discover;
pub mod rmi;
pub mod service;

pub use describe::Described;
pub use discover::{IntId, Interrupts, Page, Topology, discover};
pub use rmi::{Conduit, Rmi, RmiError};
pub use service::{EventSink, ServiceError, Serviced, service};
