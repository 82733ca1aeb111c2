// SPDX-License-Identifier: MIT OR Apache-2.0

//! `between`: events that arrive after NOTIFY has answered and before the host consumes are not left
//! behind. When PENDING was 0, the host is done with its interrupt and does not ask again: then a new
//! interrupt must come.

use core::num::NonZeroU32;

use psmmu_abi::{Event, IrqSet};
use psmmu_host::{Serviced, service};

use super::{Arguments, usage};
use crate::arch::Masked;
use crate::bring_up::{self, must};
use crate::edu::{Access, Dma, Edu};
use crate::platform::SMMU;
use crate::smc::RMI;
use crate::{events, gic, time};

/// Enough for all cases.
const BUDGET: NonZeroU32 = NonZeroU32::new(256).unwrap();
const LIMIT: u32 = 1000;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("between");
    }
    let mut bench = bring_up::all();
    let edu = bench.edu();
    // The only event: PENDING is 0.
    let mut logged = case(edu, 0, 1, 0, 3);
    // The first of two: PENDING is 1.
    logged = case(edu, logged, 2, 0, 3);
    // The last, with one call's staging behind it.
    logged = case(edu, logged, 33, 32, 40);
    // The last but one: PENDING is 1 for a single event.
    logged = case(edu, logged, 33, 31, 3);
    events::expect_no_more_than(logged);
}

/// Makes `early` events, and `late` ones after NOTIFY has reported event `at` of the early ones.
/// `logged` events are in the log before; returns how many are afterwards.
fn case(edu: &mut Edu, logged: usize, early: u32, at: u32, late: u32) -> usize {
    let first = Dma::new(Access::Write, early);
    let second = Dma::new(Access::Write, late);
    let masked = Masked::new();
    edu.run(first);

    // The interrupt is taken here and not by the handler, so that it is in no doubt which one is the next.
    let wanted = events::source_irqs().eventq;
    require!(
        time::wait(LIMIT, || gic::waiting().is_some()),
        "no interrupt is pending {LIMIT} ms after {early} events"
    );
    let Some(intid) = gic::acknowledge() else { fail!("the pending interrupt is gone") };
    expect_eq!(intid.raw_value(), wanted, "the interrupt of {early} events");

    let mut reported = 0;
    let mut sink = |source, event: &Event| {
        events::record(source, event);
        if reported == at {
            edu.run(second);
        }
        reported += 1;
    };
    let Serviced { events, more, .. } =
        must(service(&RMI, SMMU, IrqSet::EVENTQ, &mut sink, BUDGET));
    require!(!more, "more is pending after {events} events");
    require!(events >= early, "{early} events came early, {events} are reported");
    if at + 1 == early {
        // Nothing was pending when the last early event was reported, so the late ones were left.
        expect_eq!(events, early, "events in the first interrupt's service");
    }
    gic::end(intid);

    if events < early + late {
        let next = gic::waiting().map(|intid| intid.raw_value());
        expect_eq!(next, Some(wanted), "the interrupt of the {late} events that came late");
    }
    drop(masked);
    let all = logged + (early + late) as usize;
    events::wait_for(all);
    events::expect_faults(logged, &[first, second])
}
