// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the SMMUv3 architecture (Arm IHI 0070) says: numbers and layouts, without state.

#![forbid(unsafe_code)]

pub mod registers;
