// SPDX-License-Identifier: MIT OR Apache-2.0

//! GERROR and GERRORN.

use smmu_model::gerror::{CMDQ_ERR, DPT_ERR, EVENTQ_ABT_ERR, MSI_GERROR_ABT_ERR};
use smmu_model::{Config, Register, Source, Violation};

use crate::rig::{Rig, Sizes};

#[test]
fn an_error_is_active_until_gerrorn_is_equal() {
    let rig = Rig::up();
    rig.device().raise(EVENTQ_ABT_ERR);
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR);
    rig.device().raise(EVENTQ_ABT_ERR);
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR, "an active one is not toggled");
    rig.write(Register::Gerrorn, EVENTQ_ABT_ERR);
    assert!(!rig.device().is_active(EVENTQ_ABT_ERR));
    rig.device().raise(EVENTQ_ABT_ERR);
    assert_eq!(rig.read32(Register::Gerror), 0, "active again, with the bit at 0");
    assert!(rig.device().is_active(EVENTQ_ABT_ERR));
    assert_eq!(rig.read32(Register::Gerrorn), EVENTQ_ABT_ERR, "the device never writes it");
}

#[test]
fn an_inactive_error_is_not_toggled() {
    let rig = Rig::up();
    rig.device().raise(EVENTQ_ABT_ERR);
    let bits = CMDQ_ERR;
    let violations = rig.violations(|rig| rig.write(Register::Gerrorn, EVENTQ_ABT_ERR | bits));
    let (gerror, gerrorn) = (EVENTQ_ABT_ERR, 0);
    assert_eq!(violations, [Violation::InactiveErrorToggled { bits, gerror, gerrorn }]);
    assert_eq!(rig.device().errors(), (EVENTQ_ABT_ERR, EVENTQ_ABT_ERR), "the other one counts");
}

#[test]
fn reserved_bits_are_not_toggled() {
    let rig = Rig::up();
    // Bit 8, SFM_ERR, is reserved on the Realm side.
    for bits in [1 << 1, 1 << 8, 1 << 11, 1 << 31] {
        let violations = rig.violations(|rig| rig.write(Register::Gerrorn, bits));
        assert_eq!(violations, [Violation::ReservedErrorToggled { bits }]);
        assert_eq!(rig.device().errors(), (0, 0));
    }
    let config = Config::default().without_msi().without_pri();
    let rig = Rig::with(config, Sizes { commands: 4, events: 2, pages: 2 });
    let bits = 0xF8;
    let violations = rig.violations(|rig| rig.write(Register::Gerrorn, bits));
    assert_eq!(violations, [Violation::ReservedErrorToggled { bits }]);
}

#[test]
fn acknowledging_raised_reserved_bits_is_a_violation() {
    let rig = Rig::up();
    rig.device().raise(1 << 8 | EVENTQ_ABT_ERR);
    let gerror = rig.read32(Register::Gerror);
    assert_eq!(gerror, 1 << 8 | EVENTQ_ABT_ERR);
    let violations = rig.violations(|rig| rig.write(Register::Gerrorn, gerror));
    assert_eq!(violations, [Violation::ReservedErrorToggled { bits: 1 << 8 }]);
    let _ = rig.pulses();
    rig.device().raise(1 << 1);
    assert_eq!(rig.pulses(), 0);
}

#[test]
fn all_errors_but_bit_7_raise_the_interrupt() {
    let rig = Rig::up();
    for bit in [0, 2, 3, 4, 5, 6, 7, 9, 10] {
        rig.device().raise(1 << bit);
        let expected = if 1 << bit == MSI_GERROR_ABT_ERR { 0 } else { Source::Gerror.bit() };
        assert_eq!(rig.pulses(), expected, "bit {bit}");
    }
    rig.device().raise(DPT_ERR);
    assert_eq!(rig.pulses(), 0, "it was active already");
}

#[test]
fn several_errors_share_an_interrupt() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().raise(EVENTQ_ABT_ERR);
    rig.device().raise(DPT_ERR);
    rig.device().settle();
    assert_eq!(rig.device().pulses(Source::Gerror), 1);
}

#[test]
#[should_panic(expected = "rule broken: InactiveErrorToggled: R_GERRORN: bits 0x1 toggled")]
fn a_broken_rule_panics_with_its_name_and_values() {
    Rig::up().write(Register::Gerrorn, 1u32);
}
