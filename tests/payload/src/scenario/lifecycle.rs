// SPDX-License-Identifier: MIT OR Apache-2.0

//! `lifecycle [ROUNDS]`: whole activate/deactivate cycles of a PSMMU, 100 in one boot if not said
//! otherwise. In each round:
//!
//! 1. memory is delegated and donated, the PSMMU activated, a level-2 table made for the first streams
//!    and one for others, far off and of another round each time;
//! 2. all devices fault at once, one DMA each, in another way each time, and the events are checked, all
//!    of them and in their order;
//! 3. the tables are destroyed, the PSMMU is deactivated, all memory reclaimed and undelegated.
//!
//! In the first and the last round each device faults in each way that it can, reading and writing, and
//! once more when its table is gone. After each round no granule is missing, and all came back wiped; at
//! the end all can be written and read.

use heapless::Vec;
use psmmu_abi::IrqSet;
use psmmu_host::psmmu::STREAMS_PER_TABLE;

use super::{Arguments, usage};
use crate::bring_up::{self, Bench, TABLE};
use crate::edu::{Access, Dma, Edu, Fault};
use crate::{events, pci, pool};

const ROUNDS: u32 = 100;
/// Tables of all StreamIDs of 16 bits.
const TABLES: u32 = (1 << 16) / STREAMS_PER_TABLE;
/// What an access of a good stream can meet.
const FAULTS: [(Fault, Access); 7] = [
    (Fault::Translation, Access::Write),
    (Fault::Permission, Access::Write),
    (Fault::AccessFlag, Access::Read),
    (Fault::AddressSize, Access::Write),
    (Fault::Translation, Access::Read),
    (Fault::AccessFlag, Access::Write),
    (Fault::AddressSize, Access::Read),
];
/// Device 5 has a table, and in the RMM's image for tests no valid entry in it.
const WITHOUT_ENTRY: u32 = 5 << 3;

type Dmas = Vec<Dma, { pci::MAX_EDUS }>;

pub fn run(arguments: &Arguments) {
    let rounds = match arguments.as_slice() {
        [] => Some(ROUNDS),
        [rounds] => rounds.parse().ok().filter(|&rounds| rounds != 0),
        _ => None,
    };
    let Some(rounds) = rounds else { usage("lifecycle [ROUNDS]") };
    let donor = bring_up::activate_rmm();
    let topology = bring_up::topology();
    let mut bench = bring_up::interrupts_and_devices(&topology, donor);
    for round in 0..rounds {
        let full = round == 0 || round == rounds - 1;
        one(&mut bench, round, full);
    }
    pool::expect_whole();
    events::expect_no_more_while_inactive(events::count());
    say!("{rounds} cycles; {} granules came back wiped, none is lost", pool::wiped());
}

/// One cycle.
fn one(bench: &mut Bench, round: u32, full: bool) {
    let wiped = pool::wiped();
    let other = (1 + round * 7 % (TABLES - 1)) * STREAMS_PER_TABLE;
    bring_up::activate_psmmu(&mut bench.donor);
    bring_up::st_l2_create(&mut bench.donor, TABLE);
    bring_up::st_l2_create(&mut bench.donor, other);
    let held = bench.donor.held();

    let ways = if full { FAULTS.len() } else { 1 };
    for way in 0..ways {
        fault(bench, |index, edu| {
            let (fault, access) = FAULTS[(round as usize + way + index) % FAULTS.len()];
            let fault = match edu.stream {
                ..STREAMS_PER_TABLE if edu.stream & !7 == WITHOUT_ENTRY => Fault::BadEntry,
                ..STREAMS_PER_TABLE => fault,
                _ => Fault::NoTable,
            };
            Dma::faulting(fault, access, 1 + (round + 3 * index as u32) % 5)
        });
    }

    bring_up::st_l2_destroy(&mut bench.donor, other);
    bring_up::st_l2_destroy(&mut bench.donor, TABLE);
    if full {
        fault(bench, |_, _| Dma::faulting(Fault::NoTable, Access::Write, 2));
    }
    for source in [IrqSet::GERROR, IrqSet::EVENTQ] {
        events::expect_nothing(source, "before PSMMU_DEACTIVATE");
    }
    bring_up::deactivate_psmmu(&mut bench.donor);
    expect_eq!(pool::out(), 0, "round {round}: granules that did not come back");
    expect_eq!(pool::wiped() - wiped, held, "round {round}: granules that came back wiped");
    expect_eq!(bench.donor.leaked(), 0, "round {round}: granules that are lost");
}

/// Has each device make the DMA that `dma` chooses, all at once, and checks what the host hears.
fn fault(bench: &mut Bench, dma: impl Fn(usize, &Edu) -> Dma) {
    let first = events::count();
    let mut dmas = Dmas::new();
    for (index, edu) in bench.edus.iter_mut().enumerate() {
        let dma = dma(index, edu);
        edu.start(dma);
        require!(dmas.push(dma).is_ok(), "too many devices");
    }
    bench.edus.iter().for_each(Edu::finish);
    events::wait_for(first + dmas.iter().map(|dma| dma.words as usize).sum::<usize>());
    let end = events::expect_faults(first, &dmas);
    expect_eq!(events::count(), end, "number of events");
}
