// SPDX-License-Identifier: MIT OR Apache-2.0

//! A Linux as the host: where it lies in memory, and what its initramfs says of the scenarios.
//!
//! `tests/linux/init` marks the lines that are for people with `| `. Of these, `| PASS name: text` and
//! `| FAIL name: text` are the verdicts of the scenarios, and `| END` is the last line of all.

use std::path::PathBuf;
use std::time::Duration;

use crate::boot::{Boot, BootError};
use crate::machine::Model;
use crate::place;

/// Where the shim of `tests/linux/shim.S` expects the kernel, an arm64 `Image`.
pub const KERNEL: u64 = 0x4400_0000;
/// Where it expects the device tree.
pub const DEVICE_TREE: u64 = 0x4900_0000;
/// Where the device tree says that the initramfs is.
pub const INITRD: u64 = 0x4A00_0000;

/// How long a boot with all scenarios may take.
pub const LIMIT: Duration = Duration::from_secs(400);

/// PCI slots of the `edu` devices of the Realm world: StreamIDs 8 and 16 with a stream table entry, 40
/// without a valid one, 64 without a level-2 table.
pub const EDUS: [u32; 4] = [1, 2, 5, 8];
/// PCI slot of the host's own `edu` device, where the SMMU has two sides: StreamID 24.
pub const HOST_EDUS: [u32; 1] = [3];

const MARK: &str = "| ";
const END: &str = "END";

/// What to boot.
#[derive(Clone, Debug)]
pub struct Linux {
    /// BL1 and the FIP, with the shim as BL33.
    pub flash: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The device tree.
    pub device_tree: PathBuf,
    /// The initramfs, if there is one.
    pub initrd: Option<PathBuf>,
    /// Number of CPUs.
    pub cpus: u32,
    /// The QEMU.
    pub model: Model,
}

impl Default for Linux {
    fn default() -> Self {
        let none = PathBuf::new;
        Self {
            flash: none(),
            kernel: none(),
            device_tree: none(),
            initrd: None,
            cpus: 2,
            model: Model::Distributed,
        }
    }
}

impl Linux {
    /// Returns what `tools/linux build` has made for a model, on two CPUs.
    ///
    /// # Errors
    /// As [`place::build`].
    pub fn built(model: Model) -> Result<Self, BootError> {
        Self::with_tree(model, "machine", 2)
    }

    /// Returns the same on one CPU, for the scenario that counts instructions.
    ///
    /// # Errors
    /// As [`place::build`].
    pub fn counting(model: Model) -> Result<Self, BootError> {
        Self::with_tree(model, "cost", 1)
    }

    fn with_tree(model: Model, name: &str, cpus: u32) -> Result<Self, BootError> {
        let folder = place::build()?.join("linux");
        let initrd = Some(folder.join("initramfs.cpio.gz"));
        let (flash, kernel) = (folder.join("flash.bin"), folder.join("Image"));
        let device_tree = folder.join(format!("{name}-{}.dtb", model.name()));
        Ok(Self { flash, kernel, device_tree, initrd, cpus, model })
    }

    /// Returns the machine without the kernel, for its device tree.
    #[must_use]
    pub fn machine(&self) -> Boot {
        let boot =
            Boot::new("linux", self.flash.clone()).cpus(self.cpus).on(self.model).edus(&EDUS);
        match self.model {
            Model::Distributed => boot,
            Model::Realm { .. } => boot.host_edus(&HOST_EDUS),
        }
    }

    /// Returns the boot, whose logs are named `name`.
    #[must_use]
    pub fn boot(&self, name: &str) -> Boot {
        let files = [(&self.kernel, KERNEL), (&self.device_tree, DEVICE_TREE)];
        let files = files.into_iter().chain(self.initrd.iter().map(|initrd| (initrd, INITRD)));
        files.fold(self.machine().named(name).limit(LIMIT), |boot, (file, address)| {
            boot.load(file.clone(), address)
        })
    }
}

/// Returns what a person sees of a line of the serial output, if anything.
#[must_use]
pub fn shown(line: &str) -> Option<&str> {
    line.strip_prefix(MARK).filter(|&line| line != END)
}

/// The verdicts of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts<'a> {
    lines: Vec<(&'a str, bool, &'a str)>,
    ended: bool,
}

impl<'a> Verdicts<'a> {
    /// Finds them in the serial output.
    #[must_use]
    pub fn of(serial: &'a str) -> Self {
        let marked = serial.lines().filter_map(|line| line.trim_end().strip_prefix(MARK));
        let verdict = |line: &'a str| {
            let (passed, line) = match line.strip_prefix("PASS ") {
                Some(line) => (true, line),
                None => (false, line.strip_prefix("FAIL ")?),
            };
            let (name, text) = line.split_once(": ").unwrap_or((line, ""));
            Some((name, passed, text))
        };
        Self {
            lines: marked.clone().filter_map(verdict).collect(),
            ended: marked.clone().any(|line| line == END),
        }
    }

    /// Returns whether the scenario passed, and what it says; nothing if there is no verdict.
    #[must_use]
    pub fn of_scenario(&self, name: &str) -> Option<(bool, &'a str)> {
        let line = self.lines.iter().find(|&&(of, ..)| of == name);
        line.map(|&(_, passed, text)| (passed, text))
    }

    /// Returns why the boot as a whole has not passed, if it has not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if let Some((name, _, text)) = self.lines.iter().find(|&&(_, passed, _)| !passed) {
            Some(format!("{name}: {text}"))
        } else if !self.ended {
            Some("the kernel ended before its scenarios did".into())
        } else if self.lines.is_empty() {
            Some("no scenario was run".into())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_passes_when_all_scenarios_have_and_it_has_ended() {
        let serial =
            "[ 0.1] x\r\n| PASS burst: 512 events\r\nnoise\n| PASS rmmod: 0 leaked\n| END\n";
        let verdicts = Verdicts::of(serial);
        assert_eq!(verdicts.failure(), None);
        assert_eq!(verdicts.of_scenario("burst"), Some((true, "512 events")));
        assert_eq!(verdicts.of_scenario("storm"), None);
    }

    #[test]
    fn a_failed_missing_or_unfinished_scenario_fails_the_boot() {
        for serial in ["| PASS a: b\n| FAIL c: d\n| END\n", "| PASS a: b\n", "| END\n", ""] {
            assert!(Verdicts::of(serial).failure().is_some(), "{serial:?}");
        }
    }

    #[test]
    fn only_marked_lines_are_shown() {
        assert_eq!(shown("| text"), Some("text"));
        assert_eq!(shown("| END"), None);
        assert_eq!(shown("[ 1.0] text"), None);
    }
}
