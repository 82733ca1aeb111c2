// SPDX-License-Identifier: MIT OR Apache-2.0

//! One readable line for each event.

use core::fmt::{self, Display};

use psmmu_abi::{Event, EventNumber, FaultClass, Syndrome};

/// Writes an event as one line without a line end, with only those fields that its kind has:
/// `event 0x10 F_TRANSLATION  write  stage 2  input 0x5000_0004`.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a>(pub &'a Event);

impl Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Event::None => f.write_str("nothing"),
            Event::Error(cause) => write!(f, "error {cause}"),
            Event::Vsmmu { stream_id } => write!(f, "stream {stream_id:#x}, for its virtual SMMU"),
            Event::Psmmu { number, fetch_address, input_address, syndrome } => {
                f.write_str("event ")?;
                Hex::of(number.into(), 2).fmt(f)?;
                f.write_str(" ")?;
                match EventNumber::try_from(number) {
                    Ok(event) => fields(f, event, fetch_address, input_address, syndrome),
                    Err(_) => write!(
                        f,
                        "unknown  fetch {}  input {}  syndrome {:#x}",
                        Hex::of(fetch_address, GROUP),
                        Hex::of(input_address, GROUP),
                        syndrome.bits()
                    ),
                }
            }
        }
    }
}

fn fields(
    f: &mut fmt::Formatter<'_>,
    event: EventNumber,
    fetch_address: u64,
    input_address: u64,
    syndrome: Syndrome,
) -> fmt::Result {
    f.write_str(event.name())?;
    if event.has_access() {
        f.write_str(if syndrome.is_read() { "  read" } else { "  write" })?;
    }
    if event.has_stage() {
        f.write_str(if syndrome.is_stage_2() { "  stage 2" } else { "  stage 1" })?;
    }
    if event.has_class() {
        match syndrome.class() {
            FaultClass::ContextDescriptor => f.write_str("  on a context descriptor")?,
            FaultClass::TableWalk => f.write_str("  on a table walk")?,
            FaultClass::Input => {}
            FaultClass::Reserved => f.write_str("  of a reserved class")?,
        }
    }
    if event.has_input_address() {
        f.write_str("  input ")?;
        Hex::of(input_address, GROUP).fmt(f)?;
    }
    if event.has_fetch_address() {
        f.write_str("  fetch ")?;
        Hex::of(fetch_address, GROUP).fmt(f)?;
    }
    Ok(())
}

/// Digits of a group.
const GROUP: usize = 4;

/// A number in hexadecimal, in groups of four digits. Made here, since the formatting of `core` spends
/// several hundred instructions on a number, and in a burst each event has two.
struct Hex {
    /// `0x`, 16 digits and 3 underscores; what is in front of `start` is not used.
    text: [u8; 21],
    start: usize,
}

impl Hex {
    /// Writes as many digits as a multiple of `least` has to be; `least` is 2 or 4.
    fn of(number: u64, least: usize) -> Self {
        let mut hex = Self { text: [0; 21], start: 21 };
        let (mut rest, mut digits) = (number, 0);
        while rest != 0 || digits == 0 || digits % least != 0 {
            if digits != 0 && digits % GROUP == 0 {
                hex.push(b'_');
            }
            hex.push(b"0123456789abcdef"[(rest & 0xF) as usize]);
            rest >>= 4;
            digits += 1;
        }
        hex.push(b'x');
        hex.push(b'0');
        hex
    }

    /// Puts a byte in front.
    const fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.text[self.start] = byte;
    }
}

impl Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text[self.start..]).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::ToString;

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
            assert_eq!(Hex::of(address, GROUP).to_string(), text);
        }
    }
}
