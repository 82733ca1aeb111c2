// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hands the linker scripts to the linker.

fn main() {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{package}/../../linker/payload.ld");
    // GNU ld wants the memory region before the sections that go into it, which aarch64-rt's script
    // names; that one is found on the search path that aarch64-rt's build script adds.
    println!("cargo::rustc-link-arg-bins=-T{script}");
    println!("cargo::rustc-link-arg-bins=-Timage.ld");
    println!("cargo::rerun-if-changed={script}");
}
