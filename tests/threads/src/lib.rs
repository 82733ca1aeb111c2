// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PSMMU, and an RMM, for several threads, scheduled by shuttle.
//!
//! The locks and atomics of `psmmu` are shuttle's here, which switches all of the program: so this
//! package is built by itself and never together with one that runs `psmmu` without shuttle. The model
//! of the SMMU and the memory have ordinary locks; no switch of threads happens while one is held. Each
//! register access, and each granule that changes worlds, is a point where shuttle may switch.

mod monitor;

use std::sync::Arc;

use model_adapter::{Hook, ModelMemory, ModelRegisters, Steps};
use psmmu::{
    AbortBehaviour, ActivateError, Config, Delivery, Interface, Memory, Psmmu, Sizes, Wanted,
};
use smmu_model::{Guard, Smmu};

pub use monitor::{Monitor, Reply};

/// Lets another thread run before each access.
#[derive(Clone, Copy, Debug)]
pub struct Switch;

impl Hook for Switch {
    fn step(&self) {
        shuttle::thread::yield_now();
    }
}

/// A PSMMU on the model.
pub type ModelPsmmu = Psmmu<ModelRegisters<Switch>, ModelMemory>;

/// Name of the PSMMU.
pub const PSMMU: u64 = 0x2B40_0000;

/// A PSMMU and its device, for all threads of a test.
#[derive(Clone, Debug)]
pub struct Machine {
    smmu: Smmu,
    psmmu: Arc<ModelPsmmu>,
    clock: Arc<Steps>,
    memory: Memory<ModelMemory>,
}

/// What the platform of a test says of its PSMMU, whose queues have 2^`log2` entries.
#[must_use]
pub const fn config(log2: u8) -> Config {
    Config {
        name: PSMMU,
        interface: Interface::Realm,
        delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 107 },
        abort: AbortBehaviour::SpoilsQueue,
        sizes: Sizes { streams: 8, commands: 4, events: log2, requests: log2 },
    }
}

impl Machine {
    /// Puts it together; the queues have 2^`log2` entries. The PSMMU is not active yet.
    #[must_use]
    pub fn new(log2: u8) -> Self {
        let smmu = Smmu::new(smmu_model::Config::default());
        let region = |words, address| ModelMemory(smmu.memory().region(address, words));
        let memory = Memory {
            stream_table: region(4, 0x9000_0000),
            command_queue: region(2 << 4, 0x9200_0000),
            event_queue: region(4 << log2, 0x9300_0000),
            pri_queue: Some(region(2 << log2, 0x9400_0000)),
            completion: None,
        };
        let registers = ModelRegisters::with_hook(smmu.clone(), Switch);
        let psmmu = Arc::new(Psmmu::new(config(log2), registers));
        Self { smmu, psmmu, clock: Arc::default(), memory }
    }

    /// Puts it together and activates the PSMMU.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn active(log2: u8) -> Self {
        let machine = Self::new(log2);
        machine.activate().expect("a fresh PSMMU");
        machine
    }

    /// Activates the PSMMU.
    ///
    /// # Errors
    /// Those of [`Psmmu::begin_activation`] and [`Psmmu::activate`].
    pub fn activate(&self) -> Result<(), ActivateError> {
        let wanted = Wanted { page_requests: true, messages: None };
        let activation = self.psmmu.begin_activation(wanted)?;
        let activated = self.psmmu.activate(activation, self.memory.clone(), &*self.clock);
        activated.map_err(|failure| failure.error)
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
