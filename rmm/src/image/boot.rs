// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cold and warm boot: from what EL3 passes to an RMM that answers.

use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use psmmu::{Config, Granules, Interface, Memory, MmioRegisters, NoOwners, Psmmu, Responder};
use psmmu_abi::{PsmmuParamsFlags, Version};
use rmm::platform::{PsmmuDescription, QEMU};
use rmm::{BootArguments, BootCode, Environment, Features, Manifest, Rmm, manifest};
use spin::Once;

use super::clock::PhysicalCounter;
use super::console::{self, log};
use super::host_memory::HostDoor;
use super::memory::psmmu_memory;
use super::mmu;

/// Number of PSMMUs of the platform.
const PSMMUS: usize = QEMU.psmmus.len();

pub type ThisPsmmu = Psmmu<MmioRegisters, Granules<'static>>;

/// The PSMMUs. Made while compiling: they are too large for a stack.
static THE_PSMMUS: [ThisPsmmu; PSMMUS] = {
    // There is one, and memory for one.
    const { assert!(PSMMUS == 1) };
    [psmmu(QEMU.psmmus[0])]
};

/// The RMM of this machine.
pub type ThisRmm = Rmm<'static, Machine>;

static RMM: Once<ThisRmm> = Once::new();

/// Where the entry code finds [`RMM`] once it has booted. Before, EL3 passes no calls.
pub static RMM_POINTER: AtomicPtr<ThisRmm> = AtomicPtr::new(core::ptr::null_mut());

/// This machine, as the RMM's library sees it.
#[derive(Debug)]
pub struct Machine;

impl Environment for Machine {
    type Registers = MmioRegisters;
    type Memory = Granules<'static>;
    type Host = HostDoor;
    type Owners = NoOwners;
    type Clock = PhysicalCounter;

    fn clock(&self) -> &PhysicalCounter {
        &PhysicalCounter
    }

    fn psmmu_memory(
        &self,
        _: &ThisPsmmu,
        flags: PsmmuParamsFlags,
    ) -> Option<Memory<Granules<'static>>> {
        // There is no memory for a PRI queue.
        (!flags.contains(PsmmuParamsFlags::PRI)).then(psmmu_memory)
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
    unsafe { console::open(device(QEMU.console)) };
    match cold_boot(arguments) {
        Ok(token) => BootResult { code: BootCode::Success as i64, token },
        Err(code) => {
            log!("boot failed: {code:?} ({}); {arguments:x?}", code as i64);
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
        && console.base != QEMU.console
    {
        log!("the manifest's console at {:#x} is not the platform's; not used", console.base);
    }
    if cfg!(feature = "fault-streams") {
        log!("fault-streams: streams 0 to 63 fault on every access; for tests only");
    }

    for (psmmu, description) in THE_PSMMUS.iter().zip(QEMU.psmmus) {
        let Config { name, interface, delivery, abort } = psmmu.config();
        log!("PSMMU {name:#x} of {}: {delivery:?}, {abort:?}", QEMU.name);
        if *interface == Interface::StandIn {
            log!("PSMMU {name:#x}: {}", description.remark);
        }
    }
    let responder = Responder::new(&THE_PSMMUS, HostDoor::new(manifest.dram), NoOwners);
    let rmm = RMM.call_once(|| Rmm::new(features(), Machine, responder));
    RMM_POINTER.store(core::ptr::from_ref(rmm).cast_mut(), Ordering::Release);
    Ok(interface.token)
}

const fn psmmu(description: PsmmuDescription) -> ThisPsmmu {
    // SAFETY: 1. `mmu::build` maps these three pages, 64 KiB each, as device memory for good, before
    // anything runs that reaches a PSMMU. 2. The platform's description says that they are. 3. No
    // other part of the RMM knows them.
    let registers = unsafe {
        MmioRegisters::new(
            device(description.config.name),
            device(description.realm_page_0),
            device(description.realm_page_1),
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
        protected_size: QEMU.protected_size,
    }
}
