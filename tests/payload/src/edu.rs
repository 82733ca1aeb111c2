// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's `edu` device: DMA at any address, and so a fault of any stream at any address.

use core::sync::atomic::{AtomicU64, Ordering};

use psmmu_abi::{Event, EventNumber, FaultClass, Syndrome};
use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::platform::{DMA_TARGET, DMA_TARGET_SIZE};
use crate::time;

/// Registers, from the start of BAR0.
#[repr(C)]
pub struct Registers {
    _identification_to_interrupts: [u32; 32],
    /// 0x80.
    source: ReadPureWrite<u64>,
    /// 0x88.
    destination: ReadPureWrite<u64>,
    /// 0x90: bytes.
    count: ReadPureWrite<u64>,
    /// 0x98.
    command: ReadPureWrite<u64>,
}

const RUN: u64 = 1 << 0;
const TO_MEMORY: u64 = 1 << 1;
/// Where the device has its own end of a transfer.
const BUFFER: u64 = 0x4_0000;
/// A longer transfer overruns the device's buffer, which QEMU does not check.
const MAX_WORDS: u32 = 1024;
/// The device begins 100 ms after it was told to.
const LIMIT: u32 = 5000;

/// What a device does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Memory to device.
    Read,
    /// Device to memory.
    Write,
}

/// What the RMM's image for tests has wrong with an access, by its address or by its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The address is not mapped.
    Translation,
    /// It is mapped for reading only, and written.
    Permission,
    /// Its access flag is clear.
    AccessFlag,
    /// It is mapped to an address that is too large.
    AddressSize,
    /// The stream's entry is invalid.
    BadEntry,
    /// The stream has no level-2 table.
    NoTable,
}

impl Fault {
    /// First address that is wrong in this way. That of streams counts for nothing.
    const fn base(self) -> u64 {
        match self {
            Self::Translation | Self::BadEntry | Self::NoTable => DMA_TARGET,
            Self::Permission => 0x8000_0000,
            Self::AccessFlag => 0xC000_0000,
            Self::AddressSize => 0x1_0000_0000,
        }
    }

    const fn number(self) -> EventNumber {
        match self {
            Self::Translation => EventNumber::Translation,
            Self::Permission => EventNumber::Permission,
            Self::AccessFlag => EventNumber::AccessFlag,
            Self::AddressSize => EventNumber::AddressSize,
            Self::BadEntry => EventNumber::BadSte,
            Self::NoTable => EventNumber::BadStreamId,
        }
    }
}

/// A transfer. Each of its words is an access of its own, and faults on its own.
#[derive(Clone, Copy, Debug)]
pub struct Dma {
    /// Direction.
    pub access: Access,
    /// Address of the first word.
    pub at: u64,
    /// Number of 32-bit words.
    pub words: u32,
    /// What is wrong with all of them.
    pub fault: Fault,
}

impl Dma {
    /// Aims a transfer at memory that is not mapped, and that no other transfer of this boot has.
    pub fn new(access: Access, words: u32) -> Self {
        Self::faulting(Fault::Translation, access, words)
    }

    /// Aims a transfer at memory that no other transfer of this boot has, where it faults in this way.
    pub fn faulting(fault: Fault, access: Access, words: u32) -> Self {
        const STEP: u64 = 0x1000;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let offset = NEXT.fetch_add(STEP, Ordering::Relaxed);
        require!(offset < DMA_TARGET_SIZE, "no memory left to aim at");
        Self { access, at: fault.base() + offset, words, fault }
    }

    /// Returns what the host must hear of it, in this order.
    pub fn events(self) -> impl Iterator<Item = Event> {
        let number = self.fault.number();
        (0..u64::from(self.words)).map(move |word| Event::Psmmu {
            number: number as u8,
            fetch_address: 0,
            input_address: if number.has_input_address() { self.at + 4 * word } else { 0 },
            syndrome: if number.has_access() {
                Syndrome::new(self.access == Access::Read, true, FaultClass::Input)
            } else {
                Syndrome::from_bits(0)
            },
        })
    }
}

/// A device.
pub struct Edu {
    /// Its StreamID.
    pub stream: u32,
    registers: UniqueMmioPointer<'static, Registers>,
}

impl Edu {
    /// Uses the device with these registers.
    pub fn new(stream: u32, registers: UniqueMmioPointer<'static, Registers>) -> Self {
        Self { stream, registers }
    }

    /// Has the device begin `dma` in 100 ms.
    pub fn start(&mut self, dma: Dma) {
        require!(dma.words <= MAX_WORDS, "{} words are too many for one DMA", dma.words);
        require!(!self.is_busy(), "stream {} is still busy with its last DMA", self.stream);
        let (source, destination, command) = match dma.access {
            Access::Read => (dma.at, BUFFER, RUN),
            Access::Write => (BUFFER, dma.at, RUN | TO_MEMORY),
        };
        field!(self.registers, source).write(source);
        field!(self.registers, destination).write(destination);
        field!(self.registers, count).write(u64::from(dma.words) * 4);
        field!(self.registers, command).write(command);
    }

    /// Returns whether the last DMA has still to end.
    pub fn is_busy(&self) -> bool {
        field_shared!(self.registers, command).read() & RUN != 0
    }

    /// Waits until the last DMA has ended: its records are in the queue then.
    pub fn finish(&self) {
        require!(
            time::wait(LIMIT, || !self.is_busy()),
            "the DMA of stream {} has not ended after {LIMIT} ms",
            self.stream
        );
    }

    /// Starts `dma` and waits until it has ended.
    pub fn run(&mut self, dma: Dma) {
        self.start(dma);
        self.finish();
    }
}
