// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PSMMU, and an RMM, for several threads, scheduled by shuttle.
//!
//! The locks and atomics of `psmmu` are shuttle's here, which switches all of the program: so this
//! package is built by itself and never together with one that runs `psmmu` without shuttle. The model
//! of the SMMU and the memory have ordinary locks; no switch of threads happens while one is held. Each
//! register access, and each granule that changes its PAS, is a point where shuttle may switch.

mod monitor;

use std::sync::Arc;

use model_adapter::{Hook, ModelMemory, ModelRegisters, Steps};
use psmmu::{
    ActivateError, ActivateParams, AttachError, Clock, Config, DeactivateError, Delivery,
    Interface, LiveQueues, Memory, Psmmu, QueueAbortPolicy, Sizes,
};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread::{self, JoinHandle};
use smmu_model::{Enable, Guard, Register, Smmu};

pub use monitor::{Monitor, Reply};

/// Runs a test under many schedules: `count` random ones, and as many with few but cruel switches.
pub fn under_all_schedules(count: usize, test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), count);
    shuttle::check_pct(test, count, 4);
}

/// Has a thread do something with a copy of `shared`.
pub fn spawn<S: Clone + Send + 'static, T: Send + 'static>(
    shared: &S,
    action: impl FnOnce(&S) -> T + Send + 'static,
) -> JoinHandle<T> {
    let shared = shared.clone();
    thread::spawn(move || action(&shared))
}

/// Lets another thread run before each access.
#[derive(Clone, Copy, Debug)]
pub struct Switch;

impl Hook for Switch {
    fn step(&self) {
        // Not a yield, which a scheduler of priorities takes as a wish to run last: then no thread would
        // ever get far while another one stands still.
        let _ = AtomicBool::new(false).load(Ordering::Relaxed);
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
        psmmu_ptr: PSMMU,
        interface: Interface::Realm,
        delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 107 },
        abort: QueueAbortPolicy::Discard,
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
    /// Those of [`Psmmu::activate_begin`] and [`Psmmu::activate`].
    pub fn activate(&self) -> Result<(), ActivateError> {
        let params = ActivateParams { page_requests: true, msis: None };
        let activation = self.psmmu.activate_begin(params)?;
        let activated = self.psmmu.activate(activation, self.memory.clone(), &*self.clock);
        activated.map_err(|failure| failure.error)
    }

    /// Enables the queues of the device itself, as an RMM does that brings its SMMUs up itself.
    pub fn run_queues(&self) {
        let base = |queue: &ModelMemory, entry_words: usize| {
            let entries = (queue.0.words() / entry_words) as u64;
            queue.0.address() | u64::from(entries.trailing_zeros())
        };
        let Memory { command_queue, event_queue, pri_queue, .. } = &self.memory;
        for (register, value) in [
            (Register::Cr1, 0xD75),
            (Register::Cr2, 0),
            (Register::CmdqProd, 0),
            (Register::CmdqCons, 0),
            (Register::EventqProd, 0),
            (Register::EventqCons, 0),
            (Register::PriqProd, 0),
            (Register::PriqCons, 0),
        ] {
            self.write(register, value);
        }
        self.write(Register::CmdqBase, base(command_queue, 2));
        self.write(Register::EventqBase, base(event_queue, 4));
        if let Some(queue) = pri_queue {
            self.write(Register::PriqBase, base(queue, 2));
        }
        let mut enables = 0;
        for enable in [Enable::Cmdq, Enable::Eventq, Enable::Priq] {
            enables |= enable.bits();
            self.write(Register::Cr0, enables.into());
        }
    }

    /// Attaches the queues that [`run_queues`](Self::run_queues) has enabled.
    ///
    /// # Errors
    /// Those of [`Psmmu::attach`].
    pub fn attach(&self) -> Result<(), AttachError> {
        let Memory { command_queue, event_queue, pri_queue, .. } = self.memory.clone();
        let queues = LiveQueues { event_queue, pri_queue, command_queue: Some(command_queue) };
        self.psmmu.attach(queues, None, &*self.clock)
    }

    /// Detaches them.
    ///
    /// # Errors
    /// Those of [`Psmmu::detach`].
    pub fn detach(&self) -> Result<(), AttachError> {
        self.psmmu.detach(&*self.clock)
    }

    /// Deactivates the PSMMU and returns what it ran on.
    ///
    /// # Errors
    /// Those of [`Psmmu::deactivate`].
    pub fn deactivate(&self) -> Result<Option<Memory<ModelMemory>>, DeactivateError> {
        let memory = self.psmmu.deactivate(&*self.clock)?;
        self.psmmu.finish_deactivation();
        Ok(memory)
    }

    fn write(&self, register: Register, value: u64) {
        let (page, offset) = (register.page(), register.offset());
        match register.bits() {
            64 => self.smmu.write64(page, offset, value),
            _ => self.smmu.write32(page, offset, value as u32),
        }
    }

    /// Returns the clock that bounds waits.
    #[must_use]
    pub fn clock(&self) -> &impl Clock {
        &*self.clock
    }

    /// Reads a register of 32 bits.
    #[must_use]
    pub fn read(&self, register: Register) -> u32 {
        self.smmu.read32(register.page(), register.offset())
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
