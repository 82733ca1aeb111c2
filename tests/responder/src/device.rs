// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stand-in for the registers of an SMMUv3, as far as the event path and its bring-up reach.
//!
//! Written from the architecture and not from the driver: offsets and bits are numbers of its own. It
//! panics, and so fails the test, when a rule is broken: a guarded register written while its enable is
//! on, an inactive error toggled, CONS moved backwards or past PROD, a slot freed without the barrier
//! behind the reads. A record read without the barrier behind PROD is not there yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use psmmu::registers::{Page, Register32, Register64};
use psmmu::{DeviceMemory, Granules, Registers};

const CR0: u16 = 0x20;
const CR0ACK: u16 = 0x24;
const CR1: u16 = 0x28;
const CR2: u16 = 0x2C;
const IRQ_CTRL: u16 = 0x50;
const IRQ_CTRLACK: u16 = 0x54;
const GERROR: u16 = 0x60;
const GERRORN: u16 = 0x64;
const GERROR_IRQ_CFG0: u16 = 0x68;
const STRTAB_BASE: u16 = 0x80;
const STRTAB_BASE_CFG: u16 = 0x88;
const CMDQ_BASE: u16 = 0x90;
const CMDQ_PROD: u16 = 0x98;
const CMDQ_CONS: u16 = 0x9C;
const EVENTQ_BASE: u16 = 0xA0;
const EVENTQ_PROD: u16 = 0xA8;
const EVENTQ_CONS: u16 = 0xAC;
const EVENTQ_IRQ_CFG0: u16 = 0xB0;

const SMMUEN: u32 = 1 << 0;
const EVENTQEN: u32 = 1 << 2;
const CMDQEN: u32 = 1 << 3;
const FLAG: u32 = 1 << 31;

/// The bit of [`Device::interrupts`] for the global errors; that of the event queue is 1 << 2.
pub const GERROR_INTERRUPT: u32 = 1 << 0;

/// The device behind a lock, so that it can be shared with the RMM.
#[derive(Debug)]
pub struct StandIn(Mutex<Device>);

type Step = Box<dyn FnOnce(&mut Device) + Send>;

/// The device. Tests reach into it for its next step.
pub struct Device {
    memory: Vec<Granules<'static>>,
    cr0: u32,
    irq_ctrl: u32,
    gerror: u32,
    gerrorn: u32,
    cmdq_base: u64,
    cmdq_prod: u32,
    cmdq_cons: u32,
    eventq_base: u64,
    /// EVENTQ_PROD, for tests to break.
    pub eventq_prod: u32,
    eventq_cons: u32,
    strtab: (u64, u32),
    /// GERROR_IRQ_CFG0 and EVENTQ_IRQ_CFG0.
    doorbells: [u64; 2],
    /// Interrupts since they were last looked at, as bits of IRQ_CTRL. They coalesce.
    pub interrupts: u32,
    /// Does not acknowledge anything any more.
    pub deaf: bool,
    /// Reads all ones, as a device that lost its power.
    pub gone: bool,
    /// Commands that were processed, by opcode.
    pub commands: Vec<u8>,
    reads: u32,
    writes: u32,
    steps: VecDeque<(u16, Step)>,
    /// Records that a CPU sees only behind a barrier: it may have read ahead of PROD.
    unseen: Vec<(u64, u64)>,
    entries_read_since_barrier: bool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "CR0 {:#x} EVENTQ_PROD {:#x} EVENTQ_CONS {:#x} GERROR {:#x} GERRORN {:#x}",
            self.cr0, self.eventq_prod, self.eventq_cons, self.gerror, self.gerrorn
        )
    }
}

impl StandIn {
    /// Makes a device that reaches `memory`. What the architecture leaves unknown after reset holds
    /// something, and an earlier user has left an error active.
    pub(crate) fn new(memory: Vec<Granules<'static>>) -> Self {
        Self(Mutex::new(Device {
            memory,
            cr0: 0,
            irq_ctrl: 0,
            gerror: 1 << 2,
            gerrorn: 0,
            cmdq_base: u64::MAX,
            cmdq_prod: 0x1234,
            cmdq_cons: 0x0100_4321,
            eventq_base: u64::MAX,
            eventq_prod: 0x8000_0777,
            eventq_cons: 0x0000_0555,
            strtab: (u64::MAX, u32::MAX),
            doorbells: [u64::MAX; 2],
            interrupts: 0,
            deaf: false,
            gone: false,
            commands: Vec::new(),
            reads: 0,
            writes: 0,
            steps: VecDeque::new(),
            unseen: Vec::new(),
            entries_read_since_barrier: false,
        }))
    }

    /// Returns the device.
    ///
    /// # Panics
    /// When an earlier step of the test has panicked.
    pub fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().expect("an earlier step failed")
    }
}

impl Device {
    /// Faults at `address`: writes an F_TRANSLATION record of stream 8, a write at stage 2.
    pub fn fault(&mut self, address: u64) {
        self.record([0x0000_0008_0000_0010, 0x0000_0280_0000_0000, address, address & !0xFFF]);
    }

    /// Writes a record, or loses it as the architecture says.
    pub fn record(&mut self, words: [u64; 4]) {
        if self.cr0 & EVENTQEN == 0 || self.is_active(1 << 2) {
            return;
        }
        let log2 = (self.eventq_base & 0x1F) as u32;
        let (index_mask, pointer_mask) = ((1 << log2) - 1, (2 << log2) - 1);
        let used = self.eventq_prod.wrapping_sub(self.eventq_cons) & pointer_mask;
        if used > index_mask {
            if (self.eventq_prod ^ self.eventq_cons) & FLAG == 0 {
                self.eventq_prod ^= FLAG;
            }
            return;
        }
        let base = self.eventq_base & 0x00FF_FFFF_FFFF_FFE0;
        let entry = base + u64::from(self.eventq_prod & index_mask) * 32;
        for (word, value) in words.into_iter().enumerate() {
            self.unseen.push((entry + 8 * word as u64, value));
        }
        self.eventq_prod =
            self.eventq_prod & FLAG | self.eventq_prod.wrapping_add(1) & pointer_mask;
        if used == 0 {
            self.interrupt(1 << 2);
        }
    }

    /// Makes errors active, as far as they are not.
    pub fn raise(&mut self, errors: u32) {
        let inactive = errors & !(self.gerror ^ self.gerrorn);
        self.gerror ^= inactive;
        if inactive & !(1 << 7) != 0 {
            self.interrupt(GERROR_INTERRUPT);
        }
    }

    /// Runs a command that does not exist, as if the driver had issued it.
    pub fn run_illegal_command(&mut self) {
        let log2 = (self.cmdq_base & 0x1F) as u32;
        let entry = self.command_address(self.cmdq_prod);
        self.store(entry, 0xFF);
        self.cmdq_prod = self.cmdq_prod.wrapping_add(1) & ((2 << log2) - 1);
        self.run_commands();
    }

    /// Returns GERROR and GERRORN.
    #[must_use]
    pub const fn errors(&self) -> (u32, u32) {
        (self.gerror, self.gerrorn)
    }

    /// Returns reads and writes of registers since [`forget_accesses`](Self::forget_accesses).
    #[must_use]
    pub const fn accesses(&self) -> (u32, u32) {
        (self.reads, self.writes)
    }

    /// Counts accesses from zero.
    pub fn forget_accesses(&mut self) {
        (self.reads, self.writes) = (0, 0);
    }

    /// Takes the interrupts that were raised since the last call.
    #[must_use]
    pub fn take_interrupts(&mut self) -> u32 {
        std::mem::take(&mut self.interrupts)
    }

    /// Does `step` just before the next access of EVENTQ_PROD.
    pub fn before_prod_read(&mut self, step: impl FnOnce(&mut Self) + Send + 'static) {
        self.steps.push_back((EVENTQ_PROD, Box::new(step)));
    }

    /// Does `step` just before the next write of EVENTQ_CONS, behind steps that were ordered earlier.
    pub fn before_cons_write(&mut self, step: impl FnOnce(&mut Self) + Send + 'static) {
        self.steps.push_back((EVENTQ_CONS, Box::new(step)));
    }

    /// Does `step` just before interrupts are switched on.
    pub fn before_irq_enable(&mut self, step: impl FnOnce(&mut Self) + Send + 'static) {
        // Bring-up switches them off first.
        self.steps.push_back((IRQ_CTRL, Box::new(|_| ())));
        self.steps.push_back((IRQ_CTRL, Box::new(step)));
    }

    /// Returns whether translation and both queues are on, and which interrupts are.
    #[must_use]
    pub const fn enables(&self) -> (bool, u32) {
        (self.cr0 == SMMUEN | EVENTQEN | CMDQEN, self.irq_ctrl)
    }

    /// Returns STRTAB_BASE and STRTAB_BASE_CFG.
    #[must_use]
    pub const fn stream_table(&self) -> (u64, u32) {
        self.strtab
    }

    fn is_active(&self, error: u32) -> bool {
        (self.gerror ^ self.gerrorn) & error != 0
    }

    fn interrupt(&mut self, source: u32) {
        self.interrupts |= self.irq_ctrl & source;
    }

    fn cell(&self, address: u64) -> (Granules<'static>, usize) {
        let memory = self
            .memory
            .iter()
            .find(|memory| address.wrapping_sub(memory.address()) < 8 * memory.words() as u64)
            .unwrap_or_else(|| panic!("the device was sent to {address:#x}"));
        (*memory, ((address - memory.address()) / 8) as usize)
    }

    fn store(&self, address: u64, value: u64) {
        let (memory, word) = self.cell(address);
        memory.store(word, value);
    }

    fn command_address(&self, pointer: u32) -> u64 {
        let log2 = (self.cmdq_base & 0x1F) as u32;
        let index = pointer & ((1 << log2) - 1);
        (self.cmdq_base & 0x00FF_FFFF_FFFF_FFE0) + u64::from(index) * 16
    }

    fn run_commands(&mut self) {
        if self.cr0 & CMDQEN == 0 {
            return;
        }
        let log2 = (self.cmdq_base & 0x1F) as u32;
        let pointer_mask = (2 << log2) - 1;
        while !self.is_active(1 << 0)
            && !self.deaf
            && self.cmdq_cons & pointer_mask != self.cmdq_prod & pointer_mask
        {
            let (memory, word) = self.cell(self.command_address(self.cmdq_cons));
            let opcode = memory.load(word) as u8;
            // CFGI_ALL, TLBI_NSNH_ALL, SYNC; there is no EL2 here.
            if ![0x04, 0x30, 0x46].contains(&opcode) {
                self.cmdq_cons = self.cmdq_cons & pointer_mask | 1 << 24;
                self.raise(1 << 0);
                return;
            }
            self.commands.push(opcode);
            self.cmdq_cons = self.cmdq_cons.wrapping_add(1) & pointer_mask;
        }
    }

    /// Does the next step if it is to be done before an access of the register at `offset`.
    fn step_before(&mut self, offset: u16) {
        if self.steps.front().is_some_and(|(register, _)| *register == offset)
            && let Some((_, step)) = self.steps.pop_front()
        {
            step(self);
        }
    }

    fn guard(&self, enable: u32, what: &str) {
        assert_eq!(self.cr0 & enable, 0, "{what} written while it is in use");
    }
}

impl Registers for &'static StandIn {
    fn read32(&self, register: Register32) -> u32 {
        let mut device = self.device();
        device.reads += 1;
        device.step_before(register.offset());
        if device.gone {
            return u32::MAX;
        }
        let deaf = if device.deaf { !0 } else { 0 };
        match (register.page(), register.offset()) {
            // COHACC, two-level stream tables.
            (Page::NonSecure0, 0x0) => 1 << 4 | 1 << 27,
            // 2^19 entries a queue, StreamIDs of 16 bits.
            (Page::NonSecure0, 0x4) => 19 << 21 | 19 << 16 | 16,
            (Page::Realm0, 0x0) => 1 << 13,
            (Page::Realm0, 0x4) => 1 << 31,
            (Page::Realm0, CR0) => device.cr0,
            (Page::Realm0, CR0ACK) => device.cr0 ^ deaf,
            (Page::Realm0, IRQ_CTRLACK) => device.irq_ctrl ^ deaf,
            (Page::Realm0, GERROR) => device.gerror,
            (Page::Realm0, CMDQ_CONS) => device.cmdq_cons,
            (Page::Realm1, EVENTQ_PROD) => device.eventq_prod,
            other => panic!("read of {other:x?}"),
        }
    }

    fn write32(&self, register: Register32, value: u32) {
        let mut device = self.device();
        device.writes += 1;
        device.step_before(register.offset());
        if device.gone {
            return;
        }
        match (register.page(), register.offset()) {
            (Page::Realm0, CR0) => {
                device.cr0 = value;
                device.run_commands();
            }
            (Page::Realm0, CR1) => {
                device.guard(SMMUEN | EVENTQEN | CMDQEN, "CR1");
                assert_eq!(value, 0xD75);
            }
            (Page::Realm0, CR2) => {
                device.guard(SMMUEN, "CR2");
                // RECINVSID and PTM.
                assert_eq!(value, 0b110);
            }
            (Page::Realm0, IRQ_CTRL) => {
                assert!(value == 0 || device.doorbells == [0, 0], "messages would go anywhere");
                device.irq_ctrl = value;
            }
            (Page::Realm0, GERRORN) => {
                let inactive = (device.gerrorn ^ value) & !(device.gerror ^ device.gerrorn);
                assert_eq!(inactive, 0, "an inactive error was acknowledged");
                device.gerrorn = value;
                device.run_commands();
            }
            (Page::Realm0, STRTAB_BASE_CFG) => {
                device.guard(SMMUEN, "STRTAB_BASE_CFG");
                device.strtab.1 = value;
            }
            (Page::Realm0, CMDQ_PROD) => {
                device.cmdq_prod = value;
                device.run_commands();
            }
            (Page::Realm0, CMDQ_CONS) => {
                device.guard(CMDQEN, "CMDQ_CONS");
                device.cmdq_cons = value;
            }
            (Page::Realm1, EVENTQ_PROD) => {
                device.guard(EVENTQEN, "EVENTQ_PROD");
                device.eventq_prod = value;
            }
            (Page::Realm1, EVENTQ_CONS) if device.cr0 & EVENTQEN == 0 => {
                device.eventq_cons = value;
            }
            (Page::Realm1, EVENTQ_CONS) => {
                let pointer_mask = (2 << (device.eventq_base & 0x1F)) - 1;
                let pointer = |word: u32| word & pointer_mask;
                let held = pointer(device.eventq_prod.wrapping_sub(device.eventq_cons));
                let freed = pointer(value.wrapping_sub(device.eventq_cons));
                assert!(freed <= held, "CONS moved to {value:#x}: {device:?}");
                assert!(
                    device.gone
                        || (value ^ device.eventq_cons) & FLAG == 0
                        || (device.eventq_prod ^ value) & FLAG == 0,
                    "an overflow was acknowledged that had not happened"
                );
                assert!(!device.entries_read_since_barrier, "a slot was freed before it was read");
                device.eventq_cons = value;
            }
            other => panic!("write of {other:x?}"),
        }
    }

    fn write64(&self, register: Register64, value: u64) {
        let mut device = self.device();
        device.writes += 1;
        match (register.page(), register.offset()) {
            (Page::Realm0, STRTAB_BASE) => {
                device.guard(SMMUEN, "STRTAB_BASE");
                device.strtab.0 = value;
            }
            (Page::Realm0, CMDQ_BASE) => {
                device.guard(CMDQEN, "CMDQ_BASE");
                device.cmdq_base = value;
            }
            (Page::Realm0, EVENTQ_BASE) => {
                device.guard(EVENTQEN, "EVENTQ_BASE");
                device.eventq_base = value;
            }
            (Page::Realm0, offset @ (GERROR_IRQ_CFG0 | EVENTQ_IRQ_CFG0)) => {
                assert_eq!(device.irq_ctrl, 0, "a doorbell was written while it is in use");
                device.doorbells[usize::from(offset == EVENTQ_IRQ_CFG0)] = value;
            }
            other => panic!("write of {other:x?}"),
        }
    }

    fn read_barrier(&self) {
        let mut device = self.device();
        for (address, value) in std::mem::take(&mut device.unseen) {
            device.store(address, value);
        }
        device.entries_read_since_barrier = true;
    }

    fn write_barrier(&self) {
        self.device().entries_read_since_barrier = false;
    }
}
