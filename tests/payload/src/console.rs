// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines on the UART. EL3 has set it up; the RMM writes to it too, but only while it is called.

use core::fmt::{self, Write};
use core::ptr::NonNull;

use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};

use crate::lock::Locked;
use crate::platform;

/// Says whose turn it is.
static TURN: Locked<()> = Locked::new(());

/// Every line of this image begins with it, as those of the RMM do with `rmm: `.
const PREFIX: &str = "host: ";

fn line(text: fmt::Arguments<'_>) {
    let registers = NonNull::new(platform::UART as *mut PL011Registers).expect("not zero");
    // SAFETY: a PL011's registers lie there, mapped as device memory. No other code in this image writes to
    // them but the holder of `TURN`, or the last CPU alive.
    let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
    // The UART cannot fail.
    let _ = uart.write_str(PREFIX);
    let _ = OneLine { uart: &mut uart, breaking: false }.write_fmt(text);
    let _ = uart.write_str("\r\n");
}

/// Writes pretty-printed structures without their line breaks, so that a reader that filters by
/// prefix gets whole lines.
struct OneLine<'a, 'b> {
    uart: &'a mut Uart<'b>,
    /// Only blanks have come since the line break.
    breaking: bool,
}

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| match char {
            '\n' => {
                self.breaking = true;
                self.uart.write_char(' ')
            }
            ' ' if self.breaking => Ok(()),
            char => {
                self.breaking = false;
                self.uart.write_char(char)
            }
        })
    }
}

/// Writes one line.
pub fn print(text: fmt::Arguments<'_>) {
    TURN.with(|()| line(text));
}

/// Writes a last line, even if the CPU that writes or another one was halfway through a line.
pub fn print_last(text: fmt::Arguments<'_>) {
    const TRIES: u32 = 1 << 20;
    if (0..TRIES).all(|_| TURN.try_with(|()| line(text)).is_none()) {
        line(text);
    }
}

/// Writes one line, with the arguments of `format_args!`.
macro_rules! say {
    ($($text:tt)+) => { $crate::console::print(format_args!($($text)+)) };
}
