// SPDX-License-Identifier: MIT OR Apache-2.0

//! Time, hooks, and states of a device.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use smmu_model::{
    Command, Completion, Device, Output, PageRequest, Record, Register, Source, Step,
};

use crate::rig::{Rig, assert_silent};

fn hash(device: &Device) -> u64 {
    let mut hasher = DefaultHasher::new();
    device.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn nothing_happens_by_itself() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().record(Record::bad_ste(8));
    rig.device().page_request(PageRequest::last_of(8, 1, 0));
    rig.issue(&[Command::SYNC]);
    assert_eq!((rig.read32(Register::EventqProd), rig.read32(Register::PriqProd)), (0, 0));
    let steps = [Step::RunCommand, Step::DeliverRecord(0), Step::DeliverPageRequest(0)];
    assert_eq!(rig.device().steps(), steps);
    rig.device().settle();
    assert_eq!((rig.read32(Register::EventqProd), rig.read32(Register::PriqProd)), (1, 1));
    assert_silent(&rig.device());
}

#[test]
#[should_panic(expected = "RunCommand is not among []")]
fn an_impossible_step_is_refused() {
    let rig = Rig::up();
    assert!(!rig.device().try_step(Step::Show(Output::Events)));
    rig.device().step(Step::RunCommand);
}

#[test]
fn actions_are_done_once_before_accesses_in_their_order() {
    let rig = Rig::up();
    let mut device = rig.device();
    device.before(Register::EventqProd, |device| device.record(Record::bad_ste(1)));
    device.before_write(Register::EventqProd, |_| panic!("it is never written"));
    device.before_read(Register::EventqProd, |device| device.record(Record::bad_ste(2)));
    device.before_write(Register::EventqCons, |device| device.record(Record::bad_ste(3)));
    drop(device);
    assert_eq!(rig.read32(Register::EventqProd), 1);
    assert_eq!(rig.read32(Register::EventqProd), 2);
    assert_eq!(rig.read32(Register::EventqProd), 2);
    let _ = rig.read32(Register::EventqCons);
    assert_eq!(rig.used(), 2);
    rig.write(Register::EventqCons, 0u32);
    assert_eq!(rig.used(), 3);
    assert_eq!(rig.device().clear_hooks(), 1);
}

#[test]
fn a_scheduler_sees_every_access() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    rig.device().on_access(move |device, access| {
        log.lock().unwrap().push((access.register(), access.write));
        device.settle();
    });
    rig.fault(0x1000);
    assert_eq!(rig.read32(Register::EventqProd), 1);
    rig.write(Register::EventqCons, 1u32);
    let expected = [(Some(Register::EventqProd), None), (Some(Register::EventqCons), Some(1))];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn threads_share_a_device() {
    static DONE: AtomicU32 = AtomicU32::new(0);
    let rig = Rig::up();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let smmu = rig.smmu.clone();
            scope.spawn(move || {
                for _ in 0..100 {
                    let _ = smmu.read32(Register::Gerror.page(), Register::Gerror.offset());
                    DONE.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(rig.device().accesses(), (DONE.load(Ordering::Relaxed), 0));
}

#[test]
fn a_saved_state_can_be_put_back() {
    let rig = Rig::up();
    let saved = rig.device().clone();
    rig.fault(0x1000);
    assert_ne!(hash(&saved), hash(&rig.device()));
    *rig.device() = saved.clone();
    assert!(*rig.device() == saved && hash(&saved) == hash(&rig.device()));
    assert_eq!(rig.read32(Register::EventqProd), 0);
    assert!(*rig.device() == saved, "counts of accesses are the past");
}

/// Walks through every order of what a device with two records, a command with an interrupt and a late
/// acknowledge can do, and checks that all of them end alike.
#[test]
fn all_orders_of_steps_are_explored() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().set_split(true);
    rig.device().set_lazy_cons(true);
    rig.device().record(Record::bad_ste(8));
    rig.device().record(Record::bad_ste(8));
    rig.issue(&[Command::Sync(Completion::Interrupt(None))]);
    let mut seen = HashSet::new();
    let mut waiting = vec![rig.device().clone()];
    let mut ends = HashSet::new();
    while let Some(device) = waiting.pop() {
        if !seen.insert(device.clone()) {
            continue;
        }
        let steps = device.steps();
        if steps.is_empty() {
            ends.insert(device.clone());
        }
        for step in steps {
            let mut next = device.clone();
            next.step(step);
            waiting.push(next);
        }
    }
    assert!(seen.len() > 20, "{}", seen.len());
    assert_eq!(ends.len(), 1);
    let end = ends.into_iter().next().unwrap();
    assert_eq!(end.pointers(Output::Events), (2, 0));
    assert!(end.interrupts().contains(Source::CmdSync));
}

#[test]
fn a_removed_device_does_nothing() {
    let rig = Rig::up();
    rig.device().set_eager(false);
    rig.device().record(Record::bad_ste(8));
    rig.device().set_removed(true);
    assert_silent(&rig.device());
    rig.device().set_removed(false);
    assert_eq!(rig.device().steps(), [Step::DeliverRecord(0)]);
}
