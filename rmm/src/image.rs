// SPDX-License-Identifier: MIT OR Apache-2.0

//! The image around the library, in the order in which it comes to life: [`entry`] takes the CPU from
//! EL3, [`mmu`] lays out the address space, [`boot`] puts the RMM together, and from then on `entry`
//! hands the calls of the host to it. [`exceptions`] has what should not happen, [`host_memory`] the
//! one fault that may, [`reserved`] what the image has set aside, [`memory`]
//! what lies behind it and what the host has donated, [`cpu`] which CPU this is, [`el3`] the calls to EL3
//! that return, [`console`] the log.

mod boot;
mod clock;
mod console;
mod cpu;
mod el3;
mod entry;
mod exceptions;
#[cfg(feature = "fault-streams")]
mod fault_streams;
mod host_memory;
mod memory;
mod mmu;
mod reserved;
