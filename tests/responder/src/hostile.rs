// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random sequences of a hostile host: any call at any time, right and wrong ones, on several PSMMUs and
//! operations, with devices that fail and pages that go away. Behind each step the [`mod@reference`] says
//! which owner each granule has. At the end a cooperative host continues, and must get everything back.
//!
//! A seed decides everything. A sequence that fails prints it, with the step.

mod granules;
mod meanwhile;
mod operations;
pub mod reference;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic;
use std::sync::Once;

use psmmu::State;
use psmmu_abi::PsmmuParamsFlags;
use rmm::Environment;
use smmu_model::AckDelay;

use crate::raw::{entry, fid, granules_of, x0};
use crate::walk::Numbers;
use crate::{
    DEVICE_GRANULES, DEVICE_MEMORY, HEAP, HOST_PAGE, Machine, NO_MEMORY, Options, PSMMU,
    PSMMU_STEP, Pas, RMM, Tables,
};
use reference::{Owner, Range, Reference, Wants};

/// Steps of a sequence as the test makes it, so that a seed that fails elsewhere fails there too.
pub const STEPS: u64 = 150;

/// PSMMUs.
const PSMMUS: u64 = 3;
/// Granules that the host plays with.
const POOL: Range = (HEAP, 48);
/// Pages of lists and parameters: two that lie side by side.
const PAGES: [u64; 3] = [HOST_PAGE, HOST_PAGE + 0x3000, HOST_PAGE + 0x4000];
/// Tries of the cooperative host, whose device may have to be asked more than once.
const TRIES: u32 = 40;

thread_local! {
    /// Seed and step of this thread's sequence.
    static PLACE: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Lets a panic say which sequence it was.
fn name_failing_sequences() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            before(info);
            if let Some((seed, step)) = PLACE.get() {
                eprintln!("HOSTILE_SEED={seed} fails at step {step}");
            }
        }));
    });
}

/// How often a command of some kind has ended with some X0.
pub type Tally = BTreeMap<(u64, u64), u64>;

/// Makes `steps` steps as `seed` says, and then has a cooperative host clear up. Adds what it came to
/// know to `tally`.
///
/// # Panics
/// When a promise is broken.
pub fn hostile(seed: u64, steps: u64, tally: &mut Tally) {
    name_failing_sequences();
    PLACE.set(Some((seed, 0)));
    let mut host = Host::new(seed);
    for step in 1..=steps {
        PLACE.set(Some((seed, step)));
        host.step();
        host.reference.check(&host.machine, POOL);
    }
    host.clear_up();
    for (key, times) in host.tally {
        *tally.entry(key).or_default() += times;
    }
    PLACE.set(None);
}

struct Host {
    machine: Machine,
    numbers: Numbers,
    reference: Reference,
    /// Handles of operations that are over.
    stale: Vec<u64>,
    /// One in how many choices is wrong where it could be right.
    care: u64,
    tally: Tally,
}

impl Host {
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let options = Options {
            streams: 6 + numbers.below(4) as u8,
            // Now and then one that is so large that it is zeroed in parts.
            event_queue: if numbers.once_in(5) { 12 } else { numbers.below(10) as u8 },
            pri_queue: numbers.once_in(2).then(|| numbers.below(9) as u8),
            msis: numbers.once_in(3),
            ..Options::default()
        };
        let devices = vec![smmu_model::Config::default().with_seed(seed); PSMMUS as usize];
        let machine = Machine::with_devices(options, devices).with_active_rmm();
        machine.write_params(PsmmuParamsFlags::empty(), &[]);
        let care = [2, 8, 40][numbers.below(3) as usize];
        Self {
            machine,
            numbers,
            reference: Reference::default(),
            stale: Vec::new(),
            care,
            tally: Tally::new(),
        }
    }

    fn step(&mut self) {
        match self.numbers.below(100) {
            0..8 => self.delegate(),
            8..14 => self.undelegate(),
            14..30 => self.begin(),
            30..36 => self.donate(),
            36..42 => self.reclaim(),
            42..48 => self.proceed(),
            48..78 => self.go_on(),
            78..80 => self.cancel(),
            80..83 => self.poll(),
            83 => self.query_rmm(),
            84..94 => self.lead_stream(),
            _ => self.inject_fault(),
        }
    }

    /// Asks what the RMM as a whole is asked.
    fn query_rmm(&mut self) {
        if self.numbers.once_in(2) { self.deactivate_rmm() } else { self.query_tables() }
    }

    /// Does what some open operation wants.
    fn go_on(&mut self) {
        let open: Vec<_> = self.reference.operations.keys().copied().collect();
        let Some(handle) = self.one_of(&open) else {
            return;
        };
        match self.reference.operations[&handle].wants {
            Wants::Donation(request) => match self.idle(granules_of(request)) {
                Some(address) => {
                    self.donate_entries(handle, &[entry(address, granules_of(request))], true);
                }
                None if self.numbers.once_in(8) => self.cancel_one(handle),
                None => {}
            },
            Wants::Reclaim => self.reclaim_from(handle),
            Wants::Nothing => {
                self.proceed_with([handle, 0]);
            }
        }
    }

    /// Returns whether this host does something wrong now.
    fn errs(&mut self) -> bool {
        self.numbers.once_in(self.care)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let count = all.len() as u64;
        (count != 0).then(|| all[self.numbers.below(count) as usize])
    }

    /// Makes a call with junk in the registers that it does not name, which must keep what is in X4 to
    /// X7. Returns X0 to X3.
    fn call(&mut self, function: u64, arguments: &[u64]) -> [u64; 4] {
        let mut x = [0; 8].map(|_: u64| self.numbers.next());
        x[0] = function;
        x[1..=arguments.len()].copy_from_slice(arguments);
        let answer = self.machine.call(x);
        assert_eq!(answer[4..], x[4..], "X4 to X7 behind {function:#x}");
        *self.tally.entry((function, answer[0])).or_default() += 1;
        [answer[0], answer[1], answer[2], answer[3]]
    }

    /// An address of a granule, likely one of the pool.
    fn granule(&mut self) -> u64 {
        match self.numbers.below(20) {
            0 => RMM,
            1 => NO_MEMORY,
            2 => self.numbers.next() & !0xFFF,
            4 => DEVICE_MEMORY + self.numbers.below(2 * DEVICE_GRANULES) * 0x1000,
            3 => self.one_of(&PAGES).expect("some"),
            _ => POOL.0 + self.numbers.below(POOL.1) * 0x1000,
        }
    }

    /// Has a cooperative host end all operations and take everything back.
    fn clear_up(&mut self) {
        for of in 0..PSMMUS as usize {
            let mut device = self.machine.device_of(of);
            device.clear_hooks();
            device.set_removed(false);
            device.set_hung(false);
            device.abort_command_fetches(false);
            device.set_ack_delay(AckDelay::Reads(0));
        }
        for page in PAGES {
            if self.machine.host.pas(page) == Pas::Realm {
                self.move_range(fid::RANGE_UNDELEGATE, (page, page + 0x1000));
            }
        }
        while let Some(&handle) = self.reference.operations.keys().next() {
            self.finish(handle);
        }
        let configured: Vec<_> = self.reference.configured.iter().copied().collect();
        for (of, stream) in configured {
            self.release(of, stream);
        }
        let tables: Vec<_> = self.reference.tables.keys().copied().collect();
        for (of, stream) in tables {
            self.carry_out(fid::ST_L2_DESTROY, of, stream.into());
        }
        for of in 0..PSMMUS as usize {
            if self.machine.psmmu_of(of).state() != State::Inactive {
                self.carry_out(fid::PSMMU_DEACTIVATE, of, 0);
            }
        }
        let idle: Vec<_> = self.reference.owners.keys().copied().collect();
        for granule in idle {
            self.move_range(fid::RANGE_UNDELEGATE, (granule, granule + 0x1000));
        }
        self.reference.check(&self.machine, POOL);
        self.machine.check_quiesced();
        self.deactivate_rmm();
    }

    /// Leads an operation to its end.
    fn finish(&mut self, handle: u64) {
        for _ in 0..TRIES {
            let Some(operation) = self.reference.operations.get(&handle) else {
                return;
            };
            match operation.wants {
                Wants::Nothing => {
                    self.proceed_with([handle, 0]);
                }
                Wants::Reclaim => self.reclaim_from(handle),
                Wants::Donation(request) => match self.idle(granules_of(request)) {
                    Some(address) => {
                        self.donate_entries(handle, &[entry(address, granules_of(request))], false);
                    }
                    None => self.cancel_one(handle),
                },
            }
        }
        panic!("operation {handle:#x} does not come to an end");
    }

    fn reclaim_from(&mut self, handle: u64) {
        let page = self.one_of(&PAGES).expect("some");
        let [x0, written, ..] = self.call(fid::OP_MEM_RECLAIM, &[handle, page, 512]);
        if self.machine.host.pas(page) != Pas::NonSecure {
            return assert_eq!((x0, written), (x0::INPUT, 0));
        }
        assert_eq!(x0, x0::CONTINUE);
        let operation = self.reference.operations.get_mut(&handle).expect("it is open");
        operation.wants = Wants::Nothing;
        let given = std::mem::take(&mut operation.ranges);
        assert_eq!(given.len() as u64, written);
        for given in given {
            self.reference.transfer(given, Owner::Operation(handle), Owner::Idle);
        }
    }

    fn release(&mut self, of: usize, stream: u32) {
        let (tables, clock) = (Tables(&self.machine.harness), self.machine.harness.clock());
        let psmmu = self.machine.psmmu_of(of);
        let released = (0..TRIES).any(|_| {
            psmmu.disable_stream(stream, &tables, clock).is_ok()
                && psmmu.release_stream(stream, &tables, clock).is_ok()
        });
        assert!(released, "stream {stream} of {of}");
        self.reference.configured.remove(&(of, stream));
    }

    fn carry_out(&mut self, function: u64, of: usize, x2: u64) {
        let psmmu_ptr = PSMMU + of as u64 * PSMMU_STEP;
        let begun =
            (0..TRIES).any(|_| self.begin_with(function, psmmu_ptr, of, x2) & 0xFF == x0::CONTINUE);
        assert!(begun, "{function:#x} of {of}");
        let handle = *self.reference.operations.keys().next().expect("it is open");
        self.finish(handle);
    }
}
