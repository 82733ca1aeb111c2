// SPDX-License-Identifier: MIT OR Apache-2.0

//! The other CPUs, by PSCI.

use core::cell::UnsafeCell;

use aarch64_rt::{Stack, start_core};
use smccc::Smc;
use smccc::psci::{self, AffinityState, LowestAffinityLevel};

use crate::gic::MAX_CPUS;
use crate::time;

/// 32 KiB.
const STACK_PAGES: usize = 8;
/// Milliseconds within which a CPU that was asked to goes off.
const LIMIT: u32 = 5000;

struct CpuStack(UnsafeCell<Stack<STACK_PAGES>>);

// SAFETY: only its CPU touches a stack while that runs, and only `start` while it is off.
unsafe impl Sync for CpuStack {}

static STACKS: [CpuStack; MAX_CPUS] = [const { CpuStack(UnsafeCell::new(Stack::new())) }; MAX_CPUS];

/// Starts the CPU with the given affinity on `job(index)`, which ends with [`off`].
///
/// PSCI says yes even for a CPU that does not exist: the caller has to check that it arrives.
pub fn start(index: usize, affinity: u64, job: fn(usize)) {
    // A CPU that is on has its stack in use.
    expect_off(affinity);
    let stack = STACKS[index].0.get();
    // SAFETY: the stack is that CPU's alone, which is off, so it is not in use; it is static and
    // mapped alike for all CPUs.
    let result = unsafe { start_core::<Smc, _, STACK_PAGES>(affinity, stack, move || job(index)) };
    if let Err(error) = result {
        fail!("CPU_ON of {affinity:#x}: {error}");
    }
}

/// Turns this CPU off.
pub fn off() {
    let Err(error) = psci::cpu_off::<Smc>() else { fail!("CPU_OFF came back") };
    fail!("CPU_OFF: {error}");
}

/// Waits until a CPU is off.
pub fn expect_off(affinity: u64) {
    let mut state = None;
    let off = time::wait(LIMIT, || {
        state = psci::affinity_info::<Smc>(affinity, LowestAffinityLevel::All).ok();
        state == Some(AffinityState::Off)
    });
    require!(off, "CPU {affinity:#x} is {state:?} after {LIMIT} ms, not off");
}
