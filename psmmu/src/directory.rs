// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which PSMMU the host means, found in the same number of steps however many there are.
//!
//! Each `psmmu_ptr` is hashed by a multiplication into a table with room to spare. The multiplier is searched
//! once, at boot, so that no two fall into the same place: a search reads one place.

#![deny(unsafe_code)]

use crate::psmmu::Psmmu;

/// Most PSMMUs of a directory.
pub const MAX_PSMMUS: usize = 16;

/// Log2 of the places: four for each PSMMU, so that about every eighth multiplier will do.
const PLACES_LOG2: u32 = 6;

/// Multipliers that are tried. The chance that none will do is below 2^-180.
const TRIES: u32 = 1 << 10;

/// Why there is no directory of some PSMMUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// There are more than [`MAX_PSMMUS`].
    #[error("there are more than {MAX_PSMMUS} PSMMUs")]
    TooMany,
    /// Two have this psmmu_ptr.
    #[error("two PSMMUs are at {0:#x}")]
    DuplicatePsmmuPtr(u64),
}

/// PSMMUs by psmmu_ptr.
#[derive(Debug)]
pub struct Directory<'a, R, M> {
    places: [Option<&'a Psmmu<R, M>>; 1 << PLACES_LOG2],
    multiplier: u64,
    all: heapless::Vec<&'a Psmmu<R, M>, MAX_PSMMUS>,
}

impl<'a, R, M> Directory<'a, R, M> {
    /// Makes the directory of `psmmus`, which may be none.
    ///
    /// # Errors
    /// [`DirectoryError`].
    #[cfg_attr(core_from_source, optimize(size))]
    #[inline(never)]
    pub fn new(psmmus: impl IntoIterator<Item = &'a Psmmu<R, M>>) -> Result<Self, DirectoryError> {
        let mut all = heapless::Vec::<&'a Psmmu<R, M>, MAX_PSMMUS>::new();
        for psmmu in psmmus {
            let psmmu_ptr = psmmu.config().psmmu_ptr;
            if all.iter().any(|other| other.config().psmmu_ptr == psmmu_ptr) {
                return Err(DirectoryError::DuplicatePsmmuPtr(psmmu_ptr));
            }
            all.push(psmmu).map_err(|_| DirectoryError::TooMany)?;
        }
        let mut directory = Self { places: [None; 1 << PLACES_LOG2], multiplier: 1, all };
        for _ in 0..TRIES {
            if directory.fill() {
                return Ok(directory);
            }
            // Knuth's generator of pseudo-random numbers; an odd one loses no bit of a psmmu_ptr.
            let next = directory.multiplier.wrapping_mul(6_364_136_223_846_793_005);
            directory.multiplier = next.wrapping_add(1_442_695_040_888_963_407) | 1;
        }
        Err(DirectoryError::TooMany)
    }

    /// Puts all into their places and says whether each got one of its own.
    fn fill(&mut self) -> bool {
        self.places = [None; 1 << PLACES_LOG2];
        let multiplier = self.multiplier;
        self.all.iter().all(|psmmu| {
            let place = self.places.get_mut(place(multiplier, psmmu.config().psmmu_ptr));
            place.is_some_and(|place| place.replace(psmmu).is_none())
        })
    }

    /// Finds a PSMMU by the psmmu_ptr that the host uses, which is compared and nothing else.
    #[inline(always)]
    pub fn find(&self, psmmu_ptr: u64) -> Option<&'a Psmmu<R, M>> {
        let psmmu = (*self.places.get(place(self.multiplier, psmmu_ptr))?)?;
        (psmmu.config().psmmu_ptr == psmmu_ptr).then_some(psmmu)
    }

    /// Returns all of them, in the order in which they were given.
    #[must_use]
    pub fn all(&self) -> &[&'a Psmmu<R, M>] {
        &self.all
    }
}

/// Returns the place of `psmmu_ptr`.
#[inline(always)]
const fn place(multiplier: u64, psmmu_ptr: u64) -> usize {
    (psmmu_ptr.wrapping_mul(multiplier) >> (u64::BITS - PLACES_LOG2)) as usize
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;
    use crate::arch::registers;
    use crate::platform::{Config, Delivery, Granules, Interface, QueueAbortPolicy, Sizes};

    struct NoRegisters;

    // SAFETY: there is no device.
    #[expect(unsafe_code, reason = "the trait is unsafe to implement")]
    unsafe impl crate::Registers for NoRegisters {
        fn read32<A: registers::Access>(&self, _: registers::Register32<A>) -> u32 {
            0
        }
        fn write32(&self, _: registers::Register32<registers::ReadWrite>, _: u32) {}
        fn write64(&self, _: registers::Register64, _: u64) {}
        fn read_barrier(&self) {}
        fn write_barrier(&self) {}
    }

    fn psmmus(names: impl Iterator<Item = u64>) -> Vec<Psmmu<NoRegisters, Granules<'static>>> {
        let config = |psmmu_ptr| Config {
            psmmu_ptr,
            interface: Interface::Realm,
            delivery: Delivery::Disabled,
            abort: QueueAbortPolicy::Discard,
            sizes: Sizes::DEFAULT,
        };
        names.map(|psmmu_ptr| Psmmu::new(config(psmmu_ptr), NoRegisters)).collect()
    }

    #[test]
    fn each_of_sixteen_is_found_by_its_name_and_by_no_other() {
        // Evenly spaced, as a system has them; and all alike but for one bit.
        let spaced = |step: u64| (0..16).map(move |i| 0x2B40_0000 + i * step);
        let bits = (0..16).map(|bit| 1 << (20 + 2 * bit));
        for names in [
            spaced(0x1_0000).collect::<Vec<_>>(),
            spaced(0x10_0000).collect(),
            spaced(1 << 36).collect(),
            bits.collect(),
        ] {
            let psmmus = psmmus(names.iter().copied());
            let directory = Directory::new(&psmmus).unwrap();
            assert_eq!(directory.all().len(), 16);
            for psmmu_ptr in names {
                assert_eq!(directory.find(psmmu_ptr).unwrap().config().psmmu_ptr, psmmu_ptr);
                for other in [psmmu_ptr + 1, psmmu_ptr ^ 1 << 63, psmmu_ptr | 0xFFF] {
                    assert!(directory.find(other).is_none(), "{other:#x}");
                }
            }
        }
    }

    #[test]
    fn an_empty_directory_finds_nothing() {
        let directory = Directory::<NoRegisters, Granules<'_>>::new([]).unwrap();
        assert!(directory.find(0).is_none() && directory.all().is_empty());
    }

    #[test]
    fn a_name_twice_or_more_than_sixteen_are_refused() {
        let twice = psmmus([5, 7, 5].into_iter());
        assert_eq!(Directory::new(&twice).err(), Some(DirectoryError::DuplicatePsmmuPtr(5)));
        let many = psmmus(0..17);
        assert_eq!(Directory::new(&many).err(), Some(DirectoryError::TooMany));
    }
}
