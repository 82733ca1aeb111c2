// SPDX-License-Identifier: MIT OR Apache-2.0

//! How the Realm side interrupts the host: by wired interrupts, by MSIs, or not at all.

#![forbid(unsafe_code)]

use psmmu_abi::MsiMessage;

use super::Psmmu;
use crate::arch::limits::Limits;
use crate::arch::registers::{IRQ_CFG2_DEVICE, IrqCfg0, ReadWrite, Register32, Register64};
use crate::platform::{Delivery, Registers};

/// Where the interrupts of the Realm side go as MSIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiConfig {
    /// Global errors.
    pub gerror: MsiMessage,
    /// Event queue.
    pub eventq: MsiMessage,
    /// PRI queue. Ignored without page requests.
    pub priq: MsiMessage,
}

/// What the host asks of an activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivateParams {
    /// Whether to enable the PRI queue.
    pub page_requests: bool,
    /// The MSIs to interrupt by; `None` for wired interrupts, if there are any.
    pub msis: Option<MsiConfig>,
}

impl<R: Registers, M> Psmmu<R, M> {
    /// Returns whether the device is to interrupt.
    pub(super) const fn interrupts(&self, wanted: &ActivateParams) -> bool {
        match self.config.delivery {
            Delivery::Disabled => false,
            Delivery::Wired { .. } => true,
            Delivery::Msi => wanted.msis.is_some(),
        }
    }

    /// Returns whether the device can send the MSIs that are wanted, which may be none.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn can_send(&self, wanted: &ActivateParams, has_msi: bool, limits: &Limits) -> bool {
        let Some(msis) = &wanted.msis else {
            return true;
        };
        let is_good = |msi: &MsiMessage| {
            IrqCfg0::can_hold(msi.address)
                && limits.reach(msi.address, 4)
                && u32::try_from(msi.data).is_ok()
        };
        let all_good = is_good(&msis.gerror)
            && is_good(&msis.eventq)
            && (!wanted.page_requests || is_good(&msis.priq));
        has_msi && self.config.delivery == Delivery::Msi && all_good
    }

    /// Says where interrupts go. Without MSIs these registers do not exist; with them they hold
    /// anything after reset.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(super) fn program_msis(&self, has_msi: bool, has_pri: bool, wanted: &ActivateParams) {
        if !has_msi {
            return;
        }
        let registers = &self.registers;
        let put = |[cfg1, cfg2]: [Register32<ReadWrite>; 2],
                   cfg0: Register64,
                   msi: Option<MsiMessage>| {
            let doorbell = match msi {
                Some(MsiMessage { address, data }) => {
                    registers.write32(cfg1, data as u32);
                    IrqCfg0::non_secure(address)
                }
                None => IrqCfg0::NONE,
            };
            registers.write64(cfg0, doorbell.bits());
            registers.write32(cfg2, IRQ_CFG2_DEVICE);
        };
        let msis = wanted.msis.as_ref();
        put(
            [Register32::GERROR_IRQ_CFG1, Register32::GERROR_IRQ_CFG2],
            Register64::GERROR_IRQ_CFG0,
            msis.map(|msis| msis.gerror),
        );
        put(
            [Register32::EVENTQ_IRQ_CFG1, Register32::EVENTQ_IRQ_CFG2],
            Register64::EVENTQ_IRQ_CFG0,
            msis.map(|msis| msis.eventq),
        );
        if has_pri {
            // Its CFG2 also says when the wire is pulsed.
            put(
                [Register32::PRIQ_IRQ_CFG1, Register32::PRIQ_IRQ_CFG2],
                Register64::PRIQ_IRQ_CFG0,
                msis.filter(|_| wanted.page_requests).map(|msis| msis.priq),
            );
        }
    }
}
