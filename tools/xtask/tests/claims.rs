// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is written in two places is the same in both.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns what stands between quotes behind each `start` of a line.
fn quoted(text: &str, start: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.trim_start().starts_with(start));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn the_oldest_rust_accepted_is_one_that_make_test_builds_with() {
    let [oldest] = quoted(&text("Cargo.toml"), "rust-version").try_into().expect("one");
    let claim = format!("| Rust | {oldest}, the oldest accepted, for the tests;");
    assert!(text("README.md").contains(&claim), "README.md, tested with: {claim}");
    assert!(text("Makefile").contains("\t@tools/msrv --if-there\n"), "make test builds with it");
    for package in ["abi", "psmmu", "host", "rmm", "capi", "tests/smmu-model"] {
        let Ok(page) = fs::read_to_string(root().join(package).join("README.md")) else { continue };
        for (_, version) in page.match_indices("Rust 1.").map(|(at, _)| page.split_at(at + 5)) {
            assert!(version.starts_with(&oldest), "{package}/README.md: {:.9}", version);
        }
    }
}

#[test]
fn plain_cargo_builds_firmware_with_the_flags_of_its_script() {
    let config = text(".cargo/config.toml");
    let script = text("tools/firmware-cargo");
    let (_, flags) = script.split_once("\nflags=(\n").expect("the flags of all firmware");
    let (flags, _) = flags.split_once("\n)\n").expect("their end");
    let flags: Vec<&str> = flags
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-C "))
        .filter(|flag| !flag.starts_with("linker=aarch64-linux-gnu-ld"))
        .collect();
    let plain = quoted(&config, "\"-C\"");
    let plain: Vec<&str> = plain.iter().map(String::as_str).filter(|it| *it != "-C").collect();
    assert_eq!(plain, flags);
    assert!(script.contains("-C linker=aarch64-linux-gnu-ld\n"));
    assert_eq!(quoted(&config, "linker ="), ["aarch64-linux-gnu-ld"]);
}
