// SPDX-License-Identifier: MIT OR Apache-2.0

//! `lifecycle-faults`: fault injection at each step of the lifecycle of a PSMMU, call by call. Each
//! answer has the right status and leaves alone what it must, the RMM answers the next call, and at the
//! end all memory is back.
//!
//! Read the parts in the order of a cycle: [`granules`] that cannot be moved, [`donations`] that are not
//! what was asked for, [`operations`] that are named wrongly or come at the wrong time, [`running`] and
//! what comes while the PSMMU does, or just does not any more, [`pages`] that leave Non-secure PAS.

use psmmu_abi::{Function, Status};

use super::raw::{self, x0};
use super::{Arguments, usage};
use crate::bring_up;
use crate::platform::SMMU;
use crate::{events, pool};

mod donations;
mod granules;
mod operations;
mod pages;
mod running;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("lifecycle-faults");
    }
    while_the_rmm_is_not_active();
    let donor = bring_up::activate_rmm();
    let topology = bring_up::topology();
    let mut bench = bring_up::interrupts_and_devices(&topology, donor);
    for (part, what) in [
        (granules::run as fn(), "granules"),
        (donations::run, "donations"),
        (operations::run, "operations"),
        (pages::run, "pages"),
    ] {
        part();
        expect_that_nothing_is_lost(what);
    }
    running::run(bench.edu());
    expect_that_nothing_is_lost("running");
    // What went wrong left nothing behind that a good cycle would meet.
    bring_up::activate_psmmu(&mut bench.donor);
    bring_up::st_l2_create(&mut bench.donor, bring_up::TABLE);
    bring_up::st_l2_destroy(&mut bench.donor, bring_up::TABLE);
    bring_up::deactivate_psmmu(&mut bench.donor);
    pool::expect_whole();
    events::expect_no_more_while_inactive(events::count());
}

fn expect_that_nothing_is_lost(part: &str) {
    expect_eq!(pool::out(), 0, "granules that did not come back after {part}");
}

fn while_the_rmm_is_not_active() {
    for function in [
        Function::GranuleRangeDelegate,
        Function::GranuleRangeUndelegate,
        Function::PsmmuActivate,
        Function::PsmmuDeactivate,
        Function::PsmmuStL2Create,
        Function::PsmmuStL2Destroy,
        Function::OpContinue,
        Function::OpMemDonate,
        Function::OpMemReclaim,
        Function::OpCancel,
    ] {
        for x1 in [SMMU, 0, crate::platform::POOL] {
            let what = format_args!("{function:?} of {x1:#x} in INIT");
            let arguments = [x1, x1 + pool::GRANULE, 1];
            raw::expect(what, function.id(), &arguments, x0(Status::ErrorGlobal), &[]);
        }
    }
}
