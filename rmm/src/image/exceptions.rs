// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exceptions. One is survived: an access of [`host_memory`](super::host_memory) that faults. All others,
//! and panics, are bugs of the RMM: they are printed once and the CPU stops. While it boots it ends the boot
//! by `RMM_BOOT_COMPLETE` with code -1 instead, so that EL3 goes on.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::fmt;
use core::panic::PanicInfo;

use rmm::boot::RMM_BOOT_COMPLETE;
use rmm::{BootCode, MAX_CPUS};

use super::console::last_words;
use super::cpu::cpu;
use super::mmu::{WINDOW, WINDOW_STACK_TOP, WINDOW_STRIDE};

/// Bytes of an exception stack: a [`Frame`], a multiple of 16.
pub const EXCEPTION_STACK_SIZE: usize = 288;

/// A stack for exceptions for each CPU.
pub static EXCEPTION_STACKS: ExceptionStacks =
    ExceptionStacks(UnsafeCell::new([[0; EXCEPTION_STACK_SIZE]; MAX_CPUS]));

/// Memory that only assembly touches.
#[repr(C, align(16))]
pub struct ExceptionStacks(UnsafeCell<[[u8; EXCEPTION_STACK_SIZE]; MAX_CPUS]>);

// SAFETY: no Rust code ever makes a reference to the content.
unsafe impl Sync for ExceptionStacks {}

/// What the vectors save.
#[repr(C)]
pub struct Frame {
    x: [u64; 31],
    elr: u64,
    esr: u64,
    far: u64,
    spsr: u64,
    sp: u64,
}

const _: () = assert!(size_of::<Frame>() == EXCEPTION_STACK_SIZE);

global_asm!(
    r#"
    .macro  vector number
    .balign 128
    sub     sp, sp, #{frame}
    stp     x0, x1, [sp]
    mov     x1, #\number
    b       rmm_exception
    .endm

    .section .text.rmm_vectors, "ax"
    .balign 2048
    .global rmm_vectors
rmm_vectors:
    // From this level on SP_EL0: the RMM itself. A data abort of the copy of a host granule is not
    // the end: it returns to where the copy says false.
    .balign 128
    sub     sp, sp, #{frame}
    stp     x0, x1, [sp]
    mrs     x0, esr_el2
    ubfx    x1, x0, #26, #6
    cmp     x1, #0x25                   // data abort of this level
    b.ne    1f
    and     x1, x0, #0x3f
    cmp     x1, #0x28                   // granule protection fault
    mov     x0, #0x10                   // external abort
    ccmp    x1, x0, #4, ne
    b.ne    1f
    mrs     x0, elr_el2
    adr     x1, rmm_host_copy_start
    cmp     x0, x1
    b.lo    1f
    adr     x1, rmm_host_copy_end
    cmp     x0, x1
    b.hs    1f
    adr     x0, rmm_host_copy_fault
    msr     elr_el2, x0
    ldp     x0, x1, [sp]
    add     sp, sp, #{frame}
    eret
1:  mov     x1, #0
    b       rmm_exception
    vector  1
    vector  2
    vector  3
    // From this level on SP_EL2: an exception while one is being saved. There is no stack to say so.
    .rept   4
    .balign 128
    b       rmm_stop
    .endr
    // From lower levels, of which there are none.
    vector  8
    vector  9
    vector  10
    vector  11
    vector  12
    vector  13
    vector  14
    vector  15

    .balign 128
rmm_exception:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el2
    mrs     x3, esr_el2
    mrs     x4, far_el2
    mrs     x5, spsr_el2
    mrs     x6, sp_el0
    stp     x30, x2, [sp, #240]
    stp     x3, x4, [sp, #256]
    stp     x5, x6, [sp, #272]
    // Without the MMU there is neither a console nor the stack below.
    mrs     x2, sctlr_el2
    tbz     x2, #0, rmm_stop
    mov     x0, sp
    // The stack may be what went wrong: begin it anew. Nothing returns from here.
    mrs     x2, tpidr_el2
    ldr     x3, ={window_stack_top}
    mov     x4, #{window_stride}
    madd    x3, x2, x4, x3
    msr     spsel, #0
    mov     sp, x3
    mov     x29, xzr
    mov     x30, xzr
    b       {dump}

    // Stops this CPU: by the end of its boot, or for good.
    .global rmm_stop
rmm_stop:
    mrs     x9, tpidr_el2
    adrp    x10, rmm_booted
    add     x10, x10, :lo12:rmm_booted
    ldrb    w10, [x10, x9]
    cbnz    w10, 1f
    ldr     x0, ={boot_complete}
    mov     x1, #{unknown}
    mov     x2, xzr
    smc     #0
1:  wfi
    b       1b
    "#,
    frame = const EXCEPTION_STACK_SIZE,
    window_stack_top = const WINDOW + WINDOW_STACK_TOP,
    window_stride = const WINDOW_STRIDE,
    dump = sym dump,
    boot_complete = const RMM_BOOT_COMPLETE,
    unknown = const BootCode::Unknown as i64,
);

/// Prints an exception and stops this CPU.
#[cfg_attr(core_from_source, optimize(size))]
extern "C" fn dump(frame: &Frame, vector: u64) -> ! {
    const KINDS: [&str; 4] = ["synchronous exception", "IRQ", "FIQ", "SError"];
    let Frame { x, elr, esr, far, spsr, sp } = frame;
    let kind = KINDS[vector as usize % KINDS.len()];
    last_words(format_args!("STOPPED: CPU {}: {kind}, vector {vector}", cpu()));
    last_words(format_args!("ESR {esr:#018x}  ELR {elr:#018x}  FAR {far:#018x}"));
    last_words(format_args!("SPSR {spsr:#010x}  SP {sp:#018x}"));
    for (row, values) in x.chunks(4).enumerate() {
        // One format for all rows, and none that could fail on its way.
        let value = |column: usize| values.get(column).copied().unwrap_or(0);
        let [a, b, c, d] = [0, 1, 2, 3].map(value);
        last_words(format_args!("X{:<2} {a:#018x} {b:#018x} {c:#018x} {d:#018x}", 4 * row));
    }
    stop()
}

/// Prints the panic message and stops this CPU.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let panic_message = info.message();
    match info.location() {
        Some(at) => {
            give_up(format_args!("{panic_message}, at {}:{}", at.file(), u64::from(at.line())))
        }
        None => give_up(format_args!("{panic_message}")),
    }
}

/// Prints why nothing can be trusted any more and stops this CPU.
#[cold]
#[inline(never)]
pub fn give_up(reason: fmt::Arguments<'_>) -> ! {
    last_words(format_args!("STOPPED: {reason}"));
    stop()
}

unsafe extern "C" {
    fn rmm_stop() -> !;
}

/// Stops this CPU, by the end of its boot if it is booting. Later EL3 knows no call by which an RMM could
/// give up; the other CPUs go on.
fn stop() -> ! {
    // SAFETY: it needs nothing and does not return.
    unsafe { rmm_stop() }
}
