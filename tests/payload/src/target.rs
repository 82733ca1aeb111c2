// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that DMA is aimed at, which must stay as it is.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::edu::Dma;

/// The words that one DMA would reach.
pub struct Target(&'static [AtomicU32]);

impl Target {
    /// Opens the target of `dma`.
    pub fn of(dma: Dma) -> Self {
        // SAFETY: DMA is aimed at memory that is mapped, that no image uses and that only this module
        // touches; devices may write to it at any time, hence the atomics. It is word-aligned.
        Self(unsafe { core::slice::from_raw_parts(dma.at as *const _, dma.words as usize) })
    }

    /// Fills it with what no device writes.
    pub fn scribble(&self) {
        for (index, word) in self.0.iter().enumerate() {
            word.store(scribbled(index), Ordering::Relaxed);
        }
    }

    /// Checks that it was not written.
    pub fn expect_unchanged(&self, stream: u32) {
        let changed = (self.0.iter().enumerate())
            .find(|&(index, word)| word.load(Ordering::Relaxed) != scribbled(index));
        if let Some((index, _)) = changed {
            fail!("stream {stream} has written word {index} of its target");
        }
        crate::check::held();
    }
}

const fn scribbled(index: usize) -> u32 {
    0xA5C3_0000 | index as u32
}
