// SPDX-License-Identifier: MIT OR Apache-2.0

//! Describes the platforms, as far as the boot manifest does not. A platform is data only, and the image
//! has the same source for all of them: it uses [`THIS`], which the feature `fvp` selects.

use core::ops::Range;

use heapless::Vec;
use psmmu::registers::Idr0;
use psmmu::{Config, Delivery, Interface, QueueAbortPolicy, Sizes};
use psmmu_abi::GRANULE_SIZE;

use crate::manifest::{DeviceRegion, MAX_SMMUS, Manifest, Smmu};

mod fvp;
mod place;
mod qemu;

pub use fvp::FVP;
pub use qemu::QEMU;

/// The platform of this build.
pub const THIS: Platform = if cfg!(feature = "fvp") { FVP } else { QEMU };

/// Bytes from page 0 of a programming interface to its page 1.
pub(crate) const PAGE_1: u64 = 0x1_0000;

/// A PSMMU of a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsmmuDescription {
    /// `psmmu_ptr`, interrupt delivery, abort policy and sizes.
    pub config: Config,
    /// PA of page 0 of the programming interface that the RMM uses; page 1 is 64 KiB above.
    pub realm_page_0: u64,
    /// A remark for the boot log.
    pub remark: &'static str,
}

impl PsmmuDescription {
    /// Returns the PA of page 1 of the programming interface that the RMM uses.
    #[must_use]
    pub const fn realm_page_1(&self) -> u64 {
        // A PSMMU whose page 1 is beyond the address space is not used.
        self.realm_page_0.wrapping_add(PAGE_1)
    }
}

/// Properties of the PSMMUs that the boot manifest lists, which has only their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPsmmus {
    /// How interrupts are delivered.
    pub delivery: Delivery,
    /// Whether queue contents survive an aborted write.
    pub abort: QueueAbortPolicy,
    /// Largest sizes of tables and queues.
    pub sizes: Sizes,
}

/// Device memory of a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Devices {
    /// Where it lies.
    pub regions: &'static [DeviceRegion],
    /// EL3 keeps it in one PAS, which delegation changes. Otherwise it is in every PAS, EL3 refuses to
    /// change that, and delegation changes the RMM's tracking only: for emulators without isolation only.
    pub are_isolated: bool,
}

/// PSMMUs of machines that differ from a platform only in the SMMU's Realm side.
#[derive(Clone, Copy, Debug)]
pub struct RealmPsmmus {
    /// The PSMMUs, with wired interrupts.
    pub wired: &'static [PsmmuDescription],
    /// The same, with MSIs.
    pub msi: &'static [PsmmuDescription],
}

/// A PL011.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// PA of its registers.
    pub base: u64,
    /// Its clock in Hz, if the RMM has to enable the UART; `None` if earlier firmware has.
    pub clock: Option<u32>,
}

/// A platform.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Its name, for the boot log.
    pub name: &'static str,
    /// The console for the boot log.
    pub console: Console,
    /// Memory in Realm PAS from boot on, the RMM's own, whatever the manifest lists.
    pub realm_memory: Range<u64>,
    /// Device memory that can be delegated if the manifest lists none.
    pub devices: Devices,
    /// Size of the protected address space as GPCCR_EL3.PPS encodes it.
    pub protected_size: u8,
    /// Largest number of PSMMUs that the RMM has memory for, 1 to 16.
    pub max_psmmus: usize,
    /// PSMMUs that it has if the manifest lists none.
    pub psmmus: &'static [PsmmuDescription],
    /// PSMMUs used instead if the machine exists with and without a Realm side, and this one has it.
    pub realm_psmmus: Option<RealmPsmmus>,
    /// Properties of PSMMUs that the manifest lists.
    pub listed: ListedPsmmus,
}

impl Platform {
    /// Returns the platform with the PSMMUs of this machine. `idr0` reads IDR0 of the Non-secure register
    /// page 0 at a PA; it is called only where a Realm side is optional, and then for the first PSMMU:
    /// RME_IMPL indicates a Realm side, MSI that it interrupts by MSIs.
    #[must_use]
    pub fn of_this_machine(self, idr0: impl FnOnce(u64) -> Idr0) -> Self {
        let (Some(realm), Some(first)) = (self.realm_psmmus, self.psmmus.first()) else {
            return self;
        };
        let idr0 = idr0(first.config.psmmu_ptr);
        let psmmus = match (idr0.has_rme(), idr0.has_msi()) {
            (false, _) => self.psmmus,
            (true, false) => realm.wired,
            (true, true) => realm.msi,
        };
        Self { psmmus, ..self }
    }

    /// Returns the device memory that can be delegated, and whether EL3 isolates it: that of the manifest if
    /// it has any, else the platform's own.
    #[must_use]
    pub fn find_devices<'m>(&self, manifest: &'m Manifest) -> (&'m [DeviceRegion], bool) {
        match manifest.devices.as_slice() {
            [] => (self.devices.regions, self.devices.are_isolated),
            listed => (listed, true),
        }
    }

    /// Returns the page with the registers of the console.
    #[must_use]
    pub const fn console_page(&self) -> Range<u64> {
        self.console.base..self.console.base.wrapping_add(GRANULE_SIZE as u64)
    }

    /// Returns the PSMMUs: those of the manifest if it has any, else the platform's own.
    #[must_use]
    pub fn find_psmmus(&self, manifest: &Manifest) -> Vec<PsmmuDescription, MAX_SMMUS> {
        if manifest.smmus.is_empty() {
            return self.psmmus.iter().copied().take(MAX_SMMUS).collect();
        }
        let ListedPsmmus { delivery, abort, sizes } = self.listed;
        let describe =
            |&Smmu { non_secure: psmmu_ptr, realm: realm_page_0 }: &Smmu| PsmmuDescription {
                config: Config { psmmu_ptr, interface: Interface::Realm, delivery, abort, sizes },
                realm_page_0,
                remark: "",
            };
        manifest.smmus.iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dram::{Bank, Dram};
    use psmmu_abi::{MemoryCategory, Version};

    const IDR0_MSI: u32 = 1 << 13;
    const IDR0_RME_IMPL: u32 = 1 << 30;

    fn manifest(smmus: &[Smmu]) -> Manifest {
        let mut dram = Dram::default();
        dram.add(Bank::new(0x4000_0000, 0x1000).unwrap()).unwrap();
        Manifest {
            version: Version { major: 0, minor: 5 },
            dram,
            console: None,
            console_checksum_is_wrong: false,
            devices: Vec::new(),
            omitted_devices: 0,
            omitted_smmus: 0,
            smmus: smmus.iter().copied().collect(),
        }
    }

    #[test]
    fn idr0_decides_whether_qemus_smmu_has_a_realm_side_and_msis() {
        let found = |idr0| {
            let platform = QEMU.of_this_machine(|page| {
                assert_eq!(page, 0x0905_0000);
                Idr0::new(idr0)
            });
            assert_eq!(platform.psmmus.len(), 1);
            let PsmmuDescription { config, realm_page_0, .. } = platform.psmmus[0];
            (config.psmmu_ptr, config.interface, config.delivery, config.abort, realm_page_0)
        };
        let wired = |first| Delivery::Wired { eventq: first, gerror: first + 3, priq: 0 };
        let (keeps, spoils) = (QueueAbortPolicy::Preserve, QueueAbortPolicy::Discard);
        for idr0 in [0, IDR0_MSI] {
            let only = (0x0905_0000, Interface::NonSecureOnly, wired(106), keeps, 0x0905_0000);
            assert_eq!(found(idr0), only);
        }
        let realm = |delivery| (0x0905_0000, Interface::Realm, delivery, spoils, 0x0B00_0000);
        assert_eq!(found(IDR0_RME_IMPL), realm(wired(112)));
        assert_eq!(found(IDR0_RME_IMPL | IDR0_MSI), realm(Delivery::Msi));
    }

    #[test]
    fn a_platform_that_always_has_a_realm_side_is_not_asked() {
        let fvp = FVP.of_this_machine(|page| panic!("IDR0 of {page:#x} is read"));
        assert_eq!(fvp.psmmus, FVP.psmmus);
    }

    #[test]
    fn a_manifest_without_smmus_leaves_them_to_the_platform() {
        for platform in [QEMU, FVP] {
            assert_eq!(platform.find_psmmus(&manifest(&[])), platform.psmmus);
        }
    }

    #[test]
    fn the_fvp_has_the_same_psmmu_listed_or_not() {
        let listed = Smmu { non_secure: 0x2B40_0000, realm: 0x2B44_0000 };
        assert_eq!(FVP.find_psmmus(&manifest(&[listed])), FVP.psmmus);
    }

    #[test]
    fn images_and_devices_are_apart_from_the_memory_of_the_host() {
        let realm = QEMU.of_this_machine(|_| Idr0::new(IDR0_RME_IMPL));
        for Platform { name, console, realm_memory, devices, psmmus, .. } in [QEMU, realm, FVP] {
            // Assumptions of the page tables and of the linker script.
            assert!(realm_memory.end <= 1 << 39, "{name}");
            assert!(realm_memory.start.is_multiple_of(0x1000), "{name}");
            for DeviceRegion { bank, category } in devices.regions {
                assert_ne!(*category, MemoryCategory::Conventional, "{name}");
                assert!(bank.base() + bank.size() <= realm_memory.start, "{name}: {bank:x?}");
            }
            let pages = psmmus.iter().flat_map(|psmmu| {
                [psmmu.config.psmmu_ptr, psmmu.realm_page_0, psmmu.realm_page_1()]
            });
            for device in pages.chain([console.base]) {
                assert!(!realm_memory.contains(&device), "{name}: {device:#x}");
                assert!(device.is_multiple_of(0x1000), "{name}: {device:#x}");
            }
        }
    }

    #[test]
    fn device_memory_of_the_manifest_comes_before_the_platforms_own() {
        let mut manifest = manifest(&[]);
        assert_eq!(QEMU.find_devices(&manifest), (QEMU.devices.regions, false));
        let bank = Bank::new(0x5000_0000, 0x200_0000).unwrap();
        let listed = DeviceRegion { bank, category: MemoryCategory::DeviceCoherent };
        manifest.devices.push(listed).unwrap();
        assert_eq!(QEMU.find_devices(&manifest), (&[listed][..], true));
    }

    #[test]
    fn the_smmus_of_the_manifest_come_before_the_platforms_own() {
        let listed: Vec<_, 16> = (0..16)
            .map(|i| Smmu {
                non_secure: 0x2B40_0000 + i * 0x10_0000,
                realm: 0x2B44_0000 + i * 0x10_0000,
            })
            .collect();
        let found = QEMU.find_psmmus(&manifest(&listed));
        assert_eq!(found.len(), 16);
        for (psmmu, smmu) in found.iter().zip(&listed) {
            assert_eq!(psmmu.config.psmmu_ptr, smmu.non_secure);
            assert_eq!(psmmu.config.interface, Interface::Realm);
            assert_eq!(psmmu.config.delivery, QEMU.listed.delivery);
            assert_eq!(psmmu.realm_page_0, smmu.realm);
            assert_eq!(psmmu.realm_page_1(), smmu.realm + 0x1_0000);
        }
    }
}
