// SPDX-License-Identifier: MIT OR Apache-2.0

//! Turning parts of the device on and off, each acknowledged by the device before it counts.

#![forbid(unsafe_code)]

use super::Psmmu;
use crate::arch::registers::{Cr0, IrqCtrl, ReadOnly, Register32};
use crate::logic::{TimedOut, wait};
use crate::platform::{Clock, Registers};

impl<R: Registers, M> Psmmu<R, M> {
    /// Stops translation, interrupts and queues, in this order, each acknowledged.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn quiesce(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        self.stop_translation(clock)?;
        self.set_cr0(Cr0::empty(), clock)
    }

    /// Stops translation and interrupts, each acknowledged. The queues run on.
    ///
    /// What is changed must have been acknowledged before. A caller that has failed the
    /// device has not waited for that.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn stop_translation(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        let queues = Cr0::CMDQEN | Cr0::EVENTQEN | Cr0::PRIQEN;
        let on = Cr0::from_bits_truncate(self.registers.read32(Register32::CR0));
        self.acknowledged(Register32::CR0ACK, Cr0::all().bits(), on.bits(), clock)?;
        self.set_cr0(on & queues, clock)?;
        self.stop_interrupts(clock)
    }

    /// Stops interrupts, which is acknowledged, as must be what was changed before.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn stop_interrupts(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        let (mask, on) = (IrqCtrl::all().bits(), self.registers.read32(Register32::IRQ_CTRL));
        self.acknowledged(Register32::IRQ_CTRLACK, mask, on & mask, clock)?;
        self.set_irq_ctrl(IrqCtrl::empty(), clock)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn set_cr0(&self, enables: Cr0, clock: &impl Clock) -> Result<(), TimedOut> {
        self.registers.write32(Register32::CR0, enables.bits());
        self.acknowledged(Register32::CR0ACK, Cr0::all().bits(), enables.bits(), clock)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn set_irq_ctrl(
        &self,
        enables: IrqCtrl,
        clock: &impl Clock,
    ) -> Result<(), TimedOut> {
        self.registers.write32(Register32::IRQ_CTRL, enables.bits());
        self.acknowledged(Register32::IRQ_CTRLACK, IrqCtrl::all().bits(), enables.bits(), clock)
    }

    /// Waits until the bits `mask` of `register` are `bits`. Bits beyond are not ours and may never be
    /// acknowledged.
    #[cfg_attr(core_from_source, optimize(size))]
    fn acknowledged(
        &self,
        register: Register32<ReadOnly>,
        mask: u32,
        bits: u32,
        clock: &impl Clock,
    ) -> Result<(), TimedOut> {
        wait(clock, || (self.registers.read32(register) & mask == bits).then_some(()))
    }
}
