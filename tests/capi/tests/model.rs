// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model's header for C, used by C: `c/model.c`, whose memory one test has at a time.

use std::sync::{Mutex, PoisonError};

// Its functions are what C calls.
use capi_tests as _;

#[link(name = "model_in_c", kind = "static")]
unsafe extern "C" {
    fn model_has_outcomes() -> i32;
    fn model_has_configurations() -> i32;
    fn model_names_what_was_broken() -> i32;
}

static MEMORY: Mutex<()> = Mutex::new(());

#[test]
fn c_learns_what_came_of_a_transaction() {
    let _memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the memory of `model.c` is this test's for now.
    assert_eq!(unsafe { model_has_outcomes() }, 0, "the line of model.c");
}

#[test]
fn c_chooses_what_kind_of_smmu_it_is() {
    let _memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the memory of `model.c` is this test's for now.
    assert_eq!(unsafe { model_has_configurations() }, 0, "the line of model.c");
}

#[test]
fn c_learns_which_rule_was_broken() {
    let _memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the memory of `model.c` is this test's for now.
    assert_eq!(unsafe { model_names_what_was_broken() }, 0, "the line of model.c");
}
