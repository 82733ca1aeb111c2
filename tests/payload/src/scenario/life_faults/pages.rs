// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pages that the RMM reads or writes for the host, and that leave the host's world between two calls.

use psmmu_abi::Function;

use crate::platform::SMMU;
use crate::pool::granule;
use crate::scenario::hand::{self, INPUT, PARAMS, Region};
use crate::scenario::raw;

pub fn run() {
    let page = Region::new(1);
    for function in [Function::PsmmuInfo, Function::RmmConfigGet] {
        for _ in 0..2 {
            written(function, page, 0);
            page.delegate();
            written(function, page, INPUT);
            page.undelegate();
            let wiped = granule(page.address).is_zero();
            require!(wiped, "{function:?} has written to a page of the Realm world");
        }
    }
    // Parameters that the host has given away.
    page.delegate();
    hand::refused(Function::PsmmuActivate, page.address, INPUT);
    page.take_back();
    // Parameters that it gives away once the RMM has read them, and then to the very operation.
    params_are_donated();
}

/// Has the RMM write to a page, which is the host's if `x0` is a success.
fn written(function: Function, page: Region, x0: u64) {
    let page = page.address;
    if x0 == 0 {
        granule(page).scribble();
    }
    let arguments = if function == Function::PsmmuInfo { [SMMU, page] } else { [page, 0] };
    raw::expect(format_args!("{function:?} at {page:#x}"), function.id(), &arguments, x0, &[]);
    if x0 == 0 {
        let is_info = function == Function::PsmmuInfo;
        let words = if is_info { [1, 109, 106, 0, 0] } else { [0; 5] };
        for (index, word) in granule(page).words().into_iter().enumerate() {
            let wanted = words.get(index).copied().unwrap_or(0);
            expect_eq!(word, wanted, "{function:?}: word {index} of the page");
        }
    }
}

fn params_are_donated() {
    let page = Region::new(2);
    granule(page.address).fill(0);
    let operation = hand::begin(Function::PsmmuActivate, page.address, hand::DONATE);
    page.delegate();
    let wanted = operation.request.count();
    expect_eq!(wanted, page.granules, "granules of the stream table");
    operation.donate(page, hand::DONATE);
    // A bad second donation ends it.
    let answer = operation.offer(format_args!("a list at 1"), 1, 1);
    expect_eq!(answer, [INPUT, 0, 0], "OP_MEM_DONATE of a list at 1: X0 to X2");
    operation.go_on(hand::RECLAIM);
    operation.reclaim(&[page], INPUT);
    page.take_back();
    PARAMS.fill(0);
    let regions = hand::activate();
    hand::deactivate(&regions);
}
