// SPDX-License-Identifier: MIT OR Apache-2.0

//! A conforming RMM, which checks that the host conforms too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use psmmu_abi::{AddressRange, DonateRequest, Function, MemoryTransfer, ResultWord, Status};

use crate::harness::{GRANULE, LIST, PARAMETERS};

/// `psmmu_ptr` of the only PSMMU.
pub const PSMMU: u64 = 0x2B40_0000;

/// State of a granule in Realm PAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Delegated,
    Internal,
}

/// An operation.
#[derive(Debug)]
struct Operation {
    function: Function,
    stream: u64,
    /// Donations that it still requests.
    wants: VecDeque<DonateRequest>,
    /// Donated granules, in the order of donation.
    taken: Vec<u64>,
    /// Granules that it returns.
    gives: VecDeque<u64>,
    /// Result when it ends.
    result: u64,
}

/// Kind of RMM.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Donations requested to activate the RMM.
    pub for_itself: Vec<DonateRequest>,
    /// Donations requested to activate a PSMMU.
    pub for_psmmu: Vec<DonateRequest>,
    /// Donations requested to create a table.
    pub for_table: Vec<DonateRequest>,
    /// Operations can be cancelled.
    pub can_cancel: bool,
    /// Handle of its operations.
    pub handle: u64,
    /// Entries of one list of returned memory.
    pub entries: usize,
    /// Granules changed by one call.
    pub stride: u64,
    /// Number of "busy" answers, or "blocked" to a command that begins an operation, before each answer.
    pub busy: u32,
    /// Neither delegates nor undelegates the granule at this address.
    pub stubborn: Option<u64>,
    /// It undelegates returned memory.
    pub undelegates: bool,
    /// It fails the donation of this number, once.
    pub refuses_donation: Option<u32>,
    /// An operation without memory ends with a failed donation.
    pub ends_by_refusal: bool,
}

impl Kind {
    /// An RMM that needs no memory.
    pub fn immediate() -> Self {
        Self {
            for_itself: Vec::new(),
            for_psmmu: Vec::new(),
            for_table: Vec::new(),
            can_cancel: false,
            handle: 0,
            entries: 512,
            stride: 1,
            busy: 0,
            stubborn: None,
            undelegates: false,
            refuses_donation: None,
            ends_by_refusal: false,
        }
    }

    /// An RMM that requests memory in every form.
    pub fn stateful() -> Self {
        Self {
            for_itself: vec![DonateRequest::granules(3, false)],
            for_psmmu: vec![
                DonateRequest::granules(4, true),
                DonateRequest::granules(1, true),
                DonateRequest::granules(5, false),
            ],
            for_table: vec![DonateRequest::granules(1, true)],
            ..Self::immediate()
        }
    }
}

/// The RMM.
pub struct Rmm {
    pub kind: Kind,
    pub version: [u64; 3],
    pub features: [u64; 5],
    pub active: bool,
    pub configuration: [u64; 2],
    pub psmmu_active: bool,
    pub tables: BTreeSet<u64>,
    /// A device uses the tables.
    pub in_use: bool,
    /// Violations of the host fail the test. Otherwise they are rejected, as the host may have been
    /// misled.
    pub strict: bool,
    /// Words of the last parameters.
    pub parameters: [u64; 7],
    /// Times that the host asked an operation to stop.
    pub stops: u64,
    /// Entries behind those of the last list.
    pub appendix: Vec<u64>,
    granules: BTreeMap<u64, Held>,
    for_psmmu: Vec<u64>,
    for_tables: BTreeMap<u64, Vec<u64>>,
    operation: Option<Operation>,
    /// The last operation ended by a failed donation, which a host may not have noticed yet.
    refused: bool,
    busy: u32,
    donations: u32,
}

impl Rmm {
    pub fn new(kind: Kind) -> Self {
        Self {
            busy: kind.busy,
            kind,
            version: [0, 0x2_0000, 0x2_0000],
            features: [48, 1, 1, 0, 0],
            active: false,
            configuration: [0; 2],
            psmmu_active: false,
            tables: BTreeSet::new(),
            in_use: false,
            strict: true,
            parameters: [0; 7],
            stops: 0,
            appendix: Vec::new(),
            granules: BTreeMap::new(),
            for_psmmu: Vec::new(),
            for_tables: BTreeMap::new(),
            operation: None,
            refused: false,
            donations: 0,
        }
    }

    /// Returns whether an operation is open.
    pub const fn is_at_it(&self) -> bool {
        self.operation.is_some()
    }

    /// Answers one call.
    pub fn handle(
        &mut self,
        function: Function,
        x: [u64; 8],
        list: &mut [u64; 512],
        parameters: &mut [u64; 512],
    ) -> [u64; 8] {
        let answer =
            |outputs: [u64; 3]| [outputs[0], outputs[1], outputs[2], 0, x[4], x[5], x[6], x[7]];
        let begins = matches!(
            function,
            Function::RmmActivate
                | Function::PsmmuActivate
                | Function::PsmmuDeactivate
                | Function::PsmmuStL2Create
                | Function::PsmmuStL2Destroy
        );
        let moves = matches!(
            function,
            Function::OpContinue
                | Function::OpMemDonate
                | Function::OpMemReclaim
                | Function::OpCancel
                | Function::GranuleRangeDelegate
                | Function::GranuleRangeUndelegate
        );
        if begins || moves {
            if self.busy > 0 {
                self.busy -= 1;
                let blocked = begins && self.busy % 2 == 1;
                let status = if blocked { Status::Blocked } else { Status::Busy };
                return answer([status as u64, 0, 0]);
            }
            self.busy = self.kind.busy;
        }
        answer(match function {
            Function::Version => self.version,
            Function::Features => [0, self.features[x[1] as usize], 0],
            Function::RmmConfigSet if self.active => [Status::ErrorGlobal as u64, 0, 0],
            Function::RmmConfigSet => {
                assert_eq!(x[1], PARAMETERS);
                assert_eq!(parameters[..2], [0, 0]);
                [0; 3]
            }
            Function::RmmConfigGet => {
                assert_eq!(x[1], PARAMETERS);
                parameters[..2].copy_from_slice(&self.configuration);
                [0; 3]
            }
            Function::GranuleRangeDelegate => self.change(x[1], x[2], None, Some(Held::Delegated)),
            Function::GranuleRangeUndelegate => {
                self.change(x[1], x[2], Some(Held::Delegated), None)
            }
            Function::OpContinue
            | Function::OpMemDonate
            | Function::OpMemReclaim
            | Function::OpCancel
                if self.operation.is_none() || x[1] != self.kind.handle =>
            {
                let is_reported =
                    core::mem::take(&mut self.refused) && function == Function::OpContinue;
                let known = !self.strict || is_reported;
                assert!(known, "{function:?} without an operation, or with another handle");
                [Status::ErrorInput as u64, 0, 0]
            }
            Function::OpContinue => self.proceed(x[2]),
            Function::OpMemDonate => self.donate(x, list),
            Function::OpMemReclaim => self.reclaim(x, list),
            Function::OpCancel => self.cancel(),
            _ => self.begin(function, x, parameters),
        })
    }

    fn change(&mut self, base: u64, top: u64, from: Option<Held>, to: Option<Held>) -> [u64; 3] {
        let mut end = base;
        while end < top.min(base + self.kind.stride * GRANULE) {
            let stubborn = self.kind.stubborn == Some(end);
            if stubborn || self.granules.get(&end).copied() != from {
                break;
            }
            match to {
                Some(held) => drop(self.granules.insert(end, held)),
                None => drop(self.granules.remove(&end)),
            }
            end += GRANULE;
        }
        if end == base { [Status::ErrorInput as u64, base, 0] } else { [0, end, 0] }
    }

    fn begin(&mut self, function: Function, x: [u64; 8], parameters: &[u64; 512]) -> [u64; 3] {
        const INPUT: [u64; 3] = [Status::ErrorInput as u64, 0, 0];
        if self.operation.is_some() {
            return [Status::Blocked as u64, 0, 0];
        }
        let stream = x[2];
        let (mut wants, mut gives) = (Vec::new(), Vec::new());
        if function != Function::RmmActivate && (!self.active || x[1] != PSMMU) {
            return INPUT;
        }
        match function {
            Function::RmmActivate if self.active => return [Status::ErrorGlobal as u64, 0, 0],
            Function::RmmActivate => wants = self.kind.for_itself.clone(),
            Function::PsmmuActivate if self.psmmu_active => return INPUT,
            Function::PsmmuActivate => {
                assert_eq!(x[2], PARAMETERS);
                self.parameters.copy_from_slice(&parameters[..7]);
                wants = self.kind.for_psmmu.clone();
            }
            _ if !self.psmmu_active => return INPUT,
            Function::PsmmuDeactivate if !self.tables.is_empty() => return INPUT,
            Function::PsmmuDeactivate => gives = self.for_psmmu.clone(),
            _ if !stream.is_multiple_of(64) => return INPUT,
            Function::PsmmuStL2Create if self.tables.contains(&stream) => {
                return [ResultWord::stream_table(2).x0(), 0, 0];
            }
            Function::PsmmuStL2Create => wants = self.kind.for_table.clone(),
            Function::PsmmuStL2Destroy if self.in_use => {
                return [ResultWord::stream_table(2).x0(), 0, 0];
            }
            Function::PsmmuStL2Destroy if self.tables.contains(&stream) => {
                gives = self.for_tables.get(&stream).cloned().unwrap_or_default();
            }
            _ => return INPUT,
        }
        self.operation = Some(Operation {
            function,
            stream,
            wants: wants.into(),
            taken: Vec::new(),
            gives: gives.into(),
            result: 0,
        });
        if self.operation.as_ref().is_some_and(|op| op.wants.is_empty() && op.gives.is_empty()) {
            return self.end();
        }
        let [x0, _, x2] = self.next();
        [x0, self.kind.handle, x2]
    }

    /// Answers with the transfer that the operation requests. X1 is arbitrary; the host must not take it
    /// as the handle.
    fn next(&self) -> [u64; 3] {
        let operation = self.operation.as_ref().expect("one is going on");
        let (transfer, x2) = match operation.wants.front() {
            _ if !operation.gives.is_empty() => (MemoryTransfer::Reclaim, 0),
            Some(request) if operation.result == 0 => (MemoryTransfer::Donate, request.x2()),
            _ => (MemoryTransfer::None, 0),
        };
        let x0 = ResultWord::incomplete(transfer, self.kind.can_cancel).x0();
        [x0, !self.kind.handle, x2]
    }

    fn donate(&mut self, x: [u64; 8], list: &[u64; 512]) -> [u64; 3] {
        let [_, _, address, entries, ..] = x;
        assert_eq!(address, LIST);
        self.donations += 1;
        if self.kind.refuses_donation == Some(self.donations) {
            self.fail();
            let holds_nothing = self.operation.as_ref().is_some_and(|op| op.gives.is_empty());
            return match (self.kind.ends_by_refusal, holds_nothing) {
                (true, true) => {
                    (self.operation, self.refused) = (None, true);
                    [Status::ErrorInput as u64, 0, 0]
                }
                (true, false) => {
                    let [x0, ..] = self.next();
                    [x0, 0, 0]
                }
                (false, _) => [Status::ErrorInput as u64, 0, 0],
            };
        }
        let operation = self.operation.as_ref().expect("one is going on");
        let Some(&request) = operation.wants.front() else {
            assert!(!self.strict, "nothing was asked for");
            return [Status::ErrorInput as u64, 0, 0];
        };
        let mut given = Vec::new();
        for &word in &list[..entries as usize] {
            let entry = AddressRange::from_word(word);
            given.extend((0..entry.total_granules()).map(|n| entry.address() + n * GRANULE));
        }
        let wanted = request.count() * request.block_size().granules();
        let aligned = |granules: u64| given[0] % (granules.next_power_of_two() * GRANULE) == 0;
        // One entry for one region, aligned to its size, and no more than was requested.
        let good = if request.is_contiguous() {
            (entries, given.len() as u64) == (1, wanted) && aligned(wanted)
        } else {
            given.len() as u64 <= wanted && !given.is_empty()
        };
        let theirs =
            given.iter().all(|granule| self.granules.get(granule) == Some(&Held::Delegated));
        if !good || !theirs {
            assert!(!self.strict, "asked for {request:?}, given {given:x?}");
            return [Status::ErrorInput as u64, 0, 0];
        }
        self.granules.extend(given.iter().map(|&granule| (granule, Held::Internal)));
        let operation = self.operation.as_mut().expect("one is going on");
        operation.wants.pop_front();
        let rest = wanted - given.len() as u64;
        if rest > 0 {
            operation.wants.push_front(DonateRequest::granules(rest as u16, false));
        }
        let count = given.len() as u64;
        operation.taken.append(&mut given);
        let [x0, _, x2] = self.next();
        [x0, count, x2]
    }

    fn reclaim(&mut self, x: [u64; 8], list: &mut [u64; 512]) -> [u64; 3] {
        let [_, _, address, room, ..] = x;
        assert_eq!(address, LIST);
        let operation = self.operation.as_mut().expect("one is going on");
        let mut entries: Vec<(u64, u16)> = Vec::new();
        while let Some(&granule) = operation.gives.front() {
            let full = entries.len() == self.kind.entries.min(room as usize);
            match entries.last_mut() {
                Some((base, count))
                    if *count < AddressRange::MAX_COUNT
                        && *base + u64::from(*count) * GRANULE == granule =>
                {
                    *count += 1
                }
                _ if full => break,
                _ => entries.push((granule, 1)),
            }
            if self.kind.undelegates {
                self.granules.remove(&granule);
            } else {
                self.granules.insert(granule, Held::Delegated);
            }
            operation.gives.pop_front();
        }
        for (word, &(base, count)) in list.iter_mut().zip(&entries) {
            let state = if self.kind.undelegates { 1 << 63 } else { 0 };
            *word = AddressRange::granules(base, count).word() | state;
        }
        let mut count = entries.len();
        if operation.gives.is_empty() {
            for word in self.appendix.drain(..) {
                list[count] = word;
                count += 1;
            }
        }
        let [x0, ..] = self.next();
        [x0, count as u64, 0]
    }

    /// Returns all memory and ends with an error.
    fn fail(&mut self) {
        let operation = self.operation.as_mut().expect("one is going on");
        operation.gives.extend(operation.taken.drain(..));
        operation.result = Status::ErrorInput as u64;
    }

    fn proceed(&mut self, flags: u64) -> [u64; 3] {
        assert!(flags <= 1);
        self.stops += flags;
        let operation = self.operation.as_ref().expect("one is going on");
        if operation.result == 0 && !operation.wants.is_empty() {
            self.fail();
        }
        let operation = self.operation.as_ref().expect("one is going on");
        if operation.gives.is_empty() { self.end() } else { self.next() }
    }

    fn cancel(&mut self) -> [u64; 3] {
        if !self.kind.can_cancel {
            return [Status::ErrorInput as u64, 0, 0];
        }
        self.fail();
        self.next()
    }

    fn end(&mut self) -> [u64; 3] {
        let Operation { function, stream, taken, result, .. } =
            self.operation.take().expect("one is going on");
        if result == 0 {
            match function {
                Function::RmmActivate => self.active = true,
                Function::PsmmuActivate => {
                    self.psmmu_active = true;
                    self.for_psmmu = taken;
                }
                Function::PsmmuDeactivate => {
                    self.psmmu_active = false;
                    self.for_psmmu.clear();
                }
                Function::PsmmuStL2Create => {
                    self.tables.insert(stream);
                    self.for_tables.insert(stream, taken);
                }
                _ => {
                    self.tables.remove(&stream);
                    self.for_tables.remove(&stream);
                }
            }
        }
        [result, 0, 0]
    }
}
