// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole activate/deactivate cycles, one after the other in the same boot.

use psmmu::{Delivery, Stage2};
use psmmu_abi::{IrqSet, MsiMessage, PsmmuParamsFlags};
use responder_tests::raw::{fid, x0};
use responder_tests::{
    Faults, HEAP, HOST_PAGE, Machine, Options, PSMMU, STREAM, Tables, configure_stream, inputs,
};
use rmm::Environment;
use smmu_model::{Outcome, PageRequest, Register, Transaction};

use crate::rig::{activate, create, deactivate, destroy, run_cycle, started, started_with};

const CYCLES: u64 = 100;

/// Where MSIs go.
const DOORBELL: u64 = 0x0808_0040;

fn run_full_cycle(machine: &Machine, msis: &[MsiMessage], cycle: u64) {
    let flags = machine.flags();
    let msi = if msis.is_empty() { PsmmuParamsFlags::empty() } else { PsmmuParamsFlags::MSI };
    machine.write_params(flags | msi, msis);
    assert_eq!(activate(machine), x0::SUCCESS);
    let table = u64::from(STREAM) & !63;
    assert_eq!(create(machine, table), x0::SUCCESS);
    assert_eq!(create(machine, table + 64), x0::SUCCESS);

    let (tables, clock) = (Tables(&machine.harness), machine.harness.clock());
    let stage_2 = Stage2 { table: 0x8020_0000, vmid: cycle as u16, t0sz: 25, sl0: 1, ps: 2 };
    let psmmu = machine.psmmu();
    assert_eq!(configure_stream(psmmu, STREAM, stage_2, &tables, clock), Ok(()));
    assert_eq!(psmmu.enable_stream(STREAM, &tables, clock), Ok(()));
    let address = 0x7000 + (cycle << 12);
    let outcome = machine.device().transaction(&Transaction::write(STREAM, address));
    assert!(matches!(outcome, Outcome::Recorded(_)), "{outcome:?}");
    machine.device().fault(address + 1);
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [address, address + 1]);
    if flags.contains(PsmmuParamsFlags::PRI) {
        machine.device().page_request(PageRequest::last_of(STREAM, 3, address));
        assert_eq!(machine.service(IrqSet::PRIQ).len(), 1);
        assert_eq!(machine.device().take_answers().len(), 1);
    }
    if !msis.is_empty() {
        let sent = machine.device().take_msis();
        assert!(sent.iter().any(|sent| sent.address == DOORBELL && sent.data == 2), "{sent:?}");
    }
    assert_eq!(psmmu.disable_stream(STREAM, &tables, clock), Ok(()));
    assert_eq!(psmmu.release_stream(STREAM, &tables, clock), Ok(()));

    assert_eq!(destroy(machine, table + 64), x0::SUCCESS);
    assert_eq!(destroy(machine, table), x0::SUCCESS);
    assert_eq!(deactivate(machine), x0::SUCCESS);
    machine.check_quiesced();
}

fn run_full_cycles(options: Options, msis: &[MsiMessage]) {
    let machine = started_with(options);
    machine.device().add_doorbell(DOORBELL, true);
    (0..CYCLES).for_each(|cycle| run_full_cycle(&machine, msis, cycle));
    let counters = machine.psmmu().counters();
    assert_eq!(counters.events.dropped.get(), 0);
    assert_eq!(counters.trace.iter().count(), 0, "nothing worth knowing has happened");
}

#[test]
fn a_hundred_cycles_with_wired_interrupts_lose_nothing() {
    run_full_cycles(Options::default(), &[]);
    run_full_cycles(Options { pri_queue: Some(5), ..Options::default() }, &[]);
}

#[test]
fn a_hundred_cycles_with_msis_lose_nothing() {
    let msis = [1, 2, 3].map(|data| MsiMessage { address: DOORBELL, data });
    let options =
        Options { delivery: Delivery::Msi, msis: true, event_queue: 9, ..Options::default() };
    run_full_cycles(options, &msis[..2]);
    run_full_cycles(Options { pri_queue: Some(9), ..options }, &msis);
}

#[test]
fn a_hundred_cycles_of_a_polling_host_lose_nothing() {
    run_full_cycles(Options { delivery: Delivery::Disabled, ..Options::default() }, &[]);
}

#[test]
fn the_host_is_asked_for_each_part_in_one_piece_of_its_size() {
    let machine =
        started_with(Options { event_queue: 9, pri_queue: Some(9), ..Options::default() });
    let (handle, mut request) = machine.begin_activate();
    let mut asked = Vec::new();
    let end = loop {
        asked.push(request);
        match machine.give(handle, request) {
            (x0::DONATE, next, _) => request = next,
            (x0, x2, _) => break (x0, x2),
        }
    };
    // 2^16 streams, 2^8 commands, 2^9 events, 2^9 page requests.
    assert_eq!(asked, [0x1_0008, 4, 0x1_0010, 0x1_0008]);
    assert_eq!(end, (x0::CONTINUE, 0));
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    let device = machine.device();
    // Each where the host gave it: 2, 1, 4 and 2 granules, each aligned to its size.
    let base = |register| device.peek(register) & 0x000F_FFFF_FFFF_F000;
    assert_eq!(base(Register::StrtabBase), HEAP);
    assert_eq!(base(Register::CmdqBase), HEAP + 0x2000);
    assert_eq!(base(Register::EventqBase), HEAP + 0x4000);
    assert_eq!(base(Register::PriqBase), HEAP + 0x8000);
}

#[test]
fn the_largest_queues_that_a_platform_allows_can_be_asked_for() {
    let options = Options { event_queue: 19, pri_queue: Some(19), ..Options::default() };
    let machine = started_with(options);
    run_full_cycle(&machine, &[], 1);
}

#[test]
fn a_device_that_has_less_is_given_less() {
    let options = Options { event_queue: 9, pri_queue: Some(9), ..Options::default() };
    for (commands, events, requests) in [(2, 1, 0), (8, 7, 10), (19, 19, 19)] {
        let device = smmu_model::Config::default().with_queue_limits(commands, events, requests);
        let machine = Machine::with_device(options, device).with_active_rmm();
        run_full_cycle(&machine, &[], 1);
    }
    for streams in [7, 8, 16] {
        let machine = started_with(Options { streams, ..options });
        run_full_cycle(&machine, &[], 1);
    }
    for streams in [6, 5, 1, 0] {
        let mut device = smmu_model::Config::default();
        device.idr1 = device.idr1 & !0x3F | streams;
        let machine = Machine::with_device(Options::default(), device).with_active_rmm();
        run_cycle(&machine);
    }
}

#[test]
fn a_device_without_a_needed_feature_stays_inactive() {
    const COHACC: u32 = 1 << 4;
    const ST_LEVEL: u32 = 3 << 27;
    const PRESET: u32 = 3 << 29;
    const RME_DA: u32 = 1 << 31;
    type Change = fn(&mut smmu_model::Config);
    const STAGE_2: u32 = 1 << 0;
    const AARCH64: u32 = 1 << 3;
    const BIG_ENDIAN: u32 = 3 << 21;
    const GRAN4K: u32 = 1 << 4;
    let changes: [(&str, Change); 9] = [
        ("stage 2 of translation", |device| device.idr0 &= !STAGE_2),
        ("tables of AArch64", |device| device.idr0 = device.idr0 & !AARCH64 | 1 << 2),
        ("little-endian tables", |device| device.idr0 |= BIG_ENDIAN),
        ("granules of 4 KiB", |device| device.idr5 &= !GRAN4K),
        ("coherent access", |device| device.idr0 &= !COHACC),
        ("two levels of tables", |device| device.idr0 &= !ST_LEVEL),
        ("bases that can be chosen", |device| device.idr1 |= PRESET),
        ("a Realm side", |device| device.r_idr1 &= !RME_DA),
        ("room for commands", |device| *device = device.clone().with_queue_limits(1, 7, 7)),
    ];
    for (what, change) in changes {
        let mut device = smmu_model::Config::default();
        change(&mut device);
        let machine = Machine::with_device(Options::default(), device).with_active_rmm();
        machine.write_params(PsmmuParamsFlags::empty(), &[]);
        let status = machine.status(fid::PSMMU_ACTIVATE, [PSMMU, HOST_PAGE, 0]);
        assert_eq!(status, x0::DEVICE, "{what}");
        assert_eq!(machine.device().accesses().1, 0, "{what}");
        machine.check_quiesced();
    }
}

#[test]
fn an_activation_cycle_of_the_host_driver_loses_nothing() {
    let machine = started();
    for _ in 0..10 {
        machine.write_params(PsmmuParamsFlags::empty(), &[]);
        assert_eq!(machine.activate(), Ok(()));
        assert_eq!(machine.st_l2_create(STREAM), Ok(()));
        assert_eq!(machine.st_l2_destroy(STREAM), Ok(()));
        assert_eq!(machine.deactivate(), Ok(()));
        machine.check_quiesced();
    }
}

#[test]
fn unconsumed_events_are_counted_and_not_in_the_next_cycle() {
    let machine =
        started_with(Options { event_queue: 6, pri_queue: Some(4), ..Options::default() });
    assert_eq!(activate(&machine), x0::SUCCESS);
    (0..70).for_each(|address| machine.device().fault(address));
    // Some are staged, the first is reported, the rest are in hardware, six are lost.
    let [flags, ..] = machine.notify(IrqSet::EVENTQ.bits());
    assert_ne!(flags, 0);
    machine.device().page_request(PageRequest::last_of(STREAM, 3, 0x7000));
    machine.device().raise(1 << 5);
    assert_ne!(machine.notify(IrqSet::GERROR.bits())[0], 0);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
    let counters = machine.psmmu().counters();
    assert_eq!(counters.events.dropped.get(), 65, "64 records and a loss");
    assert_eq!(counters.page_requests.dropped.get(), 1);

    machine.write_params(machine.flags(), &[]);
    assert_eq!(activate(&machine), x0::SUCCESS);
    assert_eq!(machine.notify(IrqSet::all().bits()), [0; 6], "nothing of the cycle before");
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    run_cycle(&machine);
}
