// SPDX-License-Identifier: MIT OR Apache-2.0

//! The overlays in `fvp/` on Arm's own configurations of the FVP, resolved by shrinkwrap without a model, a
//! container or a network. What they resolve to, what `make fvp` runs and the tables of `docs/fvp.md` agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use boot_runner::place;
use rmm::platform::FVP;
use shell::{output, repository};

#[path = "common/shell.rs"]
mod shell;

/// What makes this project's RMM the RMM, and its SMMU one with a Realm side.
const RMM: [&str; 2] = ["fvp/rmm.yaml", "fvp/smmu.yaml"];
/// The same, with the host image as BL33.
const STORY: [&str; 3] = ["fvp/rmm.yaml", "fvp/smmu.yaml", "fvp/host.yaml"];

/// The model's parameters by name, and its other switches.
type Parameters = BTreeMap<String, String>;

/// Returns the configuration with these overlays, resolved.
fn resolved(config: &str, overlays: &[&str]) -> String {
    let build = place::build().expect("run by cargo");
    let mut shrinkwrap = Command::new(repository().join("tools/shrinkwrap"));
    shrinkwrap.current_dir(repository()).env("BUILD", &build);
    // Configurations of the user's own would be found first.
    shrinkwrap.env("HOME", build.join("shrinkwrap")).env_remove("SHRINKWRAP_CONFIG");
    // It does not quote paths, and ours may have a blank. Nothing is written there.
    shrinkwrap.envs([("SHRINKWRAP_BUILD", "/tmp"), ("SHRINKWRAP_PACKAGE", "/tmp")]);
    shrinkwrap.args(["--runtime=null", "process", "--action=resolver"]);
    if config == "cca-3world.yaml" {
        // It has no default for the kernel when it is resolved without a build.
        shrinkwrap.arg("--rtvar=KERNEL=Image");
    }
    shrinkwrap.args(overlays.iter().map(|overlay| format!("--overlay={overlay}")));
    output(shrinkwrap.arg(config))
}

/// Splits a command line at blanks that are not in double quotes, which go.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' | '\n' if !is_quoted => words.push(String::new()),
            _ => words.last_mut().expect("never empty").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns the parameters of a command line: what follows `-C`, and switches by themselves.
fn parameters(line: &str) -> Parameters {
    let mut parameters = Parameters::new();
    let mut words = words(line).into_iter().skip(1);
    while let Some(word) = words.next() {
        let parameter = if word == "-C" { words.next().expect("a parameter") } else { word };
        let (name, value) = parameter.split_once('=').unwrap_or((&parameter, ""));
        let before = parameters.insert(name.into(), shown(name, value));
        assert_eq!(before, None, "{name} twice");
    }
    assert!(parameters.len() > 80, "{parameters:?}");
    parameters
}

/// A value as the tables have it: numbers that have more than one digit by sixteen, files by their names.
fn shown(name: &str, value: &str) -> String {
    let number = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    };
    match number {
        Some(number) if number > 9 => format!("{number:#X}").replace('X', "x"),
        Some(number) => number.to_string(),
        None if value.contains('/') => {
            let file = Path::new(value).file_name().expect("a file").to_string_lossy();
            assert!(name.ends_with("name") || name.ends_with("file"), "{name}={value}");
            file.into_owned()
        }
        None => value.into(),
    }
}

/// The command line that a resolved configuration ends in.
fn command_of(resolved: &str) -> Parameters {
    let (_, run) = resolved.split_once("\n  run:\n  - ").expect("a command");
    let (line, _) = run.split_once("\n  terminals:").expect("the terminals behind it");
    // As YAML writes a long text, in one quotation or none.
    parameters(&line.trim_matches('\'').replace("\n    ", " ").replace("''", "'"))
}

/// The command line of `make fvp DRY_RUN=1`.
fn make_fvp() -> Parameters {
    let mut make = Command::new("make");
    for name in ["FVP", "FVP_ARGS", "SCENARIO", "MAKEFLAGS", "MAKELEVEL"] {
        make.env_remove(name);
    }
    let line = output(make.args(["-s", "fvp", "DRY_RUN=1"]).current_dir(repository()));
    // As the shell reads it.
    let line = line.replace("\\\n", " ").replace("\\ ", "\u{a0}").replace('\\', "");
    let parameters = parameters(&line);
    parameters.into_iter().map(|(name, value)| (name, value.replace('\u{a0}', " "))).collect()
}

/// A difference: name, value on the left, value on the right; empty where there is none.
type Difference = (String, String, String);

/// Returns what differs. What all of a kind have in common (clusters, UARTs, terminals) is named once.
fn differences(left: &Parameters, right: &Parameters) -> BTreeSet<Difference> {
    let value = |of: &Parameters, name: &str| {
        of.get(name).map_or(String::new(), |value| {
            if value.is_empty() { "set".into() } else { value.clone() }
        })
    };
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let all: BTreeMap<&str, (String, String)> =
        names.iter().map(|name| (name.as_str(), (value(left, name), value(right, name)))).collect();
    all.iter()
        .filter(|(_, (left, right))| left != right)
        .map(|(&name, values)| {
            for (kind, count) in [("cluster", 2), ("pl011_uart", 4), ("terminal_", 4)] {
                let Some(at) = name.find(kind).map(|at| at + kind.len()) else { continue };
                let member = |number: u32| format!("{}{number}{}", &name[..at], &name[at + 1..]);
                if (0..count).all(|number| all.get(member(number).as_str()) == Some(values)) {
                    let common = format!("{}*{}", &name[..at], &name[at + 1..]);
                    return (common, values.0.clone(), values.1.clone());
                }
            }
            (name.to_owned(), values.0.clone(), values.1.clone())
        })
        .collect()
}

/// Returns the rows of the table under a heading of `docs/fvp.md`, each of which has a reason.
fn table(heading: &str) -> BTreeSet<Difference> {
    let page = fs::read_to_string(repository().join("docs/fvp.md")).expect("it is there");
    let section = page.split("\n### ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no section '{heading}'"));
    let section = section.split("\n## ").next().expect("a first part");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let &[names, left, right, reason] = cells.as_slice() else { panic!("{row}") };
        assert!(!reason.is_empty(), "no reason: {row}");
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        (plain(names), plain(left), plain(right))
    })
    .collect()
}

/// Fails unless the table has all of the differences and no others, with the lines to change.
fn agree(heading: &str, left: &Parameters, right: &Parameters) {
    let (listed, there) = (table(heading), differences(left, right));
    let line = |(name, left, right): &Difference| format!("| `{name}` | {left} | {right} |\n");
    let missing: String = there.difference(&listed).map(line).collect();
    let stale: String = listed.difference(&there).map(line).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/fvp.md, '{heading}'\nis without:\n{missing}has, and is not so:\n{stale}"
    );
}

#[test]
fn make_fvp_differs_from_shrinkwrap_as_documented() {
    let theirs = command_of(&resolved("tfa-rme.yaml", &STORY));
    agree("`make fvp` and shrinkwrap", &make_fvp(), &theirs);
}

#[test]
fn the_overlays_change_of_arms_values_what_is_documented() {
    let (arms, ours) = (resolved("tfa-rme.yaml", &[]), resolved("tfa-rme.yaml", &STORY));
    agree("Arm's values and the overlays'", &command_of(&arms), &command_of(&ours));
}

#[test]
fn the_stack_with_linux_has_the_same_rmm_and_smmu() {
    let (stock, ours) = (resolved("cca-3world.yaml", &[]), resolved("cca-3world.yaml", &RMM));
    let added = differences(&command_of(&stock), &command_of(&ours));
    let (arms, alone) = (resolved("tfa-rme.yaml", &[]), resolved("tfa-rme.yaml", &RMM));
    assert_eq!(added, differences(&command_of(&arms), &command_of(&alone)));
    assert!(added.iter().any(|(name, ..)| name == "pci.pci_smmuv3.mmu.SMMU_R_IDR0"), "{added:?}");
}

/// The lines of a component of a resolved configuration.
fn component<'a>(resolved: &'a str, name: &str) -> Vec<&'a str> {
    let (_, build) = resolved.split_once("\nbuild:\n").expect("components");
    let lines = build.lines().skip_while(|line| *line != format!("  {name}:")).skip(1);
    lines.take_while(|line| line.starts_with("   ")).collect()
}

#[test]
fn this_rmm_is_built_by_its_own_command_in_place_of_tf_rmm() {
    for config in ["tfa-rme.yaml", "cca-3world.yaml"] {
        let text = resolved(config, &RMM);
        let rmm = component(&text, "rmm").join("\n");
        let (_, commands) = rmm.split_once("\n    build:\n").expect("commands");
        let (commands, artifacts) = commands.split_once("\n    postbuild: []").expect("no more");
        assert!(commands.contains("/tools/fvp-part\" rmm "), "{commands}");
        assert_eq!(commands.lines().filter(|line| line.starts_with("    - ")).count(), 1, "{rmm}");
        assert!(!rmm.contains("cmake --build") && rmm.contains("sync: 'false'"), "{rmm}");
        let path = artifacts.lines().find(|line| line.ends_with("/rmm.bin")).expect("an image");
        let path = path.trim().strip_prefix("path: ").expect("a path");
        let tf_a = component(&text, "tfa").join("\n");
        assert!(tf_a.contains(&format!("      RMM: {path}\n")), "{tf_a}");
        // Where EL3 enters it.
        let base = format!("{:#X}", FVP.realm_memory.start).replace('X', "x");
        assert!(text.contains(&format!("value: '{base}'")), "RMM_BASE is not {base}");
        // A clean of theirs must not reach the source.
        let source = rmm.lines().find_map(|line| line.trim().strip_prefix("sourcedir: "));
        assert!(!repository().starts_with(source.expect("a folder")), "{source:?}");
    }
}

#[test]
fn the_parts_of_the_fvp_are_those_that_make_fvp_image_builds() {
    let folder = place::build().expect("run by cargo").join("shrinkwrap/part's folder");
    for part in ["rmm", "host"] {
        let mut tool = Command::new(repository().join("tools/fvp-part"));
        tool.env("BUILD", place::build().expect("run by cargo"));
        output(tool.arg(part).arg(&folder));
        let [part, whole] = [&folder, &place::build().expect("run by cargo").join("fvp")]
            .map(|folder| fs::read(folder.join(format!("{part}.bin"))).expect("it was made"));
        assert!(part == whole && !part.is_empty());
    }
    fs::remove_dir_all(folder).expect("made above");
}

#[test]
fn a_difference_that_is_not_documented_is_found() {
    let theirs = command_of(&resolved("tfa-rme.yaml", &STORY));
    let planted = r#"{"run": {"params": {"-C cluster0.has_new": 1, "-C bp.dram_size": 8}}}"#;
    let [first, second, third] = STORY;
    let changed = command_of(&resolved("tfa-rme.yaml", &[first, second, third, planted]));
    let expected = [("bp.dram_size", "4", "8"), ("cluster0.has_new", "", "1")];
    let expected = expected.map(|(name, left, right)| (name.into(), left.into(), right.into()));
    assert_eq!(differences(&theirs, &changed), BTreeSet::from(expected));
    let heading = "`make fvp` and shrinkwrap";
    let there = differences(&make_fvp(), &changed);
    assert_ne!(table(heading), there);
    assert!(there.contains(&("bp.dram_size".into(), "4".into(), "8".into())));
}
