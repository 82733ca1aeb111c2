// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver donates to the project's own RMM, with a device that is a model: on each path every granule
//! is returned. What the driver does with RMMs of other kinds is in `donating`; what the RMM does with
//! hosts of other kinds is in `tests/responder`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use psmmu_abi::{Function, IrqSet, PsmmuParamsFields, PsmmuParamsFlags, Status};
use psmmu_host::psmmu::{self, DestroyError, Table};
use psmmu_host::{
    Cause, Command, Conduit, Limits, Memory, MemoryDonor, OperationError, Rmi, RmiError,
};
use psmmu_host::{TransferStats, rmm};
use responder_tests::{HOST_PAGE, Heap, LIST_PAGE, Machine, NO_MEMORY, Options, PSMMU};
use responder_tests::{PSMMU_STEP, RamPage, STREAM};
use smmu_model::Register;

#[path = "donating/cause.rs"]
mod cause;
use cause::cause;

/// Granules that the machine's PSMMU needs: two of stream table, one of each queue.
const NEEDS: u64 = 4;
const RETRIES: u32 = 20;
const LIMITS: Limits = Limits { retries: RETRIES, rounds: 50, ..Limits::DEFAULT };

/// The machine as a host's calls reach it, and what another CPU does while this one waits.
struct Cpu<'a> {
    machine: &'a Machine,
    meanwhile: Box<dyn Fn() + 'a>,
}

impl Conduit for Cpu<'_> {
    fn call(&self, x: [u64; 8]) -> [u64; 8] {
        self.machine.call(x)
    }

    fn pause(&self) {
        (self.meanwhile)();
    }
}

/// A heap that is empty after some allocations, or returns addresses without memory.
struct FakeAllocator<'a> {
    heap: Heap,
    left: &'a Cell<u32>,
    last_is_bad: bool,
}

impl Memory for FakeAllocator<'_> {
    fn allocate(&mut self, granules: u64) -> Option<u64> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.unwrap_or(0));
        match left? {
            0 if self.last_is_bad => Some(NO_MEMORY),
            _ => self.heap.allocate(granules),
        }
    }

    fn free(&mut self, address: u64, granules: u64) {
        if address != NO_MEMORY {
            self.heap.free(address, granules);
        }
    }

    fn leak(&mut self, address: u64, granules: u64) {
        self.heap.leak(address, granules);
    }
}

/// A host on a machine.
struct Host<'a> {
    machine: &'a Machine,
    rmi: Rmi<Cpu<'a>>,
    donor: MemoryDonor<FakeAllocator<'a>, RamPage>,
    page: RamPage,
}

impl<'a> Host<'a> {
    fn new(machine: &'a Machine, left: &'a Cell<u32>, last_is_bad: bool) -> Self {
        Self::with(machine, left, last_is_bad, Box::new(|| {}))
    }

    fn with(
        machine: &'a Machine,
        left: &'a Cell<u32>,
        last_is_bad: bool,
        meanwhile: Box<dyn Fn() + 'a>,
    ) -> Self {
        let allocator = FakeAllocator { heap: machine.heap.clone(), left, last_is_bad };
        let donor =
            MemoryDonor::with_limits(allocator, RamPage(machine.host.clone(), LIST_PAGE), LIMITS);
        let page = RamPage(machine.host.clone(), HOST_PAGE);
        let mut host = Self { machine, rmi: Rmi::new(Cpu { machine, meanwhile }), donor, page };
        rmm::start(&host.rmi, &mut host.donor, &mut host.page).expect("a fresh RMM");
        host
    }

    fn activate(&mut self) -> Result<TransferStats, OperationError> {
        self.activate_with(&psmmu::PARAMS_NO_MSI)
    }

    fn activate_with(
        &mut self,
        params: &PsmmuParamsFields,
    ) -> Result<TransferStats, OperationError> {
        psmmu::activate(&self.rmi, &mut self.donor, PSMMU, &mut self.page, params)
    }

    fn deactivate(&mut self) -> Result<TransferStats, OperationError> {
        psmmu::deactivate(&self.rmi, &mut self.donor, PSMMU)
    }

    fn st_l2_create(&mut self, stream: u32) -> Result<Table, OperationError> {
        psmmu::st_l2_create(&self.rmi, &mut self.donor, PSMMU, stream)
    }

    fn st_l2_destroy(&mut self, stream: u32) -> Result<TransferStats, DestroyError> {
        psmmu::st_l2_destroy(&self.rmi, &mut self.donor, PSMMU, stream)
    }

    /// Checks that this many granules are donated by the counts of RMM, driver and allocator, and that
    /// none is leaked.
    fn check(&self, held: u64) {
        assert_eq!(self.donor.held_for(PSMMU), held, "by the driver's word");
        assert_eq!(self.machine.heap.used() as u64, held, "by the allocator's");
        assert_eq!(self.machine.host.realm().len() as u64, held, "by EL3's");
        assert_eq!((self.donor.leaked(), self.machine.heap.lost()), (0, Vec::new()));
    }

    /// Runs one lifecycle without failures.
    fn live(&mut self) {
        self.activate().expect("an inactive PSMMU");
        assert_eq!(self.st_l2_create(STREAM), Ok(Table::Created));
        self.check(NEEDS + 1);
        self.st_l2_destroy(STREAM).expect("an unused table");
        self.deactivate().expect("an active PSMMU");
        self.check(0);
    }
}

fn refused(function: Function, status: Status) -> Cause {
    Cause::Rmi(RmiError::Status(function, status))
}

#[test]
fn repeated_cycles_return_every_granule() {
    let (machine, left) = (Machine::new(Options::default()), Cell::new(u32::MAX));
    let mut host = Host::new(&machine, &left, false);
    for _ in 0..10 {
        host.live();
    }
}

#[test]
fn a_host_out_of_memory_gets_its_donation_back_and_retries() {
    for allocations in 0..3 {
        let (machine, left) = (Machine::new(Options::default()), Cell::new(allocations));
        let mut host = Host::new(&machine, &left, false);
        let granules = if allocations == 0 { 2 } else { 1 };
        assert_eq!(cause(host.activate()), Cause::NoMemory(granules), "after {allocations}");
        host.check(0);
        left.set(u32::MAX);
        host.activate().expect("memory is there again");
        left.set(0);
        assert_eq!(cause(host.st_l2_create(STREAM)), Cause::NoMemory(1));
        host.check(NEEDS);
        host.deactivate().expect("an active PSMMU");
        left.set(u32::MAX);
        host.live();
    }
}

#[test]
fn a_failed_delegation_ends_the_operation_and_leaks_nothing() {
    for allocations in 1..4 {
        let (machine, left) = (Machine::new(Options::default()), Cell::new(allocations));
        let mut host = Host::new(&machine, &left, true);
        match cause(host.activate()) {
            Cause::Delegate(error) => assert_eq!((error.at, error.leaked), (NO_MEMORY, 0)),
            other => panic!("{other:?}"),
        }
        host.check(0);
        left.set(u32::MAX);
        host.live();
    }
}

#[test]
fn a_rejected_command_leaks_nothing() {
    let (machine, left) = (Machine::new(Options::default()), Cell::new(u32::MAX));
    let mut host = Host::new(&machine, &left, false);
    let ats = PsmmuParamsFields { flags: PsmmuParamsFlags::ATS, ..psmmu::PARAMS_NO_MSI };
    let activate = refused(Function::PsmmuActivate, Status::ErrorInput);
    assert_eq!(cause(host.activate_with(&ats)), activate);
    let create = refused(Function::PsmmuStL2Create, Status::ErrorInput);
    assert_eq!(cause(host.st_l2_create(STREAM)), create, "not active");
    host.check(0);

    host.activate().expect("an inactive PSMMU");
    assert_eq!(cause(host.activate()), activate, "twice");
    assert_eq!(cause(host.st_l2_create(1 << 16)), create, "no such stream");
    assert_eq!(host.st_l2_create(STREAM), Ok(Table::Created));
    assert_eq!(host.st_l2_create(STREAM + 1), Ok(Table::Exists));
    let deactivate = refused(Function::PsmmuDeactivate, Status::ErrorInput);
    assert_eq!(cause(host.deactivate()), deactivate, "with a table");
    host.check(NEEDS + 1);
    host.st_l2_destroy(STREAM).expect("an unused table");
    host.deactivate().expect("an active PSMMU");
    host.check(0);
}

/// Begins the largest number of operations, each on its own PSMMU.
fn begin_all(machine: &Machine) -> Vec<u64> {
    machine.write_params(PsmmuParamsFlags::empty(), &[]);
    let begin = |index| {
        let psmmu = PSMMU + index * PSMMU_STEP;
        let answer =
            machine.rmi().begin(Command::PsmmuActivate { psmmu_ptr: psmmu, params: HOST_PAGE });
        answer.outputs[0]
    };
    (1..=8).map(begin).collect()
}

#[test]
fn a_blocked_rmm_is_retried_up_to_the_limit() {
    for turns in [1, 5, RETRIES, RETRIES + 1] {
        let devices = vec![smmu_model::Config::default(); 9];
        let machine = Machine::with_devices(Options::default(), devices);
        let (left, waits) = (Cell::new(u32::MAX), AtomicU32::new(0));
        let handles = std::cell::RefCell::new(Vec::new());
        let meanwhile = || {
            if waits.fetch_add(1, Ordering::Relaxed) + 1 == turns {
                // The other CPU cancels its operation.
                let handle = handles.borrow_mut().pop().expect("one of eight");
                let _ = machine.rmi().op_continue(handle, true);
            }
        };
        let mut host = Host::with(&machine, &left, false, Box::new(meanwhile));
        handles.borrow_mut().extend(begin_all(&machine));
        let result = host.activate();
        if turns <= RETRIES {
            result.expect("a place at last");
            host.check(NEEDS);
        } else {
            assert_eq!(cause(result), refused(Function::PsmmuActivate, Status::Blocked));
            host.check(0);
        }
    }
}

#[test]
fn memory_of_an_unresponsive_device_stays_donated_meanwhile() {
    let (machine, left) = (Machine::new(Options::default()), Cell::new(u32::MAX));
    let mut host = Host::new(&machine, &left, false);
    // It acknowledges the queue and then stops responding.
    machine.device().before_write(Register::CmdqProd, |_| ());
    machine.device().before_write(Register::CmdqProd, |device| device.set_hung(true));
    let error = host.activate().expect_err("an unresponsive device");
    assert_eq!(error.cause, refused(Function::OpContinue, Status::ErrorDevice));
    assert_eq!(
        error.stats,
        TransferStats { donated: NEEDS, retained: NEEDS, ..TransferStats::default() }
    );
    host.check(NEEDS);
    assert_eq!(cause(host.deactivate()), refused(Function::PsmmuDeactivate, Status::ErrorDevice));
    host.check(NEEDS);

    machine.device().set_hung(false);
    let stats = host.deactivate().expect("it hears again");
    assert_eq!(stats, TransferStats { returned: NEEDS, ..TransferStats::default() });
    host.check(0);
    host.live();
}

#[test]
fn unhandled_events_keep_no_memory() {
    let (machine, left) = (Machine::new(Options::default()), Cell::new(u32::MAX));
    let mut host = Host::new(&machine, &left, false);
    host.activate().expect("an inactive PSMMU");
    for address in 0..200 {
        machine.device().record(smmu_model::Record::stage_2_write(STREAM, address << 12));
    }
    let reported = machine.rmi().irq_notify(PSMMU, IrqSet::EVENTQ).expect("active");
    assert!(reported.pending);
    host.deactivate().expect("an active PSMMU");
    host.check(0);
}
