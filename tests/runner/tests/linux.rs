// SPDX-License-Identifier: MIT OR Apache-2.0

//! A real Linux as the host, with a module on `psmmu-host`: one boot runs all scenarios of
//! `tests/linux/scenarios`, and each has a test here.

use std::sync::OnceLock;

use boot_runner::Outcome;
use boot_runner::linux::{Linux, Verdicts};

/// Boots once for all tests.
fn outcome() -> &'static Outcome {
    static OUTCOME: OnceLock<Outcome> = OnceLock::new();
    OUTCOME.get_or_init(|| {
        let linux = Linux::built().unwrap_or_else(|error| panic!("{error}"));
        linux.boot("linux-scenarios").run().unwrap_or_else(|error| panic!("{error}"))
    })
}

fn passes(scenario: &str) {
    let outcome = outcome();
    match Verdicts::of(&outcome.serial).of_scenario(scenario) {
        Some((true, _)) => {}
        Some((false, why)) => panic!("{scenario}: {why}\n{outcome}"),
        None => panic!("{scenario} has no verdict\n{outcome}"),
    }
}

#[test]
fn the_module_probes_and_decodes_events_of_several_kinds() {
    passes("probe");
}

#[test]
fn linux_is_reported_a_burst_of_512_in_few_interrupts() {
    passes("burst");
}

#[test]
fn linux_is_reported_an_overflow_and_the_queue_goes_on() {
    passes("overflow");
}

#[test]
fn linux_loses_no_event_of_two_devices_on_two_cpus() {
    passes("two-devices");
}

#[test]
fn linux_gets_all_memory_back_when_an_allocation_fails() {
    passes("no-memory");
}

#[test]
fn linux_stays_usable_under_a_storm_of_10_seconds() {
    passes("storm");
}

#[test]
fn the_module_is_removed_under_a_storm_without_a_leak() {
    passes("remove-under-storm");
}

#[test]
fn linux_loses_no_event_while_cpus_go_and_come_back() {
    passes("hotplug");
}

#[test]
fn a_kernel_that_kexec_starts_finds_the_realm_side_usable() {
    passes("kexec");
}

#[test]
fn all_scenarios_are_run_and_the_kernel_log_has_no_warning() {
    let outcome = outcome();
    if let Some(why) = Verdicts::of(&outcome.serial).failure() {
        panic!("{why}\n{outcome}");
    }
}
