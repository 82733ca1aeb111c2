// SPDX-License-Identifier: MIT OR Apache-2.0

//! `storm [ROUNDS]`: the PSMMU is deactivated while all devices fault as fast as they can, at another moment
//! in each round. Deactivation ends, all memory comes back wiped and stays as it is, and the next round
//! reports its faults as if nothing had been.

use super::{Arguments, usage};
use crate::bring_up::{self, TABLE};
use crate::device::MAX_WORDS;
use crate::edu::{Access, Dma, Edu};
use crate::{events, pool, time};

const ROUNDS: u32 = 12;
/// A device begins 100 ms after it was started; in milliseconds, when round 0 deactivates.
const FIRST: u32 = 96;

pub fn run(arguments: &Arguments) {
    let rounds = match arguments.as_slice() {
        [] => Some(ROUNDS),
        [rounds] => rounds.parse().ok().filter(|&rounds| rounds != 0),
        _ => None,
    };
    let Some(rounds) = rounds else { usage("storm [ROUNDS]") };
    let donor = bring_up::activate_rmm();
    let topology = bring_up::topology();
    let mut bench = bring_up::interrupts_and_devices(&topology, donor);
    for round in 0..rounds {
        events::set_inactive(false);
        bring_up::activate_psmmu(&mut bench.donor);
        bring_up::st_l2_create(&mut bench.donor, TABLE);
        let (first, dma) = (events::count(), Dma::new(Access::Write, 2));
        bench.edus[0].run(dma);
        events::wait_for(first + 2);
        events::expect_faults(first, &[dma]);

        let storm = Dma::new(Access::Write, MAX_WORDS);
        bench.edus.iter_mut().for_each(|edu| edu.start(storm));
        time::pass(FIRST + round % ROUNDS);
        bring_up::st_l2_destroy(&mut bench.donor, TABLE);
        events::set_inactive(true);
        bring_up::deactivate_psmmu(&mut bench.donor);
        expect_eq!(pool::out(), 0, "round {round}: granules that did not come back");
        // What the devices still do reaches no memory that was the PSMMU's.
        pool::expect_whole();
        bench.edus.iter().for_each(Edu::finish);
        pool::expect_kept();
        events::clear();
    }
    say!("{rounds} times deactivated in a storm, all memory came back");
}
