// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command queue, with a command's way through it: placed, published, refused or run.
//!
//! What something depends on is issued with a SYNC behind it; answers to page requests are posted and left
//! to the device.

#![forbid(unsafe_code)]

use heapless::Deque;

use super::device_error::DeviceError;
use super::ring::CAPACITY;
use crate::arch::command::{CmdqError, Command};
use crate::arch::queue_pointer::Log2Size;
use crate::arch::registers::Register32;
use crate::platform::{DeviceMemory, Registers};

/// Fewest entries of a command queue: what bring-up issues at once, and its SYNC.
pub const CMDQ_MIN_ENTRIES: u32 = 4;

/// Times that the device may fail to fetch a command before it is given up, without progress between.
const FETCH_RETRIES: u8 = 8;

/// Polls of memory for each poll of the registers while an MSI is awaited, should it get lost.
const MEMORY_POLLS: u32 = 8;

/// There are fewer free places than commands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full;

/// Whether the device can go on behind a command error, and whose the command was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// It can, once the error is acknowledged.
    Done,
    /// It can, without an answer to a page request, which it has refused.
    Rejected,
    /// It can, and has got through all commands before the [wake-up](CommandQueue::put_wake_up).
    WokenUp,
    /// It fails to fetch the same command again and again.
    Fatal,
}

/// The command queue of one PSMMU.
///
/// It stays in its place, whether there is a queue or not.
#[derive(Debug)]
pub(crate) struct CommandQueue<M> {
    /// What the device reads; `None` while there is no queue.
    memory: Option<M>,
    size: Log2Size,
    /// CMDQ_PROD as last written.
    prod: u32,
    /// The pointer of CMDQ_CONS as last read.
    cons: u32,
    /// From the first command that is waited for to behind its SYNC.
    waited: Option<(u32, u32)>,
    /// One of those was refused.
    refused: bool,
    /// Commands put into the queue so far; from it and the pointers follows which command an error is of,
    /// where the pointers alone come round again.
    issued: u64,
    /// The number of the command that could not be fetched, and how often.
    unfetched: (u64, u8),
    /// Where the MSI of a SYNC goes; given by the embedder, whether the device has MSIs or not.
    completion: Option<M>,
    /// SYNCs have an MSI.
    by_msi: bool,
    /// What the MSI of the latest SYNC that has one writes. It goes on from one activation to the next, as
    /// the MSI of an earlier one may still come.
    awaited: u32,
    /// That MSI, or an earlier one, may be under way.
    has_msi_pending: bool,
    /// Polls for the end of what is waited for.
    polls: u32,
    /// Answers to page requests that have found no room, oldest first. While there are any no page request
    /// is staged, so these are no more than were staged at once.
    unposted: Deque<Command, CAPACITY>,
    /// Where the wake-up is, if it was put into the queue.
    wake_up: Option<u32>,
}

impl<M> CommandQueue<M> {
    /// Makes the place of a queue that is not there.
    pub(crate) const fn new() -> Self {
        Self {
            memory: None,
            size: Log2Size::MIN,
            prod: 0,
            cons: 0,
            waited: None,
            refused: false,
            issued: 0,
            unfetched: (0, 0),
            completion: None,
            by_msi: false,
            awaited: 0,
            has_msi_pending: false,
            polls: 0,
            unposted: Deque::new(),
            wake_up: None,
        }
    }

    /// Returns whether answers to page requests wait for room.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn has_unposted(&self) -> bool {
        !self.unposted.is_empty()
    }
}

impl<M: DeviceMemory> CommandQueue<M> {
    /// Starts the queue in `memory`, with CMDQ_PROD and CMDQ_CONS as the device has them. Without a
    /// [completion word](Self::set_completion) the end of commands is polled for.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn start(&mut self, memory: M, size: Log2Size, prod: u32, cons: u32) {
        self.memory = Some(memory);
        self.size = size;
        self.prod = size.pointer(prod);
        self.cons = size.pointer(cons);
        self.waited = None;
        self.refused = false;
        self.issued = 0;
        self.unfetched = (0, 0);
        self.completion = None;
        self.by_msi = false;
        self.has_msi_pending = false;
        self.unposted.clear();
        self.wake_up = None;
    }

    /// Has SYNCs write an MSI to the word `completion` if the device `has_msi`.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn set_completion(&mut self, completion: Option<M>, has_msi: bool) {
        if let Some(word) = &completion {
            // No SYNC writes zero, whatever an earlier one has left there.
            word.store(0, 0);
        }
        self.by_msi = has_msi && completion.is_some();
        self.completion = completion;
    }

    /// Stops the queue. Gives back its memory, and the completion word unless an MSI may still be written
    /// there.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn stop(&mut self) -> Option<(M, Option<M>)> {
        let is_free = !self.has_msi_pending || self.has_msi_come();
        let completion = self.completion.take().filter(|_| is_free);
        Some((self.memory.take()?, completion))
    }

    /// Returns the queue if it is there.
    #[inline]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn as_mut(&mut self) -> Option<&mut Self> {
        self.memory.is_some().then_some(self)
    }

    /// Returns whether there is a queue.
    pub(crate) const fn is_there(&self) -> bool {
        self.memory.is_some()
    }

    /// Has SYNCs from now on complete without an MSI. The first of them that the device has consumed
    /// guarantees that the MSIs of all before it are written, or were aborted.
    pub(crate) const fn stop_msis(&mut self) {
        self.by_msi = false;
    }

    /// Returns whether the MSI of the latest SYNC that has one is written. SYNCs complete in order, so no
    /// earlier one is under way then.
    #[cfg_attr(core_from_source, optimize(size))]
    fn has_msi_come(&self) -> bool {
        self.completion.as_ref().is_some_and(|memory| memory.load(0) as u32 == self.awaited)
    }

    /// Puts `commands` into the queue and lets the device see them. One register write, and a read
    /// when there seems to be no room.
    #[cfg_attr(core_from_source, optimize(size))]
    fn put(&mut self, registers: &impl Registers, commands: &[Command]) -> Result<(), Full> {
        if self.room() < commands.len() {
            self.cons = self.size.pointer(registers.read32(Register32::CMDQ_CONS));
            if self.room() < commands.len() {
                return Err(Full);
            }
        }
        for command in commands {
            self.place(*command);
        }
        self.publish(registers);
        Ok(())
    }

    /// Writes `command` into the next place, which must be free.
    #[cfg_attr(core_from_source, optimize(size))]
    fn place(&mut self, command: Command) {
        if self.wake_up == Some(self.prod) {
            // The device has passed it without an error.
            self.wake_up = None;
        }
        self.write(self.prod, command);
        self.prod = self.size.advance(self.prod, 1);
        self.issued = self.issued.wrapping_add(1);
    }

    /// Lets the device see what was placed.
    #[cfg_attr(core_from_source, optimize(size))]
    fn publish(&self, registers: &impl Registers) {
        registers.write_barrier();
        registers.write32(Register32::CMDQ_PROD, self.prod);
    }

    /// Returns the number of free places; none if the pointers contradict each other.
    #[cfg_attr(core_from_source, optimize(size))]
    fn room(&self) -> usize {
        self.size.entries().saturating_sub(self.size.used(self.prod, self.cons)) as usize
    }

    /// Issues `commands` and a SYNC behind them, for a caller that waits for them.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn issue(
        &mut self,
        registers: &impl Registers,
        commands: &[Command],
    ) -> Result<(), Full> {
        let data = self.awaited.wrapping_add(1).max(1);
        let completion = self.completion.as_ref().filter(|_| self.by_msi);
        let sync = match completion {
            None => Command::SYNC,
            Some(memory) => Command::sync_msi(memory.address(), data),
        };
        let mut batch = heapless::Vec::<_, { CMDQ_MIN_ENTRIES as usize }>::from_slice(commands)
            .map_err(|_| Full)?;
        batch.push(sync).map_err(|_| Full)?;

        let first = self.prod;
        self.put(registers, &batch)?;
        if self.by_msi {
            self.awaited = data;
            self.has_msi_pending = true;
        }
        self.waited = Some((first, self.prod));
        self.refused = false;
        self.polls = 0;
        Ok(())
    }

    /// Posts `answer` behind those that wait for room, if there is room for all; else it waits for room.
    /// Returns how many were posted.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn post(&mut self, registers: &impl Registers, answer: Command) -> u32 {
        let kept = self.unposted.push_back(answer);
        debug_assert!(kept.is_ok());
        self.post_again(registers)
    }

    /// Posts as many of the answers that wait as there is room for, and returns how many. One place stays
    /// free for the [wake-up](Self::put_wake_up).
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn post_again(&mut self, registers: &impl Registers) -> u32 {
        let mut posted = 0_u32;
        if self.room() <= self.unposted.len() {
            self.cons = self.size.pointer(registers.read32(Register32::CMDQ_CONS));
        }
        while self.room() > 1
            && let Some(answer) = self.unposted.pop_front()
        {
            self.place(answer);
            posted = posted.wrapping_add(1);
        }
        if posted != 0 {
            self.publish(registers);
        }
        posted
    }

    /// Puts a command into the last free place of the queue that the device refuses, unless one is there
    /// already. The error interrupts once the device has got through the queue: what else would bring the
    /// host here to post the answers that wait, when it has been notified that nothing is left?
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn put_wake_up(&mut self, registers: &impl Registers) {
        let is_there = self.wake_up.is_some_and(|at| self.is_waiting(at));
        if !is_there && self.room() != 0 {
            let at = self.prod;
            self.place(Command::ILLEGAL);
            self.wake_up = Some(at);
            self.publish(registers);
        }
    }

    /// Returns whether the command at `pointer` is one that the device has not got through.
    const fn is_waiting(&self, pointer: u32) -> bool {
        self.size.used(pointer, self.cons) < self.size.used(self.prod, self.cons)
    }

    /// Takes the answers that wait, when there will be no room for them any more, and returns how many.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn drop_unposted(&mut self) -> u64 {
        let dropped = self.unposted.len() as u64;
        self.unposted.clear();
        dropped
    }

    /// Returns whether it is time to poll the registers: while an MSI is awaited, at each
    /// [`MEMORY_POLLS`]th call; else at each.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn is_time_for_registers(&mut self) -> bool {
        self.polls = self.polls.wrapping_add(1);
        !self.by_msi || self.polls.is_multiple_of(MEMORY_POLLS)
    }

    /// Returns how the commands that are waited for have ended, if the device has sent the MSI of
    /// their SYNC. No register access.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn ended_by_msi(
        &mut self,
        registers: &impl Registers,
    ) -> Option<Result<(), DeviceError>> {
        let (_, end) = self.waited?;
        if !self.by_msi || !self.has_msi_come() {
            return None;
        }
        self.has_msi_pending = false;
        self.cons = end;
        Some(self.end(registers))
    }

    /// Returns how the commands that are waited for have ended, once they have. One register read.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn ended(&mut self, registers: &impl Registers) -> Option<Result<(), DeviceError>> {
        self.cons = self.size.pointer(registers.read32(Register32::CMDQ_CONS));
        let (_, end) = self.waited?;
        // What is behind the SYNC was posted meanwhile. The device is through with the SYNC when no
        // more than that is left.
        let is_over = self.size.used(self.prod, self.cons) <= self.size.used(self.prod, end);
        is_over.then(|| {
            self.has_msi_pending &= self.by_msi;
            self.end(registers)
        })
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn end(&mut self, registers: &impl Registers) -> Result<(), DeviceError> {
        registers.read_barrier();
        self.waited = None;
        if self.refused { Err(DeviceError::CommandRejected) } else { Ok(()) }
    }

    /// Prepares the device to go on behind the command that failed, and notes the failure for the caller that
    /// waits.
    /// Unless the device is to try it again, a SYNC takes its place. One register read.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn repair(&mut self, registers: &impl Registers) -> (Repair, u32) {
        let word = registers.read32(Register32::CMDQ_CONS);
        let failed = self.size.pointer(word);
        self.cons = failed;
        let error = CmdqError::of_cons(word);
        if error == CmdqError::ABT {
            let waiting = u64::from(self.size.used(self.prod, failed));
            let number = self.issued.wrapping_sub(waiting);
            let (unfetched, times) = self.unfetched;
            let times = if unfetched == number { times.saturating_add(1) } else { 1 };
            self.unfetched = (number, times);
            let is_fatal = times > FETCH_RETRIES;
            return (if is_fatal { Repair::Fatal } else { Repair::Done }, word);
        }
        let is_waited_for = self
            .waited
            .is_some_and(|(first, end)| self.size.used(failed, first) < self.size.used(end, first));
        self.refused |= is_waited_for && error != CmdqError::NONE;
        if error == CmdqError::NONE || error == CmdqError::ATC_INV_SYNC {
            return (Repair::Done, word);
        }
        self.write(failed, Command::SYNC);
        registers.write_barrier();
        if self.wake_up == Some(failed) && error == CmdqError::ILL {
            self.wake_up = None;
            return (Repair::WokenUp, word);
        }
        // What nothing waits for was posted, unless it was in the queue when that was attached.
        let waiting = u64::from(self.size.used(self.prod, failed));
        let is_posted = !is_waited_for && (1..=self.issued).contains(&waiting);
        (if is_posted { Repair::Rejected } else { Repair::Done }, word)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn write(&self, pointer: u32, command: Command) {
        let first = self.size.index(pointer) * Command::WORDS;
        let Some(memory) = &self.memory else { return };
        for (word, value) in command.words().into_iter().enumerate() {
            memory.store(first + word, value);
        }
    }
}
