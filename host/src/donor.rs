// SPDX-License-Identifier: MIT OR Apache-2.0

//! Leads stateful operations to their end, and keeps account of the memory that the RMM holds.
//!
//! Two rules carry all of it:
//!
//! - The operation is over when the command that began it, `OP_CONTINUE` or `OP_CANCEL` answers neither
//!   "incomplete" nor "busy". An error of a transfer is only about the transfer: `OP_CONTINUE` follows.
//! - Memory is the host's again when the RMM undelegates it, or gives it back as undelegated, and by
//!   nothing less. So whatever becomes doubtful, by a failure, by a count that cannot be or by an RMM
//!   that never ends, is undelegated granule by granule: what works is freed, the rest is leaked and never
//!   used again. Only when an operation on a PSMMU has ended with a failure does the rest stay donated: the
//!   RMM may need it while the device does not answer, and gives it back at deactivation.
//!
//! The loop is in `donor/run.rs`.

mod run;

use core::ops::ControlFlow::{Break, Continue};

use run::Run;

use crate::donated_ranges::DonatedRanges;
use crate::memory::{Memory, Page};
use crate::operation::{Limits, OperationError, TransferStats};
use crate::rmi::{Command, Conduit, RetryBudget, Rmi};

/// Lends memory to the RMM and takes it back.
///
/// One for all PSMMUs, and for as long as the RMM may hold something. It notes up to `RANGES` regions,
/// neighbours as one: three and one for each level-2 table are enough for a PSMMU. Only one CPU at a
/// time may use it, which the borrow checker sees to.
#[derive(Debug)]
pub struct MemoryDonor<M, P, const RANGES: usize = 64> {
    memory: M,
    /// For the lists of what changes hands.
    page: P,
    donated_ranges: DonatedRanges<RANGES>,
    limits: Limits,
    leaked: u64,
}

impl<M: Memory, P: Page, const RANGES: usize> MemoryDonor<M, P, RANGES> {
    /// Lends from `memory`, and talks about it through `page`, which nobody else may use.
    pub const fn new(memory: M, page: P) -> Self {
        Self::with_limits(memory, page, Limits::DEFAULT)
    }

    /// As [`new`](Self::new), with limits of its own.
    pub const fn with_limits(memory: M, page: P, limits: Limits) -> Self {
        Self { memory, page, donated_ranges: DonatedRanges::new(), limits, leaked: 0 }
    }

    /// Returns how many granules the RMM holds.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.donated_ranges.total()
    }

    /// Returns how many granules the RMM holds for `psmmu`; 0 stands for what it holds for itself.
    #[must_use]
    pub fn held_for(&self, psmmu: u64) -> u64 {
        self.donated_ranges.held(psmmu)
    }

    /// Returns how many granules were leaked in all operations.
    #[must_use]
    pub const fn leaked(&self) -> u64 {
        self.leaked
    }

    /// Returns the memory that is donated from.
    pub const fn memory(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Carries `command` out, to its end, with at most [`Limits::calls`] calls.
    ///
    /// On success the RMM holds what it took and did not give back. After a successful
    /// [`Command::PsmmuDeactivate`] it has no right to anything of that PSMMU.
    ///
    /// # Errors
    /// [`OperationError`]: what the RMM refused, what the host did not have, or what made no sense. The
    /// host then has all memory of this operation again, but for what the RMM keeps until the PSMMU is
    /// deactivated, and for what is leaked. Memory of earlier ones is still held, but for what came back.
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
            Continue(next) => run.lead(next),
            Break(end) => end,
        };
        run.settle(end)
    }
}
