// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that a PSMMU runs on: what is needed, what was given, and the sizes that fit both.

#![forbid(unsafe_code)]

use psmmu_abi::GRANULE_SIZE;

use super::command_queue::CMDQ_MIN_ENTRIES;
use crate::arch::command::Command;
use crate::arch::event_record::Record;
use crate::arch::l1_descriptor::SPLIT;
use crate::arch::limits::Limits;
use crate::arch::page_request::PageRequest;
use crate::arch::queue_pointer::Log2Size;
use crate::arch::registers::StrtabBase;
use crate::platform::{DeviceMemory, Sizes};

/// What a PSMMU runs on: memory that is its own until it is quiesced.
///
/// Each part is zeroed by the giver; its size decides the size of the queue or table, within what
/// device and platform allow; its address must be a multiple of that size, and all of it must lie where the
/// device can address it ([`Limits`]).
#[derive(Clone, Copy, Debug)]
pub struct Memory<M> {
    /// Level-1 stream table, 8 bytes for each 64 streams; its address is a multiple of 64, too.
    pub stream_table: M,
    /// Command queue, 16 bytes an entry, at least [`CMDQ_MIN_ENTRIES`].
    pub command_queue: M,
    /// Event queue, 32 bytes an entry.
    pub event_queue: M,
    /// PRI queue, 16 bytes an entry, if page requests are to be taken.
    pub pri_queue: Option<M>,
    /// One word of Realm memory that a device with MSIs writes when commands are done, so that a wait reads
    /// memory and not registers. Without it, without MSIs, or where the device cannot address it, CONS is
    /// polled. The same word may be given to each activation of a PSMMU, and to no other PSMMU.
    ///
    /// A deactivation returns it once no MSI can be under way to it. `None` where one was given means that
    /// this is not known: the PSMMU had failed before the device was through with its commands. The word
    /// then stays the device's, until that is reset.
    pub completion: Option<M>,
}

/// The memory that an activation asks for, each part as a number of granules: a power of two, at most
/// 4096, in one piece that is aligned to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRequirements {
    /// Level-1 stream table.
    pub stream_table: u16,
    /// Command queue.
    pub command_queue: u16,
    /// Event queue.
    pub event_queue: u16,
    /// PRI queue, if page requests are wanted.
    pub pri_queue: Option<u16>,
}

impl MemoryRequirements {
    /// Returns what tables and queues of these sizes need, with a PRI queue for `page_requests`.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn of(sizes: &Sizes, page_requests: bool) -> Self {
        let Sizes { streams, commands, events, requests } = *sizes;
        let granules = |log2: u8, entry_words: usize| {
            let bytes = (entry_words * 8).wrapping_shl(log2.into());
            (bytes / GRANULE_SIZE).max(1) as u16
        };
        let tables = streams.saturating_sub(SPLIT as u8);
        Self {
            stream_table: granules(tables, 1),
            command_queue: granules(commands, Command::WORDS),
            event_queue: granules(events, Record::WORDS),
            pri_queue: page_requests.then(|| granules(requests, PageRequest::WORDS)),
        }
    }
}

/// Sizes that fit both device and memory.
pub(crate) struct QueueSizes {
    pub(crate) commands: Log2Size,
    pub(crate) events: Log2Size,
    pub(crate) requests: Option<Log2Size>,
    pub(crate) sid_bits: u32,
}

impl QueueSizes {
    /// Chooses them, or returns `None` when `memory` does not fit: a part is missing, too small or not
    /// aligned, or lies where the device cannot address it.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn choose<M: DeviceMemory>(
        memory: &Memory<M>,
        page_requests: bool,
        sizes: &Sizes,
        limits: &Limits,
    ) -> Option<Self> {
        if page_requests != memory.pri_queue.is_some() {
            return None;
        }
        let Memory { stream_table, command_queue, event_queue, pri_queue, .. } = memory;
        let mut parts = [stream_table, command_queue, event_queue].into_iter().chain(pri_queue);
        let is_table_aligned = StrtabBase::can_hold(stream_table.address());
        if !is_table_aligned || !parts.all(|memory| reaches(limits, memory)) {
            return None;
        }
        let choose = |memory: &M, words, limit: u8| queue_size(memory, words, limit.into());
        let commands = choose(&memory.command_queue, Command::WORDS, sizes.commands)?;
        let events = choose(&memory.event_queue, Record::WORDS, sizes.events)?;
        let requests = match &memory.pri_queue {
            Some(queue) => Some(choose(queue, PageRequest::WORDS, sizes.requests)?),
            None => None,
        };
        // One word of the level-1 table for each 64 streams, so its size is found like a queue's.
        let split = SPLIT as u8;
        let tables = choose(&memory.stream_table, 1, sizes.streams.saturating_sub(split))?;
        let sid_bits = u32::from(sizes.streams.min(tables.log2() + split));
        (commands.entries() >= CMDQ_MIN_ENTRIES).then_some(Self {
            commands,
            events,
            requests,
            sid_bits,
        })
    }
}

/// Returns whether a device with `limits` can address all of `memory`.
#[cfg_attr(core_from_source, optimize(size))]
pub(crate) fn reaches(limits: &Limits, memory: &impl DeviceMemory) -> bool {
    limits.reach(memory.address(), (memory.words() as u64).saturating_mul(8))
}

/// Chooses the size of a queue in `memory`; see [`Log2Size::choose`].
pub(crate) fn queue_size(
    memory: &impl DeviceMemory,
    entry_words: usize,
    limit: u32,
) -> Option<Log2Size> {
    Log2Size::choose(memory.address(), memory.words(), entry_words, limit)
}
