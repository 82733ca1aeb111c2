// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the image sets aside: stacks, and what the PSMMU runs on.
//!
//! All of it is Realm memory by where the image lies, mapped one to one, so an address of the CPU is a
//! PA.

use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU64;

use psmmu::stream_table::{self, StreamTableEntry};
use psmmu::{DeviceMemory, Granules, Memory};
use rmm::MAX_CPUS;

/// Bytes of a page, and of the stack of a CPU.
pub const PAGE_SIZE: usize = 4096;

/// Memory that only assembly touches.
#[repr(C, align(4096))]
pub struct Pages<const N: usize>(UnsafeCell<[[u8; PAGE_SIZE]; N]>);

// SAFETY: no Rust code ever makes a reference to the content.
unsafe impl<const N: usize> Sync for Pages<N> {}

/// A stack for each CPU. Used at these addresses only until the MMU is on, then in the window.
#[unsafe(link_section = ".stacks")]
pub static STACKS: Pages<MAX_CPUS> = Pages(UnsafeCell::new([[0; PAGE_SIZE]; MAX_CPUS]));

/// Words that lie aligned to 16 KiB, as the largest of the queues must.
#[repr(C, align(16384))]
struct Aligned16K<const N: usize>([AtomicU64; N]);

/// Words that lie aligned to 8 KiB.
#[repr(C, align(8192))]
struct Aligned8K<const N: usize>([AtomicU64; N]);

/// Words that lie aligned to 4 KiB.
#[repr(C, align(4096))]
struct Aligned4K<const N: usize>([AtomicU64; N]);

/// Event queue of 2^9 entries.
#[unsafe(link_section = ".bss.16k.device")]
static EVENT_QUEUE: Aligned16K<{ 4 << 9 }> = Aligned16K([const { AtomicU64::new(0) }; 4 << 9]);

/// Level-1 stream table for StreamIDs of 16 bits.
#[unsafe(link_section = ".bss.8k.device")]
static STREAM_TABLE: Aligned8K<{ 1 << 10 }> = Aligned8K([const { AtomicU64::new(0) }; 1 << 10]);

/// Command queue of 2^8 entries.
#[unsafe(link_section = ".bss.4k.device")]
static COMMAND_QUEUE: Aligned4K<{ 2 << 8 }> = Aligned4K([const { AtomicU64::new(0) }; 2 << 8]);

/// Level-2 stream table.
#[unsafe(link_section = ".bss.4k.device")]
static LEVEL_2: Aligned4K<{ stream_table::L2_BYTES / 8 }> =
    Aligned4K([const { AtomicU64::new(0) }; stream_table::L2_BYTES / 8]);

/// Empty translation table.
#[cfg(feature = "fault-streams")]
#[unsafe(link_section = ".bss.4k.device")]
static EMPTY_TABLE: Aligned4K<512> = Aligned4K([const { AtomicU64::new(0) }; 512]);

/// Takes the words as memory of a device.
fn granules(words: &'static [AtomicU64]) -> Granules<'static> {
    Granules::new(words, words.as_ptr().addr() as u64)
}

/// Returns the memory of the one PSMMU, with a stream table for its first 2^`SPLIT` streams or for
/// all: see [`quiet`].
pub fn psmmu_memory() -> Memory<Granules<'static>> {
    let memory = Memory {
        stream_table: granules(&STREAM_TABLE.0),
        command_queue: granules(&COMMAND_QUEUE.0),
        event_queue: granules(&EVENT_QUEUE.0),
        pri_queue: None,
        completion: None,
    };
    let level_2 = granules(&LEVEL_2.0);
    #[cfg(feature = "fault-streams")]
    {
        use psmmu::stream_table::Stage2;
        let empty = granules(&EMPTY_TABLE.0);
        // 39 bits of input walked from level 1, whose table is one page; 40 bits of output.
        let stage_2 = Stage2 { table: empty.address(), vmid: 1, t0sz: 25, sl0: 1, ps: 2 };
        stream_table::fill(&level_2, StreamTableEntry::stage_2(stage_2));
        stream_table::link(&memory.stream_table, 0, level_2.address());
    }
    #[cfg(not(feature = "fault-streams"))]
    quiet(&memory.stream_table, &level_2);
    memory
}

/// Makes all streams abort in silence: every level-1 descriptor finds the same level-2 table of
/// entries that abort. Without a table they would be recorded as bad StreamIDs.
#[cfg(not(feature = "fault-streams"))]
fn quiet(level_1: &impl DeviceMemory, level_2: &impl DeviceMemory) {
    stream_table::fill(level_2, StreamTableEntry::ABORT);
    for table in 0..level_1.words() as u32 {
        stream_table::link(level_1, table << stream_table::SPLIT, level_2.address());
    }
}
