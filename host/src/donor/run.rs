// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs one stateful operation to completion.
//!
//! Each iteration of [`Run::complete`] makes one call, whose answer determines the next call. When the
//! host aborts the operation the reason is in [`Run::cause`]: from then on no memory is donated, and the
//! RMM is asked once to cancel, else to stop.

use core::ops::ControlFlow::{self, Break, Continue};

use psmmu_abi::{AddressRange, DonateRequest, MemState, MemoryTransfer, Unknown};

use super::MemoryDonor;
use crate::donated_ranges::Range;
use crate::granules::{self, UndelegateOutcome};
use crate::memory::{Memory, Page};
use crate::operation::{Cause, Limits, OperationError, TransferStats};
use crate::rmi::{Answer, Command, Conduit, Meaning, RetryBudget, Rmi, RmiError};

/// Largest number of blocks donated with one call. An RMM that needs more asks again.
const BATCH: usize = 32;

/// Next step of an operation, as the last answer requires it.
#[derive(Clone, Copy)]
pub(super) enum Next {
    Donate(DonateRequest),
    Reclaim,
    Continue,
    /// End the operation: the host has a [`Run::cause`].
    Abort,
}

/// How an operation ended.
pub(super) enum End {
    Success,
    Failure(Cause),
    /// The operation is still open in the RMM, and the host has no further way to end it.
    StillOpen(Cause),
}

/// One operation.
pub(super) struct Run<'a, C, M, P, const RANGES: usize> {
    rmi: &'a Rmi<C>,
    donor: &'a mut MemoryDonor<M, P, RANGES>,
    command: Command,
    /// Handle from the answer to the command that began the operation; later answers have other values in
    /// X1.
    handle: u64,
    retry_budget: RetryBudget,
    /// Retries of calls that undelegate memory, which is leaked when they are used up.
    undelegate_budget: RetryBudget,
    /// Remaining calls that transfer no memory.
    rounds: u32,
    /// Remaining granules that may be donated.
    granules: u64,
    /// The RMM offers to be cancelled.
    can_cancel: bool,
    /// `OP_CANCEL` was called.
    cancelled: bool,
    /// Why the host aborted the operation, if it did.
    cause: Option<Cause>,
    stats: TransferStats,
}

impl<'a, C: Conduit, M: Memory, P: Page, const RANGES: usize> Run<'a, C, M, P, RANGES> {
    /// Creates the state of the operation `handle` that `command` began.
    pub(super) fn new(
        rmi: &'a Rmi<C>,
        donor: &'a mut MemoryDonor<M, P, RANGES>,
        command: Command,
        handle: u64,
        retry_budget: RetryBudget,
    ) -> Self {
        let Limits { granules, rounds, retries } = donor.limits;
        Self {
            rmi,
            donor,
            command,
            handle,
            retry_budget,
            undelegate_budget: RetryBudget::new(retries),
            rounds,
            granules,
            can_cancel: false,
            cancelled: false,
            cause: None,
            stats: TransferStats::default(),
        }
    }

    /// Makes the calls that the RMM requires until the operation ends.
    pub(super) fn complete(&mut self, mut next: Next) -> End {
        loop {
            if self.rounds == 0 {
                if let Some(cause) = self.cause {
                    return End::StillOpen(cause);
                }
                next = self.abort(Cause::RoundLimit);
                self.rounds = self.donor.limits.rounds;
            }
            let TransferStats { donated, returned, .. } = self.stats;
            let step = match next {
                Next::Donate(request) if self.cause.is_none() => self.donate(request),
                Next::Reclaim => self.reclaim(),
                Next::Continue => self.proceed(),
                Next::Donate(_) | Next::Abort => self.cancel(),
            };
            next = match step {
                Continue(next) => next,
                Break(end) => return end,
            };
            // Transfers are bounded by the number of granules.
            if (donated, returned) == (self.stats.donated, self.stats.returned) {
                self.rounds = self.rounds.saturating_sub(1);
            }
        }
    }

    /// Records why the host aborts the operation; the first cause counts.
    fn abort(&mut self, cause: impl Into<Cause>) -> Next {
        self.cause.get_or_insert(cause.into());
        Next::Abort
    }

    /// Reads an answer of the command that began the operation, of `OP_CONTINUE` or of `OP_CANCEL`: one
    /// that can end it.
    pub(super) fn of_operation(&mut self, answer: Answer) -> ControlFlow<End, Next> {
        match answer.meaning() {
            Meaning::Success => Break(End::Success),
            Meaning::Incomplete { requested, can_cancel } => {
                Continue(self.requested(&answer, requested, can_cancel))
            }
            Meaning::Failure(error) => {
                let started = answer.function != self.command.function();
                let still_open = if started {
                    error.is_busy() || matches!(error, RmiError::Malformed(..))
                } else {
                    error.is_effect_unknown()
                };
                if still_open && self.can_cancel {
                    return Continue(self.abort(error));
                }
                let cause = Cause::Rmi(error);
                Break(if still_open { End::StillOpen(cause) } else { End::Failure(cause) })
            }
        }
    }

    /// Reads an answer of `OP_MEM_DONATE` or `OP_MEM_RECLAIM`, which ends nothing.
    fn of_transfer(&mut self, answer: &Answer) -> Next {
        match answer.meaning() {
            Meaning::Success => Next::Continue,
            Meaning::Incomplete { requested, can_cancel } => {
                self.requested(answer, requested, can_cancel)
            }
            Meaning::Failure(error) => {
                self.abort(error);
                Next::Continue
            }
        }
    }

    /// Reads an "incomplete".
    fn requested(
        &mut self,
        answer: &Answer,
        requested: Option<MemoryTransfer>,
        can_cancel: bool,
    ) -> Next {
        self.can_cancel = can_cancel && !self.cancelled;
        match requested {
            Some(MemoryTransfer::None) => Next::Continue,
            Some(MemoryTransfer::Donate) => Next::Donate(DonateRequest::from_x2(answer.outputs[1])),
            Some(MemoryTransfer::Reclaim) => Next::Reclaim,
            None => {
                let x0 = Unknown(answer.result.x0());
                self.abort(RmiError::Malformed(answer.function, x0))
            }
        }
    }

    /// Continues the operation, or asks the RMM to stop if the host has aborted it.
    fn proceed(&mut self) -> ControlFlow<End, Next> {
        let (handle, stop) = (self.handle, self.cause.is_some());
        let rmi = self.rmi;
        let answer =
            rmi.with_retries(&mut self.retry_budget, false, |rmi| rmi.op_continue(handle, stop));
        self.of_operation(answer)
    }

    /// Cancels the operation if the RMM offers that, else continues.
    fn cancel(&mut self) -> ControlFlow<End, Next> {
        if !self.can_cancel {
            return self.proceed();
        }
        (self.can_cancel, self.cancelled) = (false, true);
        let (handle, rmi) = (self.handle, self.rmi);
        let answer = rmi.with_retries(&mut self.retry_budget, false, |rmi| rmi.op_cancel(handle));
        match answer.meaning() {
            // The operation has ended without the effect of the command.
            Meaning::Success => {
                let cause = self.cause.unwrap_or(Cause::RoundLimit);
                Break(End::Failure(cause))
            }
            Meaning::Incomplete { .. } => self.of_operation(answer),
            Meaning::Failure(_) => Continue(Next::Continue),
        }
    }

    /// Donates memory.
    fn donate(&mut self, request: DonateRequest) -> ControlFlow<End, Next> {
        let mut batch = Batch::new();
        if let Err(cause) = self.fill(request, &mut batch) {
            for range in batch.ranges() {
                self.undelegate(range);
            }
            return Continue(self.abort(cause));
        }
        let size = request.block_size();
        for (index, range) in batch.ranges().enumerate() {
            let blocks = range.granules / size.granules();
            let word = AddressRange::granules(range.address, blocks as u16).word() | size as u64;
            self.donor.page.set_word(index, word);
        }

        let (handle, list, entries) =
            (self.handle, self.donor.page.address(), batch.ranges().count() as u64);
        let rmi = self.rmi;
        let answer = rmi.with_retries(&mut self.retry_budget, false, |rmi| {
            rmi.op_mem_donate(handle, list, entries)
        });
        let next = self.of_transfer(&answer);

        let offered: u64 = batch.ranges().map(|range| range.granules).sum();
        let [count, ..] = answer.outputs;
        let uncertain = match answer.meaning() {
            Meaning::Failure(error @ RmiError::Malformed(..)) => Some(error),
            _ if count > offered => Some(RmiError::Malformed(answer.function, Unknown(count))),
            _ => None,
        };
        // If the count is invalid all of it counts as taken, and is checked at the end of the operation.
        let taken = if uncertain.is_some() { offered } else { count };
        self.record_donation(&batch, taken);
        Continue(match uncertain {
            Some(error) => {
                self.abort(error);
                Next::Continue
            }
            None => next,
        })
    }

    /// Records the first `taken` granules of `batch` as donated, and undelegates the others.
    fn record_donation(&mut self, batch: &Batch, mut taken: u64) {
        self.stats.donated += taken;
        for range in batch.ranges() {
            let (held, rest) = range.split(taken);
            taken -= held.granules;
            if held.granules != 0 && !self.donor.donated_ranges.add(held, self.command.psmmu_ptr())
            {
                self.leak(held);
            }
            if rest.granules != 0 {
                self.undelegate(rest);
            }
        }
    }

    /// Allocates and delegates the requested memory, or the first part of it.
    fn fill(&mut self, request: DonateRequest, batch: &mut Batch) -> Result<(), Cause> {
        let (count, size) = (request.count(), request.block_size().granules());
        let single = request.is_contiguous();
        let known = request.state() == Ok(MemState::Delegated) && count != 0;
        if !known || single && count > AddressRange::MAX_COUNT.into() {
            return Err(Cause::Request(Unknown(request.x2())));
        }
        let room = self.donor.donated_ranges.room().min(BATCH);
        if room == 0 {
            return Err(Cause::NoRoom);
        }
        let (regions, granules) =
            if single { (1, count * size) } else { (count.min(room as u64), size) };
        for _ in 0..regions {
            self.granules =
                self.granules.checked_sub(granules).ok_or(Cause::GranuleLimit(granules))?;
            let address = self.donor.memory.allocate(granules).ok_or(Cause::NoMemory(granules))?;
            let range = Range { address, granules };
            self.delegate(range)?;
            batch.push(range);
        }
        Ok(())
    }

    /// Reclaims memory.
    fn reclaim(&mut self) -> ControlFlow<End, Next> {
        // Stale contents must not be taken for entries of the RMM.
        self.donor.page.clear();
        let room = AddressRange::MAX_ENTRIES as u64;
        let (handle, list, rmi) = (self.handle, self.donor.page.address(), self.rmi);
        let answer = rmi.with_retries(&mut self.retry_budget, false, |rmi| {
            rmi.op_mem_reclaim(handle, list, room)
        });
        let next = self.of_transfer(&answer);
        if matches!(answer.meaning(), Meaning::Failure(_)) {
            return Continue(next);
        }
        let [entries, ..] = answer.outputs;
        if entries > room {
            self.abort(RmiError::Malformed(answer.function, Unknown(entries)));
            return Continue(Next::Continue);
        }
        for index in 0..entries as usize {
            let entry = AddressRange::from_word(self.donor.page.word(index));
            self.reclaim_entry(entry);
        }
        Continue(next)
    }

    /// Reclaims the granules of `entry` that were donated.
    fn reclaim_entry(&mut self, entry: AddressRange) {
        let granules = entry.total_granules();
        if granules == 0 {
            return;
        }
        let range = Range { address: entry.address(), granules };
        let size = entry.block_size().granules();
        let aligned = (range.address / Range::GRANULE).is_multiple_of(size);
        let (true, Ok(state)) = (aligned, entry.state()) else {
            self.count_invalid();
            return;
        };
        let mut unknown = granules;
        while let Some((held, unrecorded)) = self.donor.donated_ranges.take(range) {
            unknown -= held.granules;
            if let Some(unrecorded) = unrecorded {
                self.leak(unrecorded);
            }
            if state == MemState::Undelegated {
                self.donor.memory.free(held.address, held.granules);
                self.stats.returned += held.granules;
            } else {
                self.stats.returned += self.undelegate(held);
            }
        }
        if unknown != 0 {
            self.count_invalid();
        }
    }

    fn count_invalid(&mut self) {
        self.stats.invalid = self.stats.invalid.saturating_add(1);
    }

    /// Delegates `range`; on failure frees or leaks each of its granules.
    fn delegate(&mut self, range: Range) -> Result<(), Cause> {
        let Self { rmi, donor, retry_budget, stats, .. } = self;
        let Range { address, granules } = range;
        granules::delegate(
            rmi,
            address,
            granules,
            retry_budget,
            &mut |address, granules, outcome| {
                settle(donor, stats, Range { address, granules }, outcome);
            },
        )
        .map_err(Cause::Delegate)
    }

    /// Undelegates and frees `range`, and leaks the granules that the RMM does not undelegate. Returns
    /// how many were freed.
    fn undelegate(&mut self, range: Range) -> u64 {
        self.undelegate_or_retain(range, None)
    }

    /// As [`undelegate`](Self::undelegate); granules that the RMM does not undelegate stay donated to the
    /// PSMMU `owner`, if there is one.
    fn undelegate_or_retain(&mut self, range: Range, owner: Option<u64>) -> u64 {
        let Self { rmi, donor, undelegate_budget, stats, .. } = self;
        let Range { address, granules } = range;
        let mut outcome = |address, granules, outcome| {
            let range = Range { address, granules };
            let owner = owner.filter(|_| outcome == UndelegateOutcome::Leaked);
            if owner.is_some_and(|psmmu_ptr| donor.donated_ranges.retain(range, psmmu_ptr)) {
                stats.retained += granules;
            } else {
                settle(donor, stats, range, outcome);
            }
        };
        let back = granules::undelegate(rmi, address, granules, undelegate_budget, &mut outcome);
        granules - back.map_or_else(|error| error.leaked, |()| 0)
    }

    fn leak(&mut self, range: Range) {
        settle(self.donor, &mut self.stats, range, UndelegateOutcome::Leaked);
    }

    /// Settles the memory of the operation and returns its result.
    pub(super) fn settle(mut self, end: End) -> Result<TransferStats, OperationError> {
        let (cause, still_open) = match end {
            End::Success => {
                self.donor.donated_ranges.settle();
                if let Command::PsmmuDeactivate { psmmu_ptr } = self.command {
                    while let Some(rest) = self.donor.donated_ranges.take_of(psmmu_ptr) {
                        self.stats.returned += self.undelegate(rest);
                    }
                }
                return Ok(self.stats);
            }
            End::Failure(cause) => (cause, false),
            End::StillOpen(cause) => (cause, true),
        };
        // An operation that is still open and the RMM's own memory have no later point at which memory is
        // returned.
        let owner =
            Some(self.command.psmmu_ptr()).filter(|&psmmu_ptr| psmmu_ptr != 0 && !still_open);
        while let Some(uncertain) = self.donor.donated_ranges.take_fresh() {
            self.stats.returned += self.undelegate_or_retain(uncertain, owner);
        }
        let Self { command, stats, .. } = self;
        Err(OperationError { command, cause: self.cause.unwrap_or(cause), still_open, stats })
    }
}

/// Frees `range`, or reports it as leaked.
fn settle<M: Memory, P, const RANGES: usize>(
    donor: &mut MemoryDonor<M, P, RANGES>,
    stats: &mut TransferStats,
    range: Range,
    outcome: UndelegateOutcome,
) {
    match outcome {
        UndelegateOutcome::Undelegated => donor.memory.free(range.address, range.granules),
        UndelegateOutcome::Leaked => {
            donor.memory.leak(range.address, range.granules);
            donor.leaked += range.granules;
            stats.leaked += range.granules;
        }
    }
}

/// Regions that are donated with one call.
struct Batch {
    ranges: [Range; BATCH],
    count: usize,
}

impl Batch {
    const fn new() -> Self {
        Self { ranges: [Range { address: 0, granules: 0 }; BATCH], count: 0 }
    }

    fn push(&mut self, range: Range) {
        if let Some(free) = self.ranges.get_mut(self.count) {
            *free = range;
            self.count += 1;
        }
    }

    fn ranges(&self) -> impl Iterator<Item = Range> {
        self.ranges.into_iter().take(self.count)
    }
}
