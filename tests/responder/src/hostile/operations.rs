// SPDX-License-Identifier: MIT OR Apache-2.0

//! A hostile host begins operations, and goes on with them or with what is none.

use psmmu::State;
use psmmu_abi::PsmmuParamsFlags;

use super::reference::{Operation, Owner, Purpose, Wants, granules};
use super::{Host, PAGES, POOL, PSMMUS};
use crate::raw::{self, entry, fid, granules_of, range, x0};
use crate::{DEVICE_GRANULES, DEVICE_MEMORY, PSMMU, PSMMU_STEP, Pas};

/// Returns the number of blocks of an entry.
const fn range_count(entry: u64) -> u64 {
    entry >> 2 & 0x3FF
}

impl Host {
    pub(super) fn stream(&mut self) -> u64 {
        match self.numbers.below(2) {
            0 if self.errs() => self.numbers.next(),
            1 if self.errs() => self.numbers.below(512),
            _ => 64 * self.numbers.below(4),
        }
    }

    pub(super) fn begin(&mut self) {
        let psmmu = self.numbers.below(PSMMUS) as usize;
        let psmmu_ptr = match self.errs() && self.numbers.once_in(4) {
            true => self.numbers.next(),
            false => PSMMU + psmmu as u64 * PSMMU_STEP,
        };
        let is_active = self.machine.psmmu_of(psmmu).state() == State::Active && !self.errs();
        let function = match self.numbers.below(10) {
            0..7 if !is_active => fid::PSMMU_ACTIVATE,
            0..5 => fid::ST_L2_CREATE,
            5..8 => fid::ST_L2_DESTROY,
            _ => fid::PSMMU_DEACTIVATE,
        };
        let x2 = match function {
            fid::PSMMU_ACTIVATE => self.params(),
            fid::PSMMU_DEACTIVATE => self.numbers.next(),
            _ => self.stream(),
        };
        self.begin_with(function, psmmu_ptr, psmmu, x2);
    }

    pub(super) fn params(&mut self) -> u64 {
        let page = self.one_of(&PAGES).expect("some");
        if self.machine.host.pas(page) == Pas::NonSecure {
            let flags = match self.numbers.below(4) {
                0 if self.errs() => self.numbers.next(),
                1 => PsmmuParamsFlags::PRI.bits(),
                _ => 0,
            };
            let junk = [self.numbers.next(), self.numbers.next()];
            self.machine.host.set_word(page, 0, flags);
            self.machine.host.set_word(page, 1, junk[0]);
            self.machine.host.set_word(page, 2, junk[1]);
        }
        if self.numbers.once_in(20) { page + 4 } else { page }
    }

    pub(super) fn begin_with(
        &mut self,
        function: u64,
        psmmu_ptr: u64,
        psmmu: usize,
        x2: u64,
    ) -> u64 {
        let [x0, handle, request, x3] = self.call(function, &[psmmu_ptr, x2]);
        assert_eq!(x3, 0);
        if x0 & 0xFF != x0::CONTINUE {
            assert_eq!((handle, request), (0, 0));
            let known = [x0::INPUT, x0::DEVICE, x0::BLOCKED, x0::TABLE];
            assert!(known.contains(&x0), "X0 {x0:#x} of {function:#x}");
            let is_full = self.reference.operations.len() == 8;
            let is_table = matches!(function, fid::ST_L2_CREATE | fid::ST_L2_DESTROY);
            assert!(x0 != x0::BLOCKED || is_full || is_table);
            return x0;
        }
        let wants = Wants::of(x0, request);
        let open = |purpose, ranges| Operation { psmmu, purpose, wants, ranges };
        let reference = &mut self.reference;
        match function {
            fid::PSMMU_ACTIVATE => {
                assert!(matches!(wants, Wants::Donation(_)));
                reference.open(handle, open(Purpose::Activate, vec![]), Owner::Idle);
            }
            fid::ST_L2_CREATE => {
                assert_eq!(wants, Wants::Donation(raw::ONE_GRANULE));
                assert!(!reference.tables.contains_key(&(psmmu, x2 as u32)));
                reference.open(handle, open(Purpose::Create(x2 as u32), vec![]), Owner::Idle);
            }
            fid::ST_L2_DESTROY => {
                let stream = x2 as u32;
                let granule = reference.tables.remove(&(psmmu, stream)).expect("there is one");
                let in_use = reference
                    .configured
                    .iter()
                    .any(|&(of, configured)| (of, configured & !63) == (psmmu, stream));
                assert!(!in_use, "a stream is configured");
                let operation = open(Purpose::Give(x0::SUCCESS), vec![(granule, 1)]);
                assert_eq!(wants, Wants::Reclaim);
                reference.open(handle, operation, Owner::Table(psmmu, stream));
            }
            _ => {
                assert!(!reference.tables.keys().any(|&(of, _)| of == psmmu), "it has tables");
                let ranges = reference.running.remove(&psmmu).unwrap_or_default();
                let expected = if ranges.is_empty() { Wants::Nothing } else { Wants::Reclaim };
                assert_eq!(wants, expected);
                reference.open(
                    handle,
                    open(Purpose::Give(x0::SUCCESS), ranges),
                    Owner::Psmmu(psmmu),
                );
            }
        }
        x0
    }

    /// A handle: of an open operation, as a rule.
    pub(super) fn handle(&mut self) -> u64 {
        let open: Vec<_> = self.reference.operations.keys().copied().collect();
        match self.numbers.below(3) {
            0 if self.errs() => self.numbers.next(),
            1 if self.errs() => self.one_of(&self.stale.clone()).unwrap_or(0x100),
            2 if self.errs() => self.numbers.below(16) << 8,
            _ => self.one_of(&open).unwrap_or(0),
        }
    }

    /// Finds idle granules for a request, in one piece that is aligned to its size; delegates what is
    /// the host's.
    pub(super) fn idle(&mut self, count: u64) -> Option<u64> {
        let first = self.numbers.below(POOL.1);
        let mut places = (0..POOL.1).map(|place| POOL.0 + (first + place) % POOL.1 * 0x1000);
        let end = POOL.0 + POOL.1 * 0x1000;
        let owners = &self.reference.owners;
        let address = places.find(|&address| {
            address.is_multiple_of(count * 0x1000)
                && address + count * 0x1000 <= end
                && granules((address, count))
                    .all(|granule| matches!(owners.get(&granule), None | Some(Owner::Idle)))
        })?;
        for granule in granules((address, count)) {
            if !self.reference.owners.contains_key(&granule) {
                self.move_range(fid::RANGE_DELEGATE, (granule, granule + 0x1000));
            }
        }
        Some(address)
    }

    pub(super) fn donate(&mut self) {
        let handle = self.handle();
        let request = match self.reference.operations.get(&handle) {
            Some(Operation { wants: Wants::Donation(request), .. }) => granules_of(*request),
            _ => 1 << self.numbers.below(3),
        };
        let is_right = !self.errs();
        let mut entries = match self.numbers.below(6) {
            _ if is_right => match self.idle(request) {
                Some(address) => vec![entry(address, request)],
                None => return,
            },
            0 => vec![],
            1 => vec![0; 30],
            2 => vec![self.numbers.next()],
            3 => {
                let address = self.granule();
                vec![entry(address & 0x000F_FFFF_FFFF_F000, request); 2]
            }
            _ => vec![entry(self.granule() & 0x000F_FFFF_FFFF_F000, 1 + self.numbers.below(5))],
        };
        if self.numbers.once_in(8) {
            // One of no blocks.
            entries.insert(0, self.numbers.next() & !0xFFC);
        }
        self.donate_entries(handle, &entries, is_right);
    }

    /// Donates `entries`, which are right if `is_right` and nothing else goes wrong.
    pub(super) fn donate_entries(&mut self, handle: u64, entries: &[u64], mut is_right: bool) {
        let page = self.one_of(&PAGES).expect("some");
        let offset = if self.numbers.once_in(4) { 512 - entries.len() as u64 } else { 10 };
        if self.machine.host.pas(page) == Pas::NonSecure {
            for (index, entry) in entries.iter().enumerate() {
                self.machine.host.set_word(page, offset as usize + index, *entry);
            }
        } else {
            is_right = false;
        }
        let mut list = page + 8 * offset;
        if offset == 512 {
            is_right = false;
        }
        if self.errs() && self.numbers.once_in(4) {
            (list, is_right) = (list + 4, false);
        }
        if self.errs() && self.numbers.once_in(4) {
            self.machine.host.fault_after(Some(self.numbers.below(2) as u32));
            is_right = false;
        }
        let count = entries.len() as u64;
        let [x0, taken, x2, x3] = self.call(fid::OP_MEM_DONATE, &[handle, list, count]);
        self.machine.host.fault_after(None);
        assert_eq!(x3, 0);
        let Some(operation) = self.reference.operations.get_mut(&handle) else {
            return assert_eq!((x0, taken, x2), (x0::INPUT, 0, 0));
        };
        let Wants::Donation(request) = operation.wants else {
            return assert_eq!((x0, taken, x2), (x0::INPUT, 0, 0));
        };
        if matches!(x0, x0::INPUT | x0::RECLAIM) {
            assert!(!is_right, "a valid donation is refused");
            assert_eq!((taken, x2), (0, 0));
            operation.fail();
            // It gives back what it has; with nothing it is over.
            let is_over = operation.wants == Wants::Nothing;
            assert_eq!(x0 == x0::INPUT, is_over);
            if is_over {
                self.reference.end(handle, x0);
                self.stale.push(handle);
            }
            return;
        }
        operation.wants = Wants::of(x0, x2);
        if taken == 0 {
            assert!(!is_right && operation.wants == Wants::Donation(request));
            return;
        }
        let full = entries.iter().find(|&&entry| range_count(entry) != 0).expect("an entry");
        let given = range(*full);
        assert_eq!((taken, given.1), (granules_of(request), taken));
        let end_of_devices = DEVICE_MEMORY + DEVICE_GRANULES * 0x1000;
        let is_device = given.0 < end_of_devices && DEVICE_MEMORY < given.0 + given.1 * 0x1000;
        assert!(!is_device, "{given:x?} is memory of a device");
        operation.ranges.push(given);
        self.reference.transfer(given, Owner::Idle, Owner::Operation(handle));
    }

    pub(super) fn reclaim(&mut self) {
        let handle = self.handle();
        let page = self.one_of(&PAGES).expect("some");
        let room = [0, 1, 1, 2, 3, 512, u64::MAX][self.numbers.below(7) as usize];
        let offset = [0, 10, 510, 511][self.numbers.below(4) as usize];
        let misaligned = if self.numbers.once_in(30) { 4 } else { 0 };
        if self.numbers.once_in(20) {
            self.machine.host.fault_after(Some(0));
        }
        let list = page + 8 * offset as u64 + misaligned;
        let [x0, written, x2, x3] = self.call(fid::OP_MEM_RECLAIM, &[handle, list, room]);
        self.machine.host.fault_after(None);
        assert_eq!((x2, x3), (0, 0));
        let Some(operation) = self.reference.operations.get_mut(&handle) else {
            return assert_eq!((x0, written), (x0::INPUT, 0));
        };
        if x0 == x0::INPUT {
            return assert_eq!(written, 0);
        }
        assert_eq!(operation.wants, Wants::Reclaim);
        operation.wants = Wants::of(x0, 0);
        let count = written as usize;
        assert!(written <= room && offset + count <= 512, "{written} entries at {offset}");
        let given: Vec<_> = operation.ranges.drain(..count).collect();
        assert_eq!(operation.wants == Wants::Nothing, operation.ranges.is_empty());
        for (index, given) in given.into_iter().enumerate() {
            assert_eq!(range(self.machine.host.word(page, offset + index)), given);
            self.reference.transfer(given, Owner::Operation(handle), Owner::Idle);
        }
    }

    pub(super) fn proceed(&mut self) {
        let handle = self.handle();
        let flags = match self.numbers.below(6) {
            0 => 1,
            // Junk that is no handle: those end with eight zeros.
            1 => self.numbers.next() | 1,
            _ => 0,
        };
        let is_swapped = self.numbers.once_in(3);
        let arguments = if is_swapped { [0, handle] } else { [handle, flags] };
        self.proceed_with(arguments);
    }

    pub(super) fn proceed_with(&mut self, [x1, x2]: [u64; 2]) -> u64 {
        let handle = raw::continued(x1, x2);
        let [x0, out, request, x3] = self.call(fid::OP_CONTINUE, &[x1, x2]);
        assert_eq!(x3, 0);
        let Some(operation) = self.reference.operations.get_mut(&handle) else {
            assert_eq!((x0, out, request), (x0::INPUT, 0, 0));
            return x0;
        };
        // STOP, which no handle in its place can be.
        if x2 & 1 != 0 && matches!(operation.wants, Wants::Donation(_)) {
            operation.fail();
        }
        if x0 & 0xFF != x0::CONTINUE {
            assert_eq!((out, request), (0, 0));
            self.reference.end(handle, x0);
            self.stale.push(handle);
            return x0;
        }
        assert_eq!(out, handle);
        let wants = Wants::of(x0, request);
        let was_wiped = matches!(wants, Wants::Donation(_)) && operation.wants == Wants::Nothing;
        if was_wiped {
            // What it had was large, and is zeroed now.
            assert_eq!(operation.purpose, Purpose::Activate);
            operation.wants = wants;
        } else if wants != operation.wants {
            // It had all it needed, and the device would not have it.
            assert_eq!((operation.wants, wants), (Wants::Nothing, Wants::Reclaim));
            assert!(!matches!(operation.purpose, Purpose::Give(_)));
            operation.purpose = Purpose::Give(x0::DEVICE);
            operation.wants = wants;
        }
        x0
    }

    pub(super) fn cancel(&mut self) {
        let handle = self.handle();
        self.cancel_one(handle);
    }

    /// Cancels what asks for memory; nothing else can be.
    pub(super) fn cancel_one(&mut self, handle: u64) {
        let [x0, outputs @ ..] = self.call(fid::OP_CANCEL, &[handle]);
        assert_eq!(outputs, [0; 3]);
        let expected = match self.reference.operations.get_mut(&handle) {
            Some(operation) if matches!(operation.wants, Wants::Donation(_)) => {
                operation.fail();
                if operation.ranges.is_empty() { x0::CONTINUE } else { x0::RECLAIM }
            }
            _ => x0::INPUT,
        };
        assert_eq!(x0, expected, "OP_CANCEL of {handle:#x}");
    }

    /// Takes the RMM out of service, which it refuses while anything is going on, and back into it.
    pub(super) fn deactivate_rmm(&mut self) {
        let machine = &self.machine;
        let inactive = |psmmu: u64| machine.psmmu_of(psmmu as usize).state() == State::Inactive;
        let is_idle = self.reference.owners.is_empty()
            && self.reference.operations.is_empty()
            && (0..PSMMUS).all(inactive);
        let expected = if is_idle { x0::SUCCESS } else { x0::GLOBAL };
        assert_eq!(self.call(fid::RMM_DEACTIVATE, &[]), [expected, 0, 0, 0]);
        if !is_idle {
            return;
        }
        let psmmu_ptr = PSMMU;
        for (function, x1, x2) in [
            (fid::RANGE_DELEGATE, POOL.0, POOL.0 + 0x1000),
            (fid::PSMMU_INFO, psmmu_ptr, PAGES[0]),
            (fid::PSMMU_ACTIVATE, psmmu_ptr, PAGES[0]),
            (fid::OP_CANCEL, 0, 0),
            (fid::RMM_DEACTIVATE, 0, 0),
        ] {
            assert_eq!(self.call(function, &[x1, x2]), [x0::GLOBAL, 0, 0, 0], "{function:#x}");
        }
        self.machine.host.fill(PAGES[1], 0);
        assert_eq!(self.call(fid::CONFIG_SET, &[PAGES[1]]), [x0::SUCCESS, 0, 0, 0]);
        assert_eq!(self.call(fid::RMM_ACTIVATE, &[]), [x0::SUCCESS, 0, 0, 0]);
    }

    /// Asks whose the granule protection tables of a range are.
    pub(super) fn query_tables(&mut self) {
        let (base, top) = self.range();
        let is_range = base.is_multiple_of(0x1000) && base < top && top <= 1 << 48;
        let expected = if is_range { [x0::SUCCESS, top, 1, 0] } else { [x0::INPUT, 0, 0, 0] };
        assert_eq!(self.call(fid::GPT_INFO, &[base, top]), expected, "{base:#x} to {top:#x}");
    }
}
