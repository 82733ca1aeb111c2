// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_GRANULE_TRACKING_GET`: how the RMM tracks memory, in the form of bet1 and later; and
//! `RMI_GPT_INFO`, of bet3.
//!
//! X1 and X2 in: PA of the range's beginning and its exclusive end. Of TRACKING_GET, X1 out:
//! [`MemoryCategory`]; X2 out: [`TrackingState`]; X3 out: exclusive end of the part of the range that
//! these two hold for. Of GPT_INFO, X1 out: that end; X2 out: [`GptState`].

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
    /// Reserved; not available to the host.
    Reserved = 0,
    /// Not tracked: no granule of the range can be delegated.
    None = 1,
    /// Granule by granule.
    Fine = 2,
    /// Region by region.
    Coarse = 3,
    /// Tracking is being changed.
    Intermediate = 4,
}

numbers! {
    /// Owner of the granule protection tables.
    GptState:
    /// There are none, and none can be created.
    Reserved = 0,
    /// Created by the platform before the host booted.
    Platform = 1,
    /// To be created by the host.
    NotCreated = 2,
    /// Created by the host.
    Created = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_numbers_are_typed_errors() {
        assert_eq!(MemoryCategory::try_from(0), Ok(MemoryCategory::Conventional));
        assert_eq!(MemoryCategory::try_from(3), Err(Unknown(3)));
        assert_eq!(TrackingState::try_from(2), Ok(TrackingState::Fine));
        assert_eq!(TrackingState::try_from(5), Err(Unknown(5)));
        assert_eq!(GptState::try_from(1), Ok(GptState::Platform));
        assert_eq!(GptState::try_from(4), Err(Unknown(4)));
    }
}
