// SPDX-License-Identifier: MIT OR Apache-2.0

//! Host driver, RMM and a simple stand-in for the SMMU in one process.
//!
//! [`Machine`] is what a test has: a host that calls the RMM through its dispatcher, the way EL3 would
//! pass the calls on, and a device whose every step the test decides. The device is [`StandIn`]: it
//! enforces those rules of the architecture that the event path depends on.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard};

use psmmu::stream_table::{self, StreamTableEntry};
use psmmu::{
    AbortBehaviour, Clock, Config, Delivery, DeviceMemory, Granules, HostFault, HostGranule,
    HostMemory, Interface, Memory, NoOwners, Psmmu, Responder, State,
};
use psmmu_abi::{Event, Function, IrqSet, PsmmuParamsFlags};
use psmmu_host::{Conduit, Rmi, ServiceError, Serviced, service};
use rmm::{Environment, Features, Rmm};

mod device;

pub use device::{Device, GERROR_INTERRUPT, StandIn};

/// Name of the PSMMU.
pub const PSMMU: u64 = 0x2B40_0000;
/// A granule of the host.
pub const HOST_PAGE: u64 = 0x8000_0000;

const STREAM_TABLE: u64 = 0x9000_0000;
const LEVEL_2: u64 = 0x9100_0000;
const COMMAND_QUEUE: u64 = 0x9200_0000;
const EVENT_QUEUE: u64 = 0x9300_0000;

/// A clock that steps on by a tenth of a second each time it is looked at.
#[derive(Debug, Default)]
pub struct Steps(AtomicU64);

impl Clock for Steps {
    fn microseconds(&self) -> u64 {
        self.0.fetch_add(100_000, std::sync::atomic::Ordering::Relaxed)
    }
}

/// Granules of the host; those that are not in the map are not the host's.
#[derive(Debug, Default)]
pub struct HostGranules(pub Mutex<HashMap<u64, [u64; 512]>>);

impl HostMemory for &HostGranules {
    fn read(&self, granule: HostGranule, words: &mut [u64]) -> Result<(), HostFault> {
        let granules = self.0.lock().unwrap();
        let page = granules.get(&granule.address()).ok_or(HostFault)?;
        words.copy_from_slice(&page[..words.len()]);
        Ok(())
    }

    fn write(&self, granule: HostGranule, words: &[u64]) -> Result<(), HostFault> {
        let mut granules = self.0.lock().unwrap();
        let page = granules.get_mut(&granule.address()).ok_or(HostFault)?;
        page.fill(0);
        page[..words.len()].copy_from_slice(words);
        Ok(())
    }
}

/// Where the RMM of a test runs.
#[derive(Debug)]
pub struct World {
    clock: Steps,
    memory: Memory<Granules<'static>>,
}

impl Environment for World {
    type Registers = &'static StandIn;
    type Memory = Granules<'static>;
    type Host = &'static HostGranules;
    type Owners = NoOwners;
    type Clock = Steps;

    fn clock(&self) -> &Steps {
        &self.clock
    }

    fn psmmu_memory(
        &self,
        _: &Psmmu<&'static StandIn, Granules<'static>>,
        flags: PsmmuParamsFlags,
    ) -> Option<Memory<Granules<'static>>> {
        (!flags.contains(PsmmuParamsFlags::PRI)).then_some(self.memory)
    }
}

/// What a [`Machine`] is made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Log2 of the event queue's entries.
    pub event_queue: u32,
    /// What a write abort means.
    pub abort: AbortBehaviour,
    /// How interrupts are delivered.
    pub delivery: Delivery,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            event_queue: 7,
            abort: AbortBehaviour::SpoilsQueue,
            delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 0 },
        }
    }
}

/// A host, an RMM and a device.
pub struct Machine {
    rmm: Rmm<'static, World>,
    device: &'static StandIn,
    /// The host's memory.
    pub host: &'static HostGranules,
    calls: Cell<u64>,
}

/// Sets memory aside for good: tests are short.
fn memory(words: usize, address: u64) -> Granules<'static> {
    let words: Vec<_> = (0..words).map(|_| AtomicU64::new(0)).collect();
    Granules::new(Vec::leak(words), address)
}

impl Machine {
    /// Puts a machine together. The RMM is not active yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let memory = Memory {
            stream_table: memory(1 << 10, STREAM_TABLE),
            command_queue: memory(2 << 8, COMMAND_QUEUE),
            event_queue: memory(4 << options.event_queue, EVENT_QUEUE),
            pri_queue: None,
            completion: None,
        };
        let level_2 = self::memory(stream_table::L2_BYTES / 8, LEVEL_2);
        stream_table::fill(&level_2, StreamTableEntry::ABORT);
        stream_table::link(&memory.stream_table, 0, level_2.address());

        let device: &StandIn = Box::leak(Box::new(StandIn::new(
            [memory.stream_table, memory.command_queue, memory.event_queue].into(),
        )));
        let config = Config {
            name: PSMMU,
            interface: Interface::Realm,
            delivery: options.delivery,
            abort: options.abort,
        };
        let psmmus = Box::leak(Box::new([Psmmu::new(config, device)]));
        let host: &HostGranules = Box::leak(Box::default());
        host.0.lock().unwrap().insert(HOST_PAGE, [0; 512]);
        let features =
            Features { address_bits: 48, breakpoints: 5, watchpoints: 3, protected_size: 5 };
        let world = World { clock: Steps::default(), memory };
        let rmm = Rmm::new(features, world, Responder::new(psmmus, host, NoOwners));
        Self { rmm, device, host, calls: Cell::new(0) }
    }

    /// Puts a machine together and activates its RMM and PSMMU.
    #[must_use]
    pub fn active(options: Options) -> Self {
        let machine = Self::new(options);
        machine.rmi().rmm_activate().expect("a fresh RMM");
        machine.rmi().psmmu_activate(PSMMU, HOST_PAGE).expect("a fresh PSMMU");
        machine.device().forget_accesses();
        machine
    }

    /// Returns the device for the next step.
    pub fn device(&self) -> MutexGuard<'static, Device> {
        self.device.device()
    }

    /// Makes a raw call.
    #[must_use]
    pub fn call(&self, mut x: [u64; 8]) -> [u64; 8] {
        self.calls.set(self.calls.get() + 1);
        self.rmm.handle(&mut x);
        x
    }

    /// Returns the RMM as the host driver sees it.
    #[must_use]
    pub const fn rmi(&self) -> Rmi<&Self> {
        Rmi::new(self)
    }

    /// Returns the state of the PSMMU.
    #[must_use]
    pub fn state(&self) -> State {
        self.rmm.responder().psmmus()[0].state()
    }

    /// Returns how many calls were made.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Asks about `set` and returns flags, number, StreamID, fetch address, input address, syndrome.
    #[must_use]
    pub fn notify(&self, set: u64) -> [u64; 6] {
        let [x0, outputs @ .., _] =
            self.call([Function::PsmmuIrqNotify.id(), PSMMU, set, 0, 0, 0, 0, 0]);
        assert_eq!(x0, 0, "NOTIFY");
        outputs
    }

    /// Consumes what was told of `set`.
    pub fn consume(&self, set: u64) {
        let [x0, ..] = self.call([Function::PsmmuEventConsume.id(), PSMMU, set, 0, 0, 0, 0, 0]);
        assert_eq!(x0, 0, "CONSUME");
    }

    /// Services the event queue as the driver does, with a budget that no test exceeds, and returns
    /// the events.
    #[must_use]
    pub fn service(&self, source: IrqSet) -> Vec<Event> {
        let mut events = Vec::new();
        let budget = NonZeroU32::new(10_000).unwrap();
        let mut sink = |_, event: &Event| events.push(*event);
        match service(&self.rmi(), PSMMU, source, &mut sink, budget) {
            Ok(Serviced { more: false, .. }) => events,
            other => panic!("{other:?} after {events:?}"),
        }
    }

    /// As [`service`](Self::service), for a machine that may have failed.
    ///
    /// # Errors
    /// What the driver saw.
    pub fn try_service(&self, source: IrqSet) -> Result<u32, ServiceError> {
        let mut sink = |_, _: &Event| {};
        let budget = NonZeroU32::new(10_000).unwrap();
        service(&self.rmi(), PSMMU, source, &mut sink, budget).map(|serviced| serviced.events)
    }
}

impl Conduit for Machine {
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        Machine::call(self, x)
    }
}

/// Returns the input address of an event that came from [`Device::fault`].
///
/// # Errors
/// The event, if it is something else.
pub fn input(event: &Event) -> Result<u64, Event> {
    match event {
        Event::Psmmu { number: 0x10, input_address, .. } => Ok(*input_address),
        other => Err(*other),
    }
}

/// Returns the input addresses of `events`, all of which must be faults, each seen once.
#[must_use]
pub fn inputs(events: &[Event]) -> Vec<u64> {
    let inputs: Vec<_> =
        events.iter().map(|event| input(event).expect("a translation fault")).collect();
    assert_eq!(inputs.iter().collect::<HashSet<_>>().len(), inputs.len(), "reported twice");
    inputs
}
