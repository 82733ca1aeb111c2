// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver: one RMM, and for each SMMU its Realm side.

use core::num::NonZeroU32;

use psmmu_abi::{Event, IrqSet, MsiMessage, PsmmuParamsFields, PsmmuParamsFlags, Status};
use psmmu_host::psmmu::{self, DestroyError, Table};
use psmmu_host::rmm::{self, StartError, Started};
use psmmu_host::{
    Cause, Counters, Described, EventLine, EventSink, Interrupts, Limiter, MemoryDonor,
    OperationError, Rmi, RmiError, SecurityState, Source, Vector, Vectors, Verdict, discover,
    service,
};

use crate::kernel::{Device, Level, Pages, SharedPage, Show, Smc, ticks, ticks_per_second};

/// Bit 16 of SMMU_IDR0: page requests.
const IDR0_PRI: u32 = 1 << 16;
/// Events that one run of a handler takes before it lets others run.
const BUDGET: NonZeroU32 = NonZeroU32::new(64).expect("not zero");
/// Seconds of an interval for lines in the log, as of the kernel's own rate limit.
const INTERVAL: u64 = 5;

/// Linux's error numbers, negative as functions return them.
pub type Errno = i32;

const EIO: Errno = -5;
const ENODEV: Errno = -19;
const ENOMEM: Errno = -12;
const EBUSY: Errno = -16;
const EINVAL: Errno = -22;

/// Returns the error number for what the RMM answered.
fn errno(error: &RmiError) -> Errno {
    match error {
        RmiError::Status(_, Status::ErrorInput) => EINVAL,
        RmiError::Status(_, Status::ErrorNotSupported) => ENODEV,
        RmiError::Status(_, Status::Busy | Status::Blocked) => EBUSY,
        _ => EIO,
    }
}

fn errno_of_operation(error: &OperationError) -> Errno {
    match &error.cause {
        Cause::Rmi(error) => errno(error),
        Cause::NoMemory(_) | Cause::NoRoom | Cause::GranuleLimit(_) => ENOMEM,
        _ => EIO,
    }
}

/// The RMM, and the account of what it holds of the kernel's memory. Only one thread at a time uses it.
#[derive(Debug)]
pub struct Rmm {
    rmi: Rmi<Smc>,
    donor: MemoryDonor<Pages, SharedPage>,
    page: SharedPage,
}

impl Rmm {
    /// Probes the RMM and makes it active if it is not. `list` and `page` are for the calls that pass
    /// data in memory.
    pub fn start(device: Device, list: SharedPage, page: SharedPage) -> Result<Self, Errno> {
        let mut rmm = Self { rmi: Rmi::new(Smc), donor: MemoryDonor::new(Pages, list), page };
        let started = rmm::start(&rmm.rmi, &mut rmm.donor, &mut rmm.page);
        let Started { capabilities, was_active, .. } = started.map_err(|error| {
            device.log(Level::Error, format_args!("no usable RMM: {error}"));
            match &error {
                StartError::Rmi(RmiError::Malformed(..) | RmiError::Version(..)) => ENODEV,
                StartError::Rmi(error) => errno(error),
                StartError::Activation(error) => errno_of_operation(error),
                _ => ENODEV,
            }
        })?;
        let how = if was_active { "active already" } else { "made active" };
        device.log(Level::Info, format_args!("RMM with RMI {}, {how}", capabilities.version));
        Ok(rmm)
    }

    /// Returns the granules that the RMM holds, and those that it did not give back.
    pub fn held_and_leaked(&self) -> (u64, u64) {
        (self.donor.held(), self.donor.leaked())
    }
}

/// The Realm side of one SMMU, but for its sources.
#[derive(Debug)]
pub struct Smmu {
    device: Device,
    psmmu_ptr: u64,
    pri: bool,
    interrupts: Interrupts,
    params: PsmmuParamsFields,
}

impl Smmu {
    /// Asks the RMM about the SMMU at `psmmu_ptr`, whose Non-secure IDR0 reads `idr0`.
    pub fn probe(device: Device, rmm: &mut Rmm, psmmu_ptr: u64, idr0: u32) -> Result<Self, Errno> {
        let found = discover(&rmm.rmi, psmmu_ptr, idr0, &mut rmm.page);
        if let Some(error) = found.failure {
            device.log(Level::Info, format_args!("no Realm side at {psmmu_ptr:#x}: {error}"));
            return Err(ENODEV);
        }
        let interrupts = found.interrupts;
        device.log(Level::Info, format_args!("Realm side of {psmmu_ptr:#x}: {interrupts}"));
        if !found.rme {
            device.log(
                Level::Warning,
                format_args!("IDR0.RME_IMPL is 0: no isolation from this kernel, for tests only"),
            );
        }
        let pri = idr0 & IDR0_PRI != 0;
        Ok(Self { device, psmmu_ptr, pri, interrupts, params: psmmu::PARAMS_NO_MSI })
    }

    /// Returns how many MSIs the kernel is to allocate: one for each source, by its number; none where
    /// interrupts are wired.
    pub fn msi_count(&self) -> usize {
        if matches!(self.interrupts, Interrupts::Msi) { Source::of(self.pri).count() } else { 0 }
    }

    /// Settles how the sources interrupt: `msis` are those that the kernel has allocated, by the number
    /// of the source. Where they are wanted and there are none, or unusable ones, the sources are polled.
    pub fn set_msis(&mut self, msis: &[MsiMessage]) {
        let vectors = Vectors::new(self.pri, &self.interrupts);
        // The vectors of the Non-secure side are those of the kernel's own driver.
        let msi = |index| match vectors.vector(index)? {
            Vector { state: SecurityState::Realm, source } => {
                let number = Source::ALL.iter().position(|&of| of == source)?;
                msis.get(number).copied()
            }
            Vector { state: SecurityState::NonSecure, .. } => None,
        };
        let flags = if self.pri { PsmmuParamsFlags::PRI } else { PsmmuParamsFlags::empty() };
        let (params, warning) = vectors.parameters_or_polled(&mut self.interrupts, msi, flags);
        self.params = params;
        if let Some(warning) = warning {
            self.device.log(Level::Warning, format_args!("{warning}; polled instead"));
        }
    }

    /// Returns the INTID of a source's wired interrupt, 0 for none.
    pub fn intid(&self, source: Source) -> u32 {
        let mut wired = self.interrupts.wired_irqs(self.pri);
        wired.find_map(|(of, intid)| (of == source).then_some(intid.0)).unwrap_or(0)
    }

    /// Returns whether the source exists and nothing interrupts for it.
    pub fn is_polled(&self, source: Source) -> bool {
        self.interrupts.polled(self.pri).any(|of| of == source)
    }

    /// Starts the Realm side on donated memory. The caller services each source once afterwards.
    pub fn activate(&self, rmm: &mut Rmm) -> Result<(), Errno> {
        for warning in self.interrupts.warnings(self.pri) {
            self.device.log(Level::Warning, format_args!("{warning}; polled instead"));
        }
        let Rmm { rmi, donor, page } = rmm;
        let stats = psmmu::activate(rmi, donor, self.psmmu_ptr, page, &self.params)
            .map_err(|error| self.failed(&error))?;
        self.device.log(Level::Info, format_args!("active, {} granules donated", stats.donated));
        Ok(())
    }

    /// Stops the Realm side and takes back what it held.
    pub fn deactivate(&self, rmm: &mut Rmm) -> Result<(), Errno> {
        let stats = psmmu::deactivate(&rmm.rmi, &mut rmm.donor, self.psmmu_ptr)
            .map_err(|error| self.failed(&error))?;
        let leaked = rmm.donor.leaked();
        let level = if leaked == 0 { Level::Info } else { Level::Error };
        let back = stats.returned;
        self.device.log(level, format_args!("inactive, {back} granules back, {leaked} leaked"));
        Ok(())
    }

    /// Sees to a level-2 stream table for `stream`.
    pub fn add_stream(&self, rmm: &mut Rmm, stream: u32) -> Result<(), Errno> {
        match psmmu::st_l2_create(&rmm.rmi, &mut rmm.donor, self.psmmu_ptr, stream) {
            Ok(Table::Created) => {}
            Ok(Table::Exists) => return Ok(()),
            Err(error) => return Err(self.failed(&error)),
        }
        self.device.log(Level::Info, format_args!("level-2 table for stream {stream:#x}"));
        Ok(())
    }

    /// Removes it, with all streams of the table.
    pub fn remove_stream(&self, rmm: &mut Rmm, stream: u32) -> Result<(), Errno> {
        psmmu::st_l2_destroy(&rmm.rmi, &mut rmm.donor, self.psmmu_ptr, stream).map_err(
            |error| match error {
                DestroyError::InUse => EBUSY,
                DestroyError::Failed(error) => self.failed(&error),
            },
        )?;
        Ok(())
    }

    fn failed(&self, error: &OperationError) -> Errno {
        self.device.log(Level::Error, format_args!("{error}"));
        errno_of_operation(error)
    }
}

/// One source of an SMMU: what its handler needs, and what it has seen.
#[derive(Debug)]
pub struct Handler {
    psmmu_ptr: u64,
    source: Source,
    counters: Counters<16>,
    lines: Lines,
}

#[derive(Debug)]
struct Lines {
    device: Device,
    limiter: Limiter,
    suppressed: u64,
}

impl Handler {
    /// Serves `source` of `smmu`, with at most `lines` lines in the log in 5 s.
    pub fn new(smmu: &Smmu, source: Source, lines: u32) -> Self {
        let limiter = Limiter::new(lines, INTERVAL * ticks_per_second());
        let lines = Lines { device: smmu.device, limiter, suppressed: 0 };
        Self { psmmu_ptr: smmu.psmmu_ptr, source, counters: Counters::new(), lines }
    }

    /// Reports and consumes what is there, up to the budget. Returns whether more is pending.
    pub fn run(&mut self) -> Result<bool, Errno> {
        let sink = &mut self.counters.counting(&mut self.lines);
        service(&Rmi::new(Smc), self.psmmu_ptr, self.source, sink, BUDGET)
            .map(|serviced| serviced.more)
            .map_err(|error| {
                if let Some(suppressed) = self.lines.ask() {
                    let text = format_args!("{}: {error}", self.source);
                    self.lines.print(Level::Error, suppressed, text);
                }
                EIO
            })
    }

    /// Prints what was seen so far.
    pub fn show(&self, file: &mut Show) {
        file.line(format_args!(
            "{}: {}, {} lines suppressed",
            self.source,
            self.counters.source(self.source),
            self.lines.suppressed
        ));
        for (stream, count) in self.counters.streams() {
            file.line(format_args!("stream {stream:#x}: {count} for its virtual SMMU"));
        }
    }
}

impl Lines {
    /// Asks the limiter before anything is formatted: most events of a burst print nothing.
    fn ask(&mut self) -> Option<u64> {
        match self.limiter.ask(ticks()) {
            Verdict::Pass { suppressed } => Some(suppressed),
            Verdict::Suppress => {
                self.suppressed += 1;
                None
            }
        }
    }

    #[cold]
    fn print(&self, level: Level, suppressed: u64, text: core::fmt::Arguments<'_>) {
        match suppressed {
            0 => self.device.log(level, text),
            _ => self.device.log(level, format_args!("{text} ({suppressed} lines suppressed)")),
        }
    }
}

impl EventSink for Lines {
    fn event(&mut self, _: IrqSet, event: &Event) {
        let Some(suppressed) = self.ask() else { return };
        match EventLine::new(event) {
            Some(line) if suppressed == 0 => self.device.log_line(Level::Warning, line.as_str()),
            _ => {
                let is_error = matches!(event, Event::Error(_));
                let level = if is_error { Level::Error } else { Level::Warning };
                self.print(level, suppressed, format_args!("{}", Described(event)));
            }
        }
    }

    fn vsmmu(&mut self, _: IrqSet, stream: u32) -> bool {
        // No virtual SMMU exists under this driver.
        if let Some(suppressed) = self.ask() {
            let text = format_args!("stream {stream:#x} has an event and no owner");
            self.print(Level::Warning, suppressed, text);
        }
        false
    }
}
