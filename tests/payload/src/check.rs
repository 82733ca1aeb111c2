// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks: a failing one says what was expected and what came, and ends the boot.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::Once;

use crate::{console, exit};

static SCENARIO: Once<(&str, u8)> = Once::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Says whose checks these are.
pub fn begin(name: &'static str, code: u8) {
    SCENARIO.call_once(|| (name, code));
}

/// Returns how many checks were made.
pub fn count() -> u32 {
    COUNT.load(Ordering::Relaxed)
}

/// Counts a check that held.
pub fn held() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// Ends the boot with the scenario's exit code.
pub fn fail(text: fmt::Arguments<'_>) -> ! {
    let &(name, code) = SCENARIO.get().unwrap_or(&("before any scenario", exit::PANIC));
    console::print_last(format_args!("FAIL {name}: {text}"));
    exit::exit(code)
}

/// Ends the boot, with the arguments of `format_args!`.
macro_rules! fail {
    ($($text:tt)+) => { $crate::check::fail(format_args!($($text)+)) };
}

/// Checks that something came as expected: `expect_eq!(came, expected, "what it is")`.
macro_rules! expect_eq {
    ($came:expr, $expected:expr, $($what:tt)+) => {
        match (&$came, &$expected) {
            (came, expected) if *came == *expected => $crate::check::held(),
            (came, expected) => fail!(
                "{}: expected {expected:#x?}, came {came:#x?}", format_args!($($what)+)
            ),
        }
    };
}

/// Checks a condition: `require!(condition, "what is wrong if not")`.
macro_rules! require {
    ($condition:expr, $($what:tt)+) => {
        if $condition { $crate::check::held() } else { fail!($($what)+) }
    };
}
