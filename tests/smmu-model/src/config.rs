// SPDX-License-Identifier: MIT OR Apache-2.0

//! What kind of SMMU it is: identification registers and what they do not show.

use crate::legality::is_illegal;

/// Identification and fixed properties of a device.
///
/// The words are those of the identification registers, so that any real device can be stood in for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// IDR0 of the Non-secure page.
    pub idr0: u32,
    /// IDR1 of the Non-secure page: sizes.
    pub idr1: u32,
    /// IDR3 of the Non-secure page.
    pub idr3: u32,
    /// IDR5 of the Non-secure page.
    pub idr5: u32,
    /// IIDR of the Non-secure page.
    pub iidr: u32,
    /// AIDR of the Non-secure page.
    pub aidr: u32,
    /// R_IDR0.
    pub r_idr0: u32,
    /// R_IDR1.
    pub r_idr1: u32,
    /// R_IDR3.
    pub r_idr3: u32,
    /// R_MECIDR.
    pub r_mecidr: u32,
    /// Each source has a wired interrupt, beside the MSIs that R_IDR0.MSI announces.
    pub has_wired_irqs: bool,
    /// What UNKNOWN registers hold after reset comes from here.
    pub seed: u64,
    /// Bytes at both ends of each region that no region owns; a device access there is a violation
    /// and not an abort.
    pub guard_bytes: u64,
    /// Deviations from the architecture.
    pub quirks: Quirks,
}

/// Deviations of an imperfect device from the architecture; all off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quirks {
    /// Each record raises the interrupt of its queue.
    pub interrupt_per_record: bool,
    /// A record that finds the event queue full raises EVENTQ_ABT_ERR and leaves OVFLG alone.
    pub overflow_is_abort: bool,
    /// Records are written while EVENTQ_ABT_ERR is active.
    pub records_despite_abort: bool,
}

/// Bits of IDR0.
mod idr0 {
    pub const S2P: u32 = 1 << 0;
    pub const S1P: u32 = 1 << 1;
    pub const TTF_AARCH32: u32 = 1 << 2;
    pub const TTF_AARCH64: u32 = 1 << 3;
    pub const COHACC: u32 = 1 << 4;
    pub const BTM: u32 = 1 << 5;
    pub const HYP: u32 = 1 << 9;
    pub const ATS: u32 = 1 << 10;
    pub const ASID16: u32 = 1 << 12;
    pub const MSI: u32 = 1 << 13;
    pub const SEV: u32 = 1 << 14;
    pub const PRI: u32 = 1 << 16;
    pub const VMW: u32 = 1 << 17;
    pub const VMID16: u32 = 1 << 18;
    pub const CD2L: u32 = 1 << 19;
    pub const TTENDIAN_LITTLE: u32 = 2 << 21;
    pub const STALL_MODEL_TERMINATE: u32 = 1 << 24;
    pub const TERM_MODEL: u32 = 1 << 26;
    pub const ST_LEVEL_TWO: u32 = 1 << 27;
    pub const RME_IMPL: u32 = 1 << 30;
}

/// TTENDIAN and HTTU of IDR0, two bits each.
const IDR0_TTENDIAN_SHIFT: u32 = 21;
const IDR0_HTTU_SHIFT: u32 = 6;
/// NS1ATS of IDR0, bit 11: no split-stage ATS.
const IDR0_NS1ATS: u32 = 1 << 11;
/// STT of IDR3, bit 9: small translation tables.
const IDR3_STT: u32 = 1 << 9;
/// DPT of R_IDR3, bit 15.
const R_IDR3_DPT: u32 = 1 << 15;
/// DS of IDR5, bit 7: 52-bit addresses with small granules.
const IDR5_DS: u32 = 1 << 7;
/// MPAM of IDR3, bit 7.
const IDR3_MPAM: u32 = 1 << 7;
/// PPS of IDR3, bit 5: automatic answers carry the PASID of the request.
const IDR3_PPS: u32 = 1 << 5;

/// Bits of a physical address, by OAS of IDR5, bits 2:0.
const ADDRESS_BITS: [u32; 8] = [32, 36, 40, 42, 44, 48, 52, 56];

impl Default for Config {
    /// Makes a Realm SMMU with MSIs, ATS, PRI, EL2, 16-bit StreamIDs, two-level stream tables and
    /// queues of up to 2^19 entries.
    fn default() -> Self {
        Self {
            idr0: idr0::RME_IMPL
                | idr0::ST_LEVEL_TWO
                | idr0::TERM_MODEL
                | idr0::STALL_MODEL_TERMINATE
                | idr0::TTENDIAN_LITTLE
                | idr0::CD2L
                | idr0::VMID16
                | idr0::PRI
                | idr0::SEV
                | idr0::MSI
                | idr0::ASID16
                | idr0::ATS
                | idr0::HYP
                | idr0::COHACC
                | idr0::TTF_AARCH64
                | idr0::S1P
                | idr0::S2P,
            idr1: 19 << 21 | 19 << 16 | 19 << 11 | 20 << 6 | 16,
            // BBML 2, RIL, XNX, HAD.
            idr3: 0x1414,
            // Granules 4K, 16K, 64K; 48 bits of output address.
            idr5: 0x75,
            iidr: 0,
            aidr: 4,
            r_idr0: 0x0101_2400,
            r_idr1: 1 << 31,
            r_idr3: 0x1_0000,
            r_mecidr: 0xF,
            has_wired_irqs: true,
            seed: 1,
            guard_bytes: 0x1000,
            quirks: Quirks::default(),
        }
    }
}

impl Config {
    /// Makes a device that behaves as the SMMUv3 of QEMU 10 where that is not the architecture: no
    /// MSIs, no PRI, no EL2, an interrupt for each record, EVENTQ_ABT_ERR in place of OVFLG. It has
    /// one set of pages, so the identification registers of the Realm page are the Non-secure ones.
    #[must_use]
    pub fn qemu_like() -> Self {
        Self {
            idr0: 0x0D44_101B,
            idr1: 0x0273_0010,
            idr3: 0x1414,
            idr5: 0x74,
            iidr: 0,
            aidr: 1,
            r_idr0: 0x0D44_101B,
            r_idr1: 0x0273_0010,
            r_idr3: 0x1414,
            r_mecidr: 0,
            quirks: Quirks {
                interrupt_per_record: true,
                overflow_is_abort: true,
                records_despite_abort: true,
            },
            ..Self::default()
        }
    }

    /// Limits the queues to 2^`commands`, 2^`events` and 2^`pages` entries (IDR1.CMDQS, EVENTQS, PRIQS).
    #[must_use]
    pub const fn with_queue_limits(mut self, commands: u32, events: u32, pages: u32) -> Self {
        assert!(commands <= 19 && events <= 19 && pages <= 19, "the architecture stops at 2^19");
        self.idr1 = self.idr1 & !(0x7FFF << 11) | commands << 21 | events << 16 | pages << 11;
        self
    }

    /// Makes StreamIDs of `bits` bits (IDR1.SIDSIZE), 0 to 32.
    #[must_use]
    pub const fn with_stream_bits(mut self, bits: u32) -> Self {
        assert!(bits <= 32, "the architecture stops at 32");
        self.idr1 = self.idr1 & !0x3F | bits;
        self
    }

    /// Makes physical addresses of `bits` bits (IDR5.OAS): 32, 36, 40, 42, 44, 48, 52 or 56.
    ///
    /// # Panics
    /// When the architecture has no such size.
    #[must_use]
    pub const fn with_address_bits(mut self, bits: u32) -> Self {
        let mut size = 0;
        while size < ADDRESS_BITS.len() && ADDRESS_BITS[size] != bits {
            size += 1;
        }
        assert!(size < ADDRESS_BITS.len(), "no such size of addresses");
        self.idr5 = self.idr5 & !7 | size as u32;
        self
    }

    /// Leaves MSIs out (IDR0.MSI, R_IDR0.MSI): only wired interrupts remain.
    #[must_use]
    pub const fn without_msi(mut self) -> Self {
        self.idr0 &= !idr0::MSI;
        self.r_idr0 &= !idr0::MSI;
        self
    }

    /// Leaves the Page Request Interface out (IDR0.PRI, R_IDR0.PRI).
    #[must_use]
    pub const fn without_pri(mut self) -> Self {
        self.idr0 &= !idr0::PRI;
        self.r_idr0 &= !idr0::PRI;
        self
    }

    /// Leaves ATS out, and with it PRI.
    #[must_use]
    pub const fn without_ats(mut self) -> Self {
        self.idr0 &= !idr0::ATS;
        self.r_idr0 &= !idr0::ATS;
        self.without_pri()
    }

    /// Leaves EL2 out (IDR0.Hyp): its TLB commands are illegal.
    #[must_use]
    pub const fn without_el2(mut self) -> Self {
        self.idr0 &= !idr0::HYP;
        self
    }

    /// Leaves SEV out (IDR0.SEV): such a CMD_SYNC completes in silence.
    #[must_use]
    pub const fn without_sev(mut self) -> Self {
        self.idr0 &= !idr0::SEV;
        self
    }

    /// Lets automatic answers to page requests carry the PASID always (IDR3.PPS).
    #[must_use]
    pub const fn with_pps(mut self) -> Self {
        self.idr3 |= IDR3_PPS;
        self
    }

    /// Leaves stage 1 out (IDR0.S1P), and with it EL2: its commands are illegal.
    #[must_use]
    pub const fn without_stage_1(mut self) -> Self {
        self.idr0 &= !idr0::S1P;
        self.without_el2()
    }

    /// Leaves stage 2 out (IDR0.S2P), and with it EL2: its commands are illegal.
    #[must_use]
    pub const fn without_stage_2(mut self) -> Self {
        self.idr0 &= !idr0::S2P;
        self.without_el2()
    }

    /// Leaves two-level stream tables out (IDR0.ST_LEVEL).
    #[must_use]
    pub const fn with_linear_tables_only(mut self) -> Self {
        self.idr0 &= !idr0::ST_LEVEL_TWO;
        self
    }

    /// Makes VMIDs of 8 bits and not of 16 (IDR0.VMID16).
    #[must_use]
    pub const fn with_vmids_of_8_bits(mut self) -> Self {
        self.idr0 &= !idr0::VMID16;
        self
    }

    /// Adds wildcards for VMIDs (IDR0.VMW): CR0.VMW is acknowledged like the other fields. What it does to
    /// translations is not modelled.
    #[must_use]
    pub const fn with_vmw(mut self) -> Self {
        self.idr0 |= idr0::VMW;
        self
    }

    /// Adds broadcast TLB maintenance (IDR0.BTM), as far as to the identification.
    #[must_use]
    pub const fn with_btm(mut self) -> Self {
        self.idr0 |= idr0::BTM;
        self
    }

    /// Returns whether the Realm side of such a device takes a stream table entry. One that is
    /// invalid or ILLEGAL (5.2.2) gives C_BAD_STE.
    #[must_use]
    pub const fn takes_entry(&self, words: &[u64; 8]) -> bool {
        words[0] & 1 != 0 && !is_illegal(words, self)
    }

    /// Chooses what UNKNOWN registers hold after reset.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(crate) const fn has_msi(&self) -> bool {
        self.r_idr0 & idr0::MSI != 0
    }

    pub(crate) const fn has_ats(&self) -> bool {
        self.r_idr0 & idr0::ATS != 0
    }

    pub(crate) const fn has_pri(&self) -> bool {
        self.r_idr0 & idr0::PRI != 0 && self.has_ats()
    }

    pub(crate) const fn has_el2(&self) -> bool {
        self.idr0 & idr0::HYP != 0
    }

    pub(crate) const fn has_sev(&self) -> bool {
        self.idr0 & idr0::SEV != 0
    }

    pub(crate) const fn has_vmw(&self) -> bool {
        self.idr0 & idr0::VMW != 0
    }

    pub(crate) const fn has_mpam(&self) -> bool {
        self.idr3 & IDR3_MPAM != 0
    }

    pub(crate) const fn has_pps(&self) -> bool {
        self.idr3 & IDR3_PPS != 0
    }

    pub(crate) const fn has_stage_1(&self) -> bool {
        self.idr0 & idr0::S1P != 0
    }

    pub(crate) const fn has_stage_2(&self) -> bool {
        self.idr0 & idr0::S2P != 0
    }

    pub(crate) const fn has_aarch64_tables(&self) -> bool {
        self.idr0 & idr0::TTF_AARCH64 != 0
    }

    pub(crate) const fn has_vmid16(&self) -> bool {
        self.idr0 & idr0::VMID16 != 0
    }

    pub(crate) const fn has_two_level_cds(&self) -> bool {
        self.idr0 & idr0::CD2L != 0
    }

    pub(crate) const fn has_split_stage_ats(&self) -> bool {
        self.idr0 & IDR0_NS1ATS == 0
    }

    pub(crate) const fn has_dpt(&self) -> bool {
        self.r_idr3 & R_IDR3_DPT != 0
    }

    pub(crate) const fn has_small_tables(&self) -> bool {
        self.idr3 & IDR3_STT != 0
    }

    pub(crate) const fn has_52_bits(&self) -> bool {
        self.idr5 & IDR5_DS != 0
    }

    /// Returns whether tables may have granules of 2^`log2` bytes: GRAN4K, GRAN16K and GRAN64K of IDR5.
    pub(crate) const fn has_granule(&self, log2: u32) -> bool {
        self.idr5 >> (4 + (log2 - 12) / 2) & 1 != 0
    }

    /// Returns whether tables may have this endianness, TTENDIAN.
    pub(crate) const fn has_endianness(&self, big: bool) -> bool {
        match self.idr0 >> IDR0_TTENDIAN_SHIFT & 3 {
            0b10 => !big,
            0b11 => big,
            _ => true,
        }
    }

    /// HTTU: 0 for no updates of tables, 1 for the access flag, 2 for dirty state too, 3 for the access
    /// flag of tables too.
    pub(crate) const fn hardware_updates(&self) -> u32 {
        self.idr0 >> IDR0_HTTU_SHIFT & 3
    }

    /// SSIDSIZE.
    pub(crate) const fn substream_bits(&self) -> u64 {
        (self.idr1 >> 6 & 0x1F) as u64
    }

    pub(crate) const fn has_two_level_tables(&self) -> bool {
        self.idr0 & idr0::ST_LEVEL_TWO != 0
    }

    pub(crate) const fn command_limit(&self) -> u32 {
        limit(self.idr1 >> 21)
    }

    pub(crate) const fn event_limit(&self) -> u32 {
        limit(self.idr1 >> 16)
    }

    pub(crate) const fn page_limit(&self) -> u32 {
        limit(self.idr1 >> 11)
    }

    /// SIDSIZE.
    pub(crate) const fn stream_bits(&self) -> u32 {
        let bits = self.idr1 & 0x3F;
        if bits > 32 { 32 } else { bits }
    }

    /// Bits of a physical address, IDR5.OAS.
    pub(crate) const fn address_bits(&self) -> u32 {
        ADDRESS_BITS[(self.idr5 & 7) as usize]
    }

    /// Bits of an input of stage 2, IAS (3.4).
    pub(crate) const fn input_bits(&self) -> u32 {
        let (aarch32, bits) = (self.idr0 & idr0::TTF_AARCH32 != 0, self.address_bits());
        if aarch32 && bits < 40 { 40 } else { bits }
    }

    /// Bits of a physical address by an S2PS; what is reserved acts as the largest before it.
    pub(crate) const fn physical_bits(&self, ps: usize) -> u32 {
        let largest = match self.aidr & 0xF {
            0 => 5,
            1..=3 => 6,
            _ => 7,
        };
        ADDRESS_BITS[if ps < largest { ps } else { largest }]
    }

    /// Cuts off the bits of an address that the device does not have (3.4.3).
    pub(crate) const fn truncate(&self, address: u64) -> u64 {
        address & ((1 << self.address_bits()) - 1)
    }
}

/// Log2 of the entries of a queue out of IDR1.
const fn limit(field: u32) -> u32 {
    let log2 = field & 0x1F;
    if log2 > 19 { 19 } else { log2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_device_says_what_it_has() {
        let config = Config::default();
        assert!(config.has_msi() && config.has_pri() && config.has_ats() && config.has_el2());
        let limits = [config.command_limit(), config.event_limit(), config.page_limit()];
        assert_eq!((limits, config.stream_bits()), ([19; 3], 16));
        assert_eq!(config.r_idr0 >> 24 & 3, 1, "a Realm side never stalls");
    }

    #[test]
    fn the_qemu_configuration_has_no_msis_and_no_page_requests() {
        let config = Config::qemu_like();
        assert!(!config.has_msi() && !config.has_pri() && !config.has_el2());
        assert_eq!((config.command_limit(), config.event_limit()), (19, 19));
    }

    #[test]
    fn sizes_of_streams_and_addresses_are_chosen() {
        for bits in 0..=32 {
            assert_eq!(Config::default().with_stream_bits(bits).stream_bits(), bits);
        }
        assert_eq!(Config::default().idr5 & 7, 5);
        for (oas, bits) in ADDRESS_BITS.into_iter().enumerate() {
            let config = Config::default().with_address_bits(bits);
            assert_eq!((config.idr5 & 7, config.address_bits()), (oas as u32, bits));
            assert_eq!(config.idr5 & !7, Config::default().idr5 & !7);
        }
    }

    #[test]
    fn limits_are_set_one_by_one() {
        let config = Config::default().with_queue_limits(8, 7, 6);
        assert_eq!((config.command_limit(), config.event_limit(), config.page_limit()), (8, 7, 6));
        assert_eq!(config.stream_bits(), 16);
    }
}
