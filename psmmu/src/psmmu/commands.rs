// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands are issued and waited for, and the command queue is repaired when it stands still.
//!
//! Commands that something depends on are issued with a SYNC behind them and waited for, by one CPU at a
//! time. The queue's lock is held for a few steps only and never while waiting, so no CPU that posts or
//! repairs waits for the device.

#![forbid(unsafe_code)]

use super::{Psmmu, State};
use crate::arch::command::Command;
use crate::arch::registers::Gerror;
use crate::logic::{CommandQueue, DeviceError, NotResponding, Repair, TraceEvent, wait};
use crate::platform::{Clock, DeviceMemory, Registers};

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Runs `commands`, fewer than [`CMDQ_MIN_ENTRIES`](crate::CMDQ_MIN_ENTRIES), and waits until the device is through with them, at most twice
    /// [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT): for room, and for the end. Called with the
    /// issue lock.
    ///
    /// # Errors
    /// [`DeviceError`]. After a timeout the PSMMU has failed.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn run_locked(
        &self,
        clock: &impl Clock,
        commands: &[Command],
    ) -> Result<(), DeviceError> {
        let issued = wait(clock, || self.issue(commands));
        let ended = match issued {
            Ok(Ok(())) => wait(clock, || self.commands_ended()),
            Ok(Err(error)) => return Err(error),
            Err(timed_out) => Err(timed_out),
        };
        if let Some(commands) = self.commands.lock().as_mut() {
            self.post_answers(commands);
        }
        ended.unwrap_or_else(|_| {
            self.give_up(Gerror::CMDQ_ERR);
            Err(DeviceError::TimedOut)
        })
    }

    /// Waits until the device is through with all of its commands, and with the MSIs of their SYNCs. A
    /// device that does not get through them may yet acknowledge that it is off, which is what counts for
    /// all memory but the completion word. Called with the lock of the command queue.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn finish_commands(&self, clock: &impl Clock) {
        if let Some(queue) = self.commands.lock().as_mut() {
            queue.stop_msis();
        }
        let _ = self.run_locked(clock, &[]);
    }

    /// Issues `commands` if there is room. Otherwise it repairs the queue if it stands still.
    #[cfg_attr(core_from_source, optimize(size))]
    fn issue(&self, commands: &[Command]) -> Option<Result<(), DeviceError>> {
        match self.commands.lock().as_mut() {
            None => return Some(Err(DeviceError::NoCommandQueue)),
            Some(queue) => {
                if queue.issue(&self.registers, commands).is_ok() {
                    return Some(Ok(()));
                }
            }
        }
        self.is_beyond_repair().then_some(Err(DeviceError::TimedOut))
    }

    /// Repairs the command queue if it stands still, and returns whether it can run no more.
    #[cfg_attr(core_from_source, optimize(size))]
    fn is_beyond_repair(&self) -> bool {
        self.repair_commands() == Some(Repair::Fatal) || self.state() == State::Failed
    }

    /// Returns how the commands that are waited for have ended, once they have, and repairs the queue if
    /// it stands still.
    #[cfg_attr(core_from_source, optimize(size))]
    fn commands_ended(&self) -> Option<Result<(), DeviceError>> {
        let poll_registers = match self.commands.lock().as_mut() {
            None => return Some(Err(DeviceError::NoCommandQueue)),
            Some(queue) => {
                if let Some(end) = queue.ended_by_msi(&self.registers) {
                    return Some(end);
                }
                queue.is_time_for_registers()
            }
        };
        if !poll_registers {
            return None;
        }
        if self.is_beyond_repair() {
            return Some(Err(DeviceError::TimedOut));
        }
        self.commands.lock().as_mut()?.ended(&self.registers)
    }

    /// Makes the command queue run again if it stands still because of an error, and latches the error
    /// to be reported. One register read if it does not. If that fails, so does the PSMMU. `None`
    /// without a command queue: the errors of a queue that the embedder owns are the embedder's to repair.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn repair_commands(&self) -> Option<Repair> {
        let mut commands = self.commands.lock();
        let commands = commands.as_mut()?;
        let repair = self.repair(commands);
        if repair == Repair::WokenUp {
            self.post_answers(commands);
        }
        Some(repair)
    }

    /// As [`repair_commands`](Self::repair_commands), of the queue `commands`, which is there.
    #[cfg_attr(core_from_source, optimize(size))]
    fn repair(&self, commands: &mut CommandQueue<M>) -> Repair {
        let mut errors = self.errors.lock();
        match errors.active(&self.registers, &self.counters) {
            Ok(active) if active.contains(Gerror::CMDQ_ERR) => {}
            Ok(_) => return Repair::Done,
            Err(NotResponding) => {
                drop(errors);
                self.give_up(Gerror::CMDQ_ERR);
                return Repair::Fatal;
            }
        }
        let (repair, cons) = commands.repair(&self.registers);
        if repair == Repair::WokenUp {
            // The device did as it was meant to.
            errors.acknowledge(&self.registers, Gerror::CMDQ_ERR);
            return repair;
        }
        if repair == Repair::Rejected {
            self.counters.pri_resp_refused.add(1);
        }
        self.counters.trace.push(TraceEvent::CommandRejected(cons));
        errors.acknowledge_at_once(&self.registers, Gerror::CMDQ_ERR, &self.counters);
        drop(errors);
        if repair == Repair::Fatal {
            self.give_up(Gerror::CMDQ_ERR);
        }
        repair
    }

    /// Posts the answers that wait for room, as far as there is any, and returns whether all are posted. A
    /// queue that stands still is repaired; one that only is slow will interrupt.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn post_answers(&self, commands: &mut CommandQueue<M>) -> bool {
        let post = |commands: &mut CommandQueue<M>| {
            self.counters.pri_resp_posted.add(commands.post_again(&self.registers).into());
            !commands.has_unposted()
        };
        if !commands.has_unposted() || post(commands) {
            return true;
        }
        if self.repair(commands) != Repair::Fatal && post(commands) {
            return true;
        }
        commands.put_wake_up(&self.registers);
        false
    }
}
