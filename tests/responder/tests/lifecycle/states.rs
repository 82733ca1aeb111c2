// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is allowed when, and parameters of an activation.

use psmmu_abi::{MsiMessage, PsmmuParamsFlags};
use responder_tests::raw::{fid, x0};
use responder_tests::{Faults, HOST_PAGE, Machine, Options, PSMMU, RAW_LIST};

use crate::rig::{active, deactivate, run_cycle, started};

const A: u64 = 0x8020_0000;

#[test]
fn before_the_rmm_is_active_memory_and_psmmus_are_left_alone() {
    let machine = Machine::new(Options::default());
    let gated = [
        fid::PSMMU_ACTIVATE,
        fid::PSMMU_DEACTIVATE,
        fid::ST_L2_CREATE,
        fid::ST_L2_DESTROY,
        fid::PSMMU_INFO,
        fid::EVENT_CONSUME,
        fid::RANGE_DELEGATE,
        fid::RANGE_UNDELEGATE,
        fid::OP_CONTINUE,
        fid::OP_MEM_DONATE,
        fid::OP_MEM_RECLAIM,
        fid::OP_CANCEL,
        fid::RMM_DEACTIVATE,
        fid::GPT_INFO,
        fid::VSMMU[0],
    ];
    for function in gated {
        // Also with the bit by which a caller says that it has no SVE state.
        for hint in [0, 1 << 16] {
            for x1 in [PSMMU, A, 0] {
                let status = machine.status(function | hint, [x1, A + 0x1000, 1]);
                assert_eq!(status, x0::GLOBAL, "{function:#x}");
            }
        }
    }
    assert_eq!(machine.device().accesses(), (0, 0));
    assert_eq!(machine.host.realm(), [0; 0]);
    let known = machine.ask(fid::TRACKING_GET, [A, A + 0x1000, 0]);
    assert_eq!(known, [x0::SUCCESS, 0, 2, A + 0x1000], "in any state");
}

#[test]
fn the_state_of_the_rmm_is_reported() {
    let machine = Machine::new(Options::default());
    assert_eq!(machine.ask(fid::STATE_GET, [9, 9, 9]), [x0::SUCCESS, 0, 0, 0]);
    assert_eq!(machine.status(fid::RMM_ACTIVATE, [9, 9, 9]), x0::SUCCESS);
    assert_eq!(machine.ask(fid::STATE_GET, [9, 9, 9]), [x0::SUCCESS, 1, 0, 0]);
    assert_eq!(machine.status(fid::RMM_ACTIVATE, [9, 9, 9]), x0::GLOBAL);
    assert_eq!(machine.status(fid::CONFIG_SET, [HOST_PAGE, 9, 9]), x0::GLOBAL);
    run_cycle(&machine);
}

#[test]
fn commands_of_devices_say_so_when_there_are_none() {
    let machine = Machine::with_devices(Options::default(), vec![]).with_active_rmm();
    let functions = [
        fid::PSMMU_ACTIVATE,
        fid::PSMMU_DEACTIVATE,
        fid::ST_L2_CREATE,
        fid::ST_L2_DESTROY,
        fid::PSMMU_INFO,
    ];
    for function in functions {
        assert_eq!(machine.status(function, [PSMMU, HOST_PAGE, 0]), x0::NOT_SUPPORTED);
    }
    assert_eq!(machine.ask(fid::FEATURES, [2, 0, 0]), [x0::SUCCESS, 0, 0, 0]);
    assert_eq!(machine.delegate(A), x0::SUCCESS);
    assert_eq!(machine.undelegate(A), x0::SUCCESS);
}

#[test]
fn activation_needs_inactive_and_deactivation_active() {
    let machine = started();
    let activate = || machine.status(fid::PSMMU_ACTIVATE, [PSMMU, HOST_PAGE, 0]);
    let stop = || machine.status(fid::PSMMU_DEACTIVATE, [PSMMU, 0, 0]);
    assert_eq!(stop(), x0::INPUT, "inactive");
    let (handle, _) = machine.begin_activate();
    assert_eq!((activate(), stop()), (x0::INPUT, x0::INPUT), "being activated");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(activate(), x0::INPUT, "active");
    let (handle, _) = machine.begin(fid::PSMMU_DEACTIVATE, 0, x0::RECLAIM);
    assert_eq!((activate(), stop()), (x0::INPUT, x0::INPUT), "being deactivated");
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(stop(), x0::INPUT, "twice");
    for psmmu in [0, PSMMU + 1, PSMMU + 0x1000, HOST_PAGE, !0] {
        assert_eq!(machine.status(fid::PSMMU_ACTIVATE, [psmmu, HOST_PAGE, 0]), x0::INPUT);
        assert_eq!(machine.status(fid::PSMMU_DEACTIVATE, [psmmu, 0, 0]), x0::INPUT);
    }
    run_cycle(&machine);
}

/// Asks and consumes, which must answer `x0`, and asks for INFO, which must succeed.
fn check_answers(machine: &Machine, x0: u64, when: &str) {
    for set in [1, 2, 7] {
        let notified = machine.call([fid::IRQ_NOTIFY, PSMMU, set, 0, 0, 0, 0, 0]);
        assert_eq!(notified, [x0, 0, 0, 0, 0, 0, 0, 0], "{when}");
        assert_eq!(machine.status(fid::EVENT_CONSUME, [PSMMU, set, 0]), x0, "{when}");
    }
    assert_eq!(machine.status(fid::PSMMU_INFO, [PSMMU, RAW_LIST + 0x1000, 0]), x0::SUCCESS);
}

#[test]
fn events_are_reported_only_while_active_and_info_always() {
    let machine = started();
    check_answers(&machine, x0::INPUT, "inactive");
    let (handle, mut request) = machine.begin_activate();
    loop {
        check_answers(&machine, x0::INPUT, "between two donations");
        match machine.give(handle, request) {
            (x0::DONATE, next, _) => request = next,
            (x0, ..) => break assert_eq!(x0, x0::CONTINUE),
        }
    }
    check_answers(&machine, x0::INPUT, "before the last step");
    assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    check_answers(&machine, x0::SUCCESS, "active");
    for (function, wants) in [(fid::ST_L2_CREATE, x0::DONATE), (fid::ST_L2_DESTROY, x0::RECLAIM)] {
        let (handle, _) = machine.begin(function, 0, wants);
        check_answers(&machine, x0::SUCCESS, "during a table");
        assert_eq!(machine.finish(handle), x0::SUCCESS);
    }
    machine.device().fault(1);
    assert_eq!(machine.notify(2)[4], 1);
    let (handle, _) = machine.begin(fid::PSMMU_DEACTIVATE, 0, x0::RECLAIM);
    check_answers(&machine, x0::INPUT, "before its memory is back");
    machine.reclaim_all(handle);
    check_answers(&machine, x0::INPUT, "before the end");
    assert_eq!(machine.proceed(handle), (x0::SUCCESS, 0));
    check_answers(&machine, x0::INPUT, "inactive again");
}

#[test]
fn activation_parameters_are_read_once_at_the_beginning() {
    let machine = started();
    let (handle, _) = machine.begin_activate();
    machine.host.fill(HOST_PAGE, !0);
    assert_eq!(machine.delegate(HOST_PAGE), x0::SUCCESS);
    assert_eq!(machine.finish(handle), x0::SUCCESS);
    assert_eq!(machine.device().cr0() & 0xF, 0b1101, "no page requests");
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    assert_eq!(machine.undelegate(HOST_PAGE), x0::SUCCESS);
    run_cycle(&machine);
}

#[test]
fn parameters_that_the_psmmu_cannot_serve_are_refused() {
    let refused = |machine: &Machine, flags, msis: &[MsiMessage], what: &str| {
        machine.write_params(flags, msis);
        let status = machine.status(fid::PSMMU_ACTIVATE, [PSMMU, HOST_PAGE, 0]);
        assert_eq!(status, x0::INPUT, "{what}");
        assert_eq!(machine.device().accesses().1, 0, "{what}");
        run_cycle(machine);
        machine.device().forget_accesses();
    };
    let good = [MsiMessage { address: 0x0808_0040, data: 1 }; 3];
    let machine = started();
    refused(&machine, PsmmuParamsFlags::ATS, &[], "ATS");
    refused(&machine, PsmmuParamsFlags::MSI, &good, "MSIs on a platform of wired interrupts");
    let device = smmu_model::Config::default().without_pri();
    let machine = Machine::with_device(Options::default(), device).with_active_rmm();
    refused(&machine, PsmmuParamsFlags::PRI, &[], "page requests without PRI");
}

#[test]
fn unknown_functions_return_all_ones_while_active() {
    let machine = active();
    for function in [0xC400_0151, 0xC400_01E3, 0xC400_0210, 0xC400_0212, 0x8400_01D7, 0] {
        assert_eq!(machine.status(function, [PSMMU, HOST_PAGE, 1]), x0::UNKNOWN, "{function:#x}");
    }
    assert_eq!(machine.ask(fid::VERSION, [0x2_0000, 0, 0]), [x0::SUCCESS, 0x2_0000, 0x2_0000, 0]);
    assert_eq!(machine.status(fid::CONFIG_GET, [HOST_PAGE, 0, 0]), x0::SUCCESS);
}

#[test]
fn commands_of_virtual_smmus_are_not_supported() {
    let machine = active();
    for function in fid::VSMMU {
        assert_eq!(machine.status(function, [PSMMU, HOST_PAGE, 1]), x0::NOT_SUPPORTED);
    }
}
