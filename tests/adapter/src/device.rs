// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model of the SMMU behind the traits of [`psmmu`].

use psmmu::registers::{Access, Page, ReadWrite, Register32, Register64};
use psmmu::{DeviceMemory, Registers};
use smmu_model::{Region, Smmu};

use crate::Hook;

/// Registers of the model.
#[derive(Clone, Debug)]
pub struct ModelRegisters<H = ()> {
    smmu: Smmu,
    hook: H,
}

impl<H: Hook> ModelRegisters<H> {
    /// Takes a device, and who is reported before each access.
    #[must_use]
    pub const fn with_hook(smmu: Smmu, hook: H) -> Self {
        Self { smmu, hook }
    }

    /// Returns the device.
    #[must_use]
    pub const fn smmu(&self) -> &Smmu {
        &self.smmu
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

impl<H: Hook> Registers for ModelRegisters<H> {
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
