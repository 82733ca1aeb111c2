// SPDX-License-Identifier: MIT OR Apache-2.0

//! Interrupts by MSI.

use psmmu::Delivery;
use psmmu_abi::{IrqSet, MsiMessage, PsmmuParamsFlags};
use responder_tests::raw::{fid, x0};
use responder_tests::{Faults, HOST_PAGE, Machine, Options, PSMMU};
use smmu_model::{PageRequest, Register};

use crate::rig::{activate, deactivate, run_cycle};

const DOORBELL: u64 = 0x0808_0040;
const NON_SECURE: u64 = 1 << 63;

fn msi(data: u64) -> MsiMessage {
    MsiMessage { address: DOORBELL + 4 * data, data: 0xAB00 + data }
}

fn options(pri_queue: Option<u8>) -> Options {
    Options { delivery: Delivery::Msi, pri_queue, ..Options::default() }
}

fn machine(pri_queue: Option<u8>) -> Machine {
    let machine = Machine::started(options(pri_queue));
    (1..=3).for_each(|data| machine.device().add_doorbell(DOORBELL + 4 * data, true));
    machine
}

#[test]
fn each_source_gets_its_own_msi_to_the_hosts_world() {
    let machine = machine(Some(4));
    let flags = PsmmuParamsFlags::MSI | PsmmuParamsFlags::PRI;
    machine.write_params(flags, &[msi(1), msi(2), msi(3)]);
    assert_eq!(activate(&machine), x0::SUCCESS);
    let registers = [
        (Register::GerrorIrqCfg0, Register::GerrorIrqCfg1),
        (Register::EventqIrqCfg0, Register::EventqIrqCfg1),
        (Register::PriqIrqCfg0, Register::PriqIrqCfg1),
    ];
    for (data, (cfg0, cfg1)) in (1..).zip(registers) {
        let MsiMessage { address, data } = msi(data);
        let device = machine.device();
        assert_eq!((device.peek(cfg0), device.peek(cfg1)), (NON_SECURE | address, data));
    }
    machine.device().fault(0x1000);
    machine.device().page_request(PageRequest::last_of(8, 3, 0x7000));
    machine.device().raise(1 << 4);
    let mut sent: Vec<_> = machine.device().take_msis().iter().map(|sent| sent.data).collect();
    sent.sort_unstable();
    assert_eq!(sent, [0xAB01, 0xAB02, 0xAB03]);
    assert_eq!(machine.service(IrqSet::all()).len(), 3);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.check_quiesced();
}

#[test]
fn without_pri_the_priq_msi_is_neither_checked_nor_programmed() {
    let machine = machine(None);
    for priq in [0, 3, 1 << 60] {
        let priq = MsiMessage { address: priq, data: !0 };
        machine.write_params(PsmmuParamsFlags::MSI, &[msi(1), msi(2), priq]);
        assert_eq!(activate(&machine), x0::SUCCESS, "{priq:x?}");
        assert_eq!(machine.device().peek(Register::PriqIrqCfg0), 0);
        assert_eq!(machine.device().irq_ctrl(), 0b101);
        assert_eq!(deactivate(&machine), x0::SUCCESS);
    }
}

#[test]
fn a_host_that_gives_no_msis_polls() {
    let machine = machine(None);
    machine.write_params(PsmmuParamsFlags::empty(), &[msi(1), msi(2)]);
    assert_eq!(activate(&machine), x0::SUCCESS);
    assert_eq!(machine.device().irq_ctrl(), 0);
    machine.device().fault(0x1000);
    assert!(machine.device().take_msis().is_empty());
    assert_eq!(machine.service(IrqSet::EVENTQ).len(), 1);
}

#[test]
fn an_msi_with_a_misaligned_address_or_wide_data_is_refused() {
    let bad = [
        MsiMessage { address: 0, data: 1 },
        MsiMessage { address: DOORBELL + 1, data: 1 },
        MsiMessage { address: DOORBELL + 2, data: 1 },
        MsiMessage { address: 1 << 48, data: 1 },
        MsiMessage { address: 1 << 55, data: 1 },
        MsiMessage { address: DOORBELL | NON_SECURE, data: 1 },
        MsiMessage { address: DOORBELL, data: 1 << 32 },
        MsiMessage { address: DOORBELL, data: !0 },
    ];
    let machine = machine(Some(4));
    let flags = PsmmuParamsFlags::MSI | PsmmuParamsFlags::PRI;
    for place in 0..3 {
        for bad in bad {
            let mut msis = [msi(1), msi(2), msi(3)];
            msis[place] = bad;
            machine.write_params(flags, &msis);
            let status = machine.status(fid::PSMMU_ACTIVATE, [PSMMU, HOST_PAGE, 0]);
            assert_eq!(status, x0::INPUT, "{bad:x?} in place {place}");
        }
    }
    assert_eq!(machine.device().accesses().1, 0);
    run_cycle(&machine);
}

#[test]
fn msis_are_refused_where_device_or_platform_have_none() {
    let device = smmu_model::Config::default().without_msi();
    let without = Machine::with_device(options(None), device).with_active_rmm();
    for machine in [without, Machine::started(Options::default())] {
        machine.write_params(PsmmuParamsFlags::MSI, &[msi(1), msi(2)]);
        let status = machine.status(fid::PSMMU_ACTIVATE, [PSMMU, HOST_PAGE, 0]);
        assert_eq!(status, x0::INPUT);
        run_cycle(&machine);
    }
}

#[test]
fn an_activation_without_msis_clears_those_before_it() {
    let machine = machine(None);
    machine.write_params(PsmmuParamsFlags::MSI, &[msi(1), msi(2)]);
    assert_eq!(activate(&machine), x0::SUCCESS);
    assert_eq!(deactivate(&machine), x0::SUCCESS);
    machine.write_params(PsmmuParamsFlags::empty(), &[]);
    assert_eq!(activate(&machine), x0::SUCCESS);
    let device = machine.device();
    for register in [Register::GerrorIrqCfg0, Register::EventqIrqCfg0, Register::PriqIrqCfg0] {
        assert_eq!(device.peek(register), 0, "{}", register.name());
    }
}
