// SPDX-License-Identifier: MIT OR Apache-2.0

//! A host, an RMM and devices.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use model_adapter::tracker;
use psmmu::{
    Config, Delivery, Directory, Interface, Psmmu, QueueAbortPolicy, Responder, Sizes, State,
};
use psmmu_abi::SVE_HINT;
use psmmu_abi::{Event, Function, IrqSet, MemoryCategory, MsiMessage, PsmmuParamsFlags, Status};
use psmmu_host::{
    Cause, Command, Conduit, MemoryDonor, OperationError, Rmi, RmiError, ServiceError, Serviced,
    service,
};
use rmm::{Bank, DeviceRegion, Dram, Features, Rmm};
use smmu_model::{Guard, Smmu};

use crate::raw::{continued, fid, x0};
use crate::{DEVICE_GRANULES, DEVICE_MEMORY, HEAP, HOST_PAGE, Heap, LIST_PAGE, ModelMemory};
use crate::{Harness, PSMMU_STEP, RMM, Ram, RamPage, STREAM};
use crate::{ModelRegisters, Owners, PSMMU};

/// Granules that the host driver may donate.
const HEAP_GRANULES: u64 = 8192;
/// Where MSIs of commands go; memory of the RMM.
const COMPLETION: u64 = RMM;

/// Where the MSIs of errors, events and page requests go, if they are delivered so.
pub const DOORBELLS: [u64; 3] = [0x2F04_0040, 0x2F04_0080, 0x2F04_00C0];

/// What a [`Machine`] is made of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bits of a StreamID.
    pub streams: u8,
    /// Log2 of the event queue's entries.
    pub event_queue: u8,
    /// Log2 of the PRI queue's entries, if page requests are taken.
    pub pri_queue: Option<u8>,
    /// Commands are completed by MSIs.
    pub msis: bool,
    /// What a write abort means.
    pub abort: QueueAbortPolicy,
    /// How interrupts are delivered; MSIs go to [`DOORBELLS`].
    pub delivery: Delivery,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            streams: 16,
            event_queue: 7,
            pri_queue: None,
            msis: false,
            abort: QueueAbortPolicy::Discard,
            delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 107 },
        }
    }
}

/// The memory of the machine: two banks of DRAM, and of the first one the RMM has a part.
fn dram() -> Dram {
    let mut dram = Dram::default();
    for (base, size) in [(0x8000_0000, 0x1000_0000), (0x8_8000_0000, 0x60_0000)] {
        dram.add(Bank::new(base, size).expect("a good bank")).expect("room for it");
    }
    dram.without(RMM..RMM + 0x10_0000)
}

/// Memory of devices that the host may delegate: two regions that touch each other.
fn device_memory() -> [DeviceRegion; 2] {
    let region = |base, granules, category| {
        let bank = Bank::new(base, granules * 0x1000).expect("a good bank");
        DeviceRegion { bank, category }
    };
    [
        region(DEVICE_MEMORY, DEVICE_GRANULES, MemoryCategory::DeviceNonCoherent),
        region(
            DEVICE_MEMORY + DEVICE_GRANULES * 0x1000,
            DEVICE_GRANULES,
            MemoryCategory::DeviceCoherent,
        ),
    ]
}

/// An open operation.
#[derive(Debug)]
struct Open {
    /// Which device it is about.
    device: usize,
    /// It asks for memory.
    asks: bool,
}

/// A host, an RMM and devices.
pub struct Machine {
    rmm: Rmm<'static, Harness>,
    smmus: Vec<Smmu>,
    options: Options,
    /// Memory, and whose it is.
    pub host: Ram,
    /// What the host driver donates from.
    pub heap: Heap,
    /// Who owns which stream.
    pub owners: Owners,
    /// What the RMM runs in.
    pub harness: Harness,
    donor: Mutex<MemoryDonor<Heap, RamPage>>,
    /// The open operations by handle.
    operations: Mutex<HashMap<u64, Open>>,
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
        Self::with_devices(options, vec![device])
    }

    /// As [`new`](Self::new), with several devices, all served alike.
    #[must_use]
    pub fn with_devices(options: Options, devices: Vec<smmu_model::Config>) -> Self {
        let smmus: Vec<_> = devices.into_iter().map(Smmu::new).collect();
        // An earlier user has left an error active.
        smmus.iter().for_each(|smmu| smmu.device().raise(1 << 2));
        for (smmu, doorbell) in smmus.iter().flat_map(|smmu| DOORBELLS.map(|at| (smmu, at))) {
            smmu.device().add_doorbell(doorbell, true);
        }
        // It reads the words of a stream table entry in whatever order it likes.
        smmus.iter().for_each(|smmu| smmu.device().set_strict_entries(true));
        let addresses = (0..).map(|index| PSMMU + index * PSMMU_STEP);
        let devices: Vec<_> = addresses.zip(smmus.iter().cloned()).collect();

        let dram = dram();
        let device_memory = device_memory();
        let host = Ram::of(&dram).with_devices(&device_memory);
        let completion = options.msis.then_some(COMPLETION);
        let harness = Harness::new(host.clone(), devices.clone(), completion, ());
        let config = |psmmu_ptr| Config {
            psmmu_ptr,
            interface: Interface::Realm,
            delivery: options.delivery,
            abort: options.abort,
            sizes: Sizes {
                streams: options.streams,
                commands: 8,
                events: options.event_queue,
                requests: options.pri_queue.unwrap_or(4),
            },
        };
        let psmmus: Vec<_> = devices
            .into_iter()
            .map(|(psmmu_ptr, smmu)| Psmmu::new(config(psmmu_ptr), ModelRegisters::new(smmu)))
            .collect();
        // The RMM borrows its PSMMUs for good; tests are short.
        let psmmus: &'static [_] = Box::leak(psmmus.into());
        let directory = Directory::new(psmmus).expect("at most 16 with an address each");
        let tracker = tracker(&dram, &device_memory);

        let owners = Owners::default();
        let features =
            Features { address_bits: 48, breakpoints: 5, watchpoints: 3, protected_size: 5 };
        let responder = Responder::new(directory, host.clone(), owners.clone());
        let rmm = Rmm::new(features, harness.clone(), responder, tracker);
        let heap = Heap::new(host.clone(), HEAP, HEAP_GRANULES);
        let donor = MemoryDonor::new(heap.clone(), RamPage(host.clone(), LIST_PAGE));
        Self {
            rmm,
            smmus,
            options,
            host,
            heap,
            owners,
            harness,
            donor: Mutex::new(donor),
            operations: Mutex::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// Puts a machine together and activates its RMM.
    #[must_use]
    pub fn started(options: Options) -> Self {
        Self::new(options).with_active_rmm()
    }

    /// Puts a machine together and activates its RMM and PSMMU, with the table of [`STREAM`].
    #[must_use]
    pub fn active(options: Options) -> Self {
        Self::new(options).activated()
    }

    /// Activates the RMM.
    #[must_use]
    pub fn with_active_rmm(self) -> Self {
        self.rmi().rmm_activate().expect("a fresh RMM");
        self
    }

    /// Activates RMM and PSMMU, with the table of [`STREAM`].
    #[must_use]
    pub fn activated(self) -> Self {
        let machine = self.with_active_rmm();
        let msis = DOORBELLS.map(|address| MsiMessage { address, data: address & 0xFF });
        machine.write_params(machine.flags(), &msis);
        assert_eq!(machine.activate(), Ok(()), "a fresh PSMMU");
        assert_eq!(machine.st_l2_create(STREAM), Ok(()));
        machine.device().forget_accesses();
        machine
    }

    /// Returns the flags that ask for what the options have.
    #[must_use]
    pub fn flags(&self) -> PsmmuParamsFlags {
        let mut flags = PsmmuParamsFlags::empty();
        flags.set(PsmmuParamsFlags::PRI, self.options.pri_queue.is_some());
        flags.set(PsmmuParamsFlags::MSI, self.options.delivery == Delivery::Msi);
        flags
    }

    /// Writes parameters of an activation to [`HOST_PAGE`]: flags, and MSIs of errors, events and
    /// page requests as far as there are any.
    pub fn write_params(&self, flags: PsmmuParamsFlags, msis: &[MsiMessage]) {
        self.host.fill(HOST_PAGE, 0);
        self.host.set_word(HOST_PAGE, 0, flags.bits());
        for (index, MsiMessage { address, data }) in msis.iter().enumerate() {
            self.host.set_word(HOST_PAGE, 1 + 2 * index, *address);
            self.host.set_word(HOST_PAGE, 2 + 2 * index, *data);
        }
    }

    /// Activates the PSMMU with the parameters in [`HOST_PAGE`].
    ///
    /// # Errors
    /// What the RMM answered.
    pub fn activate(&self) -> Result<(), Status> {
        self.run(Command::PsmmuActivate { psmmu_ptr: PSMMU, params: HOST_PAGE })
    }

    /// Deactivates the PSMMU.
    ///
    /// # Errors
    /// What the RMM answered.
    pub fn deactivate(&self) -> Result<(), Status> {
        self.run(Command::PsmmuDeactivate { psmmu_ptr: PSMMU })
    }

    /// Makes the level-2 table of `stream`.
    ///
    /// # Errors
    /// What the RMM answered.
    pub fn st_l2_create(&self, stream: u32) -> Result<(), Status> {
        self.run(Command::PsmmuStL2Create { psmmu_ptr: PSMMU, stream: stream & !63 })
    }

    /// Takes the level-2 table of `stream` away.
    ///
    /// # Errors
    /// What the RMM answered.
    pub fn st_l2_destroy(&self, stream: u32) -> Result<(), Status> {
        self.run(Command::PsmmuStL2Destroy { psmmu_ptr: PSMMU, stream: stream & !63 })
    }

    /// Carries out `command` with the host driver.
    ///
    /// # Errors
    /// What the RMM answered.
    ///
    /// # Panics
    /// When the driver is at a loss.
    pub fn run(&self, command: Command) -> Result<(), Status> {
        let mut donor = self.donor.lock().unwrap_or_else(PoisonError::into_inner);
        match donor.run(&self.rmi(), command) {
            Ok(_) => Ok(()),
            Err(OperationError {
                cause: Cause::Rmi(RmiError::Status(_, status) | RmiError::Level(_, status, _)),
                still_open: false,
                ..
            }) => Err(status),
            Err(other) => panic!("{other}"),
        }
    }

    /// Returns the device, or the first one, for the next step.
    pub fn device(&self) -> Guard<'_> {
        self.device_of(0)
    }

    /// Returns the device with this index for the next step.
    pub fn device_of(&self, index: usize) -> Guard<'_> {
        self.smmus[index].device()
    }

    /// Returns the PSMMU, or the first one.
    #[must_use]
    pub fn psmmu(&self) -> &'static Psmmu<ModelRegisters, ModelMemory> {
        self.psmmu_of(0)
    }

    /// Returns the PSMMU with this index.
    #[must_use]
    pub fn psmmu_of(&self, index: usize) -> &'static Psmmu<ModelRegisters, ModelMemory> {
        self.rmm.responder().psmmus()[index]
    }

    /// Returns the RMM.
    #[must_use]
    pub const fn rmm(&self) -> &Rmm<'static, Harness> {
        &self.rmm
    }

    /// Makes a raw call.
    #[must_use]
    pub fn call(&self, mut x: [u64; 8]) -> [u64; 8] {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (operation, function) = (self.begin_call(&x), x[0]);
        self.rmm.handle(&mut x);
        self.end_call(operation, function, &x);
        x
    }

    /// Finds out which device a call is about, and which operation it goes on with, `None` for a new
    /// one.
    fn begin_call(&self, x: &[u64; 8]) -> Option<(Option<u64>, usize)> {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let [function, x1, x2, ..] = *x;
        let handle = match Function::try_from(function & !SVE_HINT).ok()? {
            Function::PsmmuActivate
            | Function::PsmmuDeactivate
            | Function::PsmmuStL2Create
            | Function::PsmmuStL2Destroy => None,
            // With the arguments swapped, as TF-A-Tests does.
            Function::OpContinue => Some(continued(x1, x2)),
            Function::OpMemDonate | Function::OpMemReclaim | Function::OpCancel => Some(x1),
            _ => return None,
        };
        let device = match handle {
            Some(handle) => operations.get(&handle)?.device,
            None => {
                let mut addresses =
                    (0..self.smmus.len() as u64).map(|index| PSMMU + index * PSMMU_STEP);
                addresses.position(|psmmu_ptr| psmmu_ptr == x1)?
            }
        };
        self.harness.about(device);
        Some((handle, device))
    }

    /// Notes what becomes of an operation by an answer.
    fn end_call(&self, operation: Option<(Option<u64>, usize)>, function: u64, x: &[u64; 8]) {
        let Some((handle, device)) = operation else {
            return;
        };
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = x[0] & 0xFF == Status::Incomplete as u64;
        let asks = x[0] == x0::DONATE;
        match handle {
            None if is_open => {
                let before = operations.insert(x[1], Open { device, asks });
                assert!(before.is_none(), "handle {:#x} twice", x[1]);
            }
            None => {}
            Some(handle) => {
                let operation = operations.get_mut(&handle).expect("it was open");
                // A refused transfer ends nothing, but for a donation that was asked for.
                let is_over = !is_open
                    && match function & !SVE_HINT {
                        fid::OP_MEM_DONATE => operation.asks,
                        function => function == fid::OP_CONTINUE,
                    };
                if is_open {
                    operation.asks = asks;
                }
                if is_over {
                    operations.remove(&handle);
                }
            }
        }
    }

    /// Returns the handles of the operations that are open, in order.
    #[must_use]
    pub fn handles(&self) -> Vec<u64> {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut handles: Vec<_> = operations.keys().copied().collect();
        handles.sort_unstable();
        handles
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

    /// Consumes what was notified of `set`.
    pub fn consume(&self, set: u64) {
        let [x0, ..] = self.call([Function::PsmmuEventConsume.id(), PSMMU, set, 0, 0, 0, 0, 0]);
        assert_eq!(x0, 0, "CONSUME");
    }

    /// Services the event queue as the driver does, with a budget that no test exceeds, and returns
    /// the events.
    #[must_use]
    pub fn service(&self, source: IrqSet) -> Vec<Event> {
        self.service_of(PSMMU, source)
    }

    /// As [`service`](Self::service), of the PSMMU at this address.
    #[must_use]
    pub fn service_of(&self, psmmu: u64, source: IrqSet) -> Vec<Event> {
        let mut events = Vec::new();
        let budget = NonZeroU32::new(10_000).unwrap();
        let mut sink = |_, event: &Event| events.push(*event);
        match service(&self.rmi(), psmmu, source, &mut sink, budget) {
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
