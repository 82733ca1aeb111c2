// SPDX-License-Identifier: MIT OR Apache-2.0

//! Formats each event as one line.

use core::fmt;

use psmmu_abi::{Event, EventNumber, FaultClass, Syndrome};

/// Formats an event as one line without a line end, with only the fields that its kind has: `event 0x10
/// F_TRANSLATION  write  stage 2  input 0x5000_0004`.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a>(pub &'a Event);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Event::None => f.write_str("nothing"),
            Event::Error(cause) => write!(f, "error {cause}"),
            Event::Vsmmu { stream_id } => write!(f, "stream {stream_id:#x}, for its virtual SMMU"),
            Event::Psmmu { .. } => {
                EventLine::new(self.0).map_or(Ok(()), |line| f.write_str(line.as_str()))
            }
        }
    }
}

/// The line of an event of the PSMMU as text. It is built without the formatting of `core`, which takes
/// several hundred instructions for each number, as in a burst each event may be printed.
#[derive(Clone, Copy, Debug)]
pub struct EventLine {
    /// Longer than the longest line.
    bytes: [u8; 144],
    length: usize,
}

impl EventLine {
    /// Builds the line that [`Described`] writes; `None` for other events, which are rare.
    #[must_use]
    pub fn new(event: &Event) -> Option<Self> {
        let &Event::Psmmu { number, fetch_address, input_address, syndrome } = event else {
            return None;
        };
        let mut line = Self { bytes: [0; 144], length: 0 };
        line.push("event ");
        line.push_hex(number.into(), 2);
        line.push(" ");
        match EventNumber::try_from(number) {
            Ok(event) => push_fields(&mut line, event, fetch_address, input_address, syndrome),
            Err(_) => {
                line.push("unknown  fetch ");
                line.push_hex(fetch_address, GROUP);
                line.push("  input ");
                line.push_hex(input_address, GROUP);
                line.push("  syndrome ");
                line.push_hex(syndrome.bits(), 1);
            }
        }
        Some(line)
    }

    /// Returns the line, without a line end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Appends `text`; text that does not fit is left out.
    #[inline(always)]
    fn push(&mut self, text: &str) {
        let end = self.length.wrapping_add(text.len());
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(text.as_bytes());
            self.length = end;
        }
    }

    /// Appends a number in hexadecimal, in groups of four digits. The number of digits is rounded up to a
    /// multiple of `least`, 1, 2 or 4.
    fn push_hex(&mut self, number: u64, least: u32) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.push("0x");
        let significant = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..significant.next_multiple_of(least)).rev() {
            let index = (number >> (4 * digit)) as usize & 0xF;
            if let Some(byte) = self.bytes.get_mut(self.length) {
                *byte = DIGITS[index];
                self.length += 1;
            }
            if digit % GROUP == 0 && digit != 0 {
                self.push("_");
            }
        }
    }
}

fn push_fields(
    line: &mut EventLine,
    event: EventNumber,
    fetch_address: u64,
    input_address: u64,
    syndrome: Syndrome,
) {
    line.push(event.name());
    if event.has_access() {
        line.push(if syndrome.is_read() { "  read" } else { "  write" });
    }
    if event.has_stage() {
        line.push(if syndrome.is_stage_2() { "  stage 2" } else { "  stage 1" });
    }
    if event.has_class() {
        match syndrome.class() {
            FaultClass::ContextDescriptor => line.push("  on a context descriptor"),
            FaultClass::TableWalk => line.push("  on a table walk"),
            FaultClass::Input => {}
            FaultClass::Reserved => line.push("  of a reserved class"),
        }
    }
    if event.has_input_address() {
        line.push("  input ");
        line.push_hex(input_address, GROUP);
    }
    if event.has_fetch_address() {
        line.push("  fetch ");
        line.push_hex(fetch_address, GROUP);
    }
}

/// Digits of a group.
const GROUP: u32 = 4;

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use psmmu_abi::ErrorCause;

    use super::*;

    fn psmmu(number: u8, syndrome: Syndrome) -> Event {
        Event::Psmmu { number, fetch_address: 0x8000_1040, input_address: 0x5000_0004, syndrome }
    }

    #[test]
    fn lines_show_the_fields_that_the_event_has_and_no_others() {
        let write = Syndrome::new(false, true, FaultClass::Input);
        let walk = Syndrome::new(true, false, FaultClass::TableWalk);
        for (event, line) in [
            (psmmu(0x10, write), "event 0x10 F_TRANSLATION  write  stage 2  input 0x5000_0004"),
            (psmmu(0x02, write), "event 0x02 C_BAD_STREAMID"),
            (psmmu(0x03, write), "event 0x03 F_STE_FETCH  fetch 0x8000_1040"),
            (
                psmmu(0x0B, walk),
                "event 0x0b F_WALK_EABT  read  stage 1  on a table walk  input 0x5000_0004  \
                 fetch 0x8000_1040",
            ),
            (
                psmmu(0xE0, write),
                "event 0xe0 unknown  fetch 0x8000_1040  input 0x5000_0004  syndrome 0xa",
            ),
            (Event::Error(ErrorCause::EVENTQ_ABT_ERR), "error EVENTQ_ABT_ERR"),
            (
                Event::Error(ErrorCause::CMDQ_ERR.union(ErrorCause::from_bits_retain(1 << 40))),
                "error CMDQ_ERR | 0x10000000000",
            ),
        ] {
            assert_eq!(format!("{}", Described(&event)), line);
        }
    }

    #[test]
    fn addresses_are_grouped_by_four_digits() {
        for (address, text) in [
            (0, "0x0000"),
            (0x1234, "0x1234"),
            (0x1_0000, "0x0001_0000"),
            (0x0012_0000_0000, "0x0012_0000_0000"),
            (u64::MAX, "0xffff_ffff_ffff_ffff"),
        ] {
            let mut line = EventLine { bytes: [0; 144], length: 0 };
            line.push_hex(address, GROUP);
            assert_eq!(line.as_str(), text);
        }
    }

    #[test]
    fn the_longest_line_is_whole() {
        let walk = Syndrome::new(false, true, FaultClass::ContextDescriptor);
        for number in 0..=u8::MAX {
            let (fetch_address, input_address) = (u64::MAX, u64::MAX);
            let event = Event::Psmmu { number, fetch_address, input_address, syndrome: walk };
            let line = format!("{}", Described(&event));
            let last = line.rsplit("  ").next().unwrap_or_default();
            assert!(last.ends_with("_ffff") || !last.contains("0xf"), "{line}");
            assert!(line.len() < 144, "{line}");
        }
    }
}
