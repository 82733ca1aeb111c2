// SPDX-License-Identifier: MIT OR Apache-2.0

//! `losses`: bursts beyond the event queue, with more faults while the host still reads. The SMMU announces
//! each loss by its overflow flag, and the ERROR event for it stands where the loss was: behind what was in
//! the queue, before what came once the loss was acknowledged and seen.

use psmmu_abi::{ErrorCause, Event, IrqSet};
use psmmu_host::Described;

use super::{Arguments, usage};
use crate::arch::Masked;
use crate::edu::{Access, Dma};
use crate::events::Entry;
use crate::platform::SMMU;
use crate::smc::RMI;
use crate::{bring_up, events, smmu};

/// Entries of the event queue.
const QUEUE: u32 = 512;
/// Words of the DMA that does not fit, of which [`QUEUE`] do.
const TOO_MANY: u32 = QUEUE + 300;
/// Words of the DMA that comes while the host reads. One call stages 32 records, so all of them fit.
const MEANWHILE: u32 = 30;
/// Events that the host reads before that: one, some of those that one call stages, more than those.
const READ: [u32; 3] = [1, 20, 70];

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("losses");
    }
    require!(smmu::has_realm_side(), "the SMMU has no Realm side, and no overflow flag");
    let mut bench = bring_up::all();
    let edu = bench.edu();
    let mut logged = 0;
    for read in READ {
        let (burst, meanwhile) =
            (Dma::new(Access::Write, TOO_MANY), Dma::new(Access::Write, MEANWHILE));
        let masked = Masked::new();
        edu.run(burst);
        for _ in 0..read {
            take_one();
        }
        edu.run(meanwhile);
        drop(masked);
        let fitted = Dma { words: QUEUE, ..burst };
        events::poll(IrqSet::EVENTQ);
        logged = expect_one_loss(logged, [fitted, meanwhile]);
        expect_eq!(
            events::count(),
            logged,
            "events after {read} were read before the second burst"
        );
        expect_eq!(events::interrupts(IrqSet::GERROR), 0, "GERROR interrupts");
    }
    events::expect_no_more_than(logged);
}

/// Takes one event from the RMM.
fn take_one() {
    let notification = bring_up::must(RMI.irq_notify(SMMU, IrqSet::EVENTQ));
    events::record(IrqSet::EVENTQ, &notification.event);
    bring_up::must(RMI.event_consume(SMMU, IrqSet::EVENTQ));
}

/// Checks that the log holds, from entry `first` on, the events of both transfers in order, and one ERROR
/// event behind all of the first. Returns the index of the entry behind them.
fn expect_one_loss(first: usize, dmas: [Dma; 2]) -> usize {
    let loss = Entry { source: IrqSet::EVENTQ, event: Event::Error(ErrorCause::EVENTQ_OVERFLOW) };
    let mut index = first;
    let mut losses = 0;
    for (part, dma) in dmas.into_iter().enumerate() {
        for wanted in dma.events() {
            let mut entry = events::entry(index);
            if entry == loss {
                require!(part == 1, "event {index} is the loss, before what had fitted");
                losses += 1;
                index += 1;
                entry = events::entry(index);
            }
            require!(
                entry.source == IrqSet::EVENTQ && entry.event == wanted,
                "event {index}: expected '{}', came '{}'",
                Described(&wanted),
                Described(&entry.event)
            );
            index += 1;
        }
    }
    if losses == 0 {
        expect_eq!(events::entry(index), loss, "the event behind the second burst");
        index += 1;
        losses += 1;
    }
    expect_eq!(losses, 1, "losses");
    index
}
