// SPDX-License-Identifier: MIT OR Apache-2.0

//! Has the linker keep what the roots reach and nothing else, and leave open what is not defined.

/// The functions of `main.rs` that the rest must be reachable from.
const ROOTS: [&str; 8] = [
    "event_path_notify",
    "event_path_consume",
    "event_path_info",
    "event_path_irq_notify",
    "event_path_event_consume",
    "event_path_handle",
    "event_path_streams",
    // With the feature of that name only.
    "event_path_can_panic",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Relocatable, so that what is not defined stays a symbol that each caller names.
    println!("cargo::rustc-link-arg-bins=--relocatable");
    println!("cargo::rustc-link-arg-bins=--gc-sections");
    for root in ROOTS {
        println!("cargo::rustc-link-arg-bins=--undefined={root}");
    }
}
