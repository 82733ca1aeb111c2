// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programming a device that is off: its tables, its queues, and the attributes of their memory.

#![forbid(unsafe_code)]

use super::memory::{Memory, QueueSizes};
use crate::arch::l1_descriptor::base_cfg;
use crate::arch::queue_pointer::Log2Size;
use crate::arch::registers::{
    CR1_WRITE_BACK_INNER_SHAREABLE, Cr2, QueueBase, Register32, Register64, StrtabBase,
};
use crate::platform::{DeviceMemory, Registers};

/// Writes everything that must be in place before the enables.
#[cfg_attr(core_from_source, optimize(size))]
pub(crate) fn program<M: DeviceMemory>(
    registers: &impl Registers,
    memory: &Memory<M>,
    sizes: &QueueSizes,
    has_btm: bool,
) {
    let base = |memory: &M, size: Log2Size| QueueBase::new(memory.address(), size.log2()).bits();
    registers.write32(Register32::CR1, CR1_WRITE_BACK_INNER_SHAREABLE);
    let mut cr2 = Cr2::RECINVSID;
    cr2.set(Cr2::PTM, has_btm);
    registers.write32(Register32::CR2, cr2.bits());

    let table = StrtabBase::new(memory.stream_table.address());
    registers.write64(Register64::STRTAB_BASE, table.bits());
    let cfg = base_cfg(sizes.sid_bits);
    registers.write32(Register32::STRTAB_BASE_CFG, cfg);

    let commands = base(&memory.command_queue, sizes.commands);
    registers.write64(Register64::CMDQ_BASE, commands);
    registers.write32(Register32::CMDQ_PROD, 0);
    registers.write32(Register32::CMDQ_CONS, 0);

    let events = base(&memory.event_queue, sizes.events);
    registers.write64(Register64::EVENTQ_BASE, events);
    registers.write32(Register32::EVENTQ_PROD, 0);
    registers.write32(Register32::EVENTQ_CONS, 0);

    if let (Some(memory), Some(size)) = (&memory.pri_queue, sizes.requests) {
        registers.write64(Register64::PRIQ_BASE, base(memory, size));
        registers.write32(Register32::PRIQ_PROD, 0);
        registers.write32(Register32::PRIQ_CONS, 0);
    }
}
