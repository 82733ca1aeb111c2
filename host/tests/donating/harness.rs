// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host's memory, and the state of each granule by the RMM's answers.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use psmmu_abi::{AddressRange, Function, MemState, ResultWord, Status};
use psmmu_host::{Conduit, Memory, Page};

use crate::rmm::Rmm;
use crate::tamper::Tamper;

/// PA of the first granule that can be donated.
pub const ARENA: u64 = 0x8000_0000;
/// PA of the page for lists.
pub const LIST: u64 = 0x7000_0000;
/// PA of the page for parameters.
pub const PARAMETERS: u64 = 0x7000_1000;
/// Bytes in a granule.
pub const GRANULE: u64 = 0x1000;

/// Where the allocator has a granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Free,
    Driver,
    Leaked,
}

/// State of a granule that follows from the RMM's answers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Host,
    Delegated,
    Taken,
    Doubt,
}

/// A granule that can be donated.
#[derive(Clone, Copy, Debug)]
pub struct Granule {
    pub place: Place,
    pub word: Word,
}

/// All of it.
pub struct Harness {
    pub granules: Vec<Granule>,
    pub list: [u64; 512],
    pub parameters: [u64; 512],
    pub rmm: Rmm,
    pub tamper: Tamper,
    pub calls: u64,
    /// Functions in the order of the calls.
    pub log: Vec<Function>,
    /// Allocations that still succeed.
    pub allocations: u32,
    /// What the RMM made a stateful operation of, if that was a change of granules.
    changing: Option<(Function, u64, u64)>,
}

/// A handle on the harness: conduit, memory and pages at once.
#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<Harness>>);

/// A page of it.
pub struct HostPage(pub Shared, u64);

impl Shared {
    pub fn new(granules: usize, rmm: Rmm, tamper: Tamper) -> Self {
        Self(Rc::new(RefCell::new(Harness {
            granules: vec![Granule { place: Place::Free, word: Word::Host }; granules],
            list: [0; 512],
            parameters: [0; 512],
            rmm,
            tamper,
            calls: 0,
            log: Vec::new(),
            allocations: u32::MAX,
            changing: None,
        })))
    }

    pub fn page(&self, address: u64) -> HostPage {
        HostPage(self.clone(), address)
    }

    /// Returns how many granules are free, allocated to the driver, and leaked.
    pub fn places(&self) -> (u64, u64, u64) {
        let harness = self.0.borrow();
        let count = |place| harness.granules.iter().filter(|g| g.place == place).count() as u64;
        (count(Place::Free), count(Place::Driver), count(Place::Leaked))
    }

    /// Checks that no memory is leaked: the driver's granules are those that it counts as donated, and
    /// the RMM has released none of them.
    pub fn check(&self, held: u64, lost: u64) {
        let (_, driver, gone) = self.places();
        assert_eq!((driver, gone), (held, lost), "granules with the driver, and lost");
        let harness = self.0.borrow();
        for (index, granule) in harness.granules.iter().enumerate() {
            match granule.place {
                Place::Free => assert_eq!(granule.word, Word::Host, "granule {index} is free"),
                Place::Driver => assert_ne!(granule.word, Word::Host, "granule {index} leaked"),
                Place::Leaked => {}
            }
        }
    }
}

/// Returns the index of the granule at `address`, if it is one that can be donated.
fn index(address: u64, granules: usize) -> Option<usize> {
    let index = address.checked_sub(ARENA)? / GRANULE;
    (index < granules as u64).then_some(index as usize)
}

impl Harness {
    fn each(&mut self, base: u64, top: u64, mut change: impl FnMut(&mut Granule)) {
        let count = self.granules.len();
        for address in (base..top).step_by(GRANULE as usize) {
            if let Some(index) = index(address, count) {
                change(&mut self.granules[index]);
            }
        }
    }

    fn say(&mut self, base: u64, top: u64, word: Word) {
        self.each(base, top, |granule| granule.word = word);
    }

    /// Records the effect of the answer to a change of granules.
    fn changed(&mut self, function: Function, base: u64, top: u64, answer: &[u64; 8]) {
        let done =
            if function == Function::GranuleRangeDelegate { Word::Delegated } else { Word::Host };
        let [x0, end, ..] = *answer;
        let sane = end > base && end <= top && end % GRANULE == 0;
        match ResultWord::from_x0(x0).status() {
            _ if x0 == u64::MAX => {}
            Ok(Status::Success) if x0 == 0 && sane => self.say(base, end, done),
            Ok(Status::Success | Status::Incomplete) | Err(_) => self.say(base, top, Word::Doubt),
            Ok(_) => {}
        }
    }

    /// Checks the driver's donation, and records the effect of the answer.
    fn donated(&mut self, entries: u64, answer: &[u64; 8]) {
        let mut offered = Vec::new();
        for &word in &self.list[..entries as usize] {
            let entry = AddressRange::from_word(word);
            assert_eq!(entry.state(), Ok(MemState::Delegated));
            let first = entry.address();
            offered.extend((0..entry.total_granules()).map(|n| first + n * GRANULE));
        }
        let [x0, count, ..] = *answer;
        let status = ResultWord::from_x0(x0).status();
        let doubt = status.is_err() || count > offered.len() as u64 || x0 & 0xFF == 0 && x0 != 0;
        for (n, &address) in offered.iter().enumerate() {
            let index = index(address, self.granules.len()).expect("memory of the allocator");
            let granule = &mut self.granules[index];
            assert_eq!(granule.place, Place::Driver);
            if self.tamper.is_off() {
                assert_eq!(granule.word, Word::Delegated, "granule {index} is donated");
            }
            if doubt {
                granule.word = Word::Doubt;
            } else if (n as u64) < count {
                granule.word = Word::Taken;
            }
        }
    }

    /// Records the effect of the valid entries of a list of the RMM.
    fn reclaimed(&mut self, answer: &[u64; 8]) {
        let [x0, count, ..] = *answer;
        let good = x0 == 0 || ResultWord::from_x0(x0).status() == Ok(Status::Incomplete);
        if !good || count > 512 {
            return;
        }
        // A granule that is listed twice counts once.
        let mut named = HashSet::new();
        for word in self.list.into_iter().take(count as usize) {
            let entry = AddressRange::from_word(word);
            let (base, blocks) = (entry.address(), entry.total_granules());
            let aligned = (base / GRANULE).is_multiple_of(entry.block_size().granules());
            let Some(end) = blocks.checked_mul(GRANULE).and_then(|size| base.checked_add(size))
            else {
                continue;
            };
            let Ok(state) = entry.state() else { continue };
            if !aligned || end > 1 << 52 {
                continue;
            }
            let word = if state == MemState::Undelegated { Word::Host } else { Word::Delegated };
            let last = ARENA + self.granules.len() as u64 * GRANULE;
            for address in (base.max(ARENA)..end.min(last)).step_by(GRANULE as usize) {
                if named.insert(address) {
                    self.each(address, address + GRANULE, |granule| {
                        if granule.place == Place::Driver {
                            granule.word = word;
                        }
                    });
                }
            }
        }
    }
}

impl Conduit for Shared {
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        let harness = &mut *self.0.borrow_mut();
        harness.calls += 1;
        let function = Function::try_from(x[0]).expect("a function of the ABI");
        harness.log.push(function);
        let answer = harness.rmm.handle(function, x, &mut harness.list, &mut harness.parameters);
        let answer = harness.tamper.change(function, x, answer, &mut harness.list);
        match function {
            Function::GranuleRangeDelegate | Function::GranuleRangeUndelegate => {
                let [_, base, top, ..] = x;
                assert!(base % GRANULE == 0 && top % GRANULE == 0 && base < top);
                harness.changed(function, base, top, &answer);
                let incomplete = ResultWord::from_x0(answer[0]).status() == Ok(Status::Incomplete);
                harness.changing = incomplete.then_some((function, base, top));
            }
            Function::OpMemDonate => harness.donated(x[3], &answer),
            Function::OpMemReclaim => harness.reclaimed(&answer),
            Function::OpContinue => {
                if let Some((function, base, top)) = harness.changing {
                    let over = answer[0] == 0;
                    if over {
                        harness.changed(function, base, top, &answer);
                        harness.changing = None;
                    }
                }
            }
            _ => {}
        }
        answer
    }
}

impl Memory for Shared {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        let harness = &mut *self.0.borrow_mut();
        harness.allocations = harness.allocations.checked_sub(1)?;
        let (count, align) = (granules as usize, granules.next_power_of_two() as usize);
        let all = &mut harness.granules;
        let free = |first: &usize| {
            let last = first.checked_add(count).filter(|&last| last <= all.len());
            last.is_some_and(|last| all[*first..last].iter().all(|g| g.place == Place::Free))
        };
        let first = (0..all.len()).step_by(align).find(free)?;
        for granule in &mut all[first..first + count] {
            granule.place = Place::Driver;
        }
        Some(ARENA + first as u64 * GRANULE)
    }

    fn free(&mut self, address: u64, granules: u64) {
        let harness = &mut *self.0.borrow_mut();
        for n in 0..granules {
            let index = index(address + n * GRANULE, harness.granules.len()).expect("its own");
            let granule = &mut harness.granules[index];
            assert_eq!(granule.place, Place::Driver, "granule {index} is freed");
            assert_eq!(granule.word, Word::Host, "granule {index} is freed");
            granule.place = Place::Free;
        }
    }

    fn leak(&mut self, address: u64, granules: u64) {
        let harness = &mut *self.0.borrow_mut();
        for n in 0..granules {
            let index = index(address + n * GRANULE, harness.granules.len()).expect("its own");
            let granule = &mut harness.granules[index];
            assert_eq!(granule.place, Place::Driver, "granule {index} is lost");
            granule.place = Place::Leaked;
        }
    }
}

impl HostPage {
    fn with<T>(&self, f: impl FnOnce(&mut [u64; 512]) -> T) -> T {
        let harness = &mut *self.0.0.borrow_mut();
        f(if self.1 == LIST { &mut harness.list } else { &mut harness.parameters })
    }
}

impl Page for HostPage {
    fn address(&self) -> u64 {
        self.1
    }

    fn clear(&mut self) {
        self.with(|words| words.fill(0));
    }

    fn word(&self, index: usize) -> u64 {
        self.with(|words| words[index])
    }

    fn set_word(&mut self, index: usize, value: u64) {
        self.with(|words| words[index] = value);
    }
}
