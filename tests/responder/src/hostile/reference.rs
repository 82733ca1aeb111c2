// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must be true of memory, whatever a host does: a plain account of who has which granule, kept
//! from the answers of the RMM alone, and compared with what RMM, EL3 and devices have.

use std::collections::{BTreeMap, BTreeSet};

use psmmu::{HostGranule, State};
use rmm::GranuleState;
use smmu_model::{Enable, Register};

use crate::raw::x0;
use crate::{Machine, Pas, Ram};

/// Granules one behind the other: PA and number.
pub type Range = (u64, u64);

/// Who has a granule that the host has delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// No owner: delegated, and not in use.
    Idle,
    /// The operation with this handle.
    Operation(u64),
    /// A PSMMU, for its queues and its level-1 table.
    Psmmu(usize),
    /// A PSMMU, for the level-2 table of the streams from here on.
    Table(usize, u32),
}

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To activate a PSMMU.
    Activate,
    /// To make a table of streams.
    Create(u32),
    /// To give back, and end with this X0.
    Give(u64),
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A donation: X2.
    Donation(u64),
    /// The host takes memory.
    Reclaim,
    /// The host goes on.
    Nothing,
}

impl Wants {
    /// Reads an answer.
    ///
    /// # Panics
    /// When it is no "incomplete".
    #[must_use]
    pub fn of(x0: u64, x2: u64) -> Self {
        match x0 {
            x0::DONATE => Self::Donation(x2),
            x0::RECLAIM => Self::Reclaim,
            x0::CONTINUE => Self::Nothing,
            other => panic!("X0 {other:#x} is no INCOMPLETE"),
        }
    }
}

/// An open operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its PSMMU.
    pub psmmu: usize,
    /// What it is for.
    pub purpose: Purpose,
    /// What it waits for.
    pub wants: Wants,
    /// What it has.
    pub ranges: Vec<Range>,
}

impl Operation {
    /// Notes that it has failed by what the host did: it gives back what it has.
    pub fn fail(&mut self) {
        self.purpose = Purpose::Give(x0::INPUT);
        self.wants = if self.ranges.is_empty() { Wants::Nothing } else { Wants::Reclaim };
    }
}

/// The account.
#[derive(Debug, Default)]
pub struct Reference {
    /// Delegated granules.
    pub owners: BTreeMap<u64, Owner>,
    /// Open operations by handle.
    pub operations: BTreeMap<u64, Operation>,
    /// What each active PSMMU runs on.
    pub running: BTreeMap<usize, Vec<Range>>,
    /// The tables that there are.
    pub tables: BTreeMap<(usize, u32), u64>,
    /// Streams that are configured.
    pub configured: BTreeSet<(usize, u32)>,
}

/// Returns the granules of `range`.
pub fn granules((address, granules): Range) -> impl Iterator<Item = u64> {
    Ram::granules(address, granules * 0x1000)
}

impl Reference {
    /// Changes the owner of all of `range`.
    ///
    /// # Panics
    /// When it is not `from`'s.
    pub fn transfer(&mut self, range: Range, from: Owner, to: Owner) {
        for granule in granules(range) {
            let before = self.owners.insert(granule, to);
            assert_eq!(before, Some(from), "{granule:#x} goes to {to:?}");
        }
    }

    /// Opens an operation that takes `ranges` from `from`.
    pub fn open(&mut self, handle: u64, operation: Operation, from: Owner) {
        for &range in &operation.ranges {
            self.transfer(range, from, Owner::Operation(handle));
        }
        let before = self.operations.insert(handle, operation);
        assert!(before.is_none(), "handle {handle:#x} twice");
    }

    /// Ends an operation as its last X0 says.
    ///
    /// # Panics
    /// When that X0 cannot be.
    pub fn end(&mut self, handle: u64, x0: u64) {
        let Operation { psmmu, purpose, wants, ranges } =
            self.operations.remove(&handle).expect("it was open");
        assert_eq!(wants, Wants::Nothing, "it ends before it may");
        let owner = match purpose {
            Purpose::Give(expected) => {
                assert_eq!((x0, &ranges[..]), (expected, &[][..]));
                return;
            }
            Purpose::Activate => {
                self.running.insert(psmmu, ranges.clone());
                Owner::Psmmu(psmmu)
            }
            Purpose::Create(stream) => {
                self.tables.insert((psmmu, stream), ranges[0].0);
                Owner::Table(psmmu, stream)
            }
        };
        // An error without a way back for the memory: the device may still use it.
        assert!(matches!(x0, x0::SUCCESS | x0::DEVICE), "X0 {x0:#x} of {purpose:?}");
        for range in ranges {
            self.transfer(range, Owner::Operation(handle), owner);
        }
    }

    /// Compares the account with what RMM, EL3 and devices have, for the granules of `pool` and all
    /// others that were ever delegated.
    ///
    /// # Panics
    /// When they differ.
    pub fn check(&self, machine: &Machine, pool: Range) {
        let realm = machine.host.realm();
        let owned: Vec<_> = self.owners.keys().copied().collect();
        assert_eq!(realm, owned, "EL3's account and the host's");
        for granule in granules(pool).chain(owned.iter().copied()) {
            let expected = match self.owners.get(&granule) {
                None => GranuleState::Undelegated,
                Some(Owner::Idle) => GranuleState::Delegated,
                Some(_) => GranuleState::InUse,
            };
            let granule = HostGranule::new(granule).expect("aligned");
            let state = machine.rmm().tracker().state(granule);
            assert_eq!(
                state,
                Ok(expected),
                "{granule:x?}: {:?}",
                self.owners.get(&granule.address())
            );
        }
        assert_eq!(machine.handles(), self.operations.keys().copied().collect::<Vec<_>>());
        for granule in machine.harness.opened() {
            assert_eq!(machine.host.pas(granule), Pas::Realm, "{granule:#x} is open for a device");
        }
        for psmmu in 0..machine.rmm().responder().psmmus().len() {
            self.check_state(machine, psmmu);
            self.check_reach(machine, psmmu);
        }
    }

    fn check_state(&self, machine: &Machine, psmmu: usize) {
        let state = machine.psmmu_of(psmmu).state();
        let is_running = self.running.contains_key(&psmmu);
        let mut operations = self.operations.values().filter(|operation| operation.psmmu == psmmu);
        let is_activating = operations.any(|operation| operation.purpose == Purpose::Activate);
        match state {
            State::Active => assert!(is_running && !is_activating),
            State::Activating => assert!(is_activating && !is_running),
            State::Inactive | State::Deactivating => assert!(!is_running && !is_activating),
            State::Failed => assert!(!is_activating),
        }
        if state == State::Inactive {
            let device = machine.device_of(psmmu);
            let on = (device.cr0() | device.cr0ack()) & 0xF;
            assert_eq!(on, 0, "PSMMU {psmmu} is inactive and its device on");
        }
    }

    /// Checks that all that a device can reach is its own.
    fn check_reach(&self, machine: &Machine, psmmu: usize) {
        let device = machine.device_of(psmmu);
        let on = device.cr0() | device.cr0ack();
        let is_mine =
            |granule: u64| self.owners.get(&(granule & !0xFFF)) == Some(&Owner::Psmmu(psmmu));
        let base = |register| device.peek(register) & 0x000F_FFFF_FFFF_FFC0;
        for (enable, register, entry_bytes) in [
            (Enable::Cmdq, Register::CmdqBase, 16),
            (Enable::Eventq, Register::EventqBase, 32),
            (Enable::Priq, Register::PriqBase, 16),
        ] {
            if on & enable.bits() != 0 {
                let bytes = entry_bytes << (device.peek(register) & 0x1F);
                assert!(
                    Ram::granules(base(register), bytes).all(is_mine),
                    "{} of {psmmu}",
                    register.name()
                );
            }
        }
        if on & Enable::Smmu.bits() == 0 {
            return;
        }
        let (table, split) = (base(Register::StrtabBase), 6);
        let descriptors = 1_u64 << ((device.peek(Register::StrtabBaseCfg) & 0x3F) - split);
        assert!(Ram::granules(table, 8 * descriptors).all(is_mine), "stream table of {psmmu}");
        for index in 0..descriptors {
            let descriptor = device.load(table + 8 * index).expect("memory");
            if descriptor & 0x1F != 0 {
                let owner = self.owners.get(&(descriptor & 0x000F_FFFF_FFFF_F000));
                let stream = (index << split) as u32;
                assert_eq!(owner, Some(&Owner::Table(psmmu, stream)), "{descriptor:#x}");
            }
        }
    }
}
