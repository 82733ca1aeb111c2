// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command queue. Commands are issued with a SYNC behind them and waited for, so the queue is
//! empty whenever its lock is free.

#![forbid(unsafe_code)]

use crate::gerror::Errors;
use crate::queue::{DeviceMemory, Log2Size};
use crate::registers::{Clock, Gerror, Register32, Registers, wait};

/// 64-bit words of a command.
pub const WORDS: usize = 2;

/// Fewest entries of a command queue: what bring-up issues at once, and its SYNC.
pub const MIN_ENTRIES: u32 = 4;

/// A command, two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command([u64; WORDS]);

impl Command {
    /// CMD_CFGI_ALL: drops all cached configuration.
    pub const CFGI_ALL: Self = Self([0x04, 0x1F]);
    /// CMD_TLBI_EL2_ALL: drops all translations of EL2. Only where IDR0.Hyp says that there are any.
    pub const TLBI_EL2_ALL: Self = Self([0x20, 0]);
    /// CMD_TLBI_NSNH_ALL: drops all translations of EL1 and EL0 of this world.
    pub const TLBI_NSNH_ALL: Self = Self([0x30, 0]);
    /// CMD_SYNC with CS = 0: done when CONS has passed it.
    pub const SYNC: Self = Self([0x46, 0]);
}

/// Why commands did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The device refused one of them; the others have run.
    Refused,
    /// The device does not get through them in time.
    TimedOut,
    /// There are more of them than the queue has places.
    TooMany,
}

/// The command queue of one PSMMU.
#[derive(Debug)]
pub struct CommandQueue<M> {
    memory: M,
    size: Log2Size,
    /// CMDQ_PROD as last written.
    prod: u32,
}

impl<M: DeviceMemory> CommandQueue<M> {
    /// CMDQ_CONS bits 30:24, ERR.
    const ERROR_SHIFT: u32 = 24;
    const ERROR_MASK: u32 = 0x7F;
    /// ERR: no error.
    const ERROR_NONE: u32 = 0;
    /// ERR: the command could not be fetched; the device tries again.
    const ERROR_ABORT: u32 = 2;
    /// ERR: a SYNC found that an earlier ATC invalidation timed out; the device runs it again.
    const ERROR_ATC_INV_SYNC: u32 = 3;

    /// Starts with PROD and CONS zero, as they must be in the device.
    pub(crate) const fn new(memory: M, size: Log2Size) -> Self {
        Self { memory, size, prod: 0 }
    }

    /// Issues `commands` and a SYNC, and waits until the device is through.
    ///
    /// # Errors
    /// [`CommandError`]. A command error is repaired on the way, whatever caused it.
    pub(crate) fn run(
        &mut self,
        registers: &impl Registers,
        clock: &impl Clock,
        errors: &mut Errors,
        commands: &[Command],
    ) -> Result<(), CommandError> {
        if commands.len() >= self.size.entries() as usize {
            return Err(CommandError::TooMany);
        }
        for command in commands.iter().chain([&Command::SYNC]) {
            self.write(self.prod, *command);
            self.prod = self.size.advance(self.prod, 1);
        }
        registers.write_barrier();
        registers.write32(Register32::CMDQ_PROD, self.prod);

        let mut refused = false;
        let done = wait(clock, || {
            let cons = registers.read32(Register32::CMDQ_CONS);
            if errors.active(registers).contains(Gerror::CMDQ_ERR) {
                refused = true;
                errors.repair_commands(registers, self);
                return None;
            }
            (self.size.pointer(cons) == self.prod).then_some(())
        });
        match done {
            Err(_) => Err(CommandError::TimedOut),
            Ok(()) if refused => Err(CommandError::Refused),
            Ok(()) => {
                registers.read_barrier();
                Ok(())
            }
        }
    }

    /// Puts a SYNC in the place of the command that failed, unless the device is to try that one
    /// again. Acknowledging the error then makes the device go on. One register read.
    pub(crate) fn skip_failed(&self, registers: &impl Registers) {
        let cons = registers.read32(Register32::CMDQ_CONS);
        match cons >> Self::ERROR_SHIFT & Self::ERROR_MASK {
            Self::ERROR_NONE | Self::ERROR_ABORT | Self::ERROR_ATC_INV_SYNC => {}
            _ => {
                self.write(cons, Command::SYNC);
                registers.write_barrier();
            }
        }
    }

    fn write(&self, pointer: u32, command: Command) {
        let first = self.size.index(pointer) * WORDS;
        for (word, value) in command.0.into_iter().enumerate() {
            self.memory.store(first + word, value);
        }
    }
}
