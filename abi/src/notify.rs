// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RMI_PSMMU_IRQ_NOTIFY` and `RMI_PSMMU_EVENT_CONSUME`.
//!
//! X1 in: `psmmu_ptr`. X2 in: an [`IrqSet`], the same for both commands. X0 out: status. NOTIFY returns a
//! [`Notification`] in X1 to X6; CONSUME has no further output.

use crate::Unknown;
use crate::event::{ErrorCause, Syndrome};

bitflags::bitflags! {
    /// The sources that a call names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IrqSet: u64 {
        /// Bit 0: global errors.
        const GERROR = 1 << 0;
        /// Bit 1: the event queue.
        const EVENTQ = 1 << 1;
        /// Bit 2: the PRI queue.
        const PRIQ = 1 << 2;
        /// Bit 3: the command queue, which never has an event.
        const CMDQ = 1 << 3;
    }
}

/// Kind of an event, bits 2:1 of the flags in X1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// No event.
    None = 0,
    /// An error of the SMMU itself.
    Error = 1,
    /// An event of a stream that no virtual SMMU owns.
    Psmmu = 2,
    /// An event of a stream that a virtual SMMU owns.
    Vsmmu = 3,
}

/// What is reported to the host about one event, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// No event.
    None,
    /// An error of the SMMU itself, with its causes in the syndrome register.
    Error(ErrorCause),
    /// A record of the event queue or of the PRI queue.
    Psmmu {
        /// Number of the event, bits 7:0 of its record. See [`EventNumber`](crate::EventNumber).
        number: u8,
        /// PA whose fetch failed, 0 if the event has none.
        fetch_address: u64,
        /// Address that the device used, 0 if the event has none.
        input_address: u64,
        /// Access, stage and class.
        syndrome: Syndrome,
    },
    /// An event for the virtual SMMU that owns the stream.
    Vsmmu {
        /// StreamID.
        stream_id: u32,
    },
}

impl Event {
    /// Returns the kind for the flags.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::None => EventKind::None,
            Self::Error(_) => EventKind::Error,
            Self::Psmmu { .. } => EventKind::Psmmu,
            Self::Vsmmu { .. } => EventKind::Vsmmu,
        }
    }
}

/// The outputs of NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// More events are pending on the named sources: call NOTIFY again after this one is consumed.
    pub pending: bool,
    /// The event.
    pub event: Event,
}

const FLAG_PENDING: u64 = 1 << 0;
const FLAG_KIND_SHIFT: u32 = 1;
const KIND_MASK: u64 = 0b11;
const FLAGS_KNOWN: u64 = 0b111;

impl Notification {
    /// No event, and none pending.
    pub const NONE: Self = Self { pending: false, event: Event::None };

    /// Returns X1 to X6: flags, event number, StreamID, fetch address, input address, syndrome. Fields
    /// that an event kind does not have are zero.
    #[inline(always)]
    #[must_use]
    pub const fn registers(&self) -> [u64; 6] {
        let flags = (self.event.kind() as u64) << FLAG_KIND_SHIFT
            | if self.pending { FLAG_PENDING } else { 0 };
        match self.event {
            Event::None => [flags, 0, 0, 0, 0, 0],
            Event::Error(cause) => [flags, 0, 0, 0, 0, cause.bits()],
            Event::Psmmu { number, fetch_address, input_address, syndrome } => {
                [flags, number as u64, 0, fetch_address, input_address, syndrome.bits()]
            }
            Event::Vsmmu { stream_id } => [flags, 0, stream_id as u64, 0, 0, 0],
        }
    }
}

impl Notification {
    /// Decodes X1 to X6 as a host does, which ignores reserved bits: a later RMM may set them, and the
    /// event is to be serviced nevertheless. Also returns the first register with reserved bits set:
    /// flags beyond bit 2, an event number above 255, a StreamID above 32 bits. Registers that the kind
    /// does not use are not checked.
    #[inline(always)]
    #[must_use]
    pub const fn from_registers(registers: [u64; 6]) -> (Self, Option<Unknown>) {
        let [flags, number, stream_id, fetch_address, input_address, syndrome] = registers;
        let pending = flags & FLAG_PENDING != 0;
        let (event, value, known) = match flags >> FLAG_KIND_SHIFT & KIND_MASK {
            0 => (Event::None, 0, 0),
            1 => (Event::Error(ErrorCause::from_bits_retain(syndrome)), 0, 0),
            2 => {
                let syndrome = Syndrome::from_bits(syndrome);
                let number_of_event = number as u8;
                let event = Event::Psmmu {
                    number: number_of_event,
                    fetch_address,
                    input_address,
                    syndrome,
                };
                (event, number, number_of_event as u64)
            }
            _ => {
                let stream = stream_id as u32;
                (Event::Vsmmu { stream_id: stream }, stream_id, stream as u64)
            }
        };
        let reserved = if flags & !FLAGS_KNOWN != 0 {
            Some(Unknown(flags))
        } else if value != known {
            Some(Unknown(value))
        } else {
            None
        };
        (Self { pending, event }, reserved)
    }
}

impl TryFrom<[u64; 6]> for Notification {
    type Error = Unknown;

    /// Decodes X1 to X6 as a test of an RMM does: a register with reserved bits set is an error. Hosts
    /// use [`from_registers`](Self::from_registers).
    fn try_from(registers: [u64; 6]) -> Result<Self, Unknown> {
        match Self::from_registers(registers) {
            (notification, None) => Ok(notification),
            (_, Some(unknown)) => Err(unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(notification: Notification) -> [u64; 6] {
        let registers = notification.registers();
        assert_eq!(Notification::try_from(registers), Ok(notification));
        registers
    }

    #[test]
    fn each_event_kind_round_trips_in_its_own_registers_only() {
        for pending in [false, true] {
            let flag = u64::from(pending);
            let of = |event| round_trip(Notification { pending, event });
            assert_eq!(of(Event::None), [flag, 0, 0, 0, 0, 0]);
            assert_eq!(
                of(Event::Error(ErrorCause::EVENTQ_OVERFLOW)),
                [flag | 2, 0, 0, 0, 0, 1 << 32]
            );
            assert_eq!(
                of(Event::Psmmu {
                    number: 0x10,
                    fetch_address: 0x8000_1040,
                    input_address: 0x5000_0004,
                    syndrome: Syndrome::from_bits(0b1010),
                }),
                [flag | 4, 0x10, 0, 0x8000_1040, 0x5000_0004, 0b1010]
            );
            assert_eq!(
                of(Event::Vsmmu { stream_id: u32::MAX }),
                [flag | 6, 0, 0xFFFF_FFFF, 0, 0, 0]
            );
        }
    }

    #[test]
    fn undefined_flags_and_too_wide_numbers_are_typed_errors() {
        assert_eq!(Notification::try_from([8, 0, 0, 0, 0, 0]), Err(Unknown(8)));
        assert_eq!(Notification::try_from([4, 0x100, 0, 0, 0, 0]), Err(Unknown(0x100)));
        assert_eq!(Notification::try_from([6, 0, 1 << 32, 0, 0, 0]), Err(Unknown(1 << 32)));
    }

    #[test]
    fn a_host_ignores_reserved_bits_and_gets_their_register() {
        let fault = Notification {
            pending: true,
            event: Event::Psmmu {
                number: 0x10,
                fetch_address: 0x8000_1040,
                input_address: 0x5000_0004,
                syndrome: Syndrome::from_bits(0b1010),
            },
        };
        let vsmmu = Notification { pending: false, event: Event::Vsmmu { stream_id: 7 } };
        for notification in [fault, vsmmu, Notification::NONE] {
            let good = notification.registers();
            assert_eq!(Notification::from_registers(good), (notification, None));
            for bit in 3..u64::BITS {
                let mut registers = good;
                registers[0] |= 1 << bit;
                let unknown = Some(Unknown(registers[0]));
                assert_eq!(Notification::from_registers(registers), (notification, unknown));
            }
        }
        let [mut of_fault, mut of_vsmmu] = [fault, vsmmu].map(|event| event.registers());
        of_fault[1] |= 1 << 8;
        assert_eq!(Notification::from_registers(of_fault), (fault, Some(Unknown(0x110))));
        of_vsmmu[2] |= 1 << 32;
        let unknown = Some(Unknown(1 << 32 | 7));
        assert_eq!(Notification::from_registers(of_vsmmu), (vsmmu, unknown));
        // What the kind does not use.
        of_fault[2] = u64::MAX;
        of_fault[1] = 0x10;
        assert_eq!(Notification::from_registers(of_fault), (fault, None));
    }

    #[test]
    fn sets_use_the_bits_that_existing_hosts_use() {
        assert_eq!(IrqSet::GERROR.bits(), 1);
        assert_eq!(IrqSet::EVENTQ.bits(), 2);
        assert_eq!(IrqSet::PRIQ.bits(), 4);
        assert_eq!(IrqSet::CMDQ.bits(), 8);
        assert_eq!(IrqSet::from_bits_truncate(u64::MAX), IrqSet::all());
    }
}
