// SPDX-License-Identifier: MIT OR Apache-2.0

//! Defines what an SMMU reports: event numbers, the syndrome of a fault, the causes of an error.

use core::fmt;

use crate::Unknown;

macro_rules! event_numbers {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $sentence:literal;)*) => {
        /// Number of an event, bits 7:0 of an SMMUv3 event record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum EventNumber {
            $(#[doc = concat!("`", $text, "`: ", $sentence, ".")] $(#[$doc])* $name = $number,)*
        }

        impl EventNumber {
            /// Every event that the architecture defines, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the architecture's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Returns a description of the event for a log line.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)*
                }
            }
        }

        impl TryFrom<u8> for EventNumber {
            type Error = Unknown;

            fn try_from(number: u8) -> Result<Self, Unknown> {
                match number {
                    $($number => Ok(Self::$name),)*
                    _ => Err(Unknown(number.into())),
                }
            }
        }
    };
}

event_numbers! {
    UnsupportedTransaction = 0x01, "F_UUT", "the transaction is of a kind that the SMMU does not support";
    BadStreamId = 0x02, "C_BAD_STREAMID", "the StreamID lies outside the stream table";
    SteFetch = 0x03, "F_STE_FETCH", "the stream table entry could not be fetched";
    BadSte = 0x04, "C_BAD_STE", "the stream table entry is invalid";
    BadAtsRequest = 0x05, "F_BAD_ATS_TREQ", "an ATS translation request is not allowed";
    StreamDisabled = 0x06, "F_STREAM_DISABLED", "the stream does not take transactions of this kind";
    TranslationForbidden = 0x07, "F_TRANSL_FORBIDDEN", "a translated transaction is not allowed";
    BadSubstreamId = 0x08, "C_BAD_SUBSTREAMID", "the SubstreamID is not allowed here";
    CdFetch = 0x09, "F_CD_FETCH", "the context descriptor could not be fetched";
    BadCd = 0x0A, "C_BAD_CD", "the context descriptor is invalid";
    WalkAbort = 0x0B, "F_WALK_EABT", "a translation table walk was aborted";
    Translation = 0x10, "F_TRANSLATION", "the address is not mapped";
    AddressSize = 0x11, "F_ADDR_SIZE", "an address is too large";
    AccessFlag = 0x12, "F_ACCESS", "the access flag is clear";
    Permission = 0x13, "F_PERMISSION", "the access is not permitted";
    TlbConflict = 0x20, "F_TLB_CONFLICT", "TLB entries conflict";
    ConfigConflict = 0x21, "F_CFG_CONFLICT", "cached configurations conflict";
    PageRequest = 0x24, "E_PAGE_REQUEST", "a page is requested speculatively";
    VmsFetch = 0x25, "F_VMS_FETCH", "the virtual machine structure could not be fetched";
}

impl EventNumber {
    /// Returns whether records of this event carry the address that the device used.
    #[must_use]
    pub const fn has_input_address(self) -> bool {
        matches!(
            self,
            Self::UnsupportedTransaction
                | Self::BadAtsRequest
                | Self::TranslationForbidden
                | Self::WalkAbort
                | Self::TlbConflict
                | Self::PageRequest
        ) || self.is_translation_fault()
    }

    /// Returns whether records of this event carry the address whose fetch failed.
    #[must_use]
    pub const fn has_fetch_address(self) -> bool {
        matches!(self, Self::SteFetch | Self::CdFetch | Self::WalkAbort | Self::VmsFetch)
    }

    /// Returns whether records of this event have the RnW bit.
    #[must_use]
    pub const fn has_access(self) -> bool {
        matches!(
            self,
            Self::UnsupportedTransaction
                | Self::TranslationForbidden
                | Self::WalkAbort
                | Self::TlbConflict
        ) || self.is_translation_fault()
    }

    /// Returns whether records of this event have the S2 bit.
    #[must_use]
    pub const fn has_stage(self) -> bool {
        matches!(self, Self::WalkAbort | Self::TlbConflict) || self.is_translation_fault()
    }

    /// Returns whether records of this event have a [`FaultClass`].
    #[must_use]
    pub const fn has_class(self) -> bool {
        matches!(self, Self::WalkAbort) || self.is_translation_fault()
    }

    const fn is_translation_fault(self) -> bool {
        matches!(self, Self::Translation | Self::AddressSize | Self::AccessFlag | Self::Permission)
    }
}

/// Where in a translation a fault happened, CLASS of an event record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FaultClass {
    /// Stage 2, while fetching a context descriptor.
    ContextDescriptor = 0,
    /// During a translation table walk.
    TableWalk = 1,
    /// On the transaction's own address.
    Input = 2,
    /// Reserved encoding.
    Reserved = 3,
}

/// Syndrome of an event: bit 0 read, bit 1 stage 2, bits 3:2 class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Syndrome(u64);

impl Syndrome {
    const READ: u64 = 1 << 0;
    const STAGE_2: u64 = 1 << 1;
    const CLASS_SHIFT: u32 = 2;

    /// Builds a syndrome.
    #[must_use]
    pub const fn new(read: bool, stage_2: bool, class: FaultClass) -> Self {
        Self((read as u64) | (stage_2 as u64) << 1 | (class as u64) << Self::CLASS_SHIFT)
    }

    /// Converts from a register. Bits 63:4 are reserved and kept.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the value for the register.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether the access was a read.
    #[must_use]
    pub const fn is_read(self) -> bool {
        self.0 & Self::READ != 0
    }

    /// Returns whether the fault is one of stage 2.
    #[must_use]
    pub const fn is_stage_2(self) -> bool {
        self.0 & Self::STAGE_2 != 0
    }

    /// Returns the class.
    #[must_use]
    pub const fn class(self) -> FaultClass {
        match self.0 >> Self::CLASS_SHIFT & 3 {
            0 => FaultClass::ContextDescriptor,
            1 => FaultClass::TableWalk,
            2 => FaultClass::Input,
            _ => FaultClass::Reserved,
        }
    }
}

bitflags::bitflags! {
    /// Causes of an ERROR event, in its syndrome: the bits of SMMU_GERROR, then causes without a bit
    /// there.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ErrorCause: u64 {
        /// Bit 0: a command failed.
        const CMDQ_ERR = 1 << 0;
        /// Bit 2: a write to the event queue was aborted; events are lost.
        const EVENTQ_ABT_ERR = 1 << 2;
        /// Bit 3: a write to the PRI queue was aborted; page requests are lost.
        const PRIQ_ABT_ERR = 1 << 3;
        /// Bit 4: the MSI of a SYNC was aborted.
        const MSI_CMDQ_ABT_ERR = 1 << 4;
        /// Bit 5: an MSI of the event queue was aborted.
        const MSI_EVENTQ_ABT_ERR = 1 << 5;
        /// Bit 6: an MSI of the PRI queue was aborted.
        const MSI_PRIQ_ABT_ERR = 1 << 6;
        /// Bit 7: an MSI of the global errors was aborted.
        const MSI_GERROR_ABT_ERR = 1 << 7;
        /// Bit 8: the SMMU entered service failure mode. Not visible on the Realm side.
        const SFM_ERR = 1 << 8;
        /// Bit 9: an enhanced command queue has an error.
        const CMDQP_ERR = 1 << 9;
        /// Bit 10: a device permission table lookup failed.
        const DPT_ERR = 1 << 10;
        /// Bit 32: the event queue overflowed; at least one event is lost.
        const EVENTQ_OVERFLOW = 1 << 32;
        /// Bit 33: the PRI queue overflowed; at least one page request is lost.
        const PRIQ_OVERFLOW = 1 << 33;
        const _ = !0;
    }
}

impl ErrorCause {
    /// A description of each cause for a log line.
    const DESCRIPTIONS: [(Self, &'static str); 12] = [
        (Self::CMDQ_ERR, "a command failed"),
        (Self::EVENTQ_ABT_ERR, "a write to the event queue was aborted, events are lost"),
        (Self::PRIQ_ABT_ERR, "a write to the PRI queue was aborted, page requests are lost"),
        (Self::MSI_CMDQ_ABT_ERR, "the MSI of a SYNC was aborted"),
        (Self::MSI_EVENTQ_ABT_ERR, "an MSI of the event queue was aborted"),
        (Self::MSI_PRIQ_ABT_ERR, "an MSI of the PRI queue was aborted"),
        (Self::MSI_GERROR_ABT_ERR, "an MSI of the global errors was aborted"),
        (Self::SFM_ERR, "the SMMU is in service failure mode"),
        (Self::CMDQP_ERR, "an enhanced command queue has an error"),
        (Self::DPT_ERR, "a device permission table lookup failed"),
        (Self::EVENTQ_OVERFLOW, "the event queue overflowed, at least one event is lost"),
        (Self::PRIQ_OVERFLOW, "the PRI queue overflowed, at least one page request is lost"),
    ];

    /// Returns the description of each known cause that is set, lowest bit first, for a log line.
    pub fn descriptions(self) -> impl Iterator<Item = &'static str> {
        Self::DESCRIPTIONS
            .into_iter()
            .filter(move |(cause, _)| self.contains(*cause))
            .map(|(_, text)| text)
    }
}

impl fmt::Display for ErrorCause {
    /// Writes the names of the set bits, unknown ones as a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bitflags::parser::to_writer(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_numbers_round_trip_and_all_others_are_typed_errors() {
        let named = (0..=u8::MAX).filter(|&number| EventNumber::try_from(number).is_ok());
        assert!(named.eq(EventNumber::ALL.iter().map(|&event| event as u8)));
        // openvmm's 0x14 for F_TLB_CONFLICT is a known mistake.
        assert_eq!(EventNumber::try_from(0x14), Err(Unknown(0x14)));
        assert_eq!(EventNumber::try_from(0x20).map(EventNumber::name), Ok("F_TLB_CONFLICT"));
    }

    #[test]
    fn every_cause_has_a_description_of_its_own() {
        for cause in ErrorCause::all().iter().filter(|cause| !cause.is_empty()) {
            let named = ErrorCause::DESCRIPTIONS.iter().any(|(known, _)| *known == cause);
            assert_eq!(cause.descriptions().count(), usize::from(named), "{cause}");
        }
        let named = ErrorCause::all().iter_names().count();
        assert_eq!(named, ErrorCause::DESCRIPTIONS.len());
        let two = ErrorCause::CMDQ_ERR | ErrorCause::PRIQ_OVERFLOW;
        assert_eq!(two.descriptions().next(), Some("a command failed"));
        assert_eq!(two.descriptions().count(), 2);
    }

    #[test]
    fn syndromes_round_trip() {
        for bits in 0..16 {
            let syndrome = Syndrome::from_bits(bits);
            let built = Syndrome::new(syndrome.is_read(), syndrome.is_stage_2(), syndrome.class());
            assert_eq!(built.bits(), bits);
        }
        assert_eq!(Syndrome::new(false, true, FaultClass::Input).bits(), 0b1010);
    }
}
