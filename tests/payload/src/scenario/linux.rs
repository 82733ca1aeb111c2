// SPDX-License-Identifier: MIT OR Apache-2.0

//! `linux`: the calls of Linux in the order in which it makes them, from the boot to the last device.
//! What the host crate does in the same way it does here too; what is between is made here: all feature
//! registers, all memory tracked before any is delegated, discovery before activation, StreamIDs that are
//! aligned to 256, and tables that exist already.

use psmmu_abi::{Function, MemoryCategory, TrackingState, features};
use psmmu_host::psmmu::{self, PARAMS_NO_MSI, Table};
use psmmu_host::{IntId, Interrupts, discover, rmm};

use super::{Arguments, usage};
use crate::bring_up::{self, must};
use crate::edu::{Access, Dma};
use crate::granule::{Granule, SharedPage};
use crate::platform::SMMU;
use crate::smc::RMI;
use crate::smmu;
use crate::{events, pool};

static PAGE: Granule = Granule::new();
static LISTS: Granule = Granule::new();

/// DRAM that a kernel would have: all but the RMM's.
const MEMORY: [(u64, u64); 2] = [(0x4000_0000, 0x4010_0000), (0x4190_0000, 0xC000_0000)];
/// The RMM's.
const RMM: (u64, u64) = (0x4010_0000, 0x4190_0000);
/// Linux splits its own stream table there.
const ALIGNMENT: u32 = 256;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("linux");
    }
    // Early in the boot, before there are devices.
    must(RMI.version());
    for index in 0..features::COUNT {
        must(RMI.features(index));
    }
    let mut donor = pool::donor(&LISTS);
    must(rmm::start(&RMI, &mut donor, &mut SharedPage(&PAGE)));
    for (base, top) in MEMORY {
        tracked(base, top, TrackingState::Fine);
    }
    tracked(RMM.0, RMM.1, TrackingState::None);

    // The driver of the SMMU.
    let topology = discover(&RMI, SMMU, 1 << 30, &mut SharedPage(&PAGE));
    let [gerror, eventq] = smmu::wired_irqs().map(|intid| Some(IntId(intid)));
    let wired = Interrupts::Wired { gerror, eventq, priq: None };
    expect_eq!(topology.interrupts, wired, "how the PSMMU interrupts");
    require!(topology.rme, "{:?}: the driver does without a Realm side", topology.failure);
    let mut bench = bring_up::interrupts_and_devices(&topology, donor);
    let donor = &mut bench.donor;
    must(psmmu::activate(&RMI, donor, SMMU, &mut SharedPage(&PAGE), &PARAMS_NO_MSI));
    events::poll(psmmu_abi::IrqSet::GERROR);
    events::poll(psmmu_abi::IrqSet::EVENTQ);

    // A device is assigned, and a second one beside it.
    let first = bench.edus.iter().map(|edu| edu.stream & !(ALIGNMENT - 1));
    for (index, stream) in first.enumerate() {
        let wanted = if index == 0 { Table::Created } else { Table::Exists };
        let made = must(psmmu::st_l2_create(&RMI, donor, SMMU, stream));
        expect_eq!(made, wanted, "the table of device {index}");
    }
    let mut end = events::count();
    for edu in &mut bench.edus {
        let dma = Dma::new(Access::Write, 3);
        edu.run(dma);
        events::wait_for(end + 3);
        end = events::expect_faults(end, &[dma]);
    }
    events::expect_no_more_than(end);

    // They go, and so does the driver.
    bring_up::st_l2_destroy(donor, 0);
    let again = psmmu::st_l2_destroy(&RMI, donor, SMMU, 0);
    require!(again.is_err(), "a table can be destroyed twice: {again:?}");
    bring_up::deactivate_psmmu(donor);
    let state = must(RMI.rmm_state());
    expect_eq!(state, 1, "the state of the RMM at the end");
    pool::expect_whole();
}

/// Checks that all memory from `base` to `top` is of the conventional kind and tracked as `state`.
fn tracked(base: u64, top: u64, state: TrackingState) {
    let mut at = base;
    while at < top {
        let tracking = must(RMI.granule_tracking(at, top));
        let wanted = (MemoryCategory::Conventional, state);
        let came = (tracking.category, tracking.state);
        expect_eq!(came, wanted, "{:?} at {at:#x}", Function::GranuleTrackingGet);
        at = tracking.top;
    }
}
