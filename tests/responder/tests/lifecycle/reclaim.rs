// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory on the way back.

use responder_tests::raw::{ONE_GRANULE, entry, fid, range, x0};
use responder_tests::{Machine, NO_MEMORY, RAW_LIST, RMM};

use crate::rig::{active, run_cycle, started};

/// A deactivation that has a stream table of two granules and two queues of one to give.
fn giving() -> (Machine, u64) {
    let machine = active();
    let (handle, request) = machine.begin(fid::PSMMU_DEACTIVATE, 7, x0::RECLAIM);
    assert_eq!(request, 0);
    (machine, handle)
}

fn reclaim(machine: &Machine, handle: u64, list: u64, room: u64) -> (u64, u64) {
    let [x0, entries, x2, x3] = machine.ask(fid::OP_MEM_RECLAIM, [handle, list, room]);
    assert_eq!((x2, x3), (0, 0));
    (x0, entries)
}

/// Takes home what the first `entries` of a list say.
fn free(machine: &Machine, list: &[u64]) -> u64 {
    let ranges = list.iter().map(|&word| range(word));
    ranges
        .map(|(address, granules)| {
            machine.free(address, granules);
            granules
        })
        .sum()
}

#[test]
fn a_list_takes_as_many_entries_as_fit_and_no_word_more() {
    for (room, calls) in [(1, 3), (2, 2), (3, 1), (512, 1), (u64::MAX, 1)] {
        let (machine, handle) = giving();
        let (mut granules, mut made) = (0, 0);
        loop {
            machine.host.fill(RAW_LIST, !0);
            let (x0, entries) = reclaim(&machine, handle, RAW_LIST, room);
            let page = machine.host.page(RAW_LIST);
            let (list, rest) = page.split_at(entries as usize);
            assert!(entries <= room && rest.iter().all(|&word| word == !0), "{list:x?}");
            granules += free(&machine, list);
            made += 1;
            if x0 == x0::CONTINUE {
                break;
            }
            assert_eq!(x0, x0::RECLAIM);
        }
        assert_eq!((granules, made), (4, calls), "room for {room}");
        assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
        machine.check_quiesced();
    }
}

#[test]
fn room_for_nothing_gives_nothing() {
    let (machine, handle) = giving();
    assert_eq!(reclaim(&machine, handle, RAW_LIST, 0), (x0::RECLAIM, 0));
    assert_eq!(machine.proceed(handle), (x0::RECLAIM, 0), "it does not end without");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn a_list_near_the_end_of_its_page_takes_what_fits_there() {
    let (machine, handle) = giving();
    machine.host.fill(RAW_LIST + 0x1000, !0);
    let (x0, entries) = reclaim(&machine, handle, RAW_LIST + 510 * 8, 512);
    assert_eq!((x0, entries), (x0::RECLAIM, 2));
    let page = machine.host.page(RAW_LIST);
    assert_eq!(free(&machine, &page[510..]), 3);
    assert_eq!(machine.host.page(RAW_LIST + 0x1000), [!0; 512]);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn a_list_that_is_misaligned_or_not_the_hosts_loses_nothing() {
    let (machine, handle) = giving();
    assert_eq!(machine.delegate(RAW_LIST), x0::SUCCESS);
    for list in [RAW_LIST, RAW_LIST + 0x1004, RAW_LIST + 0x1001, NO_MEMORY, RMM, 1 << 52, !7] {
        assert_eq!(reclaim(&machine, handle, list, 4), (x0::INPUT, 0), "{list:#x}");
    }
    assert_eq!(machine.undelegate(RAW_LIST), x0::SUCCESS);
    assert_eq!(machine.reclaim_all(handle), 4);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn what_is_not_reclaimed_yet_cannot_be_undelegated_or_donated() {
    let (machine, handle) = giving();
    let (x0, entries) = reclaim(&machine, handle, RAW_LIST, 1);
    assert_eq!((x0, entries), (x0::RECLAIM, 1));
    let (first, granules) = range(machine.host.word(RAW_LIST, 0));
    let kept: Vec<_> = machine
        .host
        .realm()
        .into_iter()
        .filter(|&granule| granule >= first + granules * 0x1000)
        .collect();
    assert_eq!(kept.len(), 2);
    kept.iter().for_each(|&granule| assert_eq!(machine.undelegate(granule), x0::INPUT));
    machine.free(first, granules);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn reclaimed_memory_can_be_donated_again_directly() {
    let (machine, handle) = giving();
    let (x0, entries) = reclaim(&machine, handle, RAW_LIST, 512);
    assert_eq!((x0, entries), (x0::CONTINUE, 3));
    let lists: Vec<_> = (0..3).map(|index| machine.host.word(RAW_LIST, index)).collect();
    assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    let (handle, _) = machine.begin_activate();
    for (index, word) in lists.into_iter().enumerate() {
        let (address, granules) = range(word);
        let [x0, taken, _] = machine.donate(handle, &[entry(address, granules)]);
        assert_eq!((x0, taken), (if index == 2 { x0::CONTINUE } else { x0::DONATE }, granules));
    }
    assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    assert_eq!(crate::rig::deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn nothing_is_reclaimed_from_an_operation_that_does_not_give() {
    let machine = started();
    let (handle, _) = machine.begin_activate();
    assert_eq!(reclaim(&machine, handle, RAW_LIST, 4), (x0::INPUT, 0));
    let (x0, request, _) = machine.give(handle, 0x1_0008);
    assert_eq!((x0, request), (x0::DONATE, ONE_GRANULE));
    assert_eq!(reclaim(&machine, handle, RAW_LIST, 4), (x0::INPUT, 0));
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(crate::rig::deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn activation_is_refused_while_memory_is_being_reclaimed() {
    let (machine, handle) = giving();
    let refused = |what: &str| {
        let status = machine.status(fid::PSMMU_ACTIVATE, [responder_tests::PSMMU, 0x8000_0000, 0]);
        assert_eq!(status, x0::INPUT, "{what}");
    };
    refused("nothing reclaimed");
    machine.reclaim_all(handle);
    refused("all reclaimed, not ended");
    assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    run_cycle(&machine);
}
