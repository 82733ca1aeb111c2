// SPDX-License-Identifier: MIT OR Apache-2.0

//! A host that leads stateful operations the way TF-A-Tests does: junk in each register that a command
//! does not name, `OP_CONTINUE` with its arguments swapped and its X1 taken for the next handle, lists
//! that begin ten entries into a page, granules moved one by one.

use responder_tests::raw::{self, fid, x0};
use responder_tests::walk::Numbers;
use responder_tests::{Machine, Ram};

/// The page of its lists, and where in it they begin.
const LIST: u64 = 0x8000_5000;
const SKIPPED: usize = 10;

/// The client, for as long as a boot lasts.
pub struct Client<'a> {
    machine: &'a Machine,
    numbers: Numbers,
    /// Pages that were allocated and not freed.
    pub pages: i64,
}

/// An operation under way.
pub struct Operation {
    x0: u64,
    handle: u64,
    request: u64,
}

impl<'a> Client<'a> {
    pub const fn new(machine: &'a Machine, seed: u64) -> Self {
        Self { machine, numbers: Numbers::new(seed), pages: 0 }
    }

    /// Makes a call with the arguments that the command names, and returns X0 to X2.
    fn call(&mut self, function: u64, arguments: &[u64]) -> [u64; 3] {
        let mut x = [function; 8].map(|_| self.numbers.next());
        x[0] = function;
        x[1..=arguments.len()].copy_from_slice(arguments);
        let answer = self.machine.call(x);
        assert_eq!(answer[4..], x[4..], "X4 to X7 behind {function:#x}");
        [answer[0], answer[1], answer[2]]
    }

    /// Begins an operation: "incomplete" is the only beginning that it knows.
    pub fn begin(&mut self, function: u64, arguments: &[u64]) -> Result<Operation, u64> {
        let [x0, handle, request] = self.call(function, arguments);
        if x0 & 0xFF == x0::CONTINUE { Ok(Operation { x0, handle, request }) } else { Err(x0) }
    }

    /// Does what the last answer wants. Returns X0 when the operation is over.
    pub fn step(&mut self, operation: &mut Operation) -> Option<u64> {
        match (operation.x0 & 0xFF, operation.x0 >> 8 & 3) {
            (x0::CONTINUE, 1) => self.donate(operation),
            (x0::CONTINUE, 2) => self.reclaim(operation),
            (x0::CONTINUE | x0::BUSY, _) => {
                let [x0, x1, x2] = self.call(fid::OP_CONTINUE, &[0, operation.handle]);
                *operation = Operation { x0, handle: x1, request: x2 };
            }
            _ => return Some(operation.x0),
        }
        None
    }

    fn donate(&mut self, operation: &mut Operation) {
        let granules = raw::granules_of(operation.request);
        let address = self.machine.heap.take(granules);
        for granule in Ram::granules(address, granules * 0x1000) {
            let [x0, ..] = self.call(fid::RANGE_DELEGATE, &[granule, granule + 0x1000]);
            assert_eq!(x0, 0);
            self.pages += 1;
        }
        self.machine.host.fill(LIST, !0);
        self.machine.host.set_word(LIST, SKIPPED, raw::entry(address, granules));
        let list = LIST + 8 * SKIPPED as u64;
        let [x0, count, x2] = self.call(fid::OP_MEM_DONATE, &[operation.handle, list, 1]);
        assert_eq!(count, granules, "donated_count");
        (operation.x0, operation.request) = (x0, x2);
    }

    fn reclaim(&mut self, operation: &mut Operation) {
        self.machine.host.fill(LIST, !0);
        let [x0, count, x2] = self.call(fid::OP_MEM_RECLAIM, &[operation.handle, LIST, 512]);
        for index in 0..count as usize {
            let (address, granules) = raw::range(self.machine.host.word(LIST, index));
            for granule in Ram::granules(address, granules * 0x1000) {
                let [x0, ..] = self.call(fid::RANGE_UNDELEGATE, &[granule, granule + 0x1000]);
                assert_eq!(x0, 0);
                self.machine.heap.put(granule);
                self.pages -= 1;
            }
        }
        // What is neither is answered by OP_CONTINUE.
        let is_open = x0 & 0xFF == x0::CONTINUE;
        (operation.x0, operation.request) = (if is_open { x0 } else { x0::CONTINUE }, x2);
    }

    /// Leads an operation from its beginning to its end.
    pub fn run(&mut self, function: u64, arguments: &[u64]) -> Result<(), u64> {
        let mut operation = self.begin(function, arguments)?;
        for _ in 0..100 {
            match self.step(&mut operation) {
                None => {}
                Some(0) => return Ok(()),
                Some(x0) => return Err(x0),
            }
        }
        panic!("it does not come to an end");
    }
}
