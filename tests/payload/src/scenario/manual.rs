// SPDX-License-Identifier: MIT OR Apache-2.0

//! Manual granules and stateful operations: one call of the host driver at a time, without its loops
//! and with every register in view. Registers that the driver never sends are for [`raw::expect`].

use core::fmt;

use psmmu_abi::{AddressRange, DonateRequest, Function, Status};
use psmmu_host::{Answer, Command, Memory};

use super::raw::{self, WATCHED, x0};
use crate::granule::Granule;
use crate::platform::SMMU;
use crate::pool::{GRANULE, Pool};

/// X0 of an operation that wants nothing but to be continued.
pub const NOTHING: u64 = 0x00D;
/// X0 of an operation that wants memory, and can be cancelled.
pub const DONATE: u64 = 0x50D;
/// X0 of an operation that gives memory back.
pub const RECLAIM: u64 = 0x20D;

/// X0 of most errors.
pub const INPUT: u64 = x0(Status::ErrorInput);

/// Stops the PSMMU.
pub const DEACTIVATION: Command = Command::PsmmuDeactivate { psmmu_ptr: SMMU };

/// For lists.
pub static LIST: Granule = Granule::new();
/// For parameters, all zero.
pub static PARAMS: Granule = Granule::new();

/// The handle of an operation, and what it has asked for.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub handle: u64,
    pub request: DonateRequest,
}

/// A region of granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub address: u64,
    pub granules: u64,
}

impl Region {
    /// Returns the PA behind it.
    pub fn end(self) -> u64 {
        self.address + self.granules * GRANULE
    }

    /// Returns an entry of a list that offers it.
    pub fn entry(self) -> u64 {
        AddressRange::region(self.address, self.granules as u16).word()
    }

    /// Takes a region out of the pool.
    pub fn new(granules: u64) -> Self {
        let Some(address) = Pool.allocate(granules) else {
            fail!("the pool has no {granules} granules")
        };
        Self { address, granules }
    }

    /// Takes a region out of the pool and delegates it.
    pub fn delegated(granules: u64) -> Self {
        let region = Self::new(granules);
        region.delegate();
        region
    }

    /// Delegates it.
    pub fn delegate(self) {
        self.move_all(Function::GranuleRangeDelegate);
    }

    /// Undelegates it.
    pub fn undelegate(self) {
        self.move_all(Function::GranuleRangeUndelegate);
    }

    /// Delegates or undelegates it, in as many calls as the RMM likes.
    fn move_all(self, function: Function) {
        let mut at = self.address;
        while at < self.end() {
            let [x0, end, x2] = registers(call_range(function, at, self.end()));
            expect_eq!([x0, x2], [0, 0], "{function:?} at {at:#x}: X0 and X2");
            require!(end > at && end <= self.end(), "{function:?} at {at:#x}: X1 is {end:#x}");
            at = end;
        }
    }

    /// Gives it back to the pool, which sees to it that it was wiped.
    pub fn free(self) {
        Pool.free(self.address, self.granules);
    }

    /// Undelegates it and gives it back to the pool.
    pub fn take_back(self) {
        self.undelegate();
        self.free();
    }
}

/// Starts the PSMMU with the parameters at PA `params`.
pub const fn activation(params: u64) -> Command {
    Command::PsmmuActivate { psmmu_ptr: SMMU, params }
}

/// Makes the table of `stream`.
pub const fn creation(stream: u32) -> Command {
    Command::PsmmuStL2Create { psmmu_ptr: SMMU, stream }
}

/// Takes it away.
pub const fn destruction(stream: u32) -> Command {
    Command::PsmmuStL2Destroy { psmmu_ptr: SMMU, stream }
}

/// Returns X0 to X2.
pub fn registers(answer: Answer) -> [u64; 3] {
    let [x1, x2, ..] = answer.outputs;
    [answer.result.x0(), x1, x2]
}

/// Delegates or undelegates, and checks X0 and X1 of the answer.
pub fn move_granules(function: Function, base: u64, top: u64, x0: u64, out_top: u64) {
    let answer = call_range(function, base, top);
    let what = format_args!("{function:?} of {base:#x} to {top:#x}");
    expect_eq!(registers(answer), [x0, out_top, 0], "{what}: X0 to X2");
}

fn call_range(function: Function, base: u64, top: u64) -> Answer {
    match function {
        Function::GranuleRangeDelegate => WATCHED.granule_range_delegate(base, top),
        _ => WATCHED.granule_range_undelegate(base, top),
    }
}

/// Begins an operation that must want `x0`.
pub fn begin(command: Command, wanted: u64) -> Operation {
    let [x0, handle, x2] = registers(WATCHED.begin(command));
    expect_eq!(x0, wanted, "{command:x?}: X0");
    require!(x0 == DONATE || x2 == 0, "{command:x?}: X2 is {x2:#x}, and it wants no memory");
    Operation { handle, request: DonateRequest::from_x2(x2) }
}

/// Begins a command that must be refused at once.
pub fn refused(command: Command, x0: u64) {
    expect_eq!(registers(WATCHED.begin(command)), [x0, 0, 0], "{command:x?}: X0 to X2");
}

/// Begins to activate the PSMMU.
pub fn activate_begin() -> Operation {
    PARAMS.fill(0);
    begin(activation(PARAMS.address()), DONATE)
}

impl Operation {
    /// Takes memory for what it asks for, delegated.
    pub fn find(&self) -> Region {
        let request = self.request;
        let granules = request.count() * request.block_size().granules();
        let one = request.is_contiguous() != (granules == 1);
        require!(one, "{request:x?} is for no single region, or says so of a granule");
        Region::delegated(granules)
    }

    /// Donates `region`, which it must take; `x0` is what it must want then. Returns what it asks for.
    pub fn donate(&self, region: Region, wanted: u64) -> Self {
        LIST.set_word(0, region.entry());
        let [x0, taken, x2] = self.offer(LIST.address(), 1);
        expect_eq!(x0, wanted, "OP_MEM_DONATE of {region:x?}: X0");
        expect_eq!(taken, region.granules, "OP_MEM_DONATE of {region:x?}: X1");
        require!(x0 == DONATE || x2 == 0, "OP_MEM_DONATE of {region:x?}: X2 is {x2:#x}");
        Self { request: DonateRequest::from_x2(x2), ..*self }
    }

    /// Offers the list at `list`, and returns X0 to X2.
    pub fn offer(&self, list: u64, entries: u64) -> [u64; 3] {
        registers(WATCHED.op_mem_donate(self.handle, list, entries))
    }

    /// Offers the list at `list`, which must be refused when the operation holds `held` regions: it is over,
    /// or gives them back.
    pub fn offer_in_vain(&self, what: fmt::Arguments<'_>, list: u64, entries: u64, held: usize) {
        let answer = self.offer(list, entries);
        let wanted = if held == 0 { INPUT } else { RECLAIM };
        expect_eq!(answer, [wanted, 0, 0], "OP_MEM_DONATE of {what}: X0 to X2");
    }

    /// Fails it by a donation that must be refused.
    pub fn fail(&self, held: usize) {
        self.offer_in_vain(format_args!("a list at 1"), 1, 1, held);
    }

    /// Cancels it when it holds `held` regions.
    pub fn cancel(&self, held: usize) {
        let wanted = if held == 0 { NOTHING } else { RECLAIM };
        let answer = registers(WATCHED.op_cancel(self.handle));
        expect_eq!(answer, [wanted, 0, 0], "OP_CANCEL of {:#x}: X0 to X2", self.handle);
    }

    /// Continues it; it must answer `x0`.
    pub fn go_on(&self, x0: u64) {
        // "Incomplete" comes with the handle.
        let x1 = if x0 & 0xFF == Status::Incomplete as u64 { self.handle } else { 0 };
        let answer = WATCHED.op_continue(self.handle, false);
        expect_eq!(registers(answer), [x0, x1, 0], "OP_CONTINUE of {:#x}: X0 to X2", self.handle);
    }

    /// Continues it while it waits for memory: it must ask for the same again.
    pub fn go_on_still(&self, x0: u64) {
        let answer = WATCHED.op_continue(self.handle, false);
        let what = format_args!("OP_CONTINUE of {:#x}, which waits for memory", self.handle);
        let wanted = [x0, self.handle, self.request.x2()];
        expect_eq!(registers(answer), wanted, "{what}: X0 to X2");
    }

    /// Calls what it does not wait for, which must be refused.
    pub fn refuse(&self, function: Function) {
        let (handle, list) = (self.handle, LIST.address());
        let answer = match function {
            Function::OpMemDonate => WATCHED.op_mem_donate(handle, list, 1),
            Function::OpMemReclaim => WATCHED.op_mem_reclaim(handle, list, 1),
            _ => WATCHED.op_cancel(handle),
        };
        let what = format_args!("{:?} of {handle:#x}, which waits for others", answer.function);
        expect_eq!(registers(answer), [INPUT, 0, 0], "{what}: X0 to X2");
    }

    /// Ends it without memory, by a donation that fails.
    pub fn abandon(&self) {
        self.fail(0);
        self.go_on(INPUT);
    }

    /// Takes all memory back that it gives, checks that it is `regions`, then continues it to its end,
    /// which must be `x0`.
    pub fn reclaim(&self, regions: &[Region], x0: u64) {
        LIST.scribble();
        let count = regions.len() as u64;
        let what = format_args!("OP_MEM_RECLAIM of {:#x}", self.handle);
        let answer = WATCHED.op_mem_reclaim(self.handle, LIST.address(), 512);
        expect_eq!(registers(answer), [NOTHING, count, 0], "{what}: X0 to X2");
        for (index, region) in regions.iter().enumerate() {
            expect_eq!(LIST.word(index), region.entry(), "{what}: entry {index}");
        }
        if let Some(next) = LIST.changed_from(regions.len()) {
            fail!("{what}: word {next} of the list has changed");
        }
        self.go_on(x0);
    }

    /// Sees to it that there is no such operation.
    pub fn expect_over(&self) {
        for function in [Function::OpContinue, Function::OpMemDonate, Function::OpMemReclaim] {
            let what = format_args!("{function:?} of {:#x}, which is over", self.handle);
            let arguments = [self.handle, LIST.address(), 1];
            // The flags of OP_CONTINUE may be a handle too, where TF-A-Tests has it; this is none.
            raw::expect(what, function.id(), &arguments, INPUT, &[]);
        }
    }
}

/// Activates the PSMMU call by call. Returns what it runs on, in the order in which it asked.
pub fn activate() -> heapless::Vec<Region, 4> {
    let mut operation = activate_begin();
    let mut regions = heapless::Vec::new();
    let mut wanted = DONATE;
    while wanted == DONATE {
        let region = operation.find();
        require!(regions.push(region).is_ok(), "an activation asks for a fifth region");
        // Three regions without page requests.
        wanted = if regions.len() < 3 { DONATE } else { NOTHING };
        operation = operation.donate(region, wanted);
    }
    operation.go_on(0);
    operation.expect_over();
    regions
}

/// Deactivates the PSMMU call by call, which must give back `regions`.
pub fn deactivate(regions: &[Region]) {
    let operation = begin(DEACTIVATION, RECLAIM);
    operation.reclaim(regions, 0);
    operation.expect_over();
    regions.iter().for_each(|region| region.take_back());
}

/// Makes a table call by call. Returns what it lies in.
pub fn st_l2_create(stream: u32) -> Region {
    let operation = begin(creation(stream), DONATE);
    let region = operation.find();
    expect_eq!(region.granules, 1, "granules of a table");
    operation.donate(region, NOTHING).go_on(0);
    region
}

/// Destroys a table call by call, which must give back `region`.
pub fn st_l2_destroy(stream: u32, region: Region) {
    let operation = begin(destruction(stream), RECLAIM);
    operation.reclaim(&[region], 0);
    region.take_back();
}
