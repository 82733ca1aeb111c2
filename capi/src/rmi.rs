// SPDX-License-Identifier: MIT OR Apache-2.0

//! `lpsmmu_rmi`: the three commands that a host asks for events with.

use psmmu_abi::{Function, SVE_HINT};

use crate::set::Set;

impl Set {
    /// Answers a call if it is one of the three, and says whether it is.
    #[inline(always)]
    pub fn rmi(&self, x: &mut [u64; 8]) -> bool {
        const IRQ_NOTIFY: u64 = Function::PsmmuIrqNotify.id();
        const EVENT_CONSUME: u64 = Function::PsmmuEventConsume.id();
        const INFO: u64 = Function::PsmmuInfo.id();
        let [function, x1, x2, ..] = *x;
        let result = match function & !SVE_HINT {
            IRQ_NOTIFY => {
                let notified = self.responder.irq_notify(x1, x2);
                [x[1], x[2], x[3], x[4], x[5], x[6]] = notified.outputs;
                notified.result
            }
            EVENT_CONSUME => {
                [x[1], x[2], x[3]] = [0; 3];
                self.responder.event_consume(x1, x2)
            }
            INFO => {
                [x[1], x[2], x[3]] = [0; 3];
                self.responder.info(x1, x2)
            }
            _ => return false,
        };
        x[0] = result.x0();
        true
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `regs` is null or eight words that only this call uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_rmi(set: *const Set, regs: *mut [u64; 8]) -> bool {
    // SAFETY: 1.
    let set = unsafe { Set::from_raw(set) };
    // SAFETY: 2.
    let regs = unsafe { regs.as_mut() };
    match (set, regs) {
        (Some(set), Some(regs)) => set.rmi(regs),
        _ => false,
    }
}
