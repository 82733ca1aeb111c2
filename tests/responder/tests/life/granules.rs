// SPDX-License-Identifier: MIT OR Apache-2.0

//! Granules change worlds.

use responder_tests::raw::{fid, x0};
use responder_tests::{Machine, NO_MEMORY, Pas, RMM};

use crate::rig::{live, started};

const A: u64 = 0x8020_0000;
/// The second bank: 6 MiB.
const BANK: u64 = 0x8_8000_0000;

fn range(machine: &Machine, function: u64, base: u64, top: u64) -> (u64, u64) {
    let [x0, out_top, x2, x3] = machine.ask(function, [base, top, 0x3333]);
    assert_eq!((x2, x3), (0, 0));
    (x0, out_top)
}

fn delegate(machine: &Machine, base: u64, top: u64) -> (u64, u64) {
    range(machine, fid::RANGE_DELEGATE, base, top)
}

fn undelegate(machine: &Machine, base: u64, top: u64) -> (u64, u64) {
    range(machine, fid::RANGE_UNDELEGATE, base, top)
}

#[test]
fn a_granule_goes_and_comes_back_wiped() {
    let machine = started();
    machine.host.fill(A, 7);
    assert_eq!(delegate(&machine, A, A + 0x1000), (x0::SUCCESS, A + 0x1000));
    assert_eq!(machine.host.pas(A), Pas::Realm);
    assert_eq!(undelegate(&machine, A, A + 0x1000), (x0::SUCCESS, A + 0x1000));
    assert_eq!(machine.host.page(A), [0; 512]);
    live(&machine);
}

#[test]
fn a_granule_goes_only_once_and_comes_back_only_once() {
    let machine = started();
    let refused = (x0::INPUT, A);
    assert_eq!(undelegate(&machine, A, A + 0x1000), refused, "never delegated");
    assert_eq!(delegate(&machine, A, A + 0x1000).0, x0::SUCCESS);
    assert_eq!(delegate(&machine, A, A + 0x1000), refused, "twice");
    assert_eq!(undelegate(&machine, A, A + 0x1000).0, x0::SUCCESS);
    assert_eq!(undelegate(&machine, A, A + 0x1000), refused, "twice");
}

#[test]
fn ranges_that_are_empty_misaligned_or_upside_down_change_nothing() {
    let machine = started();
    for (base, top) in [
        (A, A),
        (A + 0x1000, A),
        (A, 0),
        (A, A + 0xFFF),
        (A, A + 0x1001),
        (A + 8, A + 0x1008),
        (A + 1, A + 0x1000),
        (!0xFFF, 0),
        (0, 0),
    ] {
        assert_eq!(delegate(&machine, base, top), (x0::INPUT, base), "{base:#x} to {top:#x}");
        assert_eq!(undelegate(&machine, base, top), (x0::INPUT, base), "{base:#x} to {top:#x}");
    }
    assert_eq!(machine.host.realm(), [0; 0]);
}

#[test]
fn what_is_no_memory_of_the_host_never_goes() {
    let machine = started();
    machine.host.set_secure(A);
    for granule in [RMM, RMM + 0xF_F000, NO_MEMORY, 0, 1 << 40, 1 << 52, !0x1FFF, BANK - 0x1000, A]
    {
        assert_eq!(delegate(&machine, granule, granule + 0x1000), (x0::INPUT, granule));
        assert_eq!(undelegate(&machine, granule, granule + 0x1000), (x0::INPUT, granule));
    }
    assert_eq!(machine.host.realm(), [0; 0]);
}

#[test]
fn a_call_does_a_batch_of_64_and_says_how_far_it_came() {
    let machine = started();
    let top = A + 200 * 0x1000;
    for function in [fid::RANGE_DELEGATE, fid::RANGE_UNDELEGATE] {
        let mut base = A;
        for end in [64, 128, 192, 200] {
            let end = A + end * 0x1000;
            assert_eq!(range(&machine, function, base, top), (x0::SUCCESS, end));
            base = end;
        }
    }
    // All there is, without a word on where it ends.
    assert_eq!(delegate(&machine, A, !0xFFF), (x0::SUCCESS, A + 64 * 0x1000));
    assert_eq!(undelegate(&machine, A, !0xFFF), (x0::SUCCESS, A + 64 * 0x1000));
    assert_eq!(machine.host.realm(), [0; 0]);
}

#[test]
fn a_range_ends_before_the_first_granule_that_cannot_go() {
    let machine = started();
    assert_eq!(delegate(&machine, A + 0x3000, A + 0x4000).0, x0::SUCCESS);
    assert_eq!(delegate(&machine, A, A + 0x8000), (x0::SUCCESS, A + 0x3000));
    assert_eq!(delegate(&machine, A + 0x3000, A + 0x8000), (x0::INPUT, A + 0x3000));
    assert_eq!(delegate(&machine, A + 0x4000, A + 0x8000), (x0::SUCCESS, A + 0x8000));
    assert_eq!(machine.host.realm().len(), 8);
    assert_eq!(undelegate(&machine, A + 0x5000, A + 0x6000).0, x0::SUCCESS);
    assert_eq!(undelegate(&machine, A, A + 0x8000), (x0::SUCCESS, A + 0x5000));
    assert_eq!(undelegate(&machine, A + 0x6000, A + 0x9000), (x0::SUCCESS, A + 0x8000));
    assert_eq!(machine.host.realm(), [0; 0]);
}

#[test]
fn a_range_ends_where_memory_of_the_host_ends() {
    let machine = started();
    let last = RMM - 0x2000;
    assert_eq!(delegate(&machine, last, RMM + 0x20_0000), (x0::SUCCESS, RMM));
    assert_eq!(undelegate(&machine, last, RMM + 0x20_0000), (x0::SUCCESS, RMM));
    let end = BANK + 0x60_0000;
    assert_eq!(delegate(&machine, end - 0x1000, end + 0x1000), (x0::SUCCESS, end));
    assert_eq!(undelegate(&machine, end - 0x1000, end + 0x1000), (x0::SUCCESS, end));
}

#[test]
fn a_granule_that_el3_refuses_stays_the_hosts() {
    let machine = started();
    machine.host.set_secure(A + 0x1000);
    assert_eq!(delegate(&machine, A, A + 0x3000), (x0::SUCCESS, A + 0x1000));
    assert_eq!(delegate(&machine, A + 0x1000, A + 0x3000), (x0::INPUT, A + 0x1000));
    assert_eq!(undelegate(&machine, A + 0x1000, A + 0x2000), (x0::INPUT, A + 0x1000));
    assert_eq!(undelegate(&machine, A, A + 0x1000).0, x0::SUCCESS);
    live(&machine);
}

#[test]
fn memory_of_too_many_regions_is_refused_and_what_is_delegated_comes_back() {
    let machine = started();
    let granule = |region: u64| A + (region << 21);
    let full = (0..40).find(|&region| {
        let (x0, out_top) = delegate(&machine, granule(region), granule(region) + 0x1000);
        assert!(x0 == x0::SUCCESS || (x0, out_top) == (x0::TRACKING, granule(region)));
        x0 == x0::TRACKING
    });
    let full = full.expect("the pool has an end");
    assert_eq!(delegate(&machine, A + 0x1000, A + 0x2000).0, x0::SUCCESS, "a region that is known");
    assert_eq!(undelegate(&machine, A, A + 0x2000).0, x0::SUCCESS);
    assert_eq!(delegate(&machine, granule(full), granule(full) + 0x1000).0, x0::SUCCESS);
    for region in 1..=full {
        assert_eq!(undelegate(&machine, granule(region), granule(region) + 0x1000).0, x0::SUCCESS);
    }
    live(&machine);
}

#[test]
fn tracking_says_which_memory_is_tracked_and_how_far() {
    let machine = started();
    let get = |base, top| machine.ask(fid::TRACKING_GET, [base, top, 0x3333]);
    // Conventional is 0; fine is 2, none is 1.
    assert_eq!(get(A, A + 0x1000), [x0::SUCCESS, 0, 2, A + 0x1000]);
    assert_eq!(get(0x8000_0000, 1 << 40), [x0::SUCCESS, 0, 2, RMM]);
    assert_eq!(get(RMM, 1 << 40), [x0::SUCCESS, 0, 1, RMM + 0x10_0000]);
    assert_eq!(get(0, 1 << 48), [x0::SUCCESS, 0, 1, 0x8000_0000]);
    assert_eq!(get(1 << 47, 1 << 48), [x0::SUCCESS, 0, 1, 1 << 48]);
    let bad = [
        (A, A),
        (A + 0x1000, A),
        (A + 1, A + 0x1000),
        (A, A + 0xFFF),
        (1 << 48, (1 << 48) + 0x1000),
        (A, (1 << 48) + 0x1000),
        (0, !0xFFF),
    ];
    for (base, top) in bad {
        assert_eq!(get(base, top), [x0::INPUT, 0, 0, 0], "{base:#x} to {top:#x}");
    }
    // It is the same whoever has the granules.
    assert_eq!(machine.delegate(A), x0::SUCCESS);
    assert_eq!(get(A, A + 0x2000), [x0::SUCCESS, 0, 2, A + 0x2000]);
}
