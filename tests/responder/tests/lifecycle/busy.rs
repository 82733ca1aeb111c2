// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several CPUs on one PSMMU, one of which waits for a slow device: the others are answered at once.

use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use psmmu::{DeviceError, State};
use responder_tests::raw::{fid, x0};
use responder_tests::{Machine, PSMMU, Tables};
use rmm::Environment;
use smmu_model::Register;

use crate::rig::{active, create, deactivate, destroy};

/// Longest time that another CPU may take while the device is slow. It takes none if it does not wait.
const LIMIT: Duration = Duration::from_secs(20);

/// Has `slow` wait at its next command until `other` is through on another CPU, which is to take no step
/// of the device: that is in the middle of one.
fn while_a_cpu_waits<T: Send>(
    machine: &Machine,
    slow: impl FnOnce() + Send,
    other: impl FnOnce() -> T + Send,
) -> T {
    let (waits, begin) = mpsc::channel();
    let (end, is_through) = mpsc::channel();
    machine.device().before_write(Register::CmdqProd, move |_| {
        waits.send(()).expect("the test waits for it");
        assert_ne!(is_through.recv_timeout(LIMIT), Err(RecvTimeoutError::Timeout), "it spins");
    });
    let result = Mutex::new(None);
    let answer = &result;
    thread::scope(|scope| {
        scope.spawn(move || {
            begin.recv().expect("the first CPU gets to its command");
            *answer.lock().unwrap() = Some(other());
            end.send(()).expect("the first CPU waits for it");
        });
        slow();
    });
    result.into_inner().unwrap().expect("it was called")
}

#[test]
fn other_cpus_are_busy_while_one_waits_for_the_device() {
    let machine = active();
    assert_eq!(create(&machine, 0), x0::SUCCESS);
    assert_eq!(create(&machine, 64), x0::SUCCESS);
    let (handle, request) = machine.begin_create(128);
    assert_eq!(machine.give(handle, request).0, x0::CONTINUE);

    let statuses = while_a_cpu_waits(
        &machine,
        || assert_eq!(destroy(&machine, 0), x0::SUCCESS),
        || {
            let first = |[x0, ..]: [u64; 4]| x0;
            [
                first(machine.ask(fid::ST_L2_DESTROY, [PSMMU, 64, 0])),
                first(machine.ask(fid::PSMMU_DEACTIVATE, [PSMMU, 0, 0])),
                first(machine.ask(fid::OP_CONTINUE, [handle, 0, 0])),
            ]
        },
    );
    assert_eq!(statuses, [x0::BUSY; 3]);
    // Nothing has changed: each is done when it is tried again.
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(destroy(&machine, 128), x0::SUCCESS);
    assert_eq!(destroy(&machine, 64), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn steps_of_streams_are_busy_while_another_cpu_waits() {
    let machine = active();
    assert_eq!(create(&machine, 0), x0::SUCCESS);
    assert_eq!(create(&machine, 64), x0::SUCCESS);
    let (tables, clock, psmmu) =
        (Tables(&machine.harness), machine.harness.clock(), machine.psmmu());
    let results = while_a_cpu_waits(
        &machine,
        || assert_eq!(destroy(&machine, 0), x0::SUCCESS),
        || {
            [
                psmmu.enable_stream(64, &tables, clock),
                psmmu.disable_stream(64, &tables, clock),
                psmmu.release_stream(64, &tables, clock),
                psmmu.tlbi_s2_ipa(1, 0x1000, true, clock),
                psmmu.tlbi_s12_vmall(1, clock),
            ]
        },
    );
    assert_eq!(results, [Err(DeviceError::Busy.into()); 5]);
    assert_eq!(machine.state(), State::Active);
}
