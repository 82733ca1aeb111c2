// SPDX-License-Identifier: MIT OR Apache-2.0

//! `msi`: the SMMU interrupts by MSIs, here to words of memory. One is sent when the queue was empty, and
//! none while it is not; one that is aborted, since nothing is at its address or since the granule is not
//! the host's any more, is an ERROR event by the MSI of global errors, and the event is reported as well.
//! One that the host ignores loses nothing.

use psmmu_abi::{ErrorCause, Event, IrqSet, MsiMessage, PsmmuParamsFlags};
use psmmu_host::psmmu;
use psmmu_host::{Interrupts, SecurityState, Source, Vector, Vectors};

use super::manual::Region;
use super::{Arguments, usage};
use crate::bring_up::{self, Bench, TABLE, must};
use crate::edu::{Access, Dma};
use crate::events::Entry;
use crate::granule::{Granule, SharedPage};
use crate::platform::SMMU;
use crate::smc::RMI;
use crate::{events, time};

/// Data of the MSIs.
const EVENTQ: u32 = 0xE0E0_0001;
const GERROR: u32 = 0xE0E0_0002;
/// An address that the boot manifest calls DRAM and where nothing is.
const NOTHING: u64 = 0xF000_0000;
/// Milliseconds for an MSI.
const LIMIT: u32 = 1000;

/// Where the MSIs go: word 0 for the event queue, word 1 for global errors.
static DOORBELLS: Granule = Granule::new();
static PAGE: Granule = Granule::new();

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("msi");
    }
    let donor = bring_up::activate_rmm();
    let topology = bring_up::topology();
    expect_eq!(topology.interrupts, Interrupts::Msi, "how the PSMMU interrupts");
    let mut bench = bring_up::interrupts_and_devices(&topology, donor);

    activate(&mut bench, DOORBELLS.address());
    sent_when_the_queue_was_empty(&mut bench);
    deactivate(&mut bench);

    activate(&mut bench, NOTHING);
    aborted(&mut bench);
    deactivate(&mut bench);

    let taken = Region::new(1);
    activate(&mut bench, taken.address);
    taken.delegate();
    aborted(&mut bench);
    deactivate(&mut bench);
    taken.take_back();
}

fn activate(bench: &mut Bench, eventq: u64) {
    let vectors = Vectors::new(false, &Interrupts::Msi);
    let msi = |index| match vectors.vector(index)? {
        Vector { state: SecurityState::Realm, source: Source::Eventq } => {
            Some(MsiMessage { address: eventq, data: EVENTQ.into() })
        }
        Vector { state: SecurityState::Realm, source: Source::Gerror } => {
            Some(MsiMessage { address: DOORBELLS.address() + 8, data: GERROR.into() })
        }
        _ => None,
    };
    let parameters = vectors.parameters(msi, PsmmuParamsFlags::empty());
    let parameters = parameters.unwrap_or_else(|error| fail!("{error}"));
    DOORBELLS.fill(0);
    must(psmmu::activate(&RMI, &mut bench.donor, SMMU, &mut SharedPage(&PAGE), &parameters));
    events::poll(IrqSet::GERROR);
    events::poll(IrqSet::EVENTQ);
    bring_up::st_l2_create(&mut bench.donor, TABLE);
}

fn deactivate(bench: &mut Bench) {
    bring_up::st_l2_destroy(&mut bench.donor, TABLE);
    bring_up::deactivate_psmmu(&mut bench.donor);
}

fn sent_when_the_queue_was_empty(bench: &mut Bench) {
    for _ in 0..3 {
        let (first, second) = (Dma::new(Access::Write, 3), Dma::new(Access::Write, 2));
        let count = events::count();
        bench.edu().run(first);
        arrives(0, EVENTQ);
        // The host ignores this one.
        DOORBELLS.set_word(0, 0);
        bench.edu().run(second);
        expect_eq!(DOORBELLS.word(0), 0, "the MSI of a queue that was not empty");
        events::poll(IrqSet::EVENTQ);
        let end = events::expect_faults(count, &[first, second]);
        expect_eq!(events::count(), end, "number of events");
    }
    expect_eq!(DOORBELLS.word(1), 0, "the MSI of global errors, without one");
}

fn aborted(bench: &mut Bench) {
    for _ in 0..2 {
        let count = events::count();
        let dma = Dma::new(Access::Write, 2);
        bench.edu().run(dma);
        arrives(1, GERROR);
        DOORBELLS.set_word(1, 0);
        events::poll(IrqSet::GERROR);
        let error =
            Entry { source: IrqSet::GERROR, event: Event::Error(ErrorCause::MSI_EVENTQ_ABT_ERR) };
        expect_eq!(events::entry(count), error, "the report of an aborted MSI");
        events::poll(IrqSet::EVENTQ);
        // By the one source or the other: the RMM has a host that serves any interrupt ask for the rest.
        for (index, wanted) in (count + 1..).zip(dma.events()) {
            expect_eq!(events::entry(index).event, wanted, "event {index}, whose MSI was aborted");
        }
        events::expect_no_more_than(count + 1 + dma.words as usize);
    }
}

/// Waits for an MSI in a word of the doorbells.
fn arrives(word: usize, data: u32) {
    let came = time::wait(LIMIT, || DOORBELLS.word(word) != 0);
    require!(came, "no MSI in word {word} after {LIMIT} ms");
    expect_eq!(DOORBELLS.word(word), u64::from(data), "the MSI in word {word}");
}
