// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the host's granules.

#![forbid(unsafe_code)]

use psmmu_abi::GRANULE_SIZE;

/// A granule-aligned PA that the host named. Nothing else is known of it: it may be no memory, or not
/// the host's, or stop being the host's at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostGranule(u64);

impl HostGranule {
    /// Takes an address; `None` if it is not aligned to a granule.
    #[must_use]
    pub const fn new(address: u64) -> Option<Self> {
        if address.is_multiple_of(GRANULE_SIZE as u64) { Some(Self(address)) } else { None }
    }

    /// Returns the address.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0
    }
}

/// Says that a granule is not the host's memory, or was not when it was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the granule is not memory of the host")]
pub struct HostFault;

/// Copies words out of and into the host's granules.
pub trait HostMemory {
    /// Copies words of `granule` out, from word `first` on, each of them once; what the host changes
    /// later is not seen.
    ///
    /// # Errors
    /// [`HostFault`], also when the granule has not that many words; `words` is then undefined.
    fn read(&self, granule: HostGranule, first: usize, words: &mut [u64]) -> Result<(), HostFault>;

    /// Writes `words` to `granule` from word `first` on, and nothing else.
    ///
    /// # Errors
    /// [`HostFault`], also when the granule has not that many words; nothing is written unless the host
    /// moves the granule away meanwhile.
    fn write(&self, granule: HostGranule, first: usize, words: &[u64]) -> Result<(), HostFault>;

    /// Writes `words` to the beginning of `granule` and zero to all of the rest.
    ///
    /// # Errors
    /// [`HostFault`], as [`write`](Self::write).
    fn replace(&self, granule: HostGranule, words: &[u64]) -> Result<(), HostFault>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_aligned_addresses_name_a_granule() {
        assert_eq!(HostGranule::new(0x6000_1000).map(HostGranule::address), Some(0x6000_1000));
        assert_eq!(HostGranule::new(0x6000_1008), None);
        assert_eq!(HostGranule::new(u64::MAX), None);
    }
}
