// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cold and warm boot: from what EL3 passes to an RMM that answers.

use core::arch::asm;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use heapless::Vec;
use psmmu::registers::{Idr0, Register32};
use psmmu::{Config, Directory, Interface, MmioRegisters, NoVsmmu, Psmmu, Registers, Responder};
use psmmu_abi::{MemoryCategory, Version};
use rmm::platform::{PsmmuDescription, THIS};
use rmm::{
    Areas, BootArguments, BootCode, BootError, DeviceRegion, Dram, Environment, Features, Layout,
    Limits, Manifest, Region, Rmm, Tracker, manifest,
};
use spin::Once;

use super::clock::PhysicalCounter;
use super::console::{self, log};
use super::exceptions::give_up;
use super::host_memory::{self, NsMemory};
use super::memory::{Shared, take_room};
use super::reserved::PSMMUS;
use super::{el3, mmu};

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
    type Host = NsMemory;
    type Vsmmus = NoVsmmu;
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
        // SAFETY: 1. All DRAM that is tracked was mapped at boot. 2. It has just become the RMM's, which does
        // not use it yet.
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
            give_up(format_args!(
                "EL3 does not take {granule:#x} back: -{}",
                refusal.0.unsigned_abs()
            ));
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
        // taken: granules that no other component uses.
        unsafe { host_memory::wipe(region) }
    }

    unsafe fn open(&self, region: Region) -> Shared {
        // SAFETY: 1. All DRAM that is tracked was mapped at boot. 2., 3. The region is in use, and nothing else
        // uses it (conditions 1 and 2 of this function).
        unsafe { Shared::open(region) }
    }

    fn completion(&self, psmmu: &ThisPsmmu) -> Option<Shared> {
        let is_it =
            |other: &Once<ThisPsmmu>| other.get().is_some_and(|other| ptr::eq(other, psmmu));
        let index = THE_PSMMUS.iter().position(is_it)?;
        let word = COMPLETIONS.get(index)?;
        // SAFETY: the word is of this PSMMU alone, which asks for it when it is activated, and so has given it
        // back before.
        Some(unsafe { Shared::word(word) })
    }

    #[cfg(feature = "fault-streams")]
    fn default_ste(&self, stream: u32) -> psmmu::StreamTableEntry {
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
#[cfg_attr(core_from_source, optimize(size))]
pub extern "C" fn rmm_cold_boot(arguments: &BootArguments) -> BootResult {
    // SAFETY: the platform says that a PL011 is here, and it was mapped as a device.
    unsafe { console::open(device(THIS.console.base), THIS.console.clock) };
    match cold_boot(arguments) {
        Ok(token) => BootResult { code: BootCode::Success as i64, token },
        Err(error) => {
            let BootArguments { cpu, version, max_cpus, shared_buffer, token } = arguments;
            let code = error.code() as i64;
            log!(
                "boot failed: -{}: {error}; X0 to X4: {cpu:#x} {version:#x} {max_cpus:#x} \
                 {shared_buffer:#x} {token:#x}",
                code.unsigned_abs()
            );
            BootResult { code, token: 0 }
        }
    }
}

/// Boots another CPU: everything is there. Interfaces before 2.0 pass 0 as the token.
pub extern "C" fn rmm_warm_boot(token: u64) -> BootResult {
    let is_booted = !RMM_POINTER.load(Ordering::Acquire).is_null();
    let code = if is_booted { BootCode::Success } else { BootCode::Unknown };
    BootResult { code: code as i64, token }
}

/// Answers a call of the host.
pub extern "C" fn handle(x: &mut [u64; 8], rmm: &ThisRmm) {
    rmm.handle(x);
}

#[cfg_attr(core_from_source, optimize(size))]
fn cold_boot(arguments: &BootArguments) -> Result<u64, BootError> {
    let interface = arguments.check()?;
    let features = features();
    let limits = Limits { addressable: addressable(&features), mappable: mmu::MAPPABLE };
    let manifest = manifest(interface.manifest, limits)?;
    log!(
        "{} {} at Realm EL2, RMI {}, RMM-EL3 interface {}, boot manifest {}, up to {} CPUs",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        Version::RMI_2_0,
        interface.version,
        manifest.version,
        interface.max_cpus as u64,
    );
    for bank in manifest.dram.banks() {
        log!("DRAM {:#x} to {:#x}", bank.base(), bank.end() - 1);
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

    let platform = THIS.of_this_machine(idr0);
    let layout = Layout::new(&manifest, &platform, limits, &mut |omission| log!("{omission}"));
    let Layout { dram, tracked, psmmus: found } = layout;
    let directory = match Directory::new(psmmus(&found).iter().copied()) {
        Ok(directory) => directory,
        // No two have one name, and there are not too many.
        Err(error) => panic!("{error}"),
    };
    let (devices, devices_are_isolated) = THIS.find_devices(&manifest);
    let tracker = track(&tracked, devices, devices_are_isolated);
    let machine = Machine { devices_are_isolated };
    let host = NsMemory::new(dram);
    let rmm = RMM.call_once(|| {
        Rmm::new(features, machine, Responder::new(directory, host, NoVsmmu), tracker)
    });
    RMM_POINTER.store(ptr::from_ref(rmm).cast_mut(), Ordering::Release);
    Ok(interface.token)
}

/// Reads the boot manifest at PA `address`. Not inlined, so that its copy of the page is off the stack before more is
/// made.
#[cfg_attr(core_from_source, optimize(size))]
#[inline(never)]
fn manifest(address: u64, limits: Limits) -> Result<Manifest, BootError> {
    let is_ours = mmu::image().contains(&address);
    let mut page = [0; manifest::WORDS];
    // What EL3 writes there later is not the RMM's any more, so it is copied.
    if is_ours || address >= limits.addressable || !host_memory::read_realm(address, &mut page) {
        return Err(BootError::SharedBufferUnreadable(address));
    }
    Ok(Manifest::parse(&page, address)?)
}

/// Begins to track what can be delegated, and maps the DRAM of that.
#[cfg_attr(core_from_source, optimize(size))]
fn track(dram: &Dram, devices: &[DeviceRegion], are_isolated: bool) -> Tracker<'static> {
    let mut areas = Areas::default();
    for bank in dram.banks() {
        mmu::map_dram(bank);
        areas.add(*bank, MemoryCategory::Conventional);
    }
    for &DeviceRegion { bank, category } in devices {
        let remark =
            if are_isolated { "" } else { "; in every physical address space, not isolated" };
        log!("device memory {:#x} to {:#x}{remark}", bank.base(), bank.end() - 1);
        for part in bank.without(&THIS.realm_memory).into_iter().flatten() {
            areas.add(part, category);
        }
    }
    // SAFETY: here alone, and the first CPU boots once.
    let words = unsafe { take_room(areas.words()) };
    log!("granule tracker: {} bytes of {}", size_of_val(words), areas.words() * size_of::<u64>());
    Tracker::new(areas, words)
}

/// Offset of a register in page 0 of an SMMU that can be read without an effect: IDR0.
const IDR0: u64 = 0;
/// One in page 1: EVENTQ_PROD.
const EVENTQ_PROD: u64 = 0xA8;

/// Reads IDR0 of the Non-secure register page 0 at PA `page`; zero if nothing answers there.
#[cfg_attr(core_from_source, optimize(size))]
fn idr0(page: u64) -> Idr0 {
    if !host_memory::answers(page + IDR0) {
        return Idr0::new(0);
    }
    mmu::map_registers(page);
    // SAFETY: 1. The page, 64 KiB, was mapped as device memory, for good. 2. The platform says that it is
    // the Non-secure one of an SMMU. 3. Nothing is written, so it does not matter that it stands for the
    // Realm pages too.
    let registers = unsafe { MmioRegisters::new(device(page), device(page), device(page)) };
    Idr0::new(registers.read32(Register32::NS_IDR0))
}

/// Puts the PSMMUs of this machine into their places.
#[cfg_attr(core_from_source, optimize(size))]
#[inline(never)]
fn psmmus(found: &[PsmmuDescription]) -> Vec<&'static ThisPsmmu, PSMMUS> {
    let mut all = Vec::new();
    for description in found {
        let Config { psmmu_ptr, interface, delivery, abort, .. } = description.config;
        let pages = [psmmu_ptr, description.realm_page_0, description.realm_page_1()];
        let registers = [IDR0, IDR0, EVENTQ_PROD];
        if !pages
            .iter()
            .zip(registers)
            .all(|(page, register)| host_memory::answers(page + register))
        {
            log!("PSMMU {psmmu_ptr:#x} is not used: no device answers at its registers");
            continue;
        }
        pages.into_iter().for_each(mmu::map_registers);
        log!("PSMMU {psmmu_ptr:#x} of {}: {delivery}; {abort}", THIS.name);
        if interface == Interface::NonSecureOnly {
            log!("PSMMU {psmmu_ptr:#x}: {}", description.remark);
        }
        // The layout has as many as there are places.
        if let Some(place) = THE_PSMMUS.get(all.len()) {
            let _ = all.push(place.call_once(|| psmmu(description)));
        }
        #[cfg(feature = "many-psmmus")]
        while let Some(place) = THE_PSMMUS.get(all.len()) {
            let mut more = *description;
            more.config.psmmu_ptr += 0x1_0000 * all.len() as u64;
            mmu::map_registers(more.config.psmmu_ptr);
            let _ = all.push(place.call_once(|| psmmu(&more)));
        }
    }
    #[cfg(feature = "many-psmmus")]
    log!("many-psmmus: the registers of the first stand for all; for measuring only");
    all
}

#[cfg_attr(core_from_source, optimize(size))]
fn psmmu(description: &PsmmuDescription) -> ThisPsmmu {
    // SAFETY: 1. These three pages, 64 KiB each, were mapped as device memory, for good. 2. Manifest and
    // platform say that they are. 3. No other part of the RMM knows them: the layout has seen that they are
    // no other device's.
    let registers = unsafe {
        MmioRegisters::new(
            device(description.config.psmmu_ptr),
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

/// Returns the first PA that must not be named: beyond what the CPU has, or beyond what is protected, where
/// an access of the Realm world is taken to EL3.
#[cfg_attr(core_from_source, optimize(size))]
fn addressable(features: &Features) -> u64 {
    /// Bits by GPCCR_EL3.PPS.
    const PROTECTED_BITS: [u8; 7] = [32, 36, 40, 42, 44, 48, 52];
    let protected = PROTECTED_BITS[usize::from(THIS.protected_size)];
    1 << features.address_bits.min(protected)
}

/// Reads what the CPU has.
#[cfg_attr(core_from_source, optimize(size))]
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
