// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether an SMMU has a Realm side, and how that interrupts.

use psmmu_abi::{Function, IrqDelivery, PsmmuInfoFields, Unknown};

use crate::memory::Page;
use crate::rmi::{Conduit, Rmi, RmiError};

/// Bit 30 of SMMU_IDR0, RME_IMPL: the SMMU knows Realms.
const IDR0_RME_IMPL: u32 = 1 << 30;

/// A GIC interrupt number: what the RMM names, and not yet a number of the kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntId(pub u32);

impl IntId {
    /// Takes the number of an [`PsmmuInfo`] slot, in which 0 means none.
    const fn from_slot(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }
}

/// How the Realm side interrupts the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// Not at all: the sources must be polled.
    Polled,
    /// By wires; a source without a number is never reported.
    Wired {
        /// Global errors.
        gerror: Option<IntId>,
        /// Event queue.
        eventq: Option<IntId>,
        /// PRI queue.
        priq: Option<IntId>,
    },
    /// By messages that the host allocates and passes on at activation.
    Msi,
}

/// What discovery found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The SMMU can serve Realms and the RMM needs nothing of the host that it does not have.
    pub rme: bool,
    /// How the Realm side interrupts.
    pub interrupts: Interrupts,
    /// Why `RMI_PSMMU_INFO` failed, if it did: `rme` is false and nothing interrupts then.
    pub failure: Option<RmiError>,
}

/// Asks the RMM about the SMMU whose Non-secure register page 0 lies at PA `psmmu` and whose IDR0
/// reads `idr0`. The RMM must be active.
///
/// The page is cleared first, so that nothing in it can be taken for an answer, and is the caller's
/// again on return.
pub fn discover<C: Conduit>(rmi: &Rmi<C>, psmmu: u64, idr0: u32, page: &mut impl Page) -> Topology {
    page.clear();
    let info = rmi.psmmu_info(psmmu, page.address()).and_then(|()| {
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
        Err(error) => Topology { rme: false, interrupts: Interrupts::Polled, failure: Some(error) },
    }
}

/// Reads what the RMM wrote, each word once.
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
    use core::cell::Cell;

    use psmmu_abi::{ResultWord, Status};

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
        // What an earlier use of the page left behind must not be taken for an answer.
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

    #[test]
    fn an_smmu_without_rme_is_asked_all_the_same_and_keeps_its_interrupts() {
        let found = topology(0, 0, [2, 0, 0, 0, 0]);
        assert!(!found.rme);
        assert_eq!(found.interrupts, Interrupts::Msi);
    }

    #[test]
    fn a_command_queue_interrupt_withdraws_the_capability_and_keeps_the_interrupts() {
        let found = topology(0, IDR0_RME_IMPL, [1, 109, 106, 0, 108]);
        assert!(!found.rme);
        assert!(matches!(found.interrupts, Interrupts::Wired { .. }));
    }

    #[test]
    fn a_failed_question_leaves_neither_capability_nor_interrupts() {
        let failed = topology(ResultWord::of(Status::ErrorInput).x0(), IDR0_RME_IMPL, [1; 5]);
        let error = RmiError::Status(Function::PsmmuInfo, Status::ErrorInput);
        assert_eq!(
            failed,
            Topology { rme: false, interrupts: Interrupts::Polled, failure: Some(error) }
        );
    }

    #[test]
    fn a_delivery_that_does_not_exist_counts_as_a_failure() {
        let found = topology(0, IDR0_RME_IMPL, [3, 0, 0, 0, 0]);
        assert_eq!(found.failure, Some(RmiError::Malformed(Function::PsmmuInfo, Unknown(3))));
        assert_eq!(found.interrupts, Interrupts::Polled);
    }
}
