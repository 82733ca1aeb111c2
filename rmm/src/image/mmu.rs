// SPDX-License-Identifier: MIT OR Apache-2.0

//! The address space: the image, the devices and the DRAM that the host may delegate one to one, and a
//! window with four pages for each CPU. Text is guarded: an indirect branch has to end at a landing pad.
//!
//! The window of a CPU is: nothing, its stack, nothing, its slot. The slot is empty but while a granule
//! of the host is copied. Behind the windows lies the stack for the boot. Text is executable and not
//! writable, all else the other way round or less.
//!
//! DRAM is mapped as memory of the Realm world, whosever it is: as long as a granule is the host's the
//! RMM does not touch it here, and what the CPU does on its own account the granule protection check
//! stops.

use core::arch::asm;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use aarch64_paging::descriptor::{El23Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El2, MemoryRegion, PageTable, RootTable, Translation};
use rmm::platform::THIS;
use rmm::{Bank, Dram, MAX_CPUS};

use super::cpu::cpu;
use super::reserved::{PAGE_SIZE, PSMMUS, STACKS};

/// Address of the windows: the last 2 MiB of 39 bits.
pub const WINDOW: usize = (1 << 39) - (1 << 21);
/// From one CPU's window to the next.
pub const WINDOW_STRIDE: usize = 4 * PAGE_SIZE;
/// Top of the stack in a window.
pub const WINDOW_STACK_TOP: usize = 2 * PAGE_SIZE;
/// The slot in a window.
const WINDOW_SLOT: usize = 3 * PAGE_SIZE;

/// Pages of the stack for the boot: it makes what is too large for the others. `tests/image_stack.rs` of the runner
/// adds up what is needed.
const BOOT_STACK_PAGES: usize = 8;
/// Where it lies: behind the windows and one page of nothing.
const BOOT_STACK: usize = WINDOW + MAX_CPUS * WINDOW_STRIDE + PAGE_SIZE;
/// Top of the stack for the boot.
pub const BOOT_STACK_TOP: usize = BOOT_STACK + BOOT_STACK_PAGES * PAGE_SIZE;

// All windows and the stack for the boot are reached through one table of level 3.
const _: () = assert!(BOOT_STACK_TOP <= WINDOW + (1 << 21));
// It is donated by CPUs that are off until the boot is over.
const _: () = assert!(BOOT_STACK_PAGES < MAX_CPUS);

/// MAIR_EL2: attribute 0 is device memory (nGnRE), attribute 1 normal write-back memory.
pub const MAIR: u64 = 0xFF04;
const DEVICE: El23Attributes = El23Attributes::ATTRIBUTE_INDEX_0;
const NORMAL: El23Attributes =
    El23Attributes::ATTRIBUTE_INDEX_1.union(El23Attributes::INNER_SHAREABLE);
const NO_EXECUTE: El23Attributes = El23Attributes::XN;
/// Guards text: an indirect branch that does not end at a landing pad is an exception (BTI, which every CPU with
/// RME has). Only where the compiler builds core too: a core that comes compiled has no landing pads.
const GUARDED: El23Attributes =
    if cfg!(core_from_source) { El23Attributes::GP } else { El23Attributes::empty() };

/// TCR_EL2 without PS: 39 bits of input, 4 KiB granules, walks write-back and inner shareable, bits 31
/// and 23 one.
pub const TCR: u64 = 1 << 31 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;

/// SCTLR_EL2: bits that are one; WXN; caches (I, C); alignment checks (SA, A); the MMU (M). BT stays zero: it is
/// about PACIASP as a landing pad, and no function begins with one. EnIA and the like stay zero too: no pointer is
/// signed.
pub const SCTLR: u64 = 0x30C5_0830 | 1 << 19 | 1 << 12 | 1 << 3 | 1 << 2 | 1 << 1 | 1;

/// Tables that each boot needs: the root; level 2 and 3 for the console, for the image, for the windows.
const BOOT_TABLES: usize = 7;
/// Tables that a machine with ordinary banks needs: also level 3 for the end of the RMM's region, and one
/// for a PSMMU.
const TABLES: usize = BOOT_TABLES + 2;

/// Tables that the rest can need: blocks of 1 GiB are in the root, so each end of a bank needs level 2 and 3
/// at most, and so do the pages of a PSMMU, and the image if it leaves its 2 MiB.
const SPARE_TABLES: usize =
    BOOT_TABLES + 2 + 4 * (Dram::MAX_BANKS + Dram::MAX_HOLES) + 6 * PSMMUS - TABLES;

/// A page table of this exception level.
type Table = PageTable<El23Attributes>;

/// All page tables; the first is the root. Filled before the MMU is on.
#[unsafe(link_section = ".bss.4k.page_tables")]
pub static PAGE_TABLES: Tables = Tables([const { Table::EMPTY }; TABLES]);

/// Page tables for banks whose ends are not aligned and for registers in odd places. Behind all else, and
/// zeroed like `.bss`.
#[unsafe(link_section = ".bss.4spare")]
static SPARE: Spare = Spare([const { Table::EMPTY }; SPARE_TABLES]);

/// As [`Tables`].
#[repr(C, align(4096))]
struct Spare([Table; SPARE_TABLES]);

// SAFETY: as `Tables`.
unsafe impl Sync for Spare {}

/// Page tables that are written by raw pointers, and by the CPU.
#[repr(C, align(4096))]
pub struct Tables([Table; TABLES]);

// SAFETY: a table is an array of atomics; it has no thread of its own.
unsafe impl Sync for Tables {}

/// The level-3 table of the windows.
static WINDOW_TABLE: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());

/// How many of [`PAGE_TABLES`] and then of [`SPARE`] are in use besides the root. It begins with zero, so
/// that the image has no data but what is read.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Hands out [`PAGE_TABLES`] and [`SPARE`] one after the other, the root first. They lie where the CPU finds them, one
/// to one.
struct Pool {
    root_is_out: bool,
}

impl Translation<El23Attributes> for Pool {
    fn allocate_table(&mut self) -> (NonNull<Table>, PhysicalAddress) {
        let index = if self.root_is_out {
            // One CPU at a time, and with the MMU off no atomic addition would work.
            let used = USED.load(Ordering::Relaxed) + 1;
            USED.store(used, Ordering::Relaxed);
            used
        } else {
            self.root_is_out = true;
            0
        };
        let spare = || SPARE.0.get(index.wrapping_sub(TABLES));
        let table = PAGE_TABLES.0.get(index).or_else(spare).expect("there are page tables left");
        let table = NonNull::from(table);
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
#[cfg_attr(core_from_source, optimize(size))]
pub extern "C" fn build() {
    let address = |symbol: *const u8| symbol.addr();
    let text = address(&raw const text_start)..address(&raw const text_end);
    let rodata = text.end..address(&raw const rodata_end);
    let data = rodata.end..address(&raw const bss_end);
    let console = THIS.console.base as usize;
    let read_only = El23Attributes::READ_ONLY;
    map(text.start, text, NORMAL | read_only | GUARDED);
    map(rodata.start, rodata, NORMAL | read_only | NO_EXECUTE);
    map(data.start, data, NORMAL | NO_EXECUTE);
    let spare = (&raw const SPARE).addr();
    map(spare, spare..spare + size_of::<Spare>(), NORMAL | NO_EXECUTE);
    map(console, console..console + PAGE_SIZE, DEVICE | NO_EXECUTE);

    let stacks = (&raw const STACKS).addr();
    for cpu in 0..MAX_CPUS {
        let stack = WINDOW + cpu * WINDOW_STRIDE + WINDOW_STACK_TOP - PAGE_SIZE;
        map(stacks + cpu * PAGE_SIZE, stack..stack + PAGE_SIZE, NORMAL | NO_EXECUTE);
    }
    // The table that was handed out last is the one of level 3 of the windows.
    let last = USED.load(Ordering::Relaxed);
    let table = NonNull::from(PAGE_TABLES.0.get(last).expect("the image is within 2 MiB"));
    WINDOW_TABLE.store(table.cast().as_ptr(), Ordering::Relaxed);
    let donated = stacks + (MAX_CPUS - BOOT_STACK_PAGES) * PAGE_SIZE;
    map(donated, BOOT_STACK..BOOT_STACK_TOP, NORMAL | NO_EXECUTE);
}

/// Returns where the image and all memory that belongs to it lie.
pub fn image() -> Range<u64> {
    let spare = (&raw const SPARE).addr() + size_of::<Spare>();
    (&raw const text_start).addr() as u64..spare as u64
}

/// First address that cannot be mapped one to one.
pub const MAPPABLE: u64 = WINDOW as u64;

/// Maps registers of a PSMMU: 64 KiB at PA `base`, which end below [`MAPPABLE`]. Called while the first CPU
/// boots.
pub fn map_registers(base: u64) {
    const REGISTERS: u64 = 0x1_0000;
    map_one_to_one(base, base + REGISTERS, DEVICE | NO_EXECUTE);
}

/// Maps a bank of DRAM, which ends below [`MAPPABLE`], as memory of the Realm world. Called while the first
/// CPU boots.
pub fn map_dram(bank: &Bank) {
    map_one_to_one(bank.base(), bank.end(), NORMAL | NO_EXECUTE);
}

/// Maps the RMM's own memory behind the image, `bytes` of it or what there is, and returns address and
/// size. Called while the first CPU boots, which alone may use it.
#[cfg_attr(core_from_source, optimize(size))]
pub fn map_room(bytes: usize) -> (usize, usize) {
    const BLOCK: usize = 1 << 21;
    let start = image().end as usize;
    // In its last page the region has the buffer that is shared with EL3. The table of the block in which
    // the image ends is there, and whole blocks need none.
    let limit = (THIS.realm_memory.end as usize - PAGE_SIZE) / BLOCK * BLOCK;
    let wanted = start.saturating_add(bytes);
    let step = if wanted <= start.next_multiple_of(BLOCK) { PAGE_SIZE } else { BLOCK };
    let end = wanted.checked_next_multiple_of(step).unwrap_or(limit).min(limit).max(start);
    if end > start {
        map_one_to_one(start as u64, end as u64, NORMAL | NO_EXECUTE);
    }
    (start, end - start)
}

#[cfg_attr(core_from_source, optimize(size))]
fn map_one_to_one(base: u64, end: u64, attributes: El23Attributes) {
    map(base as usize, base as usize..end as usize, attributes);
    // SAFETY: a barrier: the new descriptors are seen before what they map is used. None was valid
    // before, so there is nothing to invalidate.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}

/// Maps `range` to the memory from `pa` on.
#[cfg_attr(core_from_source, optimize(size))]
fn map(pa: usize, range: Range<usize>, attributes: El23Attributes) {
    let always = El23Attributes::VALID | El23Attributes::ACCESSED | El23Attributes::USER_RES1;
    let region = MemoryRegion::new(range.start, range.end);
    let mut root = RootTable::new(Pool { root_is_out: false }, 1, El2);
    let constraints = Constraints::NO_CONTIGUOUS_HINT;
    // (Not `expect`, which would drag in all that prints an error.)
    if root.map_range(&region, PhysicalAddress(pa), attributes | always, constraints).is_err() {
        panic!("{:#x} does not fit into 39 bits", range.start);
    }
    // It must not be taken apart.
    core::mem::forget(root);
}

/// Takes the stack for the boot away. The CPUs that have donated it may come now.
#[cfg_attr(core_from_source, optimize(size))]
pub extern "C" fn leave_boot_stack() {
    for page in 0..BOOT_STACK_PAGES {
        let address = BOOT_STACK + page * PAGE_SIZE;
        window_entry((address - WINDOW) / PAGE_SIZE).store(0, Ordering::Relaxed);
        invalidate(address);
    }
}

/// Returns the descriptor of a page of the windows.
fn window_entry(index: usize) -> &'static AtomicU64 {
    let table = WINDOW_TABLE.load(Ordering::Relaxed);
    // SAFETY: `build` has stored the address of one of the page tables, 512 words that live for ever
    // and are written as atomics only, and the index is taken within them.
    unsafe { &*table.add(index % 512) }
}

/// Has this CPU forget the translation of a page whose descriptor was just made invalid. Only this CPU
/// has used it.
fn invalidate(address: usize) {
    // SAFETY: nothing uses the page any longer; the invalidation is complete before anything else is
    // done.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi vae2, {page}",
            "dsb nsh",
            "isb",
            page = in(reg) address >> 12,
            options(nostack, preserves_flags),
        );
    }
}

/// Maps a page by `descriptor` into the slot of this CPU while `with` runs on its address.
#[inline]
pub fn with_slot<T>(descriptor: u64, with: impl FnOnce(usize) -> T) -> T {
    let index = (cpu() % MAX_CPUS) * (WINDOW_STRIDE / PAGE_SIZE) + WINDOW_SLOT / PAGE_SIZE;
    let slot = WINDOW + index * PAGE_SIZE;
    let entry = window_entry(index);

    entry.store(descriptor, Ordering::Relaxed);
    // SAFETY: the slot was invalid and no translation of it is cached, since it is invalidated below
    // after each use; barriers only make the new descriptor be seen.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };

    let result = with(slot);

    entry.store(0, Ordering::Relaxed);
    invalidate(slot);
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

/// Returns the descriptor that maps the page of registers at PA `address` for reading.
pub const fn device_descriptor(address: u64) -> u64 {
    let page = PAGE.difference(NORMAL).union(DEVICE);
    address | page.bits() as u64
}

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
