// SPDX-License-Identifier: MIT OR Apache-2.0

//! The generic timer: no wait without an end.

use crate::arch::{self, Masked};

/// A point in time.
#[derive(Clone, Copy)]
pub struct Deadline(u64);

impl Deadline {
    /// The time `milliseconds` from now.
    pub fn after(milliseconds: u32) -> Self {
        Self(arch::counter() + ticks(milliseconds))
    }

    /// Returns whether the time has come.
    pub fn has_passed(self) -> bool {
        arch::counter() >= self.0
    }
}

fn ticks(milliseconds: u32) -> u64 {
    u64::from(milliseconds) * (arch::counter_frequency() / 1000)
}

/// Sleeps until `done` answers true, and calls it again after each interrupt and at least every
/// millisecond. Answers false when `limit` milliseconds passed before that.
///
/// Interrupts are taken meanwhile if the caller has not masked them; `done` runs with them masked.
#[must_use]
pub fn wait(limit: u32, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::after(limit);
    loop {
        // Masked from the check to the sleep: an interrupt between them would else be slept through.
        let masked = Masked::new();
        if done() {
            return true;
        }
        if deadline.has_passed() {
            return false;
        }
        arch::arm_timer(u32::try_from(ticks(1)).unwrap_or(u32::MAX));
        arch::wait_for_interrupt();
        arch::disarm_timer();
        drop(masked);
    }
}

/// Takes interrupts for `milliseconds`.
pub fn pass(milliseconds: u32) {
    let _ = wait(milliseconds, || false);
}
