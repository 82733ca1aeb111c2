// SPDX-License-Identifier: MIT OR Apache-2.0

//! The [`psmmu`] module for RMMs that are written in C: `libpsmmu.a`, with `include/libpsmmu.h`.
//!
//! The header says what each function does and is the page to begin with; this crate makes them. What
//! crosses the border is in [`types`], with every size and offset asserted. `unsafe` is behind one
//! module for each concern: [`memory`] (queues and tables), [`registers`] (the device), [`ops`] (the embedder's
//! functions), [`set`] (the memory that the state lies in, and pointers as callers pass them); the
//! functions themselves, in [`init`], [`rmi`], [`attach`], [`activate`], [`tables`], [`streams`] and
//! [`read`], only call these.
//!
//! Pointers that a caller passes are null, or aligned and to what the header says.
//!
//! Nothing here panics, allocates, or calls through a pointer that did not come from the embedder;
//! `tools/capi` checks that in the linked library.

#![no_std]

pub mod activate;
pub mod attach;
pub mod init;
pub mod memory;
pub mod ops;
#[cfg(feature = "panic-handler")]
mod panic;
pub mod read;
pub mod registers;
pub mod rmi;
pub mod set;
pub mod streams;
pub mod tables;
pub mod types;
