// SPDX-License-Identifier: MIT OR Apache-2.0

//! A PSMMU that runs: tables that are wrong, and a device that faults while the PSMMU is
//! deactivated. Events of one cycle are never reported in the next.

use psmmu_abi::{Function, IrqSet, Notification, ResultWord};

use crate::arch::Masked;
use crate::bring_up::must;
use crate::edu::{Access, Dma, Edu, Fault};
use crate::platform::SMMU;
use crate::scenario::manual::{self, INPUT};
use crate::scenario::raw::{self, NOTHING, WATCHED};
use crate::smc::RMI;
use crate::{events, gic};

/// First StreamIDs of tables that there cannot be.
const NO_TABLES: [u64; 10] = [1, 8, 63, 65, 0xFFFF, 0x1_0000, 0x1_0040, 1 << 24, 1 << 32, !0x3F];
/// X0 of a table that is met.
const MET: u64 = ResultWord::stream_table(2).x0();
/// Events of a DMA.
const WORDS: u32 = 5;

pub fn run(edu: &mut Edu) {
    tables();
    before_it_faults(edu);
    while_records_are_queued(edu);
    while_an_event_is_reported(edu);
}

fn tables() {
    for stream in [0, 64] {
        manual::refused(manual::creation(stream), INPUT);
        manual::refused(manual::destruction(stream), INPUT);
    }
    no_table(!0);
    let regions = manual::activate();
    NO_TABLES.into_iter().for_each(no_table);
    for stream in [0, 64, 0xFFC0] {
        manual::refused(manual::destruction(stream), INPUT);
        let table = manual::st_l2_create(stream);
        manual::refused(manual::creation(stream), MET);
        manual::refused(manual::DEACTIVATION, INPUT);
        manual::st_l2_destroy(stream, table);
        manual::refused(manual::destruction(stream), INPUT);
    }
    for psmmu in [0, SMMU + 1, SMMU + 0x1_0000, SMMU | 1 << 52, !0] {
        for function in
            [Function::PsmmuDeactivate, Function::PsmmuStL2Create, Function::PsmmuStL2Destroy]
        {
            let what = format_args!("{function:?} of unknown {psmmu:#x}");
            raw::expect(what, function.id(), &[psmmu, 0], INPUT, &[]);
        }
    }
    manual::deactivate(&regions);
}

/// Asks for a table that there cannot be, and for its end. Some of the numbers are no StreamIDs at all.
fn no_table(stream: u64) {
    for function in [Function::PsmmuStL2Create, Function::PsmmuStL2Destroy] {
        let what = format_args!("{function:?} of stream {stream:#x}");
        raw::expect(what, function.id(), &[SMMU, stream], INPUT, &[]);
    }
}

/// A DMA that is under way while the PSMMU is deactivated, and fires when it is inactive.
///
/// QEMU lets it through then: the SMMU that emulates the Realm side is the host's own, and off.
/// Nothing is recorded.
fn before_it_faults(edu: &mut Edu) {
    let before = events::count();
    for round in 0..3 {
        let regions = manual::activate();
        let table = manual::st_l2_create(0);
        edu.start(Dma::new(Access::Write, WORDS));
        manual::st_l2_destroy(0, table);
        if round == 2 {
            // It fires between the deactivation and its end.
            let operation = manual::begin(manual::DEACTIVATION, manual::RECLAIM);
            edu.finish();
            operation.reclaim(&regions, 0);
            regions.iter().for_each(|region| region.take_back());
        } else {
            manual::deactivate(&regions);
        }
        if round == 1 {
            // It fires in the next cycle, in which its stream has no table.
            let regions = manual::activate();
            edu.finish();
            events::wait_for(before + WORDS as usize);
            let dma = Dma::faulting(Fault::NoTable, Access::Write, WORDS);
            events::expect_faults(before, &[dma]);
            manual::deactivate(&regions);
        }
        edu.finish();
        expect_silence("inactive");
    }
    events::expect_no_more_while_inactive(before + WORDS as usize);
}

/// Records that no NOTIFY has asked for, and an interrupt that was not taken.
fn while_records_are_queued(edu: &mut Edu) {
    let before = events::count();
    let masked = Masked::new();
    let regions = manual::activate();
    let table = manual::st_l2_create(0);
    edu.run(Dma::new(Access::Write, WORDS));
    manual::st_l2_destroy(0, table);
    edu.run(Dma::faulting(Fault::NoTable, Access::Read, WORDS));
    manual::deactivate(&regions);
    require!(gic::waiting().is_some(), "the interrupt is lost");
    expect_silence("inactive, with an interrupt that waits");
    take_interrupts();
    drop(masked);
    the_next_cycle(before);
}

/// An event that is reported, and not consumed, and more behind it.
fn while_an_event_is_reported(edu: &mut Edu) {
    let before = events::count();
    let masked = Masked::new();
    let regions = manual::activate();
    let dma = Dma::faulting(Fault::NoTable, Access::Write, WORDS);
    edu.run(dma);
    let Some(event) = dma.events().next() else { fail!("a DMA without events") };
    let reported = RMI.irq_notify(SMMU, IrqSet::EVENTQ);
    expect_eq!(reported, Ok(Notification { pending: true, event }), "the first event");
    manual::deactivate(&regions);
    expect_silence("inactive, with an event that was reported");
    take_interrupts();
    drop(masked);
    the_next_cycle(before);
}

/// Activates once more, and finds nothing of what was before.
fn the_next_cycle(before: usize) {
    let regions = manual::activate();
    for source in [IrqSet::GERROR, IrqSet::EVENTQ, IrqSet::PRIQ, IrqSet::all()] {
        events::expect_nothing(source, "in the next cycle");
        must(WATCHED.event_consume(SMMU, source));
        events::poll(source);
    }
    manual::deactivate(&regions);
    events::expect_no_more_while_inactive(before);
}

/// Checks that an inactive PSMMU reports nothing.
fn expect_silence(when: &str) {
    for set in 0..8 {
        let what = format_args!("NOTIFY {when}");
        raw::expect(what, Function::PsmmuIrqNotify.id(), &[SMMU, set], INPUT, &NOTHING);
        let what = format_args!("CONSUME {when}");
        raw::expect(what, Function::PsmmuEventConsume.id(), &[SMMU, set], INPUT, &[]);
    }
}

/// Takes the interrupts that wait, as a host does that has stopped listening.
fn take_interrupts() {
    while let Some(intid) = gic::acknowledge() {
        gic::end(intid);
    }
}
