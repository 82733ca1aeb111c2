// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host driver donates memory to RMMs of every kind: one that keeps to the rules ([`rmm`]), the same
//! with answers that were tampered with at random ([`tamper`]). Whatever happens, every granule is in
//! the end free, lost and reported, or held by the RMM's own word; [`harness`] fails the test at once
//! when one is freed that the RMM did not let go.

mod cause;
mod harness;
mod life;
mod rmm;
mod tamper;
mod walk;
