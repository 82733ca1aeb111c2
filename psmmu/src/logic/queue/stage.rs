// SPDX-License-Identifier: MIT OR Apache-2.0

//! Staging: records are copied to memory of the RMM and their hardware slots freed.
//!
//! The device interrupts only when its queue goes from empty to non-empty, and the host decides
//! whether to ask again before it consumes. Were a slot freed only when the host consumes, a record
//! that arrives in between would find the queue non-empty, raise no interrupt, and stay until the next
//! one. So each NOTIFY first stages what the hardware holds; see `Queue::poll`.
//!
//! The PRI queue is staged in the same way. Its overflow differs in that the device writes nothing more
//! until it is acknowledged, which makes the place of the loss no less true.

#![forbid(unsafe_code)]

use psmmu_abi::ErrorCause;

use super::{Queue, Reported};
use crate::arch::queue_pointer::OVERFLOW;
use crate::logic::counters::QueueCounters;
use crate::logic::enables::is_running;
use crate::logic::entry::Entry;
use crate::logic::ring::{BATCH, Staged};
use crate::logic::waiting::Waiting;
use crate::platform::{DeviceMemory, Registers};

/// Why the hardware queue cannot be staged.
enum Unusable {
    /// This PROD contradicts CONS or itself.
    Inconsistent(u32),
    /// The device has lost its state, or is gone.
    Off,
}

/// Whether a poll has checked that the device has kept its state.
#[derive(Default)]
struct Presence {
    seen: bool,
}

impl Presence {
    /// Finds out, once: one register read.
    #[cold]
    fn check(&mut self, registers: &impl Registers) -> Result<(), Unusable> {
        if !self.seen && !is_running(registers) {
            return Err(Unusable::Off);
        }
        self.seen = true;
        Ok(())
    }
}

impl<M: DeviceMemory, E: Entry> Queue<M, E> {
    /// Stages what the hardware holds, if a poll is needed, and returns what is waiting.
    ///
    /// Register accesses: none while two or more entries are staged; one read when nothing is new behind
    /// a reported event; two reads when there is nothing at all; else two reads and one write. Recoveries
    /// have their own bound: one read more for an overflow or for slots that were not written, one read
    /// and one write more for an overflow that is found with an empty queue, two reads and one write more
    /// for pointers that contradict each other.
    ///
    /// Nothing but records is reported without a check of the enables of the device: a device that has
    /// lost its state shows any PROD, any overflow flag, or nothing.
    ///
    /// The answer is never "nothing, but more".
    pub(crate) fn poll(&mut self, registers: &impl Registers, counters: &QueueCounters) -> Waiting {
        self.unannounced = self.is_unannounced();
        if self.needs_poll()
            && let Err(unusable) = self.stage_batch(registers, counters)
        {
            // The announcement was acknowledged, so it is reported whatever came behind it.
            self.abandon_loss();
            match unusable {
                Unusable::Inconsistent(prod) => self.resync(registers, counters, prod),
                Unusable::Off => self.fail(),
            }
        }
        self.waiting()
    }

    /// Stages records outside of NOTIFY. The next NOTIFY must poll again: it may be for what came since.
    pub(crate) fn poll_unsolicited(
        &mut self,
        registers: &impl Registers,
        counters: &QueueCounters,
    ) {
        self.poll(registers, counters);
        if !self.is_spent() {
            self.unannounce();
        }
    }

    /// Stages what PROD shows, frees the slots, and polls again.
    fn stage_batch(
        &mut self,
        registers: &impl Registers,
        counters: &QueueCounters,
    ) -> Result<(), Unusable> {
        let mut prod = registers.read32(E::PROD);
        let mut device = Presence::default();
        for _ in 0..2 {
            let hw_len = self.hw_len(prod)?;
            let overflowed = self.has_overflowed(prod);
            if hw_len == 0 && !overflowed {
                if self.staged.is_empty() {
                    device.check(registers)?;
                }
                self.drained = true;
                return Ok(());
            }
            if hw_len != 0 {
                registers.read_barrier();
                let records = self.copy(hw_len.min(BATCH), &mut device, registers)?;
                counters.staged(records, hw_len);
                if records != hw_len.min(BATCH) {
                    counters.discarded();
                }
            }
            // While the place of one loss is still ahead, the next is left unacknowledged: the device
            // holds it as one announcement until its own place can be found.
            let acknowledge = overflowed && self.overflow.is_none();
            if acknowledge {
                device.check(registers)?;
                self.cons ^= OVERFLOW;
                counters.overflowed();
            }
            registers.write_barrier();
            registers.write32(E::CONS, self.cons);

            prod = registers.read32(E::PROD);
            let behind = self.hw_len(prod);
            if acknowledge {
                // What was lost between the first PROD read and the acknowledging write will not be
                // announced again, so the loss goes behind all that this second read shows.
                self.overflow =
                    Some(self.size.pointer(if behind.is_ok() { prod } else { self.cons }));
                self.stage_overflow();
            }
            self.drained = behind? == 0 && !self.has_overflowed(prod);
            if !self.staged.is_empty() {
                return Ok(());
            }
            // All that was there was an overflow, and records have come before its place: the second
            // pass stages them.
        }
        Err(Unusable::Inconsistent(prod))
    }

    /// Copies the next `count` entries, moves CONS over them and zeroes their slots, so that one that the
    /// device does not write again is recognised. Where such a slot is, a loss is staged. Returns how
    /// many were records.
    #[inline]
    fn copy(
        &mut self,
        count: u32,
        device: &mut Presence,
        registers: &impl Registers,
    ) -> Result<u32, Unusable> {
        let mut records = 0_u32;
        for _ in 0..count {
            let Some(memory) = &self.memory else { break };
            let record = E::take(memory, self.size.index(self.cons));
            if record.is_written() {
                self.push(Staged::Record(record));
                records = records.wrapping_add(1);
            } else {
                device.check(registers)?;
                self.push_loss(E::ABORT);
            }
            self.cons = self.cons & OVERFLOW | self.size.advance(self.cons, 1);
            self.stage_overflow();
        }
        Ok(records)
    }

    /// Zeroes the slots of the next `count` entries, which must not be freed yet.
    fn clear(&self, count: u32) {
        let Some(memory) = &self.memory else { return };
        let (index, count) = (self.size.index(self.cons), count as usize);
        let to_the_end = count.min((self.size.entries() as usize).wrapping_sub(index));
        let clear = |index: usize, count: usize| {
            memory.clear(index.wrapping_mul(E::WORDS), count.wrapping_mul(E::WORDS));
        };
        clear(index, to_the_end);
        clear(0, count.wrapping_sub(to_the_end));
    }

    /// Stages the outstanding loss if all records before it are staged.
    #[inline]
    fn stage_overflow(&mut self) {
        if self.overflow == Some(self.size.pointer(self.cons)) {
            self.overflow = None;
            self.push(Staged::Loss(E::OVERFLOW));
        }
    }

    /// Stages the outstanding loss, whose place is gone.
    fn abandon_loss(&mut self) {
        if self.overflow.take().is_some() {
            self.push(Staged::Loss(E::OVERFLOW));
        }
    }

    /// Drops what the hardware holds, because it cannot be trusted; the caller reports why. A queue
    /// that has failed is not touched. An overflow that is announced is left to the next poll.
    ///
    /// That leaves no queue without an interrupt: what is there afterwards came while the queue was not
    /// empty, so that the interrupt of the first entry, or a "pending", is still to be served; or it came
    /// into an empty queue and raised one. Only an inconsistent PROD is not announced.
    ///
    /// Its work grows with the queue: a few stores for each slot that is dropped.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn discard(&mut self, registers: &impl Registers, counters: &QueueCounters) {
        if self.failed {
            return;
        }
        self.unannounced = self.is_unannounced();
        let prod = registers.read32(E::PROD);
        let hw_len = self.hw_len(prod);
        self.abandon_loss();
        match hw_len {
            Ok(hw_len) => {
                counters.discarded();
                self.discard_hw(registers, prod, hw_len);
                self.drained = false;
            }
            Err(_) => {
                self.resync(registers, counters, prod);
                self.unannounce();
            }
        }
    }

    /// Resyncs behind an inconsistent PROD: drops what the hardware holds, reports that as a write abort, and
    /// fails the queue if the next PROD is inconsistent, too, or the device is off.
    #[cold]
    #[cfg_attr(core_from_source, optimize(size))]
    fn resync(&mut self, registers: &impl Registers, counters: &QueueCounters, prod: u32) {
        if !is_running(registers) {
            return self.fail();
        }
        self.push_loss(E::ABORT);
        counters.discarded();
        // Where the device has written is not known.
        self.discard_hw(registers, prod, self.size.entries());
        let prod = registers.read32(E::PROD);
        match self.hw_len(prod) {
            Ok(hw_len) => self.drained = hw_len == 0 && !self.has_overflowed(prod),
            Err(_) => self.fail(),
        }
    }

    /// Fails the hardware queue: it is never polled again. The caller of the poll fails the PSMMU.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
        self.drained = true;
    }

    /// Stages that the PSMMU has failed, unless the last entry says so.
    #[cold]
    pub(crate) fn push_failure(&mut self) {
        self.push_loss(E::ABORT);
    }

    /// Moves CONS to `prod` over `count` slots without reading what lies between. An overflow that
    /// `prod` announces stays announced.
    fn discard_hw(&mut self, registers: &impl Registers, prod: u32, count: u32) {
        self.clear(count);
        self.cons = self.cons & OVERFLOW | self.size.pointer(prod);
        registers.write_barrier();
        registers.write32(E::CONS, self.cons);
    }

    /// Returns how many entries are not consumed, in the ring and, unless it was given up, in a
    /// hardware queue that is off. One register read.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn unconsumed(&self, registers: &impl Registers) -> u64 {
        if self.failed {
            return self.staged_len();
        }
        let prod = registers.read32(E::PROD);
        let hw_len = self.hw_len(prod).unwrap_or(0);
        let announced = self.overflow.is_none() && self.has_overflowed(prod);
        self.staged_len().saturating_add(hw_len.into()).saturating_add(announced.into())
    }

    /// Returns how many records `prod` shows beyond CONS.
    fn hw_len(&self, prod: u32) -> Result<u32, Unusable> {
        let hw_len = self.size.used(prod, self.cons);
        let has_stray_bits = prod & !OVERFLOW != self.size.pointer(prod);
        let hides_the_loss =
            self.overflow.is_some_and(|place| self.size.used(place, self.cons) > hw_len);
        if has_stray_bits || hw_len > self.size.entries() || hides_the_loss {
            return Err(Unusable::Inconsistent(prod));
        }
        Ok(hw_len)
    }

    /// Returns whether `prod` announces a loss that is not acknowledged.
    const fn has_overflowed(&self, prod: u32) -> bool {
        (prod ^ self.cons) & OVERFLOW != 0
    }

    /// Stages a loss that is not tied to a record; one with the same loss just before it, if that is
    /// still to be reported.
    #[cfg_attr(core_from_source, optimize(size))]
    fn push_loss(&mut self, cause: ErrorCause) {
        let loss = Staged::Loss(cause);
        if self.reported_is_last() || self.staged.last() != Some(&loss) {
            self.push(loss);
        }
    }

    /// Returns whether the last entry is the one that is reported.
    fn reported_is_last(&self) -> bool {
        self.reported != Reported::No && self.staged.len() == 1
    }

    /// Stages an entry; [`CAPACITY`] says why there is a place.
    #[inline]
    fn push(&mut self, entry: Staged<E>) {
        let pushed = self.staged.push(entry);
        debug_assert!(pushed);
    }
}
