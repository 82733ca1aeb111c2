// SPDX-License-Identifier: MIT OR Apache-2.0

//! The figures of the documents are current; and figures that are not are found.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use xtask::figures::{self, data::Data};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder of a test's own, with what the project's figures are drawn from: a log and a bench.
struct Planted {
    folder: PathBuf,
    log: PathBuf,
    bench: PathBuf,
}

impl Planted {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures").join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let (log, bench) = (folder.join("story.log"), folder.join("bench.json"));
        let mut lines = [String::new(), String::new()];
        for line in read(&root().join("docs/figures/run.txt")).lines() {
            if let Some(count) = line.strip_prefix("instructions: ") {
                let (name, number) = count.split_once(' ').expect("a count");
                lines[1] += &format!("  \"{name}_instructions\": {number},\n");
            } else {
                lines[0] += &format!("{line}\r\n");
            }
        }
        fs::write(&log, &lines[0]).expect("a log");
        fs::write(&bench, format!("{{\n{}  \"more\": 1\n}}\n", lines[1])).expect("a bench");
        Self { folder, log, bench }
    }

    fn drawn(name: &str) -> Self {
        let planted = Self::new(name);
        planted.draw().expect("figures");
        planted
    }

    fn draw(&self) -> Result<(), String> {
        figures::write(&self.folder, &self.log, &self.bench)
    }

    fn check(&self) -> Result<(), String> {
        figures::check(&self.folder, Some(&self.log), Some(&self.bench))
    }

    fn change(&self, file: &Path, from: &str, to: &str) {
        let text = read(file);
        assert!(text.contains(from), "{from}");
        fs::write(file, text.replacen(from, to, 1)).expect("a changed file");
    }

    /// Has the bench be this much newer or older than the figures' data.
    fn date_bench(&self, is_newer: bool) {
        let now = SystemTime::now();
        let hour = Duration::from_secs(3600);
        let then = if is_newer { now + hour } else { now - hour };
        let bench = File::options().append(true).open(&self.bench).expect("a bench");
        bench.set_modified(then).expect("a date");
    }
}

#[track_caller]
fn stale(result: Result<(), String>, why: &str) {
    let error = result.expect_err(why);
    assert!(error.contains(why) && error.contains("then `make figures`"), "{error}");
}

#[test]
fn the_figures_follow_from_their_data() {
    let folder = root().join("docs/figures");
    figures::check(&folder, None, None).unwrap_or_else(|error| panic!("{error}"));
    let data = Data::read(&read(&folder.join("run.txt"))).expect("data");
    let story = data.story().expect("a run");
    let drawn = [story.events(), story.transfers.len() as u64];
    assert_eq!(drawn, [story.totals[0], story.totals[2]], "all events and interrupts are drawn");
}

#[test]
fn a_figure_that_does_not_follow_from_its_data_is_found() {
    for name in ["run.svg", "parts.svg"] {
        let planted = Planted::drawn(name);
        planted.check().expect("current");
        planted.change(&planted.folder.join(name), "F_TRANSLATION", "F_PERMISSION");
        stale(planted.check(), &format!("{name} does not follow from run.txt"));
    }
}

#[test]
fn a_run_of_other_steps_or_another_order_is_found() {
    for (name, from, to, why) in [
        (
            "order",
            "write stage 2 input 0x5000_0000",
            "read stage 2 input 0x5000_0000",
            "0x5000_0000",
        ),
        ("count", "6 interrupts", "7 interrupts", "7 interrupts` in the last run"),
        (
            "fewer",
            "host: event 0x02 C_BAD_STREAMID by stream 64\r\n",
            "",
            "`PASS story: 9 events, 0 errors, 6 interrupts` in the last run",
        ),
        ("none", "PASS story: ", "PASS\nhost: ", "`PASS` in the last run"),
    ] {
        let planted = Planted::drawn(name);
        planted.change(&planted.log, from, to);
        stale(planted.check(), why);
    }
    let planted = Planted::drawn("no-log");
    fs::remove_file(&planted.log).expect("no log");
    assert!(planted.check().is_err(), "a log that is named and not there");
}

#[test]
fn counts_of_a_newer_bench_are_compared() {
    let planted = Planted::drawn("bench");
    planted.change(&planted.bench, "\"consume_instructions\": ", "\"consume_instructions\": 1");
    planted.date_bench(false);
    planted.check().expect("an older bench says nothing");
    planted.date_bench(true);
    stale(planted.check(), "consume: ");
    planted.draw().expect("figures");
    planted.check().expect("current again");
    fs::remove_file(&planted.bench).expect("no bench");
    planted.check().expect("a clone without a bench");
}

#[test]
fn a_text_that_has_no_room_is_refused() {
    let planted = Planted::new("room");
    planted.change(&planted.log, "PRIQ none", "PRIQ none, and more than there is any room for");
    let error = planted.draw().expect_err("no room");
    assert!(error.contains("no room in the figures"), "{error}");
}

#[test]
fn figures_and_report_say_what_to_run_first() {
    let xtask = |words: &[&str]| {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let output = xtask.args(words).current_dir(root()).output().expect("xtask");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let planted = Planted::new("first");
    let [log, bench] = [&planted.log, &planted.bench].map(|path| path.to_str().expect("a path"));
    let table = planted.folder.join("bench.txt");
    fs::write(&table, "what | measured | goal | peer\nNOTIFY | 114 | <= 120: met | 132\n")
        .expect("a table");
    let table = table.to_str().expect("a path");
    let page = planted.folder.join("report.html");
    let out = page.to_str().expect("a path");
    for (words, target) in [
        (vec!["figures", "not-there", bench], "run"),
        (vec!["report", "not-there", bench, table, out], "run"),
        (vec!["report", log, "not-there", table, out], "bench"),
        (vec!["report", log, bench, "not-there", out], "bench"),
    ] {
        let (is_success, error) = xtask(&words);
        assert!(!is_success && error.contains(&format!("run `make {target}` first")), "{error}");
    }
    let (is_success, error) = xtask(&["report", log, bench, table, out]);
    assert!(is_success, "{error}");
    let page = read(&page).replace("http://www.w3.org/2000/svg", "");
    assert_eq!(page.matches("<svg").count(), 2);
    for outside in ["http", "src=", "href=", "@import", "<script"] {
        assert!(!page.contains(outside), "the page is not self-contained: {outside}");
    }
}

#[test]
fn make_test_checks_the_figures_against_the_log_of_a_boot_test() {
    let makefile = read(&root().join("Makefile"));
    assert!(makefile.contains("\t@$(xtask) figures --check --log \"$(story_log)\" --bench "));
    let (_, name) = makefile.split_once("/logs/only_distributed-").expect("the log");
    let (name, _) = name.split_once(".log").expect("its end");
    let tests = read(&root().join("tests/runner/tests/boot.rs"));
    let (_, tests) = tests.split_once("mod only_distributed {").expect("the tests");
    assert!(tests.contains(&format!("fn {name}()")), "{name}");
}
