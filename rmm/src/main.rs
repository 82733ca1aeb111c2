// SPDX-License-Identifier: MIT OR Apache-2.0

//! The RMM image for Realm EL2.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(core_from_source, feature(optimize_attribute))]

#[cfg(target_os = "none")]
mod image;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "The RMM runs at Realm EL2: build it with \"make image\", boot it with \"make run\"."
    );
    std::process::exit(2);
}
