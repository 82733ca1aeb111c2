// SPDX-License-Identifier: MIT OR Apache-2.0

//! `smp`: all CPUs call the RMM at once while devices fault. First one CPU consumes and the others only
//! ask; then all consume, one at a time. Nothing is lost, nothing comes twice, no CPU waits for ever.
//! At the end each CPU goes off and comes back once more.

use core::sync::atomic::{AtomicU32, Ordering};

use heapless::Vec;
use psmmu_abi::{Function, IrqDelivery, IrqSet, PsmmuInfoFields, Status, Version};
use psmmu_host::RmiError;

use super::{Arguments, usage};
use crate::arch::Masked;
use crate::bring_up::{self, Bench, must};
use crate::edu::{Access, Dma};
use crate::gic::MAX_CPUS;
use crate::granule::Granule;
use crate::platform::SMMU;
use crate::smc::RMI;
use crate::time::Deadline;
use crate::{arch, cpus, events, time};

/// Rounds of calls by each CPU in the first part.
const ROUNDS: u32 = 2000;
/// So many do when they take longer than [`SOFT_LIMIT`]: where the build machine has fewer CPUs than this
/// one, a lock that is handed on in turn waits for the build machine's scheduler each time.
const FEWEST_ROUNDS: u32 = 50;
const SOFT_LIMIT: u32 = 2000;
/// Turns at consuming by each CPU in the second part.
const TURNS: u32 = 100;
/// DMAs of each device in each part.
const DMAS: usize = 4;
/// Milliseconds for a part of the scenario.
const LIMIT: u32 = 30_000;

/// What the boot CPU wants of the others: one of the constants below.
static PART: AtomicU32 = AtomicU32::new(ASK);
const ASK: u32 = 0;
const CONSUME: u32 = 1;
const END: u32 = 2;

/// CPUs, one bit each, that arrived, that did their share in the first and in the second part, and
/// that came back.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
static ASKED: AtomicU32 = AtomicU32::new(0);
static ASKED_ROUNDS: AtomicU32 = AtomicU32::new(0);
static CONSUMED: AtomicU32 = AtomicU32::new(0);
static RETURNED: AtomicU32 = AtomicU32::new(0);

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("smp");
    }
    let mut bench = bring_up::all();
    let others = bench.affinities.len() as u32 - 1;
    require!(others > 0, "one CPU is too few");
    let all = (2 << others) - 2;
    for (index, &affinity) in bench.affinities.iter().enumerate().skip(1) {
        cpus::start(index, affinity, work);
    }
    wait(&ARRIVED, all, "arrive");

    let mut dmas = Vec::new();
    rounds(&mut bench, &mut dmas);
    wait(&ASKED, all, "ask often enough");

    // Interrupts stay pending while all CPUs poll.
    let masked = Masked::new();
    PART.store(CONSUME, Ordering::Release);
    rounds(&mut bench, &mut dmas);
    wait(&CONSUMED, all, "consume often enough");
    PART.store(END, Ordering::Release);
    drop(masked);
    for &affinity in &bench.affinities[1..] {
        cpus::expect_off(affinity);
    }
    let end = events::expect_faults(0, &dmas);
    events::expect_no_more_than(end);

    for (index, &affinity) in bench.affinities.iter().enumerate().skip(1) {
        cpus::start(index, affinity, come_back);
    }
    wait(&RETURNED, all, "come back");
    for &affinity in &bench.affinities[1..] {
        cpus::expect_off(affinity);
    }
    let asked = ASKED_ROUNDS.load(Ordering::Relaxed) / others;
    say!("{} CPUs, twice on and off; {asked} rounds of calls by each of the others", others + 1);
}

/// Has all devices fault a few times, each DMA of another length, and waits for the events.
fn rounds(bench: &mut Bench, dmas: &mut Vec<Dma, 32>) {
    for round in 0..DMAS {
        for (index, edu) in bench.edus.iter_mut().enumerate() {
            let dma = Dma::new(Access::Write, (1 + 13 * round + 5 * index) as u32);
            edu.start(dma);
            require!(dmas.push(dma).is_ok(), "too many DMAs");
        }
        bench.edus.iter().for_each(|edu| edu.finish());
    }
    events::wait_for(dmas.iter().map(|dma| dma.words as usize).sum());
}

fn wait(cpus: &AtomicU32, all: u32, what: &str) {
    let done = time::wait(LIMIT, || cpus.load(Ordering::Acquire) == all);
    let cpus = cpus.load(Ordering::Acquire);
    require!(done, "CPUs {all:#b} must {what}, after {LIMIT} ms {cpus:#b} did");
}

/// What the other CPUs do, with interrupts masked.
fn work(index: usize) {
    let bit = 1 << index;
    ARRIVED.fetch_or(bit, Ordering::Release);
    let (deadline, soft_deadline) = (Deadline::after(LIMIT), Deadline::after(SOFT_LIMIT));
    for round in 1.. {
        check_version();
        for set in [IrqSet::EVENTQ, IrqSet::GERROR | IrqSet::EVENTQ] {
            must(RMI.irq_notify(SMMU, set));
        }
        check_info(index);
        if round >= ROUNDS || round >= FEWEST_ROUNDS && soft_deadline.has_passed() {
            ASKED.fetch_or(bit, Ordering::Release);
        }
        if PART.load(Ordering::Acquire) != ASK {
            ASKED_ROUNDS.fetch_add(round, Ordering::Relaxed);
            break;
        }
        require!(!deadline.has_passed(), "CPU {index} still asks after {LIMIT} ms");
    }
    let deadline = Deadline::after(LIMIT);
    let mut turns = 0;
    while PART.load(Ordering::Acquire) != END {
        check_version();
        // Not waiting for a turn: see FEWEST_ROUNDS.
        if events::try_poll(IrqSet::EVENTQ) && events::try_poll(IrqSet::GERROR) {
            turns += 1;
        }
        if turns == TURNS {
            CONSUMED.fetch_or(bit, Ordering::Release);
        }
        require!(!deadline.has_passed(), "CPU {index} still consumes after {LIMIT} ms");
    }
    cpus::off();
}

fn come_back(index: usize) {
    check_version();
    must(RMI.irq_notify(SMMU, IrqSet::all()));
    RETURNED.fetch_or(1 << index, Ordering::Release);
    cpus::off();
}

/// Has the RMM write to this CPU's own page, then fault: each CPU has its own way to host memory.
fn check_info(index: usize) {
    static PAGES: [Granule; MAX_CPUS] = [const { Granule::new() }; MAX_CPUS];
    const REALM_PAGE: u64 = 0x4100_0000;
    let page = &PAGES[index];
    page.scribble();
    must(RMI.psmmu_info(SMMU, page.address()));
    let written = page.words();
    let events::SourceIrqs { gerror, eventq } = events::source_irqs();
    let delivery = IrqDelivery::Wired;
    let wanted = PsmmuInfoFields { delivery, gerror, eventq, priq: 0, cmdq_sync: 0 };
    let (fields, rest) = written.split_at(PsmmuInfoFields::WORDS);
    require!(fields == wanted.words(), "PSMMU_INFO on CPU {index}: {fields:x?}");
    require!(rest.iter().all(|&word| word == 0), "PSMMU_INFO on CPU {index} leaves words behind");
    let refused = Err(RmiError::Status(Function::PsmmuInfo, Status::ErrorInput));
    let result = RMI.psmmu_info(SMMU, REALM_PAGE);
    require!(result == refused, "PSMMU_INFO in Realm memory on CPU {index}: {result:?}");
}

fn check_version() {
    let version = must(RMI.version());
    require!(
        version == Version::RMI_2_0,
        "RMI_VERSION answers {version} on CPU {:#x}",
        arch::affinity()
    );
}
