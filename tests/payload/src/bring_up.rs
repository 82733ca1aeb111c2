// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a host does at boot: agrees with the RMM, makes it active, finds out how the SMMU interrupts,
//! wires the interrupts up and starts the SMMU's Realm side.

use core::fmt::Display;

use heapless::Vec;
use psmmu_abi::{IrqSet, RmmConfig, Version};
use psmmu_host::{IntId, Interrupts, Topology, discover};
use zerocopy::FromZeros;

use crate::edu::Edu;
use crate::events;
use crate::gic::{self, MAX_CPUS};
use crate::granule::{Granule, Lent};
use crate::pci::{self, MAX_EDUS};
use crate::platform::SMMU;
use crate::smc::RMI;
use crate::smmu::Smmu;

/// For the structures of the bring-up.
static PAGE: Granule = Granule::new();

/// What a scenario works with.
pub struct Bench {
    /// The devices, in the order of their StreamIDs.
    pub edus: Vec<Edu, MAX_EDUS>,
    /// Affinities of all CPUs, the boot CPU first.
    pub affinities: Vec<u64, MAX_CPUS>,
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
    activate_rmm();
    let topology = topology();
    let bench = interrupts_and_devices(&topology);
    activate_psmmu();
    bench
}

/// Takes the RMM to its active state.
pub fn activate_rmm() {
    let version = must(RMI.version());
    require!(version >= Version::RMI_2_0, "RMI {version} is older than 2.0");
    say!("test image at NS-EL2, RMI {version}");
    PAGE.store(&RmmConfig::new_zeroed());
    must(RMI.rmm_config_set(PAGE.address()));
    must(RMI.rmm_activate());
}

/// Asks how the PSMMU interrupts.
pub fn topology() -> Topology {
    let idr0 = Smmu::new().idr0();
    let topology = discover(&RMI, SMMU, idr0, &mut Lent(&PAGE));
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
            Wire(gerror),
            Wire(eventq),
            Wire(priq)
        ),
        other => say!("PSMMU_INFO: {other:?}"),
    }
    topology
}

/// Sets up all that is not the RMM's.
pub fn interrupts_and_devices(topology: &Topology) -> Bench {
    let affinities = gic::set_up();
    events::connect(topology.interrupts);
    Bench { edus: pci::edus(), affinities }
}

/// Starts the Realm side, and services each source once, as nothing interrupts for what was there
/// before.
pub fn activate_psmmu() {
    PAGE.fill(0);
    must(RMI.psmmu_activate(SMMU, PAGE.address()));
    events::poll(IrqSet::GERROR);
    events::poll(IrqSet::EVENTQ);
    expect_eq!(events::count(), 0, "events before any device did anything");
}

/// Prints an interrupt number.
struct Wire(Option<IntId>);

impl Display for Wire {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(IntId(number)) => number.fmt(f),
            None => f.write_str("none"),
        }
    }
}
