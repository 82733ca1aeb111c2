// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answers to page requests that no virtual SMMU owns: each group is denied by a command, at once or when
//! there is room for it.

#![forbid(unsafe_code)]

use super::Psmmu;
use crate::arch::command::Command;
use crate::arch::page_request::PageRequest;
use crate::logic::{CommandQueue, Staged, TraceEvent, wait};
use crate::platform::{Clock, DeviceMemory, Registers};

impl<R: Registers, M: DeviceMemory> Psmmu<R, M> {
    /// Denies the group of a page request, if it is the last one of it.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn deny(&self, commands: &mut CommandQueue<M>, request: &PageRequest) {
        let Some(denial) = request.denial() else {
            return;
        };
        match commands.as_mut() {
            Some(commands) => self.post_answer(commands, denial),
            None => {
                self.counters.pri_resp_dropped.add(1);
                self.counters.trace.push(TraceEvent::Unanswered(request.stream_id()));
            }
        }
    }

    /// Posts `answer` to a page request, or keeps it until there is room.
    #[cfg_attr(core_from_source, optimize(size))]
    fn post_answer(&self, commands: &mut CommandQueue<M>, answer: Command) {
        self.counters.pri_resp_posted.add(commands.post(&self.registers, answer).into());
        if commands.has_unposted() {
            self.post_answers(commands);
        }
    }

    /// Denies the page requests that are staged, reported or not, and counts them as dropped: the host
    /// consumes them no more. Waits for room in the command queue, and returns whether there was any. Called
    /// with the issue lock, once no CPU can stage or consume.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn deny_staged(&self, clock: &impl Clock) -> bool {
        let is_posted = wait(clock, || {
            let mut commands = self.commands.lock();
            let is_posted = match commands.as_mut() {
                Some(commands) => self.post_answers(commands),
                None => true,
            };
            if !is_posted {
                return None;
            }
            let mut requests = self.requests.lock();
            let Some(queue) = requests.as_mut() else { return Some(()) };
            self.counters.page_requests.dropped(queue.ring_len());
            while let Some(entry) = queue.drop_first() {
                if let Staged::Record(request) = entry {
                    self.deny(&mut commands, &request);
                }
            }
            Some(())
        });
        is_posted.is_ok()
    }

    /// Counts the answers that the device will not be given: those that wait for room, and those to the
    /// requests that are staged.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn drop_answers(&self) {
        let mut dropped = self.commands.lock().drop_unposted();
        if let Some(queue) = self.requests.lock().as_mut() {
            self.counters.page_requests.dropped(queue.ring_len());
            while let Some(entry) = queue.drop_first() {
                let is_last =
                    matches!(entry, Staged::Record(request) if request.denial().is_some());
                dropped = dropped.saturating_add(is_last.into());
            }
        }
        self.counters.pri_resp_dropped.add(dropped);
    }
}
