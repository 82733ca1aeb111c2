// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the device has cached of stage-2 tables: no addresses, only of which table and for which VMID
//! (IHI 0070, "TLB tagging", "TLB invalidation").
//!
//! Each walk leaves something behind, also one that ends with a fault: the tables on the way were valid
//! and may be kept. It goes with CMD_TLBI_NSNH_ALL or CMD_TLBI_S12_VMALL and a CMD_SYNC; all other TLB
//! commands leave some of it.

use std::collections::BTreeMap;

use crate::Device;
use crate::cmdq::Scope;
use crate::control::Enable;
use crate::stream::{self, Entry};
use crate::transaction::{Outcome, Transaction, Walk};
use crate::violation::Violation;

/// S2TTB in the fourth word of an entry, 247:196.
const S2TTB: u64 = 0x00FF_FFFF_FFFF_FFF0;

/// What translations are tagged with, and where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Translation {
    /// S2VMID.
    pub vmid: u16,
    /// S2TTB: the PA of the first table.
    pub table: u64,
}

impl Translation {
    /// Returns what translations by a stage-2 entry are tagged with.
    pub(crate) const fn of(entry: &Entry) -> Self {
        Self { vmid: entry[2] as u16, table: entry[3] & S2TTB }
    }
}

/// What is cached. Each says whether its table was taken back since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Translations(BTreeMap<Translation, bool>);

impl Translations {
    pub fn insert(&mut self, translation: Translation) {
        self.0.entry(translation).or_insert(false);
    }

    pub fn drop_scope(&mut self, scope: Scope) {
        match scope {
            Scope::All => self.0.clear(),
            Scope::Vmid(vmid) => self.0.retain(|translation, _| translation.vmid != vmid),
            Scope::Fewer => {}
        }
    }

    fn of_vmid(&self, vmid: u16) -> impl Iterator<Item = &Translation> {
        let last = Translation { vmid, table: u64::MAX };
        self.0.range(Translation { vmid, table: 0 }..=last).map(|(translation, _)| translation)
    }

    /// Returns the first table that was taken back.
    pub fn orphan(&self) -> Option<u64> {
        let orphaned = self.0.iter().find(|(_, orphaned)| **orphaned);
        orphaned.map(|(translation, _)| translation.table)
    }
}

impl Device {
    /// Lets a device behind the SMMU make a read that the tables translate.
    pub fn translate(&mut self, stream: u32, address: u64) -> Outcome {
        self.transaction(&Transaction::read(stream, address).with(Walk::Translates))
    }

    /// Returns what is cached, one by one.
    pub fn translations(&self) -> impl Iterator<Item = Translation> {
        self.streams.translations.0.keys().copied()
    }

    /// Returns whether a translation of `vmid` is cached.
    #[must_use]
    pub fn caches_vmid(&self, vmid: u16) -> bool {
        self.streams.translations.of_vmid(vmid).next().is_some()
    }

    /// Returns whether a translation by the table at PA `table` is cached, for any VMID.
    #[must_use]
    pub fn caches_table(&self, table: u64) -> bool {
        self.translations().any(|translation| translation.table == table)
    }

    /// Notes that the tables of `entry` are walked, if it has stage 2. Its VMID must stand for one table.
    pub(crate) fn note_walk(&mut self, entry: &Entry) {
        if !stream::is_translating(entry, &self.config) {
            return;
        }
        let translation = Translation::of(entry);
        let Translation { vmid, table } = translation;
        let of_vmid = self.streams.translations.of_vmid(vmid);
        let other = of_vmid.map(|cached| cached.table).find(|cached| *cached != table);
        if let Some(cached) = other {
            self.violate(Violation::VmidReused { vmid, table, cached });
        }
        if self.modes.caches {
            self.streams.translations.insert(translation);
        }
    }

    /// Checks that the device walks no table between `first` and `end`, neither from what it has cached
    /// nor from entries that it may fetch.
    pub(crate) fn check_not_walked(&mut self, first: u64, end: u64) {
        let is_in = |translation: &Translation| (first..end).contains(&translation.table);
        let address = first;
        let cached = self.translations().find(is_in);
        let configured = self.translating_streams().find(|(_, translation)| is_in(translation));
        if let Some(Translation { vmid, table }) = cached {
            self.violate(Violation::TakenBackTranslating { address, vmid, table });
        }
        if let Some((stream, Translation { table, .. })) = configured {
            self.violate(Violation::TakenBackConfigured { address, stream, table });
        }
    }

    /// Returns the streams that translate by stage 2, as far as the device has their entries cached or
    /// would find them in memory.
    fn translating_streams(&self) -> impl Iterator<Item = (u32, Translation)> {
        let entries = &self.streams.entries;
        let cached = entries.iter().map(|(stream, cached)| (*stream, cached.value));
        let reachable = self.tables().flat_map(|table| self.enabled_entries(table));
        let all = cached.chain(reachable.map(|(stream, _, entry)| (stream, entry)));
        all.filter(|(_, entry)| stream::is_translating(entry, &self.config))
            .map(|(stream, entry)| (stream, Translation::of(&entry)))
    }

    /// Marks what is cached of tables that go away while SMMUEN is 0.
    pub(crate) fn orphan_translations(&mut self, first: u64, end: u64) {
        debug_assert!(self.is_disabled(Enable::Smmu.bits()), "tables are not walked");
        for (translation, orphaned) in &mut self.streams.translations.0 {
            *orphaned |= (first..end).contains(&translation.table);
        }
    }
}
