// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations that are named wrongly, continued at the wrong time, or under way while others want the
//! same PSMMU.

use heapless::Vec;
use psmmu_abi::{Function, IrqSet, Status};
use psmmu_host::RmiError;
use psmmu_host::psmmu::STREAMS_PER_TABLE;

use crate::platform::SMMU;
use crate::pool::GRANULE;
use crate::scenario::manual::{
    self, DONATE, INPUT, LIST, NOTHING, Operation, PARAMS, RECLAIM, Region,
};
use crate::scenario::raw::{self, NOT_HOST_MEMORY, WATCHED, x0};

/// Operations that the RMM has room for.
const OPERATIONS: usize = 8;
const BLOCKED: u64 = x0(Status::Blocked);

const ALL: [Function; 4] =
    [Function::OpContinue, Function::OpMemDonate, Function::OpMemReclaim, Function::OpCancel];

pub fn run() {
    expect_unknown(
        &[0, 1, 2, 0x100, 0x700, 0x800, 0x1_0000, 1 << 48, 1 << 63, !0],
        "when there is none",
    );
    activating();
    at_the_wrong_time();
    reclaiming();
    many();
    deactivating();
}

/// Handles that name no operation.
fn expect_unknown(handles: &[u64], when: &str) {
    LIST.fill(0);
    for &handle in handles {
        for function in ALL {
            let what = format_args!("{function:?} of {handle:#x} {when}");
            let arguments = [handle, LIST.address(), 1];
            raw::expect(what, function.id(), &arguments, INPUT, &[]);
        }
    }
}

/// Handles that are nearly the one of `operation`.
fn neighbours(operation: &Operation) {
    let handle = operation.handle;
    let others = [1, 2, 0x80, 0x100, 0x700, 0xF000, 0x1_0000, 0x2_0000, 1 << 48, 1 << 63];
    let others = others.map(|bits| handle ^ bits);
    expect_unknown(&others, "beside the only one");
}

/// What an activation excludes other calls from.
fn activating() {
    let mut operation = manual::activate_begin();
    let mut regions = Vec::<_, 4>::new();
    while regions.len() < 3 {
        busy("being activated");
        neighbours(&operation);
        let region = operation.find();
        let wanted = if regions.len() < 2 { DONATE } else { NOTHING };
        operation = operation.donate(region, wanted);
        require!(regions.push(region).is_ok(), "room for three regions");
    }
    busy("being activated, with all memory");
    operation.go_on(0);
    operation.expect_over();
    PARAMS.fill(0);
    manual::refused(manual::activation(PARAMS.address()), INPUT);
    manual::deactivate(&regions);
    // Abandoned, as nothing came in time.
    let operation = manual::activate_begin();
    operation.go_on_still(DONATE);
    operation.abandon();
    operation.expect_over();
    let regions = manual::activate();
    manual::deactivate(&regions);
}

/// Commands for a PSMMU that is in no state for any.
fn busy(when: &str) {
    PARAMS.fill(0);
    for command in [
        manual::activation(PARAMS.address()),
        manual::DEACTIVATION,
        manual::creation(0),
        manual::destruction(0),
    ] {
        let answer = manual::registers(WATCHED.begin(command));
        expect_eq!(answer, [INPUT, 0, 0], "{command:x?} of a PSMMU that is {when}: X0 to X2");
    }
    let consumed = WATCHED.event_consume(SMMU, IrqSet::all());
    let refused = Err(RmiError::Status(Function::PsmmuEventConsume, Status::ErrorInput));
    expect_eq!(consumed, refused, "CONSUME of a PSMMU that is {when}");
    // A failure that must not say anything by its outputs either.
    let what = format_args!("NOTIFY of a PSMMU that is {when}");
    let arguments = [SMMU, IrqSet::all().bits()];
    raw::expect(what, Function::PsmmuIrqNotify.id(), &arguments, INPUT, &raw::NOTHING);
    let reported = WATCHED.psmmu_info(SMMU, LIST.address());
    expect_eq!(reported, Ok(()), "PSMMU_INFO of a PSMMU that is {when}");
}

/// Calls that an operation does not wait for: nothing changes.
fn at_the_wrong_time() {
    let regions = manual::activate();
    let operation = manual::begin(manual::creation(0), DONATE);
    let region = operation.find();
    operation.go_on_still(DONATE);
    operation.refuse(Function::OpMemReclaim);
    operation.donate(region, NOTHING);
    operation.refuse(Function::OpMemDonate);
    operation.refuse(Function::OpMemReclaim);
    operation.refuse(Function::OpCancel);
    operation.go_on(0);
    operation.expect_over();

    let operation = manual::begin(manual::destruction(0), RECLAIM);
    operation.go_on(RECLAIM);
    operation.refuse(Function::OpMemDonate);
    operation.refuse(Function::OpCancel);
    operation.reclaim(&[region], 0);
    operation.expect_over();
    region.take_back();
    manual::deactivate(&regions);
}

/// Lists for what comes back that are too short, or not the host's.
fn reclaiming() {
    let regions = manual::activate();
    let operation = manual::begin(manual::DEACTIVATION, RECLAIM);
    let refuse = |address: u64, what: &str| {
        let answer = manual::registers(WATCHED.op_mem_reclaim(operation.handle, address, 512));
        let what = format_args!("OP_MEM_RECLAIM to {address:#x}, {what}");
        expect_eq!(answer, [INPUT, 0, 0], "{what}: X0 to X2");
    };
    NOT_HOST_MEMORY.iter().for_each(|&(address, what)| refuse(address, what));
    for offset in [1, 4, 7, GRANULE - 1] {
        refuse(LIST.address() + offset, "a list that is not aligned");
    }
    let page = Region::delegated(1);
    refuse(page.address, "a granule that is delegated");
    page.take_back();
    refuse(regions[0].address, "what the PSMMU ran on");

    let take = |word: usize, room: u64, wanted: u64, came: &[Region]| {
        LIST.scribble();
        let list = LIST.address() + 8 * word as u64;
        let answer = manual::registers(WATCHED.op_mem_reclaim(operation.handle, list, room));
        let what = format_args!("OP_MEM_RECLAIM to word {word} with room for {room}");
        expect_eq!(answer, [wanted, came.len() as u64, 0], "{what}: X0 to X2");
        for (index, region) in came.iter().enumerate() {
            expect_eq!(LIST.word(word + index), region.entry(), "{what}: entry {index}");
            LIST.scribble_word(word + index);
        }
        require!(LIST.changed().is_none(), "{what}: word {:?} has changed", LIST.changed());
        // What came back is delegated, the rest still in use.
        came.iter().for_each(|region| region.take_back());
    };
    take(0, 0, RECLAIM, &[]);
    take(511, 0, RECLAIM, &[]);
    take(10, 1, RECLAIM, &regions[..1]);
    operation.go_on(RECLAIM);
    busy("being deactivated");
    // The granule has room for one more word.
    take(511, 512, RECLAIM, &regions[1..2]);
    take(0, !0, NOTHING, &regions[2..]);
    operation.refuse(Function::OpMemReclaim);
    busy("deactivated, but not reported so");
    operation.go_on(0);
    operation.expect_over();
}

/// More operations than there is room for.
fn many() {
    let regions = manual::activate();
    let mut operations = Vec::<Operation, OPERATIONS>::new();
    for number in 0..OPERATIONS as u32 {
        let operation = manual::begin(manual::creation(number * STREAMS_PER_TABLE), DONATE);
        let twin = operations.iter().any(|other| other.handle == operation.handle);
        require!(!twin, "two operations have the handle {:#x}", operation.handle);
        require!(operations.push(operation).is_ok(), "room for {OPERATIONS} operations");
    }
    manual::refused(manual::creation(OPERATIONS as u32 * STREAMS_PER_TABLE), BLOCKED);
    manual::refused(manual::destruction(0), BLOCKED);
    manual::refused(manual::DEACTIVATION, BLOCKED);
    manual::refused(manual::activation(PARAMS.address()), BLOCKED);
    // One ends, and its place is free; a table that is being made belongs to one operation.
    let first = operations[0];
    first.abandon();
    first.expect_over();
    manual::refused(manual::creation(STREAMS_PER_TABLE), BLOCKED);
    manual::refused(manual::DEACTIVATION, INPUT);
    operations[0] = manual::begin(manual::creation(0), DONATE);
    first.expect_over();
    // In another order than they began.
    let mut tables = Vec::<(u32, Region), OPERATIONS>::new();
    for index in [3, 0, 7, 5, 1, 2, 6, 4] {
        let region = operations[index].find();
        operations[index].donate(region, NOTHING);
        let stream = index as u32 * STREAMS_PER_TABLE;
        require!(tables.push((stream, region)).is_ok(), "room for a table");
    }
    for operation in &operations {
        operation.go_on(0);
        operation.expect_over();
    }
    for (stream, region) in tables {
        manual::refused(manual::creation(stream), 0x208);
        manual::refused(manual::DEACTIVATION, INPUT);
        manual::st_l2_destroy(stream, region);
        manual::refused(manual::destruction(stream), INPUT);
    }
    manual::deactivate(&regions);
}

/// What a deactivation excludes other calls from.
fn deactivating() {
    // X2 is no argument.
    for x2 in [0, 64, !0] {
        let what = format_args!("PSMMU_DEACTIVATE with {x2:#x} in X2");
        raw::expect(what, Function::PsmmuDeactivate.id(), &[SMMU, x2], INPUT, &[]);
    }
    let regions = manual::activate();
    let operation = manual::begin(manual::DEACTIVATION, RECLAIM);
    busy("being deactivated");
    neighbours(&operation);
    operation.reclaim(&regions, 0);
    operation.expect_over();
    regions.iter().for_each(|region| region.take_back());
}
