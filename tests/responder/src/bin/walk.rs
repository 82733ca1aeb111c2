// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random walks with fresh seeds for as long as asked; see [`responder_tests::walk`].
//!
//! `walk --seconds N`; `WALK_SEED=n walk` walks that one alone, as far as this program would.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use responder_tests::walk::walk;

/// Steps of one walk: as many as the test makes, so that a seed fails there too.
const STEPS: u64 = 2000;

fn main() {
    if let Ok(seed) = std::env::var("WALK_SEED") {
        let steps = walk(seed.parse().expect("WALK_SEED is a number"), STEPS);
        println!("walk: {steps} steps");
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
    let (start, mut told) = (Instant::now(), Duration::ZERO);
    let (mut steps, mut walks) = (0, 0);
    println!("walk: seeds from {first}");
    while start.elapsed() < Duration::from_secs(seconds) {
        steps += walk(first + walks, STEPS);
        walks += 1;
        if start.elapsed() - told >= Duration::from_secs(10) {
            told = start.elapsed();
            println!("walk: {steps} steps in {} seconds", told.as_secs());
        }
    }
    println!("walk: {steps} steps of {walks} walks, no promise broken");
}
