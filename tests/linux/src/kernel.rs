// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel and the CPU provide: the secure monitor call, pages, the log, a clock. Each function of
//! the C half has one safe wrapper here.

use core::arch::asm;
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::ptr::NonNull;

use psmmu_host::{Conduit, Memory, Page};

unsafe extern "C" {
    fn realm_glue_pause();
    fn realm_glue_alloc(granules: u64) -> u64;
    fn realm_glue_free(address: u64, granules: u64);
    fn realm_glue_leak(address: u64, granules: u64);
    fn realm_glue_log(device: *mut c_void, level: u32, text: *const u8, length: usize);
    fn realm_glue_show(file: *mut c_void, text: *const u8, length: usize);
    fn realm_glue_stop(text: *const u8, length: usize) -> !;
}

/// Words in a page of 4 KiB.
const WORDS: usize = 512;

/// Calls to the RMM.
#[derive(Clone, Copy, Debug)]
pub struct Smc;

impl Conduit for Smc {
    /// Makes the call with one instruction: an event takes two calls, and the kernel's own
    /// `arm_smccc_1_2_smc` moves 36 registers through memory for each.
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        let [mut x0, mut x1, mut x2, mut x3, mut x4, mut x5, mut x6, mut x7] = x;
        // SAFETY: SMCCC 1.2 or later, which the probe of the C half has checked: the call changes X0 to
        // X17 at most. What the RMM does with the host's memory is by what the crate asks for: pages that
        // are donated or shared for this purpose.
        unsafe {
            asm!(
                "smc #0",
                inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                inout("x4") x4, inout("x5") x5, inout("x6") x6, inout("x7") x7,
                out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _,
                out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
                options(nostack),
            );
        }
        [x0, x1, x2, x3, x4, x5, x6, x7]
    }

    fn pause(&self) {
        // SAFETY: without conditions; only operations pause, which run in process context.
        unsafe { realm_glue_pause() };
    }
}

/// Pages of the kernel's allocator, to be donated.
#[derive(Debug)]
pub struct Pages;

impl Memory for Pages {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        // SAFETY: without conditions; zero stands for no memory.
        let address = unsafe { realm_glue_alloc(granules) };
        (address != 0).then_some(address)
    }

    fn free(&mut self, address: u64, granules: u64) {
        // SAFETY: the caller returns what `allocate` gave, or part of it, and once.
        unsafe { realm_glue_free(address, granules) };
    }

    fn leak(&mut self, address: u64, granules: u64) {
        // SAFETY: as above; the glue only counts it.
        unsafe { realm_glue_leak(address, granules) };
    }
}

/// A page that the RMM reads and writes while a call lasts, and the kernel in between.
#[derive(Debug)]
pub struct SharedPage {
    words: NonNull<u64>,
    address: u64,
}

impl SharedPage {
    /// Takes the page at PA `address`, which the kernel reaches at `words`.
    ///
    /// # Safety
    /// 1. `words` is the start of 4 KiB that may be read and written, for as long as the value exists.
    /// 2. Nothing else in the kernel uses them.
    pub const unsafe fn new(words: NonNull<u64>, address: u64) -> Self {
        Self { words, address }
    }
}

impl Page for SharedPage {
    fn address(&self) -> u64 {
        self.address
    }

    fn clear(&mut self) {
        (0..WORDS).for_each(|index| self.set_word(index, 0));
    }

    fn word(&self, index: usize) -> u64 {
        assert!(index < WORDS, "a page has 512 words");
        // SAFETY: 1 of `new`, and the index is within the page. Volatile, since the RMM writes it.
        unsafe { self.words.add(index).read_volatile() }
    }

    fn set_word(&mut self, index: usize, value: u64) {
        assert!(index < WORDS, "a page has 512 words");
        // SAFETY: 1 and 2 of `new`, and the index is within the page.
        unsafe { self.words.add(index).write_volatile(value) };
    }
}

/// How urgent a line of the log is, as the kernel numbers it.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Level {
    /// KERN_ERR.
    Error = 3,
    /// KERN_WARNING.
    Warning = 4,
    /// KERN_INFO.
    Info = 6,
}

/// The `struct device` whose lines are written.
#[derive(Clone, Copy, Debug)]
pub struct Device(pub *mut c_void);

impl Device {
    /// Writes one line to the kernel's log; what is behind 200 bytes is cut.
    pub fn log(self, level: Level, text: fmt::Arguments<'_>) {
        let line = Line::of(text);
        // SAFETY: the glue reads `length` bytes from `text` and keeps no address; the device is the one
        // that the C half passed in for this object, which outlives it.
        unsafe { realm_glue_log(self.0, level as u32, line.bytes.as_ptr(), line.length) };
    }

    /// As [`log`](Self::log), a line that is made already.
    pub fn log_line(self, level: Level, line: &str) {
        // SAFETY: as above.
        unsafe { realm_glue_log(self.0, level as u32, line.as_ptr(), line.len()) };
    }
}

/// A `struct seq_file` that a counter file is read through.
#[derive(Debug)]
pub struct Show(pub *mut c_void);

impl Show {
    /// Writes one line to it.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        let line = Line::of(text);
        // SAFETY: as in `Device::log`; the file is open while the call of the C half lasts.
        unsafe { realm_glue_show(self.0, line.bytes.as_ptr(), line.length) };
    }
}

/// Returns the count of the virtual counter, which advances [`ticks_per_second`] times a second: the
/// cheapest clock that there is, since each event asks.
pub fn ticks() -> u64 {
    let count;
    // SAFETY: reading a counter changes nothing, and the kernel runs where it may.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack, preserves_flags)) };
    count
}

/// Returns the frequency of [`ticks`].
pub fn ticks_per_second() -> u64 {
    let frequency: u64;
    // SAFETY: as above.
    unsafe {
        asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags));
    }
    frequency
}

/// Ends the calling thread with the panic's text in the log.
pub fn stop(info: &core::panic::PanicInfo<'_>) -> ! {
    let line = Line::of(format_args!("{info}"));
    // SAFETY: as in `Device::log`.
    unsafe { realm_glue_stop(line.bytes.as_ptr(), line.length) }
}

/// One line on the stack.
struct Line {
    bytes: [u8; 200],
    length: usize,
}

impl Line {
    fn of(text: fmt::Arguments<'_>) -> Self {
        let mut line = Self { bytes: [0; 200], length: 0 };
        // What does not fit is cut.
        let _ = line.write_fmt(text);
        line
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        if length == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
