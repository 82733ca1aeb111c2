// SPDX-License-Identifier: MIT OR Apache-2.0

//! Revoking memory: it may be taken back only when the device cannot reach it any more.
//!
//! It reaches memory by an enabled queue or table, by what it has cached of tables, and by MSIs
//! that are under way. While SMMUEN is 0 it follows no table, cached or not; what it has cached then
//! must go before SMMUEN is set again.

use crate::Device;
use crate::control::Enable;
use crate::output::Output;
use crate::registers::Register;
use crate::stream::Table;
use crate::violation::Violation;

/// Returns whether two ranges have a byte in common.
const fn overlap(first: u64, end: u64, other: u64, other_end: u64) -> bool {
    first < other_end && other < end
}

impl Device {
    /// Takes the region at `address` back from the driver: any later use by device or driver is a
    /// violation, until [`add_region`](Self::add_region) makes a fresh one there. So is the taking back
    /// while the device may still use it, since a driver frees memory only behind that:
    ///
    /// * an enabled queue or stream table lies in it, or MSIs of an enabled interrupt go there;
    /// * a level-1 descriptor points there, or the device has something cached that came from there or
    ///   points there, while SMMUEN is set;
    /// * a stage-2 table begins in it of which translations are cached, or by which a stream may be
    ///   translated, while SMMUEN is set;
    /// * the MSI of a CMD_SYNC has yet to be written there.
    ///
    /// # Panics
    /// When there is none.
    pub fn take_back(&mut self, address: u64) {
        let words = self.region_words(address).expect("no region there");
        self.take_back_part(address, words);
    }

    /// Takes `words` words at `address` back, be they part of a region or more than one, such as a
    /// granule of a larger queue.
    ///
    /// # Panics
    /// When not all of them are there.
    pub fn take_back_part(&mut self, address: u64, words: usize) {
        let end = address + 8 * words as u64;
        let there = self.memory.words_in(address, end).count();
        assert!(address.is_multiple_of(8) && there == words, "no such region at {address:#x}");
        self.check_out_of_use(address, end);
        self.memory.take_back(address, end);
    }

    fn check_out_of_use(&mut self, address: u64, end: u64) {
        if let Some(register) = self.structure_in(address, end) {
            self.violate(Violation::TakenBackInUse { address, register });
        }
        let target = self.due_sync_msi(address, end);
        if let Some(target) = target.or_else(|| self.waiting_msi(address, end)) {
            self.violate(Violation::TakenBackBeforeMsi { address, target });
        }
        if self.is_disabled(Enable::Smmu.bits()) {
            self.orphan_cached(address, end);
            self.orphan_translations(address, end);
            return;
        }
        self.check_not_walked(address, end);
        let is_hit = |table: &Table| overlap(address, end, table.address, table.end());
        let linked = self.tables().find(|table| table.descriptor != 0 && is_hit(table));
        let disabled = self.streams.updates.disabled_in(address, end).next();
        let cached = self.cached_from(address, end).next().or(disabled);
        if let Some(Table { descriptor, .. }) = linked {
            self.violate(Violation::TakenBackLinked { address, descriptor });
        }
        if let Some(from) = cached {
            self.violate(Violation::TakenBackCached { address, from });
        }
    }

    /// Returns the base register of a structure that is in use between `first` and `end`, or IRQ_CFG0
    /// of MSIs that go there.
    fn structure_in(&self, first: u64, end: u64) -> Option<Register> {
        let is_hit = |address: u64, bytes: u64| overlap(first, end, address, address + bytes);
        let is_used = |enable: Enable| !self.is_disabled(enable.bits());
        let commands = self.command_base();
        let table = self.streams.address(&self.config);
        if is_used(Enable::Cmdq) && is_hit(commands.address, commands.bytes(16)) {
            return Some(Register::CmdqBase);
        }
        if is_used(Enable::Smmu) && is_hit(table, self.streams.bytes(&self.config)) {
            return Some(Register::StrtabBase);
        }
        let queue = Output::BOTH.into_iter().find(|&output| {
            let base = self.output_base(output);
            is_used(output.enable()) && is_hit(base.address, base.bytes(output.entry_bytes()))
        });
        queue.map(Output::base).or_else(|| self.msi_register_in(first, end))
    }

    /// Returns the addresses of what is cached that came from between `first` and `end`, or points at a
    /// table there.
    fn cached_from(&self, first: u64, end: u64) -> impl Iterator<Item = u64> {
        let is_in = move |from: &u64| (first..end).contains(from);
        let descriptors = self.streams.level_1.values().filter(move |cached| {
            let table = self.streams.table(cached.value, cached.from, &self.config);
            let is_hit = |table: Table| overlap(first, end, table.address, table.end());
            is_in(&cached.from) || table.is_some_and(is_hit)
        });
        let entries = self.streams.entries.values().map(|cached| cached.from).filter(is_in);
        descriptors.map(|cached| cached.from).chain(entries)
    }

    /// Marks what is cached of memory that goes away while SMMUEN is 0.
    fn orphan_cached(&mut self, first: u64, end: u64) {
        let lost: Vec<u64> = self.cached_from(first, end).collect();
        for from in lost {
            if let Some(cached) = self.streams.level_1.get_mut(&from) {
                cached.orphaned = true;
            }
            for cached in self.streams.entries.values_mut().filter(|cached| cached.from == from) {
                cached.orphaned = true;
            }
        }
    }

    /// Checks that nothing is cached of memory that is gone when SMMUEN is set.
    pub(crate) fn check_no_orphans(&mut self, cr0: u32) {
        let descriptors =
            self.streams.level_1.values().map(|cached| (cached.from, cached.orphaned));
        let entries = self.streams.entries.values().map(|cached| (cached.from, cached.orphaned));
        let orphan = descriptors.chain(entries).find(|(_, orphaned)| *orphaned);
        let orphan = orphan.map(|(from, _)| from).or_else(|| self.streams.translations.orphan());
        if let Some(from) = orphan {
            self.violate(Violation::EnabledWithOrphans { cr0, from });
        }
    }
}
