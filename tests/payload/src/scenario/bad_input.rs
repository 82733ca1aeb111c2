// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bad-input`: whatever a host may get wrong in calls about a PSMMU, in each state of the RMM and of
//! the PSMMU. The status is the right one, all outputs are zero, the host's registers and pages are
//! left alone, nothing is consumed, and the RMM answers the next call.

use psmmu_abi::SMCCC_NOT_SUPPORTED;
use psmmu_abi::{Event, Function, IrqSet, Notification, PsmmuParamsFlags, Status};

use super::raw::{self, NOT_HOST_MEMORY, NOTHING, OFFSETS, x0};
use super::{Arguments, usage};
use crate::arch::Masked;
use crate::edu::{Access, Dma};
use crate::granule::Granule;
use crate::platform::SMMU;
use crate::smmu;
use crate::{bring_up, events};

static PAGE: Granule = Granule::new();

const EVENTQ: u64 = IrqSet::EVENTQ.bits();
/// Bits of a set that mean nothing.
const RESERVED: u64 = !IrqSet::all().bits();
/// Bit 16 of a function identifier, a hint that EL3 passes on.
const SVE_HINT: u64 = psmmu_abi::SVE_HINT;

/// Names that no PSMMU has.
const UNKNOWN: [u64; 9] = [
    0,
    SMMU + 1,
    SMMU + 0x1000,
    SMMU + 0x1_0000,
    SMMU - 0x1000,
    SMMU | 1 << 32,
    SMMU | 1 << 52,
    SMMU | 1 << 63,
    !0,
];

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("bad-input");
    }
    while_the_rmm_is_not_active();
    let donor = bring_up::activate_rmm();
    while_the_psmmu_is_not_active();

    let topology = bring_up::topology();
    let mut bench = bring_up::interrupts_and_devices(&topology, donor);
    bring_up::activate_psmmu(&mut bench.donor);
    bring_up::st_l2_create(&mut bench.donor, bring_up::TABLE);
    while_the_psmmu_is_active();

    let edu = bench.edu();
    let reported = Dma::new(Access::Write, 1);
    let masked = Masked::new();
    edu.run(reported);
    let Some(event) = reported.events().next() else { fail!("a DMA without events") };
    while_an_event_is_reported(event);
    drop(masked);

    let dma = Dma::new(Access::Write, 3);
    edu.run(dma);
    events::wait_for(3);
    let end = events::expect_faults(0, &[dma]);
    events::expect_no_more_than(end);
}

fn while_the_rmm_is_not_active() {
    const WRONG_STATE: Status = Status::ErrorGlobal;
    unknown_functions();
    for psmmu in [SMMU, 0] {
        let page = PAGE.address();
        for function in [Function::PsmmuInfo, Function::PsmmuActivate] {
            let what = format_args!("{function:?} of {psmmu:#x} in INIT");
            raw::expect_untouched(what, function, &[psmmu, page], WRONG_STATE, &PAGE);
        }
        notify("in INIT", &[psmmu, EVENTQ], WRONG_STATE, NOTHING);
        consume("in INIT", &[psmmu, EVENTQ], WRONG_STATE);
    }
}

fn while_the_psmmu_is_not_active() {
    const WHEN: &str = "before PSMMU_ACTIVATE";
    unknown_functions();
    let page = PAGE.address();
    let what = format_args!("RMM_ACTIVATE again");
    raw::expect(what, Function::RmmActivate.id(), &[], x0(Status::ErrorGlobal), &[]);
    let what = format_args!("CONFIG_SET after RMM_ACTIVATE");
    raw::expect(what, Function::RmmConfigSet.id(), &[page], x0(Status::ErrorGlobal), &[]);

    psmmus_that_do_not_exist(WHEN);
    for set in [EVENTQ, 0, RESERVED, !0] {
        notify(WHEN, &[SMMU, set], Status::ErrorInput, NOTHING);
        consume(WHEN, &[SMMU, set], Status::ErrorInput);
    }
    pages_that_are_not_the_hosts(Function::PsmmuInfo);
    info(0);

    pages_that_are_not_the_hosts(Function::PsmmuActivate);
    for flag in [PsmmuParamsFlags::MSI, PsmmuParamsFlags::ATS, PsmmuParamsFlags::PRI] {
        PAGE.fill(0);
        PAGE.set_word(0, flag.bits());
        let what = format_args!("PSMMU_ACTIVATE with {flag:?}, which the SMMU does not have");
        let fid = Function::PsmmuActivate.id();
        raw::expect(what, fid, &[SMMU, page], x0(Status::ErrorInput), &[]);
    }
    // Nothing of all that has activated it.
    notify(WHEN, &[SMMU, EVENTQ], Status::ErrorInput, NOTHING);
}

fn while_the_psmmu_is_active() {
    const WHEN: &str = "after PSMMU_ACTIVATE";
    unknown_functions();
    PAGE.fill(0);
    let what = format_args!("PSMMU_ACTIVATE again");
    let again = [SMMU, PAGE.address()];
    raw::expect(what, Function::PsmmuActivate.id(), &again, x0(Status::ErrorInput), &[]);

    psmmus_that_do_not_exist(WHEN);
    for set in [EVENTQ, 0, IrqSet::CMDQ.bits(), RESERVED, RESERVED | EVENTQ, !0] {
        notify(WHEN, &[SMMU, set], Status::Success, NOTHING);
        consume(WHEN, &[SMMU, set], Status::Success);
    }
    pages_that_are_not_the_hosts(Function::PsmmuInfo);
    info(0);
    info(SVE_HINT);
}

fn while_an_event_is_reported(event: Event) {
    const WHEN: &str = "while an event is reported";
    let reported = Notification { pending: false, event }.registers();
    let still = || notify(WHEN, &[SMMU, EVENTQ], Status::Success, reported);
    still();
    psmmus_that_do_not_exist(WHEN);
    still();
    for (address, what) in NOT_HOST_MEMORY {
        let what = format_args!("PSMMU_INFO at {address:#x}, {what}");
        let arguments = [SMMU, address];
        raw::expect(what, Function::PsmmuInfo.id(), &arguments, x0(Status::ErrorInput), &[]);
    }
    unknown_functions();
    still();
    for set in [0, RESERVED] {
        notify(WHEN, &[SMMU, set], Status::Success, NOTHING);
        consume(WHEN, &[SMMU, set], Status::Success);
    }
    still();
    notify(WHEN, &[SMMU, RESERVED | EVENTQ], Status::Success, reported);
    let hint = Function::PsmmuIrqNotify.id() | SVE_HINT;
    raw::expect(format_args!("NOTIFY with bit 16"), hint, &[SMMU, EVENTQ], 0, &reported);
    consume(WHEN, &[SMMU, RESERVED | EVENTQ], Status::Success);
    notify("when the event is consumed", &[SMMU, EVENTQ], Status::Success, NOTHING);
}

/// Functions that the RMM does not have, and those that EL3 keeps from it.
fn unknown_functions() {
    // 0x18F is what the RMM itself says to EL3.
    for number in [0x151, 0x152, 0x155, 0x16D, 0x18F, 0x1D0, 0x1EF, 0x210, 0x2CF] {
        for hint in [0, SVE_HINT] {
            let fid = 0xC400_0000 | hint | number;
            let what = format_args!("unknown function {fid:#x}");
            raw::expect(what, fid, &[], SMCCC_NOT_SUPPORTED, &[]);
        }
    }
    let version = Function::Version.id();
    for fid in [0xC400_014F, 0xC400_0190, 0xC400_01B0, 0xC400_01CF, 0xC400_02D0]
        .into_iter()
        .chain((17..24).map(|bit| version | 1 << bit))
    {
        raw::expect_refused_by_el3(format_args!("function {fid:#x}"), fid);
    }
    let wanted = psmmu_abi::Version::RMI_2_0.word();
    let what = format_args!("VERSION with bit 16");
    raw::expect(what, version | SVE_HINT, &[wanted], 0, &[wanted, wanted]);
}

fn psmmus_that_do_not_exist(when: &str) {
    for psmmu in UNKNOWN {
        for function in [Function::PsmmuInfo, Function::PsmmuActivate] {
            let what = format_args!("{function:?} of unknown {psmmu:#x} {when}");
            let arguments = [psmmu, PAGE.address()];
            raw::expect_untouched(what, function, &arguments, Status::ErrorInput, &PAGE);
        }
        notify(when, &[psmmu, EVENTQ], Status::ErrorInput, NOTHING);
        consume(when, &[psmmu, EVENTQ], Status::ErrorInput);
    }
}

fn pages_that_are_not_the_hosts(function: Function) {
    for (address, what) in NOT_HOST_MEMORY {
        let what = format_args!("{function:?} at {address:#x}, {what}");
        raw::expect(what, function.id(), &[SMMU, address], x0(Status::ErrorInput), &[]);
    }
    for (offset, what) in OFFSETS {
        let what = format_args!("{function:?} {what}");
        let arguments = [SMMU, PAGE.address().wrapping_add(offset)];
        raw::expect_untouched(what, function, &arguments, Status::ErrorInput, &PAGE);
    }
}

/// A good PSMMU_INFO, which writes the whole page.
fn info(hint: u64) {
    PAGE.scribble();
    let fid = Function::PsmmuInfo.id() | hint;
    raw::expect(format_args!("PSMMU_INFO"), fid, &[SMMU, PAGE.address()], 0, &[]);
    let [gerror, eventq] = smmu::wired_irqs().map(u64::from);
    let wanted = [1, gerror, eventq, 0, 0];
    for (index, word) in PAGE.words().into_iter().enumerate() {
        let wanted = wanted.get(index).copied().unwrap_or(0);
        expect_eq!(word, wanted, "PSMMU_INFO: word {index} of the page");
    }
}

fn notify(when: &str, arguments: &[u64; 2], status: Status, outputs: [u64; 6]) {
    let what = format_args!("NOTIFY {:#x} of {:#x} {when}", arguments[1], arguments[0]);
    raw::expect(what, Function::PsmmuIrqNotify.id(), arguments, x0(status), &outputs);
}

fn consume(when: &str, arguments: &[u64; 2], status: Status) {
    let what = format_args!("CONSUME {:#x} of {:#x} {when}", arguments[1], arguments[0]);
    raw::expect(what, Function::PsmmuEventConsume.id(), arguments, x0(status), &[]);
}
