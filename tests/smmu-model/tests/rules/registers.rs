// SPDX-License-Identifier: MIT OR Apache-2.0

//! The register map and what accesses are allowed.

use smmu_model::{Config, Page, Pas, Register, Smmu, Violation};

use crate::rig::{Rig, Sizes};

#[test]
fn registers_lie_where_the_architecture_has_them() {
    use Register as R;

    let realm_0 = [
        (R::Idr0, 0x00),
        (R::Idr1, 0x04),
        (R::Idr2, 0x08),
        (R::Idr3, 0x0C),
        (R::Idr4, 0x10),
        (R::Aidr, 0x1C),
        (R::Cr0, 0x20),
        (R::Cr0Ack, 0x24),
        (R::Cr1, 0x28),
        (R::Cr2, 0x2C),
        (R::Gbpa, 0x44),
        (R::IrqCtrl, 0x50),
        (R::IrqCtrlAck, 0x54),
        (R::Gerror, 0x60),
        (R::Gerrorn, 0x64),
        (R::GerrorIrqCfg0, 0x68),
        (R::GerrorIrqCfg1, 0x70),
        (R::GerrorIrqCfg2, 0x74),
        (R::StrtabBase, 0x80),
        (R::StrtabBaseCfg, 0x88),
        (R::CmdqBase, 0x90),
        (R::CmdqProd, 0x98),
        (R::CmdqCons, 0x9C),
        (R::EventqBase, 0xA0),
        (R::EventqIrqCfg0, 0xB0),
        (R::EventqIrqCfg1, 0xB8),
        (R::EventqIrqCfg2, 0xBC),
        (R::PriqBase, 0xC0),
        (R::PriqIrqCfg0, 0xD0),
        (R::PriqIrqCfg1, 0xD8),
        (R::PriqIrqCfg2, 0xDC),
        (R::Mecidr, 0x220),
        (R::Gmecid, 0x228),
    ];
    let realm_1 =
        [(R::EventqProd, 0xA8), (R::EventqCons, 0xAC), (R::PriqProd, 0xC8), (R::PriqCons, 0xCC)];
    let pages = [(Page::Realm0, &realm_0[..]), (Page::Realm1, &realm_1[..])];
    for (page, table) in pages {
        for &(register, offset) in table {
            assert_eq!((register.page(), register.offset()), (page, offset), "{register:?}");
        }
    }
    let wide = R::ALL.iter().filter(|register| register.bits() == 64);
    assert!(wide.clone().all(|register| register.offset().is_multiple_of(8)));
    assert_eq!(wide.count(), 7, "four bases and three msi addresses");
    for register in R::ALL {
        let found = R::find(register.page(), register.offset());
        assert_eq!(found, Some((*register, false)), "{register:?}");
    }
}

#[test]
fn identification_is_read_from_its_pages() {
    let rig = Rig::new();
    let config = Config::default();
    assert_eq!(rig.read32(Register::NsIdr0), config.idr0);
    assert_eq!(rig.read32(Register::NsIdr1), config.idr1);
    assert_eq!(rig.read32(Register::Idr0), 0x0101_2400);
    assert_eq!(rig.read32(Register::Idr1), 1 << 31);
    assert_eq!(rig.read32(Register::Idr3), 0x1_0000);
    assert_eq!(rig.read32(Register::Mecidr), 0xF);
    for zero in [Register::Idr2, Register::Idr4, Register::Aidr, Register::Idr6] {
        assert_eq!(rig.read32(zero), 0, "{zero:?}");
    }
}

#[test]
fn the_realm_page_lacks_iidr_idr5_and_statusr() {
    for offset in [0x14, 0x18, 0x40] {
        let rig = Rig::new();
        let violations = rig.violations(|rig| assert_eq!(rig.smmu.read32(Page::Realm0, offset), 0));
        assert_eq!(violations, [Violation::AbsentInRealm { offset }]);
    }
}

#[test]
fn read_only_registers_are_not_written() {
    for register in [
        Register::NsIdr1,
        Register::Idr0,
        Register::Cr0Ack,
        Register::IrqCtrlAck,
        Register::Gerror,
        Register::Gbpa,
    ] {
        let rig = Rig::new();
        let before = rig.read(register);
        let violations = rig.violations(|rig| rig.write(register, 0xFFFFu32));
        assert_eq!(violations, [Violation::ReadOnly { register, value: 0xFFFF }]);
        assert_eq!(rig.read(register), before);
    }
    assert_eq!(Rig::new().read32(Register::Gbpa), 1 << 20, "abort");
}

#[test]
fn there_is_nothing_but_registers() {
    let rig = Rig::new();
    for (page, offset) in [(Page::Realm0, 0xA8), (Page::Realm1, 0x20), (Page::NonSecure0, 0x20)] {
        let violations = rig.violations(|rig| {
            assert_eq!(rig.smmu.read32(page, offset), 0);
            rig.smmu.write32(page, offset, 1);
        });
        assert_eq!(violations, [(); 2].map(|()| Violation::UnknownRegister { page, offset }));
    }
}

#[test]
fn registers_of_absent_features_are_not_there() {
    use Register as R;

    let sizes = Sizes { commands: 4, events: 2, pages: 2 };
    let msi = [R::GerrorIrqCfg0, R::EventqIrqCfg1, R::PriqIrqCfg2];
    let pri = [R::PriqBase, R::PriqProd, R::PriqCons, R::PriqIrqCfg0];
    let cases = [
        (Config::default().without_msi(), &msi[..]),
        (Config::default().without_pri(), &pri[..]),
        (Config::default().without_ats(), &pri[..]),
    ];
    for (config, absent) in cases {
        let rig = Rig::with(config, sizes);
        for register in absent {
            let (page, offset) = (register.page(), register.offset());
            let violations = rig.violations(|rig| rig.write(*register, 0u32));
            assert_eq!(violations, [Violation::UnknownRegister { page, offset }]);
        }
        rig.bring_up();
    }
}

#[test]
fn two_registers_are_not_accessed_at_once() {
    let rig = Rig::new();
    let violations = rig.violations(|rig| rig.smmu.read64(Page::Realm0, 0x20));
    assert_eq!(violations, [Violation::WrongSize { register: Register::Cr0, bits: 64 }]);
    let violations = rig.violations(|rig| rig.smmu.write64(Page::Realm0, 0x98, 0));
    assert_eq!(violations, [Violation::WrongSize { register: Register::CmdqProd, bits: 64 }]);
}

#[test]
fn accesses_are_aligned() {
    let rig = Rig::new();
    for (offset, bits) in [(0x22, 32), (0x84, 64)] {
        let violations = rig.violations(|rig| match bits {
            64 => rig.smmu.write64(Page::Realm0, offset, 0),
            _ => rig.smmu.write32(Page::Realm0, offset, 0),
        });
        let page = Page::Realm0;
        assert_eq!(violations, [Violation::MisalignedAccess { page, offset, bits }]);
    }
}

#[test]
fn halves_of_wide_registers_are_accessed_by_themselves() {
    let rig = Rig::new();
    let offset = Register::StrtabBase.offset();
    rig.smmu.write32(Page::Realm0, offset + 4, 0x12);
    rig.smmu.write32(Page::Realm0, offset, 0x3456_7800);
    assert_eq!(rig.smmu.read64(Page::Realm0, offset), 0x12_3456_7800);
    assert_eq!(rig.smmu.read32(Page::Realm0, offset + 4), 0x12);
}

#[test]
fn the_non_secure_world_sees_nothing_of_the_realm_pages() {
    let rig = Rig::up();
    let other: Smmu = rig.smmu.with_pas(Pas::NonSecure);
    assert_eq!(other.read32(Page::Realm0, 0x20), 0);
    other.write32(Page::Realm0, 0x20, 0);
    assert_eq!(other.read64(Page::Realm0, 0x80), 0);
    assert_eq!(rig.read32(Register::Cr0) & 0xF, 0xF);
    assert_eq!(other.read32(Page::NonSecure0, 0), Config::default().idr0);
}

#[test]
fn a_removed_device_reads_as_ones_and_ignores_writes() {
    let rig = Rig::up();
    rig.device().set_removed(true);
    assert_eq!(rig.read(Register::Cr0), 0xFFFF_FFFF);
    assert_eq!(rig.read(Register::EventqBase), u64::MAX);
    rig.write(Register::Cr0, 0u32);
    rig.write(Register::EventqCons, 0x1234u32);
    rig.fault(0x1000);
    rig.device().set_removed(false);
    assert_eq!(rig.read32(Register::Cr0) & 0xF, 0xF);
    assert_eq!(rig.read32(Register::EventqCons), 0);
}

#[test]
fn accesses_are_counted() {
    let rig = Rig::up();
    let _ = rig.read(Register::EventqProd);
    let _ = rig.read(Register::Gerror);
    rig.write(Register::EventqCons, 0u32);
    assert_eq!(rig.device().accesses(), (2, 1));
    assert_eq!(rig.device().accesses_of(Register::Gerror), (1, 0));
    rig.device().forget_accesses();
    assert_eq!(rig.device().accesses(), (0, 0));
    assert_eq!(rig.device().accesses_of(Register::EventqCons), (0, 0));
}
