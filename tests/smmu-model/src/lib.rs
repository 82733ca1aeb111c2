// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
//!
//! # How to use it
//!
//! [`Smmu`] is the device behind a lock. The driver gets register accesses
//! ([`read32`](Smmu::read32), [`write32`](Smmu::write32), [`write64`](Smmu::write64)), barriers
//! ([`read_barrier`](Smmu::read_barrier), [`write_barrier`](Smmu::write_barrier)) and shared memory
//! ([`Memory::region`]); the test gets the [`Device`] with [`Smmu::with`] for a step, with
//! [`Smmu::snapshot`] to inspect it, or with [`Smmu::device`] as a guard.
//!
//! A driver with plain pointers gets a [`Mirror`]: `examples/plain_pointers.rs` has one, with 30 lines between
//! it and the model (`cargo run -p smmu-model --example plain_pointers`). Devices are chosen by [`Config`], by
//! identification registers or by features.
//!
//! # Time
//!
//! Nothing happens by itself. [`Device::steps`] lists what the device may do next and [`Device::step`]
//! does one of it, so a test, a random walk or an exhaustive search decides every interleaving:
//!
//! * An *eager* device ([`Device::set_eager`], the default) does all its steps around every access and
//!   after every action of the test, as fast and gentle hardware does.
//! * [`Guard::before`] does something just before the next access of a register: the way to put one
//!   step into one gap of the driver.
//! * [`Guard::on_access`] is called before every access: the way to let a scheduler choose.
//! * [`Device::set_ack_delay`], [`Device::set_lazy_cons`], [`Device::set_split`] make steps later or
//!   smaller.
//!
//! A [`Device`] is plain data: a copy of it is a saved state, `Eq` and `Hash` distinguish states, and
//! [`Smmu::from`] makes a copy run. Hooks are not part of it.
//!
//! # Memory
//!
//! All memory belongs to the model. Device accesses outside of any region end with an external abort,
//! and what follows from that is the architecture's: CERROR_ABT, EVENTQ_ABT_ERR, F_STE_FETCH,
//! MSI_*_ABT_ERR. Accesses of the guards at both ends of a region, of memory that was taken back
//! ([`Region::take_back`]) or not granted yet are violations. Regions come and go at any time, and
//! come again as new ones at the same place; [`Device::take_back`] says when it is too early to go.
//!
//! A store of the CPU reaches the device with the next [`Smmu::write_barrier`]. What the device wrote
//! reaches the CPU with the next [`Smmu::read_barrier`], for the CPU may have read it ahead.
//! [`Device::hide_writes`] switches both off.
//!
//! # Rules
//!
//! [`Violation`] lists them. A broken rule panics with its name and values, or is kept
//! ([`Device::collect_violations`]); then the offending access has the effect that the architecture
//! gives it, most often none.
//!
//! # What is modelled
//!
//! Identification, CR0 to CR2, IRQ_CTRL and their acknowledges; guarded registers; UNKNOWN values after
//! reset; GERROR and GERRORN; command queue with all commands of a Realm queue as far as to their
//! legality, CMD_SYNC with its three completions, errors and lazy CONS; event and PRI queues of all
//! sizes with overflow, aborts of three kinds and automatic answers; wired interrupts and MSIs and their
//! aborts; linear and two-level stream tables, their cache and their update while the device may read
//! them, as far as to the event of a [`Transaction`]; which entries are ILLEGAL (5.2.2); which stage-2 tables it has
//! cached something of ([`Device::translations`]); addresses above OAS, which are cut off.
//!
//! # What is not
//!
//! Translation: tables are not walked and context descriptors not read, [`Walk`] says what would come
//! of it. Single entries of TLBs, and VMIDs of which only some bits count. Stalls, which the Realm side never has. The Non-secure and Secure interfaces, but for
//! identification. Root registers and granule protection, but for its aborts
//! ([`Region::abort_accesses`]). Enhanced command queues, DPT, MPAM, VATOS, S2PII. Barriers of single
//! CPUs: one counts for all. Reserved bits of commands that are legal otherwise.

#![forbid(unsafe_code)]

mod access;
mod cmdq;
mod command;
mod config;
mod control;
mod device;
mod events;
pub mod gerror;
mod interrupts;
mod legality;
mod memory;
mod mirror;
mod output;
mod pri;
mod queue;
mod reclaim;
mod record;
mod registers;
mod reset;
mod smmu;
mod stream;
mod transaction;
mod translations;
mod updates;
mod violation;

pub use cmdq::CommandError;
pub use command::{Command, Completion, Response, SyncMsi, Tlbi, TlbiOperation};
pub use config::{Config, Quirks};
pub use control::{AckDelay, Enable};
pub use device::{Device, Step};
pub use events::Loss;
pub use interrupts::{MsiWrite, Pulses, Source};
pub use mirror::Mirror;
pub use output::{Output, WriteAborts};
pub use pri::{Answer, Answerer, PageRequest};
pub use queue::{OVERFLOW_FLAG, Shape};
pub use record::{Class, EventNumber, Record};
pub use registers::{Access, Page, Pas, Register};
pub use smmu::{Guard, Memory, Region, Smmu};
pub use transaction::{Kind, Outcome, Transaction, Walk};
pub use translations::Translation;
pub use violation::Violation;
