// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bench [null]`: counts the instructions between the SMC of a call and its return. QEMU must run with
//! `-icount shift=0`, under which the counter counts instructions.
//!
//! With `null` the same calls go to an RMM that answers nothing of meaning, and no device faults. Each
//! call is made several times; the lowest and the highest count are printed, then how many calls it took
//! and how many of them have the RMM call EL3 in turn. Of what takes more than one call, from the command
//! that begins it to the `OP_CONTINUE` that ends it, the sum is counted; granules are delegated for it
//! and undelegated behind it, which counts by itself.
//!
//! Of all calls of each command the longest one is printed too: as long as that interrupts are masked.
//! [`Calls::worst`] makes those that have the most to do, with the lists, ranges and errors that take longest.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use heapless::Vec;
use psmmu_abi::SMCCC_NOT_SUPPORTED;
use psmmu_abi::{EventKind, Function, IrqSet, Notification, Version};

use super::manual::{self, DONATE, INPUT, LIST, NOTHING, PARAMS, RECLAIM, Region};
use super::{Arguments, usage};
use crate::arch::Masked;
use crate::edu::{Access, Dma, Edu};
use crate::granule::Granule;
use crate::platform::SMMU;
use crate::smmu::Smmu;
use crate::{bring_up, events, gic};

static PAGE: Granule = Granule::new();

/// The longest call of each command, in the order of [`Function::ALL`].
static LONGEST: [AtomicU64; Function::ALL.len()] =
    [const { AtomicU64::new(0) }; Function::ALL.len()];

/// How often a call is made.
const ROUNDS: u32 = 5;
/// Events that one NOTIFY stages at most.
const BATCH: u32 = 32;
/// In the range that EL3 passes on.
const UNKNOWN_FUNCTION: u64 = 0xC400_0151;

const EVENTQ: u64 = IrqSet::EVENTQ.bits();
const NOTIFY: u64 = Function::PsmmuIrqNotify.id();
const CONSUME: u64 = Function::PsmmuEventConsume.id();

pub fn run(arguments: &Arguments) {
    let is_null = match arguments.as_slice() {
        [] => false,
        [word] if word == "null" => true,
        _ => usage("bench [null]"),
    };
    expect_that_instructions_are_counted();
    let mut bench = (!is_null).then(|| {
        let donor = bring_up::activate_rmm();
        bring_up::interrupts_and_devices(&bring_up::topology(), donor)
    });
    let page = PAGE.address();
    // To the end: the interrupts' handler would consume.
    let masked = Masked::new();
    let mut calls = Calls { edu: bench.as_mut().map(|bench| bench.edu()) };

    calls.repeat("version", Function::Version.id(), [Version::RMI_2_0.word(), 0], 0);
    calls.repeat("features", Function::Features.id(), [0, 0], 0);
    calls.repeat("unknown_fid", UNKNOWN_FUNCTION, [0, 0], SMCCC_NOT_SUPPORTED);
    calls.repeat("config_get", Function::RmmConfigGet.id(), [page, 0], 0);
    calls.repeat("info", Function::PsmmuInfo.id(), [SMMU, page], 0);
    calls.granules();
    calls.worst();
    calls.cycles();

    calls.repeat("notify_nothing", NOTIFY, [SMMU, EVENTQ], 0);
    calls.repeat("notify_gerror_nothing", NOTIFY, [SMMU, IrqSet::GERROR.bits()], 0);
    calls.one_event_at_a_time();
    calls.bursts();
    calls.worst_events();
    if !is_null {
        print_longest();
    }

    drop(masked);
    if !is_null {
        events::expect_no_more_than(0);
    }
}

/// Makes calls and counts them.
struct Calls<'a> {
    /// The device, if there is an RMM that reports its faults.
    edu: Option<&'a mut Edu>,
}

impl Calls<'_> {
    /// Makes a call, checks that X0 is `wanted`, and returns X1 to X6.
    fn make(&self, count: &mut Count, function: u64, [x1, x2]: [u64; 2], wanted: u64) -> [u64; 6] {
        let (instructions, outputs) = self.step(count.name, function, [x1, x2, 0], wanted);
        count.add(instructions);
        outputs
    }

    /// Makes a call that may be one of several. Returns its count and X1 to X6.
    fn step(
        &self,
        name: &str,
        function: u64,
        [x1, x2, x3]: [u64; 3],
        wanted: u64,
    ) -> (u64, [u64; 6]) {
        let (instructions, [x0, outputs @ .., _]) = timed([function, x1, x2, x3, 0, 0, 0, 0]);
        // An RMM that does nothing leaves X1 alone, which is passed on as the answer's X0.
        let wanted = if self.is_null() { x1 } else { wanted };
        expect_eq!(x0, wanted, "{name}: X0");
        (instructions, outputs)
    }

    fn is_null(&self) -> bool {
        self.edu.is_none()
    }

    /// Makes the same call again and again.
    fn repeat(&self, name: &'static str, function: u64, arguments: [u64; 2], wanted: u64) {
        let mut count = Count::new(name);
        for _ in 0..ROUNDS {
            self.make(&mut count, function, arguments, wanted);
        }
        count.print();
    }

    /// One granule to Realm PAS and back.
    fn granules(&self) {
        // The null RMM gets the call to EL3 to make as an argument.
        const TO_REALM: u64 = 0xC400_01B0;
        const FROM_REALM: u64 = 0xC400_01B1;
        let mut delegate = Count::calling_el3("delegate");
        let mut undelegate = Count::calling_el3("undelegate");
        // The first granule of a block costs EL3 more than the others: it is none that is counted.
        let mut first = Count::calling_el3("first");
        for round in 0..=ROUNDS {
            let region = Region::new(1);
            for (count, function, to_el3) in [
                (&mut delegate, Function::GranuleRangeDelegate, TO_REALM),
                (&mut undelegate, Function::GranuleRangeUndelegate, FROM_REALM),
            ] {
                let [x6, x7] = if self.is_null() { [to_el3, 1] } else { [0, 0] };
                let x = [function.id(), region.address, region.end(), 0, 0, 0, x6, x7];
                let (instructions, [x0, ..]) = timed(x);
                expect_eq!(x0, 0, "{}: X0", count.name);
                let count = if round == 0 { &mut first } else { count };
                count.add(instructions);
            }
            region.free();
        }
        delegate.print();
        undelegate.print();
    }

    /// Makes a call of which only the longest counts, and returns X1 to X6.
    fn longest(&self, function: Function, [x1, x2, x3]: [u64; 3], wanted: u64) -> [u64; 6] {
        let (_, [x0, outputs @ .., _]) = timed([function.id(), x1, x2, x3, 0, 0, 0, 0]);
        expect_eq!(x0, wanted, "{function:?} with {x1:#x}, {x2:#x}, {x3:#x}: X0");
        outputs
    }

    /// Calls of the RMM as a whole, on granules and on operations, that have the most to do.
    fn worst(&self) {
        const EVERYWHERE: u64 = 1 << 40;
        if self.is_null() {
            return;
        }
        PAGE.fill(0);
        let page = PAGE.address();
        self.longest(Function::RmmDeactivate, [0; 3], 0);
        self.longest(Function::RmmConfigSet, [page, 0, 0], 0);
        self.longest(Function::RmmActivate, [0; 3], 0);
        self.longest(Function::RmmStateGet, [0; 3], 0);
        for base in [0, 0x4000_0000, 1 << 39] {
            self.longest(Function::GranuleTrackingGet, [base, EVERYWHERE, 0], 0);
            self.longest(Function::GptInfo, [base, EVERYWHERE, 0], 0);
        }
        // As much as one call moves, alone in its block, which EL3 splits up and puts together.
        for granules in [1, 2, 3, 16, 64] {
            let region = Region::new(granules);
            for function in [Function::GranuleRangeDelegate, Function::GranuleRangeUndelegate] {
                let mut at = region.address;
                while at < region.end() {
                    [at, ..] = self.longest(function, [at, region.end(), 0], 0);
                }
            }
            region.free();
        }
        // Lists whose entries are all empty, or all but the last; or all wrong.
        PARAMS.fill(0);
        let (activate, list) = ([SMMU, PARAMS.address(), 0], LIST.address());
        let [handle, request, ..] = self.longest(Function::PsmmuActivate, activate, DONATE);
        LIST.fill(0);
        self.longest(Function::OpMemDonate, [handle, list, 512], DONATE);
        let request = psmmu_abi::DonateRequest::from_x2(request);
        let region = manual::Operation { handle, request }.find();
        LIST.set_word(511, region.entry());
        self.longest(Function::OpMemDonate, [handle, list, 512], DONATE);
        self.longest(Function::OpCancel, [handle, 0, 0], RECLAIM);
        self.longest(Function::OpMemReclaim, [handle, list, 512], NOTHING);
        self.longest(Function::OpContinue, [handle, 0, 0], INPUT);
        LIST.fill(region.entry());
        let [handle, ..] = self.longest(Function::PsmmuActivate, activate, DONATE);
        self.longest(Function::OpMemDonate, [handle, list, 512], INPUT);
        region.take_back();
    }

    /// An overflow of the event queue and an error of the command queue, served to the end.
    fn worst_events(&mut self) {
        const TOO_MANY: u32 = 600;
        if self.is_null() {
            return;
        }
        self.fault(TOO_MANY);
        Smmu::new().push_command_slot();
        let set = IrqSet::all().bits();
        let mut left = 2 * TOO_MANY;
        loop {
            let outputs = self.longest(Function::PsmmuIrqNotify, [SMMU, set, 0], 0);
            let reported = Notification::try_from(outputs);
            let goes_on = left != 0 && reported.is_ok();
            require!(goes_on, "events do not end, or are inconsistent: {reported:?}");
            if reported.is_ok_and(|notification| notification.event.kind() == EventKind::None) {
                break;
            }
            self.longest(Function::PsmmuEventConsume, [SMMU, set, 0], 0);
            left -= 1;
        }
        while let Some(intid) = gic::acknowledge() {
            gic::end(intid);
        }
    }

    /// Activate/deactivate cycles of a PSMMU; the last one stays active.
    fn cycles(&self) {
        let mut activate = Count::of_calls("activate", 5);
        let mut create = Count::of_calls("st_l2_create", 3);
        let mut destroy = Count::of_calls("st_l2_destroy", 3);
        let mut deactivate = Count::of_calls("deactivate", 3);
        PARAMS.fill(0);
        for round in 1..=ROUNDS {
            let params = PARAMS.address();
            let regions = self.take(&mut activate, Function::PsmmuActivate, params, 3);
            let table = self.take(&mut create, Function::PsmmuStL2Create, 0, 1);
            if round != ROUNDS {
                self.give(&mut destroy, Function::PsmmuStL2Destroy, &table);
                self.give(&mut deactivate, Function::PsmmuDeactivate, &regions);
            }
        }
        for count in [activate, create, destroy, deactivate] {
            count.print();
        }
    }

    /// Carries out a command that asks for `regions` regions. Returns them.
    fn take(
        &self,
        count: &mut Count,
        function: Function,
        argument: u64,
        regions: usize,
    ) -> Regions {
        let mut all = Regions::new();
        let (mut sum, [handle, mut request, ..]) =
            self.step(count.name, function.id(), [SMMU, argument, 0], DONATE);
        for left in (0..regions).rev() {
            if !self.is_null() {
                let request = psmmu_abi::DonateRequest::from_x2(request);
                let region = manual::Operation { handle, request }.find();
                LIST.set_word(0, region.entry());
                require!(all.push(region).is_ok(), "{}: too many regions", count.name);
            }
            let wanted = if left == 0 { NOTHING } else { DONATE };
            let arguments = [handle, LIST.address(), 1];
            let donate = Function::OpMemDonate.id();
            let (instructions, outputs) = self.step(count.name, donate, arguments, wanted);
            sum += instructions;
            [_, request, ..] = outputs;
        }
        let end = Function::OpContinue.id();
        let (instructions, _) = self.step(count.name, end, [handle, 0, 0], 0);
        count.add(sum + instructions);
        all
    }

    /// Carries out a command that gives `regions` back.
    fn give(&self, count: &mut Count, function: Function, regions: &Regions) {
        let (begin, [handle, ..]) = self.step(count.name, function.id(), [SMMU, 0, 0], RECLAIM);
        let list = [handle, LIST.address(), 512];
        let (reclaim, _) = self.step(count.name, Function::OpMemReclaim.id(), list, NOTHING);
        let (end, _) = self.step(count.name, Function::OpContinue.id(), [handle, 0, 0], 0);
        count.add(begin + reclaim + end);
        regions.iter().for_each(|region| region.take_back());
    }

    /// NOTIFY, which must report `wanted`.
    fn notify(&self, count: &mut Count, wanted: Notification) {
        let outputs = self.make(count, NOTIFY, [SMMU, EVENTQ], 0);
        if self.edu.is_some() {
            expect_eq!(outputs, wanted.registers(), "{}: X1 to X6", count.name);
        }
    }

    /// CONSUME.
    fn consume(&self, count: &mut Count) {
        self.make(count, CONSUME, [SMMU, EVENTQ], 0);
    }

    /// Has the device make `words` events, and returns what they will be.
    fn fault(&mut self, words: u32) -> Dma {
        let dma = Dma::new(Access::Write, words);
        if let Some(edu) = &mut self.edu {
            edu.run(dma);
            // An interrupt that is left pending would keep the CPU from sleeping until the next one.
            while let Some(intid) = gic::acknowledge() {
                gic::end(intid);
            }
        }
        dma
    }

    /// Events that come alone: each is staged by the NOTIFY that reports it.
    fn one_event_at_a_time(&mut self) {
        let mut stages = Count::new("notify_stages_1");
        let mut consume = Count::new("consume_of_the_last");
        for _ in 0..ROUNDS {
            for event in self.fault(1).events() {
                self.notify(&mut stages, Notification { pending: false, event });
                self.consume(&mut consume);
            }
        }
        stages.print();
        consume.print();
    }

    /// Events that come together: the first NOTIFY stages them all.
    fn bursts(&mut self) {
        let mut stages = Count::new("notify_stages_32");
        let mut staged = Count::new("notify_staged");
        let mut last = Count::new("notify_last");
        let mut repeated = Count::new("notify_repeated");
        let mut consume = Count::new("consume");
        let mut consume_nothing = Count::new("consume_nothing");
        for _ in 0..ROUNDS {
            let dma = self.fault(BATCH);
            for (number, event) in (1..).zip(dma.events()) {
                let reported = Notification { pending: number < BATCH, event };
                let notify = match number {
                    1 => &mut stages,
                    BATCH => &mut last,
                    _ => &mut staged,
                };
                self.notify(notify, reported);
                // Asked again for the last one, the RMM polls the device.
                if number < BATCH {
                    self.notify(&mut repeated, reported);
                }
                self.consume(&mut consume);
                self.consume(&mut consume_nothing);
            }
        }
        for count in [stages, staged, last, repeated, consume, consume_nothing] {
            count.print();
        }
    }
}

/// The instructions of a call that was made several times.
struct Count {
    name: &'static str,
    lowest: u64,
    highest: u64,
    /// Calls that it takes.
    calls: u64,
    /// Calls to EL3 that the RMM makes for it.
    calls_to_el3: u64,
}

/// What a PSMMU runs on.
type Regions = Vec<Region, 4>;

impl Count {
    const fn new(name: &'static str) -> Self {
        Self::of_calls(name, 1)
    }

    const fn of_calls(name: &'static str, calls: u64) -> Self {
        Self { name, lowest: u64::MAX, highest: 0, calls, calls_to_el3: 0 }
    }

    const fn calling_el3(name: &'static str) -> Self {
        Self { calls_to_el3: 1, ..Self::new(name) }
    }

    fn add(&mut self, instructions: u64) {
        self.lowest = self.lowest.min(instructions);
        self.highest = self.highest.max(instructions);
    }

    /// Prints a line for the program that booted this.
    fn print(&self) {
        let Self { name, lowest, highest, calls, calls_to_el3 } = self;
        say!("BENCH {name} {lowest} {highest} {calls} {calls_to_el3}");
    }
}

/// Makes a call and returns what the counter says it took: the SMC, all behind it, and the second read.
fn timed(mut x: [u64; 8]) -> (u64, [u64; 8]) {
    let called = Function::ALL.iter().position(|function| function.id() == x[0]);
    let (start, end): (u64, u64);
    // SAFETY: by the SMC calling convention nothing but X0 to X17 changes; the RMM writes at most to
    // `PAGE`, whose words are atomic.
    unsafe {
        asm!(
            "mrs {start}, cntvct_el0",
            "smc #0",
            "mrs {end}, cntvct_el0",
            start = out(reg) start,
            end = lateout(reg) end,
            inout("x0") x[0],
            inout("x1") x[1],
            inout("x2") x[2],
            inout("x3") x[3],
            inout("x4") x[4],
            inout("x5") x[5],
            inout("x6") x[6],
            inout("x7") x[7],
            out("x8") _,
            out("x9") _,
            out("x10") _,
            out("x11") _,
            out("x12") _,
            out("x13") _,
            out("x14") _,
            out("x15") _,
            out("x16") _,
            out("x17") _,
            options(nostack),
        );
    }
    let instructions = end - start;
    if let Some(index) = called {
        LONGEST[index].fetch_max(instructions, Ordering::Relaxed);
    }
    (instructions, x)
}

/// Prints the longest call of each command that was called.
fn print_longest() {
    for (function, longest) in Function::ALL.iter().zip(&LONGEST) {
        let longest = longest.load(Ordering::Relaxed);
        if longest != 0 {
            say!("LONGEST {function:?} {longest}");
        }
    }
}

/// Checks that the counter goes up by one for each instruction.
fn expect_that_instructions_are_counted() {
    const NOPS: u64 = 1000;
    let (start, end): (u64, u64);
    // SAFETY: reads of a counter have no effect, and nor do the instructions between them.
    unsafe {
        asm!(
            "mrs {start}, cntvct_el0",
            ".rept {nops}",
            "nop",
            ".endr",
            "mrs {end}, cntvct_el0",
            start = out(reg) start,
            end = out(reg) end,
            nops = const NOPS,
            options(nomem, nostack, preserves_flags),
        );
    }
    expect_eq!(
        end - start,
        NOPS + 1,
        "counter around {NOPS} instructions and a read of it (QEMU 9 or later with -icount shift=0)"
    );
}
