// SPDX-License-Identifier: MIT OR Apache-2.0

//! `two-devices`: DMA of two streams, started in turn and both under way at once, is reported in the
//! order in which it faulted.

use heapless::Vec;

use super::{Arguments, usage};
use crate::edu::{Access, Dma};
use crate::{bring_up, events};

/// Words of the first and the second device's DMA, and direction; neither number is a divisor of what
/// one call of the RMM stages.
const ROUNDS: [(u32, u32, Access); 4] =
    [(1, 1, Access::Write), (3, 5, Access::Read), (20, 37, Access::Write), (41, 2, Access::Write)];

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("two-devices");
    }
    let mut bench = bring_up::all();
    let [first, second] = bench.two_edus();
    require!(first.stream != second.stream, "both devices have stream {}", first.stream);
    let mut dmas: Vec<Dma, { 2 * ROUNDS.len() }> = Vec::new();
    for (words, other_words, access) in ROUNDS {
        let pair = [Dma::new(access, words), Dma::new(access, other_words)];
        first.start(pair[0]);
        second.start(pair[1]);
        first.finish();
        second.finish();
        dmas.extend(pair);
    }
    events::wait_for(dmas.iter().map(|dma| dma.words as usize).sum());
    let end = events::expect_faults(0, &dmas);
    events::expect_no_more_than(end);
}
