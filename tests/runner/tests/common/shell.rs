// SPDX-License-Identifier: MIT OR Apache-2.0

//! For tests that run the tools of the source tree.

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
