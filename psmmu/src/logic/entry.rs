// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a queue that the device fills holds.

#![forbid(unsafe_code)]

use psmmu_abi::{ErrorCause, Event};

use crate::arch::event_record::Record;
use crate::arch::page_request::PageRequest;
use crate::arch::registers::{Gerror, ReadOnly, ReadWrite, Register32};
use crate::platform::DeviceMemory;

/// What a queue that the device fills holds: event [`Record`]s, or
/// [`PageRequest`]s.
pub(crate) trait Entry: Copy + core::fmt::Debug + PartialEq {
    /// 64-bit words of an entry.
    const WORDS: usize;
    /// The queue's producer.
    const PROD: Register32<ReadOnly>;
    /// The queue's consumer.
    const CONS: Register32<ReadWrite>;
    /// What an overflow of the queue is reported as.
    const OVERFLOW: ErrorCause;
    /// What is reported where entries are missing: those of a queue that is inconsistent, and those that
    /// were never written.
    const ABORT: ErrorCause;
    /// The error of a write to the queue.
    const WRITE_ABORT: Gerror;
    /// The error of an MSI of the queue.
    const MSI_ABORT: Gerror;

    /// Copies entry `index` out of the queue in `memory`, and zeroes its slot.
    fn take(memory: &impl DeviceMemory, index: usize) -> Self;

    /// Returns whether the device has written the entry: a slot is zero until it does.
    fn is_written(&self) -> bool;

    /// Returns the StreamID. It stays inside the RMM unless a virtual SMMU owns the stream.
    fn stream_id(&self) -> u32;

    /// Returns whether there is a StreamID at all: not where the layout is not known.
    fn has_stream(&self) -> bool {
        true
    }

    /// Returns what the host may learn of it when no virtual SMMU owns the stream.
    fn event(&self) -> Event;
}

impl Entry for Record {
    const WORDS: usize = Self::WORDS;
    const PROD: Register32<ReadOnly> = Register32::EVENTQ_PROD.read_only();
    const CONS: Register32<ReadWrite> = Register32::EVENTQ_CONS;
    const OVERFLOW: ErrorCause = ErrorCause::EVENTQ_OVERFLOW;
    const ABORT: ErrorCause = ErrorCause::EVENTQ_ABT_ERR;
    const WRITE_ABORT: Gerror = Gerror::EVENTQ_ABT_ERR;
    const MSI_ABORT: Gerror = Gerror::MSI_EVENTQ_ABT_ERR;

    #[inline]
    fn take(memory: &impl DeviceMemory, index: usize) -> Self {
        let first = index.wrapping_mul(Self::WORDS);
        Self::new([0, 1, 2, 3].map(|word| memory.take(first.wrapping_add(word))))
    }

    #[inline]
    fn is_written(&self) -> bool {
        self.is_written()
    }

    #[inline]
    fn stream_id(&self) -> u32 {
        self.stream_id()
    }

    #[inline]
    fn has_stream(&self) -> bool {
        self.has_stream()
    }

    #[inline(always)]
    fn event(&self) -> Event {
        self.event()
    }
}

impl Entry for PageRequest {
    const WORDS: usize = Self::WORDS;
    const PROD: Register32<ReadOnly> = Register32::PRIQ_PROD.read_only();
    const CONS: Register32<ReadWrite> = Register32::PRIQ_CONS;
    const OVERFLOW: ErrorCause = ErrorCause::PRIQ_OVERFLOW;
    const ABORT: ErrorCause = ErrorCause::PRIQ_ABT_ERR;
    const WRITE_ABORT: Gerror = Gerror::PRIQ_ABT_ERR;
    const MSI_ABORT: Gerror = Gerror::MSI_PRIQ_ABT_ERR;

    fn take(memory: &impl DeviceMemory, index: usize) -> Self {
        let first = index.wrapping_mul(Self::WORDS);
        Self::new([0, 1].map(|word| memory.take(first.wrapping_add(word))))
    }

    fn is_written(&self) -> bool {
        self.is_written()
    }

    fn stream_id(&self) -> u32 {
        self.stream_id()
    }

    fn event(&self) -> Event {
        self.event()
    }
}
