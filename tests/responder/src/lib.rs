// SPDX-License-Identifier: MIT OR Apache-2.0

//! Host driver, RMM and the model of the SMMU in one process.
//!
//! [`Machine`] is what a test has: a host that calls the RMM through its dispatcher, the way EL3 would
//! pass the calls on, and a device whose every step the test decides. The device is [`smmu_model`]'s,
//! which fails the test when the driver breaks a rule of the architecture.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use psmmu::stream_table::{self, StreamTableEntry};
use psmmu::{
    AbortBehaviour, Clock, Config, Delivery, HostFault, HostGranule, HostMemory, Interface, Memory,
    Psmmu, Responder, State, StreamOwners,
};
use psmmu_abi::{Event, Function, IrqSet, PsmmuParamsFlags};
use psmmu_host::{Conduit, Rmi, ServiceError, Serviced, service};
use rmm::{Environment, Features, Rmm};
use smmu_model::{Device, Guard, Record, Smmu};

mod model;
pub mod walk;

pub use model::{ModelMemory, ModelRegisters};

/// Name of the PSMMU.
pub const PSMMU: u64 = 0x2B40_0000;
/// A granule of the host.
pub const HOST_PAGE: u64 = 0x8000_0000;

const STREAM_TABLE: u64 = 0x9000_0000;
const LEVEL_2: u64 = 0x9100_0000;
const COMMAND_QUEUE: u64 = 0x9200_0000;
const EVENT_QUEUE: u64 = 0x9300_0000;
const PRI_QUEUE: u64 = 0x9400_0000;
const COMPLETION: u64 = 0x9500_0000;

/// A clock that steps on by a tenth of a second each time it is looked at.
#[derive(Debug, Default)]
pub struct Steps(AtomicU64);

impl Clock for Steps {
    fn microseconds(&self) -> u64 {
        self.0.fetch_add(100_000, Ordering::Relaxed)
    }
}

/// Granules of the host; those that are not in the map are not the host's.
#[derive(Clone, Debug, Default)]
pub struct HostGranules(pub Arc<Mutex<HashMap<u64, [u64; 512]>>>);

impl HostMemory for HostGranules {
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

/// Streams that virtual SMMUs own, as the test says.
#[derive(Clone, Debug, Default)]
pub struct Owners(pub Arc<Mutex<HashSet<u32>>>);

impl StreamOwners for Owners {
    fn is_owned(&self, stream: u32) -> bool {
        self.0.lock().unwrap().contains(&stream)
    }
}

/// Where the RMM of a test runs.
#[derive(Debug)]
pub struct World {
    clock: Steps,
    memory: Memory<ModelMemory>,
}

impl Environment for World {
    type Registers = ModelRegisters;
    type Memory = ModelMemory;
    type Host = HostGranules;
    type Owners = Owners;
    type Clock = Steps;

    fn clock(&self) -> &Steps {
        &self.clock
    }

    fn psmmu_memory(
        &self,
        _: &Psmmu<ModelRegisters, ModelMemory>,
        flags: PsmmuParamsFlags,
    ) -> Option<Memory<ModelMemory>> {
        let mut memory = self.memory.clone();
        if flags.contains(PsmmuParamsFlags::PRI) {
            memory.pri_queue.as_ref()?;
        } else {
            memory.pri_queue = None;
        }
        Some(memory)
    }
}

/// What a [`Machine`] is made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Log2 of the event queue's entries.
    pub event_queue: u32,
    /// Log2 of the PRI queue's entries, if page requests are taken.
    pub pri_queue: Option<u32>,
    /// Commands are completed by messages.
    pub messages: bool,
    /// What a write abort means.
    pub abort: AbortBehaviour,
    /// How interrupts are delivered.
    pub delivery: Delivery,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            event_queue: 7,
            pri_queue: None,
            messages: false,
            abort: AbortBehaviour::SpoilsQueue,
            delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 107 },
        }
    }
}

/// A host, an RMM and a device.
pub struct Machine {
    rmm: Rmm<'static, World>,
    smmu: Smmu,
    options: Options,
    /// The host's memory.
    pub host: HostGranules,
    /// Who owns which stream.
    pub owners: Owners,
    calls: AtomicU64,
}

impl Machine {
    /// Puts a machine together. The RMM is not active yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::with_device(options, smmu_model::Config::default())
    }

    /// As [`new`](Self::new), with a device of some kind.
    #[must_use]
    pub fn with_device(options: Options, device: smmu_model::Config) -> Self {
        let smmu = Smmu::new(device);
        // An earlier user has left an error active.
        smmu.device().raise(1 << 2);
        let region = |words, address| ModelMemory(smmu.memory().region(address, words));
        let memory = Memory {
            stream_table: region(1 << 10, STREAM_TABLE),
            command_queue: region(2 << 8, COMMAND_QUEUE),
            event_queue: region(4 << options.event_queue, EVENT_QUEUE),
            pri_queue: options.pri_queue.map(|log2| region((2 << log2).max(4), PRI_QUEUE)),
            completion: options.messages.then(|| region(1, COMPLETION)),
        };
        let level_2 = region(stream_table::L2_BYTES / 8, LEVEL_2);
        stream_table::fill(&level_2, StreamTableEntry::ABORT);
        stream_table::link(&memory.stream_table, 0, LEVEL_2);

        let config = Config {
            name: PSMMU,
            interface: Interface::Realm,
            delivery: options.delivery,
            abort: options.abort,
        };
        // The RMM borrows its PSMMUs for good; tests are short.
        let psmmus = Box::leak(Box::new([Psmmu::new(config, ModelRegisters(smmu.clone()))]));
        let host = HostGranules::default();
        host.0.lock().unwrap().insert(HOST_PAGE, [0; 512]);
        let owners = Owners::default();
        let features =
            Features { address_bits: 48, breakpoints: 5, watchpoints: 3, protected_size: 5 };
        let world = World { clock: Steps::default(), memory };
        let responder = Responder::new(psmmus.as_slice(), host.clone(), owners.clone());
        let rmm = Rmm::new(features, world, responder);
        Self { rmm, smmu, options, host, owners, calls: AtomicU64::new(0) }
    }

    /// Puts a machine together and activates its RMM and PSMMU.
    #[must_use]
    pub fn active(options: Options) -> Self {
        Self::new(options).activated()
    }

    /// Activates RMM and PSMMU.
    #[must_use]
    pub fn activated(self) -> Self {
        self.rmi().rmm_activate().expect("a fresh RMM");
        if self.options.pri_queue.is_some() {
            let flags = PsmmuParamsFlags::PRI.bits();
            self.host.0.lock().unwrap().get_mut(&HOST_PAGE).expect("just put there")[0] = flags;
        }
        self.rmi().psmmu_activate(PSMMU, HOST_PAGE).expect("a fresh PSMMU");
        self.device().forget_accesses();
        self
    }

    /// Returns the device for the next step.
    pub fn device(&self) -> Guard<'_> {
        self.smmu.device()
    }

    /// Returns the PSMMU.
    #[must_use]
    pub const fn psmmu(&self) -> &'static Psmmu<ModelRegisters, ModelMemory> {
        &self.rmm.responder().psmmus()[0]
    }

    /// Makes a raw call.
    #[must_use]
    pub fn call(&self, mut x: [u64; 8]) -> [u64; 8] {
        self.calls.fetch_add(1, Ordering::Relaxed);
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
        self.psmmu().state()
    }

    /// Returns how many calls were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
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

/// Makes a stream fault.
pub trait Faults {
    /// Faults at `address`: an F_TRANSLATION record of stream 8, a write at stage 2.
    fn fault(&mut self, address: u64);
}

impl Faults for Device {
    fn fault(&mut self, address: u64) {
        self.record(Record::stage_2_write(8, address));
    }
}

/// Returns the input address of an event that came from [`Faults::fault`].
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
