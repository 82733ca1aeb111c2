// SPDX-License-Identifier: MIT OR Apache-2.0

//! `tfa-tests`: a host that calls the way the client of TF-A-Tests does, written from what is known of
//! it and none of it copied. It differs from the specification, and from Linux, in that it
//!
//! - leaves other numbers in registers that a call does not name, at each call, some of them pointers to
//!   its stack, and wants X4 to X7 back as they were;
//! - wants "incomplete" as the first answer of the four PSMMU commands;
//! - calls `OP_CONTINUE` with flags in X1 and the handle in X2, and takes X1 of the answer for the
//!   handle from then on;
//! - begins its lists 80 bytes into a page, moves granules one at a time and ignores how far the
//!   RMM says that it came;
//! - leaves the configuration undefined but for its two fields;
//! - continues an operation whose donation failed, and wants the end of it.
//!
//! It runs through all of it several times, as its tests follow each other in one boot.

use heapless::Vec;
use psmmu_abi::{AddressRange, DonateRequest, Function, ResultWord, Status, Version, features};
use psmmu_host::Memory;

use super::{Arguments, raw, usage};
use crate::edu::{Access, Dma, Edu};
use crate::granule::Granule;
use crate::platform::SMMU;
use crate::pool::{GRANULE, Pool};
use crate::{bring_up, events, pool, smc};

/// How often the tests follow each other.
const CYCLES: usize = 5;
/// Where its lists begin in their page, in words.
const LIST_START: usize = 10;
/// Entries of its lists.
const LIST_ENTRIES: u64 = 502;

/// For lists.
static BUFFER: Granule = Granule::new();
/// For parameters and configuration.
static PAGE: Granule = Granule::new();

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("tfa-tests");
    }
    activate_rmm();
    delegate_tests();
    let mut bench = {
        // The rest of a host, which its client has not.
        let donor = pool::donor(&BUFFER);
        bring_up::interrupts_and_devices(&bring_up::topology(), donor)
    };
    for cycle in 0..CYCLES {
        psmmu_test(bench.edu(), cycle);
        failing_donation();
        expect_eq!(pool::out(), 0, "cycle {cycle}: granules that did not come back");
    }
    pool::expect_whole();
    events::expect_no_more_while_inactive(events::count());
}

/// Calls `function` with `arguments` and other numbers in all registers behind them. Returns X0 to X3.
fn call(function: Function, arguments: &[u64]) -> [u64; 4] {
    let mut x = [0; 18];
    x[1..].fill_with(raw::noise);
    x[0] = function.id();
    x[1..=arguments.len()].copy_from_slice(arguments);
    let came = smc::call_wide(x);
    for register in 4..8 {
        expect_eq!(came[register], x[register], "{function:?}: X{register}");
    }
    [came[0], came[1], came[2], came[3]]
}

/// Calls `function`, which must succeed, in all 64 bits of X0. Returns X1.
fn succeed(function: Function, arguments: &[u64]) -> u64 {
    let [x0, x1, ..] = call(function, arguments);
    expect_eq!(x0, 0, "{function:?} with {arguments:x?}: X0");
    x1
}

fn activate_rmm() {
    let [x0, x1, ..] = call(Function::Version, &[Version::RMI_2_0.word()]);
    require!(x0 != !0, "there is no RMM");
    require!(x1 != 0, "VERSION answers 0, as the payload of TF-A does that is no RMM");
    for index in 0..features::COUNT {
        succeed(Function::Features, &[index]);
    }
    // Before it has made the RMM active.
    PAGE.scribble();
    succeed(Function::RmmConfigGet, &[PAGE.address()]);
    require!(PAGE.word(0) == 0 && PAGE.word(1) == 0, "CONFIG_GET gives another configuration");
    // Both fields zero, the rest of its stack.
    PAGE.scribble();
    PAGE.set_word(0, 0);
    PAGE.set_word(1, 0);
    succeed(Function::RmmConfigSet, &[PAGE.address()]);
    // It has no loop here.
    succeed(Function::RmmActivate, &[]);
}

/// Takes pages from the pool, in one piece.
fn allocate(granules: u64) -> u64 {
    Pool.allocate(granules).unwrap_or_else(|| fail!("the pool has no {granules} granules"))
}

/// Delegates or undelegates one page after the other.
fn each(function: Function, address: u64, granules: u64) {
    for page in (0..granules).map(|index| address + index * GRANULE) {
        succeed(function, &[page, page + GRANULE]);
    }
}

fn delegate_tests() {
    const PAGES: u64 = 5;
    let pages = allocate(PAGES);
    each(Function::GranuleRangeDelegate, pages, PAGES);
    let [x0, ..] = call(Function::GranuleRangeDelegate, &[pages, pages + GRANULE]);
    require!(x0 != 0, "a page can be delegated twice");
    each(Function::GranuleRangeUndelegate, pages, PAGES);
    let [x0, ..] = call(Function::GranuleRangeUndelegate, &[pages, pages + GRANULE]);
    require!(x0 != 0, "a page can be undelegated that is not delegated");
    Pool.free(pages, PAGES);
}

/// What the test of an SMMU does, with a device that faults in the place of the devices' own part.
fn psmmu_test(edu: &mut Edu, cycle: usize) {
    PAGE.fill(0);
    let mut held = Held::new();
    operation(Function::PsmmuActivate, &[SMMU, PAGE.address()], &mut held);
    let stream = u64::from(edu.stream) & !0x3F;
    operation(Function::PsmmuStL2Create, &[SMMU, stream], &mut held);
    let first = events::count();
    let dma = Dma::new(Access::Write, 1 + cycle as u32);
    edu.run(dma);
    events::wait_for(first + dma.words as usize);
    events::expect_faults(first, &[dma]);
    operation(Function::PsmmuStL2Destroy, &[SMMU, stream], &mut held);
    operation(Function::PsmmuDeactivate, &[SMMU], &mut held);
    require!(held.is_empty(), "the RMM still has {held:x?}");
}

/// What the RMM has: address and granules of each region.
type Held = Vec<(u64, u64), 8>;

/// Reads "incomplete": what the operation wants next.
fn incomplete(x0: u64) -> Option<u64> {
    (x0 & 0xFF == Status::Incomplete as u64).then_some(x0 >> 8 & 3)
}

/// Carries a stateful operation out.
fn operation(function: Function, arguments: &[u64], held: &mut Held) {
    let [mut x0, mut handle, mut request, _] = call(function, arguments);
    require!(
        incomplete(x0).is_some(),
        "{function:?} answers {x0:#x}, which TF-A-Tests does not take"
    );
    while let Some(wants) = incomplete(x0) {
        let x1;
        match wants {
            1 => [x0, _, request, _] = donate(handle, request, held),
            2 => x0 = reclaim(handle, held),
            _ => {
                [x0, x1, request, _] = call(Function::OpContinue, &[0, handle]);
                handle = x1;
            }
        }
    }
    expect_eq!(x0, 0, "{function:?}: the end");
}

/// Finds what is asked for and donates it; all must be taken.
fn donate(handle: u64, request: u64, held: &mut Held) -> [u64; 4] {
    let request = DonateRequest::from_x2(request);
    let granules = request.count();
    require!(request.is_contiguous() || granules == 1, "{request:x?} is for no single region");
    let address = allocate(granules);
    each(Function::GranuleRangeDelegate, address, granules);
    BUFFER.scribble();
    BUFFER.set_word(LIST_START, AddressRange::region(address, granules as u16).word());
    let list = BUFFER.address() + 8 * LIST_START as u64;
    let answer = call(Function::OpMemDonate, &[handle, list, 1]);
    expect_eq!(answer[1], granules, "OP_MEM_DONATE: X1");
    require!(incomplete(answer[0]).is_some(), "OP_MEM_DONATE answers {:#x}", answer[0]);
    require!(held.push((address, granules)).is_ok(), "the RMM asks for too many regions");
    answer
}

/// Takes back what the RMM gives. Returns X0.
fn reclaim(handle: u64, held: &mut Held) -> u64 {
    let list = BUFFER.address() + 8 * LIST_START as u64;
    let [x0, entries, ..] = call(Function::OpMemReclaim, &[handle, list, LIST_ENTRIES]);
    require!(incomplete(x0).is_some(), "OP_MEM_RECLAIM answers {x0:#x}");
    require!(entries <= LIST_ENTRIES, "OP_MEM_RECLAIM has written {entries} entries");
    for index in 0..entries as usize {
        let entry = AddressRange::from_word(BUFFER.word(LIST_START + index));
        let (address, granules) = (entry.address(), entry.total_granules());
        each(Function::GranuleRangeUndelegate, address, granules);
        Pool.free(address, granules);
        let Some(place) = held.iter().position(|&region| region == (address, granules)) else {
            fail!("the RMM gives back {granules} granules from {address:#x} on, which it never had")
        };
        held.swap_remove(place);
    }
    x0
}

/// Donates a page that is not delegated. The operation must end, and with an error.
fn failing_donation() {
    let [x0, mut handle, ..] = call(Function::PsmmuActivate, &[SMMU, PAGE.address()]);
    require!(incomplete(x0) == Some(1), "PSMMU_ACTIVATE answers {x0:#x}");
    let page = allocate(2);
    BUFFER.set_word(LIST_START, AddressRange::region(page, 2).word());
    let list = BUFFER.address() + 8 * LIST_START as u64;
    let [mut x0, taken, ..] = call(Function::OpMemDonate, &[handle, list, 1]);
    expect_eq!(
        (ResultWord::from_x0(x0).status(), taken),
        (Ok(Status::ErrorInput), 0),
        "a bad page"
    );
    let mut rounds = 0;
    while rounds == 0 || incomplete(x0).is_some() {
        [x0, handle, ..] = call(Function::OpContinue, &[0, handle]);
        rounds += 1;
        require!(rounds < 5, "an operation whose donation failed does not end");
    }
    require!(x0 != 0, "an operation whose donation failed succeeds");
    Pool.free(page, 2);
}
