// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command queue: fetch, execute, move CONS on; stop at an error until it is acknowledged (IHI
//! 0070, "Command queue", "Command errors", "CMD_SYNC").

use crate::command::{Command, Completion, Response, SyncMsi, TlbiOperation};
use crate::control::Enable;
use crate::gerror::CMDQ_ERR;
use crate::output::Output;
use crate::pri::Answer;
use crate::queue::Base;
use crate::registers::Register;
use crate::violation::Violation;
use crate::{Device, pri};

const ENTRY_BYTES: u64 = 16;
/// RD of CMDQ_CONS and WR of CMDQ_PROD.
const POINTER: u32 = 0xF_FFFF;
/// ERR of CMDQ_CONS, 30:24.
const ERR_SHIFT: u32 = 24;
const ERR: u32 = 0x7F << ERR_SHIFT;

/// Why a command failed: ERR of CMDQ_CONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandError {
    /// CERROR_ILL: illegal or not supported.
    Illegal = 1,
    /// CERROR_ABT: it could not be fetched.
    Abort = 2,
    /// CERROR_ATC_INV_SYNC: a CMD_SYNC found that a CMD_ATC_INV before it timed out.
    AtcInvSync = 3,
}

/// The command queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CommandQueue {
    pub base: u64,
    pub prod: u32,
    /// CONS as the driver reads it.
    pub cons: u32,
    /// Where the device really is.
    pub read: u32,
    /// An error that CONS shows and GERROR does not yet.
    pub error_due: bool,
    /// A CMD_ATC_INV has timed out.
    pub atc_timed_out: bool,
    /// What CMD_CFGI_* and CMD_TLBI_* since the last CMD_SYNC are to invalidate.
    pub invalidations: Vec<Invalidation>,
}

/// What a command invalidates. It is only sure to have happened once a CMD_SYNC is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Invalidation {
    /// Configuration of streams from the first to the last, level-1 descriptors too.
    Streams { first: u32, last: u32, leaf: bool },
    /// All configuration.
    Configuration,
    /// Translations.
    Translations(Scope),
}

/// Which translations a command invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// All but those of EL2.
    All,
    /// All of a VMID, of both stages.
    Vmid(u16),
    /// Fewer than all that were made by one table.
    Fewer,
}

impl Device {
    pub(crate) const fn command_base(&self) -> Base {
        let limit = self.config.command_limit();
        Base::decode(self.cmdq.base, ENTRY_BYTES, limit, self.config.address_bits())
    }

    pub(crate) fn check_command_queue(&mut self) {
        let base = self.command_base();
        self.check_base(Register::CmdqBase, &base, self.config.command_limit());
        self.check_consistent(Register::CmdqProd, base.shape, self.cmdq.prod, self.cmdq.cons);
        self.check_commands_visible();
    }

    /// Checks that the device can see all commands up to PROD.
    pub(crate) fn check_commands_visible(&mut self) {
        let base = self.command_base();
        let count = base.shape.used(self.cmdq.prod, self.cmdq.read).min(base.shape.entries());
        self.check_visible(self.cmdq.read, count);
    }

    fn check_visible(&mut self, first: u32, count: u32) {
        let base = self.command_base();
        // At most two runs: up to the end of the ring, and from its beginning.
        let to_end = (base.shape.entries() - base.shape.index(first)).min(count);
        let start = base.entry(first, ENTRY_BYTES);
        let runs = [
            (start, start + u64::from(to_end) * ENTRY_BYTES),
            (base.address, base.address + u64::from(count - to_end) * ENTRY_BYTES),
        ];
        for (from, end) in runs {
            if let Some(address) = self.memory.unseen_store(from, end) {
                return self.violate(Violation::CommandNotVisible { address });
            }
        }
    }

    /// Reads CMDQ_PROD.
    pub(crate) const fn read_command_prod(&self) -> u32 {
        self.command_base().shape.pointer(self.cmdq.prod)
    }

    /// Reads CMDQ_CONS. ERR keeps what it last was: it means something only while CMDQ_ERR is active.
    pub(crate) const fn read_command_cons(&self) -> u32 {
        self.cmdq.cons & ERR | self.command_base().shape.pointer(self.cmdq.cons)
    }

    /// Writes CMDQ_PROD.
    pub(crate) fn write_command_prod(&mut self, value: u32) {
        let value = value & POINTER;
        if !self.is_disabled(Enable::Cmdq.bits()) {
            let shape = self.command_base().shape;
            let (old, cons) = (self.cmdq.prod, self.cmdq.cons);
            let (held, holds) = (shape.used(old, cons), shape.used(value, cons));
            if holds > shape.entries() {
                self.violate(Violation::CommandProdPastCons { old, value, cons });
            } else if holds < held && !self.is_active(CMDQ_ERR) {
                self.violate(Violation::CommandProdBackwards { old, value, cons });
            } else if holds > held {
                self.check_visible(old, holds - held);
            }
        }
        self.cmdq.prod = value;
    }

    /// Writes CMDQ_CONS while the queue is off.
    pub(crate) const fn write_command_cons(&mut self, value: u32) {
        self.cmdq.cons = value & (ERR | POINTER);
    }

    /// Starts from CONS.
    pub(crate) const fn start_commands(&mut self) {
        self.cmdq.read = self.cmdq.cons & POINTER;
    }

    /// Stops behind the command that is being processed, and shows where.
    pub(crate) fn stop_commands(&mut self) {
        self.publish_cons();
        self.raise_command_error();
    }

    /// Returns whether there is a command to process, and leave to process it.
    pub(crate) const fn can_run_command(&self) -> bool {
        self.is_on(Enable::Cmdq)
            && !self.modes.hung
            && !self.cmdq.error_due
            && !self.is_active(CMDQ_ERR)
            && self.command_base().shape.used(self.cmdq.prod, self.cmdq.read) != 0
    }

    /// Returns whether CONS shows less than was consumed.
    pub(crate) const fn is_cons_late(&self) -> bool {
        self.command_base().shape.used(self.cmdq.read, self.cmdq.cons) != 0 && self.has_started()
    }

    const fn has_started(&self) -> bool {
        self.is_on(Enable::Cmdq)
    }

    /// Processes the next command.
    pub(crate) fn run_command(&mut self) {
        let base = self.command_base();
        let address = base.entry(self.cmdq.read, ENTRY_BYTES);
        if let Some(words) = self.modes.corrupt_command.take() {
            for (word, value) in words.into_iter().enumerate() {
                self.store(address + 8 * word as u64, value);
            }
        }
        match self.fetch_command(address).and_then(|command| self.execute(command)) {
            Ok(command) => {
                self.cmdq.read = base.shape.advance(self.cmdq.read, 1);
                self.log.commands.push(command);
                if !self.modes.lazy_cons {
                    self.publish_cons();
                }
            }
            Err(error) => {
                self.cmdq.cons = self.cmdq.read | (error as u32) << ERR_SHIFT;
                self.cmdq.error_due = true;
                if !self.modes.split {
                    self.raise_command_error();
                }
            }
        }
    }

    /// Moves CONS to where the device is.
    pub(crate) const fn publish_cons(&mut self) {
        if self.has_started() {
            self.cmdq.cons = self.cmdq.cons & ERR | self.cmdq.read;
        }
    }

    /// Shows in GERROR that a command failed.
    pub(crate) fn raise_command_error(&mut self) {
        if std::mem::take(&mut self.cmdq.error_due) {
            self.activate(CMDQ_ERR);
        }
    }

    fn fetch_command(&mut self, address: u64) -> Result<Command, CommandError> {
        if self.modes.aborts_commands {
            return Err(CommandError::Abort);
        }
        let mut word = |at| self.fetch(at).map_err(|_| CommandError::Abort);
        let words = [word(address)?, word(address + 8)?];
        Command::decode(words, &self.config).ok_or(CommandError::Illegal)
    }

    fn execute(&mut self, command: Command) -> Result<Command, CommandError> {
        let translates = self.is_on(Enable::Smmu);
        match command {
            Command::PrefetchConfig { stream, .. } | Command::PrefetchAddress { stream, .. } => {
                self.prefetch(stream);
            }
            Command::CfgiSte { stream, leaf } => {
                self.invalidate(Invalidation::Streams { first: stream, last: stream, leaf });
            }
            Command::CfgiSteRange { stream, range } => {
                let others = (2 << range) - 1;
                let (first, last) = (stream & !others, stream | others);
                self.invalidate(Invalidation::Streams { first, last, leaf: false });
            }
            Command::CfgiAll => self.invalidate(Invalidation::Configuration),
            Command::Tlbi(tlbi) => {
                self.invalidate(Invalidation::Translations(match tlbi.operation {
                    TlbiOperation::NsnhAll => Scope::All,
                    TlbiOperation::S12Vmall => Scope::Vmid(tlbi.vmid),
                    _ => Scope::Fewer,
                }));
            }
            Command::AtcInv { .. } if translates => {
                self.cmdq.atc_timed_out |= std::mem::take(&mut self.modes.atc_timeout);
            }
            Command::PriResp { stream, substream, group, response } if translates => {
                self.answer(stream, substream, group, response);
            }
            Command::Sync(completion) => self.synchronize(completion)?,
            _ => {}
        }
        Ok(command)
    }

    fn invalidate(&mut self, invalidation: Invalidation) {
        self.streams.updates.report(invalidation);
        self.cmdq.invalidations.push(invalidation);
    }

    /// Completes all that came before, then the CMD_SYNC.
    fn synchronize(&mut self, completion: Completion) -> Result<(), CommandError> {
        if std::mem::take(&mut self.cmdq.atc_timed_out) {
            return Err(CommandError::AtcInvSync);
        }
        self.flush_sync_msis();
        for invalidation in std::mem::take(&mut self.cmdq.invalidations) {
            let translates = self.is_on(Enable::Smmu);
            self.streams.invalidate(invalidation, &self.config, translates);
            self.flush_records(invalidation);
        }
        self.streams.updates.settle();
        self.show(Output::Events);
        match completion {
            Completion::Interrupt(msi) => {
                let msi = msi.map(|msi| self.reachable(msi));
                self.request_sync_interrupt(msi.filter(|msi| msi.address != 0));
            }
            Completion::Sev if self.config.has_sev() => self.log.wake_ups += 1,
            Completion::Silent | Completion::Sev => {}
        }
        Ok(())
    }

    /// Cuts off what the device lacks of the address of a CMD_SYNC's MSI, and reports it.
    fn reachable(&mut self, msi: SyncMsi) -> SyncMsi {
        let (address, bits) = (msi.address, self.config.address_bits());
        if address >> bits != 0 {
            self.violate(Violation::SyncAddressAboveOas { address, bits });
        }
        SyncMsi { address: self.config.truncate(address), ..msi }
    }

    fn answer(&mut self, stream: u32, substream: Option<u32>, group: u16, response: Response) {
        let waiting = self.groups.iter().position(|&(of, index)| (of, index) == (stream, group));
        match waiting {
            Some(position) => drop(self.groups.remove(position)),
            None => self.violate(Violation::ResponseWithoutRequest { stream, group }),
        }
        let by = pri::Answerer::Driver;
        self.log.answers.push(Answer { by, stream, substream, group, response });
    }

    /// Returns the first target between `first` and `end` of an MSI of a CMD_SYNC that waits to be
    /// processed, or that the device may have fetched ahead.
    pub(crate) fn waiting_msi(&self, first: u64, end: u64) -> Option<u64> {
        if self.is_disabled(Enable::Cmdq.bits()) || !self.config.has_msi() {
            return None;
        }
        let base = self.command_base();
        let count = self.waiting_commands().min(base.shape.entries());
        let targets = (0..count).filter_map(|n| {
            let at = base.entry(self.cmdq.read.wrapping_add(n), ENTRY_BYTES);
            let words = [self.memory.peek(at)?, self.memory.peek(at + 8)?];
            match Command::decode(words, &self.config)? {
                Command::Sync(Completion::Interrupt(msi)) => msi,
                _ => None,
            }
        });
        let target = |msi: SyncMsi| self.config.truncate(msi.address);
        targets
            .map(|msi| SyncMsi { address: target(msi), ..msi })
            .find(|msi| msi.is_in(first, end))
            .map(|msi| msi.address)
    }

    /// Returns how many commands wait to be processed.
    #[must_use]
    pub const fn waiting_commands(&self) -> u32 {
        self.command_base().shape.used(self.cmdq.prod, self.cmdq.read)
    }

    /// Takes the commands that were consumed, oldest first. Those that failed are not among them.
    #[must_use]
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.log.commands)
    }

    /// Returns how many events for waiting CPUs CMD_SYNC has sent (CS = 2).
    #[must_use]
    pub const fn wake_ups(&self) -> u64 {
        self.log.wake_ups
    }
}
