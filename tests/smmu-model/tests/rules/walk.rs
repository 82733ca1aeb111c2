// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random walks of a driver that keeps the rules: none is broken, and nothing is lost but what the
//! device says was lost.

use smmu_model::{OVERFLOW_FLAG, Output, Record, Register, Source};

use crate::rig::Rig;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % bound
    }
}

/// Drains until PROD, read behind the last CONS write, shows nothing new.
fn drain(rig: &Rig, cons: &mut u32, seen: &mut Vec<u64>) {
    let pointers = (2 << rig.sizes.events) - 1;
    let mask = pointers >> 1;
    loop {
        let prod = rig.read32(Register::EventqProd);
        if prod == *cons {
            return;
        }
        rig.smmu.read_barrier();
        while (prod ^ *cons) & pointers != 0 {
            seen.push(rig.events.load(4 * (*cons & mask) as usize + 2));
            *cons = *cons & OVERFLOW_FLAG | (*cons + 1) & pointers;
        }
        *cons = *cons & pointers | prod & OVERFLOW_FLAG;
        rig.smmu.write_barrier();
        rig.write(Register::EventqCons, *cons);
    }
}

fn walk(log2: u32, seed: u64) {
    let rig = Rig::with_event_queue(log2);
    let mut random = Random(seed);
    let mut scheduler = Random(seed ^ 0x5555);
    rig.device().set_eager(false);
    rig.device().set_split(seed.is_multiple_of(2));
    rig.device().on_access(move |device, _| {
        for _ in 0..scheduler.below(3) {
            let steps = device.steps();
            if !steps.is_empty() {
                device.step(steps[scheduler.below(steps.len())]);
            }
        }
    });
    let (mut cons, mut seen, mut sent) = (0, Vec::new(), 0);
    for _ in 0..200 {
        match random.below(4) {
            0 => {
                sent += 1;
                rig.device().record(Record::stage_2_write(8, sent << 12));
            }
            1 => {
                let steps = rig.device().steps();
                if !steps.is_empty() {
                    rig.device().step(steps[random.below(steps.len())]);
                }
            }
            2 => drop(rig.read(Register::Gerror)),
            // Only ever called by an interrupt: none may be missing.
            _ if rig.device().take_interrupts().contains(Source::Eventq) => {
                drain(&rig, &mut cons, &mut seen);
            }
            _ => {}
        }
    }
    rig.device().settle();
    if rig.device().take_interrupts().contains(Source::Eventq) {
        drain(&rig, &mut cons, &mut seen);
    }
    let lost = rig.device().take_losses();
    seen.extend(lost.iter().map(|(record, _)| record.input_address()));
    seen.sort_unstable();
    let expected: Vec<_> = (1..=sent).map(|n| n << 12).collect();
    assert_eq!(seen, expected, "2^{log2}, seed {seed}");
    assert!(!rig.device().has_overflowed(Output::Events));
}

#[test]
fn a_driver_that_keeps_the_rules_breaks_none_and_loses_nothing() {
    for log2 in [0, 1, 2, 3, 5] {
        for seed in 1..=40 {
            walk(log2, seed);
        }
    }
}
