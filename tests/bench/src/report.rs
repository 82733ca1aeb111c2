// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was measured, beside goals and peers: as a table for people, as JSON for programs.

use std::fmt;

/// What a goal says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// There is none.
    None,
    /// It is to be no larger.
    AtMost(u64),
}

/// A line of the table, and a number of the JSON object.
#[derive(Clone, Debug)]
pub struct Row {
    /// For people.
    pub what: String,
    /// For programs; an empty one keeps the number out.
    pub key: String,
    /// The number.
    pub measured: u64,
    /// Where it should be.
    pub goal: Goal,
    /// Where others are.
    pub peer: String,
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    /// Numbers that are not in the table.
    more: Vec<(String, u64)>,
}

impl Report {
    /// Adds a line.
    pub fn add(&mut self, what: &str, key: &str, measured: u64, goal: Goal, peer: &str) {
        let (what, key, peer) = (what.into(), key.into(), peer.into());
        self.rows.push(Row { what, key, measured, goal, peer });
    }

    /// Adds a number that only programs see.
    pub fn add_number(&mut self, key: String, number: u64) {
        self.more.push((key, number));
    }

    /// Returns one flat JSON object. Keys are names of this program's own, which need no escapes.
    #[must_use]
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| (&row.key, row.measured));
        let more = self.more.iter().map(|(key, number)| (key, *number));
        let lines: Vec<_> =
            rows.chain(more).map(|(key, number)| format!("  \"{key}\": {number}")).collect();
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }
}

impl Row {
    fn goal(&self) -> String {
        match self.goal {
            Goal::None => String::new(),
            Goal::AtMost(limit) => match self.measured.checked_sub(limit) {
                None | Some(0) => format!("<= {}: met", Grouped(limit)),
                Some(excess) => {
                    format!("<= {}: missed by {}", Grouped(limit), Grouped(excess))
                }
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "measured", "goal", "peer"].map(String::from);
        let lines: Vec<[String; 4]> = std::iter::once(head)
            .chain(self.rows.iter().map(|row| {
                let measured = Grouped(row.measured).to_string();
                [row.what.clone(), measured, row.goal(), row.peer.clone()]
            }))
            .collect();
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let [what, measured, goal] = [0, 1, 2].map(width);
        for line in &lines {
            let [a, b, c, d] = line;
            let text = format!("{a:<what$} | {b:>measured$} | {c:<goal$} | {d}");
            writeln!(f, "{}", text.trim_end_matches([' ', '|']))?;
        }
        Ok(())
    }
}

/// A number with a comma before each three digits.
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.char_indices() {
            if index != 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add("NOTIFY", "notify", 148, Goal::AtMost(130), "132");
        report.add("image, bytes", "image_bytes", 45_072, Goal::AtMost(65_536), "");
        report.add("CONSUME", "consume", 99, Goal::None, "");
        report.add_number("burst1_register_reads".into(), 2);
        report
    }

    #[test]
    fn a_goal_is_met_or_missed_by_so_much() {
        assert_eq!(
            report().to_string(),
            "what         | measured | goal                 | peer\n\
             NOTIFY       |      148 | <= 130: missed by 18 | 132\n\
             image, bytes |   45,072 | <= 65,536: met\n\
             CONSUME      |       99\n"
        );
    }

    #[test]
    fn the_json_object_is_flat_and_has_all_numbers() {
        assert_eq!(
            report().json(),
            "{\n  \"notify\": 148,\n  \"image_bytes\": 45072,\n  \"consume\": 99,\n  \
             \"burst1_register_reads\": 2\n}\n"
        );
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let shown = [0, 999, 1000, 262_144, 1_000_000].map(|number| Grouped(number).to_string());
        assert_eq!(shown, ["0", "999", "1,000", "262,144", "1,000,000"]);
    }
}
