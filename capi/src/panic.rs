// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a library without `std` must have, and nothing in it reaches.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
