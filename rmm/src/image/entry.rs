// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first instruction, and the loop that everything else happens in.
//!
//! EL3 enters at `rmm_entry` in R-EL2 with the MMU off, first on one CPU (cold), then on each other
//! one (warm); no register reports which it is, so a flag does. Both ends meet in the loop: the answer to
//! one call is an SMC that returns as the next call.
//!
//! The RMM runs on SP_EL0 and takes exceptions on SP_EL2, so that a stack that has run over can still
//! be reported. EL3 keeps both, and X8 to X30, from call to call for each CPU.
//!
//! From the first instructions on an exception ends in `rmm_stop`, which ends the boot with a code; see
//! [`exceptions`](super::exceptions).

use core::arch::global_asm;

use rmm::boot::{RMI_REQ_COMPLETE, RMM_BOOT_COMPLETE};
use rmm::{BootCode, MAX_CPUS};

use super::boot::{RMM_POINTER, handle, rmm_cold_boot, rmm_warm_boot};
use super::exceptions::{EXCEPTION_STACK_SIZE, EXCEPTION_STACKS};
use super::mmu::{
    BOOT_STACK_TOP, MAIR, PAGE_TABLES, SCTLR, TCR, WINDOW, WINDOW_STACK_TOP, WINDOW_STRIDE, build,
    leave_boot_stack,
};
use super::reserved::STACKS;

/// HCR_EL2: lower exception levels, of which there are none, would be AArch64; nothing is trapped or
/// routed, and the RMM does not run as a host (E2H, TGE).
const HCR: u64 = 1 << 31;

/// CPTR_EL2: bits that are one, and traps for what EL3 does not save: SIMD and floating point (TFP), SVE and
/// SME (TZ, TSM, which are two of those bits); and for trace registers (TTA).
const CPTR: u64 = 0x33FF | 1 << 20 | 1 << 10;

/// MDCR_EL2 without HPMN: neither events nor cycles are counted here (HPMD, HCCD), and no debug exception is
/// routed here (TDE).
const MDCR: u64 = 1 << 23 | 1 << 17;

global_asm!(
    r#"
    .section .text.rmm_entry, "ax"
    .global rmm_entry
rmm_entry:
    msr     daifset, #0xf
    mov     x19, x0                     // X19 to X23: the arguments
    mov     x20, x1
    mov     x21, x2
    mov     x22, x3
    mov     x23, x4
    adrp    x24, rmm_is_warm
    add     x24, x24, :lo12:rmm_is_warm
    ldr     w25, [x24]                  // W25: not zero for a warm entry
    cmp     x19, #{max_cpus}
    b.lo    1f
    mov     x1, #{bad_cpu}
    mov     x2, xzr
    cbnz    w25, 4f
    mov     x0, xzr                     // a cold boot says why, on the stack of CPU 0
1:  msr     tpidr_el2, x0               // TPIDR_EL2: index of this CPU
    adrp    x9, rmm_booted
    add     x9, x9, :lo12:rmm_booted
    add     x27, x9, x0                 // X27: this CPU's byte of rmm_booted
    strb    wzr, [x27]
    adrp    x9, rmm_vectors
    add     x9, x9, :lo12:rmm_vectors
    msr     vbar_el2, x9

    // What is relied on, whatever EL3 has left there.
    ldr     x9, ={hcr}
    msr     hcr_el2, x9
    ldr     x9, ={cptr}
    msr     cptr_el2, x9
    mrs     x9, id_aa64dfr0_el1         // PMUVer: 0 and 15 if there are no counters
    ubfx    x9, x9, #8, #4
    sub     x9, x9, #1
    mov     x10, xzr
    cmp     x9, #14
    b.hs    1f
    mrs     x10, pmcr_el0               // MDCR_EL2.HPMN: as many counters as there are
    ubfx    x10, x10, #11, #5
1:  ldr     x9, ={mdcr}
    orr     x9, x9, x10
    msr     mdcr_el2, x9
    isb

    msr     spsel, #1
    adrp    x9, {exception_stacks}
    add     x9, x9, :lo12:{exception_stacks}
    mov     x10, #{exception_stack_size}
    madd    x9, x0, x10, x9
    add     sp, x9, x10
    msr     spsel, #0
    adrp    x9, {stacks}
    add     x9, x9, x0, lsl #12
    add     sp, x9, #4096
    cbnz    w25, 3f

    // What caches may hold of the RMM's memory goes to memory before it is written behind their back.
    mrs     x9, ctr_el0
    ubfx    x9, x9, #16, #4
    mov     x10, #4
    lsl     x9, x10, x9
    adrp    x10, image_start
    adrp    x11, spare_end
1:  dc      civac, x10
    add     x10, x10, x9
    cmp     x10, x11
    b.lo    1b
    dsb     sy

    adrp    x10, bss_start
    add     x10, x10, :lo12:bss_start
    adrp    x11, bss_end
2:  stp     xzr, xzr, [x10], #16
    cmp     x10, x11
    b.lo    2b
    adrp    x10, spare_start
    adrp    x11, spare_end
2:  stp     xzr, xzr, [x10], #16
    cmp     x10, x11
    b.lo    2b

    bl      {build}
    mov     w9, #1
    str     w9, [x24]
    dsb     sy

3:  adrp    x9, {page_tables}
    msr     ttbr0_el2, x9
    ldr     x9, ={mair}
    msr     mair_el2, x9
    ldr     x9, ={tcr}
    mrs     x10, id_aa64mmfr0_el1       // TCR_EL2.PS: what the CPU has, 48 bits at most
    and     x10, x10, #0xf
    mov     x11, #5
    cmp     x10, x11
    csel    x10, x10, x11, lo
    orr     x9, x9, x10, lsl #16
    msr     tcr_el2, x9
    tlbi    alle2
    ic      iallu
    dsb     sy
    isb
    ldr     x9, ={sctlr}
    msr     sctlr_el2, x9
    isb

    ldr     x9, ={window_stack_top}
    mov     x10, #{window_stride}
    mrs     x11, tpidr_el2
    madd    x26, x11, x10, x9           // X26: the stack of this CPU
    mov     sp, x26
    mov     x29, xzr
    mov     x30, xzr

    cbnz    w25, 5f
    ldr     x9, ={boot_stack_top}
    mov     sp, x9
    stp     x19, x20, [sp, #-48]!
    stp     x21, x22, [sp, #16]
    str     x23, [sp, #32]
    mov     x0, sp
    bl      {cold_boot}                 // returns code and token
    mov     sp, x26
    mov     x19, x0
    mov     x20, x1
    bl      {leave_boot_stack}
    mov     x0, x19
    mov     x1, x20
    b       6f
5:  mov     x0, x20                     // X1 of a warm entry is the token
    bl      {warm_boot}
6:  mov     x2, x1
    mov     x1, x0
    mov     w9, #1
    strb    w9, [x27]
4:  ldr     x0, ={boot_complete}
    adrp    x19, {rmm_pointer}
    ldr     x19, [x19, :lo12:{rmm_pointer}]

7:  smc     #0
    stp     x0, x1, [sp, #-64]!
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    mov     x0, sp
    mov     x1, x19
    bl      {handle}
    ldp     x7, x8, [sp, #48]
    ldp     x5, x6, [sp, #32]
    ldp     x3, x4, [sp, #16]
    ldp     x1, x2, [sp], #64
    ldr     x0, ={req_complete}
    b       7b

    // Written once, by the cold boot before the MMU is on, and read-only from then on. Not in .bss, which is
    // not zero when this counts first.
    .section .rodata.rmm_boot, "a"
    .balign 4
rmm_is_warm:
    .word   0
    // For each CPU: not zero from its RMM_BOOT_COMPLETE on. Each clears its own when it is entered.
    .section .bss.rmm_booted, "aw", %nobits
    .global rmm_booted
rmm_booted:
    .space  {max_cpus}
    "#,
    bad_cpu = const BootCode::CpuId as i64,
    max_cpus = const MAX_CPUS,
    hcr = const HCR,
    cptr = const CPTR,
    mdcr = const MDCR,
    exception_stacks = sym EXCEPTION_STACKS,
    exception_stack_size = const EXCEPTION_STACK_SIZE,
    stacks = sym STACKS,
    build = sym build,
    page_tables = sym PAGE_TABLES,
    mair = const MAIR,
    tcr = const TCR,
    sctlr = const SCTLR,
    window_stack_top = const WINDOW + WINDOW_STACK_TOP,
    window_stride = const WINDOW_STRIDE,
    boot_stack_top = const BOOT_STACK_TOP,
    leave_boot_stack = sym leave_boot_stack,
    cold_boot = sym rmm_cold_boot,
    warm_boot = sym rmm_warm_boot,
    boot_complete = const RMM_BOOT_COMPLETE,
    rmm_pointer = sym RMM_POINTER,
    handle = sym handle,
    req_complete = const RMI_REQ_COMPLETE,
);
