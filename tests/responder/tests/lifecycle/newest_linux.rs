// SPDX-License-Identifier: MIT OR Apache-2.0

//! The newest public Linux as the host, which differs from the older one of [`linux`](crate::linux) where
//! memory fails: its one way out of an operation that asks for some is `OP_CANCEL`, if the last answer
//! offers that, and it takes any answer of a donation but "incomplete" for the end.

use responder_tests::raw::{self, fid, x0};
use responder_tests::{HOST_PAGE, Machine, Options, PSMMU, Ram};

use crate::rig::{run_cycle, started_with};

/// The page of its lists.
const LIST: u64 = 0x8000_4000;
/// Calls after which a kernel would hang for good.
const FOR_EVER: u32 = 1000;
/// Bit 10 of X0.
const CAN_CANCEL: u64 = 1 << 10;
/// More than there can be operations.
const TRIES: u32 = 9;

/// What goes wrong with one allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// There is no memory.
    None,
    /// Memory that was not delegated is donated.
    Undelegated,
    /// The list is no list.
    BadList,
}

/// Why an operation is over for the kernel.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Success,
    /// It was cancelled, and ended with this.
    Cancelled(u64),
    /// A donation answered this.
    Donation(u64),
    Status(u64),
}

/// A kernel whose allocation with this number, counted from 0, goes wrong.
struct Kernel<'a> {
    machine: &'a Machine,
    fault: Option<(u32, Fault)>,
}

impl<'a> Kernel<'a> {
    const fn new(machine: &'a Machine) -> Self {
        Self { machine, fault: None }
    }

    fn call(&self, function: u64, [x1, x2, x3]: [u64; 3]) -> [u64; 3] {
        let [x0, x1, x2, ..] = self.machine.call([function, x1, x2, x3, 0, 0, 0, 0]);
        [x0, x1, x2]
    }

    /// Makes a call until the RMM has time for it.
    fn repeat(&self, function: u64, arguments: [u64; 3]) -> [u64; 3] {
        (0..FOR_EVER)
            .map(|_| self.call(function, arguments))
            .find(|answer| !matches!(answer[0], x0::BUSY | x0::BLOCKED))
            .unwrap_or_else(|| panic!("the kernel hangs in {function:#x}"))
    }

    /// Carries an operation out.
    fn execute(&mut self, [function, x1, x2]: [u64; 3]) -> End {
        let mut answer = self.repeat(function, [x1, x2, 0]);
        let handle = answer[1];
        let mut cancelled = false;
        for _ in 0..FOR_EVER {
            let [x0, _, request] = answer;
            if x0 & 0xFF != x0::CONTINUE {
                return match x0 {
                    x0::SUCCESS => End::Success,
                    _ if cancelled => End::Cancelled(x0),
                    _ => End::Status(x0),
                };
            }
            answer = match x0 >> 8 & 3 {
                1 => match self.donate(handle, raw::granules_of(request)) {
                    Some(answer) if answer[0] & 0xFF == x0::CONTINUE => answer,
                    Some(answer) => return End::Donation(answer[0]),
                    None => {
                        assert_ne!(x0 & CAN_CANCEL, 0, "the kernel never comes back");
                        cancelled = true;
                        let answer = self.call(fid::OP_CANCEL, [handle, 0, 0]);
                        assert_eq!(answer[0] & 0xFF, x0::CONTINUE, "the kernel warns");
                        answer
                    }
                },
                2 => self.reclaim(handle),
                _ => self.repeat(fid::OP_CONTINUE, [handle, 0, 0]),
            };
        }
        panic!("{function:#x} does not end");
    }

    /// Donates memory, as far as there is some.
    fn donate(&mut self, handle: u64, granules: u64) -> Option<[u64; 3]> {
        let now = self.fault.filter(|&(number, _)| number == 0).map(|(_, fault)| fault);
        self.fault = self.fault.and_then(|(number, fault)| Some((number.checked_sub(1)?, fault)));
        if now == Some(Fault::None) {
            return None;
        }
        let address = self.machine.heap.take(granules);
        if now != Some(Fault::Undelegated) {
            self.each(fid::RANGE_DELEGATE, address, granules);
        }
        self.machine.host.set_word(LIST, 0, raw::entry(address, granules));
        let list = if now == Some(Fault::BadList) { LIST + 4 } else { LIST };
        let answer = self.call(fid::OP_MEM_DONATE, [handle, list, 1]);
        assert_eq!(answer[1], if now.is_none() { granules } else { 0 }, "X1 of a donation");
        match now {
            None => {}
            Some(Fault::Undelegated) => {
                Ram::granules(address, granules * 0x1000).for_each(|granule| {
                    self.machine.host.fill(granule, 0);
                    self.machine.heap.put(granule);
                });
            }
            Some(_) => self.free(address, granules),
        }
        Some(answer)
    }

    fn reclaim(&self, handle: u64) -> [u64; 3] {
        let answer = self.call(fid::OP_MEM_RECLAIM, [handle, LIST, 512]);
        assert_eq!(answer[0] & 0xFF, x0::CONTINUE, "the kernel warns");
        for index in 0..answer[1] as usize {
            let (address, granules) = raw::range(self.machine.host.word(LIST, index));
            self.free(address, granules);
        }
        answer
    }

    fn free(&self, address: u64, granules: u64) {
        self.each(fid::RANGE_UNDELEGATE, address, granules);
        Ram::granules(address, granules * 0x1000)
            .for_each(|granule| self.machine.heap.put(granule));
    }

    fn each(&self, function: u64, address: u64, granules: u64) {
        let (mut at, top) = (address, address + granules * 0x1000);
        while at < top {
            let [x0, end, _] = self.repeat(function, [at, top, 0]);
            assert!(x0 == 0 && end > at && end <= top, "X0 {x0:#x}, {at:#x} to {end:#x}");
            at = end;
        }
    }
}

const ACTIVATE: [u64; 3] = [fid::PSMMU_ACTIVATE, PSMMU, HOST_PAGE];
const CREATE: [u64; 3] = [fid::ST_L2_CREATE, PSMMU, 0];
const DESTROY: [u64; 3] = [fid::ST_L2_DESTROY, PSMMU, 0];
const DEACTIVATE: [u64; 3] = [fid::PSMMU_DEACTIVATE, PSMMU, 0];

/// A machine whose PSMMU asks for four regions, the third in parts.
fn machine() -> Machine {
    started_with(Options { event_queue: 13, pri_queue: Some(9), ..Options::default() })
}

/// What an operation ends with when something goes wrong with a region, and it holds some before.
fn expected(fault: Fault, holds: u32) -> End {
    match (fault, holds) {
        (Fault::None, _) => End::Cancelled(x0::INPUT),
        (_, 0) => End::Donation(x0::INPUT),
        (..) => End::Status(x0::INPUT),
    }
}

#[test]
fn allocation_failure_at_each_step_leaks_and_blocks_nothing() {
    let machine = machine();
    let flags = machine.flags();
    let mut kernel = Kernel::new(&machine);
    for fault in [Fault::None, Fault::Undelegated, Fault::BadList] {
        for allocation in 0..4 {
            for _ in 0..TRIES {
                kernel.fault = Some((allocation, fault));
                assert_eq!(kernel.execute(ACTIVATE), expected(fault, allocation));
                machine.check_quiesced();
            }
            kernel.fault = None;
            assert_eq!(kernel.execute(ACTIVATE), End::Success, "the next try");
            for _ in 0..TRIES {
                kernel.fault = Some((0, fault));
                assert_eq!(kernel.execute(CREATE), expected(fault, 0));
                assert_eq!(machine.handles(), [0; 0], "an operation is left open");
            }
            kernel.fault = None;
            for command in [CREATE, DESTROY, DEACTIVATE] {
                assert_eq!(kernel.execute(command), End::Success, "the next try");
            }
            machine.check_quiesced();
        }
    }
    run_cycle(&machine);
    machine.write_params(flags, &[]);
    assert_eq!(kernel.execute(ACTIVATE), End::Success);
}

#[test]
fn twenty_kernels_follow_each_other_in_one_boot() {
    let machine = machine();
    let mut kernel = Kernel::new(&machine);
    for _ in 0..20 {
        for command in [ACTIVATE, CREATE] {
            assert_eq!(kernel.execute(command), End::Success);
            assert_eq!(machine.status(fid::RMM_DEACTIVATE, [7, 7, 7]), x0::GLOBAL);
        }
        for command in [DESTROY, DEACTIVATE] {
            assert_eq!(kernel.execute(command), End::Success);
        }
        // One that is open, or a granule that is delegated, keeps the RMM in service.
        let (handle, _) = machine.begin_activate();
        assert_eq!(machine.status(fid::RMM_DEACTIVATE, [7, 7, 7]), x0::GLOBAL);
        assert_eq!(machine.status(fid::OP_CANCEL, [handle, 0, 0]), x0::CONTINUE);
        assert_eq!(machine.status(fid::RMM_DEACTIVATE, [7, 7, 7]), x0::GLOBAL);
        assert_eq!(machine.proceed(handle), (x0::INPUT, 0));
        let granule = machine.allocate(1);
        assert_eq!(machine.status(fid::RMM_DEACTIVATE, [7, 7, 7]), x0::GLOBAL);
        machine.free(granule, 1);

        assert_eq!(machine.status(fid::RMM_DEACTIVATE, [7, 7, 7]), x0::SUCCESS);
        assert_eq!(machine.ask(fid::STATE_GET, [0; 3]), [x0::SUCCESS, 0, 0, 0]);
        assert_eq!(machine.delegate(granule), x0::GLOBAL);
        assert_eq!(machine.status(fid::RMM_DEACTIVATE, [7, 7, 7]), x0::GLOBAL);
        machine.host.fill(LIST, 0);
        assert_eq!(machine.status(fid::CONFIG_SET, [LIST, 7, 7]), x0::SUCCESS);
        assert_eq!(machine.status(fid::RMM_ACTIVATE, [7, 7, 7]), x0::SUCCESS);
    }
    machine.check_quiesced();
}
