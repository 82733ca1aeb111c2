// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the registers of an SMMU: mapped ones, or functions that stand for them.

use core::ffi::c_void;
use core::ptr::NonNull;

use psmmu::registers::{Access, Page, ReadWrite, Register32, Register64};
use psmmu::{MmioRegisters, Registers};

use crate::types::{Error, RegisterFunctions, SmmuConfig};

/// Registers of one SMMU.
#[derive(Debug)]
pub struct Pages {
    way: Way,
    /// IDR0, IDR1 and IDR5 of a Non-secure page that is not mapped.
    ids: Option<[u32; 3]>,
}

#[derive(Debug)]
enum Way {
    Mapped(MmioRegisters),
    Called(Called),
}

/// Functions that stand for registers; all are there.
#[derive(Clone, Copy, Debug)]
struct Called {
    cookie: *mut c_void,
    read32: unsafe extern "C" fn(*mut c_void, u32, u32) -> u32,
    write32: unsafe extern "C" fn(*mut c_void, u32, u32, u32),
    write64: unsafe extern "C" fn(*mut c_void, u32, u32, u64),
    read_barrier: unsafe extern "C" fn(*mut c_void),
    write_barrier: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: the functions may be called on any CPU (condition 2 of `Pages::new`), and the cookie goes
// nowhere but to them.
unsafe impl Send for Called {}
// SAFETY: as above, on several CPUs at once.
unsafe impl Sync for Called {}

impl Called {
    fn new(functions: &RegisterFunctions) -> Option<Self> {
        let RegisterFunctions { cookie, read32, write32, write64, read_barrier, write_barrier } =
            *functions;
        Some(Self {
            cookie,
            read32: read32?,
            write32: write32?,
            write64: write64?,
            read_barrier: read_barrier?,
            write_barrier: write_barrier?,
        })
    }
}

impl Pages {
    /// Takes the registers of the SMMU that `config` describes.
    ///
    /// # Errors
    /// When a page or a function is missing.
    ///
    /// # Safety
    /// For good, as this library's state is never freed:
    /// 1. Without functions, each page that is not null is the VA of 64 KiB of device memory (nGnRnE or
    ///    nGnRE), readable, and but for the Non-secure one writable; they are the pages of one SMMU, as
    ///    their names say; nothing else in this world writes the Realm pages but what the header leaves
    ///    to the embedder.
    /// 2. With functions, the pointer to them can be read now, and each of them does what the header
    ///    says, on several CPUs at once.
    pub unsafe fn new(config: &SmmuConfig) -> Result<Self, Error> {
        // SAFETY: null, or readable (condition 2).
        if let Some(functions) = unsafe { config.registers.as_ref() } {
            let called = Called::new(functions).ok_or(Error::Inval)?;
            return Ok(Self { way: Way::Called(called), ids: None });
        }
        let page = |page: *mut c_void| NonNull::new(page.cast::<u8>());
        let realm_0 = page(config.realm_page_0).ok_or(Error::Inval)?;
        let realm_1 = page(config.realm_page_1).ok_or(Error::Inval)?;
        let (non_secure_0, ids) = match page(config.non_secure_page_0.cast_mut()) {
            Some(page) => (page, None),
            // Never read: `read32` answers for it.
            None => (realm_0, Some([config.idr0, config.idr1, config.idr5])),
        };
        if ![non_secure_0, realm_0, realm_1].iter().all(|page| page.cast::<u64>().is_aligned()) {
            return Err(Error::Inval);
        }
        // SAFETY: 1. The pages are mapped as they must be, for good (condition 1). 2. They are the pages
        // of one SMMU (condition 1), but for a Non-secure one that is not there, whose registers are
        // answered for before they are accessed. 3. As condition 1 says; what the embedder keeps
        // writing this library does not.
        let mapped = unsafe { MmioRegisters::new(non_secure_0, realm_0, realm_1) };
        Ok(Self { way: Way::Mapped(mapped), ids })
    }
}

/// Returns the enum lpsmmu_page.
const fn number(page: Page) -> u32 {
    match page {
        Page::NonSecure0 => 0,
        Page::Realm0 => 1,
        Page::Realm1 => 2,
    }
}

// SAFETY: each call goes on to the mapped pages or to the functions, but for a read of an identification register
// that the embedder has answered for. 1. They are those of one SMMU (conditions 1 and 2 of `Pages::new`).
// 2. to 4. As those do.
unsafe impl Registers for Pages {
    #[inline]
    fn read32<A: Access>(&self, register: Register32<A>) -> u32 {
        if let (Page::NonSecure0, Some([idr0, idr1, idr5])) = (register.page(), self.ids) {
            const NS_IDR0: u16 = Register32::NS_IDR0.offset();
            const NS_IDR1: u16 = Register32::NS_IDR1.offset();
            const NS_IDR5: u16 = Register32::NS_IDR5.offset();
            return match register.offset() {
                NS_IDR0 => idr0,
                NS_IDR1 => idr1,
                NS_IDR5 => idr5,
                _ => 0,
            };
        }
        match &self.way {
            Way::Mapped(mapped) => mapped.read32(register),
            Way::Called(functions) => functions.read32(register),
        }
    }

    #[inline]
    fn write32(&self, register: Register32<ReadWrite>, value: u32) {
        match &self.way {
            Way::Mapped(mapped) => mapped.write32(register, value),
            Way::Called(functions) => functions.write32(register, value),
        }
    }

    #[inline]
    fn write64(&self, register: Register64, value: u64) {
        match &self.way {
            Way::Mapped(mapped) => mapped.write64(register, value),
            Way::Called(functions) => functions.write64(register, value),
        }
    }

    #[inline]
    fn read_barrier(&self) {
        match &self.way {
            Way::Mapped(mapped) => mapped.read_barrier(),
            Way::Called(functions) => functions.read_barrier(),
        }
    }

    #[inline]
    fn write_barrier(&self) {
        match &self.way {
            Way::Mapped(mapped) => mapped.write_barrier(),
            Way::Called(functions) => functions.write_barrier(),
        }
    }
}

/// Out of the way of those that are mapped.
// SAFETY: each call is one call of the embedder's function, which does what the header says, and so 1. to 4.
// (condition 2 of `Pages::new`).
unsafe impl Registers for Called {
    #[cold]
    #[inline(never)]
    fn read32<A: Access>(&self, register: Register32<A>) -> u32 {
        let (page, offset) = (number(register.page()), register.offset().into());
        // SAFETY: the function may be called at any time, on any CPU (condition 2 of `Pages::new`).
        unsafe { (self.read32)(self.cookie, page, offset) }
    }

    #[cold]
    #[inline(never)]
    fn write32(&self, register: Register32<ReadWrite>, value: u32) {
        let (page, offset) = (number(register.page()), register.offset().into());
        // SAFETY: as in `read32`.
        unsafe { (self.write32)(self.cookie, page, offset, value) }
    }

    #[cold]
    #[inline(never)]
    fn write64(&self, register: Register64, value: u64) {
        let (page, offset) = (number(register.page()), register.offset().into());
        // SAFETY: as in `read32`.
        unsafe { (self.write64)(self.cookie, page, offset, value) }
    }

    #[cold]
    #[inline(never)]
    fn read_barrier(&self) {
        // SAFETY: as in `read32`.
        unsafe { (self.read_barrier)(self.cookie) }
    }

    #[cold]
    #[inline(never)]
    fn write_barrier(&self) {
        // SAFETY: as in `read32`.
        unsafe { (self.write_barrier)(self.cookie) }
    }
}
