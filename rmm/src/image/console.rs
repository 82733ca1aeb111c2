// SPDX-License-Identifier: MIT OR Apache-2.0

//! The log: lines on a PL011, which may be one that EL3 has set up and that the host writes to as well.
//!
//! Nothing that a host or a device can cause is printed, so neither can flood it; only boot and the end
//! are.

use core::fmt::{self, Write};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use arm_pl011_uart::{DataBits, LineConfig, PL011Registers, Parity, StopBits, Uart};
use psmmu::Clock;
use safe_mmio::UniqueMmioPointer;
use spin::Once;
use spin::mutex::TicketMutex;

use super::clock::PhysicalCounter;

/// Longest wait for room in the transmit queue, in microseconds: a character at 9600 baud takes one
/// tenth of it. Behind it characters are dropped.
const TRANSMIT_TIMEOUT: u64 = 10_000;

/// Most reads of the flag register in that wait, should the clock stand still: 30 ns each or more.
const MAX_POLLS: u32 = 1 << 19;

/// The last wait was in vain: nothing is waited for until there is room again.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// Where the console is, once that is known.
static CONSOLE: Once<Address> = Once::new();

/// Keeps lines apart.
static LINE: TicketMutex<()> = TicketMutex::new(());

/// An address of mapped registers.
#[derive(Clone, Copy)]
struct Address(NonNull<PL011Registers>);

// SAFETY: the address is only used to make a driver, under the lock or when all else has ended.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

/// Rate of a console that the RMM itself switches on: what TF-A's manifests say.
const BAUD: u32 = 115_200;

/// Logs to the PL011 at `base` from now on, after switching it on if it has a `clock`, in Hz.
///
/// # Safety
/// The registers at `base` stay mapped as device memory, writable, and no other part of the RMM uses
/// them.
#[cfg_attr(core_from_source, optimize(size))]
pub unsafe fn open(base: NonNull<PL011Registers>, clock: Option<u32>) {
    if let Some(clock) = clock {
        let (data_bits, parity, stop_bits) = (DataBits::Bits8, Parity::None, StopBits::One);
        // SAFETY: the registers are mapped (condition of this function), and no CPU logs yet.
        let registers = unsafe { UniqueMmioPointer::new(base) };
        // A clock that is no good leaves the console as it is: there is nowhere to say so.
        let _ =
            Uart::new(registers).enable(LineConfig { data_bits, parity, stop_bits }, BAUD, clock);
    }
    CONSOLE.call_once(|| Address(base));
}

/// Writes a line.
#[cfg_attr(core_from_source, optimize(size))]
pub fn line(arguments: fmt::Arguments<'_>) {
    let _line = LINE.lock();
    write_line(arguments);
}

/// Writes a line even if this CPU, or one that stands still, holds the lock. Lines may mix.
#[cfg_attr(core_from_source, optimize(size))]
pub fn last_words(arguments: fmt::Arguments<'_>) {
    // Before the MMU is on there is no console, and a lock cannot be taken.
    if CONSOLE.get().is_none() {
        return;
    }
    let _line = LINE.try_lock();
    write_line(arguments);
}

#[cfg_attr(core_from_source, optimize(size))]
fn write_line(arguments: fmt::Arguments<'_>) {
    let Some(&Address(address)) = CONSOLE.get() else {
        return;
    };
    // SAFETY: the registers are mapped and no other code uses them (condition of `open`); the caller
    // holds the lock or is the only CPU that runs.
    let registers = unsafe { UniqueMmioPointer::new(address) };
    let mut writer = Writer(Uart::new(registers));
    // Neither writing nor formatting of our own types fails.
    let _ = write!(writer, "rmm: {arguments}\r\n");
}

struct Writer<'a>(Uart<'a>);

impl Write for Writer<'_> {
    #[cfg_attr(core_from_source, optimize(size))]
    #[inline(never)]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let start = PhysicalCounter.microseconds();
            let is_over = |polls| {
                IS_STUCK.load(Ordering::Relaxed)
                    || polls == MAX_POLLS
                    || PhysicalCounter.microseconds().wrapping_sub(start) > TRANSMIT_TIMEOUT
            };
            let mut polls = 0;
            while self.0.is_tx_fifo_full() {
                if is_over(polls) {
                    IS_STUCK.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                polls += 1;
            }
            IS_STUCK.store(false, Ordering::Relaxed);
            self.0.write_word(byte);
        }
        Ok(())
    }
}

/// Writes a line to the log, in the way of `format!`.
macro_rules! log {
    ($($arguments:tt)*) => { $crate::image::console::line(format_args!($($arguments)*)) };
}

pub(crate) use log;
