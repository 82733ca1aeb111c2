// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stream table, linear or of two levels, and the cache of its entries (IHI 0070, "Stream table
//! lookup", "Stream table entry").
//!
//! Entries are cached, valid or not, until CMD_CFGI_* and a CMD_SYNC have made the device read them again.

use std::collections::BTreeMap;

use crate::cmdq::{Invalidation, Scope};
use crate::control::Enable;
use crate::registers::Register;
use crate::translations::{Translation, Translations};
use crate::updates::Updates;
use crate::violation::Violation;
use crate::{Config, Device};

/// The words of a stream table entry.
pub(crate) type Entry = [u64; 8];

pub(crate) const ENTRY_BYTES: u64 = 64;
/// ADDR of STRTAB_BASE and L2Ptr of a level-1 descriptor, 55:6.
const ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFC0;

/// Why there is no valid entry for a StreamID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NoEntry {
    /// SMMUEN is 0.
    Disabled,
    /// C_BAD_STREAMID.
    BadStreamId,
    /// F_STE_FETCH at this address.
    Fetch(u64),
    /// C_BAD_STE.
    BadEntry,
}

/// Something cached, and where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cached<T> {
    pub value: T,
    pub from: u64,
    /// The memory was taken back since, or that which a descriptor points at.
    pub orphaned: bool,
}

/// A level-2 table, or a linear one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// The address of its first entry.
    pub address: u64,
    pub entries: u64,
    /// The stream of its first entry.
    pub stream: u32,
    /// The address of the level-1 descriptor that points at it, or 0.
    pub descriptor: u64,
}

impl Table {
    pub const fn end(&self) -> u64 {
        self.address + self.entries * ENTRY_BYTES
    }
}

/// Registers of the stream table, and what is cached of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Streams {
    pub base: u64,
    pub cfg: u32,
    /// Level-1 descriptors by their addresses.
    pub level_1: BTreeMap<u64, Cached<u64>>,
    pub entries: BTreeMap<u32, Cached<Entry>>,
    pub translations: Translations,
    pub updates: Updates,
    pub configuration_invalidated: bool,
    pub translations_invalidated: bool,
}

impl Streams {
    /// Returns whether all that was UNKNOWN in the caches since reset was invalidated.
    pub const fn is_invalidated(&self) -> bool {
        self.configuration_invalidated && self.translations_invalidated
    }

    /// Drops what is cached; `config` is the device's. A stage-2 entry that is cached while the device
    /// translates may have led to translations until now.
    pub fn invalidate(&mut self, invalidation: Invalidation, config: &Config, translates: bool) {
        let (of_streams, leaf) = match invalidation {
            Invalidation::Configuration => (0..=u32::MAX, false),
            Invalidation::Streams { first, last, leaf } => (first..=last, leaf),
            Invalidation::Translations(scope) => {
                self.translations_invalidated |= scope == Scope::All;
                return self.translations.drop_scope(scope);
            }
        };
        let translations = &mut self.translations;
        self.entries.retain(|stream, cached| {
            let is_hit = of_streams.contains(stream);
            if is_hit && translates && is_translating(&cached.value, config) {
                translations.insert(Translation::of(&cached.value));
            }
            !is_hit
        });
        if invalidation == Invalidation::Configuration {
            self.level_1.clear();
            self.configuration_invalidated = true;
        } else if !leaf {
            let (base, split) = (self.address(config), self.split());
            let descriptor = |stream: u32| base + u64::from(stream >> split) * 8;
            let hit = descriptor(*of_streams.start())..=descriptor(*of_streams.end());
            self.level_1.retain(|address, _| !hit.contains(address));
        }
    }

    fn invalidate_all(&mut self) {
        self.level_1.clear();
        self.entries.clear();
    }

    const fn is_two_level(&self) -> bool {
        self.cfg >> 16 & 3 == 1
    }

    /// SPLIT; values that mean nothing act as 6.
    const fn split(&self) -> u32 {
        match self.cfg >> 6 & 0x1F {
            split @ (8 | 10) => split,
            _ => 6,
        }
    }

    const fn log2(&self, config: &Config) -> u32 {
        let log2 = self.cfg & 0x3F;
        if log2 > config.stream_bits() { config.stream_bits() } else { log2 }
    }

    /// Returns whether STRTAB_BASE points at level-1 descriptors.
    pub const fn has_two_levels(&self, config: &Config) -> bool {
        self.is_two_level() && config.has_two_level_tables()
    }

    /// Bytes of the table that STRTAB_BASE points at, as far as the device reads it.
    pub const fn bytes(&self, config: &Config) -> u64 {
        self.table_bytes(self.log2(config), config)
    }

    /// The alignment of the table's address. It goes by LOG2SIZE as written, be it above SIDSIZE (6.3.24).
    pub const fn alignment(&self, config: &Config) -> u64 {
        let bytes = self.table_bytes(self.cfg & 0x3F, config);
        if bytes < 64 { 64 } else { bytes }
    }

    const fn table_bytes(&self, log2: u32, config: &Config) -> u64 {
        // Not more than there are addresses.
        let shift = if self.has_two_levels(config) {
            3 + log2.saturating_sub(self.split())
        } else {
            6 + log2
        };
        1 << if shift > 56 { 56 } else { shift }
    }

    /// Where the level-1 descriptors end; where they begin if there are none.
    pub const fn descriptors_end(&self, config: &Config) -> u64 {
        let first = self.address(config);
        if !self.has_two_levels(config) {
            return first;
        }
        first + (8 << self.log2(config).saturating_sub(self.split()))
    }

    /// The table's address, aligned down as the device does.
    pub const fn address(&self, config: &Config) -> u64 {
        config.truncate(self.base & ADDRESS & !(self.alignment(config) - 1))
    }

    /// Returns the table that a level-1 descriptor points at, if any. `from` is where it lies. An address
    /// above OAS is cut off, one of the two things that a device may do with it (3.4.3).
    pub fn table(&self, descriptor: u64, from: u64, config: &Config) -> Option<Table> {
        let split = self.split();
        let span = (descriptor & 0x1F) as u32;
        // Span is one more than the log2 of the entries; 0 is no table, and 12 and up are reserved.
        if span == 0 || span > 11 || span > split + 1 {
            return None;
        }
        let entries = 1 << (span - 1);
        let address = config.truncate(descriptor & ADDRESS & !(entries * ENTRY_BYTES - 1));
        let index = from.wrapping_sub(self.address(config)) / 8;
        Some(Table { address, entries, stream: (index << split) as u32, descriptor: from })
    }
}

/// Returns PPAR of an entry: automatic answers carry the PASID.
pub(crate) const fn answers_with_pasid(entry: &Entry) -> bool {
    entry[1] >> (82 - 64) & 1 != 0
}

/// Returns MEV of an entry: events may be merged.
pub(crate) const fn merges_events(entry: &Entry) -> bool {
    entry[1] >> (83 - 64) & 1 != 0
}

/// Config of an entry.
pub(crate) const fn kind(entry: &Entry) -> u64 {
    entry[0] >> 1 & 7
}

/// Returns whether the first word of an entry lets transactions do anything but abort.
pub(crate) const fn is_enabled(word: u64) -> bool {
    word & 1 != 0 && word >> 3 & 1 != 0
}

/// Returns whether an entry makes the device walk a stage-2 table.
pub(crate) const fn is_translating(entry: &Entry, config: &Config) -> bool {
    kind(entry) & 0b110 == 0b110 && config.takes_entry(entry)
}

impl Device {
    pub(crate) fn check_stream_table(&mut self) {
        let alignment = self.streams.alignment(&self.config);
        // Bits 5:0 are reserved: an address that needs them is not what the device takes.
        let address = self.streams.base & (ADDRESS | 0x3F);
        if !address.is_multiple_of(alignment) {
            let register = Register::StrtabBase;
            self.violate(Violation::MisalignedBase { register, address, alignment });
        }
        self.check_register_address(Register::StrtabBase, address);
        let first = self.streams.address(&self.config);
        let end = first + self.streams.bytes(&self.config);
        if let Some(address) = self.memory.unseen_store(first, end) {
            self.violate(Violation::TableNotVisible { address });
        }
        let descriptors: Vec<_> =
            self.memory.words_in(first, self.streams.descriptors_end(&self.config)).collect();
        for (from, descriptor) in descriptors {
            self.check_table_address(from, descriptor);
        }
        let linked = self.tables().filter(|table| table.descriptor != 0);
        let unseen =
            linked.filter_map(|table| self.memory.unseen_store(table.address, table.end()));
        if let Some(address) = unseen.min() {
            self.violate(Violation::TableNotVisible { address });
        }
    }

    /// Checks that a level-1 descriptor points at an address that the device has.
    pub(crate) fn check_table_address(&mut self, from: u64, descriptor: u64) {
        let (address, bits) = (descriptor & ADDRESS, self.config.address_bits());
        if address >> bits != 0 && self.streams.table(descriptor, from, &self.config).is_some() {
            self.violate(Violation::TableAboveOas { descriptor: from, address, bits });
        }
    }

    /// Returns the tables of entries that the device would find in memory.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Table> {
        let Self { streams, config, memory, .. } = self;
        let (first, is_linear) = (streams.address(config), !streams.has_two_levels(config));
        let entries = 1 << streams.log2(config);
        let linear = Table { address: first, entries, stream: 0, descriptor: 0 };
        let linked = memory.words_in(first, streams.descriptors_end(config));
        let linked = linked.filter_map(|(at, descriptor)| streams.table(descriptor, at, config));
        is_linear.then_some(linear).into_iter().chain(linked)
    }

    /// Finds the entry of `stream`, valid and legal.
    pub(crate) fn stream_table_entry(&mut self, stream: u32) -> Result<Entry, NoEntry> {
        if !self.is_on(Enable::Smmu) {
            return Err(NoEntry::Disabled);
        }
        let entry = match self.streams.entries.get(&stream) {
            Some(cached) => cached.value,
            None => {
                let address = self.entry_address(stream)?;
                let mut entry = [0; 8];
                for (word, at) in entry.iter_mut().zip((address..).step_by(8)) {
                    *word = self.fetch(at).map_err(|_| NoEntry::Fetch(address))?;
                }
                if self.modes.caches {
                    let cached = Cached { value: entry, from: address, orphaned: false };
                    self.streams.entries.insert(stream, cached);
                }
                entry
            }
        };
        if self.config.takes_entry(&entry) { Ok(entry) } else { Err(NoEntry::BadEntry) }
    }

    /// Lets the device read the entry of `stream` ahead, as it may at any time while SMMUEN is set. What
    /// it finds is cached; what is wrong with it is recorded only when a transaction uses it.
    pub fn prefetch(&mut self, stream: u32) {
        let _ = self.stream_table_entry(stream);
    }

    fn entry_address(&mut self, stream: u32) -> Result<u64, NoEntry> {
        let base = self.streams.address(&self.config);
        if u64::from(stream) >= 1 << self.streams.log2(&self.config) {
            return Err(NoEntry::BadStreamId);
        }
        if !self.streams.has_two_levels(&self.config) {
            return Ok(base + u64::from(stream) * ENTRY_BYTES);
        }
        let split = self.streams.split();
        let from = base + u64::from(stream >> split) * 8;
        let descriptor = self.level_1_descriptor(from)?;
        let index = u64::from(stream & ((1 << split) - 1));
        let table = self.streams.table(descriptor, from, &self.config);
        let table = table.filter(|table| index < table.entries).ok_or(NoEntry::BadStreamId)?;
        Ok(table.address + index * ENTRY_BYTES)
    }

    fn level_1_descriptor(&mut self, address: u64) -> Result<u64, NoEntry> {
        if let Some(descriptor) = self.streams.level_1.get(&address) {
            return Ok(descriptor.value);
        }
        let descriptor = self.fetch(address).map_err(|_| NoEntry::Fetch(address))?;
        if self.modes.caches {
            let cached = Cached { value: descriptor, from: address, orphaned: false };
            self.streams.level_1.insert(address, cached);
        }
        Ok(descriptor)
    }

    /// Forgets all cached configuration, as a test may want that has changed tables behind the driver's
    /// back.
    pub fn invalidate_configuration(&mut self) {
        self.streams.invalidate_all();
    }

    /// Chooses whether configuration and translations are cached, which they are by default.
    pub fn cache_configuration(&mut self, caches: bool) {
        self.modes.caches = caches;
        self.streams.invalidate_all();
        self.streams.translations = Translations::default();
    }

    /// Returns STRTAB_BASE and STRTAB_BASE_CFG.
    #[must_use]
    pub const fn stream_table(&self) -> (u64, u32) {
        (self.streams.base, self.streams.cfg)
    }
}
