// SPDX-License-Identifier: MIT OR Apache-2.0

//! The register map: names, pages, offsets, widths (IHI 0070, "Register map").

use crate::Device;
use crate::violation::Violation;

/// A page of 64 KiB of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Page {
    /// Page 0 of the Non-secure programming interface. Only its identification registers are here.
    NonSecure0,
    /// Page 0 of the Realm programming interface.
    Realm0,
    /// Page 1 of the Realm programming interface: PROD and CONS of the event and PRI queues.
    Realm1,
}

/// Physical address space that an access is made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pas {
    /// Realm PAS, where all pages are visible.
    Realm,
    /// Non-secure PAS: Realm pages read as zero and ignore writes.
    NonSecure,
}

macro_rules! registers {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $page:ident + $offset:literal, $bits:literal;)*) => {
        /// A register. Those of the Non-secure page have names that begin with `Ns`; all others are of
        /// the Realm pages, where the architecture puts `SMMU_R_` before their names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Register {
            $($(#[$doc])* $variant,)*
        }

        impl Register {
            /// All registers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the page.
            #[must_use]
            pub const fn page(self) -> Page {
                match self { $(Self::$variant => Page::$page),* }
            }

            /// Returns the offset in the page, in bytes.
            #[must_use]
            pub const fn offset(self) -> u64 {
                match self { $(Self::$variant => $offset),* }
            }

            /// Returns the width, 32 or 64 bits.
            #[must_use]
            pub const fn bits(self) -> u32 {
                match self { $(Self::$variant => $bits),* }
            }

            /// Returns the name that the architecture uses.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Finds the register that covers the 32 bits at `offset` of `page`, and whether those are
            /// its upper half.
            #[must_use]
            pub const fn find(page: Page, offset: u64) -> Option<(Self, bool)> {
                match (page, offset) {
                    $((Page::$page, $offset) => Some((Self::$variant, false)),)*
                    $((Page::$page, offset) if $bits == 64 && offset == $offset + 4 => {
                        Some((Self::$variant, true))
                    })*
                    _ => None,
                }
            }
        }
    };
}

registers! {
    /// Features of the Non-secure side.
    NsIdr0 = "IDR0", NonSecure0 + 0x000, 32;
    /// Sizes of queues, StreamIDs and SubstreamIDs, for all sides.
    NsIdr1 = "IDR1", NonSecure0 + 0x004, 32;
    /// Page of VATOS.
    NsIdr2 = "IDR2", NonSecure0 + 0x008, 32;
    /// More features.
    NsIdr3 = "IDR3", NonSecure0 + 0x00C, 32;
    /// What the implementation defines.
    NsIdr4 = "IDR4", NonSecure0 + 0x010, 32;
    /// Address sizes and granules.
    NsIdr5 = "IDR5", NonSecure0 + 0x014, 32;
    /// Who made it.
    NsIidr = "IIDR", NonSecure0 + 0x018, 32;
    /// Revision of the architecture.
    NsAidr = "AIDR", NonSecure0 + 0x01C, 32;

    /// Features of the Realm side.
    Idr0 = "R_IDR0", Realm0 + 0x000, 32;
    /// Whether there is a Realm side.
    Idr1 = "R_IDR1", Realm0 + 0x004, 32;
    /// Zero.
    Idr2 = "R_IDR2", Realm0 + 0x008, 32;
    /// MEC, DPT.
    Idr3 = "R_IDR3", Realm0 + 0x00C, 32;
    /// Zero.
    Idr4 = "R_IDR4", Realm0 + 0x010, 32;
    /// Zero.
    Aidr = "R_AIDR", Realm0 + 0x01C, 32;
    /// Enables.
    Cr0 = "R_CR0", Realm0 + 0x020, 32;
    /// Enables that have taken effect.
    Cr0Ack = "R_CR0ACK", Realm0 + 0x024, 32;
    /// Memory attributes of tables and queues.
    Cr1 = "R_CR1", Realm0 + 0x028, 32;
    /// What is recorded; broadcast TLB maintenance.
    Cr2 = "R_CR2", Realm0 + 0x02C, 32;
    /// What happens while SMMUEN is 0: always abort.
    Gbpa = "R_GBPA", Realm0 + 0x044, 32;
    /// Interrupt enables.
    IrqCtrl = "R_IRQ_CTRL", Realm0 + 0x050, 32;
    /// Interrupt enables that have taken effect.
    IrqCtrlAck = "R_IRQ_CTRLACK", Realm0 + 0x054, 32;
    /// Global errors: a bit that differs from GERRORN is active.
    Gerror = "R_GERROR", Realm0 + 0x060, 32;
    /// Acknowledged global errors.
    Gerrorn = "R_GERRORN", Realm0 + 0x064, 32;
    /// Address of the MSI for global errors.
    GerrorIrqCfg0 = "R_GERROR_IRQ_CFG0", Realm0 + 0x068, 64;
    /// Data of that MSI.
    GerrorIrqCfg1 = "R_GERROR_IRQ_CFG1", Realm0 + 0x070, 32;
    /// Memory attributes of that MSI.
    GerrorIrqCfg2 = "R_GERROR_IRQ_CFG2", Realm0 + 0x074, 32;
    /// Stream table.
    StrtabBase = "R_STRTAB_BASE", Realm0 + 0x080, 64;
    /// Format, split and size of the stream table.
    StrtabBaseCfg = "R_STRTAB_BASE_CFG", Realm0 + 0x088, 32;
    /// Command queue.
    CmdqBase = "R_CMDQ_BASE", Realm0 + 0x090, 64;
    /// Producer of commands.
    CmdqProd = "R_CMDQ_PROD", Realm0 + 0x098, 32;
    /// Consumer of commands, and why the last one failed.
    CmdqCons = "R_CMDQ_CONS", Realm0 + 0x09C, 32;
    /// Event queue.
    EventqBase = "R_EVENTQ_BASE", Realm0 + 0x0A0, 64;
    /// Address of the MSI for the event queue.
    EventqIrqCfg0 = "R_EVENTQ_IRQ_CFG0", Realm0 + 0x0B0, 64;
    /// Data of that MSI.
    EventqIrqCfg1 = "R_EVENTQ_IRQ_CFG1", Realm0 + 0x0B8, 32;
    /// Memory attributes of that MSI.
    EventqIrqCfg2 = "R_EVENTQ_IRQ_CFG2", Realm0 + 0x0BC, 32;
    /// PRI queue.
    PriqBase = "R_PRIQ_BASE", Realm0 + 0x0C0, 64;
    /// Address of the MSI for the PRI queue.
    PriqIrqCfg0 = "R_PRIQ_IRQ_CFG0", Realm0 + 0x0D0, 64;
    /// Data of that MSI.
    PriqIrqCfg1 = "R_PRIQ_IRQ_CFG1", Realm0 + 0x0D8, 32;
    /// Memory attributes of that MSI, and LO: interrupt on Last.
    PriqIrqCfg2 = "R_PRIQ_IRQ_CFG2", Realm0 + 0x0DC, 32;
    /// Zero: no MPAM.
    Mpamidr = "R_MPAMIDR", Realm0 + 0x130, 32;
    /// Zero: no enhanced command queues.
    Idr6 = "R_IDR6", Realm0 + 0x190, 32;
    /// Bits of a MECID, minus one.
    Mecidr = "R_MECIDR", Realm0 + 0x220, 32;
    /// MECID of the device's own accesses.
    Gmecid = "R_GMECID", Realm0 + 0x228, 32;

    /// Producer of events, and OVFLG.
    EventqProd = "R_EVENTQ_PROD", Realm1 + 0x0A8, 32;
    /// Consumer of events, and OVACKFLG.
    EventqCons = "R_EVENTQ_CONS", Realm1 + 0x0AC, 32;
    /// Producer of page requests, and OVFLG.
    PriqProd = "R_PRIQ_PROD", Realm1 + 0x0C8, 32;
    /// Consumer of page requests, and OVACKFLG.
    PriqCons = "R_PRIQ_CONS", Realm1 + 0x0CC, 32;
}

/// Offsets of registers that the Non-secure page 0 has and the Realm page 0 lacks (RES0): IDR5, IIDR,
/// STATUSR.
pub(crate) const ABSENT_IN_REALM: [u64; 3] = [0x14, 0x18, 0x40];

/// An access of a register, as hooks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Page of the access.
    pub page: Page,
    /// Offset in the page, in bytes.
    pub offset: u64,
    /// Size in bits, 32 or 64.
    pub bits: u32,
    /// The value of a write; `None` for a read.
    pub write: Option<u64>,
}

impl Access {
    /// Returns the register, if there is one.
    #[must_use]
    pub const fn register(&self) -> Option<Register> {
        match Register::find(self.page, self.offset & !3) {
            Some((register, _)) => Some(register),
            None => None,
        }
    }
}

/// The part of a register that an access covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Bits 31:0.
    Low,
    /// Bits 63:32.
    High,
    /// All 64 bits.
    Both,
}

impl Device {
    /// Finds what `access` reaches, or reports why it reaches nothing.
    pub(crate) fn decode(&mut self, access: &Access) -> Option<(Register, Part)> {
        let Access { page, offset, bits, .. } = *access;
        if !offset.is_multiple_of(u64::from(bits / 8)) {
            self.violate(Violation::MisalignedAccess { page, offset, bits });
            return None;
        }
        let found = Register::find(page, offset);
        let Some((register, upper)) = found.filter(|(register, _)| self.has(*register)) else {
            self.violate(if page == Page::Realm0 && ABSENT_IN_REALM.contains(&offset) {
                Violation::AbsentInRealm { offset }
            } else {
                Violation::UnknownRegister { page, offset }
            });
            return None;
        };
        match (register.bits(), bits, upper) {
            (64, 64, false) => Some((register, Part::Both)),
            (_, 32, false) => Some((register, Part::Low)),
            (_, 32, true) => Some((register, Part::High)),
            _ => {
                self.violate(Violation::WrongSize { register, bits });
                None
            }
        }
    }

    /// Returns whether this device implements `register`: MSIs and PRI are options.
    fn has(&self, register: Register) -> bool {
        match register {
            Register::GerrorIrqCfg0
            | Register::GerrorIrqCfg1
            | Register::GerrorIrqCfg2
            | Register::EventqIrqCfg0
            | Register::EventqIrqCfg1
            | Register::EventqIrqCfg2 => self.config.has_msi(),
            Register::PriqIrqCfg0 | Register::PriqIrqCfg1 | Register::PriqIrqCfg2 => {
                self.config.has_msi() && self.config.has_pri()
            }
            Register::PriqBase | Register::PriqProd | Register::PriqCons => self.config.has_pri(),
            _ => true,
        }
    }
}
