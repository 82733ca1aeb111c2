// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cold and warm boot: from what EL3 passes to an RMM that answers.

use core::arch::asm;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use psmmu::directory::MAX_PSMMUS;
use psmmu::{Config, Directory, Interface, MmioRegisters, NoOwners, Psmmu, Responder};
use psmmu_abi::{MemoryCategory, Version};
use rmm::platform::{PsmmuDescription, THIS};
use rmm::{
    Areas, BootArguments, BootCode, DeviceRegion, Environment, Features, Manifest, Region, Rmm,
    Tracker, manifest,
};
use spin::Once;

use super::clock::PhysicalCounter;
use super::console::{self, log};
use super::host_memory::{self, HostDoor};
use super::memory::{Shared, take_room};
use super::{el3, mmu};

/// Most PSMMUs that this image serves.
const PSMMUS: usize = if cfg!(feature = "many-psmmus") { MAX_PSMMUS } else { THIS.max_psmmus };

pub type ThisPsmmu = Psmmu<MmioRegisters, Shared>;

/// The PSMMUs.
static THE_PSMMUS: [Once<ThisPsmmu>; PSMMUS] = [const { Once::new() }; PSMMUS];

/// A word for each of them, by which it says that commands are done.
static COMPLETIONS: [AtomicU64; PSMMUS] = [const { AtomicU64::new(0) }; PSMMUS];

/// The RMM of this machine.
pub type ThisRmm = Rmm<'static, Machine>;

static RMM: Once<ThisRmm> = Once::new();

/// Where the entry code finds [`RMM`] once it has booted. Before, EL3 passes no calls.
pub static RMM_POINTER: AtomicPtr<ThisRmm> = AtomicPtr::new(core::ptr::null_mut());

/// This machine, as the RMM's library sees it.
#[derive(Debug)]
pub struct Machine {
    /// EL3 can move device memory from one world to the other.
    devices_are_isolated: bool,
}

impl Machine {
    /// Returns whether EL3 keeps memory of this category in one world.
    const fn is_isolated(&self, category: MemoryCategory) -> bool {
        matches!(category, MemoryCategory::Conventional) || self.devices_are_isolated
    }
}

impl Environment for Machine {
    type Registers = MmioRegisters;
    type Memory = Shared;
    type Host = HostDoor;
    type Owners = NoOwners;
    type Clock = PhysicalCounter;

    fn clock(&self) -> &PhysicalCounter {
        &PhysicalCounter
    }

    fn delegate(&self, granule: u64, category: MemoryCategory) -> bool {
        if self.is_isolated(category) && el3::delegate(granule).is_err() {
            return false;
        }
        if category != MemoryCategory::Conventional {
            return true;
        }
        // SAFETY: all DRAM that is tracked was mapped at boot.
        let is_memory = unsafe { host_memory::is_memory(granule) };
        if !is_memory {
            self.undelegate(granule, category);
        }
        is_memory
    }

    fn undelegate(&self, granule: u64, category: MemoryCategory) {
        if self.is_isolated(category)
            && let Err(refusal) = el3::undelegate(granule)
        {
            panic!("EL3 does not take granule {granule:#x} back: {}", refusal.0);
        }
    }

    fn is_interrupt_pending(&self) -> bool {
        let pending: u64;
        // SAFETY: reads a register: what is pending for this level, masked or not.
        unsafe {
            asm!("mrs {}, isr_el1", out(reg) pending, options(nomem, nostack, preserves_flags));
        }
        pending != 0
    }

    fn wipe(&self, region: Region) -> bool {
        // SAFETY: 1. All DRAM that is tracked was mapped at boot. 2. The RMM wipes only what it has
        // taken: granules that nobody else uses.
        unsafe { host_memory::wipe(region) }
    }

    fn open(&self, region: Region) -> Shared {
        // SAFETY: 1. All DRAM that is tracked was mapped at boot. 2., 3. The RMM opens only what is in
        // use, and ends that when the PSMMU that it was opened for has given it back.
        unsafe { Shared::open(region) }
    }

    fn completion(&self, psmmu: &ThisPsmmu) -> Option<Shared> {
        let is_it =
            |other: &Once<ThisPsmmu>| other.get().is_some_and(|other| ptr::eq(other, psmmu));
        let index = THE_PSMMUS.iter().position(is_it)?;
        COMPLETIONS.get(index).map(Shared::word)
    }

    #[cfg(feature = "fault-streams")]
    fn at_rest(&self, stream: u32) -> psmmu::StreamTableEntry {
        super::fault_streams::entry(stream)
    }
}

/// What a boot gives to `RMM_BOOT_COMPLETE`: X1 and X2.
#[repr(C)]
pub struct BootResult {
    code: i64,
    token: u64,
}

/// Boots the RMM on the first CPU.
pub extern "C" fn rmm_cold_boot(arguments: &BootArguments) -> BootResult {
    // SAFETY: the platform says that a PL011 is here, and it was mapped as a device.
    unsafe { console::open(device(THIS.console.base), THIS.console.clock) };
    match cold_boot(arguments) {
        Ok(token) => BootResult { code: BootCode::Success as i64, token },
        Err(code) => {
            let BootArguments { cpu, version, max_cpus, shared_buffer, token } = arguments;
            log!(
                "boot failed: {code:?} ({}); X0 to X4: {cpu:#x} {version:#x} {max_cpus:#x} \
                 {shared_buffer:#x} {token:#x}",
                code as i64
            );
            BootResult { code: code as i64, token: 0 }
        }
    }
}

/// Boots another CPU: everything is there. Interfaces before 2.0 pass 0 as the token.
pub extern "C" fn rmm_warm_boot(token: u64) -> BootResult {
    BootResult { code: BootCode::Success as i64, token }
}

/// Answers a call of the host.
pub extern "C" fn handle(x: &mut [u64; 8], rmm: &ThisRmm) {
    rmm.handle(x);
}

/// Returns the index of this CPU.
pub fn cpu() -> usize {
    let cpu: usize;
    // SAFETY: reads a register that the entry code has written.
    unsafe { asm!("mrs {}, tpidr_el2", out(reg) cpu, options(nomem, nostack, preserves_flags)) };
    cpu
}

fn cold_boot(arguments: &BootArguments) -> Result<u64, BootCode> {
    let interface = arguments.check()?;
    let manifest = mmu::with_slot(mmu::realm_descriptor(interface.manifest), |page| {
        let page = core::ptr::with_exposed_provenance::<[u64; manifest::WORDS]>(page);
        // SAFETY: the slot maps the granule that EL3 has written the manifest to; EL3 leaves it alone
        // while the RMM boots, and the reference ends with the closure.
        Manifest::parse(unsafe { &*page }, interface.manifest)
    })?;
    log!(
        "{} {} at Realm EL2, RMI {}, RMM-EL3 interface {}, boot manifest {}, up to {} CPUs",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        Version::RMI_2_0,
        interface.version,
        manifest.version,
        interface.max_cpus,
    );
    for bank in manifest.dram.banks() {
        log!("DRAM {:#x} to {:#x}", bank.base(), bank.base() + (bank.size() - 1));
    }
    if manifest.console_checksum_is_wrong {
        log!("the manifest's list of consoles has a wrong checksum; used all the same");
    }
    if let Some(console) = manifest.console
        && console.base != THIS.console.base
    {
        log!("the manifest's console at {:#x} is not the platform's; not used", console.base);
    }
    #[cfg(feature = "fault-streams")]
    {
        super::fault_streams::set_up();
        log!("fault-streams: streams of a level-2 table fault on every access; for tests only");
    }

    let directory = Directory::new(psmmus(&manifest)).map_err(|error| {
        log!("{error}");
        BootCode::ManifestData
    })?;
    let (devices, devices_are_isolated) = THIS.find_devices(&manifest);
    let tracker = track(&manifest, devices, devices_are_isolated);
    let machine = Machine { devices_are_isolated };
    let host = HostDoor::new(manifest.dram);
    let rmm = RMM.call_once(|| {
        Rmm::new(features(), machine, Responder::new(directory, host, NoOwners), tracker)
    });
    RMM_POINTER.store(ptr::from_ref(rmm).cast_mut(), Ordering::Release);
    Ok(interface.token)
}

/// Begins to track what can be delegated, and maps the DRAM of that: all but what the Realm world has from
/// the start on, and what cannot be mapped.
fn track(manifest: &Manifest, devices: &[DeviceRegion], are_isolated: bool) -> Tracker<'static> {
    let mut areas = Areas::default();
    for bank in manifest.dram.without(THIS.realm_memory).banks() {
        match mmu::map_dram(bank) {
            Ok(()) => areas.add(*bank, MemoryCategory::Conventional),
            Err(mmu::Unmappable) => log!("DRAM from {:#x} on is not tracked", bank.base()),
        }
    }
    for &DeviceRegion { bank, category } in devices {
        let (base, last) = (bank.base(), bank.base() + (bank.size() - 1));
        let remark = if are_isolated { "" } else { "; in every world, whoever has it" };
        log!("device memory {base:#x} to {last:#x}{remark}");
        for part in bank.without(&THIS.realm_memory).into_iter().flatten() {
            areas.add(part, category);
        }
    }
    // SAFETY: here alone, and the first CPU boots once.
    let words = unsafe { take_room(areas.words()) };
    log!("granule tracker: {} bytes of {}", size_of_val(words), areas.words() * size_of::<u64>());
    Tracker::new(areas, words)
}

/// Puts the PSMMUs of this machine into their places.
fn psmmus(manifest: &Manifest) -> impl Iterator<Item = &'static ThisPsmmu> {
    let found = THIS.find_psmmus(manifest);
    if found.len() > PSMMUS {
        log!("{} PSMMUs; the first {PSMMUS} are used", found.len());
    }
    #[cfg(feature = "many-psmmus")]
    let found = {
        let mut found = found;
        while let (Some(&first), false) = (found.first(), found.is_full()) {
            let mut more = first;
            more.config.name += 0x1_0000 * found.len() as u64;
            // There is room.
            let _ = found.push(more);
        }
        log!("many-psmmus: the registers of the first stand for all; for measuring only");
        found
    };
    THE_PSMMUS.iter().zip(found).filter_map(|(place, description)| {
        let Config { name, interface, delivery, abort, .. } = description.config;
        let pages = [name, description.realm_page_0, description.realm_page_1()];
        if pages.iter().any(|&page| mmu::map_registers(page).is_err()) {
            log!("PSMMU {name:#x}: its registers cannot be mapped; not used");
            return None;
        }
        log!("PSMMU {name:#x} of {}: {delivery}; {abort}", THIS.name);
        if interface == Interface::StandIn {
            log!("PSMMU {name:#x}: {}", description.remark);
        }
        Some(place.call_once(|| psmmu(description)))
    })
}

fn psmmu(description: PsmmuDescription) -> ThisPsmmu {
    // SAFETY: 1. These three pages, 64 KiB each, were mapped as device memory, for good. 2. Manifest and
    // platform say that they are. 3. No other part of the RMM knows them.
    let registers = unsafe {
        MmioRegisters::new(
            device(description.config.name),
            device(description.realm_page_0),
            device(description.realm_page_1()),
        )
    };
    Psmmu::new(description.config, registers)
}

/// Returns the address of registers that are mapped one to one.
const fn device<T>(address: u64) -> NonNull<T> {
    NonNull::new(address as usize as *mut T).expect("no device lies at address 0")
}

/// Reads what the CPU has.
fn features() -> Features {
    let (mmfr0, dfr0): (u64, u64);
    // SAFETY: reads of identification registers.
    unsafe {
        asm!(
            "mrs {mmfr0}, id_aa64mmfr0_el1",
            "mrs {dfr0}, id_aa64dfr0_el1",
            mmfr0 = out(reg) mmfr0,
            dfr0 = out(reg) dfr0,
            options(nomem, nostack, preserves_flags),
        );
    }
    // PARange; 52 bits would need descriptors of another format.
    const ADDRESS_BITS: [u8; 6] = [32, 36, 40, 42, 44, 48];
    let range = (mmfr0 & 0xF) as usize;
    Features {
        address_bits: ADDRESS_BITS.get(range).copied().unwrap_or(48),
        breakpoints: (dfr0 >> 12 & 0xF) as u8,
        watchpoints: (dfr0 >> 20 & 0xF) as u8,
        protected_size: THIS.protected_size,
    }
}
