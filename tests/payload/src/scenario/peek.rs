// SPDX-License-Identifier: MIT OR Apache-2.0

//! `peek`: NOTIFY changes nothing, and CONSUME takes what was reported and nothing else.

use psmmu_abi::{Event, IrqSet, Notification};

use super::{Arguments, usage};
use crate::arch::Masked;
use crate::bring_up::{self, must};
use crate::edu::{Access, Dma};
use crate::events;
use crate::platform::SMMU;
use crate::smc::RMI;

const WORDS: u32 = 4;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("peek");
    }
    let mut bench = bring_up::all();
    let dma = Dma::new(Access::Write, WORDS);
    // The interrupt's handler would consume.
    let masked = Masked::new();
    bench.edu().run(dma);
    let mut wanted = dma.events();
    let mut next = || wanted.next().unwrap_or_else(|| fail!("the scenario counts wrongly"));

    for source in [IrqSet::EVENTQ, IrqSet::all(), IrqSet::empty()] {
        consume(source);
    }
    let first = next();
    for round in 0..3 {
        expect_reported(first, true, format_args!("NOTIFY {round}, nothing consumed"));
    }
    for source in [IrqSet::GERROR, IrqSet::PRIQ, IrqSet::CMDQ, IrqSet::empty()] {
        expect_eq!(notify(source), Notification::NONE, "NOTIFY for {source:?}");
        consume(source);
        expect_reported(first, true, format_args!("after CONSUME of {source:?}"));
    }

    consume(IrqSet::EVENTQ);
    // Nothing is reported now, so this one takes nothing.
    consume(IrqSet::EVENTQ);
    expect_reported(next(), true, format_args!("after one CONSUME and a stray one"));
    consume(IrqSet::EVENTQ);
    expect_reported(next(), true, format_args!("the third event"));
    consume(IrqSet::EVENTQ);
    expect_reported(next(), false, format_args!("the last event"));
    consume(IrqSet::EVENTQ);
    expect_eq!(notify(IrqSet::EVENTQ), Notification::NONE, "NOTIFY at the end");
    consume(IrqSet::EVENTQ);

    // The interrupt is still there, and finds nothing.
    drop(masked);
    events::expect_no_more_than(0);
    require!(events::interrupts(IrqSet::EVENTQ) > 0, "the interrupt is lost");
}

fn notify(source: IrqSet) -> Notification {
    must(RMI.irq_notify(SMMU, source))
}

fn consume(source: IrqSet) {
    must(RMI.event_consume(SMMU, source));
}

fn expect_reported(event: Event, pending: bool, when: core::fmt::Arguments<'_>) {
    expect_eq!(notify(IrqSet::EVENTQ), Notification { pending, event }, "{when}");
}
