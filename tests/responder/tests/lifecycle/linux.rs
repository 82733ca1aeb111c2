// SPDX-License-Identifier: MIT OR Apache-2.0

//! A host that leads stateful operations the way Linux does: by the specification's registers, one
//! naturally aligned piece for each request, one page for lists, BUSY and BLOCKED tried again.

use responder_tests::raw::{self, fid, x0};
use responder_tests::{Machine, Ram};

/// The page of its lists.
const LIST: u64 = 0x8000_4000;

/// An operation under way.
pub struct Operation<'a> {
    machine: &'a Machine,
    command: [u64; 3],
    handle: u64,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    Begin,
    Donate(u64),
    Reclaim,
    Continue,
}

impl<'a> Operation<'a> {
    pub fn new(machine: &'a Machine, command: [u64; 3]) -> Self {
        Self { machine, command, handle: 0, next: Next::Begin }
    }

    /// Makes the next call, and those that move memory for it. Returns X0 when the operation is over.
    pub fn step(&mut self) -> Option<u64> {
        let machine = self.machine;
        let call = |function, [x1, x2, x3]: [u64; 3]| {
            let [x0, x1, x2, ..] = machine.call([function, x1, x2, x3, 0, 0, 0, 0]);
            [x0, x1, x2]
        };
        let answer = match self.next {
            Next::Begin => {
                let [function, x1, x2] = self.command;
                let answer = call(function, [x1, x2, 0]);
                if matches!(answer[0], x0::BUSY | x0::BLOCKED) {
                    return None;
                }
                self.handle = answer[1];
                answer
            }
            Next::Donate(request) => {
                let granules = raw::granules_of(request);
                let address = machine.heap.take(granules);
                let mut base = address;
                while base < address + granules * 0x1000 {
                    let top = address + granules * 0x1000;
                    let [x0, end, _] = call(fid::RANGE_DELEGATE, [base, top, 0]);
                    assert!(x0 == 0 && end > base, "X0 {x0:#x}, {base:#x} to {end:#x}");
                    base = end;
                }
                machine.host.set_word(LIST, 0, raw::entry(address, granules));
                call(fid::OP_MEM_DONATE, [self.handle, LIST, 1])
            }
            Next::Reclaim => {
                let answer = call(fid::OP_MEM_RECLAIM, [self.handle, LIST, 512]);
                assert_eq!(answer[0] & 0xFF, x0::CONTINUE, "it must always answer INCOMPLETE");
                for index in 0..answer[1] as usize {
                    self.take(machine.host.word(LIST, index));
                }
                answer
            }
            Next::Continue => {
                let answer = call(fid::OP_CONTINUE, [self.handle, 0, 0]);
                if answer[0] == x0::BUSY {
                    return None;
                }
                answer
            }
        };
        let [x0, _, request] = answer;
        match (x0 & 0xFF, x0 >> 8 & 3) {
            (x0::CONTINUE, 1) => self.next = Next::Donate(request),
            (x0::CONTINUE, 2) => self.next = Next::Reclaim,
            (x0::CONTINUE, _) => self.next = Next::Continue,
            _ => return Some(x0),
        }
        None
    }

    fn take(&self, entry: u64) {
        let (address, granules) = raw::range(entry);
        let (mut base, top) = (address, address + granules * 0x1000);
        while base < top {
            let x = [fid::RANGE_UNDELEGATE, base, top, 0, 0, 0, 0, 0];
            let [x0, end, ..] = self.machine.call(x);
            assert!(x0 == 0 && end > base, "X0 {x0:#x}, {base:#x} to {end:#x}");
            base = end;
        }
        for granule in Ram::granules(address, granules * 0x1000) {
            self.machine.heap.put(granule);
        }
    }
}
