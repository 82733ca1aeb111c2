// SPDX-License-Identifier: MIT OR Apache-2.0

//! Donations that are not what was asked for: nothing is taken, and the operation ends with `ErrorInput`,
//! at once or, if it holds something, when it has given that back.

use psmmu_abi::{AddressRange, Function};

use crate::pool::GRANULE;
use crate::scenario::manual::{self, DONATE, INPUT, LIST, NOTHING, Operation, RECLAIM, Region};
use crate::scenario::raw::NOT_HOST_MEMORY;

/// An activation asks for so many regions.
const REGIONS: usize = 3;
/// Words of a list that may lie in one granule.
const WORDS: u64 = GRANULE / 8;

pub fn run() {
    for held in 0..REGIONS {
        memory(held);
        lists(held);
        cancelled(held);
    }
    good_lists();
    tables();
}

/// Begins an activation, and donates the first `held` regions.
fn begin(held: usize) -> (Operation, heapless::Vec<Region, REGIONS>) {
    let mut operation = manual::activate_begin();
    let mut regions = heapless::Vec::new();
    while regions.len() < held {
        let region = operation.find();
        require!(regions.push(region).is_ok(), "room for {held} regions");
        operation = operation.donate(region, DONATE);
    }
    (operation, regions)
}

/// Sees the operation to its end after a donation that failed.
fn end(operation: Operation, regions: &[Region]) {
    if !regions.is_empty() {
        operation.go_on(RECLAIM);
        operation.reclaim(regions, INPUT);
    }
    operation.expect_over();
    regions.iter().for_each(|region| region.take_back());
    manual::refused(manual::DEACTIVATION, INPUT);
}

/// Offers `entries` when `held` regions are donated, which must be refused.
fn refuse(held: usize, what: &str, entries: impl FnOnce(&Operation, &[Region]) -> List) {
    let (operation, regions) = begin(held);
    let List { words, memory } = entries(&operation, &regions);
    for (index, &word) in words.iter().enumerate() {
        LIST.set_word(index, word);
    }
    let what = format_args!("{what} with {held} regions held");
    operation.offer_in_vain(what, LIST.address(), words.len() as u64, held);
    end(operation, &regions);
    memory.iter().for_each(|region| region.take_back());
}

/// A bad list.
struct List {
    words: heapless::Vec<u64, 4>,
    /// What is delegated in it.
    memory: heapless::Vec<Region, 4>,
}

fn list<const W: usize, const M: usize>(words: [u64; W], memory: [Region; M]) -> List {
    List { words: words.into_iter().collect(), memory: memory.into_iter().collect() }
}

/// How much the operation asks for.
fn wanted(operation: &Operation) -> u64 {
    operation.request.count() * operation.request.block_size().granules()
}

/// Memory that is not what it should be.
fn memory(held: usize) {
    refuse(held, "granules that are not delegated", |operation, _| {
        let region = Region::new(wanted(operation));
        region.free();
        list([region.entry()], [])
    });
    refuse(held, "granules of which the last is not delegated", |operation, _| {
        let region = operation.find();
        let last = Region { address: region.end() - GRANULE, granules: 1 };
        last.take_back();
        let first = Region { granules: region.granules - 1, ..region };
        if first.granules == 0 {
            return list([region.entry()], []);
        }
        list([region.entry()], [first])
    });
    refuse(held, "too many granules", |operation, _| {
        let region = Region::delegated(2 * wanted(operation));
        list([region.entry()], [region])
    });
    refuse(held, "one granule too many", |operation, _| {
        let region = Region::delegated(2 * wanted(operation));
        let more = Region { granules: wanted(operation) + 1, ..region };
        list([more.entry()], [region])
    });
    refuse(held, "as many granules as an entry can have", |operation, _| {
        let region = operation.find();
        let all = Region { granules: AddressRange::MAX_COUNT.into(), ..region };
        list([all.entry()], [region])
    });
    refuse(held, "two regions", |operation, _| {
        let (one, other) = (operation.find(), operation.find());
        list([one.entry(), other.entry()], [one, other])
    });
    refuse(held, "two regions with an empty entry between them", |operation, _| {
        let (one, other) = (operation.find(), operation.find());
        list([one.entry(), 0, other.entry()], [one, other])
    });
    for (bit, what) in [(63, "undelegated"), (62, "conditional"), (52, "bit 52"), (61, "bit 61")] {
        refuse(held, what, |operation, _| {
            let region = operation.find();
            list([region.entry() | 1 << bit], [region])
        });
    }
    for size in 1..=3 {
        refuse(held, "blocks of another size", |operation, _| {
            let region = operation.find();
            list([region.entry() | size], [region])
        });
    }
    for (address, what) in NOT_HOST_MEMORY.into_iter().filter(|&(address, _)| address >> 52 == 0) {
        refuse(held, what, |operation, _| {
            list([Region { address, granules: wanted(operation) }.entry()], [])
        });
    }
    if held > 0 {
        refuse(held, "what was donated before", |operation, regions| {
            let again = Region { granules: wanted(operation), ..regions[held - 1] };
            list([again.entry()], [])
        });
    }
    more_than_one(held);
}

/// What only a region of several granules can have wrong.
fn more_than_one(held: usize) {
    let (operation, regions) = begin(held);
    let several = wanted(&operation) > 1;
    // An operation that cannot be served any more ends by a donation that fails.
    operation.fail(held);
    end(operation, &regions);
    if !several {
        return;
    }
    refuse(held, "one granule too few", |operation, _| {
        let region = operation.find();
        list([Region { granules: region.granules - 1, ..region }.entry()], [region])
    });
    refuse(held, "a region that is not aligned to its size", |operation, _| {
        let region = Region::delegated(2 * wanted(operation));
        let off = Region { address: region.address + GRANULE, granules: wanted(operation) };
        list([off.entry()], [region])
    });
    refuse(held, "one region in two entries", |operation, _| {
        let region = operation.find();
        let half = Region { granules: region.granules / 2, ..region };
        let other = Region { address: half.end(), ..half };
        list([half.entry(), other.entry()], [region])
    });
}

/// Lists that are not the host's, or no lists.
fn lists(held: usize) {
    let offer = |list: u64, what: &str| {
        let (operation, regions) = begin(held);
        operation.offer_in_vain(format_args!("a list at {list:#x}, {what}"), list, 1, held);
        end(operation, &regions);
    };
    for (address, what) in NOT_HOST_MEMORY {
        offer(address, what);
    }
    for offset in [1, 2, 4, 7, GRANULE - 1] {
        offer(LIST.address() + offset, "a list that is not aligned");
    }
    let page = Region::delegated(1);
    offer(page.address, "a list that is delegated");
    page.undelegate();
    // It was wiped, so the list is one of empty entries.
    let (operation, regions) = begin(held);
    let answer = operation.offer(page.address, WORDS);
    expect_eq!(answer, [DONATE, 0, operation.request.x2()], "an empty list: X0 to X2");
    let answer = operation.offer(LIST.address(), 0);
    expect_eq!(answer, [DONATE, 0, operation.request.x2()], "no entries: X0 to X2");
    operation.fail(held);
    end(operation, &regions);
    page.free();
}

/// A host that has no memory.
fn cancelled(held: usize) {
    let (operation, regions) = begin(held);
    operation.cancel(held);
    operation.refuse(Function::OpCancel);
    match regions.as_slice() {
        [] => operation.go_on(INPUT),
        regions => operation.reclaim(regions, INPUT),
    }
    operation.expect_over();
    regions.iter().for_each(|region| region.take_back());
}

/// Lists of odd form that are valid.
fn good_lists() {
    for (first, entries) in [(0, 3), (10, 1), (10, 502), (WORDS - 3, !0), (WORDS - 1, 1 << 32)] {
        let (operation, mut regions) = begin(2);
        let region = operation.find();
        LIST.fill(0);
        LIST.set_word((first as usize + 2).min(WORDS as usize - 1), region.entry());
        let what = format_args!("a list from word {first} on");
        let answer = operation.offer(LIST.address() + 8 * first, entries);
        if entries == 1 {
            // The region is in an entry behind the list, if it is not in the last word.
            expect_eq!(answer, [DONATE, 0, operation.request.x2()], "{what}: X0 to X2");
            operation.donate(region, NOTHING);
        } else {
            expect_eq!(answer, [NOTHING, region.granules, 0], "{what}: X0 to X2");
        }
        require!(regions.push(region).is_ok(), "room for the third region");
        operation.go_on(0);
        manual::deactivate(&regions);
    }
}

/// The same for a table, of one granule.
fn tables() {
    let regions = manual::activate();
    let refuse = |entry: u64, what: &str| {
        let operation = manual::begin(manual::creation(0), DONATE);
        LIST.set_word(0, entry);
        operation.offer_in_vain(format_args!("{what}"), LIST.address(), 1, 0);
        operation.go_on(INPUT);
        operation.expect_over();
        // There is no table, and none is being made.
        manual::refused(manual::destruction(0), INPUT);
    };
    let free = Region::new(1);
    free.free();
    refuse(free.entry(), "a granule that is not delegated");
    for (address, what) in NOT_HOST_MEMORY.into_iter().filter(|&(address, _)| address >> 52 == 0) {
        refuse(Region { address, granules: 1 }.entry(), what);
    }
    for region in &regions {
        refuse(Region { granules: 1, ..*region }.entry(), "what the PSMMU runs on");
    }
    let two = Region::delegated(2);
    refuse(two.entry(), "two granules");
    two.take_back();
    let table = manual::st_l2_create(0);
    let operation = manual::begin(manual::creation(64), DONATE);
    LIST.set_word(0, table.entry());
    operation.offer_in_vain(format_args!("another table"), LIST.address(), 1, 0);
    operation.go_on(INPUT);
    manual::st_l2_destroy(0, table);
    manual::deactivate(&regions);
}
