// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine that is booted, as QEMU's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Which QEMU, and what its SMMU has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// As distributed: one programming interface.
    #[default]
    Distributed,
    /// As `tools/qemu` builds it: a Non-secure and a Realm one.
    Realm {
        /// The SMMU has MSIs too, on both sides.
        msi: bool,
    },
}

impl Model {
    /// The machine with a Realm side, and wired interrupts alone.
    pub const REALM: Self = Self::Realm { msi: false };
    /// The same machine with MSIs, of both sides of its SMMU.
    pub const REALM_MSI: Self = Self::Realm { msi: true };

    const ALL: [Self; 3] = [Self::Distributed, Self::REALM, Self::REALM_MSI];

    /// Returns the model of this name: `qemu`, `realm`, or `realm-msi`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Distributed => "qemu",
            Self::Realm { msi: false } => "realm",
            Self::Realm { msi: true } => "realm-msi",
        }
    }

    /// Returns the words behind `-M virt` that only this model has.
    const fn options(self) -> &'static str {
        match self {
            Self::Distributed => "",
            Self::Realm { msi: false } => ",realm-smmu=on",
            Self::Realm { msi: true } => ",realm-smmu=on,smmu-msi=on",
        }
    }
}

/// What differs from boot to boot.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The QEMU.
    pub model: Model,
    /// BL1 and the FIP.
    pub flash: PathBuf,
    /// Number of CPUs.
    pub cpus: u32,
    /// PCI slots of the `edu` devices of the Realm world; a device's StreamID is eight times its slot.
    pub edus: Vec<u32>,
    /// PCI slots of the host's own `edu` devices. On the distributed model, all are alike.
    pub host_edus: Vec<u32>,
    /// The host's command line, by semihosting; its first word is the image's name.
    pub words: Vec<String>,
    /// Files that are in memory from the start, and their PAs.
    pub loads: Vec<(PathBuf, u64)>,
    /// The counters count instructions, and sleeping takes no time. For one CPU.
    pub counts_instructions: bool,
}

/// Where a serial port goes.
#[derive(Clone, Copy, Debug)]
pub enum Serial<'a> {
    /// QEMU's own standard input and output.
    Stdio,
    /// A file.
    File(&'a Path),
}

impl Machine {
    /// Returns QEMU's arguments. `serial` is the UART that EL3, RMM and host share; `secure` the one that
    /// EL3 dumps to when it crashes.
    #[must_use]
    pub fn arguments(&self, serial: Serial<'_>, secure: &Path) -> Vec<OsString> {
        // ACPI tables and a network card are of no use here.
        let mut virt =
            String::from("virt,virtualization=on,secure=on,gic-version=3,iommu=smmuv3,acpi=off");
        virt += self.model.options();
        let mut arguments: Vec<OsString> = vec!["-M".into(), virt.into()];
        arguments.extend(
            [
                "-cpu",
                "max,x-rme=on",
                "-m",
                "2G",
                "-nic",
                "none",
                "-display",
                "none",
                "-monitor",
                "none",
                "-parallel",
                "none",
                "-smp",
            ]
            .map(OsString::from),
        );
        arguments.push(self.cpus.to_string().into());
        arguments.extend(["-bios".into(), self.flash.clone().into()]);
        let edus = self.edus.iter().map(|slot| (slot, self.model != Model::Distributed));
        for (slot, is_realm) in edus.chain(self.host_edus.iter().map(|slot| (slot, false))) {
            // A DMA mask of fewer bits would be cut out of the addresses.
            let mut device = format!("edu,dma_mask=0xffffffffffffffff,addr={slot:#x}");
            if is_realm {
                device += ",realm=on";
            }
            arguments.extend(["-device".into(), device.into()]);
        }
        if self.counts_instructions {
            arguments.extend(["-icount".into(), "shift=0,sleep=off".into()]);
        }
        for (file, address) in &self.loads {
            let mut load = OsString::from("loader,force-raw=on,file=");
            load.push(escaped(file));
            load.push(format!(",addr={address:#x}"));
            arguments.extend(["-device".into(), load]);
        }
        let mut semihosting = String::from("enable=on,target=native");
        for word in &self.words {
            semihosting += ",arg=";
            semihosting += &word.replace(',', ",,");
        }
        arguments.extend(["-semihosting-config".into(), semihosting.into()]);
        for port in [serial, Serial::File(secure)] {
            arguments.push("-serial".into());
            arguments.push(match port {
                Serial::Stdio => "stdio".into(),
                Serial::File(path) => {
                    let mut port = OsString::from("file:");
                    port.push(path);
                    port
                }
            });
        }
        arguments
    }
}

impl Machine {
    /// Returns QEMU's arguments to write the machine's device tree to `file` and end.
    #[must_use]
    pub fn device_tree_arguments(&self, file: &Path) -> Vec<OsString> {
        let nowhere = Path::new("/dev/null");
        let mut arguments = self.arguments(Serial::File(nowhere), nowhere);
        let machine = arguments.iter_mut().skip_while(|word| *word != "-M").nth(1);
        if let Some(machine) = machine {
            machine.push(",dumpdtb=");
            machine.push(escaped(file));
        }
        arguments
    }
}

/// Writes a path as the value of an option, in which a comma stands doubled.
fn escaped(path: &Path) -> OsString {
    path.as_os_str().to_string_lossy().replace(',', ",,").into()
}
