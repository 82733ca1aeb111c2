// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sources of a PSMMU's interrupts, one interrupt each.

use core::fmt;

use psmmu_abi::IrqSet;

use crate::msi::MsiError;

/// A source of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Event queue.
    Eventq,
    /// Global errors.
    Gerror,
    /// PRI queue; only of an SMMU with page requests.
    Priq,
}

impl Source {
    /// All of them, in the order of [`Vectors`](crate::Vectors).
    pub const ALL: [Self; 3] = [Self::Eventq, Self::Gerror, Self::Priq];

    /// Returns those of an SMMU with page requests if `pri`, else without.
    pub fn of(pri: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |&source| pri || source != Self::Priq)
    }

    /// Returns the set of this one alone, which is how a call names it.
    #[must_use]
    pub const fn set(self) -> IrqSet {
        match self {
            Self::Eventq => IrqSet::EVENTQ,
            Self::Gerror => IrqSet::GERROR,
            Self::Priq => IrqSet::PRIQ,
        }
    }

    /// Returns what goes unreported without it.
    const fn reports(self) -> &'static str {
        match self {
            Self::Eventq => "events",
            Self::Gerror => "errors",
            Self::Priq => "page requests",
        }
    }
}

impl From<Source> for IrqSet {
    fn from(source: Source) -> Self {
        source.set()
    }
}

impl fmt::Display for Source {
    /// Writes the architecture's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eventq => "EVENTQ",
            Self::Gerror => "GERROR",
            Self::Priq => "PRIQ",
        })
    }
}

/// A GIC interrupt number: what the RMM names, and not yet a number of the kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntId(pub u32);

impl IntId {
    /// Takes the number of a [`PsmmuInfo`](psmmu_abi::PsmmuInfo) slot, in which 0 means none.
    #[must_use]
    pub const fn from_slot(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Returns whether this is a shared peripheral interrupt, 32 to 1019 or 4096 to 5119, the only kind
    /// that the wire of an SMMU can have.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self.0, 32..=1019 | 4096..=5119)
    }
}

impl fmt::Display for IntId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a source, or all of them, will not interrupt. It works all the same once it is polled:
/// [`Interrupts::polled`](crate::Interrupts::polled) names those to be serviced by a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// It has no interrupt number.
    Missing(Source),
    /// It has a number that no wire can have.
    NotShared(Source, IntId),
    /// The Realm side interrupts by MSIs, and the kernel has none that can be described to the RMM. Then
    /// no source interrupts, as the RMM takes the MSIs of all sources or of none.
    NoMsi(MsiError),
}

impl Warning {
    /// Returns the source that it is about; of [`NoMsi`](Self::NoMsi) the first whose MSI is unfit.
    #[must_use]
    pub const fn source(self) -> Source {
        match self {
            Self::Missing(source) | Self::NotShared(source, _) => source,
            Self::NoMsi(error) => error.source(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(source) => write!(f, "no interrupt for {source} of the Realm side")?,
            Self::NotShared(source, intid) => {
                write!(f, "{intid} cannot be the interrupt for {source} of the Realm side")?;
            }
            Self::NoMsi(error) => {
                return write!(
                    f,
                    "{error}: nothing is reported of it unless all sources are polled"
                );
            }
        }
        write!(f, ": {} are not reported unless it is polled", self.source().reports())
    }
}
