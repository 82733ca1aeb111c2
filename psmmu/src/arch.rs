// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the architecture says (Arm IHI 0070): numbers and layouts, and nothing else. Each file is one table
//! of it.

#![forbid(unsafe_code)]

pub(crate) mod command;
pub(crate) mod event_record;
pub(crate) mod l1_descriptor;
pub(crate) mod limits;
pub(crate) mod page_request;
pub(crate) mod queue_pointer;
pub mod registers;
pub(crate) mod stream_table_entry;
