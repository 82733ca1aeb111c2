// SPDX-License-Identifier: MIT OR Apache-2.0

//! The clock that bounds each wait for the device.

#![forbid(unsafe_code)]

/// A clock that bounds waits. [`microseconds`] makes one of a counter.
pub trait Clock {
    /// Returns microseconds since some fixed moment. It never steps back. Should it stand still, waits are
    /// bounded by a number of polls and may be shorter or longer than
    /// [`DEVICE_TIMEOUT`](crate::DEVICE_TIMEOUT).
    fn microseconds(&self) -> u64;
}

/// Returns the microseconds that a counter of `frequency` in Hz, such as CNTPCT_EL0 with CNTFRQ_EL0, shows as
/// `count`. A frequency of 0, one that was never set, gives a [`Clock`] that stands still.
#[must_use]
pub const fn microseconds(count: u64, frequency: u32) -> u64 {
    const SECOND: u64 = 1_000_000;
    let frequency = frequency as u64;
    let (Some(seconds), Some(rest)) = (count.checked_div(frequency), count.checked_rem(frequency))
    else {
        return 0;
    };
    match rest.wrapping_mul(SECOND).checked_div(frequency) {
        Some(part) => seconds.wrapping_mul(SECOND).wrapping_add(part),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_any_frequency_is_read_as_microseconds() {
        for (count, frequency, expected) in [
            (0, 1_000_000, 0),
            (24_000_000, 24_000_000, 1_000_000),
            (1, 24_576_000, 0),
            (24_576_001 * 3, 24_576_000, 3_000_000),
            // Below 1 MHz.
            (32_768, 32_768, 1_000_000),
            (65_535, 32_768, 1_999_969),
            (5, 1, 5_000_000),
            // Never set.
            (12_345, 0, 0),
            (u64::MAX, u32::MAX, 4_294_967_297_000_000),
        ] {
            assert_eq!(microseconds(count, frequency), expected, "{count} at {frequency} Hz");
        }
    }
}
