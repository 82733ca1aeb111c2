// SPDX-License-Identifier: MIT OR Apache-2.0

//! CR0, CR1, CR2, IRQ_CTRL: enables, their acknowledges, and what must be in place before them.
//!
//! A write of CR0 or IRQ_CTRL is seen in the register at once and has its effect with the acknowledge,
//! which comes for each field by itself.

use crate::Device;
use crate::interrupts::Source;
use crate::output::{Output, OutputQueue};
use crate::queue::{Base, Shape};
use crate::registers::Register;
use crate::violation::Violation;

/// A field of CR0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Enable {
    /// SMMUEN: transactions are translated.
    Smmu,
    /// PRIQEN: page requests are written to their queue.
    Priq,
    /// EVENTQEN: events are recorded.
    Eventq,
    /// CMDQEN: commands are processed.
    Cmdq,
    /// VMW: which bits of a VMID count.
    Vmw,
}

impl Enable {
    /// All fields.
    pub const ALL: [Self; 5] = [Self::Cmdq, Self::Eventq, Self::Priq, Self::Vmw, Self::Smmu];

    /// Returns the bits of CR0 and CR0ACK.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Smmu => 1 << 0,
            Self::Priq => 1 << 1,
            Self::Eventq => 1 << 2,
            Self::Cmdq => 1 << 3,
            Self::Vmw => 7 << 6,
        }
    }
}

/// ATSCHK of CR0: fixed to 1 on the Realm side of a device with ATS.
const ATSCHK: u32 = 1 << 4;

/// QUEUE_SH, QUEUE_OC and QUEUE_IC of CR1.
const CR1_QUEUES: u32 = 0x3F;
/// TABLE_SH, TABLE_OC and TABLE_IC of CR1.
const CR1_TABLES: u32 = 0xFC0;

/// RECINVSID of CR2: StreamIDs outside the table are recorded.
const RECINVSID: u32 = 1 << 1;

/// When the device acknowledges a change of CR0 or IRQ_CTRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckDelay {
    /// With [`Step::AckCr0`](crate::Step::AckCr0) and [`Step::AckIrqCtrl`](crate::Step::AckIrqCtrl),
    /// field by field.
    Steps,
    /// After so many reads of CR0ACK or IRQ_CTRLACK have shown the old value.
    Reads(u32),
}

/// The registers of this module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Control {
    pub cr0: u32,
    pub cr0ack: u32,
    pub cr1: u32,
    pub cr2: u32,
    pub irq_ctrl: u32,
    pub irq_ctrlack: u32,
    pub gmecid: u32,
    /// Reads of CR0ACK and IRQ_CTRLACK that still show the old value.
    pub reads_left: [u32; 2],
    /// Registers that were written since reset, by [`Register`]; bit 0 for the low half, bit 1 for the
    /// high one.
    pub written: Vec<u8>,
}

impl Device {
    /// Returns whether `enable` has taken effect.
    pub(crate) const fn is_on(&self, enable: Enable) -> bool {
        self.control.cr0ack & enable.bits() != 0
    }

    /// Returns whether `enables` of CR0 are all off and acknowledged.
    pub(crate) const fn is_disabled(&self, enables: u32) -> bool {
        (self.control.cr0 | self.control.cr0ack) & enables == 0
    }

    /// Returns CR0.
    #[must_use]
    pub const fn cr0(&self) -> u32 {
        self.control.cr0 | self.fixed_cr0()
    }

    /// Returns CR0ACK: what has taken effect.
    #[must_use]
    pub const fn cr0ack(&self) -> u32 {
        self.control.cr0ack | self.fixed_cr0()
    }

    /// Returns IRQ_CTRL.
    #[must_use]
    pub const fn irq_ctrl(&self) -> u32 {
        self.control.irq_ctrl
    }

    /// Returns IRQ_CTRLACK: what has taken effect.
    #[must_use]
    pub const fn irq_ctrlack(&self) -> u32 {
        self.control.irq_ctrlack
    }

    const fn fixed_cr0(&self) -> u32 {
        if self.config.has_ats() { ATSCHK } else { 0 }
    }

    pub(crate) const fn records_bad_streams(&self) -> bool {
        self.control.cr2 & RECINVSID != 0
    }

    /// Returns the fields of CR0 that this device has.
    const fn implements(&self, enable: Enable) -> bool {
        match enable {
            Enable::Priq => self.config.has_pri(),
            Enable::Vmw => self.config.has_vmw(),
            _ => true,
        }
    }

    /// Returns the bits of IRQ_CTRL that this device has.
    const fn irq_sources(&self) -> u32 {
        let priq = if self.config.has_pri() { Source::Priq.bit() } else { 0 };
        Source::Gerror.bit() | Source::Eventq.bit() | priq
    }

    pub(crate) fn write_cr0(&mut self, value: u32) {
        for enable in Enable::ALL {
            let field = enable.bits();
            if !self.implements(enable) || (self.control.cr0 ^ value) & field == 0 {
                continue;
            }
            if (self.control.cr0 ^ self.control.cr0ack) & field != 0 {
                let register = Register::Cr0;
                self.violate(Violation::ChangedBeforeAck { register, field, value });
            } else if self.control.cr0 & field == 0 {
                self.check_enable(enable, value);
            }
        }
        self.control.cr0 = value;
        self.delay_ack(0);
    }

    pub(crate) fn write_irq_ctrl(&mut self, value: u32) {
        for source in Source::MASKABLE {
            let field = source.bit() & self.irq_sources();
            if (self.control.irq_ctrl ^ value) & field == 0 {
                continue;
            }
            if (self.control.irq_ctrl ^ self.control.irq_ctrlack) & field != 0 {
                let register = Register::IrqCtrl;
                self.violate(Violation::ChangedBeforeAck { register, field, value });
            } else if value & field != 0 {
                self.check_doorbell(source, value);
            }
        }
        self.control.irq_ctrl = value;
        self.delay_ack(1);
    }

    fn delay_ack(&mut self, register: usize) {
        if let AckDelay::Reads(reads) = self.modes.ack_delay {
            self.control.reads_left[register] = reads;
        }
    }

    /// Counts a read of CR0ACK, and acknowledges if it was behind the last that shows the old value.
    pub(crate) fn count_cr0ack_read(&mut self) {
        if self.is_ack_due(0) {
            for enable in self.pending_enables().collect::<Vec<_>>() {
                self.ack_cr0(enable);
            }
        }
    }

    /// Counts a read of IRQ_CTRLACK, likewise.
    pub(crate) fn count_irq_ctrlack_read(&mut self) {
        if self.is_ack_due(1) {
            for source in self.pending_sources().collect::<Vec<_>>() {
                self.ack_irq_ctrl(source);
            }
        }
    }

    fn is_ack_due(&mut self, register: usize) -> bool {
        if self.modes.ack_delay == AckDelay::Steps || self.modes.hung {
            return false;
        }
        let left = &mut self.control.reads_left[register];
        match left.checked_sub(1) {
            Some(fewer) => *left = fewer,
            None => return true,
        }
        false
    }

    /// Returns the fields of CR0 that wait for their acknowledge.
    pub(crate) fn pending_enables(&self) -> impl Iterator<Item = Enable> {
        let changed = self.control.cr0 ^ self.control.cr0ack;
        Enable::ALL
            .into_iter()
            .filter(move |enable| changed & enable.bits() != 0 && self.implements(*enable))
    }

    /// Returns the fields of IRQ_CTRL that wait for their acknowledge.
    pub(crate) fn pending_sources(&self) -> impl Iterator<Item = Source> {
        let changed = (self.control.irq_ctrl ^ self.control.irq_ctrlack) & self.irq_sources();
        Source::MASKABLE.into_iter().filter(move |source| changed & source.bit() != 0)
    }

    /// Lets a field of CR0 take effect.
    pub(crate) fn ack_cr0(&mut self, enable: Enable) {
        let off = self.control.cr0 & enable.bits() == 0;
        match enable {
            Enable::Cmdq if off => {
                self.stop_commands();
                if self.modes.drops_sync_msis {
                    self.drop_sync_msis();
                }
            }
            Enable::Cmdq => self.start_commands(),
            // What is committed is seen at the acknowledge; what is not vanishes.
            Enable::Eventq if off => {
                self.finish(Output::Events);
                self.drop_uncommitted_records();
                self.note_unconsumed_records();
            }
            Enable::Priq if off => self.finish(Output::Pages),
            _ => {}
        }
        let field = enable.bits();
        self.control.cr0ack = self.control.cr0ack & !field | self.control.cr0 & field;
    }

    /// Lets a field of IRQ_CTRL take effect. MSIs that are due go out before an interrupt is off.
    pub(crate) fn ack_irq_ctrl(&mut self, source: Source) {
        let field = source.bit();
        if self.control.irq_ctrl & field == 0 {
            self.flush_interrupts(source);
        }
        self.control.irq_ctrlack =
            self.control.irq_ctrlack & !field | self.control.irq_ctrl & field;
    }

    /// Writes CR1, whose two parts are guarded by different enables.
    pub(crate) fn write_cr1(&mut self, value: u32) {
        let queues = Enable::Cmdq.bits() | Enable::Eventq.bits() | Enable::Priq.bits();
        let changed = self.control.cr1 ^ value;
        let mut writable = 0;
        for (part, guard) in [(CR1_QUEUES, queues), (CR1_TABLES, Enable::Smmu.bits())] {
            if self.is_disabled(guard) {
                writable |= part;
            }
        }
        if changed & !writable & (CR1_QUEUES | CR1_TABLES) != 0 {
            self.violate(self.guarded_by_cr0(Register::Cr1, value.into()));
        }
        self.control.cr1 = self.control.cr1 & !writable | value & writable;
    }

    /// Makes the violation of a write that CR0 guards.
    pub(crate) const fn guarded_by_cr0(&self, register: Register, value: u64) -> Violation {
        let (enabled, acknowledged) = (self.control.cr0, self.control.cr0ack);
        Violation::GuardedWrite { register, value, enabled, acknowledged }
    }

    /// Checks what must be in place when `enable` is written as `cr0`.
    fn check_enable(&mut self, enable: Enable, cr0: u32) {
        match enable {
            Enable::Cmdq => {
                self.check_known(&[Register::Cr1], cr0);
                self.check_known(
                    &[Register::CmdqBase, Register::CmdqProd, Register::CmdqCons],
                    cr0,
                );
                self.check_command_queue();
            }
            Enable::Eventq => self.check_output(Output::Events, cr0),
            Enable::Priq => self.check_output(Output::Pages, cr0),
            Enable::Vmw => {}
            Enable::Smmu => {
                let needed =
                    [Register::Cr1, Register::Cr2, Register::StrtabBase, Register::StrtabBaseCfg];
                self.check_known(&needed, cr0);
                self.check_stream_table();
                if !self.streams.is_invalidated() {
                    self.violate(Violation::EnabledBeforeInvalidation { cr0 });
                }
                self.check_no_orphans(cr0);
            }
        }
    }

    fn check_output(&mut self, output: Output, cr0: u32) {
        self.check_known(&[Register::Cr1, output.base(), output.prod(), output.cons()], cr0);
        let base = self.output_base(output);
        self.check_base(output.base(), &base, self.output_limit(output));
        let OutputQueue { prod, cons, .. } = *self.output(output);
        self.check_consistent(output.prod(), base.shape, prod, cons);
    }

    /// Checks that no register of `registers` holds anything.
    fn check_known(&mut self, registers: &[Register], cr0: u32) {
        for &register in registers {
            if !self.is_known(register) {
                self.violate(Violation::UnknownAtEnable { register, cr0 });
            }
        }
    }

    /// Checks size and alignment of a queue.
    pub(crate) fn check_base(&mut self, register: Register, base: &Base, limit: u32) {
        let Base { log2, written, alignment, .. } = *base;
        if log2 > limit {
            self.violate(Violation::SizeAboveLimit { register, log2, limit });
        }
        if !written.is_multiple_of(alignment) {
            self.violate(Violation::MisalignedBase { register, address: written, alignment });
        }
        self.check_register_address(register, written);
    }

    /// Checks that `address`, which `register` has, is one that the device has too.
    pub(crate) fn check_register_address(&mut self, register: Register, address: u64) {
        let bits = self.config.address_bits();
        if address >> bits != 0 {
            self.violate(Violation::AddressAboveOas { register, address, bits });
        }
    }

    /// Checks that a queue does not hold more than it can.
    pub(crate) fn check_consistent(
        &mut self,
        register: Register,
        shape: Shape,
        prod: u32,
        cons: u32,
    ) {
        if shape.used(prod, cons) > shape.entries() {
            self.violate(Violation::InconsistentAtEnable { register, prod, cons });
        }
    }

    /// Checks that an interrupt that is switched on has a known MSI, to an address that the device has.
    fn check_doorbell(&mut self, source: Source, irq_ctrl: u32) {
        if !self.config.has_msi() {
            return;
        }
        let [address, data, attributes] = source.registers();
        if self.is_known(address) {
            self.check_register_address(address, self.doorbell_as_written(source));
        }
        let mut needed = vec![address];
        if self.is_known(address) && self.doorbell(source).is_some() {
            needed.extend([data, attributes]);
        } else if source == Source::Priq {
            // LO applies to the wired interrupt too.
            needed.push(attributes);
        }
        for register in needed {
            if !self.is_known(register) {
                self.violate(Violation::UnknownDoorbell { register, irq_ctrl });
            }
        }
    }

    /// Returns whether all of `register` was written since reset.
    pub(crate) fn is_known(&self, register: Register) -> bool {
        let all = if register.bits() == 64 { 3 } else { 1 };
        self.control.written.get(register as usize).is_some_and(|halves| *halves == all)
    }
}
