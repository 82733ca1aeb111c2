// SPDX-License-Identifier: MIT OR Apache-2.0

//! The figures of the documents, from the last `make run` and `make bench`, and the check that they still are.
//!
//! `docs/figures/run.txt` ([`data`]) has what they show: the host's lines of a run ([`story`]), and counts of the
//! bench. [`parts`] and [`run`] draw from it, with [`svg`]; [`report`] puts a run and a bench on a page.

use std::fs;
use std::path::Path;

use data::Data;

pub mod data;
pub mod parts;
pub mod report;
pub mod run;
pub mod story;
pub mod svg;

/// What the figures show, in their folder.
const DATA: &str = "run.txt";

/// What to do about figures that differ.
const REMEDY: &str = "run `make run` and `make bench`, then `make figures`, and view the result";

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Draws all figures: name and contents.
fn draw(data: &Data) -> Result<[(&'static str, String); 2], String> {
    let (parts, mut cut) = parts::figure(data)?;
    let (run, more) = run::figure(data, true)?;
    cut.extend(more);
    match cut.first() {
        None => Ok([("parts.svg", parts), ("run.svg", run)]),
        Some(first) => Err(format!("{} texts have no room in the figures, `{first}`", cut.len())),
    }
}

/// Writes the figures of a log and of the bench's numbers into `folder`.
///
/// # Errors
/// What cannot be read, drawn or written.
pub fn write(folder: &Path, log: &Path, bench: &Path) -> Result<(), String> {
    let log = text(log).map_err(|error| format!("{error}: run `make run` first"))?;
    let bench = text(bench).map_err(|error| format!("{error}: run `make bench` first"))?;
    let data = Data::new(&log, &bench)?;
    let files = draw(&data)?.into_iter().chain([(DATA, data.text())]);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (name, contents) in files {
        let path = folder.join(name);
        fs::write(&path, contents).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Checks that the figures in `folder` follow from their data; that a log has the same lines; and that the bench's
/// numbers are the same, if these are newer than the data.
///
/// # Errors
/// Where they differ, and what to do.
pub fn check(folder: &Path, log: Option<&Path>, bench: Option<&Path>) -> Result<(), String> {
    let path = folder.join(DATA);
    let data = Data::read(&text(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut wrong = Vec::new();
    for (name, contents) in draw(&data)? {
        if fs::read_to_string(folder.join(name)).ok().as_deref() != Some(contents.as_str()) {
            wrong.push(format!("{name} does not follow from {DATA}"));
        }
    }
    if let Some(log) = log {
        wrong.extend(data.line_difference(&story::lines(&text(log)?)));
    }
    if let Some(bench) = bench.filter(|bench| is_newer(bench, &path)) {
        wrong.extend(data.count_differences(&text(bench)?));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let lines: String = wrong.iter().map(|line| format!("\n  {line}")).collect();
    Err(format!("{} is not current: {REMEDY}{lines}", folder.display()))
}

/// Returns whether `path` is there and was written after `other`.
fn is_newer(path: &Path, other: &Path) -> bool {
    let written = |path: &Path| fs::metadata(path).and_then(|it| it.modified());
    matches!((written(path), written(other)), (Ok(here), Ok(there)) if here > there)
}
