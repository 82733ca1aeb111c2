// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the device: register accesses and barriers.

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
    ///    as long as the value exists, readable, and but for `non_secure_0` writable.
    /// 2. They are the pages of one SMMUv3, as the names say. A platform without a Realm programming
    ///    interface may pass its Non-secure pages in place of the Realm ones.
    /// 3. No other code in this world writes the Realm pages meanwhile.
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

// SAFETY: 1. The pages are those of one SMMU (condition 2 of `new`). 2., 3. Each call is one volatile access of the
// register that it is for, and nothing else accesses the pages. 4. Each barrier is the instruction for that order.
unsafe impl Registers for MmioRegisters {
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
        // SAFETY: a barrier only orders accesses. DSB and not DMB: what the device is made to read
        // must be observable by it, and reads must be done before their slots are freed.
        unsafe {
            core::arch::asm!("dsb osh", options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "aarch64"))]
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }
}

/// Ordinary memory stands for the device's: what is written lies at the register's offset of its page and nowhere
/// else, and what lies there is read.
#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;

    use super::*;

    /// 64-bit words of a page of 64 KiB.
    const WORDS: usize = 0x2000;
    /// Words of all three pages, one behind the other.
    const ALL: usize = 3 * WORDS;

    #[test]
    fn registers_are_accessed_at_their_place_of_their_page() {
        let memory = NonNull::from(Box::leak(Box::new([0_u64; ALL]))).cast::<u64>();
        let page = |index: usize| {
            // SAFETY: there are three pages in the memory.
            unsafe { memory.add(index * WORDS).cast::<u8>() }
        };
        // SAFETY: 1. The memory is 3 times 64 KiB and is never freed. 2. It stands for the pages of an SMMU.
        // 3. Only this test uses it, between its accesses.
        let registers = unsafe { MmioRegisters::new(page(0), page(1), page(2)) };
        let word = |index: usize| {
            // SAFETY: the index is below `ALL`.
            unsafe { memory.add(index).read_volatile() }
        };
        let set_word = |index: usize, value: u64| {
            // SAFETY: as above.
            unsafe { memory.add(index).write_volatile(value) }
        };
        let all = || (0..ALL).map(word);
        let holds_only = |index: usize, value: u64| {
            all().enumerate().all(|(at, word)| word == if at == index { value } else { 0 })
        };

        // IRQ_CTRL at 0x50 and GERRORN, the upper half at 0x64, of the first Realm page.
        registers.write32(Register32::IRQ_CTRL, 0x1234_5678);
        assert!(holds_only(WORDS + 0x50 / 8, 0x1234_5678));
        set_word(WORDS + 0x50 / 8, 0);
        registers.write32(Register32::GERRORN, 0x8765_4321);
        assert!(holds_only(WORDS + 0x60 / 8, 0x8765_4321 << 32));
        assert_eq!(registers.read32(Register32::GERRORN), 0x8765_4321);
        assert_eq!(registers.read32(Register32::GERROR), 0);
        set_word(WORDS + 0x60 / 8, 0);
        // EVENTQ_CONS, the upper half at 0xAC, of the second.
        registers.write32(Register32::EVENTQ_CONS, 5);
        assert!(holds_only(2 * WORDS + 0xA8 / 8, 5 << 32));
        set_word(2 * WORDS + 0xA8 / 8, 0);
        // EVENTQ_BASE, at 0xA0 of the first, in one piece.
        registers.write64(Register64::EVENTQ_BASE, 0x1122_3344_5566_7788);
        assert!(holds_only(WORDS + 0xA0 / 8, 0x1122_3344_5566_7788));
        // IDR5, the upper half at 0x14, of the Non-secure page.
        set_word(0x10 / 8, 6 << 32);
        assert_eq!(registers.read32(Register32::NS_IDR5), 6);
    }
}
