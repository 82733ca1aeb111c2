// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sixteen PSMMUs, none of which disturbs another.

use psmmu::State;
use psmmu_abi::IrqSet;
use responder_tests::raw::{fid, x0};
use responder_tests::{Faults, HOST_PAGE, Machine, Options, PSMMU, PSMMU_STEP, inputs};

const COUNT: usize = 16;

fn psmmu_ptr(index: usize) -> u64 {
    PSMMU + index as u64 * PSMMU_STEP
}

fn machine() -> Machine {
    let devices = vec![smmu_model::Config::default(); COUNT];
    let machine = Machine::with_devices(Options::default(), devices).with_active_rmm();
    machine.write_params(machine.flags(), &[]);
    machine
}

fn run(machine: &Machine, function: u64, index: usize, x2: u64) {
    let [x0, handle, ..] = machine.ask(function, [psmmu_ptr(index), x2, 0]);
    assert_eq!(x0 & 0xFF, x0::CONTINUE, "{index}");
    assert_eq!(machine.finish(handle), x0::SUCCESS, "{index}");
}

fn active() -> Machine {
    let machine = machine();
    (0..COUNT).for_each(|index| run(&machine, fid::PSMMU_ACTIVATE, index, HOST_PAGE));
    machine
}

/// Does something with one PSMMU, and checks that no other is accessed.
fn alone<T>(machine: &Machine, index: usize, action: impl FnOnce() -> T) -> T {
    (0..COUNT).for_each(|index| machine.device_of(index).forget_accesses());
    let result = action();
    for other in (0..COUNT).filter(|&other| other != index) {
        assert_eq!(machine.device_of(other).accesses(), (0, 0), "{other} beside {index}");
    }
    result
}

#[test]
fn each_psmmu_runs_its_own_cycle_and_affects_no_other() {
    let machine = machine();
    for index in 0..COUNT {
        alone(&machine, index, || run(&machine, fid::PSMMU_ACTIVATE, index, HOST_PAGE));
        alone(&machine, index, || run(&machine, fid::ST_L2_CREATE, index, 64 * index as u64));
        let active = (0..COUNT).filter(|&i| machine.psmmu_of(i).state() == State::Active);
        assert_eq!(active.count(), index + 1);
    }
    for index in (0..COUNT).rev() {
        alone(&machine, index, || run(&machine, fid::ST_L2_DESTROY, index, 64 * index as u64));
        alone(&machine, index, || run(&machine, fid::PSMMU_DEACTIVATE, index, 0));
    }
    machine.check_quiesced();
}

#[test]
fn addresses_between_and_beyond_the_psmmus_are_refused() {
    let machine = active();
    for index in 0..=COUNT {
        for other in [
            psmmu_ptr(index) + 1,
            psmmu_ptr(index) + 0x1_0000,
            psmmu_ptr(index) | 1 << 40,
            psmmu_ptr(COUNT),
        ] {
            assert_eq!(machine.status(fid::PSMMU_INFO, [other, HOST_PAGE, 0]), x0::INPUT);
        }
    }
}

#[test]
fn a_flood_on_one_costs_the_others_nothing() {
    let machine = active();
    (0..COUNT).for_each(|index| machine.device_of(index).fault(index as u64));
    (1000..2000).for_each(|address| machine.device_of(5).fault(address));
    for index in (0..COUNT).filter(|&index| index != 5) {
        let events =
            alone(&machine, index, || machine.service_of(psmmu_ptr(index), IrqSet::EVENTQ));
        assert_eq!(inputs(&events), [index as u64]);
        assert_eq!(machine.device_of(index).accesses(), (2, 1));
    }
    let flood = alone(&machine, 5, || machine.service_of(psmmu_ptr(5), IrqSet::EVENTQ));
    assert_eq!(flood.len(), 128 + 1, "the queue, and a loss");
}

#[test]
fn an_absent_or_unresponsive_psmmu_costs_the_others_nothing() {
    let machine = active();
    machine.device_of(3).set_removed(true);
    machine.device_of(4).set_hung(true);
    alone(&machine, 3, || machine.service_of(psmmu_ptr(3), IrqSet::GERROR).len());
    let status = alone(&machine, 4, || machine.status(fid::PSMMU_DEACTIVATE, [psmmu_ptr(4), 0, 0]));
    assert_eq!(status, x0::DEVICE);
    for index in (0..COUNT).filter(|index| ![3, 4].contains(index)) {
        machine.device_of(index).fault(7);
        let events =
            alone(&machine, index, || machine.service_of(psmmu_ptr(index), IrqSet::EVENTQ));
        assert_eq!(inputs(&events), [7]);
        alone(&machine, index, || run(&machine, fid::PSMMU_DEACTIVATE, index, 0));
    }
}

#[test]
fn as_many_as_there_are_places_are_activated_at_the_same_time() {
    let machine = machine();
    let begin = |index| machine.ask(fid::PSMMU_ACTIVATE, [psmmu_ptr(index), HOST_PAGE, 0]);
    let handles: Vec<_> = (0..8).map(|index| begin(index)[1]).collect();
    assert_eq!(begin(8)[0], x0::BLOCKED);
    assert_eq!(machine.psmmu_of(8).state(), State::Inactive);
    // A donation for each in turn.
    let mut requests = [0x1_0008; 8];
    for _ in 0..3 {
        for (handle, request) in handles.iter().zip(&mut requests) {
            *request = machine.give(*handle, *request).1;
        }
    }
    for (index, handle) in handles.into_iter().enumerate() {
        assert_eq!(alone(&machine, index, || machine.proceed(handle)), (x0::SUCCESS, 0));
    }
    run(&machine, fid::PSMMU_ACTIVATE, 8, HOST_PAGE);
    (0..9).for_each(|index| run(&machine, fid::PSMMU_DEACTIVATE, index, 0));
    machine.check_quiesced();
}
