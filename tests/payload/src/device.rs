// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of the PCI device that makes DMA: QEMU's `edu`, or what the FVP has in its place.

#[cfg(not(feature = "fvp"))]
mod edu;
#[cfg(feature = "fvp")]
mod engine;

#[cfg(not(feature = "fvp"))]
pub use edu::{ID, MAX_WORDS, Registers, is_busy, start};
#[cfg(feature = "fvp")]
pub use engine::{ID, MAX_WORDS, Registers, is_busy, start};
