// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random walks of device, host and RMM; see [`responder_tests::walk`]. `WALK_SEED=n` walks that one.

use responder_tests::walk::walk;

/// Walks, and steps of each.
const WALKS: u64 = 150;
const STEPS: u64 = 2000;

#[test]
fn a_random_walk_is_reported_once_in_order_and_within_bounds() {
    if let Ok(seed) = std::env::var("WALK_SEED") {
        let _ = walk(seed.parse().expect("WALK_SEED is a number"), STEPS);
        return;
    }
    let steps: u64 = (1..=WALKS).map(|seed| walk(seed, STEPS)).sum();
    assert!(steps > WALKS * STEPS / 3, "{steps} steps: too many walks end early");
}
