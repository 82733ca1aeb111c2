// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a violation says beside its name.

use std::fmt;

use crate::violation::Violation;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = |write: bool| if write { "wrote" } else { "read" };
        match self {
            Self::GuardedWrite { register, value, enabled, acknowledged } => write!(
                f,
                "{} written ({value:#x}) while in use: enables {enabled:#x}, acknowledged \
                 {acknowledged:#x}",
                register.name()
            ),
            Self::ChangedBeforeAck { register, field, value } => write!(
                f,
                "field {field:#x} of {} changed again ({value:#x}) before its acknowledge",
                register.name()
            ),
            Self::ReservedErrorToggled { bits } => {
                write!(f, "R_GERRORN: reserved bits {bits:#x} toggled")
            }
            Self::InactiveErrorToggled { bits, gerror, gerrorn } => write!(
                f,
                "R_GERRORN: bits {bits:#x} toggled, GERROR {gerror:#x}, GERRORN {gerrorn:#x}"
            ),
            Self::ConsBackwards { register, old, value, prod }
            | Self::ConsPastProd { register, old, value, prod }
            | Self::FalseOverflowAcknowledge { register, old, value, prod } => {
                write!(f, "{} from {old:#x} to {value:#x}, PROD {prod:#x}", register.name())
            }
            Self::MisalignedBase { register, address, alignment } => {
                write!(f, "{} at {address:#x}, not a multiple of {alignment:#x}", register.name())
            }
            Self::AddressAboveOas { register, address, bits } => {
                write!(f, "{} at {address:#x}, more than {bits} bits", register.name())
            }
            Self::SyncAddressAboveOas { address, bits } => {
                write!(f, "MSIAddress {address:#x}, more than {bits} bits")
            }
            Self::TableAboveOas { descriptor, address, bits } => write!(
                f,
                "the descriptor at {descriptor:#x} points at {address:#x}, more than {bits} bits"
            ),
            Self::SizeAboveLimit { register, log2, limit } => {
                write!(f, "{}: LOG2SIZE {log2}, at most {limit}", register.name())
            }
            Self::DeviceUsedTakenBack { address, write }
            | Self::DeviceUsedUngranted { address, write }
            | Self::DeviceUsedGuard { address, write } => {
                write!(f, "the device {} {address:#x}", access(*write))
            }
            Self::TakenBackInUse { address, register } => {
                write!(f, "memory at {address:#x}, which {} is using", register.name())
            }
            Self::TakenBackLinked { address, descriptor } => {
                write!(f, "memory at {address:#x}, linked by the descriptor at {descriptor:#x}")
            }
            Self::TakenBackCached { address, from } => {
                write!(f, "memory at {address:#x}, with {from:#x} cached")
            }
            Self::TakenBackBeforeMsi { address, target } => {
                write!(f, "memory at {address:#x}, with an MSI due at {target:#x}")
            }
            Self::TakenBackTranslating { address, vmid, table } => write!(
                f,
                "memory at {address:#x}, with translations of VMID {vmid:#x} by {table:#x} cached"
            ),
            Self::TakenBackConfigured { address, stream, table } => write!(
                f,
                "memory at {address:#x}, with stream {stream:#x} translated by {table:#x}"
            ),
            Self::VmidReused { vmid, table, cached } => {
                write!(f, "VMID {vmid:#x} with {table:#x}, while {cached:#x} is cached")
            }
            Self::LiveEntryChanged { stream, address }
            | Self::EntryNotVisible { stream, address }
            | Self::EntryNotInvalidated { stream, address } => {
                write!(f, "stream {stream:#x}, {address:#x}")
            }
            Self::LinkedBeforeVisible { descriptor, address } => {
                write!(f, "the descriptor at {descriptor:#x}, the word at {address:#x}")
            }
            Self::EnabledWithOrphans { cr0, from } => {
                write!(f, "CR0 {cr0:#x} with {from:#x} cached")
            }
            Self::DriverUsedUngranted { address, write } => {
                write!(f, "the driver {} {address:#x}", access(*write))
            }
            Self::DriverOutOfBounds { address, index } => {
                write!(f, "word {index} of the region at {address:#x}")
            }
            Self::CommandProdPastCons { old, value, cons }
            | Self::CommandProdBackwards { old, value, cons } => {
                write!(f, "R_CMDQ_PROD from {old:#x} to {value:#x}, CONS {cons:#x}")
            }
            Self::UnknownRegister { page, offset } => write!(f, "{page:?} + {offset:#x}"),
            Self::AbsentInRealm { offset } => write!(f, "Realm0 + {offset:#x}"),
            Self::WrongSize { register, bits } => {
                write!(f, "{bits} bits at {}", register.name())
            }
            Self::MisalignedAccess { page, offset, bits } => {
                write!(f, "{bits} bits at {page:?} + {offset:#x}")
            }
            Self::ReadOnly { register, value } => {
                write!(f, "{} written ({value:#x})", register.name())
            }
            Self::UnknownAtEnable { register, cr0 } => {
                write!(f, "CR0 {cr0:#x} while {} holds anything", register.name())
            }
            Self::UnknownDoorbell { register, irq_ctrl } => {
                write!(f, "IRQ_CTRL {irq_ctrl:#x} while {} holds anything", register.name())
            }
            Self::InconsistentAtEnable { register, prod, cons } => {
                write!(f, "{} {prod:#x}, CONS {cons:#x}", register.name())
            }
            Self::EnabledBeforeInvalidation { cr0 } => write!(f, "CR0 {cr0:#x}"),
            Self::CommandNotVisible { address }
            | Self::TableNotVisible { address }
            | Self::ReadWithoutBarrier { address } => write!(f, "the word at {address:#x}"),
            Self::FreedBeforeRead { register, value } => {
                write!(f, "{} written ({value:#x})", register.name())
            }
            Self::ResponseWithoutRequest { stream, group } => {
                write!(f, "stream {stream:#x}, group {group:#x}")
            }
        }
    }
}
