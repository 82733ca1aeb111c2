// SPDX-License-Identifier: MIT OR Apache-2.0

//! An RMM with one PSMMU for several threads, each of which is a CPU of the host.

use std::fmt;
use std::sync::Arc;

use model_adapter::{Harness, ModelMemory, ModelRegisters, Owners, Pas, Ram, tracker};
use psmmu::{Directory, HostGranule, Psmmu, Responder, State};
use psmmu_abi::{
    AddressRange, DonateRequest, Function, MemoryTransfer, Notification, ResultWord, Status,
};
use rmm::{Bank, Dram, Features, GranuleState, Rmm};
use smmu_model::{Config, Device, Guard, Smmu};

use crate::{ModelPsmmu, PSMMU, Switch, config};

const DRAM: u64 = 0x8000_0000;
/// Bytes of DRAM, two regions of the tracker.
const SIZE: u64 = 0x40_0000;
/// The parameters of activations: all zero.
const PARAMS: u64 = DRAM;
/// A page for the lists of each thread.
const LISTS: u64 = DRAM + 0x1000;
/// The first granule that can be donated.
const FIRST: u64 = DRAM + 0x20_0000 - 0x8000;

/// X0 to X3 of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// X0.
    pub result: ResultWord,
    /// X1 to X3.
    pub outputs: [u64; 3],
}

impl Reply {
    /// Returns the status.
    ///
    /// # Panics
    /// When there is no such status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.result.status().expect("a status")
    }

    /// Returns whether it is a success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.result == ResultWord::SUCCESS
    }

    /// Returns what an "incomplete" wants.
    #[must_use]
    pub fn wants(&self) -> Option<MemoryTransfer> {
        if self.status() != Status::Incomplete {
            return None;
        }
        self.result.transfer().map(|(wants, _)| wants).ok()
    }
}

struct Inner {
    rmm: Rmm<'static, Harness<Switch>>,
    ram: Ram,
    smmu: Smmu,
    harness: Harness<Switch>,
}

/// An RMM that is active, and its one PSMMU. Copies are the same RMM.
#[derive(Clone)]
pub struct Monitor(Arc<Inner>);

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// Puts it together.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn new() -> Self {
        let smmu = Smmu::new(Config::default());
        let mut dram = Dram::default();
        dram.add(Bank::new(DRAM, SIZE).expect("a bank")).expect("room for it");
        let ram = Ram::of(&dram);
        let harness = Harness::new(ram.clone(), vec![(PSMMU, smmu.clone())], None, Switch);
        // The RMM borrows for good what a test of some milliseconds leaves behind.
        let registers = ModelRegisters::with_hook(smmu.clone(), Switch);
        let psmmu: &'static ModelPsmmu = Box::leak(Box::new(Psmmu::new(config(2), registers)));
        let directory = Directory::new([psmmu]).expect("one PSMMU");
        let tracker = tracker(&dram, &[]);
        let features =
            Features { address_bits: 48, breakpoints: 5, watchpoints: 3, protected_size: 5 };
        let responder = Responder::new(directory, ram.clone(), Owners::default());
        let rmm = Rmm::new(features, harness.clone(), responder, tracker);
        let monitor = Self(Arc::new(Inner { rmm, ram, smmu, harness }));
        assert!(monitor.call(Function::RmmActivate, [0; 3]).is_success());
        monitor
    }

    /// Puts it together and activates the PSMMU.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn active() -> Self {
        let monitor = Self::new();
        assert_eq!(monitor.activate(0), Status::Success);
        monitor
    }

    /// Makes a call.
    #[must_use]
    pub fn call(&self, function: Function, [x1, x2, x3]: [u64; 3]) -> Reply {
        let mut x = [function.id(), x1, x2, x3, 0, 0, 0, 0];
        self.0.rmm.handle(&mut x);
        let [x0, x1, x2, x3, ..] = x;
        Reply { result: ResultWord::from_x0(x0), outputs: [x1, x2, x3] }
    }

    /// Returns the PSMMU.
    #[must_use]
    pub fn psmmu(&self) -> &'static Psmmu<ModelRegisters<Switch>, ModelMemory> {
        self.0.rmm.responder().psmmus()[0]
    }

    /// Returns what the RMM runs in.
    #[must_use]
    pub fn harness(&self) -> &Harness<Switch> {
        &self.0.harness
    }

    /// Returns the device for a step. No call may be made while it is held.
    #[must_use]
    pub fn device(&self) -> Guard<'_> {
        self.0.smmu.device()
    }

    /// Returns a granule that can be donated: the one with this number. They lie in two regions.
    #[must_use]
    pub const fn granule(number: u64) -> u64 {
        FIRST + number * 0x1000
    }

    /// Delegates the granule with this number.
    #[must_use]
    pub fn delegate(&self, number: u64) -> Status {
        self.move_granule(Function::GranuleRangeDelegate, number)
    }

    /// Undelegates the granule with this number.
    #[must_use]
    pub fn undelegate(&self, number: u64) -> Status {
        self.move_granule(Function::GranuleRangeUndelegate, number)
    }

    fn move_granule(&self, function: Function, number: u64) -> Status {
        let granule = Self::granule(number);
        self.call(function, [granule, granule + 0x1000, 0]).status()
    }

    /// Makes a call without arguments.
    #[must_use]
    pub fn ask(&self, function: Function) -> Status {
        self.call(function, [0; 3]).status()
    }

    /// Begins an operation, once no other CPU is in the way.
    #[must_use]
    pub fn begin(&self, function: Function, x2: u64) -> Reply {
        let x2 = if function == Function::PsmmuActivate { PARAMS } else { x2 };
        self.call_again(function, [PSMMU, x2, 0])
    }

    /// Makes a call again while it is busy.
    fn call_again(&self, function: Function, arguments: [u64; 3]) -> Reply {
        loop {
            let reply = self.call(function, arguments);
            if reply.status() != Status::Busy {
                return reply;
            }
            shuttle::thread::yield_now();
        }
    }

    /// Donates the granule with this number by the list of `thread`.
    #[must_use]
    pub fn donate(&self, thread: u64, handle: u64, number: u64) -> Reply {
        let list = LISTS + thread * 0x1000;
        let entry = AddressRange::granules(Self::granule(number), 1);
        self.0.ram.set_word(list, 0, entry.word());
        self.call(Function::OpMemDonate, [handle, list, 1])
    }

    /// Takes `room` entries back by the list of `thread`, and returns the numbers of the granules.
    ///
    /// # Panics
    /// When an entry is not one granule.
    #[must_use]
    pub fn reclaim(&self, thread: u64, handle: u64, room: u64) -> (Reply, Vec<u64>) {
        let list = LISTS + thread * 0x1000;
        let reply = self.call(Function::OpMemReclaim, [handle, list, room]);
        let entries = (0..reply.outputs[0] as usize)
            .map(|index| AddressRange::from_word(self.0.ram.word(list, index)));
        let numbers = entries.map(|entry| {
            assert_eq!(entry.total_granules(), 1);
            (entry.address() - FIRST) / 0x1000
        });
        (reply, numbers.collect())
    }

    /// Goes on with an operation.
    #[must_use]
    pub fn proceed(&self, handle: u64) -> Reply {
        self.call_again(Function::OpContinue, [handle, 0, 0])
    }

    /// Leads what `reply` has begun to its end, with granules from number `first` on and the list of
    /// `thread`. What comes back is undelegated.
    ///
    /// # Panics
    /// When it does not come to an end.
    pub fn finish(&self, thread: u64, reply: Reply, mut first: u64) -> Status {
        let handle = reply.outputs[0];
        let mut next = reply;
        for _ in 0..20 {
            next = match next.wants() {
                None if next.status() == Status::Incomplete => panic!("{next:?}"),
                None => return next.status(),
                Some(MemoryTransfer::Donate) => {
                    assert_eq!(next.outputs[1], DonateRequest::region(1).x2());
                    assert_eq!(self.delegate(first), Status::Success, "{first}");
                    let reply = self.donate(thread, handle, first);
                    assert_eq!(reply.outputs[0], 1, "{reply:?}");
                    first += 1;
                    reply
                }
                Some(MemoryTransfer::Reclaim) => {
                    let (reply, numbers) = self.reclaim(thread, handle, 1);
                    for number in numbers {
                        assert_eq!(self.undelegate(number), Status::Success, "{number}");
                    }
                    reply
                }
                Some(MemoryTransfer::None) => self.proceed(handle),
            };
        }
        panic!("no end");
    }

    /// Begins an operation and leads it to its end.
    pub fn run(&self, thread: u64, function: Function, x2: u64, first: u64) -> Status {
        self.finish(thread, self.begin(function, x2), first)
    }

    /// Activates the PSMMU on the granules 0 to 2.
    pub fn activate(&self, thread: u64) -> Status {
        self.run(thread, Function::PsmmuActivate, 0, 0)
    }

    /// Deactivates the PSMMU.
    pub fn deactivate(&self, thread: u64) -> Status {
        self.run(thread, Function::PsmmuDeactivate, 0, 0)
    }

    /// Asks about `set`.
    ///
    /// # Errors
    /// The status of a failure.
    ///
    /// # Panics
    /// When the answer is no notification.
    pub fn notify(&self, set: u64) -> Result<Notification, Status> {
        let mut x = [Function::PsmmuIrqNotify.id(), PSMMU, set, 0, 0, 0, 0, 0];
        self.0.rmm.handle(&mut x);
        let [x0, registers @ .., _] = x;
        match ResultWord::from_x0(x0).status().expect("a status") {
            Status::Success => Ok(Notification::try_from(registers).expect("a notification")),
            status => Err(status),
        }
    }

    /// Consumes what was notified of `set`.
    #[must_use]
    pub fn consume(&self, set: u64) -> Status {
        self.call(Function::PsmmuEventConsume, [PSMMU, set, 0]).status()
    }

    /// Returns the numbers of the granules below 16 that are in Realm PAS, having checked that
    /// EL3 and the RMM agree on each.
    ///
    /// # Panics
    /// When they do not.
    #[must_use]
    pub fn realm(&self) -> Vec<u64> {
        let is_realm = |&number: &u64| {
            let granule = Self::granule(number);
            let state = self.0.rmm.tracker().state(HostGranule::new(granule).expect("aligned"));
            let is_realm = self.0.ram.pas(granule) == Pas::Realm;
            let expected = if is_realm {
                [GranuleState::Delegated, GranuleState::InUse]
            } else {
                [GranuleState::Undelegated; 2]
            };
            assert!(expected.map(Ok).contains(&state), "{number}: {state:?}");
            is_realm
        };
        (0..16).filter(is_realm).collect()
    }

    /// Checks that all memory is the host's and the device disabled, and that no operation is open.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check_quiesced(&self) {
        assert_eq!(self.realm(), [0; 0]);
        assert_eq!(self.psmmu().state(), State::Inactive);
        let mut device = self.device();
        assert_eq!((device.cr0ack() & 0xF, device.irq_ctrlack()), (0, 0));
        // The PSMMU stays for good, the memory of its device need not.
        device.clear_hooks();
        *device = Device::new(Config::default());
    }
}
