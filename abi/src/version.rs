// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_VERSION`.
//!
//! X1 in: the requested version. X0 out: success, or an input error if it is not implemented. X1 and X2
//! out, in both cases: the lower and the higher implemented version.

use crate::Unknown;

/// A version of an interface: minor in bits 15:0, major in bits 30:16, the rest zero.
///
/// The RMM-EL3 interface and its boot manifest use the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major version, 0 to 0x7FFF.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
}

impl Version {
    /// The RMI version of this ABI, 2.0.
    pub const RMI_2_0: Self = Self { major: 2, minor: 0 };

    /// Returns the value for a register.
    #[must_use]
    pub const fn word(self) -> u64 {
        ((self.major & 0x7FFF) as u64) << 16 | self.minor as u64
    }
}

impl TryFrom<u64> for Version {
    type Error = Unknown;

    /// Reads a version word; bits 63:31 must be zero.
    fn try_from(word: u64) -> Result<Self, Unknown> {
        if word >> 31 != 0 {
            return Err(Unknown(word));
        }
        Ok(Self { major: (word >> 16) as u16, minor: word as u16 })
    }
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Of one width with the other numbers that firmware prints: printing a width takes 250 to 350 bytes.
        write!(f, "{}.{}", u64::from(self.major), u64::from(self.minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_round_trip_and_order_by_major_then_minor() {
        assert_eq!(Version::RMI_2_0.word(), 0x2_0000);
        for word in [0, 4, 0x2_0000, 0x7FFF_FFFF] {
            assert_eq!(Version::try_from(word).map(Version::word), Ok(word));
        }
        assert!(Version { major: 0, minor: 9 } < Version { major: 2, minor: 0 });
    }

    #[test]
    fn a_word_with_bits_above_30_is_no_version() {
        assert_eq!(Version::try_from(1 << 31), Err(Unknown(1 << 31)));
        assert_eq!(Version::try_from(u64::MAX), Err(Unknown(u64::MAX)));
    }
}
