// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bad-stream`: a stream without a level-2 stream table. Its record has no address, so the host is told
//! none.

use psmmu_abi::{Event, EventNumber, IrqSet, Syndrome};

use super::{Arguments, usage};
use crate::edu::{Access, Dma};
use crate::{bring_up, events};

/// The first StreamID without an entry: the bring-up makes one level-2 table.
pub const FIRST: u32 = 64;

/// All that the host may hear.
pub const EVENT: Event = Event::Psmmu {
    number: EventNumber::BadStreamId as u8,
    fetch_address: 0,
    input_address: 0,
    syndrome: Syndrome::from_bits(0),
};

const WORDS: u32 = 3;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("bad-stream");
    }
    let mut bench = bring_up::all();
    let edu = bench.edu();
    require!(edu.stream >= FIRST, "stream {} has an entry", edu.stream);
    let mut logged = 0;
    for access in [Access::Write, Access::Read] {
        edu.run(Dma::new(access, WORDS));
        let all = logged + WORDS as usize;
        events::wait_for(all);
        for index in logged..all {
            let entry = events::entry(index);
            expect_eq!(entry.source, IrqSet::EVENTQ, "source of event {index}");
            expect_eq!(entry.event, EVENT, "event {index}");
        }
        logged = all;
    }
    events::expect_no_more_than(logged);
}
