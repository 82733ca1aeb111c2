// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's `virt` machine.

/// Where EL3 enters this image. The build script compiles this file too, and hands it to the linker.
pub const IMAGE: u64 = 0x6000_0000;

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

/// Shared interrupts for messages: EVENTQ, GERROR. None: the SMMU has wires.
pub const MESSAGES: Option<[u32; 2]> = None;
/// The one interface of this SMMU stands in for the Realm one, so each device is on the Realm side.
pub const REALM_TRAFFIC: bool = true;

/// Memory that no image uses, where faulting DMA is aimed at.
pub const DMA_TARGET: u64 = 0x5000_0000;
/// Bytes from [`DMA_TARGET`] to the next thing of interest, this image.
pub const DMA_TARGET_SIZE: u64 = IMAGE - DMA_TARGET;

/// Memory that no image uses, which the host lends to the RMM.
pub const POOL: u64 = 0x7000_0000;
/// Granules from [`POOL`] on.
pub const POOL_GRANULES: usize = 2048;

/// GiB of registers, and of memory. In the memory lies the Realm region: nothing here reads that, and
/// QEMU does not speculate.
pub const DEVICES: [usize; 2] = [0, ECAM >> 30];
pub const MEMORY: [usize; 2] = [1, 2];
