// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random sequences of a hostile host; see [`responder_tests::hostile`]. `HOSTILE_SEED=n` makes that one.

use responder_tests::hostile::{STEPS, Tally, hostile};
use responder_tests::raw::{fid, x0};

/// Sequences.
const SEQUENCES: u64 = 3000;

#[test]
fn a_hostile_host_never_duplicates_or_leaks_a_granule() {
    let mut tally = Tally::new();
    if let Ok(seed) = std::env::var("HOSTILE_SEED") {
        hostile(seed.parse().expect("HOSTILE_SEED is a number"), STEPS, &mut tally);
        return;
    }
    (1..=SEQUENCES).for_each(|seed| hostile(seed, STEPS, &mut tally));
    // What a sequence hardly comes to is where mistakes hide.
    for (function, x0) in [
        (fid::PSMMU_ACTIVATE, x0::DEVICE),
        (fid::PSMMU_DEACTIVATE, x0::DEVICE),
        (fid::PSMMU_DEACTIVATE, x0::CONTINUE),
        (fid::ST_L2_CREATE, x0::BLOCKED),
        (fid::ST_L2_CREATE, x0::TABLE),
        (fid::ST_L2_DESTROY, x0::BLOCKED),
        (fid::ST_L2_DESTROY, x0::TABLE),
        (fid::ST_L2_DESTROY, x0::DEVICE),
        (fid::OP_CONTINUE, x0::SUCCESS),
        (fid::OP_CONTINUE, x0::DEVICE),
        (fid::OP_CONTINUE, x0::RECLAIM),
        (fid::OP_MEM_RECLAIM, x0::RECLAIM),
        (fid::OP_MEM_DONATE, x0::RECLAIM),
        (fid::OP_CANCEL, x0::CONTINUE),
        (fid::OP_CANCEL, x0::RECLAIM),
        (fid::RMM_DEACTIVATE, x0::SUCCESS),
        (fid::RMM_DEACTIVATE, x0::GLOBAL),
        (fid::GPT_INFO, x0::SUCCESS),
    ] {
        let times = tally.get(&(function, x0)).copied().unwrap_or(0);
        assert!(times >= 10, "{function:#x} answers {x0:#x} {times} times");
    }
}
