// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parses the boot manifest that EL3 writes to the shared buffer, versions 0.2 to 0.5.
//!
//! It is a structure of 64-bit words whose lists are in the same granule, each with a checksum: the sum
//! of number, pointer, all words of the list and the checksum is zero.

use core::fmt;

use heapless::Vec;
use psmmu_abi::{GRANULE_SIZE, MemoryCategory, Version};

use crate::dram::{Bank, BankError, Dram};

/// 64-bit words of the granule that holds the manifest.
pub const WORDS: usize = GRANULE_SIZE / 8;

/// Largest number of SMMUs that are stored.
pub const MAX_SMMUS: usize = 16;

/// Largest number of regions of device memory that are stored.
pub const MAX_DEVICE_REGIONS: usize = 8;

/// A console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// PA of its registers.
    pub base: u64,
    /// Its name, up to 8 characters, padded with zeroes.
    pub name: [u8; 8],
}

/// Device memory, such as BARs of PCIe devices, whose granules can be delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRegion {
    /// Its range of addresses.
    pub bank: Bank,
    /// [`DeviceNonCoherent`](MemoryCategory::DeviceNonCoherent) or
    /// [`DeviceCoherent`](MemoryCategory::DeviceCoherent).
    pub category: MemoryCategory,
}

/// An SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smmu {
    /// PA of the Non-secure register page 0.
    pub non_secure: u64,
    /// PA of the Realm register page 0.
    pub realm: u64,
}

/// The parts of the manifest that this RMM uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Version of the manifest.
    pub version: Version,
    /// DRAM.
    pub dram: Dram,
    /// The first console, if there is one; from 0.3 on.
    pub console: Option<Console>,
    /// The checksum of the list of consoles is wrong. TF-A 2.12 on QEMU omits one word of it, so this is
    /// logged and the console used nevertheless.
    pub console_checksum_is_wrong: bool,
    /// Device memory, from 0.4 on, non-coherent first; regions beyond [`MAX_DEVICE_REGIONS`] are left
    /// out.
    pub devices: Vec<DeviceRegion, MAX_DEVICE_REGIONS>,
    /// Number of regions of device memory that were left out.
    pub omitted_devices: u64,
    /// SMMUs with a Realm side, from 0.5 on; those beyond [`MAX_SMMUS`] are left out.
    pub smmus: Vec<Smmu, MAX_SMMUS>,
    /// Number of SMMUs that were left out.
    pub omitted_smmus: u64,
}

/// Why a manifest is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// Its version is not supported.
    Version(u64),
    /// This list is not within the granule.
    Placement(&'static str),
    /// The checksum of this list is wrong.
    Checksum(&'static str),
    /// The bank of DRAM or region of device memory at this PA is empty, no range of granules, or exceeds
    /// the address space.
    Bank(u64),
    /// The bank of DRAM at this PA overlaps another.
    Overlap(u64),
    /// There is no DRAM.
    NoBanks,
    /// There are more banks of DRAM than [`MAX_BANKS`](Dram::MAX_BANKS).
    TooManyBanks,
}

impl fmt::Display for ManifestError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(word) => {
                write!(f, "manifest of version {word:#x}, not 0.2 or a later 0.x")
            }
            Self::Placement(list) => write!(f, "the list of {list} leaves the manifest's granule"),
            Self::Checksum(list) => write!(f, "the list of {list} has a wrong checksum"),
            Self::Bank(base) => write!(f, "memory at {base:#x} is not a range of 4 KiB granules"),
            Self::Overlap(base) => write!(f, "DRAM at {base:#x} is listed twice"),
            Self::NoBanks => f.write_str("no DRAM"),
            Self::TooManyBanks => write!(f, "more than {} banks of DRAM", Dram::MAX_BANKS as u64),
        }
    }
}

/// A list: its name, the index of its three words, and the length of an element in words.
struct List {
    name: &'static str,
    header: usize,
    element: usize,
}

const DRAM: List = List { name: "DRAM", header: 2, element: 2 };
const CONSOLES: List = List { name: "consoles", header: 5, element: 6 };
const NON_COHERENT: List = List { name: "non-coherent device memory", header: 8, element: 2 };
const COHERENT: List = List { name: "coherent device memory", header: 11, element: 2 };
const SMMUS: List = List { name: "SMMUs", header: 14, element: 2 };

impl List {
    /// Finds the list in `page`, which is at PA `address`, and returns whether its checksum is right.
    #[cfg_attr(core_from_source, optimize(size))]
    fn find<'a>(
        &self,
        page: &'a [u64; WORDS],
        address: u64,
    ) -> Result<(&'a [u64], bool), ManifestError> {
        let [number, pointer, checksum] = [0, 1, 2].map(|word| page[self.header + word]);
        let words = usize::try_from(number).ok().and_then(|n| n.checked_mul(self.element));
        let list = match words {
            Some(0) => Some(&page[..0]),
            Some(words) => pointer
                .checked_sub(address)
                .filter(|offset| offset.is_multiple_of(8))
                .and_then(|offset| usize::try_from(offset / 8).ok())
                .and_then(|first| page.get(first..first.checked_add(words)?)),
            None => None,
        };
        let list = list.ok_or(ManifestError::Placement(self.name))?;
        let sum = list
            .iter()
            .fold(number.wrapping_add(pointer), |sum, &word| sum.wrapping_add(word))
            .wrapping_add(checksum);
        Ok((list, sum == 0))
    }

    /// Finds the list, and fails if its checksum is wrong.
    #[cfg_attr(core_from_source, optimize(size))]
    fn find_checked<'a>(
        &self,
        page: &'a [u64; WORDS],
        address: u64,
    ) -> Result<&'a [u64], ManifestError> {
        match self.find(page, address)? {
            (list, true) => Ok(list),
            (_, false) => Err(ManifestError::Checksum(self.name)),
        }
    }
}

impl Manifest {
    /// Parses the granule at PA `address`.
    ///
    /// # Errors
    /// [`ManifestError`]; a wrong checksum of the consoles is not one.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn parse(page: &[u64; WORDS], address: u64) -> Result<Self, ManifestError> {
        let word = page[0] & 0xFFFF_FFFF;
        let version = Version::try_from(word)
            .ok()
            // Newer minor versions only append fields.
            .filter(|version| version.major == 0 && version.minor >= 2)
            .ok_or(ManifestError::Version(word))?;

        let mut dram = Dram::default();
        for bank in DRAM.find_checked(page, address)?.chunks_exact(DRAM.element) {
            let &[base, size] = bank else { continue };
            let bank = Bank::new(base, size).ok_or(ManifestError::Bank(base))?;
            dram.add(bank).map_err(|error| match error {
                BankError::Full => ManifestError::TooManyBanks,
                BankError::Overlap => ManifestError::Overlap(base),
            })?;
        }
        if dram.banks().is_empty() {
            return Err(ManifestError::NoBanks);
        }

        let mut manifest = Self {
            version,
            dram,
            console: None,
            console_checksum_is_wrong: false,
            devices: Vec::new(),
            omitted_devices: 0,
            smmus: Vec::new(),
            omitted_smmus: 0,
        };
        if version.minor >= 3 {
            let (consoles, adds_up) = CONSOLES.find(page, address)?;
            manifest.console_checksum_is_wrong = !adds_up;
            manifest.console = consoles
                .first_chunk::<3>()
                .map(|&[base, _, name]| Console { base, name: name.to_le_bytes() });
        }
        if version.minor >= 4 {
            for (list, category) in [
                (NON_COHERENT, MemoryCategory::DeviceNonCoherent),
                (COHERENT, MemoryCategory::DeviceCoherent),
            ] {
                for bank in list.find_checked(page, address)?.chunks_exact(list.element) {
                    let &[base, size] = bank else { continue };
                    let bank = Bank::new(base, size).ok_or(ManifestError::Bank(base))?;
                    let kept = manifest.devices.push(DeviceRegion { bank, category });
                    manifest.omitted_devices += u64::from(kept.is_err());
                }
            }
        }
        if version.minor >= 5 {
            for smmu in SMMUS.find_checked(page, address)?.chunks_exact(SMMUS.element) {
                let &[non_secure, realm] = smmu else { continue };
                let kept = manifest.smmus.push(Smmu { non_secure, realm });
                manifest.omitted_smmus += u64::from(kept.is_err());
            }
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: u64 = 0x418F_F000;

    /// Writes a list behind `first` and its header, with a right checksum.
    fn put(page: &mut [u64; WORDS], list: &List, first: usize, words: &[u64]) {
        let number = (words.len() / list.element) as u64;
        let pointer = if number == 0 { 0 } else { ADDRESS + 8 * first as u64 };
        page[first..first + words.len()].copy_from_slice(words);
        let sum = words.iter().fold(number.wrapping_add(pointer), |a, &b| a.wrapping_add(b));
        page[list.header..list.header + 3].copy_from_slice(&[number, pointer, sum.wrapping_neg()]);
    }

    /// A manifest of version 0.`minor` with one bank, one console, two regions of device memory and one
    /// SMMU.
    fn page(minor: u64) -> [u64; WORDS] {
        let mut page = [0; WORDS];
        page[0] = minor;
        put(&mut page, &DRAM, 64, &[0x4000_0000, 0xC000_0000]);
        let name = u64::from_le_bytes(*b"pl011\0\0\0");
        put(&mut page, &CONSOLES, 80, &[0x0900_0000, 1, name, 1, 115_200, 0]);
        put(&mut page, &COHERENT, 90, &[0x60_0000_0000, 0x1000]);
        put(&mut page, &NON_COHERENT, 92, &[0x5000_0000, 0x1000_0000]);
        put(&mut page, &SMMUS, 100, &[0x2B40_0000, 0x2B44_0000]);
        page
    }

    fn parse(page: &[u64; WORDS]) -> Result<Manifest, ManifestError> {
        Manifest::parse(page, ADDRESS)
    }

    #[test]
    fn each_version_gives_what_it_has() {
        for (minor, consoles, devices, smmus) in
            [(2, 0, 0, 0), (3, 1, 0, 0), (4, 1, 2, 0), (5, 1, 2, 1), (6, 1, 2, 1)]
        {
            let manifest = parse(&page(minor)).unwrap();
            assert_eq!(manifest.version, Version { major: 0, minor: minor as u16 });
            assert_eq!(manifest.dram.banks().len(), 1);
            assert_eq!(manifest.console.iter().count(), consoles, "0.{minor}");
            assert_eq!(manifest.devices.len(), devices, "0.{minor}");
            assert_eq!(manifest.smmus.len(), smmus, "0.{minor}");
            assert!(!manifest.console_checksum_is_wrong);
        }
        let smmus = parse(&page(5)).unwrap().smmus;
        assert_eq!(smmus[0], Smmu { non_secure: 0x2B40_0000, realm: 0x2B44_0000 });
    }

    #[test]
    fn other_versions_are_refused() {
        for word in [1, 0x1_0000, 0x1_0005] {
            assert_eq!(parse(&page(word)), Err(ManifestError::Version(word)));
        }
    }

    #[test]
    fn device_memory_is_of_the_category_of_its_list() {
        let devices = parse(&page(4)).unwrap().devices;
        let bank = |base, size| Bank::new(base, size).unwrap();
        let (non_coherent, coherent) =
            (MemoryCategory::DeviceNonCoherent, MemoryCategory::DeviceCoherent);
        assert_eq!(
            devices,
            [
                DeviceRegion { bank: bank(0x5000_0000, 0x1000_0000), category: non_coherent },
                DeviceRegion { bank: bank(0x60_0000_0000, 0x1000), category: coherent },
            ]
        );
    }

    #[test]
    fn device_memory_is_whole_granules_up_to_a_number_of_regions() {
        let many: [u64; 2 * (MAX_DEVICE_REGIONS + 1)] =
            core::array::from_fn(|i| 0x1000 * (1 + i as u64));
        let mut page = page(4);
        put(&mut page, &NON_COHERENT, 120, &many);
        let manifest = parse(&page).unwrap();
        // There is no room for those of the other list, which comes second, either.
        assert_eq!((manifest.devices.len(), manifest.omitted_devices), (MAX_DEVICE_REGIONS, 2));
        put(&mut page, &NON_COHERENT, 120, &[0x5000_0800, 0x1000]);
        assert_eq!(parse(&page), Err(ManifestError::Bank(0x5000_0800)));
    }

    #[test]
    fn an_empty_list_is_three_zeroes() {
        let mut page = page(5);
        put(&mut page, &SMMUS, 100, &[]);
        assert_eq!(page[SMMUS.header..SMMUS.header + 3], [0, 0, 0]);
        assert!(parse(&page).unwrap().smmus.is_empty());
    }

    #[test]
    fn a_wrong_console_checksum_is_reported_and_the_console_used() {
        let mut page = page(3);
        page[CONSOLES.header + 2] ^= 1;
        let manifest = parse(&page).unwrap();
        assert!(manifest.console_checksum_is_wrong);
        assert_eq!(manifest.console.unwrap().base, 0x0900_0000);
    }

    #[test]
    fn a_wrong_checksum_of_memory_or_smmus_is_an_error() {
        for list in [DRAM, NON_COHERENT, COHERENT, SMMUS] {
            let mut page = page(5);
            page[list.header + 2] ^= 1;
            assert_eq!(parse(&page), Err(ManifestError::Checksum(list.name)));
        }
    }

    #[test]
    fn lists_that_leave_the_granule_are_refused() {
        let last = ADDRESS + GRANULE_SIZE as u64 - 8;
        for (number, pointer) in
            [(1, ADDRESS - 8), (1, last), (1, ADDRESS + 4), (u64::MAX, ADDRESS), (1 << 60, ADDRESS)]
        {
            let mut page = page(2);
            page[DRAM.header] = number;
            page[DRAM.header + 1] = pointer;
            assert_eq!(
                parse(&page),
                Err(ManifestError::Placement("DRAM")),
                "{number:#x} at {pointer:#x}"
            );
        }
    }

    #[test]
    fn each_fault_of_the_dram_has_its_own_error() {
        for (words, error) in [
            (&[][..], ManifestError::NoBanks),
            (&[0x4000_0000, 0x800], ManifestError::Bank(0x4000_0000)),
            (&[0x4000_0800, 0x1000], ManifestError::Bank(0x4000_0800)),
            (&[0x4000_0000, 0], ManifestError::Bank(0x4000_0000)),
            (&[0xFFFF_FFFF_FFFF_F000, 0x1000], ManifestError::Bank(0xFFFF_FFFF_FFFF_F000)),
            (&[0x4000_0000, 0x2000, 0x4000_1000, 0x1000], ManifestError::Overlap(0x4000_1000)),
        ] {
            let mut page = page(2);
            put(&mut page, &DRAM, 64, words);
            assert_eq!(parse(&page), Err(error), "{words:x?}");
        }
        // 8 fit, 9 do not.
        let spread: [u64; 18] =
            core::array::from_fn(|i| if i % 2 == 0 { 0x1000 * (1 + i as u64) } else { 0x1000 });
        let mut page = page(2);
        put(&mut page, &DRAM, 64, &spread[..16]);
        assert_eq!(parse(&page).unwrap().dram.banks().len(), 8);
        put(&mut page, &DRAM, 64, &spread);
        assert_eq!(parse(&page), Err(ManifestError::TooManyBanks));
    }

    #[test]
    fn smmus_beyond_the_capacity_are_counted() {
        let words: [u64; 2 * (MAX_SMMUS + 3)] = core::array::from_fn(|i| i as u64);
        let mut page = page(5);
        put(&mut page, &SMMUS, 200, &words);
        let manifest = parse(&page).unwrap();
        assert_eq!((manifest.smmus.len(), manifest.omitted_smmus), (MAX_SMMUS, 3));
    }

    /// Words that lists are made of, by SplitMix64.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = *state;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }

    #[test]
    fn parsing_any_words_ends_and_keeps_its_bounds() {
        let mut state = 1;
        let mut parsed = 0;
        for _ in 0..200_000 {
            let mut page = page(2 + random(&mut state) % 5);
            // Changes a few relevant words; the checksums are then mostly corrected.
            for _ in 0..random(&mut state) % 4 {
                let index = (random(&mut state) % 120) as usize;
                let word = random(&mut state);
                page[index] = match word % 4 {
                    0 => word,
                    1 => word >> (word >> 8 & 0x3F),
                    2 => page[index] ^ 1 << (word >> 8 & 0x3F),
                    _ => ADDRESS + (word >> 8 & 0x1FFF),
                };
            }
            if !random(&mut state).is_multiple_of(8) {
                for list in [DRAM, NON_COHERENT, COHERENT, SMMUS] {
                    if let Ok((words, _)) = list.find(&page, ADDRESS) {
                        let [number, pointer] = [page[list.header], page[list.header + 1]];
                        let sum = words
                            .iter()
                            .fold(number.wrapping_add(pointer), |a, &b| a.wrapping_add(b));
                        page[list.header + 2] = sum.wrapping_neg();
                    }
                }
            }
            let Ok(manifest) = parse(&page) else { continue };
            parsed += 1;
            let banks = manifest.dram.banks();
            assert!((1..=Dram::MAX_BANKS).contains(&banks.len()));
            for (index, bank) in banks.iter().enumerate() {
                assert!(bank.base() < bank.end());
                assert!(
                    banks[..index]
                        .iter()
                        .all(|other| { bank.end() <= other.base() || other.end() <= bank.base() })
                );
            }
        }
        assert!(parsed > 50_000, "{parsed} are too few to see anything");
    }
}
