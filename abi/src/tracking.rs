// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_GRANULE_TRACKING_GET`: how the RMM tracks memory, in the form of bet1 and later; and
//! `RMI_GPT_INFO`, of bet3.
//!
//! X1 and X2 in: PA of the first byte and of the byte behind the last. Of TRACKING_GET, X1 out:
//! [`MemoryCategory`]; X2 out: [`TrackingState`]; X3 out: end of the part of the range that these two hold
//! for. Of GPT_INFO, X1 out: that end; X2 out: [`GptState`].

use crate::Unknown;

macro_rules! numbers {
    ($(#[$doc:meta])* $type:ident: $($(#[$variant_doc:meta])* $name:ident = $value:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $type {
            $($(#[$variant_doc])* $name = $value,)*
        }

        impl TryFrom<u64> for $type {
            type Error = Unknown;

            fn try_from(register: u64) -> Result<Self, Unknown> {
                match register {
                    $($value => Ok(Self::$name),)*
                    _ => Err(Unknown(register)),
                }
            }
        }
    };
}

numbers! {
    /// Kind of memory.
    MemoryCategory:
    /// DRAM.
    Conventional = 0,
    /// Device memory that is not coherent.
    DeviceNonCoherent = 1,
    /// Device memory that is coherent.
    DeviceCoherent = 2,
}

numbers! {
    /// How granules are tracked.
    TrackingState:
    /// Not for the host.
    Reserved = 0,
    /// Not at all: nothing there can be delegated.
    None = 1,
    /// Granule by granule.
    Fine = 2,
    /// Region by region.
    Coarse = 3,
    /// Being changed.
    Intermediate = 4,
}

numbers! {
    /// Whose the granule protection tables are.
    GptState:
    /// There are none, and can be none.
    Reserved = 0,
    /// The platform's: they were there before the host.
    Platform = 1,
    /// The host's to create.
    NotCreated = 2,
    /// Created by the host.
    Created = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_meaning_are_typed_errors() {
        assert_eq!(MemoryCategory::try_from(0), Ok(MemoryCategory::Conventional));
        assert_eq!(MemoryCategory::try_from(3), Err(Unknown(3)));
        assert_eq!(TrackingState::try_from(2), Ok(TrackingState::Fine));
        assert_eq!(TrackingState::try_from(5), Err(Unknown(5)));
        assert_eq!(GptState::try_from(1), Ok(GptState::Platform));
        assert_eq!(GptState::try_from(4), Err(Unknown(4)));
    }
}
