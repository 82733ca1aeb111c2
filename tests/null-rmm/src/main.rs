// SPDX-License-Identifier: MIT OR Apache-2.0

//! An RMM that boots and answers each call at once, with whatever the registers hold.
//!
//! Between two SMCs of its own lie exactly three instructions: the branch, the load, the SMC. What a
//! call costs beyond them is EL3's and the host's; `make bench` subtracts it from what a call to the real
//! RMM costs.

#![no_std]
#![no_main]

use core::arch::global_asm;
use core::panic::PanicInfo;

/// `RMM_BOOT_COMPLETE`; X1 is the status, X2 the token for warm boots.
const BOOT_COMPLETE: u32 = 0xC400_01CF;
/// `RMM_RMI_REQ_COMPLETE`; X1 to X8 become the caller's X0 to X7.
const REQUEST_COMPLETE: u32 = 0xC400_018F;

global_asm!(
    r#"
    .section .text.entry, "ax"
    .global null_rmm_entry
null_rmm_entry:
    mov     x1, xzr
    mov     x2, xzr
    ldr     x0, ={boot_complete}
    b       2f
1:  ldr     x0, ={request_complete}
2:  smc     #0
    b       1b
    .ltorg
    "#,
    boot_complete = const BOOT_COMPLETE,
    request_complete = const REQUEST_COMPLETE,
);

/// Nothing here panics.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {}
}
