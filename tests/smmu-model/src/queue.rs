// SPDX-License-Identifier: MIT OR Apache-2.0

//! Circular queues: sizes, pointers, wrap (IHI 0070, "Circular queues in memory").

/// OVFLG of PROD and OVACKFLG of CONS: different, they mean that entries were lost.
pub const OVERFLOW_FLAG: u32 = 1 << 31;

/// Address bits of CMDQ_BASE, EVENTQ_BASE and PRIQ_BASE, 55:5.
const BASE_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFE0;

/// The shape of a queue: 2^n entries, 0 <= n <= 19.
///
/// A pointer is an index in bits n-1:0 and a wrap bit at bit n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    log2: u32,
}

impl Shape {
    /// Makes the shape of a queue with 2^`log2` entries.
    ///
    /// # Panics
    /// When `log2` is above 19.
    #[must_use]
    pub const fn new(log2: u32) -> Self {
        assert!(log2 <= 19, "the architecture stops at 2^19");
        Self { log2 }
    }

    /// Returns log2 of the entries.
    #[must_use]
    pub const fn log2(self) -> u32 {
        self.log2
    }

    /// Returns the number of entries.
    #[must_use]
    pub const fn entries(self) -> u32 {
        1 << self.log2
    }

    /// Returns index and wrap bit of a PROD or CONS.
    #[must_use]
    pub const fn pointer(self, register: u32) -> u32 {
        register & (2 * self.entries() - 1)
    }

    /// Returns the entry that a PROD or CONS points at.
    #[must_use]
    pub const fn index(self, register: u32) -> u32 {
        register & (self.entries() - 1)
    }

    /// Returns the pointer moved on by `count`, flags dropped.
    #[must_use]
    pub const fn advance(self, register: u32, count: u32) -> u32 {
        self.pointer(register.wrapping_add(count))
    }

    /// Returns how many entries lie between `cons` and `prod`; more than
    /// [`entries`](Self::entries) means that the two contradict each other.
    #[must_use]
    pub const fn used(self, prod: u32, cons: u32) -> u32 {
        self.pointer(prod.wrapping_sub(cons))
    }
}

/// What a base register says, with the limits of the device applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// The first address, aligned down as the device does.
    pub address: u64,
    pub shape: Shape,
    /// LOG2SIZE as written.
    pub log2: u32,
    /// The address as written.
    pub written: u64,
    /// The alignment that the size demands.
    pub alignment: u64,
}

impl Base {
    /// Decodes `register` for entries of `entry_bytes`, where `limit` bounds LOG2SIZE and
    /// `address_bits` the address.
    pub const fn decode(register: u64, entry_bytes: u64, limit: u32, address_bits: u32) -> Self {
        let log2 = (register & 0x1F) as u32;
        let shape = Shape::new(if log2 > limit { limit } else { log2 });
        let bytes = entry_bytes << shape.log2();
        let alignment = if bytes < 32 { 32 } else { bytes };
        let written = register & BASE_ADDRESS;
        let address = written & !(alignment - 1) & ((1 << address_bits) - 1);
        Self { address, shape, log2, written, alignment }
    }

    /// Returns the address of the entry that a PROD or CONS points at.
    pub fn entry(&self, register: u32, entry_bytes: u64) -> u64 {
        self.address + u64::from(self.shape.index(register)) * entry_bytes
    }

    /// Returns the bytes of the queue.
    pub const fn bytes(&self, entry_bytes: u64) -> u64 {
        entry_bytes << self.shape.log2()
    }
}

/// How a new pointer relates to the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Over entries that are there; by how many.
    Forward(u32),
    /// Away from PROD.
    Backwards,
    /// Past PROD.
    Past,
}

impl Shape {
    /// Judges a move of CONS from `old` to `new` while `held` entries are there.
    pub(crate) const fn judge(self, old: u32, new: u32, held: u32) -> Move {
        let forward = self.used(new, old);
        if forward <= held {
            return Move::Forward(forward);
        }
        // Both ways round the ring lead there; the shorter one is what the driver did.
        if self.used(old, new) <= forward - held { Move::Backwards } else { Move::Past }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_entries_follow_the_worked_vectors() {
        let shape = Shape::new(2);
        for (prod, cons, used) in [(0, 0, 0), (4, 0, 4), (5, 1, 4), (5, 5, 0), (1, 6, 3), (6, 0, 6)]
        {
            assert_eq!(shape.used(prod, cons), used, "PROD {prod} CONS {cons}");
        }
        assert_eq!([6, 7, 0].map(|cons| shape.index(cons)), [2, 3, 0]);
    }

    #[test]
    fn one_entry_has_its_wrap_bit_at_bit_0() {
        let shape = Shape::new(0);
        assert_eq!((shape.used(1, 0), shape.used(1, 1), shape.index(1)), (1, 0, 0));
        assert_eq!(shape.advance(1, 1), 0);
    }

    #[test]
    fn all_sizes_wrap_at_twice_their_entries() {
        for log2 in 0..=19 {
            let shape = Shape::new(log2);
            let last = 2 * shape.entries() - 1;
            assert_eq!(shape.advance(last | OVERFLOW_FLAG, 1), 0, "2^{log2}");
            assert_eq!(shape.used(shape.entries(), 0), shape.entries(), "2^{log2}");
            assert_eq!(shape.used(0, shape.entries()), shape.entries(), "2^{log2}");
            assert_eq!(shape.index(shape.entries()), 0, "2^{log2}");
        }
    }

    #[test]
    fn a_base_is_aligned_down_to_its_size_and_its_size_is_limited() {
        let base = Base::decode(1 << 62 | 0x8000_1020 | 3, 32, 19, 48);
        assert_eq!((base.address, base.written, base.alignment), (0x8000_1000, 0x8000_1020, 256));
        let base = Base::decode(0x8000_0000 | 9, 16, 4, 48);
        assert_eq!((base.shape.log2(), base.log2), (4, 9));
        let base = Base::decode(0x8000_0020, 16, 19, 48);
        assert_eq!((base.alignment, base.address), (32, 0x8000_0020), "never less than 32 bytes");
        let base = Base::decode(0x0012_0000_8000_0000, 16, 19, 48);
        assert_eq!(base.address, 0x8000_0000, "addresses above the output size are cut off");
    }

    #[test]
    fn moves_of_cons_are_distinguished() {
        let shape = Shape::new(2);
        assert_eq!(shape.judge(0, 2, 2), Move::Forward(2));
        assert_eq!(shape.judge(0, 3, 2), Move::Past);
        assert_eq!(shape.judge(1, 0, 2), Move::Backwards);
        assert_eq!(shape.judge(0, 7, 2), Move::Backwards);
        assert_eq!(Shape::new(0).judge(0, 1, 0), Move::Backwards);
    }
}
