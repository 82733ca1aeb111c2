// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hands the linker script, and where the image lies, to the linker when the image is built for bare
//! metal.

use std::{env, path::Path};

#[path = "src/platform/place.rs"]
mod place;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        let script = Path::new(&manifest).join("../linker/rmm.ld");
        println!("cargo:rerun-if-changed={}", script.display());
        println!("cargo:rerun-if-changed=src/platform/place.rs");
        let is_fvp = env::var_os("CARGO_FEATURE_FVP").is_some();
        let realm = if is_fvp { place::FVP } else { place::QEMU };
        println!("cargo:rustc-link-arg-bins=--defsym=realm_start={:#x}", realm.start);
        println!("cargo:rustc-link-arg-bins=--defsym=realm_end={:#x}", realm.end);
        println!("cargo:rustc-link-arg-bins=-T{}", script.display());
    }
}
