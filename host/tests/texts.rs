// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the texts say of the code is so: excerpts are excerpts, links lead somewhere, names are there,
//! and the numbers of `docs/event.md` are those of a run.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use psmmu_abi::{Event, Function, IrqSet};
use psmmu_host::{Described, service};
use responder_tests::{Faults, Machine, Options, PSMMU};
use smmu_model::Source;

/// Texts that are checked.
const TEXTS: [&str; 6] = [
    "README.md",
    "docs/abi.md",
    "docs/boot.md",
    "docs/event.md",
    "docs/life.md",
    "docs/promises.md",
];

/// Folders of the source of each crate, by the crate's name in Rust.
const CRATES: [(&str, &str); 5] = [
    ("psmmu_abi", "abi/src/"),
    ("psmmu", "psmmu/src/"),
    ("psmmu_host", "host/src/"),
    ("rmm", "rmm/src/"),
    ("smmu_model", "tests/smmu-model/src/"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns label and target of each link of `text`, code blocks aside.
fn links(text: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    for prose in text.split("```").step_by(2) {
        for (middle, _) in prose.match_indices("](") {
            let label = prose[..middle].rfind('[').expect("the beginning of a link") + 1;
            let end = middle + prose[middle..].find(')').expect("the end of a link");
            links.push((&prose[label..middle], &prose[middle + 2..end]));
        }
    }
    links
}

/// Returns whether `code` declares `name`.
fn declares(code: &str, name: &str) -> bool {
    ["fn", "struct", "enum", "trait", "const", "type"].iter().any(|kind| {
        let declaration = format!("{kind} {name}");
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        code.match_indices(&declaration).any(|(at, _)| ends(&code[at + declaration.len()..]))
    })
}

/// Returns the Rust files below `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_first_code_of_the_readme_is_an_excerpt_of_the_example() {
    let readme = read("README.md");
    let mut blocks = readme.split("```");
    let code = blocks.nth(1).expect("a code block").strip_prefix("rust\n").expect("of Rust");
    let excerpt: String = code
        .lines()
        .map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") })
        .collect();
    let example = read("host/examples/realm-smmu/driver.rs");
    assert!(example.contains(&excerpt), "not in the example:\n{excerpt}");
}

#[test]
fn no_link_is_dead() {
    for text in TEXTS {
        let content = read(text);
        let folder = root().join(text);
        let folder = folder.parent().expect("a folder");
        for (label, target) in links(&content) {
            let path = target.split('#').next().expect("a first part");
            let is_there = path.is_empty() || path.contains("://") || folder.join(path).exists();
            assert!(is_there, "{text}: [{label}] leads to {target}, which is not there");
        }
    }
}

#[test]
fn each_name_on_the_way_of_an_event_is_declared_where_its_link_leads() {
    let page = read("docs/event.md");
    let mut names = 0;
    for (label, target) in links(&page) {
        let Some(path) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`')) else {
            continue;
        };
        let file = target.strip_prefix("../").expect("a file beside the folder of the page");
        let (of, item) = (path.split("::").next(), path.rsplit("::").next());
        let folder = CRATES.iter().find(|(name, _)| Some(*name) == of).map(|(_, folder)| *folder);
        let folder = folder.unwrap_or_else(|| panic!("{path}: no such crate"));
        assert!(file.starts_with(folder), "{path} is not of {file}");
        let item = item.expect("a last part");
        assert!(declares(&read(file), item), "{file} does not declare {item}");
        names += 1;
    }
    assert!(names > 30, "{names} names");
}

#[test]
fn each_test_that_the_promises_name_is_there() {
    let mut files = Vec::new();
    for folder in ["abi", "psmmu", "rmm", "host", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    let code: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let page = read("docs/promises.md");
    let is_name = |word: &&str| {
        let is_identifier =
            word.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c));
        is_identifier && word.matches('_').count() >= 3
    };
    let named: BTreeSet<_> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 30, "{} names", named.len());
    for name in named {
        assert!(declares(&code, name), "nothing is called {name}");
    }
}

/// Writes a number as the pages do, in groups of four digits.
fn grouped(number: u64, digits: usize) -> String {
    let hex = format!("{number:0digits$X}");
    let groups: Vec<_> = hex.as_bytes().rchunks(4).rev().map(String::from_utf8_lossy).collect();
    format!("0x{}", groups.join("_"))
}

#[test]
fn the_numbers_on_the_way_of_an_event_are_those_of_a_run() {
    const ADDRESS: u64 = 0x5000_0004;
    let page = read("docs/event.md");
    let row = |name: &str, value: String| {
        let row = format!("| {name} | {value} |");
        assert!(page.contains(&row), "the page has no {row}");
    };
    let machine = Machine::active(Options::default());
    machine.device().fault(ADDRESS);
    assert!(machine.device().take_interrupts().contains(Source::Eventq));
    let records = machine.device().queued_records();
    for (index, word) in records[0].0.into_iter().enumerate() {
        row(&index.to_string(), grouped(word, 16));
    }

    let set = IrqSet::EVENTQ.bits();
    let [notify, consume] =
        [Function::PsmmuIrqNotify, Function::PsmmuEventConsume].map(Function::id);
    row("X0", grouped(notify, 1));
    row("X1", grouped(PSMMU, 1));
    row("X2", grouped(set, 1));
    row("X0", grouped(consume, 1));
    machine.device().forget_accesses();
    let answer = machine.call([notify, PSMMU, set, 0, 0, 0, 0, 0]);
    for (index, value) in answer.into_iter().enumerate().take(7) {
        row(&format!("X{index}"), grouped(value, 1));
    }
    assert_eq!(machine.device().accesses(), (2, 1), "three register accesses");

    let mut lines = Vec::new();
    let mut sink = |_, event: &Event| lines.push(Described(event).to_string());
    let before = machine.calls();
    service(&machine.rmi(), PSMMU, IrqSet::EVENTQ, &mut sink, NonZeroU32::MIN).expect("an event");
    assert_eq!(machine.calls() - before, 2, "two calls");
    assert!(page.contains(&format!("```text\n{}\n```", lines.concat())), "{lines:?}");
    machine.device().fault(ADDRESS);
    assert!(machine.device().take_interrupts().contains(Source::Eventq), "interrupts again");
}
