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

/// Folders of the crates that can be published.
const PUBLISHED: [&str; 4] = ["abi", "host", "psmmu", "tests/smmu-model"];

/// Returns the lines of a table of a manifest.
fn table<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| **line != header).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn the_crates_that_can_be_published_are_those_that_are_packaged() {
    let workspace = text("Cargo.toml");
    assert_eq!(table(&workspace, "workspace.package").last(), Some(&"publish = false"));
    let members = quoted(&workspace, "members = ");
    assert!(members.len() > 10, "{members:?}");
    let mut names = Vec::new();
    for member in &members {
        let manifest = text(&format!("{member}/Cargo.toml"));
        if PUBLISHED.contains(&member.as_str()) {
            assert!(manifest.contains("\npublish = true\n"), "{member} can be published");
            for file in ["README.md", "LICENSE-APACHE", "LICENSE-MIT"] {
                assert!(root().join(member).join(file).exists(), "{member}/{file}");
            }
            names.extend(quoted(&manifest, "name = ").into_iter().take(1));
        } else {
            assert!(manifest.contains("\npublish.workspace = true\n"), "{member} stays here");
        }
    }
    let script = text("tools/lib.sh");
    let line = script.lines().find_map(|line| line.strip_prefix("published=(")).expect("a list");
    let mut packaged: Vec<_> = line.trim_end_matches(')').split(' ').collect();
    packaged.sort_unstable();
    names.sort_unstable();
    assert_eq!(packaged, names);
    assert!(text("Makefile").contains("tools/package -q\n"), "make test packages them");
}

#[test]
fn published_crates_resolve_beside_other_versions() {
    let workspace = text("Cargo.toml");
    let [version] = quoted(&workspace, "version = ").try_into().expect("one");
    let requirements = table(&workspace, "workspace.dependencies");
    let mut seen = 0;
    for package in PUBLISHED {
        for line in table(&text(&format!("{package}/Cargo.toml")), "dependencies") {
            let name = line.split(['.', ' ']).next().expect("a name");
            assert!(line.contains("workspace = true"), "{package}: {line}");
            let start = format!("{name} = ");
            let of_workspace = requirements.iter().find_map(|it| it.strip_prefix(&start));
            let of_workspace = of_workspace.unwrap_or_else(|| panic!("{package}: {name}"));
            if of_workspace.contains("path = ") {
                let own = format!("version = \"{version}\"");
                assert!(of_workspace.contains(&own), "{name}: {of_workspace}");
            } else {
                let requirement = of_workspace.trim_start_matches("{ version = ");
                let is_caret = |c: char| c.is_ascii_digit();
                assert!(requirement.trim_start_matches('"').starts_with(is_caret), "{name}");
            }
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen} dependencies");
}
