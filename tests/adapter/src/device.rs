// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model of the SMMU behind the traits of [`psmmu`].

use psmmu::registers::{Access, Page, ReadWrite, Register32, Register64};
use psmmu::{
    Clock, DeviceMemory, Psmmu, Registers, Stage2, StreamError, StreamTableEntry, TableMemory,
    Translation,
};
use smmu_model::{Region, Register, Smmu};

use crate::Hook;

/// Registers of the model.
#[derive(Clone, Debug)]
pub struct ModelRegisters<H = ()> {
    smmu: Smmu,
    hook: H,
}

impl<H: Hook> ModelRegisters<H> {
    /// Takes a device, and a hook that is called before each access.
    #[must_use]
    pub const fn with_hook(smmu: Smmu, hook: H) -> Self {
        Self { smmu, hook }
    }

    /// Returns the device.
    #[must_use]
    pub const fn smmu(&self) -> &Smmu {
        &self.smmu
    }

    /// Reads a register of 32 bits, for a driver other than `psmmu`.
    #[must_use]
    pub fn read(&self, register: Register) -> u32 {
        self.hook.step();
        self.smmu.read32(register.page(), register.offset())
    }

    /// Writes a register of 32 bits, likewise.
    pub fn write(&self, register: Register, value: u32) {
        self.hook.step();
        self.smmu.write32(register.page(), register.offset(), value);
    }
}

impl ModelRegisters {
    /// Takes a device.
    #[must_use]
    pub const fn new(smmu: Smmu) -> Self {
        Self::with_hook(smmu, ())
    }
}

const fn page(page: Page) -> smmu_model::Page {
    match page {
        Page::NonSecure0 => smmu_model::Page::NonSecure0,
        Page::Realm0 => smmu_model::Page::Realm0,
        Page::Realm1 => smmu_model::Page::Realm1,
    }
}

// SAFETY: the model has memory of its own and touches no other.
unsafe impl<H: Hook> Registers for ModelRegisters<H> {
    fn read32<A: Access>(&self, register: Register32<A>) -> u32 {
        self.hook.step();
        self.smmu.read32(page(register.page()), register.offset().into())
    }

    fn write32(&self, register: Register32<ReadWrite>, value: u32) {
        self.hook.step();
        self.smmu.write32(page(register.page()), register.offset().into(), value);
    }

    fn write64(&self, register: Register64, value: u64) {
        self.hook.step();
        self.smmu.write64(page(register.page()), register.offset().into(), value);
    }

    fn read_barrier(&self) {
        self.smmu.read_barrier();
    }

    fn write_barrier(&self) {
        self.smmu.write_barrier();
    }
}

/// Memory that the model and its driver share.
#[derive(Clone, Debug)]
pub struct ModelMemory(pub Region);

// SAFETY: the device is a model, which finds this memory by its address and touches no other.
unsafe impl DeviceMemory for ModelMemory {
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

/// [`Psmmu::configure_stream`] of a model, whose devices translate by memory of the model alone: so there is no
/// [`Translation`] that a caller would have to vouch for.
///
/// # Errors
/// Those of [`Psmmu::configure_stream`].
pub fn configure_stream<H: Hook>(
    psmmu: &Psmmu<ModelRegisters<H>, ModelMemory>,
    stream: u32,
    stage_2: Stage2,
    tables: &impl TableMemory,
    clock: &impl Clock,
) -> Result<(), StreamError> {
    psmmu.configure_stream(stream, translation(stage_2), tables, clock)
}

/// Returns the entry of a stream that translates by `stage_2`, for a model.
pub(crate) fn stage_2_entry(stage_2: Stage2) -> StreamTableEntry {
    StreamTableEntry::stage_2(translation(stage_2))
}

fn translation(stage_2: Stage2) -> Translation {
    // SAFETY: only models get it, which translate by memory of their own and access no other.
    unsafe { Translation::new(stage_2) }
}
