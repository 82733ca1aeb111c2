// SPDX-License-Identifier: MIT OR Apache-2.0

//! Instructions that the RMM spends on a call, on the boot platform.
//!
//! QEMU counts instructions (`-icount`), and the host test image reads the counter before and after an
//! SMC. The same boot with `null-rmm`, which answers each call at once, shows what EL3 spends on the
//! same call; function numbers of the second range cost EL3 more than those of the first, so each call
//! has its own share.

use std::collections::BTreeMap;
use std::fmt;

use boot_runner::{Boot, BootError, Outcome, place};

/// Instructions of `null-rmm` for a call: `b`, `ldr`, `smc`.
const NULL: u64 = 3;
/// Instructions of the host between the two reads of the counter, the second one among them: `smc`,
/// `mrs`.
const HOST: u64 = 2;
/// StreamID 8.
const EDU: u32 = 1;

/// What the host prints before a name and two counts.
const PREFIX: &str = "host: BENCH ";

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

/// Lowest and highest count, by the same names, EL3's and the host's own among them.
type Totals = BTreeMap<String, (u64, u64)>;

/// Why there is no count.
#[derive(Debug)]
pub enum CountError {
    /// Nothing was booted.
    Boot(BootError),
    /// The boot failed.
    Failed(Box<Outcome>),
    /// Two boots did not count the same.
    Differs(Box<[Totals; 2]>),
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

/// Boots the RMM twice and the null RMM once, and counts.
///
/// # Errors
/// [`CountError`].
pub fn count() -> Result<Calls, CountError> {
    let flash = place::flash().map_err(BootError::from)?;
    let null = place::null_flash().map_err(BootError::from)?;
    let with_rmm = |name| totals(&Boot::new(name, flash.clone()).scenario("bench").edus(&[EDU]));
    let total = with_rmm("bench")?;
    let again = with_rmm("bench-again")?;
    if total != again {
        return Err(CountError::Differs(Box::new([total, again])));
    }
    let without = totals(&Boot::new("bench-null", null).scenario("bench null"))?;
    total
        .into_iter()
        .map(|(what, total)| match share(total, without.get(&what).copied()) {
            Some(shares) => Ok((what, shares)),
            None => Err(CountError::Nonsense(what)),
        })
        .collect()
}

/// Parts the RMM's share from EL3's.
fn share((lowest, highest): (u64, u64), without: Option<(u64, u64)>) -> Option<Instructions> {
    let (without, _) = without.filter(|(lowest, highest)| lowest == highest)?;
    let others = without.checked_sub(NULL)?;
    Some(Instructions {
        lowest: lowest.checked_sub(others)?,
        highest: highest.checked_sub(others)?,
        el3: others.checked_sub(HOST)?,
    })
}

fn totals(boot: &Boot) -> Result<Totals, CountError> {
    let outcome = boot.clone().counting_instructions().run()?;
    if !outcome.passed() {
        return Err(CountError::Failed(Box::new(outcome)));
    }
    Ok(outcome.serial.lines().filter_map(parse).collect())
}

/// Reads a line with counts.
fn parse(line: &str) -> Option<(String, (u64, u64))> {
    let mut words = line.strip_prefix(PREFIX)?.split_whitespace();
    let what = words.next()?;
    let mut count = || words.next()?.parse().ok();
    Some((what.into(), (count()?, count()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_among_what_else_is_printed() {
        assert_eq!(
            parse("host: BENCH version 1188 1190\r"),
            Some(("version".into(), (1188, 1190)))
        );
        for line in ["rmm: BENCH version 1 1", "host: BENCH version 1", "host: version 1 1", ""] {
            assert_eq!(parse(line), None);
        }
    }

    #[test]
    fn what_the_null_rmm_and_the_host_spend_themselves_is_nobodys_share() {
        let shares = Instructions { lowest: 78, highest: 80, el3: 1110 };
        assert_eq!(share((1190, 1192), Some((1115, 1115))), Some(shares));
        for without in [None, Some((1115, 1116)), Some((1200, 1200)), Some((1, 1))] {
            assert_eq!(share((1190, 1192), without), None);
        }
    }
}
