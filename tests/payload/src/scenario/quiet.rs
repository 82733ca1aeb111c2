// SPDX-License-Identifier: MIT OR Apache-2.0

//! `quiet`: on the RMM as it ships, every stream of a Realm aborts: DMA does nothing, and no event
//! reports it. For that a stream must have a level-2 table; one without is recorded.

use psmmu_abi::IrqSet;
use psmmu_host::psmmu::STREAMS_PER_TABLE;

use super::{Arguments, usage};
use crate::edu::{Access, Dma};
use crate::target::Target;
use crate::{bring_up, events};

const WORDS: u32 = 64;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("quiet");
    }
    let mut bench = bring_up::all();
    require!(!bench.edus.is_empty(), "there is no edu device");
    for edu in bench.edus.iter().filter(|edu| edu.stream >= STREAMS_PER_TABLE) {
        bring_up::st_l2_create(&mut bench.donor, edu.stream);
    }
    for edu in &mut bench.edus {
        for access in [Access::Write, Access::Read] {
            let dma = Dma::new(access, WORDS);
            let target = Target::of(dma);
            target.scribble();
            edu.run(dma);
            target.expect_unchanged(edu.stream);
        }
    }
    events::expect_no_more_than(0);
    for source in [IrqSet::GERROR, IrqSet::EVENTQ] {
        expect_eq!(events::interrupts(source), 0, "interrupts of {source:?}");
    }
}
