// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the image sets aside when it is linked: places for PSMMUs, a stack for each CPU.

use core::cell::UnsafeCell;

use psmmu::MAX_PSMMUS;
use rmm::MAX_CPUS;
use rmm::platform::THIS;

/// Most PSMMUs that this image serves.
pub const PSMMUS: usize = if cfg!(feature = "many-psmmus") { MAX_PSMMUS } else { THIS.max_psmmus };

/// Bytes of a page, and of the stack of a CPU.
pub const PAGE_SIZE: usize = 4096;

/// Memory that only assembly touches.
#[repr(C, align(4096))]
pub struct Pages<const N: usize>(UnsafeCell<[[u8; PAGE_SIZE]; N]>);

// SAFETY: no Rust code ever makes a reference to the content.
unsafe impl<const N: usize> Sync for Pages<N> {}

/// A stack for each CPU. Used at these addresses only until the MMU is on, then in the window.
#[unsafe(link_section = ".bss.4stacks")]
pub static STACKS: Pages<MAX_CPUS> = Pages(UnsafeCell::new([[0; PAGE_SIZE]; MAX_CPUS]));
