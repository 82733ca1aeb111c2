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
    let model = format!("{package}/include");
    println!("cargo::rerun-if-changed={include}/libpsmmu.h");
    println!("cargo::rerun-if-changed={model}/smmu_model.h");
    println!("cargo::rerun-if-env-changed=CC");
    // Each for the test in Rust of the same name.
    for test in ["layout", "model"] {
        let source = format!("{package}/c/{test}.c");
        let object = format!("{out}/{test}.o");
        println!("cargo::rerun-if-changed={source}");
        let status = Command::new(&compiler)
            .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-O1"])
            .args([format!("-I{include}"), format!("-I{model}")])
            .args(["-c".into(), source, "-o".into(), object.clone()])
            .status()
            .unwrap_or_else(|error| panic!("{compiler}: {error}"));
        assert!(status.success(), "{compiler} refuses {test}.c");
        assert!(fs::exists(Path::new(&object)).unwrap_or(false));
    }
    println!("cargo::rustc-link-arg-tests={out}/layout.o");
    // As a library, for the one test that names it: only there are the model's functions that it calls.
    println!("cargo::rustc-link-search=native={out}");
    let archive = format!("{out}/libmodel_in_c.a");
    let status = Command::new("ar")
        .args(["crs".into(), archive, format!("{out}/model.o")])
        .status()
        .unwrap_or_else(|error| panic!("ar: {error}"));
    assert!(status.success(), "ar refuses model.o");
}
