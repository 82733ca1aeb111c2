// SPDX-License-Identifier: MIT OR Apache-2.0

//! All that a host can reach, as an RMM would embed it: with registers that are mapped and with the
//! accessors to memory and to EL3 left undefined. It is linked and never run. Whatever panics calls
//! `the_event_path_can_panic`, which does not exist; `tools/no-panic` finds the code that refers to it.

#![no_std]
#![no_main]

use core::panic::PanicInfo;
use core::sync::atomic::AtomicU64;

use psmmu::{
    Clock, Granules, HostFault, HostGranule, HostMemory, MmioRegisters, Psmmu, Responder, Stage2,
    TableMemory, Translation, VsmmuLookup,
};
use psmmu_abi::{IrqSet, MemoryCategory, Notification};
use rmm::{Environment, Region, Rmm};

unsafe extern "C" {
    fn host_memory_read(address: u64, first: usize, words: *mut u64, count: usize) -> bool;
    fn host_memory_write(address: u64, first: usize, words: *const u64, count: usize) -> bool;
    fn host_memory_replace(address: u64, words: *const u64, count: usize) -> bool;
    fn owns_stream(stream: u32) -> bool;
    fn microseconds() -> u64;
    fn interrupt_is_pending() -> bool;
    fn change_world(granule: u64, to_realm: bool) -> bool;
    fn wipe_region(address: u64, bytes: u64) -> bool;
    fn open_region(address: u64, bytes: u64) -> *const AtomicU64;
    fn the_event_path_can_panic(info: *const u8) -> !;
}

/// An embedder's accessor to the host's memory.
#[derive(Debug)]
pub struct NsMemory;

fn fault_unless(done: bool) -> Result<(), HostFault> {
    if done { Ok(()) } else { Err(HostFault) }
}

impl HostMemory for NsMemory {
    fn read(&self, granule: HostGranule, first: usize, words: &mut [u64]) -> Result<(), HostFault> {
        let (to, count) = (words.as_mut_ptr(), words.len());
        // SAFETY: never run.
        fault_unless(unsafe { host_memory_read(granule.address(), first, to, count) })
    }

    fn write(&self, granule: HostGranule, first: usize, words: &[u64]) -> Result<(), HostFault> {
        let (from, count) = (words.as_ptr(), words.len());
        // SAFETY: never run.
        fault_unless(unsafe { host_memory_write(granule.address(), first, from, count) })
    }

    fn replace(&self, granule: HostGranule, words: &[u64]) -> Result<(), HostFault> {
        let (from, count) = (words.as_ptr(), words.len());
        // SAFETY: never run.
        fault_unless(unsafe { host_memory_replace(granule.address(), from, count) })
    }
}

/// Some embedder's machine.
#[derive(Debug)]
pub struct Machine;

impl Clock for Machine {
    fn microseconds(&self) -> u64 {
        // SAFETY: never run.
        unsafe { microseconds() }
    }
}

// SAFETY: never run.
unsafe impl TableMemory for Machine {
    type Memory = Granules<'static>;

    fn open(&self, address: u64) -> Option<Granules<'static>> {
        // SAFETY: never run.
        let can_open = unsafe { microseconds() } != 0;
        // SAFETY: never run.
        can_open.then(|| unsafe { Environment::open(self, Region::granule(address)) })
    }
}

impl Environment for Machine {
    type Registers = MmioRegisters;
    type Memory = Granules<'static>;
    type Host = NsMemory;
    type Vsmmus = Owners;
    type Clock = Self;

    fn clock(&self) -> &Self {
        self
    }

    fn delegate(&self, granule: u64, _: MemoryCategory) -> bool {
        // SAFETY: never run.
        unsafe { change_world(granule, true) }
    }

    fn undelegate(&self, granule: u64, _: MemoryCategory) {
        // SAFETY: never run.
        unsafe { change_world(granule, false) };
    }

    fn is_interrupt_pending(&self) -> bool {
        // SAFETY: never run.
        unsafe { interrupt_is_pending() }
    }

    fn wipe(&self, region: Region) -> bool {
        // SAFETY: never run.
        unsafe { wipe_region(region.address, region.bytes()) }
    }

    unsafe fn open(&self, region: Region) -> Granules<'static> {
        let words = region.bytes() as usize / 8;
        // SAFETY: never run.
        let words = unsafe {
            core::slice::from_raw_parts(open_region(region.address, region.bytes()), words)
        };
        // SAFETY: never run.
        unsafe { Granules::new(words, region.address) }
    }
}

/// Some embedder's knowledge of who owns a stream.
#[derive(Debug)]
pub struct Owners;

impl VsmmuLookup for Owners {
    fn is_owned(&self, stream: u32) -> bool {
        // SAFETY: never run.
        unsafe { owns_stream(stream) }
    }
}

type ThisPsmmu = Psmmu<MmioRegisters, Granules<'static>>;
type ThisResponder = Responder<'static, MmioRegisters, Granules<'static>, NsMemory, Owners>;

/// [`Psmmu::notify`].
#[unsafe(no_mangle)]
pub extern "C" fn event_path_notify(psmmu: &ThisPsmmu, set: u64, outputs: &mut [u64; 6]) -> bool {
    let reported = psmmu.notify(IrqSet::from_bits_truncate(set), &Owners);
    *outputs = reported.unwrap_or(Notification::NONE).registers();
    reported.is_ok()
}

/// [`Psmmu::consume`].
#[unsafe(no_mangle)]
pub extern "C" fn event_path_consume(psmmu: &ThisPsmmu, set: u64) -> bool {
    psmmu.consume(IrqSet::from_bits_truncate(set)).is_ok()
}

/// [`Responder::info`].
#[unsafe(no_mangle)]
pub extern "C" fn event_path_info(responder: &ThisResponder, name: u64, page: u64) -> u64 {
    responder.info(name, page).x0()
}

/// [`Responder::irq_notify`].
#[unsafe(no_mangle)]
pub extern "C" fn event_path_irq_notify(
    responder: &ThisResponder,
    name: u64,
    set: u64,
    outputs: &mut [u64; 6],
) -> u64 {
    let reported = responder.irq_notify(name, set);
    *outputs = reported.outputs;
    reported.result.x0()
}

/// [`Responder::event_consume`].
#[unsafe(no_mangle)]
pub extern "C" fn event_path_event_consume(responder: &ThisResponder, name: u64, set: u64) -> u64 {
    responder.event_consume(name, set).x0()
}

/// [`Rmm::handle`]: every command of the host.
#[unsafe(no_mangle)]
pub extern "C" fn event_path_handle(rmm: &Rmm<'static, Machine>, x: &mut [u64; 8]) {
    rmm.handle(x);
}

/// All steps of a stream of a Realm's device.
#[unsafe(no_mangle)]
pub extern "C" fn event_path_streams(psmmu: &ThisPsmmu, stream: u32, table: u64) -> bool {
    let stage_2 = Stage2 { table, vmid: stream as u16, t0sz: table as u8, sl0: 1, ps: 2 };
    // SAFETY: never run.
    let translation = unsafe { Translation::new(stage_2) };
    psmmu.configure_stream(stream, translation, &Machine, &Machine).is_ok()
        && psmmu.enable_stream(stream, &Machine, &Machine).is_ok()
        && psmmu.disable_stream(stream, &Machine, &Machine).is_ok()
        && psmmu.release_stream(stream, &Machine, &Machine).is_ok()
}

/// What the check must see.
#[cfg(feature = "can-panic")]
#[unsafe(no_mangle)]
pub extern "C" fn event_path_can_panic(words: &[u64; 4], index: usize) -> u64 {
    words[index]
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    // With the panic info, as panics of different kinds would else be folded into one.
    // SAFETY: never run.
    unsafe { the_event_path_can_panic(core::ptr::from_ref(info).cast()) }
}
