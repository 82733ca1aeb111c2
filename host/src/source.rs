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

    /// Returns the sources of an SMMU, the PRI queue only if `pri`.
    pub fn of(pri: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |&source| pri || source != Self::Priq)
    }

    /// Returns the set of this source alone, as calls encode it.
    #[must_use]
    pub const fn set(self) -> IrqSet {
        match self {
            Self::Eventq => IrqSet::EVENTQ,
            Self::Gerror => IrqSet::GERROR,
            Self::Priq => IrqSet::PRIQ,
        }
    }

    /// Returns what is unreported without this source.
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

/// A GIC INTID as the RMM reports it, not an interrupt number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntId(pub u32);

impl IntId {
    /// Converts the number in a field of [`PsmmuInfo`](psmmu_abi::PsmmuInfo), in which 0 means none.
    #[must_use]
    pub const fn from_slot(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Returns whether this is a shared peripheral interrupt, 32 to 1019 or 4096 to 5119, the only kind
    /// that a wired interrupt of an SMMU can have.
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

/// Why one source, or all of them, cannot interrupt. They are then to be polled:
/// [`Interrupts::polled`](crate::Interrupts::polled) lists the sources to be serviced by a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// It has no interrupt number.
    Missing(Source),
    /// Its number cannot be that of a wired interrupt.
    NotShared(Source, IntId),
    /// The Realm side interrupts by MSIs, and the kernel has none that can be described to the RMM. No
    /// source interrupts then, as the RMM accepts MSIs for all sources or for none.
    NoMsi(MsiError),
}

impl Warning {
    /// Returns the source concerned; for [`NoMsi`](Self::NoMsi) the first whose MSI is invalid.
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
                return write!(f, "{error}: no source interrupts, all must be polled");
            }
        }
        write!(f, ": {} are not reported unless it is polled", self.source().reports())
    }
}
