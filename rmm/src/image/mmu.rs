// SPDX-License-Identifier: MIT OR Apache-2.0

//! The address space: the image and the devices one to one, and a window with four pages for each CPU.
//!
//! The window of a CPU is: nothing, its stack, nothing, its slot. The slot is empty but while a granule
//! of the host is copied. Text is executable and not writable, all else the other way round or less.

use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use aarch64_paging::descriptor::{El23Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El2, MemoryRegion, PageTable, RootTable, Translation};
use rmm::MAX_CPUS;
use rmm::platform::{Platform, QEMU};

use super::boot::cpu;
use super::memory::{PAGE_SIZE, STACKS};

/// Address of the windows: the last 2 MiB of 39 bits.
pub const WINDOW: usize = (1 << 39) - (1 << 21);
/// From one CPU's window to the next.
pub const WINDOW_STRIDE: usize = 4 * PAGE_SIZE;
/// Top of the stack in a window.
pub const WINDOW_STACK_TOP: usize = 2 * PAGE_SIZE;
/// The slot in a window.
const WINDOW_SLOT: usize = 3 * PAGE_SIZE;

// All windows are reached through one table of level 3.
const _: () = assert!(MAX_CPUS * WINDOW_STRIDE <= 1 << 21);

/// MAIR_EL2: attribute 0 is device memory (nGnRE), attribute 1 normal write-back memory.
pub const MAIR: u64 = 0xFF04;
const DEVICE: El23Attributes = El23Attributes::ATTRIBUTE_INDEX_0;
const NORMAL: El23Attributes =
    El23Attributes::ATTRIBUTE_INDEX_1.union(El23Attributes::INNER_SHAREABLE);

/// TCR_EL2 without PS: 39 bits of input, 4 KiB granules, walks write-back and inner shareable, bits 31
/// and 23 one.
pub const TCR: u64 = 1 << 31 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;

/// SCTLR_EL2: bits that are one; WXN; caches (I, C); alignment checks (SA, A); the MMU (M).
pub const SCTLR: u64 = 0x30C5_0830 | 1 << 19 | 1 << 12 | 1 << 3 | 1 << 2 | 1 << 1 | 1;

/// Tables: the root; level 2 and 3 for the devices, for the image, for the windows.
const TABLES: usize = 7;

/// A page table of this exception level.
type Table = PageTable<El23Attributes>;

/// All page tables; the first is the root. Filled before the MMU is on.
#[unsafe(link_section = ".bss.4k.page_tables")]
pub static PAGE_TABLES: Tables = Tables([const { Table::EMPTY }; TABLES]);

/// Page tables that are written by raw pointers, and by the CPU.
#[repr(C, align(4096))]
pub struct Tables([Table; TABLES]);

// SAFETY: a table is an array of atomics; it has no thread of its own.
unsafe impl Sync for Tables {}

/// The level-3 table of the windows.
static WINDOW_TABLE: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());

/// Hands out [`PAGE_TABLES`] one after the other. They lie where the CPU finds them, one to one.
struct Pool {
    used: usize,
}

impl Translation<El23Attributes> for Pool {
    fn allocate_table(&mut self) -> (NonNull<Table>, PhysicalAddress) {
        let table = NonNull::from(&PAGE_TABLES.0[self.used]);
        self.used += 1;
        (table, PhysicalAddress(table.as_ptr().addr()))
    }

    unsafe fn deallocate_table(&mut self, _: NonNull<Table>) {
        unreachable!("tables are only ever added");
    }

    fn physical_to_virtual(&self, address: PhysicalAddress) -> NonNull<Table> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(address.0))
            .expect("a table is somewhere")
    }
}

unsafe extern "C" {
    static text_start: u8;
    static text_end: u8;
    static rodata_end: u8;
    static bss_end: u8;
}

/// Fills the page tables. Called once, on the first CPU, with the MMU off: no lock may be taken.
pub extern "C" fn build() {
    let address = |symbol: *const u8| symbol.addr();
    let text = address(&raw const text_start)..address(&raw const text_end);
    let rodata = text.end..address(&raw const rodata_end);
    let data = rodata.end..address(&raw const bss_end);
    let mut root = RootTable::new(Pool { used: 0 }, 1, El2);

    let read_only = El23Attributes::READ_ONLY;
    let no_execute = El23Attributes::XN;
    map(&mut root, text.start, text, NORMAL | read_only);
    map(&mut root, rodata.start, rodata, NORMAL | read_only | no_execute);
    map(&mut root, data.start, data, NORMAL | no_execute);

    let platform: &Platform = &QEMU;
    let mut map_device = |base: u64, size: usize| {
        let base = base as usize;
        map(&mut root, base, base..base + size, DEVICE | no_execute);
    };
    map_device(platform.console, PAGE_SIZE);
    for psmmu in platform.psmmus {
        const REGISTER_PAGE: usize = 0x1_0000;
        for page in [psmmu.config.name, psmmu.realm_page_0, psmmu.realm_page_1] {
            map_device(page, REGISTER_PAGE);
        }
    }

    // The windows come last, so the table that was handed out last is the one of their level 3.
    let stacks = (&raw const STACKS).addr();
    for cpu in 0..MAX_CPUS {
        let stack = WINDOW + cpu * WINDOW_STRIDE + WINDOW_STACK_TOP - PAGE_SIZE;
        let pages = stack..stack + PAGE_SIZE;
        map(&mut root, stacks + cpu * PAGE_SIZE, pages, NORMAL | no_execute);
    }
    let last = root.translation().used - 1;
    let table = NonNull::from(&PAGE_TABLES.0[last]);
    WINDOW_TABLE.store(table.cast().as_ptr(), Ordering::Relaxed);
    // It must not be taken apart.
    core::mem::forget(root);
}

/// Maps `range` to the memory from `pa` on.
fn map(
    root: &mut RootTable<El2, Pool>,
    pa: usize,
    range: core::ops::Range<usize>,
    attributes: El23Attributes,
) {
    let always = El23Attributes::VALID | El23Attributes::ACCESSED | El23Attributes::USER_RES1;
    let region = MemoryRegion::new(range.start, range.end);
    let constraints = Constraints::NO_BLOCK_MAPPINGS | Constraints::NO_CONTIGUOUS_HINT;
    root.map_range(&region, PhysicalAddress(pa), attributes | always, constraints)
        .expect("every range fits into 39 bits");
}

/// Maps a page by `descriptor` into the slot of this CPU while `with` runs on its address.
#[inline]
pub fn with_slot<T>(descriptor: u64, with: impl FnOnce(usize) -> T) -> T {
    let index = (cpu() % MAX_CPUS) * (WINDOW_STRIDE / PAGE_SIZE) + WINDOW_SLOT / PAGE_SIZE;
    let slot = WINDOW + index * PAGE_SIZE;
    let table = WINDOW_TABLE.load(Ordering::Relaxed);
    // SAFETY: `build` has stored the address of one of the page tables, 512 words that live for ever,
    // and `index` is below 512 as all windows lie in one table. They are written as atomics only, the
    // descriptor of a slot by its CPU only.
    let entry = unsafe { &*table.add(index) };

    entry.store(descriptor, Ordering::Relaxed);
    // SAFETY: the slot was invalid and no translation of it is cached, since it is invalidated below
    // after each use; barriers only make the new descriptor be seen.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };

    let result = with(slot);

    entry.store(0, Ordering::Relaxed);
    // SAFETY: only this CPU uses its slot, and no longer; the invalidation is complete before anything
    // else is done.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi vae2, {page}",
            "dsb nsh",
            "isb",
            page = in(reg) slot >> 12,
            options(nostack, preserves_flags),
        );
    }
    result
}

/// Descriptor of a page of normal memory for reading, of the Realm world if nothing is added.
const PAGE: El23Attributes = NORMAL
    .union(El23Attributes::VALID)
    .union(El23Attributes::TABLE_OR_PAGE)
    .union(El23Attributes::ACCESSED)
    .union(El23Attributes::USER_RES1)
    .union(El23Attributes::READ_ONLY)
    .union(El23Attributes::XN);

/// Returns the descriptor that maps the granule of Realm memory at PA `address` for reading.
pub const fn realm_descriptor(address: u64) -> u64 {
    address | PAGE.bits() as u64
}

/// Returns the descriptor that maps the Non-secure granule at PA `address`, for reading only or for
/// writing too.
pub const fn host_descriptor(address: u64, writable: bool) -> u64 {
    let page = PAGE.union(El23Attributes::NS);
    let page = if writable { page.difference(El23Attributes::READ_ONLY) } else { page };
    address | page.bits() as u64
}
