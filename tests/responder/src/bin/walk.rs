// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random walks and hostile hosts with fresh seeds for as long as asked; see [`responder_tests::walk`]
//! and [`responder_tests::hostile`].
//!
//! `walk --seconds N`; `WALK_SEED=n walk` or `HOSTILE_SEED=n walk` make that one alone, as far as this
//! program would.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use responder_tests::hostile::{self, Tally, hostile};
use responder_tests::walk::walk;

/// Steps of one walk: as many as the test makes, so that a seed fails there too.
const STEPS: u64 = 2000;
/// Hostile hosts for each walk, which is about as much work.
const HOSTS: u64 = 4;

fn seed(variable: &str) -> Option<u64> {
    let seed = std::env::var(variable).ok()?;
    Some(seed.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn main() {
    if let Some(seed) = seed("WALK_SEED") {
        let steps = walk(seed, STEPS);
        println!("walk: {steps} steps");
        return;
    }
    if let Some(seed) = seed("HOSTILE_SEED") {
        hostile(seed, hostile::STEPS, &mut Tally::new());
        println!("walk: {} steps", hostile::STEPS);
        return;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let seconds = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--seconds", seconds] => seconds.parse().expect("a number of seconds"),
        _ => {
            eprintln!("usage: walk --seconds N");
            std::process::exit(2);
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    let first = now.as_millis() as u64;
    let (start, mut reported) = (Instant::now(), Duration::ZERO);
    let (mut steps, mut walks) = (0, 0);
    let mut tally = Tally::new();
    println!("walk: seeds from {first}");
    while start.elapsed() < Duration::from_secs(seconds) {
        steps += walk(first + walks, STEPS);
        for host in 0..HOSTS {
            hostile(first + walks * HOSTS + host, hostile::STEPS, &mut tally);
        }
        walks += 1;
        if start.elapsed() - reported >= Duration::from_secs(10) {
            reported = start.elapsed();
            println!("walk: {steps} steps in {} seconds", reported.as_secs());
        }
    }
    let (hosts, calls) = (walks * HOSTS, tally.values().sum::<u64>());
    println!(
        "walk: {steps} steps of {walks} walks, {calls} calls of {hosts} hostile hosts, no promise broken"
    );
}
