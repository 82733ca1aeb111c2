// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boot tests: each boots the whole chain once, and the host test image runs one scenario in it. A
//! scenario's checks and exit code are in `tests/payload/src/scenario`.

use boot_runner::{Boot, BootError, place};

/// StreamID 8.
const FIRST: u32 = 1;
/// StreamID 16.
const SECOND: u32 = 2;
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
    Boot::new(&name.replace(' ', "-"), flash).scenario(scenario).edus(&[FIRST])
}

fn passes(boot: &Boot) {
    match boot.run() {
        Ok(outcome) if outcome.passed() => {}
        Ok(outcome) => panic!("{outcome}"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_single_event_reaches_the_host_by_its_interrupt() {
    passes(&faulting("burst 1"));
}

#[test]
fn a_burst_of_2_is_reported_once_and_in_order() {
    passes(&faulting("burst 2"));
}

#[test]
fn a_burst_of_32_is_reported_once_and_in_order() {
    passes(&faulting("burst 32"));
}

#[test]
fn a_burst_of_33_is_reported_once_and_in_order() {
    passes(&faulting("burst 33"));
}

#[test]
fn a_burst_of_200_is_reported_once_and_in_order() {
    passes(&faulting("burst 200"));
}

#[test]
fn a_burst_that_fills_the_queue_is_reported_once_and_in_order() {
    passes(&faulting("burst 512"));
}

#[test]
fn a_burst_of_reads_is_reported_as_reads() {
    passes(&faulting("burst 40 read"));
}

#[test]
fn two_devices_at_once_are_reported_in_the_order_of_their_faults() {
    passes(&faulting("two-devices").edus(&[FIRST, SECOND]));
}

#[test]
fn events_between_notify_and_consume_are_not_left_behind() {
    passes(&faulting("between"));
}

#[test]
fn an_overflow_keeps_what_fitted_and_is_one_error_and_events_flow_again() {
    passes(&faulting("overflow"));
}

#[test]
fn an_illegal_command_is_one_error_that_is_acknowledged_and_does_not_come_back() {
    passes(&faulting("cmdq-error"));
}

#[test]
fn bad_input_gets_its_status_changes_nothing_and_the_rmm_lives_on() {
    passes(&faulting("bad-input"));
}

#[test]
fn versions_features_and_configuration_are_answered_in_each_state() {
    passes(&faulting("config"));
}

#[test]
fn notify_peeks_and_consume_takes_what_was_reported() {
    passes(&faulting("peek"));
}

#[test]
fn four_cpus_come_up_go_off_come_back_and_call_at_the_same_time() {
    passes(&faulting("smp").cpus(4).edus(&[FIRST, SECOND]));
}

#[test]
fn a_stream_without_a_table_is_reported_without_an_address() {
    passes(&faulting("bad-stream").edus(&[WITHOUT_TABLE]));
}

#[test]
fn on_the_plain_image_every_stream_with_a_table_aborts_quietly() {
    passes(&plain("quiet").edus(&[FIRST, WITHOUT_TABLE]));
}

#[test]
fn a_psmmu_lives_a_hundred_times_and_no_granule_is_lost() {
    passes(&faulting("life").edus(&[FIRST, SECOND, WITHOUT_ENTRY, LAST]));
}

#[test]
fn whatever_goes_wrong_in_a_life_gets_its_status_and_loses_nothing() {
    passes(&faulting("life-faults"));
}

#[test]
fn four_cpus_delegate_donate_and_ask_at_once_and_nothing_is_lost() {
    passes(&faulting("life-smp").cpus(4).edus(&[FIRST, SECOND]));
}

#[test]
fn the_client_of_tf_a_tests_is_served() {
    passes(&faulting("tfa-tests"));
}

#[test]
fn the_order_of_linux_is_served() {
    passes(&faulting("linux").edus(&[FIRST, SECOND]));
}

#[test]
fn the_newest_linux_is_served_without_memory_and_through_20_kexecs() {
    passes(&faulting("linux-newest"));
}

#[test]
fn the_story_that_make_run_tells_is_a_good_one() {
    passes(&faulting("story").edus(&boot_runner::story::EDUS));
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
