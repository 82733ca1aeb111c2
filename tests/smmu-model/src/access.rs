// SPDX-License-Identifier: MIT OR Apache-2.0

//! Accesses of registers: what each reads as, who may write it and when (IHI 0070, "Register access
//! rules", and each register's description).

use crate::Device;
use crate::control::Enable;
use crate::gerror::CMDQ_ERR;
use crate::interrupts::Source;
use crate::output::Output;
use crate::registers::{Access, Part, Register};
use crate::violation::Violation;

/// R_GBPA: ABORT, fixed.
const GBPA: u32 = 1 << 20;
/// R_GMECID is written while these are 0.
const GMECID_GUARD: u32 = Enable::Smmu.bits() | Enable::Eventq.bits() | Enable::Cmdq.bits();

impl Device {
    /// Does an access and returns what it reads.
    pub(crate) fn access(&mut self, access: &Access) -> u64 {
        self.settle_if_eager();
        self.count(access);
        if self.modes.removed {
            return if access.bits == 32 { u64::from(u32::MAX) } else { u64::MAX };
        }
        let Some((register, part)) = self.decode(access) else { return 0 };
        let Some(value) = access.write else {
            let value = self.read(register);
            return match part {
                Part::Low => value & u64::from(u32::MAX),
                Part::High => value >> 32,
                Part::Both => value,
            };
        };
        let (value, halves) = match part {
            Part::Both => (value, 3),
            Part::Low => (self.peek(register) >> 32 << 32 | value & u64::from(u32::MAX), 1),
            Part::High => (self.peek(register) & u64::from(u32::MAX) | value << 32, 2),
        };
        if self.may_write(register, value) {
            self.control.written[register as usize] |= halves;
            self.write(register, value);
            self.settle_if_eager();
        }
        0
    }

    fn count(&mut self, access: &Access) {
        self.log.by_register.resize(Register::ALL.len(), (0, 0));
        let mut unknown = (0, 0);
        let register = access.register();
        let counts = register.map_or(&mut unknown, |at| &mut self.log.by_register[at as usize]);
        if access.write.is_some() {
            counts.1 += 1;
            self.log.writes += 1;
        } else {
            counts.0 += 1;
            self.log.reads += 1;
        }
    }

    /// Returns reads and writes of registers since [`forget_accesses`](Self::forget_accesses).
    #[must_use]
    pub const fn accesses(&self) -> (u32, u32) {
        (self.log.reads, self.log.writes)
    }

    /// Returns reads and writes of `register`.
    #[must_use]
    pub fn accesses_of(&self, register: Register) -> (u32, u32) {
        self.log.by_register.get(register as usize).copied().unwrap_or_default()
    }

    /// Counts accesses from zero.
    pub fn forget_accesses(&mut self) {
        (self.log.reads, self.log.writes) = (0, 0);
        self.log.by_register.clear();
    }

    /// Reads a register, with what a read brings about.
    fn read(&mut self, register: Register) -> u64 {
        match register {
            Register::Cr0Ack => self.count_cr0ack_read(),
            Register::IrqCtrlAck => self.count_irq_ctrlack_read(),
            _ => {}
        }
        self.peek(register)
    }

    /// Returns what a register reads as; nothing is counted, nothing happens.
    #[must_use]
    pub fn peek(&self, register: Register) -> u64 {
        let cfg = |source: Source| &self.interrupts.cfg[source as usize];
        let word: u32 = match register {
            Register::NsIdr0 => self.config.idr0,
            Register::NsIdr1 => self.config.idr1,
            Register::NsIdr3 => self.config.idr3,
            Register::NsIdr5 => self.config.idr5,
            Register::NsIidr => self.config.iidr,
            Register::NsAidr => self.config.aidr,
            Register::Idr0 => self.config.r_idr0,
            Register::Idr1 => self.config.r_idr1,
            Register::Idr3 => self.config.r_idr3,
            Register::Mecidr => self.config.r_mecidr,
            Register::NsIdr2
            | Register::NsIdr4
            | Register::Idr2
            | Register::Idr4
            | Register::Idr6
            | Register::Aidr
            | Register::Mpamidr => 0,
            Register::Cr0 => self.cr0(),
            Register::Cr0Ack => self.cr0ack(),
            Register::Cr1 => self.control.cr1,
            Register::Cr2 => self.control.cr2,
            Register::Gbpa => GBPA,
            Register::IrqCtrl => self.control.irq_ctrl,
            Register::IrqCtrlAck => self.control.irq_ctrlack,
            Register::Gerror => self.gerror,
            Register::Gerrorn => self.gerrorn,
            Register::GerrorIrqCfg0 => return cfg(Source::Gerror).cfg0,
            Register::GerrorIrqCfg1 => cfg(Source::Gerror).cfg1,
            Register::GerrorIrqCfg2 => cfg(Source::Gerror).cfg2,
            Register::EventqIrqCfg0 => return cfg(Source::Eventq).cfg0,
            Register::EventqIrqCfg1 => cfg(Source::Eventq).cfg1,
            Register::EventqIrqCfg2 => cfg(Source::Eventq).cfg2,
            Register::PriqIrqCfg0 => return cfg(Source::Priq).cfg0,
            Register::PriqIrqCfg1 => cfg(Source::Priq).cfg1,
            Register::PriqIrqCfg2 => cfg(Source::Priq).cfg2,
            Register::StrtabBase => return self.streams.base,
            Register::StrtabBaseCfg => self.streams.cfg,
            Register::CmdqBase => return self.cmdq.base,
            Register::CmdqProd => self.read_command_prod(),
            Register::CmdqCons => self.read_command_cons(),
            Register::EventqBase => return self.eventq.base,
            Register::PriqBase => return self.priq.base,
            Register::EventqProd => self.read_prod(Output::Events),
            Register::EventqCons => self.eventq.cons,
            Register::PriqProd => self.read_prod(Output::Pages),
            Register::PriqCons => self.priq.cons,
            Register::Gmecid => self.control.gmecid,
        };
        word.into()
    }

    /// Returns whether `register` takes a write now, and reports it if not.
    fn may_write(&mut self, register: Register, value: u64) -> bool {
        use Register as R;

        let of_cr0 = match register {
            R::StrtabBase | R::StrtabBaseCfg | R::Cr2 => Enable::Smmu.bits(),
            R::CmdqBase | R::CmdqCons => Enable::Cmdq.bits(),
            R::EventqBase | R::EventqProd => Enable::Eventq.bits(),
            R::PriqBase | R::PriqProd => Enable::Priq.bits(),
            R::Gmecid => GMECID_GUARD,
            _ => 0,
        };
        let of_irq_ctrl = match register {
            R::GerrorIrqCfg0 | R::GerrorIrqCfg1 | R::GerrorIrqCfg2 => Source::Gerror.bit(),
            R::EventqIrqCfg0 | R::EventqIrqCfg1 | R::EventqIrqCfg2 => Source::Eventq.bit(),
            R::PriqIrqCfg0 | R::PriqIrqCfg1 | R::PriqIrqCfg2 => Source::Priq.bit(),
            _ => 0,
        };
        let (enabled, acknowledged) = (self.control.irq_ctrl, self.control.irq_ctrlack);
        if !is_writable(register) {
            self.violate(Violation::ReadOnly { register, value });
        } else if !self.is_disabled(of_cr0) {
            self.violate(self.guarded_by_cr0(register, value));
        } else if (enabled | acknowledged) & of_irq_ctrl != 0 {
            self.violate(Violation::GuardedWrite { register, value, enabled, acknowledged });
        } else {
            return true;
        }
        false
    }

    fn write(&mut self, register: Register, value: u64) {
        let word = value as u32;
        let cfg = &mut self.interrupts.cfg;
        match register {
            Register::Cr0 => self.write_cr0(word),
            Register::Cr1 => self.write_cr1(word),
            Register::Cr2 => self.control.cr2 = word,
            Register::IrqCtrl => self.write_irq_ctrl(word),
            Register::Gerrorn => self.write_gerrorn(word),
            Register::GerrorIrqCfg0 => cfg[Source::Gerror as usize].cfg0 = value,
            Register::GerrorIrqCfg1 => cfg[Source::Gerror as usize].cfg1 = word,
            Register::GerrorIrqCfg2 => cfg[Source::Gerror as usize].cfg2 = word,
            Register::EventqIrqCfg0 => cfg[Source::Eventq as usize].cfg0 = value,
            Register::EventqIrqCfg1 => cfg[Source::Eventq as usize].cfg1 = word,
            Register::EventqIrqCfg2 => cfg[Source::Eventq as usize].cfg2 = word,
            Register::PriqIrqCfg0 => cfg[Source::Priq as usize].cfg0 = value,
            Register::PriqIrqCfg1 => cfg[Source::Priq as usize].cfg1 = word,
            Register::PriqIrqCfg2 => cfg[Source::Priq as usize].cfg2 = word,
            Register::StrtabBase => self.streams.base = value,
            Register::StrtabBaseCfg => self.streams.cfg = word,
            Register::CmdqBase => self.cmdq.base = value,
            Register::CmdqProd => self.write_command_prod(word),
            Register::CmdqCons => self.write_command_cons(word),
            Register::EventqBase => self.eventq.base = value,
            Register::PriqBase => self.priq.base = value,
            Register::EventqProd => self.write_prod(Output::Events, word),
            Register::PriqProd => self.write_prod(Output::Pages, word),
            Register::EventqCons => self.write_cons(Output::Events, word),
            Register::PriqCons => self.write_cons(Output::Pages, word),
            Register::Gmecid => self.control.gmecid = word & 0xFFFF,
            _ => {}
        }
    }

    /// Orders reads of registers ahead of reads of memory: from here on the CPU sees what the device
    /// has written so far.
    pub(crate) fn read_barrier(&mut self) {
        self.memory.drop_stale();
    }

    /// Orders all accesses of memory ahead of writes of registers: the device sees all stores of the
    /// CPU, and entries have been read.
    pub(crate) fn write_barrier(&mut self) {
        self.drain_stores();
        self.eventq.entries_read = false;
        self.priq.entries_read = false;
    }

    /// Returns whether the command queue stands still because of an error.
    #[must_use]
    pub const fn has_command_error(&self) -> bool {
        self.is_active(CMDQ_ERR)
    }
}

/// Returns whether `register` can be written at all.
const fn is_writable(register: Register) -> bool {
    use Register as R;

    !matches!(
        register,
        R::NsIdr0
            | R::NsIdr1
            | R::NsIdr2
            | R::NsIdr3
            | R::NsIdr4
            | R::NsIdr5
            | R::NsIidr
            | R::NsAidr
            | R::Idr0
            | R::Idr1
            | R::Idr2
            | R::Idr3
            | R::Idr4
            | R::Idr6
            | R::Aidr
            | R::Mpamidr
            | R::Mecidr
            | R::Cr0Ack
            | R::Gbpa
            | R::IrqCtrlAck
            | R::Gerror
    )
}
