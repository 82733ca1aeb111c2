// SPDX-License-Identifier: MIT OR Apache-2.0

//! A queue that the device fills: what of it is in hardware and what is staged, reported, consumed.

#![forbid(unsafe_code)]

use psmmu_abi::Event;

use super::entry::Entry;
use super::ring::{Ring, Staged};
use super::waiting::Waiting;
use crate::arch::event_record::Record;
use crate::arch::page_request::PageRequest;
use crate::arch::queue_pointer::{Log2Size, OVERFLOW};
use crate::platform::{DeviceMemory, VsmmuLookup};

mod stage;

/// Whether the first staged entry has been reported to the host, and as what. That stays until it is
/// consumed, whichever component owns the stream by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// It has not.
    No,
    /// As an event of the PSMMU, or an error.
    AsPsmmu,
    /// As an event for the virtual SMMU that owned the stream.
    AsVsmmu,
}

/// The event queue of one PSMMU.
pub(crate) type EventQueue<M> = Queue<M, Record>;

/// The PRI queue of one PSMMU.
pub(crate) type PriQueue<M> = Queue<M, PageRequest>;

/// A queue that the device fills: what is in hardware, and what is staged.
///
/// It stays in its place, whether there is a queue or not: its ring is larger than what an RMM's stack should
/// hold, so it is started and stopped and never moved.
#[derive(Debug)]
pub(crate) struct Queue<M, E> {
    /// What the device writes to; `None` while there is no queue.
    memory: Option<M>,
    size: Log2Size,
    /// CONS as last written: pointer and acknowledged overflow flag. Never read back.
    cons: u32,
    staged: Ring<E>,
    reported: Reported,
    /// A PROD read after the last CONS write showed nothing new, so that whatever comes later raises
    /// an interrupt.
    drained: bool,
    /// An acknowledged overflow whose place, behind the record before this pointer, is not yet staged.
    overflow: Option<u32>,
    /// No interrupt announces what is staged or in hardware, so that NOTIFY of the global errors
    /// reports it as well; see [`unannounce`](Self::unannounce).
    unannounced: bool,
    /// The hardware queue is inconsistent, or the device off, and is left alone. Then `drained` is set.
    failed: bool,
}

impl<M, E> Queue<M, E> {
    /// Makes the place of a queue that is not there.
    pub(crate) const fn new() -> Self {
        Self {
            memory: None,
            size: Log2Size::MIN,
            cons: 0,
            staged: Ring::new(),
            reported: Reported::No,
            drained: false,
            overflow: None,
            unannounced: false,
            failed: false,
        }
    }

    /// Returns the queue if it is there.
    #[inline]
    pub(crate) fn as_ref(&self) -> Option<&Self> {
        self.memory.is_some().then_some(self)
    }

    /// Returns the queue if it is there.
    #[inline]
    pub(crate) fn as_mut(&mut self) -> Option<&mut Self> {
        self.memory.is_some().then_some(self)
    }

    /// Drops the first staged entry if it was reported, and returns whether it was.
    #[inline(always)]
    pub(crate) fn consume(&mut self) -> bool {
        match core::mem::replace(&mut self.reported, Reported::No) {
            Reported::No => false,
            _ => self.staged.drop_first(),
        }
    }
}

impl<M: DeviceMemory, E: Entry> Queue<M, E> {
    /// Starts the queue in `memory`, with nothing staged; `cons` is CONS as the device has it.
    pub(crate) fn start(&mut self, memory: M, size: Log2Size, cons: u32) {
        self.memory = Some(memory);
        self.size = size;
        self.cons = cons & OVERFLOW | size.pointer(cons);
        self.staged.clear();
        self.reported = Reported::No;
        self.drained = false;
        self.overflow = None;
        self.unannounced = false;
        self.failed = false;
    }

    /// Stops the queue, and gives back the memory that the device wrote to.
    pub(crate) fn stop(&mut self) -> Option<M> {
        self.memory.take()
    }

    /// Returns how many entries of the ring are not consumed, with a loss that is to come into it.
    pub(crate) fn staged_len(&self) -> u64 {
        (self.staged.len() as u64).saturating_add(self.overflow.is_some().into())
    }

    /// Returns how many entries are staged, reported or not.
    pub(crate) fn ring_len(&self) -> u64 {
        self.staged.len() as u64
    }

    /// Returns the size of the hardware queue.
    pub(crate) const fn size(&self) -> Log2Size {
        self.size
    }

    /// As [`consume`](Self::consume), and returns the entry with what it was reported as.
    pub(crate) fn take_reported(&mut self) -> Option<(Staged<E>, Reported)> {
        let (entry, reported) = (self.staged.first().copied()?, self.reported);
        self.consume().then_some((entry, reported))
    }

    /// Drops the first staged entry, reported or not, and returns it.
    pub(crate) fn drop_first(&mut self) -> Option<Staged<E>> {
        let entry = self.staged.first().copied();
        self.reported = Reported::No;
        self.staged.drop_first();
        entry
    }

    /// Returns whether the hardware queue was given up.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Reports the first staged entry and remembers as what.
    #[inline(always)]
    pub(crate) fn report(&mut self, owners: &impl VsmmuLookup) -> Event {
        match self.staged.first() {
            None => Event::None,
            Some(Staged::Loss(cause)) => {
                self.reported = Reported::AsPsmmu;
                Event::Error(*cause)
            }
            Some(Staged::Record(record)) => {
                let is_owned = match self.reported {
                    Reported::No => owners.is_owned(record.stream_id()) && record.has_stream(),
                    reported => reported == Reported::AsVsmmu,
                };
                if is_owned {
                    self.reported = Reported::AsVsmmu;
                    Event::Vsmmu { stream_id: record.stream_id() }
                } else {
                    self.reported = Reported::AsPsmmu;
                    record.event()
                }
            }
        }
    }

    /// Notes that no interrupt announces what the queue holds: its MSI was lost, it was polled outside
    /// of NOTIFY and that had a result, or NOTIFY did not poll it. Of a lost MSI the error must
    /// have been acknowledged: from then on the next one that is lost is announced anew.
    ///
    /// Until the hardware was seen empty behind this, and all is consumed that was staged by then, a host
    /// that serves the global errors alone is given the events of this queue.
    pub(crate) fn unannounce(&mut self) {
        if !self.failed {
            self.drained = false;
        }
        self.unannounced = true;
    }

    /// Returns whether NOTIFY and CONSUME of the global errors include this queue.
    #[inline]
    pub(crate) fn is_unannounced(&self) -> bool {
        self.unannounced && !self.is_spent()
    }

    /// Returns whether nothing is staged, and whatever comes raises an interrupt of its own.
    fn is_spent(&self) -> bool {
        self.staged.is_empty() && self.drained
    }

    /// As [`poll`](Self::poll), or `None` if there is a reason to poll.
    #[inline(always)]
    pub(crate) fn pending_cached(&self) -> Option<Waiting> {
        (!self.needs_poll()).then(|| self.waiting())
    }

    /// Returns what is waiting, without an access to the device.
    #[inline]
    pub(crate) fn waiting(&self) -> Waiting {
        let staged = self.staged.len();
        Waiting { any: staged != 0, more: staged > 1 || !self.drained }
    }

    /// One entry alone, fresh from a queue that was seen empty behind it, can be reported as the last one:
    /// what came since has raised an interrupt. Reported again, it is asked for by that interrupt; and so it
    /// may be when it was staged for a host that serves the global errors.
    #[inline(always)]
    fn needs_poll(&self) -> bool {
        match self.staged.len() {
            0 => !self.failed,
            1 => {
                !self.failed && (self.reported != Reported::No || !self.drained || self.unannounced)
            }
            _ => false,
        }
    }
}
