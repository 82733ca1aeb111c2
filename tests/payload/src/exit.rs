// SPDX-License-Identifier: MIT OR Apache-2.0

//! Semihosting: the arguments that came in, the exit code that goes out.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use heapless::{String, Vec};

use crate::{arch, console};

/// The scenario passed.
pub const PASS: u8 = 0;
/// A panic or an unexpected exception.
pub const PANIC: u8 = 1;
/// No scenario of that name, or arguments that it cannot use.
pub const USAGE: u8 = 2;

/// Longest word on the command line.
pub const WORD: usize = 24;

/// Ends QEMU.
pub fn exit(code: u8) -> ! {
    semihosting::process::exit(code.into())
}

/// Returns the words behind the image's name. None, if QEMU was given none.
pub fn arguments() -> Vec<String<WORD>, 4> {
    let Ok(arguments) = semihosting::experimental::env::args::<256>() else { return Vec::new() };
    (&arguments).skip(1).flatten().flat_map(String::try_from).take(4).collect()
}

/// Prints where and why, and ends QEMU.
pub fn on_panic(info: &PanicInfo) -> ! {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    // Without semihosting the exit itself is an exception, and comes back here.
    if !PANICKED.swap(true, Ordering::Relaxed) {
        console::print_last(format_args!("FAIL {info}"));
        exit(PANIC);
    }
    loop {
        arch::wait_for_interrupt();
    }
}
