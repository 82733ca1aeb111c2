// SPDX-License-Identifier: MIT OR Apache-2.0

//! The choices of a run.

/// The choices of a run, and how many there were at each point.
#[derive(Debug, Default)]
pub struct Choices {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    /// Chooses one of `options`: as the last run did up to the point where this one differs, and the
    /// first one behind it.
    ///
    /// # Panics
    /// When there were more or fewer options the last time.
    pub fn choose(&mut self, options: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, options));
        }
        let (choice, of) = self.taken[self.at];
        assert_eq!(of, options, "a run must depend on its choices alone");
        self.at += 1;
        choice
    }

    /// Moves on to the next run; false when there is none.
    pub fn next_run(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, options)) = self.taken.pop() {
            if choice + 1 < options {
                self.taken.push((choice + 1, options));
                return true;
            }
        }
        false
    }
}
