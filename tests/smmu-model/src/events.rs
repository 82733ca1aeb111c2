// SPDX-License-Identifier: MIT OR Apache-2.0

//! The event queue: records wait in the device, are written, overflow, or are lost (IHI 0070, "Event
//! queue", "Event queue overflow").

use crate::Device;
use crate::cmdq::Invalidation;
use crate::control::Enable;
use crate::gerror::EVENTQ_ABT_ERR;
use crate::output::{Committed, Output};
use crate::record::Record;

/// Why a record was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The queue was full. The first loss toggles OVFLG.
    Overflow,
    /// Its write was aborted.
    Abort,
    /// EVENTQ_ABT_ERR was active: no sign of it anywhere.
    Error,
    /// The queue was off: no sign of it anywhere.
    Disabled,
}

impl Device {
    /// Tries to write the record at `index` of those that wait.
    pub(crate) fn deliver_record(&mut self, index: usize) {
        let Some(record) = self.records.remove(index) else { return };
        let is_stopped =
            self.is_active(EVENTQ_ABT_ERR) && !self.config.quirks.records_despite_abort;
        if !self.is_on(Enable::Eventq) {
            self.lose(record, Loss::Disabled);
        } else if is_stopped {
            self.lose(record, Loss::Error);
        } else {
            self.write_record(record);
        }
    }

    fn write_record(&mut self, record: Record) {
        match self.commit(Output::Events, &record.0) {
            Committed::Written => {}
            Committed::Aborted => self.lose(record, Loss::Abort),
            Committed::Full => {
                self.lose(record, Loss::Overflow);
                if self.config.quirks.overflow_is_abort {
                    self.activate(EVENTQ_ABT_ERR);
                } else {
                    self.overflow(Output::Events);
                }
            }
        }
        if !self.modes.split {
            self.show(Output::Events);
        }
    }

    fn lose(&mut self, record: Record, loss: Loss) {
        self.log.losses.push((record, loss));
    }

    /// Drops records that wait: their transactions are terminated.
    pub(crate) fn drop_uncommitted_records(&mut self) {
        for record in std::mem::take(&mut self.records) {
            self.lose(record, Loss::Disabled);
        }
    }

    /// Writes the records of transactions that `invalidation` terminates: a CMD_SYNC behind it waits
    /// until they are visible or lost.
    pub(crate) fn flush_records(&mut self, invalidation: Invalidation) {
        let is_hit = |record: &Record| match invalidation {
            Invalidation::Streams { first, last, .. } => (first..=last).contains(&record.stream()),
            Invalidation::Configuration | Invalidation::Translations(_) => true,
        };
        while let Some(index) = self.records.iter().position(is_hit) {
            self.deliver_record(index);
        }
    }

    /// Lets `record` wait for its [`Step::DeliverRecord`](crate::Step::DeliverRecord), or, if records
    /// are merged and an equal one waits, drops it.
    pub(crate) fn enqueue_record(&mut self, record: Record, may_merge: bool) {
        let merges = self.modes.merges && (may_merge || record.merges_always());
        if !(merges && self.records.iter().any(|waiting| waiting.equals(&record))) {
            self.records.push_back(record);
        }
    }

    /// Takes the records that were lost, oldest first, and why.
    #[must_use]
    pub fn take_losses(&mut self) -> Vec<(Record, Loss)> {
        std::mem::take(&mut self.log.losses)
    }

    /// Notes what lies in a queue that goes off: the driver may still read it, and has dropped what it
    /// does not.
    pub(crate) fn note_unconsumed_records(&mut self) {
        let left = self.queued_records();
        self.log.unconsumed.extend(left);
    }

    /// Takes the records that lay between CONS and PROD when EVENTQEN went off, oldest first: what the
    /// driver dropped, unless it read them later.
    #[must_use]
    pub fn take_unconsumed_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.log.unconsumed)
    }

    /// Returns the records between CONS and PROD, oldest first, as memory has them.
    #[must_use]
    pub fn queued_records(&self) -> Vec<Record> {
        self.entries::<4>(Output::Events).map(Record).collect()
    }

    /// Returns the records that wait for their [`Step::DeliverRecord`](crate::Step::DeliverRecord).
    pub fn waiting_records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }
}
