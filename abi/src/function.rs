// SPDX-License-Identifier: MIT OR Apache-2.0

//! Function identifiers, which a caller passes in X0.

use crate::Unknown;

/// First value of the range of RMI and RMM-EL3 function identifiers: SMC64, fast call, Standard
/// service. The function number is added to it.
const BASE: u32 = 0xC400_0000;

/// The "no live SVE state" hint of SMCCC 1.3, bit 16 of a function identifier. EL3 passes it on, so a
/// responder masks it before it decodes the identifier.
pub const SVE_HINT: u64 = 1 << 16;

/// Lowest function number, and how many numbers there are up to the highest one.
const FIRST: usize = (Function::ALL[0] as u32 - BASE) as usize;
const SPAN: usize = (Function::ALL[Function::ALL.len() - 1] as u32 - BASE) as usize + 1 - FIRST;

/// Where each function number from [`FIRST`] on is in [`Function::ALL`]: two loads, where the compiler makes a jump of
/// a `match`.
static INDEXES: [u8; SPAN] = {
    let mut indexes = [NONE; SPAN];
    let mut index = 0;
    while index < Function::ALL.len() {
        indexes[(Function::ALL[index] as u32 - BASE) as usize - FIRST] = index as u8;
        index += 1;
    }
    indexes
};

/// In [`INDEXES`]: no command of ours.
const NONE: u8 = u8::MAX;

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// The RMI commands that this ABI describes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Function {
            $($(#[$doc])* $name = BASE + $number,)*
        }

        impl Function {
            /// Every command, in the order of the function numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        impl TryFrom<u64> for Function {
            type Error = Unknown;

            /// Decodes a function identifier from X0. The [`SVE_HINT`] is ignored; any other additional
            /// bit makes the identifier unknown.
            fn try_from(x0: u64) -> Result<Self, Unknown> {
                let id = x0 & !SVE_HINT;
                if id >> 16 != BASE as u64 >> 16 {
                    return Err(Unknown(x0));
                }
                let place = usize::from(id as u16).wrapping_sub(FIRST);
                let index = INDEXES.get(place).copied().unwrap_or(NONE);
                Self::ALL.get(usize::from(index)).copied().ok_or(Unknown(x0))
            }
        }
    };
}

functions! {
    /// `RMI_VERSION`: negotiates an ABI version. Any RMM state.
    Version = 0x150,
    /// `RMI_FEATURES`: reads a feature register. Any RMM state.
    Features = 0x165,
    /// `RMI_VSMMU_CREATE`: like all commands of virtual SMMUs, not supported without the feature.
    VsmmuCreate = 0x16A,
    /// `RMI_VSMMU_DESTROY`.
    VsmmuDestroy = 0x16B,
    /// `RMI_RMM_CONFIG_SET`: sets granule and tracking region size. RMM state INIT only.
    RmmConfigSet = 0x16E,
    /// `RMI_PSMMU_IRQ_NOTIFY`: returns the oldest event of a physical SMMU.
    PsmmuIrqNotify = 0x16F,
    /// `RMI_VSMMU_EVENT_NOTIFY`; `VSMMU_EVENT_HANDLE` from bet3 on.
    VsmmuEventNotify = 0x1D6,
    /// `RMI_PSMMU_ACTIVATE`: activates the Realm side of a physical SMMU.
    PsmmuActivate = 0x1D7,
    /// `RMI_PSMMU_DEACTIVATE`: deactivates it.
    PsmmuDeactivate = 0x1D8,
    /// `RMI_PSMMU_ST_L2_CREATE`: creates a level-2 stream table.
    PsmmuStL2Create = 0x1DB,
    /// `RMI_PSMMU_ST_L2_DESTROY`: destroys one.
    PsmmuStL2Destroy = 0x1DC,
    /// `RMI_GRANULE_TRACKING_GET`: returns how the RMM tracks a range of memory. Any RMM state.
    GranuleTrackingGet = 0x1E1,
    /// `RMI_RMM_CONFIG_GET`: reads the configuration. Any RMM state.
    RmmConfigGet = 0x1EC,
    /// `RMI_RMM_STATE_GET`: returns the RMM state. Any RMM state.
    RmmStateGet = 0x1EE,
    /// `RMI_PSMMU_EVENT_CONSUME` (`EVENT_DISCARD` in early betas): consumes the reported event.
    PsmmuEventConsume = 0x1F0,
    /// `RMI_GRANULE_RANGE_DELEGATE`: delegates granules.
    GranuleRangeDelegate = 0x1F1,
    /// `RMI_GRANULE_RANGE_UNDELEGATE`: undelegates them.
    GranuleRangeUndelegate = 0x1F2,
    /// `RMI_RMM_ACTIVATE`: moves the RMM from INIT to ACTIVE.
    RmmActivate = 0x202,
    /// `RMI_OP_CONTINUE`: continues a stateful operation.
    OpContinue = 0x203,
    /// `RMI_OP_MEM_DONATE`: donates memory to it.
    OpMemDonate = 0x208,
    /// `RMI_OP_MEM_RECLAIM`: reclaims memory from it.
    OpMemReclaim = 0x209,
    /// `RMI_OP_CANCEL`: cancels it.
    OpCancel = 0x20A,
    /// `RMI_VSMMU_FEATURES`.
    VsmmuFeatures = 0x20B,
    /// `RMI_VSMMU_CMD_GET`.
    VsmmuCmdGet = 0x20C,
    /// `RMI_VSMMU_CMD_COMPLETE`.
    VsmmuCmdComplete = 0x20D,
    /// `RMI_PSMMU_INFO`: returns how the Realm side interrupts the host.
    PsmmuInfo = 0x20E,
    /// `RMI_RMM_DEACTIVATE`: moves the RMM from ACTIVE to INIT. From bet3 on.
    RmmDeactivate = 0x20F,
    /// `RMI_GPT_INFO`: returns the owner of the granule protection tables of a range. From bet3 on.
    GptInfo = 0x211,
}

impl Function {
    /// Returns the value for X0.
    #[must_use]
    pub const fn id(self) -> u64 {
        self as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_ids_round_trip_with_and_without_the_sve_hint() {
        for &function in Function::ALL {
            assert_eq!(Function::try_from(function.id()), Ok(function));
            assert_eq!(Function::try_from(function.id() | SVE_HINT), Ok(function));
        }
    }

    #[test]
    fn an_identifier_with_any_other_surplus_bit_is_unknown() {
        for bit in (0..64).filter(|&bit| bit != 16) {
            let flipped = Function::PsmmuInfo.id() ^ (1 << bit);
            assert_ne!(Function::try_from(flipped), Ok(Function::PsmmuInfo), "bit {bit}");
        }
        assert_eq!(Function::try_from(0), Err(Unknown(0)));
    }

    #[test]
    fn identifiers_have_the_values_of_the_wire() {
        let expected: [(Function, u64); 28] = [
            (Function::Version, 0xC400_0150),
            (Function::Features, 0xC400_0165),
            (Function::VsmmuCreate, 0xC400_016A),
            (Function::VsmmuDestroy, 0xC400_016B),
            (Function::RmmConfigSet, 0xC400_016E),
            (Function::PsmmuIrqNotify, 0xC400_016F),
            (Function::VsmmuEventNotify, 0xC400_01D6),
            (Function::PsmmuActivate, 0xC400_01D7),
            (Function::PsmmuDeactivate, 0xC400_01D8),
            (Function::PsmmuStL2Create, 0xC400_01DB),
            (Function::PsmmuStL2Destroy, 0xC400_01DC),
            (Function::GranuleTrackingGet, 0xC400_01E1),
            (Function::RmmConfigGet, 0xC400_01EC),
            (Function::RmmStateGet, 0xC400_01EE),
            (Function::PsmmuEventConsume, 0xC400_01F0),
            (Function::GranuleRangeDelegate, 0xC400_01F1),
            (Function::GranuleRangeUndelegate, 0xC400_01F2),
            (Function::RmmActivate, 0xC400_0202),
            (Function::OpContinue, 0xC400_0203),
            (Function::OpMemDonate, 0xC400_0208),
            (Function::OpMemReclaim, 0xC400_0209),
            (Function::OpCancel, 0xC400_020A),
            (Function::VsmmuFeatures, 0xC400_020B),
            (Function::VsmmuCmdGet, 0xC400_020C),
            (Function::VsmmuCmdComplete, 0xC400_020D),
            (Function::PsmmuInfo, 0xC400_020E),
            (Function::RmmDeactivate, 0xC400_020F),
            (Function::GptInfo, 0xC400_0211),
        ];
        for (function, id) in expected {
            assert_eq!(function.id(), id);
        }
        assert_eq!(expected.len(), Function::ALL.len());
    }
}
