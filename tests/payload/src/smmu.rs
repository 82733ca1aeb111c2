// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SMMU's registers that the host can reach, as far as tests need them: to read, to do harm where the
//! one programming interface stands in for the Realm one, and to use the host's own side where there are
//! two.

use core::ptr::NonNull;

use safe_mmio::fields::{ReadPure, ReadPureWrite};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::granule::Granule;
use crate::{arch, platform};

/// Register page 0.
#[repr(C)]
struct Registers {
    /// 0x00.
    idr0: ReadPure<u32>,
    _idr1_to_aidr: [u32; 7],
    /// 0x20.
    cr0: ReadPureWrite<u32>,
    /// 0x24.
    cr0ack: ReadPure<u32>,
    /// 0x28.
    cr1: ReadPureWrite<u32>,
    /// 0x2c.
    cr2: ReadPureWrite<u32>,
    _gbpa_to_irq_ctrl: [u32; 12],
    /// 0x60.
    gerror: ReadPure<u32>,
    /// 0x64.
    gerrorn: ReadPureWrite<u32>,
    _gerror_irq: [u32; 6],
    /// 0x80.
    strtab_base: ReadPureWrite<u64>,
    /// 0x88.
    strtab_base_cfg: ReadPureWrite<u32>,
    _reserved: u32,
    /// 0x90: log2 of the number of entries in bits 4:0.
    cmdq_base: ReadPure<u64>,
    /// 0x98.
    cmdq_prod: ReadPureWrite<u32>,
    /// 0x9c: index with its wrap bit, error in bits 30:24.
    cmdq_cons: ReadPure<u32>,
    /// 0xa0.
    eventq_base: ReadPureWrite<u64>,
}

/// Register page 1.
#[repr(C)]
struct Registers1 {
    _unused: [u32; 42],
    /// 0xa8.
    eventq_prod: ReadPureWrite<u32>,
    /// 0xac.
    eventq_cons: ReadPureWrite<u32>,
}

const _: () = assert!(core::mem::offset_of!(Registers, gerror) == 0x60);
const _: () = assert!(core::mem::offset_of!(Registers, eventq_base) == 0xA0);
const _: () = assert!(core::mem::offset_of!(Registers1, eventq_prod) == 0xA8);

/// From page 0 to page 1.
const PAGE_1: u64 = 0x1_0000;

/// IDR0 bit 30.
const RME_IMPL: u32 = 1 << 30;
/// CR0.
const SMMUEN: u32 = 1 << 0;
const EVENTQEN: u32 = 1 << 2;
/// CR1: tables and queues in write-back, inner shareable memory.
const CR1: u32 = 0xD75;
/// CR2: C_BAD_STREAMID is recorded.
const RECINVSID: u32 = 1 << 1;
/// GERROR.
pub const EVENTQ_ABT_ERR: u32 = 1 << 2;

/// Returns whether the SMMU has a Realm side, which the host does not reach.
pub fn has_realm_side() -> bool {
    Smmu::new().idr0() & RME_IMPL != 0
}

/// Returns the INTIDs of the wired interrupts that the RMM reports: GERROR, EVENTQ.
pub fn wired_irqs() -> [u32; 2] {
    if has_realm_side() { platform::REALM_WIRED_IRQS } else { platform::WIRED_IRQS }
}

/// A record of the host's own event queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRecord {
    /// Event number.
    pub number: u8,
    /// StreamID.
    pub stream: u32,
}

/// The host's own side of an SMMU with two, in use: a stream table of 32 entries that are all invalid, so
/// that each access of a device is a C_BAD_STE, and an event queue.
pub struct OwnSide {
    smmu: Smmu,
    page_1: UniqueMmioPointer<'static, Registers1>,
    queue: u64,
}

impl OwnSide {
    /// Entries of the event queue, which has one granule: 2^7.
    const LOG2_EVENTS: u64 = 7;
    /// Entries of the stream table: 2^5.
    const LOG2_STREAMS: u32 = 5;

    /// Enables it, with the event queue in the granule at PA `queue`.
    pub fn start(queue: u64) -> Self {
        static TABLE: Granule = Granule::new();
        let page_1 = NonNull::new((platform::SMMU + PAGE_1) as *mut Registers1).expect("not zero");
        // SAFETY: as in `Smmu::new`; where there are two sides the RMM uses the other one.
        let page_1 = unsafe { UniqueMmioPointer::new(page_1) };
        let mut side = Self { smmu: Smmu::new(), page_1, queue };
        let registers = &mut side.smmu.registers;
        field!(*registers, cr0).write(0);
        let gerror = field_shared!(*registers, gerror).read();
        field!(*registers, gerrorn).write(gerror);
        field!(*registers, cr1).write(CR1);
        field!(*registers, cr2).write(RECINVSID);
        field!(*registers, strtab_base).write(TABLE.address());
        field!(*registers, strtab_base_cfg).write(Self::LOG2_STREAMS);
        field!(*registers, eventq_base).write(queue | Self::LOG2_EVENTS);
        field!(side.page_1, eventq_prod).write(0);
        field!(side.page_1, eventq_cons).write(0);
        arch::publish();
        let registers = &mut side.smmu.registers;
        field!(*registers, cr0).write(EVENTQEN);
        field!(*registers, cr0).write(EVENTQEN | SMMUEN);
        let ack = field_shared!(*registers, cr0ack).read();
        expect_eq!(ack, EVENTQEN | SMMUEN, "CR0ACK of the host's own side");
        side
    }

    /// Takes all records that are there.
    pub fn records<const N: usize>(&mut self) -> heapless::Vec<OwnRecord, N> {
        let mut records = heapless::Vec::new();
        let prod = field_shared!(self.page_1, eventq_prod).read();
        let mut cons = field_shared!(self.page_1, eventq_cons).read();
        let wrap = (2 << Self::LOG2_EVENTS) - 1;
        while (cons ^ prod) & wrap != 0 {
            let index = u64::from(cons) & ((1 << Self::LOG2_EVENTS) - 1);
            let at = (self.queue + index * 32) as usize;
            // SAFETY: the queue is a granule of the host's, which is mapped and which no Rust code refers
            // to but by its address; the SMMU wrote the record before PROD.
            let word = unsafe { core::ptr::with_exposed_provenance::<u64>(at).read_volatile() };
            let record = OwnRecord { number: word as u8, stream: (word >> 32) as u32 };
            require!(records.push(record).is_ok(), "more than {N} records on the host's own side");
            cons = (cons + 1) & wrap;
        }
        field!(self.page_1, eventq_cons).write(cons);
        records
    }

    /// Returns the errors that are active on this side.
    pub fn active_errors(&self) -> u32 {
        self.smmu.active_errors()
    }
}

impl Drop for OwnSide {
    /// Lets devices of the host's bypass the SMMU again.
    fn drop(&mut self) {
        let registers = &mut self.smmu.registers;
        field!(*registers, cr0).write(0);
        let gerror = field_shared!(*registers, gerror).read();
        field!(*registers, gerrorn).write(gerror);
    }
}

/// The host's view of the SMMU.
pub struct Smmu {
    registers: UniqueMmioPointer<'static, Registers>,
}

impl Smmu {
    /// Opens the registers.
    pub fn new() -> Self {
        let registers = NonNull::new(platform::SMMU as *mut Registers).expect("not zero");
        // SAFETY: the registers lie there, mapped as device memory. The RMM uses them too, but not
        // while the host runs on the same CPU, and the scenario that writes to them runs on one CPU.
        Self { registers: unsafe { UniqueMmioPointer::new(registers) } }
    }

    /// Returns IDR0.
    pub fn idr0(&self) -> u32 {
        field_shared!(self.registers, idr0).read()
    }

    /// Returns the errors that are active: the bits in which GERROR and GERRORN differ.
    pub fn active_errors(&self) -> u32 {
        field_shared!(self.registers, gerror).read() ^ field_shared!(self.registers, gerrorn).read()
    }

    /// Returns whether the SMMU has run all commands.
    pub fn commands_done(&self) -> bool {
        let index = self.command_index_mask();
        let cons = field_shared!(self.registers, cmdq_cons).read();
        let prod = field_shared!(self.registers, cmdq_prod).read();
        (cons ^ prod) & index == 0
    }

    /// Has the SMMU run whatever lies in the next slot of the command queue.
    pub fn push_command_slot(&mut self) {
        let index = self.command_index_mask();
        let prod = field_shared!(self.registers, cmdq_prod).read();
        field!(self.registers, cmdq_prod).write(prod.wrapping_add(1) & index);
    }

    /// Returns the bits of a command index with its wrap bit.
    fn command_index_mask(&self) -> u32 {
        let log2 = field_shared!(self.registers, cmdq_base).read() & 0x1F;
        (2 << log2) - 1
    }
}
