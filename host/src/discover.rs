// SPDX-License-Identifier: MIT OR Apache-2.0

//! Discovers whether an SMMU has a Realm side, and how that side interrupts the host.

use core::fmt;

use psmmu_abi::{Function, IrqDelivery, PsmmuInfoFields, Unknown};

use crate::memory::Page;
use crate::rmi::{Conduit, Rmi, RmiError};
use crate::source::{IntId, Source, Warning};

/// Bit 30 of SMMU_IDR0, RME_IMPL: the SMMU implements RME.
const IDR0_RME_IMPL: u32 = 1 << 30;

/// How the Realm side interrupts the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// No interrupts, as nothing is reported: there is no RMM, or the RMM does not manage this SMMU.
    Absent,
    /// No interrupts: the sources must be polled.
    Polled,
    /// By wired interrupts; a source without a number must be polled.
    Wired {
        /// Global errors.
        gerror: Option<IntId>,
        /// Event queue.
        eventq: Option<IntId>,
        /// PRI queue.
        priq: Option<IntId>,
    },
    /// By MSIs, which the host allocates and describes to the RMM at activation; see
    /// [`Vectors`](crate::Vectors).
    Msi,
}

impl Interrupts {
    /// Returns whether no source interrupts, so that the host must call [`service`](crate::service()) for
    /// each source periodically.
    #[must_use]
    pub const fn must_be_polled(&self) -> bool {
        matches!(self, Self::Polled)
    }

    const fn wired_irq(&self, source: Source) -> Option<IntId> {
        match self {
            Self::Wired { gerror, eventq, priq } => match source {
                Source::Eventq => *eventq,
                Source::Gerror => *gerror,
                Source::Priq => *priq,
            },
            _ => None,
        }
    }

    /// Returns the wired interrupts to connect; that of the PRI queue only if `pri`.
    pub fn wired_irqs(&self, pri: bool) -> impl Iterator<Item = (Source, IntId)> {
        let all = Source::of(pri).filter_map(|source| Some((source, self.wired_irq(source)?)));
        all.filter(|(_, intid)| intid.is_shared())
    }

    /// Returns the sources that do not interrupt, the PRI queue only if `pri`. The host must call
    /// [`service`](crate::service()) for each of these periodically.
    pub fn polled(&self, pri: bool) -> impl Iterator<Item = Source> {
        Source::of(pri).filter(|&source| match self {
            Self::Absent | Self::Msi => false,
            Self::Polled => true,
            Self::Wired { .. } => !self.wired_irq(source).is_some_and(IntId::is_shared),
        })
    }

    /// Returns a warning for each source without a usable wired interrupt, for the PRI queue only if
    /// `pri`. Unusable MSIs are reported by
    /// [`Vectors::parameters_or_polled`](crate::Vectors::parameters_or_polled).
    pub fn warnings(&self, pri: bool) -> impl Iterator<Item = Warning> {
        let wired = matches!(self, Self::Wired { .. });
        Source::of(pri).filter(move |_| wired).filter_map(|source| match self.wired_irq(source) {
            None => Some(Warning::Missing(source)),
            Some(intid) if !intid.is_shared() => Some(Warning::NotShared(source, intid)),
            Some(_) => None,
        })
    }
}

impl fmt::Display for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no Realm side"),
            Self::Polled => f.write_str("no interrupts, must be polled"),
            Self::Wired { .. } => {
                f.write_str("wired")?;
                Source::ALL.iter().try_for_each(|&source| match self.wired_irq(source) {
                    Some(intid) => write!(f, ", {source} {intid}"),
                    None => write!(f, ", {source} none"),
                })
            }
            Self::Msi => f.write_str("MSIs"),
        }
    }
}

/// Result of [`discover`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The SMMU can serve Realms, and this driver has a handler for each interrupt that the RMM asks for.
    pub rme: bool,
    /// How the Realm side interrupts.
    pub interrupts: Interrupts,
    /// Why `RMI_PSMMU_INFO` failed, if it did: `rme` is false and nothing interrupts then.
    pub failure: Option<RmiError>,
}

impl Topology {
    /// Returns the topology of an SMMU whose IDR0 reads `idr0` when no RMM is active.
    #[must_use]
    pub const fn without_rmm(idr0: u32) -> Self {
        Self { rme: idr0 & IDR0_RME_IMPL != 0, interrupts: Interrupts::Absent, failure: None }
    }
}

/// Queries the RMM (`RMI_PSMMU_INFO`) about the SMMU whose Non-secure register page 0 is at PA
/// `psmmu_ptr` and whose IDR0 reads `idr0`. The RMM must be active. Every SMMU is to be queried, also one
/// without RME: the RMM may use it and interrupt nevertheless.
///
/// Clears `page` first, so that stale contents cannot be taken for the RMM's output. The caller owns
/// `page` again on return.
pub fn discover<C: Conduit>(
    rmi: &Rmi<C>,
    psmmu_ptr: u64,
    idr0: u32,
    page: &mut impl Page,
) -> Topology {
    page.clear();
    let info = rmi.psmmu_info(psmmu_ptr, page.address()).and_then(|()| {
        read(page).map_err(|unknown| RmiError::Malformed(Function::PsmmuInfo, unknown))
    });
    match info {
        Ok(info) => Topology {
            rme: idr0 & IDR0_RME_IMPL != 0
                // This driver has no handler for command-queue SYNCs.
                && (info.delivery != IrqDelivery::Wired || info.cmdq_sync == 0),
            interrupts: match info.delivery {
                IrqDelivery::Disabled => Interrupts::Polled,
                IrqDelivery::Wired => Interrupts::Wired {
                    gerror: IntId::from_slot(info.gerror),
                    eventq: IntId::from_slot(info.eventq),
                    priq: IntId::from_slot(info.priq),
                },
                IrqDelivery::Msi => Interrupts::Msi,
            },
            failure: None,
        },
        Err(error) => Topology { rme: false, interrupts: Interrupts::Absent, failure: Some(error) },
    }
}

/// Reads the structure that the RMM wrote, each word once.
fn read(page: &impl Page) -> Result<PsmmuInfoFields, Unknown> {
    let flags = page.word(0);
    let delivery = match flags & 3 {
        0 => IrqDelivery::Disabled,
        1 => IrqDelivery::Wired,
        2 => IrqDelivery::Msi,
        _ => return Err(Unknown(flags)),
    };
    // The numbers lie in the lower halves of their words.
    let number = |index| page.word(index) as u32;
    let (gerror, eventq, priq, cmdq_sync) = (number(1), number(2), number(3), number(4));
    Ok(PsmmuInfoFields { delivery, gerror, eventq, priq, cmdq_sync })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::cell::Cell;
    use std::string::ToString;

    use psmmu_abi::{PsmmuInfo, ResultWord, Status};

    use super::*;

    const PSMMU: u64 = 0x0905_0000;
    const PAGE: u64 = 0x6000_0000;

    /// A granule that host and RMM share.
    struct Shared<'a>(&'a Cell<[u64; 512]>);

    impl Page for Shared<'_> {
        fn address(&self) -> u64 {
            PAGE
        }

        fn clear(&mut self) {
            self.0.set([0; 512]);
        }

        fn word(&self, index: usize) -> u64 {
            self.0.get()[index]
        }

        fn set_word(&mut self, index: usize, value: u64) {
            let mut words = self.0.get();
            words[index] = value;
            self.0.set(words);
        }
    }

    /// An RMM that answers `x0` and writes `words` only when that is a success.
    struct Answers<'a> {
        x0: u64,
        words: [u64; 5],
        page: &'a Cell<[u64; 512]>,
    }

    impl Conduit for Answers<'_> {
        fn call(&self, x: [u64; 8]) -> [u64; 8] {
            assert_eq!(x[..3], [Function::PsmmuInfo.id(), PSMMU, PAGE]);
            if self.x0 == 0 {
                let mut words = self.page.get();
                words[..5].copy_from_slice(&self.words);
                self.page.set(words);
            }
            [self.x0, 0, 0, 0, x[4], x[5], x[6], x[7]]
        }
    }

    fn topology(x0: u64, idr0: u32, words: [u64; 5]) -> Topology {
        let page = Cell::new([0x0101_0101_0101_0101; 512]);
        discover(&Rmi::new(Answers { x0, words, page: &page }), PSMMU, idr0, &mut Shared(&page))
    }

    #[test]
    fn wired_numbers_become_interrupts_and_zero_means_none() {
        let found = topology(0, IDR0_RME_IMPL, [1, 109, 106, 0, 0]);
        assert!(found.rme);
        assert_eq!(
            found.interrupts,
            Interrupts::Wired { gerror: Some(IntId(109)), eventq: Some(IntId(106)), priq: None }
        );
    }

    /// Answers success without writing the structure.
    struct Silent;

    impl Conduit for Silent {
        fn call(&self, _: [u64; 8]) -> [u64; 8] {
            [0; 8]
        }
    }

    #[test]
    fn stale_page_contents_are_not_taken_for_an_answer() {
        let page = Cell::new([0x0101_0101_0101_0101; 512]);
        let found = discover(&Rmi::new(Silent), PSMMU, IDR0_RME_IMPL, &mut Shared(&page));
        assert_eq!(found.interrupts, Interrupts::Polled);
    }

    #[test]
    fn the_words_are_read_as_the_abi_reads_the_structure() {
        for flags in 0..8 {
            let mut words = [0; 512];
            words[..5].copy_from_slice(&[flags, 0xA_0000_006D, 0x6A, 0xFFFF_FFFF, 1 << 32]);
            let page = Cell::new(words);
            let info: PsmmuInfo = zerocopy::transmute!(words);
            assert_eq!(read(&Shared(&page)), PsmmuInfoFields::try_from(&info));
        }
    }

    #[test]
    fn disabled_delivery_means_that_the_sources_must_be_polled() {
        let found = topology(0, IDR0_RME_IMPL, [0, 109, 106, 107, 108]);
        assert!(found.rme && found.interrupts.must_be_polled());
        assert!(found.interrupts.polled(true).eq(Source::ALL));
        assert_eq!(found.interrupts.wired_irqs(true).count(), 0);
        assert_eq!(found.interrupts.warnings(true).count(), 0);
        assert_eq!(found.interrupts.to_string(), "no interrupts, must be polled");
    }

    #[test]
    fn wired_irqs_include_the_pri_queue_only_with_pri() {
        let found = topology(0, IDR0_RME_IMPL, [1, 109, 106, 107, 0]).interrupts;
        let (eventq, gerror) = ((Source::Eventq, IntId(106)), (Source::Gerror, IntId(109)));
        assert!(found.wired_irqs(false).eq([eventq, gerror]));
        assert!(found.wired_irqs(true).eq([eventq, gerror, (Source::Priq, IntId(107))]));
        assert_eq!(found.warnings(true).count(), 0);
        assert_eq!(found.polled(true).count(), 0);
        assert_eq!(found.to_string(), "wired, EVENTQ 106, GERROR 109, PRIQ 107");
    }

    #[test]
    fn a_missing_or_invalid_intid_is_a_warning_with_its_source() {
        let found = topology(0, IDR0_RME_IMPL, [1, 0, 1020, 0, 0]).interrupts;
        let texts = |pri| found.warnings(pri).map(|warning| warning.to_string());
        let eventq = "1020 cannot be the interrupt for EVENTQ of the Realm side: events are not \
             reported unless it is polled";
        let gerror = "no interrupt for GERROR of the Realm side: errors are not reported unless \
                      it is polled";
        let priq = "no interrupt for PRIQ of the Realm side: page requests are not reported \
                    unless it is polled";
        assert!(texts(false).eq([eventq, gerror]));
        assert!(texts(true).eq([eventq, gerror, priq]));
        assert!(found.polled(false).eq([Source::Eventq, Source::Gerror]));
        assert!(found.polled(true).eq(Source::ALL));
        assert_eq!(found.wired_irqs(true).count(), 0);
    }

    #[test]
    fn without_an_rmm_rme_is_that_of_idr0_and_nothing_interrupts() {
        for (idr0, rme) in [(IDR0_RME_IMPL, true), (!IDR0_RME_IMPL, false)] {
            let found = Topology::without_rmm(idr0);
            assert_eq!((found.rme, found.interrupts), (rme, Interrupts::Absent));
            assert!(!found.interrupts.must_be_polled());
        }
    }

    #[test]
    fn an_smmu_without_rme_is_queried_and_keeps_its_interrupts() {
        let found = topology(0, 0, [2, 0, 0, 0, 0]);
        assert!(!found.rme);
        assert_eq!(found.interrupts, Interrupts::Msi);
    }

    #[test]
    fn a_cmdq_interrupt_clears_rme_and_keeps_the_interrupts() {
        let found = topology(0, IDR0_RME_IMPL, [1, 109, 106, 0, 108]);
        assert!(!found.rme);
        assert!(matches!(found.interrupts, Interrupts::Wired { .. }));
    }

    #[test]
    fn a_failed_query_leaves_neither_rme_nor_interrupts() {
        let failed = topology(ResultWord::of(Status::ErrorInput).x0(), IDR0_RME_IMPL, [1; 5]);
        let error = RmiError::Status(Function::PsmmuInfo, Status::ErrorInput);
        assert_eq!(
            failed,
            Topology { rme: false, interrupts: Interrupts::Absent, failure: Some(error) }
        );
    }

    #[test]
    fn a_delivery_that_does_not_exist_counts_as_a_failure() {
        let found = topology(0, IDR0_RME_IMPL, [3, 0, 0, 0, 0]);
        assert_eq!(found.failure, Some(RmiError::Malformed(Function::PsmmuInfo, Unknown(3))));
        assert_eq!((found.rme, found.interrupts), (false, Interrupts::Absent));
    }
}
