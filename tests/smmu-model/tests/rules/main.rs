// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of the model, by the part of the architecture that they hold it to.

mod abort;
mod commands;
mod control;
mod events;
mod gerror;
mod interrupts;
mod memory;
mod mirror;
mod msis;
mod oas;
mod pri;
mod quiesce;
mod reclaim;
mod registers;
mod rig;
mod sizes;
mod steps;
mod streams;
mod translations;
mod updates;
mod walk;
