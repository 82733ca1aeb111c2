// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loop that leads one stateful operation to its end.
//!
//! [`Run::lead`] takes one turn after the other; a turn makes one call, and its answer says what the next
//! one is. The host's own reasons to give up are kept in [`Run::cause`]: from then on nothing is handed
//! over any more, and the RMM is asked to cancel, once, or to stop.

use core::ops::ControlFlow::{self, Break, Continue};

use psmmu_abi::{AddressRange, DonateRequest, MemState, MemoryTransfer, Unknown};

use super::MemoryDonor;
use crate::donated_ranges::Range;
use crate::granules::{self, UndelegateOutcome};
use crate::memory::{Memory, Page};
use crate::operation::{Cause, Limits, OperationError, TransferStats};
use crate::rmi::{Answer, Command, Conduit, Meaning, RetryBudget, Rmi, RmiError};

/// Most blocks that are handed over with one call. An RMM that wants more asks again.
const BATCH: usize = 32;

/// What the RMM wants next.
#[derive(Clone, Copy)]
pub(super) enum Next {
    Donate(DonateRequest),
    Reclaim,
    Continue,
    /// To be rid of the operation: the host has a [`Run::cause`].
    GiveUp,
}

/// How an operation ended.
pub(super) enum End {
    Success,
    Failure(Cause),
    /// It did not, but the host is at the end of its means.
    Alive(Cause),
}

/// One operation.
pub(super) struct Run<'a, C, M, P, const RANGES: usize> {
    rmi: &'a Rmi<C>,
    donor: &'a mut MemoryDonor<M, P, RANGES>,
    command: Command,
    /// As the command that began it answered; what comes in X1 later is something else.
    handle: u64,
    retry_budget: RetryBudget,
    /// For memory that comes back, which is leaked otherwise.
    clearing: RetryBudget,
    /// Calls left in which no memory changes hands.
    rounds: u32,
    /// Granules left to hand over.
    granules: u64,
    /// The RMM offers to be cancelled.
    can_cancel: bool,
    /// That was tried.
    cancelled: bool,
    /// Why the host gave up, if it did.
    cause: Option<Cause>,
    stats: TransferStats,
}

impl<'a, C: Conduit, M: Memory, P: Page, const RANGES: usize> Run<'a, C, M, P, RANGES> {
    /// Begins to lead the operation of `command` with this handle.
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
            clearing: RetryBudget::new(retries),
            rounds,
            granules,
            can_cancel: false,
            cancelled: false,
            cause: None,
            stats: TransferStats::default(),
        }
    }

    /// Does what the RMM wants until it wants no more.
    pub(super) fn lead(&mut self, mut next: Next) -> End {
        loop {
            if self.rounds == 0 {
                if let Some(cause) = self.cause {
                    return End::Alive(cause);
                }
                next = self.give_up(Cause::Endless);
                self.rounds = self.donor.limits.rounds;
            }
            let TransferStats { donated, returned, .. } = self.stats;
            let turn = match next {
                Next::Donate(request) if self.cause.is_none() => self.donate(request),
                Next::Reclaim => self.reclaim(),
                Next::Continue => self.proceed(),
                Next::Donate(_) | Next::GiveUp => self.cancel(),
            };
            next = match turn {
                Continue(next) => next,
                Break(end) => return end,
            };
            // What changes hands is bounded by itself.
            if (donated, returned) == (self.stats.donated, self.stats.returned) {
                self.rounds = self.rounds.saturating_sub(1);
            }
        }
    }

    /// Notes why the host gives up, if it did not before.
    fn give_up(&mut self, cause: impl Into<Cause>) -> Next {
        self.cause.get_or_insert(cause.into());
        Next::GiveUp
    }

    /// Reads an answer of the command that began the operation, of `OP_CONTINUE` or of `OP_CANCEL`: one
    /// that can end it.
    pub(super) fn of_operation(&mut self, answer: Answer) -> ControlFlow<End, Next> {
        match answer.meaning() {
            Meaning::Success => Break(End::Success),
            Meaning::Incomplete { wants, can_cancel } => {
                Continue(self.wanted(&answer, wants, can_cancel))
            }
            Meaning::Failure(error) => {
                let started = answer.function != self.command.function();
                let alive = if started {
                    error.is_busy() || matches!(error, RmiError::Malformed(..))
                } else {
                    error.is_doubtful()
                };
                if alive && self.can_cancel {
                    return Continue(self.give_up(error));
                }
                let cause = Cause::Rmi(error);
                Break(if alive { End::Alive(cause) } else { End::Failure(cause) })
            }
        }
    }

    /// Reads an answer of `OP_MEM_DONATE` or `OP_MEM_RECLAIM`, which ends nothing.
    fn of_transfer(&mut self, answer: &Answer) -> Next {
        match answer.meaning() {
            Meaning::Success => Next::Continue,
            Meaning::Incomplete { wants, can_cancel } => self.wanted(answer, wants, can_cancel),
            Meaning::Failure(error) => {
                self.give_up(error);
                Next::Continue
            }
        }
    }

    /// Reads an "incomplete".
    fn wanted(&mut self, answer: &Answer, wants: Option<MemoryTransfer>, can_cancel: bool) -> Next {
        self.can_cancel = can_cancel && !self.cancelled;
        match wants {
            Some(MemoryTransfer::None) => Next::Continue,
            Some(MemoryTransfer::Donate) => Next::Donate(DonateRequest::from_x2(answer.outputs[1])),
            Some(MemoryTransfer::Reclaim) => Next::Reclaim,
            None => {
                let x0 = Unknown(answer.result.x0());
                self.give_up(RmiError::Malformed(answer.function, x0))
            }
        }
    }

    /// Goes on, or asks the RMM to stop if the host gave up.
    fn proceed(&mut self) -> ControlFlow<End, Next> {
        let (handle, stop) = (self.handle, self.cause.is_some());
        let rmi = self.rmi;
        let answer =
            rmi.with_retries(&mut self.retry_budget, false, |rmi| rmi.op_continue(handle, stop));
        self.of_operation(answer)
    }

    /// Cancels if that can be done, else goes on.
    fn cancel(&mut self) -> ControlFlow<End, Next> {
        if !self.can_cancel {
            return self.proceed();
        }
        (self.can_cancel, self.cancelled) = (false, true);
        let (handle, rmi) = (self.handle, self.rmi);
        let answer = rmi.with_retries(&mut self.retry_budget, false, |rmi| rmi.op_cancel(handle));
        match answer.meaning() {
            // Over, but not what the command was to do.
            Meaning::Success => {
                let cause = self.cause.unwrap_or(Cause::Endless);
                Break(End::Failure(cause))
            }
            Meaning::Incomplete { .. } => self.of_operation(answer),
            Meaning::Failure(_) => Continue(Next::Continue),
        }
    }

    /// Hands memory over.
    fn donate(&mut self, request: DonateRequest) -> ControlFlow<End, Next> {
        let mut batch = Batch::new();
        if let Err(cause) = self.fill(request, &mut batch) {
            for range in batch.ranges() {
                self.undelegate(range);
            }
            return Continue(self.give_up(cause));
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
        let doubtful = match answer.meaning() {
            Meaning::Failure(error @ RmiError::Malformed(..)) => Some(error),
            _ if count > offered => Some(RmiError::Malformed(answer.function, Unknown(count))),
            _ => None,
        };
        // In doubt the RMM has all of it: the end of the operation will report.
        let taken = if doubtful.is_some() { offered } else { count };
        self.hand_over(&batch, taken);
        Continue(match doubtful {
            Some(error) => {
                self.give_up(error);
                Next::Continue
            }
            None => next,
        })
    }

    /// Notes that the RMM took the `taken` first granules of `batch`, and takes the rest back.
    fn hand_over(&mut self, batch: &Batch, mut taken: u64) {
        self.stats.donated += taken;
        for range in batch.ranges() {
            let (held, kept) = range.split(taken);
            taken -= held.granules;
            if held.granules != 0 && !self.donor.donated_ranges.add(held, self.command.psmmu()) {
                self.leak(held);
            }
            if kept.granules != 0 {
                self.undelegate(kept);
            }
        }
    }

    /// Allocates and delegates what the RMM asks for, or the first part of it.
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
            self.granules = self.granules.checked_sub(granules).ok_or(Cause::TooMuch(granules))?;
            let address = self.donor.memory.allocate(granules).ok_or(Cause::NoMemory(granules))?;
            let range = Range { address, granules };
            self.delegate(range)?;
            batch.push(range);
        }
        Ok(())
    }

    /// Takes memory back.
    fn reclaim(&mut self) -> ControlFlow<End, Next> {
        // Nothing in it may be taken for an entry of the RMM.
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
            self.give_up(RmiError::Malformed(answer.function, Unknown(entries)));
            return Continue(Next::Continue);
        }
        for index in 0..entries as usize {
            let entry = AddressRange::from_word(self.donor.page.word(index));
            self.take_back(entry);
        }
        Continue(next)
    }

    /// Takes back what `entry` names, as far as the RMM was given it.
    fn take_back(&mut self, entry: AddressRange) {
        let granules = entry.total_granules();
        if granules == 0 {
            return;
        }
        let range = Range { address: entry.address(), granules };
        let size = entry.block_size().granules();
        let aligned = (range.address / Range::GRANULE).is_multiple_of(size);
        let (true, Ok(state)) = (aligned, entry.state()) else {
            self.refuse();
            return;
        };
        let mut strange = granules;
        while let Some((held, homeless)) = self.donor.donated_ranges.take(range) {
            strange -= held.granules;
            if let Some(homeless) = homeless {
                self.leak(homeless);
            }
            if state == MemState::Undelegated {
                self.donor.memory.free(held.address, held.granules);
                self.stats.returned += held.granules;
            } else {
                self.stats.returned += self.undelegate(held);
            }
        }
        if strange != 0 {
            self.refuse();
        }
    }

    fn refuse(&mut self) {
        self.stats.refused = self.stats.refused.saturating_add(1);
    }

    /// Gives `range` to the Realm world, or back to the allocator.
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

    /// Takes `range` from the Realm world and gives it back to the allocator, as far as the RMM lets it
    /// go. Returns how many granules it did.
    fn undelegate(&mut self, range: Range) -> u64 {
        self.undelegate_or_keep(range, None)
    }

    /// As [`undelegate`](Self::undelegate); what the RMM does not let go stays donated to the PSMMU `keeper`,
    /// if there is one.
    fn undelegate_or_keep(&mut self, range: Range, keeper: Option<u64>) -> u64 {
        let Self { rmi, donor, clearing, stats, .. } = self;
        let Range { address, granules } = range;
        let mut outcome = |address, granules, outcome| {
            let range = Range { address, granules };
            let keeper = keeper.filter(|_| outcome == UndelegateOutcome::Leaked);
            if keeper.is_some_and(|psmmu| donor.donated_ranges.keep(range, psmmu)) {
                stats.kept += granules;
            } else {
                settle(donor, stats, range, outcome);
            }
        };
        let back = granules::undelegate(rmi, address, granules, clearing, &mut outcome);
        granules - back.map_or_else(|error| error.leaked, |()| 0)
    }

    fn leak(&mut self, range: Range) {
        settle(self.donor, &mut self.stats, range, UndelegateOutcome::Leaked);
    }

    /// Closes the accounts.
    pub(super) fn settle(mut self, end: End) -> Result<TransferStats, OperationError> {
        let (cause, alive) = match end {
            End::Success => {
                self.donor.donated_ranges.settle();
                if let Command::PsmmuDeactivate { psmmu } = self.command {
                    while let Some(kept) = self.donor.donated_ranges.take_of(psmmu) {
                        self.stats.returned += self.undelegate(kept);
                    }
                }
                return Ok(self.stats);
            }
            End::Failure(cause) => (cause, false),
            End::Alive(cause) => (cause, true),
        };
        // Of an RMM that is still at it, or of its own memory, nothing ever comes back.
        let keeper = Some(self.command.psmmu()).filter(|&psmmu| psmmu != 0 && !alive);
        while let Some(doubtful) = self.donor.donated_ranges.take_fresh() {
            self.stats.returned += self.undelegate_or_keep(doubtful, keeper);
        }
        let Self { command, stats, .. } = self;
        Err(OperationError { command, cause: self.cause.unwrap_or(cause), alive, stats })
    }
}

/// Gives `range` back to the allocator, or says that it is leaked.
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

/// Regions that are handed over with one call.
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
