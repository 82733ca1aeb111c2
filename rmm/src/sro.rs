// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands that take more than one call, and the calls that go on with them; [`operation`] says
//! how they hang together.
//!
//! Several host clients must be served. TF-A-Tests insists on "incomplete" as the first answer of the
//! four PSMMU commands, calls `OP_CONTINUE` with its two arguments swapped (flags, which are zero, in X1
//! and the handle in X2), and does so behind a donation that was refused, as Xen does. Linux goes by the
//! specification, but leaves an operation for good when a donation answers anything but "incomplete", and
//! has no other way out of one that asks for memory than `OP_CANCEL`.

use psmmu::{
    Activation, CreateError, DeviceMemory, HostGranule, HostMemory, L2TableToken, Memory,
    MemoryRequirements, Psmmu,
};
use psmmu_abi::{AddressRange, DonateRequest, GRANULE_SIZE, ResultWord, Status};

use crate::dispatch::{Environment, Outputs, Rmm, RmmState};
use crate::donated::{self, Tables};
use crate::granules::{GranuleState, Region};
use crate::operation::{self, Handle, Offer, Purpose, Wants};

/// Flag of `OP_CONTINUE`: the host would rather not go on.
const STOP: u64 = 1;

/// Entries of a list that are read at once: it is copied in pieces, each word once.
const CHUNK: usize = 64;

/// Granules that one call zeroes at most; a larger donation takes more calls.
const WIPE_BATCH: u16 = 16;

/// Granules after which no further region is given back with the same call.
const RECLAIM_BATCH: u32 = 4096;

type PsmmuOf<'a, E> = Psmmu<<E as Environment>::Registers, <E as Environment>::Memory>;
type OperationOf<'a, E> =
    operation::Operation<'a, <E as Environment>::Registers, <E as Environment>::Memory>;
type PurposeOf<'a, E> = Purpose<'a, <E as Environment>::Registers, <E as Environment>::Memory>;

type FinishedOf<'a, E> = Finished<'a, <E as Environment>::Registers, <E as Environment>::Memory>;

/// What the host wants with an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    /// To go on, but not if it takes memory.
    Stop,
    Cancel,
}

/// An answer.
type Answer = (ResultWord, Outputs);

/// An answer without outputs.
#[cfg_attr(core_from_source, optimize(size))]
fn only(result: impl Into<ResultWord>) -> Answer {
    (result.into(), [0; 3])
}

/// An address list of the host: words of one granule, from some word on.
struct List {
    granule: HostGranule,
    first: usize,
    entries: usize,
}

impl List {
    /// Takes PA and number of entries as they came; what is beyond the granule is not looked at.
    #[cfg_attr(core_from_source, optimize(size))]
    fn new(address: u64, entries: u64) -> Result<Self, Status> {
        const GRANULE: u64 = GRANULE_SIZE as u64;
        let offset = address % GRANULE;
        let granule = HostGranule::new(address - offset)
            .filter(|_| address.is_multiple_of(8))
            .ok_or(Status::ErrorInput)?;
        let first = (offset / 8) as usize;
        let room = AddressRange::MAX_ENTRIES.saturating_sub(first);
        let entries = usize::try_from(entries).unwrap_or(usize::MAX).min(room);
        Ok(Self { granule, first, entries })
    }
}

impl<'a, E: Environment> Rmm<'a, E> {
    /// `RMI_PSMMU_ACTIVATE`: an operation that asks for the memory that the PSMMU needs: stream table,
    /// command queue, event queue, and PRI queue if page requests are wanted.
    ///
    /// Statuses as of [`Responder::activate_begin`](psmmu::Responder::activate_begin); `Blocked` or
    /// `Busy` when there are too many operations. `OP_CONTINUE` ends it with success, or with
    /// `ErrorDevice` when the device does not answer or refuses, `ErrorInput` after a donation that was
    /// not what was asked for; the memory is then given back first, unless the device may still access
    /// it.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn psmmu_activate(&self, psmmu_ptr: u64, params: u64) -> Answer {
        self.begin(|| {
            let (psmmu, activation) = self.responder.activate_begin(psmmu_ptr, params)?;
            let MemoryRequirements { stream_table, command_queue, event_queue, pri_queue } =
                activation.needs();
            let needs = [stream_table, command_queue, event_queue].into_iter().chain(pri_queue);
            Ok(OperationOf::<E>::needing(Purpose::Activate(psmmu, activation), needs))
        })
    }

    /// `RMI_PSMMU_DEACTIVATE`: brings the PSMMU to rest, and an operation gives its memory back.
    ///
    /// Statuses as of [`Responder::deactivate_begin`](psmmu::Responder::deactivate_begin).
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn psmmu_deactivate(&self, psmmu_ptr: u64) -> Answer {
        self.begin(|| {
            let (psmmu, memory) =
                self.responder.deactivate_begin(psmmu_ptr, self.environment.clock())?;
            let regions = memory.into_iter().flat_map(|memory| {
                let Memory { stream_table, command_queue, event_queue, pri_queue, .. } = memory;
                [stream_table, command_queue, event_queue].into_iter().chain(pri_queue)
            });
            let regions = regions.map(|memory| Region {
                address: memory.address(),
                granules: (memory.words() / AddressRange::MAX_ENTRIES) as u16,
            });
            Ok(OperationOf::<E>::giving(Purpose::Deactivate(psmmu), regions))
        })
    }

    /// `RMI_PSMMU_ST_L2_CREATE`: an operation that asks for the granule of the level-2 table of the 64
    /// streams from `first_stream` on.
    ///
    /// Statuses as of [`Responder::st_l2_create_begin`](psmmu::Responder::st_l2_create_begin), before any memory is
    /// asked for. `OP_CONTINUE` ends it as it ends an activation.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn psmmu_st_l2_create(&self, psmmu_ptr: u64, first_stream: u64) -> Answer {
        self.begin(|| {
            let (psmmu, table) = self.responder.st_l2_create_begin(psmmu_ptr, first_stream)?;
            Ok(OperationOf::<E>::needing(Purpose::MakeTable(psmmu, table), [1]))
        })
    }

    /// `RMI_PSMMU_ST_L2_DESTROY`: takes the table away, and an operation gives its granule back.
    ///
    /// Statuses as of [`Responder::st_l2_destroy`](psmmu::Responder::st_l2_destroy).
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn psmmu_st_l2_destroy(&self, psmmu_ptr: u64, first_stream: u64) -> Answer {
        self.begin(|| {
            let clock = self.environment.clock();
            let address =
                self.responder.st_l2_destroy(psmmu_ptr, first_stream, &Tables(self), clock)?;
            let regions = [Region::granule(address)];
            Ok(OperationOf::<E>::giving(Purpose::GiveBack(ResultWord::SUCCESS), regions))
        })
    }

    /// `RMI_OP_CONTINUE`: goes on with the operation `handle`, ends it if it wants nothing, and says
    /// what it wants otherwise. X1 is the handle then.
    ///
    /// `ErrorInput` when there is no such operation, or another CPU works on it; `Busy` while another CPU
    /// waits for the device that it is about, and then it waits to be gone on with again. By the flag STOP
    /// a host says that it has no memory for an operation that asks for some: that fails as if it were
    /// cancelled. Otherwise the flag is not looked at: no call takes long.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_continue(&self, handle: u64, flags: u64) -> Answer {
        // TF-A-Tests has the two the other way round. What can be a handle is no flags, so the first
        // operation, whose handle is 0, is never taken for the one that such a host means.
        let is_swapped = handle == 0 && Handle::from_register(flags).is_some();
        let handle = if is_swapped { flags } else { handle };
        // A handle in the place of the flags has this bit clear.
        let next = if flags & STOP != 0 { Next::Stop } else { Next::Continue };
        self.go_on(handle, next)
    }

    /// `RMI_OP_CANCEL`: gives up the operation `handle`, which asks for memory. It answers "incomplete":
    /// what the operation holds is reclaimed, and `OP_CONTINUE` ends it, with `ErrorInput`.
    ///
    /// `ErrorInput` when there is no such operation, or it cannot be cancelled, as its last answer said:
    /// nothing has changed then.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_cancel(&self, handle: u64) -> ResultWord {
        let (result, _) = self.go_on(handle, Next::Cancel);
        result
    }

    /// Does with an operation what the host wants.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn go_on(&self, handle: u64, next: Next) -> Answer {
        let Some((handle, mut operation)) = self.operations.take(handle) else {
            return only(Status::ErrorInput);
        };
        let asks = matches!(operation.wants(), Wants::Donation(_));
        if asks && next != Next::Continue {
            operation = self.fail(operation, Status::ErrorInput);
        }
        if next == Next::Cancel {
            let result =
                if asks { operation.wants().answer().0 } else { Status::ErrorInput.into() };
            self.operations.park(handle, operation);
            return only(result);
        }
        if operation.unwiped(WIPE_BATCH).is_some() {
            if !self.wipe_part(&mut operation) {
                operation = self.fail(operation, Status::ErrorInput);
            }
        } else if operation.wants() == Wants::Nothing {
            let done = Purpose::GiveBack(ResultWord::SUCCESS);
            let purpose = core::mem::replace(&mut operation.purpose, done);
            match self.finish(purpose, &operation.regions) {
                Finished::Keeping(result) => {
                    self.operations.end(handle);
                    return only(result);
                }
                Finished::Returning(result) => {
                    let regions = operation.regions;
                    operation = OperationOf::<E>::giving(Purpose::GiveBack(result), regions);
                }
                Finished::Busy(purpose) => {
                    operation.purpose = purpose;
                    self.operations.park(handle, operation);
                    return only(Status::Busy);
                }
            }
        }
        let (result, x2) = operation.wants().answer();
        self.operations.park(handle, operation);
        (result, [handle.register(), x2, 0])
    }

    /// `RMI_OP_MEM_DONATE`: gives the operation `handle` the memory in the list at PA `list`. X1 is the
    /// number of granules that it took, X2 what it asks for next.
    ///
    /// `ErrorInput` when there is no such operation, or it asks for nothing. A donation is refused when the
    /// list is not aligned or not the host's, when it offers anything else than one region of the size and
    /// alignment asked for, or when a granule of that is not delegated, in use already, or no memory. The
    /// operation has failed then: if it holds nothing it is over, by this `ErrorInput`; else it gives back
    /// what it holds. An empty list changes nothing.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_mem_donate(&self, handle: u64, list: u64, entries: u64) -> Answer {
        let Some((handle, mut operation)) = self.operations.take(handle) else {
            return only(Status::ErrorInput);
        };
        let Wants::Donation(request) = operation.wants() else {
            self.operations.park(handle, operation);
            return only(Status::ErrorInput);
        };
        let taken = self.accept(&mut operation, request, list, entries);
        if let Err(status) = taken {
            operation = self.fail(operation, status);
            if operation.wants() == Wants::Nothing {
                self.operations.end(handle);
                return only(status);
            }
        }
        let (result, x2) = operation.wants().answer();
        self.operations.park(handle, operation);
        (result, [taken.unwrap_or(0), x2, 0])
    }

    /// `RMI_OP_MEM_RECLAIM`: takes memory back from the operation `handle`: its regions are written to
    /// the list at PA `list`, as many as fit into `entries`. X1 is the number of entries written.
    ///
    /// `ErrorInput` when there is no such operation, when it gives nothing back, or when the list is not
    /// aligned or not the host's; nothing has changed then.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_mem_reclaim(&self, handle: u64, list: u64, entries: u64) -> Answer {
        let Some((handle, mut operation)) = self.operations.take(handle) else {
            return only(Status::ErrorInput);
        };
        let written = if operation.wants() == Wants::Reclaim {
            self.give_back(&mut operation, list, entries)
        } else {
            Err(Status::ErrorInput)
        };
        let answer = match written {
            Ok(written) => (operation.wants().answer().0, [written as u64, 0, 0]),
            Err(status) => only(status),
        };
        self.operations.park(handle, operation);
        answer
    }

    /// Begins an operation: finds a place for it first, so that nothing is begun that has none.
    #[inline(always)]
    fn begin(&self, begin: impl FnOnce() -> Result<OperationOf<'a, E>, ResultWord>) -> Answer {
        match self.operations.reserve() {
            // The RMM is deactivated while all places are taken: from here on it is not.
            Ok(handle) => {
                let begun = match self.state() {
                    RmmState::Active => begin(),
                    RmmState::Init => Err(Status::ErrorGlobal.into()),
                };
                self.begun(handle, begun)
            }
            Err(status) => only(status),
        }
    }

    /// Answers for an operation that was begun, or was not.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn begun(&self, handle: Handle, operation: Result<OperationOf<'a, E>, ResultWord>) -> Answer {
        match operation {
            Ok(operation) => {
                let (result, x2) = operation.wants().answer();
                self.operations.park(handle, operation);
                (result, [handle.register(), x2, 0])
            }
            Err(result) => {
                self.operations.forget(handle);
                only(result)
            }
        }
    }

    /// Takes the region that a list offers into use, and zeroes it or leaves that for later. Returns how
    /// many granules were taken; none if the list is empty.
    #[cfg_attr(core_from_source, optimize(size))]
    fn accept(
        &self,
        operation: &mut OperationOf<'a, E>,
        request: DonateRequest,
        list: u64,
        entries: u64,
    ) -> Result<u64, Status> {
        let List { granule, first, entries } = List::new(list, entries)?;
        let mut offer = Offer::Nothing;
        let mut words = [0; CHUNK];
        for start in (0..entries).step_by(CHUNK) {
            let (words, _) = words.split_at_mut(CHUNK.min(entries.saturating_sub(start)));
            let host = self.responder.host();
            host.read(granule, first + start, words).map_err(|_| Status::ErrorInput)?;
            let entries = words.iter().map(|&word| AddressRange::from_word(word));
            for entry in entries.filter(|entry| entry.count() != 0) {
                offer = offer.with(entry, request);
                if offer == Offer::Wrong {
                    return Err(Status::ErrorInput);
                }
            }
        }
        let region = match offer {
            Offer::Nothing => return Ok(0),
            Offer::Wrong => return Err(Status::ErrorInput),
            Offer::Region(region) => region,
        };
        self.tracker
            .transition(region, GranuleState::Delegated, GranuleState::InUse)
            .map_err(|_| Status::ErrorInput)?;
        let is_small = region.granules <= WIPE_BATCH;
        if is_small && !self.environment.wipe(region) || operation.take(region).is_err() {
            self.let_go(region);
            return Err(Status::ErrorInput);
        }
        if is_small {
            operation.note_wiped(region.granules);
        }
        Ok(region.granules.into())
    }

    /// Zeroes the next part of what was donated, and says whether that could be done.
    #[cfg_attr(core_from_source, optimize(size))]
    fn wipe_part(&self, operation: &mut OperationOf<'a, E>) -> bool {
        let Some(part) = operation.unwiped(WIPE_BATCH) else {
            return true;
        };
        operation.note_wiped(part.granules);
        self.environment.wipe(part)
    }

    /// Turns an operation that cannot go on into one that gives back what it has.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn fail(&self, operation: OperationOf<'a, E>, status: Status) -> OperationOf<'a, E> {
        match operation.purpose {
            Purpose::Activate(psmmu, activation) => psmmu.activate_cancel(activation),
            Purpose::MakeTable(psmmu, table) => psmmu.st_l2_create_cancel(table),
            Purpose::Deactivate(_) | Purpose::GiveBack(_) => {}
        }
        OperationOf::<E>::giving(Purpose::GiveBack(status.into()), operation.regions)
    }

    /// Gives back as many regions as fit into a list, and as one call has time for, and returns how many.
    /// Each is described before it is let go, so that a list that cannot be written loses nothing.
    #[cfg_attr(core_from_source, optimize(size))]
    fn give_back(
        &self,
        operation: &mut OperationOf<'a, E>,
        list: u64,
        entries: u64,
    ) -> Result<usize, Status> {
        let List { granule, first, entries } = List::new(list, entries)?;
        let mut words = [0; operation::MAX_REGIONS];
        let (mut count, mut granules) = (0, 0);
        for (word, region) in words.iter_mut().take(entries).zip(operation.left()) {
            if granules >= RECLAIM_BATCH {
                break;
            }
            *word = AddressRange::region(region.address, region.granules).word();
            (count, granules) = (count + 1, granules + u32::from(region.granules));
        }
        let words = words.get(..count).unwrap_or_default();
        self.responder.host().write(granule, first, words).map_err(|_| Status::ErrorInput)?;
        for _ in words {
            if let Some(region) = operation.give() {
                self.let_go(region);
            }
        }
        Ok(words.len())
    }

    /// Ends the use of a region.
    #[cfg_attr(core_from_source, optimize(size))]
    fn let_go(&self, region: Region) {
        let given = self.tracker.transition(region, GranuleState::InUse, GranuleState::Delegated);
        debug_assert!(given.is_ok(), "{region:x?}: {given:?}");
    }

    /// Does what an operation is for, which has all that it needs, and says what of its memory was
    /// kept.
    #[cfg_attr(core_from_source, optimize(size))]
    fn finish(&self, purpose: PurposeOf<'a, E>, regions: &[Region]) -> FinishedOf<'a, E> {
        match purpose {
            Purpose::Activate(psmmu, activation) => self.activate_psmmu(psmmu, activation, regions),
            Purpose::MakeTable(psmmu, table) => self.st_l2_create_finish(psmmu, table, regions),
            Purpose::Deactivate(psmmu) => {
                psmmu.finish_deactivation();
                Finished::Keeping(ResultWord::SUCCESS)
            }
            Purpose::GiveBack(result) => Finished::Keeping(result),
        }
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn activate_psmmu(
        &self,
        psmmu: &'a PsmmuOf<'a, E>,
        activation: Activation,
        regions: &[Region],
    ) -> FinishedOf<'a, E> {
        let &[stream_table, command_queue, event_queue, ref rest @ ..] = regions else {
            psmmu.activate_cancel(activation);
            return Finished::Returning(Status::ErrorInput.into());
        };
        let open = |region| donated::open(&self.environment, region);
        let memory = Memory {
            stream_table: open(stream_table),
            command_queue: open(command_queue),
            event_queue: open(event_queue),
            pri_queue: rest.first().copied().map(open),
            completion: self.environment.completion(psmmu),
        };
        match psmmu.activate(activation, memory, self.environment.clock()) {
            Ok(()) => Finished::Keeping(ResultWord::SUCCESS),
            Err(failure) => {
                let result = Status::from(failure.error).into();
                if failure.memory.is_some() {
                    Finished::Returning(result)
                } else {
                    Finished::Keeping(result)
                }
            }
        }
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn st_l2_create_finish(
        &self,
        psmmu: &'a PsmmuOf<'a, E>,
        table: L2TableToken,
        regions: &[Region],
    ) -> FinishedOf<'a, E> {
        let &[Region { address, .. }] = regions else {
            psmmu.st_l2_create_cancel(table);
            return Finished::Returning(Status::ErrorInput.into());
        };
        match psmmu.st_l2_create_finish(table, address, &Tables(self), self.environment.clock()) {
            Ok(()) => Finished::Keeping(ResultWord::SUCCESS),
            Err(CreateError { claim: Some(table), .. }) => {
                Finished::Busy(Purpose::MakeTable(psmmu, table))
            }
            Err(failure) if failure.is_free => Finished::Returning(failure.error.into()),
            Err(failure) => Finished::Keeping(failure.error.into()),
        }
    }
}

/// How an operation that has all that it needs has ended, and what became of its memory.
enum Finished<'a, R, M> {
    /// With this result; the memory is in use.
    Keeping(ResultWord),
    /// With this result; the memory goes back to the host.
    Returning(ResultWord),
    /// It has not: another CPU waits for the device. Nothing has changed.
    Busy(Purpose<'a, R, M>),
}
