// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes an RMM's answers at random, repeatably.

use psmmu_abi::{AddressRange, DonateRequest, Function, MemoryTransfer, ResultWord};

use crate::harness::{ARENA, GRANULE};

/// SplitMix64.
#[derive(Clone, Debug, Default)]
pub struct Random(pub u64);

impl Random {
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// Returns a number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Changes answers.
#[derive(Clone, Debug, Default)]
pub struct Tamper {
    pub random: Random,
    /// Answers of a thousand that are changed.
    pub often: u64,
    /// The next answer of a function gets this in one register.
    pub once: Vec<(Function, usize, u64)>,
}

impl Tamper {
    pub fn is_off(&self) -> bool {
        self.often == 0 && self.once.is_empty()
    }

    /// Returns the changed `answer`.
    pub fn change(
        &mut self,
        function: Function,
        x: [u64; 8],
        mut answer: [u64; 8],
        list: &mut [u64; 512],
    ) -> [u64; 8] {
        for (register, value) in answer.iter_mut().enumerate() {
            let next = |&(wanted, at, _): &_| (wanted, at) == (function, register);
            if let Some(found) = self.once.iter().position(next) {
                *value = self.once.remove(found).2;
            }
        }
        let random = &mut self.random;
        if self.often == 0 || random.below(1000) >= self.often {
            return answer;
        }
        let what = random.below(8);
        if what < 5 {
            answer[0] = result(random);
        }
        if what > 3 {
            answer[1] = first(random, answer[1], x);
        }
        if what == 7 {
            answer[2] = request(random);
        }
        if function == Function::OpMemReclaim && random.below(2) == 0 {
            if random.below(2) == 0 {
                answer[1] = random.below(6);
            }
            for word in list.iter_mut().take(6) {
                if random.below(2) == 0 {
                    *word = entry(random);
                }
            }
            list[5] = list[0];
        }
        answer
    }
}

/// Any status with any data, or none.
fn result(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => u64::MAX,
        1 => random.next(),
        2 => random.below(0x20) | random.below(0x10) << 8,
        3 => random.below(17),
        4 => 0,
        _ => {
            let transfer = random.one_of(&[
                MemoryTransfer::None,
                MemoryTransfer::Donate,
                MemoryTransfer::Donate,
                MemoryTransfer::Reclaim,
            ]);
            ResultWord::incomplete(transfer, random.below(2) == 0).x0()
        }
    }
}

/// A count, a handle or the end of a range.
fn first(random: &mut Random, old: u64, x: [u64; 8]) -> u64 {
    match random.below(7) {
        0 => 0,
        1 => old.wrapping_add(1),
        2 => old.wrapping_sub(1),
        3 => x[2],
        4 => x[1].wrapping_add(random.below(4) * GRANULE),
        5 => u64::MAX,
        _ => random.below(600),
    }
}

/// A request for memory.
fn request(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.next(),
        1 => DonateRequest::granules(random.below(1024) as u16, random.below(2) == 0).x2(),
        _ => DonateRequest::granules(random.below(9) as u16, random.below(2) == 0).x2(),
    }
}

/// An entry of a list.
fn entry(random: &mut Random) -> u64 {
    let address = ARENA + random.below(70) * GRANULE;
    match random.below(8) {
        0 => random.next(),
        1 => 0,
        2 => AddressRange::granules(address, 1023).word(),
        3 => AddressRange::granules(address, random.below(9) as u16).word() | 1 << 63,
        4 => AddressRange::granules(ARENA & !0x1F_FFFF, 1023).word() | random.below(4),
        _ => AddressRange::granules(address, random.below(9) as u16).word(),
    }
}
