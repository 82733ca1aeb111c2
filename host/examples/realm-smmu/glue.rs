// SPDX-License-Identifier: MIT OR Apache-2.0

//! Implements the interfaces that `psmmu-host` requires of a kernel: calls, memory to donate, pages
//! shared with the RMM.

use psmmu_host::{Conduit, Memory, Page};

use crate::kernel::{Kernel, PAGE};

/// Calls to the RMM.
#[derive(Clone, Copy)]
pub struct Smc<'k>(pub &'k Kernel);

impl Conduit for Smc<'_> {
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        self.0.smc(x)
    }
}

/// Memory to donate: any pages of the kernel, which it must not access meanwhile.
pub struct Pages<'k>(pub &'k Kernel);

impl Memory for Pages<'_> {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        self.0.allocate(granules)
    }

    fn free(&mut self, address: u64, granules: u64) {
        (0..granules).for_each(|granule| self.0.free(address + granule * PAGE));
    }

    fn leak(&mut self, address: u64, granules: u64) {
        (0..granules).for_each(|granule| self.0.poison(address + granule * PAGE));
    }
}

/// A page that the RMM accesses during a call, and the kernel between calls.
pub struct SharedPage<'k>(&'k Kernel, u64);

impl<'k> SharedPage<'k> {
    /// Allocates a page that is never freed.
    pub fn new(kernel: &'k Kernel) -> Self {
        Self(kernel, kernel.boot_page())
    }
}

impl Page for SharedPage<'_> {
    fn address(&self) -> u64 {
        self.1
    }

    fn clear(&mut self) {
        (0..512).for_each(|index| self.set_word(index, 0));
    }

    fn word(&self, index: usize) -> u64 {
        self.0.read(self.1 + 8 * index as u64)
    }

    fn set_word(&mut self, index: usize, value: u64) {
        self.0.write(self.1 + 8 * index as u64, value);
    }
}
