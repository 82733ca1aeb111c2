// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the MSI of a source goes: the *_IRQ_CFG registers.

/// *_IRQ_CFG0: the doorbell of an MSI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct IrqCfg0(u64);

impl IrqCfg0 {
    /// ADDR, bits 55:2.
    const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFFC;
    /// Bit 63, NS: the MSI goes to the Non-secure PA space. Without it, it would be a write to Realm memory
    /// at an address that the host chose.
    const NS: u64 = 1 << 63;

    /// No MSI: the wired interrupt alone.
    pub const NONE: Self = Self(0);

    /// Makes the value for a doorbell at the Non-secure PA `address`, of which bits 55:2 count.
    #[must_use]
    pub const fn non_secure(address: u64) -> Self {
        Self(Self::NS | address & Self::ADDRESS)
    }

    /// Returns whether the register has all bits of `address`, and `address` is not the 0 that means none.
    #[must_use]
    pub const fn can_hold(address: u64) -> bool {
        address != 0 && address & Self::ADDRESS == address
    }

    /// Returns the value of the register.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// *_IRQ_CFG2 for a doorbell: Device-nGnRE.
pub const IRQ_CFG2_DEVICE: u32 = 0x1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doorbell_is_a_non_secure_address_of_a_word() {
        assert_eq!(IrqCfg0::NONE.bits(), 0);
        assert_eq!(IrqCfg0::non_secure(0x0808_0040).bits(), 0x8000_0000_0808_0040);
        assert_eq!(IrqCfg0::non_secure(u64::MAX).bits(), 0x80FF_FFFF_FFFF_FFFC);
        for (address, can_hold) in
            [(0, false), (4, true), (2, false), (1 << 55, true), (1 << 56, false)]
        {
            assert_eq!(IrqCfg0::can_hold(address), can_hold, "{address:#x}");
        }
    }
}
