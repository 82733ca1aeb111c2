// SPDX-License-Identifier: MIT OR Apache-2.0

//! Compiles the C that the tests in Rust call.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    let package = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let include = format!("{package}/../../capi/include");
    println!("cargo::rerun-if-changed={include}/psmmu.h");
    println!("cargo::rerun-if-env-changed=CC");
    let source = format!("{package}/c/layout.c");
    let object = format!("{out}/layout.o");
    println!("cargo::rerun-if-changed={source}");
    let status = Command::new(&compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-O1"])
        .args([format!("-I{include}"), "-c".into(), source, "-o".into(), object.clone()])
        .status()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(status.success(), "{compiler} refuses layout.c");
    assert!(fs::exists(Path::new(&object)).unwrap_or(false));
    println!("cargo::rustc-link-arg-tests={object}");
}
