// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device is able to do: the identification registers.

macro_rules! word {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            /// Takes the word that was read.
            #[must_use]
            pub const fn new(word: u32) -> Self {
                Self(word)
            }

            const fn has(self, bit: u32) -> bool {
                self.0.wrapping_shr(bit) & 1 != 0
            }
        }
    )*};
}

word! {
    /// IDR0: features. That of the Non-secure page says of all sides what is said below of coherency, stream
    /// tables and translation; that of the Realm page says whether the Realm side has MSIs and PRI.
    Idr0
    /// IDR1 of the Non-secure page: sizes, for all sides.
    Idr1
    /// IDR5 of the Non-secure page: addresses and granules, for all sides.
    Idr5
    /// IDR1 of the Realm page.
    RealmIdr1
}

impl Idr0 {
    /// Bit 0, S2P: there is stage 2 of translation.
    #[must_use]
    pub const fn has_stage_2(self) -> bool {
        self.has(0)
    }

    /// Bit 2, of TTF: translation tables of AArch32.
    #[must_use]
    pub const fn has_aarch32_tables(self) -> bool {
        self.has(2)
    }

    /// Bit 3, of TTF: translation tables of AArch64.
    #[must_use]
    pub const fn has_aarch64_tables(self) -> bool {
        self.has(3)
    }

    /// Bit 4, COHACC: queues and tables are accessed coherently.
    #[must_use]
    pub const fn is_coherent(self) -> bool {
        self.has(4)
    }

    /// Bit 5, BTM: broadcast TLB maintenance is listened to, unless CR2.PTM says otherwise.
    #[must_use]
    pub const fn has_btm(self) -> bool {
        self.has(5)
    }

    /// Bit 9, Hyp: there are translations of EL2 to invalidate.
    #[must_use]
    pub const fn has_el2(self) -> bool {
        self.has(9)
    }

    /// Bit 13, MSI: the *_IRQ_CFG registers exist.
    #[must_use]
    pub const fn has_msi(self) -> bool {
        self.has(13)
    }

    /// Bit 16, PRI: there are page requests.
    #[must_use]
    pub const fn has_pri(self) -> bool {
        self.has(16)
    }

    /// Bit 18, VMID16: VMIDs have 16 bits and not 8.
    #[must_use]
    pub const fn has_vmid16(self) -> bool {
        self.has(18)
    }

    /// Bits 22:21, TTENDIAN: translation tables are big-endian only.
    #[must_use]
    pub const fn is_big_endian_only(self) -> bool {
        self.0 >> 21 & 3 == 3
    }

    /// Bits 28:27, ST_LEVEL: stream tables may have two levels.
    #[must_use]
    pub const fn has_two_level_tables(self) -> bool {
        self.0 >> 27 & 3 == 1
    }

    /// Bit 30, RME_IMPL: there are Root registers, and where the platform has them Realm ones.
    #[must_use]
    pub const fn has_rme(self) -> bool {
        self.has(30)
    }
}

impl Idr1 {
    /// Bits 5:0, SIDSIZE: bits of a StreamID, 0 to 32.
    #[must_use]
    pub const fn sid_bits(self) -> u32 {
        self.0 & 0x3F
    }

    /// Bits 15:11, PRIQS: log2 of the largest number of page requests.
    #[must_use]
    pub const fn priqs(self) -> u32 {
        self.0 >> 11 & 0x1F
    }

    /// Bits 20:16, EVENTQS: log2 of the largest number of events.
    #[must_use]
    pub const fn eventqs(self) -> u32 {
        self.0 >> 16 & 0x1F
    }

    /// Bits 25:21, CMDQS: log2 of the largest number of commands.
    #[must_use]
    pub const fn cmdqs(self) -> u32 {
        self.0 >> 21 & 0x1F
    }

    /// Bits 30:29, TABLES_PRESET and QUEUES_PRESET: there are bases that cannot be chosen.
    #[must_use]
    pub const fn has_preset_bases(self) -> bool {
        self.has(29) || self.has(30)
    }
}

impl Idr5 {
    /// Bits 2:0, OAS: bits of an output address, 32 to 56.
    #[must_use]
    pub const fn output_bits(self) -> u32 {
        address_bits(self.0)
    }

    /// Bit 4, GRAN4K: translation tables may have granules of 4 KiB.
    #[must_use]
    pub const fn has_4k_granules(self) -> bool {
        self.has(4)
    }
}

impl RealmIdr1 {
    /// Bit 31, RME_DA_IMPL: there is a Realm side.
    #[must_use]
    pub const fn has_realm_side(self) -> bool {
        self.has(31)
    }
}

/// Returns the bits of an address, 32 to 56, that bits 2:0 of `encoded` stand for: OAS of IDR5, and S2PS of a
/// stream table entry, which is encoded alike.
#[must_use]
pub const fn address_bits(encoded: u32) -> u32 {
    match encoded & 0x7 {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        5 => 48,
        6 => 52,
        _ => 56,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idr0_features_are_at_the_bits_of_the_architecture() {
        // IHI 0070, 6.3.1. Each alone, and all but it.
        type Feature = fn(Idr0) -> bool;
        let of_one_bit: [(u32, Feature); 10] = [
            (0, Idr0::has_stage_2),
            (2, Idr0::has_aarch32_tables),
            (3, Idr0::has_aarch64_tables),
            (4, Idr0::is_coherent),
            (5, Idr0::has_btm),
            (9, Idr0::has_el2),
            (13, Idr0::has_msi),
            (16, Idr0::has_pri),
            (18, Idr0::has_vmid16),
            (30, Idr0::has_rme),
        ];
        for (bit, has) in of_one_bit {
            assert!(has(Idr0::new(1 << bit)) && !has(Idr0::new(!(1 << bit))), "bit {bit}");
        }
        for (value, big, two_levels) in
            [(0, false, false), (1, false, true), (2, false, false), (3, true, false)]
        {
            assert_eq!(Idr0::new(value << 21).is_big_endian_only(), big, "TTENDIAN {value}");
            assert_eq!(
                Idr0::new(value << 27).has_two_level_tables(),
                two_levels,
                "ST_LEVEL {value}"
            );
        }
    }

    #[test]
    fn sizes_are_the_fields_of_idr1_and_nothing_beside_them() {
        let sizes = |word| {
            let idr1 = Idr1::new(word);
            [idr1.sid_bits(), idr1.priqs(), idr1.eventqs(), idr1.cmdqs()]
        };
        assert_eq!(sizes(32 | 10 << 11 | 17 << 16 | 19 << 21), [32, 10, 17, 19]);
        for (at, field) in [0x3F, 0x1F << 11, 0x1F << 16, 0x1F << 21].into_iter().enumerate() {
            let all = [0x3F, 0x1F, 0x1F, 0x1F];
            let others = [0, 1, 2, 3].map(|other| if other == at { 0 } else { all[other] });
            assert_eq!(sizes(!field), others);
        }
        for (bit, preset) in [(28, false), (29, true), (30, true), (31, false)] {
            assert_eq!(Idr1::new(1 << bit).has_preset_bases(), preset, "bit {bit}");
        }
    }

    #[test]
    fn idr5_has_the_output_size_and_the_granules() {
        assert_eq!((Idr5::new(6).output_bits(), Idr5::new(!7).output_bits()), (52, 32));
        assert!(Idr5::new(1 << 4).has_4k_granules() && !Idr5::new(!(1 << 4)).has_4k_granules());
    }

    #[test]
    fn the_realm_side_is_bit_31_of_its_idr1() {
        assert!(RealmIdr1::new(1 << 31).has_realm_side());
        assert!(!RealmIdr1::new(!(1 << 31)).has_realm_side());
    }
}
