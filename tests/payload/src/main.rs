// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host test image: what EL3 enters at NS-EL2 behind the RMM.
//!
//! One boot runs one scenario: its name and arguments come by semihosting, it makes `edu` devices
//! fault, takes the interrupts, asks the RMM through `psmmu_host`, checks what it hears, and ends QEMU
//! with an exit code (the table is in [`scenario`]).
//!
//! Read it from the machine up: [`platform`] says where things are, [`arch`], [`time`], [`gic`],
//! [`pci`], [`edu`], [`device`] and [`smmu`] touch them, [`smc`] calls the RMM, [`pool`] is the memory that it is
//! donated, [`events`] is the interrupt handler and its log, [`bring_up`] starts the RMM's PSMMU,
//! [`scenario`] is what a boot is for.

#![no_std]
#![no_main]

// Their macros are used everywhere below.
#[macro_use]
mod check;
#[macro_use]
mod console;

mod arch;
mod bring_up;
mod cpus;
mod device;
mod edu;
mod events;
mod exit;
mod gic;
mod granule;
mod lock;
mod pci;
mod platform;
mod pool;
mod probe;
mod scenario;
mod smc;
mod smmu;
mod target;
mod time;

use core::panic::PanicInfo;

use aarch64_rt::{ExceptionHandlers, RegisterStateRef, entry, exception_handlers};

entry!(main);

fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    scenario::run()
}

struct Exceptions;

exception_handlers!(Exceptions);

impl ExceptionHandlers for Exceptions {
    extern "C" fn irq_current(_: RegisterStateRef) {
        events::interrupt();
    }

    extern "C" fn sync_current(mut state: RegisterStateRef) {
        if let Some(behind) = probe::caught(state.elr, arch::esr()) {
            // SAFETY: the exception is of the one load or store of `probe`, and what follows it there
            // expects no register to have changed.
            unsafe { state.get_mut().elr = behind };
            return;
        }
        panic!(
            "exception at {:#x}: ESR_EL2 {:#x}, FAR_EL2 {:#x}",
            state.elr,
            arch::esr(),
            arch::far()
        );
    }

    extern "C" fn serror_current(state: RegisterStateRef) {
        panic!("SError at {:#x}: ESR_EL2 {:#x}", state.elr, arch::esr());
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    exit::on_panic(info)
}
