// SPDX-License-Identifier: MIT OR Apache-2.0

//! Donations that are not what was asked for: each makes its operation fail, and only it. One that holds
//! nothing ends with that error; one that holds something gives it back first.

use responder_tests::raw::{ONE_GRANULE, entry, fid, x0};
use responder_tests::{
    DEVICE_MEMORY, HOST_PAGE, Machine, NO_MEMORY, Options, PSMMU, RAW_LIST, RMM,
};

use crate::rig::{active, fails, run_cycle, started, started_with};

/// The answer to a donation that is wrong, to an operation that holds nothing: an error, nothing taken.
const REFUSED: [u64; 3] = [x0::INPUT, 0, 0];
/// The same to one that holds something.
const GIVES_BACK: [u64; 3] = [x0::RECLAIM, 0, 0];

/// An activation that asks for its stream table, of two granules.
fn asking() -> (Machine, u64) {
    let machine = started();
    let (handle, request) = machine.begin_activate();
    assert_eq!(request, 0x1_0008);
    (machine, handle)
}

#[test]
fn what_is_not_delegated_is_refused_and_not_touched() {
    let (machine, handle) = asking();
    let address = machine.heap.take(2);
    let before = machine.host.page(address);
    assert_eq!(machine.donate(handle, &[entry(address, 2)]), REFUSED);
    assert_eq!(machine.host.page(address), before);
    assert_eq!(machine.finish(handle), x0::INPUT);

    // One of the two alone is not enough.
    let (handle, _) = machine.begin_activate();
    assert_eq!(machine.delegate(address), x0::SUCCESS);
    assert_eq!(machine.donate(handle, &[entry(address, 2)]), REFUSED);
    assert_eq!(machine.delegate(address + 0x1000), x0::SUCCESS);
    machine.free(address, 2);
    fails(&machine, handle, x0::INPUT);
}

#[test]
fn memory_donated_twice_is_refused_and_reclaimed_once() {
    let (machine, handle) = asking();
    let (x0, request, stream_table) = machine.give(handle, 0x1_0008);
    assert_eq!((x0, request), (x0::DONATE, ONE_GRANULE));
    assert_eq!(machine.donate(handle, &[entry(stream_table, 1)]), GIVES_BACK);
    fails(&machine, handle, x0::INPUT);
}

#[test]
fn what_another_psmmu_or_operation_uses_is_refused() {
    let machine = active();
    // A level-2 table in the queue of commands, or in the granule of another table.
    let queue = machine.device().peek(smmu_model::Register::CmdqBase) & 0x000F_FFFF_FFFF_F000;
    let (first, request) = machine.begin_create(0);
    let (x0, _, table) = machine.give(first, request);
    assert_eq!(x0, x0::CONTINUE);
    for address in [queue, table] {
        let (handle, _) = machine.begin_create(64);
        assert_eq!(machine.donate(handle, &[entry(address, 1)]), REFUSED);
        assert_eq!(machine.finish(handle), x0::INPUT);
    }
    assert_eq!(machine.finish(first), x0::SUCCESS);
    let (handle, _) = machine.begin_create(64);
    assert_eq!(machine.donate(handle, &[entry(table, 1)]), REFUSED);
    assert_eq!(machine.finish(handle), x0::INPUT);
    assert_eq!(crate::rig::destroy(&machine, 0), x0::SUCCESS);
    assert_eq!(crate::rig::deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn a_donation_of_rmm_memory_or_of_no_memory_is_refused() {
    for address in [RMM, NO_MEMORY, 0, 1 << 40, 0x000F_FFFF_FFFF_E000, HOST_PAGE] {
        let (machine, handle) = asking();
        assert_eq!(machine.donate(handle, &[entry(address, 2)]), REFUSED, "{address:#x}");
        fails(&machine, handle, x0::INPUT);
    }
}

#[test]
fn a_misaligned_or_wrongly_sized_donation_is_refused() {
    for (offset, granules) in [(0x1000, 2), (0, 1), (0, 3), (0, 4), (0, 1023), (0x2000, 1)] {
        let (machine, handle) = asking();
        let address = machine.allocate(4);
        let offered = entry(address + offset, granules);
        assert_eq!(machine.donate(handle, &[offered]), REFUSED, "{granules} at {offset:#x}");
        machine.free(address, 4);
        fails(&machine, handle, x0::INPUT);
    }
}

#[test]
fn two_entries_are_refused_even_if_they_are_contiguous() {
    let (machine, handle) = asking();
    let address = machine.allocate(2);
    let halves = [entry(address, 1), entry(address + 0x1000, 1)];
    assert_eq!(machine.donate(handle, &halves), REFUSED);
    machine.free(address, 2);
    fails(&machine, handle, x0::INPUT);

    let (machine, handle) = asking();
    let address = machine.allocate(2);
    assert_eq!(machine.donate(handle, &[entry(address, 2); 2]), REFUSED, "twice the same");
    machine.free(address, 2);
    fails(&machine, handle, x0::INPUT);
}

#[test]
fn entries_in_another_state_or_with_reserved_bits_are_refused() {
    for bits in [1 << 63, 1 << 62, 3 << 62, 1 << 52, 1 << 61, 1, 2, 3] {
        let (machine, handle) = asking();
        let address = machine.allocate(2);
        assert_eq!(machine.donate(handle, &[entry(address, 2) | bits]), REFUSED, "{bits:#x}");
        machine.free(address, 2);
        fails(&machine, handle, x0::INPUT);
    }
}

#[test]
fn empty_entries_are_passed_over_wherever_they_are() {
    let (machine, handle) = asking();
    let address = machine.allocate(2);
    // Longer than what is copied at once.
    let mut entries = [entry(NO_MEMORY, 0); 100];
    entries[70] = entry(address, 2);
    assert_eq!(machine.donate(handle, &entries), [x0::DONATE, 2, ONE_GRANULE]);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
}

#[test]
fn an_empty_list_changes_nothing_and_the_host_is_asked_again() {
    let (machine, handle) = asking();
    assert_eq!(machine.donate(handle, &[]), [x0::DONATE, 0, 0x1_0008]);
    assert_eq!(machine.donate(handle, &[0; 40]), [x0::DONATE, 0, 0x1_0008]);
    // Not even a list is needed for nothing.
    let nothing = machine.ask(fid::OP_MEM_DONATE, [handle, NO_MEMORY, 0]);
    assert_eq!(nothing, [x0::DONATE, 0, 0x1_0008, 0]);
    assert_eq!(machine.proceed(handle), (x0::DONATE, 0x1_0008), "nor does going on help");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
}

#[test]
fn a_list_that_is_misaligned_or_not_the_hosts_is_refused() {
    let (realm, secure) = (0x8000_8000, 0x8000_9000);
    for list in [RAW_LIST + 4, RAW_LIST + 1, NO_MEMORY, RMM, 1 << 52, !7, realm, secure] {
        let (machine, handle) = asking();
        let address = machine.allocate(2);
        machine.list(&[entry(address, 2)]);
        assert_eq!(machine.delegate(realm), x0::SUCCESS);
        machine.host.set_secure(secure);
        let answer = machine.ask(fid::OP_MEM_DONATE, [handle, list, 1]);
        assert_eq!(answer, [x0::INPUT, 0, 0, 0], "{list:#x}");
        machine.free(address, 2);
        assert_eq!(machine.undelegate(realm), x0::SUCCESS);
        fails(&machine, handle, x0::INPUT);
    }
}

#[test]
fn a_list_page_delegated_between_donations_is_refused() {
    let (machine, handle) = asking();
    let (_, request, _) = machine.give(handle, 0x1_0008);
    let address = machine.allocate(1);
    machine.list(&[entry(address, 1)]);
    assert_eq!((request, machine.delegate(RAW_LIST)), (ONE_GRANULE, x0::SUCCESS));
    let answer = machine.ask(fid::OP_MEM_DONATE, [handle, RAW_LIST, 1]);
    assert_eq!(answer, [x0::RECLAIM, 0, 0, 0]);
    assert_eq!(machine.undelegate(RAW_LIST), x0::SUCCESS);
    machine.free(address, 1);
    fails(&machine, handle, x0::INPUT);
}

#[test]
fn a_list_page_can_be_donated_and_is_refused_afterwards() {
    let (machine, _) = asking();
    let [handle] = machine.handles()[..] else { panic!("one operation") };
    let _ = machine.give(handle, 0x1_0008);
    let own = machine.heap.take(1);
    machine.host.set_word(own, 0, entry(own, 1));
    assert_eq!(machine.delegate(own), x0::SUCCESS);
    let answer = machine.ask(fid::OP_MEM_DONATE, [handle, own, 1]);
    assert_eq!(answer, [x0::RECLAIM, 0, 0, 0]);
    machine.free(own, 1);
    fails(&machine, handle, x0::INPUT);
}

#[test]
fn a_list_ends_with_its_page_whatever_its_length() {
    let (machine, handle) = asking();
    let address = machine.allocate(2);
    machine.host.set_word(RAW_LIST, 511, entry(address, 2));
    machine.host.fill(RAW_LIST + 0x1000, !0);
    let answer = machine.ask(fid::OP_MEM_DONATE, [handle, RAW_LIST + 511 * 8, u64::MAX]);
    assert_eq!(answer, [x0::DONATE, 2, ONE_GRANULE, 0]);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
}

#[test]
fn donated_memory_is_exclusive_until_reclaimed_and_wiped() {
    let (machine, handle) = asking();
    let (_, _, table) = machine.give(handle, 0x1_0008);
    for granule in [table, table + 0x1000] {
        assert_eq!(machine.undelegate(granule), x0::INPUT);
        assert_eq!(machine.delegate(granule), x0::INPUT);
        assert_eq!(machine.status(fid::PSMMU_INFO, [PSMMU, granule, 0]), x0::INPUT);
        // What the host had left there is gone already.
        assert_eq!(machine.host.realm_page(granule), [0; 512]);
    }
    assert_eq!(machine.donate(handle, &[entry(table, 1)]), GIVES_BACK);
    fails(&machine, handle, x0::INPUT);
}

#[test]
fn a_donation_that_was_not_requested_changes_nothing() {
    let machine = active();
    let address = machine.allocate(1);
    let offered = [entry(address, 1)];
    // To a deactivation, which gives; and to one that has all it needs.
    let (handle, _) = machine.begin(fid::ST_L2_CREATE, 0, x0::DONATE);
    let _ = machine.give(handle, ONE_GRANULE);
    assert_eq!(machine.donate(handle, &offered), REFUSED);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(crate::rig::destroy(&machine, 0), x0::SUCCESS);
    let (handle, request) = machine.begin(fid::PSMMU_DEACTIVATE, 0, x0::RECLAIM);
    assert_eq!((request, machine.donate(handle, &offered)), (0, REFUSED));
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    machine.free(address, 1);
    run_cycle(&machine);
}

#[test]
fn a_refused_donation_ends_an_operation_that_holds_nothing() {
    let (machine, handle) = asking();
    assert_eq!(machine.donate(handle, &[entry(NO_MEMORY, 2)]), REFUSED);
    // No further call is needed, as Linux makes none; that of TF-A-Tests gets the same error.
    machine.check_quiesced();
    assert_eq!(machine.proceed(handle), (x0::INPUT, 0));
    assert_eq!(machine.ask(fid::OP_MEM_RECLAIM, [handle, RAW_LIST, 4]), [x0::INPUT, 0, 0, 0]);
    run_cycle(&machine);

    let machine = active();
    for _ in 0..20 {
        let (handle, _) = machine.begin_create(0);
        assert_eq!(machine.donate(handle, &[entry(NO_MEMORY, 1)]), REFUSED);
    }
    assert_eq!(crate::rig::create(&machine, 0), x0::SUCCESS);
}

#[test]
fn device_memory_is_no_donation() {
    let (machine, handle) = asking();
    for granule in [DEVICE_MEMORY, DEVICE_MEMORY + 0x1000] {
        assert_eq!(machine.delegate(granule), x0::SUCCESS);
    }
    assert_eq!(machine.donate(handle, &[entry(DEVICE_MEMORY, 2)]), REFUSED);
    for granule in [DEVICE_MEMORY, DEVICE_MEMORY + 0x1000] {
        assert_eq!(machine.undelegate(granule), x0::SUCCESS);
    }
    run_cycle(&machine);
}

#[test]
fn a_large_donation_is_wiped_in_parts_and_not_before_it_is_used() {
    let options = Options { event_queue: 14, ..Options::default() };
    let machine = started_with(options);
    let (handle, mut request) = machine.begin_activate();
    for _ in 0..2 {
        (_, request, _) = machine.give(handle, request);
    }
    // 2^14 events of 32 bytes: 128 granules, of which a call zeroes 16.
    let (x0, x2, queue) = machine.give(handle, request);
    assert_eq!((x0, x2), (x0::CONTINUE, 0));
    let is_wiped = |granule: u64| machine.host.realm_page(queue + granule * 0x1000) == [0; 512];
    for done in (16..=128).step_by(16) {
        assert_eq!(machine.status(fid::OP_CANCEL, [handle, 0, 0]), x0::INPUT, "nor cancelled");
        assert_eq!(machine.proceed(handle), (x0::CONTINUE, 0));
        assert_eq!((0..128).filter(|&granule| is_wiped(granule)).count(), done);
    }
    assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    assert_eq!(crate::rig::deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}
