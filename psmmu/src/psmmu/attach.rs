// SPDX-License-Identifier: MIT OR Apache-2.0

//! Adopting the queues of a PSMMU that runs already, for an RMM that brings its SMMUs up by itself and only wants
//! events reported: [`Psmmu::attach`] adopts them at their current pointers, [`Psmmu::detach`] returns them.
//!
//! From one to the other the event queue, the PRI queue if given, GERRORN, IRQ_CTRL and the IRQ_CFG
//! registers are this module's, and CR0, stream tables and translation the embedder's. The command queue
//! is either's: given, it is repaired here and used by [`Psmmu::run_commands`]; kept, the embedder
//! repairs it and says so by [`Psmmu::command_repaired`]. Where the embedder acknowledges the error by writing
//! GERRORN itself, its bit is read back before errors are reported: what it acknowledged is reported as well.

#![forbid(unsafe_code)]

use super::{ActivateParams, MsiConfig, Psmmu, State, StateError};
use crate::arch::command::Command;
use crate::arch::event_record::Record;
use crate::arch::page_request::PageRequest;
use crate::arch::queue_pointer::Log2Size;
use crate::arch::registers::{Cr0, Gerror, Idr0, IrqCtrl, QueueBase, ReadOnly, Register32};
use crate::logic::{CMDQ_MIN_ENTRIES, DeviceError, TimedOut, queue_size, reaches, read_limits};
use crate::platform::{Clock, DeviceMemory, Registers};

/// The queues of a PSMMU that runs, each exactly as large as its base register says.
#[derive(Clone, Copy, Debug)]
pub struct LiveQueues<M> {
    /// Event queue.
    pub event_queue: M,
    /// PRI queue, if the module is to serve it; it then needs the command queue for its answers.
    pub pri_queue: Option<M>,
    /// Command queue, if the module is to have it.
    pub command_queue: Option<M>,
}

/// Why a PSMMU was not attached or detached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// It is not inactive; or, to be detached, neither active nor failed, or was activated and is to be
    /// deactivated.
    #[error(transparent)]
    State(#[from] StateError),
    /// A queue that was given is not enabled.
    #[error("a queue is not enabled")]
    NotEnabled,
    /// A queue that was given is not where or not as large as the device has it, or lies where the device
    /// cannot address it.
    #[error("a queue is not where or not as large as the device has it")]
    Memory,
    /// A PRI queue was given without the command queue, or to a device without page requests.
    #[error("a PRI queue needs a device with page requests, and the command queue")]
    PageRequests,
    /// MSIs are wanted, and device or platform have none, or one of them is bad.
    #[error("the device cannot send these MSIs")]
    Msi,
    /// The device does not acknowledge that its interrupts are off or on; or another CPU waits for it.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl From<TimedOut> for AttachError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn from(_: TimedOut) -> Self {
        Self::Device(DeviceError::TimedOut)
    }
}

/// Why the embedder's commands did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The PSMMU is not active.
    #[error(transparent)]
    State(#[from] StateError),
    /// There are [`CMDQ_MIN_ENTRIES`] of them or more.
    #[error("there are more commands than the queue has places")]
    TooMany,
    /// The module has no command queue, or another CPU waits for the device, and none of them was issued; the
    /// device rejected one of them, and the others have run; or it does not answer, and the PSMMU has failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A queue's two halves of its base register.
type Base = [Register32<ReadOnly>; 2];

const EVENTQ_BASE: Base = [Register32::EVENTQ_BASE_LOW, Register32::EVENTQ_BASE_HIGH];
const PRIQ_BASE: Base = [Register32::PRIQ_BASE_LOW, Register32::PRIQ_BASE_HIGH];
const CMDQ_BASE: Base = [Register32::CMDQ_BASE_LOW, Register32::CMDQ_BASE_HIGH];

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Adopts the queues of a PSMMU that runs, at their current pointers, programs its MSIs and enables its
    /// interrupts.
    ///
    /// Records and page requests that wait, an overflow that is announced and errors that are active
    /// are reported like those that follow. Nothing interrupts for them: each source is to be asked about
    /// once after this, as after an activation.
    ///
    /// # Errors
    /// [`AttachError`]. Nothing has changed, but that the interrupts may be off; or the PSMMU has failed,
    /// if its interrupts did not come on, and is to be detached.
    ///
    /// # Waits
    /// For three acknowledgements: three times [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT) at most.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn attach(
        &self,
        running: LiveQueues<M>,
        msis: Option<MsiConfig>,
        clock: &impl Clock,
    ) -> Result<(), AttachError> {
        self.claim(State::Inactive, State::Activating)?;
        // To the end: what claims the active PSMMU meanwhile waits until its interrupts are on.
        let _issue = self.cmdq_lock.lock();
        let wanted = ActivateParams { page_requests: running.pri_queue.is_some(), msis };
        if let Err(error) = self.adopt_queues(running, &wanted, clock) {
            self.set_state(State::Inactive);
            return Err(error);
        }
        // Whom the first interrupt brings here must find the PSMMU active.
        self.set_state(State::Active);
        if self.interrupts(&wanted) {
            let mut interrupts = IrqCtrl::GERROR | IrqCtrl::EVENTQ;
            interrupts.set(IrqCtrl::PRIQ, wanted.page_requests);
            if let Err(timed_out) = self.set_irq_ctrl(interrupts, clock) {
                self.set_failed();
                return Err(timed_out.into());
            }
        }
        self.poll_unsolicited();
        Ok(())
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn adopt_queues(
        &self,
        running: LiveQueues<M>,
        wanted: &ActivateParams,
        clock: &impl Clock,
    ) -> Result<(), AttachError> {
        let registers = &self.registers;
        let idr0 = Idr0::new(registers.read32(Register32::IDR0));
        let (has_msi, has_pri) = (idr0.has_msi(), idr0.has_pri());
        let LiveQueues { event_queue, pri_queue, command_queue } = running;

        if wanted.page_requests && !(has_pri && command_queue.is_some()) {
            return Err(AttachError::PageRequests);
        }
        let limits = read_limits(registers);
        if !self.can_send(wanted, has_msi, &limits) {
            return Err(AttachError::Msi);
        }
        let mut needed = Cr0::EVENTQEN;
        needed.set(Cr0::PRIQEN, pri_queue.is_some());
        needed.set(Cr0::CMDQEN, command_queue.is_some());
        let enabled = Cr0::from_bits_truncate(registers.read32(Register32::CR0ACK));
        if !enabled.contains(needed) {
            return Err(AttachError::NotEnabled);
        }
        let size = |queue: &M, words, base| {
            if reaches(&limits, queue) {
                self.running_size(queue, words, base)
            } else {
                Err(AttachError::Memory)
            }
        };
        let events = size(&event_queue, Record::WORDS, EVENTQ_BASE)?;
        let requests = match &pri_queue {
            Some(queue) => Some(size(queue, PageRequest::WORDS, PRIQ_BASE)?),
            None => None,
        };
        let commands = match &command_queue {
            Some(queue) => Some(size(queue, Command::WORDS, CMDQ_BASE)?),
            None => None,
        };
        if commands.is_some_and(|size| size.entries() < CMDQ_MIN_ENTRIES) {
            return Err(AttachError::Memory);
        }

        self.stop_interrupts(clock)?;
        self.program_msis(has_msi, has_pri, wanted);
        // Under this lock detach and deactivation find out whose the PSMMU is.
        let _tables = self.tables.lock();
        // Of a command queue that the embedder keeps the errors are its to repair, and to acknowledge.
        let foreign = if commands.is_some() { Gerror::empty() } else { Gerror::CMDQ_ERR };
        self.errors.lock().resume(registers, foreign);
        if let Some((memory, size)) = command_queue.zip(commands) {
            let prod = registers.read32(Register32::CMDQ_PROD);
            let cons = registers.read32(Register32::CMDQ_CONS);
            self.commands.lock().start(memory, size, prod, cons);
        }
        let cons = registers.read32(Register32::EVENTQ_CONS);
        self.events.lock().start(event_queue, events, cons);
        if let Some((memory, size)) = pri_queue.zip(requests) {
            let cons = registers.read32(Register32::PRIQ_CONS);
            self.requests.lock().start(memory, size, cons);
        }
        Ok(())
    }

    /// Returns the size of the queue that a base register says, which must be that of `queue`, and at
    /// its address.
    #[cfg_attr(core_from_source, optimize(size))]
    fn running_size(
        &self,
        queue: &M,
        entry_words: usize,
        [low, high]: Base,
    ) -> Result<Log2Size, AttachError> {
        let read = |half| self.registers.read32(half);
        let base = QueueBase::from_halves(read(low), read(high));
        let size =
            queue_size(queue, entry_words, base.log2_size().into()).ok_or(AttachError::Memory)?;
        let is_that = size.log2() == base.log2_size()
            && queue.words() / entry_words == size.entries() as usize
            && queue.address() == base.address();
        if is_that { Ok(size) } else { Err(AttachError::Memory) }
    }

    /// Turns the interrupts off and lets the queues go as they stand. The device runs on: what is
    /// recorded from now on waits in its queues. Events that were staged and are not consumed are dropped
    /// and counted; page requests among them are denied.
    ///
    /// # Errors
    /// [`AttachError`]. The PSMMU is as before, or has failed; it may be tried again.
    ///
    /// # Waits
    /// For two acknowledgements, and for room for answers to page requests: three times
    /// [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT) at most.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn detach(&self, clock: &impl Clock) -> Result<(), AttachError> {
        self.can_end()?;
        let _issue = self.issue_lock()?;
        let was_active = self.claim_detachment()?;
        if self.stop_interrupts(clock).is_err() {
            self.fail_claimed();
            return Err(TimedOut.into());
        }
        if was_active {
            self.deny_staged(clock);
        }
        self.drop_answers();
        self.commands.lock().stop();
        // Counted and stopped under one lock: a NOTIFY that began earlier may stage up to this moment.
        {
            let mut events = self.events.lock();
            self.counters.events.dropped(events.staged_len());
            events.stop();
        }
        {
            let mut requests = self.requests.lock();
            if requests.as_ref().is_some() {
                self.counters.page_requests.dropped(requests.staged_len());
            }
            requests.stop();
        }
        self.errors.lock().clear();
        self.set_state(State::Inactive);
        Ok(())
    }

    /// Claims the PSMMU if it is attached, and returns whether it was active. An activation that is under way cannot become active
    /// meanwhile: its tables come under the same lock.
    #[cfg_attr(core_from_source, optimize(size))]
    fn claim_detachment(&self) -> Result<bool, AttachError> {
        let tables = self.tables.lock();
        if !self.is_attached(&tables) {
            self.serving_state()?;
            return Err(StateError::NotAttached.into());
        }
        let was = self.claim_end()?;
        Ok(was == State::Active)
    }

    /// Acknowledges the command error that is active, and says whether one is: called by an embedder
    /// that has kept the command queue, once it has put something harmless in the place of the command.
    /// The device goes on with the queue; the host is notified of the error if it has not been yet.
    ///
    /// With a command queue of the module's own this does nothing.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn command_repaired(&self) -> bool {
        self.serving_state().is_ok()
            && !self.commands.lock().is_there()
            && self.errors.lock().acknowledge_repaired(&self.registers, &self.counters)
    }

    /// Runs the embedder's own commands, fewer than [`CMDQ_MIN_ENTRIES`], and waits
    /// until the device is through with them.
    ///
    /// # Errors
    /// [`CommandError`]. After a timeout the PSMMU has failed.
    ///
    /// # Waits
    /// For room and for the end: twice [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT) at most.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn run_commands(
        &self,
        clock: &impl Clock,
        commands: &[Command],
    ) -> Result<(), CommandError> {
        let _issue = self.issue_lock()?;
        if commands.len() >= CMDQ_MIN_ENTRIES as usize {
            return Err(CommandError::TooMany);
        }
        match self.state() {
            State::Active => Ok(self.run_locked(clock, commands)?),
            state => Err(StateError::Wrong(state).into()),
        }
    }
}
