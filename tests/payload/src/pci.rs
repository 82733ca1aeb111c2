// SPDX-License-Identifier: MIT OR Apache-2.0

//! PCIe: finds the `edu` devices and gives them addresses, which nobody has done before.

use core::ptr::NonNull;

use heapless::Vec;
use safe_mmio::fields::{ReadPure, ReadPureWrite};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::edu::Edu;
use crate::platform;

/// The part of a function's configuration space that is used here.
#[repr(C)]
struct Function {
    /// 0x00: vendor in 15:0, device in 31:16.
    id: ReadPure<u32>,
    /// 0x04.
    command: ReadPureWrite<u16>,
    status: ReadPureWrite<u16>,
    _revision_to_bist: [u32; 2],
    /// 0x10: a 32-bit memory BAR on this device.
    bar0: ReadPureWrite<u32>,
}

const EDU: u32 = 0x11E8_1234;
/// The device decodes 1 MiB.
const BAR_SIZE: u64 = 0x10_0000;
const MEMORY_SPACE: u16 = 1 << 1;
/// Without it the device's DMA vanishes, and no event tells.
const BUS_MASTER: u16 = 1 << 2;

const SLOTS: usize = 32;

/// Most devices that a scenario can have.
pub const MAX_EDUS: usize = 4;

/// Returns the `edu` devices of bus 0, ready to use, in the order of their StreamIDs. Called once.
pub fn edus() -> Vec<Edu, MAX_EDUS> {
    let mut edus = Vec::new();
    for slot in 0..SLOTS {
        let address = platform::ECAM + (slot << 15);
        let function = NonNull::new(address as *mut Function).expect("not zero");
        // SAFETY: the configuration space of bus 0 lies there, mapped as device memory, and nothing
        // else uses it; slots without a device read all ones.
        let mut function = unsafe { UniqueMmioPointer::new(function) };
        if field_shared!(function, id).read() != EDU {
            continue;
        }
        let bar = platform::PCI_WINDOW + edus.len() as u64 * BAR_SIZE;
        let low = u32::try_from(bar).unwrap_or_else(|_| fail!("BAR {bar:#x} is not below 4 GiB"));
        field!(function, bar0).write(low);
        field!(function, command).write(MEMORY_SPACE | BUS_MASTER);
        let registers = NonNull::new(bar as *mut _).expect("not zero");
        // SAFETY: the device now decodes that range, which is mapped as device memory; no two devices
        // get the same.
        let registers = unsafe { UniqueMmioPointer::new(registers) };
        // Bus 0, function 0; QEMU's root complex passes the requester ID on as the StreamID.
        let edu = Edu::new((slot as u32) << 3, registers);
        if edus.push(edu).is_err() {
            fail!("more than {MAX_EDUS} edu devices");
        }
    }
    edus
}
