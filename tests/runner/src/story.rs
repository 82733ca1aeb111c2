// SPDX-License-Identifier: MIT OR Apache-2.0

//! A boot as people want to read it: who is there, what the SMMU's interrupts are, what happened.

use std::fmt;
use std::process::Command;

use crate::boot::{Boot, BootError, Outcome};
use crate::machine::Model;
use crate::place;

/// Slots of the devices: StreamIDs 8 and 16, which have stream table entries, and 64, which has none.
pub const EDUS: [u32; 3] = [1, 2, 8];
/// Where there are two sides, the devices of the Realm world: StreamIDs 8 and 64.
pub const REALM_EDUS: [u32; 2] = [1, 8];
/// And the host's own: StreamID 16.
pub const HOST_EDUS: [u32; 1] = [2];

/// Puts the devices of the story into `boot`, and has it run on `model`.
#[must_use]
pub fn with_devices(boot: Boot, model: Model) -> Boot {
    match model {
        Model::Distributed => boot.on(model).edus(&EDUS),
        Model::Realm { .. } => boot.on(model).edus(&REALM_EDUS).host_edus(&HOST_EDUS),
    }
}

/// The boot that the story is about.
///
/// # Errors
/// [`BootError::NoWorkspace`].
pub fn boot(model: Model) -> Result<Boot, BootError> {
    // Two logs: the figures show the run on QEMU as distributed, whatever ran after it.
    let name = match model {
        Model::Distributed => "story",
        Model::Realm { .. } => "story-realm",
    };
    Ok(with_devices(Boot::new(name, place::flash()?).scenario("story"), model))
}

/// A boot, made readable.
pub struct Story<'a> {
    /// What it ran on: a short name, and its version.
    pub machine: (&'a str, &'a str),
    /// What came of the boot.
    pub outcome: &'a Outcome,
}

/// Returns QEMU's version.
#[must_use]
pub fn qemu_version(model: Model) -> String {
    let program = place::qemu_of(model).ok();
    let output = program.and_then(|program| Command::new(program).arg("--version").output().ok());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let words = text.lines().next().unwrap_or("of an unknown version");
    let version = words.trim_start_matches("QEMU emulator version ");
    match model {
        Model::Distributed => version.into(),
        Model::Realm { .. } => format!("{version}, with a Realm side of the SMMU"),
    }
}

impl Story<'_> {
    /// Returns the lines that begin with `prefix`, without it.
    fn lines_of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.outcome.serial.lines().filter_map(move |line| line.strip_prefix(prefix))
    }

    fn tf_a(&self) -> &str {
        self.lines_of("NOTICE:  BL31: ")
            .find(|line| line.starts_with('v'))
            .unwrap_or("did not start")
    }
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_event = |line: &&str| line.starts_with("event ") || line.starts_with("error ");
        let is_verdict = |line: &&str| line.starts_with("PASS ") || line.starts_with("FAIL ");
        let facts = |line: &&str| !is_event(line) && !is_verdict(line);
        let parts: [(&str, Vec<&str>); 4] = [
            (self.machine.0, vec![self.machine.1]),
            ("TF-A", vec![self.tf_a()]),
            ("RMM", self.lines_of("rmm: ").collect()),
            ("host", self.lines_of("host: ").filter(facts).collect()),
        ];
        for (who, lines) in &parts {
            for (index, line) in lines.iter().enumerate() {
                writeln!(f, "{:<6}{line}", if index == 0 { who } else { "" })?;
            }
        }
        writeln!(f)?;
        for line in self.lines_of("host: ").filter(is_event) {
            writeln!(f, "{line}")?;
        }
        writeln!(f)?;
        if self.outcome.passed() {
            writeln!(f, "serial log: {}", place::shown(&self.outcome.log))?;
        } else {
            writeln!(f, "{}\n", self.outcome)?;
        }
        write!(f, "{}", self.outcome.verdict())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    const SERIAL: &str = "NOTICE:  BL31: v2.12.1(release):rmi2\r\n\
        NOTICE:  BL31: Built : (reproducible)\r\n\
        rmm: rmm 0.1.0\r\nrmm: DRAM\r\nhost: RMI 2.0\r\n\
        host: event 0x02 C_BAD_STREAMID\r\nhost: PASS story: 1 events\r\n";

    fn outcome(serial: &str, code: i32) -> Outcome {
        Outcome {
            code,
            timed_out: false,
            serial: serial.into(),
            log: PathBuf::from("/somewhere/story.log"),
            asides: String::new(),
            took: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_passed_boot_is_shown_from_the_machine_to_the_verdict() {
        let story = Story { machine: ("QEMU", "10.0.2"), outcome: &outcome(SERIAL, 0) }.to_string();
        let lines: Vec<&str> = story.lines().collect();
        assert_eq!(
            lines,
            [
                "QEMU  10.0.2",
                "TF-A  v2.12.1(release):rmi2",
                "RMM   rmm 0.1.0",
                "      DRAM",
                "host  RMI 2.0",
                "",
                "event 0x02 C_BAD_STREAMID",
                "",
                "serial log: /somewhere/story.log",
                "PASS story: 1 events",
            ]
        );
    }

    #[test]
    fn a_failed_boot_shows_exit_code_last_lines_and_log() {
        let story = Story { machine: ("QEMU", ""), outcome: &outcome("ERROR:   no RMM\r\n", 1) }
            .to_string();
        assert!(story.contains("TF-A  did not start"), "{story}");
        assert!(story.contains("\n  ERROR:   no RMM\n"), "{story}");
        assert!(story.contains("\nserial log: /somewhere/story.log\n"), "{story}");
        assert!(story.ends_with("\nFAIL the host ended with 1 after 1.0 s"), "{story}");
    }

    #[test]
    fn a_verdict_and_its_exit_code_count_only_together() {
        assert!(outcome(SERIAL, 0).passed());
        assert!(!outcome(SERIAL, 11).passed());
        assert!(!outcome("host: RMI 2.0\r\n", 0).passed());
        assert_eq!(outcome("", 0).verdict(), "FAIL the host ended without a verdict after 1.0 s");
        assert!(!Outcome { timed_out: true, ..outcome(SERIAL, 0) }.passed());
    }
}
