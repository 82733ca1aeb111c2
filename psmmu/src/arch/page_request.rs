// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page requests: what the hardware writes into the PRI queue, and how they are answered.
//!
//! A device asks for pages in groups. Only the last request of a group is answered. A group of a stream
//! without an owner is denied, since nothing can map its pages: answered with InvalidRequest. PCIe takes
//! the other denial, ResponseFailure, for a permanent one: the function then stops its page request
//! interface until software enables it anew, and one stray request would cost its later owner the
//! interface. A stop marker is the end of a process and is never answered.

#![forbid(unsafe_code)]

use psmmu_abi::{Event, EventNumber, Syndrome};

use super::command::Command;

/// A copy of an entry of the PRI queue: two words, the first one lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest([u64; Self::WORDS]);

impl PageRequest {
    /// 64-bit words of a request.
    pub(crate) const WORDS: usize = 2;
    /// Bits of the first word: StreamID 31:0, SubstreamID 51:32, then these.
    const READ: u64 = 1 << 60;
    const WRITE: u64 = 1 << 61;
    const LAST: u64 = 1 << 62;
    const HAS_SUBSTREAM: u64 = 1 << 63;
    const SUBSTREAM_SHIFT: u32 = 32;
    const SUBSTREAM_MASK: u64 = 0xF_FFFF;
    /// Bits of the second word: PRGIndex 8:0, address of the page 63:12.
    const GROUP: u64 = 0x1FF;
    const PAGE: u64 = !0xFFF;

    /// Takes the two words of an entry.
    #[must_use]
    pub(crate) const fn new(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }

    /// Returns the command that denies the group of this request, or `None` if it is not the last of its
    /// group or a stop marker.
    #[must_use]
    pub(crate) fn denial(&self) -> Option<Command> {
        let [first, second] = self.0;
        let is_last = first & Self::LAST != 0;
        let has_substream = first & Self::HAS_SUBSTREAM != 0;
        let is_stop_marker = is_last && has_substream && first & (Self::READ | Self::WRITE) == 0;
        (is_last && !is_stop_marker).then(|| {
            let substream = first >> Self::SUBSTREAM_SHIFT & Self::SUBSTREAM_MASK;
            Command::pri_invalid_request(
                self.stream_id(),
                has_substream.then_some(substream as u32),
                (second & Self::GROUP) as u16,
            )
        })
    }

    /// Returns whether the device has written the request, whose slot was zero.
    ///
    /// A request whose first word is zero comes from stream 0, asks for nothing, ends no group and so
    /// expects no answer; PCIe has no such request. Should a device make it, it is reported as a slot
    /// that was not written.
    pub(crate) fn is_written(&self) -> bool {
        self.0[0] != 0
    }

    /// Returns the StreamID.
    pub(crate) fn stream_id(&self) -> u32 {
        self.0[0] as u32
    }

    /// Returns what the host may learn of it.
    ///
    /// The PRI queue has no event numbers; E_PAGE_REQUEST says best what it is, with the page as the
    /// input address.
    pub(crate) fn event(&self) -> Event {
        Event::Psmmu {
            number: EventNumber::PageRequest as u8,
            fetch_address: 0,
            input_address: self.0[1] & Self::PAGE,
            syndrome: Syndrome::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stream 8, SubstreamID 3, read and write, last, group 0x1F, page 0x7000.
    const WORKED: [u64; 2] = [0xF000_0003_0000_0008, 0x701F];

    #[test]
    fn the_worked_request_is_reported_as_its_page_and_nothing_else() {
        let request = PageRequest::new(WORKED);
        assert_eq!(request.stream_id(), 8);
        assert_eq!(
            request.event(),
            Event::Psmmu {
                number: 0x24,
                fetch_address: 0,
                input_address: 0x7000,
                syndrome: Syndrome::default(),
            }
        );
    }

    #[test]
    fn only_the_last_of_a_group_is_answered_and_a_stop_marker_never() {
        let answer = |first| PageRequest::new([first, WORKED[1]]).denial();
        // SSV, SubstreamID 3, StreamID 8; group 0x1F; response 1.
        let words = [0x0000_0008_0000_3841, 0x101F];
        assert_eq!(answer(WORKED[0]).map(|command| command.words()), Some(words));
        assert_eq!(answer(WORKED[0] & !PageRequest::LAST), None);
        let stop = WORKED[0] & !(PageRequest::READ | PageRequest::WRITE);
        assert_eq!(answer(stop), None);
        // Without a SubstreamID it is an ordinary request for nothing.
        let bare = stop & !PageRequest::HAS_SUBSTREAM;
        assert_eq!(answer(bare).map(|command| command.words()[0]), Some(0x0000_0008_0000_0041));
    }
}
