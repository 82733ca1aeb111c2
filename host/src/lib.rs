// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
//!
//! # How to read it
//! The function identifiers are those of [`psmmu_abi`](../psmmu_abi/index.html); [`psmmu`](../psmmu/index.html) implements them in
//! the RMM. `docs/event.md` follows one event through all crates, and `examples/realm-smmu` is a 200-line
//! reference driver: `cargo run -p psmmu-host --example realm-smmu`.
//!
//! Read it in the order of use:
//!
//! | what | what it does |
//! |---|---|
//! | [`Rmi`] | makes the calls, one method each, over a [`Conduit`] |
//! | [`Page`], [`Memory`] | what a kernel provides: a page shared with the RMM, memory to donate |
//! | [`rmm`] | probes version and features, activates the RMM |
//! | [`discover()`] | discovers whether an SMMU has a Realm side and how it interrupts |
//! | [`Source`], [`Vectors`] | the interrupts: wired, or the plan of the MSI vectors and their description to the RMM |
//! | [`psmmu`] | activates it, creates and destroys stream tables, deactivates it |
//! | [`MemoryDonor`], [`OperationError`] | the loop for all commands that take more than one call, and the account of donated memory |
//! | [`granules`] | delegates and undelegates ranges of granules |
//! | [`service()`] | services one interrupt |
//! | [`Described`], [`Limiter`], [`Counters`] | format, rate-limit and count events |
//!
//! One context services one source: [`service`](service()) is called with one [`Source`], and not by two
//! contexts at once for the same source. The RMM keeps one reported event for each source, not for each
//! caller; contexts with overlapping sets would consume each other's events.
//!
//! A complete lifecycle, for a kernel that implements `Smc`, `Allocator` and `SharedPage`:
//!
//! ```no_run
//! # use psmmu_host::{Conduit, Memory, Page};
//! # struct Smc;
//! # impl Conduit for Smc { fn call(&self, x: [u64; 8]) -> [u64; 8] { x } }
//! # struct Allocator;
//! # impl Memory for Allocator {
//! #     fn allocate(&mut self, _: u64) -> Option<u64> { None }
//! #     fn free(&mut self, _: u64, _: u64) {}
//! #     fn leak(&mut self, _: u64, _: u64) {}
//! # }
//! # struct SharedPage;
//! # impl Page for SharedPage {
//! #     fn address(&self) -> u64 { 0 }
//! #     fn clear(&mut self) {}
//! #     fn word(&self, _: usize) -> u64 { 0 }
//! #     fn set_word(&mut self, _: usize, _: u64) {}
//! # }
//! # const SMMU: u64 = 0x2B40_0000;
//! # const BUDGET: std::num::NonZeroU32 = std::num::NonZeroU32::new(64).unwrap();
//! # fn idr0() -> u32 { 0 }
//! # fn uptime() -> u64 { 0 }
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! use psmmu_abi::{Event, IrqSet};
//! use psmmu_host::{Described, MemoryDonor, Limiter, Rmi, Source, Verdict};
//! use psmmu_host::{discover, psmmu, rmm, service};
//!
//! let rmi = Rmi::new(Smc);
//! let mut donor = MemoryDonor::<_, _>::new(Allocator, SharedPage);
//! let mut page = SharedPage;
//! rmm::start(&rmi, &mut donor, &mut page)?;
//!
//! let topology = discover(&rmi, SMMU, idr0(), &mut page);
//! for warning in topology.interrupts.warnings(false) {
//!     println!("{warning}");
//! }
//! for (source, intid) in topology.interrupts.wired_irqs(false) {
//!     println!("connect {intid} to the handler of {source}");
//! }
//!
//! psmmu::activate(&rmi, &mut donor, SMMU, &mut page, &psmmu::PARAMS_NO_MSI)?;
//! psmmu::st_l2_create(&rmi, &mut donor, SMMU, 8)?;
//!
//! // At each interrupt, and once for each source now.
//! let mut limiter = Limiter::new(10, 1_000_000);
//! let mut print = |_: IrqSet, event: &Event| {
//!     if let Verdict::Pass { suppressed } = limiter.ask(uptime()) {
//!         println!("{} ({suppressed} suppressed before it)", Described(event));
//!     }
//! };
//! for source in Source::of(false) {
//!     if service(&rmi, SMMU, source, &mut print, BUDGET)?.more {
//!         println!("{source} has more events: no further interrupt is raised for these");
//!     }
//! }
//!
//! psmmu::st_l2_destroy(&rmi, &mut donor, SMMU, 8)?;
//! psmmu::deactivate(&rmi, &mut donor, SMMU)?;
//! assert_eq!(donor.held_for(SMMU), 0);
//! # Ok(())
//! # }
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![deny(unnameable_types, unreachable_pub)]

mod counters;
mod describe;
mod discover;
mod donated_ranges;
mod donor;
pub mod granules;
mod limiter;
mod memory;
mod msi;
mod operation;
pub mod psmmu;
mod rmi;
pub mod rmm;
mod service;
mod source;

pub use counters::{Counters, Counting, SourceCounts};
pub use describe::{Described, EventLine};
pub use discover::{Interrupts, Topology, discover};
pub use donor::MemoryDonor;
pub use limiter::{Limiter, Verdict};
pub use memory::{Memory, Page};
pub use msi::{MsiError, SecurityState, Vector, Vectors};
pub use operation::{Cause, Limits, OperationError, TransferStats};
pub use rmi::{Answer, Command, Conduit, Meaning, RetryBudget, Rmi, RmiError, Tracking};
pub use service::{EventSink, ServiceError, Serviced, service};
pub use source::{IntId, Source, Warning};
