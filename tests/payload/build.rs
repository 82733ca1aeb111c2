// SPDX-License-Identifier: MIT OR Apache-2.0

//! Passes the linker scripts, and the address of the image, to the linker.

use std::env;

#[expect(dead_code)]
#[path = "src/platform/fvp.rs"]
mod fvp;
#[expect(dead_code)]
#[path = "src/platform/qemu.rs"]
mod qemu;

fn main() {
    let package = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{package}/../../linker/payload.ld");
    let is_fvp = env::var_os("CARGO_FEATURE_FVP").is_some();
    let image = if is_fvp { fvp::IMAGE } else { qemu::IMAGE };
    println!("cargo::rustc-link-arg-bins=--defsym=host_start={image:#x}");
    // GNU ld wants the memory region before the sections that go into it, which aarch64-rt's script
    // names; that one is found on the search path that aarch64-rt's build script adds.
    println!("cargo::rustc-link-arg-bins=-T{script}");
    println!("cargo::rustc-link-arg-bins=-Timage.ld");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/platform");
}
