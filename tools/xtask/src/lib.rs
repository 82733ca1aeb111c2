// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks of ELF files that the build makes. `tools/image`, `tools/capi` and `tools/no-panic` build and
//! link, and call the program of this crate to check the result.
//!
//! - [`library`]: libpsmmu's object is fit to be linked into the image of an RMM in C.
//! - [`image`]: EL3 can load an image as a raw file; what it takes of memory.
//! - [`panics`]: no panic can be reached in a relocatable object, or from which lines.
//! - [`calls`]: the calls and frames of a linked image, for the tests that follow them.
//! - [`elf`]: what these have in common.
//!
//! And one of the source: [`arrows`], that no files of a crate use each other in a circle.
//!
//! And the figures of the documents, drawn from a run and a bench: [`figures`].

pub mod arrows;
pub mod calls;
pub mod elf;
pub mod figures;
pub mod image;
pub mod library;
pub mod panics;
