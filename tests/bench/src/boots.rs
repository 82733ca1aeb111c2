// SPDX-License-Identifier: MIT OR Apache-2.0

//! Instructions that the RMM spends on a call, on the boot platform.
//!
//! QEMU counts instructions (`-icount`), and the host test image reads the counter before and after an
//! SMC. The same boot with `null-rmm`, which answers each call at once, shows what EL3 spends on the
//! same call; function numbers of the second range cost EL3 more than those of the first, so each call
//! has its own share. Where the RMM calls EL3 in turn, to give a granule to the Realm world or to take it
//! back, the null RMM makes the same call, so that what EL3 spends on that is EL3's too. What takes more
//! than one call is the sum of its calls.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use boot_runner::{Boot, BootError, Outcome, place};

/// Instructions of `null-rmm` for a call: `b`, `tbnz`, `ldr`, `smc`.
const NULL: u64 = 4;
/// Instructions of `null-rmm` more when it calls EL3: `mov`, `smc`, `mov`, `b`.
const NULL_CALL: u64 = 4;
/// Instructions of the host between the two reads of the counter, the second one among them: `smc`,
/// `mrs`.
const HOST: u64 = 2;
/// StreamID 8.
const EDU: u32 = 1;

/// What the host prints before a name and four counts.
const PREFIX: &str = "host: BENCH ";
/// What the host prints before the name of a command and the count of its longest call.
const LONGEST: &str = "host: LONGEST ";
/// What the RMM prints before the size of its granule tracker.
const TRACKER: &str = "rmm: granule tracker: ";

/// Instructions for one call. What a call costs may depend on where in a ring it finds its events; the
/// counts are the same in each boot all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions {
    /// Of the RMM, when it spends the least.
    pub lowest: u64,
    /// Of the RMM, when it spends the most.
    pub highest: u64,
    /// Of EL3.
    pub el3: u64,
}

/// Counts by the names that the host prints.
pub type Calls = BTreeMap<String, Instructions>;

/// A line of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The lowest count, EL3's instructions and the host's own among them.
    lowest: u64,
    /// The highest count.
    highest: u64,
    /// How many calls were made.
    calls: u64,
    /// How many times the RMM has called EL3 meanwhile.
    calls_to_el3: u64,
}

/// Lines of the host, by name.
type Totals = BTreeMap<String, Total>;

/// Why there is no count.
#[derive(Debug)]
pub enum CountError {
    /// Nothing was booted.
    Boot(BootError),
    /// The boot failed.
    Failed(Box<Outcome>),
    /// Two boots did not count the same.
    Differs(Box<[Boots; 2]>),
    /// With an RMM that does nothing, this was not counted, or not the same each time, or more.
    Nonsense(String),
}

impl From<BootError> for CountError {
    fn from(error: BootError) -> Self {
        Self::Boot(error)
    }
}

impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(error) => error.fmt(f),
            Self::Failed(outcome) => outcome.fmt(f),
            Self::Differs(boots) => {
                let [first, second] = &**boots;
                f.write_str("two boots of the same image did not count the same:")?;
                if first.longest != second.longest {
                    write!(f, "\n  {:?}\n  {:?}", first.longest, second.longest)?;
                }
                let (first, second) = (&first.totals, &second.totals);
                let differing = |(what, _): &(&String, _)| first.get(*what) != second.get(*what);
                first.iter().chain(second).filter(differing).try_for_each(|(what, _)| {
                    write!(f, "\n  {what}: {:?}, {:?}", first.get(what), second.get(what))
                })
            }
            Self::Nonsense(what) => write!(
                f,
                "{what} has no count with an RMM that does nothing, or not always the same, or more \
                 than with a real one"
            ),
        }
    }
}

impl std::error::Error for CountError {}

/// What one boot counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boots {
    totals: Totals,
    /// The longest call of each command, by its name in the ABI crate.
    longest: BTreeMap<String, u64>,
    /// Bytes of the granule tracker, as the RMM says at boot.
    tracker: u64,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Instructions of EL3 and the RMM in the longest call of each command.
    pub longest: BTreeMap<String, u64>,
    /// Bytes of the granule tracker.
    pub tracker: u64,
    /// With one PSMMU.
    pub one: Calls,
    /// With 16 PSMMUs.
    pub many: Calls,
}

/// Boots the RMM twice, one with 16 PSMMUs and the null RMM once, and counts.
///
/// # Errors
/// [`CountError`].
pub fn count() -> Result<Counted, CountError> {
    let flash = place::flash().map_err(BootError::from)?;
    let many = place::many_flash().map_err(BootError::from)?;
    let null = place::null_flash().map_err(BootError::from)?;
    let with_rmm = |name, flash: &PathBuf| {
        read(&Boot::new(name, flash.clone()).scenario("bench").edus(&[EDU]))
    };
    let first = with_rmm("bench", &flash)?;
    let again = with_rmm("bench-again", &flash)?;
    if first != again {
        return Err(CountError::Differs(Box::new([first, again])));
    }
    let without = read(&Boot::new("bench-null", null).scenario("bench null"))?.totals;
    let many = with_rmm("bench-many", &many)?.totals;
    let Boots { totals, longest, tracker } = first;
    let longest = longest.into_iter().map(|(name, longest)| (name, longest.saturating_sub(HOST)));
    Ok(Counted {
        longest: longest.collect(),
        tracker,
        one: shares(totals, &without)?,
        many: shares(many, &without)?,
    })
}

/// Parts the RMM's shares from EL3's.
fn shares(total: Totals, without: &Totals) -> Result<Calls, CountError> {
    total
        .into_iter()
        .map(|(what, total)| match share(total, without.get(&what).copied()) {
            Some(shares) => Ok((what, shares)),
            None => Err(CountError::Nonsense(what)),
        })
        .collect()
}

/// Parts the RMM's share from EL3's.
fn share(total: Total, without: Option<Total>) -> Option<Instructions> {
    let Total { lowest, highest, calls, calls_to_el3 } = total;
    let alike = |without: &Total| {
        without.lowest == without.highest
            && (without.calls, without.calls_to_el3) == (calls, calls_to_el3)
    };
    let without = without.filter(alike)?;
    let others = without.lowest.checked_sub(NULL * calls + NULL_CALL * calls_to_el3)?;
    Some(Instructions {
        lowest: lowest.checked_sub(others)?,
        highest: highest.checked_sub(others)?,
        el3: others.checked_sub(HOST * calls)?,
    })
}

fn read(boot: &Boot) -> Result<Boots, CountError> {
    let outcome = boot.clone().counting_instructions().run()?;
    if !outcome.passed() {
        return Err(CountError::Failed(Box::new(outcome)));
    }
    let lines = || outcome.serial.lines();
    Ok(Boots {
        totals: lines().filter_map(parse).collect(),
        longest: lines().filter_map(parse_longest).collect(),
        tracker: lines().find_map(parse_tracker).unwrap_or(0),
    })
}

/// Reads a line with the longest call of a command.
fn parse_longest(line: &str) -> Option<(String, u64)> {
    let (name, longest) = line.strip_prefix(LONGEST)?.trim_end().split_once(' ')?;
    Some((name.into(), longest.parse().ok()?))
}

/// Reads the RMM's line on its granule tracker.
fn parse_tracker(line: &str) -> Option<u64> {
    let (bytes, _) = line.strip_prefix(TRACKER)?.split_once(' ')?;
    bytes.parse().ok()
}

/// Reads a line with counts.
fn parse(line: &str) -> Option<(String, Total)> {
    let mut words = line.strip_prefix(PREFIX)?.split_whitespace();
    let what = words.next()?;
    let mut count = || words.next()?.parse().ok();
    let (lowest, highest, calls, calls_to_el3) = (count()?, count()?, count()?, count()?);
    Some((what.into(), Total { lowest, highest, calls, calls_to_el3 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn total(lowest: u64, highest: u64, calls: u64, calls_to_el3: u64) -> Total {
        Total { lowest, highest, calls, calls_to_el3 }
    }

    #[test]
    fn counts_are_read_from_among_what_else_is_printed() {
        assert_eq!(
            parse("host: BENCH version 1188 1190 1 0\r"),
            Some(("version".into(), total(1188, 1190, 1, 0)))
        );
        for line in ["rmm: BENCH version 1 1 1 0", "host: BENCH version 1 1 1", "host: x 1 1", ""] {
            assert_eq!(parse(line), None);
        }
    }

    #[test]
    fn the_longest_calls_and_the_tracker_are_read_likewise() {
        let longest = parse_longest("host: LONGEST OpMemDonate 4321\r");
        assert_eq!(longest, Some(("OpMemDonate".into(), 4321)));
        assert_eq!(parse_longest("host: BENCH version 1 1 1 0"), None);
        assert_eq!(parse_tracker("rmm: granule tracker: 243200 bytes of 243200\r"), Some(243_200));
        assert_eq!(parse_tracker("rmm: DRAM 0x40000000 to 0xffffffff"), None);
    }

    #[test]
    fn null_rmm_and_host_overhead_is_subtracted_from_each_share() {
        let call = total(1190, 1192, 1, 0);
        let shares = Instructions { lowest: 78, highest: 80, el3: 1110 };
        assert_eq!(share(call, Some(total(1116, 1116, 1, 0))), Some(shares));
        for (lowest, highest, calls) in
            [(1115, 1116, 1), (1200, 1200, 1), (1, 1, 1), (1116, 1116, 2)]
        {
            assert_eq!(share(call, Some(total(lowest, highest, calls, 0))), None);
        }
        assert_eq!(share(call, None), None);
    }

    #[test]
    fn several_calls_and_calls_to_el3_are_parted_each_on_its_own() {
        let shares = Instructions { lowest: 1000, highest: 1000, el3: 3000 };
        let without = total(3000 + 3 * (NULL + HOST), 3000 + 3 * (NULL + HOST), 3, 0);
        assert_eq!(share(total(4006, 4006, 3, 0), Some(without)), Some(shares));
        let without = total(3000 + 10, 3000 + 10, 1, 1);
        assert_eq!(share(total(4002, 4002, 1, 1), Some(without)), Some(shares));
    }
}
