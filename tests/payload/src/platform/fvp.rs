// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arm's FVP Base RevC with RME. Not run on a model yet: `docs/fvp.md` says what to check first.

/// Where EL3 enters this image. The build script compiles this file too, and passes it to the linker.
pub const IMAGE: u64 = 0x8800_0000;

/// PL011 number 0. The RMM has number 3, EL3 has number 1 once it has booted.
pub const UART: usize = 0x1C09_0000;
/// GICv3 distributor.
pub const GICD: usize = 0x2F00_0000;
/// GICv3 redistributors, one after the other.
pub const GICR: usize = 0x2F10_0000;
/// Register page 0 of the SMMUv3, and so `psmmu_ptr` towards the RMM.
pub const SMMU: u64 = 0x2B40_0000;
/// PCIe configuration space of bus 0.
pub const ECAM: usize = 0x4000_0000;
/// PCIe memory window below 4 GiB; no address in it is assigned yet.
pub const PCI_WINDOW: u64 = 0x5000_0000;

/// Shared interrupts for MSIs: EVENTQ, GERROR. Of the 224 that the model has, two of the last:
/// no device of the model is connected to them.
pub const MSI_SPIS: Option<[u32; 2]> = Some([240, 241]);
/// A device is on the Realm side when it has been locked by TDISP, which this RMM does not do.
pub const REALM_TRAFFIC: bool = false;
/// StreamID of the device that is the host's own among those of the Realm world: there are none of these.
pub const HOST_STREAM: u32 = u32::MAX;

/// Page 0 of the SMMU's Realm interface.
pub const REALM_SMMU: u64 = 0x2B44_0000;
/// INTIDs of the SMMU's wired interrupts for the RMM: GERROR, EVENTQ. Unknown; the RMM uses none.
pub const WIRED_IRQS: [u32; 2] = [0, 0];
pub const REALM_WIRED_IRQS: [u32; 2] = [0, 0];

/// Memory that no image uses, where faulting DMA is aimed at.
pub const DMA_TARGET: u64 = IMAGE + 0x1000_0000;
/// Bytes from [`DMA_TARGET`] to the next thing of interest.
pub const DMA_TARGET_SIZE: u64 = 0x1000_0000;

/// Memory that no image uses, which the host donates to the RMM.
pub const POOL: u64 = 0x9000_0000;
/// Granules from [`POOL`] on.
pub const POOL_GRANULES: usize = 2048;

/// GiB of registers, and of memory. The GiB that has the memory of the other security states at its end is not
/// mapped at all.
pub const DEVICES: [usize; 2] = [0, 1];
pub const MEMORY: [usize; 1] = [2];
