// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exhaustive exploration of the notification protocol with faults injected into the device: every order
//! of device steps, register accesses of the RMM and steps of a host that serves only the interrupts that
//! it gets.
//!
//! A run is a sequence of [`Choices`]; all are made, one after the other, each from the beginning. Before
//! each register access of the RMM, and between the calls, the device may record any number of its faults
//! and report a write abort. The [injections](Injection) of a run happen wherever they make a difference:
//! at the write of a record, at an interrupt, at a read of PROD; each at most once.
//!
//! The reference predicts each answer from the registers that the RMM has accessed: which event,
//! whether more is pending, what CONSUME takes off, what is acknowledged, which records may be missing and
//! which ERROR event stands for them.

mod choices;
mod device;
mod host;
mod reference;

use std::sync::{Arc, Mutex};
use std::thread;

use psmmu::{
    ActivateParams, Config, Delivery, Interface, Memory, Psmmu, QueueAbortPolicy, Sizes, State,
};
use smmu_model::{Output, Smmu, Violation, WriteAborts};

pub use choices::Choices;

use crate::{ModelMemory, ModelRegisters, Steps};
use device::Harness;

/// Where the command queue, the event queue and the PRI queue lie.
const COMMAND_QUEUE: u64 = 0x9200_0000;
const EVENT_QUEUE: u64 = 0x9300_0000;
const PRI_QUEUE: u64 = 0x9400_0000;

/// What goes wrong once in a run, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// The MSI of an interrupt of the queue is aborted: GERROR shows it.
    MsiAbort,
    /// The write of an entry is aborted.
    WriteAbort(WriteAborts),
    /// One read of PROD contradicts CONS or itself.
    ProdOnce(Nonsense),
    /// This and each later read of PROD does.
    ProdForGood(Nonsense),
}

/// The forms of an inconsistent PROD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// Bits above the wrap bit are set.
    StrayBits,
    /// It shows one entry more than the queue has. Not with a queue of one entry, which has no such PROD.
    TooMany,
    /// It shows nothing while the place of a loss lies ahead. Not a nonsense without one.
    BeforeTheLoss,
}

/// Which interrupts reach the host, and what it asks for then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Each source by a set of its own, as Linux does.
    BySource,
    /// Global errors and the queue by one set.
    AllAtOnce,
    /// All MSIs of the queue are aborted, so that it serves the global errors alone.
    ErrorsAlone,
}

/// What is explored.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The queue.
    pub output: Output,
    /// Log2 of its entries.
    pub log2: u32,
    /// Faults, or page requests, that come at any point.
    pub faults: u64,
    /// Those that have come before the first call.
    pub before: u64,
    /// What goes wrong.
    pub injections: Vec<Injection>,
    /// What the platform says of write aborts.
    pub abort: QueueAbortPolicy,
    /// The host.
    pub host: Host,
    /// Each page request is the last of its group, so that the RMM answers it, and the device processes
    /// commands when it likes.
    pub answers: bool,
}

impl Bounds {
    /// Faults of an event queue, with nothing injected.
    #[must_use]
    pub const fn new(log2: u32, faults: u64) -> Self {
        Self {
            output: Output::Events,
            log2,
            faults,
            before: 0,
            injections: Vec::new(),
            abort: QueueAbortPolicy::Discard,
            host: Host::BySource,
            answers: false,
        }
    }

    /// The same with `injections`.
    #[must_use]
    pub fn with(mut self, injections: &[Injection]) -> Self {
        self.injections = injections.to_vec();
        self
    }

    /// The same with the PRI queue, whose requests are not the last of their groups.
    #[must_use]
    pub const fn of_pages(mut self) -> Self {
        self.output = Output::Pages;
        self
    }

    /// The same on a platform whose queues stay good behind a write abort.
    #[must_use]
    pub const fn keeping(mut self) -> Self {
        self.abort = QueueAbortPolicy::Preserve;
        self
    }

    /// The same for `host`.
    #[must_use]
    pub const fn for_host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// The same with the PRI queue, `before` requests being there before the first call; all are answered.
    #[must_use]
    pub const fn answering(mut self, before: u64) -> Self {
        self.output = Output::Pages;
        self.before = before;
        self.answers = true;
        self
    }
}

/// A run, as it is now: what device and reference share.
type Shared = Arc<Mutex<Harness>>;

/// Makes a device with queues of `1 << log2` entries, and activates it.
///
/// # Panics
/// When the RMM does not.
#[must_use]
pub fn activated(
    output: Output,
    log2: u32,
    abort: QueueAbortPolicy,
) -> (Smmu, Psmmu<ModelRegisters, ModelMemory>) {
    let pages = output == Output::Pages;
    let config = smmu_model::Config::default();
    let smmu = Smmu::new(if pages { config } else { config.without_pri() });
    let region = |address, words| ModelMemory(smmu.memory().region(address, words));
    let memory = Memory {
        stream_table: region(0x9000_0000, 8),
        command_queue: region(COMMAND_QUEUE, 8),
        event_queue: region(EVENT_QUEUE, 4 << log2),
        // A queue of one entry is aligned to 32 bytes as one of two is.
        pri_queue: pages.then(|| region(PRI_QUEUE, 2 << log2)),
        completion: None,
    };
    let config = Config {
        psmmu_ptr: 0,
        interface: Interface::Realm,
        delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 107 },
        abort,
        sizes: Sizes::DEFAULT,
    };
    let psmmu = Psmmu::new(config, ModelRegisters::new(smmu.clone()));
    let wanted = ActivateParams { page_requests: pages, ..ActivateParams::default() };
    let activation = psmmu.activate_begin(wanted).expect("a fresh device");
    psmmu.activate(activation, memory, &Steps::default()).expect("a device in order");
    (smmu, psmmu)
}

/// Makes all runs that `bounds` allow, and returns how many there are.
///
/// # Panics
/// When a promise is broken. What was chosen is printed.
pub fn explore(bounds: &Bounds) -> usize {
    let mut choices = Choices::default();
    let mut runs = 0;
    loop {
        let (smmu, psmmu) = activated(bounds.output, bounds.log2, bounds.abort);
        smmu.device().set_eager(false);
        smmu.device().collect_violations(true);
        let world = Arc::new(Mutex::new(Harness::new(bounds, choices)));
        let named = Named { bounds, world: &world };
        let hooked = Arc::clone(&world);
        smmu.device().on_access(move |device, access| {
            hooked.lock().expect("a run ends at the first panic").on_access(device, access);
        });
        host::play(&smmu, &psmmu, &world, bounds);
        smmu.device().clear_hooks();
        check_end(&smmu, &psmmu, &world);
        drop(named);
        runs += 1;
        let world = &mut *world.lock().expect("a run ends at the first panic");
        choices = std::mem::take(&mut world.choices);
        if !choices.next_run() {
            println!("{bounds:?}: {runs} orders");
            return runs;
        }
    }
}

/// Checks that nothing is left of a run, and that the RMM has broken no rule of the architecture.
fn check_end(smmu: &Smmu, psmmu: &Psmmu<ModelRegisters, ModelMemory>, world: &Shared) {
    let world = world.lock().expect("a run ends at the first panic");
    let mut device = smmu.device();
    let failed = world.reference.has_failed();
    assert_eq!(psmmu.state(), if failed { State::Failed } else { State::Active });
    world.reference.check_end(&device);
    world.check_answers(&mut device);
    // A PROD that is ahead of the device's own takes CONS there.
    let is_excused = |violation: &Violation| {
        let is_move =
            matches!(violation, Violation::ConsBackwards { .. } | Violation::ConsPastProd { .. });
        is_move && world.reference.was_led_astray()
    };
    let violations = device.take_violations();
    assert!(violations.iter().all(is_excused), "{violations:?}");
}

/// Prints what was chosen in a run that fails.
struct Named<'a> {
    bounds: &'a Bounds,
    world: &'a Shared,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let world = self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            eprintln!("{:?} fails by {:?}\n{:#?}", self.bounds, world.choices, world.reference);
        }
    }
}
