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
const TEXTS: [&str; 18] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "abi/README.md",
    "host/README.md",
    "psmmu/README.md",
    "tests/smmu-model/README.md",
    "docs/abi.md",
    "docs/architecture.md",
    "docs/boot.md",
    "docs/embedding.md",
    "docs/event.md",
    "docs/fvp.md",
    "docs/life.md",
    "docs/linux.md",
    "docs/promises.md",
    "docs/threat-model.md",
];

/// First folders of paths into the source tree.
const FOLDERS: [&str; 10] =
    ["abi", "capi", "docs", "fvp", "host", "linker", "psmmu", "rmm", "tests", "tools"];

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

/// Returns the names that links lead to a heading by.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = text.split("```").step_by(2).flat_map(str::lines);
    let headings = prose.filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// Returns what is set as code: the words between backticks and the code blocks.
fn code(text: &str) -> Vec<&str> {
    let parts = text.split("```").enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split('`').skip(1).step_by(2).collect(),
            _ => vec![part],
        })
        .collect()
}

/// Returns the cells of the rows of each table that begin with a backtick or a digit.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| `") || line.starts_with("| 0"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// Retired words, one or several, and what is written in their place. A word is found in prose and as a part of
/// an identifier in any case: `take over` is also `take_over` and `TakeOver`.
#[rustfmt::skip]
const RETIRED: [(&str, &str); 72] = [
    ("told", "reported, notified, asked"), ("tell", "report, distinguish"), ("tells", "reports, distinguishes"),
    ("telling", "reporting"), ("untold", "unreported"),
    ("nobody", "a component, none"), ("somebody", "a component"), ("whoever", "the caller, the component that"),
    ("anybody", "a component, any"), ("everybody", "all callers, each CPU"),
    ("he", "the component"), ("him", "the component"), ("his", "the component's"),
    ("wires", "wired interrupts"), ("by wire", "by wired interrupt"),
    ("lend", "donate"), ("lends", "donates"), ("lent", "donated"), ("lending", "donation"), ("lender", "donor"),
    ("ledger", "donated ranges"), ("purse", "allocator"),
    ("untaken", "unhandled"), ("held back", "suppressed"), ("deaf", "not responding"),
    ("patience", "retry budget"), ("patiently", "with retries"), ("unfit", "unsuitable, start error"),
    ("examine", "probe, check"), ("examines", "probes, checks"), ("examined", "probed, checked"),
    ("at rest", "quiesced, disabled; default STE"), ("to rest", "quiesced, disabled"),
    ("a life", "a lifecycle"), ("one life", "one lifecycle"), ("lives", "lifecycles, activate/deactivate cycles"),
    ("next life", "next activation"), ("whole life", "lifecycle"),
    ("door", "accessor, interface"), ("doors", "accessors, interfaces"),
    ("look", "poll, read, check"), ("looks", "polls, reads, checks"), ("looked", "polled, read, checked"),
    ("looking", "polling, reading, checking"),
    ("take over", "adopt, stage, drain"), ("takes over", "adopts, stages"), ("taken over", "adopted, staged"),
    ("took over", "adopted, staged"), ("taking over", "adopting, staging"),
    ("start over", "resync"), ("starts over", "resyncs"), ("started over", "resynced"),
    ("make sense", "be consistent"), ("makes sense", "is consistent"), ("made sense", "was consistent"),
    ("makes no sense", "is inconsistent"), ("make no sense", "are inconsistent"),
    ("made no sense", "was inconsistent"),
    ("trouble", "trace event"), ("hopeless", "fatal"), ("spoils queue", "discard"), ("keeps queue", "preserve"),
    ("abort behaviour", "queue abort policy"),     ("make table", "st_l2_create_finish"), ("begin table", "st_l2_create_begin"),
    ("begin activation", "activate_begin"), ("abandon activation", "activate_cancel"),
    ("begin deactivation", "deactivate_begin"), ("run in turn", "run locked"),
    ("failures answered", "pri_resp_sent"), ("message", "MSI"), ("messages", "MSIs"),
];

/// Retired identifiers whose words are in use otherwise.
const RETIRED_IDENTIFIERS: [&str; 9] =
    ["StandIn", "Refusal", "QUIET", "Wanted", "Needs", "Unfit", "Fate", "Traffic", "MessageError"];

/// Where a retired word stays: how the path begins, the word (empty for all), and why.
const ALLOWED: [(&str, &str, &str); 5] = [
    ("CHANGELOG.md", "", "has the old names beside the new ones"),
    ("LICENSE-", "", "the text of a licence"),
    ("tools/qemu-realm-smmu.patch", "", "words of QEMU"),
    ("host/tests/texts.rs", "", "has the list"),
    ("Cargo.lock", "", "names of packages"),
];

/// What a `message` that is no MSI goes with.
const MESSAGES: [&str; 6] = ["build", "commit", "error", "info", "msi", "panic"];

/// Returns each word of `text` in lower case, with where it begins and ends: of `TakeOver`, `TAKE_OVER`
/// and `take over` the same two.
fn words(text: &str) -> Vec<(usize, usize, String)> {
    let mut words = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let begin = at;
        while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
            let [this, next] = [at, at + 1].map(|at| bytes.get(at).copied().unwrap_or_default());
            let following = bytes.get(at + 2).copied().unwrap_or_default();
            at += 1;
            let begins_word = next.is_ascii_uppercase()
                && (this.is_ascii_lowercase() || following.is_ascii_lowercase());
            if begins_word {
                break;
            }
        }
        if at > begin {
            words.push((begin, at, text[begin..at].to_ascii_lowercase()));
        } else {
            at += 1;
        }
    }
    words
}

/// Returns the files of the tree that are text and are checked, with their paths.
fn checked_files() -> Vec<(String, String)> {
    fn add(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let is_output = ["target", "build"].iter().any(|it| entry.file_name() == *it);
            match path.is_dir() {
                true if is_output => {}
                true => add(&path, files),
                false => files.push(path),
            }
        }
    }
    let mut files = Vec::new();
    for folder in FOLDERS {
        add(&root().join(folder), &mut files);
    }
    let top = fs::read_dir(root()).expect("a folder").flatten().map(|entry| entry.path());
    files.extend(top.filter(|path| path.is_file()));
    let text = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("a file of the tree").to_str()?.to_owned();
        Some((name, fs::read_to_string(path).ok()?))
    };
    files.into_iter().filter_map(text).collect()
}

#[test]
fn retired_words_stay_retired() {
    let retired: Vec<(Vec<&str>, &str)> =
        RETIRED.iter().map(|&(words, instead)| (words.split(' ').collect(), instead)).collect();
    let joins =
        |between: &str| between.chars().all(|c| c.is_ascii_whitespace() || "_/*#!-".contains(c));
    let mut found = Vec::new();
    let mut files = 0;
    for (path, text) in checked_files() {
        let is_allowed = |word: &str| {
            ALLOWED
                .iter()
                .any(|(prefix, only, _)| path.starts_with(prefix) && [word, ""].contains(only))
        };
        files += 1;
        let words = words(&text);
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        for (index, (at, ..)) in words.iter().enumerate() {
            for (phrase, instead) in &retired {
                let Some(here) = words.get(index..index + phrase.len()) else { continue };
                let is_phrase = here.iter().zip(phrase).all(|(here, word)| here.2 == *word)
                    && here.windows(2).all(|it| joins(&text[it[0].1..it[1].0]));
                let before = index.checked_sub(1).map_or("", |before| words[before].2.as_str());
                let is_other = match phrase[0] {
                    "message" | "messages" => MESSAGES.contains(&before),
                    _ => false,
                };
                let phrase = phrase.join(" ");
                if is_phrase && !is_other && !is_allowed(&phrase) {
                    found.push(format!("{path}:{}: {phrase}: write {instead}", line(*at)));
                }
            }
        }
        for name in RETIRED_IDENTIFIERS.into_iter().filter(|name| !is_allowed(name)) {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let is_there = text.split(|c| !is_part(c)).any(|it| it == name);
            if is_there {
                found.push(format!("{path}: {name} is retired"));
            }
        }
    }
    assert!(files > 100, "{files} files");
    assert!(found.is_empty(), "{} retired words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_retired_word_is_found_in_every_spelling() {
    let spelled = |text| words(text).into_iter().map(|(.., word)| word).collect::<Vec<_>>();
    for text in ["take over", "take_over", "TakeOver", "TAKE_OVER", "take\n    /// over"] {
        assert_eq!(spelled(text), ["take", "over"], "{text}");
    }
    assert_eq!(spelled("an MSIMessage of x0"), ["an", "msi", "message", "of", "x"]);
}

#[test]
fn names_of_functions_have_at_most_60_characters() {
    let (mut names, mut long) = (0, Vec::new());
    for (path, text) in checked_files().into_iter().filter(|(path, _)| path.ends_with(".rs")) {
        for declaration in text.split("fn ").skip(1) {
            let end = declaration.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &declaration[..end.unwrap_or(declaration.len())];
            names += 1;
            if name.len() > 60 {
                long.push(format!("{path}: {name}: {} characters", name.len()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
    assert!(names > 300, "{names} names");
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
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let is_there = path.is_empty() || folder.join(path).exists();
            assert!(is_there, "{text}: [{label}] leads to {target}, which is not there");
            let page = if path.is_empty() { Some(content.clone()) } else { None };
            let page = page.or_else(|| fs::read_to_string(folder.join(path)).ok());
            let leads = anchor.is_empty() || page.is_some_and(|it| anchors(&it).contains(anchor));
            assert!(leads, "{text}: [{label}] leads to {target}, which has no such heading");
        }
    }
}

/// The README of a crate is the front page of its documentation, too, where a path into this tree leads nowhere.
#[test]
fn links_of_a_crates_readme_lead_outside_or_within_it() {
    let of_crates: Vec<_> = TEXTS.iter().filter(|text| text.ends_with("/README.md")).collect();
    assert_eq!(of_crates.len(), 4, "{of_crates:?}");
    for text in of_crates {
        for (label, target) in links(&read(text)) {
            let leads = target.contains("://") || target.starts_with('#');
            assert!(leads, "{text}: [{label}] leads to {target}");
        }
    }
}

#[test]
fn each_file_that_a_text_names_is_there() {
    let mut files = Vec::new();
    for folder in FOLDERS.iter().map(|folder| root().join(folder)).filter(|it| it.is_dir()) {
        sources(&folder, &mut files);
    }
    let mut named = 0;
    for text in TEXTS {
        let content = read(text);
        for word in code(&content).into_iter().flat_map(str::split_whitespace) {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
            let plain = word.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            let Some((first, _)) = word.split_once('/').filter(|_| plain) else {
                // A module of a crate that the text speaks of.
                if plain && word.ends_with(".rs") {
                    named += 1;
                    let is_there = files.iter().any(|file| file.ends_with(word));
                    assert!(is_there, "{text} names {word}, which is nowhere");
                }
                continue;
            };
            if FOLDERS.contains(&first) {
                named += 1;
                assert!(root().join(word).exists(), "{text} names {word}, which is not there");
            }
        }
    }
    assert!(named > 60, "{named} names");
}

#[test]
fn each_target_that_a_text_names_is_there() {
    let makefile = read("Makefile");
    let mut named = BTreeSet::new();
    for text in TEXTS {
        for line in code(&read(text)).into_iter().flat_map(str::lines) {
            // A target follows `make` at the beginning of a command, behind variables that are set for it.
            let mut words = line.split_whitespace().skip_while(|word| word.contains('='));
            if words.next() != Some("make") {
                continue;
            }
            let target = words.next().unwrap_or_else(|| panic!("{text}: {line}"));
            if target.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                assert!(makefile.contains(&format!("\n{target}: ## ")), "{text}: make {target}?");
                named.insert(target.to_owned());
            }
        }
    }
    assert!(named.len() > 8, "{named:?}");
}

/// `PsmmuStL2Create` as the specification writes it.
fn screaming(name: &str) -> String {
    let mut screaming = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !screaming.is_empty() {
            screaming.push('_');
        }
        screaming.extend(c.to_uppercase());
    }
    screaming
}

#[test]
fn the_commands_of_the_wire_are_listed_with_their_numbers() {
    let page = read("docs/abi.md");
    let section = page.split("\n## ").find(|it| it.starts_with("Function identifiers"));
    let section = section.expect("a section of function identifiers");
    let listed: Vec<(String, String)> = rows(section)
        .into_iter()
        .map(|row| (row[0].to_owned(), row[1].trim_matches('`').to_owned()))
        .collect();
    let all = Function::ALL.iter().map(|function| {
        (
            format!("{:#X}", function.id() & 0xFFFF).replace('X', "x"),
            screaming(&format!("{function:?}")),
        )
    });
    assert_eq!(listed, all.collect::<Vec<_>>());

    // None of them is one that this RMM does not know.
    assert!(!section.contains("not answered"), "they all are");
    let machine = Machine::active(Options::default());
    for function in Function::ALL {
        let [x0, ..] = machine.call([function.id(), 0, 0, 0, 0, 0, 0, 0]);
        assert_ne!(x0, u64::MAX, "{function:?} is unknown");
    }
}

#[test]
fn the_scenarios_of_the_host_image_are_listed_with_their_codes() {
    let source = read("tests/payload/src/scenario.rs");
    let table = source.split("SCENARIOS: [").nth(1).expect("a table of scenarios");
    let there: BTreeSet<(String, String)> = table
        .split("scenario(\"")
        .skip(1)
        .map(|entry| {
            let (name, rest) = entry.split_once('"').expect("a name");
            let code = rest.split(',').nth(1).expect("a code").trim();
            (name.to_owned(), code.to_owned())
        })
        .collect();
    let page = read("docs/boot.md");
    let section = page.split("\n## ").find(|it| it.starts_with("Scenarios"));
    let listed: BTreeSet<(String, String)> = rows(section.expect("a section of scenarios"))
        .into_iter()
        .map(|row| {
            let name = row[0].trim_matches('`').split(' ').next().expect("a name");
            (name.to_owned(), row[1].to_owned())
        })
        .collect();
    assert!(there.len() > 15, "{there:?}");
    assert_eq!(listed, there);
}

#[test]
fn the_command_line_of_qemu_is_the_one_that_is_run() {
    let page = read("docs/boot.md");
    let source = read("tests/runner/src/machine.rs");
    let command = page.split("```").find(|it| it.contains("qemu-system-aarch64")).expect("one");
    let words: Vec<_> = command.split_whitespace().collect();
    for option in ["-M", "-cpu", "-m", "-nic"] {
        let at = words.iter().position(|&word| word == option);
        let value = words[at.unwrap_or_else(|| panic!("no {option}")) + 1];
        assert!(source.contains(&format!("\"{value}\"")), "{option} {value}");
    }
}

/// What a recipe of TF-RMM calls, and where the header declares it.
#[test]
fn the_recipe_for_c_uses_what_the_header_declares() {
    let page = read("docs/embedding.md");
    let header = read("capi/include/libpsmmu.h");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for word in code(&page).into_iter().flat_map(|it| it.split(|c| !is_word(c))) {
        if !word.starts_with("lpsmmu_") && !word.starts_with("LPSMMU_") {
            continue;
        }
        let declared = header.split(|c| !is_word(c)).any(|it| it == word);
        assert!(declared, "the header does not know {word}");
        names.insert(word);
    }
    assert!(names.len() > 20, "{names:?}");
}

#[test]
fn the_recipe_for_c_has_the_function_identifiers_of_the_wire() {
    let page = read("docs/embedding.md");
    // TF-RMM has the third one already.
    for function in [Function::PsmmuInfo, Function::PsmmuEventConsume] {
        let id = function.id();
        let name = format!("SMC_RMI_{}", screaming(&format!("{function:?}")));
        let line = page.lines().find(|line| line.starts_with(&format!("#define {name}\t")));
        let line = line.unwrap_or_else(|| panic!("no {name}"));
        // TF-RMM counts from RMI_VERSION.
        let number = id - Function::Version.id();
        assert!(
            line.contains(&format!("SMC64_RMI_FID(U({number:#04X}))").replace("0X", "0x")),
            "{line}"
        );
        assert!(line.contains(&format!("{id:#X}").replace("0X", "0x")), "{line}");
    }
}

#[test]
fn the_versions_of_the_readme_are_those_of_the_tools() {
    let readme = read("README.md");
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name}")).trim_matches([' ', '=', '"']).to_owned()
    };
    let tf_a = value(&read("tools/tf-a"), "version=");
    assert!(readme.contains(&format!("| TF-A | {tf_a}, ")), "TF-A {tf_a}");
    let rust = value(&read("Cargo.toml"), "rust-version");
    assert!(readme.contains(&format!("| Rust | {rust}, the oldest accepted")), "Rust {rust}");
}

#[test]
fn each_name_of_the_event_page_is_declared_where_it_links() {
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
        assert!(declares(&code, name) || lists_a_boot(&code, name), "nothing is called {name}");
    }
}

/// Returns whether a test of a boot is listed by this name, for a macro to declare on each machine.
fn lists_a_boot(code: &str, name: &str) -> bool {
    let is_listed = |line: &str| line.trim_start().strip_prefix(name)?.strip_prefix(':').map(drop);
    code.lines().any(|line| is_listed(line).is_some())
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
