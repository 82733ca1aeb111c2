// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers of an SMMUv3: where they lie, which of them this module writes, and what their bits mean.
//!
//! Only the registers that this module uses are listed. Offsets and bits are those of the SMMUv3
//! architecture (Arm IHI 0070), where the Realm programming interface has each register at the same
//! offset as the Non-secure one.
//!
//! The access rights of a register are part of its type: a write to one that is read-only does not
//! compile.
//!
//! ```compile_fail,E0308
//! use psmmu::Registers;
//! use psmmu::registers::Register32;
//!
//! fn acknowledge(registers: &impl Registers) {
//!     registers.write32(Register32::CR0ACK, 0);
//! }
//! ```
//!
//! A read does:
//!
//! ```
//! use psmmu::Registers;
//! use psmmu::registers::Register32;
//!
//! fn enabled(registers: &impl Registers) -> u32 {
//!     registers.read32(Register32::CR0ACK)
//! }
//! ```
//!
//! A register that is written can be named by this crate alone, so that safe code elsewhere cannot have the
//! device read or write memory of its choice:
//!
//! ```compile_fail,E0624
//! use psmmu::registers::Register64;
//! use psmmu::{MmioRegisters, Registers};
//!
//! fn redirect(registers: &MmioRegisters) {
//!     registers.write64(Register64::EVENTQ_BASE, 0x4000_0000);
//! }
//! ```

#![forbid(unsafe_code)]

mod base;
mod control;
mod gerror;
mod identification;
mod irq_cfg;

use core::fmt::Debug;
use core::marker::PhantomData;

pub use base::{QueueBase, StrtabBase};
pub use control::{CR1_WRITE_BACK_INNER_SHAREABLE, Cr0, Cr2, IrqCtrl};
pub use gerror::Gerror;
pub use identification::{Idr0, Idr1, Idr5, RealmIdr1, address_bits};
pub use irq_cfg::{IRQ_CFG2_DEVICE, IrqCfg0};

/// A page of 64 KiB of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Page 0 of the Non-secure programming interface: identification only, never written.
    NonSecure0,
    /// Page 0 of the Realm programming interface.
    Realm0,
    /// Page 1 of the Realm programming interface.
    Realm1,
}

/// What this module does with a register: [`ReadOnly`] or [`ReadWrite`].
pub trait Access: sealed::Sealed + Copy + Debug + Eq {
    /// Whether the register is written.
    const IS_WRITABLE: bool;
}

/// A register that is read and never written: the architecture has it so, or this module needs no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOnly;

/// A register that is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadWrite;

impl Access for ReadOnly {
    const IS_WRITABLE: bool = false;
}

impl Access for ReadWrite {
    const IS_WRITABLE: bool = true;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ReadOnly {}
    impl Sealed for super::ReadWrite {}
}

/// A 32-bit register with the access rights `A`. Only this module makes them, so the offset lies within the
/// page and is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register32<A: Access> {
    page: Page,
    offset: u16,
    access: PhantomData<A>,
}

/// A 64-bit register, likewise. Each of them is written; what is read of one is read as its halves, which
/// are 32-bit registers of their own here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register64 {
    page: Page,
    offset: u16,
}

impl<A: Access> Register32<A> {
    const fn new(page: Page, offset: u16) -> Self {
        assert!(offset.is_multiple_of(4), "a 32-bit access is aligned");
        assert!(
            !(A::IS_WRITABLE && matches!(page, Page::NonSecure0)),
            "the Non-secure page is the host's to write"
        );
        Self { page, offset, access: PhantomData }
    }

    /// Returns the register without the right to write it.
    #[must_use]
    pub const fn read_only(self) -> Register32<ReadOnly> {
        Register32::new(self.page, self.offset)
    }

    /// Returns the page that the register lies in.
    #[must_use]
    pub const fn page(self) -> Page {
        self.page
    }

    /// Returns the offset in the page, in bytes: a multiple of 4.
    #[must_use]
    pub const fn offset(self) -> u16 {
        self.offset
    }
}

impl Register64 {
    const fn new(page: Page, offset: u16) -> Self {
        assert!(offset.is_multiple_of(8), "a 64-bit access is aligned");
        assert!(!matches!(page, Page::NonSecure0), "the Non-secure page is the host's to write");
        Self { page, offset }
    }

    /// Returns the page that the register lies in.
    #[must_use]
    pub const fn page(self) -> Page {
        self.page
    }

    /// Returns the offset in the page, in bytes: a multiple of 8.
    #[must_use]
    pub const fn offset(self) -> u16 {
        self.offset
    }
}

macro_rules! table32 {
    ($($(#[$doc:meta])* $visibility:vis $name:ident: $access:ident = $page:ident + $offset:literal;)*) => {$(
        impl Register32<$access> {
            $(#[$doc])*
            $visibility const $name: Self = Self::new(Page::$page, $offset);
        }

        const _: Register32<$access> = Register32::<$access>::$name;
    )*};
}

macro_rules! table64 {
    ($($(#[$doc:meta])* $name:ident = $page:ident + $offset:literal;)*) => {
        impl Register64 {
            $($(#[$doc])* pub(crate) const $name: Self = Self::new(Page::$page, $offset);)*
        }

        $(const _: Register64 = Register64::$name;)*
    };
}

table32! {
    /// Features of the Non-secure side; coherency and stream-table format count for all sides.
    pub NS_IDR0: ReadOnly = NonSecure0 + 0x000;
    /// Sizes, for all sides.
    pub NS_IDR1: ReadOnly = NonSecure0 + 0x004;
    /// Size of output addresses, for all sides.
    pub NS_IDR5: ReadOnly = NonSecure0 + 0x014;
    /// Features of the Realm side.
    pub IDR0: ReadOnly = Realm0 + 0x000;
    /// Whether there is a Realm side.
    pub IDR1: ReadOnly = Realm0 + 0x004;
    /// Enables; see [`Cr0`].
    pub(crate) CR0: ReadWrite = Realm0 + 0x020;
    /// Which enables have taken effect.
    pub CR0ACK: ReadOnly = Realm0 + 0x024;
    /// Memory attributes of tables and queues.
    pub(crate) CR1: ReadWrite = Realm0 + 0x028;
    /// What is recorded; TLB maintenance.
    pub(crate) CR2: ReadWrite = Realm0 + 0x02C;
    /// Interrupt enables; see [`IrqCtrl`].
    pub(crate) IRQ_CTRL: ReadWrite = Realm0 + 0x050;
    /// Which interrupt enables have taken effect.
    pub IRQ_CTRLACK: ReadOnly = Realm0 + 0x054;
    /// Global errors: a bit that differs from GERRORN is active.
    pub GERROR: ReadOnly = Realm0 + 0x060;
    /// Acknowledged global errors.
    pub(crate) GERRORN: ReadWrite = Realm0 + 0x064;
    /// Data of the MSI for global errors.
    pub(crate) GERROR_IRQ_CFG1: ReadWrite = Realm0 + 0x070;
    /// Memory attributes of the MSI for global errors.
    pub(crate) GERROR_IRQ_CFG2: ReadWrite = Realm0 + 0x074;
    /// Lower half of `CMDQ_BASE`, to see what runs; the upper half is behind it.
    pub CMDQ_BASE_LOW: ReadOnly = Realm0 + 0x090;
    /// Upper half of `CMDQ_BASE`.
    pub CMDQ_BASE_HIGH: ReadOnly = Realm0 + 0x094;
    /// Lower half of `EVENTQ_BASE`.
    pub EVENTQ_BASE_LOW: ReadOnly = Realm0 + 0x0A0;
    /// Upper half of `EVENTQ_BASE`.
    pub EVENTQ_BASE_HIGH: ReadOnly = Realm0 + 0x0A4;
    /// Lower half of `PRIQ_BASE`.
    pub PRIQ_BASE_LOW: ReadOnly = Realm0 + 0x0C0;
    /// Upper half of `PRIQ_BASE`.
    pub PRIQ_BASE_HIGH: ReadOnly = Realm0 + 0x0C4;
    /// Format, split and size of the stream table.
    pub(crate) STRTAB_BASE_CFG: ReadWrite = Realm0 + 0x088;
    /// Producer of commands.
    pub(crate) CMDQ_PROD: ReadWrite = Realm0 + 0x098;
    /// Consumer of commands, and the error code of the one that failed.
    pub(crate) CMDQ_CONS: ReadWrite = Realm0 + 0x09C;
    /// Data of the MSI for the event queue.
    pub(crate) EVENTQ_IRQ_CFG1: ReadWrite = Realm0 + 0x0B8;
    /// Memory attributes of the MSI for the event queue.
    pub(crate) EVENTQ_IRQ_CFG2: ReadWrite = Realm0 + 0x0BC;
    /// Data of the MSI for the PRI queue.
    pub(crate) PRIQ_IRQ_CFG1: ReadWrite = Realm0 + 0x0D8;
    /// Memory attributes of the MSI for the PRI queue, and when the queue interrupts: bit 31 (LO)
    /// zero, for the first request and not for a Last.
    pub(crate) PRIQ_IRQ_CFG2: ReadWrite = Realm0 + 0x0DC;
    /// Producer of events.
    pub(crate) EVENTQ_PROD: ReadWrite = Realm1 + 0x0A8;
    /// Consumer of events.
    pub(crate) EVENTQ_CONS: ReadWrite = Realm1 + 0x0AC;
    /// Producer of page requests.
    pub(crate) PRIQ_PROD: ReadWrite = Realm1 + 0x0C8;
    /// Consumer of page requests.
    pub(crate) PRIQ_CONS: ReadWrite = Realm1 + 0x0CC;
}

table64! {
    /// Doorbell of the MSI for global errors; 0 leaves only the wired interrupt.
    GERROR_IRQ_CFG0 = Realm0 + 0x068;
    /// Stream table.
    STRTAB_BASE = Realm0 + 0x080;
    /// Command queue.
    CMDQ_BASE = Realm0 + 0x090;
    /// Event queue.
    EVENTQ_BASE = Realm0 + 0x0A0;
    /// Doorbell of the MSI for the event queue; 0 leaves only the wired interrupt.
    EVENTQ_IRQ_CFG0 = Realm0 + 0x0B0;
    /// PRI queue.
    PRIQ_BASE = Realm0 + 0x0C0;
    /// Doorbell of the MSI for the PRI queue; 0 leaves only the wired interrupt.
    PRIQ_IRQ_CFG0 = Realm0 + 0x0D0;
    /// The device permission table lookup that failed; a write clears it.
    DPT_CFG_FAR = Realm0 + 0x210;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<A: Access>(register: Register32<A>) -> (Page, u16) {
        (register.page(), register.offset())
    }

    #[test]
    fn registers_lie_where_the_architecture_has_them() {
        let table = [
            (place(Register32::CR0), 0x20),
            (place(Register32::CR0ACK), 0x24),
            (place(Register32::CR1), 0x28),
            (place(Register32::CR2), 0x2C),
            (place(Register32::IRQ_CTRL), 0x50),
            (place(Register32::IRQ_CTRLACK), 0x54),
            (place(Register32::GERROR), 0x60),
            (place(Register32::GERRORN), 0x64),
            (place(Register32::STRTAB_BASE_CFG), 0x88),
            (place(Register32::CMDQ_BASE_LOW), 0x90),
            (place(Register32::CMDQ_BASE_HIGH), 0x94),
            (place(Register32::EVENTQ_BASE_LOW), 0xA0),
            (place(Register32::EVENTQ_BASE_HIGH), 0xA4),
            (place(Register32::PRIQ_BASE_LOW), 0xC0),
            (place(Register32::PRIQ_BASE_HIGH), 0xC4),
            (place(Register32::CMDQ_PROD), 0x98),
            (place(Register32::CMDQ_CONS), 0x9C),
            (place(Register32::GERROR_IRQ_CFG1), 0x70),
            (place(Register32::GERROR_IRQ_CFG2), 0x74),
            (place(Register32::EVENTQ_IRQ_CFG1), 0xB8),
            (place(Register32::EVENTQ_IRQ_CFG2), 0xBC),
            (place(Register32::PRIQ_IRQ_CFG1), 0xD8),
            (place(Register32::PRIQ_IRQ_CFG2), 0xDC),
        ];
        for (register, offset) in table {
            assert_eq!(register, (Page::Realm0, offset));
        }
        for (register, offset) in [
            (place(Register32::EVENTQ_PROD), 0xA8),
            (place(Register32::EVENTQ_CONS), 0xAC),
            (place(Register32::PRIQ_PROD), 0xC8),
            (place(Register32::PRIQ_CONS), 0xCC),
        ] {
            assert_eq!(register, (Page::Realm1, offset));
        }
        let wide = [
            (Register64::GERROR_IRQ_CFG0, 0x68),
            (Register64::STRTAB_BASE, 0x80),
            (Register64::CMDQ_BASE, 0x90),
            (Register64::EVENTQ_BASE, 0xA0),
            (Register64::EVENTQ_IRQ_CFG0, 0xB0),
            (Register64::PRIQ_BASE, 0xC0),
            (Register64::PRIQ_IRQ_CFG0, 0xD0),
            (Register64::DPT_CFG_FAR, 0x210),
        ];
        for (register, offset) in wide {
            assert_eq!((register.page(), register.offset()), (Page::Realm0, offset));
        }
    }
}
