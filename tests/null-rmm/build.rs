// SPDX-License-Identifier: MIT OR Apache-2.0

//! Passes the linker script to the linker.

fn main() {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{package}/../../linker/null-rmm.ld");
    println!("cargo::rustc-link-arg-bins=-T{script}");
    println!("cargo::rerun-if-changed={script}");
}
