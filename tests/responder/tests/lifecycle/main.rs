// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lifecycle of a PSMMU and of the memory that it runs on, through the registers of the host's calls.

mod addresses;
mod busy;
mod clients;
mod donation;
mod granules;
mod handles;
mod linux;
mod many;
mod msis;
mod newest_linux;
mod reclaim;
mod rig;
mod states;
mod streams;
mod tables;
mod tftf;
mod timeout;
mod whole;
