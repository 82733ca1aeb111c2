// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory in Realm PAS from boot on: the image at its beginning, the buffer shared with EL3 in its last
//! page. The build script compiles this file too, and passes the addresses to the linker.

use core::ops::Range;

/// QEMU's `virt` machine under TF-A.
pub const QEMU: Range<u64> = 0x4010_0000..0x4190_0000;

/// Arm's FVP under TF-A: 32 MiB below the 4 MiB that are EL3's, at the end of the 2 GiB of DRAM that
/// begin at 2 GiB.
pub const FVP: Range<u64> = 0xFDC0_0000..0xFFC0_0000;
