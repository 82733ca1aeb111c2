// SPDX-License-Identifier: MIT OR Apache-2.0

//! Wired interrupts and MSIs.

use smmu_model::gerror::{
    EVENTQ_ABT_ERR, MSI_CMDQ_ABT_ERR, MSI_EVENTQ_ABT_ERR, MSI_GERROR_ABT_ERR, MSI_PRIQ_ABT_ERR,
};
use smmu_model::{
    Command, Completion, Config, MsiWrite, PageRequest, Register, Source, Step, SyncMsi, Violation,
};

use crate::rig::{NOWHERE, Rig, Sizes};

const DOORBELL: u64 = 0x2F00_0040;
const NON_SECURE: u64 = 1 << 63;

/// A device that is up, with an MSI at `address` for `cfg0` and its neighbours.
fn with_msi(cfg0: Register, address: u64) -> Rig {
    let rig = Rig::up();
    rig.write(Register::IrqCtrl, 0u32);
    rig.write(cfg0, address);
    let (cfg1, cfg2) = match cfg0 {
        Register::GerrorIrqCfg0 => (Register::GerrorIrqCfg1, Register::GerrorIrqCfg2),
        Register::EventqIrqCfg0 => (Register::EventqIrqCfg1, Register::EventqIrqCfg2),
        _ => (Register::PriqIrqCfg1, Register::PriqIrqCfg2),
    };
    rig.write(cfg1, 0x55u32);
    rig.write(cfg2, 1u32);
    rig.write(Register::IrqCtrl, 7u32);
    rig
}

#[test]
fn the_event_queue_interrupts_only_when_it_was_empty() {
    let rig = Rig::up();
    rig.fault(0x1000);
    assert_eq!(rig.pulses(), Source::Eventq.bit());
    rig.fault(0x2000);
    assert_eq!(rig.pulses(), 0);
    rig.free(1);
    rig.fault(0x3000);
    assert_eq!(rig.pulses(), 0, "one was left: this is how a wake-up is lost");
    rig.free(2);
    rig.fault(0x4000);
    assert_eq!(rig.pulses(), Source::Eventq.bit());
}

#[test]
fn overflow_has_no_interrupt() {
    let rig = Rig::up();
    for n in 0..6 {
        rig.fault(n << 12);
    }
    assert_eq!(rig.device().pulses(Source::Eventq), 1);
    assert_eq!(rig.device().pulses(Source::Gerror), 0);
}

#[test]
fn records_that_are_there_when_interrupts_go_on_raise_none() {
    let rig = Rig::up();
    rig.write(Register::IrqCtrl, 0u32);
    rig.fault(0x1000);
    rig.device().raise(EVENTQ_ABT_ERR);
    rig.write(Register::IrqCtrl, 7u32);
    assert_eq!(rig.pulses(), 0);
}

#[test]
fn what_comes_before_the_enable_is_acknowledged_raises_none() {
    let rig = Rig::up();
    rig.write(Register::IrqCtrl, 0u32);
    rig.device().set_eager(false);
    rig.write(Register::IrqCtrl, 7u32);
    rig.fault(0x1000);
    rig.device().step(Step::DeliverRecord(0));
    rig.device().settle();
    assert_eq!(rig.pulses(), 0);
}

#[test]
fn conditions_that_come_while_an_interrupt_is_due_share_it() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    for _ in 0..2 {
        rig.fault(0x1000);
        rig.device().step(Step::DeliverRecord(0));
        rig.free(1);
    }
    rig.device().settle();
    assert_eq!(rig.device().pulses(Source::Eventq), 1);
}

#[test]
fn an_interrupt_that_is_due_goes_out_before_it_is_off() {
    let rig = with_msi(Register::EventqIrqCfg0, DOORBELL);
    rig.device().add_doorbell(DOORBELL, false);
    rig.device().set_eager(false);
    rig.fault(0x1000);
    rig.device().step(Step::DeliverRecord(0));
    rig.write(Register::IrqCtrl, 1u32);
    assert_eq!(rig.device().take_msis(), []);
    rig.device().step(Step::AckIrqCtrl(Source::Eventq));
    assert_eq!(rig.pulses(), Source::Eventq.bit());
    assert_eq!(rig.device().take_msis().len(), 1);
    rig.free(1);
    rig.fault(0x2000);
    rig.device().settle();
    assert_eq!((rig.pulses(), rig.device().take_msis().len()), (0, 0));
}

#[test]
fn a_msi_and_a_wire_come_for_the_same_condition() {
    let rig = with_msi(Register::EventqIrqCfg0, DOORBELL);
    rig.device().add_doorbell(DOORBELL, false);
    rig.device().set_eager(false);
    rig.fault(0x1000);
    rig.device().step(Step::DeliverRecord(0));
    rig.device().step(Step::WriteMsi(Source::Eventq));
    rig.device().step(Step::SendInterrupt(Source::Eventq));
    let (source, address) = (Source::Eventq, DOORBELL);
    let msi = MsiWrite {
        source,
        address,
        non_secure: false,
        data: 0x55,
        shareability: 0,
        attributes: 1,
        aborted: false,
    };
    assert_eq!(rig.device().take_msis(), [msi]);
    assert_eq!(rig.pulses(), Source::Eventq.bit());
}

#[test]
fn address_zero_sends_no_msi() {
    let rig = with_msi(Register::EventqIrqCfg0, NON_SECURE);
    rig.fault(0x1000);
    assert_eq!(rig.device().take_msis(), []);
    assert_eq!(rig.pulses(), Source::Eventq.bit());
}

#[test]
fn a_device_without_wired_interrupts_sends_only_msis() {
    let config = Config { has_wired_irqs: false, ..Config::default() };
    let rig = Rig::with(config, Sizes { commands: 4, events: 2, pages: 2 });
    rig.bring_up();
    rig.fault(0x1000);
    assert_eq!(rig.pulses(), 0);
}

#[test]
fn the_ns_bit_chooses_the_address_space() {
    for (bit, non_secure) in [(0, true), (NON_SECURE, false)] {
        let rig = with_msi(Register::EventqIrqCfg0, bit | DOORBELL);
        rig.device().add_doorbell(DOORBELL, non_secure);
        rig.fault(0x1000);
        assert_eq!(rig.read32(Register::Gerror), MSI_EVENTQ_ABT_ERR);
        assert!(rig.device().take_msis()[0].aborted);
    }
    let rig = with_msi(Register::EventqIrqCfg0, NON_SECURE | DOORBELL);
    rig.device().add_doorbell(DOORBELL, true);
    rig.fault(0x1000);
    assert!(!rig.device().take_msis()[0].aborted);
}

#[test]
fn an_aborted_msi_raises_its_error_and_leaves_the_queue_intact() {
    let rig = with_msi(Register::EventqIrqCfg0, NOWHERE);
    rig.fault(0x1000);
    assert_eq!(rig.read32(Register::Gerror), MSI_EVENTQ_ABT_ERR);
    assert_eq!(rig.pulses(), Source::Eventq.bit() | Source::Gerror.bit());
    assert_eq!(rig.drain(), [0x1000]);

    let rig = with_msi(Register::PriqIrqCfg0, NOWHERE);
    rig.device().page_request(PageRequest::last_of(8, 1, 0x1000));
    assert_eq!(rig.read32(Register::Gerror), MSI_PRIQ_ABT_ERR);

    let rig = Rig::up();
    let msi = SyncMsi::to_realm_memory(NOWHERE, 1);
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi)))]);
    assert_eq!(rig.read32(Register::Gerror), MSI_CMDQ_ABT_ERR);
    assert_eq!(rig.read32(Register::CmdqCons), rig.read32(Register::CmdqProd));
}

#[test]
fn an_aborted_msi_of_the_errors_raises_no_further_interrupt() {
    let rig = with_msi(Register::GerrorIrqCfg0, NOWHERE);
    rig.device().raise(EVENTQ_ABT_ERR);
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR | MSI_GERROR_ABT_ERR);
    assert_eq!(rig.device().take_msis().len(), 1, "the lost one");
    assert_eq!(rig.device().pulses(Source::Gerror), 1, "the interrupt of the first error");
}

#[test]
fn later_msis_are_still_sent_after_an_abort() {
    let rig = with_msi(Register::EventqIrqCfg0, DOORBELL);
    rig.fault(0x1000);
    rig.free(1);
    rig.device().add_doorbell(DOORBELL, false);
    rig.fault(0x2000);
    let msis = rig.device().take_msis();
    assert_eq!(msis.iter().map(|msi| msi.aborted).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_msi_register_that_holds_anything_is_not_enabled() {
    let rig = Rig::new();
    rig.program();
    rig.device().reset();
    for (source, register) in [
        (Source::Gerror, Register::GerrorIrqCfg0),
        (Source::Eventq, Register::EventqIrqCfg0),
        (Source::Priq, Register::PriqIrqCfg0),
    ] {
        let irq_ctrl = rig.device().irq_ctrl() | source.bit();
        let violations = rig.violations(|rig| rig.write(Register::IrqCtrl, irq_ctrl));
        assert!(violations.contains(&Violation::UnknownDoorbell { register, irq_ctrl }));
    }
}

#[test]
fn data_and_attributes_of_a_msi_that_is_used_are_known() {
    let rig = Rig::new();
    rig.write(Register::EventqIrqCfg0, DOORBELL);
    let violations = rig.violations(|rig| rig.write(Register::IrqCtrl, 4u32));
    let unknown = |register| Violation::UnknownDoorbell { register, irq_ctrl: 4 };
    let expected = [Register::EventqIrqCfg1, Register::EventqIrqCfg2].map(unknown);
    assert_eq!(violations, expected);
}

#[test]
fn the_wire_of_a_device_without_msis_needs_no_registers() {
    let config = Config::default().without_msi();
    let rig = Rig::with(config, Sizes { commands: 4, events: 2, pages: 2 });
    rig.bring_up();
    rig.fault(0x1000);
    assert_eq!(rig.pulses(), Source::Eventq.bit());
}
