// SPDX-License-Identifier: MIT OR Apache-2.0

//! Wired interrupts, by edge, and MSIs (IHI 0070, "Interrupts and notifications").
//!
//! A condition makes the wired interrupt and the MSI of its source due; each is sent with a step of its own.
//! Conditions that come while one is due are reported by the same interrupt.

use std::collections::VecDeque;

use crate::Device;
use crate::command::SyncMsi;
use crate::gerror;
use crate::registers::Register;

/// What an interrupt announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A global error has become active.
    Gerror,
    /// The PRI queue is not empty any more, or holds a Last.
    Priq,
    /// The event queue is not empty any more.
    Eventq,
    /// A CMD_SYNC with CS = 1 is complete.
    CmdSync,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 4] = [Self::Gerror, Self::Priq, Self::Eventq, Self::CmdSync];

    /// The sources that IRQ_CTRL switches.
    pub(crate) const MASKABLE: [Self; 3] = [Self::Gerror, Self::Priq, Self::Eventq];

    /// Returns the bit of IRQ_CTRL; bit 3 for CMD_SYNC, which has none there.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Returns IRQ_CFG0, IRQ_CFG1 and IRQ_CFG2. A CMD_SYNC has its own words.
    pub(crate) const fn registers(self) -> [Register; 3] {
        match self {
            Self::Priq => [Register::PriqIrqCfg0, Register::PriqIrqCfg1, Register::PriqIrqCfg2],
            Self::Eventq => {
                [Register::EventqIrqCfg0, Register::EventqIrqCfg1, Register::EventqIrqCfg2]
            }
            Self::Gerror | Self::CmdSync => {
                [Register::GerrorIrqCfg0, Register::GerrorIrqCfg1, Register::GerrorIrqCfg2]
            }
        }
    }

    /// The error that says that an MSI of this source was aborted.
    const fn msi_error(self) -> u32 {
        match self {
            Self::Gerror => gerror::MSI_GERROR_ABT_ERR,
            Self::Priq => gerror::MSI_PRIQ_ABT_ERR,
            Self::Eventq => gerror::MSI_EVENTQ_ABT_ERR,
            Self::CmdSync => gerror::MSI_CMDQ_ABT_ERR,
        }
    }
}

/// A set of sources whose wired interrupts were pulsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pulses(u32);

impl Pulses {
    /// Returns the bits, each [`Source::bit`].
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns whether the wired interrupt of `source` was pulsed.
    #[must_use]
    pub const fn contains(self, source: Source) -> bool {
        self.0 & source.bit() != 0
    }

    /// Returns whether no interrupt was pulsed.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// An MSI that was written, or was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MsiWrite {
    /// What it announces.
    pub source: Source,
    /// Where it went.
    pub address: u64,
    /// The address is of the Non-secure address space.
    pub non_secure: bool,
    /// The 32 bits that were written.
    pub data: u32,
    /// SH of IRQ_CFG2, or MSH of the CMD_SYNC.
    pub shareability: u8,
    /// MemAttr of IRQ_CFG2, or MSIAttr of the CMD_SYNC.
    pub attributes: u8,
    /// It was aborted: no region and no doorbell took it.
    pub aborted: bool,
}

/// IRQ_CFG0, IRQ_CFG1 and IRQ_CFG2 of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct IrqCfg {
    pub cfg0: u64,
    pub cfg1: u32,
    pub cfg2: u32,
}

/// Interrupts that are due, and those that have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Interrupts {
    /// By [`Source::bit`]'s number.
    pub cfg: [IrqCfg; 3],
    wired_irqs_due: u32,
    msis_due: u32,
    sync_msis: VecDeque<SyncMsi>,
    pulses: Pulses,
}

/// ADDR of IRQ_CFG0, 55:2.
const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFFC;
/// NS of IRQ_CFG0.
const NON_SECURE: u64 = 1 << 63;
/// LO of PRIQ_IRQ_CFG2.
const LAST_ONLY: u32 = 1 << 31;

impl Device {
    /// Returns whether the PRI queue interrupts when a Last arrives and not when it was empty.
    pub(crate) const fn interrupts_on_last(&self) -> bool {
        self.config.has_msi() && self.interrupts.cfg[Source::Priq as usize].cfg2 & LAST_ONLY != 0
    }

    /// Returns the address that IRQ_CFG0 of `source` has, be it one that the device lacks.
    pub(crate) const fn doorbell_as_written(&self, source: Source) -> u64 {
        self.interrupts.cfg[source as usize].cfg0 & ADDRESS
    }

    /// Returns where MSIs of `source` go, if it sends any.
    pub(crate) const fn doorbell(&self, source: Source) -> Option<SyncMsi> {
        let IrqCfg { cfg0, cfg1, cfg2 } = self.interrupts.cfg[source as usize];
        let address = self.config.truncate(cfg0 & ADDRESS);
        if !self.config.has_msi() || address == 0 {
            return None;
        }
        let non_secure = cfg0 & NON_SECURE != 0;
        let (shareability, attributes) = ((cfg2 >> 4 & 3) as u8, (cfg2 & 0xF) as u8);
        Some(SyncMsi { address, data: cfg1, non_secure, shareability, attributes })
    }

    /// Makes the interrupt of a source that IRQ_CTRL switches due, if it is on.
    pub(crate) fn request_interrupt(&mut self, source: Source) {
        if self.control.irq_ctrlack & source.bit() == 0 {
            return;
        }
        if self.config.has_wired_irqs {
            self.interrupts.wired_irqs_due |= source.bit();
        }
        if self.doorbell(source).is_some() {
            self.interrupts.msis_due |= source.bit();
        }
    }

    /// Makes the interrupt of a CMD_SYNC due: its MSI, or else the wired one.
    pub(crate) fn request_sync_interrupt(&mut self, msi: Option<SyncMsi>) {
        match msi.filter(|_| self.config.has_msi()) {
            Some(msi) => self.interrupts.sync_msis.push_back(msi),
            None => self.interrupts.wired_irqs_due |= Source::CmdSync.bit(),
        }
    }

    /// Returns the sources whose wired interrupt is due.
    pub(crate) fn due_wired_irqs(&self) -> impl Iterator<Item = Source> {
        let due = self.interrupts.wired_irqs_due;
        Source::ALL.into_iter().filter(move |source| due & source.bit() != 0)
    }

    /// Returns the sources whose MSI is due.
    pub(crate) fn due_msis(&self) -> impl Iterator<Item = Source> {
        let syncs = !self.interrupts.sync_msis.is_empty();
        let due = self.interrupts.msis_due | if syncs { Source::CmdSync.bit() } else { 0 };
        Source::ALL.into_iter().filter(move |source| due & source.bit() != 0)
    }

    /// Pulses the wired interrupt of `source`.
    pub(crate) fn pulse_wired_irq(&mut self, source: Source) {
        self.interrupts.wired_irqs_due &= !source.bit();
        self.interrupts.pulses.0 |= source.bit();
        self.log.pulses[source as usize] += 1;
    }

    /// Writes the oldest MSI of `source` that is due.
    pub(crate) fn write_msi(&mut self, source: Source) {
        let msi = if source == Source::CmdSync {
            self.interrupts.sync_msis.pop_front()
        } else {
            self.interrupts.msis_due &= !source.bit();
            self.doorbell(source)
        };
        let Some(msi) = msi else { return };
        let SyncMsi { address, data, non_secure, shareability, attributes } = msi;
        let aborted = !self.is_taken(address, data, non_secure);
        let msi = MsiWrite { source, address, non_secure, data, shareability, attributes, aborted };
        self.log.msis.push(msi);
        if aborted {
            self.activate(source.msi_error());
        }
    }

    /// Writes an MSI to a doorbell or to memory of the Realm, and returns whether it was taken.
    fn is_taken(&mut self, address: u64, data: u32, non_secure: bool) -> bool {
        if self.memory.refused.contains(&address) {
            return false;
        }
        if let Some(&of_non_secure) = self.memory.doorbells.get(&address) {
            return of_non_secure == non_secure;
        }
        // All memory here is the Realm's: the granule protection check ends a Non-secure access.
        let word = address & !7;
        let Ok(old) = (if non_secure { Err(crate::memory::Abort) } else { self.fetch(word) })
        else {
            return false;
        };
        let shift = 8 * (address & 4);
        let new = old & !(0xFFFF_FFFF << shift) | u64::from(data) << shift;
        // A CPU that polls memory sees it in the end, barrier or not.
        self.put(word, &[new], true).is_ok()
    }

    /// Returns the first target between `first` and `end` of a CMD_SYNC's MSI that is due.
    pub(crate) fn due_sync_msi(&self, first: u64, end: u64) -> Option<u64> {
        let mut due = self.interrupts.sync_msis.iter();
        due.find(|msi| msi.is_in(first, end)).map(|msi| msi.address)
    }

    /// Returns IRQ_CFG0 of a source that may send an MSI to memory between `first` and `end`.
    pub(crate) fn msi_register_in(&self, first: u64, end: u64) -> Option<Register> {
        let enabled = self.control.irq_ctrl | self.control.irq_ctrlack;
        let hits = |source: &Source| {
            let target = self.doorbell(*source).filter(|_| enabled & source.bit() != 0);
            target.is_some_and(|msi| {
                msi.is_in(first, end) && !self.memory.doorbells.contains_key(&msi.address)
            })
        };
        Source::MASKABLE.into_iter().find(hits).map(|source| source.registers()[0])
    }

    /// Sends what is due of a source that is being switched off.
    pub(crate) fn flush_interrupts(&mut self, source: Source) {
        if self.interrupts.wired_irqs_due & source.bit() != 0 {
            self.pulse_wired_irq(source);
        }
        if self.interrupts.msis_due & source.bit() != 0 {
            self.write_msi(source);
        }
    }

    /// Sends all MSIs of earlier CMD_SYNCs, which a later one waits for.
    pub(crate) fn flush_sync_msis(&mut self) {
        while !self.interrupts.sync_msis.is_empty() {
            self.write_msi(Source::CmdSync);
        }
    }

    /// Returns which wired interrupts were pulsed since [`take_interrupts`](Self::take_interrupts).
    #[must_use]
    pub const fn interrupts(&self) -> Pulses {
        self.interrupts.pulses
    }

    /// Takes the wired interrupts that were pulsed since the last call. Pulses of one coalesce, as they do in
    /// an interrupt controller.
    #[must_use]
    pub const fn take_interrupts(&mut self) -> Pulses {
        let pulses = self.interrupts.pulses;
        self.interrupts.pulses = Pulses(0);
        pulses
    }

    /// Returns how often the wired interrupt of `source` was pulsed.
    #[must_use]
    pub const fn pulses(&self, source: Source) -> u64 {
        self.log.pulses[source as usize]
    }

    /// Drops the MSIs of CMD_SYNCs that are due: CMDQEN is off, and they are not promised any more.
    pub(crate) fn drop_sync_msis(&mut self) {
        self.interrupts.sync_msis.clear();
    }

    /// Takes the MSIs that were written or aborted, oldest first.
    #[must_use]
    pub fn take_msis(&mut self) -> Vec<MsiWrite> {
        std::mem::take(&mut self.log.msis)
    }
}
