// SPDX-License-Identifier: MIT OR Apache-2.0

//! Probes the RMM for its ABI version, granule size and device assignment, and activates it.

use core::fmt;

use psmmu_abi::features::{Register1, Register2};
use psmmu_abi::{Status, Version};

use crate::donor::MemoryDonor;
use crate::memory::{Memory, Page};
use crate::operation::{OperationError, TransferStats};
use crate::rmi::{Command, Conduit, Rmi, RmiError};

/// Index of the feature register of granule sizes.
const GRANULES: u64 = 1;
/// Index of the feature register of devices.
const DEVICES: u64 = 2;

/// Capabilities of the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The highest RMI version that it implements.
    pub version: Version,
    /// Its device features, which include device assignment.
    pub devices: Register2,
}

/// Why the RMM cannot serve a physical SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// It has another version, does not exist, or gave an unexpected answer.
    Rmi(RmiError),
    /// Its granules are of another size: feature register 1.
    Granules(Register1),
    /// It does not support device assignment: feature register 2.
    Devices(Register2),
    /// It was already configured and active, with another granule size: both words of the configuration.
    Configured([u64; 2]),
    /// It could not be activated.
    Activation(OperationError),
}

impl From<RmiError> for StartError {
    fn from(error: RmiError) -> Self {
        Self::Rmi(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rmi(error) => error.fmt(f),
            Self::Granules(register) => write!(
                f,
                "granules of 4 KiB are needed, bit 0 of feature register 1; the RMM has {:#x}",
                register.bits()
            ),
            Self::Devices(register) => write!(
                f,
                "device assignment is needed, bit 0 of feature register 2; the RMM has {:#x}",
                register.bits()
            ),
            Self::Configured([region, granule]) => write!(
                f,
                "the RMM is active with tracking region size {region} and granule size {granule}; \
                 granule size 0 is needed"
            ),
            Self::Activation(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {}

/// Probes whether the RMM can serve a physical SMMU. Changes no state.
///
/// # Errors
/// [`StartError`], with the value found and the one required.
pub fn probe<C: Conduit>(rmi: &Rmi<C>) -> Result<Capabilities, StartError> {
    let version = rmi.version()?;
    if version < Version::RMI_2_0 {
        // It accepted RMI 2.0 and reports a range of versions without it.
        return Err(RmiError::Version(version, version).into());
    }
    let granules = Register1::from_bits_retain(rmi.features(GRANULES)?);
    if !granules.contains(Register1::GRANULE_4K) {
        return Err(StartError::Granules(granules));
    }
    let devices = Register2::from_bits_retain(rmi.features(DEVICES)?);
    if !devices.contains(Register2::DEVICE_ASSIGNMENT) {
        return Err(StartError::Devices(devices));
    }
    Ok(Capabilities { version, devices })
}

/// Result of [`start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Capabilities of the RMM.
    pub capabilities: Capabilities,
    /// It was active already, for example after a `kexec`.
    pub was_active: bool,
    /// The memory donated to it.
    pub stats: TransferStats,
}

/// Probes the RMM, configures it for granules of 4 KiB and tracking regions of 1 GiB, and activates it.
/// An RMM that is active already is used unchanged, if its granules are of 4 KiB.
///
/// The configuration is passed in `page`; the caller owns `page` again on return.
///
/// # Errors
/// [`StartError`], with the value found and the one required.
pub fn start<C: Conduit, M: Memory, P: Page, const RANGES: usize>(
    rmi: &Rmi<C>,
    donor: &mut MemoryDonor<M, P, RANGES>,
    page: &mut impl Page,
) -> Result<Started, StartError> {
    let capabilities = probe(rmi)?;
    // Both fields zero: 1 GiB and 4 KiB.
    page.clear();
    match rmi.rmm_config_set(page.address()) {
        Ok(()) => {}
        Err(RmiError::Status(_, Status::ErrorGlobal)) => {
            page.clear();
            rmi.rmm_config_get(page.address())?;
            let [region, granule] = [page.word(0), page.word(1)];
            // One byte by the specification, eight by all hosts.
            if granule as u8 != 0 {
                return Err(StartError::Configured([region, granule]));
            }
            return Ok(Started { capabilities, was_active: true, stats: TransferStats::default() });
        }
        Err(error) => return Err(error.into()),
    }
    let stats = donor.run(rmi, Command::RmmActivate).map_err(StartError::Activation)?;
    Ok(Started { capabilities, was_active: false, stats })
}
