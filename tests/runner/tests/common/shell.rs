// SPDX-License-Identifier: MIT OR Apache-2.0

//! For tests that run programs, the tools of the source tree among them.

// Each test has a copy of its own.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::Command;

use boot_runner::place;

/// Returns the source tree.
pub fn repository() -> PathBuf {
    place::workspace().expect("run by cargo")
}

/// Runs a program that must succeed, and returns its output.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns whether the toolchain at hand makes images with landing pads: one that builds core too does.
pub fn has_landing_pads() -> bool {
    let mut tool = Command::new(repository().join("tools/firmware-cargo"));
    tool.args(["has", "landing-pads"]).status().expect("it is there").success()
}
