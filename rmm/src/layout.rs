// SPDX-License-Identifier: MIT OR Apache-2.0

//! Selects what is used of the boot manifest and of the platform: a manifest may list memory that this
//! CPU cannot address, or registers at addresses of memory. Unusable entries are omitted, and each
//! omission is reported for the boot log.
//!
//! Memory has priority: no registers of a PSMMU are used at addresses that the manifest lists as DRAM.
//! The exception is the platform's console, to which the omissions are logged.

use core::fmt;
use core::ops::Range;

use heapless::Vec;
use psmmu::Interface;
use psmmu_abi::GRANULE_SIZE;

use crate::dram::Dram;
use crate::manifest::{MAX_SMMUS, Manifest};
use crate::platform::{PAGE_1, Platform, PsmmuDescription};

/// Limits of the machine and of the page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// First PA that Realm accesses must not use: such an access would be taken to EL3.
    pub addressable: u64,
    /// First PA that cannot be mapped one to one.
    pub mappable: u64,
}

/// The memory and the PSMMUs in use.
#[derive(Clone, Debug)]
pub struct Layout {
    /// DRAM that the host can name.
    pub dram: Dram,
    /// DRAM that the host can delegate: without memory that is in Realm PAS from boot on.
    pub tracked: Dram,
    /// PSMMUs.
    pub psmmus: Vec<PsmmuDescription, MAX_SMMUS>,
}

/// Why a PSMMU is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Its register pages are not aligned to 64 KiB, or are at address 0.
    Alignment,
    /// Its register pages cannot be addressed.
    Beyond,
    /// Its register pages lie in DRAM or in the RMM's own memory.
    InMemory,
    /// Its register pages overlap with the console, with another PSMMU, or with each other.
    Shared,
    /// There is memory for this many PSMMUs only.
    TooMany(u64),
}

impl fmt::Display for Unusable {
    #[cfg_attr(core_from_source, optimize(size))]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alignment => "its registers are not at multiples of 64 KiB",
            Self::Beyond => "its registers cannot be addressed",
            Self::InMemory => "its registers are in memory",
            Self::Shared => "its registers are those of another device",
            Self::TooMany(most) => return write!(f, "at most {most} can be"),
        })
    }
}

/// An entry of the manifest or of the platform that is omitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omission {
    /// DRAM from this PA to the end of a bank cannot be addressed: the host cannot use it in calls.
    Unaddressable(u64),
    /// DRAM from this PA to the end of a bank cannot be mapped: none of it can be delegated.
    Unmappable(u64),
    /// Number of regions of device memory beyond those that are stored.
    Devices(u64),
    /// Number of SMMUs beyond those that are stored.
    Smmus(u64),
    /// The PSMMU at this `psmmu_ptr`.
    Psmmu(u64, Unusable),
}

impl fmt::Display for Omission {
    #[cfg_attr(core_from_source, optimize(size))]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaddressable(base) => write!(f, "DRAM from {base:#x} on cannot be addressed"),
            Self::Unmappable(base) => write!(f, "DRAM from {base:#x} on is not tracked"),
            Self::Devices(number) => write!(f, "{number} regions of device memory are not used"),
            Self::Smmus(number) => {
                write!(f, "the last {number} SMMUs of the manifest are not used")
            }
            Self::Psmmu(psmmu_ptr, reason) => {
                write!(f, "PSMMU {psmmu_ptr:#x} is not used: {reason}")
            }
        }
    }
}

impl Layout {
    /// Selects what is used on `platform`, and reports each omission.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn new(
        manifest: &Manifest,
        platform: &Platform,
        limits: Limits,
        omitted: &mut dyn FnMut(Omission),
    ) -> Self {
        let console = platform.console_page();
        for bank in manifest.dram.banks() {
            let part = |limit: u64| (bank.end() > limit).then(|| bank.base().max(limit));
            if let Some(base) = part(limits.addressable) {
                omitted(Omission::Unaddressable(base));
            }
            if let Some(base) = part(limits.mappable).filter(|&base| base < limits.addressable) {
                omitted(Omission::Unmappable(base));
            }
        }
        if manifest.omitted_devices != 0 {
            omitted(Omission::Devices(manifest.omitted_devices));
        }
        if manifest.omitted_smmus != 0 {
            omitted(Omission::Smmus(manifest.omitted_smmus));
        }
        // (Addresses beyond a limit are at the end of a bank, so they split none.)
        let dram = manifest.dram.without(console.clone()).without(limits.addressable..u64::MAX);
        let tracked = dram.without(platform.realm_memory.clone());
        let tracked = tracked.without(limits.mappable..u64::MAX);
        // Address 0 cannot be a pointer. It is at the beginning of a bank, so it splits none either.
        let tracked = tracked.without(0..GRANULE_SIZE as u64);

        let mut taken = Vec::<Range<u64>, { 1 + 2 * MAX_SMMUS }>::new();
        // The capacity suffices for it, and below for the pages of each PSMMU.
        let _ = taken.push(console);
        let mut psmmus = Vec::new();
        for psmmu in platform.find_psmmus(manifest) {
            let psmmu_ptr = psmmu.config.psmmu_ptr;
            match place(&psmmu, &manifest.dram, platform, limits, &taken) {
                Err(reason) => omitted(Omission::Psmmu(psmmu_ptr, reason)),
                Ok(_) if psmmus.len() >= platform.max_psmmus => {
                    omitted(Omission::Psmmu(
                        psmmu_ptr,
                        Unusable::TooMany(platform.max_psmmus as u64),
                    ));
                }
                Ok(pages) => {
                    for pages in pages {
                        let _ = taken.push(pages);
                    }
                    let _ = psmmus.push(psmmu);
                }
            }
        }
        Self { dram, tracked, psmmus }
    }
}

/// Returns the register pages of a PSMMU: Non-secure page 0, whose PA is its `psmmu_ptr`, and both pages
/// of the interface that the RMM uses.
#[cfg_attr(core_from_source, optimize(size))]
fn place(
    psmmu: &PsmmuDescription,
    dram: &Dram,
    platform: &Platform,
    limits: Limits,
    taken: &[Range<u64>],
) -> Result<[Range<u64>; 2], Unusable> {
    let limit = limits.addressable.min(limits.mappable);
    let pages = |base: u64, bytes: u64| {
        if base == 0 || !base.is_multiple_of(PAGE_1) {
            return Err(Unusable::Alignment);
        }
        let end = base.checked_add(bytes).filter(|&end| end <= limit).ok_or(Unusable::Beyond)?;
        let pages = base..end;
        if dram.overlaps(&pages) || overlap(&pages, &platform.realm_memory) {
            return Err(Unusable::InMemory);
        }
        if taken.iter().any(|other| overlap(&pages, other)) {
            return Err(Unusable::Shared);
        }
        Ok(pages)
    };
    let name = pages(psmmu.config.psmmu_ptr, PAGE_1)?;
    let interface = pages(psmmu.realm_page_0, 2 * PAGE_1)?;
    if psmmu.config.interface == Interface::Realm && overlap(&name, &interface) {
        return Err(Unusable::Shared);
    }
    Ok([name, interface])
}

#[cfg_attr(core_from_source, optimize(size))]
fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

// A page of the console is a granule, by which holes are cut.
const _: () = assert!(GRANULE_SIZE == 0x1000);

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use psmmu_abi::Version;

    use super::*;
    use crate::dram::Bank;
    use crate::manifest::Smmu;
    use crate::platform::{FVP, QEMU};

    const LIMITS: Limits = Limits { addressable: 1 << 40, mappable: (1 << 39) - (1 << 21) };

    fn layout(
        platform: &Platform,
        banks: &[(u64, u64)],
        smmus: &[Smmu],
    ) -> (Layout, Vec<Omission>) {
        let mut dram = Dram::default();
        for &(base, size) in banks {
            dram.add(Bank::new(base, size).unwrap()).unwrap();
        }
        let manifest = Manifest {
            version: Version { major: 0, minor: 5 },
            dram,
            console: None,
            console_checksum_is_wrong: false,
            devices: heapless::Vec::new(),
            omitted_devices: 0,
            smmus: smmus.iter().copied().collect(),
            omitted_smmus: 0,
        };
        let mut omissions = Vec::new();
        let layout =
            Layout::new(&manifest, platform, LIMITS, &mut |omission| omissions.push(omission));
        (layout, omissions)
    }

    fn ranges(dram: &Dram) -> Vec<(u64, u64)> {
        dram.banks().iter().map(|bank| (bank.base(), bank.end())).collect()
    }

    #[test]
    fn what_tf_a_lists_is_used_as_it_is() {
        let (qemu, omissions) = layout(&QEMU, &[(0x4000_0000, 0xC000_0000)], &[]);
        assert_eq!(omissions, []);
        assert_eq!(ranges(&qemu.dram), [(0x4000_0000, 0x1_0000_0000)]);
        assert_eq!(
            ranges(&qemu.tracked),
            [(0x4000_0000, 0x4010_0000), (0x4190_0000, 0x1_0000_0000)]
        );
        assert_eq!(qemu.psmmus, QEMU.psmmus);

        let banks = [(0x8000_0000, 0x7C00_0000), (0x8_8000_0000, 0x8000_0000)];
        let smmu = Smmu { non_secure: 0x2B40_0000, realm: 0x2B44_0000 };
        let (fvp, omissions) = layout(&FVP, &banks, &[smmu]);
        assert_eq!(omissions, []);
        assert_eq!(fvp.psmmus, FVP.psmmus);
        assert_eq!(
            ranges(&fvp.tracked),
            [(0x8000_0000, 0xFC00_0000), (0x8_8000_0000, 0x9_0000_0000)]
        );
    }

    #[test]
    fn dram_beyond_a_limit_is_left_out_and_reported() {
        let (layout, omissions) =
            layout(&QEMU, &[(0x7F_0000_0000, 0x1_0000_0000), (0xFF_FFFF_F000, 0x2000)], &[]);
        assert_eq!(
            ranges(&layout.dram),
            [(0x7F_0000_0000, 0x80_0000_0000), (0xFF_FFFF_F000, 1 << 40)]
        );
        assert_eq!(ranges(&layout.tracked), [(0x7F_0000_0000, 0x7F_FFE0_0000)]);
        assert_eq!(
            omissions,
            [
                Omission::Unmappable(0x7F_FFE0_0000),
                Omission::Unaddressable(1 << 40),
                Omission::Unmappable(0xFF_FFFF_F000),
            ]
        );
    }

    #[test]
    fn the_granule_at_address_0_cannot_be_delegated() {
        let (layout, omissions) = layout(&QEMU, &[(0, 0x2000)], &[]);
        assert_eq!(omissions, []);
        assert_eq!(ranges(&layout.dram), [(0, 0x2000)]);
        assert_eq!(ranges(&layout.tracked), [(0x1000, 0x2000)]);
    }

    #[test]
    fn registers_where_there_is_memory_are_not_used() {
        let all = (0x1000, (1 << 39) - 0x1000);
        let (layout, omissions) = layout(&QEMU, &[all], &[]);
        assert_eq!(omissions.last(), Some(&Omission::Psmmu(0x0905_0000, Unusable::InMemory)));
        assert!(layout.psmmus.is_empty());
        let console = QEMU.console_page();
        assert!(!layout.dram.overlaps(&console) && !layout.tracked.overlaps(&console));
        assert!(!layout.tracked.overlaps(&QEMU.realm_memory));
    }

    #[test]
    fn each_unusable_psmmu_has_its_reason() {
        const GOOD: Smmu = Smmu { non_secure: 0x2B40_0000, realm: 0x2B44_0000 };
        for (smmu, reason) in [
            (Smmu { non_secure: 0x2B40_1000, ..GOOD }, Unusable::Alignment),
            (Smmu { non_secure: 0, ..GOOD }, Unusable::Alignment),
            (Smmu { realm: 0x2B44_8000, ..GOOD }, Unusable::Alignment),
            (Smmu { realm: 0, ..GOOD }, Unusable::Alignment),
            (Smmu { realm: 0xFFFF_FFFF_FFFF_0000, ..GOOD }, Unusable::Beyond),
            (Smmu { realm: 0xFFFF_FFFF_FFFE_0000, ..GOOD }, Unusable::Beyond),
            (Smmu { non_secure: 0x7F_FFE0_0000, ..GOOD }, Unusable::Beyond),
            (Smmu { realm: 1 << 52, ..GOOD }, Unusable::Beyond),
            (Smmu { realm: 0x5000_0000, ..GOOD }, Unusable::InMemory),
            (Smmu { realm: 0x3FFF_0000, ..GOOD }, Unusable::InMemory),
            (Smmu { non_secure: 0x4010_0000, ..GOOD }, Unusable::InMemory),
            (Smmu { realm: 0x0900_0000, ..GOOD }, Unusable::Shared),
            (Smmu { realm: 0x2B40_0000, ..GOOD }, Unusable::Shared),
            (Smmu { realm: 0x2B3F_0000, ..GOOD }, Unusable::Shared),
        ] {
            let (layout, omissions) = layout(&QEMU, &[(0x4000_0000, 0xC000_0000)], &[smmu]);
            assert_eq!(omissions, [Omission::Psmmu(smmu.non_secure, reason)], "{smmu:x?}");
            assert!(layout.psmmus.is_empty());
        }
    }

    #[test]
    fn an_unusable_psmmu_takes_no_room_from_usable_ones() {
        const GOOD: Smmu = Smmu { non_secure: 0x2B40_0000, realm: 0x2B44_0000 };
        const NEXT: Smmu = Smmu { non_secure: 0x2B50_0000, realm: 0x2B54_0000 };
        let two = Platform { max_psmmus: 2, ..FVP };
        let smmus = [
            Smmu { realm: 0x2B44_8000, ..GOOD },
            GOOD,
            GOOD,
            Smmu { realm: GOOD.realm + PAGE_1, ..NEXT },
            NEXT,
            Smmu { non_secure: 0x2B60_0000, realm: 0x2B64_0000 },
        ];
        let (layout, omissions) = layout(&two, &[(0x8000_0000, 0x1000)], &smmus);
        let reasons: Vec<_> = omissions
            .iter()
            .map(|omission| match omission {
                Omission::Psmmu(_, reason) => *reason,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(
            reasons,
            [Unusable::Alignment, Unusable::Shared, Unusable::Shared, Unusable::TooMany(2)]
        );
        let names: Vec<_> = layout.psmmus.iter().map(|psmmu| psmmu.config.psmmu_ptr).collect();
        assert_eq!(names, [GOOD.non_secure, NEXT.non_secure]);
    }
}
