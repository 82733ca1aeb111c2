// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_FEATURES`: feature registers 0 to 4.
//!
//! X1 in: index. X0 out: always success. X1 out: the register, zero for an index without one.

/// Number of feature registers that exist.
pub const COUNT: u64 = 5;

bitflags::bitflags! {
    /// Feature register 0 without its number fields.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Register0: u64 {
        /// Bit 8: 52-bit intermediate physical addresses with 4 KiB granules.
        const LPA2 = 1 << 8;
        /// Bit 9: SVE for Realms.
        const SVE = 1 << 9;
        /// Bit 26: performance monitors for Realms.
        const PMU = 1 << 26;
        const _ = !0;
    }
}

impl Register0 {
    /// Builds the register with S2SZ, bits 7:0: the largest width of an intermediate physical address in
    /// bits. It must not be zero: hosts take a nonzero register as proof of an RMM.
    #[must_use]
    pub const fn with_s2sz(bits: u8) -> Self {
        Self::from_bits_retain(bits as u64)
    }
}

bitflags::bitflags! {
    /// Feature register 1.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Register1: u64 {
        /// Bit 0: RMI granules of 4 KiB. Linux requires it.
        const GRANULE_4K = 1 << 0;
        /// Bit 1: RMI granules of 16 KiB.
        const GRANULE_16K = 1 << 1;
        /// Bit 2: RMI granules of 64 KiB.
        const GRANULE_64K = 1 << 2;
        /// Bit 3: Realm measurements by SHA-256.
        const SHA_256 = 1 << 3;
        /// Bit 4: Realm measurements by SHA-384.
        const SHA_384 = 1 << 4;
        /// Bit 5: Realm measurements by SHA-512.
        const SHA_512 = 1 << 5;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Feature register 2: devices.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Register2: u64 {
        /// Bit 0: device assignment. If clear, every `PSMMU_*` command answers "not supported".
        const DEVICE_ASSIGNMENT = 1 << 0;
        /// Bit 1: coherent device assignment.
        const COHERENT = 1 << 1;
        /// Bit 2: virtual SMMUs.
        const VSMMU = 1 << 2;
        /// Bit 3: address translation services.
        const ATS = 1 << 3;
        const _ = !0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_fields_have_the_positions_of_the_wire() {
        assert_eq!(Register0::with_s2sz(48).bits(), 48);
        assert_eq!(Register0::with_s2sz(0).union(Register0::PMU).bits(), 0x0400_0000);
        assert_eq!(Register1::GRANULE_4K.bits(), 1);
        assert_eq!(Register2::DEVICE_ASSIGNMENT.bits(), 1);
    }
}
