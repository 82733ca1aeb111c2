// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boots the whole chain in QEMU, TF-A at EL3, the RMM at Realm EL2 and a host at NS-EL2, and says how
//! it went.
//!
//! [`machine`] is the command line, [`boot`] starts it and ends it in time, [`story`] makes a boot
//! readable, [`linux`] boots a Linux as the host, [`reported`] does that for a boot that was made elsewhere, [`place`] knows
//! where images and logs are. The boot tests are in `tests/boot.rs`.

pub mod boot;
pub mod linux;
pub mod machine;
pub mod place;
pub mod reported;
pub mod story;

pub use boot::{Boot, BootError, Outcome};
pub use machine::{Machine, Model};
