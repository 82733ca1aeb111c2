// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reference driver; together with `glue.rs` the part to reuse, with the names of your kernel in
//! place of [`kernel`]'s.
//!
//! [`Rmm`] exists once, under a mutex. [`RealmSmmu`] exists for each SMMU, under a lock that its
//! interrupt handlers take: these do not use the former, so none waits for a transfer of memory.

use core::num::NonZeroU32;

use psmmu_abi::{Event, IrqSet, PsmmuParamsFields, PsmmuParamsFlags, Unknown};
use psmmu_host::psmmu::{self, DestroyError, Table};
use psmmu_host::rmm::{self, StartError, Started};
use psmmu_host::{
    Counters, Described, EventSink, Interrupts, Limiter, MemoryDonor, OperationError,
};
use psmmu_host::{Rmi, Source, Vectors, Verdict, discover, service};

use crate::glue::{Pages, SharedPage, Smc};
use crate::kernel::{self, Kernel};

/// Bit 16 of SMMU_IDR0: page requests.
const IDR0_PRI: u32 = 1 << 16;
/// Largest number of events that one interrupt consumes.
const BUDGET: NonZeroU32 = NonZeroU32::new(64).expect("not zero");
/// Lines per second for faults, and as many for errors.
const LINES: u32 = 5;

macro_rules! info {
    ($kernel:expr, $($text:tt)+) => {
        $kernel.log(format_args!("realm-smmu: {}", format_args!($($text)+)))
    };
}

/// The RMM, and the memory donated to it.
pub struct Rmm<'k> {
    rmi: Rmi<Smc<'k>>,
    donor: MemoryDonor<Pages<'k>, SharedPage<'k>>,
    page: SharedPage<'k>,
}

impl<'k> Rmm<'k> {
    /// Probes the RMM and activates it.
    pub fn start(kernel: &'k Kernel) -> Result<Self, StartError> {
        let rmi = Rmi::new(Smc(kernel));
        let mut donor = MemoryDonor::new(Pages(kernel), SharedPage::new(kernel));
        let mut page = SharedPage::new(kernel);
        let Started { capabilities, stats, .. } = rmm::start(&rmi, &mut donor, &mut page)?;
        let (version, granules) = (capabilities.version, stats.donated);
        info!(kernel, "RMI {version} with device assignment, active on {granules} granules");
        Ok(Self { rmi, donor, page })
    }
}

/// The Realm side of one SMMU.
pub struct RealmSmmu<'k> {
    kernel: &'k Kernel,
    rmi: Rmi<Smc<'k>>,
    /// PA of its Non-secure register page 0, which names it in calls.
    psmmu_ptr: u64,
    pri: bool,
    interrupts: Interrupts,
    params: PsmmuParamsFields,
    report: Report<'k>,
    counters: Counters<16>,
}

impl<'k> RealmSmmu<'k> {
    /// Probes whether an SMMU has a Realm side that this driver can serve.
    pub fn probe(kernel: &'k Kernel, rmm: &mut Rmm<'k>, psmmu_ptr: u64) -> Option<Self> {
        let idr0 = kernel.read_register(psmmu_ptr);
        let found = discover(&rmm.rmi, psmmu_ptr, idr0, &mut rmm.page);
        let mut interrupts = found.interrupts;
        match found.failure {
            Some(error) => info!(kernel, "{error}"),
            None => info!(kernel, "Realm side of {psmmu_ptr:#x}: {interrupts}"),
        }
        let pri = idr0 & IDR0_PRI != 0;
        let flags = if pri { PsmmuParamsFlags::PRI } else { PsmmuParamsFlags::empty() };
        let vectors = Vectors::new(pri, &interrupts);
        let msis = |vector| kernel.msi(vector);
        let (params, warning) = vectors.parameters_or_polled(&mut interrupts, msis, flags);
        if let Some(warning) = warning {
            info!(kernel, "{warning}");
        }
        let limit = Limiter::new(LINES, kernel::SECOND);
        let report = Report { kernel, faults: limit, errors: limit, saw_reserved: false };
        let (rmi, counters) = (rmm.rmi, Counters::new());
        found.rme.then_some(Self {
            kernel,
            rmi,
            psmmu_ptr,
            pri,
            interrupts,
            params,
            report,
            counters,
        })
    }

    /// Activates the Realm side, and services each source once for events recorded before its interrupt
    /// was enabled.
    pub fn activate(&mut self, rmm: &mut Rmm<'k>) -> Result<(), OperationError> {
        for warning in self.interrupts.warnings(self.pri) {
            info!(self.kernel, "{warning}");
        }
        for (source, line) in self.interrupts.wired_irqs(self.pri) {
            self.kernel.request_irq(line.0, source);
        }
        let Rmm { rmi, donor, page } = rmm;
        let stats = psmmu::activate(rmi, donor, self.psmmu_ptr, page, &self.params)?;
        info!(self.kernel, "active, {} granules donated", stats.donated);
        Source::of(self.pri).for_each(|source| self.interrupt(source));
        Ok(())
    }

    /// Handles the interrupt of `source`.
    pub fn interrupt(&mut self, source: Source) {
        let sink = &mut self.counters.counting(&mut self.report);
        match service(&self.rmi, self.psmmu_ptr, source, sink, BUDGET) {
            Ok(serviced) => {
                self.report.reserved(serviced.reserved);
                if serviced.more {
                    self.kernel.run_soon(source);
                }
                let lost = |other: &Source| serviced.unserviced.contains(other.set());
                Source::ALL.into_iter().filter(lost).for_each(|other| self.kernel.run_soon(other));
            }
            Err(error) => self.report.line(true, format_args!("{source}: {error}")),
        }
    }

    /// Called by a timer: polls the sources without an interrupt, and reports suppressed lines.
    pub fn on_timer(&mut self) {
        let (interrupts, pri) = (self.interrupts, self.pri);
        interrupts.polled(pri).for_each(|source| self.interrupt(source));
        self.report.flush();
    }

    /// Creates the stream table of a device that is to be assigned.
    pub fn attach(&self, rmm: &mut Rmm<'k>, stream: u32) -> Result<(), OperationError> {
        match psmmu::st_l2_create(&rmm.rmi, &mut rmm.donor, self.psmmu_ptr, stream)? {
            Table::Created => info!(self.kernel, "level-2 table created for stream {stream:#x}"),
            Table::Exists => info!(self.kernel, "level-2 table for stream {stream:#x} exists"),
        }
        Ok(())
    }

    /// Destroys it, for all streams that it covers.
    pub fn detach(&self, rmm: &mut Rmm<'k>, stream: u32) -> Result<(), DestroyError> {
        psmmu::st_l2_destroy(&rmm.rmi, &mut rmm.donor, self.psmmu_ptr, stream)?;
        info!(self.kernel, "level-2 table destroyed for stream {stream:#x}");
        Ok(())
    }

    /// Deactivates the Realm side, and frees all memory that was donated for it.
    pub fn deactivate(&self, rmm: &mut Rmm<'k>) -> Result<(), OperationError> {
        let stats = psmmu::deactivate(&rmm.rmi, &mut rmm.donor, self.psmmu_ptr)?;
        for (_, line) in self.interrupts.wired_irqs(self.pri) {
            self.kernel.free_irq(line.0);
        }
        let (returned, leaked) = (stats.returned, rmm.donor.leaked());
        info!(self.kernel, "inactive, {returned} granules returned, {leaked} leaked");
        Ok(())
    }

    /// Prints the counters.
    pub fn print_counters(&self) {
        for source in Source::of(self.pri) {
            info!(self.kernel, "{source}: {}", self.counters.source(source));
        }
        for (stream, count) in self.counters.streams() {
            info!(self.kernel, "stream {stream:#x}: {count} for its virtual SMMU");
        }
    }
}

/// Interrupts guests, and writes events to the log.
struct Report<'k> {
    kernel: &'k Kernel,
    faults: Limiter,
    /// Separate, so that faults of a device cannot suppress errors.
    errors: Limiter,
    /// The log has a line on reserved bits in an answer of the RMM.
    saw_reserved: bool,
}

impl Report<'_> {
    fn line(&mut self, is_error: bool, text: core::fmt::Arguments<'_>) {
        let limiter = if is_error { &mut self.errors } else { &mut self.faults };
        match limiter.ask(self.kernel.uptime()) {
            Verdict::Pass { suppressed: 0 } => info!(self.kernel, "{text}"),
            Verdict::Pass { suppressed } => info!(self.kernel, "{text} ({suppressed} suppressed)"),
            Verdict::Suppress => {}
        }
    }

    /// Reports once that the RMM may be of a later version than this driver.
    fn reserved(&mut self, unknown: Option<Unknown>) {
        if let Some(Unknown(value)) = unknown.filter(|_| !self.saw_reserved) {
            self.saw_reserved = true;
            info!(self.kernel, "reserved bits in an answer of the RMM, {value:#x}, are ignored");
        }
    }

    fn flush(&mut self) {
        let suppressed = self.faults.take_suppressed() + self.errors.take_suppressed();
        if suppressed != 0 {
            info!(self.kernel, "{suppressed} suppressed");
        }
    }
}

impl EventSink for Report<'_> {
    fn event(&mut self, _: IrqSet, event: &Event) {
        self.line(matches!(event, Event::Error(_)), format_args!("{}", Described(event)));
    }

    fn vsmmu(&mut self, _: IrqSet, stream: u32) -> bool {
        let is_handled = self.kernel.interrupt_guest(stream);
        if !is_handled {
            self.line(
                false,
                format_args!("event of stream {stream:#x} not handled: no virtual SMMU"),
            );
        }
        is_handled
    }
}
