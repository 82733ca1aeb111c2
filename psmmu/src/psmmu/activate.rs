// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bring-up, in two steps, as memory is found in between: [`Psmmu::activate_begin`] claims the PSMMU
//! and says what it needs, [`Psmmu::activate`] takes that and starts it: disable, program, enable,
//! acknowledge, interrupts on, then translation.
//!
//! Interrupts are on before translation is, so that no event is recorded without its interrupt.
//! What is recorded before is found by the first NOTIFY, which always polls.

#![forbid(unsafe_code)]

use super::{ActivateParams, Psmmu, State, StateError};
use crate::arch::command::Command;
use crate::arch::registers::{Cr0, IrqCtrl};
use crate::logic::{
    Device, DeviceError, Memory, MemoryRequirements, QueueSizes, StreamTables, TimedOut, program,
    reaches,
};
use crate::platform::{Clock, Config, DeviceMemory, Registers};

/// Why a PSMMU was not activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActivateError {
    /// It is not inactive.
    #[error(transparent)]
    State(#[from] StateError),
    /// The memory does not fit: a part is missing, too small or not aligned, or lies where the device
    /// cannot address it.
    #[error("the memory is missing, too small, not aligned or out of the device's reach")]
    Memory,
    /// Page requests are wanted, and the device has none.
    #[error("the device has no page requests")]
    PageRequests,
    /// MSIs are wanted, and device or platform have none, or one of them is no 32-bit write to an
    /// aligned address of the device's address space.
    #[error("the device cannot send these MSIs")]
    Msi,
    /// The device lacks something: a Realm side, coherent access, stage 2 of translation with
    /// little-endian AArch64 tables of 4 KiB granules, two-level stream tables, or bases that can be
    /// chosen.
    #[error("the device lacks what Realm operation needs")]
    Unsupported,
    /// The device rejected a command of the bring-up, and is off; or does not answer, and has failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A PSMMU that was not activated, and the memory for it: gone if the device may still access it, and
/// then [`Psmmu::deactivate`] gives it back once the device answers.
#[derive(Debug, thiserror::Error)]
#[error("the PSMMU was not activated: {error}")]
pub struct NotActivated<M> {
    /// Why.
    pub error: ActivateError,
    /// The memory.
    pub memory: Option<Memory<M>>,
}

impl From<TimedOut> for ActivateError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn from(_: TimedOut) -> Self {
        Self::TIMED_OUT
    }
}

impl ActivateError {
    const TIMED_OUT: Self = Self::Device(DeviceError::TimedOut);
}

/// The claim to a PSMMU that is being activated. Its owner ends it by [`Psmmu::activate`] or
/// [`Psmmu::activate_cancel`].
#[derive(Debug)]
#[must_use = "dropping it leaves the PSMMU in Activating"]
pub struct Activation {
    wanted: ActivateParams,
    device: Device,
}

impl Activation {
    /// Returns what memory is needed.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn needs(&self) -> MemoryRequirements {
        MemoryRequirements::of(&self.device.sizes, self.wanted.page_requests)
    }
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Claims the PSMMU for activation and returns what that needs. Until the claim ends no other caller can
    /// activate it, and it serves no events.
    ///
    /// # Errors
    /// [`ActivateError`]; the PSMMU is as before. The device was only read.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn activate_begin(&self, wanted: ActivateParams) -> Result<Activation, ActivateError> {
        self.claim(State::Inactive, State::Activating)?;
        let Config { interface, sizes, .. } = self.config;
        let device = match Device::read(&self.registers, interface, sizes) {
            Some(device) => self.check(&wanted, &device).map(|()| device),
            None => Err(ActivateError::Unsupported),
        };
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
    /// [`NotActivated`], with the memory unless the device may still access it. The PSMMU is
    /// inactive again, or has failed if it did not answer.
    ///
    /// # Waits
    /// For ten acknowledgements, and for room and the end of the commands: twelve times
    /// [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT) at most; sixteen times where the device refuses a
    /// command and is turned off again.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn activate(
        &self,
        activation: Activation,
        memory: Memory<M>,
        clock: &impl Clock,
    ) -> Result<(), NotActivated<M>> {
        let Activation { wanted, device } = &activation;
        let (page_requests, Device { sizes, limits, .. }) = (wanted.page_requests, device);
        let Some(sizes) = QueueSizes::choose(&memory, page_requests, sizes, limits) else {
            self.activate_cancel(activation);
            return Err(NotActivated { error: ActivateError::Memory, memory: Some(memory) });
        };
        // No holder waits for the device of a PSMMU that is claimed here.
        let _issue = self.cmdq_lock.lock();
        // Before the device is quiesced it must not even see the addresses.
        if self.quiesce(clock).is_err() {
            self.fail_claimed();
            let memory = Some(memory);
            return Err(NotActivated { error: ActivateError::TIMED_OUT, memory });
        }
        let Err(error) = self.bring_up(&activation, memory, &sizes, clock) else {
            self.set_state(State::Active);
            self.poll_unsolicited();
            return Ok(());
        };
        let is_quiesced = error != ActivateError::TIMED_OUT && {
            self.finish_commands(clock);
            self.quiesce(clock).is_ok()
        };
        if !is_quiesced {
            self.fail_claimed();
            return Err(NotActivated { error: ActivateError::TIMED_OUT, memory: None });
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
        program(&self.registers, &memory, sizes, device.has_btm);
        self.program_msis(device.has_msi, device.has_pri, wanted);

        let Memory { stream_table, command_queue, event_queue, pri_queue, completion } = memory;
        let tables = StreamTables::new(stream_table, sizes.sid_bits, device.limits);
        let reaches_word = completion.as_ref().is_some_and(|word| reaches(&device.limits, word));
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
}
