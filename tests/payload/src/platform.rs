// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where things are on QEMU's `virt` machine, and the page table that maps them.

use aarch64_rt::{DEFAULT_MAIR, InitialPagetable, initial_pagetable};

/// PL011, shared with EL3 and the RMM.
pub const UART: usize = 0x0900_0000;
/// GICv3 distributor.
pub const GICD: usize = 0x0800_0000;
/// GICv3 redistributors, one after the other.
pub const GICR: usize = 0x080A_0000;
/// Register page 0 of the SMMUv3, and so the PSMMU's name towards the RMM.
pub const SMMU: u64 = 0x0905_0000;
/// PCIe configuration space of bus 0.
pub const ECAM: usize = 0x40_1000_0000;
/// PCIe memory window below 4 GiB; nobody has assigned anything in it.
pub const PCI_WINDOW: u64 = 0x1000_0000;

/// Memory that no image uses, where faulting DMA is aimed at.
pub const DMA_TARGET: u64 = 0x5000_0000;
/// Bytes from [`DMA_TARGET`] to the next thing of interest, this image.
pub const DMA_TARGET_SIZE: u64 = 0x1000_0000;

/// Memory that no image uses, which the host lends to the RMM.
pub const POOL: u64 = 0x7000_0000;
/// Granules from [`POOL`] on.
pub const POOL_GRANULES: usize = 2048;

const GIB: usize = 1 << 30;

const VALID: usize = 1 << 0;
const NORMAL: usize = 1 << 2;
/// AP[1] is RES1 where there is one privilege level only.
const AP_RES1: usize = 1 << 6;
const INNER_SHAREABLE: usize = 3 << 8;
const ACCESSED: usize = 1 << 10;
const EXECUTE_NEVER: usize = 1 << 54;

const DEVICE: usize = VALID | AP_RES1 | ACCESSED | EXECUTE_NEVER;
const MEMORY: usize = VALID | NORMAL | AP_RES1 | INNER_SHAREABLE | ACCESSED;

/// Maps VA to equal PA, in level-1 blocks of 1 GiB.
const fn page_table() -> InitialPagetable {
    const fn block(index: usize, attributes: usize) -> usize {
        (index * GIB) | attributes
    }
    const ECAM_INDEX: usize = ECAM / GIB;
    let mut table = [0; 512];
    table[0] = block(0, DEVICE);
    // With the Realm region in it: nothing here reads that, and QEMU does not speculate.
    table[1] = block(1, MEMORY);
    table[2] = block(2, MEMORY);
    table[ECAM_INDEX] = block(ECAM_INDEX, DEVICE);
    InitialPagetable(table)
}

/// SCTLR_EL2: RES1 bits, M, C, SA, I.
const SCTLR: u64 = 0x30C5_0830 | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12;

/// TCR_EL2 with E2H = 0: RES1 bits, 40-bit PA, inner shareable write-back walks, 39-bit VA.
///
/// aarch64-rt adds PARange at bits 35:32, where it belongs in TCR_EL1: with QEMU's 52 bits that sets
/// bits 33 and 34, which mean nothing there.
const TCR: u64 = 1 << 31 | 1 << 23 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | (64 - 39);

initial_pagetable!(page_table(), DEFAULT_MAIR, SCTLR, TCR);
