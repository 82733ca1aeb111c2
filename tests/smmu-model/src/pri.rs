// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page requests: the PRI queue, its overflow, and the answers that the device gives by itself (IHI
//! 0070, "PRI queue", "PRI queue overflow").

use crate::Device;
use crate::command::Response;
use crate::control::Enable;
use crate::gerror::PRIQ_ABT_ERR;
use crate::interrupts::Source;
use crate::output::{Committed, Output};
use crate::stream;

/// A page request of a device behind the SMMU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// StreamID.
    pub stream: u32,
    /// SubstreamID, which stands for the PASID.
    pub substream: Option<u32>,
    /// Page request group index, 9 bits.
    pub group: u16,
    /// The last request of its group.
    pub last: bool,
    /// Wants to read.
    pub read: bool,
    /// Wants to write.
    pub write: bool,
    /// Wants to execute.
    pub execute: bool,
    /// Is privileged.
    pub privileged: bool,
    /// The page, bits 63:12.
    pub address: u64,
}

impl PageRequest {
    /// Makes a request to read and write the page at `address`, the last of group `group`.
    #[must_use]
    pub const fn last_of(stream: u32, group: u16, address: u64) -> Self {
        Self {
            stream,
            substream: None,
            group,
            last: true,
            read: true,
            write: true,
            execute: false,
            privileged: false,
            address,
        }
    }

    /// Makes the same request with more of its group to come.
    #[must_use]
    pub const fn more(self) -> Self {
        Self { last: false, ..self }
    }

    /// Makes the same request for a SubstreamID.
    #[must_use]
    pub const fn of(self, substream: u32) -> Self {
        Self { substream: Some(substream), ..self }
    }

    /// Makes a stop marker: no more requests will come for `substream`. It has no answer.
    #[must_use]
    pub const fn stop_marker(stream: u32, substream: u32, group: u16) -> Self {
        let request = Self::last_of(stream, group, 0).of(substream);
        Self { read: false, write: false, ..request }
    }

    /// Returns whether this is a stop marker.
    #[must_use]
    pub const fn is_stop_marker(&self) -> bool {
        self.last && !self.read && !self.write && self.substream.is_some()
    }

    /// Returns the two words of the record.
    #[must_use]
    pub const fn words(&self) -> [u64; 2] {
        let substream = match self.substream {
            Some(substream) => 1 << 63 | (substream as u64 & 0xF_FFFF) << 32,
            None => 0,
        };
        let flags = (self.privileged as u64) << 58
            | (self.execute as u64) << 59
            | (self.read as u64) << 60
            | (self.write as u64) << 61
            | (self.last as u64) << 62;
        [self.stream as u64 | substream | flags, self.group as u64 & 0x1FF | self.address & !0xFFF]
    }

    /// Takes the two words of a record apart.
    #[must_use]
    pub fn from_words([d0, d1]: [u64; 2]) -> Self {
        let flag = |bit: u32| d0 & 1 << bit != 0;
        Self {
            stream: d0 as u32,
            substream: flag(63).then_some((d0 >> 32) as u32 & 0xF_FFFF),
            group: (d1 & 0x1FF) as u16,
            last: flag(62),
            read: flag(60),
            write: flag(61),
            execute: flag(59),
            privileged: flag(58),
            address: d1 & !0xFFF,
        }
    }
}

/// Who answered a page request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answerer {
    /// The driver, with CMD_PRI_RESP.
    Driver,
    /// The device, by itself.
    Device,
}

/// An answer to a group of page requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Who gave it.
    pub by: Answerer,
    /// StreamID.
    pub stream: u32,
    /// SubstreamID, if the answer carries one.
    pub substream: Option<u32>,
    /// Page request group index.
    pub group: u16,
    /// What was answered.
    pub response: Response,
}

impl Device {
    /// Takes the page request at `index` of those that wait.
    pub(crate) fn deliver_page_request(&mut self, index: usize) {
        let Some(request) = self.requests.remove(index) else { return };
        // PRIQEN has no effect while SMMUEN is 0.
        let is_on = self.is_on(Enable::Priq) && self.is_on(Enable::Smmu);
        if !is_on || self.is_active(PRIQ_ABT_ERR) {
            self.fail(&request);
            return;
        }
        // The queue stays closed until the overflow is acknowledged, whatever space there is.
        let committed = if self.has_overflowed(Output::Pages) {
            Committed::Full
        } else {
            self.commit(Output::Pages, &request.words())
        };
        match committed {
            Committed::Written => {
                self.priq.last |= request.last;
                if request.last && !request.is_stop_marker() {
                    self.groups.push((request.stream, request.group));
                }
            }
            Committed::Aborted => {
                if self.is_active(PRIQ_ABT_ERR) {
                    self.fail(&request);
                }
            }
            Committed::Full => {
                self.overflow(Output::Pages);
                self.answer_overflowed(&request);
                if request.last && self.interrupts_on_last() {
                    self.request_interrupt(Source::Priq);
                }
            }
        }
        if !self.modes.split {
            self.show(Output::Pages);
        }
    }

    /// Answers Failure, without a PASID. A stop marker has no answer.
    fn fail(&mut self, request: &PageRequest) {
        if !request.is_stop_marker() {
            self.answer_by_device(request, None, Response::Failure);
        }
    }

    /// Answers the Last of a group that finds the queue full or closed.
    fn answer_overflowed(&mut self, request: &PageRequest) {
        if !request.last || request.is_stop_marker() {
            return;
        }
        let entry = match request.substream {
            Some(_) if !self.config.has_pps() => self.stream_table_entry(request.stream),
            _ => return self.answer_by_device(request, request.substream, Response::Success),
        };
        match entry {
            Ok(entry) => {
                let substream = request.substream.filter(|_| stream::answers_with_pasid(&entry));
                self.answer_by_device(request, substream, Response::Success);
            }
            Err(_) => self.answer_by_device(request, None, Response::Failure),
        }
    }

    fn answer_by_device(
        &mut self,
        request: &PageRequest,
        substream: Option<u32>,
        response: Response,
    ) {
        let PageRequest { stream, group, .. } = *request;
        self.log.answers.push(Answer { by: Answerer::Device, stream, substream, group, response });
    }

    /// Takes the answers to page requests, oldest first: those of the driver that came while SMMUEN
    /// was set, and those that the device gave by itself.
    #[must_use]
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.log.answers)
    }

    /// Returns StreamID and group index of the groups whose Last was queued and that were not answered.
    #[must_use]
    pub fn unanswered_groups(&self) -> &[(u32, u16)] {
        &self.groups
    }

    /// Returns the page requests between CONS and PROD, oldest first, as memory has them.
    #[must_use]
    pub fn queued_page_requests(&self) -> Vec<PageRequest> {
        self.entries::<2>(Output::Pages).map(PageRequest::from_words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_that_of_the_worked_values() {
        let request = PageRequest::last_of(8, 0x1F, 0x7000).of(3);
        assert_eq!(request.words(), [0xF000_0003_0000_0008, 0x701F]);
        assert_eq!(PageRequest::from_words(request.words()), request);
    }

    #[test]
    fn a_stop_marker_has_last_and_a_pasid_and_wants_nothing() {
        let marker = PageRequest::stop_marker(8, 3, 0);
        assert_eq!(marker.words(), [0xC000_0003_0000_0008, 0]);
        assert!(marker.is_stop_marker());
        assert!(!PageRequest::last_of(8, 0, 0).of(3).is_stop_marker());
    }

    #[test]
    fn flags_lie_where_the_architecture_has_them() {
        let request =
            PageRequest { stream: 0, execute: true, privileged: true, ..PageRequest::default() };
        assert_eq!(request.words(), [1 << 58 | 1 << 59, 0]);
        assert_eq!(request.more(), request);
    }
}
