// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pages that the RMM reads or writes for the host, and that leave Non-secure PAS between two calls.

use psmmu_abi::{Function, Status};
use psmmu_host::RmiError;

use crate::platform::SMMU;
use crate::pool::granule;
use crate::scenario::manual::{self, INPUT, PARAMS, Region};
use crate::scenario::raw::WATCHED;
use crate::smmu;

pub fn run() {
    let page = Region::new(1);
    for function in [Function::PsmmuInfo, Function::RmmConfigGet] {
        for _ in 0..2 {
            written(function, page, true);
            page.delegate();
            written(function, page, false);
            page.undelegate();
            let wiped = granule(page.address).is_zero();
            require!(wiped, "{function:?} has written to a page in Realm PAS");
        }
    }
    // Parameters that the host has given away.
    page.delegate();
    manual::refused(manual::activation(page.address), INPUT);
    page.take_back();
    // Parameters that it gives away once the RMM has read them, and then to the very operation.
    params_are_donated();
}

/// Has the RMM write to a page, which it must do if the page `is_ours`.
fn written(function: Function, page: Region, is_ours: bool) {
    let page = page.address;
    if is_ours {
        granule(page).scribble();
    }
    let is_info = function == Function::PsmmuInfo;
    let came = if is_info { WATCHED.psmmu_info(SMMU, page) } else { WATCHED.rmm_config_get(page) };
    let refused = RmiError::Status(function, Status::ErrorInput);
    let wanted = if is_ours { Ok(()) } else { Err(refused) };
    expect_eq!(came, wanted, "{function:?} at {page:#x}");
    if is_ours {
        let [gerror, eventq] = smmu::wired_irqs().map(u64::from);
        let words = if is_info { [1, gerror, eventq, 0, 0] } else { [0; 5] };
        for (index, word) in granule(page).words().into_iter().enumerate() {
            let wanted = words.get(index).copied().unwrap_or(0);
            expect_eq!(word, wanted, "{function:?}: word {index} of the page");
        }
    }
}

fn params_are_donated() {
    let page = Region::new(2);
    granule(page.address).fill(0);
    let operation = manual::begin(manual::activation(page.address), manual::DONATE);
    page.delegate();
    let wanted = operation.request.count();
    expect_eq!(wanted, page.granules, "granules of the stream table");
    operation.donate(page, manual::DONATE);
    // A bad second donation ends it.
    operation.fail(1);
    operation.go_on(manual::RECLAIM);
    operation.reclaim(&[page], INPUT);
    page.take_back();
    PARAMS.fill(0);
    let regions = manual::activate();
    manual::deactivate(&regions);
}
