// SPDX-License-Identifier: MIT OR Apache-2.0

//! `linux-newest [KEXECS]`: a host that calls the way the newest public Linux does, written from what is
//! known of it and none of it copied. It differs from the older one, whose order `linux` has, in that it
//!
//! - asks at the start who owns the granule protection tables of all its memory;
//! - leaves an operation that asks for memory, when it has none, by `OP_CANCEL`, and only if the answer says
//!   that this can be done: otherwise it never comes back to it;
//! - takes any answer of `OP_MEM_DONATE` but "incomplete" for the end, without a further call;
//! - asks again for ever on `Busy` and `Blocked`;
//! - takes the RMM out of service before a kexec.
//!
//! Each kernel has no memory at each of its allocations in turn, more often than the RMM has room for
//! operations, and runs a whole cycle with all its memory behind that. Then the next kernel comes, 20
//! times if not said otherwise.

use psmmu_abi::{
    AddressRange, DonateRequest, Function, GptState, IrqSet, MemoryCategory, Status, TrackingState,
    Version, features,
};
use psmmu_host::Memory;

use super::{Arguments, usage};
use crate::bring_up::{self, Bench};
use crate::edu::{Access, Dma};
use crate::granule::Granule;
use crate::platform::SMMU;
use crate::pool::{GRANULE, Pool};
use crate::{events, pool, smc};

/// Kernels that follow each other in one boot.
const KEXECS: u32 = 20;
/// More than the RMM has room for operations.
const TRIES: u32 = 9;
/// Calls after which a kernel would hang for good.
const FOR_EVER: u32 = 1000;
/// Allocations of an activation.
const ALLOCATIONS: u32 = 3;
/// It may be cancelled, bit 10 of X0.
const CAN_CANCEL: u64 = 1 << 10;

/// For lists.
static LIST: Granule = Granule::new();
/// For parameters and configuration, all zero.
static PAGE: Granule = Granule::new();

/// DRAM that a kernel would have.
const MEMORY: [(u64, u64); 2] = [(0x4000_0000, 0x4010_0000), (0x4190_0000, 0xC000_0000)];

pub fn run(arguments: &Arguments) {
    let kexecs = match arguments.as_slice() {
        [] => Some(KEXECS),
        [kexecs] => kexecs.parse().ok(),
        _ => None,
    };
    let Some(kexecs) = kexecs else { usage("linux-newest [KEXECS]") };
    start();
    let mut bench = bring_up::interrupts_and_devices(&bring_up::topology(), pool::donor(&LIST));
    for kexec in 0..=kexecs {
        if kexec != 0 {
            start();
        }
        without_memory();
        with_memory(&mut bench, kexec);
        refuses_to_leave();
        expect_eq!(call(Function::RmmDeactivate, [0; 3])[0], 0, "RMM_DEACTIVATE, {kexec}");
        for function in [Function::RmmDeactivate, Function::PsmmuActivate, Function::GptInfo] {
            let [x0, ..] = call(function, [SMMU, PAGE.address(), 0]);
            expect_eq!(x0, Status::ErrorGlobal as u64, "{function:?} out of service");
        }
    }
    pool::expect_whole();
    events::expect_no_more_while_inactive(events::count());
}

/// Makes a call, and returns X0 to X3.
fn call(function: Function, [x1, x2, x3]: [u64; 3]) -> [u64; 4] {
    let mut x = [0; 18];
    x[..4].copy_from_slice(&[function.id(), x1, x2, x3]);
    let [x0, x1, x2, x3, ..] = smc::call_wide(x);
    [x0, x1, x2, x3]
}

/// Starts the RMM.
fn start() {
    let version = Version::RMI_2_0.word();
    expect_eq!(call(Function::Version, [version, 0, 0])[0], 0, "VERSION");
    for index in 0..features::COUNT {
        expect_eq!(call(Function::Features, [index, 0, 0])[0], 0, "FEATURES {index}");
    }
    PAGE.fill(0);
    expect_eq!(call(Function::RmmConfigSet, [PAGE.address(), 0, 0])[0], 0, "CONFIG_SET");
    let tracked = (MemoryCategory::Conventional as u64, TrackingState::Fine as u64);
    for (base, top) in MEMORY {
        let mut at = base;
        while at < top {
            let [x0, category, state, end] = call(Function::GranuleTrackingGet, [at, top, 0]);
            expect_eq!((x0, (category, state)), (0, tracked), "TRACKING_GET at {at:#x}");
            at = end;
        }
    }
    expect_eq!(call(Function::RmmActivate, [0; 3])[0], 0, "RMM_ACTIVATE");
    for (base, top) in MEMORY {
        let mut at = base;
        while at < top {
            let [x0, end, state, _] = call(Function::GptInfo, [at, top, 0]);
            expect_eq!((x0, state), (0, GptState::Platform as u64), "GPT_INFO at {at:#x}");
            require!(end > at && end <= top, "GPT_INFO at {at:#x} ends at {end:#x}");
            at = end;
        }
    }
}

/// What a host has no memory for, each allocation in turn.
fn without_memory() {
    for allocations in 0..ALLOCATIONS {
        for _ in 0..TRIES {
            let end = activate(&mut Allocator { left: allocations, ..Allocator::endless() });
            expect_eq!(end, Err(End::NoMemory), "an activation with {allocations} allocations");
            expect_eq!(pool::out(), 0, "granules that did not come back");
        }
    }
    for allocations in 0..ALLOCATIONS {
        let end = activate(&mut Allocator { bad: Some(allocations), ..Allocator::endless() });
        let refused = if allocations == 0 { End::Donation } else { End::Status };
        expect_eq!(end, Err(refused), "an activation whose donation {allocations} is bad");
        expect_eq!(pool::out(), 0, "granules that did not come back");
    }
    expect_eq!(activate(&mut Allocator::endless()), Ok(()), "the next try");
    let held = pool::out();
    for _ in 0..TRIES {
        let end = create(&mut Allocator { left: 0, ..Allocator::endless() });
        expect_eq!(end, Err(End::NoMemory), "a table without memory");
        let end = create(&mut Allocator { bad: Some(0), ..Allocator::endless() });
        expect_eq!(end, Err(End::Donation), "a table whose donation is bad");
        expect_eq!(pool::out(), held, "granules that did not come back");
    }
    deactivate();
}

/// A PSMMU from its activation to its end, with a device that faults.
fn with_memory(bench: &mut Bench, kexec: u32) {
    expect_eq!(activate(&mut Allocator::endless()), Ok(()), "an activation");
    expect_eq!(create(&mut Allocator::endless()), Ok(()), "a table");
    for source in [IrqSet::GERROR, IrqSet::EVENTQ] {
        events::poll(source);
    }
    let first = events::count();
    let dma = Dma::new(Access::Write, 1 + kexec % 5);
    bench.edu().run(dma);
    events::wait_for(first + dma.words as usize);
    events::expect_faults(first, &[dma]);
    let end = execute(Function::PsmmuStL2Destroy, [SMMU, 0], &mut Allocator::endless());
    expect_eq!(end, Ok(()), "the end of a table");
    deactivate();
}

/// The RMM stays in service while anything is delegated, begun, or active.
fn refuses_to_leave() {
    let refused = |what: &str| {
        let [x0, ..] = call(Function::RmmDeactivate, [0; 3]);
        expect_eq!(x0, Status::ErrorGlobal as u64, "RMM_DEACTIVATE with {what}");
    };
    let mut allocator = Allocator::endless();
    let Some(granule) = allocator.allocate(1) else { fail!("an allocator without end ends") };
    delegate(granule, 1);
    refused("a granule delegated");
    undelegate(granule, 1);
    let [_, handle, ..] = call(Function::PsmmuActivate, [SMMU, PAGE.address(), 0]);
    refused("an activation begun");
    let [x0, ..] = call(Function::OpCancel, [handle, 0, 0]);
    expect_eq!(x0, Status::Incomplete as u64, "OP_CANCEL of what holds nothing");
    refused("an activation cancelled and not ended");
    let [x0, ..] = call(Function::OpContinue, [handle, 0, 0]);
    expect_eq!(x0, Status::ErrorInput as u64, "the end of what was cancelled");
    expect_eq!(activate(&mut allocator), Ok(()), "an activation");
    refused("a PSMMU active");
    deactivate();
}

fn activate(allocator: &mut Allocator) -> Result<(), End> {
    PAGE.fill(0);
    execute(Function::PsmmuActivate, [SMMU, PAGE.address()], allocator)
}

fn create(allocator: &mut Allocator) -> Result<(), End> {
    execute(Function::PsmmuStL2Create, [SMMU, 0], allocator)
}

fn deactivate() {
    let end = execute(Function::PsmmuDeactivate, [SMMU, 0], &mut Allocator::endless());
    expect_eq!(end, Ok(()), "a deactivation");
    expect_eq!(pool::out(), 0, "granules that did not come back");
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The kernel had no memory, and the operation ended when it was cancelled.
    NoMemory,
    /// A donation was refused, which the kernel takes for the end.
    Donation,
    /// It ended with a status.
    Status,
}

/// Memory that ends.
struct Allocator {
    /// Allocations that succeed.
    left: u32,
    /// The allocation that is not delegated before it is donated, counted from 0.
    bad: Option<u32>,
}

impl Allocator {
    const fn endless() -> Self {
        Self { left: u32::MAX, bad: None }
    }

    fn allocate(&mut self, granules: u64) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        Pool.allocate(granules)
    }

    /// Returns whether this allocation is the bad one.
    fn is_bad(&mut self) -> bool {
        let is_bad = self.bad == Some(0);
        self.bad = self.bad.and_then(|bad| bad.checked_sub(1));
        is_bad
    }
}

/// Carries a stateful operation out.
fn execute(function: Function, [x1, x2]: [u64; 2], allocator: &mut Allocator) -> Result<(), End> {
    let mut answer = repeat(function, [x1, x2, 0]);
    let handle = answer[1];
    let mut end = Err(End::Status);
    for _ in 0..FOR_EVER {
        let [x0, _, request, _] = answer;
        if x0 & 0xFF != Status::Incomplete as u64 {
            return if x0 == 0 { Ok(()) } else { end };
        }
        answer = match x0 >> 8 & 3 {
            1 => match donate(handle, DonateRequest::from_x2(request), allocator) {
                Some(answer) if answer[0] & 0xFF == Status::Incomplete as u64 => answer,
                Some(_) => return Err(End::Donation),
                None => {
                    require!(x0 & CAN_CANCEL != 0, "{function:?}: the kernel never comes back");
                    end = Err(End::NoMemory);
                    let answer = call(Function::OpCancel, [handle, 0, 0]);
                    let status = answer[0] & 0xFF;
                    expect_eq!(status, Status::Incomplete as u64, "OP_CANCEL, which is warned of");
                    answer
                }
            },
            2 => reclaim(handle),
            _ => repeat(Function::OpContinue, [handle, 0, 0]),
        };
    }
    fail!("{function:?} does not end")
}

/// Makes a call until the RMM has time for it.
fn repeat(function: Function, arguments: [u64; 3]) -> [u64; 4] {
    for _ in 0..FOR_EVER {
        let answer = call(function, arguments);
        if ![Status::Busy as u64, Status::Blocked as u64].contains(&(answer[0] & 0xFF)) {
            return answer;
        }
    }
    fail!("{function:?}: the kernel hangs, as the RMM is busy or blocked for ever")
}

/// Donates what is asked for, in one piece that is aligned to its size. `None` without memory.
fn donate(handle: u64, request: DonateRequest, allocator: &mut Allocator) -> Option<[u64; 4]> {
    let granules = request.count() * request.block_size().granules();
    require!(granules.is_power_of_two(), "{request:x?} is not for a power of two");
    let address = allocator.allocate(granules)?;
    let is_bad = allocator.is_bad();
    if !is_bad {
        delegate(address, granules);
    }
    LIST.set_word(0, AddressRange::region(address, granules as u16).word());
    let answer = call(Function::OpMemDonate, [handle, LIST.address(), 1]);
    let taken = answer[1];
    expect_eq!(taken, if is_bad { 0 } else { granules }, "OP_MEM_DONATE: X1");
    if taken == 0 {
        // It never was the RMM's.
        Pool.free(address, granules);
    }
    Some(answer)
}

/// Takes back what the RMM gives.
fn reclaim(handle: u64) -> [u64; 4] {
    let answer = call(Function::OpMemReclaim, [handle, LIST.address(), 512]);
    let incomplete = Status::Incomplete as u64;
    expect_eq!(answer[0] & 0xFF, incomplete, "OP_MEM_RECLAIM, which is warned of");
    for index in 0..answer[1] as usize {
        let entry = AddressRange::from_word(LIST.word(index));
        undelegate(entry.address(), entry.total_granules());
    }
    answer
}

fn delegate(address: u64, granules: u64) {
    each(Function::GranuleRangeDelegate, address, granules);
}

fn undelegate(address: u64, granules: u64) {
    each(Function::GranuleRangeUndelegate, address, granules);
    Pool.free(address, granules);
}

/// Moves granules in as many calls as the RMM likes.
fn each(function: Function, address: u64, granules: u64) {
    let (mut at, top) = (address, address + granules * GRANULE);
    while at < top {
        let [x0, end, ..] = repeat(function, [at, top, 0]);
        expect_eq!(x0, 0, "{function:?} at {at:#x}");
        require!(end > at && end <= top, "{function:?} at {at:#x}: a buggy RMM, {end:#x}");
        at = end;
    }
}
