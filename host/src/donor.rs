// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs stateful RMI operations (SRO) to completion, and keeps account of the memory donated to the RMM.
//!
//! Two rules apply throughout:
//!
//! - The operation is over when the command that began it, `OP_CONTINUE` or `OP_CANCEL` answers neither
//!   "incomplete" nor "busy". An error of `OP_MEM_DONATE` or `OP_MEM_RECLAIM` concerns that transfer
//!   only: `OP_CONTINUE` follows.
//! - The host owns memory again only when the RMM has undelegated it or has returned it as undelegated.
//!   Memory in an unknown state, after a failure, an impossible count or an operation that does not end,
//!   is undelegated granule by granule: granules that the RMM undelegates are freed, the others are
//!   leaked and never used again. The exception is an operation on a PSMMU that ended with a failure: its
//!   remaining granules stay donated, as the RMM may need them while the device does not respond, and are
//!   returned at deactivation.
//!
//! The loop is in `donor/run.rs`.

mod run;

use core::ops::ControlFlow::{Break, Continue};

use run::Run;

use crate::donated_ranges::DonatedRanges;
use crate::memory::{Memory, Page};
use crate::operation::{Limits, OperationError, TransferStats};
use crate::rmi::{Command, Conduit, RetryBudget, Rmi};

/// Donates memory to the RMM and reclaims it.
///
/// One instance serves all PSMMUs and exists as long as the RMM may hold memory. It records up to
/// `RANGES` regions, adjacent ones as one: a PSMMU needs at most three, and one for each level-2 table.
/// Methods take `&mut self`, so only one CPU at a time can use it.
#[derive(Debug)]
pub struct MemoryDonor<M, P, const RANGES: usize = 64> {
    memory: M,
    /// Holds the address lists of `OP_MEM_DONATE` and `OP_MEM_RECLAIM`.
    page: P,
    donated_ranges: DonatedRanges<RANGES>,
    limits: Limits,
    leaked: u64,
}

impl<M: Memory, P: Page, const RANGES: usize> MemoryDonor<M, P, RANGES> {
    /// Donates from `memory` and passes address lists in `page`, which must have no other user.
    pub const fn new(memory: M, page: P) -> Self {
        Self::with_limits(memory, page, Limits::DEFAULT)
    }

    /// As [`new`](Self::new), with other limits than [`Limits::DEFAULT`].
    pub const fn with_limits(memory: M, page: P, limits: Limits) -> Self {
        Self { memory, page, donated_ranges: DonatedRanges::new(), limits, leaked: 0 }
    }

    /// Returns how many granules are donated to the RMM.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.donated_ranges.total()
    }

    /// Returns how many granules are donated for the PSMMU `psmmu_ptr`; 0 stands for the RMM itself.
    #[must_use]
    pub fn held_for(&self, psmmu_ptr: u64) -> u64 {
        self.donated_ranges.held(psmmu_ptr)
    }

    /// Returns how many granules were leaked in all operations.
    #[must_use]
    pub const fn leaked(&self) -> u64 {
        self.leaked
    }

    /// Returns the allocator that memory is donated from.
    pub const fn memory(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Runs `command` to completion, with at most [`Limits::calls`] calls.
    ///
    /// On success the memory that the RMM took and did not return stays donated. After a successful
    /// [`Command::PsmmuDeactivate`] no memory of that PSMMU is donated.
    ///
    /// # Errors
    /// [`OperationError`]: the RMM failed the command, the host has no memory, or an answer is
    /// inconsistent. All memory of this operation is then the host's again, except granules that stay
    /// donated until the PSMMU is deactivated and granules that are leaked. Memory of earlier operations
    /// stays donated unless the RMM returned it.
    pub fn run<C: Conduit>(
        &mut self,
        rmi: &Rmi<C>,
        command: Command,
    ) -> Result<TransferStats, OperationError> {
        let mut retry_budget = RetryBudget::new(self.limits.retries);
        let first = rmi.with_retries(&mut retry_budget, true, |rmi| rmi.begin(command));
        let [handle, ..] = first.outputs;
        let mut run = Run::new(rmi, self, command, handle, retry_budget);
        let end = match run.of_operation(first) {
            Continue(next) => run.complete(next),
            Break(end) => end,
        };
        run.settle(end)
    }
}
