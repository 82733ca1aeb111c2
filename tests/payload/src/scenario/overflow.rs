// SPDX-License-Identifier: MIT OR Apache-2.0

//! `overflow`: more events than the queue holds, while the host takes no interrupt. QEMU drops what
//! does not fit and says so by EVENTQ_ABT_ERR: all that fitted is reported in order, one ERROR event
//! names the cause, and when it is consumed new events flow.

use psmmu_abi::{ErrorCause, Event, IrqSet};

use super::{Arguments, usage};
use crate::arch::Masked;
use crate::edu::{Access, Dma};
use crate::events::Entry;
use crate::smmu::Smmu;
use crate::{bring_up, events};

/// Entries of the event queue.
const QUEUE: u32 = 512;
const TOO_MANY: u32 = QUEUE + 88;
/// Events of the DMA that follows.
const AFTER: u32 = 40;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("overflow");
    }
    let mut bench = bring_up::all();
    let edu = bench.edu();

    let dma = Dma::new(Access::Write, TOO_MANY);
    let fitted = Dma { words: QUEUE, ..dma };
    let masked = Masked::new();
    edu.run(dma);
    drop(masked);
    events::wait_for(QUEUE as usize + 1);
    let logged = expect_with_error(0, &fitted);
    expect_eq!(events::interrupts(IrqSet::GERROR), 1, "GERROR interrupts");
    expect_eq!(Smmu::new().active_errors(), 0, "active bits of GERROR after CONSUME");
    events::expect_no_more_than(logged);

    let dma = Dma::new(Access::Write, AFTER);
    edu.run(dma);
    events::wait_for(logged + AFTER as usize);
    let logged = events::expect_faults(logged, &[dma]);
    events::expect_no_more_than(logged);
}

/// Checks the events of `dma`, with one ERROR event anywhere among them: the sources have an interrupt
/// each, and no order between them is promised.
fn expect_with_error(first: usize, dma: &Dma) -> usize {
    let error = Entry { source: IrqSet::GERROR, event: Event::Error(ErrorCause::EVENTQ_ABT_ERR) };
    let all = events::count();
    let Some(place) = (first..all).find(|&index| events::entry(index) == error) else {
        fail!("no ERROR event with EVENTQ_ABT_ERR among {} events", all - first)
    };
    let before = Dma { words: (place - first) as u32, ..*dma };
    require!(before.words <= dma.words, "the ERROR event is event {place}");
    let behind =
        Dma { at: dma.at + 4 * u64::from(before.words), words: dma.words - before.words, ..*dma };
    events::expect_faults(first, &[before]);
    events::expect_faults(place + 1, &[behind])
}
