// SPDX-License-Identifier: MIT OR Apache-2.0

//! An imaginary kernel, as far as a driver uses it: pages, interrupt lines, a clock, a log, guests.
//! Nothing of it is to be reused. It runs on [`Machine`]: the project's own RMM and a software SMMUv3.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use psmmu_abi::MsiMessage;
use psmmu_host::Source;
use responder_tests::{Machine, Options, PSMMU};
use smmu_model::Guard;

/// Bytes in a page.
pub const PAGE: u64 = 0x1000;
/// Microseconds in a second.
pub const SECOND: u64 = 1_000_000;
/// The one SMMU: PA of its Non-secure register page 0.
pub const SMMU: u64 = PSMMU;

/// The memory of the kernel.
const MEMORY: std::ops::Range<u64> = 0x8000_0000..0x8010_0000;
/// The wired interrupts of the SMMU.
const WIRED_IRQS: [(smmu_model::Source, u32); 3] = [
    (smmu_model::Source::Eventq, 106),
    (smmu_model::Source::Priq, 107),
    (smmu_model::Source::Gerror, 111),
];

/// The kernel, and the machine that it runs on.
pub struct Kernel {
    machine: Machine,
    /// Microseconds since the start.
    clock: Cell<u64>,
    log: RefCell<String>,
    free: RefCell<BTreeSet<u64>>,
    lines: RefCell<BTreeMap<u32, Source>>,
    /// Raised lines and deferred work.
    due: RefCell<VecDeque<Source>>,
    /// Streams of guests.
    guests: RefCell<BTreeSet<u32>>,
}

impl Kernel {
    /// Boots the kernel.
    pub fn boot() -> Self {
        let options = Options { event_queue: 7, pri_queue: Some(4), ..Options::default() };
        Self {
            machine: Machine::new(options),
            clock: Cell::new(0),
            log: RefCell::default(),
            free: RefCell::new(MEMORY.step_by(PAGE as usize).collect()),
            lines: RefCell::default(),
            due: RefCell::default(),
            guests: RefCell::default(),
        }
    }

    /// Makes a secure monitor call.
    pub fn smc(&self, x: [u64; 8]) -> [u64; 8] {
        self.machine.call(x)
    }

    /// Returns the SMMU, for a device behind it to use.
    pub fn device(&self) -> Guard<'_> {
        self.machine.device()
    }

    /// Reads a register: the only one is the SMMU's first, IDR0.
    pub fn read_register(&self, address: u64) -> u32 {
        assert_eq!(address, SMMU, "no register");
        self.device().config().idr0
    }

    /// Reads a word of memory.
    pub fn read(&self, address: u64) -> u64 {
        self.machine.host.word(address & !(PAGE - 1), (address % PAGE / 8) as usize)
    }

    /// Writes a word of memory.
    pub fn write(&self, address: u64, value: u64) {
        self.machine.host.set_word(address & !(PAGE - 1), (address % PAGE / 8) as usize, value);
    }

    /// Allocates contiguous pages, aligned to their size.
    pub fn allocate(&self, pages: u64) -> Option<u64> {
        let mut free = self.free.borrow_mut();
        let piece = |first: u64| (first..first + pages * PAGE).step_by(PAGE as usize);
        let align = pages.next_power_of_two() * PAGE;
        let fits = |&first: &u64| piece(first).all(|page| free.contains(&page));
        let first = MEMORY.step_by(align as usize).find(fits)?;
        piece(first).for_each(|page| {
            free.remove(&page);
        });
        Some(first)
    }

    /// Frees a page.
    pub fn free(&self, page: u64) {
        assert!(self.free.borrow_mut().insert(page), "{page:#x} is free already");
    }

    /// Retires a page, which is never used again.
    pub fn poison(&self, page: u64) {
        self.log(format_args!("mm: {page:#x} is lost"));
    }

    /// Returns how many pages are free.
    pub fn free_pages(&self) -> usize {
        self.free.borrow().len()
    }

    /// Allocates a page at boot.
    pub fn boot_page(&self) -> u64 {
        self.allocate(1).expect("memory at boot")
    }

    /// Returns the MSI of a vector. This machine has wired interrupts only.
    pub fn msi(&self, _: usize) -> Option<MsiMessage> {
        None
    }

    /// Connects a line.
    pub fn request_irq(&self, line: u32, source: Source) {
        self.lines.borrow_mut().insert(line, source);
        self.log(format_args!("irq: line {line} for {source} of realm-smmu"));
    }

    /// Disconnects it.
    pub fn free_irq(&self, line: u32) {
        self.lines.borrow_mut().remove(&line);
    }

    /// Schedules the handler of `source` again.
    pub fn run_soon(&self, source: Source) {
        self.due.borrow_mut().push_back(source);
    }

    /// Handles interrupts until there is none.
    pub fn handle_interrupts(&self, mut handler: impl FnMut(Source)) {
        loop {
            let raised = self.device().take_interrupts();
            let raised = WIRED_IRQS.iter().filter(|(line, _)| raised.contains(*line));
            let connected = |line| self.lines.borrow().get(line).copied();
            self.due.borrow_mut().extend(raised.filter_map(|(_, line)| connected(line)));
            let Some(source) = self.due.borrow_mut().pop_front() else { return };
            self.clock.update(|now| now + 20);
            handler(source);
        }
    }

    /// Starts a guest whose device has this stream.
    pub fn run_guest(&self, stream: u32) {
        self.guests.borrow_mut().insert(stream);
    }

    /// Assigns a stream to a guest, which a host does by commands that this project does not implement.
    pub fn give_to_realm(&self, stream: u32) {
        self.machine.owners.0.lock().expect("no panic while locked").insert(stream);
    }

    /// Interrupts the guest of `stream`, for its virtual SMMU. Returns false if there is none.
    pub fn interrupt_guest(&self, stream: u32) -> bool {
        let is_there = self.guests.borrow().contains(&stream);
        if is_there {
            self.log(format_args!("vm: interrupt for the virtual SMMU of stream {stream:#x}"));
        }
        is_there
    }

    /// Returns the microseconds since the start.
    pub fn uptime(&self) -> u64 {
        self.clock.get()
    }

    /// Lets time pass.
    pub fn sleep(&self, microseconds: u64) {
        self.clock.update(|now| now + microseconds);
    }

    /// Writes a line to the log.
    pub fn log(&self, text: fmt::Arguments<'_>) {
        let (seconds, rest) = (self.uptime() / SECOND, self.uptime() % SECOND);
        let line = format!("[{seconds:5}.{rest:06}] {text}");
        println!("{line}");
        self.log.borrow_mut().push_str(&(line + "\n"));
    }

    /// Returns all of the log.
    pub fn into_log(self) -> String {
        self.log.into_inner()
    }
}
