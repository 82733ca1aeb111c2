// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's `virt` machine: as distributed, and with a Realm side of the SMMU, which IDR0 says.

/// Where EL3 enters this image. The build script compiles this file too, and passes it to the linker.
pub const IMAGE: u64 = 0x6000_0000;

/// PL011, shared with EL3 and the RMM.
pub const UART: usize = 0x0900_0000;
/// GICv3 distributor.
pub const GICD: usize = 0x0800_0000;
/// GICv3 redistributors, one after the other.
pub const GICR: usize = 0x080A_0000;
/// Register page 0 of the SMMUv3, and so `psmmu_ptr` towards the RMM.
pub const SMMU: u64 = 0x0905_0000;
/// PCIe configuration space of bus 0.
pub const ECAM: usize = 0x40_1000_0000;
/// PCIe memory window below 4 GiB; no address in it is assigned yet.
pub const PCI_WINDOW: u64 = 0x1000_0000;

/// Shared interrupts for MSIs: EVENTQ, GERROR. None: the SMMU has wired interrupts.
pub const MSI_SPIS: Option<[u32; 2]> = None;
/// A device is on the Realm side: by its property, or since the one interface of the SMMU stands in for the
/// Realm one.
pub const REALM_TRAFFIC: bool = true;
/// StreamID of the device that is the host's own where there are two sides, in the scenarios that want one.
pub const HOST_STREAM: u32 = 2 << 3;

/// Page 0 of the SMMU's Realm interface, where it has one.
pub const REALM_SMMU: u64 = 0x0B00_0000;
/// INTIDs of the SMMU's wired interrupts for the RMM: GERROR, EVENTQ. Of the one interface, and of the
/// Realm one.
pub const WIRED_IRQS: [u32; 2] = [109, 106];
pub const REALM_WIRED_IRQS: [u32; 2] = [115, 112];

/// Memory that no image uses, where faulting DMA is aimed at.
pub const DMA_TARGET: u64 = 0x5000_0000;
/// Bytes from [`DMA_TARGET`] to the next thing of interest, this image.
pub const DMA_TARGET_SIZE: u64 = IMAGE - DMA_TARGET;

/// Memory that no image uses, which the host donates to the RMM.
pub const POOL: u64 = 0x7000_0000;
/// Granules from [`POOL`] on.
pub const POOL_GRANULES: usize = 2048;

/// GiB of registers, and of memory. In the memory lies the Realm region: nothing here reads that, and
/// QEMU does not speculate.
pub const DEVICES: [usize; 2] = [0, ECAM >> 30];
pub const MEMORY: [usize; 2] = [1, 2];
