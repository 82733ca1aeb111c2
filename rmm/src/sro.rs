// SPDX-License-Identifier: MIT OR Apache-2.0

//! Implements the commands that take more than one call and the `OP_*` commands that continue them;
//! [`operation`] describes the protocol.
//!
//! Several host clients must be served. TF-A-Tests requires "incomplete" as the first answer of the four
//! PSMMU commands, calls `OP_CONTINUE` with its two arguments swapped (flags, which are zero, in X1 and
//! the handle in X2), and does so after a failed donation, as Xen does. Linux follows the specification,
//! but abandons an operation if a donation answers anything but "incomplete", and ends one that requests
//! memory by `OP_CANCEL` only.

use psmmu::{
    Activation, CreateError, DeviceMemory, HostGranule, HostMemory, L2TableToken, Memory,
    MemoryRequirements, Psmmu,
};
use psmmu_abi::{AddressRange, DonateRequest, GRANULE_SIZE, ResultWord, Status};

use crate::dispatch::{Environment, Outputs, Rmm, RmmState};
use crate::donated::{self, Tables};
use crate::granules::{GranuleState, Region};
use crate::operation::{self, Handle, Offer, Purpose, Transfer};

/// Flag of `OP_CONTINUE`: the host asks to stop the operation.
const STOP: u64 = 1;

/// Entries of a list that are read at once: it is copied in chunks, each word once.
const CHUNK: usize = 64;

/// Largest number of granules that one call zeroes; a larger donation takes more calls.
const WIPE_BATCH: u16 = 16;

/// Granules after which no further region is returned with the same call.
const RECLAIM_BATCH: u32 = 4096;

type PsmmuOf<'a, E> = Psmmu<<E as Environment>::Registers, <E as Environment>::Memory>;
type OperationOf<'a, E> =
    operation::Operation<'a, <E as Environment>::Registers, <E as Environment>::Memory>;
type PurposeOf<'a, E> = Purpose<'a, <E as Environment>::Registers, <E as Environment>::Memory>;

type FinishedOf<'a, E> = Finished<'a, <E as Environment>::Registers, <E as Environment>::Memory>;

/// What the host requests of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    /// Continue, but fail if it requests memory.
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

/// An address list of the host: consecutive words of one granule.
struct List {
    granule: HostGranule,
    first: usize,
    entries: usize,
}

impl List {
    /// Checks PA and number of entries; entries beyond the granule are not read.
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
    /// `RMI_PSMMU_ACTIVATE`: begins an operation that requests the memory of the PSMMU: stream table,
    /// command queue, event queue, and PRI queue if PRI is requested.
    ///
    /// Statuses as of [`Responder::activate_begin`](psmmu::Responder::activate_begin); `Blocked` or
    /// `Busy` if there are too many operations. `OP_CONTINUE` ends it with success, or with `ErrorDevice`
    /// if the device does not respond or reports an error, `ErrorInput` after a donation that did not
    /// match the request; the memory is then returned first, unless the device may still access it.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn psmmu_activate(&self, psmmu_ptr: u64, params: u64) -> Answer {
        self.begin(|| {
            let (psmmu, activation) = self.responder.activate_begin(psmmu_ptr, params)?;
            let MemoryRequirements { stream_table, command_queue, event_queue, pri_queue } =
                activation.needs();
            let needs = [stream_table, command_queue, event_queue].into_iter().chain(pri_queue);
            Ok(OperationOf::<E>::requesting(Purpose::Activate(psmmu, activation), needs))
        })
    }

    /// `RMI_PSMMU_DEACTIVATE`: disables the PSMMU, and begins an operation that returns its memory.
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
            Ok(OperationOf::<E>::returning(Purpose::Deactivate(psmmu), regions))
        })
    }

    /// `RMI_PSMMU_ST_L2_CREATE`: begins an operation that requests the granule of the level-2 table of
    /// the 64 streams from `first_stream` on.
    ///
    /// Statuses as of [`Responder::st_l2_create_begin`](psmmu::Responder::st_l2_create_begin), before any
    /// memory is requested. `OP_CONTINUE` ends it with the same statuses as an activation.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn psmmu_st_l2_create(&self, psmmu_ptr: u64, first_stream: u64) -> Answer {
        self.begin(|| {
            let (psmmu, table) = self.responder.st_l2_create_begin(psmmu_ptr, first_stream)?;
            Ok(OperationOf::<E>::requesting(Purpose::StL2Create(psmmu, table), [1]))
        })
    }

    /// `RMI_PSMMU_ST_L2_DESTROY`: removes the table, and begins an operation that returns its granule.
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
            Ok(OperationOf::<E>::returning(Purpose::Reclaim(ResultWord::SUCCESS), regions))
        })
    }

    /// `RMI_OP_CONTINUE`: continues the operation `handle`. Ends it if it requests no transfer, else
    /// returns the transfer that it requests, and the handle in X1.
    ///
    /// `ErrorInput` if there is no such operation, or another CPU runs it; `Busy` while another CPU waits
    /// for the same device, and the operation is to be continued again. With the flag STOP an operation
    /// that requests memory fails as if it were cancelled. Otherwise the flag is ignored: no call takes
    /// long.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_continue(&self, handle: u64, flags: u64) -> Answer {
        // TF-A-Tests passes the two swapped. No valid flags are a possible handle, so the first
        // operation, whose handle is 0, is never continued in slot of the one that such a host means.
        let is_swapped = handle == 0 && Handle::from_register(flags).is_some();
        let handle = if is_swapped { flags } else { handle };
        // A handle in the slot of the flags has this bit clear.
        let next = if flags & STOP != 0 { Next::Stop } else { Next::Continue };
        self.proceed(handle, next)
    }

    /// `RMI_OP_CANCEL`: cancels the operation `handle`, which requests memory. Answers "incomplete": the
    /// memory of the operation is reclaimed, and `OP_CONTINUE` ends it, with `ErrorInput`.
    ///
    /// `ErrorInput` if there is no such operation, or its last answer had no can-cancel bit: nothing has
    /// changed then.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_cancel(&self, handle: u64) -> ResultWord {
        let (result, _) = self.proceed(handle, Next::Cancel);
        result
    }

    /// Continues, stops or cancels an operation.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn proceed(&self, handle: u64, next: Next) -> Answer {
        let Some((handle, mut operation)) = self.operations.take(handle) else {
            return only(Status::ErrorInput);
        };
        let requests_memory = matches!(operation.transfer(), Transfer::Donate(_));
        if requests_memory && next != Next::Continue {
            operation = self.fail(operation, Status::ErrorInput);
        }
        if next == Next::Cancel {
            let result = if requests_memory {
                operation.transfer().answer().0
            } else {
                Status::ErrorInput.into()
            };
            self.operations.park(handle, operation);
            return only(result);
        }
        if operation.unwiped(WIPE_BATCH).is_some() {
            if !self.wipe_part(&mut operation) {
                operation = self.fail(operation, Status::ErrorInput);
            }
        } else if operation.transfer() == Transfer::None {
            let done = Purpose::Reclaim(ResultWord::SUCCESS);
            let purpose = core::mem::replace(&mut operation.purpose, done);
            match self.finish(purpose, &operation.regions) {
                Finished::Keeping(result) => {
                    self.operations.end(handle);
                    return only(result);
                }
                Finished::Returning(result) => {
                    let regions = operation.regions;
                    operation = OperationOf::<E>::returning(Purpose::Reclaim(result), regions);
                }
                Finished::Busy(purpose) => {
                    operation.purpose = purpose;
                    self.operations.park(handle, operation);
                    return only(Status::Busy);
                }
            }
        }
        let (result, x2) = operation.transfer().answer();
        self.operations.park(handle, operation);
        (result, [handle.register(), x2, 0])
    }

    /// `RMI_OP_MEM_DONATE`: donates the memory in the list at PA `list` to the operation `handle`. X1 is
    /// the number of granules taken, X2 the next request.
    ///
    /// `ErrorInput` if there is no such operation, or it requests no memory. A donation fails if the list
    /// is not aligned or not Non-secure, if it is anything but one region of the requested size and
    /// alignment, or if a granule of that is not delegated, in use already, or no memory. The operation
    /// has failed then: without memory it ends with this `ErrorInput`; otherwise its memory is to be
    /// reclaimed. An empty list changes nothing.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_mem_donate(&self, handle: u64, list: u64, entries: u64) -> Answer {
        let Some((handle, mut operation)) = self.operations.take(handle) else {
            return only(Status::ErrorInput);
        };
        let Transfer::Donate(request) = operation.transfer() else {
            self.operations.park(handle, operation);
            return only(Status::ErrorInput);
        };
        let taken = self.accept(&mut operation, request, list, entries);
        if let Err(status) = taken {
            operation = self.fail(operation, status);
            if operation.transfer() == Transfer::None {
                self.operations.end(handle);
                return only(status);
            }
        }
        let (result, x2) = operation.transfer().answer();
        self.operations.park(handle, operation);
        (result, [taken.unwrap_or(0), x2, 0])
    }

    /// `RMI_OP_MEM_RECLAIM`: returns memory of the operation `handle`: its regions are written to the
    /// list at PA `list`, at most `entries`. X1 is the number of entries written.
    ///
    /// `ErrorInput` if there is no such operation, if it returns no memory, or if the list is not aligned
    /// or not Non-secure; nothing has changed then.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn op_mem_reclaim(&self, handle: u64, list: u64, entries: u64) -> Answer {
        let Some((handle, mut operation)) = self.operations.take(handle) else {
            return only(Status::ErrorInput);
        };
        let written = if operation.transfer() == Transfer::Reclaim {
            self.return_regions(&mut operation, list, entries)
        } else {
            Err(Status::ErrorInput)
        };
        let answer = match written {
            Ok(written) => (operation.transfer().answer().0, [written as u64, 0, 0]),
            Err(status) => only(status),
        };
        self.operations.park(handle, operation);
        answer
    }

    /// Begins an operation: reserves a slot first, so that no operation is begun without one.
    #[inline(always)]
    fn begin(&self, begin: impl FnOnce() -> Result<OperationOf<'a, E>, ResultWord>) -> Answer {
        match self.operations.reserve() {
            // The RMM is deactivated with all slots reserved only, so not from here on.
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

    /// Returns the answer for an operation that was begun, or that failed to begin.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn begun(&self, handle: Handle, operation: Result<OperationOf<'a, E>, ResultWord>) -> Answer {
        match operation {
            Ok(operation) => {
                let (result, x2) = operation.transfer().answer();
                self.operations.park(handle, operation);
                (result, [handle.register(), x2, 0])
            }
            Err(result) => {
                self.operations.release(handle);
                only(result)
            }
        }
    }

    /// Takes the donated region of a list into use, and zeroes it now or in later calls. Returns the
    /// number of granules taken; 0 if the list is empty.
    #[cfg_attr(core_from_source, optimize(size))]
    fn accept(
        &self,
        operation: &mut OperationOf<'a, E>,
        request: DonateRequest,
        list: u64,
        entries: u64,
    ) -> Result<u64, Status> {
        let List { granule, first, entries } = List::new(list, entries)?;
        let mut offer = Offer::Empty;
        let mut words = [0; CHUNK];
        for start in (0..entries).step_by(CHUNK) {
            let (words, _) = words.split_at_mut(CHUNK.min(entries.saturating_sub(start)));
            let host = self.responder.host();
            host.read(granule, first + start, words).map_err(|_| Status::ErrorInput)?;
            let entries = words.iter().map(|&word| AddressRange::from_word(word));
            for entry in entries.filter(|entry| entry.count() != 0) {
                offer = offer.with(entry, request);
                if offer == Offer::Mismatch {
                    return Err(Status::ErrorInput);
                }
            }
        }
        let region = match offer {
            Offer::Empty => return Ok(0),
            Offer::Mismatch => return Err(Status::ErrorInput),
            Offer::Region(region) => region,
        };
        self.tracker
            .transition(region, GranuleState::Delegated, GranuleState::InUse)
            .map_err(|_| Status::ErrorInput)?;
        let is_small = region.granules <= WIPE_BATCH;
        if is_small && !self.environment.wipe(region) || operation.add_region(region).is_err() {
            self.release_region(region);
            return Err(Status::ErrorInput);
        }
        if is_small {
            operation.note_wiped(region.granules);
        }
        Ok(region.granules.into())
    }

    /// Zeroes the next part of a donated region, and returns whether that succeeded.
    #[cfg_attr(core_from_source, optimize(size))]
    fn wipe_part(&self, operation: &mut OperationOf<'a, E>) -> bool {
        let Some(part) = operation.unwiped(WIPE_BATCH) else {
            return true;
        };
        operation.note_wiped(part.granules);
        self.environment.wipe(part)
    }

    /// Turns an operation that has failed into one that returns its memory.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn fail(&self, operation: OperationOf<'a, E>, status: Status) -> OperationOf<'a, E> {
        match operation.purpose {
            Purpose::Activate(psmmu, activation) => psmmu.activate_cancel(activation),
            Purpose::StL2Create(psmmu, table) => psmmu.st_l2_create_cancel(table),
            Purpose::Deactivate(_) | Purpose::Reclaim(_) => {}
        }
        OperationOf::<E>::returning(Purpose::Reclaim(status.into()), operation.regions)
    }

    /// Returns as many regions as fit into a list and into one call's limit, and their number. The list
    /// is written before a region is released, so that a list that cannot be written leaks nothing.
    #[cfg_attr(core_from_source, optimize(size))]
    fn return_regions(
        &self,
        operation: &mut OperationOf<'a, E>,
        list: u64,
        entries: u64,
    ) -> Result<usize, Status> {
        let List { granule, first, entries } = List::new(list, entries)?;
        let mut words = [0; operation::MAX_REGIONS];
        let (mut count, mut granules) = (0, 0);
        for (word, region) in words.iter_mut().take(entries).zip(operation.remaining()) {
            if granules >= RECLAIM_BATCH {
                break;
            }
            *word = AddressRange::region(region.address, region.granules).word();
            (count, granules) = (count + 1, granules + u32::from(region.granules));
        }
        let words = words.get(..count).unwrap_or_default();
        self.responder.host().write(granule, first, words).map_err(|_| Status::ErrorInput)?;
        for _ in words {
            if let Some(region) = operation.pop_region() {
                self.release_region(region);
            }
        }
        Ok(words.len())
    }

    /// Ends the use of a region.
    #[cfg_attr(core_from_source, optimize(size))]
    fn release_region(&self, region: Region) {
        let returned =
            self.tracker.transition(region, GranuleState::InUse, GranuleState::Delegated);
        debug_assert!(returned.is_ok(), "{region:x?}: {returned:?}");
    }

    /// Completes an operation that has all of its memory, and returns what becomes of that memory.
    #[cfg_attr(core_from_source, optimize(size))]
    fn finish(&self, purpose: PurposeOf<'a, E>, regions: &[Region]) -> FinishedOf<'a, E> {
        match purpose {
            Purpose::Activate(psmmu, activation) => self.activate_psmmu(psmmu, activation, regions),
            Purpose::StL2Create(psmmu, table) => self.st_l2_create_finish(psmmu, table, regions),
            Purpose::Deactivate(psmmu) => {
                psmmu.finish_deactivation();
                Finished::Keeping(ResultWord::SUCCESS)
            }
            Purpose::Reclaim(result) => Finished::Keeping(result),
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
                Finished::Busy(Purpose::StL2Create(psmmu, table))
            }
            Err(failure) if failure.is_free => Finished::Returning(failure.error.into()),
            Err(failure) => Finished::Keeping(failure.error.into()),
        }
    }
}

/// How an operation was completed, and what becomes of its memory.
enum Finished<'a, R, M> {
    /// Ended with this result; the memory stays in use.
    Keeping(ResultWord),
    /// Ended with this result; the memory is to be returned to the host.
    Returning(ResultWord),
    /// Not ended: another CPU waits for the device. Nothing has changed.
    Busy(Purpose<'a, R, M>),
}
