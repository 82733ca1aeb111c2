// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits the rate of log lines that a device or an RMM can cause.

/// Passes a bounded number of lines per interval, and counts those that it suppresses.
///
/// It has no clock: the caller passes the time, in microseconds of any monotonic clock. A clock that goes
/// backwards does not pass more lines.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    burst: u32,
    interval: u64,
    start: u64,
    passed: u32,
    suppressed: u64,
}

/// Whether to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Print the line, with the number of lines suppressed since the last one that passed.
    Pass {
        /// Number of suppressed lines.
        suppressed: u64,
    },
    /// Do not print the line.
    Suppress,
}

impl Limiter {
    /// Passes at most `burst` lines in each `interval` microseconds, which begins with the first line.
    #[must_use]
    pub const fn new(burst: u32, interval: u64) -> Self {
        Self { burst, interval, start: 0, passed: 0, suppressed: 0 }
    }

    /// Decides on one line at `now`, in microseconds.
    pub const fn ask(&mut self, now: u64) -> Verdict {
        let fresh = self.passed == 0 && self.suppressed == 0;
        if fresh || now.saturating_sub(self.start) >= self.interval {
            self.start = now;
            self.passed = 0;
        }
        if self.passed >= self.burst {
            self.suppressed = self.suppressed.saturating_add(1);
            return Verdict::Suppress;
        }
        self.passed += 1;
        let suppressed = self.suppressed;
        self.suppressed = 0;
        Verdict::Pass { suppressed }
    }

    /// Returns the number of suppressed lines not reported yet and resets it, for the end of a burst that
    /// no line follows.
    pub const fn take_suppressed(&mut self) -> u64 {
        let suppressed = self.suppressed;
        self.suppressed = 0;
        suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: Verdict = Verdict::Pass { suppressed: 0 };

    #[test]
    fn suppressed_lines_are_counted_and_reported_with_the_next() {
        let mut limiter = Limiter::new(2, 1000);
        assert_eq!([5000, 5001, 5002].map(|now| limiter.ask(now)), [PASS, PASS, Verdict::Suppress]);
        assert_eq!(limiter.ask(5999), Verdict::Suppress);
        assert_eq!(limiter.ask(6000), Verdict::Pass { suppressed: 2 });
        assert_eq!([6001, 6002].map(|now| limiter.ask(now)), [PASS, Verdict::Suppress]);
        assert_eq!((limiter.take_suppressed(), limiter.take_suppressed()), (1, 0));
    }

    #[test]
    fn a_clock_that_goes_backwards_passes_no_more_lines() {
        let mut limiter = Limiter::new(1, 1000);
        assert_eq!(limiter.ask(10_000), PASS);
        assert_eq!([9_000, 0, 10_999].map(|now| limiter.ask(now)), [Verdict::Suppress; 3]);
        assert_eq!(limiter.ask(11_000), Verdict::Pass { suppressed: 3 });
    }

    #[test]
    fn a_limit_of_none_passes_none() {
        let mut limiter = Limiter::new(0, 0);
        assert_eq!([0, 1].map(|now| limiter.ask(now)), [Verdict::Suppress; 2]);
        assert_eq!(limiter.take_suppressed(), 2);
    }
}
