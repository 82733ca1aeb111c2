// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the SMMU does, records and signals: CR0 to CR2 and IRQ_CTRL.

use bitflags::bitflags;

bitflags! {
    /// Enables, CR0 and CR0ACK.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr0: u32 {
        /// Transactions are translated.
        const SMMUEN = 1 << 0;
        /// Page requests are recorded.
        const PRIQEN = 1 << 1;
        /// Events are recorded.
        const EVENTQEN = 1 << 2;
        /// Commands are processed.
        const CMDQEN = 1 << 3;
    }

    /// Interrupt enables, IRQ_CTRL and IRQ_CTRLACK.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IrqCtrl: u32 {
        /// Global errors.
        const GERROR = 1 << 0;
        /// PRI queue.
        const PRIQ = 1 << 1;
        /// Event queue.
        const EVENTQ = 1 << 2;
    }

    /// CR2 without what is left zero.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr2: u32 {
        /// StreamIDs outside the table are recorded.
        const RECINVSID = 1 << 1;
        /// Broadcast TLB maintenance may be ignored. Reserved without IDR0.BTM.
        const PTM = 1 << 2;
    }
}

/// CR1: tables and queues in write-back, inner shareable memory, as the CPUs map them.
pub const CR1_WRITE_BACK_INNER_SHAREABLE: u32 = 0xD75;
