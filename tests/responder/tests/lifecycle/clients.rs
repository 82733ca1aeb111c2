// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two host clients that there are, each alone and both at once.

use psmmu_abi::PsmmuParamsFlags;
use responder_tests::raw::{fid, x0};
use responder_tests::{HOST_PAGE, Machine, Options, PSMMU, PSMMU_STEP};

use crate::rig::{run_cycle, started};
use crate::{linux, tftf};

const SECOND: u64 = PSMMU + PSMMU_STEP;

/// The operations of an activate/deactivate cycle of `psmmu`.
const fn cycle(psmmu: u64) -> [[u64; 3]; 6] {
    [
        [fid::PSMMU_ACTIVATE, psmmu, HOST_PAGE],
        [fid::ST_L2_CREATE, psmmu, 0],
        [fid::ST_L2_CREATE, psmmu, 64],
        [fid::ST_L2_DESTROY, psmmu, 0],
        [fid::ST_L2_DESTROY, psmmu, 64],
        [fid::PSMMU_DEACTIVATE, psmmu, 0],
    ]
}

fn run(machine: &Machine, command: [u64; 3]) -> u64 {
    let mut operation = linux::Operation::new(machine, command);
    (0..100).find_map(|_| operation.step()).expect("it comes to an end")
}

#[test]
fn linux_activates_and_deactivates_repeatedly_in_one_boot() {
    let machine = started();
    for _ in 0..5 {
        for command in cycle(PSMMU) {
            assert_eq!(run(&machine, command), x0::SUCCESS, "{command:x?}");
        }
        machine.check_quiesced();
    }
}

#[test]
fn linux_takes_an_existing_table_for_a_foreign_one() {
    let machine = started();
    let [activate, create, ..] = cycle(PSMMU);
    assert_eq!(run(&machine, activate), x0::SUCCESS);
    assert_eq!(run(&machine, create), x0::SUCCESS);
    assert_eq!(run(&machine, create), x0::TABLE);
}

#[test]
fn tf_a_tests_repeats_its_cycles_in_one_boot() {
    let machine = started();
    let mut client = tftf::Client::new(&machine, 1);
    for _ in 0..5 {
        for [function, arguments @ ..] in cycle(PSMMU) {
            let count = if function == fid::PSMMU_DEACTIVATE { 1 } else { 2 };
            assert_eq!(client.run(function, &arguments[..count]), Ok(()), "{function:#x}");
        }
        assert_eq!(client.pages, 0);
        machine.check_quiesced();
    }
    run_cycle(&machine);
}

/// Has both hosts take turns with the operations of their cycles, `first` and `second` steps at a time.
fn take_turns(first: u32, second: u32) {
    let options = Options::default();
    let machine =
        Machine::with_devices(options, vec![smmu_model::Config::default(); 2]).with_active_rmm();
    machine.write_params(PsmmuParamsFlags::empty(), &[]);
    let mut client = tftf::Client::new(&machine, 2);
    let cycles = |psmmu| [cycle(psmmu); 3].concat().into_iter();
    let (mut of_linux, mut of_tftf) = (cycles(PSMMU), cycles(SECOND));
    let (mut linux, mut tftf) = (None, None);
    let mut both = 0;
    loop {
        for _ in 0..first {
            if linux.is_none() {
                linux = of_linux.next().map(|command| linux::Operation::new(&machine, command));
            }
            if let Some(x0) = linux.as_mut().and_then(linux::Operation::step) {
                assert_eq!(x0, x0::SUCCESS);
                linux = None;
            }
            both += u32::from(machine.handles().len() == 2);
        }
        for _ in 0..second {
            match &mut tftf {
                None => {
                    let Some([function, arguments @ ..]) = of_tftf.next() else {
                        continue;
                    };
                    let count = if function == fid::PSMMU_DEACTIVATE { 1 } else { 2 };
                    let operation = client.begin(function, &arguments[..count]);
                    tftf = Some(operation.expect("it begins with INCOMPLETE"));
                }
                Some(operation) => {
                    if let Some(x0) = client.step(operation) {
                        assert_eq!(x0, x0::SUCCESS);
                        tftf = None;
                    }
                }
            }
            both += u32::from(machine.handles().len() == 2);
        }
        if linux.is_none() && tftf.is_none() && of_linux.len() + of_tftf.len() == 0 {
            break;
        }
    }
    assert!(both > 5, "both have operations open at the same time");
    assert_eq!(client.pages, 0);
    machine.check_quiesced();
}

#[test]
fn two_clients_interleave_without_mixing_operations() {
    for (first, second) in [(1, 1), (1, 2), (2, 1), (3, 2), (1, 5), (5, 1)] {
        take_turns(first, second);
    }
}

#[test]
fn both_on_one_psmmu_are_kept_apart() {
    let machine = started();
    let mut client = tftf::Client::new(&machine, 3);
    let mut linux = linux::Operation::new(&machine, cycle(PSMMU)[0]);
    assert_eq!(linux.step(), None);
    let begun = client.begin(fid::PSMMU_ACTIVATE, &[PSMMU, HOST_PAGE]);
    assert_eq!(begun.err(), Some(x0::INPUT), "it is being activated");
    assert_eq!((0..100).find_map(|_| linux.step()), Some(x0::SUCCESS));
    // Linux makes a table; TF-A-Tests makes the one beside it meanwhile.
    let mut linux = linux::Operation::new(&machine, cycle(PSMMU)[1]);
    assert_eq!(linux.step(), None);
    assert_eq!(client.run(fid::ST_L2_CREATE, &[PSMMU, 64]), Ok(()));
    assert_eq!(client.run(fid::ST_L2_CREATE, &[PSMMU, 0]), Err(x0::BLOCKED));
    assert_eq!((0..100).find_map(|_| linux.step()), Some(x0::SUCCESS));
    assert_eq!(client.run(fid::ST_L2_DESTROY, &[PSMMU, 0]), Ok(()));
    assert_eq!(run(&machine, [fid::ST_L2_DESTROY, PSMMU, 64]), x0::SUCCESS);
    assert_eq!(client.run(fid::PSMMU_DEACTIVATE, &[PSMMU]), Ok(()));
    machine.check_quiesced();
}
