// SPDX-License-Identifier: MIT OR Apache-2.0

//! `lifecycle-smp`: all CPUs change what the RMM has at once, while devices fault. Each of the other CPUs, in
//! each of its rounds,
//!
//! - delegates granules of its own and takes them back, wiped;
//! - delegates or undelegates a granule that all of them fight for: each way works as often as the other;
//! - makes a level-2 table for streams of its own, and destroys it;
//! - asks for events and consumes them, as the boot CPU does by interrupt.
//!
//! Besides, one CPU donates and reclaims by a list that another one delegates and undelegates
//! all the time: whatever the RMM finds there, it answers one of the statuses that it may, and the next
//! try finds all as it was. At the end no event is lost, and no granule.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use heapless::Vec;
use psmmu_abi::{IrqSet, Status};
use psmmu_host::psmmu::{self, STREAMS_PER_TABLE, Table};
use psmmu_host::{Answer, Command, Meaning, RmiError};

use super::manual::{DONATE, INPUT, NOTHING, RECLAIM, Region, registers};
use super::{Arguments, raw, usage};
use crate::bring_up::{self, Bench, must};
use crate::edu::{Access, Dma};
use crate::gic::MAX_CPUS;
use crate::granule::Granule;
use crate::platform::SMMU;
use crate::pool::{self, GRANULE, MemoryDonor};
use crate::smc::RMI;
use crate::time::Deadline;
use crate::{cpus, events, time};

/// Rounds of each CPU; or as many as fit into [`SOFT_LIMIT`], but this many at least: where the build
/// machine has fewer CPUs than this one, a lock that is passed on in turn waits for its scheduler.
const ROUNDS: u32 = 400;
const FEWEST_ROUNDS: u32 = 40;
const SOFT_LIMIT: u32 = 6000;
/// Milliseconds for all of it.
const LIMIT: u32 = 40_000;
/// DMAs of each device.
const DMAS: usize = 16;
/// Tables that a CPU takes turns with.
const TABLES: u32 = 8;
/// First StreamID of the table that the list of [`VANISHING`] is for.
const LAST_TABLE: u32 = 0xFFC0;

/// The CPU that donates by a list that is not always there, and the one that sees to that.
const DONATES: usize = 2;
const TAKES_AWAY: usize = 3;

/// For lists, one for each CPU.
static PAGES: [Granule; MAX_CPUS] = [const { Granule::new() }; MAX_CPUS];

/// PA of the granule that all CPUs fight for, and how often each way worked.
static FOUGHT_FOR: AtomicU64 = AtomicU64::new(0);
static DELEGATED: AtomicU32 = AtomicU32::new(0);
static UNDELEGATED: AtomicU32 = AtomicU32::new(0);

/// PA of the page that vanishes, and the entry that it has while it is there; 0 if there is none yet.
static VANISHING: AtomicU64 = AtomicU64::new(0);
static ENTRY: AtomicU64 = AtomicU64::new(0);
/// What its donations came to: taken, an empty list, no list.
static CAME: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// CPUs that have made their rounds, one bit each.
static DONE: AtomicU32 = AtomicU32::new(0);
static ALL_ROUNDS: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("lifecycle-smp");
    }
    let mut bench = bring_up::all();
    let others = bench.affinities.len() as u32 - 1;
    require!(others as usize >= TAKES_AWAY, "{} CPUs are too few", others + 1);
    let fought_for = Region::new(1);
    let vanishing = Region::new(1);
    FOUGHT_FOR.store(fought_for.address, Ordering::Relaxed);
    VANISHING.store(vanishing.address, Ordering::Relaxed);
    for (index, &affinity) in bench.affinities.iter().enumerate().skip(1) {
        cpus::start(index, affinity, work);
    }
    let dmas = faults(&mut bench);
    let all = (2 << others) - 2;
    let done = time::wait(LIMIT, || DONE.load(Ordering::Acquire) == all);
    require!(done, "after {LIMIT} ms CPUs {:#b} of {all:#b}", DONE.load(Ordering::Acquire));
    STOP.store(true, Ordering::Release);
    for &affinity in &bench.affinities[1..] {
        cpus::expect_off(affinity);
    }

    let end = events::expect_faults(0, &dmas);
    events::expect_no_more_than(end);
    let fights = DELEGATED.load(Ordering::Relaxed);
    match fights - UNDELEGATED.load(Ordering::Relaxed) {
        0 => fought_for.free(),
        1 => fought_for.take_back(),
        more => fail!("a granule was delegated {more} times more than undelegated"),
    }
    pool::granule(vanishing.address).fill(0);
    vanishing.free();
    bring_up::st_l2_destroy(&mut bench.donor, bring_up::TABLE);
    bring_up::deactivate_psmmu(&mut bench.donor);
    pool::expect_whole();
    let [taken, empty, gone] = [0, 1, 2].map(|which: usize| CAME[which].load(Ordering::Relaxed));
    say!(
        "{} CPUs, {} rounds each; {fights} won the granule; by the list that vanishes {taken} \
         donations were taken, {empty} were empty, {gone} had none",
        others + 1,
        ALL_ROUNDS.load(Ordering::Relaxed) / others
    );
}

/// Has all devices fault a few times, and waits for the events.
fn faults(bench: &mut Bench) -> Vec<Dma, 64> {
    let mut dmas = Vec::new();
    for round in 0..DMAS {
        for (index, edu) in bench.edus.iter_mut().enumerate() {
            let dma = Dma::new(Access::Write, (1 + 5 * round + 3 * index) as u32);
            edu.start(dma);
            require!(dmas.push(dma).is_ok(), "too many DMAs");
        }
        bench.edus.iter().for_each(|edu| edu.finish());
    }
    events::wait_for(dmas.iter().map(|dma| dma.words as usize).sum());
    dmas
}

/// What the other CPUs do, with interrupts masked.
fn work(index: usize) {
    let mut donor = pool::donor(&PAGES[index]);
    let (deadline, soft_deadline) = (Deadline::after(LIMIT), Deadline::after(SOFT_LIMIT));
    for round in 1.. {
        granules(round);
        fight(round);
        table(&mut donor, index, round);
        must(RMI.irq_notify(SMMU, IrqSet::EVENTQ | IrqSet::GERROR));
        events::try_poll(IrqSet::EVENTQ);
        match index {
            DONATES => donate_by_list(),
            TAKES_AWAY => take_away(),
            _ => {}
        }
        if round >= ROUNDS || round >= FEWEST_ROUNDS && soft_deadline.has_passed() {
            DONE.fetch_or(1 << index, Ordering::Release);
        }
        if STOP.load(Ordering::Acquire) {
            ALL_ROUNDS.fetch_add(round, Ordering::Relaxed);
            break;
        }
        require!(!deadline.has_passed(), "CPU {index} is in round {round} after {LIMIT} ms");
    }
    expect_eq!((donor.held(), donor.leaked()), (0, 0), "granules that CPU {index} has donated");
    if index == DONATES {
        DonatedRegion::get().take_back();
    }
    cpus::off();
}

/// Granules of this CPU's own, to Realm PAS and back.
fn granules(round: u32) {
    Region::delegated(1 + u64::from(round) % 5).take_back();
}

fn moved(answer: &Answer) -> Result<u64, RmiError> {
    answer.success().map(|[end, ..]| end)
}

/// A granule that all want at once.
fn fight(round: u32) {
    let base = FOUGHT_FOR.load(Ordering::Relaxed);
    let (answer, count) = if round.is_multiple_of(2) {
        (RMI.granule_range_delegate(base, base + GRANULE), &DELEGATED)
    } else {
        (RMI.granule_range_undelegate(base, base + GRANULE), &UNDELEGATED)
    };
    match moved(&answer) {
        Ok(end) => {
            expect_eq!(end, base + GRANULE, "the end of one granule");
            count.fetch_add(1, Ordering::Relaxed);
        }
        Err(RmiError::Status(_, Status::ErrorInput | Status::Busy)) => {}
        Err(error) => fail!("a granule that all fight for: {error}"),
    }
}

/// A table for streams of this CPU's own.
fn table(donor: &mut MemoryDonor, index: usize, round: u32) {
    let stream = (1 + index as u32 * TABLES + round % TABLES) * STREAMS_PER_TABLE;
    expect_eq!(must(psmmu::st_l2_create(&RMI, donor, SMMU, stream)), Table::Created, "{stream}");
    bring_up::st_l2_destroy(donor, stream);
}

/// What [`DONATES`] donates again and again: one granule, delegated once.
struct DonatedRegion;

impl DonatedRegion {
    fn get() -> Region {
        static ADDRESS: AtomicU64 = AtomicU64::new(0);
        let address = match ADDRESS.load(Ordering::Relaxed) {
            0 => {
                let region = Region::new(1);
                must(RMI.granule_range_delegate(region.address, region.end()).success());
                ADDRESS.store(region.address, Ordering::Relaxed);
                region.address
            }
            address => address,
        };
        Region { address, granules: 1 }
    }
}

/// Makes a table of what stands in the page that vanishes, and takes it back by that page.
fn donate_by_list() {
    let region = DonatedRegion::get();
    ENTRY.store(region.entry(), Ordering::Release);
    let list = VANISHING.load(Ordering::Relaxed);
    let command = Command::PsmmuStL2Create { psmmu_ptr: SMMU, stream: LAST_TABLE };
    let handle = begun(command, DONATE);
    loop {
        let came = match registers(RMI.op_mem_donate(handle, list, 1)) {
            [NOTHING, 1, _] => 0,
            [DONATE, 0, _] => 1,
            [INPUT, 0, _] => 2,
            other => fail!("OP_MEM_DONATE by a list that vanishes: {other:#x?}"),
        };
        CAME[came].fetch_add(1, Ordering::Relaxed);
        match came {
            0 => break,
            1 => {}
            _ => {
                let [x0, ..] = registers(RMI.op_continue(handle, false));
                expect_eq!(x0, INPUT, "the end of an operation whose list has vanished");
                return;
            }
        }
    }
    expect_eq!(ended(handle), 0, "a table by a list that vanishes");
    let handle = begun(Command::PsmmuStL2Destroy { psmmu_ptr: SMMU, stream: LAST_TABLE }, RECLAIM);
    loop {
        match registers(RMI.op_mem_reclaim(handle, list, 1)) {
            [NOTHING, 1, _] => break,
            [INPUT, 0, _] => {}
            other => fail!("OP_MEM_RECLAIM to a list that vanishes: {other:#x?}"),
        }
    }
    expect_eq!(ended(handle), 0, "the end of a table by a list that vanishes");
}

/// Goes on with an operation until no other CPU waits for the device, and returns X0.
fn ended(handle: u64) -> u64 {
    loop {
        let [x0, ..] = registers(RMI.op_continue(handle, false));
        if x0 != raw::x0(Status::Busy) {
            return x0;
        }
    }
}

/// Begins an operation that must want `x0`, and returns its handle.
fn begun(command: Command, x0: u64) -> u64 {
    loop {
        let answer = RMI.begin(command);
        match answer.meaning() {
            Meaning::Failure(RmiError::Status(_, Status::Busy | Status::Blocked)) => {}
            _ => {
                expect_eq!(answer.result.x0(), x0, "{command:?}: X0");
                return answer.outputs[0];
            }
        }
    }
}

/// Takes the page away while [`DONATES`] uses it, and puts it back, a few times.
fn take_away() {
    const TIMES: usize = 8;
    let base = VANISHING.load(Ordering::Relaxed);
    for _ in 0..TIMES {
        let delegated = RMI.granule_range_delegate(base, base + GRANULE);
        expect_eq!(moved(&delegated), Ok(base + GRANULE), "the page that vanishes");
        let back = RMI.granule_range_undelegate(base, base + GRANULE);
        expect_eq!(moved(&back), Ok(base + GRANULE), "the page that comes back");
        pool::granule(base).set_word(0, ENTRY.load(Ordering::Acquire));
    }
}
