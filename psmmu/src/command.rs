// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command queue.
//!
//! Commands that something depends on are issued with a SYNC behind them and waited for, by one CPU at
//! a time; answers to page requests are posted and left to the device. The queue's lock is held for a
//! few steps only and never while waiting, so nobody who posts or repairs waits for the device.

#![forbid(unsafe_code)]

use heapless::Deque;

use crate::counters::TraceEvent;
use crate::gerror::NotResponding;
use crate::queue::{DeviceMemory, Log2Size};
use crate::registers::{Clock, Gerror, Register32, Registers, wait};
use crate::smmu::{Busy, Psmmu, State};
use crate::staging::CAPACITY;

/// 64-bit words of a command.
pub const WORDS: usize = 2;

/// Fewest entries of a command queue: what bring-up issues at once, and its SYNC.
pub const MIN_ENTRIES: u32 = 4;

/// Times that the device may fail to fetch a command before it is given up, without progress between.
const FETCH_RETRIES: u8 = 8;

/// A command, two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command([u64; WORDS]);

impl Command {
    /// Takes the two words of a command, the first one lowest.
    #[must_use]
    pub const fn new(words: [u64; WORDS]) -> Self {
        Self(words)
    }

    /// CMD_CFGI_ALL: drops all cached configuration.
    pub const CFGI_ALL: Self = Self([0x04, 0x1F]);
    /// CMD_CFGI_STE with Leaf = 0: drops what is cached of the entry of `stream`, and of the level-1
    /// descriptor that finds it.
    #[must_use]
    pub const fn cfgi_ste_and_table(stream: u32) -> Self {
        Self([0x03 | (stream as u64) << 32, 0])
    }

    /// CMD_CFGI_STE with Leaf = 1: drops what is cached of the entry of `stream`.
    #[must_use]
    pub const fn cfgi_ste(stream: u32) -> Self {
        const LEAF: u64 = 1;
        Self([0x03 | (stream as u64) << 32, LEAF])
    }

    /// CMD_TLBI_S12_VMALL: drops all translations of `vmid`.
    #[must_use]
    pub const fn tlbi_s12_vmall(vmid: u16) -> Self {
        Self([0x28 | (vmid as u64) << 32, 0])
    }

    /// CMD_TLBI_S2_IPA: drops the stage-2 translations of `vmid` for the page or block of `ipa`, bits 55:12;
    /// with `leaf` those of the last level only.
    #[must_use]
    pub const fn tlbi_s2_ipa(vmid: u16, ipa: u64, leaf: bool) -> Self {
        const ADDRESS: u64 = 0x00FF_FFFF_FFFF_F000;
        Self([0x2A | (vmid as u64) << 32, ipa & ADDRESS | leaf as u64])
    }

    /// CMD_TLBI_EL2_ALL: drops all translations of EL2. Only where IDR0.Hyp says that there are any.
    pub const TLBI_EL2_ALL: Self = Self([0x20, 0]);
    /// CMD_TLBI_NSNH_ALL: drops all translations of EL1 and EL0 of this world.
    pub const TLBI_NSNH_ALL: Self = Self([0x30, 0]);
    /// CMD_CFGI_STE with SSec = 1, which a Realm command queue refuses with CERROR_ILL (IHI 0070, 4.1.6): a
    /// command whose only effect is the interrupt for the error.
    const ILLEGAL: Self = Self([0x03 | 1 << 10, 0]);

    /// CMD_SYNC with CS = 0: done when CONS has passed it.
    pub const SYNC: Self = Self([0x46, 0]);

    /// CMD_SYNC with CS = 1: when it is done the device writes `data` to the word at PA `address` of
    /// Realm memory, a multiple of 4, as inner shareable write-back memory.
    #[must_use]
    pub const fn sync_msi(address: u64, data: u32) -> Self {
        const INTERRUPT: u64 = 1 << 12;
        const INNER_SHAREABLE: u64 = 3 << 22;
        const WRITE_BACK: u64 = 0xF << 24;
        const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFFC;
        let [opcode, _] = Self::SYNC.0;
        let first = opcode | INTERRUPT | INNER_SHAREABLE | WRITE_BACK | (data as u64) << 32;
        Self([first, address & ADDRESS])
    }

    /// CMD_PRI_RESP with Resp = InvalidRequest: denies a group of page requests, and leaves the page request
    /// interface of the function as it is.
    #[must_use]
    pub const fn pri_invalid_request(stream: u32, substream: Option<u32>, group: u16) -> Self {
        const OPCODE: u64 = 0x41;
        const HAS_SUBSTREAM: u64 = 1 << 11;
        const SUBSTREAM_SHIFT: u32 = 12;
        const STREAM_SHIFT: u32 = 32;
        const INVALID_REQUEST: u64 = 1 << 12;
        let substream = match substream {
            Some(substream) => HAS_SUBSTREAM | (substream as u64 & 0xF_FFFF) << SUBSTREAM_SHIFT,
            None => 0,
        };
        let first = OPCODE | substream | (stream as u64) << STREAM_SHIFT;
        Self([first, group as u64 & 0x1FF | INVALID_REQUEST])
    }

    /// Returns the two words, the first one lowest.
    #[must_use]
    pub const fn words(&self) -> [u64; WORDS] {
        self.0
    }
}

/// Why commands did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// There is no command queue.
    NotActive,
    /// The device refused one of them; the others have run.
    Rejected,
    /// The device does not get through them in time, and is given up.
    TimedOut,
    /// There are more of them than the queue has places.
    TooMany,
    /// Another CPU waits for the device. None of them was issued.
    Busy,
}

impl From<Busy> for CommandError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// Looks at memory for each look at the registers while an MSI is awaited, should it get lost.
const LOOKS_AT_MEMORY: u32 = 8;

/// There are fewer free places than commands.
struct Full;

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
pub struct CommandQueue<M> {
    /// What the device reads; `None` while there is no queue.
    memory: Option<M>,
    size: Log2Size,
    /// CMDQ_PROD as last written.
    prod: u32,
    /// The pointer of CMDQ_CONS as last read.
    cons: u32,
    /// From the first command that somebody waits for to behind its SYNC.
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
    /// Looks for the end of what is waited for.
    looks: u32,
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
            looks: 0,
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
    /// CMDQ_CONS bits 30:24, ERR.
    const ERROR_SHIFT: u32 = 24;
    const ERROR_MASK: u32 = 0x7F;
    /// ERR: no error.
    const ERROR_NONE: u32 = 0;
    /// ERR: the command is illegal.
    const ERROR_ILLEGAL: u32 = 1;
    /// ERR: the command could not be fetched; the device tries again.
    const ERROR_ABORT: u32 = 2;
    /// ERR: a SYNC found that an earlier ATC invalidation timed out; the device runs it again.
    const ERROR_ATC_INV_SYNC: u32 = 3;

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

    /// Issues `commands` and a SYNC behind them, for somebody who will wait.
    #[cfg_attr(core_from_source, optimize(size))]
    fn issue(&mut self, registers: &impl Registers, commands: &[Command]) -> Result<(), Full> {
        let data = self.awaited.wrapping_add(1).max(1);
        let completion = self.completion.as_ref().filter(|_| self.by_msi);
        let sync = match completion {
            None => Command::SYNC,
            Some(memory) => Command::sync_msi(memory.address(), data),
        };
        let mut batch =
            heapless::Vec::<_, { MIN_ENTRIES as usize }>::from_slice(commands).map_err(|_| Full)?;
        batch.push(sync).map_err(|_| Full)?;

        let first = self.prod;
        self.put(registers, &batch)?;
        if self.by_msi {
            self.awaited = data;
            self.has_msi_pending = true;
        }
        self.waited = Some((first, self.prod));
        self.refused = false;
        self.looks = 0;
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

    /// Returns whether it is time to look at the registers. While an MSI is awaited that is now and
    /// then; without, always.
    #[cfg_attr(core_from_source, optimize(size))]
    fn is_time_for_registers(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        !self.by_msi || self.looks.is_multiple_of(LOOKS_AT_MEMORY)
    }

    /// Returns how the commands that are waited for have ended, if the device has sent the MSI of
    /// their SYNC. No register access.
    #[cfg_attr(core_from_source, optimize(size))]
    fn ended_by_msi(&mut self, registers: &impl Registers) -> Option<Result<(), CommandError>> {
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
    fn ended(&mut self, registers: &impl Registers) -> Option<Result<(), CommandError>> {
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
    fn end(&mut self, registers: &impl Registers) -> Result<(), CommandError> {
        registers.read_barrier();
        self.waited = None;
        if self.refused { Err(CommandError::Rejected) } else { Ok(()) }
    }

    /// Prepares the device to go on behind the command that failed, and reports whoever waits for it.
    /// Unless the device is to try it again, a SYNC takes its place. One register read.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn repair(&mut self, registers: &impl Registers) -> (Repair, u32) {
        let word = registers.read32(Register32::CMDQ_CONS);
        let failed = self.size.pointer(word);
        self.cons = failed;
        let error = word >> Self::ERROR_SHIFT & Self::ERROR_MASK;
        if error == Self::ERROR_ABORT {
            let waiting = u64::from(self.size.used(self.prod, failed));
            let number = self.issued.wrapping_sub(waiting);
            let (unfetched, times) = self.unfetched;
            let times = if unfetched == number { times.saturating_add(1) } else { 1 };
            self.unfetched = (number, times);
            let hopeless = times > FETCH_RETRIES;
            return (if hopeless { Repair::Fatal } else { Repair::Done }, word);
        }
        let is_waited_for = self
            .waited
            .is_some_and(|(first, end)| self.size.used(failed, first) < self.size.used(end, first));
        self.refused |= is_waited_for && error != Self::ERROR_NONE;
        if error == Self::ERROR_NONE || error == Self::ERROR_ATC_INV_SYNC {
            return (Repair::Done, word);
        }
        self.write(failed, Command::SYNC);
        registers.write_barrier();
        if self.wake_up == Some(failed) && error == Self::ERROR_ILLEGAL {
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
        let first = self.size.index(pointer) * WORDS;
        let Some(memory) = &self.memory else { return };
        for (word, value) in command.0.into_iter().enumerate() {
            memory.store(first + word, value);
        }
    }
}

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Runs `commands` and waits until the device is through with them, at most twice
    /// [`DEVICE_TIMEOUT`](crate::registers::DEVICE_TIMEOUT): for room, and for the end. Called with the
    /// issue lock.
    ///
    /// # Errors
    /// [`CommandError`]. After a timeout the PSMMU has failed.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn run_locked(
        &self,
        clock: &impl Clock,
        commands: &[Command],
    ) -> Result<(), CommandError> {
        if commands.len() >= MIN_ENTRIES as usize {
            return Err(CommandError::TooMany);
        }
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
            Err(CommandError::TimedOut)
        })
    }

    /// Waits until the device is through with all of its commands, and with the MSIs of their SYNCs. A
    /// device that does not get through them may yet acknowledge that it is off, which is what counts for
    /// all memory but the completion word. Called with the lock of the command queue.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn finish_commands(&self, clock: &impl Clock) {
        if let Some(queue) = self.commands.lock().as_mut() {
            queue.stop_msis();
        }
        let _ = self.run_locked(clock, &[]);
    }

    /// Issues `commands` if there is room. Otherwise it repairs the queue if it stands still.
    #[cfg_attr(core_from_source, optimize(size))]
    fn issue(&self, commands: &[Command]) -> Option<Result<(), CommandError>> {
        match self.commands.lock().as_mut() {
            None => return Some(Err(CommandError::NotActive)),
            Some(queue) => {
                if queue.issue(&self.registers, commands).is_ok() {
                    return Some(Ok(()));
                }
            }
        }
        self.is_hopeless().then_some(Err(CommandError::TimedOut))
    }

    /// Repairs the command queue if it stands still, and returns whether it can run no more.
    #[cfg_attr(core_from_source, optimize(size))]
    fn is_hopeless(&self) -> bool {
        self.repair_commands() == Some(Repair::Fatal) || self.state() == State::Failed
    }

    /// Returns how the commands that are waited for have ended, once they have, and repairs the queue if
    /// it stands still.
    #[cfg_attr(core_from_source, optimize(size))]
    fn commands_ended(&self) -> Option<Result<(), CommandError>> {
        let look_at_registers = match self.commands.lock().as_mut() {
            None => return Some(Err(CommandError::NotActive)),
            Some(queue) => {
                if let Some(end) = queue.ended_by_msi(&self.registers) {
                    return Some(end);
                }
                queue.is_time_for_registers()
            }
        };
        if !look_at_registers {
            return None;
        }
        if self.is_hopeless() {
            return Some(Err(CommandError::TimedOut));
        }
        self.commands.lock().as_mut()?.ended(&self.registers)
    }

    /// Makes the command queue run again if it stands still because of an error, and keeps the error
    /// to be reported. One register read if it does not. If it is hopeless, the PSMMU is given up. `None`
    /// without a command queue: of one that is somebody else's, the errors are his to repair.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn repair_commands(&self) -> Option<Repair> {
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
        match errors.active(&self.registers) {
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

    /// Posts `answer` to a page request, or keeps it until there is room.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn post_answer(&self, commands: &mut CommandQueue<M>, answer: Command) {
        self.counters.pri_resp_posted.add(commands.post(&self.registers, answer).into());
        if commands.has_unposted() {
            self.post_answers(commands);
        }
    }

    /// Posts the answers that wait for room, as far as there is any, and returns whether all are posted. A
    /// queue that stands still is repaired; one that only is slow will interrupt.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn post_answers(&self, commands: &mut CommandQueue<M>) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_words_of_the_architecture() {
        assert_eq!(Command::SYNC.words(), [0x46, 0]);
        assert_eq!(Command::CFGI_ALL.words(), [0x04, 0x1F]);
        assert_eq!(
            Command::sync_msi(0x8000_2000, 0xAB).words(),
            [0x0000_00AB_0FC0_1046, 0x8000_2000]
        );
        let denied = Command::pri_invalid_request(8, Some(3), 0x1F);
        assert_eq!(denied.words(), [0x0000_0008_0000_3841, 0x101F]);
        assert_eq!(Command::cfgi_ste(8).words(), [0x0000_0008_0000_0003, 1]);
        assert_eq!(Command::cfgi_ste_and_table(8).words(), [0x0000_0008_0000_0003, 0]);
        assert_eq!(Command::tlbi_s12_vmall(0x1234).words(), [0x0000_1234_0000_0028, 0]);
        let by_ipa = Command::tlbi_s2_ipa(0x1234, 0x4567_89AB, true);
        assert_eq!(by_ipa.words(), [0x0000_1234_0000_002A, 0x4567_8001]);
    }
}
