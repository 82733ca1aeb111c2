// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where things are, which the feature `fvp` chooses, and the page table that maps them.

use aarch64_rt::{DEFAULT_MAIR, InitialPagetable, initial_pagetable};

#[cfg(feature = "fvp")]
#[path = "platform/fvp.rs"]
mod this;
#[cfg(not(feature = "fvp"))]
#[path = "platform/qemu.rs"]
mod this;

pub use this::*;

const GIB: usize = 1 << 30;

const VALID: usize = 1 << 0;
const NORMAL: usize = 1 << 2;
/// AP[1] is RES1 where there is one privilege level only.
const AP_RES1: usize = 1 << 6;
const INNER_SHAREABLE: usize = 3 << 8;
const ACCESSED: usize = 1 << 10;
const EXECUTE_NEVER: usize = 1 << 54;

const REGISTERS: usize = VALID | AP_RES1 | ACCESSED | EXECUTE_NEVER;
const NORMAL_MEMORY: usize = VALID | NORMAL | AP_RES1 | INNER_SHAREABLE | ACCESSED;

/// Maps VA to equal PA, in level-1 blocks of 1 GiB.
const fn page_table() -> InitialPagetable {
    const fn block(index: usize, attributes: usize) -> usize {
        (index * GIB) | attributes
    }
    let mut table = [0; 512];
    let mut index = 0;
    while index < this::DEVICES.len() {
        let gib = this::DEVICES[index];
        table[gib] = block(gib, REGISTERS);
        index += 1;
    }
    index = 0;
    while index < this::MEMORY.len() {
        let gib = this::MEMORY[index];
        table[gib] = block(gib, NORMAL_MEMORY);
        index += 1;
    }
    InitialPagetable(table)
}

/// SCTLR_EL2: RES1 bits, M, C, SA, I.
const SCTLR: u64 = 0x30C5_0830 | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12;

/// TCR_EL2 with E2H = 0: RES1 bits, 40-bit PA, inner shareable write-back walks, 39-bit VA.
///
/// aarch64-rt adds PARange at bits 35:32, where it belongs in TCR_EL1: with QEMU's 52 bits that sets
/// bits 33 and 34, with the FVP's 48 bits 32 and 34. Of them bit 32 would mean another format of
/// descriptors, on a CPU that has 52 bits of address with pages of 4 KiB: `tools/fvp` takes that away.
const TCR: u64 = 1 << 31 | 1 << 23 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | (64 - 39);

initial_pagetable!(page_table(), DEFAULT_MAIR, SCTLR, TCR);
