// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plans the MSI vectors of an SMMU, and describes those of the Realm side to the RMM.
//!
//! The host allocates the vectors of the Realm side after its own, in the same order:
//!
//! | vector | without PRI | with PRI |
//! |---|---|---|
//! | 0 | EVENTQ | EVENTQ |
//! | 1 | GERROR | GERROR |
//! | 2 | EVENTQ of the Realm side | PRIQ |
//! | 3 | GERROR of the Realm side | EVENTQ of the Realm side |
//! | 4 | | GERROR of the Realm side |
//! | 5 | | PRIQ of the Realm side |
//!
//! Address and data of its own vectors are written to the Non-secure registers. Those of the Realm side
//! must not be: the RMM programs them as described by `PSMMU_ACTIVATE`.

use core::fmt;

use psmmu_abi::{MsiMessage, PsmmuParamsFields, PsmmuParamsFlags};

use crate::discover::Interrupts;
use crate::source::{Source, Warning};

/// Bits 51:2, the address field of an `IRQ_CFG0` register.
const ADDRESS: u64 = 0x000F_FFFF_FFFF_FFFC;

/// Security state whose queues and errors a vector serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityState {
    /// Non-secure: the vector may be programmed into the Non-secure registers.
    NonSecure,
    /// Realm: the vector is described to the RMM, which programs it.
    Realm,
}

/// Assignment of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector {
    /// Security state of the registers.
    pub state: SecurityState,
    /// Source of the interrupt.
    pub source: Source,
}

/// The MSI vectors of one SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    pri: bool,
    realm: bool,
}

/// An MSI that cannot be described to the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsiError {
    /// There is no MSI for this source of the Realm side.
    Missing(Source),
    /// Its address, in bytes, is zero, not a multiple of 4 or not below 2^52.
    Address(Source, u64),
    /// Its data does not fit 32 bits.
    Data(Source, u64),
    /// Page requests are requested, and the plan has no vector for PRIQ.
    NoPri,
}

impl MsiError {
    /// Returns the source that it is about.
    #[must_use]
    pub const fn source(self) -> Source {
        match self {
            Self::Missing(source) | Self::Address(source, _) | Self::Data(source, _) => source,
            Self::NoPri => Source::Priq,
        }
    }
}

impl fmt::Display for MsiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(source) => write!(f, "no MSI for {source} of the Realm side"),
            Self::Address(source, address) => write!(
                f,
                "the MSI address for {source} of the Realm side is {address:#x}; it must be a nonzero multiple of 4 below 2^52"
            ),
            Self::Data(source, data) => write!(
                f,
                "the MSI data for {source} of the Realm side is {data:#x}; it must fit 32 bits"
            ),
            Self::NoPri => f.write_str("page requests need vectors for PRIQ in the plan"),
        }
    }
}

impl core::error::Error for MsiError {}

impl Vectors {
    /// Plans the vectors of an SMMU, with PRIQ if `pri`, whose Realm side interrupts by `interrupts`.
    #[must_use]
    pub const fn new(pri: bool, interrupts: &Interrupts) -> Self {
        Self { pri, realm: matches!(interrupts, Interrupts::Msi) }
    }

    /// Returns the number of sources in each security state.
    const fn each(self) -> usize {
        if self.pri { 3 } else { 2 }
    }

    /// Returns the number of vectors to allocate: 2, or 3 with PRI; twice that with a Realm side that
    /// uses MSIs.
    #[must_use]
    pub const fn count(self) -> usize {
        self.each() * if self.realm { 2 } else { 1 }
    }

    /// Returns the assignment of vector `index`, or `None` if it does not exist.
    #[must_use]
    pub fn vector(self, index: usize) -> Option<Vector> {
        let each = self.each();
        let (state, place) = match index.checked_sub(each) {
            None => (SecurityState::NonSecure, index),
            Some(place) => (SecurityState::Realm, place),
        };
        let source = Source::of(self.pri).nth(place).filter(|_| index < self.count())?;
        Some(Vector { state, source })
    }

    /// Returns the vectors with their indexes.
    pub fn all(self) -> impl Iterator<Item = (usize, Vector)> {
        (0..self.count()).filter_map(move |index| Some((index, self.vector(index)?)))
    }

    /// Returns the index of `vector`, if the plan has it.
    #[must_use]
    pub fn index(self, vector: Vector) -> Option<usize> {
        self.all().find_map(|(index, planned)| (planned == vector).then_some(index))
    }

    /// Returns whether the MSI of vector `index` may be written to the Non-secure registers. Those
    /// of the Realm side, and indexes that do not exist, may not.
    #[must_use]
    pub fn may_be_programmed(self, index: usize) -> bool {
        self.vector(index).is_some_and(|vector| vector.state == SecurityState::NonSecure)
    }

    /// Builds the parameters of `PSMMU_ACTIVATE` from the MSI of each vector, by index.
    ///
    /// ATS and PRI in `flags` are the requested features; MSI is added if the Realm side interrupts by
    /// MSIs. The MSI of PRIQ is described only with PRI, which an RMM may reject even if the SMMU
    /// implements it.
    ///
    /// # Errors
    /// [`MsiError`], which names the source.
    pub fn parameters(
        self,
        msis: impl Fn(usize) -> Option<MsiMessage>,
        flags: PsmmuParamsFlags,
    ) -> Result<PsmmuParamsFields, MsiError> {
        let mut params = PsmmuParamsFields { flags, ..crate::psmmu::PARAMS_NO_MSI };
        params.flags.set(PsmmuParamsFlags::MSI, self.realm);
        if !self.realm {
            return Ok(params);
        }
        let pri = flags.contains(PsmmuParamsFlags::PRI);
        if pri && !self.pri {
            return Err(MsiError::NoPri);
        }
        for source in Source::of(pri) {
            let index = self.index(Vector { state: SecurityState::Realm, source });
            let msi = index.and_then(&msis).ok_or(MsiError::Missing(source))?;
            if msi.address == 0 || msi.address & !ADDRESS != 0 {
                return Err(MsiError::Address(source, msi.address));
            }
            if msi.data > u32::MAX.into() {
                return Err(MsiError::Data(source, msi.data));
            }
            *match source {
                Source::Eventq => &mut params.eventq,
                Source::Gerror => &mut params.gerror,
                Source::Priq => &mut params.priq,
            } = msi;
        }
        Ok(params)
    }

    /// As [`parameters`](Self::parameters), for a kernel that may have no MSIs: if one is missing or
    /// invalid, returns parameters without MSIs and a warning with the reason, and sets `interrupts`,
    /// which the plan was made from, to [`Interrupts::Polled`].
    #[must_use = "the sources must be polled if there is a warning"]
    pub fn parameters_or_polled(
        self,
        interrupts: &mut Interrupts,
        msis: impl Fn(usize) -> Option<MsiMessage>,
        flags: PsmmuParamsFlags,
    ) -> (PsmmuParamsFields, Option<Warning>) {
        match self.parameters(msis, flags) {
            Ok(params) => (params, None),
            Err(error) => {
                *interrupts = Interrupts::Polled;
                let flags = flags - PsmmuParamsFlags::MSI;
                let params = PsmmuParamsFields { flags, ..crate::psmmu::PARAMS_NO_MSI };
                (params, Some(Warning::NoMsi(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    const fn msi(index: usize) -> MsiMessage {
        MsiMessage { address: 0x0808_0040, data: 0x20 + index as u64 }
    }

    fn plan(pri: bool, interrupts: Interrupts) -> Vec<(SecurityState, Source)> {
        let vectors = Vectors::new(pri, &interrupts);
        let all: Vec<_> = vectors.all().map(|(_, v)| (v.state, v.source)).collect();
        assert_eq!(all.len(), vectors.count());
        for (index, vector) in vectors.all() {
            assert_eq!(vectors.index(vector), Some(index));
        }
        all
    }

    #[test]
    fn realm_vectors_follow_those_of_the_host_in_the_same_order() {
        use SecurityState::{NonSecure, Realm};
        use Source::{Eventq, Gerror, Priq};
        assert_eq!(
            plan(false, Interrupts::Msi),
            [(NonSecure, Eventq), (NonSecure, Gerror), (Realm, Eventq), (Realm, Gerror)]
        );
        assert_eq!(
            plan(true, Interrupts::Msi),
            [
                (NonSecure, Eventq),
                (NonSecure, Gerror),
                (NonSecure, Priq),
                (Realm, Eventq),
                (Realm, Gerror),
                (Realm, Priq)
            ]
        );
    }

    #[test]
    fn without_msis_of_the_realm_side_no_vector_is_doubled() {
        assert_eq!(plan(false, Interrupts::Polled).len(), 2);
        assert_eq!(plan(true, Interrupts::Absent).len(), 3);
    }

    #[test]
    fn only_non_secure_vectors_may_be_programmed_by_the_host() {
        for (pri, own) in [(false, 2), (true, 3)] {
            let vectors = Vectors::new(pri, &Interrupts::Msi);
            for index in 0..10 {
                assert_eq!(vectors.may_be_programmed(index), index < own, "{pri} {index}");
            }
        }
    }

    #[test]
    fn the_parameters_describe_the_realm_sides_msis_only() {
        let vectors = Vectors::new(true, &Interrupts::Msi);
        let with = |flags| vectors.parameters(|index| Some(msi(index)), flags).unwrap();
        let plain = with(PsmmuParamsFlags::empty());
        assert_eq!(plain.flags, PsmmuParamsFlags::MSI);
        assert_eq!((plain.eventq, plain.gerror), (msi(3), msi(4)));
        assert_eq!(plain.priq, MsiMessage::default(), "without PRI");
        let pri = with(PsmmuParamsFlags::PRI);
        assert_eq!(pri.flags, PsmmuParamsFlags::MSI | PsmmuParamsFlags::PRI);
        assert_eq!(pri.priq, msi(5));
    }

    #[test]
    fn without_msis_the_parameters_describe_none() {
        let vectors = Vectors::new(true, &Interrupts::Polled);
        let params = vectors.parameters(|_| None, PsmmuParamsFlags::MSI).unwrap();
        assert_eq!(params, crate::psmmu::PARAMS_NO_MSI);
    }

    #[test]
    fn without_valid_msis_there_is_a_warning_and_all_is_polled() {
        let asked = PsmmuParamsFlags::PRI | PsmmuParamsFlags::MSI;
        let only = |wanted: usize| move |index| (index == wanted).then(|| msi(index));
        let invalid = |_| Some(MsiMessage { address: 2, data: 0 });
        let cases: [(&dyn Fn(usize) -> Option<MsiMessage>, _); 3] = [
            (&|_| None, MsiError::Missing(Source::Eventq)),
            (&only(3), MsiError::Missing(Source::Gerror)),
            (&invalid, MsiError::Address(Source::Eventq, 2)),
        ];
        for (msis, error) in cases {
            let mut interrupts = Interrupts::Msi;
            let vectors = Vectors::new(true, &interrupts);
            let (params, warning) = vectors.parameters_or_polled(&mut interrupts, msis, asked);
            assert_eq!(warning, Some(Warning::NoMsi(error)));
            let flags = PsmmuParamsFlags::PRI;
            assert_eq!(params, PsmmuParamsFields { flags, ..crate::psmmu::PARAMS_NO_MSI });
            assert!(interrupts.polled(true).eq(Source::ALL));
        }
        assert_eq!(
            Warning::NoMsi(MsiError::Missing(Source::Eventq)).to_string(),
            "no MSI for EVENTQ of the Realm side: no source interrupts, all must be polled"
        );
        let mut interrupts = Interrupts::Msi;
        let vectors = Vectors::new(true, &interrupts);
        let all = |index| Some(msi(index));
        let (params, warning) = vectors.parameters_or_polled(&mut interrupts, all, asked);
        assert_eq!((params.flags, warning, interrupts), (asked, None, Interrupts::Msi));
        assert_eq!(interrupts.polled(true).count(), 0);
    }

    #[test]
    fn an_invalid_msi_is_an_error_that_names_its_source() {
        let vectors = Vectors::new(false, &Interrupts::Msi);
        let with = |changed: usize, to: Option<MsiMessage>| {
            let msis = |index| if index == changed { to } else { Some(msi(index)) };
            vectors.parameters(msis, PsmmuParamsFlags::empty()).unwrap_err()
        };
        let address = |address| Some(MsiMessage { address, data: 0 });
        assert_eq!(with(2, None), MsiError::Missing(Source::Eventq));
        assert_eq!(with(2, address(0)), MsiError::Address(Source::Eventq, 0));
        assert_eq!(with(3, address(6)), MsiError::Address(Source::Gerror, 6));
        assert_eq!(with(3, address(1 << 52)), MsiError::Address(Source::Gerror, 1 << 52));
        let wide = Some(MsiMessage { address: 4, data: 1 << 32 });
        let error = with(3, wide);
        assert_eq!(
            error.to_string(),
            "the MSI data for GERROR of the Realm side is 0x100000000; it must fit 32 bits"
        );
        assert_eq!(vectors.parameters(|_| None, PsmmuParamsFlags::PRI), Err(MsiError::NoPri));
    }
}
