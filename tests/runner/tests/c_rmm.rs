// SPDX-License-Identifier: MIT OR Apache-2.0

//! An RMM that is written in C, with `libpsmmu.a`, on the same chain and under the same host as the one in
//! Rust (`boot.rs`): everything that concerns INFO, NOTIFY and CONSUME. Its text is guarded by BTI.
//!
//! One of its two images brings the SMMU up itself, keeps the command queue, and attaches; the other has all
//! of that done by the library.

use boot_runner::{Boot, BootError, place};

/// StreamID 8.
const FIRST: u32 = 1;
/// StreamID 16.
const SECOND: u32 = 2;
/// StreamID 64, the first one without a level-2 stream table.
const WITHOUT_TABLE: u32 = 8;

/// How the SMMU of the RMM in C is brought up.
#[derive(Clone, Copy, Debug)]
enum Image {
    /// By the RMM, then attached.
    Attached,
    /// By the library.
    Activated,
}

/// Boots `image`; all of its scenarios have to pass.
fn passes(image: Image, scenario: &str, cpus: u32, edus: &[u32]) {
    let flash = place::c_flash(matches!(image, Image::Attached)).map_err(BootError::from);
    let flash = flash.unwrap_or_else(|error| panic!("{error}"));
    let name = format!("c-{image:?}-{scenario}").to_lowercase().replace(' ', "-");
    let boot = Boot::new(&name, flash).scenario(scenario).cpus(cpus).edus(edus);
    match boot.run() {
        Ok(outcome) if outcome.passed() => {}
        Ok(outcome) => panic!("{outcome}"),
        Err(error) => panic!("{error}"),
    }
}

/// A test for each image.
macro_rules! on_both_images {
    ($($name:ident: $scenario:literal, $cpus:literal, $edus:expr;)*) => {
        mod attached {
            use super::*;
            $(#[test] fn $name() { passes(Image::Attached, $scenario, $cpus, &$edus); })*
        }
        mod activated {
            use super::*;
            $(#[test] fn $name() { passes(Image::Activated, $scenario, $cpus, &$edus); })*
        }
    };
}

on_both_images! {
    a_single_event_reaches_the_host_by_its_interrupt: "burst 1", 1, [FIRST];
    a_burst_of_33_is_reported_once_and_in_order: "burst 33", 1, [FIRST];
    a_burst_that_fills_the_queue_is_reported_once_and_in_order: "burst 512", 1, [FIRST];
    a_burst_of_reads_is_reported_as_reads: "burst 40 read", 1, [FIRST];
    two_devices_are_reported_in_the_order_of_their_faults: "two-devices", 1, [FIRST, SECOND];
    events_between_notify_and_consume_are_not_left_behind: "between", 1, [FIRST];
    an_overflow_keeps_what_fitted_is_one_error_and_recovers: "overflow", 1, [FIRST];
    an_illegal_command_is_one_error_that_does_not_come_back: "cmdq-error", 1, [FIRST];
    bad_input_gets_its_status_and_changes_nothing: "bad-input", 1, [FIRST];
    versions_features_and_configuration_are_answered: "config", 1, [FIRST];
    notify_peeks_and_consume_takes_what_was_reported: "peek", 1, [FIRST];
    four_cpus_come_and_go_and_call_at_the_same_time: "smp", 4, [FIRST, SECOND];
    a_stream_without_a_table_is_reported_without_an_address: "bad-stream", 1, [WITHOUT_TABLE];
    the_story_is_a_good_one: "story", 1, boot_runner::story::EDUS;
}
