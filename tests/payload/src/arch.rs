// SPDX-License-Identifier: MIT OR Apache-2.0

//! System registers and the few instructions that Rust has no words for.

use core::arch::asm;

macro_rules! read {
    ($register:literal) => {{
        let value: u64;
        // SAFETY: reading this register has no effect on memory or on the flow of control.
        unsafe {
            asm!(concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack, preserves_flags));
        }
        value
    }};
}

macro_rules! write {
    ($register:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the callers write registers of the timer and of interrupt routing only, which change
        // when interrupts come and touch no memory.
        unsafe {
            asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) value, options(nostack, preserves_flags));
        }
    }};
}

/// Returns the syndrome of the exception being handled.
pub fn esr() -> u64 {
    read!("esr_el2")
}

/// Returns the address of the fault being handled.
pub fn far() -> u64 {
    read!("far_el2")
}

/// Returns this CPU's affinity, as GICv3 and PSCI name it.
pub fn affinity() -> u64 {
    read!("mpidr_el1") & 0xFF_00FF_FFFF
}

/// Returns the physical counter.
pub fn counter() -> u64 {
    // SAFETY: a barrier. It keeps the counter from being read early.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    read!("cntpct_el0")
}

/// Returns the counter's ticks in a second.
pub fn counter_frequency() -> u64 {
    read!("cntfrq_el0")
}

/// Has the EL2 physical timer fire `ticks` from now.
pub fn arm_timer(ticks: u32) {
    write!("cnthp_tval_el2", ticks.into());
    write!("cnthp_ctl_el2", 1);
}

/// Stops the EL2 physical timer and withdraws its interrupt.
pub fn disarm_timer() {
    write!("cnthp_ctl_el2", 0);
}

/// Sets HCR_EL2.IMO, without which no IRQ reaches EL2.
pub fn route_interrupts_here() {
    const IMO: u64 = 1 << 4;
    write!("hcr_el2", read!("hcr_el2") | IMO);
}

/// Lets this CPU take IRQs.
pub fn unmask_interrupts() {
    // SAFETY: the vector table and the stack are set up before any Rust code runs; the handler shares
    // data only behind `Locked`, which masks.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
}

/// Masks IRQs on this CPU until it is dropped, which restores what was before.
#[must_use]
pub struct Masked {
    daif: u64,
}

impl Masked {
    /// Masks IRQs.
    pub fn new() -> Self {
        let daif = read!("daif");
        // SAFETY: masking IRQs delays them and changes nothing else. Not nomem: what the guard
        // protects must not move in front of it.
        unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) };
        Self { daif }
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // SAFETY: the value was read from DAIF when the guard was made, on the same CPU: nothing here
        // moves from one CPU to another.
        unsafe { asm!("msr daif, {}", in(reg) self.daif, options(nostack, preserves_flags)) };
    }
}

/// Has devices see what was written to memory before they see what is written to their registers.
pub fn publish() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Waits until an interrupt is pending, masked or not.
pub fn wait_for_interrupt() {
    // SAFETY: execution goes on behind the instruction whatever happens; the barrier completes earlier
    // stores to devices first.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
}
