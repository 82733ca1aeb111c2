// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bad-stream`: a stream without a level-2 stream table. Its record has no address, so none is
//! reported.

use super::{Arguments, usage};
use crate::edu::{Access, Dma, Fault};
use crate::{bring_up, events};

/// The first StreamID without an entry: the bring-up makes one level-2 table.
pub const FIRST: u32 = 64;

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
        let dma = Dma::faulting(Fault::NoTable, access, WORDS);
        edu.run(dma);
        events::wait_for(logged + WORDS as usize);
        logged = events::expect_faults(logged, &[dma]);
    }
    events::expect_no_more_than(logged);
}
