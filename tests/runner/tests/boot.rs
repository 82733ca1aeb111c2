// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boot tests: each boots the whole chain once, and the host test image runs one scenario in it. A
//! scenario's checks and exit code are in `tests/payload/src/scenario`.

use boot_runner::{Boot, BootError, Model, place, story};

/// StreamID 8.
const FIRST: u32 = 1;
/// StreamID 16.
const SECOND: u32 = 2;
/// StreamID 24.
const THIRD: u32 = 3;
/// StreamID 40, without a valid entry in the stream table of the RMM's image for tests.
const WITHOUT_ENTRY: u32 = 5;
/// StreamID 64, the first one without a level-2 stream table.
const WITHOUT_TABLE: u32 = 8;
/// StreamID 248.
const LAST: u32 = 31;

/// Boots the RMM whose streams fault, with one device.
fn faulting(scenario: &str) -> Boot {
    let flash = place::flash().map_err(BootError::from).unwrap_or_else(|error| panic!("{error}"));
    boot(scenario, flash)
}

/// Boots the RMM as it ships, with one device.
fn plain(scenario: &str) -> Boot {
    let flash = place::plain_flash().map_err(BootError::from);
    boot(scenario, flash.unwrap_or_else(|error| panic!("{error}")))
}

fn boot(scenario: &str, flash: std::path::PathBuf) -> Boot {
    // The test's own name.
    let thread = std::thread::current();
    let name = thread.name().filter(|&name| name != "main").unwrap_or(scenario);
    Boot::new(&name.replace("::", "-").replace(' ', "-"), flash).scenario(scenario).edus(&[FIRST])
}

fn passes(boot: &Boot) {
    match boot.run() {
        Ok(outcome) if outcome.passed() => {}
        Ok(outcome) => panic!("{outcome}"),
        Err(error) => panic!("{error}"),
    }
}

/// A test of each boot on each machine: QEMU as distributed, and the one whose SMMU has a Realm side.
macro_rules! on_both_machines {
    ($($name:ident: $boot:expr;)*) => {
        mod distributed {
            use super::*;
            $(#[test] fn $name() { passes(&$boot); })*
        }
        mod realm {
            use super::*;
            $(#[test] fn $name() { passes(&$boot.on(Model::REALM)); })*
        }
    };
}

on_both_machines! {
    a_single_event_reaches_the_host_by_its_interrupt: faulting("burst 1");
    a_burst_of_2_is_reported_once_and_in_order: faulting("burst 2");
    a_burst_of_32_is_reported_once_and_in_order: faulting("burst 32");
    a_burst_of_33_is_reported_once_and_in_order: faulting("burst 33");
    a_burst_of_200_is_reported_once_and_in_order: faulting("burst 200");
    a_burst_that_fills_the_queue_is_reported_once_and_in_order: faulting("burst 512");
    a_burst_of_reads_is_reported_as_reads: faulting("burst 40 read");
    two_devices_are_reported_in_the_order_of_their_faults:
        faulting("two-devices").edus(&[FIRST, SECOND]);
    events_between_notify_and_consume_are_not_left_behind: faulting("between");
    an_overflow_keeps_what_fitted_is_one_error_and_recovers: faulting("overflow");
    bad_input_gets_its_status_and_changes_nothing: faulting("bad-input");
    versions_features_and_config_are_answered_in_each_state: faulting("config");
    notify_peeks_and_consume_takes_what_was_reported: faulting("peek");
    four_cpus_come_up_go_off_come_back_and_call_at_the_same_time:
        faulting("smp").cpus(4).edus(&[FIRST, SECOND]);
    a_stream_without_a_table_is_reported_without_an_address:
        faulting("bad-stream").edus(&[WITHOUT_TABLE]);
    on_the_plain_image_every_stream_with_a_table_aborts_quietly:
        plain("quiet").edus(&[FIRST, WITHOUT_TABLE]);
    a_hundred_cycles_of_a_psmmu_lose_no_granule:
        faulting("lifecycle").edus(&[FIRST, SECOND, WITHOUT_ENTRY, LAST]);
    each_fault_of_a_cycle_gets_its_status_and_loses_nothing: faulting("lifecycle-faults");
    four_cpus_delegate_donate_and_ask_at_once_without_loss:
        faulting("lifecycle-smp").cpus(4).edus(&[FIRST, SECOND]);
    the_client_of_tf_a_tests_is_served: faulting("tfa-tests");
    the_order_of_linux_is_served: faulting("linux").edus(&[FIRST, SECOND]);
    the_newest_linux_is_served_through_20_kexecs: faulting("linux-newest");
    a_psmmu_is_deactivated_in_a_storm: faulting("storm").edus(&[FIRST, SECOND, THIRD]);
    a_psmmu_is_deactivated_in_a_storm_with_four_cpus:
        faulting("storm").cpus(4).edus(&[FIRST, SECOND, THIRD]);
}

/// What QEMU as distributed can be made to do alone: the host reaches the RMM's command queue.
mod only_distributed {
    use super::*;

    #[test]
    fn an_illegal_command_is_one_acknowledged_error() {
        passes(&faulting("cmdq-error"));
    }

    #[test]
    fn the_story_that_make_run_reports_is_a_good_one() {
        passes(&story::with_devices(faulting("story"), Model::Distributed));
    }
}

/// What only an SMMU with a Realm side shows. The module's name ends as that of the other tests on that
/// machine, which `make test QUICK=1` leaves out by it.
mod only_realm {
    use super::*;

    #[test]
    fn the_story_that_make_run_reports_is_a_good_one() {
        passes(&story::with_devices(faulting("story"), Model::REALM));
    }

    #[test]
    fn the_realm_side_is_out_of_reach_of_host_and_devices() {
        passes(&faulting("isolation").on(Model::REALM).host_edus(&[SECOND]));
    }

    #[test]
    fn a_loss_is_an_error_where_it_was_however_the_host_reads() {
        passes(&faulting("losses").on(Model::REALM));
    }

    #[test]
    fn msis_come_for_an_empty_queue_and_an_aborted_one_is_an_error() {
        passes(&faulting("msi").on(Model::REALM_MSI));
    }
}

#[test]
fn a_scenario_that_does_not_exist_fails_with_exit_code_2() {
    let outcome = faulting("nonsense").run().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(!outcome.passed(), "{outcome}");
}

#[test]
fn a_scenario_that_fails_fails_with_its_own_exit_code() {
    // The device that it is about is not there.
    let outcome = faulting("bad-stream").run().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.code, 20, "{outcome}");
    assert!(outcome.last_line_of_host().starts_with("FAIL bad-stream: "), "{outcome}");
}

#[test]
fn two_boots_of_one_name_at_once_have_logs_of_their_own() {
    let boot = faulting("burst 1");
    let [first, second] = std::thread::scope(|scope| {
        [0, 1]
            .map(|_| scope.spawn(|| boot.run().unwrap_or_else(|error| panic!("{error}"))))
            .map(|thread| thread.join().expect("no panic"))
    });
    assert!(first.passed(), "{first}");
    assert!(second.passed(), "{second}");
    assert_ne!(first.log, second.log);
}
