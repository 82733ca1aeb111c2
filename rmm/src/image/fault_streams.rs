// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams that fault: what a stream does while it is not configured, in an image for tests.
//!
//! They all translate through one table, by which the address of an access decides what is wrong with
//! it. Streams 40 to 47 have no valid entry.
//!
//! | address | recorded |
//! |---|---|
//! | 0x0_8000_0000 to 0x0_BFFF_FFFF | F_PERMISSION for a write: mapped for reading only |
//! | 0x0_C000_0000 to 0x0_FFFF_FFFF | F_ACCESS: the access flag is clear |
//! | 0x1_0000_0000 to 0x1_3FFF_FFFF | F_ADDR_SIZE: mapped to an address of 41 bits |
//! | any other | F_TRANSLATION: not mapped |

use core::sync::atomic::{AtomicU64, Ordering};

use psmmu::{Stage2, StreamTableEntry, Translation};

/// Words that are a translation table.
#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

/// Level 1: blocks of 1 GiB for 39 bits of input.
#[unsafe(link_section = ".bss.4k.fault_streams")]
static TABLE: Table = Table([const { AtomicU64::new(0) }; 512]);

const BLOCK: u64 = 1;
const WRITE_BACK: u64 = 0xF << 2;
const READ: u64 = 1 << 6;
const WRITE: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// Device 5 of bus 0.
const WITHOUT_ENTRY: u32 = 5;
/// Log2 of the functions of a device.
const FUNCTIONS: u32 = 3;

/// Fills the table.
pub fn set_up() {
    let memory = BLOCK | WRITE_BACK | INNER_SHAREABLE;
    for (index, descriptor) in [
        (2, (2 * GIB) | memory | READ | ACCESSED),
        (3, (3 * GIB) | memory | READ | WRITE),
        (4, (1 << 40) | memory | READ | WRITE | ACCESSED),
    ] {
        TABLE.0[index].store(descriptor, Ordering::Relaxed);
    }
}

/// Returns the entry of `stream`.
pub fn entry(stream: u32) -> StreamTableEntry {
    if stream >> FUNCTIONS == WITHOUT_ENTRY {
        return StreamTableEntry::INVALID;
    }
    let table = TABLE.0.as_ptr().addr() as u64;
    // 39 bits of input walked from level 1, whose table is one page; 40 bits of output.
    let stage_2 = Stage2 { table, vmid: 1, t0sz: 25, sl0: 1, ps: 2 };
    // SAFETY: 1. The table is the image's own, for good, and has blocks alone. 2. It maps memory of the host in
    // this image for tests, for reading, or what faults; to a device of its own the host gives what it likes.
    // 3. No other stream translates in this image.
    StreamTableEntry::stage_2(unsafe { Translation::new(stage_2) })
}
