// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory of a driver with plain pointers, and handles that leave nothing locked.

use std::sync::atomic::{AtomicU64, Ordering};

use smmu_model::{Command, CommandError, Config, Mirror, Page, Record, Register, Smmu, Violation};

const QUEUE: u64 = 0x8100_0000;
const EVENTS: u64 = 0x8200_0000;

fn write(mirror: &Mirror, register: Register, value: u64) {
    match register.bits() {
        64 => mirror.write64(register.page(), register.offset(), value),
        _ => mirror.write32(register.page(), register.offset(), value as u32),
    }
}

/// Enables both queues.
fn start(mirror: &Mirror) {
    for (register, value) in [
        (Register::Cr1, 0xD75),
        (Register::CmdqBase, QUEUE | 2),
        (Register::CmdqProd, 0),
        (Register::CmdqCons, 0),
        (Register::EventqBase, EVENTS | 2),
        (Register::EventqProd, 0),
        (Register::EventqCons, 0),
        (Register::Cr0, 8 | 4),
    ] {
        write(mirror, register, value);
    }
}

/// Enables the event queue alone.
fn start_events(mirror: &Mirror) {
    for (register, value) in [
        (Register::Cr1, 0xD75),
        (Register::EventqBase, EVENTS | 2),
        (Register::EventqProd, 0),
        (Register::EventqCons, 0),
        (Register::Cr0, 4),
    ] {
        write(mirror, register, value);
    }
}

fn words<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

#[test]
fn each_side_sees_what_the_other_wrote_behind_its_barrier() {
    let (queue, events) = (words::<8>(), words::<16>());
    let mirror = Mirror::new(Smmu::new(Config::default()));
    mirror.share(QUEUE, &queue);
    mirror.share(EVENTS, &events);
    start(&mirror);
    queue[0].store(0x46, Ordering::Relaxed);
    mirror.write_barrier();
    write(&mirror, Register::CmdqProd, 1);
    assert_eq!(mirror.smmu().with(|device| device.take_commands()), [Command::SYNC]);

    mirror.smmu().with(|device| device.record(Record::bad_stream_id(7)));
    assert_eq!(events[0].load(Ordering::Relaxed), 0, "no barrier yet");
    mirror.read_barrier();
    assert_eq!(events[0].load(Ordering::Relaxed), Record::bad_stream_id(7).0[0]);
    // What the driver has there may also be the driver's own to write.
    events[0].store(0, Ordering::Relaxed);
    mirror.barrier();
    assert_eq!(mirror.smmu().snapshot().load(EVENTS), Some(0));
    assert_eq!(events[0].load(Ordering::Relaxed), 0);
}

#[test]
fn a_driver_with_plain_pointers_needs_its_barriers() {
    let queue = words::<8>();
    let events = words::<16>();
    let mirror = Mirror::new(Smmu::new(Config::default()));
    mirror.share(QUEUE, &queue);
    mirror.share(EVENTS, &events);
    start(&mirror);
    queue[0].store(0x46, Ordering::Relaxed);
    // The device finds what was there before: zeroes, which are no command.
    write(&mirror, Register::CmdqProd, 1);
    let cons = mirror.read32(Page::Realm0, Register::CmdqCons.offset());
    assert_eq!(cons >> 24, CommandError::Illegal as u32);
}

#[test]
fn shared_memory_that_was_taken_back_is_no_more_the_devices() {
    let events = words::<16>();
    let mirror = Mirror::new(Smmu::new(Config::default()));
    mirror.share(EVENTS, &events);
    start_events(&mirror);
    let violations = |mirror: &Mirror| {
        mirror.smmu().with(|device| device.collect_violations(true));
        mirror.take_back(EVENTS);
        mirror.smmu().with(|device| device.take_violations())
    };
    let expected = Violation::TakenBackInUse { address: EVENTS, register: Register::EventqBase };
    assert_eq!(violations(&mirror), [expected], "the queue is enabled");
    mirror.share(EVENTS, &events);
    write(&mirror, Register::Cr0, 0);
    assert_eq!(violations(&mirror), []);
}

#[test]
fn steps_and_reads_leave_nothing_locked() {
    let smmu = Smmu::new(Config::default());
    let peek = |register| smmu.with(|device| device.peek(register));
    assert_eq!(peek(Register::Cr0), peek(Register::Cr0Ack));
    let before = smmu.snapshot();
    smmu.write32(Page::Realm0, Register::Cr1.offset(), 0xD75);
    assert_ne!(before.peek(Register::Cr1), smmu.snapshot().peek(Register::Cr1));
    assert!(before != smmu.snapshot());
}

#[test]
fn records_are_printed_in_hexadecimal() {
    let record = Record::translation(0x2A).input(0xDEAD_B000);
    let text = format!("{record:?}");
    assert!(text.contains("0x10, stream 0x2a") && text.contains("0x00000000deadb000"), "{text}");
}

#[test]
fn vmid_wildcards_are_a_field_of_cr0_where_the_device_has_them() {
    const VMW: u32 = 2 << 6;
    for (config, acknowledged) in [(Config::default().with_vmw(), VMW), (Config::default(), 0)] {
        let smmu = Smmu::new(config);
        smmu.write32(Page::Realm0, Register::Cr0.offset(), VMW);
        let ack = smmu.read32(Page::Realm0, Register::Cr0Ack.offset());
        assert_eq!(ack & 7 << 6, acknowledged);
    }
}
