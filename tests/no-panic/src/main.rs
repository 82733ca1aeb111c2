// SPDX-License-Identifier: MIT OR Apache-2.0

//! The event path and nothing else, as an RMM would embed it: with registers that are mapped and with
//! the memory door left open. It is linked and never run. Whatever panics calls
//! `the_event_path_can_panic`, which does not exist; `tools/no-panic` looks who names it.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use psmmu::{
    Granules, HostFault, HostGranule, HostMemory, MmioRegisters, Psmmu, Responder, StreamOwners,
};
use psmmu_abi::{IrqSet, Notification};

unsafe extern "C" {
    fn host_memory_read(address: u64, words: *mut u64, count: usize) -> bool;
    fn host_memory_write(address: u64, words: *const u64, count: usize) -> bool;
    fn owns_stream(stream: u32) -> bool;
    fn the_event_path_can_panic(info: *const u8) -> !;
}

/// Some embedder's door to the host's memory.
#[derive(Debug)]
pub struct Door;

impl HostMemory for Door {
    fn read(&self, granule: HostGranule, words: &mut [u64]) -> Result<(), HostFault> {
        // SAFETY: never run.
        let read = unsafe { host_memory_read(granule.address(), words.as_mut_ptr(), words.len()) };
        if read { Ok(()) } else { Err(HostFault) }
    }

    fn write(&self, granule: HostGranule, words: &[u64]) -> Result<(), HostFault> {
        // SAFETY: never run.
        let written = unsafe { host_memory_write(granule.address(), words.as_ptr(), words.len()) };
        if written { Ok(()) } else { Err(HostFault) }
    }
}

/// Some embedder's knowledge of who owns a stream.
#[derive(Debug)]
pub struct Owners;

impl StreamOwners for Owners {
    fn is_owned(&self, stream: u32) -> bool {
        // SAFETY: never run.
        unsafe { owns_stream(stream) }
    }
}

type ThisPsmmu = Psmmu<MmioRegisters, Granules<'static>>;
type ThisResponder = Responder<'static, MmioRegisters, Granules<'static>, Door, Owners>;

/// [`Psmmu::notify`].
#[unsafe(no_mangle)]
pub extern "C" fn event_path_notify(psmmu: &ThisPsmmu, set: u64, outputs: &mut [u64; 6]) -> bool {
    let told = psmmu.notify(IrqSet::from_bits_truncate(set), &Owners);
    *outputs = told.unwrap_or(Notification::NONE).registers();
    told.is_ok()
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
    let told = responder.irq_notify(name, set);
    *outputs = told.outputs;
    told.result.x0()
}

/// [`Responder::event_consume`].
#[unsafe(no_mangle)]
pub extern "C" fn event_path_event_consume(responder: &ThisResponder, name: u64, set: u64) -> u64 {
    responder.event_consume(name, set).x0()
}

/// What the check must see.
#[cfg(feature = "can-panic")]
#[unsafe(no_mangle)]
pub extern "C" fn event_path_can_panic(words: &[u64; 4], index: usize) -> u64 {
    words[index]
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    // With the message, as panics of different kinds would else be folded into one.
    // SAFETY: never run.
    unsafe { the_event_path_can_panic(core::ptr::from_ref(info).cast()) }
}
