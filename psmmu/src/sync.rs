// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locks and atomics, in one place so that a model checker can stand in for them.

#![forbid(unsafe_code)]

pub use core::sync::atomic::{AtomicU8, Ordering};

/// A spin lock that is granted in the order of asking: a CPU waits for at most one turn of each other
/// CPU.
pub type Lock<T> = spin::mutex::TicketMutex<T>;
