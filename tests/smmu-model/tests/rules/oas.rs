// SPDX-License-Identifier: MIT OR Apache-2.0

//! Addresses that the device does not have: it cuts them off, and the driver has broken a rule.

use smmu_model::{
    Command, Completion, Config, Enable, Outcome, Output, PageRequest, Record, Register, Source,
    SyncMsi, TlbiOperation, Violation,
};

use crate::rig::{
    COMMANDS, EVENTS, LEVEL_1, LEVEL_2, PAGES, Rig, SPAN, STAGE_2, Sizes, TABLE, stage_2,
};

const BITS: u32 = 40;
/// The lowest address that the device does not have.
const ABOVE: u64 = 1 << BITS;
const SIZES: Sizes = Sizes { commands: 4, events: 2, pages: 2 };

fn rig() -> Rig {
    let rig = Rig::with(Config::default().with_address_bits(BITS), SIZES);
    rig.program();
    rig
}

#[test]
fn a_queue_above_oas_is_used_where_its_cut_address_is() {
    for (register, address, enable) in [
        (Register::EventqBase, EVENTS, Enable::Eventq),
        (Register::PriqBase, PAGES, Enable::Priq),
        (Register::CmdqBase, COMMANDS, Enable::Cmdq),
    ] {
        let rig = rig();
        rig.write(register, address | ABOVE | 2);
        let violations = rig.violations(|rig| rig.write(Register::Cr0, enable.bits()));
        let address = address | ABOVE;
        let expected = Violation::AddressAboveOas { register, address, bits: BITS };
        assert_eq!(violations, std::slice::from_ref(&expected));
        assert_eq!(
            expected.to_string(),
            format!("{} at {address:#x}, more than 40 bits", register.name())
        );
    }
    let rig = rig();
    rig.write(Register::EventqBase, EVENTS | ABOVE | 2);
    let _ = rig.violations(|rig| rig.write(Register::Cr0, Enable::Eventq.bits()));
    rig.fault(0x1000);
    assert_eq!(rig.drain(), [0x1000], "the memory at the cut address was overwritten");
    assert_eq!(rig.device().used(Output::Events), 1);
    rig.device().page_request(PageRequest::last_of(8, 0, 0));
}

#[test]
fn a_stream_table_above_oas_is_read_where_its_cut_address_is() {
    let rig = rig();
    rig.write(Register::StrtabBase, TABLE | ABOVE);
    rig.write(Register::Cr0, 0xEu32);
    rig.issue(&[Command::CfgiAll, Command::tlbi(TlbiOperation::NsnhAll), Command::SYNC]);
    let violations = rig.violations(|rig| rig.write(Register::Cr0, 0xFu32));
    let (register, address) = (Register::StrtabBase, TABLE | ABOVE);
    assert_eq!(violations, [Violation::AddressAboveOas { register, address, bits: BITS }]);
    assert_eq!(rig.device().translate(8, 0), Outcome::Translated);
}

#[test]
fn a_level_2_table_above_oas_is_read_where_its_cut_address_is() {
    // Linked while the device runs, or before it does.
    for is_running in [true, false] {
        let rig = rig();
        let level_1 = rig.smmu.memory().region(LEVEL_1, 8);
        let level_2 = rig.smmu.memory().region(LEVEL_2, 8 << 6);
        rig.store_entry(&level_2, 3, STAGE_2);
        rig.smmu.write_barrier();
        rig.write(Register::StrtabBase, LEVEL_1);
        rig.write(Register::StrtabBaseCfg, 1 << 16 | 6 << 6 | 8u32);
        let link = |rig: &Rig| rig.publish(&level_1, 0, LEVEL_2 | ABOVE | SPAN);
        let violations = if is_running {
            rig.enable();
            rig.violations(link)
        } else {
            link(&rig);
            rig.violations(Rig::enable)
        };
        let (descriptor, address) = (LEVEL_1, LEVEL_2 | ABOVE);
        let expected = Violation::TableAboveOas { descriptor, address, bits: BITS };
        assert_eq!(violations, [expected], "{is_running}");
        assert_eq!(rig.device().translate(3, 0), Outcome::Translated);
    }
}

#[test]
fn an_msi_above_oas_goes_where_its_cut_address_is() {
    let rig = rig();
    let word = rig.smmu.memory().region(0x9000_0000, 1);
    rig.write(Register::GerrorIrqCfg0, word.address() | ABOVE);
    rig.write(Register::GerrorIrqCfg1, 7u32);
    rig.write(Register::GerrorIrqCfg2, 0u32);
    let violations = rig.violations(|rig| rig.write(Register::IrqCtrl, Source::Gerror.bit()));
    let (register, address) = (Register::GerrorIrqCfg0, word.address() | ABOVE);
    assert_eq!(violations, [Violation::AddressAboveOas { register, address, bits: BITS }]);
    rig.device().raise(1 << 2);
    assert_eq!(word.load(0), 7);

    rig.write(Register::Cr0, 0xEu32);
    let msi = SyncMsi::to_realm_memory(address + 4, 9);
    let sync = Command::Sync(Completion::Interrupt(Some(msi)));
    let violations = rig.violations(|rig| rig.issue(&[sync]));
    assert_eq!(violations, [Violation::SyncAddressAboveOas { address: address + 4, bits: BITS }]);
    assert_eq!(word.load(0) >> 32, 9);
}

#[test]
fn a_stage_2_table_above_oas_makes_a_bad_entry() {
    for (table, is_legal) in [(ABOVE - 0x1000, true), (ABOVE, false)] {
        let rig = rig();
        let mut entry = stage_2(1, table);
        entry[2] |= 5 << 48;
        rig.store_entry(&rig.table, 8, entry);
        rig.smmu.write_barrier();
        rig.enable();
        let expected = Outcome::Recorded(Record::bad_ste(8));
        assert_eq!(rig.device().translate(8, 0) != expected, is_legal, "{table:#x}");
    }
}
