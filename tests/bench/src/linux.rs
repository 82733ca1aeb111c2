// SPDX-License-Identifier: MIT OR Apache-2.0

//! The comparison: an event queue read the way Linux's SMMUv3 driver reads one that is its own.
//!
//! Nothing of Linux is in here but the order of its accesses (version 6.18, the threaded handler of the
//! event queue): it keeps copies of both pointers; takes records as long as the copies differ, and
//! writes CONS after each, so that its slot is free at once; reads PROD when the copies are equal, and
//! leaves when that shows nothing new; at the end it acknowledges an overflow. A burst of N records
//! costs it two reads and N writes.

use psmmu::{DeviceMemory, Log2Size, OVERFLOW};
use smmu_model::{Register, Smmu};

/// Words of a record.
const RECORD: usize = 4;

/// A driver that has its event queue to itself.
#[derive(Debug)]
pub struct EventThread<M> {
    smmu: Smmu,
    memory: M,
    size: Log2Size,
    /// EVENTQ_PROD as last read.
    prod: u32,
    /// EVENTQ_CONS as last written.
    cons: u32,
}

impl<M: DeviceMemory> EventThread<M> {
    /// Adopts a queue whose pointers are both zero. `None` if `memory` is no queue.
    #[must_use]
    pub fn new(smmu: Smmu, memory: M) -> Option<Self> {
        let (address, words) = (memory.address(), memory.words());
        let size = Log2Size::choose(address, words, RECORD, Log2Size::MAX.log2().into())?;
        Some(Self { smmu, memory, size, prod: 0, cons: 0 })
    }

    /// Handles one interrupt.
    pub fn interrupt(&mut self, mut handle: impl FnMut([u64; RECORD])) {
        loop {
            while let Some(record) = self.take() {
                handle(record);
            }
            let prod = Register::EventqProd;
            self.prod = self.smmu.read32(prod.page(), prod.offset());
            self.smmu.read_barrier();
            if self.is_empty() {
                break;
            }
        }
        if (self.prod ^ self.cons) & OVERFLOW != 0 {
            self.cons ^= OVERFLOW;
            self.write_cons();
        }
    }

    fn is_empty(&self) -> bool {
        self.size.used(self.prod, self.cons) == 0
    }

    /// Copies the next record and frees its slot.
    fn take(&mut self) -> Option<[u64; RECORD]> {
        if self.is_empty() {
            return None;
        }
        let first = self.size.index(self.cons) * RECORD;
        let record = [0, 1, 2, 3].map(|word| self.memory.load(first + word));
        self.cons = self.cons & OVERFLOW | self.size.advance(self.cons, 1);
        self.write_cons();
        Some(record)
    }

    fn write_cons(&self) {
        let cons = Register::EventqCons;
        self.smmu.write_barrier();
        self.smmu.write32(cons.page(), cons.offset(), self.cons);
    }
}
