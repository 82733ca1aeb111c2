// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one accessor of the host's memory, and to memory that may not be there.
//!
//! A granule is compared with the DRAM banks, mapped as Non-secure into the slot of this CPU, copied by
//! one of two routines in assembly, and unmapped. The host can move the granule to another world at any
//! moment, so the copy itself may fault: a granule protection fault or an external abort at exactly
//! these routines, and nowhere else, makes them return false. See `rmm_vectors`.
//!
//! What was delegated is Realm memory, but whether it is memory at all only the boot manifest says, and
//! that of some platform says more than the machine has. So it is touched here for the first time, and
//! wiped here.

use core::arch::global_asm;

use psmmu::{HostFault, HostGranule, HostMemory};
use rmm::{Dram, Region};

use super::mmu;

global_asm!(
    r#"
    .section .text.rmm_host_copy, "ax"
    .balign 4
    .global rmm_host_copy_start
rmm_host_copy_start:

    // bool rmm_host_replace(slot, words, count): count words, then zero to the end of the page
rmm_host_replace:
    add     x3, x0, #4096
    cbz     x2, 2f
1:  ldr     x4, [x1], #8
    str     x4, [x0], #8
    subs    x2, x2, #1
    b.ne    1b
2:  tst     x0, #63
    b.eq    4f
    str     xzr, [x0], #8
    b       2b
3:  stp     xzr, xzr, [x0]
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
4:  cmp     x0, x3
    b.lo    3b
    mov     w0, #1
    ret

    // bool rmm_host_copy(to, from, count): one of them lies in the slot
rmm_host_copy:
    cbz     x2, 6f
5:  ldr     x4, [x1], #8
    str     x4, [x0], #8
    subs    x2, x2, #1
    b.ne    5b
6:  mov     w0, #1
    ret

    // bool rmm_wipe(address, bytes): whole granules
rmm_wipe:
    add     x3, x0, x1
    mrs     x4, dczid_el0
    tbnz    x4, #4, 4b                  // DC ZVA is prohibited: by stores
    and     x4, x4, #0xf
    mov     x5, #4
    lsl     x4, x5, x4                  // what it zeroes at once: a granule is a multiple of that
7:  dc      zva, x0
    add     x0, x0, x4
    cmp     x0, x3
    b.lo    7b
    mov     w0, #1
    ret

    // bool rmm_claim(address): writes a whole line of a cache before it reads
rmm_claim:
    stp     xzr, xzr, [x0]
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    ldr     xzr, [x0]
    mov     w0, #1
    ret

    // bool rmm_probe(register)
rmm_probe:
    ldr     wzr, [x0]
    mov     w0, #1
    ret

    .global rmm_host_copy_end
rmm_host_copy_end:
    .global rmm_host_copy_fault
rmm_host_copy_fault:
    mov     w0, #0
    ret
    "#
);

unsafe extern "C" {
    fn rmm_host_replace(slot: usize, words: *const u64, count: usize) -> bool;
    fn rmm_host_copy(to: usize, from: usize, count: usize) -> bool;
    fn rmm_wipe(address: usize, bytes: usize) -> bool;
    fn rmm_claim(address: usize) -> bool;
    fn rmm_probe(register: usize) -> bool;
}

/// Zeroes a region of Realm memory, and says whether all of it is memory.
///
/// # Safety
/// 1. The region is mapped one to one, writable, as Realm memory.
/// 2. No other code uses it while this runs, and no Rust reference to any of it exists.
pub unsafe fn wipe(region: Region) -> bool {
    // SAFETY: 1. and 2. are those of this function; the size is in granules. A fault returns false.
    unsafe { rmm_wipe(region.address as usize, region.bytes() as usize) }
}

/// Says whether there is memory at PA `granule`, which was delegated just now. What the host had there may
/// have an integrity tag of its world, so it is written before it is read.
///
/// # Safety
/// 1. It is mapped one to one, writable, as Realm memory.
/// 2. No other code uses it while this runs, and no Rust reference to any of it exists.
pub unsafe fn is_memory(granule: u64) -> bool {
    // SAFETY: 1. and 2. are those of this function. A fault returns false.
    unsafe { rmm_claim(granule as usize) }
}

/// Words of a granule.
const GRANULE_WORDS: usize = psmmu_abi::GRANULE_SIZE / 8;

/// Copies the granule of Realm memory at PA `address`, an address of the machine's, and says whether it
/// could be read.
pub fn read_realm(address: u64, words: &mut [u64; GRANULE_WORDS]) -> bool {
    let to = words.as_mut_ptr().expose_provenance();
    mmu::with_slot(mmu::realm_descriptor(address), |slot| {
        // SAFETY: the slot maps a page for this CPU, and as many words fit into `words`, which nothing else
        // uses. A fault on the page returns false.
        unsafe { rmm_host_copy(to, slot, GRANULE_WORDS) }
    })
}

/// Says whether the 32-bit register at PA `register`, an address of the machine's, can be read.
pub fn answers(register: u64) -> bool {
    let offset = register % psmmu_abi::GRANULE_SIZE as u64;
    mmu::with_slot(mmu::device_descriptor(register - offset), |slot| {
        // SAFETY: the slot maps the page as device memory for this CPU; the registers that are asked for are
        // read without an effect. A fault returns false.
        unsafe { rmm_probe(slot + offset as usize) }
    })
}

/// The accessor of the host's granules.
#[derive(Debug)]
pub struct NsMemory {
    dram: Dram,
}

impl NsMemory {
    /// Opens it for granules in `dram`.
    pub const fn new(dram: Dram) -> Self {
        Self { dram }
    }

    /// Maps `granule` into the slot of this CPU while `copy` runs.
    #[inline]
    fn with_granule(
        &self,
        granule: HostGranule,
        writable: bool,
        copy: impl FnOnce(usize) -> bool,
    ) -> Result<(), HostFault> {
        if !self.dram.contains(granule) {
            return Err(HostFault);
        }
        let copied = mmu::with_slot(mmu::host_descriptor(granule.address(), writable), copy);
        if copied { Ok(()) } else { Err(HostFault) }
    }
}

/// Returns the offset of word `first` if `count` words from there on lie in a granule.
fn offset(first: usize, count: usize) -> Result<usize, HostFault> {
    match first.checked_add(count) {
        Some(end) if end <= GRANULE_WORDS => Ok(first * 8),
        _ => Err(HostFault),
    }
}

impl HostMemory for NsMemory {
    fn read(&self, granule: HostGranule, first: usize, words: &mut [u64]) -> Result<(), HostFault> {
        let offset = offset(first, words.len())?;
        let to = words.as_mut_ptr().expose_provenance();
        self.with_granule(granule, false, |slot| {
            // SAFETY: the slot maps a page for this CPU and the words from the offset on lie in it;
            // as many fit into `words`, which no other code uses. A fault on the page returns false.
            unsafe { rmm_host_copy(to, slot + offset, words.len()) }
        })
    }

    fn write(&self, granule: HostGranule, first: usize, words: &[u64]) -> Result<(), HostFault> {
        let offset = offset(first, words.len())?;
        let from = words.as_ptr().expose_provenance();
        self.with_granule(granule, true, |slot| {
            // SAFETY: as in `read`; the page belongs to no component of this world.
            unsafe { rmm_host_copy(slot + offset, from, words.len()) }
        })
    }

    fn replace(&self, granule: HostGranule, words: &[u64]) -> Result<(), HostFault> {
        let count = words.len().min(GRANULE_WORDS);
        self.with_granule(granule, true, |slot| {
            // SAFETY: as in `write`.
            unsafe { rmm_host_replace(slot, words.as_ptr(), count) }
        })
    }
}
