// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stateful operations (SRO): commands that take more than one call, as memory is donated or reclaimed.
//!
//! The command that begins one answers "incomplete" with a handle in X1; X0 has the transfer that it
//! requests next ([`ResultWord::transfer`](crate::ResultWord::transfer)):
//!
//! | requests | the host calls | X1 in | X2 in | X3 in | X1 out | X2 out |
//! |---|---|---|---|---|---|---|
//! | donate | `OP_MEM_DONATE` | handle | PA of a list | entries | granules taken, whatever X0 is | the next [`DonateRequest`], if any |
//! | reclaim | `OP_MEM_RECLAIM` | handle | PA of a list | room for entries | entries written | |
//! | nothing | `OP_CONTINUE` | handle | 0 | | | the next [`DonateRequest`], if any |
//!
//! A list is an array of [`AddressRange`], 8-byte aligned. The operation ends when `OP_CONTINUE` answers
//! anything but "incomplete"; that is the result of the command that began it. By the specification an
//! error of the other two concerns the transfer only, and `OP_CONTINUE` follows; but some hosts take an
//! error of a donation as the end. While an answer has the can-cancel bit, `OP_CANCEL` (X1 the handle)
//! makes the operation return its memory and end.

use crate::{GRANULE_SIZE, Unknown};

/// Block size, the unit of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockSize {
    /// 4 KiB, a granule.
    Granule = 0,
    /// 2 MiB.
    Level2 = 1,
    /// 1 GiB.
    Level1 = 2,
    /// 512 GiB.
    Level0 = 3,
}

impl BlockSize {
    const MASK: u64 = 3;
    /// Log2 of the blocks of one size in one of the next.
    const STEP: u32 = 9;

    const fn from_bits(bits: u64) -> Self {
        match bits & Self::MASK {
            0 => Self::Granule,
            1 => Self::Level2,
            2 => Self::Level1,
            _ => Self::Level0,
        }
    }

    /// Returns the number of granules in a block.
    #[must_use]
    pub const fn granules(self) -> u64 {
        1 << (self as u32 * Self::STEP)
    }

    /// Returns block size and number of blocks of a region of `granules`: blocks of 2 MiB if it is a
    /// multiple of that and larger than one, since the count of an [`AddressRange`] is at most 1023.
    const fn count(granules: u16) -> (Self, u64) {
        let large = Self::Level2.granules();
        let granules = granules as u64;
        if granules > large && granules.is_multiple_of(large) {
            (Self::Level2, granules / large)
        } else {
            (Self::Granule, granules)
        }
    }
}

/// Memory that an operation requests, X2 of an "incomplete, donate" answer.
///
/// Only delegated memory is ever requested: that state is encoded as zero in every revision of the
/// specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct DonateRequest(u64);

impl DonateRequest {
    /// Largest number of granules in one request: more would not fit the count of an [`AddressRange`] of
    /// granules.
    pub const MAX_GRANULES: u16 = 1023;

    const COUNT_SHIFT: u32 = 2;
    const COUNT_MASK: u64 = 0x3FFF;
    const CONTIGUOUS: u64 = 1 << 16;
    const STATE_SHIFT: u32 = 17;
    const STATE_MASK: u64 = 3;

    /// Requests `count` granules of 4 KiB, 1 to [`MAX_GRANULES`](Self::MAX_GRANULES), as one region
    /// aligned to its size if `contiguous`, else at any address.
    #[must_use]
    pub const fn granules(count: u16, contiguous: bool) -> Self {
        let contiguous = if contiguous { Self::CONTIGUOUS } else { 0 };
        Self((count as u64 & Self::COUNT_MASK) << Self::COUNT_SHIFT | contiguous)
    }

    /// Requests one region of `granules`, a power of two, aligned to its size. For one granule the
    /// contiguous bit is clear, as some hosts reject every request that sets it.
    #[must_use]
    pub const fn region(granules: u16) -> Self {
        let (size, count) = BlockSize::count(granules);
        let contiguous = if granules == 1 { 0 } else { Self::CONTIGUOUS };
        Self(size as u64 | count << Self::COUNT_SHIFT | contiguous)
    }

    /// Converts from X2, unchecked.
    #[must_use]
    pub const fn from_x2(x2: u64) -> Self {
        Self(x2)
    }

    /// Returns the value for X2.
    #[must_use]
    pub const fn x2(self) -> u64 {
        self.0
    }

    /// Returns the block size of the request.
    #[must_use]
    pub const fn block_size(self) -> BlockSize {
        BlockSize::from_bits(self.0)
    }

    /// Returns the number of blocks requested.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 >> Self::COUNT_SHIFT & Self::COUNT_MASK
    }

    /// Returns whether the blocks must be one aligned region.
    #[must_use]
    pub const fn is_contiguous(self) -> bool {
        self.0 & Self::CONTIGUOUS != 0
    }

    /// Returns the state that the memory must have.
    ///
    /// # Errors
    /// The whole word, for the reserved state 3.
    pub const fn state(self) -> Result<MemState, Unknown> {
        match MemState::from_bits(self.0 >> Self::STATE_SHIFT & Self::STATE_MASK) {
            Some(state) => Ok(state),
            None => Err(Unknown(self.0)),
        }
    }
}

/// State of memory that is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MemState {
    /// Delegated: in Realm PAS.
    Delegated = 0,
    /// Undelegated: in Non-secure PAS.
    Undelegated = 1,
    /// The RMM undelegates it if it can; from bet3 on.
    Conditional = 2,
}

impl MemState {
    const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::Delegated),
            1 => Some(Self::Undelegated),
            2 => Some(Self::Conditional),
            _ => None,
        }
    }
}

/// An entry of a list: consecutive blocks of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct AddressRange(u64);

impl AddressRange {
    /// Largest number of blocks of an entry.
    pub const MAX_COUNT: u16 = 1023;
    /// Largest number of entries of a list within one granule.
    pub const MAX_ENTRIES: usize = GRANULE_SIZE / 8;

    const COUNT_SHIFT: u32 = 2;
    const COUNT_MASK: u64 = 0x3FF;
    /// Bits 51:12, in place.
    const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
    /// Bits 61:52, zero in every revision.
    const RESERVED: u64 = 0x3FF << 52;
    const STATE_SHIFT: u32 = 62;

    /// Describes `count` delegated granules, 0 to [`MAX_COUNT`](Self::MAX_COUNT), from PA `address`
    /// on, a multiple of a granule below 2^52.
    #[must_use]
    pub const fn granules(address: u64, count: u16) -> Self {
        let count = count as u64 & Self::COUNT_MASK;
        Self(address & Self::ADDRESS | count << Self::COUNT_SHIFT)
    }

    /// Describes a delegated region of `granules` from PA `address` on, as [`DonateRequest::region`]
    /// requests it.
    #[must_use]
    pub const fn region(address: u64, granules: u16) -> Self {
        let (size, count) = BlockSize::count(granules);
        Self(address & Self::ADDRESS | count << Self::COUNT_SHIFT | size as u64)
    }

    /// Converts from the word in memory, unchecked.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// Returns the word in memory.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Returns the PA of the first block.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 & Self::ADDRESS
    }

    /// Returns the size of a block.
    #[must_use]
    pub const fn block_size(self) -> BlockSize {
        BlockSize::from_bits(self.0)
    }

    /// Returns the number of blocks; 0 for an empty entry.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 >> Self::COUNT_SHIFT & Self::COUNT_MASK
    }

    /// Returns the size in granules.
    #[must_use]
    pub const fn total_granules(self) -> u64 {
        self.count() * self.block_size().granules()
    }

    /// Returns the state of the memory: by bit 63 up to bet1, by bits 63:62 from bet3 on. A delegated
    /// block is the same in both.
    ///
    /// # Errors
    /// The whole word, when it is neither or reserved bits are set.
    pub const fn state(self) -> Result<MemState, Unknown> {
        const UNDELEGATED: u64 = 2;
        match (self.0 & Self::RESERVED, self.0 >> Self::STATE_SHIFT) {
            (0, 0) => Ok(MemState::Delegated),
            // Bit 63 up to bet1. From bet3 on that is "conditional", which is never requested here.
            (0, UNDELEGATED) => Ok(MemState::Undelegated),
            _ => Err(Unknown(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn donation_requests_have_the_words_of_the_wire_and_read_back() {
        for (count, word) in [(1, 0x1_0004), (4, 0x1_0010), (512, 0x1_0800)] {
            let request = DonateRequest::granules(count, true);
            assert_eq!(request.x2(), word);
            assert_eq!(DonateRequest::from_x2(word).count(), u64::from(count));
            assert_eq!(request.block_size(), BlockSize::Granule);
            assert_eq!(request.state(), Ok(MemState::Delegated));
            assert!(request.is_contiguous());
        }
        assert_eq!(DonateRequest::granules(3, false).x2(), 0xC);
        assert_eq!(DonateRequest::from_x2(1 << 17).state(), Ok(MemState::Undelegated));
        assert_eq!(DonateRequest::from_x2(3 << 17).state(), Err(Unknown(3 << 17)));
    }

    #[test]
    fn a_region_beyond_2_mib_is_counted_in_blocks_of_2_mib() {
        for log2 in 0..=15 {
            let granules = 1 << log2;
            let request = DonateRequest::region(granules);
            assert_eq!(request.count() * request.block_size().granules(), granules.into());
            assert!(request.is_contiguous() == (granules != 1) && request.count() < 1024);
            let entry = AddressRange::region(0x8000_0000, granules);
            assert_eq!(entry.total_granules(), granules.into());
            assert_eq!((entry.address(), entry.state()), (0x8000_0000, Ok(MemState::Delegated)));
            assert_eq!(entry.block_size(), request.block_size());
        }
        assert_eq!(DonateRequest::region(1).x2(), 4);
        assert_eq!(DonateRequest::region(512).x2(), 0x1_0800);
        assert_eq!(DonateRequest::region(4096).x2(), 0x1_0021);
    }

    #[test]
    fn blocks_grow_by_512() {
        let sizes = [BlockSize::Granule, BlockSize::Level2, BlockSize::Level1, BlockSize::Level0];
        for (bits, size) in sizes.into_iter().enumerate() {
            assert_eq!(BlockSize::from_bits(bits as u64), size);
            assert_eq!(size.granules(), 512_u64.pow(bits as u32));
        }
    }

    #[test]
    fn entries_have_the_words_of_the_wire_and_read_back() {
        let entry = AddressRange::granules(0x8_8000_3000, 4);
        assert_eq!(entry.word(), 0x8_8000_3010);
        assert_eq!((entry.address(), entry.count()), (0x8_8000_3000, 4));
        assert_eq!(entry.total_granules(), 4);
        assert_eq!(entry.state(), Ok(MemState::Delegated));

        let blocks = AddressRange::from_word(0x4000_0000 | 3 << 2 | 1);
        assert_eq!((blocks.block_size(), blocks.total_granules()), (BlockSize::Level2, 3 * 512));
        let most = AddressRange::from_word(u64::MAX);
        assert_eq!(most.total_granules(), 1023 * 512 * 512 * 512);
    }

    #[test]
    fn the_state_of_an_entry_is_known_or_an_error() {
        for (word, state) in [
            (0, Ok(MemState::Delegated)),
            (1 << 63, Ok(MemState::Undelegated)),
            (1 << 62, Err(Unknown(1 << 62))),
            (3 << 62, Err(Unknown(3 << 62))),
            (1 << 52, Err(Unknown(1 << 52))),
        ] {
            assert_eq!(AddressRange::from_word(word).state(), state, "{word:#x}");
        }
    }
}
