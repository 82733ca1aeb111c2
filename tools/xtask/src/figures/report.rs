// SPDX-License-Identifier: MIT OR Apache-2.0

//! One page of the last run and the last bench: the sequence, what was counted, costs beside goals and peers as bars.

use std::fmt::Write;

use super::data::Data;
use super::run;
use super::svg::{Anchor, STYLE, Svg, escaped};
use crate::image::grouped;

/// A line of the table that `make bench` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row<'a> {
    what: &'a str,
    measured: u64,
    /// The number, and whether it is met.
    goal: Option<(u64, bool)>,
    /// The number, and how it is written.
    peer: Option<(u64, &'a str)>,
}

const PAGE_STYLE: &str = "\
body{background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;\
max-width:860px;margin:2em auto;padding:0 1em}
svg{max-width:100%;height:auto}pre{overflow-x:auto;font-size:13px}table{border-collapse:collapse}td,th{text-align:left;padding:.2em 1em .2em 0}
.bar{fill:var(--realm-line)}.peer{fill:var(--line)}td.n{text-align:right}
";

/// Returns the table's lines behind its head.
fn rows(table: &str) -> Vec<Row<'_>> {
    table.lines().skip(1).filter_map(row).collect()
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut cells = line.split(" | ").map(str::trim);
    let (what, measured) = (cells.next()?, number(cells.next()?)?);
    let goal = cells.next().and_then(|cell| {
        let (goal, is_met) = cell.strip_prefix("<= ")?.split_once(": ")?;
        Some((number(goal)?, is_met == "met"))
    });
    let peer = cells.next().and_then(|cell| Some((number(cell)?, cell)));
    Some(Row { what, measured, goal, peer })
}

/// Returns the number that a text begins with, whose digits are grouped, or which is in MB with one decimal.
fn number(text: &str) -> Option<u64> {
    if let Some(megabytes) = text.strip_suffix(" MB") {
        let (whole, tenth) = megabytes.split_once('.').unwrap_or((megabytes, "0"));
        return Some(whole.parse::<u64>().ok()? * 1_000_000 + tenth.parse::<u64>().ok()? * 100_000);
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != ',');
    text[..end.unwrap_or(text.len())].replace(',', "").parse().ok()
}

/// Draws lines that have a goal or a peer. Each has a scale of its own, as they count different things.
fn bars(rows: &[Row<'_>]) -> String {
    const LEFT: u32 = 20;
    const LONGEST: u32 = 480;
    let mut svg = Svg::default();
    let mut y = 10;
    for row in rows {
        let peer = row.peer.map_or(0, |(peer, _)| peer);
        let most = row.goal.map_or(0, |(goal, _)| goal).max(row.measured).max(peer).max(1);
        // At least one pixel, at most LONGEST.
        let length = |number: u64| {
            let pixels = u128::from(number) * u128::from(LONGEST) / u128::from(most);
            u32::try_from(pixels).unwrap_or(LONGEST).max(1)
        };
        y += 22;
        svg.text([LEFT, y], 15, Anchor::Start, "strong", 790, row.what);
        y += 8;
        let mut label = grouped(row.measured);
        let mut end = length(row.measured);
        if let Some((goal, is_met)) = row.goal {
            let verdict = if is_met { "met" } else { "MISSED" };
            label += &format!(", goal {} {verdict}", grouped(goal));
            end = end.max(length(goal));
        }
        svg.rect([LEFT, y, length(row.measured), 16], "bar");
        svg.text([LEFT + end + 10, y + 13], 14, Anchor::Start, "", 800 - end, &label);
        if let Some((goal, _)) = row.goal {
            let x = LEFT + length(goal);
            svg.stroke([x, y - 3, x, y + 19], "goal");
        }
        y += 18;
        if let Some((peer, label)) = row.peer {
            let end = length(peer);
            svg.rect([LEFT, y + 2, end, 16], "peer");
            let label = format!("peer: {label}");
            svg.text([LEFT + end + 10, y + 15], 14, Anchor::Start, "", 800 - end, &label);
            y += 20;
        }
        y += 6;
    }
    svg.finish([830, y + 12], "Costs beside goals and peers", false)
}

/// Makes the page of a log, of the contents of `bench.json`, and of the table of the same bench.
///
/// # Errors
/// As [`Data::new`], and if the table has no line.
pub fn page(log: &str, bench: &str, table: &str) -> Result<String, String> {
    let data = Data::new(log, bench)?;
    let story = data.story()?;
    let (sequence, _) = run::figure(&data, false)?;
    let rows = rows(table);
    if rows.is_empty() {
        return Err("the bench's table has no line".into());
    }
    let (beside, alone): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.goal.is_some() || row.peer.is_some());
    let mut page = String::from(
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\
        <meta name='viewport' content='width=device-width'>\
        <meta name='color-scheme' content='light dark'><title>psmmu: run and bench</title>\n",
    );
    // A String takes everything.
    let _ = write!(page, "<style>\n{STYLE}{PAGE_STYLE}</style></head><body>\n");
    page += "<h1>The last run</h1>\n";
    let [events, errors, interrupts] = story.totals.map(grouped);
    let _ = write!(
        page,
        "<table>\n<tr><td>events reported and consumed</td><td class='n'>{events}</td></tr>\n\
         <tr><td>errors</td><td class='n'>{errors}</td></tr>\n\
         <tr><td>interrupts</td><td class='n'>{interrupts}</td></tr>\n</table>\n"
    );
    let _ = write!(page, "{sequence}<h2>Lines of the RMM and the host</h2>\n<pre>");
    for line in log.lines().filter(|line| line.starts_with("rmm: ") || line.starts_with("host: ")) {
        let _ = writeln!(page, "{}", escaped(line.trim_end()));
    }
    page += "</pre>\n<h1>The last bench</h1>\n<p>Blue: this project. Red line: the goal. Grey: the peer. \
        Each line has its own scale; nothing is timed.</p>\n";
    page += &bars(&beside);
    page += "<h2>Counts without goal and peer</h2>\n<table>\n";
    for row in &alone {
        let (what, measured) = (escaped(row.what), grouped(row.measured));
        let _ = writeln!(page, "<tr><td>{what}</td><td class='n'>{measured}</td></tr>");
    }
    page += "</table>\n</body></html>\n";
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "what | measured | goal | peer\n\
        NOTIFY, event staged | 114 | <= 120: met           | 132 (VERSION)\n\
        image, bytes         | 65,537 | <= 65,536: missed by 1 | 598,432\n\
        all memory           | 253,952 | <= 262,144: met   | 12.9 MB\n\
        CONSUME, <nothing>   | 117\n\
        \nPeers: TF-RMM\nbuild/bench.json\n";

    #[test]
    fn the_table_of_the_bench_is_read_as_it_was_printed() {
        let rows = rows(TABLE);
        let numbers: Vec<_> =
            rows.iter().map(|row| (row.measured, row.goal, row.peer.map(|peer| peer.0))).collect();
        assert_eq!(
            numbers,
            [
                (114, Some((120, true)), Some(132)),
                (65_537, Some((65_536, false)), Some(598_432)),
                (253_952, Some((262_144, true)), Some(12_900_000)),
                (117, None, None),
            ]
        );
    }

    #[test]
    fn bars_keep_their_proportion_and_a_missed_goal_is_named() {
        let all = rows(TABLE);
        let figure = bars(&all[..2]);
        // 480 pixels are 132 and 598,432.
        assert!(figure.contains("width='414' height='16' rx='5' class='bar'"), "{figure}");
        assert!(figure.contains("width='480' height='16' rx='5' class='peer'"), "{figure}");
        assert!(figure.contains("65,537, goal 65,536 MISSED"), "{figure}");
    }
}
