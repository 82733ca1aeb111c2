// SPDX-License-Identifier: MIT OR Apache-2.0

//! Granules move between the physical address spaces.

use responder_tests::raw::{fid, x0};
use responder_tests::{DEVICE_GRANULES, DEVICE_MEMORY, Machine, NO_MEMORY, PSMMU, Pas, RMM};
use rmm::delegate::BATCH;

use crate::rig::{run_cycle, started};

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
    run_cycle(&machine);
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
fn empty_misaligned_or_inverted_ranges_change_nothing() {
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
fn a_call_does_a_batch_and_says_how_far_it_came() {
    let machine = started();
    let top = A + 5 * 0x1000;
    for function in [fid::RANGE_DELEGATE, fid::RANGE_UNDELEGATE] {
        let mut base = A;
        while base < top {
            let end = top.min(base + BATCH * 0x1000);
            assert_eq!(range(&machine, function, base, top), (x0::SUCCESS, end));
            base = end;
        }
        // All there is, without a word on where it ends.
        let end = A + (0x10 + BATCH) * 0x1000;
        assert_eq!(range(&machine, function, A + 0x1_0000, !0xFFF), (x0::SUCCESS, end));
    }
    assert_eq!(machine.host.realm(), [0; 0]);
}

#[test]
fn a_pending_interrupt_ends_the_call_behind_its_granule() {
    let machine = started();
    let top = A + BATCH * 0x1000;
    for function in [fid::RANGE_DELEGATE, fid::RANGE_UNDELEGATE] {
        let mut base = A;
        for done in 1..BATCH {
            // One that is pending from the start on does not keep the first granule from moving.
            machine.harness.interrupt_after(Some(0));
            let end = A + done * 0x1000;
            assert_eq!(range(&machine, function, base, top), (x0::SUCCESS, end));
            base = end;
        }
        machine.harness.interrupt_after(None);
        assert_eq!(range(&machine, function, base, top), (x0::SUCCESS, top));
    }
    run_cycle(&machine);
}

#[test]
fn every_granule_may_be_delegated_at_the_same_time() {
    let machine = started();
    // One of each 2 MiB first, then all of the smaller bank.
    let first: Vec<_> = (0x8000_0000..RMM).step_by(1 << 21).map(|base| base + 0x5000).collect();
    first.iter().for_each(|&granule| assert_eq!(machine.delegate(granule), x0::SUCCESS));
    let all = (BANK..BANK + 0x60_0000).step_by(0x1000);
    all.clone().for_each(|granule| assert_eq!(machine.delegate(granule), x0::SUCCESS));
    first.into_iter().chain(all).for_each(|granule| {
        assert_eq!(machine.undelegate(granule), x0::SUCCESS);
    });
    run_cycle(&machine);
}

#[test]
fn a_call_keeps_to_one_block_of_2_mib() {
    let machine = started();
    let block = A + (2 << 20);
    for function in [fid::RANGE_DELEGATE, fid::RANGE_UNDELEGATE] {
        let (base, top) = (block - 0x1000, block + 0x1000);
        assert_eq!(range(&machine, function, base, top), (x0::SUCCESS, block));
        assert_eq!(range(&machine, function, block, top), (x0::SUCCESS, top));
    }
}

#[test]
fn a_range_ends_before_the_first_granule_that_cannot_go() {
    let machine = started();
    let top = A + 0x8000;
    for free in 1..BATCH {
        let taken = A + free * 0x1000;
        assert_eq!(machine.delegate(taken), x0::SUCCESS);
        assert_eq!(delegate(&machine, A, top), (x0::SUCCESS, taken));
        assert_eq!(delegate(&machine, taken, top), (x0::INPUT, taken));
        assert_eq!(machine.undelegate(taken), x0::SUCCESS);
        assert_eq!(undelegate(&machine, A, top), (x0::SUCCESS, taken));
        assert_eq!(undelegate(&machine, taken, top), (x0::INPUT, taken));
    }
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
    run_cycle(&machine);
}

#[test]
fn device_memory_goes_and_comes_back_without_being_accessed() {
    let machine = started();
    let end = DEVICE_MEMORY + 2 * DEVICE_GRANULES * 0x1000;
    for granule in (DEVICE_MEMORY..end).step_by(0x1000) {
        assert_eq!(machine.undelegate(granule), x0::INPUT);
        assert_eq!(machine.delegate(granule), x0::SUCCESS);
        assert_eq!(machine.delegate(granule), x0::INPUT, "twice");
        assert_eq!(machine.host.pas(granule), Pas::Realm);
    }
    for granule in (DEVICE_MEMORY..end).step_by(0x1000) {
        assert_eq!(machine.undelegate(granule), x0::SUCCESS);
        assert_eq!(machine.undelegate(granule), x0::INPUT, "twice");
    }
    for beyond in [DEVICE_MEMORY - 0x1000, end] {
        assert_eq!(machine.delegate(beyond), x0::INPUT);
    }
    // It is no page of a host either.
    assert_eq!(machine.status(fid::PSMMU_INFO, [PSMMU, DEVICE_MEMORY, 0]), x0::INPUT);
    run_cycle(&machine);
}

#[test]
fn tracking_says_which_memory_is_tracked_and_how_far() {
    let machine = started();
    let get = |base, top| machine.ask(fid::TRACKING_GET, [base, top, 0x3333]);
    // Conventional is 0; fine is 2, none is 1.
    assert_eq!(get(A, A + 0x1000), [x0::SUCCESS, 0, 2, A + 0x1000]);
    assert_eq!(get(0x8000_0000, 1 << 40), [x0::SUCCESS, 0, 2, RMM]);
    assert_eq!(get(RMM, 1 << 40), [x0::SUCCESS, 0, 1, RMM + 0x10_0000]);
    assert_eq!(get(0, 1 << 48), [x0::SUCCESS, 0, 1, DEVICE_MEMORY]);
    // Of devices 1 is not coherent, 2 is.
    let coherent = DEVICE_MEMORY + DEVICE_GRANULES * 0x1000;
    let end = coherent + DEVICE_GRANULES * 0x1000;
    assert_eq!(get(DEVICE_MEMORY, 1 << 48), [x0::SUCCESS, 1, 2, coherent]);
    assert_eq!(get(DEVICE_MEMORY, coherent), [x0::SUCCESS, 1, 2, coherent]);
    assert_eq!(get(coherent, 1 << 48), [x0::SUCCESS, 2, 2, end]);
    assert_eq!(get(end, 1 << 48), [x0::SUCCESS, 0, 1, 0x8000_0000]);
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
    for (base, top) in bad {
        assert_eq!(machine.status(fid::GPT_INFO, [base, top, 9]), x0::INPUT, "{base:#x}");
    }
    // It is the same for either owner of the granules.
    assert_eq!(machine.delegate(A), x0::SUCCESS);
    assert_eq!(get(A, A + 0x2000), [x0::SUCCESS, 0, 2, A + 0x2000]);
}

#[test]
fn gpt_info_gives_every_address_to_the_platform() {
    let machine = started();
    let info = |base, top| machine.ask(fid::GPT_INFO, [base, top, 0x3333]);
    // The platform's are 1. The protected space ends at 2^48.
    for (base, top) in [(0, 1 << 48), (A, A + 0x1000), (RMM, 1 << 40), (DEVICE_MEMORY, RMM)] {
        assert_eq!(info(base, top), [x0::SUCCESS, top, 1, 0], "{base:#x} to {top:#x}");
    }
}
