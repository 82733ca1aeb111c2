// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's `virt` machine with RME under TF-A, as distributed and as `tools/qemu` builds it.
//!
//! The SMMUv3 of QEMU as distributed has one programming interface, which the host can access as well and
//! which the RMM uses in place of a Realm one: IDR0.RME_IMPL is 0, and nothing is isolated. With `-M
//! virt,realm-smmu=on` the SMMU has a Realm interface, which only Realm accesses can reach.

use psmmu::{Config, Delivery, Interface, QueueAbortPolicy, Sizes};
use psmmu_abi::MemoryCategory;

use super::{Console, Devices, ListedPsmmus, Platform, PsmmuDescription, RealmPsmmus, place};
use crate::dram::Bank;
use crate::manifest::DeviceRegion;

/// PA of the SMMU's page 0; page 1 is 64 KiB above.
const SMMU: u64 = 0x0905_0000;

/// Where PCIe devices have their 32-bit BARs.
const PCIE: Bank = Bank::new(0x1000_0000, 0x2EFF_0000).expect("whole granules");

/// PA of page 0 of the Realm interface; page 1 is 64 KiB above. Unassigned without a Realm interface.
const REALM_SMMU: u64 = 0x0B00_0000;

/// Describes the Realm side of the SMMU.
const fn realm_side(delivery: Delivery) -> PsmmuDescription {
    PsmmuDescription {
        config: Config {
            psmmu_ptr: SMMU,
            interface: Interface::Realm,
            delivery,
            abort: QueueAbortPolicy::Discard,
            sizes: Sizes::DEFAULT,
        },
        realm_page_0: REALM_SMMU,
        remark: "",
    }
}

/// QEMU's `virt` machine.
pub const QEMU: Platform = Platform {
    name: "QEMU virt",
    // EL3 and the host write to it too.
    console: Console { base: 0x0900_0000, clock: None },
    realm_memory: place::QEMU,
    devices: Devices {
        regions: &[DeviceRegion { bank: PCIE, category: MemoryCategory::DeviceNonCoherent }],
        // TF-A has all devices in every physical address space.
        are_isolated: false,
    },
    // TF-A sets 40 bits: a Realm access above 1 TiB is taken to EL3 and stops the machine.
    protected_size: 2,
    max_psmmus: 1,
    psmmus: &[PsmmuDescription {
        config: Config {
            psmmu_ptr: SMMU,
            interface: Interface::NonSecureOnly,
            // Interrupts 74 and 77 of the shared ones. There is no PRI queue.
            delivery: Delivery::Wired { gerror: 109, eventq: 106, priq: 0 },
            // QEMU drops a record if the queue is full and does not advance PROD, but reports an aborted
            // write: the queue contents are valid.
            abort: QueueAbortPolicy::Preserve,
            sizes: Sizes::DEFAULT,
        },
        realm_page_0: SMMU,
        remark: "no Realm interface: the Non-secure one stands in, nothing is isolated",
    }],
    realm_psmmus: Some(RealmPsmmus {
        // Interrupts 80 and 83 of the shared ones. There is no PRI queue.
        wired: &[realm_side(Delivery::Wired { gerror: 115, eventq: 112, priq: 0 })],
        msi: &[realm_side(Delivery::Msi)],
    }),
    // TF-A lists none here. A listed SMMU would be known only to have a Realm side.
    listed: ListedPsmmus {
        delivery: Delivery::Disabled,
        abort: QueueAbortPolicy::Discard,
        sizes: Sizes::DEFAULT,
    },
};
