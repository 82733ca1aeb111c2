// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cmdq-error`: the SMMU is made to run an empty slot of the RMM's command queue, which is an illegal
//! command. The host hears of CMDQ_ERR, the error is acknowledged and does not come back, and events
//! still flow.

use psmmu_abi::{ErrorCause, Event, IrqSet};

use super::{Arguments, usage};
use crate::edu::{Access, Dma};
use crate::events::Entry;
use crate::smmu::Smmu;
use crate::{bring_up, events, time};

const LIMIT: u32 = 1000;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("cmdq-error");
    }
    let mut bench = bring_up::all();
    let mut smmu = Smmu::new();
    require!(time::wait(LIMIT, || smmu.commands_done()), "the RMM's commands do not end");
    expect_eq!(smmu.active_errors(), 0, "active bits of GERROR at first");

    smmu.push_command_slot();
    events::wait_for(1);
    let error = Entry { source: IrqSet::GERROR, event: Event::Error(ErrorCause::CMDQ_ERR) };
    expect_eq!(events::entry(0), error, "what the host heard of an illegal command");
    events::expect_no_more_than(1);
    expect_eq!(events::interrupts(IrqSet::GERROR), 1, "GERROR interrupts");
    expect_eq!(smmu.active_errors(), 0, "active bits of GERROR after CONSUME");

    let dma = Dma::new(Access::Write, 3);
    bench.edu().run(dma);
    events::wait_for(4);
    events::expect_faults(1, &[dma]);
    events::expect_no_more_than(4);
}
