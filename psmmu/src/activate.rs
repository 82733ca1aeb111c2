// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bring-up, in two steps, as memory is found in between: [`Psmmu::activate_begin`] claims the PSMMU
//! and says what it needs, [`Psmmu::activate`] takes that and starts it: disable, program, enable,
//! acknowledge, interrupts on, then translation.
//!
//! Interrupts are on before translation is, so that nothing is recorded while nobody would be reported.
//! What is recorded before is found by the first NOTIFY, which always looks.

#![forbid(unsafe_code)]

use psmmu_abi::{GRANULE_SIZE, MsiMessage};

use crate::command::{self, Command, CommandError};
use crate::limits::Limits;
use crate::page_request::PageRequest;
use crate::queue::{DeviceMemory, Log2Size};
use crate::record::{Entry, Record};
use crate::registers::{
    CR1_WRITE_BACK_INNER_SHAREABLE, Clock, Cr0, Cr2, IRQ_CFG2_DEVICE, Idr0, Idr1, Idr5, IrqCfg0,
    IrqCtrl, QueueBase, ReadOnly, ReadWrite, RealmIdr1, Register32, Register64, Registers,
    StrtabBase, TimedOut, wait,
};
use crate::smmu::{Delivery, Interface, Psmmu, Sizes, State};
use crate::stream_table::{self, StreamTables};

/// Where the interrupts of the Realm side go as MSIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiConfig {
    /// Global errors.
    pub gerror: MsiMessage,
    /// Event queue.
    pub eventq: MsiMessage,
    /// PRI queue. Not looked at without page requests.
    pub priq: MsiMessage,
}

/// What a PSMMU is to do once it is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivateParams {
    /// Take page requests.
    pub page_requests: bool,
    /// Interrupt by MSIs.
    pub msis: Option<MsiConfig>,
}

/// What a PSMMU runs on: memory that is its own until it is at rest again.
///
/// Each part is zeroed by the giver; its size decides the size of the queue or table, within what
/// device and platform allow; its address must be a multiple of that size, and all of it must lie where the
/// device can address it ([`Limits`]).
#[derive(Clone, Copy, Debug)]
pub struct Memory<M> {
    /// Level-1 stream table, 8 bytes for each 64 streams; its address is a multiple of 64, too.
    pub stream_table: M,
    /// Command queue, 16 bytes an entry, at least [`command::MIN_ENTRIES`].
    pub command_queue: M,
    /// Event queue, 32 bytes an entry.
    pub event_queue: M,
    /// PRI queue, 16 bytes an entry, if page requests are to be taken.
    pub pri_queue: Option<M>,
    /// One word of Realm memory that a device with MSIs writes when commands are done, so that a wait reads
    /// memory and not registers. Without it, without MSIs, or where the device cannot address it, CONS is
    /// polled. The same word may be given to each activation of a PSMMU, and to no other PSMMU.
    ///
    /// A deactivation returns it once no MSI can be under way to it. `None` where one was given means that
    /// this is not known: the PSMMU had failed before the device was through with its commands. The word
    /// then stays the device's, until that is reset.
    pub completion: Option<M>,
}

/// The memory that an activation asks for, each part as a number of granules: a power of two, at most
/// 4096, in one piece that is aligned to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRequirements {
    /// Level-1 stream table.
    pub stream_table: u16,
    /// Command queue.
    pub command_queue: u16,
    /// Event queue.
    pub event_queue: u16,
    /// PRI queue, if page requests are wanted.
    pub pri_queue: Option<u16>,
}

/// Why a PSMMU was not activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateError {
    /// It is in this state, and not inactive.
    State(State),
    /// The memory does not fit: a part is missing, too small or not aligned, or lies where the device
    /// cannot address it.
    Memory,
    /// Page requests are wanted, and the device has none.
    PageRequests,
    /// MSIs are wanted, and device or platform have none, or one of them is no 32-bit write to an
    /// aligned address of the device's address space.
    Msi,
    /// The device lacks something: a Realm side, coherent access, stage 2 of translation with
    /// little-endian AArch64 tables of 4 KiB granules, two-level stream tables, or bases that can be
    /// chosen.
    Unsupported,
    /// The device refused a command of the bring-up.
    Rejected,
    /// The device does not answer. It has failed and stays so.
    TimedOut,
}

/// A PSMMU that was not activated, and the memory for it: gone if the device may still access it, and
/// then [`Psmmu::deactivate`] gives it back once the device answers.
#[derive(Debug)]
pub struct NotActivated<M> {
    /// Why.
    pub error: ActivateError,
    /// The memory.
    pub memory: Option<Memory<M>>,
}

impl From<TimedOut> for ActivateError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}

impl From<CommandError> for ActivateError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::TimedOut => Self::TimedOut,
            CommandError::Rejected => Self::Rejected,
            CommandError::TooMany | CommandError::NotActive | CommandError::Busy => Self::Memory,
        }
    }
}

/// What the device has, and how much of it is used at most.
#[derive(Debug)]
struct Device {
    has_msi: bool,
    has_el2: bool,
    has_pri: bool,
    has_btm: bool,
    limits: Limits,
    sizes: Sizes,
}

/// The claim to a PSMMU that is being activated. Whoever has it ends it by [`Psmmu::activate`] or
/// [`Psmmu::activate_cancel`].
#[derive(Debug)]
#[must_use = "the PSMMU is in nobody's hands otherwise"]
pub struct Activation {
    wanted: ActivateParams,
    device: Device,
}

impl Activation {
    /// Returns what memory is needed.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn needs(&self) -> MemoryRequirements {
        let Sizes { streams, commands, events, requests } = self.device.sizes;
        let granules = |log2: u8, entry_words: usize| {
            let bytes = (entry_words * 8).wrapping_shl(log2.into());
            (bytes / GRANULE_SIZE).max(1) as u16
        };
        let tables = streams.saturating_sub(stream_table::SPLIT as u8);
        MemoryRequirements {
            stream_table: granules(tables, 1),
            command_queue: granules(commands, command::WORDS),
            event_queue: granules(events, Record::WORDS),
            pri_queue: self.wanted.page_requests.then(|| granules(requests, PageRequest::WORDS)),
        }
    }
}

/// Sizes that fit both device and memory.
struct QueueSizes {
    commands: Log2Size,
    events: Log2Size,
    requests: Option<Log2Size>,
    sid_bits: u32,
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Claims the PSMMU for activation and says what that needs. From then on nobody else can activate
    /// it, and it serves no events.
    ///
    /// # Errors
    /// [`ActivateError`]; the PSMMU is as before. The device was only read.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn activate_begin(&self, wanted: ActivateParams) -> Result<Activation, ActivateError> {
        self.claim(State::Inactive, State::Activating).map_err(ActivateError::State)?;
        let device = self.device().and_then(|device| {
            self.check(&wanted, &device)?;
            Ok(device)
        });
        if device.is_err() {
            self.set_state(State::Inactive);
        }
        Ok(Activation { wanted, device: device? })
    }

    /// Gives the claim up.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn activate_cancel(&self, _: Activation) {
        self.set_state(State::Inactive);
    }

    /// Brings the PSMMU up on what `memory` gives.
    ///
    /// # Errors
    /// [`NotActivated`], with the memory unless the device may still access it. The PSMMU is at rest
    /// again, or has failed if it did not answer.
    ///
    /// # Waits
    /// For ten acknowledgements, and for room and the end of the commands: twelve times
    /// [`DEVICE_TIMEOUT`](crate::registers::DEVICE_TIMEOUT) at most; sixteen times where the device refuses a
    /// command and is turned off again.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn activate(
        &self,
        activation: Activation,
        memory: Memory<M>,
        clock: &impl Clock,
    ) -> Result<(), NotActivated<M>> {
        let Some(sizes) = QueueSizes::choose(&memory, &activation) else {
            self.activate_cancel(activation);
            return Err(NotActivated { error: ActivateError::Memory, memory: Some(memory) });
        };
        // No holder waits for the device of a PSMMU that is claimed here.
        let _issue = self.cmdq_lock.lock();
        // Before the device is at rest it must not even see the addresses.
        if self.quiesce(clock).is_err() {
            self.fail_claimed();
            let memory = Some(memory);
            return Err(NotActivated { error: ActivateError::TimedOut, memory });
        }
        let Err(error) = self.bring_up(&activation, memory, &sizes, clock) else {
            self.set_state(State::Active);
            self.poll_unsolicited();
            return Ok(());
        };
        let is_quiesced = error != ActivateError::TimedOut && {
            self.finish_commands(clock);
            self.quiesce(clock).is_ok()
        };
        if !is_quiesced {
            self.fail_claimed();
            return Err(NotActivated { error: ActivateError::TimedOut, memory: None });
        }
        let memory = self.take_memory();
        self.set_state(State::Inactive);
        Err(NotActivated { error, memory })
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn bring_up(
        &self,
        activation: &Activation,
        memory: Memory<M>,
        sizes: &QueueSizes,
        clock: &impl Clock,
    ) -> Result<(), ActivateError> {
        let Activation { wanted, device } = activation;
        self.errors.lock().reset(&self.registers);
        self.program(&memory, sizes, device);
        self.program_msis(device.has_msi, device.has_pri, wanted);

        let Memory { stream_table, command_queue, event_queue, pri_queue, completion } = memory;
        let tables = StreamTables::new(stream_table, sizes.sid_bits, device.limits);
        let reaches_word = completion.as_ref().is_some_and(|word| device.limits.reach_memory(word));
        *self.tables.lock() = Some(tables);
        {
            let mut commands = self.commands.lock();
            commands.start(command_queue, sizes.commands, 0, 0);
            commands.set_completion(completion, device.has_msi && reaches_word);
        }
        self.events.lock().start(event_queue, sizes.events, 0);
        if let Some((memory, size)) = pri_queue.zip(sizes.requests) {
            self.requests.lock().start(memory, size, 0);
        }

        // The device starts to read what the giver of the memory wrote.
        self.registers.write_barrier();
        let mut enables = Cr0::CMDQEN;
        self.set_cr0(enables, clock)?;
        enables |= Cr0::EVENTQEN;
        self.set_cr0(enables, clock)?;
        let invalidate = [Command::CFGI_ALL, Command::TLBI_NSNH_ALL, Command::TLBI_EL2_ALL];
        let count = if device.has_el2 { 3 } else { 2 };
        self.run_locked(clock, &invalidate[..count])?;

        let mut interrupts = IrqCtrl::GERROR | IrqCtrl::EVENTQ;
        if sizes.requests.is_some() {
            enables |= Cr0::PRIQEN;
            self.set_cr0(enables, clock)?;
            interrupts |= IrqCtrl::PRIQ;
        }
        if self.interrupts(wanted) {
            self.set_irq_ctrl(interrupts, clock)?;
        }
        self.set_cr0(enables | Cr0::SMMUEN, clock).map_err(Into::into)
    }

    /// Returns whether the device is to interrupt.
    pub(crate) const fn interrupts(&self, wanted: &ActivateParams) -> bool {
        match self.config.delivery {
            Delivery::Disabled => false,
            Delivery::Wired { .. } => true,
            Delivery::Msi => wanted.msis.is_some(),
        }
    }

    /// Reads what the device has, and refuses one that cannot serve.
    #[cfg_attr(core_from_source, optimize(size))]
    fn device(&self) -> Result<Device, ActivateError> {
        let read = |register| self.registers.read32(register);
        let idr0 = Idr0::new(read(Register32::NS_IDR0));
        let idr1 = Idr1::new(read(Register32::NS_IDR1));
        let has_realm_side = match self.config.interface {
            Interface::Realm => RealmIdr1::new(read(Register32::IDR1)).has_realm_side(),
            Interface::NonSecureOnly => true,
        };
        let idr5 = Idr5::new(read(Register32::NS_IDR5));
        let translates = idr0.has_stage_2()
            && idr0.has_aarch64_tables()
            && !idr0.is_big_endian_only()
            && idr5.has_4k_granules();
        let realm_idr0 = Idr0::new(read(Register32::IDR0));
        let least = |of_device: u32, own: u8, max: u8| of_device.min(own.min(max).into()) as u8;
        let (own, max) = (self.config.sizes, Sizes::MAX);
        let sizes = Sizes {
            streams: least(idr1.sid_bits(), own.streams, max.streams),
            commands: least(idr1.cmdqs(), own.commands, max.commands),
            events: least(idr1.eventqs(), own.events, max.events),
            requests: least(idr1.priqs(), own.requests, max.requests),
        };
        let has_room = 1 << sizes.commands >= command::MIN_ENTRIES;
        let has_tables = idr0.is_coherent() && idr0.has_two_level_tables();
        let is_usable = has_realm_side && translates && has_tables;
        if !is_usable || idr1.has_preset_bases() || !has_room {
            return Err(ActivateError::Unsupported);
        }
        Ok(Device {
            has_msi: realm_idr0.has_msi(),
            has_pri: realm_idr0.has_pri(),
            has_el2: idr0.has_el2(),
            has_btm: idr0.has_btm(),
            limits: Limits::new(idr0, idr5),
            sizes,
        })
    }

    /// Checks that the device can do what is wanted.
    #[cfg_attr(core_from_source, optimize(size))]
    fn check(&self, wanted: &ActivateParams, device: &Device) -> Result<(), ActivateError> {
        if wanted.page_requests && !device.has_pri {
            return Err(ActivateError::PageRequests);
        }
        if self.can_send(wanted, device.has_msi, &device.limits) {
            Ok(())
        } else {
            Err(ActivateError::Msi)
        }
    }

    /// Returns whether the device can send the MSIs that are wanted, which may be none.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn can_send(&self, wanted: &ActivateParams, has_msi: bool, limits: &Limits) -> bool {
        let Some(msis) = &wanted.msis else {
            return true;
        };
        let is_good = |msi: &MsiMessage| {
            IrqCfg0::can_hold(msi.address)
                && limits.reach(msi.address, 4)
                && u32::try_from(msi.data).is_ok()
        };
        let all_good = is_good(&msis.gerror)
            && is_good(&msis.eventq)
            && (!wanted.page_requests || is_good(&msis.priq));
        has_msi && self.config.delivery == Delivery::Msi && all_good
    }

    /// Stops translation, interrupts and queues, in this order, each acknowledged.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn quiesce(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        self.stop_translation(clock)?;
        self.set_cr0(Cr0::empty(), clock)
    }

    /// Stops translation and interrupts, each acknowledged. The queues run on.
    ///
    /// What is changed must have been acknowledged before. Whoever has given the device up has not
    /// waited for that.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn stop_translation(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        let queues = Cr0::CMDQEN | Cr0::EVENTQEN | Cr0::PRIQEN;
        let on = Cr0::from_bits_truncate(self.registers.read32(Register32::CR0));
        self.acknowledged(Register32::CR0ACK, Cr0::all().bits(), on.bits(), clock)?;
        self.set_cr0(on & queues, clock)?;
        self.stop_interrupts(clock)
    }

    /// Stops interrupts, which is acknowledged, as must be what was changed before.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn stop_interrupts(&self, clock: &impl Clock) -> Result<(), TimedOut> {
        let (mask, on) = (IrqCtrl::all().bits(), self.registers.read32(Register32::IRQ_CTRL));
        self.acknowledged(Register32::IRQ_CTRLACK, mask, on & mask, clock)?;
        self.set_irq_ctrl(IrqCtrl::empty(), clock)
    }

    /// Takes back what the PSMMU ran on, and counts the events that are dropped with it. It must be
    /// quiet.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn take_memory(&self) -> Option<Memory<M>> {
        self.drop_answers();
        let commands = self.commands.lock().stop();
        let event_queue = self.stop_queue(&self.events, &self.counters.events);
        let pri_queue = self.stop_queue(&self.requests, &self.counters.page_requests);
        // Last, as queues without tables are those of an attachment.
        let tables = self.tables.lock().take();
        let (command_queue, completion) = commands?;
        Some(Memory {
            stream_table: tables?.into_memory(),
            command_queue,
            event_queue: event_queue?,
            pri_queue,
            completion,
        })
    }

    /// Writes everything that must be in place before the enables.
    #[cfg_attr(core_from_source, optimize(size))]
    fn program(&self, memory: &Memory<M>, sizes: &QueueSizes, device: &Device) {
        let registers = &self.registers;
        let base =
            |memory: &M, size: Log2Size| QueueBase::new(memory.address(), size.log2()).bits();
        registers.write32(Register32::CR1, CR1_WRITE_BACK_INNER_SHAREABLE);
        let mut cr2 = Cr2::RECINVSID;
        cr2.set(Cr2::PTM, device.has_btm);
        registers.write32(Register32::CR2, cr2.bits());

        let table = StrtabBase::new(memory.stream_table.address());
        registers.write64(Register64::STRTAB_BASE, table.bits());
        let cfg = stream_table::base_cfg(sizes.sid_bits);
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

    /// Says where interrupts go. Without MSIs these registers do not exist; with them they hold
    /// anything after reset.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn program_msis(&self, has_msi: bool, has_pri: bool, wanted: &ActivateParams) {
        if !has_msi {
            return;
        }
        let registers = &self.registers;
        let put = |[cfg1, cfg2]: [Register32<ReadWrite>; 2],
                   cfg0: Register64,
                   msi: Option<MsiMessage>| {
            let doorbell = match msi {
                Some(MsiMessage { address, data }) => {
                    registers.write32(cfg1, data as u32);
                    IrqCfg0::non_secure(address)
                }
                None => IrqCfg0::NONE,
            };
            registers.write64(cfg0, doorbell.bits());
            registers.write32(cfg2, IRQ_CFG2_DEVICE);
        };
        let msis = wanted.msis.as_ref();
        put(
            [Register32::GERROR_IRQ_CFG1, Register32::GERROR_IRQ_CFG2],
            Register64::GERROR_IRQ_CFG0,
            msis.map(|msis| msis.gerror),
        );
        put(
            [Register32::EVENTQ_IRQ_CFG1, Register32::EVENTQ_IRQ_CFG2],
            Register64::EVENTQ_IRQ_CFG0,
            msis.map(|msis| msis.eventq),
        );
        if has_pri {
            // Its CFG2 also says when the wire is pulsed.
            put(
                [Register32::PRIQ_IRQ_CFG1, Register32::PRIQ_IRQ_CFG2],
                Register64::PRIQ_IRQ_CFG0,
                msis.filter(|_| wanted.page_requests).map(|msis| msis.priq),
            );
        }
    }

    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn set_cr0(&self, enables: Cr0, clock: &impl Clock) -> Result<(), TimedOut> {
        self.registers.write32(Register32::CR0, enables.bits());
        self.acknowledged(Register32::CR0ACK, Cr0::all().bits(), enables.bits(), clock)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn set_irq_ctrl(
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

impl QueueSizes {
    #[cfg_attr(core_from_source, optimize(size))]
    fn choose<M: DeviceMemory>(memory: &Memory<M>, activation: &Activation) -> Option<Self> {
        let Activation { wanted, device: Device { sizes, limits, .. } } = activation;
        if wanted.page_requests != memory.pri_queue.is_some() {
            return None;
        }
        let Memory { stream_table, command_queue, event_queue, pri_queue, .. } = memory;
        let mut parts = [stream_table, command_queue, event_queue].into_iter().chain(pri_queue);
        let is_table_aligned = StrtabBase::can_hold(stream_table.address());
        if !is_table_aligned || !parts.all(|memory| limits.reach_memory(memory)) {
            return None;
        }
        let choose = |memory: &M, words, limit: u8| Log2Size::choose(memory, words, limit.into());
        let commands = choose(&memory.command_queue, command::WORDS, sizes.commands)?;
        let events = choose(&memory.event_queue, Record::WORDS, sizes.events)?;
        let requests = match &memory.pri_queue {
            Some(queue) => Some(choose(queue, PageRequest::WORDS, sizes.requests)?),
            None => None,
        };
        // One word of the level-1 table for each 64 streams, so its size is found like a queue's.
        let split = stream_table::SPLIT as u8;
        let tables = choose(&memory.stream_table, 1, sizes.streams.saturating_sub(split))?;
        let sid_bits = u32::from(sizes.streams.min(tables.log2() + split));
        (commands.entries() >= command::MIN_ENTRIES).then_some(Self {
            commands,
            events,
            requests,
            sid_bits,
        })
    }
}
