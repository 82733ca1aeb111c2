// SPDX-License-Identifier: MIT OR Apache-2.0

//! The interrupt handler, and the log of what it heard.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, Ordering};

use heapless::Vec;
use psmmu_abi::{Event, IrqSet, MsiMessage, PsmmuParamsFields, PsmmuParamsFlags};
use psmmu_host::psmmu::PARAMS_NO_MSI;
use psmmu_host::{
    Described, Interrupts, SecurityState, Serviced, Source, Vector, Vectors, service,
};
use spin::Once;

use crate::edu::Dma;
use crate::gic;
use crate::lock::Locked;
use crate::platform::{MSI_SPIS, SMMU};
use crate::smc::RMI;
use crate::{arch, time};

/// Events that one boot can log.
const CAPACITY: usize = 2048;
/// Events in one round of service.
const BUDGET: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// Rounds for one interrupt; more events than the log holds cannot come.
const ROUNDS: usize = CAPACITY / BUDGET.get() as usize + 1;
/// Interrupts of one source that no scenario comes near.
const STORM: u32 = 1000;
/// Milliseconds within which an expected event comes; it takes 100 when nothing else runs.
const LIMIT: u32 = 5000;
/// Milliseconds in which an unexpected one would show.
const CALM: u32 = 50;

/// Something that was reported to the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By which source.
    pub source: IrqSet,
    /// What.
    pub event: Event,
}

struct Log {
    entries: Vec<Entry, CAPACITY>,
    eventq_interrupts: u32,
    gerror_interrupts: u32,
    /// What is no longer among the entries.
    cleared: Counts,
}

static LOG: Locked<Log> = Locked::new(Log {
    entries: Vec::new(),
    eventq_interrupts: 0,
    gerror_interrupts: 0,
    cleared: Counts { events: 0, errors: 0, interrupts: 0 },
});

/// The interrupt numbers of the sources.
#[derive(Clone, Copy)]
pub struct SourceIrqs {
    /// Global errors.
    pub gerror: u32,
    /// Event queue.
    pub eventq: u32,
}

static SOURCE_IRQS: Once<SourceIrqs> = Once::new();

/// The MSIs for `PSMMU_ACTIVATE`.
static PARAMETERS: Once<PsmmuParamsFields> = Once::new();

/// Connects the handler as discovery found it, and enables its interrupts. MSIs without a doorbell
/// for them are left out, and the sources are polled.
pub fn connect(interrupts: Interrupts) {
    match interrupts {
        Interrupts::Wired { gerror: Some(gerror), eventq: Some(eventq), .. } => {
            enable(SourceIrqs { gerror: gerror.0, eventq: eventq.0 });
        }
        Interrupts::Msi => match gic::doorbell().zip(MSI_SPIS) {
            Some((address, [eventq, gerror])) => {
                let vectors = Vectors::new(false, &interrupts);
                let msi = |index| {
                    let Vector { state: SecurityState::Realm, source } = vectors.vector(index)?
                    else {
                        return None;
                    };
                    let number = if source == Source::Eventq { eventq } else { gerror };
                    Some(MsiMessage { address, data: number.into() })
                };
                let parameters = vectors.parameters(msi, PsmmuParamsFlags::empty());
                let parameters = parameters.unwrap_or_else(|error| fail!("{error}"));
                PARAMETERS.call_once(|| parameters);
                enable(SourceIrqs { gerror, eventq });
                say!("MSIs to {address:#x}, GERROR {gerror}, EVENTQ {eventq}");
            }
            None => say!("there is no doorbell for MSIs: polling"),
        },
        other => fail!("interrupts for GERROR and EVENTQ were expected, came {other:?}"),
    }
}

fn enable(irqs: SourceIrqs) {
    SOURCE_IRQS.call_once(|| irqs);
    gic::enable(irqs.gerror);
    gic::enable(irqs.eventq);
}

/// Returns the parameters of `PSMMU_ACTIVATE`.
pub fn parameters() -> &'static PsmmuParamsFields {
    PARAMETERS.get().unwrap_or(&PARAMS_NO_MSI)
}

/// Returns the interrupt numbers.
pub fn source_irqs() -> SourceIrqs {
    *SOURCE_IRQS.get().unwrap_or_else(|| fail!("no interrupt is connected yet"))
}

/// Interrupts are taken without service of their source: one that was raised before the PSMMU was deactivated
/// may come behind that.
static IS_INACTIVE: AtomicBool = AtomicBool::new(false);

/// Says whether interrupts are to be taken without service of their source, as there is no active PSMMU.
pub fn set_inactive(is_inactive: bool) {
    IS_INACTIVE.store(is_inactive, Ordering::Relaxed);
}

/// Handles one interrupt.
pub fn interrupt() {
    let Some(intid) = gic::acknowledge() else { return };
    let number = intid.raw_value();
    match SOURCE_IRQS.get() {
        Some(irqs) if number == irqs.gerror => LOG.with(|log| {
            count_up(&mut log.gerror_interrupts);
            log.take(IrqSet::GERROR);
        }),
        Some(irqs) if number == irqs.eventq => LOG.with(|log| {
            count_up(&mut log.eventq_interrupts);
            log.take(IrqSet::EVENTQ);
        }),
        _ if intid == gic::TIMER => arch::disarm_timer(),
        _ => fail!("an interrupt without a source: {intid:?}"),
    }
    gic::end(intid);
}

/// Counts an interrupt. One that comes again as soon as it has been handled would keep the scenario
/// from ever detecting it.
fn count_up(interrupts: &mut u32) {
    *interrupts += 1;
    if *interrupts > STORM {
        fail!("{STORM} interrupts of one source");
    }
}

/// Services a source without an interrupt.
pub fn poll(source: IrqSet) {
    LOG.with(|log| log.take(source));
}

/// Services a source unless another CPU is at the log just now. Returns whether it did.
pub fn try_poll(source: IrqSet) -> bool {
    LOG.try_with(|log| log.take(source)).is_some()
}

impl Log {
    /// Returns how many entries are errors.
    fn errors(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.event, Event::Error(_))).count()
    }

    fn take(&mut self, source: IrqSet) {
        if IS_INACTIVE.load(Ordering::Relaxed) {
            return;
        }
        for _ in 0..ROUNDS {
            let mut sink = |source, event: &Event| self.add(source, event);
            match service(&RMI, SMMU, source, &mut sink, BUDGET) {
                Ok(Serviced { more: true, .. }) => {}
                Ok(Serviced { more: false, .. }) => return,
                Err(error) => fail!("servicing {source:?}: {error}"),
            }
        }
        fail!("{source:?} still has more after {} events", ROUNDS * BUDGET.get() as usize);
    }

    fn add(&mut self, source: IrqSet, event: &Event) {
        if self.entries.push(Entry { source, event: *event }).is_err() {
            fail!("more than {CAPACITY} events; the last one: {}", Described(event));
        }
    }
}

/// Adds an event that the scenario itself took.
pub fn record(source: IrqSet, event: &Event) {
    LOG.with(|log| log.add(source, event));
}

/// Empties the log, for scenarios with more events than it holds.
pub fn clear() {
    LOG.with(|log| {
        let errors = log.errors();
        log.cleared.errors += errors;
        log.cleared.events += log.entries.len() - errors;
        log.entries.clear();
    });
}

/// What a boot has seen.
#[derive(Clone, Copy)]
pub struct Counts {
    /// Events of streams.
    pub events: usize,
    /// Errors of the SMMU.
    pub errors: usize,
    /// Interrupts taken.
    pub interrupts: u32,
}

/// Returns the sums.
pub fn counts() -> Counts {
    LOG.with(|log| {
        let errors = log.errors();
        Counts {
            events: log.cleared.events + log.entries.len() - errors,
            errors: log.cleared.errors + errors,
            interrupts: log.eventq_interrupts + log.gerror_interrupts,
        }
    })
}

/// Returns how many entries the log has.
pub fn count() -> usize {
    LOG.with(|log| log.entries.len())
}

/// Returns how many interrupts came for `source`.
pub fn interrupts(source: IrqSet) -> u32 {
    LOG.with(|log| match source {
        IrqSet::GERROR => log.gerror_interrupts,
        _ => log.eventq_interrupts,
    })
}

/// Returns entry `index` of the log.
pub fn entry(index: usize) -> Entry {
    LOG.with(|log| log.entries.get(index).copied())
        .unwrap_or_else(|| fail!("event {index} was never reported"))
}

/// Waits until `wanted` events were logged in all.
pub fn wait_for(wanted: usize) {
    let came = || {
        if SOURCE_IRQS.get().is_none() {
            poll(IrqSet::GERROR);
            poll(IrqSet::EVENTQ);
        }
        count() >= wanted
    };
    if !time::wait(LIMIT, came) {
        let (came, eventq, gerror) =
            LOG.with(|log| (log.entries.len(), log.eventq_interrupts, log.gerror_interrupts));
        fail!(
            "after {LIMIT} ms {came} of {wanted} events are reported; interrupts so far: \
             {eventq} EVENTQ, {gerror} GERROR"
        );
    }
}

/// Checks that there are `wanted` events in all, and no more to come from anywhere.
pub fn expect_no_more_than(wanted: usize) {
    expect_no_more_while_inactive(wanted);
    for source in [IrqSet::GERROR, IrqSet::EVENTQ, IrqSet::PRIQ] {
        expect_nothing(source, "at the end");
    }
}

/// Checks that the RMM has nothing to report.
pub fn expect_nothing(source: IrqSet, when: &str) {
    let rest = RMI.irq_notify(SMMU, source);
    expect_eq!(rest, Ok(psmmu_abi::Notification::NONE), "NOTIFY for {source:?} {when}");
}

/// Checks that there are `wanted` events in all, on a PSMMU that is not active.
pub fn expect_no_more_while_inactive(wanted: usize) {
    time::pass(CALM);
    let came = count();
    if let Some(extra) = came.checked_sub(wanted).filter(|&extra| extra != 0) {
        fail!("{extra} events too many; first: {}", Described(&entry(wanted).event));
    }
    expect_eq!(came, wanted, "number of events");
}

/// Checks that the log holds, from entry `first` on, the events of `dmas` in this order. Returns the
/// index of the entry behind them.
pub fn expect_faults(first: usize, dmas: &[Dma]) -> usize {
    let mut index = first;
    for wanted in dmas.iter().flat_map(|dma| dma.events()) {
        let Entry { source, event } = entry(index);
        expect_eq!(source, IrqSet::EVENTQ, "source of event {index}");
        require!(
            event == wanted,
            "event {index}: expected '{}', came '{}'",
            Described(&wanted),
            Described(&event)
        );
        index += 1;
    }
    index
}
