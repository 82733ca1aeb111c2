// SPDX-License-Identifier: MIT OR Apache-2.0

//! `overflow`: more events than the queue holds, while the host takes no interrupt. All that fitted is
//! reported in order, one ERROR event names the cause, and when it is consumed new events flow.
//!
//! An SMMU announces a loss by its overflow flag, which becomes an event of the event queue, behind all that
//! fitted. QEMU as distributed has EVENTQ_ABT_ERR instead, an event of the global errors.

use psmmu_abi::{ErrorCause, Event, IrqSet};

use super::{Arguments, usage};
use crate::arch::Masked;
use crate::edu::{Access, Dma};
use crate::events::Entry;
use crate::smmu::Smmu;
use crate::{bring_up, events, smmu};

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
    let has_flag = smmu::has_realm_side();
    let logged = if has_flag {
        let behind = events::expect_faults(0, &[fitted]);
        let error = Event::Error(ErrorCause::EVENTQ_OVERFLOW);
        let wanted = Entry { source: IrqSet::EVENTQ, event: error };
        expect_eq!(events::entry(behind), wanted, "the event behind all that fitted");
        behind + 1
    } else {
        expect_with_error(0, &fitted)
    };
    let interrupts = u32::from(!has_flag);
    expect_eq!(events::interrupts(IrqSet::GERROR), interrupts, "GERROR interrupts");
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
