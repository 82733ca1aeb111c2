// SPDX-License-Identifier: MIT OR Apache-2.0

//! `burst N [read]`: one DMA makes N records; all are reported exactly once, in the order written, which the
//! input addresses prove.

use psmmu_abi::IrqSet;

use super::{Arguments, usage};
use crate::edu::{Access, Dma};
use crate::target::Target;
use crate::{bring_up, events};

pub fn run(arguments: &Arguments) {
    let (words, access) = match arguments.as_slice() {
        [words] => (words, Access::Write),
        [words, read] if read == "read" => (words, Access::Read),
        _ => usage("burst N [read]"),
    };
    // More do not fit into the queue.
    let words = match words.parse() {
        Ok(words @ 1..=512) => words,
        _ => usage("burst: N is 1 to 512"),
    };
    let mut bench = bring_up::all();
    let dma = Dma::new(access, words);
    let target = Target::of(dma);
    target.scribble();
    let edu = bench.edu();
    edu.run(dma);
    events::wait_for(words as usize);
    target.expect_unchanged(edu.stream);
    let end = events::expect_faults(0, &[dma]);
    events::expect_no_more_than(end);
    // A host that polls would have passed so far.
    require!(events::interrupts(IrqSet::EVENTQ) > 0, "no interrupt came");
}
