// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random walks and hostile hosts with fresh seeds for as long as asked; see [`responder_tests::walk`]
//! and [`responder_tests::hostile`].
//!
//! `walk --seconds N`; `WALK_SEED=n walk` or `HOSTILE_SEED=n walk` make that one alone, as far as this
//! program would.
//!
//! Each RMM borrows its PSMMUs and its tracker for good, so a process that makes many of them grows. The walks
//! are therefore made by child processes, one after the other, of [`BATCH`] seconds each.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use responder_tests::hostile::{self, Tally, hostile};
use responder_tests::walk::walk;

/// Steps of one walk: as many as the test makes, so that a seed fails there too.
const STEPS: u64 = 2000;
/// Hostile hosts for each walk, which is about as much work.
const HOSTS: u64 = 4;
/// Longest time of one child process, in seconds. It takes some 10 MB for each of them.
const BATCH: u64 = 30;

/// What was done: steps, walks, and calls of hostile hosts.
#[derive(Clone, Copy, Default)]
struct Done {
    steps: u64,
    walks: u64,
    calls: u64,
}

fn seed(variable: &str) -> Option<u64> {
    let seed = std::env::var(variable).ok()?;
    Some(seed.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn main() -> ExitCode {
    if let Some(seed) = seed("WALK_SEED") {
        let steps = walk(seed, STEPS);
        println!("walk: {steps} steps");
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = seed("HOSTILE_SEED") {
        hostile(seed, hostile::STEPS, &mut Tally::new());
        println!("walk: {} steps", hostile::STEPS);
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let numbers: Vec<u64> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
    match (words.first().copied(), numbers.as_slice()) {
        (Some("--seconds"), &[seconds]) => whole(seconds),
        (Some("--batch"), &[first, seconds]) => {
            let Done { steps, walks, calls } = batch(first, Duration::from_secs(seconds));
            println!("{steps} {walks} {calls}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: walk --seconds N");
            ExitCode::from(2)
        }
    }
}

/// Makes walks with seeds from `first` on, at least one, until `time` has passed.
fn batch(first: u64, time: Duration) -> Done {
    let start = Instant::now();
    let (mut done, mut tally) = (Done::default(), Tally::new());
    loop {
        done.steps += walk(first + done.walks, STEPS);
        for host in 0..HOSTS {
            hostile((first + done.walks) * HOSTS + host, hostile::STEPS, &mut tally);
        }
        done.walks += 1;
        if start.elapsed() >= time {
            return Done { calls: tally.values().sum(), ..done };
        }
    }
}

/// Has child processes make walks for `seconds`. The first that fails ends it, its output shown.
fn whole(seconds: u64) -> ExitCode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    let first = now.as_millis() as u64;
    let program = std::env::current_exe().expect("a program knows its file");
    let (start, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut all = Done::default();
    println!("walk: seeds from {first}");
    while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        let arguments =
            [first + all.walks, left.as_secs().clamp(1, BATCH)].map(|it| it.to_string());
        let mut child = Command::new(&program);
        child.arg("--batch").args(arguments).stderr(Stdio::inherit());
        let output = child.output().expect("a program can call itself");
        let line = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        let (true, &[steps, walks, calls]) = (output.status.success(), numbers.as_slice()) else {
            println!("{line}walk: {}", output.status);
            return ExitCode::FAILURE;
        };
        all = Done { steps: all.steps + steps, walks: all.walks + walks, calls: all.calls + calls };
        println!("walk: {} steps in {} seconds", all.steps, start.elapsed().as_secs());
    }
    let Done { steps, walks, calls } = all;
    let hosts = walks * HOSTS;
    println!(
        "walk: {steps} steps of {walks} walks, {calls} calls of {hosts} hostile hosts, no promise broken"
    );
    ExitCode::SUCCESS
}
