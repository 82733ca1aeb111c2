// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the hardware writes into the event queue, and how much of it a host may learn.
//!
//! The host learns the event number, the address that was fetched, the address that the device used,
//! and a syndrome of four bits; never a StreamID, a SubstreamID or an intermediate address. Fields
//! that an event does not have read as zero, whatever the record holds there.

#![forbid(unsafe_code)]

use psmmu_abi::{Event, EventNumber, Syndrome};

/// A copy of an event record: four words, the first one lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record([u64; Self::WORDS]);

/// Which fields the records of an event have, as masks of what is reported. Those of addresses are extended
/// by their sign, so that the table is a sixth as large.
#[derive(Clone, Copy)]
struct Fields {
    input: i16,
    syndrome: u8,
    fetch: i8,
}

impl Fields {
    /// FetchAddr, bits 55:3 of the fourth word.
    const FETCH_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFF8;
    /// The input address of events that have only its page, bits 63:12.
    const PAGE: i16 = !0xFFF;

    /// Of events without a name, whose layout is not known: nothing but the number.
    const NONE: Self = Self { syndrome: 0, input: 0, fetch: 0 };

    /// Numbers up to this have a place in [`TABLE`](Self::TABLE); the architecture names none above.
    const NUMBERS: usize = 0x26;

    const TABLE: [Self; Self::NUMBERS] = {
        let mut table = [Self::NONE; Self::NUMBERS];
        let mut at = 0;
        while at < EventNumber::ALL.len() {
            let event = EventNumber::ALL[at];
            table[event as usize] = Self::of(event);
            at += 1;
        }
        table
    };

    const fn of(event: EventNumber) -> Self {
        let input = match event {
            EventNumber::BadAtsRequest | EventNumber::PageRequest => Self::PAGE,
            _ if event.has_input_address() => -1,
            _ => 0,
        };
        let class = if event.has_class() { 0b1100 } else { 0 };
        Self {
            syndrome: event.has_access() as u8 | (event.has_stage() as u8) << 1 | class,
            input,
            fetch: if event.has_fetch_address() { -1 } else { 0 },
        }
    }
}

impl Record {
    /// 64-bit words of a record.
    pub(crate) const WORDS: usize = 4;
    /// RnW, bit 35 of the second word, becomes bit 0 of the syndrome.
    const READ_SHIFT: u32 = 35;
    /// S2, bit 39, and CLASS, bits 41:40, become bits 1 and 3:2.
    const STAGE_AND_CLASS_SHIFT: u32 = 38;

    /// Takes the four words of a record.
    #[must_use]
    pub(crate) const fn new(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }

    /// Returns the event number.
    #[must_use]
    pub(crate) const fn number(&self) -> u8 {
        self.0[0] as u8
    }

    /// Returns whether the device has written the record, whose slot was zero: there is no event 0.
    #[inline]
    pub(crate) fn is_written(&self) -> bool {
        self.number() != 0
    }

    /// Returns the StreamID.
    #[inline]
    pub(crate) fn stream_id(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// Returns whether there is a StreamID at all: not where the layout is not known.
    #[inline]
    pub(crate) fn has_stream(&self) -> bool {
        /// A bit for each number that has a name.
        const NAMED: u64 = {
            let mut named = 0;
            let mut at = 0;
            while at < EventNumber::ALL.len() {
                named |= 1 << EventNumber::ALL[at] as u32;
                at += 1;
            }
            named
        };
        NAMED.checked_shr(self.number().into()).is_some_and(|bits| bits & 1 != 0)
    }

    /// Returns what the host may learn of it.
    ///
    /// Of a record whose number the architecture does not name, or leaves to the implementation, the
    /// number alone: where it has which field is not known.
    #[inline(always)]
    pub(crate) fn event(&self) -> Event {
        static TABLE: [Fields; Fields::NUMBERS] = Fields::TABLE;
        let [_, flags, input, fetch] = self.0;
        let fields = TABLE.get(usize::from(self.number())).unwrap_or(&Fields::NONE);
        let syndrome =
            flags >> Self::READ_SHIFT & 1 | flags >> Self::STAGE_AND_CLASS_SHIFT & 0b1110;
        Event::Psmmu {
            number: self.number(),
            fetch_address: fetch & i64::from(fields.fetch).cast_unsigned() & Fields::FETCH_ADDRESS,
            input_address: input & i64::from(fields.input).cast_unsigned(),
            syndrome: Syndrome::from_bits(syndrome & u64::from(fields.syndrome)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(words: [u64; Record::WORDS]) -> (u8, u64, u64, u64) {
        match Record::new(words).event() {
            Event::Psmmu { number, fetch_address, input_address, syndrome } => {
                (number, fetch_address, input_address, syndrome.bits())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_worked_records_of_the_architecture_are_decoded() {
        for (words, expected) in [
            // C_BAD_STREAMID, StreamID 0x1234.
            ([0x0000_1234_0000_0002, 0, 0, 0], (0x02, 0, 0, 0)),
            // C_BAD_STE, StreamID 8, SubstreamID 5.
            ([0x0000_0008_0000_5804, 0, 0, 0], (0x04, 0, 0, 0)),
            // F_STE_FETCH, Reason 0x21, GPCF.
            ([0x0000_0008_0000_0003, 0x1_0021, 0, 0x8000_1040], (0x03, 0x8000_1040, 0, 0)),
            // F_TRANSLATION, stage 2, read, input 0xDEADB000.
            (
                [0x0000_0010_0000_0010, 0x0000_0288_0000_0000, 0xDEAD_B000, 0xDEAD_B000],
                (0x10, 0, 0xDEAD_B000, 0b1011),
            ),
            // F_PERMISSION, stage 2, on a table walk, write.
            (
                [0x0000_0010_0000_0013, 0x0000_1180_0000_0000, 0x4000, 0x9000],
                (0x13, 0, 0x4000, 0b0110),
            ),
            // F_TRANSLATION as QEMU writes it: stream 8, write, stage 2.
            (
                [0x0000_0008_0000_0010, 0x0000_0280_0000_0000, 0x5000_0004, 0x5000_0004],
                (0x10, 0, 0x5000_0004, 0b1010),
            ),
        ] {
            assert_eq!(reported(words), expected);
        }
    }

    #[test]
    fn no_event_discloses_a_field_that_it_does_not_have() {
        for &event in EventNumber::ALL {
            let (number, fetch, input, syndrome) =
                reported([u64::MAX << 8 | event as u64, u64::MAX, u64::MAX, u64::MAX]);
            assert_eq!(number, event as u8);
            assert_eq!(fetch != 0, event.has_fetch_address(), "{event:?}");
            assert_eq!(input != 0, event.has_input_address(), "{event:?}");
            assert_eq!(syndrome & 1 != 0, event.has_access(), "{event:?}");
            assert_eq!(syndrome & 2 != 0, event.has_stage(), "{event:?}");
            assert_eq!(syndrome & 12 != 0, event.has_class(), "{event:?}");
        }
    }

    #[test]
    fn addresses_are_masked_to_their_architectural_bits() {
        let walk = [0x0B, 0, u64::MAX, u64::MAX];
        assert_eq!(reported(walk), (0x0B, 0x00FF_FFFF_FFFF_FFF8, u64::MAX, 0));
        let request = [0x24, 0, u64::MAX, u64::MAX];
        assert_eq!(reported(request), (0x24, 0, 0xFFFF_FFFF_FFFF_F000, 0));
    }

    #[test]
    fn a_record_of_unknown_layout_reports_its_number_alone() {
        let named = |number: &u8| EventNumber::ALL.iter().any(|event| *event as u8 == *number);
        for number in (0..=u8::MAX).filter(|number| !named(number)) {
            let record = [u64::MAX << 8 | u64::from(number), u64::MAX, u64::MAX, u64::MAX];
            assert_eq!(reported(record), (number, 0, 0, 0));
            assert!(!Record::new(record).has_stream(), "{number:#x}: nor is its StreamID one");
        }
    }
}
