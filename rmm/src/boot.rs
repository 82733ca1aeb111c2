// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks the arguments that EL3 passes to the RMM at boot.
//!
//! EL3 enters the RMM once on the first CPU (cold) with the arguments below, and once on each other
//! CPU (warm). The RMM ends each entry by the call `RMM_BOOT_COMPLETE` with a [`BootCode`].

use core::fmt;

use psmmu_abi::{GRANULE_SIZE, Version};

use crate::MAX_CPUS;
use crate::manifest::ManifestError;

/// `RMM_BOOT_COMPLETE`: X1 is the code, X2 the activation token. Returns with the first call of the host.
pub const RMM_BOOT_COMPLETE: u64 = 0xC400_01CF;

/// `RMI_REQ_COMPLETE`: X1 to X8 are returned to the host in X0 to X7. Returns with its next call.
pub const RMI_REQ_COMPLETE: u64 = 0xC400_018F;

/// Result of a boot, reported to EL3. After any code but success EL3 never enters the RMM again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum BootCode {
    /// The RMM is ready.
    Success = 0,
    /// An error without a code of its own.
    Unknown = -1,
    /// The version of the interface is not supported.
    Version = -2,
    /// There are more CPUs than the RMM serves.
    CpusOutOfRange = -3,
    /// The index of this CPU is out of range.
    CpuId = -4,
    /// The shared buffer is missing or not aligned.
    SharedBuffer = -5,
    /// The version of the manifest is not supported.
    ManifestVersion = -6,
    /// The manifest is inconsistent.
    ManifestData = -7,
}

/// Why a boot fails. EL3 receives its [code](Self::code), which several reasons may share; the boot log
/// has the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The version of the interface, X1, is not supported.
    Version(u64),
    /// There is no CPU, or there are more than [`MAX_CPUS`]: X2.
    CpusOutOfRange(u64),
    /// The index of this CPU, X0, is not below X2.
    CpuId(u64),
    /// The PA of the shared buffer, X3, is zero or not granule-aligned.
    SharedBuffer(u64),
    /// The shared buffer lies in the RMM's image, beyond the address space, or cannot be read.
    SharedBufferUnreadable(u64),
    /// The manifest is invalid.
    Manifest(ManifestError),
}

impl BootError {
    /// Returns the code for EL3.
    #[must_use]
    pub const fn code(&self) -> BootCode {
        match self {
            Self::Version(_) => BootCode::Version,
            Self::CpusOutOfRange(_) => BootCode::CpusOutOfRange,
            Self::CpuId(_) => BootCode::CpuId,
            Self::SharedBuffer(_) | Self::SharedBufferUnreadable(_) => BootCode::SharedBuffer,
            Self::Manifest(ManifestError::Version(_)) => BootCode::ManifestVersion,
            Self::Manifest(_) => BootCode::ManifestData,
        }
    }
}

impl From<ManifestError> for BootError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

impl fmt::Display for BootError {
    #[cfg_attr(core_from_source, optimize(size))]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(word) => write!(f, "RMM-EL3 interface {word:#x}, not 0.2 to 2.x"),
            Self::CpusOutOfRange(cpus) => write!(f, "{cpus} CPUs, not 1 to {}", MAX_CPUS as u64),
            Self::CpuId(cpu) => write!(f, "CPU {cpu} is not below the number of CPUs"),
            Self::SharedBuffer(address) => write!(f, "shared buffer at {address:#x}: no granule"),
            Self::SharedBufferUnreadable(address) => {
                write!(f, "shared buffer at {address:#x}: cannot be read")
            }
            Self::Manifest(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BootError {}

/// X0 to X4 of a cold boot, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BootArguments {
    /// Index of this CPU.
    pub cpu: u64,
    /// Version of the RMM-EL3 interface.
    pub version: u64,
    /// Number of CPUs of the platform.
    pub max_cpus: u64,
    /// PA of a granule of Realm memory that begins with the boot manifest.
    pub shared_buffer: u64,
    /// Activation token, from interface 2.0 on; undefined before.
    pub token: u64,
}

/// The checked arguments of a cold boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Version of the RMM-EL3 interface.
    pub version: Version,
    /// Number of CPUs of the platform, 1 to [`MAX_CPUS`].
    pub max_cpus: usize,
    /// PA of the boot manifest.
    pub manifest: u64,
    /// Activation token that `RMM_BOOT_COMPLETE` returns in X2; 0 before interface 2.0.
    pub token: u64,
}

impl BootArguments {
    /// Checks the arguments in the order of EL3's codes.
    ///
    /// Interfaces 0.2 to 2.x are supported: the calls that this RMM uses are the same in them.
    ///
    /// # Errors
    /// [`BootError`].
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn check(&self) -> Result<Interface, BootError> {
        let oldest = Version { major: 0, minor: 2 };
        let version = Version::try_from(self.version)
            .ok()
            .filter(|&version| version >= oldest && version.major <= 2)
            .ok_or(BootError::Version(self.version))?;
        let max_cpus = usize::try_from(self.max_cpus)
            .ok()
            .filter(|cpus| (1..=MAX_CPUS).contains(cpus))
            .ok_or(BootError::CpusOutOfRange(self.max_cpus))?;
        if self.cpu >= self.max_cpus {
            return Err(BootError::CpuId(self.cpu));
        }
        let granule = GRANULE_SIZE as u64;
        if self.shared_buffer == 0 || !self.shared_buffer.is_multiple_of(granule) {
            return Err(BootError::SharedBuffer(self.shared_buffer));
        }
        let token = if version.major >= 2 { self.token } else { 0 };
        Ok(Interface { version, max_cpus, manifest: self.shared_buffer, token })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// What TF-A 2.12.1 passes on QEMU.
    const QEMU: BootArguments = BootArguments {
        cpu: 0,
        version: 4,
        max_cpus: 0x20,
        shared_buffer: 0x418F_F000,
        token: 0xDEAD,
    };

    #[test]
    fn interfaces_from_0_2_to_2_x_are_accepted() {
        for (word, accepted) in [
            (0x0_0001, false),
            (0x0_0002, true),
            (0x0_0008, true),
            (0x1_0000, true),
            (0x2_0000, true),
            (0x2_0007, true),
            (0x3_0000, false),
            (1 << 31 | 2, false),
        ] {
            let checked = BootArguments { version: word, ..QEMU }.check();
            let expected = if accepted { Ok(()) } else { Err(BootError::Version(word)) };
            assert_eq!(checked.map(drop), expected, "{word:#x}");
        }
    }

    #[test]
    fn the_token_counts_from_interface_2_0_on() {
        assert_eq!(QEMU.check().unwrap().token, 0);
        let newer = BootArguments { version: 0x2_0000, ..QEMU };
        assert_eq!(newer.check().unwrap().token, 0xDEAD);
    }

    #[test]
    fn the_limits_are_in_the_reasons() {
        let reason = |error: BootError| std::string::ToString::to_string(&error);
        assert!(reason(BootError::CpusOutOfRange(33)).contains("1 to 32"));
        assert!(reason(ManifestError::TooManyBanks.into()).contains("8 banks"));
    }

    #[test]
    fn each_bad_argument_has_its_own_code() {
        for (arguments, code) in [
            (BootArguments { max_cpus: 0, ..QEMU }, BootCode::CpusOutOfRange),
            (BootArguments { max_cpus: 33, ..QEMU }, BootCode::CpusOutOfRange),
            (BootArguments { cpu: 0x20, ..QEMU }, BootCode::CpuId),
            (BootArguments { shared_buffer: 0, ..QEMU }, BootCode::SharedBuffer),
            (BootArguments { shared_buffer: 0x418F_F008, ..QEMU }, BootCode::SharedBuffer),
        ] {
            let checked = arguments.check().map_err(|error| error.code());
            assert_eq!(checked, Err(code), "{arguments:x?}");
        }
    }
}
