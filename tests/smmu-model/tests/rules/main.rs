// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests of the model, by the part of the architecture that they hold it to.

mod abort;
mod commands;
mod control;
mod events;
mod gerror;
mod interrupts;
mod life;
mod memory;
mod pri;
mod registers;
mod rig;
mod steps;
mod streams;
mod translations;
mod updates;
mod walk;
