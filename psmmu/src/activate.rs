// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bring-up: disable, program, enable, acknowledge, interrupts on, then translation.
//!
//! Interrupts are on before translation is, so that nothing is recorded while nobody would be told.
//! What is recorded before is found by the first NOTIFY, which always looks.

#![forbid(unsafe_code)]

use crate::command::{self, Command, CommandError, CommandQueue};
use crate::gerror::Errors;
use crate::page_request::PageRequest;
use crate::queue::{DeviceMemory, Log2Size};
use crate::record::{Entry, Record};
use crate::registers::{
    BASE_ADDRESS, BASE_ALLOCATE, CR1_WRITE_BACK_INNER_SHAREABLE, Clock, Cr0, Cr2, IDR0_COHACC,
    IDR0_HYP, IDR0_MSI, IDR0_PRI, IDR0_ST_LEVEL_SHIFT, IDR1_CMDQS_SHIFT, IDR1_EVENTQS_SHIFT,
    IDR1_PRESET, IDR1_PRIQS_SHIFT, IDR1_SIDSIZE_MASK, IrqCtrl, REALM_IDR1_RME_DA_IMPL, Register32,
    Register64, Registers, TimedOut, wait,
};
use crate::smmu::{Delivery, Interface, Psmmu, State};
use crate::staging::{EventQueue, PriQueue};
use crate::stream_table;

/// What a PSMMU runs on: memory that is its own until it is at rest again.
///
/// Each part is zeroed, or for the stream table filled, by the giver; its size decides the size of the
/// queue or table, within what the device allows; its address must be a multiple of that size.
#[derive(Clone, Copy, Debug)]
pub struct Memory<M> {
    /// Level-1 stream table, 8 bytes for each 64 streams.
    pub stream_table: M,
    /// Command queue, 16 bytes an entry, at least [`command::MIN_ENTRIES`].
    pub command_queue: M,
    /// Event queue, 32 bytes an entry.
    pub event_queue: M,
    /// PRI queue, 16 bytes an entry, if page requests are to be taken.
    pub pri_queue: Option<M>,
    /// One word of Realm memory by which a device that has messages says that commands are done, so
    /// that a wait reads memory and not registers. Without it, or without messages, CONS is polled.
    pub completion: Option<M>,
}

/// Why a PSMMU was not activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateError {
    /// It is in this state, and not inactive.
    State(State),
    /// There is no memory, or it does not fit.
    Memory,
    /// Page requests are wanted, and the device has none.
    PageRequests,
    /// The device lacks something: a Realm side, coherent access, two-level stream tables, or bases
    /// that can be chosen.
    Unsupported,
    /// The device refused a command of the bring-up.
    Refused,
    /// The device does not answer. It has failed and stays so.
    TimedOut,
}

impl From<TimedOut> for ActivateError {
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}

impl From<CommandError> for ActivateError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::TimedOut => Self::TimedOut,
            CommandError::Refused => Self::Refused,
            CommandError::TooMany | CommandError::NotActive => Self::Memory,
        }
    }
}

/// What the device allows.
struct Limits {
    has_msi: bool,
    has_el2: bool,
    has_pri: bool,
    commands: u32,
    events: u32,
    requests: u32,
    sid_bits: u32,
}

/// Sizes that fit both device and memory.
struct Sizes {
    commands: Log2Size,
    events: Log2Size,
    requests: Option<Log2Size>,
    sid_bits: u32,
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Brings the PSMMU up on what `memory` gives. It is asked only once nobody else can bring the same
    /// PSMMU up, so it may prepare the memory that it gives.
    ///
    /// # Errors
    /// [`ActivateError`]. The PSMMU is at rest again, or has failed if it did not answer; only when it
    /// is at rest may the memory be used for something else.
    pub fn activate(
        &self,
        memory: impl FnOnce() -> Option<Memory<M>>,
        clock: &impl Clock,
    ) -> Result<(), ActivateError> {
        self.claim(State::Inactive, State::Activating).map_err(ActivateError::State)?;
        let Some(memory) = memory() else {
            self.set_state(State::Inactive);
            return Err(ActivateError::Memory);
        };
        let result = match self.bring_up(memory, clock) {
            Err(error) if error != ActivateError::TimedOut => {
                self.quiesce(clock).map_err(ActivateError::from).and(Err(error))
            }
            result => result,
        };
        if result.is_err() {
            *self.commands.lock() = None;
            *self.events.lock() = None;
            *self.requests.lock() = None;
            *self.errors.lock() = Errors::new();
        }
        match result {
            Ok(()) => self.set_state(State::Active),
            Err(ActivateError::TimedOut) => self.set_failed(),
            Err(_) => self.set_state(State::Inactive),
        }
        result
    }

    fn bring_up(&self, memory: Memory<M>, clock: &impl Clock) -> Result<(), ActivateError> {
        let limits = self.limits()?;
        if memory.pri_queue.is_some() && !limits.has_pri {
            return Err(ActivateError::PageRequests);
        }
        let sizes = Sizes::choose(&memory, &limits).ok_or(ActivateError::Memory)?;
        self.quiesce(clock)?;

        self.errors.lock().reset(&self.registers);
        self.program(&memory, &sizes, &limits);
        let completion = memory.completion.filter(|_| limits.has_msi);
        let commands = CommandQueue::new(memory.command_queue, sizes.commands, completion);
        *self.commands.lock() = Some(commands);
        *self.events.lock() = Some(EventQueue::new(memory.event_queue, sizes.events));
        let requests = memory.pri_queue.zip(sizes.requests);
        *self.requests.lock() = requests.map(|(memory, size)| PriQueue::new(memory, size));

        // The device starts to read what the giver of the memory wrote.
        self.registers.write_barrier();
        let mut enables = Cr0::CMDQEN;
        self.set_cr0(enables, clock)?;
        enables |= Cr0::EVENTQEN;
        self.set_cr0(enables, clock)?;
        let invalidate = [Command::CFGI_ALL, Command::TLBI_NSNH_ALL, Command::TLBI_EL2_ALL];
        let count = if limits.has_el2 { 3 } else { 2 };
        self.run(clock, &invalidate[..count])?;

        let mut interrupts = IrqCtrl::GERROR | IrqCtrl::EVENTQ;
        if sizes.requests.is_some() {
            enables |= Cr0::PRIQEN;
            self.set_cr0(enables, clock)?;
            interrupts |= IrqCtrl::PRIQ;
        }
        if self.config.delivery != Delivery::Disabled {
            self.set_irq_ctrl(interrupts, clock)?;
        }
        self.set_cr0(enables | Cr0::SMMUEN, clock).map_err(Into::into)
    }

    /// Reads what the device allows, and refuses one that cannot serve.
    fn limits(&self) -> Result<Limits, ActivateError> {
        let read = |register| self.registers.read32(register);
        let (idr0, idr1) = (read(Register32::NS_IDR0), read(Register32::NS_IDR1));
        let has_realm_side = match self.config.interface {
            Interface::Realm => read(Register32::IDR1) & REALM_IDR1_RME_DA_IMPL != 0,
            Interface::StandIn => true,
        };
        let is_coherent = idr0 & IDR0_COHACC != 0;
        let has_two_levels = idr0 >> IDR0_ST_LEVEL_SHIFT & 3 == 1;
        let has_preset_bases = idr1 & IDR1_PRESET != 0;
        if !has_realm_side || !is_coherent || !has_two_levels || has_preset_bases {
            return Err(ActivateError::Unsupported);
        }
        let realm_idr0 = read(Register32::IDR0);
        Ok(Limits {
            has_msi: realm_idr0 & IDR0_MSI != 0,
            has_pri: realm_idr0 & IDR0_PRI != 0,
            has_el2: idr0 & IDR0_HYP != 0,
            commands: idr1 >> IDR1_CMDQS_SHIFT & 0x1F,
            events: idr1 >> IDR1_EVENTQS_SHIFT & 0x1F,
            requests: idr1 >> IDR1_PRIQS_SHIFT & 0x1F,
            sid_bits: idr1 & IDR1_SIDSIZE_MASK,
        })
    }

    /// Stops translation, interrupts and queues, in this order, each acknowledged.
    fn quiesce(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        let queues = Cr0::CMDQEN | Cr0::EVENTQEN | Cr0::PRIQEN;
        let on = Cr0::from_bits_truncate(self.registers.read32(Register32::CR0));
        self.set_cr0(on & queues, clock)?;
        self.set_irq_ctrl(IrqCtrl::empty(), clock)?;
        self.set_cr0(Cr0::empty(), clock)
    }

    /// Writes everything that must be in place before the enables.
    fn program(&self, memory: &Memory<M>, sizes: &Sizes, limits: &Limits) {
        let registers = &self.registers;
        let base = |memory: &M, log2: u32| {
            BASE_ALLOCATE | memory.address() & BASE_ADDRESS | u64::from(log2)
        };
        registers.write32(Register32::CR1, CR1_WRITE_BACK_INNER_SHAREABLE);
        registers.write32(Register32::CR2, (Cr2::RECINVSID | Cr2::PTM).bits());

        registers.write64(Register64::STRTAB_BASE, base(&memory.stream_table, 0));
        let cfg = stream_table::base_cfg(sizes.sid_bits);
        registers.write32(Register32::STRTAB_BASE_CFG, cfg);

        let commands = base(&memory.command_queue, sizes.commands.log2().into());
        registers.write64(Register64::CMDQ_BASE, commands);
        registers.write32(Register32::CMDQ_PROD, 0);
        registers.write32(Register32::CMDQ_CONS, 0);

        let events = base(&memory.event_queue, sizes.events.log2().into());
        registers.write64(Register64::EVENTQ_BASE, events);
        registers.write32(Register32::EVENTQ_PROD, 0);
        registers.write32(Register32::EVENTQ_CONS, 0);

        if let (Some(memory), Some(size)) = (&memory.pri_queue, sizes.requests) {
            registers.write64(Register64::PRIQ_BASE, base(memory, size.log2().into()));
            registers.write32(Register32::PRIQ_PROD, 0);
            registers.write32(Register32::PRIQ_CONS, 0);
        }

        // Without messages these registers do not exist; with them they hold anything after reset.
        if limits.has_msi {
            registers.write64(Register64::GERROR_IRQ_CFG0, 0);
            registers.write64(Register64::EVENTQ_IRQ_CFG0, 0);
            if limits.has_pri {
                registers.write64(Register64::PRIQ_IRQ_CFG0, 0);
                // It also says when the wire is pulsed.
                registers.write32(Register32::PRIQ_IRQ_CFG2, 0);
            }
        }
    }

    fn set_cr0(&self, enables: Cr0, clock: &impl Clock) -> Result<(), TimedOut> {
        self.registers.write32(Register32::CR0, enables.bits());
        self.acknowledged(Register32::CR0ACK, Cr0::all().bits(), enables.bits(), clock)
    }

    fn set_irq_ctrl(&self, enables: IrqCtrl, clock: &impl Clock) -> Result<(), TimedOut> {
        self.registers.write32(Register32::IRQ_CTRL, enables.bits());
        self.acknowledged(Register32::IRQ_CTRLACK, IrqCtrl::all().bits(), enables.bits(), clock)
    }

    /// Waits until the bits `mask` of `register` are `bits`. Bits beyond are not ours and may never be
    /// acknowledged.
    fn acknowledged(
        &self,
        register: Register32,
        mask: u32,
        bits: u32,
        clock: &impl Clock,
    ) -> Result<(), TimedOut> {
        wait(clock, || (self.registers.read32(register) & mask == bits).then_some(()))
    }
}

impl Sizes {
    fn choose<M: DeviceMemory>(memory: &Memory<M>, limits: &Limits) -> Option<Self> {
        let commands = Log2Size::choose(&memory.command_queue, command::WORDS, limits.commands)?;
        let events = Log2Size::choose(&memory.event_queue, Record::WORDS, limits.events)?;
        let requests = match &memory.pri_queue {
            Some(queue) => Some(Log2Size::choose(queue, PageRequest::WORDS, limits.requests)?),
            None => None,
        };
        // One word of the level-1 table for each 64 streams, so its size is found like a queue's.
        let tables = Log2Size::choose(
            &memory.stream_table,
            1,
            limits.sid_bits.saturating_sub(stream_table::SPLIT),
        )?;
        let sid_bits = limits.sid_bits.min(u32::from(tables.log2()) + stream_table::SPLIT);
        (commands.entries() >= command::MIN_ENTRIES).then_some(Self {
            commands,
            events,
            requests,
            sid_bits,
        })
    }
}
