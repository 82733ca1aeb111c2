// SPDX-License-Identifier: MIT OR Apache-2.0

//! Enables, acknowledges, guarded registers.

use smmu_model::{AckDelay, Enable, Register, Source, Step, Violation};

use crate::rig::{COMMANDS, EVENTS, Rig, TABLE};

const EVENTQEN: u32 = Enable::Eventq.bits();
const CMDQEN: u32 = Enable::Cmdq.bits();
/// ATSCHK, fixed.
const ATSCHK: u32 = 1 << 4;

#[test]
fn each_field_is_acknowledged_by_its_own_step() {
    let rig = Rig::new();
    rig.program();
    rig.device().set_eager(false);
    rig.write(Register::Cr0, EVENTQEN | CMDQEN);
    assert_eq!(rig.read32(Register::Cr0), EVENTQEN | CMDQEN | ATSCHK, "seen at once");
    assert_eq!(rig.read32(Register::Cr0Ack), ATSCHK);
    rig.device().step(Step::AckCr0(Enable::Eventq));
    assert_eq!(rig.read32(Register::Cr0Ack), EVENTQEN | ATSCHK);
    rig.device().step(Step::AckCr0(Enable::Cmdq));
    assert_eq!(rig.read32(Register::Cr0Ack), EVENTQEN | CMDQEN | ATSCHK);

    rig.write(Register::IrqCtrl, Source::Eventq.bit());
    assert_eq!(rig.read32(Register::IrqCtrl), Source::Eventq.bit());
    assert_eq!(rig.read32(Register::IrqCtrlAck), 0);
    rig.device().step(Step::AckIrqCtrl(Source::Eventq));
    assert_eq!(rig.read32(Register::IrqCtrlAck), Source::Eventq.bit());
}

#[test]
fn an_acknowledge_can_take_a_number_of_reads() {
    let rig = Rig::new();
    rig.program();
    rig.device().set_ack_delay(AckDelay::Reads(3));
    rig.write(Register::Cr0, EVENTQEN);
    rig.write(Register::IrqCtrl, Source::Gerror.bit());
    for _ in 0..3 {
        assert_eq!(rig.read32(Register::Cr0Ack) & EVENTQEN, 0);
        assert_eq!(rig.read32(Register::IrqCtrlAck), 0);
    }
    assert_eq!(rig.read32(Register::Cr0Ack) & EVENTQEN, EVENTQEN);
    assert_eq!(rig.read32(Register::IrqCtrlAck), 1);
}

#[test]
fn reserved_bits_of_cr0_are_not_acknowledged() {
    let rig = Rig::new();
    rig.write(Register::Cr0, 0xFFFF_F000u32);
    assert_eq!(rig.read32(Register::Cr0), 0xFFFF_F000 | ATSCHK);
    assert_eq!(rig.read32(Register::Cr0Ack), ATSCHK);
}

#[test]
fn a_field_is_not_changed_again_before_its_acknowledge() {
    let rig = Rig::new();
    rig.program();
    rig.device().set_eager(false);
    rig.write(Register::Cr0, EVENTQEN);
    rig.write(Register::Cr0, EVENTQEN | CMDQEN);
    let (register, field) = (Register::Cr0, EVENTQEN);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, CMDQEN));
    assert_eq!(violations, [Violation::ChangedBeforeAck { register, field, value: CMDQEN }]);

    rig.write(Register::IrqCtrl, 4u32);
    let (register, field) = (Register::IrqCtrl, 4);
    let violations = rig.violations(|rig| rig.write(Register::IrqCtrl, 0u32));
    assert_eq!(violations, [Violation::ChangedBeforeAck { register, field, value: 0 }]);
}

/// Writes `register` on a device that is up, and checks that the write is reported and ignored.
fn is_guarded(register: Register, value: u64, enabled: u32) {
    let rig = Rig::up();
    let before = rig.read(register);
    assert_ne!(before, value, "{register:?}");
    let violations = rig.violations(|rig| rig.write(register, value));
    let expected = Violation::GuardedWrite { register, value, enabled, acknowledged: enabled };
    assert_eq!(violations, [expected]);
    assert_eq!(rig.read(register), before, "{register:?}");
}

#[test]
fn guarded_registers_ignore_writes_while_in_use() {
    let cr0 = 0xF;
    is_guarded(Register::Cr1, 0, cr0);
    is_guarded(Register::Cr2, 0, cr0);
    is_guarded(Register::StrtabBase, TABLE + 0x4000, cr0);
    is_guarded(Register::StrtabBaseCfg, 3, cr0);
    is_guarded(Register::CmdqBase, COMMANDS + 0x4000, cr0);
    is_guarded(Register::CmdqCons, 1, cr0);
    is_guarded(Register::EventqBase, EVENTS + 0x4000, cr0);
    is_guarded(Register::EventqProd, 1, cr0);
    is_guarded(Register::PriqBase, EVENTS + 0x8000, cr0);
    is_guarded(Register::PriqProd, 1, cr0);
    is_guarded(Register::Gmecid, 1, cr0);
    for register in [
        Register::GerrorIrqCfg0,
        Register::EventqIrqCfg0,
        Register::PriqIrqCfg0,
        Register::PriqIrqCfg2,
    ] {
        is_guarded(register, 0x4000, 7);
    }
    for register in [
        Register::GerrorIrqCfg1,
        Register::GerrorIrqCfg2,
        Register::EventqIrqCfg1,
        Register::EventqIrqCfg2,
        Register::PriqIrqCfg1,
    ] {
        is_guarded(register, 0x1_2345, 7);
    }
}

#[test]
fn each_part_of_cr1_has_its_own_guard() {
    let rig = Rig::new();
    rig.program();
    rig.write(Register::Cr0, EVENTQEN);
    rig.write(Register::Cr1, 0x035u32);
    let queues = rig.violations(|rig| rig.write(Register::Cr1, 0xD70u32));
    assert!(matches!(queues[..], [Violation::GuardedWrite { register: Register::Cr1, .. }]));
    assert_eq!(rig.read32(Register::Cr1), 0xD75 & 0xD40 | 0x035, "tables taken, queues not");
}

#[test]
fn a_guard_holds_until_the_disable_is_acknowledged() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.write(Register::Cr0, 0xBu32);
    let early = rig.violations(|rig| rig.write(Register::EventqBase, EVENTS));
    let register = Register::EventqBase;
    let (enabled, acknowledged) = (0xB, 0xF);
    let expected = Violation::GuardedWrite { register, value: EVENTS, enabled, acknowledged };
    assert_eq!(early, [expected]);
    rig.device().step(Step::AckCr0(Enable::Eventq));
    rig.write(Register::EventqBase, EVENTS);
}

#[test]
fn enables_need_registers_that_were_written_since_reset() {
    let unknown = |cr0: u32, skipped: &[Register]| {
        let rig = Rig::new();
        rig.device().collect_violations(true);
        rig.write(Register::Cr0, cr0);
        for violation in rig.device().take_violations() {
            match violation {
                Violation::UnknownAtEnable { register, .. } => {
                    assert!(skipped.contains(&register), "{register:?}");
                }
                Violation::EnabledBeforeInvalidation { .. }
                | Violation::SizeAboveLimit { .. }
                | Violation::AddressAboveOas { .. }
                | Violation::MisalignedBase { .. }
                | Violation::InconsistentAtEnable { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        for left_out in skipped {
            let rig = Rig::new();
            rig.program();
            rig.device().reset();
            for register in skipped.iter().filter(|register| *register != left_out) {
                let value = rig.device().peek(*register);
                rig.write(*register, value);
            }
            let violations = rig.violations(|rig| rig.write(Register::Cr0, cr0));
            let expected = Violation::UnknownAtEnable { register: *left_out, cr0 };
            assert!(violations.contains(&expected), "{left_out:?}: {violations:?}");
        }
    };
    use Register as R;
    unknown(CMDQEN, &[R::Cr1, R::CmdqBase, R::CmdqProd, R::CmdqCons]);
    unknown(EVENTQEN, &[R::Cr1, R::EventqBase, R::EventqProd, R::EventqCons]);
    unknown(Enable::Priq.bits(), &[R::Cr1, R::PriqBase, R::PriqProd, R::PriqCons]);
    unknown(Enable::Smmu.bits(), &[R::Cr1, R::Cr2, R::StrtabBase, R::StrtabBaseCfg]);
}

#[test]
fn half_a_base_register_is_not_all_of_it() {
    let rig = Rig::new();
    rig.program();
    rig.device().reset();
    rig.write(Register::Cr1, 0u32);
    let (page, offset) = (Register::EventqBase.page(), Register::EventqBase.offset());
    rig.write32(page, offset, EVENTS as u32 | 2);
    rig.write(Register::EventqProd, 0u32);
    rig.write(Register::EventqCons, 0u32);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, EVENTQEN));
    let unknown = Violation::UnknownAtEnable { register: Register::EventqBase, cr0: EVENTQEN };
    assert!(violations.contains(&unknown));

    let rig = Rig::new();
    rig.program();
    rig.write32(page, offset + 4, 0x4000_0000);
    rig.write32(page, offset, EVENTS as u32 | 2);
    assert_eq!(rig.read(Register::EventqBase), 0x4000_0000_0000_0000 | EVENTS | 2);
    assert_eq!(rig.read32_at(offset + 4), 0x4000_0000);
    rig.write(Register::Cr0, EVENTQEN);
}

impl Rig {
    fn read32_at(&self, offset: u64) -> u32 {
        self.smmu.read32(Register::EventqBase.page(), offset)
    }
}

#[test]
fn enabling_translation_needs_caches_that_were_invalidated() {
    let rig = Rig::new();
    rig.program();
    let violations = rig.violations(|rig| rig.write(Register::Cr0, 1u32));
    assert_eq!(violations, [Violation::EnabledBeforeInvalidation { cr0: 1 }]);
}

#[test]
fn a_misaligned_base_is_reported_when_it_is_enabled() {
    let rig = Rig::new();
    rig.program();
    rig.write(Register::EventqBase, (EVENTS + 0x20) | 2);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, EVENTQEN));
    let register = Register::EventqBase;
    let (address, alignment) = (EVENTS + 0x20, 0x80);
    assert_eq!(violations, [Violation::MisalignedBase { register, address, alignment }]);
    // The device aligns it down.
    rig.fault(0x5000);
    assert_eq!(rig.device().load(EVENTS + 16), Some(0x5000));
}

#[test]
fn a_size_above_the_limit_is_reported_and_the_limit_counts() {
    let config = smmu_model::Config::default().with_queue_limits(4, 1, 2);
    let rig = Rig::with(config, crate::rig::Sizes { commands: 4, events: 2, pages: 2 });
    rig.program();
    let violations = rig.violations(|rig| rig.write(Register::Cr0, EVENTQEN));
    let register = Register::EventqBase;
    assert_eq!(violations, [Violation::SizeAboveLimit { register, log2: 2, limit: 1 }]);
    for address in [0x1000, 0x2000, 0x3000] {
        rig.fault(address);
    }
    assert_eq!(rig.read32(Register::EventqProd), 1 << 31 | 2, "two entries and an overflow");
}

#[test]
fn a_queue_is_not_enabled_with_more_in_it_than_it_has() {
    let rig = Rig::new();
    rig.program();
    rig.write(Register::EventqProd, 6u32);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, EVENTQEN));
    let (register, prod, cons) = (Register::EventqProd, 6, 0);
    assert_eq!(violations, [Violation::InconsistentAtEnable { register, prod, cons }]);
}

#[test]
fn reset_clears_what_resets_to_zero_and_scrambles_the_rest() {
    use Register as R;

    let values = |seed| {
        let rig = Rig::with(
            smmu_model::Config::default().with_seed(seed),
            crate::rig::Sizes { commands: 4, events: 2, pages: 2 },
        );
        for known in [R::IrqCtrl, R::IrqCtrlAck, R::Gerror, R::Gerrorn, R::Gmecid] {
            assert_eq!(rig.read(known), 0, "{known:?}");
        }
        for known in [R::Cr0, R::Cr0Ack] {
            assert_eq!(rig.read32(known), ATSCHK, "{known:?}");
        }
        assert_eq!(rig.read32(R::PriqProd) >> 31, 0, "OVFLG of the PRI queue");
        [
            R::Cr1,
            R::Cr2,
            R::StrtabBase,
            R::StrtabBaseCfg,
            R::CmdqBase,
            R::CmdqCons,
            R::EventqBase,
            R::EventqCons,
            R::PriqBase,
            R::GerrorIrqCfg0,
            R::GerrorIrqCfg1,
            R::EventqIrqCfg0,
            R::PriqIrqCfg0,
        ]
        .map(|register| rig.read(register))
    };
    let [one, two, ..] = [1, 2, 3, 4, 5, 6, 7, 8].map(values);
    assert_eq!(one, values(1), "seeded");
    let differ = one.iter().zip(two).filter(|(one, two)| *one != two).count();
    assert!(differ > 10, "{one:x?} {two:x?}");
    assert!(one.iter().all(|value| *value != 0));
}

#[test]
fn an_unresponsive_device_acknowledges_nothing() {
    let rig = Rig::new();
    rig.program();
    rig.device().set_hung(true);
    rig.write(Register::Cr0, EVENTQEN);
    rig.write(Register::IrqCtrl, 1u32);
    assert_eq!((rig.read32(Register::Cr0Ack), rig.read32(Register::IrqCtrlAck)), (ATSCHK, 0));
    rig.device().set_ack_delay(AckDelay::Reads(0));
    assert_eq!((rig.read32(Register::Cr0Ack), rig.read32(Register::IrqCtrlAck)), (ATSCHK, 0));
    rig.device().set_hung(false);
    assert_eq!((rig.read32(Register::Cr0Ack) & EVENTQEN, rig.read32(Register::IrqCtrlAck)), (4, 1));
}
