// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/figures/run.txt`: the lines of a run and the counts of a bench that the figures show.

use super::story::{self, Story};

/// The counts that the figures show, by their names in `build/bench.json`, without what all of these end with.
const COUNTS: [&str; 10] = [
    "version",
    "info",
    "activate",
    "st_l2_create",
    "notify_stages_1",
    "notify_stages_32",
    "notify_staged",
    "notify_last",
    "consume",
    "el3",
];

/// What the names in `bench.json` end with.
const SUFFIX: &str = "_instructions";

const HEAD: &str = "\
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What parts.svg and run.svg show of a `make run` and of a `make bench`. `make figures` writes it.
";

/// What a figure is drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Lines of the host.
    pub lines: Vec<String>,
    /// Instructions, by name.
    counts: Vec<(String, u64)>,
}

impl Data {
    /// Takes what the figures show of a log and of the contents of `bench.json`.
    ///
    /// # Errors
    /// What is missing.
    pub fn new(log: &str, bench: &str) -> Result<Self, String> {
        let all = numbers(bench);
        let count = |name: &str| {
            let found = all.iter().find(|(key, _)| key.strip_suffix(SUFFIX) == Some(name));
            let found = found.map(|(_, number)| (name.to_owned(), *number));
            found.ok_or_else(|| format!("the bench has no {name}{SUFFIX}"))
        };
        let counts = COUNTS.into_iter().map(count).collect::<Result<_, _>>()?;
        let data = Self { lines: story::lines(log), counts };
        data.story().map(|_| data)
    }

    /// Reads what [`Data::text`] has written.
    ///
    /// # Errors
    /// The first line that is wrong, or what is missing.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut data = Self { lines: Vec::new(), counts: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let count = |rest: &str| {
                let (name, number) = rest.split_once(' ')?;
                Some((name.to_owned(), number.parse().ok()?))
            };
            if let Some(rest) = line.strip_prefix("host: ") {
                data.lines.push(rest.into());
            } else if let Some(count) = line.strip_prefix("instructions: ").and_then(count) {
                data.counts.push(count);
            } else {
                return Err(format!("`{line}` is neither a line of the host nor a count"));
            }
        }
        let names: Vec<&str> = data.counts.iter().map(|(name, _)| name.as_str()).collect();
        if names != COUNTS {
            return Err(format!("the counts are {names:?}, not {COUNTS:?}"));
        }
        data.story().map(|_| data)
    }

    /// Returns the file's contents.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for line in &self.lines {
            text += &format!("host: {line}\n");
        }
        for (name, number) in &self.counts {
            text += &format!("instructions: {name} {number}\n");
        }
        text
    }

    /// Returns the run.
    ///
    /// # Errors
    /// As [`Story::read`].
    pub fn story(&self) -> Result<Story, String> {
        Story::read(&self.lines)
    }

    /// Returns the instructions of a call, as they are shown.
    ///
    /// # Panics
    /// If `name` is none of those that the figures show.
    #[must_use]
    pub fn count(&self, name: &str) -> String {
        let found = self.counts.iter().find(|(other, _)| other == name);
        crate::image::grouped(found.unwrap_or_else(|| panic!("{name} is not in COUNTS")).1)
    }

    /// Returns where the counts differ from the contents of `bench.json`, a line each.
    #[must_use]
    pub fn count_differences(&self, bench: &str) -> Vec<String> {
        let all = numbers(bench);
        let mut differing = Vec::new();
        for (name, here) in &self.counts {
            match all.iter().find(|(key, _)| key.strip_suffix(SUFFIX) == Some(name)) {
                Some((_, there)) if here == there => {}
                Some((_, there)) => differing
                    .push(format!("{name}: {here} instructions, and {there} in the last bench")),
                None => differing.push(format!("{name}: not in the last bench")),
            }
        }
        differing
    }

    /// Returns where the lines first differ from those of a run.
    #[must_use]
    pub fn line_difference(&self, run: &[String]) -> Option<String> {
        let mut indexes = 0..self.lines.len().max(run.len());
        let index = indexes.find(|&index| self.lines.get(index) != run.get(index))?;
        let line = |lines: &[String]| {
            lines.get(index).map_or_else(|| "nothing".into(), |line| format!("`{line}`"))
        };
        Some(format!("{} here, and {} in the last run", line(&self.lines), line(run)))
    }
}

/// Returns the numbers of a flat JSON object whose names need no escapes, as `make bench` writes it.
#[must_use]
pub fn numbers(json: &str) -> Vec<(String, u64)> {
    let member = |line: &str| {
        let (name, number) = line.trim().trim_end_matches(',').split_once(": ")?;
        Some((name.trim_matches('"').to_owned(), number.parse().ok()?))
    };
    json.lines().filter_map(member).collect()
}
