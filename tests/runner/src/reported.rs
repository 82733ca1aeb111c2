// SPDX-License-Identifier: MIT OR Apache-2.0

//! A boot on another machine than QEMU, made outside of this runner: what it left behind.

use std::path::PathBuf;
use std::time::Duration;

use crate::boot::{BootError, Outcome, text};

/// What `timeout` exits with when the time is over.
pub const TIMED_OUT: i32 = 124;

/// What is known of such a boot.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    /// Short name of the machine.
    pub machine: String,
    /// Its version.
    pub version: String,
    /// Its exit code, as `timeout` passes it on.
    pub code: i32,
    /// From start to end.
    pub took: Duration,
    /// What came out of the UARTs of host and RMM.
    pub logs: Vec<PathBuf>,
    /// What others had to say.
    pub asides: Vec<PathBuf>,
}

impl Reported {
    /// Reads the words of a command line: options, each with a value.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let mut reported = Self::default();
        for option in words.chunks(2) {
            let &[name, value] = option else { return Err(format!("{} wants a value", option[0])) };
            let wrong = |_| format!("{name} {value}: no number");
            match name {
                "--machine" => reported.machine = value.into(),
                "--version" => reported.version = value.into(),
                "--code" => reported.code = value.parse().map_err(wrong)?,
                "--seconds" => reported.took = Duration::from_secs(value.parse().map_err(wrong)?),
                "--log" => reported.logs.push(value.into()),
                "--aside" => reported.asides.push(value.into()),
                _ => return Err(format!("{name}: no such option")),
            }
        }
        if reported.machine.is_empty() || reported.logs.is_empty() {
            return Err("report wants --machine NAME and --log FILE".into());
        }
        Ok(reported)
    }

    /// Collects what the boot left behind. Not every machine passes the host's exit code on, so a host
    /// that says FAIL has failed whatever the code is.
    ///
    /// # Errors
    /// [`BootError::File`].
    pub fn outcome(&self) -> Result<Outcome, BootError> {
        let all = |paths: &[PathBuf]| -> Result<String, BootError> {
            paths.iter().map(|path| text(path)).collect()
        };
        let mut outcome = Outcome {
            code: self.code,
            timed_out: self.code == TIMED_OUT,
            serial: all(&self.logs)?,
            log: self.logs[0].clone(),
            asides: all(&self.asides)?,
            took: self.took,
        };
        if outcome.code == 0 && outcome.last_line_of_host().starts_with("FAIL ") {
            outcome.code = 1;
        }
        Ok(outcome)
    }
}
