// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keeps a device or an RMM that goes wild from filling the log.

/// Lets some of many things through, and counts what it holds back.
///
/// It has no clock: whoever asks says what time it is, in microseconds of any clock that only goes
/// forward. One that goes back gives nobody more.
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
    /// Yes, and say how many were held back since the last yes.
    Pass {
        /// How many.
        suppressed: u64,
    },
    /// No.
    Hold,
}

impl Limiter {
    /// Lets `burst` through in each `interval` microseconds, from the first one on.
    #[must_use]
    pub const fn new(burst: u32, interval: u64) -> Self {
        Self { burst, interval, start: 0, passed: 0, suppressed: 0 }
    }

    /// Decides for one thing that came at `now` microseconds.
    pub const fn ask(&mut self, now: u64) -> Verdict {
        let fresh = self.passed == 0 && self.suppressed == 0;
        if fresh || now.saturating_sub(self.start) >= self.interval {
            self.start = now;
            self.passed = 0;
        }
        if self.passed >= self.burst {
            self.suppressed = self.suppressed.saturating_add(1);
            return Verdict::Hold;
        }
        self.passed += 1;
        let suppressed = self.suppressed;
        self.suppressed = 0;
        Verdict::Pass { suppressed }
    }

    /// Returns how many are held back and not reported yet, and forgets them: for the end of a burst that
    /// nothing follows.
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
    fn a_burst_passes_the_rest_is_counted_and_reported_with_the_next_that_passes() {
        let mut limiter = Limiter::new(2, 1000);
        assert_eq!([5000, 5001, 5002].map(|now| limiter.ask(now)), [PASS, PASS, Verdict::Hold]);
        assert_eq!(limiter.ask(5999), Verdict::Hold);
        assert_eq!(limiter.ask(6000), Verdict::Pass { suppressed: 2 });
        assert_eq!([6001, 6002].map(|now| limiter.ask(now)), [PASS, Verdict::Hold]);
        assert_eq!((limiter.take_suppressed(), limiter.take_suppressed()), (1, 0));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nobody_more() {
        let mut limiter = Limiter::new(1, 1000);
        assert_eq!(limiter.ask(10_000), PASS);
        assert_eq!([9_000, 0, 10_999].map(|now| limiter.ask(now)), [Verdict::Hold; 3]);
        assert_eq!(limiter.ask(11_000), Verdict::Pass { suppressed: 3 });
    }

    #[test]
    fn a_limit_of_none_passes_none() {
        let mut limiter = Limiter::new(0, 0);
        assert_eq!([0, 1].map(|now| limiter.ask(now)), [Verdict::Hold; 2]);
        assert_eq!(limiter.take_suppressed(), 2);
    }
}
