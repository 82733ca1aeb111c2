// SPDX-License-Identifier: MIT OR Apache-2.0

//! The result word, which an RMI command returns in X0.

use crate::Unknown;

/// SMCCC's return value for an unknown function: all ones in 64 bits. It is not an RMI status.
pub const SMCCC_NOT_SUPPORTED: u64 = u64::MAX;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// Status of a command, bits 7:0 of the result word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Status {
            $($(#[$doc])* $name = $value,)*
        }

        impl Status {
            /// Every status, in the order of the values.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        impl TryFrom<u8> for Status {
            type Error = Unknown;

            fn try_from(value: u8) -> Result<Self, Unknown> {
                match value {
                    $($value => Ok(Self::$name),)*
                    _ => Err(Unknown(value.into())),
                }
            }
        }
    };
}

statuses! {
    /// The command succeeded.
    Success = 0,
    /// An argument has a wrong value.
    ErrorInput = 1,
    /// Attribute or state of a Realm.
    ErrorRealm = 2,
    /// Attribute or state of a REC.
    ErrorRec = 3,
    /// A translation table walk ended early; level in the data.
    ErrorRtt = 4,
    /// A feature is absent, device assignment for one.
    ErrorNotSupported = 5,
    /// State of a device.
    ErrorDevice = 6,
    /// An auxiliary translation table walk ended early; level in the data.
    ErrorRttAux = 7,
    /// A stream table walk ended early; level in the data.
    ErrorPsmmuSt = 8,
    /// A device permission table walk ended early; level in the data.
    ErrorDpt = 9,
    /// No state changed; retry.
    Busy = 10,
    /// The RMM is in the wrong state.
    ErrorGlobal = 11,
    /// State of granule tracking.
    ErrorTracking = 12,
    /// A stateful operation is incomplete; [`MemoryTransfer`] and can-cancel in the data.
    Incomplete = 13,
    /// The target is blocked by another operation; no state changed.
    Blocked = 14,
    /// Configuration of the granule protection table.
    ErrorGpt = 15,
    /// State of a granule.
    ErrorGranule = 16,
}

/// Transfer that a stateful operation requests next, bits 9:8 of the result word with
/// [`Status::Incomplete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MemoryTransfer {
    /// None: the host continues the operation.
    None = 0,
    /// The host donates memory.
    Donate = 1,
    /// The host reclaims memory.
    Reclaim = 2,
}

/// X0 of an answer: status in bits 7:0, data of that status in bits 63:8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ResultWord(u64);

impl ResultWord {
    /// Success, which never carries data: hosts compare the whole word with zero.
    pub const SUCCESS: Self = Self::of(Status::Success);

    const DATA_SHIFT: u32 = 8;
    const CAN_CANCEL: u64 = 1 << 10;

    /// Builds a result without data.
    #[must_use]
    pub const fn of(status: Status) -> Self {
        Self(status as u64)
    }

    /// Builds the result of an incomplete operation.
    #[must_use]
    pub const fn incomplete(transfer: MemoryTransfer, can_cancel: bool) -> Self {
        let cancel = if can_cancel { Self::CAN_CANCEL } else { 0 };
        Self(Status::Incomplete as u64 | (transfer as u64) << Self::DATA_SHIFT | cancel)
    }

    /// Builds the result of a stream table walk that ended at `level`.
    #[must_use]
    pub const fn stream_table(level: u8) -> Self {
        Self(Status::ErrorPsmmuSt as u64 | (level as u64) << Self::DATA_SHIFT)
    }

    /// Converts from X0, unchecked.
    #[must_use]
    pub const fn from_x0(x0: u64) -> Self {
        Self(x0)
    }

    /// Returns the value for X0.
    #[must_use]
    pub const fn x0(self) -> u64 {
        self.0
    }

    /// Returns the status.
    ///
    /// # Errors
    /// The whole word, when bits 7:0 name no status or the word is [`SMCCC_NOT_SUPPORTED`].
    pub fn status(self) -> Result<Status, Unknown> {
        if self.0 == SMCCC_NOT_SUPPORTED {
            return Err(Unknown(self.0));
        }
        Status::try_from((self.0 & 0xFF) as u8).map_err(|_| Unknown(self.0))
    }

    /// Returns the data, bits 63:8, shifted to bit 0.
    #[must_use]
    pub const fn data(self) -> u64 {
        self.0 >> Self::DATA_SHIFT
    }

    /// Returns the transfer that an incomplete operation requests next, and whether it can be cancelled.
    ///
    /// # Errors
    /// The whole word, when it is not [`Status::Incomplete`] or names the reserved transfer 3.
    pub fn transfer(self) -> Result<(MemoryTransfer, bool), Unknown> {
        if self.status() != Ok(Status::Incomplete) {
            return Err(Unknown(self.0));
        }
        let transfer = match self.data() & 3 {
            0 => MemoryTransfer::None,
            1 => MemoryTransfer::Donate,
            2 => MemoryTransfer::Reclaim,
            _ => return Err(Unknown(self.0)),
        };
        Ok((transfer, self.0 & Self::CAN_CANCEL != 0))
    }
}

impl From<Status> for ResultWord {
    fn from(status: Status) -> Self {
        Self::of(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_count_up_from_zero_and_round_trip() {
        for (value, &status) in Status::ALL.iter().enumerate() {
            assert_eq!(status as usize, value);
            assert_eq!(ResultWord::of(status).status(), Ok(status));
            assert_eq!(ResultWord::of(status).data(), 0);
        }
        assert_eq!(Status::ALL.len(), 17);
    }

    #[test]
    fn a_status_that_does_not_exist_is_a_typed_error() {
        for value in 17..=0xFF {
            assert_eq!(ResultWord::from_x0(value).status(), Err(Unknown(value)));
        }
        assert_eq!(ResultWord::from_x0(SMCCC_NOT_SUPPORTED).status(), Err(Unknown(u64::MAX)));
    }

    #[test]
    fn incomplete_results_match_the_wire_and_read_back() {
        let words = [
            (MemoryTransfer::None, false, 0x00D),
            (MemoryTransfer::Donate, false, 0x10D),
            (MemoryTransfer::Reclaim, false, 0x20D),
            (MemoryTransfer::None, true, 0x40D),
            (MemoryTransfer::Donate, true, 0x50D),
            (MemoryTransfer::Reclaim, true, 0x60D),
        ];
        for (transfer, can_cancel, x0) in words {
            let word = ResultWord::incomplete(transfer, can_cancel);
            assert_eq!(word.x0(), x0);
            assert_eq!(word.transfer(), Ok((transfer, can_cancel)));
        }
        assert_eq!(ResultWord::from_x0(0x30D).transfer(), Err(Unknown(0x30D)));
        assert_eq!(ResultWord::SUCCESS.transfer(), Err(Unknown(0)));
    }

    #[test]
    fn stream_table_errors_carry_the_level_in_bits_15_to_8() {
        assert_eq!(ResultWord::stream_table(1).x0(), 0x108);
        assert_eq!(ResultWord::stream_table(2).x0(), 0x208);
    }
}
