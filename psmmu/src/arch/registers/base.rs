// SPDX-License-Identifier: MIT OR Apache-2.0

//! Base registers of the queues and of the stream table.

/// Bit 62 of all of them, RA or WA: a hint to allocate in caches.
const ALLOCATE: u64 = 1 << 62;

/// CMDQ_BASE, EVENTQ_BASE or PRIQ_BASE: where a queue lies and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct QueueBase(u64);

impl QueueBase {
    /// ADDR, bits 55:5.
    const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFE0;
    /// LOG2SIZE, bits 4:0.
    const LOG2_SIZE: u64 = 0x1F;

    /// Makes the value for a queue of 2^`log2_size` entries at PA `address`, of which bits 55:5 count.
    /// `log2_size` is at most 19.
    #[must_use]
    pub const fn new(address: u64, log2_size: u8) -> Self {
        Self(ALLOCATE | address & Self::ADDRESS | log2_size as u64 & Self::LOG2_SIZE)
    }

    /// Takes the two halves of the register as they were read.
    #[must_use]
    pub const fn from_halves(low: u32, high: u32) -> Self {
        Self(low as u64 | (high as u64) << 32)
    }

    /// Returns the PA of the queue.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 & Self::ADDRESS
    }

    /// Returns log2 of the number of entries, 0 to 31.
    #[must_use]
    pub const fn log2_size(self) -> u8 {
        (self.0 & Self::LOG2_SIZE) as u8
    }

    /// Returns the value of the register.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// STRTAB_BASE: where the stream table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct StrtabBase(u64);

impl StrtabBase {
    /// ADDR, bits 55:6.
    const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFC0;

    /// Returns whether the register has all bits of `address`.
    #[must_use]
    pub const fn can_hold(address: u64) -> bool {
        address & Self::ADDRESS == address
    }

    /// Makes the value for a table at PA `address`, of which bits 55:6 count.
    #[must_use]
    pub const fn new(address: u64) -> Self {
        Self(ALLOCATE | address & Self::ADDRESS)
    }

    /// Returns the value of the register.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_registers_hold_address_and_size_and_the_hint() {
        let base = QueueBase::new(0x8000_4000, 9);
        assert_eq!(base.bits(), 0x4000_0000_8000_4009);
        assert_eq!((base.address(), base.log2_size()), (0x8000_4000, 9));
        assert_eq!(QueueBase::from_halves(0x8000_4009, 0x4000_0000), base);
        assert_eq!(QueueBase::new(u64::MAX, 0).address(), 0x00FF_FFFF_FFFF_FFE0);
        assert_eq!(StrtabBase::new(0x8000_0040).bits(), 0x4000_0000_8000_0040);
        assert!(StrtabBase::can_hold(0x40) && !StrtabBase::can_hold(0x20));
        assert!(!StrtabBase::can_hold(1 << 56));
        assert_eq!(StrtabBase::new(u64::MAX).bits(), 0x40FF_FFFF_FFFF_FFC0);
    }
}
