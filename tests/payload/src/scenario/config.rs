// SPDX-License-Identifier: MIT OR Apache-2.0

//! `config`: the commands that concern no SMMU: versions, feature registers, configuration, and the
//! one way from INIT to ACTIVE.

use psmmu_abi::features::{self, Register1, Register2};
use psmmu_abi::{Function, Status, Version};

use super::raw::{self, NOT_HOST_MEMORY, OFFSETS, x0};
use super::{Arguments, usage};
use crate::granule::Granule;

static PAGE: Granule = Granule::new();

/// Index of the fields of an [`RmmConfig`](psmmu_abi::RmmConfig) in words.
const TRACKING_REGION_SIZE: usize = 0;
const RMI_GRANULE_SIZE: usize = 1;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("config");
    }
    versions();
    feature_registers();

    get("in INIT");
    bad_addresses(Function::RmmConfigGet);
    bad_addresses(Function::RmmConfigSet);
    for (field, value) in [
        (TRACKING_REGION_SIZE, 1),
        (TRACKING_REGION_SIZE, 0xFF),
        (RMI_GRANULE_SIZE, 1),
        (RMI_GRANULE_SIZE, 2),
        (RMI_GRANULE_SIZE, 3),
    ] {
        PAGE.fill(0);
        PAGE.set_word(field, value);
        set(Status::ErrorInput, format_args!("CONFIG_SET with {value} in field {field}"));
    }
    for round in ["the first", "the second"] {
        // Hosts leave the rest of the page undefined.
        PAGE.scribble();
        PAGE.set_word(TRACKING_REGION_SIZE, 0);
        PAGE.set_word(RMI_GRANULE_SIZE, 0);
        set(Status::Success, format_args!("{round} CONFIG_SET"));
    }
    get("after CONFIG_SET");

    activate(Status::Success, "the first RMM_ACTIVATE");
    activate(Status::ErrorGlobal, "the second RMM_ACTIVATE");
    PAGE.fill(0);
    set(Status::ErrorGlobal, format_args!("CONFIG_SET after RMM_ACTIVATE"));
    get("after RMM_ACTIVATE");
    bad_addresses(Function::RmmConfigGet);
    versions();
    feature_registers();
}

fn versions() {
    let version = Version::RMI_2_0.word();
    let fid = Function::Version.id();
    raw::expect(format_args!("VERSION 2.0"), fid, &[version], 0, &[version, version]);
    for wanted in
        [0, 0x1_0000, 0x1_0008, 0x1_FFFF, 0x2_0001, 0x3_0000, 0x8002_0000, 0x1_0002_0000, !0]
    {
        let what = format_args!("VERSION {wanted:#x}");
        raw::expect(what, fid, &[wanted], x0(Status::ErrorInput), &[version, version]);
    }
}

fn feature_registers() {
    let read = |index| {
        let value = crate::bring_up::must(crate::smc::RMI.features(index));
        let what = format_args!("FEATURES {index}");
        raw::expect(what, Function::Features.id(), &[index], 0, &[value]);
        value
    };
    // S2SZ: hosts take zero for "no RMM".
    require!(read(0) & 0xFF != 0, "FEATURES 0 has no S2SZ");
    let register1 = Register1::from_bits_retain(read(1));
    require!(register1.contains(Register1::GRANULE_4K), "FEATURES 1 has no 4 KiB granules");
    let register2 = Register2::from_bits_retain(read(2));
    require!(
        register2.contains(Register2::DEVICE_ASSIGNMENT),
        "FEATURES 2 has no device assignment"
    );
    read(3);
    read(4);
    for index in [features::COUNT, 6, 0xFF, 0x100, 1 << 32, 1 << 63, !0] {
        expect_eq!(read(index), 0, "FEATURES {index:#x}, which does not exist");
    }
}

fn bad_addresses(function: Function) {
    for (address, what) in NOT_HOST_MEMORY {
        let what = format_args!("{function:?} at {address:#x}, {what}");
        raw::expect(what, function.id(), &[address], x0(Status::ErrorInput), &[]);
    }
    for (offset, what) in OFFSETS {
        let what = format_args!("{function:?} {what}");
        let address = PAGE.address().wrapping_add(offset);
        raw::expect_untouched(what, function, &[address], Status::ErrorInput, &PAGE);
    }
}

fn get(when: &str) {
    PAGE.scribble();
    let what = format_args!("CONFIG_GET {when}");
    raw::expect(what, Function::RmmConfigGet.id(), &[PAGE.address()], 0, &[]);
    for (index, word) in PAGE.words().into_iter().enumerate() {
        expect_eq!(word, 0, "{what}: word {index}");
    }
}

fn set(status: Status, what: core::fmt::Arguments<'_>) {
    raw::expect(what, Function::RmmConfigSet.id(), &[PAGE.address()], x0(status), &[]);
}

fn activate(status: Status, what: &str) {
    raw::expect(format_args!("{what}"), Function::RmmActivate.id(), &[], x0(status), &[]);
}
