// SPDX-License-Identifier: MIT OR Apache-2.0

//! Granules that cannot be delegated or undelegated: the answer is `ErrorInput`, X1 the base, and
//! nothing has changed.

use psmmu_abi::{Function, GptState, MemoryCategory, TrackingState};

use crate::arch::{self, Masked};
use crate::bring_up::must;
use crate::pool::GRANULE;
use crate::scenario::manual::{self, INPUT, LIST, Region, move_granules};
use crate::scenario::raw::{self, NOT_HOST_MEMORY};
use crate::smc::RMI;
use crate::{gic, time};

const DELEGATE: Function = Function::GranuleRangeDelegate;
const UNDELEGATE: Function = Function::GranuleRangeUndelegate;

/// Where QEMU's PCIe devices have their 32-bit BARs: first byte, and the byte behind the last.
const PCIE: (u64, u64) = (0x1000_0000, 0x3EFF_0000);

/// What a timer of one tick may take, in milliseconds.
const LIMIT: u32 = 1000;

/// As the RMM does with one call.
const BATCH: u64 = 3;

pub fn run() {
    ranges();
    not_the_hosts();
    twice();
    part_of_a_range();
    while_an_interrupt_waits();
    device_memory();
    protection_tables();
    in_use();
}

/// Moves that are refused.
fn refused(function: Function, base: u64, top: u64) {
    move_granules(function, base, top, INPUT, base);
}

/// Ranges that are none.
fn ranges() {
    let region = Region::new(2);
    for function in [DELEGATE, UNDELEGATE] {
        let base = region.address;
        for (base, top) in [
            (base, base),
            (base + GRANULE, base),
            (base, 0),
            (base + 1, base + GRANULE),
            (base + 8, base + GRANULE + 8),
            (base, base + 1),
            (base, base + GRANULE - 1),
            (base, base + GRANULE + 0x800),
            (base, !0),
            (!0, !0),
            (0, 0),
        ] {
            refused(function, base, top);
        }
    }
    region.free();
}

/// Addresses that the host may not move. The boot manifest calls some of them DRAM.
fn not_the_hosts() {
    for (address, what) in NOT_HOST_MEMORY {
        for function in [DELEGATE, UNDELEGATE] {
            for top in [address.wrapping_add(GRANULE), address.wrapping_add(2 * GRANULE), !0xFFF] {
                let what = format_args!("{function:?} of {address:#x} to {top:#x}, {what}");
                raw::expect(what, function.id(), &[address, top], INPUT, &[address]);
            }
        }
    }
    // What the host has now and has never delegated.
    for address in [0x4000_0000, 0x5000_0000, 0x6000_0000, manual::LIST.address()] {
        refused(UNDELEGATE, address, address + GRANULE);
    }
}

fn twice() {
    let region = Region::new(1);
    let (base, top) = (region.address, region.end());
    refused(UNDELEGATE, base, top);
    region.delegate();
    refused(DELEGATE, base, top);
    refused(DELEGATE, base, top + GRANULE);
    region.undelegate();
    refused(UNDELEGATE, base, top);
    region.delegate();
    region.take_back();
}

/// A range ends where it cannot go on, and where the RMM has done enough at once.
fn part_of_a_range() {
    let region = Region::new(4);
    let Region { address: base, .. } = region;
    let third = Region { address: base + 2 * GRANULE, granules: 1 };
    third.delegate();
    move_granules(DELEGATE, base, region.end(), 0, third.address);
    refused(DELEGATE, third.address, region.end());
    move_granules(UNDELEGATE, base, region.end(), 0, third.end());
    refused(UNDELEGATE, third.end(), region.end());
    region.free();

    let large = Region::new(2 * BATCH);
    let middle = large.address + BATCH * GRANULE;
    for function in [DELEGATE, UNDELEGATE] {
        move_granules(function, large.address, large.end(), 0, middle);
        move_granules(function, middle, large.end(), 0, large.end());
    }
    large.free();
}

/// A call ends behind the first granule when an interrupt of the host's waits for it.
fn while_an_interrupt_waits() {
    let region = Region::new(BATCH);
    let masked = Masked::new();
    arch::arm_timer(1);
    require!(time::wait(LIMIT, || gic::waiting() == Some(gic::TIMER)), "the timer does not end");
    for function in [DELEGATE, UNDELEGATE] {
        for base in (region.address..region.end()).step_by(GRANULE as usize) {
            move_granules(function, base, region.end(), 0, base + GRANULE);
        }
    }
    arch::disarm_timer();
    while let Some(intid) = gic::acknowledge() {
        gic::end(intid);
    }
    drop(masked);
    region.free();
}

/// BARs of devices can be delegated, and are not accessed.
fn device_memory() {
    for base in [PCIE.0, PCIE.1 - GRANULE] {
        let known = must(RMI.granule_tracking(base, base + GRANULE));
        let wanted = (MemoryCategory::DeviceNonCoherent, TrackingState::Fine);
        expect_eq!((known.category, known.state), wanted, "how device memory is tracked");
        refused(UNDELEGATE, base, base + GRANULE);
        move_granules(DELEGATE, base, base + GRANULE, 0, base + GRANULE);
        refused(DELEGATE, base, base + GRANULE);
        let operation = manual::activate_begin();
        LIST.set_word(0, Region { address: base, granules: 2 }.entry());
        operation.offer_in_vain(format_args!("device memory"), LIST.address(), 1, 0);
        move_granules(UNDELEGATE, base, base + GRANULE, 0, base + GRANULE);
    }
}

/// EL3 has granule protection tables for 40 bits of address on QEMU, and there can be none beyond.
fn protection_tables() {
    const END: u64 = 1 << 40;
    let (platform, reserved) = (GptState::Platform as u64, GptState::Reserved as u64);
    for (base, top, end, state) in [
        (0, END, END, platform),
        (PCIE.0, 2 * END, END, platform),
        (END, 2 * END, 2 * END, reserved),
    ] {
        let what = format_args!("GPT_INFO of {base:#x} to {top:#x}");
        raw::expect(what, Function::GptInfo.id(), &[base, top], 0, &[end, state]);
    }
    for (base, top) in [(END, END), (END, 0), (1, GRANULE), (0, GRANULE + 1), (0, 1 << 63)] {
        let what = format_args!("GPT_INFO of {base:#x} to {top:#x}");
        raw::expect(what, Function::GptInfo.id(), &[base, top], INPUT, &[]);
    }
}

/// What a PSMMU runs on is neither the host's nor free to go.
fn in_use() {
    let regions = manual::activate();
    let table = manual::st_l2_create(0);
    for region in regions.iter().chain([&table]) {
        for base in (region.address..region.end()).step_by(GRANULE as usize) {
            refused(UNDELEGATE, base, base + GRANULE);
            refused(DELEGATE, base, base + GRANULE);
        }
    }
    manual::st_l2_destroy(0, table);
    refused(UNDELEGATE, table.address, table.end());
    manual::deactivate(&regions);
}
