// SPDX-License-Identifier: MIT OR Apache-2.0

//! The software SMMU of the tests and the SMMU of the QEMU that `tools/qemu` builds are two descriptions of
//! one device. Here both get the same register writes, commands, tables and transactions, at random, and
//! after each step the registers of the Realm interface, the records, the interrupts and the MSIs are
//! compared. QEMU runs no CPU: the test has its bus, by the protocol of its own unit tests (`-qtest`).
//!
//! What the architecture leaves UNKNOWN or CONSTRAINED UNPREDICTABLE is left out: registers before they are
//! programmed, CMDQ_CONS.ERR without an error, inconsistent pointers, an acknowledge of what is not
//! active.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};

use boot_runner::{Model, place};
use smmu_model::{Config, Page, Region, Register, Smmu, Source, Transaction, Walk};

/// Registers pages of the machine.
const NON_SECURE: u64 = 0x0905_0000;
const REALM: u64 = 0x0B00_0000;
const PAGE_1: u64 = 0x1_0000;

/// INTIDs of the Realm interface: EVENTQ, PRIQ, CMD_SYNC, GERROR.
const IRQS: [(Source, u32); 3] =
    [(Source::Eventq, 112), (Source::CmdSync, 114), (Source::Gerror, 115)];
/// Of the GIC's distributor, the words with these INTIDs: pending, clear pending, level or edge.
const PENDING: u64 = 0x0800_020C;
const CLEAR_PENDING: u64 = 0x0800_028C;
const CONFIGURATION: u64 = 0x0800_0C1C;

const ECAM: u64 = 0x40_1000_0000;
const PCI_WINDOW: u64 = 0x1000_0000;
/// From a device's buffer, and to it.
const BUFFER: u64 = 0x4_0000;
/// Slots of the devices: streams 8, 16 and 64.
const SLOTS: [u32; 3] = [1, 2, 8];
/// A device's DMA begins 100 ms after it was started.
const DMA_TIME: u64 = 101_000_000;

/// Level-1 descriptors, level-2 entries for streams 0 to 63, and for 64 to 127.
const LEVEL_1: u64 = 0x8000_0000;
const LEVEL_2: [u64; 2] = [0x8002_0000, 0x8004_0000];
const COMMANDS: u64 = 0x8006_0000;
const COMMANDS_LOG2: u32 = 4;
const EVENTS: u64 = 0x8008_0000;
const EVENTS_LOG2: u32 = 3;
/// Stage 2: three levels.
const STAGE_2: [u64; 3] = [0x800A_0000, 0x800C_0000, 0x800E_0000];
/// Where MSIs are taken: of EVENTQ, GERROR, CMD_SYNC.
const DOORBELLS: [u64; 3] = [0x8010_0000, 0x8010_0008, 0x8010_0010];
/// Where nothing is.
const HOLE: u64 = 0xF000_0000;
/// What is translated to.
const OUTPUT: u64 = 0x8800_0000;
/// First of the pages that are mapped in different ways, see [`page`].
const INPUT: u64 = 0x5000_0000;

const SYNC: [u64; 2] = [0x46, 0];
const CFGI_ALL: [u64; 2] = [0x04, 0x1F];
const TLBI_ALL: [u64; 2] = [0x30, 0];

/// CR0, and IRQ_CTRL.
const SMMUEN: u32 = 1 << 0;
const EVENTQEN: u32 = 1 << 2;
const CMDQEN: u32 = 1 << 3;
const CMDQ_ERR: u32 = 1 << 0;
const OVFLG: u32 = 1 << 31;
const MSI_NS: u64 = 1 << 63;

/// Random numbers, the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }
}

/// QEMU without a CPU.
struct Machine {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Machine {
    fn start() -> Self {
        let program = place::qemu_of(Model::REALM).expect("run by cargo");
        let mut qemu = Process::new(&program);
        qemu.args([
            "-M",
            "virt,gic-version=3,iommu=smmuv3,realm-smmu=on,smmu-msi=on,acpi=off",
            "-cpu",
            "max",
            "-m",
            "2G",
            "-accel",
            "qtest",
            "-qtest",
            "stdio",
            "-qtest-log",
            "/dev/null",
            "-display",
            "none",
            "-nic",
            "none",
            "-serial",
            "none",
            "-monitor",
            "none",
        ]);
        for slot in SLOTS {
            let device = format!("edu,dma_mask=0xffffffffffffffff,addr={slot:#x},realm=on");
            qemu.args(["-device", &device]);
        }
        let mut process = qemu
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let to = process.stdin.take().expect("piped");
        let from = BufReader::new(process.stdout.take().expect("piped"));
        let mut machine = Self { process, to, from };
        for (index, slot) in SLOTS.into_iter().enumerate() {
            let function = ECAM + (u64::from(slot) << 15);
            machine.write32(function + 0x10, (PCI_WINDOW + ((index as u64) << 20)) as u32);
            machine.ask(&format!("writew {:#x} 6", function + 4));
        }
        // Pulses are lost on inputs that are sensitive to levels.
        machine.write32(CONFIGURATION, 0xAA);
        machine
    }

    /// Sends a line, and returns what is behind the OK of the answer.
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.to, "{line}").expect("QEMU reads");
        let mut answer = String::new();
        loop {
            answer.clear();
            let read = self.from.read_line(&mut answer).expect("QEMU writes");
            assert_ne!(read, 0, "QEMU has ended at '{line}'");
            if let Some(rest) = answer.strip_prefix("OK") {
                return rest.trim().into();
            }
            assert!(answer.starts_with("IRQ "), "'{line}': {answer}");
        }
    }

    fn number(&mut self, line: &str) -> u64 {
        let answer = self.ask(line);
        let digits = answer.strip_prefix("0x").unwrap_or(&answer);
        u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("'{line}': {answer}"))
    }

    fn read32(&mut self, address: u64) -> u32 {
        self.number(&format!("readl {address:#x}")) as u32
    }

    fn read64(&mut self, address: u64) -> u64 {
        self.number(&format!("readq {address:#x}"))
    }

    fn write32(&mut self, address: u64, value: u32) {
        self.ask(&format!("writel {address:#x} {value:#x}"));
    }

    fn write64(&mut self, address: u64, value: u64) {
        self.ask(&format!("writeq {address:#x} {value:#x}"));
    }

    /// Has the device in a slot access one word.
    fn dma(&mut self, device: usize, address: u64, write: bool) {
        let registers = PCI_WINDOW + ((device as u64) << 20);
        let (source, destination, command) =
            if write { (BUFFER, address, 3) } else { (address, BUFFER, 1) };
        self.write64(registers + 0x80, source);
        self.write64(registers + 0x88, destination);
        self.write64(registers + 0x90, 4);
        self.write64(registers + 0x98, command);
        self.ask(&format!("clock_step {DMA_TIME}"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It has no other end; whether it was gone already is of no interest.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const fn physical(page: Page) -> u64 {
    match page {
        Page::NonSecure0 => NON_SECURE,
        Page::Realm0 => REALM,
        Page::Realm1 => REALM + PAGE_1,
    }
}

/// What stands at the identification registers of the machine.
fn config() -> Config {
    Config {
        idr0: 0x4D44_301B,
        idr1: 0x0273_0010,
        idr3: 0x1414,
        idr5: 0x74,
        iidr: 0,
        aidr: 1,
        r_idr0: 0x0100_2000,
        r_idr1: 1 << 31,
        r_idr3: 0,
        r_mecidr: 0,
        ..Config::default()
    }
}

/// Both descriptions.
struct Pair {
    machine: Machine,
    model: Smmu,
    regions: Vec<Region>,
    random: Random,
    /// What was done last, for the report of a difference.
    history: Vec<String>,
    /// Steps, transactions that were recorded, losses, errors: how much was compared.
    done: [u32; 4],
}

impl Pair {
    fn new(seed: u64) -> Self {
        let model = Smmu::new(config());
        model.device().collect_violations(true);
        let words = [(LEVEL_1, 512), (COMMANDS, 512), (EVENTS, 512)]
            .into_iter()
            .chain(LEVEL_2.map(|address| (address, 512)))
            .chain(STAGE_2.map(|address| (address, 512)));
        let regions = words.map(|(address, words)| model.memory().region(address, words)).collect();
        for doorbell in DOORBELLS {
            model.device().add_doorbell(doorbell, true);
        }
        Self {
            machine: Machine::start(),
            model,
            regions,
            random: Random(seed),
            history: Vec::new(),
            done: [0; 4],
        }
    }

    fn log(&mut self, text: String) {
        self.history.push(text);
    }

    fn store(&mut self, address: u64, value: u64) {
        let region = self.regions.iter().find(|region| {
            (region.address()..region.address() + 8 * region.words() as u64).contains(&address)
        });
        let region = region.expect("memory of the test");
        region.store(((address - region.address()) / 8) as usize, value);
        self.machine.write64(address, value);
    }

    fn write(&mut self, register: Register, value: u64) {
        self.log(format!("{} := {value:#x}", register.name()));
        self.model.write_barrier();
        let (page, offset) = (register.page(), register.offset());
        let address = physical(page) + offset;
        if register.bits() == 64 {
            self.model.write64(page, offset, value);
            self.machine.write64(address, value);
        } else {
            self.model.write32(page, offset, value as u32);
            self.machine.write32(address, value as u32);
        }
    }

    fn read(&mut self, register: Register) -> u32 {
        self.machine.read32(physical(register.page()) + register.offset())
    }

    /// Adds a command, and returns whether there was room.
    fn push(&mut self, [low, high]: [u64; 2]) -> bool {
        let (prod, cons) = (self.read(Register::CmdqProd), self.read(Register::CmdqCons));
        let wrap = (2 << COMMANDS_LOG2) - 1;
        if prod.wrapping_sub(cons) & wrap >= 1 << COMMANDS_LOG2 {
            return false;
        }
        let slot = COMMANDS + u64::from(prod & ((1 << COMMANDS_LOG2) - 1)) * 16;
        self.log(format!("command {low:#x} {high:#x}"));
        self.store(slot, low);
        self.store(slot + 8, high);
        self.write(Register::CmdqProd, u64::from(prod.wrapping_add(1) & wrap));
        true
    }

    fn errors(&mut self) -> u32 {
        self.read(Register::Gerror) ^ self.read(Register::Gerrorn)
    }

    /// Makes an illegal command legal and acknowledges all errors.
    fn repair(&mut self) {
        if self.errors() & CMDQ_ERR != 0 {
            let cons = u64::from(self.read(Register::CmdqCons) & ((1 << COMMANDS_LOG2) - 1));
            self.store(COMMANDS + cons * 16, SYNC[0]);
            self.store(COMMANDS + cons * 16 + 8, SYNC[1]);
        }
        let gerror = self.read(Register::Gerror);
        self.write(Register::Gerrorn, gerror.into());
    }

    /// Makes the device read its tables again.
    fn invalidate(&mut self, commands: &[[u64; 2]]) {
        if self.read(Register::Cr0) & CMDQEN == 0 {
            let cr0 = self.read(Register::Cr0);
            self.write(Register::Cr0, (cr0 | CMDQEN).into());
        }
        self.repair();
        for &command in commands {
            assert!(self.push(command), "the command queue is empty");
        }
        self.repair();
    }

    fn bring_up(&mut self) {
        for (level, table) in STAGE_2[1..].iter().enumerate() {
            let index = if level == 0 { INPUT >> 30 } else { INPUT >> 21 & 511 };
            self.store(STAGE_2[level] + index * 8, table | 3);
        }
        for index in 0..PAGES {
            let descriptor = page(index).0;
            self.store(STAGE_2[2] + (INPUT >> 12 & 511) * 8 + index * 8, descriptor);
        }
        // Split 6, so 64 entries in a table of level 2: Span is 7.
        self.store(LEVEL_1, LEVEL_2[0] | 7);
        self.write(Register::Cr1, 0xD75);
        self.write(Register::Cr2, 2);
        self.write(Register::StrtabBase, LEVEL_1);
        self.write(Register::StrtabBaseCfg, 1 << 16 | 6 << 6 | 8);
        self.write(Register::CmdqBase, COMMANDS | u64::from(COMMANDS_LOG2));
        self.write(Register::CmdqProd, 0);
        self.write(Register::CmdqCons, 0);
        self.write(Register::EventqBase, EVENTS | u64::from(EVENTS_LOG2));
        self.write(Register::EventqProd, 0);
        self.write(Register::EventqCons, 0);
        for [cfg0, cfg1, cfg2] in [
            [Register::GerrorIrqCfg0, Register::GerrorIrqCfg1, Register::GerrorIrqCfg2],
            [Register::EventqIrqCfg0, Register::EventqIrqCfg1, Register::EventqIrqCfg2],
        ] {
            self.write(cfg0, 0);
            self.write(cfg1, 0);
            self.write(cfg2, 1);
        }
        self.write(Register::Gerrorn, 0);
        self.write(Register::Cr0, (CMDQEN | EVENTQEN).into());
        self.invalidate(&[CFGI_ALL, TLBI_ALL, SYNC]);
        self.write(Register::IrqCtrl, 5);
        self.write(Register::Cr0, (CMDQEN | EVENTQEN | SMMUEN).into());
    }

    /// Does one thing at random.
    fn step(&mut self) {
        self.done[0] += 1;
        if self.random.one_in(8) {
            // Else most steps would find a device that stands still.
            self.repair();
        }
        match self.random.below(32) {
            0..13 => self.transaction(),
            13..18 => self.consume(),
            18..21 => self.command(),
            21..23 => self.repair(),
            23 => self.entry(),
            24 => self.descriptor(),
            25 => self.interrupts(),
            26 | 27 => self.guarded(),
            28 => self.event_queue(),
            29 => {
                let cr0 = self.read(Register::Cr0);
                self.write(Register::Cr0, (cr0 ^ SMMUEN).into());
            }
            30 => {
                let cr0 = self.read(Register::Cr0);
                self.write(Register::Cr0, (cr0 ^ CMDQEN).into());
            }
            _ => self.stream_table(),
        }
    }

    fn transaction(&mut self) {
        let device = self.random.below(SLOTS.len() as u64) as usize;
        let index = self.random.below(PAGES);
        let address = INPUT + index * 0x1000 + 4 * self.random.below(1024);
        let write = self.random.one_in(2);
        let stream = SLOTS[device] << 3;
        let transaction = match write {
            true => Transaction::write(stream, address),
            false => Transaction::read(stream, address),
        };
        let walk = page(index).1[usize::from(write)];
        self.log(format!(
            "stream {stream} {} {address:#x}",
            if write { "writes" } else { "reads" }
        ));
        let before = self.model.device().queued_records().len();
        self.model.device().transaction(&transaction.with(walk));
        self.done[1] += u32::from(self.model.device().queued_records().len() != before);
        self.machine.dma(device, address, write);
    }

    fn consume(&mut self) {
        let (prod, cons) = (self.read(Register::EventqProd), self.read(Register::EventqCons));
        let wrap = (2 << EVENTS_LOG2) - 1;
        let used = prod.wrapping_sub(cons) & wrap;
        let taken = self.random.below(u64::from(used) + 1) as u32;
        let acknowledged = if self.random.one_in(4) { cons & OVFLG } else { prod & OVFLG };
        self.done[2] += u32::from((prod ^ cons) & acknowledged & OVFLG != 0);
        self.write(Register::EventqCons, (cons.wrapping_add(taken) & wrap | acknowledged).into());
    }

    fn command(&mut self) {
        const STREAM: u64 = 8 << 32;
        let doorbell = DOORBELLS[2] | MSI_NS;
        let data = self.random.next() << 32;
        let command = self.random.of(&[
            SYNC,
            // With an interrupt, wired, by MSI, and by one that is aborted; with an event.
            [0x46 | 1 << 12, 0],
            [0x46 | 1 << 12 | data, doorbell],
            [0x46 | 1 << 12 | data, HOLE | MSI_NS],
            [0x46 | 2 << 12, 0],
            CFGI_ALL,
            TLBI_ALL,
            [0x03 | STREAM, 1],
            [0x28, 0],
            [0x01 | STREAM, 0],
            // ILLEGAL: no such completion, no such command, for another queue, of what this device lacks.
            [0x46 | 3 << 12, 0],
            [0x00, 0],
            [0xFF, 0],
            [0x46 | 1 << 10, 0],
            [0x03 | 1 << 10 | STREAM, 1],
            [0x18, 0],
            [0x20, 0],
            [0x40 | STREAM, 0],
            [0x41 | STREAM, 0],
            [0x44 | STREAM, 0],
            [0x45 | STREAM, 0],
            [0x60, 0],
            [0x70, 0],
        ]);
        self.push(command);
    }

    /// Makes another entry of a stream, as software has to.
    fn entry(&mut self) {
        let stream = self.random.of(&[8_u64, 16]);
        let words = self.random.of(&ENTRIES);
        self.set_entry(LEVEL_2[0], stream, words);
    }

    fn set_entry(&mut self, table: u64, stream: u64, words: [u64; 4]) {
        self.log(format!("entry of stream {stream}: {words:x?}"));
        let entry = table + (stream % 64) * 64;
        let invalidation = [0x03 | stream << 32, 1];
        self.store(entry, 0);
        self.invalidate(&[invalidation, SYNC]);
        for (index, word) in words.into_iter().enumerate().skip(1) {
            self.store(entry + 8 * index as u64, word);
        }
        self.invalidate(&[invalidation, SYNC]);
        self.store(entry, words[0]);
        self.invalidate(&[invalidation, SYNC]);
    }

    /// Makes another level-1 descriptor of stream 64.
    fn descriptor(&mut self) {
        let span = self.random.of(&[0_u64, 1, 7, 8, 11, 12, 31]);
        self.log(format!("descriptor with span {span}"));
        self.store(LEVEL_1 + 8, 0);
        self.invalidate(&[[0x03 | 64 << 32, 0], SYNC]);
        self.set_entry(LEVEL_2[1], 64, ENTRIES[1]);
        self.store(LEVEL_1 + 8, LEVEL_2[1] | span);
        self.invalidate(&[[0x03 | 64 << 32, 0], SYNC]);
    }

    fn interrupts(&mut self) {
        let enables = self.random.of(&[0_u32, 1, 4, 5]);
        self.write(Register::IrqCtrl, enables.into());
        for (cfg0, cfg1, doorbell) in [
            (Register::GerrorIrqCfg0, Register::GerrorIrqCfg1, DOORBELLS[1]),
            (Register::EventqIrqCfg0, Register::EventqIrqCfg1, DOORBELLS[0]),
        ] {
            // Where the interrupt is enabled the writes are ignored.
            let address = self.random.of(&[0, doorbell | MSI_NS, HOLE | MSI_NS]);
            self.write(cfg0, address);
            let data = self.random.next() as u32;
            self.write(cfg1, data.into());
        }
        let enables = self.random.of(&[5_u32, 5, 4, 1, 0]);
        self.write(Register::IrqCtrl, enables.into());
    }

    /// Writes a register that is in use, which changes nothing.
    fn guarded(&mut self) {
        let (register, enable) = self.random.of(&[
            (Register::Cr2, SMMUEN),
            (Register::StrtabBase, SMMUEN),
            (Register::StrtabBaseCfg, SMMUEN),
            (Register::CmdqBase, CMDQEN),
            (Register::CmdqCons, CMDQEN),
            (Register::EventqBase, EVENTQEN),
            (Register::EventqProd, EVENTQEN),
        ]);
        if self.read(Register::Cr0) & enable != 0 {
            let value = self.random.next();
            self.write(register, value);
        }
    }

    /// Moves the event queue, sometimes to where nothing is.
    fn event_queue(&mut self) {
        let cr0 = self.read(Register::Cr0);
        self.write(Register::Cr0, (cr0 & !EVENTQEN).into());
        let base = if self.random.one_in(4) { HOLE } else { EVENTS };
        self.write(Register::EventqBase, base | u64::from(EVENTS_LOG2));
        let start = self.random.below(2 << EVENTS_LOG2);
        self.write(Register::EventqProd, start);
        self.write(Register::EventqCons, start);
        self.write(Register::Cr0, (cr0 | EVENTQEN).into());
    }

    /// Makes the stream table of another size, in the one format or the other.
    fn stream_table(&mut self) {
        let cr0 = self.read(Register::Cr0);
        self.write(Register::Cr0, (cr0 & !SMMUEN).into());
        let (base, cfg) = self.random.of(&[
            (LEVEL_1, 1 << 16 | 6 << 6 | 8),
            // A reserved split is one of 6.
            (LEVEL_1, 1 << 16 | 7 << 6 | 8),
            (LEVEL_1, 1 << 16 | 6 << 6 | 6),
            (LEVEL_2[0], 6),
            (LEVEL_2[0], 4),
            (HOLE, 1 << 16 | 6 << 6 | 8),
            (HOLE, 6),
        ]);
        self.write(Register::StrtabBase, base);
        self.write(Register::StrtabBaseCfg, cfg);
        let recorded = self.random.of(&[2_u64, 2, 0]);
        self.write(Register::Cr2, recorded);
        self.invalidate(&[CFGI_ALL, TLBI_ALL, SYNC]);
        let cr0 = self.read(Register::Cr0);
        self.write(Register::Cr0, (cr0 | SMMUEN).into());
    }

    /// Compares everything that software can see.
    fn compare(&mut self) {
        let mut differences = String::new();
        let active = self.errors();
        self.done[3] += u32::from(active != 0);
        for &register in COMPARED {
            let (page, offset) = (register.page(), register.offset());
            for half in 0..register.bits() / 32 {
                let offset = offset + 4 * u64::from(half);
                let mut model = self.model.read32(page, offset);
                let mut machine = self.machine.read32(physical(page) + offset);
                if register == Register::CmdqCons && active & CMDQ_ERR == 0 {
                    // ERR means nothing then.
                    (model, machine) = (model & 0xF_FFFF, machine & 0xF_FFFF);
                }
                if model != machine {
                    let name = register.name();
                    let _ = writeln!(
                        differences,
                        "{name} + {}: model {model:#x}, machine {machine:#x}",
                        4 * half
                    );
                }
            }
        }
        self.model.read_barrier();
        let events = self.regions.iter().find(|region| region.address() == EVENTS);
        let events = events.expect("made").clone();
        for index in 0..4 << EVENTS_LOG2 {
            let model = events.load(index);
            let machine = self.machine.read64(EVENTS + 8 * index as u64);
            if model != machine {
                let (record, word) = (index / 4, index % 4);
                let _ = writeln!(
                    differences,
                    "word {word} of record {record}: model {model:#x}, machine {machine:#x}"
                );
            }
        }
        let pulses = self.model.device().take_interrupts();
        let pending = self.machine.read32(PENDING);
        self.machine.write32(CLEAR_PENDING, !0);
        for (source, intid) in IRQS {
            let (model, machine) = (pulses.contains(source), pending >> (intid % 32) & 1 != 0);
            if model != machine {
                let _ =
                    writeln!(differences, "{source:?} pulsed: model {model}, machine {machine}");
            }
        }
        let msis = self.model.device().take_msis();
        for doorbell in DOORBELLS {
            let sent = msis.iter().rev().find(|msi| msi.address == doorbell && !msi.aborted);
            let model = sent.map_or(0, |msi| msi.data);
            let machine = self.machine.read32(doorbell);
            self.machine.write32(doorbell, 0);
            if model != machine {
                let _ = writeln!(
                    differences,
                    "MSI at {doorbell:#x}: model {model:#x}, machine {machine:#x}"
                );
            }
        }
        if !differences.is_empty() {
            let last = &self.history[self.history.len().saturating_sub(30)..];
            panic!(
                "step {}:\n{differences}after\n  {}\nviolations: {:?}",
                self.done[0],
                last.join("\n  "),
                self.model.device().take_violations()
            );
        }
        let _ = self.model.device().take_violations();
    }
}

/// What is compared after each step.
const COMPARED: &[Register] = &[
    Register::Cr0,
    Register::Cr0Ack,
    Register::Cr1,
    Register::Cr2,
    Register::Gbpa,
    Register::IrqCtrl,
    Register::IrqCtrlAck,
    Register::Gerror,
    Register::Gerrorn,
    Register::GerrorIrqCfg0,
    Register::GerrorIrqCfg1,
    Register::GerrorIrqCfg2,
    Register::StrtabBase,
    Register::StrtabBaseCfg,
    Register::CmdqBase,
    Register::CmdqProd,
    Register::CmdqCons,
    Register::EventqBase,
    Register::EventqProd,
    Register::EventqCons,
    Register::EventqIrqCfg0,
    Register::EventqIrqCfg1,
    Register::EventqIrqCfg2,
];

/// Pages that are mapped in different ways.
const PAGES: u64 = 5;

/// Returns the stage-2 descriptor of page `index`, and what comes of a read and of a write.
const fn page(index: u64) -> (u64, [Walk; 2]) {
    const PAGE: u64 = 3 | 0xF << 2 | 3 << 8;
    const READ: u64 = 1 << 6;
    const WRITE: u64 = 2 << 6;
    const ACCESSED: u64 = 1 << 10;
    let output = OUTPUT + index * 0x1000;
    match index {
        0 => (0, [Walk::NoTranslation; 2]),
        1 => (output | PAGE | READ | WRITE | ACCESSED, [Walk::Translates; 2]),
        2 => (output | PAGE | READ | ACCESSED, [Walk::Translates, Walk::Permission]),
        3 => (output | PAGE | READ | WRITE, [Walk::Access; 2]),
        _ => (1 << 45 | PAGE | READ | WRITE | ACCESSED, [Walk::AddressSize; 2]),
    }
}

/// Words 0 to 3 of stream table entries: invalid, aborting, stage 2 with and without records, and what is
/// ILLEGAL of stage 2.
const ENTRIES: [[u64; 4]; 8] = [
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0xD, 0, VTCR | S2AA64 | S2R, STAGE_2[0]],
    [0xD, 0, VTCR | S2AA64 | S2R, STAGE_2[0]],
    [0xD, 0, VTCR | S2AA64, STAGE_2[0]],
    // No AArch32 tables, no such start level, too large an input.
    [0xD, 0, VTCR | S2R, STAGE_2[0]],
    [0xD, 0, VTCR | 3 << 38 | S2AA64 | S2R, STAGE_2[0]],
    [0xD, 0, VTCR & !(0x3F << 32) | S2AA64 | S2R, STAGE_2[0]],
];
/// T0SZ 25 from level 1 on, write-back, inner shareable, 4 KiB, 44 bits of output.
const VTCR: u64 = (25 | 1 << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 4 << 16) << 32;
const S2AA64: u64 = 1 << 51;
const S2R: u64 = 1 << 58;

/// What `make test QUICK=1` leaves out, since it needs that QEMU.
mod realm {
    use super::*;

    #[test]
    fn model_and_machine_identify_as_the_same_device() {
        let mut pair = Pair::new(1);
        for &register in Register::ALL {
            let is_id = register.name().contains("IDR");
            if !is_id {
                continue;
            }
            let (page, offset) = (register.page(), register.offset());
            let model = pair.model.read32(page, offset);
            let machine = pair.machine.read32(physical(page) + offset);
            assert_eq!(model, machine, "{}", register.name());
        }
    }

    #[test]
    fn model_and_machine_do_the_same_at_each_random_step() {
        const SEEDS: u64 = 6;
        const STEPS: u32 = 400;
        let mut sums = [0; 4];
        for seed in 1..=SEEDS {
            let mut pair = Pair::new(seed);
            pair.bring_up();
            pair.compare();
            for _ in 0..STEPS {
                pair.step();
                pair.compare();
            }
            for (sum, done) in sums.iter_mut().zip(pair.done) {
                *sum += done;
            }
        }
        let [steps, recorded, losses, errors] = sums;
        println!("{steps} steps, {recorded} records, {losses} losses, {errors} with errors");
        assert!(recorded > 100 && losses > 0 && errors > 10, "{sums:?}: too little was compared");
    }
}
