// SPDX-License-Identifier: MIT OR Apache-2.0

//! The banks of DRAM: the only addresses at which the host can have a granule.
//!
//! An address that the host passes is compared with these banks before it is accessed. On some platforms
//! an access to an address without memory stops the machine.

use core::ops::Range;

use heapless::Vec;
use psmmu::HostGranule;
use psmmu_abi::GRANULE_SIZE;

/// A bank of DRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    base: u64,
    size: u64,
}

impl Bank {
    /// Creates a bank from PA and size in bytes, both multiples of a granule. `None` if they are not, or
    /// if the bank is empty or exceeds the address space.
    #[must_use]
    pub const fn new(base: u64, size: u64) -> Option<Self> {
        let granule = GRANULE_SIZE as u64;
        let aligned = base.is_multiple_of(granule) && size.is_multiple_of(granule);
        if aligned && size != 0 && base.checked_add(size).is_some() {
            Some(Self { base, size })
        } else {
            None
        }
    }

    /// Returns the parts of the bank below and above `hole`, whose ends are multiples of a granule;
    /// `None` for an empty part.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn without(&self, hole: &Range<u64>) -> [Option<Self>; 2] {
        let end = self.end();
        [self.base..end.min(hole.start), self.base.max(hole.end)..end]
            .map(|part| Self::new(part.start, part.end.saturating_sub(part.start)))
    }

    /// Returns the PA of the first byte.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the exclusive end PA.
    #[must_use]
    pub const fn end(&self) -> u64 {
        // `new` has checked that it does not overflow.
        self.base.wrapping_add(self.size)
    }
}

/// Why a bank was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BankError {
    /// There are [`MAX_BANKS`](Dram::MAX_BANKS) already.
    Full,
    /// It overlaps another bank.
    Overlap,
}

/// All banks of DRAM. No granule is in two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dram {
    banks: Vec<Bank, { Self::MAX_BANKS + Self::MAX_HOLES }>,
}

impl Dram {
    /// Largest number of banks.
    pub const MAX_BANKS: usize = 8;

    /// Largest number of holes that can be cut out: each splits at most one bank.
    pub const MAX_HOLES: usize = 2;

    /// Adds a bank.
    ///
    /// # Errors
    /// [`BankError`]; it is not added.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn add(&mut self, bank: Bank) -> Result<(), BankError> {
        if self.overlaps(&(bank.base..bank.end())) {
            return Err(BankError::Overlap);
        }
        if self.banks.len() >= Self::MAX_BANKS {
            return Err(BankError::Full);
        }
        self.banks.push(bank).map_err(|_| BankError::Full)
    }

    /// Returns the banks.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn banks(&self) -> &[Bank] {
        &self.banks
    }

    /// Returns the banks without the addresses in `hole`, whose ends are multiples of a granule. May be
    /// called at most [`MAX_HOLES`](Self::MAX_HOLES) times: parts for which there is no room are left
    /// out.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn without(&self, hole: Range<u64>) -> Self {
        let mut rest = Self::default();
        for bank in &self.banks {
            for part in bank.without(&hole).into_iter().flatten() {
                let _ = rest.banks.push(part);
            }
        }
        rest
    }

    /// Returns whether a bank overlaps `range`.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn overlaps(&self, range: &Range<u64>) -> bool {
        self.banks.iter().any(|bank| bank.base < range.end && range.start < bank.end())
    }

    /// Returns whether `granule` is in a bank, whatever its PAS is.
    #[inline]
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn contains(&self, granule: HostGranule) -> bool {
        // An aligned granule is in a bank as a whole or not at all.
        self.banks.iter().any(|bank| granule.address().wrapping_sub(bank.base) < bank.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dram() -> Dram {
        let mut dram = Dram::default();
        dram.add(Bank::new(0x8000_0000, 0x1000_0000).unwrap()).unwrap();
        dram.add(Bank::new(0x8_8000_0000, 0x1000).unwrap()).unwrap();
        dram
    }

    #[test]
    fn only_granules_inside_a_bank_count() {
        let dram = dram();
        for (address, inside) in [
            (0x7FFF_F000, false),
            (0x8000_0000, true),
            (0x8FFF_F000, true),
            (0x9000_0000, false),
            (0x8_8000_0000, true),
            (0x8_8000_1000, false),
            (0, false),
            (1 << 40, false),
            (1 << 52, false),
            (u64::MAX - 0xFFF, false),
        ] {
            let granule = HostGranule::new(address).unwrap();
            assert_eq!(dram.contains(granule), inside, "{address:#x}");
        }
    }

    #[test]
    fn a_hole_is_cut_out_of_the_banks_that_it_touches() {
        let banks = |hole: Range<u64>| -> std::vec::Vec<_> {
            dram().without(hole).banks().iter().map(|bank| (bank.base, bank.size)).collect()
        };
        let second = (0x8_8000_0000, 0x1000);
        let first = (0x8000_0000, 0x1000_0000);
        assert_eq!(banks(0..0x1000), [first, second]);
        assert_eq!(
            banks(0x8010_0000..0x8190_0000),
            [(0x8000_0000, 0x10_0000), (0x8190_0000, 0xE70_0000), second]
        );
        assert_eq!(banks(0x8000_0000..0x8000_1000), [(0x8000_1000, 0xFFF_F000), second]);
        assert_eq!(banks(0x8FFF_F000..1 << 40), [(0x8000_0000, 0xFFF_F000)]);
        assert_eq!(banks(0..1 << 52), []);
    }

    extern crate std;

    #[test]
    fn no_granule_lies_in_two_banks() {
        let mut dram = dram();
        for (base, size, added) in [
            (0x8000_0000, 0x1000, Err(BankError::Overlap)),
            (0x7FFF_F000, 0x2000, Err(BankError::Overlap)),
            (0x8FFF_F000, 0x2000, Err(BankError::Overlap)),
            (0, 1 << 40, Err(BankError::Overlap)),
            (0x7FFF_F000, 0x1000, Ok(())),
            (0x9000_0000, 0x1000, Ok(())),
        ] {
            assert_eq!(dram.add(Bank::new(base, size).unwrap()), added, "{base:#x} + {size:#x}");
        }
    }

    #[test]
    fn as_many_banks_as_are_promised_fit_and_none_is_lost_to_holes() {
        let mut dram = Dram::default();
        for index in 0..Dram::MAX_BANKS as u64 {
            dram.add(Bank::new(index << 30, 0x1000_0000).unwrap()).unwrap();
        }
        assert_eq!(dram.add(Bank::new(1 << 40, 0x1000).unwrap()), Err(BankError::Full));
        let cut = dram.without(0x1000..0x2000).without(0x4000_1000..0x4000_2000);
        assert_eq!(cut.banks().len(), Dram::MAX_BANKS + Dram::MAX_HOLES);
        let size = |dram: &Dram| dram.banks().iter().map(Bank::size).sum::<u64>();
        assert_eq!(size(&cut), size(&dram) - 0x2000);
    }

    #[test]
    fn a_bank_is_whole_granules_and_ends_within_the_address_space() {
        assert_eq!(Bank::new(0x800, 0x1000), None);
        assert_eq!(Bank::new(0x1000, 0x800), None);
        assert_eq!(Bank::new(0x1000, 0), None);
        assert_eq!(Bank::new(u64::MAX - 0xFFF, 0x1000), None);
    }
}
