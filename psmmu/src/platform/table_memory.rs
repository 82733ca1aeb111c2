// SPDX-License-Identifier: MIT OR Apache-2.0

//! Level-2 stream tables as the embedder gives access to them.

#![forbid(unsafe_code)]

use super::device_memory::DeviceMemory;
use crate::arch::stream_table_entry::StreamTableEntry;

/// Gives the module access to level-2 tables, and says what their streams do at rest.
pub trait TableMemory {
    /// Memory of a table.
    type Memory: DeviceMemory;

    /// Opens the table, one granule, at PA `address`, which is one that the embedder has given, or returns
    /// `None` if that cannot be done now: the call that needs it then changes nothing and says so.
    ///
    /// It is called, and the memory dropped, with the PSMMU's lock of those who issue commands held and no
    /// other, and a call has one table open at a time. So it may take a lock of its own to the drop, unless
    /// that lock is held while something of the same PSMMU is called that issues commands.
    fn open(&self, address: u64) -> Option<Self::Memory>;

    /// Returns what `stream` does before it is configured and after it was released.
    fn default_ste(&self, stream: u32) -> StreamTableEntry {
        let _ = stream;
        StreamTableEntry::ABORT
    }
}
