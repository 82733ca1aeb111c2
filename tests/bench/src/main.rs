// SPDX-License-Identifier: MIT OR Apache-2.0

//! `make bench`: counts of instructions and of register accesses, sizes, and how far from the goals
//! they are. Nothing is timed: each number is the same on every machine and in every run.
//!
//! Read [`bursts`] for the accesses of a burst, [`linux`] for what they are compared with, [`boots`] for
//! the instructions, [`host`] for an event under a real Linux, [`report`] for the table.

mod boots;
mod bursts;
mod host;
mod linux;
mod report;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use boot_runner::{BootError, Model, place};
use boots::{Calls, Counted, Instructions};
use report::{Goal, Grouped, Report};

/// The file in the build folder that has the numbers.
const FILE: &str = "bench.json";
/// The one that has the table as it is printed, for `make report`.
const TABLE: &str = "bench.txt";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let build = place::build().map_err(|error| BootError::from(error).to_string())?;
    let file = build.join(FILE);
    // Numbers of an earlier run must not pass for those of one that fails.
    let _ = fs::remove_file(&file);
    let table = build.join(TABLE);
    let _ = fs::remove_file(&table);

    let mut report = Report::default();
    add_bursts(&mut report)?;
    let counted = boots::count()?;
    add_calls(&mut report, &counted.one)?;
    add_growth(&mut report, &counted)?;
    add_longest(&mut report, &counted);
    add_sizes(&mut report, &build)?;
    add_tracker(&mut report, &counted);
    if env::var_os("QUICK").is_none_or(|quick| quick.is_empty()) {
        add_host(&mut report, &counted.one)?;
    }

    print!("{report}");
    println!("\nPeers: TF-RMM 9a7f8ef4 (release build), or as the line says.");
    for (file, contents) in [(&table, report.to_string()), (&file, report.json())] {
        fs::write(file, contents).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    println!("{}", place::shown(&file));
    Ok(())
}

fn add_bursts(report: &mut Report) -> Result<(), Box<dyn Error>> {
    for events in bursts::BURSTS {
        let ours = bursts::through_the_rmm(events)?;
        let linux = bursts::as_linux_does(events)?;
        let goal = if events == 32 { Goal::AtMost(3) } else { Goal::None };
        report.add(
            &format!("register accesses, burst of {events}"),
            &format!("burst{events}_register_accesses"),
            ours.all().into(),
            goal,
            &format!("{} (Linux's loop, this run)", Grouped(linux.all().into())),
        );
        for (what, number) in [
            ("reads", ours.reads),
            ("writes", ours.writes),
            ("accesses_linux_loop", linux.all()),
            ("reads_linux_loop", linux.reads),
            ("writes_linux_loop", linux.writes),
        ] {
            report.add_number(format!("burst{events}_register_{what}"), number.into());
        }
    }
    Ok(())
}

/// The calls: what people read, the host's name, the goal, the peer.
const CALLS: [(&str, &str, Goal, &str); 20] = [
    ("NOTIFY, event staged", "notify_staged", Goal::AtMost(120), "132 (VERSION)"),
    ("NOTIFY, last event staged", "notify_last", Goal::None, ""),
    ("NOTIFY, repeated", "notify_repeated", Goal::None, ""),
    ("NOTIFY, stages 1", "notify_stages_1", Goal::None, ""),
    ("NOTIFY, stages 32", "notify_stages_32", Goal::None, ""),
    ("NOTIFY, nothing", "notify_nothing", Goal::None, ""),
    ("NOTIFY of GERROR, nothing", "notify_gerror_nothing", Goal::None, ""),
    ("CONSUME", "consume", Goal::AtMost(85), "132 (VERSION)"),
    ("CONSUME, nothing reported", "consume_nothing", Goal::None, ""),
    ("PSMMU_INFO", "info", Goal::AtMost(640), "3,386 (CONFIG_GET)"),
    ("PSMMU_ACTIVATE, 5 calls", "activate", Goal::None, ""),
    ("PSMMU_ST_L2_CREATE, 3 calls", "st_l2_create", Goal::None, ""),
    ("PSMMU_ST_L2_DESTROY, 3 calls", "st_l2_destroy", Goal::None, ""),
    ("PSMMU_DEACTIVATE, 3 calls", "deactivate", Goal::None, ""),
    ("GRANULE_RANGE_DELEGATE, 1 granule", "delegate", Goal::None, ""),
    ("GRANULE_RANGE_UNDELEGATE, 1 granule", "undelegate", Goal::None, ""),
    ("RMM_CONFIG_GET", "config_get", Goal::None, "3,386"),
    ("VERSION", "version", Goal::None, "132"),
    ("FEATURES", "features", Goal::None, "221"),
    ("unknown function", "unknown_fid", Goal::AtMost(60), "2,300"),
];

fn add_calls(report: &mut Report, calls: &Calls) -> Result<(), Box<dyn Error>> {
    let of = |name: &str| calls.get(name).ok_or_else(|| format!("{name} was not counted"));
    for (what, name, goal, peer) in CALLS {
        let Instructions { lowest, highest, .. } = of(name)?;
        let mut what = format!("RMM's instructions, {what}");
        if lowest != highest {
            what += &format!(" ({lowest} or more)");
            report.add_number(format!("{name}_instructions_lowest"), *lowest);
        }
        report.add(&what, &format!("{name}_instructions"), *highest, goal, peer);
    }
    let el3 = of("notify_staged")?.el3;
    report.add("EL3's instructions around a NOTIFY", "el3_instructions", el3, Goal::None, "");
    Ok(())
}

/// What an event costs with 16 PSMMUs: no more than with one.
fn add_growth(report: &mut Report, counted: &Counted) -> Result<(), Box<dyn Error>> {
    for (what, name) in [("NOTIFY, event staged", "notify_staged"), ("CONSUME", "consume")] {
        let of = |calls: &Calls| {
            let instructions = calls.get(name).ok_or_else(|| format!("{name} was not counted"))?;
            Ok::<u64, String>(instructions.highest)
        };
        report.add(
            &format!("RMM's instructions, {what}, 16 PSMMUs"),
            &format!("{name}_16_psmmus_instructions"),
            of(&counted.many)?,
            Goal::AtMost(of(&counted.one)?),
            "",
        );
    }
    Ok(())
}

/// What an event costs under a real Linux, and whose the instructions are.
fn add_host(report: &mut Report, calls: &Calls) -> Result<(), Box<dyn Error>> {
    let costs = host::count(Model::REALM)?;
    let of = |lines: &str, burst| {
        let cost = costs.get(&(lines.into(), burst)).copied();
        cost.ok_or_else(|| format!("a burst of {burst}, {lines}, was not counted"))
    };
    let call = |name: &str| calls.get(name).ok_or_else(|| format!("{name} was not counted"));
    let (notify, consume) = (call("notify_staged")?, call("consume")?);
    let (el3, rmm) = (notify.el3 + consume.el3, notify.highest + consume.highest);
    for burst in [1, 4, 32, 512] {
        let goal = if burst == 512 { Goal::AtMost(2_650) } else { Goal::None };
        report.add(
            &format!("an event under Linux, burst of {burst}"),
            &format!("linux_burst{burst}_instructions"),
            of("silent", burst)?,
            goal,
            &format!("{} (Linux's own thread, this run)", Grouped(of("own", burst)?)),
        );
    }
    let all = of("silent", 512)?;
    report.add("of these EL3's", "linux_el3_instructions", el3, Goal::None, "");
    report.add("of these the RMM's", "linux_rmm_instructions", rmm, Goal::AtMost(205), "");
    let host = all.saturating_sub(el3 + rmm);
    report.add("of these the host's", "linux_host_instructions", host, Goal::AtMost(230), "");
    let line = of("formatted", 512)?.saturating_sub(all);
    report.add("a line of text, host crate", "line_instructions", line, Goal::AtMost(1_000), "");
    report.add_number("linux_printed_instructions".into(), of("printed", 512)?);
    Ok(())
}

/// For how long interrupts are masked at most: in the longest call of each command that was called, with
/// the input that gives it the most to do.
fn add_longest(report: &mut Report, counted: &Counted) {
    for (function, &longest) in &counted.longest {
        let name = snake(function);
        report.add(
            &format!("longest call with interrupts masked, {}", name.to_uppercase()),
            &format!("longest_{name}_instructions"),
            longest,
            Goal::AtMost(8_000),
            "",
        );
    }
}

/// Returns the name of a command as the specification has it, in small letters.
fn snake(function: &str) -> String {
    let mut name = String::new();
    for letter in function.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The granule tracker, which comes on top of the RMM's other memory: for 3 GiB of DRAM and the PCIe window.
fn add_tracker(report: &mut Report, counted: &Counted) {
    const TRACKED: u64 = 0xC000_0000 + 0x2EFF_0000;
    // 64 KiB for a GiB.
    let goal = Goal::AtMost(TRACKED >> 14);
    report.add("granule tracker beside it, bytes", "tracker_bytes", counted.tracker, goal, "");
}

fn add_sizes(report: &mut Report, build: &Path) -> Result<(), Box<dyn Error>> {
    let file = build.join("qemu-plain/rmm.sizes");
    let text = fs::read_to_string(&file)
        .map_err(|error| format!("{} ({error}): run `make image`", file.display()))?;
    for (what, key, goal, peer) in [
        ("image as it ships, bytes", "image_bytes", 65_536, "598,432"),
        ("all memory but the granule tracker, bytes", "memory_bytes", 262_144, "12.9 MB"),
    ] {
        let size = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        let size = size.ok_or_else(|| format!("{} has no {key}", file.display()))?;
        report.add(what, key, size, Goal::AtMost(goal), peer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn commands_have_the_names_of_the_specification() {
        let names = ["PsmmuStL2Create", "Version", "OpMemDonate"].map(super::snake);
        assert_eq!(names, ["psmmu_st_l2_create", "version", "op_mem_donate"]);
    }
}
