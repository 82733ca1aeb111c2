// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pages that the RMM reads or writes.

use core::sync::atomic::{AtomicU64, Ordering};

use psmmu_host::Page;

const WORDS: usize = psmmu_abi::GRANULE_SIZE / 8;

/// One granule. Its words are atomic since the RMM writes them while no code here does.
#[repr(C, align(4096))]
pub struct Granule([AtomicU64; WORDS]);

impl Granule {
    /// A granule of zeroes.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// Returns its PA, which is its VA.
    pub fn address(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }

    /// Writes `value` into each word.
    pub fn fill(&self, value: u64) {
        for word in &self.0 {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Fills it with numbers of which no two are equal.
    pub fn scribble(&self) {
        for (index, word) in self.0.iter().enumerate() {
            word.store(scribbled(index), Ordering::Relaxed);
        }
    }

    /// Writes to one word what [`scribble`](Self::scribble) does.
    pub fn scribble_word(&self, index: usize) {
        self.set_word(index, scribbled(index));
    }

    /// Returns the first word that [`scribble`](Self::scribble) did not write.
    pub fn changed(&self) -> Option<usize> {
        self.changed_from(0)
    }

    /// Returns the first one from word `first` on.
    pub fn changed_from(&self, first: usize) -> Option<usize> {
        (first..WORDS).find(|&index| self.word(index) != scribbled(index))
    }

    /// Returns whether all words are zero.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Returns one word.
    pub fn word(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }

    /// Sets one word.
    pub fn set_word(&self, index: usize, value: u64) {
        self.0[index].store(value, Ordering::Relaxed);
    }

    /// Returns all words.
    pub fn words(&self) -> [u64; WORDS] {
        core::array::from_fn(|index| self.word(index))
    }
}

const fn scribbled(index: usize) -> u64 {
    0x5CB1_B1E0_0000_0000 | (index as u64) << 16 | !(index as u64) & 0xFFFF
}

/// A granule as a page that the host driver shares with the RMM.
pub struct SharedPage(pub &'static Granule);

impl Page for SharedPage {
    fn address(&self) -> u64 {
        self.0.address()
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn word(&self, index: usize) -> u64 {
        self.0.word(index)
    }

    fn set_word(&mut self, index: usize, value: u64) {
        self.0.set_word(index, value);
    }
}
