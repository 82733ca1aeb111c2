// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SMMUv3TestEngine of Arm's FVP: BAR0 begins with a page of frames that hold jobs, and each has its
//! second half in the page behind. Only the first frame is used.

use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::edu::Access;

/// Vendor in 15:0, device in 31:16.
pub const ID: u32 = 0xFF80_13B5;

/// One access: a job ends at the first one that is aborted.
pub const MAX_WORDS: u32 = 1;

/// Registers, from the start of BAR0.
#[repr(C)]
pub struct Registers {
    /// 0x00: a job; once it has ended, how.
    command: ReadPureWrite<u32>,
    control: ReadPureWrite<u32>,
    _counts: [u32; 2],
    /// 0x10: 0 for no interrupt at the end.
    msi: ReadPureWrite<u64>,
    _msi_data: [u32; 2],
    /// 0x20: of reads in 15:0, of writes in 31:16.
    attributes: ReadPureWrite<u32>,
    /// 0x24: 0 for ascending addresses.
    seed: ReadPureWrite<u32>,
    /// 0x28: the first byte, and at 0x30 the last one.
    begin: ReadPureWrite<u64>,
    end: ReadPureWrite<u64>,
    /// 0x38: from access to access; with 8, each is one of 64 bits.
    stride: ReadPureWrite<u64>,
    _data_and_other_frames: [[u64; 8]; 1023],
    /// 0x1_0000: the second half of the frame.
    _privileged_control: u32,
    /// 0x1_0004: 0 behind PCIe.
    port: ReadPureWrite<u32>,
    _stream: u32,
    /// 0x1_000C: all ones for none.
    substream: ReadPureWrite<u32>,
}

const _: () = assert!(core::mem::offset_of!(Registers, stride) == 0x38);
const _: () = assert!(core::mem::offset_of!(Registers, port) == 0x1_0004);

/// Fill with noise: writes alone.
const FILL: u32 = 3;
/// Sum up: reads alone.
const SUM: u32 = 4;
/// The frame was not filled in well. (All ones: an access was aborted, which is what tests are about.)
const MISCONFIGURED: u32 = !1;

/// Of an access: inner shareable, Non-secure, write-back.
const ATTRIBUTES: u32 = 1 << 14 | 1 << 9 | 0xFF;
const BYTES: u64 = 8;

/// Has the device access the 64 bits at `at`.
pub fn start(registers: &mut UniqueMmioPointer<'_, Registers>, access: Access, at: u64, _: u32) {
    field!(*registers, port).write(0);
    field!(*registers, substream).write(u32::MAX);
    field!(*registers, control).write(0);
    field!(*registers, msi).write(0);
    field!(*registers, attributes).write(ATTRIBUTES << 16 | ATTRIBUTES);
    field!(*registers, seed).write(0);
    field!(*registers, begin).write(at);
    field!(*registers, end).write(at + (BYTES - 1));
    field!(*registers, stride).write(BYTES);
    field!(*registers, command).write(match access {
        Access::Read => SUM,
        Access::Write => FILL,
    });
    let command = field_shared!(*registers, command).read();
    require!(command != MISCONFIGURED, "the device does not take the job at {at:#x}");
}

/// Returns whether the last job has still to end.
pub fn is_busy(registers: &UniqueMmioPointer<'_, Registers>) -> bool {
    matches!(field_shared!(*registers, command).read(), FILL | SUM)
}
