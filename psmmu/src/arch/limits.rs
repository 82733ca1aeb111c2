// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device says of the addresses and VMIDs that it takes.
//!
//! It cuts off the bits of an address that it does not have (IHI 0070, 3.4.3), and so uses other memory than
//! it was given. Each physical address is therefore held against these limits before the device gets it.

#![forbid(unsafe_code)]

use super::registers::{Idr0, Idr5};

/// Limits of a device, from IDR0 and IDR5 of its Non-secure page, which hold for all sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bits of a physical address, OAS: 32 to 56.
    pub output_bits: u32,
    /// Bits of an input of stage 2, IAS: those of an output, but at least 40 where there are tables of
    /// AArch32 (3.4).
    pub input_bits: u32,
    /// VMIDs have 16 bits and not 8.
    pub has_vmid16: bool,
}

impl Limits {
    /// Takes IDR0 and IDR5 of the Non-secure page.
    #[must_use]
    pub const fn new(idr0: Idr0, idr5: Idr5) -> Self {
        let output_bits = idr5.output_bits();
        let is_short = idr0.has_aarch32_tables() && output_bits < 40;
        let input_bits = if is_short { 40 } else { output_bits };
        Self { output_bits, input_bits, has_vmid16: idr0.has_vmid16() }
    }

    /// Returns whether the device can address all of `bytes` bytes at PA `address`.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn reach(&self, address: u64, bytes: u64) -> bool {
        let last = bytes.checked_sub(1).and_then(|offset| address.checked_add(offset));
        last.is_some_and(|last| last.wrapping_shr(self.output_bits) == 0)
    }

    /// Returns whether the device tags translations with all bits of `vmid`.
    #[must_use]
    pub const fn take_vmid(&self, vmid: u16) -> bool {
        self.has_vmid16 || vmid < 1 << 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_bits_of_oas_to_the_last_byte() {
        let limits = Limits::new(Idr0::new(0), Idr5::new(2));
        assert_eq!((limits.output_bits, limits.input_bits), (40, 40));
        for (address, bytes, reach) in [
            (0, 1, true),
            ((1 << 40) - 0x1000, 0x1000, true),
            ((1 << 40) - 0x1000, 0x1001, false),
            (1 << 40, 1, false),
            (1 << 63, 1, false),
            (u64::MAX, 2, false),
            (0, 0, false),
        ] {
            assert_eq!(limits.reach(address, bytes), reach, "{bytes:#x} at {address:#x}");
        }
    }

    #[test]
    fn inputs_have_40_bits_where_there_are_tables_of_aarch32() {
        let aarch32 = Idr0::new(1 << 2);
        let input = |oas| Limits::new(aarch32, Idr5::new(oas)).input_bits;
        assert_eq!([0, 1, 2, 3, 7].map(input), [40, 40, 40, 42, 56]);
    }
}
