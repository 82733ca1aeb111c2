// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boot manifest that EL3 leaves in the shared buffer, versions 0.2 to 0.5.
//!
//! It is a structure of 64-bit words whose lists lie in the same granule, each with a checksum: number,
//! pointer, all words of the list and the checksum add up to zero.

use heapless::Vec;
use psmmu_abi::{GRANULE_SIZE, MemoryCategory, Version};

use crate::dram::{Bank, Dram};

/// 64-bit words of the granule that holds the manifest.
pub const WORDS: usize = GRANULE_SIZE / 8;

/// Most SMMUs that are kept.
pub const MAX_SMMUS: usize = 16;

/// Most regions of device memory that are kept.
pub const MAX_DEVICE_REGIONS: usize = 8;

/// A console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// PA of its registers.
    pub base: u64,
    /// Its name, up to eight characters, zeroes behind.
    pub name: [u8; 8],
}

/// Device memory, as the BARs of PCIe devices are, whose granules can be delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRegion {
    /// Where it lies.
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

/// What the manifest says, as far as this RMM uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Version of the manifest.
    pub version: Version,
    /// DRAM.
    pub dram: Dram,
    /// The first console, if there is one; from 0.3 on.
    pub console: Option<Console>,
    /// The list of consoles does not add up. TF-A 2.12 on QEMU forgets one word of it, so this is to be
    /// logged and not held against the console.
    pub console_checksum_is_wrong: bool,
    /// Device memory, from 0.4 on, non-coherent first; what is beyond [`MAX_DEVICE_REGIONS`] is left out.
    pub devices: Vec<DeviceRegion, MAX_DEVICE_REGIONS>,
    /// SMMUs with a Realm side, from 0.5 on; those beyond [`MAX_SMMUS`] are left out.
    pub smmus: Vec<Smmu, MAX_SMMUS>,
}

/// Why a manifest is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// Its version is not one of ours.
    Version(u64),
    /// A list does not lie in the granule.
    Placement,
    /// A list does not add up.
    Checksum,
    /// A bank of DRAM or of device memory is no range of granules, or there are none of DRAM or too many.
    Bank,
}

/// A list: where its three words stand and how long an element is, in words.
struct List {
    header: usize,
    element: usize,
}

const DRAM: List = List { header: 2, element: 2 };
const CONSOLES: List = List { header: 5, element: 6 };
const NON_COHERENT: List = List { header: 8, element: 2 };
const COHERENT: List = List { header: 11, element: 2 };
const SMMUS: List = List { header: 14, element: 2 };

impl List {
    /// Finds the list in `page`, which lies at PA `address`, and says whether it adds up.
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
        let list = list.ok_or(ManifestError::Placement)?;
        let sum = list
            .iter()
            .fold(number.wrapping_add(pointer), |sum, &word| sum.wrapping_add(word))
            .wrapping_add(checksum);
        Ok((list, sum == 0))
    }

    /// Finds the list and insists that it adds up.
    fn find_checked<'a>(
        &self,
        page: &'a [u64; WORDS],
        address: u64,
    ) -> Result<&'a [u64], ManifestError> {
        match self.find(page, address)? {
            (list, true) => Ok(list),
            (_, false) => Err(ManifestError::Checksum),
        }
    }
}

impl Manifest {
    /// Parses the granule at PA `address`.
    ///
    /// # Errors
    /// [`ManifestError`]; a wrong checksum of the consoles is not one.
    pub fn parse(page: &[u64; WORDS], address: u64) -> Result<Self, ManifestError> {
        let word = page[0] & 0xFFFF_FFFF;
        let version = Version::try_from(word)
            .ok()
            // Newer minor versions only add behind what is there.
            .filter(|version| version.major == 0 && version.minor >= 2)
            .ok_or(ManifestError::Version(word))?;

        let mut dram = Dram::default();
        for bank in DRAM.find_checked(page, address)?.chunks_exact(DRAM.element) {
            let bank = Bank::new(bank[0], bank[1]).ok_or(ManifestError::Bank)?;
            dram.add(bank).map_err(|_| ManifestError::Bank)?;
        }
        if dram.banks().is_empty() {
            return Err(ManifestError::Bank);
        }

        let mut manifest = Self {
            version,
            dram,
            console: None,
            console_checksum_is_wrong: false,
            devices: Vec::new(),
            smmus: Vec::new(),
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
                    let bank = Bank::new(bank[0], bank[1]).ok_or(ManifestError::Bank)?;
                    // What finds no room is left out.
                    let _ = manifest.devices.push(DeviceRegion { bank, category });
                }
            }
        }
        if version.minor >= 5 {
            let smmus = SMMUS.find_checked(page, address)?.chunks_exact(SMMUS.element);
            manifest.smmus = smmus
                .map(|smmu| Smmu { non_secure: smmu[0], realm: smmu[1] })
                .take(MAX_SMMUS)
                .collect();
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
    fn device_memory_is_whole_granules_and_what_is_too_much_is_left_out() {
        let many: [u64; 2 * (MAX_DEVICE_REGIONS + 1)] =
            core::array::from_fn(|i| 0x1000 * (1 + i as u64));
        let mut page = page(4);
        put(&mut page, &NON_COHERENT, 120, &many);
        assert_eq!(parse(&page).unwrap().devices.len(), MAX_DEVICE_REGIONS);
        put(&mut page, &NON_COHERENT, 120, &[0x5000_0800, 0x1000]);
        assert_eq!(parse(&page), Err(ManifestError::Bank));
    }

    #[test]
    fn an_empty_list_is_three_zeroes() {
        let mut page = page(5);
        put(&mut page, &SMMUS, 100, &[]);
        assert_eq!(page[SMMUS.header..SMMUS.header + 3], [0, 0, 0]);
        assert!(parse(&page).unwrap().smmus.is_empty());
    }

    #[test]
    fn a_wrong_console_checksum_is_told_and_the_console_used() {
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
            assert_eq!(parse(&page), Err(ManifestError::Checksum));
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
            assert_eq!(parse(&page), Err(ManifestError::Placement), "{number:#x} at {pointer:#x}");
        }
    }

    #[test]
    fn memory_must_be_there_and_be_whole_granules() {
        let many: [u64; 18] = core::array::from_fn(|i| 0x1000 * (1 + i as u64));
        for words in [&[][..], &[0x4000_0000, 0x800], &[0x4000_0800, 0x1000], &many] {
            let mut page = page(2);
            put(&mut page, &DRAM, 64, words);
            assert_eq!(parse(&page), Err(ManifestError::Bank), "{words:x?}");
        }
    }
}
