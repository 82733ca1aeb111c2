// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes of a stream table that the device may read at any time, word by word and in any order (IHI
//! 0070, "Configuration structure update procedure").
//!
//! Stores are judged when the device begins to see them, all that wait for the same barrier at once:
//! they have no order among themselves. An entry is enabled by its first word alone, with the other
//! words in place, and these change only once the device has been notified that it is not enabled any more.

use std::collections::BTreeMap;

use crate::Device;
use crate::cmdq::Invalidation;
use crate::control::Enable;
use crate::stream::{self, ENTRY_BYTES, Entry, Table};
use crate::violation::Violation;

/// Entries that were changed, by their addresses: the stream, and whether the device was asked to drop
/// what it has of it.
type Unreported = BTreeMap<u64, (u32, bool)>;

/// Entries of which the device may still have an earlier state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Updates {
    /// Enabled in that state.
    disabled: Unreported,
    /// With other words behind the first; only considered by a strict device.
    changed: Unreported,
}

impl Updates {
    /// Notes that a command invalidates something.
    pub fn report(&mut self, invalidation: Invalidation) {
        let streams = match invalidation {
            Invalidation::Configuration => 0..=u32::MAX,
            Invalidation::Streams { first, last, .. } => first..=last,
            Invalidation::Translations(_) => return,
        };
        for (stream, reported) in self.disabled.values_mut().chain(self.changed.values_mut()) {
            *reported |= streams.contains(stream);
        }
    }

    /// Notes that all invalidations are complete.
    pub fn settle(&mut self) {
        self.disabled.retain(|_, (_, reported)| !*reported);
        self.changed.retain(|_, (_, reported)| !*reported);
    }

    /// Returns the addresses between `first` and `end` of entries that may be cached as enabled.
    pub fn disabled_in(&self, first: u64, end: u64) -> impl Iterator<Item = u64> {
        self.disabled.range(first..end).map(|(address, _)| *address)
    }
}

impl Device {
    /// Lets the device see all stores of the CPU, as time does in the end.
    pub fn drain_stores(&mut self) {
        if !self.is_disabled(Enable::Smmu.bits()) {
            self.check_stores();
        }
        self.memory.drain_stores();
    }

    /// Judges the stores that the device is about to see.
    fn check_stores(&mut self) {
        let commands = self.command_base();
        let is_command = |at: u64| at.wrapping_sub(commands.address) < commands.bytes(16);
        let first = self.streams.address(&self.config);
        let bytes = self.streams.descriptors_end(&self.config) - first;
        let (mut descriptors, mut entries) = (Vec::new(), Vec::new());
        for (address, value) in self.memory.stores() {
            if is_command(address) || self.memory.peek(address) == Some(value) {
                continue;
            }
            let entry = address & !(ENTRY_BYTES - 1);
            if address.wrapping_sub(first) < bytes {
                descriptors.push((address, value));
            } else if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        for entry in entries {
            self.check_entry(entry);
        }
        for (address, value) in descriptors {
            self.check_descriptor(address, value);
        }
    }

    /// Judges stores to what may be the entry at `entry`.
    fn check_entry(&mut self, entry: u64) {
        let word = |index: u64| self.memory.peek(entry + 8 * index);
        let next = |index: u64| self.memory.unseen(entry + 8 * index).or_else(|| word(index));
        let is_enabled = |word: Option<u64>| word.is_some_and(stream::is_enabled);
        let (was_enabled, will_be) = (is_enabled(word(0)), is_enabled(next(0)));
        let changed = (1..8).find(|&index| word(index) != next(index));
        let disabled = self.streams.updates.disabled.get(&entry).map(|(stream, _)| *stream);
        // Most stores have nothing to do with stream tables: the search for the entry comes last.
        if !(was_enabled || will_be || disabled.is_some() || self.modes.strict_entries) {
            return;
        }
        let Some(stream) = self.stream_at(entry).or(disabled) else { return };
        let is_strict = self.modes.strict_entries;
        let is_unreported = self.streams.updates.changed.contains_key(&entry);
        if let Some(index) = changed {
            let address = entry + 8 * index;
            if was_enabled || disabled.is_some() {
                self.violate(Violation::LiveEntryChanged { stream, address });
            } else if will_be {
                self.violate(Violation::EntryNotVisible { stream, address });
            }
            if is_strict {
                self.streams.updates.changed.insert(entry, (stream, false));
            }
        } else if will_be && !was_enabled && is_strict && is_unreported {
            self.violate(Violation::EntryNotInvalidated { stream, address: entry });
        }
        if was_enabled && !will_be {
            self.streams.updates.disabled.insert(entry, (stream, false));
        }
    }

    /// Judges a store of `value` to the level-1 descriptor at `from`.
    fn check_descriptor(&mut self, from: u64, value: u64) {
        self.check_table_address(from, value);
        let table = |descriptor| self.streams.table(descriptor, from, &self.config);
        let (old, new) = (self.memory.peek(from).and_then(table), table(value));
        if old == new {
            return;
        }
        let unlinked: Vec<_> = old.map_or_else(Vec::new, |table| {
            let enabled = self.enabled_entries(table);
            enabled.map(|(stream, address, _)| (address, (stream, false))).collect()
        });
        self.streams.updates.disabled.extend(unlinked);
        let unseen = new.and_then(|table| self.memory.unseen_store(table.address, table.end()));
        if let Some(address) = unseen {
            self.violate(Violation::LinkedBeforeVisible { descriptor: from, address });
        }
    }

    /// Finds the stream whose entry lies at `entry`, if the device would find it there.
    fn stream_at(&self, entry: u64) -> Option<u32> {
        let mut tables = self.tables();
        let table = tables.find(|table| (table.address..table.end()).contains(&entry))?;
        Some(table.stream + ((entry - table.address) / ENTRY_BYTES) as u32)
    }

    /// Returns the entries of `table` that are in memory and enabled: stream, address, words.
    pub(crate) fn enabled_entries(&self, table: Table) -> impl Iterator<Item = (u32, u64, Entry)> {
        let firsts = self.memory.words_in(table.address, table.end());
        let firsts = firsts.filter(|(address, word)| {
            address.is_multiple_of(ENTRY_BYTES) && stream::is_enabled(*word)
        });
        firsts.map(move |(address, first)| {
            let word = |index: usize| self.memory.peek(address + 8 * index as u64).unwrap_or(0);
            let entry = std::array::from_fn(|index| if index == 0 { first } else { word(index) });
            let index = ((address - table.address) / ENTRY_BYTES) as u32;
            (table.stream.wrapping_add(index), address, entry)
        })
    }

    /// Chooses whether an entry may be enabled only once the device was asked to drop what it had of it
    /// before, by CMD_CFGI_* and CMD_SYNC between the last change of its other words and that of the
    /// first. Without it, which is the default, the device is taken to read the first word first; the
    /// architecture does not promise that.
    pub const fn set_strict_entries(&mut self, strict: bool) {
        self.modes.strict_entries = strict;
    }
}
