// SPDX-License-Identifier: MIT OR Apache-2.0

//! What one boot is for. Each scenario fails with an exit code of its own.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the scenario passed |
//! | 1 | a panic, or an unexpected exception |
//! | 2 | no scenario of that name, or arguments that it cannot use |
//! | 10.. | a check of that scenario failed, see [`SCENARIOS`] |

use heapless::{String, Vec};

use crate::events::Counts;
use crate::exit::{self, WORD};
use crate::{check, console, events};

mod bad_input;
mod bad_stream;
mod bench;
mod between;
mod burst;
mod cmdq_error;
mod config;
mod isolation;
mod lifecycle;
mod lifecycle_faults;
mod lifecycle_smp;
mod linux;
mod linux_newest;
mod losses;
mod manual;
mod msi;
mod overflow;
mod peek;
mod quiet;
mod raw;
mod smp;
mod storm;
mod story;
mod tfa_tests;
mod two_devices;

/// The words behind the scenario's name.
type Arguments = Vec<String<WORD>, 4>;

struct Scenario {
    name: &'static str,
    code: u8,
    run: fn(&Arguments),
}

const fn scenario(name: &'static str, code: u8, run: fn(&Arguments)) -> Scenario {
    Scenario { name, code, run }
}

/// All scenarios, with their exit codes. The first one runs when none is named.
static SCENARIOS: [Scenario; 23] = [
    scenario("story", 10, story::run),
    scenario("burst", 11, burst::run),
    scenario("two-devices", 12, two_devices::run),
    scenario("between", 13, between::run),
    scenario("overflow", 14, overflow::run),
    scenario("cmdq-error", 15, cmdq_error::run),
    scenario("bad-input", 16, bad_input::run),
    scenario("config", 17, config::run),
    scenario("peek", 18, peek::run),
    scenario("smp", 19, smp::run),
    scenario("bad-stream", 20, bad_stream::run),
    scenario("quiet", 21, quiet::run),
    scenario("bench", 22, bench::run),
    scenario("lifecycle", 23, lifecycle::run),
    scenario("lifecycle-faults", 24, lifecycle_faults::run),
    scenario("tfa-tests", 25, tfa_tests::run),
    scenario("linux", 26, linux::run),
    scenario("lifecycle-smp", 27, lifecycle_smp::run),
    scenario("linux-newest", 28, linux_newest::run),
    scenario("isolation", 29, isolation::run),
    scenario("losses", 30, losses::run),
    scenario("msi", 31, msi::run),
    scenario("storm", 32, storm::run),
];

/// Runs the scenario that the command line names, and ends QEMU.
pub fn run() -> ! {
    let mut arguments = exit::arguments();
    let chosen = if arguments.is_empty() {
        &SCENARIOS[0]
    } else {
        let name = arguments.remove(0);
        match SCENARIOS.iter().find(|scenario| scenario.name == name) {
            Some(scenario) => scenario,
            None => {
                console::print_last(format_args!("FAIL no scenario is called '{name}'"));
                exit::exit(exit::USAGE);
            }
        }
    };
    check::begin(chosen.name, chosen.code);
    (chosen.run)(&arguments);
    let Counts { events, errors, interrupts } = events::counts();
    say!(
        "PASS {}: {events} events, {errors} errors, {interrupts} interrupts, {} checks",
        chosen.name,
        check::count()
    );
    exit::exit(exit::PASS)
}

/// Ends the boot because of arguments.
fn usage(text: &str) -> ! {
    console::print_last(format_args!("FAIL usage: {text}"));
    exit::exit(exit::USAGE)
}
