// SPDX-License-Identifier: MIT OR Apache-2.0

//! No crate's files use each other in a circle; and circles are found.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::arrows::Arrows;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(first: &str) -> Arrows {
    Arrows::read(&root().join(first)).unwrap_or_else(|error| panic!("{error}"))
}

/// A crate of these files, in a folder of its own.
fn planted(name: &str, files: &[(&str, &str)]) -> Arrows {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    Arrows::read(&folder.join("lib.rs")).expect("a crate")
}

#[test]
fn no_files_of_a_crate_use_each_other_in_a_circle() {
    for first in ["psmmu/src/lib.rs", "rmm/src/lib.rs", "rmm/src/main.rs"] {
        let arrows = read(first);
        assert!(arrows.files().len() > 10, "{first}: {} files", arrows.files().len());
        if let Some(circle) = arrows.circle() {
            panic!("{first}: {}", circle.join(" -> "));
        }
    }
}

#[test]
fn no_layer_of_psmmu_uses_one_above_it() {
    let arrows = read("psmmu/src/lib.rs");
    if let Some(circle) = arrows.circle_of_parts() {
        panic!("{}", circle.join(" -> "));
    }
    // From the top down; what two of them have in common is not checked.
    let layers = ["responder", "directory", "psmmu", "logic", "platform", "arch"];
    let layer = |file: &Path| {
        let part = Path::new(file.iter().next().expect("a part")).with_extension("");
        layers.iter().position(|layer| Path::new(layer) == part)
    };
    for (from, files) in arrows.files() {
        for to in files {
            if let (Some(above), Some(below)) = (layer(from), layer(to)) {
                let (from, to) = (from.display(), to.display());
                assert!(above <= below, "{from} uses {to}, which is above it");
            }
        }
    }
}

#[test]
fn a_circle_is_found_through_a_re_export_and_named() {
    let arrows = planted(
        "re-export",
        &[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "mod inner; pub(crate) use inner::Thing; use crate::c::last;"),
            ("a/inner.rs", "pub(crate) struct Thing; fn f() { crate::b::g() }"),
            ("b.rs", "use crate::a::Thing; pub(crate) fn g() {}"),
            ("c.rs", "pub(crate) fn last() {}"),
        ],
    );
    let circle = arrows.circle().expect("a circle");
    assert_eq!(circle, ["a/inner.rs", "b.rs", "a/inner.rs"]);
    assert_eq!(arrows.circle_of_parts().expect("a circle"), ["a", "b", "a"]);
}

#[test]
fn a_parent_that_uses_its_child_and_is_used_by_it_is_a_circle() {
    let child = ("a/inner.rs", "use super::Owned; pub(crate) fn f() {}");
    let owner = |used: &str| format!("mod inner; pub(crate) use inner::f; struct Owned; {used}");
    let of = |name, used| planted(name, &[("lib.rs", "mod a;"), ("a.rs", &owner(used)), child]);
    // Declared and re-exported alone it is none.
    assert_eq!(of("declared", "").circle(), None);
    let expected = Some(["a/inner.rs", "a.rs", "a/inner.rs"].map(String::from).to_vec());
    assert_eq!(of("imported", "mod b { use super::inner::f; }").circle(), expected);
    assert_eq!(of("called", "fn g() { self::inner::f() }").circle(), expected);
    assert_eq!(of("macro", "fn g() { assert!(super::a::inner::f() == ()) }").circle(), expected);
}

#[test]
fn what_tests_and_other_crates_are_used_for_is_no_arrow() {
    let arrows = planted(
        "tests",
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::g; use core::fmt; pub(crate) fn f() { fmt::x() }"),
            ("b.rs", "pub(crate) fn g() {}\n#[cfg(test)] mod tests { use crate::a::f; }"),
        ],
    );
    assert_eq!(arrows.circle(), None);
    assert_eq!(arrows.files()[Path::new("a.rs")].len(), 1);
    assert_eq!(arrows.files()[Path::new("b.rs")].len(), 0);
}
