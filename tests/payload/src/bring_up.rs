// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a host does at boot: agrees with the RMM, makes it active, finds out how the SMMU interrupts,
//! connects the interrupts, starts the SMMU's Realm side on memory that it donates, and makes the stream
//! table of the first devices.

use core::fmt::Display;

use heapless::Vec;
use psmmu_abi::{IrqSet, Version};
use psmmu_host::psmmu::{self, Table};
use psmmu_host::{IntId, Interrupts, Topology, TransferStats, discover, rmm};

use crate::edu::Edu;
use crate::events;
use crate::gic::{self, MAX_CPUS};
use crate::granule::{Granule, SharedPage};
use crate::pci::{self, MAX_EDUS};
use crate::platform::SMMU;
use crate::pool::{self, MemoryDonor};
use crate::smc::RMI;
use crate::smmu::Smmu;

/// For the structures of the bring-up.
static PAGE: Granule = Granule::new();
/// For the lists of memory.
static LISTS: Granule = Granule::new();

/// First StreamID of the table that the bring-up makes.
pub const TABLE: u32 = 0;

/// What a scenario works with.
pub struct Bench {
    /// The devices, in the order of their StreamIDs.
    pub edus: Vec<Edu, MAX_EDUS>,
    /// Affinities of all CPUs, the boot CPU first.
    pub affinities: Vec<u64, MAX_CPUS>,
    /// The account of what the RMM holds.
    pub donor: MemoryDonor,
}

impl Bench {
    /// Returns the only device.
    pub fn edu(&mut self) -> &mut Edu {
        match self.edus.as_mut_slice() {
            [edu] => edu,
            others => fail!("the scenario wants one edu device, there are {}", others.len()),
        }
    }

    /// Returns the two devices.
    pub fn two_edus(&mut self) -> [&mut Edu; 2] {
        match self.edus.as_mut_slice() {
            [first, second] => [first, second],
            others => fail!("the scenario wants two edu devices, there are {}", others.len()),
        }
    }
}

/// Returns what a call gave, which must not have failed.
pub fn must<T, E: Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => {
            crate::check::held();
            value
        }
        Err(error) => fail!("{error}"),
    }
}

/// Does all of it.
pub fn all() -> Bench {
    let donor = activate_rmm();
    let topology = topology();
    let mut bench = interrupts_and_devices(&topology, donor);
    activate_psmmu(&mut bench.donor);
    st_l2_create(&mut bench.donor, TABLE);
    bench
}

/// Takes the RMM to its active state.
pub fn activate_rmm() -> MemoryDonor {
    let mut donor = pool::donor(&LISTS);
    let started = must(rmm::start(&RMI, &mut donor, &mut SharedPage(&PAGE)));
    let version = started.capabilities.version;
    require!(version >= Version::RMI_2_0, "RMI {version} is older than 2.0");
    require!(!started.was_active, "the RMM is active at boot");
    say!("test image at NS-EL2, RMI {version}");
    donor
}

/// Asks how the PSMMU interrupts.
pub fn topology() -> Topology {
    let idr0 = Smmu::new().idr0();
    let topology = discover(&RMI, SMMU, idr0, &mut SharedPage(&PAGE));
    if let Some(error) = topology.failure {
        fail!("discovery: {error}");
    }
    // Without it a real SMMU has nothing for Realms; here the RMM programs the interface that is there.
    if !topology.rme {
        say!("no RME_IMPL in IDR0 {idr0:#x}: QEMU's SMMU has one programming interface, not two");
    }
    match topology.interrupts {
        Interrupts::Wired { gerror, eventq, priq } => say!(
            "PSMMU_INFO: wired, GERROR {}, EVENTQ {}, PRIQ {}",
            IntIdText(gerror),
            IntIdText(eventq),
            IntIdText(priq)
        ),
        other => say!("PSMMU_INFO: {other:?}"),
    }
    topology
}

/// Sets up all that is not the RMM's.
pub fn interrupts_and_devices(topology: &Topology, donor: MemoryDonor) -> Bench {
    let affinities = gic::set_up();
    events::connect(topology.interrupts);
    Bench { edus: pci::edus(), affinities, donor }
}

/// Starts the Realm side, and services each source once, as nothing interrupts for what was there
/// before.
pub fn activate_psmmu(donor: &mut MemoryDonor) {
    let before = events::count();
    must(psmmu::activate(&RMI, donor, SMMU, &mut SharedPage(&PAGE), events::parameters()));
    events::poll(IrqSet::GERROR);
    events::poll(IrqSet::EVENTQ);
    expect_eq!(events::count(), before, "events before any device did anything");
}

/// Makes the table of `stream`, which is not there yet.
pub fn st_l2_create(donor: &mut MemoryDonor, stream: u32) {
    let made = must(psmmu::st_l2_create(&RMI, donor, SMMU, stream));
    expect_eq!(made, Table::Created, "the table of stream {stream}");
}

/// Takes the table of `stream` away, whose granule comes back.
pub fn st_l2_destroy(donor: &mut MemoryDonor, stream: u32) {
    let stats = must(psmmu::st_l2_destroy(&RMI, donor, SMMU, stream));
    expect_eq!(
        stats,
        TransferStats { returned: 1, ..TransferStats::default() },
        "the table of {stream}"
    );
}

/// Stops the Realm side, which gives back all that it had.
pub fn deactivate_psmmu(donor: &mut MemoryDonor) {
    let held = donor.held();
    let stats = must(psmmu::deactivate(&RMI, donor, SMMU));
    expect_eq!(
        stats,
        TransferStats { returned: held, ..TransferStats::default() },
        "what the PSMMU had"
    );
    expect_eq!(donor.held(), 0, "granules that the RMM holds at the end");
}

/// Prints an interrupt number.
struct IntIdText(Option<IntId>);

impl Display for IntIdText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(IntId(number)) => number.fmt(f),
            None => f.write_str("none"),
        }
    }
}
