// SPDX-License-Identifier: MIT OR Apache-2.0

//! A small driver in the manner of many: offsets from one base, volatile accesses by plain pointers, one kind
//! of barrier. It knows nothing of the model.

use super::platform::{alloc_pages, dsb, mmio_read32, mmio_write32, mmio_write64};

const CR0: usize = 0x20;
const CR0ACK: usize = 0x24;
const CR1: usize = 0x28;
const IRQ_CTRL: usize = 0x50;
const IRQ_CTRLACK: usize = 0x54;
const GERROR: usize = 0x60;
const GERRORN: usize = 0x64;
const GERROR_IRQ_CFG0: usize = 0x68;
const CMDQ_BASE: usize = 0x90;
const CMDQ_PROD: usize = 0x98;
const CMDQ_CONS: usize = 0x9C;
const EVENTQ_BASE: usize = 0xA0;
const EVENTQ_IRQ_CFG0: usize = 0xB0;
const EVENTQ_PROD: usize = 0x1_00A8;
const EVENTQ_CONS: usize = 0x1_00AC;

const CMDQ_PA: u64 = 0x8800_0000;
const EVENTQ_PA: u64 = 0x8801_0000;
/// Log2 of the entries of either queue.
const LOG2: u32 = 4;
const WRAP: u32 = (2 << LOG2) - 1;
const INDEX: u32 = (1 << LOG2) - 1;
const SYNC: [u64; 2] = [0x46, 0];

pub struct Driver {
    cmdq: *mut u64,
    eventq: *const u64,
    prod: u32,
    cons: u32,
}

fn enable(control: usize, ack: usize, bits: u32) {
    mmio_write32(control, bits);
    while mmio_read32(ack) & bits != bits {}
}

impl Driver {
    pub fn init() -> Self {
        let cmdq = alloc_pages(CMDQ_PA, 16 << LOG2);
        let eventq = alloc_pages(EVENTQ_PA, 32 << LOG2);
        dsb();
        mmio_write32(CR1, 0xD75);
        mmio_write64(CMDQ_BASE, CMDQ_PA | u64::from(LOG2));
        mmio_write64(EVENTQ_BASE, EVENTQ_PA | u64::from(LOG2));
        for register in [CMDQ_PROD, CMDQ_CONS, EVENTQ_PROD, EVENTQ_CONS] {
            mmio_write32(register, 0);
        }
        mmio_write64(GERROR_IRQ_CFG0, 0);
        mmio_write64(EVENTQ_IRQ_CFG0, 0);
        enable(CR0, CR0ACK, 1 << 3);
        enable(CR0, CR0ACK, 1 << 3 | 1 << 2);
        enable(IRQ_CTRL, IRQ_CTRLACK, 0b101);
        Self { cmdq, eventq, prod: 0, cons: 0 }
    }

    /// Puts a command into the queue, which has room.
    pub fn push(&mut self, [first, second]: [u64; 2]) {
        // SAFETY: the queue has 2^LOG2 entries of two words, and INDEX keeps within them.
        unsafe {
            let entry = self.cmdq.add(2 * (self.prod & INDEX) as usize);
            entry.write_volatile(first);
            entry.add(1).write_volatile(second);
        }
        self.prod = (self.prod + 1) & WRAP;
        dsb();
        mmio_write32(CMDQ_PROD, self.prod);
    }

    /// Waits for all commands, or returns the error code of the one that was refused.
    pub fn sync(&mut self) -> Result<(), u32> {
        self.push(SYNC);
        loop {
            let cons = mmio_read32(CMDQ_CONS);
            if mmio_read32(GERROR) ^ mmio_read32(GERRORN) & 1 != 0 && cons >> 24 & 0x7F != 0 {
                return Err(cons >> 24 & 0x7F);
            }
            if cons & WRAP == self.prod {
                return Ok(());
            }
        }
    }

    /// Passes each record of the event queue to `event`.
    pub fn handle_events(&mut self, mut event: impl FnMut([u64; 4])) {
        let prod = mmio_read32(EVENTQ_PROD);
        dsb();
        while self.cons != prod & WRAP {
            let first = 4 * (self.cons & INDEX) as usize;
            // SAFETY: the queue has 2^LOG2 entries of four words, and INDEX keeps within them.
            event(std::array::from_fn(|word| unsafe {
                self.eventq.add(first + word).read_volatile()
            }));
            self.cons = (self.cons + 1) & WRAP;
        }
        dsb();
        mmio_write32(EVENTQ_CONS, self.cons | prod & 1 << 31);
    }
}
