// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SMMU's registers, which the host can reach on QEMU: it has one programming interface, and the
//! RMM programs that. Only what tests need, to look and to do harm.

use core::ptr::NonNull;

use safe_mmio::fields::{ReadPure, ReadPureWrite};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::platform;

/// Register page 0.
#[repr(C)]
struct Registers {
    /// 0x00.
    idr0: ReadPure<u32>,
    _idr1_to_irq_ctrl: [u32; 23],
    /// 0x60.
    gerror: ReadPure<u32>,
    /// 0x64.
    gerrorn: ReadPure<u32>,
    _gerror_irq_to_strtab: [u32; 10],
    /// 0x90: log2 of the number of entries in bits 4:0.
    cmdq_base: ReadPure<u64>,
    /// 0x98.
    cmdq_prod: ReadPureWrite<u32>,
    /// 0x9c: index with its wrap bit, error in bits 30:24.
    cmdq_cons: ReadPure<u32>,
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
