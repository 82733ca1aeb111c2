// SPDX-License-Identifier: MIT OR Apache-2.0

//! MSIs of the three sources that IRQ_CTRL switches: where they go, what they say, who takes them.

use smmu_model::gerror::{
    CMDQP_ERR, MSI_CMDQ_ABT_ERR, MSI_EVENTQ_ABT_ERR, MSI_GERROR_ABT_ERR, MSI_PRIQ_ABT_ERR,
};
use smmu_model::{
    Command, Completion, MsiWrite, PageRequest, Region, Register, Source, SyncMsi, Violation,
};

use crate::rig::Rig;

const DOORBELL: u64 = 0x2F00_0040;
const NON_SECURE: u64 = 1 << 63;
const WORD: u64 = 0x9000_0000;

/// A source with its registers, the error of its MSIs, and what makes it send one.
type Case = (Source, [Register; 3], u32, fn(&Rig));

const CASES: [Case; 3] = [
    (
        Source::Gerror,
        [Register::GerrorIrqCfg0, Register::GerrorIrqCfg1, Register::GerrorIrqCfg2],
        MSI_GERROR_ABT_ERR,
        |rig| rig.device().raise(CMDQP_ERR),
    ),
    (
        Source::Eventq,
        [Register::EventqIrqCfg0, Register::EventqIrqCfg1, Register::EventqIrqCfg2],
        MSI_EVENTQ_ABT_ERR,
        |rig| rig.fault(0x1000),
    ),
    (
        Source::Priq,
        [Register::PriqIrqCfg0, Register::PriqIrqCfg1, Register::PriqIrqCfg2],
        MSI_PRIQ_ABT_ERR,
        |rig| rig.device().page_request(PageRequest::last_of(8, 1, 0x1000)),
    ),
];

/// Makes a device that is up and sends MSIs of a source to `address`.
fn sending(registers: [Register; 3], address: u64) -> Rig {
    let rig = Rig::up();
    rig.write(Register::IrqCtrl, 0u32);
    for (register, value) in registers.into_iter().zip([address, 0xABCD_0123, 0x2F]) {
        rig.write(register, value);
    }
    rig.write(Register::IrqCtrl, 7u32);
    rig
}

#[test]
fn a_msi_says_what_its_registers_say() {
    for (source, registers, _, happen) in CASES {
        for non_secure in [false, true] {
            let space = if non_secure { NON_SECURE } else { 0 };
            let rig = sending(registers, space | DOORBELL);
            rig.device().add_doorbell(DOORBELL, non_secure);
            happen(&rig);
            let (address, data, aborted) = (DOORBELL, 0xABCD_0123, false);
            let (shareability, attributes) = (2, 0xF);
            let msi =
                MsiWrite { source, address, non_secure, data, shareability, attributes, aborted };
            assert_eq!(rig.device().take_msis(), [msi]);
        }
    }
}

#[test]
fn a_msi_reaches_memory_of_the_realm_in_its_half_of_a_word() {
    let word = |rig: &Rig| -> Region { rig.smmu.memory().region(WORD, 1) };
    for (_, registers, _, happen) in CASES {
        let rig = sending(registers, WORD + 4);
        let word = word(&rig);
        happen(&rig);
        assert_eq!(word.load(0), 0xABCD_0123_0000_0000);
    }
}

#[test]
fn a_msi_of_the_other_world_does_not_reach_memory_of_the_realm() {
    for (source, registers, error, happen) in CASES {
        let rig = sending(registers, NON_SECURE | WORD);
        let word = rig.smmu.memory().region(WORD, 1);
        happen(&rig);
        assert_eq!(word.load(0), 0);
        assert_ne!(rig.read32(Register::Gerror) & error, 0, "{source:?}");
    }
}

#[test]
fn a_msi_that_is_refused_is_aborted_until_it_is_not() {
    for (source, registers, error, happen) in CASES {
        let rig = sending(registers, DOORBELL);
        rig.device().add_doorbell(DOORBELL, false);
        rig.device().refuse_msis(DOORBELL, true);
        happen(&rig);
        let msis = rig.device().take_msis();
        let of_source = msis.iter().find(|msi| msi.source == source);
        assert!(of_source.is_some_and(|msi| msi.aborted), "{msis:?}");
        assert_ne!(rig.device().active_errors() & error, 0);

        let rig = sending(registers, DOORBELL);
        rig.device().add_doorbell(DOORBELL, false);
        rig.device().refuse_msis(DOORBELL, true);
        rig.device().refuse_msis(DOORBELL, false);
        happen(&rig);
        assert!(!rig.device().take_msis()[0].aborted);
    }
}

#[test]
fn a_msi_of_a_sync_is_refused_too() {
    let rig = Rig::up();
    let word = rig.smmu.memory().region(WORD, 1);
    rig.device().refuse_msis(WORD, true);
    let msi = SyncMsi::to_realm_memory(WORD, 7);
    rig.issue(&[Command::Sync(Completion::Interrupt(Some(msi)))]);
    assert_eq!((word.load(0), rig.device().active_errors()), (0, MSI_CMDQ_ABT_ERR));
    let sent = rig.device().take_msis();
    assert_eq!((sent[0].shareability, sent[0].attributes), (3, 0xF));
}

#[test]
fn the_wire_alone_reports_where_no_address_is() {
    for (source, registers, _, happen) in CASES {
        let rig = sending(registers, NON_SECURE | 3);
        happen(&rig);
        assert_eq!(rig.device().take_msis(), []);
        assert_eq!(rig.pulses(), source.bit());
    }
}

#[test]
fn msi_registers_are_guarded_by_their_own_interrupt_enable() {
    for (source, registers, ..) in CASES {
        let rig = sending(registers, DOORBELL);
        for (register, value) in registers.into_iter().zip([DOORBELL + 4, 1, 2]) {
            let violations = rig.violations(|rig| rig.write(register, value));
            let (enabled, acknowledged) = (7, 7);
            let expected = Violation::GuardedWrite { register, value, enabled, acknowledged };
            assert_eq!(violations, [expected]);
        }
        rig.write(Register::IrqCtrl, 7 & !source.bit());
        for (register, value) in registers.into_iter().zip([DOORBELL + 4, 1, 2]) {
            rig.write(register, value);
            assert_eq!(rig.read(register), value);
        }
    }
}
