// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PSMMU for several threads, scheduled by shuttle.
//!
//! The locks and atomics of `psmmu` are shuttle's here, which switches all of the program: so this
//! package is built by itself and never together with one that runs `psmmu` without shuttle. The model
//! of the SMMU has an ordinary lock; no switch of threads happens while it is held. Each register
//! access is a point where shuttle may switch.

use std::sync::Arc;

use psmmu::registers::{Page, Register32, Register64};
use psmmu::stream_table::{self, StreamTableEntry};
use psmmu::{
    AbortBehaviour, ActivateError, Clock, Config, Delivery, DeviceMemory, Interface, Memory, Psmmu,
    Registers,
};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use smmu_model::{Guard, Region, Smmu};

/// A PSMMU on the model.
pub type ModelPsmmu = Psmmu<ModelRegisters, ModelMemory>;

/// Registers of the model; another thread may run before each access.
#[derive(Clone, Debug)]
pub struct ModelRegisters(Smmu);

const fn page(page: Page) -> smmu_model::Page {
    match page {
        Page::NonSecure0 => smmu_model::Page::NonSecure0,
        Page::Realm0 => smmu_model::Page::Realm0,
        Page::Realm1 => smmu_model::Page::Realm1,
    }
}

impl Registers for ModelRegisters {
    fn read32(&self, register: Register32) -> u32 {
        shuttle::thread::yield_now();
        self.0.read32(page(register.page()), register.offset().into())
    }

    fn write32(&self, register: Register32, value: u32) {
        shuttle::thread::yield_now();
        self.0.write32(page(register.page()), register.offset().into(), value);
    }

    fn write64(&self, register: Register64, value: u64) {
        shuttle::thread::yield_now();
        self.0.write64(page(register.page()), register.offset().into(), value);
    }

    fn read_barrier(&self) {
        self.0.read_barrier();
    }

    fn write_barrier(&self) {
        self.0.write_barrier();
    }
}

/// Memory that the model and the PSMMU share.
#[derive(Clone, Debug)]
pub struct ModelMemory(Region);

impl DeviceMemory for ModelMemory {
    fn address(&self) -> u64 {
        self.0.address()
    }

    fn words(&self) -> usize {
        self.0.words()
    }

    fn load(&self, index: usize) -> u64 {
        self.0.load(index)
    }

    fn store(&self, index: usize, value: u64) {
        self.0.store(index, value);
    }
}

/// A clock that steps on by a tenth of a second each time it is looked at, so that every wait ends.
#[derive(Debug)]
pub struct Steps(AtomicU64);

impl Clock for Steps {
    fn microseconds(&self) -> u64 {
        self.0.fetch_add(100_000, Ordering::Relaxed)
    }
}

/// A PSMMU and its device, for all threads of a test.
#[derive(Clone, Debug)]
pub struct Machine {
    smmu: Smmu,
    psmmu: Arc<ModelPsmmu>,
    clock: Arc<Steps>,
    memory: Memory<ModelMemory>,
}

impl Machine {
    /// Puts it together; the queues have 2^`log2` entries. The PSMMU is not active yet.
    #[must_use]
    pub fn new(log2: u32) -> Self {
        let smmu = Smmu::new(smmu_model::Config::default());
        let region = |words, address| ModelMemory(smmu.memory().region(address, words));
        let memory = Memory {
            stream_table: region(1, 0x9000_0000),
            command_queue: region(2 << 4, 0x9200_0000),
            event_queue: region(4 << log2, 0x9300_0000),
            pri_queue: Some(region(2 << log2, 0x9400_0000)),
            completion: None,
        };
        let level_2 = region(stream_table::L2_BYTES / 8, 0x9100_0000);
        stream_table::fill(&level_2, StreamTableEntry::ABORT);
        stream_table::link(&memory.stream_table, 0, 0x9100_0000);
        let config = Config {
            name: 0x2B40_0000,
            interface: Interface::Realm,
            delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 107 },
            abort: AbortBehaviour::SpoilsQueue,
        };
        let psmmu = Arc::new(Psmmu::new(config, ModelRegisters(smmu.clone())));
        Self { smmu, psmmu, clock: Arc::new(Steps(AtomicU64::new(0))), memory }
    }

    /// Puts it together and activates the PSMMU.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn active(log2: u32) -> Self {
        let machine = Self::new(log2);
        machine.activate().expect("a fresh PSMMU");
        machine
    }

    /// Activates the PSMMU.
    ///
    /// # Errors
    /// Those of [`Psmmu::activate`].
    pub fn activate(&self) -> Result<(), ActivateError> {
        self.psmmu.activate(|| Some(self.memory.clone()), &*self.clock)
    }

    /// Returns the PSMMU.
    #[must_use]
    pub fn psmmu(&self) -> &ModelPsmmu {
        &self.psmmu
    }

    /// Returns the device for a step. No PSMMU may be called while it is held.
    #[must_use]
    pub fn device(&self) -> Guard<'_> {
        self.smmu.device()
    }
}
