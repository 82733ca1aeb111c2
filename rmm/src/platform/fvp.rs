// SPDX-License-Identifier: MIT OR Apache-2.0

//! Arm's FVP Base RevC (`FVP_Base_RevC-2xAEMvA`) with RME under TF-A.
//!
//! Its SMMUv3 has a Realm programming interface. This has not been run yet: `docs/fvp.md` lists what to
//! check first.

use psmmu::{Config, Delivery, Interface, QueueAbortPolicy, Sizes};

use super::{Console, Devices, ListedPsmmus, Platform, PsmmuDescription, place};

/// PA of the SMMU's Non-secure page 0.
const SMMU: u64 = 0x2B40_0000;

/// PA of its Realm page 0: 128 KiB behind the Non-secure one for the Root's page, and 64 KiB for each
/// unit of `SMMU_ROOT_IDR0.BA_REALM`, which the model is asked to have 2 of.
const REALM_PAGE_0: u64 = SMMU + 0x2_0000 + 2 * 0x1_0000;

/// MSIs, since the wired interrupts of the Realm side are not published. A host without a doorbell polls.
const DELIVERY: Delivery = Delivery::Msi;

/// No document states that PROD does not advance when a write is aborted.
const ABORT: QueueAbortPolicy = QueueAbortPolicy::Discard;

/// Arm's FVP.
pub const FVP: Platform = Platform {
    name: "Arm FVP",
    // UART 3, which TF-A's manifest lists. EL3 does not access it.
    console: Console { base: 0x1C0C_0000, clock: Some(14_745_600) },
    realm_memory: place::FVP,
    // From manifest 0.4 on EL3 lists what it can delegate.
    devices: Devices { regions: &[], are_isolated: true },
    // TF-A sets 36 bits.
    protected_size: 1,
    max_psmmus: 1,
    // TF-A 2.12 lists none; from manifest 0.5 on it lists this one.
    psmmus: &[PsmmuDescription {
        config: Config {
            psmmu_ptr: SMMU,
            interface: Interface::Realm,
            delivery: DELIVERY,
            abort: ABORT,
            sizes: Sizes::DEFAULT,
        },
        realm_page_0: REALM_PAGE_0,
        remark: "",
    }],
    realm_psmmus: None,
    listed: ListedPsmmus { delivery: DELIVERY, abort: ABORT, sizes: Sizes::DEFAULT },
};
