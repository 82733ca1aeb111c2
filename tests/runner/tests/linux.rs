// SPDX-License-Identifier: MIT OR Apache-2.0

//! A real Linux as the host, with a module on `psmmu-host`: one boot on each machine runs all scenarios of
//! `tests/linux/scenarios`, and each has a test here.

use std::sync::OnceLock;

use boot_runner::linux::{Linux, Verdicts};
use boot_runner::{Model, Outcome};

/// Boots once for all tests of a machine.
fn boot(model: Model, name: &str) -> Outcome {
    let linux = Linux::built(model).unwrap_or_else(|error| panic!("{error}"));
    linux.boot(name).run().unwrap_or_else(|error| panic!("{error}"))
}

fn passes<'a>(outcome: &'a Outcome, scenario: &str) -> &'a str {
    match Verdicts::of(&outcome.serial).of_scenario(scenario) {
        Some((true, text)) => text,
        Some((false, why)) => panic!("{scenario}: {why}\n{outcome}"),
        None => panic!("{scenario} has no verdict\n{outcome}"),
    }
}

/// The scenarios on one machine.
macro_rules! scenarios {
    ($module:ident, $model:expr, $log:literal) => {
        mod $module {
            use super::*;

            fn outcome() -> &'static Outcome {
                static OUTCOME: OnceLock<Outcome> = OnceLock::new();
                OUTCOME.get_or_init(|| boot($model, $log))
            }

            #[test]
            fn the_module_probes_and_decodes_events_of_several_kinds() {
                passes(outcome(), "probe");
            }

            #[test]
            fn linux_is_interrupted_by_msi_alone_where_there_are_msis() {
                let text = passes(outcome(), "msi");
                let has_msis = $model == Model::REALM_MSI;
                assert_eq!(!text.starts_with("left out"), has_msis, "{text}");
            }

            #[test]
            fn linux_is_reported_a_burst_of_512_in_few_interrupts() {
                passes(outcome(), "burst");
            }

            #[test]
            fn linux_is_reported_an_overflow_and_the_queue_goes_on() {
                passes(outcome(), "overflow");
            }

            #[test]
            fn linux_loses_no_event_of_two_devices_on_two_cpus() {
                passes(outcome(), "two-devices");
            }

            #[test]
            fn each_side_of_the_smmu_hears_of_its_own_devices_alone() {
                passes(outcome(), "side-by-side");
            }

            #[test]
            fn linux_gets_all_memory_back_when_an_allocation_fails() {
                passes(outcome(), "no-memory");
            }

            #[test]
            fn linux_stays_usable_under_a_storm_of_10_seconds() {
                passes(outcome(), "storm");
            }

            #[test]
            fn the_module_is_removed_under_a_storm_without_a_leak() {
                passes(outcome(), "remove-under-storm");
            }

            #[test]
            fn linux_loses_no_event_while_cpus_go_and_come_back() {
                passes(outcome(), "hotplug");
            }

            #[test]
            fn a_kernel_that_kexec_starts_finds_the_realm_side_usable() {
                passes(outcome(), "kexec");
            }

            #[test]
            fn all_scenarios_are_run_and_the_kernel_log_has_no_warning() {
                let outcome = outcome();
                if let Some(why) = Verdicts::of(&outcome.serial).failure() {
                    panic!("{why}\n{outcome}");
                }
            }
        }
    };
}

scenarios!(distributed, Model::Distributed, "linux-scenarios");
scenarios!(realm, Model::REALM, "linux-scenarios-realm");
scenarios!(realm_msi, Model::REALM_MSI, "linux-scenarios-realm-msi");
