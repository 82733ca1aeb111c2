// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests of this folder share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use psmmu_abi::{IrqSet, PsmmuParamsFlags};
use responder_tests::raw::{fid, x0};
use responder_tests::{Faults, Machine, Options, PSMMU, inputs};

/// A machine whose RMM is active, with parameters of a plain activation in the host's page.
pub fn started() -> Machine {
    started_with(Options::default())
}

/// As [`started`], with other options.
pub fn started_with(options: Options) -> Machine {
    let machine = Machine::started(options);
    machine.write_params(machine.flags(), &[]);
    machine
}

/// A machine whose PSMMU is active and has no level-2 table.
pub fn active() -> Machine {
    let machine = started();
    assert_eq!(activate(&machine), x0::SUCCESS);
    machine
}

/// Activates the PSMMU with the parameters in the host's page.
pub fn activate(machine: &Machine) -> u64 {
    let (handle, _) = machine.begin_activate();
    machine.finish(handle)
}

/// Ends whatever an answer has begun, and returns the last X0.
fn end(machine: &Machine, [x0, handle, ..]: [u64; 4]) -> u64 {
    if x0 & 0xFF == x0::CONTINUE { machine.finish(handle) } else { x0 }
}

/// Makes the level-2 table of the streams from `stream` on.
pub fn create(machine: &Machine, stream: u64) -> u64 {
    end(machine, machine.ask(fid::ST_L2_CREATE, [PSMMU, stream, 7]))
}

/// Takes the level-2 table of the streams from `stream` on away.
pub fn destroy(machine: &Machine, stream: u64) -> u64 {
    end(machine, machine.ask(fid::ST_L2_DESTROY, [PSMMU, stream, 7]))
}

/// Deactivates the PSMMU.
pub fn deactivate(machine: &Machine) -> u64 {
    end(machine, machine.ask(fid::PSMMU_DEACTIVATE, [PSMMU, 7, 7]))
}

/// Runs a whole cycle of an inactive PSMMU, and checks that it leaves nothing behind.
pub fn run_cycle(machine: &Machine) {
    machine.write_params(PsmmuParamsFlags::empty(), &[]);
    assert_eq!(activate(machine), x0::SUCCESS);
    assert_eq!(create(machine, 0), x0::SUCCESS);
    machine.device().fault(0x5000);
    assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [0x5000]);
    assert_eq!(destroy(machine, 0), x0::SUCCESS);
    assert_eq!(deactivate(machine), x0::SUCCESS);
    machine.check_quiesced();
}

/// Ends an activation that a test has made fail: it ends with `x0`, all comes back, and the RMM serves
/// the next cycle.
pub fn fails(machine: &Machine, handle: u64, x0: u64) {
    assert_eq!(machine.finish(handle), x0);
    machine.check_quiesced();
    run_cycle(machine);
}

/// Makes the device hang before its register access number `from`, counted from 0 and from now on, and
/// respond again before access number `to`. Returns the count of accesses.
pub fn stop_responding(machine: &Machine, from: u64, to: u64) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    machine.device().on_access(move |device, _| {
        let access = counter.fetch_add(1, Ordering::Relaxed);
        if access == from || access == to {
            device.set_hung(access == from);
            device.set_eager(true);
        }
    });
    count
}

/// Makes the device respond again.
pub fn revive(machine: &Machine) {
    machine.device().clear_hooks();
    machine.device().set_hung(false);
    machine.device().set_eager(true);
}
