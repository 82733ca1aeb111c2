// SPDX-License-Identifier: MIT OR Apache-2.0

//! The event queue: wrap, overflow, CONS, what is lost.

use smmu_model::{
    Enable, Loss, OVERFLOW_FLAG, Output, Record, Register, Source, Step, Transaction, Violation,
};

use crate::rig::{EVENTS, Rig};

#[test]
fn records_come_in_order_through_all_sizes_and_wraps() {
    for log2 in 0..=19 {
        let rig = Rig::with_event_queue(log2);
        let entries = 1u32 << log2;
        // Start a few entries before the end of the ring, and again before the wrap bit returns.
        for start in [entries.saturating_sub(2), 2 * entries - 1] {
            rig.write(Register::Cr0, 0u32);
            rig.write(Register::EventqProd, start);
            rig.write(Register::EventqCons, start);
            rig.write(Register::Cr0, Enable::Eventq.bits());
            let burst = entries.min(5);
            for turn in 0..4 {
                for n in 0..burst {
                    rig.fault(u64::from(turn * 16 + n) << 12);
                }
                let expected: Vec<_> = (0..burst).map(|n| u64::from(turn * 16 + n) << 12).collect();
                assert_eq!(rig.drain(), expected, "2^{log2} from {start:#x}");
                rig.free(burst);
            }
            let end = (start + 4 * burst) & (2 * entries - 1);
            assert_eq!(rig.read32(Register::EventqProd), end, "2^{log2}");
        }
    }
}

#[test]
fn a_full_queue_of_any_size_overflows_at_the_next_record() {
    for log2 in 0..=19 {
        let rig = Rig::with_event_queue(log2);
        let entries = 1u32 << log2;
        // All but a few are there already.
        let missing = entries.min(3);
        rig.write(Register::Cr0, 0u32);
        rig.write(Register::EventqProd, entries - missing);
        rig.write(Register::Cr0, Enable::Eventq.bits());
        for n in 0..=missing {
            rig.fault(u64::from(n) << 12);
        }
        assert_eq!(rig.read32(Register::EventqProd), OVERFLOW_FLAG | entries, "2^{log2}");
        let lost = Record::stage_2_write(8, u64::from(missing) << 12);
        assert_eq!(rig.device().take_losses(), [(lost, Loss::Overflow)]);
        assert_eq!(rig.used(), entries);
    }
}

#[test]
fn overflow_follows_the_worked_vectors() {
    let rig = Rig::up();
    for n in 0..6 {
        rig.fault(n << 12);
    }
    assert_eq!(rig.read32(Register::EventqProd), 0x8000_0004, "further losses are invisible");
    assert!(rig.device().has_overflowed(Output::Events));
    // The queue goes on as soon as there is space.
    rig.write(Register::EventqCons, 1u32);
    rig.fault(0x6000);
    assert_eq!(rig.read32(Register::EventqProd), 0x8000_0005);
    rig.write(Register::EventqCons, 0x8000_0005u32);
    assert!(!rig.device().has_overflowed(Output::Events));
    // Again, with the flag going back to 0.
    for n in 0..5 {
        rig.fault(n << 12);
    }
    assert_eq!(rig.read32(Register::EventqProd), 0x0000_0001);
    assert!(rig.device().has_overflowed(Output::Events));
    rig.write(Register::EventqCons, 0x0000_0001u32);
    assert!(!rig.device().has_overflowed(Output::Events));
}

#[test]
fn a_disabled_queue_loses_records_without_a_sign() {
    let rig = Rig::up();
    rig.write(Register::Cr0, 0xBu32);
    for n in 0..5 {
        rig.fault(n << 12);
    }
    assert_eq!(rig.read32(Register::EventqProd), 0);
    let losses = rig.device().take_losses();
    assert!(losses.len() == 5 && losses.iter().all(|(_, loss)| *loss == Loss::Disabled));
}

#[test]
fn disabling_commits_begun_records_and_drops_the_rest() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_split(true);
    for n in 1..=3 {
        rig.device().record(Record::stage_2_write(8, n << 12));
    }
    rig.device().step(Step::DeliverRecord(1));
    rig.write(Register::Cr0, 0xBu32);
    rig.device().step(Step::DeliverRecord(0));
    assert_eq!(rig.read32(Register::EventqProd), 0, "neither is shown yet");
    rig.device().step(Step::AckCr0(Enable::Eventq));
    assert_eq!(rig.read32(Register::EventqProd), 2);
    assert_eq!(rig.drain(), [0x2000, 0x1000]);
    let lost = Record::stage_2_write(8, 0x3000);
    assert_eq!(rig.device().take_losses(), [(lost, Loss::Disabled)]);
    assert!(!rig.device().steps().iter().any(|step| matches!(step, Step::DeliverRecord(_))));
}

#[test]
fn a_record_is_written_before_prod_and_prod_before_the_irq() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_split(true);
    rig.device().record(Record::stage_2_write(8, 0x1000));
    rig.device().step(Step::DeliverRecord(0));
    assert_eq!(rig.device().load(EVENTS + 16), Some(0x1000));
    assert_eq!((rig.read32(Register::EventqProd), rig.pulses()), (0, 0));
    rig.device().step(Step::Show(Output::Events));
    assert_eq!((rig.read32(Register::EventqProd), rig.pulses()), (1, 0));
    rig.device().step(Step::SendInterrupt(Source::Eventq));
    assert_eq!(rig.pulses(), Source::Eventq.bit());
}

#[test]
fn the_queue_is_seen_full_before_the_overflow_is() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_split(true);
    for n in 0..5 {
        rig.device().record(Record::stage_2_write(8, n << 12));
        rig.device().step(Step::DeliverRecord(0));
    }
    assert_eq!(rig.read32(Register::EventqProd), OVERFLOW_FLAG | 4);
}

#[test]
fn cons_is_not_moved_backwards() {
    let rig = Rig::up();
    rig.fault(0x1000);
    rig.fault(0x2000);
    rig.write(Register::EventqCons, 1u32);
    let violations = rig.violations(|rig| rig.write(Register::EventqCons, 0u32));
    let register = Register::EventqCons;
    let (old, value, prod) = (1, 0, 2);
    assert_eq!(violations, [Violation::ConsBackwards { register, old, value, prod }]);
}

#[test]
fn cons_is_not_moved_past_prod() {
    let rig = Rig::up();
    rig.fault(0x1000);
    let violations = rig.violations(|rig| rig.write(Register::EventqCons, 2u32));
    let register = Register::EventqCons;
    let (old, value, prod) = (0, 2, 1);
    assert_eq!(violations, [Violation::ConsPastProd { register, old, value, prod }]);
}

#[test]
fn an_overflow_that_has_not_happened_is_not_acknowledged() {
    let rig = Rig::up();
    rig.fault(0x1000);
    let violations = rig.violations(|rig| rig.write(Register::EventqCons, OVERFLOW_FLAG));
    let register = Register::EventqCons;
    let (old, value, prod) = (0, OVERFLOW_FLAG, 1);
    assert_eq!(violations, [Violation::FalseOverflowAcknowledge { register, old, value, prod }]);
    assert!(rig.device().has_overflowed(Output::Events), "it now reads as if it had");
}

#[test]
fn a_cons_that_forgets_ovackflg_is_found() {
    let rig = Rig::up();
    for n in 0..5 {
        rig.fault(n << 12);
    }
    rig.free(1);
    let violations = rig.violations(|rig| rig.write(Register::EventqCons, 2u32));
    assert!(matches!(violations[..], [Violation::FalseOverflowAcknowledge { .. }]));
}

#[test]
fn prod_can_be_made_garbage() {
    let rig = Rig::up();
    rig.device().set_prod_raw(Output::Events, 0xFFFF_FFFF);
    assert_eq!(rig.read32(Register::EventqProd), 0xFFFF_FFFF);
    rig.device().set_prod_raw(Output::Events, 0x3);
    rig.fault(0x1000);
    assert_eq!(rig.read32(Register::EventqProd), 4, "the device goes on from there");
}

#[test]
fn bits_above_the_wrap_bit_read_as_zero() {
    let rig = Rig::new();
    rig.program();
    rig.write(Register::EventqProd, 0x000F_FFFFu32);
    assert_eq!(rig.read32(Register::EventqProd), 7);
}

#[test]
fn records_that_wait_are_delivered_in_any_order() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    for n in 1..=3 {
        rig.device().record(Record::stage_2_write(8, n << 12));
    }
    for index in [2, 0, 0] {
        rig.device().step(Step::DeliverRecord(index));
    }
    assert_eq!(rig.drain(), [0x3000, 0x1000, 0x2000]);
    let queued = rig.device().queued_records();
    assert_eq!(queued.len(), 3);
    assert_eq!(queued[0].input_address(), 0x3000);
}

#[test]
fn equal_records_merge_where_they_may() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_merging(true);
    for stream in [3, 3, 4] {
        let _ = rig.device().transaction(&Transaction::write(stream, 0x1000));
    }
    // MEV of streams 8 and 9 is 0.
    for _ in 0..2 {
        let _ = rig.device().transaction(&Transaction::write(8, 0x1000));
    }
    let waiting: Vec<_> = rig.device().waiting_records().map(Record::stream).collect();
    assert_eq!(waiting, [3, 4, 8, 8]);
    rig.device().store(0x8000_0000 + 9 * 64 + 8, 1 << 19);
    for address in [0x1000, 0x1008, 0x2000] {
        let _ = rig.device().transaction(&Transaction::write(9, address));
    }
    let waiting = rig.device().waiting_records().filter(|record| record.stream() == 9).count();
    assert_eq!(waiting, 2 + 1 - 1, "one merged, for it differs in the offset only");
}
