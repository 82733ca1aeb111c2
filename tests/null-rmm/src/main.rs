// SPDX-License-Identifier: MIT OR Apache-2.0

//! An RMM that boots and answers each call at once, with whatever the registers hold.
//!
//! Between two SMCs of its own lie exactly four instructions: a branch, a test, a load, the SMC. What a
//! call costs beyond them is EL3's and the host's; `make bench` subtracts it from what a call to the real
//! RMM costs.
//!
//! With bit 0 of X7 set it makes the call to EL3 that X6 names first, on the granule in X1, as the real
//! RMM does to give a granule to the Realm world, and answers what EL3 said: four instructions more.

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
    b       3f
1:  tbnz    x7, #0, 4f
2:  ldr     x0, ={request_complete}
3:  smc     #0
    b       1b
4:  mov     x0, x6
    smc     #0
    mov     x1, x0
    b       2b
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
