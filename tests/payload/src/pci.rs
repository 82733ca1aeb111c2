// SPDX-License-Identifier: MIT OR Apache-2.0

//! PCIe: finds the devices that make DMA and gives them addresses, which no firmware has done before.

use core::ptr::NonNull;

use heapless::Vec;
use safe_mmio::fields::{ReadPure, ReadPureWrite};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::edu::Edu;
use crate::{device, platform};

/// The part of a function's configuration space that is used here.
#[repr(C)]
struct Function {
    /// 0x00: vendor in 15:0, device in 31:16.
    id: ReadPure<u32>,
    /// 0x04.
    command: ReadPureWrite<u16>,
    status: ReadPureWrite<u16>,
    _revision_to_bist: [u32; 2],
    /// 0x10: a memory BAR.
    bar0: ReadPureWrite<u32>,
    /// 0x14: its upper half, if it has one.
    bar1: ReadPureWrite<u32>,
}

/// Bits 2:1 of a memory BAR of 64 bits are 2.
const BAR_64: u32 = 1 << 2;
/// A device decodes 1 MiB or less.
const BAR_SIZE: u64 = 0x10_0000;
const MEMORY_SPACE: u16 = 1 << 1;
/// Without it the device's DMA vanishes, without an event.
const BUS_MASTER: u16 = 1 << 2;

/// Functions of a bus, eight for each slot.
const FUNCTIONS: u32 = 256;

/// Most devices that a scenario can have.
pub const MAX_EDUS: usize = 4;

/// Returns the devices of bus 0, ready to use, in the order of their StreamIDs. Called once.
pub fn edus() -> Vec<Edu, MAX_EDUS> {
    let mut edus = Vec::new();
    for number in 0..FUNCTIONS {
        let address = platform::ECAM + ((number as usize) << 12);
        let function = NonNull::new(address as *mut Function).expect("not zero");
        // SAFETY: the configuration space of bus 0 lies there, mapped as device memory, and nothing
        // else uses it; functions that are not there read all ones.
        let mut function = unsafe { UniqueMmioPointer::new(function) };
        if field_shared!(function, id).read() != device::ID {
            continue;
        }
        let bar = platform::PCI_WINDOW + edus.len() as u64 * BAR_SIZE;
        let low = u32::try_from(bar).unwrap_or_else(|_| fail!("BAR {bar:#x} is not below 4 GiB"));
        field!(function, bar0).write(low);
        if field_shared!(function, bar0).read() & BAR_64 != 0 {
            field!(function, bar1).write(0);
        }
        field!(function, command).write(MEMORY_SPACE | BUS_MASTER);
        let registers = NonNull::new(bar as *mut _).expect("not zero");
        // SAFETY: the device now decodes that range, which is mapped as device memory; no two devices
        // get the same.
        let registers = unsafe { UniqueMmioPointer::new(registers) };
        // The root complex passes the requester ID on as the StreamID; that of bus 0 is the function's
        // number.
        let edu = Edu::new(number, registers);
        if edus.push(edu).is_err() {
            fail!("more than {MAX_EDUS} devices");
        }
    }
    edus
}
