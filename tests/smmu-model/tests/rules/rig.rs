// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device with memory, and as much of a driver as the tests need.

use std::ops::Deref;

use smmu_model::{
    Command, Config, Device, Enable, Guard, Outcome, Output, Record, Region, Register, Smmu,
    Source, TlbiOperation, Transaction, Violation,
};

pub const TABLE: u64 = 0x8000_0000;
pub const LEVEL_1: u64 = 0x8008_0000;
pub const LEVEL_2: u64 = 0x8010_0000;
pub const COMMANDS: u64 = 0x8100_0000;
pub const EVENTS: u64 = 0x8200_0000;
pub const PAGES: u64 = 0x8400_0000;
/// Addresses that no memory lies at, nor near.
pub const NOWHERE: u64 = 0x1000_0000;

/// An STE that is valid, at stage 2, with S2AA64 and S2R: an input of 32 bits (S2T0SZ) from level 1 (S2SL0),
/// which devices of all sizes take.
pub const STAGE_2: [u64; 8] = [0b1101, 0, 32 << 32 | 1 << 38 | 1 << 51 | 1 << 58, 0, 0, 0, 0, 0];

/// Span of a level-2 table of 64 entries.
pub const SPAN: u64 = 7;

/// The stage-2 table of a stream that [`stage_2`] makes.
pub const TRANSLATION_TABLE: u64 = 0x8500_0000;

/// Makes an STE as [`STAGE_2`] with this VMID and table.
pub const fn stage_2(vmid: u16, table: u64) -> [u64; 8] {
    let [first, second, third, ..] = STAGE_2;
    [first, second, third | vmid as u64, table, 0, 0, 0, 0]
}

/// Log2 of the entries of the queues.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub commands: u32,
    pub events: u32,
    pub pages: u32,
}

pub struct Rig {
    pub smmu: Smmu,
    pub table: Region,
    pub commands: Region,
    pub events: Region,
    pub pages: Region,
    pub sizes: Sizes,
}

impl Rig {
    /// Makes a device that has just been reset, and memory: a linear stream table of 16 entries and
    /// queues of 16 commands, 4 events, 4 page requests.
    pub fn new() -> Self {
        Self::with(Config::default(), Sizes { commands: 4, events: 2, pages: 2 })
    }

    pub fn with(config: Config, sizes: Sizes) -> Self {
        let smmu = Smmu::new(config);
        let memory = smmu.memory();
        let table = memory.region(TABLE, 8 << 4);
        let commands = memory.region(COMMANDS, (2 << sizes.commands).max(4));
        let events = memory.region(EVENTS, 4 << sizes.events);
        let pages = memory.region(PAGES, (2 << sizes.pages).max(4));
        for stream in [8, 9] {
            for (word, value) in STAGE_2.into_iter().enumerate() {
                table.store(8 * stream + word, value);
            }
        }
        smmu.write_barrier();
        Self { smmu, table, commands, events, pages, sizes }
    }

    /// Makes a device as [`new`](Self::new) does, with all enables and interrupts on and an eager
    /// device, all counts at zero.
    pub fn up() -> Self {
        let rig = Self::new();
        rig.bring_up();
        rig
    }

    pub fn with_event_queue(log2: u32) -> Self {
        let sizes = Sizes { commands: 4, events: log2, pages: 2 };
        let rig = Self::with(Config::default(), sizes);
        rig.bring_up();
        rig
    }

    /// Makes a device that is up with a two-level table of 4 level-1 descriptors, none of which points
    /// anywhere yet, and returns that table too.
    pub fn two_level() -> (Self, Region) {
        let rig = Self::new();
        let level_1 = rig.smmu.memory().region(LEVEL_1, 8);
        rig.program();
        rig.write(Register::StrtabBase, LEVEL_1);
        rig.write(Register::StrtabBaseCfg, 1 << 16 | 6 << 6 | 8u32);
        rig.enable();
        (rig, level_1)
    }

    /// Makes a device as [`two_level`](Self::two_level) does, with a level-2 table of stage-2 entries
    /// for the first 64 streams, and returns both tables.
    pub fn linked() -> (Self, Region, Region) {
        let (rig, level_1) = Self::two_level();
        let level_2 = rig.smmu.memory().region(LEVEL_2, 8 << 6);
        for index in 0..64 {
            rig.store_entry(&level_2, index, STAGE_2);
        }
        rig.smmu.write_barrier();
        rig.publish(&level_1, 0, LEVEL_2 | SPAN);
        rig.issue(&[Command::CfgiSte { stream: 0, leaf: false }, Command::SYNC]);
        (rig, level_1, level_2)
    }

    pub fn read(&self, register: Register) -> u64 {
        let (page, offset) = (register.page(), register.offset());
        match register.bits() {
            64 => self.smmu.read64(page, offset),
            _ => self.smmu.read32(page, offset).into(),
        }
    }

    pub fn read32(&self, register: Register) -> u32 {
        self.read(register) as u32
    }

    pub fn write(&self, register: Register, value: impl Into<u64>) {
        let (page, offset, value) = (register.page(), register.offset(), value.into());
        match register.bits() {
            64 => self.smmu.write64(page, offset, value),
            _ => self.smmu.write32(page, offset, value as u32),
        }
    }

    pub fn device(&self) -> Guard<'_> {
        self.smmu.device()
    }

    /// Programs everything that must be in place before the enables.
    pub fn program(&self) {
        self.write(Register::Cr1, 0xD75u32);
        self.write(Register::Cr2, 0b110u32);
        self.write(Register::StrtabBase, TABLE);
        self.write(Register::StrtabBaseCfg, 4u32);
        self.write(Register::CmdqBase, COMMANDS | u64::from(self.sizes.commands));
        self.write(Register::EventqBase, EVENTS | u64::from(self.sizes.events));
        for register in
            [Register::CmdqProd, Register::CmdqCons, Register::EventqProd, Register::EventqCons]
        {
            self.write(register, 0u32);
        }
        let has_pri = self.device().config().r_idr0 >> 16 & 1 != 0;
        let has_msi = self.device().config().r_idr0 >> 13 & 1 != 0;
        if has_pri {
            self.write(Register::PriqBase, PAGES | u64::from(self.sizes.pages));
            self.write(Register::PriqProd, 0u32);
            self.write(Register::PriqCons, 0u32);
        }
        if has_msi {
            self.write(Register::GerrorIrqCfg0, 0u32);
            self.write(Register::EventqIrqCfg0, 0u32);
        }
        if has_msi && has_pri {
            self.write(Register::PriqIrqCfg0, 0u32);
            self.write(Register::PriqIrqCfg2, 0u32);
        }
    }

    pub fn bring_up(&self) {
        self.program();
        self.enable();
    }

    pub fn enable(&self) {
        let has_pri = self.device().config().r_idr0 >> 16 & 1 != 0;
        let pages = if has_pri { Enable::Priq.bits() } else { 0 };
        let queues = Enable::Cmdq.bits() | Enable::Eventq.bits() | pages;
        self.write(Register::Cr0, queues);
        self.issue(&[Command::CfgiAll, Command::tlbi(TlbiOperation::NsnhAll), Command::SYNC]);
        let pages = if has_pri { Source::Priq.bit() } else { 0 };
        self.write(Register::IrqCtrl, Source::Gerror.bit() | Source::Eventq.bit() | pages);
        self.write(Register::Cr0, queues | Enable::Smmu.bits());
        assert_eq!(self.read32(Register::Cr0Ack) & 0xF, queues | Enable::Smmu.bits());
        let mut device = self.device();
        device.forget_accesses();
        drop(device.take_commands());
    }

    /// Writes commands behind PROD and moves PROD over them.
    pub fn issue(&self, commands: &[Command]) {
        self.issue_words(&commands.iter().map(Command::words).collect::<Vec<_>>());
    }

    pub fn issue_words(&self, commands: &[[u64; 2]]) {
        let prod = self.write_commands(commands);
        self.smmu.write_barrier();
        self.write(Register::CmdqProd, prod);
    }

    /// Writes commands behind PROD and returns where PROD belongs.
    pub fn write_commands(&self, commands: &[[u64; 2]]) -> u32 {
        let mut prod = self.device().peek(Register::CmdqProd) as u32;
        for words in commands {
            let index = (prod & ((1 << self.sizes.commands) - 1)) as usize;
            self.commands.store(2 * index, words[0]);
            self.commands.store(2 * index + 1, words[1]);
            prod = (prod + 1) & ((2 << self.sizes.commands) - 1);
        }
        prod
    }

    /// Records an event with this input address.
    pub fn fault(&self, address: u64) {
        self.device().record(Record::stage_2_write(8, address));
    }

    /// Reads the records between CONS and PROD as a driver does, and returns their input addresses;
    /// CONS stays.
    pub fn drain(&self) -> Vec<u64> {
        let (_, cons) = self.device().pointers(Output::Events);
        let used = self.used();
        self.smmu.read_barrier();
        let mask = (1 << self.sizes.events) - 1;
        let entry = |n: u32| 4 * (cons.wrapping_add(n) & mask) as usize;
        let addresses = (0..used).map(|n| self.events.load(entry(n) + 2)).collect();
        self.smmu.write_barrier();
        addresses
    }

    pub fn used(&self) -> u32 {
        self.device().used(Output::Events)
    }

    /// Moves CONS of the event queue on by `count` and acknowledges an overflow.
    pub fn free(&self, count: u32) {
        let (prod, cons) = self.device().pointers(Output::Events);
        let mask = (2 << self.sizes.events) - 1;
        self.write(Register::EventqCons, prod & 1 << 31 | (cons + count) & mask);
    }

    /// Stores the words of an entry at `index` of a table.
    pub fn store_entry(&self, table: &Region, index: usize, words: [u64; 8]) {
        for (word, value) in words.into_iter().enumerate() {
            table.store(8 * index + word, value);
        }
    }

    /// Stores a word and lets the device see it.
    pub fn publish(&self, region: &Region, index: usize, value: u64) {
        region.store(index, value);
        self.smmu.write_barrier();
    }

    /// Lets a stream make a read that finds no translation.
    pub fn touch(&self, stream: u32) -> Outcome {
        self.device().transaction(&Transaction::read(stream, 0x1000))
    }

    /// Stops translation, interrupts and queues in the order of the architecture.
    pub fn quiesce(&self) {
        self.write(Register::Cr0, 0xEu32);
        self.write(Register::IrqCtrl, 0u32);
        self.write(Register::Cr0, 0u32);
    }

    /// Does `action` and returns the violations that came of it.
    pub fn violations<T>(&self, action: impl FnOnce(&Self) -> T) -> Vec<Violation> {
        self.device().collect_violations(true);
        let _ = action(self);
        self.device().collect_violations(false);
        self.device().take_violations()
    }

    pub fn pulses(&self) -> u32 {
        self.device().take_interrupts().bits()
    }
}

impl Deref for Rig {
    type Target = Smmu;

    fn deref(&self) -> &Smmu {
        &self.smmu
    }
}

/// Asserts that the device in `device` has nothing to do.
pub fn assert_silent(device: &Device) {
    assert_eq!(device.steps(), []);
}
