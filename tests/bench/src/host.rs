// SPDX-License-Identifier: MIT OR Apache-2.0

//! Instructions for an event under a real Linux, from the start of the handler to consumed.
//!
//! The kernel's module counts them on a machine whose counter counts instructions, for bursts of several
//! sizes: without lines for the log, with each line made and dropped, and with each line printed. Of each
//! event, two calls are EL3's and the RMM's; the rest is the host's.

use std::collections::BTreeMap;

use boot_runner::linux::{Linux, Verdicts};
use boot_runner::{Boot, Model};

use crate::boots::CountError;

/// What the scenario prints before two names and a number.
const PREFIX: &str = "| COST ";

/// Instructions for an event, by what is done with its line and by the size of the burst.
pub type Costs = BTreeMap<(String, u64), u64>;

/// Boots Linux once, and counts.
///
/// # Errors
/// [`CountError`].
pub fn count(model: Model) -> Result<Costs, CountError> {
    let boot: Boot = Linux::counting(model)?.boot("bench-linux").counting_instructions();
    let outcome = boot.run()?;
    if Verdicts::of(&outcome.serial).failure().is_some() {
        return Err(CountError::Failed(Box::new(outcome)));
    }
    Ok(outcome.serial.lines().filter_map(parse).collect())
}

/// Reads a line with a cost.
fn parse(line: &str) -> Option<((String, u64), u64)> {
    let mut words = line.trim_end().strip_prefix(PREFIX)?.split_whitespace();
    let (lines, burst) = (words.next()?, words.next()?.strip_suffix(':')?);
    Some(((lines.into(), burst.parse().ok()?), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_from_among_what_else_is_printed() {
        assert_eq!(parse("| COST silent 512: 2790\r"), Some((("silent".into(), 512), 2790)));
        for line in ["COST silent 512: 2790", "| COST silent 512 2790", "| COST silent: 1", ""] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
