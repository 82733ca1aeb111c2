// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model of the SMMU behind the traits of [`psmmu`].

use psmmu::registers::{Page, Register32, Register64};
use psmmu::{DeviceMemory, Registers};
use smmu_model::{Region, Smmu};

/// Registers of the model.
#[derive(Clone, Debug)]
pub struct ModelRegisters(pub Smmu);

const fn page(page: Page) -> smmu_model::Page {
    match page {
        Page::NonSecure0 => smmu_model::Page::NonSecure0,
        Page::Realm0 => smmu_model::Page::Realm0,
        Page::Realm1 => smmu_model::Page::Realm1,
    }
}

impl Registers for ModelRegisters {
    fn read32(&self, register: Register32) -> u32 {
        self.0.read32(page(register.page()), register.offset().into())
    }

    fn write32(&self, register: Register32, value: u32) {
        self.0.write32(page(register.page()), register.offset().into(), value);
    }

    fn write64(&self, register: Register64, value: u64) {
        self.0.write64(page(register.page()), register.offset().into(), value);
    }

    fn read_barrier(&self) {
        self.0.read_barrier();
    }

    fn write_barrier(&self) {
        self.0.write_barrier();
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
