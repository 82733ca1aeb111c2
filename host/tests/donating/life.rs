// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lifecycle of a PSMMU with an RMM that conforms, or that breaks one rule at a time.

use psmmu_abi::Version;
use psmmu_abi::features::{Register1, Register2};
use psmmu_abi::{DonateRequest, Function, MsiMessage, PsmmuParamsFields, PsmmuParamsFlags, Status};
use psmmu_host::psmmu::{self, DestroyError, Table};
use psmmu_host::rmm::{self, StartError};
use psmmu_host::{
    Cause, Command, Limits, MemoryDonor, OperationError, Rmi, RmiError, TransferStats,
};

use crate::cause::cause;
use crate::harness::{ARENA, GRANULE, HostPage, LIST, PARAMETERS, Shared};
use crate::rmm::{Kind, PSMMU, Rmm};
use crate::tamper::Tamper;

/// Granules of the host.
const GRANULES: u64 = 32;

/// A host with its RMM.
struct Host {
    harness: Shared,
    rmi: Rmi<Shared>,
    donor: MemoryDonor<Shared, HostPage>,
    page: HostPage,
}

impl Host {
    fn new(kind: Kind) -> Self {
        Self::with_limits(kind, Limits::DEFAULT)
    }

    fn with_limits(kind: Kind, limits: Limits) -> Self {
        let harness = Shared::new(GRANULES as usize, Rmm::new(kind), Tamper::default());
        Self {
            rmi: Rmi::new(harness.clone()),
            donor: MemoryDonor::with_limits(harness.clone(), harness.page(LIST), limits),
            page: harness.page(PARAMETERS),
            harness,
        }
    }

    fn started(kind: Kind) -> Self {
        let mut host = Self::new(kind);
        rmm::start(&host.rmi, &mut host.donor, &mut host.page).expect("a conforming RMM");
        host.harness.0.borrow_mut().log.clear();
        host
    }

    fn activate(&mut self) -> Result<TransferStats, OperationError> {
        psmmu::activate(&self.rmi, &mut self.donor, PSMMU, &mut self.page, &psmmu::PARAMS_NO_MSI)
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

    fn count(&self, function: Function) -> usize {
        self.harness.0.borrow().log.iter().filter(|&&called| called == function).count()
    }

    fn check(&self) {
        self.harness.check(self.donor.held(), self.donor.leaked());
    }
}

#[test]
fn a_lifecycle_returns_every_granule_with_either_kind_of_rmm() {
    let busy = Kind { busy: 3, ..Kind::stateful() };
    let pieces = Kind { entries: 1, stride: 2, ..Kind::stateful() };
    let undelegates = Kind { undelegates: true, ..Kind::stateful() };
    let kinds = [
        (Kind::immediate(), 0, 0),
        (Kind::stateful(), 3, 10),
        (busy, 3, 10),
        (pieces, 3, 10),
        (undelegates, 3, 10),
    ];
    for (kind, for_itself, for_psmmu) in kinds {
        let table = kind.for_table.len() as u64;
        let mut host = Host::started(kind);
        assert_eq!(host.donor.held_for(0), for_itself);

        let stats = host.activate().expect("an inactive PSMMU");
        assert_eq!(stats, TransferStats { donated: for_psmmu, ..TransferStats::default() });
        assert_eq!(host.st_l2_create(64 + 7), Ok(Table::Created));
        assert_eq!(host.st_l2_create(64 + 8), Ok(Table::Exists));
        assert_eq!(host.st_l2_create(0), Ok(Table::Created));
        assert_eq!(host.donor.held_for(PSMMU), for_psmmu + 2 * table);
        assert!(host.harness.0.borrow().rmm.tables.iter().eq(&[0, 64]));

        for stream in [64 + 63, 1] {
            let stats = host.st_l2_destroy(stream).expect("an unused table");
            assert_eq!(stats, TransferStats { returned: table, ..TransferStats::default() });
        }
        let stats = host.deactivate().expect("an active PSMMU");
        assert_eq!(stats, TransferStats { returned: for_psmmu, ..TransferStats::default() });
        assert_eq!((host.donor.held(), host.donor.leaked()), (for_itself, 0));
        assert_eq!(host.harness.places(), (GRANULES - for_itself, for_itself, 0));
        assert_eq!(host.harness.0.borrow().rmm.stops, 0);
        host.check();
    }
}

#[test]
fn an_operation_is_continued_by_its_first_handle_of_any_value() {
    // The RMM rejects any other, and answers later calls with another number in X1.
    for handle in [0, 1, u64::MAX, 1 << 63] {
        let mut host = Host::started(Kind { handle, ..Kind::stateful() });
        host.activate().expect("an inactive PSMMU");
        host.deactivate().expect("an active PSMMU");
    }
}

#[test]
fn a_table_that_is_in_use_is_an_error_of_its_own_and_stays() {
    let mut host = Host::started(Kind::stateful());
    host.activate().expect("an inactive PSMMU");
    host.st_l2_create(0).expect("no table yet");
    host.harness.0.borrow_mut().rmm.in_use = true;
    assert_eq!(host.st_l2_destroy(0), Err(DestroyError::InUse));
    assert_eq!(host.donor.held_for(PSMMU), 11);
    let refused = Cause::Rmi(RmiError::Status(Function::PsmmuDeactivate, Status::ErrorInput));
    assert_eq!(cause(host.deactivate()), refused);
    host.check();
}

#[test]
fn parameters_reach_the_rmm_as_they_are() {
    let mut host = Host::started(Kind::immediate());
    let msi = |n| MsiMessage { address: 0x0808_0040 + n, data: n };
    let flags = PsmmuParamsFlags::MSI | PsmmuParamsFlags::PRI;
    let params = PsmmuParamsFields { flags, gerror: msi(4), eventq: msi(8), priq: msi(12) };
    host.page.0.0.borrow_mut().parameters.fill(!0);
    psmmu::activate(&host.rmi, &mut host.donor, PSMMU, &mut host.page, &params).expect("valid");
    let words = host.harness.0.borrow().rmm.parameters;
    assert_eq!(PsmmuParamsFields::from_words(words), params);
    assert!(host.harness.0.borrow().parameters[7..].iter().all(|&word| word == 0));
}

#[test]
fn a_host_without_memory_leaves_the_psmmu_inactive() {
    for can_cancel in [false, true] {
        for allocations in 0..7 {
            let mut host = Host::started(Kind { can_cancel, ..Kind::stateful() });
            host.harness.0.borrow_mut().allocations = allocations;
            let granules = if allocations == 0 { 4 } else { 1 };
            assert_eq!(cause(host.activate()), Cause::NoMemory(granules));
            assert_eq!(host.count(Function::OpCancel), usize::from(can_cancel));
            assert!(can_cancel || host.harness.0.borrow().rmm.stops > 0, "asked to stop");
            assert_eq!(host.donor.held_for(PSMMU), 0);
            assert!(!host.harness.0.borrow().rmm.is_at_it());
            host.check();

            host.harness.0.borrow_mut().allocations = u32::MAX;
            host.activate().expect("memory is there again");
        }
    }
}

#[test]
fn a_granule_that_cannot_be_delegated_undoes_the_rest() {
    for stubborn in 3..13 {
        let mut host = Host::started(Kind::stateful());
        host.harness.0.borrow_mut().rmm.kind.stubborn = Some(ARENA + stubborn * GRANULE);
        match cause(host.activate()) {
            Cause::Delegate(error) => assert_eq!(error.at, ARENA + stubborn * GRANULE),
            other => panic!("{other:?}"),
        }
        assert_eq!(host.donor.held_for(PSMMU), 0);
        host.check();
    }
}

#[test]
fn only_the_granule_that_fails_undelegation_is_leaked() {
    let mut host = Host::started(Kind::stateful());
    host.activate().expect("an inactive PSMMU");
    host.harness.0.borrow_mut().rmm.kind.stubborn = Some(ARENA + 5 * GRANULE);
    let stats = host.deactivate().expect("an active PSMMU");
    assert_eq!(stats, TransferStats { returned: 9, leaked: 1, ..TransferStats::default() });
    assert_eq!(host.donor.leaked(), 1);
    host.check();
}

#[test]
fn a_failed_donation_is_continued_and_all_memory_is_returned() {
    for (donation, can_cancel) in [2, 3, 4].into_iter().flat_map(|n| [(n, false), (n, true)]) {
        let refuses_donation = Some(donation);
        let kind = Kind { refuses_donation, can_cancel, ..Kind::stateful() };
        let mut host = Host::started(kind);
        let refused = Cause::Rmi(RmiError::Status(Function::OpMemDonate, Status::ErrorInput));
        assert_eq!(cause(host.activate()), refused);
        let log = host.harness.0.borrow().log.clone();
        let last = log.iter().rposition(|&called| called == Function::OpMemDonate).expect("one");
        let next = log[last + 1..].iter().find(|called| {
            !matches!(called, Function::GranuleRangeDelegate | Function::GranuleRangeUndelegate)
        });
        assert_eq!(next, Some(&Function::OpContinue));
        assert_eq!(host.donor.held_for(PSMMU), 0);
        host.check();
    }
}

#[test]
fn a_failed_donation_that_ends_the_operation_leaks_nothing() {
    // The second is the first of an activation: the operation holds no memory then, and some later.
    for (donation, function) in
        [(2, Function::OpMemDonate), (3, Function::OpContinue), (4, Function::OpContinue)]
    {
        for can_cancel in [false, true] {
            let refuses_donation = Some(donation);
            let kind =
                Kind { refuses_donation, ends_by_refusal: true, can_cancel, ..Kind::stateful() };
            let mut host = Host::started(kind);
            let refused = Cause::Rmi(RmiError::Status(function, Status::ErrorInput));
            assert_eq!(cause(host.activate()), refused, "donation {donation}");
            assert!(!host.harness.0.borrow().rmm.is_at_it());
            assert_eq!(host.donor.held_for(PSMMU), 0);
            host.check();
            assert!(host.activate().is_ok(), "the next try");
        }
    }
}

#[test]
fn memory_of_unknown_state_is_donated_until_the_end() {
    // The RMM took the region and answers with an undefined status, or a wrong count.
    for (x0, x1) in [(0x11, 4), (0x11, 0), (u64::MAX, 0), (0x00D, 5), (0x10D, u64::MAX)] {
        let mut host = Host::started(Kind::stateful());
        let donate = Function::OpMemDonate;
        host.harness.0.borrow_mut().tamper.once = vec![(donate, 0, x0), (donate, 1, x1)];
        assert!(matches!(cause(host.activate()), Cause::Rmi(RmiError::Malformed(..))));
        let log = host.harness.0.borrow().log.clone();
        let place = |wanted| log.iter().position(|&called| called == wanted);
        assert!(place(Function::OpMemReclaim) < place(Function::GranuleRangeUndelegate));
        assert_eq!(host.donor.held_for(PSMMU), 0);
        host.check();
    }
}

#[test]
fn entries_that_the_rmm_did_not_write_name_nothing() {
    let mut host = Host::started(Kind { entries: 1, ..Kind::stateful() });
    host.activate().expect("an inactive PSMMU");
    // The list held the host's own entries last.
    host.harness.0.borrow_mut().tamper.once = vec![(Function::OpMemReclaim, 1, 3)];
    let stats = host.deactivate().expect("an active PSMMU");
    assert_eq!(stats, TransferStats { returned: 10, ..TransferStats::default() });
    host.check();
}

#[test]
fn a_list_longer_than_its_page_is_not_read() {
    let mut host = Host::started(Kind::stateful());
    host.activate().expect("an inactive PSMMU");
    host.harness.0.borrow_mut().tamper.once = vec![(Function::OpMemReclaim, 1, 513)];
    // The RMM released the granules nevertheless, so they are found when the operation has ended.
    let stats = host.deactivate().expect("an active PSMMU");
    assert_eq!(stats, TransferStats { returned: 10, ..TransferStats::default() });
    host.check();
}

#[test]
fn what_the_rmm_keeps_after_deactivation_is_leaked() {
    let mut host = Host::started(Kind::stateful());
    host.activate().expect("an inactive PSMMU");
    host.harness.0.borrow_mut().tamper.once = vec![(Function::PsmmuDeactivate, 0, 0)];
    let stats = host.deactivate().expect("the RMM says so");
    assert_eq!(stats, TransferStats { leaked: 10, ..TransferStats::default() });
    assert_eq!(host.donor.held_for(PSMMU), 0);
    host.check();
}

#[test]
fn memory_that_was_not_donated_is_refused_and_unchanged() {
    let mut host = Host::started(Kind::stateful());
    host.activate().expect("an inactive PSMMU");
    // Behind the one entry of the RMM: its first granule, memory of the host, nonsense, and a block of 2 MiB
    // that is not aligned and has the RMM's other granules in it.
    let mut more =
        [ARENA, ARENA + 20 * GRANULE, 1 << 52, 0x1000].map(|address| address | 1 << 2).to_vec();
    more.push((ARENA + GRANULE) | 1 << 2 | 1);
    host.harness.0.borrow_mut().rmm.appendix = more;
    let stats = host.deactivate().expect("an active PSMMU");
    // The first is what the RMM holds for itself and cannot be undelegated.
    assert_eq!(
        stats,
        TransferStats { returned: 10, leaked: 1, invalid: 4, ..TransferStats::default() }
    );
    host.check();
}

#[test]
fn an_operation_is_cancelled_once_then_continued_to_the_limit() {
    let limits = Limits { rounds: 10, ..Limits::DEFAULT };
    let mut host = Host::with_limits(Kind { can_cancel: true, ..Kind::stateful() }, limits);
    host.harness.0.borrow_mut().allocations = 0;
    let again = |function| vec![(function, 0, 0x50D); 100];
    let mut once = again(Function::OpCancel);
    once.append(&mut again(Function::OpContinue));
    host.harness.0.borrow_mut().tamper.once = once;
    host.harness.0.borrow_mut().rmm.strict = false;
    let error = host.donor.run(&host.rmi, Command::RmmActivate).expect_err("no memory");
    assert_eq!((error.cause, error.still_open), (Cause::NoMemory(1), true));
    assert_eq!(host.count(Function::OpCancel), 1);
    assert_eq!(host.count(Function::OpContinue), 8);
}

#[test]
fn a_busy_rmm_is_cancelled_too() {
    let kind = Kind { busy: 3, can_cancel: true, ..Kind::stateful() };
    let mut host = Host::started(kind);
    host.harness.0.borrow_mut().allocations = 0;
    assert_eq!(cause(host.activate()), Cause::NoMemory(4));
    assert_eq!(host.count(Function::OpCancel), 4);
    host.check();
}

#[test]
fn an_operation_that_stays_busy_is_cancelled_and_leaks_nothing() {
    let retries = 5;
    let limits = Limits { retries, ..Limits::DEFAULT };
    let mut host = Host::with_limits(Kind { can_cancel: true, ..Kind::stateful() }, limits);
    let busy = (Function::OpContinue, 0, Status::Busy as u64);
    // The RMM does continue, and fails the operation as a donation is missing.
    host.harness.0.borrow_mut().rmm.kind.for_itself.push(DonateRequest::granules(1, true));
    host.harness.0.borrow_mut().rmm.strict = false;
    host.harness.0.borrow_mut().tamper.once = vec![busy; retries as usize + 1];
    host.harness.0.borrow_mut().tamper.once.push((Function::OpMemDonate, 0, 0x40D));
    let error = host.donor.run(&host.rmi, Command::RmmActivate).expect_err("busy");
    assert!(matches!(error.cause, Cause::Rmi(error) if error.is_busy()), "{error}");
    assert_eq!(host.count(Function::OpCancel), 1);
    assert_eq!((host.donor.held(), host.donor.leaked(), error.still_open), (0, 0, false));
    host.check();
}

#[test]
fn blocks_of_2_mib_are_donated_as_blocks() {
    const BLOCK: u64 = 512;
    let one = DonateRequest::from_x2(1 << 16 | 1 << 2 | 1);
    let three = DonateRequest::from_x2(3 << 2 | 1);
    let for_psmmu = vec![one, three];
    let kind = Kind { for_psmmu, stride: BLOCK, for_itself: Vec::new(), ..Kind::stateful() };
    let harness = Shared::new(5 * BLOCK as usize, Rmm::new(kind), Tamper::default());
    let mut donor = MemoryDonor::<_, _>::new(harness.clone(), harness.page(LIST));
    let (rmi, mut page) = (Rmi::new(harness.clone()), harness.page(PARAMETERS));
    rmm::start(&rmi, &mut donor, &mut page).expect("a conforming RMM");
    psmmu::activate(&rmi, &mut donor, PSMMU, &mut page, &psmmu::PARAMS_NO_MSI).expect("valid");
    assert_eq!(donor.held_for(PSMMU), 4 * BLOCK);
    let stats = psmmu::deactivate(&rmi, &mut donor, PSMMU).expect("an active PSMMU");
    assert_eq!(stats, TransferStats { returned: 4 * BLOCK, ..TransferStats::default() });
    harness.check(0, 0);
}

#[test]
fn endless_requests_are_stopped_by_the_limit_and_cancelled() {
    for (requests, wanted) in [(1, Cause::GranuleLimit(1)), (8, Cause::GranuleLimit(8))] {
        for can_cancel in [false, true] {
            let limits = Limits { granules: 20, ..Limits::DEFAULT };
            let for_psmmu = vec![DonateRequest::granules(requests, true); 1000];
            let kind = Kind { for_psmmu, for_itself: Vec::new(), can_cancel, ..Kind::stateful() };
            let mut host = Host::with_limits(kind, limits);
            rmm::start(&host.rmi, &mut host.donor, &mut host.page).expect("a conforming RMM");
            assert_eq!(cause(host.activate()), wanted);
            assert_eq!(host.count(Function::OpCancel), usize::from(can_cancel));
            assert_eq!(host.donor.held(), 0);
            host.check();
        }
    }
}

#[test]
fn an_rmm_that_stays_busy_is_retried_up_to_the_limit() {
    let limits = Limits { retries: 50, ..Limits::DEFAULT };
    let mut host = Host::with_limits(Kind { busy: u32::MAX, ..Kind::stateful() }, limits);
    let error = host.donor.run(&host.rmi, Command::RmmActivate).expect_err("busy");
    assert!(matches!(error.cause, Cause::Rmi(error) if error.is_busy() || error.is_blocked()));
    assert_eq!(host.count(Function::RmmActivate), 51);
    assert!(!error.still_open, "it has not begun");
}

#[test]
fn unknown_requests_are_refused_and_end_the_operation() {
    let contiguous = |blocks| DonateRequest::granules(blocks, true).x2();
    for word in [0, contiguous(0), contiguous(1024), 0x1_0004 | 1 << 17, 0x1_0004 | 3 << 17] {
        let for_psmmu = vec![DonateRequest::from_x2(word)];
        let mut host = Host::started(Kind { for_psmmu, ..Kind::stateful() });
        assert!(matches!(cause(host.activate()), Cause::Request(_)), "{word:#x}");
        host.check();
    }
}

#[test]
fn a_donor_without_room_fails_before_it_allocates() {
    let harness = Shared::new(8, Rmm::new(Kind::stateful()), Tamper::default());
    let mut donor = MemoryDonor::<_, _, 0>::new(harness.clone(), harness.page(LIST));
    let result = donor.run(&Rmi::new(harness.clone()), Command::RmmActivate);
    assert_eq!(cause(result), Cause::NoRoom);
    assert_eq!(harness.places(), (8, 0, 0));
}

#[test]
fn an_active_rmm_is_taken_as_it_is_if_its_granules_are_of_4_kib() {
    let mut host = Host::started(Kind::immediate());
    let again = rmm::start(&host.rmi, &mut host.donor, &mut host.page).expect("active");
    assert!(again.was_active);
    assert_eq!(host.count(Function::RmmActivate), 0);

    host.harness.0.borrow_mut().rmm.configuration = [0, 2];
    let error = rmm::start(&host.rmi, &mut host.donor, &mut host.page).expect_err("64 KiB");
    assert_eq!(error, StartError::Configured([0, 2]));
}

#[test]
fn an_unsuitable_rmm_is_not_started_and_the_error_says_why() {
    let unsuitable = |version, features: [u64; 5]| {
        let mut host = Host::new(Kind::stateful());
        host.harness.0.borrow_mut().rmm.version = version;
        host.harness.0.borrow_mut().rmm.features = features;
        let error = rmm::start(&host.rmi, &mut host.donor, &mut host.page).expect_err("unsuitable");
        assert_eq!(host.count(Function::RmmConfigSet), 0);
        (error, error.to_string())
    };
    let fine = [48, 1, 1, 0, 0];

    let old = Version { major: 1, minor: 1 };
    let (error, text) = unsuitable([1, 0x1_0001, 0x1_0001], fine);
    assert_eq!(error, StartError::Rmi(RmiError::Version(old, old)));
    assert_eq!(text, "RMI 2.0 is needed, the RMM has 1.1 to 1.1");

    let (error, _) = unsuitable([0, 0x1_0001, 0x1_0001], fine);
    assert_eq!(
        error,
        StartError::Rmi(RmiError::Version(old, old)),
        "agreed to what it does not have"
    );

    let (_, text) = unsuitable([u64::MAX, 0, 0], fine);
    assert_eq!(text, "Version is not implemented: no RMM, or one without it");

    let (error, text) = unsuitable([0, 0x2_0000, 0x2_0000], [48, 6, 1, 0, 0]);
    assert_eq!(error, StartError::Granules(Register1::from_bits_retain(6)));
    assert_eq!(text, "granules of 4 KiB are needed, bit 0 of feature register 1; the RMM has 0x6");

    let (error, text) = unsuitable([0, 0x2_0000, 0x2_0000], [48, 1, 8, 0, 0]);
    assert_eq!(error, StartError::Devices(Register2::ATS));
    assert_eq!(text, "device assignment is needed, bit 0 of feature register 2; the RMM has 0x8");
}
