// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an RMM runs in.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use psmmu::{Clock, Psmmu, Stage2, StreamTableEntry, TableMemory, VsmmuLookup};
use psmmu_abi::MemoryCategory;
use rmm::{Areas, DeviceRegion, Dram, Environment, Region, Tracker};
use smmu_model::Smmu;

use crate::device::stage_2_entry;
use crate::{Hook, ModelMemory, ModelRegisters, Ram};

/// Words of a granule.
const WORDS: usize = 512;

/// A clock that goes on by a tenth of a second with each reading, so that every wait ends, or stands still.
#[derive(Debug, Default)]
pub struct Steps {
    now: AtomicU64,
    is_stopped: AtomicBool,
}

impl Steps {
    /// Stops the clock, or lets it go on.
    pub fn stop(&self, is_stopped: bool) {
        self.is_stopped.store(is_stopped, Ordering::Relaxed);
    }
}

impl Clock for Steps {
    fn microseconds(&self) -> u64 {
        let step = if self.is_stopped.load(Ordering::Relaxed) { 0 } else { 100_000 };
        self.now.fetch_add(step, Ordering::Relaxed)
    }
}

/// Streams that virtual SMMUs own, as the test says.
#[derive(Clone, Debug, Default)]
pub struct Owners(pub Arc<Mutex<HashSet<u32>>>);

impl VsmmuLookup for Owners {
    fn is_owned(&self, stream: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&stream)
    }
}

#[derive(Debug)]
struct Inner {
    clock: Steps,
    ram: Ram,
    devices: Vec<(u64, Smmu)>,
    /// Where the MSIs of each device's commands go, one word for each; 0 for none.
    completion: u64,
    /// The device that new memory is for.
    current: AtomicUsize,
    /// Granules that are memory of the model, of which device, and as part of which region.
    opened: Mutex<BTreeMap<u64, (usize, Region)>>,
    default_ste: Mutex<BTreeMap<u32, StreamTableEntry>>,
    /// How often no interrupt is pending before one is.
    until_interrupt: AtomicU32,
}

/// What the RMM of a test runs in. Copies share all of it.
#[derive(Clone, Debug)]
pub struct Harness<H = ()> {
    inner: Arc<Inner>,
    hook: H,
}

impl<H: Hook> Harness<H> {
    /// Takes the memory and the devices with their `psmmu_ptr`. With a `completion` commands are completed
    /// by MSIs: it is the PA of memory that has no other use.
    #[must_use]
    pub fn new(ram: Ram, devices: Vec<(u64, Smmu)>, completion: Option<u64>, hook: H) -> Self {
        let completion = completion.unwrap_or(0);
        if completion != 0 {
            for (_, smmu) in &devices {
                let _ = smmu.memory().region(completion, 1);
            }
        }
        let inner = Inner {
            clock: Steps::default(),
            ram,
            devices,
            completion,
            current: AtomicUsize::new(0),
            opened: Mutex::default(),
            default_ste: Mutex::default(),
            until_interrupt: AtomicU32::new(u32::MAX),
        };
        Self { inner: Arc::new(inner), hook }
    }

    /// Says which device the memory is for that is opened next. Each model has memory of its own, and
    /// an RMM need not say which device it is about to use.
    pub fn about(&self, device: usize) {
        self.inner.current.store(device, Ordering::Relaxed);
    }

    /// Has `stream` translate by `stage_2` while it is not configured.
    pub fn set_default_ste_to_stage_2(&self, stream: u32, stage_2: Stage2) {
        self.set_default_ste(stream, stage_2_entry(stage_2));
    }

    /// Says what `stream` does while it is not configured.
    pub fn set_default_ste(&self, stream: u32, entry: StreamTableEntry) {
        self.inner.default_ste.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, entry);
    }

    /// Has an interrupt be pending once, when the RMM has asked for one `times` times in vain. `None`
    /// ends that.
    pub fn interrupt_after(&self, times: Option<u32>) {
        self.inner.until_interrupt.store(times.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Returns which granules some device was given and were not wiped since.
    #[must_use]
    pub fn opened(&self) -> Vec<u64> {
        let opened = self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.keys().copied().collect()
    }
}

/// Tracks the granules of `dram` and `devices`, for good: tests are short.
#[must_use]
pub fn tracker(dram: &Dram, devices: &[DeviceRegion]) -> Tracker<'static> {
    let mut areas = Areas::default();
    dram.banks().iter().for_each(|&bank| areas.add(bank, MemoryCategory::Conventional));
    devices.iter().for_each(|&DeviceRegion { bank, category }| areas.add(bank, category));
    let words: Vec<_> = (0..areas.words()).map(|_| AtomicU64::new(0)).collect();
    Tracker::new(areas, Box::leak(words.into()))
}

impl<H: Hook> Environment for Harness<H> {
    type Registers = ModelRegisters<H>;
    type Memory = ModelMemory;
    type Host = Ram;
    type Vsmmus = Owners;
    type Clock = Steps;

    fn clock(&self) -> &Steps {
        &self.inner.clock
    }

    fn delegate(&self, granule: u64, category: MemoryCategory) -> bool {
        self.hook.step();
        assert_eq!(self.inner.ram.category(granule), category, "{granule:#x}");
        self.inner.ram.delegate(granule)
    }

    fn undelegate(&self, granule: u64, category: MemoryCategory) {
        self.hook.step();
        assert_eq!(self.inner.ram.category(granule), category, "{granule:#x}");
        if category == MemoryCategory::Conventional {
            let words = self.inner.ram.realm_page(granule);
            assert_eq!(words, [0; WORDS], "{granule:#x} goes back to the host unwiped");
        }
        let opened = self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!opened.contains_key(&granule), "{granule:#x} goes back as a device has it");
        self.inner.ram.undelegate(granule);
    }

    fn is_interrupt_pending(&self) -> bool {
        let until = &self.inner.until_interrupt;
        let next = |until: u32| match until {
            // Never.
            u32::MAX => None,
            until => Some(until.checked_sub(1).unwrap_or(u32::MAX)),
        };
        until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) == Ok(0)
    }

    fn wipe(&self, region: Region) -> bool {
        self.hook.step();
        let mut opened = self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner);
        for granule in Ram::granules(region.address, region.bytes()) {
            self.inner.ram.wipe(granule);
            if let Some(&(device, Region { address, .. })) = opened.get(&granule) {
                // Any use from here on, by CPU or device, is detected. Memory that was opened as
                // one is given up as one.
                opened.retain(|_, (_, region)| region.address != address);
                self.inner.devices[device].1.memory().take_back(address);
            }
        }
        true
    }

    unsafe fn open(&self, region: Region) -> ModelMemory {
        self.hook.step();
        let mut opened = self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let words = region.bytes() as usize / 8;
        if let Some(&(device, _)) = opened.get(&region.address) {
            let found = self.inner.devices[device].1.memory().find(region.address);
            let found = found.expect("a region begins there");
            assert_eq!(found.words(), words, "{region:x?} is open as another one");
            return ModelMemory(found);
        }
        let device = self.inner.current.load(Ordering::Relaxed);
        let smmu = &self.inner.devices[device].1;
        let memory = smmu.memory().region(region.address, words);
        for granule in Ram::granules(region.address, region.bytes()) {
            assert!(
                opened.insert(granule, (device, region)).is_none(),
                "{granule:#x} is open already"
            );
            let content = self.inner.ram.realm_page(granule);
            for (address, word) in
                (granule..).step_by(8).zip(content).filter(|(_, word)| *word != 0)
            {
                smmu.device().store(address, word);
            }
        }
        ModelMemory(memory)
    }

    fn completion(&self, psmmu: &Psmmu<ModelRegisters<H>, ModelMemory>) -> Option<ModelMemory> {
        if self.inner.completion == 0 {
            return None;
        }
        let psmmu_ptr = psmmu.config().psmmu_ptr;
        let (_, smmu) = self.inner.devices.iter().find(|(of, _)| *of == psmmu_ptr)?;
        smmu.memory().find(self.inner.completion).map(ModelMemory)
    }

    fn default_ste(&self, stream: u32) -> StreamTableEntry {
        let default_ste = self.inner.default_ste.lock().unwrap_or_else(PoisonError::into_inner);
        default_ste.get(&stream).copied().unwrap_or(StreamTableEntry::ABORT)
    }
}

/// The level-2 tables of a harness, for steps of streams.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a, H = ()>(pub &'a Harness<H>);

// SAFETY: the model has memory of its own and touches no other.
unsafe impl<H: Hook> TableMemory for Tables<'_, H> {
    type Memory = ModelMemory;

    fn open(&self, address: u64) -> Option<ModelMemory> {
        // SAFETY: the model has memory of its own and touches no other.
        Some(unsafe { self.0.open(Region::granule(address)) })
    }

    fn default_ste(&self, stream: u32) -> StreamTableEntry {
        self.0.default_ste(stream)
    }
}
