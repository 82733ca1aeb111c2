// SPDX-License-Identifier: MIT OR Apache-2.0

//! What event queue and PRI queue have in common: the device writes at PROD, the driver frees at CONS.
//!
//! An entry is written first, then shown by PROD, then the interrupt is due (IHI 0070, "Ordering of
//! event records, PROD and interrupts").

use crate::Device;
use crate::control::Enable;
use crate::interrupts::Source;
use crate::queue::{Base, Move, OVERFLOW_FLAG};
use crate::registers::Register;
use crate::violation::Violation;

/// One of the two queues that the device writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Output {
    /// The event queue.
    Events,
    /// The PRI queue.
    Pages,
}

/// How the abort of a write to a queue shows (IMPLEMENTATION DEFINED).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteAborts {
    /// Before PROD moves: the entry is lost, older ones are good.
    Synchronous,
    /// Behind PROD: the entry is shown but was never written, and the error comes with a later
    /// [`Step::ReportAbort`](crate::Step::ReportAbort).
    Asynchronous,
    /// Never: the entry is shown but was never written.
    Unreported,
}

/// Registers and state of one of the queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct OutputQueue {
    pub base: u64,
    pub prod: u32,
    pub cons: u32,
    /// Entries behind PROD that are written and not shown yet.
    pub committed: u32,
    /// PROD is read as it is, stray bits and all.
    pub raw: bool,
    /// One of the committed entries has Last, and LO asks for an interrupt.
    pub last: bool,
    /// The next write aborts.
    pub abort_next: bool,
    /// An abort that GERROR does not show yet.
    pub abort_due: bool,
    /// Entries were read since the last barrier that orders reads ahead of a register write.
    pub entries_read: bool,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Written,
    Full,
    Aborted,
}

impl Output {
    pub(crate) const BOTH: [Self; 2] = [Self::Events, Self::Pages];

    pub(crate) const fn base(self) -> Register {
        match self {
            Self::Events => Register::EventqBase,
            Self::Pages => Register::PriqBase,
        }
    }

    pub(crate) const fn prod(self) -> Register {
        match self {
            Self::Events => Register::EventqProd,
            Self::Pages => Register::PriqProd,
        }
    }

    pub(crate) const fn cons(self) -> Register {
        match self {
            Self::Events => Register::EventqCons,
            Self::Pages => Register::PriqCons,
        }
    }

    pub(crate) const fn enable(self) -> Enable {
        match self {
            Self::Events => Enable::Eventq,
            Self::Pages => Enable::Priq,
        }
    }

    pub(crate) const fn source(self) -> Source {
        match self {
            Self::Events => Source::Eventq,
            Self::Pages => Source::Priq,
        }
    }

    /// EVENTQ_ABT_ERR or PRIQ_ABT_ERR of GERROR.
    pub(crate) const fn abort_error(self) -> u32 {
        match self {
            Self::Events => 1 << 2,
            Self::Pages => 1 << 3,
        }
    }

    pub(crate) const fn entry_bytes(self) -> u64 {
        match self {
            Self::Events => 32,
            Self::Pages => 16,
        }
    }
}

impl Device {
    pub(crate) const fn output(&self, output: Output) -> &OutputQueue {
        match output {
            Output::Events => &self.eventq,
            Output::Pages => &self.priq,
        }
    }

    pub(crate) const fn output_mut(&mut self, output: Output) -> &mut OutputQueue {
        match output {
            Output::Events => &mut self.eventq,
            Output::Pages => &mut self.priq,
        }
    }

    pub(crate) const fn output_limit(&self, output: Output) -> u32 {
        match output {
            Output::Events => self.config.event_limit(),
            Output::Pages => self.config.page_limit(),
        }
    }

    pub(crate) const fn output_base(&self, output: Output) -> Base {
        Base::decode(
            self.output(output).base,
            output.entry_bytes(),
            self.output_limit(output),
            self.config.address_bits(),
        )
    }

    /// Reads PROD.
    pub(crate) const fn read_prod(&self, output: Output) -> u32 {
        let OutputQueue { prod, raw, .. } = *self.output(output);
        if raw {
            return prod;
        }
        prod & OVERFLOW_FLAG | self.output_base(output).shape.pointer(prod)
    }

    /// Writes PROD while the queue is off.
    pub(crate) const fn write_prod(&mut self, output: Output, value: u32) {
        let queue = self.output_mut(output);
        queue.prod = value & 0x800F_FFFF;
        queue.raw = false;
    }

    /// Writes CONS, and checks the move while the queue is on.
    pub(crate) fn write_cons(&mut self, output: Output, value: u32) {
        if !self.is_disabled(output.enable().bits()) {
            self.check_cons(output, value);
        }
        self.output_mut(output).cons = value & 0x800F_FFFF;
    }

    fn check_cons(&mut self, output: Output, value: u32) {
        let register = output.cons();
        let shape = self.output_base(output).shape;
        let OutputQueue { prod, cons: old, entries_read, .. } = *self.output(output);
        match shape.judge(shape.pointer(old), shape.pointer(value), shape.used(prod, old)) {
            Move::Backwards => {
                self.violate(Violation::ConsBackwards { register, old, value, prod });
            }
            Move::Past => self.violate(Violation::ConsPastProd { register, old, value, prod }),
            Move::Forward(freed) if freed != 0 && entries_read => {
                self.violate(Violation::FreedBeforeRead { register, value });
            }
            Move::Forward(_) => {}
        }
        if (value ^ old) & OVERFLOW_FLAG != 0 && !self.has_overflowed(output) {
            self.violate(Violation::FalseOverflowAcknowledge { register, old, value, prod });
        }
    }

    /// Returns whether an overflow of the queue is not acknowledged.
    #[must_use]
    pub const fn has_overflowed(&self, output: Output) -> bool {
        let queue = self.output(output);
        (queue.prod ^ queue.cons) & OVERFLOW_FLAG != 0
    }

    /// Toggles OVFLG if no overflow is waiting for its acknowledge. Entries before the loss are shown
    /// first: a driver that sees the flag sees the queue full.
    pub(crate) fn overflow(&mut self, output: Output) {
        self.show(output);
        if !self.has_overflowed(output) {
            self.output_mut(output).prod ^= OVERFLOW_FLAG;
        }
    }

    /// Writes an entry at PROD, behind those that are written and not shown.
    pub(crate) fn commit(&mut self, output: Output, words: &[u64]) -> Committed {
        let base = self.output_base(output);
        let OutputQueue { prod, cons, committed, .. } = *self.output(output);
        if base.shape.used(prod, cons) + committed >= base.shape.entries() {
            return Committed::Full;
        }
        let pointer = base.shape.advance(prod, committed);
        let address = base.entry(pointer, output.entry_bytes());
        let is_spoiled = std::mem::take(&mut self.output_mut(output).abort_next);
        if !is_spoiled && self.put(address, words, false).is_ok() {
            self.output_mut(output).committed += 1;
            return Committed::Written;
        }
        match self.modes.write_aborts {
            WriteAborts::Synchronous => {
                self.show(output);
                self.activate(output.abort_error());
            }
            WriteAborts::Asynchronous => {
                let queue = self.output_mut(output);
                queue.committed += 1;
                queue.abort_due = true;
            }
            WriteAborts::Unreported => self.output_mut(output).committed += 1,
        }
        Committed::Aborted
    }

    /// Moves PROD over what was written, and asks for the interrupt if the queue was empty till now.
    pub(crate) fn show(&mut self, output: Output) {
        let shape = self.output_base(output).shape;
        let on_last = output == Output::Pages && self.interrupts_on_last();
        let always = self.config.quirks.interrupt_per_record;
        let queue = self.output_mut(output);
        let last = std::mem::take(&mut queue.last);
        if queue.committed == 0 {
            return;
        }
        let was_empty = shape.used(queue.prod, queue.cons) == 0;
        let pointer = shape.advance(queue.prod, queue.committed);
        queue.prod = queue.prod & OVERFLOW_FLAG | pointer;
        queue.committed = 0;
        queue.raw = false;
        if if on_last { last } else { was_empty || always } {
            self.request_interrupt(output.source());
        }
    }

    /// Shows in GERROR that a write was aborted.
    pub(crate) fn report_abort(&mut self, output: Output) {
        self.show(output);
        if std::mem::take(&mut self.output_mut(output).abort_due) {
            self.activate(output.abort_error());
        }
    }

    /// Shows all that has happened to a queue that is being disabled.
    pub(crate) fn finish(&mut self, output: Output) {
        self.show(output);
        self.report_abort(output);
    }

    /// Finds the queue with an entry between CONS and PROD at `address`.
    fn waiting_entry(&self, address: u64) -> Option<Output> {
        Output::BOTH.into_iter().find(|&output| {
            let base = self.output_base(output);
            let offset = address.wrapping_sub(base.address);
            if self.is_disabled(output.enable().bits())
                || offset >= base.bytes(output.entry_bytes())
            {
                return false;
            }
            let index = (offset / output.entry_bytes()) as u32;
            let OutputQueue { prod, cons, .. } = *self.output(output);
            let held = base.shape.used(prod, cons).min(base.shape.entries());
            base.shape.index(index.wrapping_sub(cons)) < held
        })
    }

    pub(crate) fn is_waiting_entry(&self, address: u64) -> bool {
        self.waiting_entry(address).is_some()
    }

    /// Notes that the CPU reads at `address`, which must be over before the entry there is freed.
    pub(crate) fn note_entry_read(&mut self, address: u64) {
        if self.memory.hides_device_writes
            && let Some(output) = self.waiting_entry(address)
        {
            self.output_mut(output).entries_read = true;
        }
    }

    /// Makes the next write of an entry end with an abort, whatever memory is there.
    pub const fn abort_next_write(&mut self, output: Output) {
        self.output_mut(output).abort_next = true;
    }

    /// Makes PROD of a queue read as `value`, stray bits and all, until the device moves it on from
    /// there: a fault injection.
    pub const fn set_prod_raw(&mut self, output: Output, value: u32) {
        let queue = self.output_mut(output);
        queue.prod = value;
        queue.raw = true;
    }

    /// Returns PROD and CONS of a queue.
    #[must_use]
    pub const fn pointers(&self, output: Output) -> (u32, u32) {
        (self.read_prod(output), self.output(output).cons)
    }

    /// Returns how many entries lie between CONS and PROD.
    #[must_use]
    pub const fn used(&self, output: Output) -> u32 {
        let (prod, cons) = self.pointers(output);
        self.output_base(output).shape.used(prod, cons)
    }

    /// Reads the entries between CONS and PROD, oldest first, as the device wrote them. `None` stands
    /// for a word without memory.
    pub(crate) fn entries<const WORDS: usize>(
        &self,
        output: Output,
    ) -> impl Iterator<Item = [u64; WORDS]> {
        let base = self.output_base(output);
        let cons = self.output(output).cons;
        (0..self.used(output).min(base.shape.entries())).map(move |entry| {
            let address = base.entry(cons.wrapping_add(entry), output.entry_bytes());
            std::array::from_fn(|word| self.memory.peek(address + 8 * word as u64).unwrap_or(0))
        })
    }
}
