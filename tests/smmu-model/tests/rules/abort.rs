// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes to the event queue that are aborted.

use smmu_model::gerror::EVENTQ_ABT_ERR;
use smmu_model::{Config, Enable, Loss, Output, Record, Register, Source, Step, WriteAborts};

use crate::rig::{NOWHERE, Rig, Sizes};

fn lost(rig: &Rig) -> Vec<(u64, Loss)> {
    let losses = rig.device().take_losses();
    losses.iter().map(|(record, loss)| (record.input_address(), *loss)).collect()
}

#[test]
fn a_synchronous_abort_leaves_prod_and_older_records_alone() {
    let rig = Rig::up();
    rig.fault(0x1000);
    rig.device().abort_next_write(Output::Events);
    rig.fault(0x2000);
    rig.fault(0x3000);
    assert_eq!(rig.read32(Register::EventqProd), 1);
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR);
    assert_eq!(rig.drain(), [0x1000]);
    assert_eq!(lost(&rig), [(0x2000, Loss::Abort), (0x3000, Loss::Error)]);
}

#[test]
fn a_synchronous_abort_of_an_empty_queue_interrupts_only_gerror() {
    let rig = Rig::up();
    rig.device().abort_next_write(Output::Events);
    rig.fault(0x1000);
    assert_eq!(rig.pulses(), Source::Gerror.bit());
    assert_eq!(rig.used(), 0);
}

#[test]
fn records_before_a_synchronous_abort_are_shown_with_it() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_split(true);
    for address in [0x1000, 0x2000] {
        rig.device().record(Record::stage_2_write(8, address));
    }
    rig.device().step(Step::DeliverRecord(0));
    rig.device().abort_next_write(Output::Events);
    rig.device().step(Step::DeliverRecord(0));
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR);
    assert_eq!(rig.drain(), [0x1000]);
}

#[test]
fn delivery_goes_on_with_the_acknowledge() {
    let rig = Rig::up();
    rig.device().abort_next_write(Output::Events);
    rig.fault(0x1000);
    rig.write(Register::Gerrorn, EVENTQ_ABT_ERR);
    rig.fault(0x2000);
    assert_eq!(rig.drain(), [0x2000]);
}

#[test]
fn an_asynchronous_abort_shows_a_record_that_was_never_written() {
    let rig = Rig::up();
    rig.device().set_write_aborts(WriteAborts::Asynchronous);
    rig.device().set_eager(false);
    rig.device().abort_next_write(Output::Events);
    for address in [0x1000, 0x2000] {
        rig.device().record(Record::stage_2_write(8, address));
        rig.device().step(Step::DeliverRecord(0));
    }
    assert_eq!(rig.read32(Register::EventqProd), 2, "PROD moved, and records go on behind it");
    assert_eq!(rig.drain(), [0, 0x2000]);
    assert_eq!(rig.read32(Register::Gerror), 0, "not known yet");
    rig.device().step(Step::ReportAbort(Output::Events));
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR);
    // The interrupts of queue and error come in either order.
    rig.device().step(Step::SendInterrupt(Source::Gerror));
    rig.device().step(Step::SendInterrupt(Source::Eventq));
}

#[test]
fn an_unreported_abort_exposes_a_record_never_written() {
    let rig = Rig::up();
    rig.device().set_write_aborts(WriteAborts::Unreported);
    rig.events.abort_accesses(true);
    rig.fault(0x1000);
    assert_eq!((rig.used(), rig.read32(Register::Gerror)), (1, 0));
    assert_eq!(rig.drain(), [0]);
}

#[test]
fn a_queue_where_there_is_no_memory_aborts() {
    let rig = Rig::new();
    rig.program();
    rig.write(Register::EventqBase, NOWHERE | 2);
    rig.write(Register::Cr0, Enable::Eventq.bits());
    rig.fault(0x1000);
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR);
}

#[test]
fn an_abort_is_known_when_the_disable_is_acknowledged() {
    let rig = Rig::up();
    rig.device().set_write_aborts(WriteAborts::Asynchronous);
    rig.device().set_eager(false);
    rig.device().abort_next_write(Output::Events);
    rig.device().record(Record::stage_2_write(8, 0x1000));
    rig.device().step(Step::DeliverRecord(0));
    rig.write(Register::Cr0, 0xBu32);
    assert_eq!(rig.read32(Register::Gerror), 0);
    rig.device().step(Step::AckCr0(Enable::Eventq));
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR);
}

#[test]
fn a_device_like_that_of_qemu_takes_overflow_for_an_abort() {
    let rig = Rig::with(Config::qemu_like(), Sizes { commands: 4, events: 2, pages: 2 });
    rig.bring_up();
    for n in 0..5 {
        rig.fault(n << 12);
        let expected = if n == 4 { Source::Gerror } else { Source::Eventq };
        assert_eq!(rig.pulses(), expected.bit(), "an interrupt for each record");
    }
    assert_eq!(rig.read32(Register::EventqProd), 4, "OVFLG is never set");
    assert_eq!(rig.read32(Register::Gerror), EVENTQ_ABT_ERR);
    rig.write(Register::EventqCons, 1u32);
    rig.fault(0x5000);
    assert_eq!(rig.used(), 4, "delivery goes on before the acknowledge");
}
