// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waits for the device. Each is bounded by the clock and, should that stand still, by a number of polls.

#![forbid(unsafe_code)]

use crate::platform::Clock;

/// Longest wait for the device to acknowledge an enable or to get through its commands, in
/// microseconds. One second, as Linux waits. A call that waits says for how many of these.
pub const DEVICE_TIMEOUT: u64 = 1_000_000;

/// Polls of the device behind which a clock that has shown the same microsecond all that time counts as
/// standing still. With 15 ns for the fastest poll they take a millisecond.
pub const STANDSTILL: u32 = 1 << 16;

/// Most polls of a wait, whatever the clock shows. A poll takes 30 ns at least, on average, so that a clock
/// in order has shown [`DEVICE_TIMEOUT`] before.
pub const MAX_POLLS: u32 = 1 << 25;

/// Says that a wait ran into [`DEVICE_TIMEOUT`], [`STANDSTILL`] or [`MAX_POLLS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// Calls `poll` until it gives something or [`DEVICE_TIMEOUT`] has passed; it is called at least once
/// after the time is up, so that preemption of the caller cannot cause a false timeout. A clock that stands
/// still, or nearly so, ends the wait by the number of polls.
pub(crate) fn wait<T>(
    clock: &impl Clock,
    mut poll: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = clock.microseconds();
    let (mut last, mut moved) = (start, 0);
    for polls in 0..MAX_POLLS {
        let now = clock.microseconds();
        if now != last {
            (last, moved) = (now, polls);
        }
        let late =
            now.wrapping_sub(start) > DEVICE_TIMEOUT || polls.wrapping_sub(moved) >= STANDSTILL;
        if let Some(value) = poll() {
            return Ok(value);
        }
        if late {
            break;
        }
        crate::sync::spin_loop();
    }
    Err(TimedOut)
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    struct Steps(Cell<u64>);

    impl Clock for Steps {
        fn microseconds(&self) -> u64 {
            self.0.set(self.0.get() + 250_000);
            self.0.get()
        }
    }

    #[test]
    fn a_wait_ends_by_the_clock_after_one_last_poll() {
        let polls = Cell::new(0);
        let never = || {
            polls.set(polls.get() + 1);
            None::<()>
        };
        assert_eq!(wait(&Steps(Cell::new(0)), never), Err(TimedOut));
        assert_eq!(polls.get(), 5);

        let polls = Cell::new(0);
        let at_last = || {
            polls.set(polls.get() + 1);
            (polls.get() == 5).then_some(())
        };
        assert_eq!(wait(&Steps(Cell::new(0)), at_last), Ok(()));
    }

    /// A clock that goes on by a microsecond each so many readings; never for 0.
    struct Slow {
        readings: Cell<u64>,
        pace: u64,
    }

    impl Clock for Slow {
        fn microseconds(&self) -> u64 {
            self.readings.set(self.readings.get() + 1);
            self.readings.get().checked_div(self.pace).unwrap_or(u64::MAX)
        }
    }

    #[test]
    fn a_wait_ends_with_a_clock_that_stands_still_or_creeps() {
        for (pace, bound) in [(0, STANDSTILL), (u64::from(STANDSTILL) - 1, MAX_POLLS)] {
            let polls = Cell::new(0);
            let never = || {
                polls.set(polls.get() + 1);
                None::<()>
            };
            assert_eq!(wait(&Slow { readings: Cell::new(0), pace }, never), Err(TimedOut));
            let polls = polls.get();
            assert!(polls > bound / 2 && polls <= bound + 1, "{polls} polls at pace {pace}");
        }
    }
}
