// SPDX-License-Identifier: MIT OR Apache-2.0

//! Global errors: GERROR and GERRORN.

use bitflags::bitflags;

bitflags! {
    /// Global errors of the Realm side, GERROR and GERRORN. All other bits are reserved and must never
    /// be toggled.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Gerror: u32 {
        /// A command failed; the command queue stands still until this is acknowledged.
        const CMDQ_ERR = 1 << 0;
        /// A write to the event queue was aborted; nothing is recorded until this is acknowledged.
        const EVENTQ_ABT_ERR = 1 << 2;
        /// A write to the PRI queue was aborted.
        const PRIQ_ABT_ERR = 1 << 3;
        /// The MSI of a SYNC was aborted.
        const MSI_CMDQ_ABT_ERR = 1 << 4;
        /// An MSI of the event queue was aborted.
        const MSI_EVENTQ_ABT_ERR = 1 << 5;
        /// An MSI of the PRI queue was aborted.
        const MSI_PRIQ_ABT_ERR = 1 << 6;
        /// An MSI of the global errors was aborted.
        const MSI_GERROR_ABT_ERR = 1 << 7;
        /// An enhanced command queue has an error.
        const CMDQP_ERR = 1 << 9;
        /// A device permission table lookup failed.
        const DPT_ERR = 1 << 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_bits_of_gerror_are_not_among_the_errors() {
        assert_eq!(Gerror::all().bits(), 0b110_1111_1101);
    }
}
