// SPDX-License-Identifier: MIT OR Apache-2.0

//! A software SMMUv3 with the Realm programming interface, for tests of its drivers.
//!
//! Written from the architecture (Arm IHI 0070, SMMUv3 with RME-DA) and for tests alone: it is as
//! unkind as the architecture allows, and says which rule was broken when the driver breaks one. It
//! depends on no driver, and any driver whose register accesses and barriers can be redirected runs on it
//! unchanged; its shared memory is redirected as well, or [mirrored](Mirror) where it has plain pointers.
//!
//! **It is the Realm side of an SMMU and nothing else.** A driver of the Non-secure side runs on it as far as
//! its registers and commands exist on the Realm side too: of the Non-secure pages only the identification
//! registers are there, nothing stalls, and GBPA is read-only.
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
//! ```
//! use smmu_model::{Config, Enable, Page, Record, Region, Register, Smmu, Source};
//!
//! /// A driver of nothing but the event queue: four records, no interrupt but the wired one.
//! struct Driver {
//!     smmu: Smmu,
//!     queue: Region,
//!     cons: u32,
//! }
//!
//! impl Driver {
//!     fn write(&self, register: Register, value: u64) {
//!         let (page, offset) = (register.page(), register.offset());
//!         match register.bits() {
//!             64 => self.smmu.write64(page, offset, value),
//!             _ => self.smmu.write32(page, offset, value as u32),
//!         }
//!     }
//!
//!     fn read(&self, register: Register) -> u32 {
//!         self.smmu.read32(register.page(), register.offset())
//!     }
//!
//!     fn start(&self) {
//!         self.write(Register::Cr1, 0xD75);
//!         self.write(Register::EventqBase, self.queue.address() | 2);
//!         self.write(Register::EventqProd, 0);
//!         self.write(Register::EventqCons, 0);
//!         self.write(Register::EventqIrqCfg0, 0);
//!         let enable = Enable::Eventq.bits();
//!         self.write(Register::Cr0, enable.into());
//!         while self.read(Register::Cr0Ack) & enable == 0 {}
//!         let enable = Source::Eventq.bit();
//!         self.write(Register::IrqCtrl, enable.into());
//!         while self.read(Register::IrqCtrlAck) & enable == 0 {}
//!     }
//!
//!     fn drain(&mut self) -> Vec<u64> {
//!         let mut streams = Vec::new();
//!         loop {
//!             let prod = self.read(Register::EventqProd);
//!             if prod & 7 == self.cons & 7 {
//!                 return streams;
//!             }
//!             self.smmu.read_barrier();
//!             while prod & 7 != self.cons & 7 {
//!                 streams.push(self.queue.load(4 * (self.cons as usize & 3)) >> 32);
//!                 self.cons = (self.cons + 1) & 7;
//!             }
//!             // OVACKFLG takes the value of OVFLG: an overflow is acknowledged.
//!             self.smmu.write_barrier();
//!             self.write(Register::EventqCons, (self.cons | prod & 1 << 31).into());
//!         }
//!     }
//! }
//!
//! let smmu = Smmu::new(Config::default());
//! let queue = smmu.memory().region(0x8000_0000, 16);
//! let mut driver = Driver { smmu: smmu.clone(), queue, cons: 0 };
//! driver.start();
//!
//! smmu.device().record(Record::bad_stream_id(8));
//! smmu.device().record(Record::bad_stream_id(9));
//! assert!(smmu.device().take_interrupts().contains(Source::Eventq));
//! // A record that comes just before the second read of PROD.
//! smmu.before(Register::EventqProd, |_| ());
//! smmu.before(Register::EventqProd, |device| device.record(Record::bad_stream_id(10)));
//! assert_eq!(driver.drain(), [8, 9, 10]);
//! assert_eq!(smmu.device().accesses_of(Register::EventqProd), (3, 1));
//! ```
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
