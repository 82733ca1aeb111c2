// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one door to the device: register accesses and barriers.

use core::ptr::NonNull;

use crate::arch::registers::{Access, Page, ReadWrite, Register32, Register64};
use crate::platform::Registers;

/// The mapped registers of one SMMU.
#[derive(Debug)]
pub struct MmioRegisters {
    non_secure_0: NonNull<u8>,
    realm_0: NonNull<u8>,
    realm_1: NonNull<u8>,
}

impl MmioRegisters {
    /// Takes the pages of an SMMU by their virtual addresses.
    ///
    /// `realm_1` is a page of its own and not derived, since some SMMUs have the registers of page 1
    /// in page 0.
    ///
    /// # Safety
    /// 1. Each pointer is the base of 64 KiB that stay mapped as device memory (nGnRnE or nGnRE) for
    ///    as long as the value lives, readable, and but for `non_secure_0` writable.
    /// 2. They are the pages of one SMMUv3, as the names say. A platform without a Realm programming
    ///    interface may pass its Non-secure pages in place of the Realm ones.
    /// 3. Nobody else in this world writes the Realm pages meanwhile.
    #[must_use]
    pub const unsafe fn new(
        non_secure_0: NonNull<u8>,
        realm_0: NonNull<u8>,
        realm_1: NonNull<u8>,
    ) -> Self {
        Self { non_secure_0, realm_0, realm_1 }
    }

    fn address<T>(&self, page: Page, offset: u16) -> *mut T {
        let base = match page {
            Page::NonSecure0 => self.non_secure_0,
            Page::Realm0 => self.realm_0,
            Page::Realm1 => self.realm_1,
        };
        base.as_ptr().wrapping_add(offset.into()).cast()
    }
}

// SAFETY: the pointers are used for volatile accesses only, each of which stands for itself; which
// CPU makes it is of no matter to the device.
unsafe impl Send for MmioRegisters {}
// SAFETY: as above; that two CPUs never write one register at the same time is up to the locks of the
// caller, and would confuse the device's state, not memory.
unsafe impl Sync for MmioRegisters {}

impl Registers for MmioRegisters {
    #[inline]
    fn read32<A: Access>(&self, register: Register32<A>) -> u32 {
        // SAFETY: the page is mapped (condition 1 of `new`), and the offsets of `Register32` are
        // aligned and lie within it.
        unsafe { self.address::<u32>(register.page(), register.offset()).read_volatile() }
    }

    #[inline]
    fn write32(&self, register: Register32<ReadWrite>, value: u32) {
        // SAFETY: as in `read32`; a register with the right to be written lies in a Realm page, and those
        // are writable (condition 1) and ours (condition 3).
        unsafe { self.address::<u32>(register.page(), register.offset()).write_volatile(value) }
    }

    #[inline]
    fn write64(&self, register: Register64, value: u64) {
        // SAFETY: as in `write32`; the offsets of `Register64` are multiples of 8.
        unsafe { self.address::<u64>(register.page(), register.offset()).write_volatile(value) }
    }

    #[inline]
    fn read_barrier(&self) {
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a barrier only orders accesses.
        unsafe {
            core::arch::asm!("dmb oshld", options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "aarch64"))]
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }

    #[inline]
    fn write_barrier(&self) {
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a barrier only orders accesses. DSB and not DMB: what the device is made to look at
        // must be observable by it, and reads must be done before their slots are freed.
        unsafe {
            core::arch::asm!("dsb osh", options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "aarch64"))]
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }
}
