// SPDX-License-Identifier: MIT OR Apache-2.0

//! Level-2 stream tables as the embedder gives access to them.

use super::device_memory::DeviceMemory;
use crate::arch::stream_table_entry::StreamTableEntry;

/// Gives the module access to level-2 tables, and gives the default STE of their streams.
///
/// # Safety
/// An implementor promises:
/// 1. Where [`open`](Self::open) returns memory, its PA is the `address` asked for, and it is one granule.
/// 2. `open` returns `None` for each granule but those that the embedder has given to a PSMMU for a level-2
///    table and has not been given back: what [`Psmmu::st_l2_destroy`](crate::Psmmu::st_l2_destroy) returns,
///    and what [`CreateError`](crate::CreateError) and an inactive PSMMU leave free. Until then the granule is not used
///    for anything else, whether it is open or not.
pub unsafe trait TableMemory {
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
