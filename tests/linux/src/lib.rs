// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Rust half of the Linux module: `psmmu-host` behind a C ABI.
//!
//! Everything that a driver decides is here or in `psmmu-host`; the C half (`module/glue.c`) has what
//! only C can say to the kernel: module entry, interrupts, pages, the secure monitor call. The functions
//! that C calls are in [`ffi`], those that C provides in [`kernel`].

#![no_std]

mod driver;
mod ffi;
mod kernel;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    kernel::stop(info)
}
