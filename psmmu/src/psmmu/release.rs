// SPDX-License-Identifier: MIT OR Apache-2.0

//! Taking back what a PSMMU ran on, once it is quiesced.

#![forbid(unsafe_code)]

use super::Psmmu;
use crate::logic::{Entry, Memory, Queue, QueueCounters};
use crate::platform::{DeviceMemory, Registers};
use crate::sync::Lock;

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Takes back what the PSMMU ran on, and counts the events that are dropped with it. It must be
    /// quiet.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn take_memory(&self) -> Option<Memory<M>> {
        self.drop_answers();
        let commands = self.commands.lock().stop();
        let event_queue = self.stop_queue(&self.events, &self.counters.events);
        let pri_queue = self.stop_queue(&self.requests, &self.counters.page_requests);
        // Last, as queues without tables are those of an attachment.
        let tables = self.tables.lock().take();
        let (command_queue, completion) = commands?;
        Some(Memory {
            stream_table: tables?.into_memory(),
            command_queue,
            event_queue: event_queue?,
            pri_queue,
            completion,
        })
    }

    /// Stops a queue and counts what is dropped with it: staged, and left in the device's queue, which is
    /// off. Under one lock: what a CPU consumes until then is not dropped.
    #[cfg_attr(core_from_source, optimize(size))]
    fn stop_queue<E: Entry>(
        &self,
        queue: &Lock<Queue<M, E>>,
        counters: &QueueCounters,
    ) -> Option<M> {
        let mut queue = queue.lock();
        counters.dropped(queue.as_ref()?.unconsumed(&self.registers));
        queue.stop()
    }
}
