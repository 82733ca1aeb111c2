// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device says that it has (IHI 0070, 6.3: IDR0, IDR1, IDR5), and whether that is enough.

#![forbid(unsafe_code)]

use super::command_queue::CMDQ_MIN_ENTRIES;
use crate::arch::limits::Limits;
use crate::arch::registers::{Idr0, Idr1, Idr5, RealmIdr1, Register32};
use crate::platform::{Interface, Registers, Sizes};

/// What the device has, and how much of it is used at most.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) has_msi: bool,
    pub(crate) has_el2: bool,
    pub(crate) has_pri: bool,
    pub(crate) has_btm: bool,
    pub(crate) limits: Limits,
    pub(crate) sizes: Sizes,
}

impl Device {
    /// Reads what the device has, through `interface` and with at most `own` sizes, or returns `None` for one
    /// that cannot serve: it lacks a Realm side, coherent access, stage 2 of translation with little-endian
    /// AArch64 tables of 4 KiB granules, two-level stream tables, or bases that can be chosen.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn read(
        registers: &impl Registers,
        interface: Interface,
        own: Sizes,
    ) -> Option<Self> {
        let read = |register| registers.read32(register);
        let idr0 = Idr0::new(read(Register32::NS_IDR0));
        let idr1 = Idr1::new(read(Register32::NS_IDR1));
        let has_realm_side = match interface {
            Interface::Realm => RealmIdr1::new(read(Register32::IDR1)).has_realm_side(),
            Interface::NonSecureOnly => true,
        };
        let idr5 = Idr5::new(read(Register32::NS_IDR5));
        let translates = idr0.has_stage_2()
            && idr0.has_aarch64_tables()
            && !idr0.is_big_endian_only()
            && idr5.has_4k_granules();
        let realm_idr0 = Idr0::new(read(Register32::IDR0));
        let least = |of_device: u32, own: u8, max: u8| of_device.min(own.min(max).into()) as u8;
        let max = Sizes::MAX;
        let sizes = Sizes {
            streams: least(idr1.sid_bits(), own.streams, max.streams),
            commands: least(idr1.cmdqs(), own.commands, max.commands),
            events: least(idr1.eventqs(), own.events, max.events),
            requests: least(idr1.priqs(), own.requests, max.requests),
        };
        let has_room = 1 << sizes.commands >= CMDQ_MIN_ENTRIES;
        let has_tables = idr0.is_coherent() && idr0.has_two_level_tables();
        let is_usable = has_realm_side && translates && has_tables;
        if !is_usable || idr1.has_preset_bases() || !has_room {
            return None;
        }
        Some(Self {
            has_msi: realm_idr0.has_msi(),
            has_pri: realm_idr0.has_pri(),
            has_el2: idr0.has_el2(),
            has_btm: idr0.has_btm(),
            limits: Limits::new(idr0, idr5),
            sizes,
        })
    }
}

/// Reads the limits of a device. Two register reads.
#[cfg_attr(core_from_source, optimize(size))]
pub(crate) fn read_limits(registers: &impl Registers) -> Limits {
    let idr0 = Idr0::new(registers.read32(Register32::NS_IDR0));
    Limits::new(idr0, Idr5::new(registers.read32(Register32::NS_IDR5)))
}
