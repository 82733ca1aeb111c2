// SPDX-License-Identifier: MIT OR Apache-2.0

//! Thousands of activate/deactivate cycles with RMMs that conform or misbehave to any degree.

use psmmu_abi::DonateRequest;
use psmmu_host::{Command, Limits, MemoryDonor, Rmi};

use crate::harness::{LIST, PARAMETERS, Shared};
use crate::rmm::{Kind, PSMMU, Rmm};
use crate::tamper::{Random, Tamper};

/// Granules of the host.
const GRANULES: usize = 64;
const LIMITS: Limits = Limits { granules: 48, rounds: 24, retries: 24 };

/// For a conforming RMM, which may be busy before each of its answers.
const MANY_RETRIES: Limits = Limits { retries: 2000, ..LIMITS };

/// Creates an RMM of a random kind.
fn some_kind(random: &mut Random) -> Kind {
    let mut kind = if random.below(4) == 0 { Kind::immediate() } else { Kind::stateful() };
    if random.below(3) == 0 {
        kind.for_psmmu = (0..random.below(4))
            .map(|_| DonateRequest::granules(1 + random.below(16) as u16, random.below(2) == 0))
            .collect();
    }
    kind.can_cancel = random.below(2) == 0;
    kind.handle = random.one_of(&[0, 1, u64::MAX, 0x8000_0000_0000_0000]);
    kind.entries = random.one_of(&[1, 2, 512]);
    kind.stride = random.one_of(&[1, 3, 512]);
    kind.busy = random.one_of(&[0, 0, 0, 1, 3]);
    if random.below(3) == 0 {
        kind.refuses_donation = Some(1 + random.below(6) as u32);
        kind.ends_by_refusal = random.below(2) == 0;
    }
    kind
}

/// Runs one activate/deactivate cycle and returns how many commands succeeded and failed.
fn live<const RANGES: usize>(seed: u64, often: u64) -> (u32, u32) {
    let mut random = Random(seed);
    let mut rmm = Rmm::new(some_kind(&mut random));
    rmm.strict = often == 0;
    let tamper = Tamper { random: Random(!seed), often, ..Tamper::default() };
    let harness = Shared::new(GRANULES, rmm, tamper);
    if random.below(4) == 0 {
        harness.0.borrow_mut().allocations = random.below(12) as u32;
    }
    let rmi = Rmi::new(harness.clone());
    let limits = if often == 0 { MANY_RETRIES } else { LIMITS };
    let mut donor =
        MemoryDonor::<_, _, RANGES>::with_limits(harness.clone(), harness.page(LIST), limits);
    let (mut good, mut bad) = (0, 0);
    for step in 0..12 {
        let stream = 64 * random.below(3) as u32;
        let command = match (step, random.below(8)) {
            (0, _) => Command::RmmActivate,
            (1, _) | (_, 0 | 1) => Command::PsmmuActivate { psmmu_ptr: PSMMU, params: PARAMETERS },
            (_, 2 | 3) => Command::PsmmuStL2Create { psmmu_ptr: PSMMU, stream },
            (_, 4 | 5) => Command::PsmmuStL2Destroy { psmmu_ptr: PSMMU, stream },
            _ => Command::PsmmuDeactivate { psmmu_ptr: PSMMU },
        };
        let (held, before) = (donor.held(), harness.0.borrow().calls);
        match donor.run(&rmi, command) {
            Ok(_) => good += 1,
            Err(error) => {
                bad += 1;
                assert!(!error.to_string().is_empty());
            }
        }
        let calls = harness.0.borrow().calls - before;
        assert!(calls <= limits.calls(held), "{command:?} took {calls} calls");
        harness.check(donor.held(), donor.leaked());
        if often == 0 {
            assert!(!harness.0.borrow().rmm.is_at_it(), "{command:?} is not at its end");
        }
        // A table of three ranges is too small for memory that is returned in pieces.
        if often == 0 && RANGES > 3 {
            assert_eq!(donor.leaked(), 0, "{command:?}");
        }
    }
    (good, bad)
}

fn walk(seeds: std::ops::Range<u64>, often: u64) -> (u32, u32) {
    let (mut good, mut bad) = (0, 0);
    for seed in seeds {
        let (g, b) = if seed % 3 == 0 { live::<3>(seed, often) } else { live::<32>(seed, often) };
        good += g;
        bad += b;
    }
    (good, bad)
}

#[test]
fn an_rmm_that_misbehaves_at_times_leaks_and_blocks_nothing() {
    for often in [3, 30, 100] {
        let (good, bad) = walk(0..1000, often);
        assert!(good > 500 && bad > 500, "the walk goes everywhere: {good} {bad}");
    }
}

#[test]
fn an_rmm_with_random_answers_leaks_and_blocks_nothing() {
    for often in [400, 1000] {
        walk(0..1000, often);
    }
}

#[test]
fn a_conforming_rmm_leaks_nothing_in_any_order_of_calls() {
    let (good, bad) = walk(0..1000, 0);
    assert!(good > 500 && bad > 500, "the walk goes everywhere: {good} {bad}");
}
