// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device: DMA at any address, and so a fault of any stream at any address. Its registers are
//! [`device`]'s; on QEMU it is an `edu`.

use core::sync::atomic::{AtomicU64, Ordering};

use psmmu_abi::{Event, EventNumber, FaultClass, Syndrome};
use safe_mmio::UniqueMmioPointer;

use crate::device::{self, MAX_WORDS, Registers};
use crate::platform::{DMA_TARGET, DMA_TARGET_SIZE};
use crate::time;

/// An `edu` begins 100 ms after it was asked to.
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

    /// Has the device begin `dma` within 100 ms.
    pub fn start(&mut self, dma: Dma) {
        require!(dma.words <= MAX_WORDS, "{} words are too many for one DMA", dma.words);
        require!(!self.is_busy(), "stream {} is still busy with its last DMA", self.stream);
        device::start(&mut self.registers, dma.access, dma.at, dma.words);
    }

    /// Returns whether the last DMA has still to end.
    pub fn is_busy(&self) -> bool {
        device::is_busy(&self.registers)
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
