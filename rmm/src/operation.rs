// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stateful operations (SRO): begun by one call of the host and ended by another, as memory is donated or
//! reclaimed in between.
//!
//! An operation requests memory (DONATE) until it has all of it and completes when the host continues it
//! (CONTINUE), or returns memory (RECLAIM) and then ends. It can be cancelled while it requests memory.
//! If it is cancelled, or a donation fails, the operation fails as a whole: memory donated before is
//! reclaimed, and then the operation ends with the error. So no operation can wait forever.
//!
//! A large region is zeroed in parts, one with each CONTINUE, so that no call keeps interrupts masked for
//! long.
//!
//! A [`Table`] has a fixed number of operations. A CPU that continues one takes it out of the table
//! meanwhile, so no lock is held and two CPUs never run the same operation. Its [handle](Handle) has a
//! generation count, so that the handle of an ended operation is not taken for that of the next.

use heapless::Vec;
use psmmu::sync::Lock;
use psmmu::{Activation, L2TableToken, Psmmu};
use psmmu_abi::{AddressRange, DonateRequest, MemState, MemoryTransfer, ResultWord, Status};

use crate::granules::Region;

/// Largest number of operations that are open at the same time.
pub const MAX_OPERATIONS: usize = 8;

/// Largest number of memory regions of an operation.
pub const MAX_REGIONS: usize = 4;

/// Handle of an operation: its slot and the number of operations in that slot before. The first one is 0,
/// and bits 7:0 of all are zero, which distinguishes them from the flags of `OP_CONTINUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    slot: u8,
    generation: u32,
}

impl Handle {
    const SLOT_SHIFT: u32 = 8;
    const GENERATION_SHIFT: u32 = 16;

    /// Returns the register value of the handle.
    #[must_use]
    pub const fn register(self) -> u64 {
        (self.generation as u64) << Self::GENERATION_SHIFT | (self.slot as u64) << Self::SLOT_SHIFT
    }

    /// Decodes a handle from a register; `None` if it cannot be one.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn from_register(register: u64) -> Option<Self> {
        let handle = Self {
            slot: (register >> Self::SLOT_SHIFT) as u8,
            generation: (register >> Self::GENERATION_SHIFT) as u32,
        };
        (handle.register() == register).then_some(handle)
    }
}

/// Purpose of an operation.
#[derive(Debug)]
pub enum Purpose<'a, R, M> {
    /// Activates a PSMMU.
    Activate(&'a Psmmu<R, M>, Activation),
    /// Creates a level-2 stream table.
    StL2Create(&'a Psmmu<R, M>, L2TableToken),
    /// Returns the memory of a PSMMU, then makes it inactive.
    Deactivate(&'a Psmmu<R, M>),
    /// Returns memory, then ends with this result.
    Reclaim(ResultWord),
}

/// Transfer that an operation requests from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The host donates this memory.
    Donate(DonateRequest),
    /// The host reclaims memory.
    Reclaim,
    /// No transfer: the host continues the operation.
    None,
}

impl Transfer {
    /// Returns X0 and X2 of the "incomplete" answer. An operation that requests memory can be cancelled:
    /// a host without memory may have no other way to end it.
    #[must_use]
    pub const fn answer(self) -> (ResultWord, u64) {
        let (transfer, can_cancel, x2) = match self {
            Self::Donate(request) => (MemoryTransfer::Donate, true, request.x2()),
            Self::Reclaim => (MemoryTransfer::Reclaim, false, 0),
            Self::None => (MemoryTransfer::None, false, 0),
        };
        (ResultWord::incomplete(transfer, can_cancel), x2)
    }
}

/// A stateful operation.
#[derive(Debug)]
pub struct Operation<'a, R, M> {
    /// Its purpose.
    pub purpose: Purpose<'a, R, M>,
    /// Its requirements: contiguous regions of this many granules each, in this order.
    needs: Vec<u16, MAX_REGIONS>,
    /// Its memory: the regions donated so far, or those to be returned.
    pub regions: Vec<Region, MAX_REGIONS>,
    /// Number of granules at the end of the last region that are still to be zeroed.
    unwiped: u16,
    /// Number of regions that were returned.
    returned: usize,
}

impl<'a, R, M> Operation<'a, R, M> {
    /// Creates an operation that requests memory.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn requesting(purpose: Purpose<'a, R, M>, needs: impl IntoIterator<Item = u16>) -> Self {
        Self {
            purpose,
            needs: needs.into_iter().take(MAX_REGIONS).collect(),
            regions: Vec::new(),
            unwiped: 0,
            returned: 0,
        }
    }

    /// Creates an operation that returns memory.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn returning(
        purpose: Purpose<'a, R, M>,
        regions: impl IntoIterator<Item = Region>,
    ) -> Self {
        let regions = regions.into_iter().take(MAX_REGIONS).collect();
        Self { purpose, needs: Vec::new(), regions, unwiped: 0, returned: 0 }
    }

    /// Adds a donated region that is still to be zeroed.
    ///
    /// # Errors
    /// The region, if there is no room for it.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn add_region(&mut self, region: Region) -> Result<(), Region> {
        self.regions.push(region)?;
        self.unwiped = region.granules;
        Ok(())
    }

    /// Returns the next part to be zeroed, at most `granules`; `None` if all is zeroed.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn unwiped(&self, granules: u16) -> Option<Region> {
        let region = self.regions.last().filter(|_| self.unwiped != 0)?;
        let wiped = Region { granules: region.granules.saturating_sub(self.unwiped), ..*region };
        Some(Region {
            address: wiped.address.wrapping_add(wiped.bytes()),
            granules: granules.min(self.unwiped),
        })
    }

    /// Records that the first `granules` of that part are zeroed.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn note_wiped(&mut self, granules: u16) {
        self.unwiped = self.unwiped.saturating_sub(granules);
    }

    /// Returns the regions still to be returned.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn remaining(&self) -> &[Region] {
        self.regions.get(self.returned..).unwrap_or(&[])
    }

    /// Removes the first region still to be returned.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn pop_region(&mut self) -> Option<Region> {
        let region = self.remaining().first().copied();
        self.returned = self.returned.saturating_add(region.is_some().into());
        region
    }

    /// Returns the transfer that it requests.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn transfer(&self) -> Transfer {
        match &self.purpose {
            Purpose::Activate(..) | Purpose::StL2Create(..) if self.unwiped != 0 => Transfer::None,
            Purpose::Activate(..) | Purpose::StL2Create(..) => {
                match self.needs.get(self.regions.len()) {
                    Some(&granules) => Transfer::Donate(DonateRequest::region(granules)),
                    None => Transfer::None,
                }
            }
            Purpose::Deactivate(_) | Purpose::Reclaim(_) if !self.remaining().is_empty() => {
                Transfer::Reclaim
            }
            Purpose::Deactivate(_) | Purpose::Reclaim(_) => Transfer::None,
        }
    }
}

/// Decoded address list of the host, for a request of one contiguous region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The list is empty.
    Empty,
    /// This region.
    Region(Region),
    /// The list does not match the request.
    Mismatch,
}

impl Offer {
    /// Adds an entry of the list.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn with(self, entry: AddressRange, request: DonateRequest) -> Self {
        if entry.count() == 0 {
            return self;
        }
        let wanted = request.count() * request.block_size().granules();
        let granules = entry.total_granules();
        let bytes = granules.saturating_mul(psmmu_abi::GRANULE_SIZE as u64);
        let fits = self == Self::Empty
            && entry.state() == Ok(MemState::Delegated)
            && granules == wanted
            && entry.address().is_multiple_of(bytes);
        match u16::try_from(granules) {
            Ok(granules) if fits => Self::Region(Region { address: entry.address(), granules }),
            _ => Self::Mismatch,
        }
    }
}

/// A slot for an operation.
#[derive(Debug)]
struct Slot<'a, R, M> {
    /// Number of operations in it before.
    generation: u32,
    state: SlotState<'a, R, M>,
}

#[derive(Debug)]
enum SlotState<'a, R, M> {
    Free,
    /// Reserved, or taken by a CPU.
    Running,
    /// It waits for the host.
    Parked(Operation<'a, R, M>),
}

/// All operations.
#[derive(Debug)]
pub struct Table<'a, R, M> {
    slots: [Lock<Slot<'a, R, M>>; MAX_OPERATIONS],
}

impl<R, M> Default for Table<'_, R, M> {
    #[cfg_attr(core_from_source, optimize(size))]
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, R, M> Table<'a, R, M> {
    /// Creates an empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: [const { Lock::new(Slot { generation: 0, state: SlotState::Free }) };
                MAX_OPERATIONS],
        }
    }

    /// Reserves a slot for an operation that is about to begin, which is then [parked](Self::park), or
    /// the slot [released](Self::release).
    ///
    /// # Errors
    /// `Blocked` if all operations wait for the host, `Busy` while a CPU runs one.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn reserve(&self) -> Result<Handle, Status> {
        let mut status = Status::Blocked;
        for (number, slot) in self.slots.iter().enumerate() {
            match Self::reserve_slot(slot) {
                Ok(generation) => return Ok(Handle { slot: number as u8, generation }),
                Err(Status::Busy) => status = Status::Busy,
                Err(_) => {}
            }
        }
        Err(status)
    }

    /// Reserves all slots, so that no operation begins while `with` runs; then they are free again.
    ///
    /// # Errors
    /// As of [`reserve`](Self::reserve), for the first slot that is not free; `with` does not run.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn with_all(&self, with: impl FnOnce()) -> Result<(), Status> {
        Self::with_each(&self.slots, with)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn with_each(slots: &[Lock<Slot<'a, R, M>>], with: impl FnOnce()) -> Result<(), Status> {
        let Some((first, rest)) = slots.split_first() else {
            with();
            return Ok(());
        };
        Self::reserve_slot(first)?;
        let result = Self::with_each(rest, with);
        first.lock().state = SlotState::Free;
        result
    }

    /// Reserves a slot and returns its generation, or the status if it is not free.
    // Not inlined eight times.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn reserve_slot(slot: &Lock<Slot<'a, R, M>>) -> Result<u32, Status> {
        let mut slot = slot.lock();
        match slot.state {
            SlotState::Free => {
                slot.state = SlotState::Running;
                Ok(slot.generation)
            }
            SlotState::Running => Err(Status::Busy),
            SlotState::Parked(_) => Err(Status::Blocked),
        }
    }

    /// Releases a reserved slot whose handle was not returned out.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn release(&self, handle: Handle) {
        self.leave(handle, SlotState::Free);
    }

    /// Stores an operation until the host continues it.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn park(&self, handle: Handle, operation: Operation<'a, R, M>) {
        self.leave(handle, SlotState::Parked(operation));
    }

    /// Ends an operation and invalidates its handle.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn end(&self, handle: Handle) {
        if let Some(slot) = self.slots.get(usize::from(handle.slot)) {
            let mut slot = slot.lock();
            slot.generation = slot.generation.wrapping_add(1);
            slot.state = SlotState::Free;
        }
    }

    /// Takes out the operation that a register names, if it waits for the host.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn take(&self, register: u64) -> Option<(Handle, Operation<'a, R, M>)> {
        let handle = Handle::from_register(register)?;
        let mut slot = self.slots.get(usize::from(handle.slot))?.lock();
        if slot.generation != handle.generation {
            return None;
        }
        match core::mem::replace(&mut slot.state, SlotState::Running) {
            SlotState::Parked(operation) => Some((handle, operation)),
            other => {
                slot.state = other;
                None
            }
        }
    }

    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn leave(&self, handle: Handle, state: SlotState<'a, R, M>) {
        if let Some(slot) = self.slots.get(usize::from(handle.slot)) {
            slot.lock().state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestTable = Table<'static, (), ()>;

    fn operation() -> Operation<'static, (), ()> {
        Operation::returning(Purpose::Reclaim(ResultWord::SUCCESS), [])
    }

    #[test]
    fn the_first_handle_is_zero_and_no_handle_comes_twice() {
        let table = TestTable::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let handles = [(); MAX_OPERATIONS].map(|()| table.reserve().unwrap());
            for handle in handles {
                let register = handle.register();
                assert_eq!(register & 0xFF, 0);
                assert!(seen.insert(register), "{register:#x}");
                table.park(handle, operation());
                assert!(table.take(register).is_some());
                table.end(handle);
                assert!(table.take(register).is_none(), "{register:#x} is over");
            }
        }
        assert!(seen.contains(&0));
    }

    #[test]
    fn a_released_slot_keeps_its_handle() {
        let table = TestTable::new();
        for _ in 0..3 {
            let handle = table.reserve().unwrap();
            assert_eq!(handle.register(), 0);
            table.release(handle);
        }
    }

    #[test]
    fn a_full_table_is_blocked_and_busy_while_one_is_worked_on() {
        let table = TestTable::new();
        let handles = [(); MAX_OPERATIONS].map(|()| table.reserve().unwrap());
        assert_eq!(table.reserve(), Err(Status::Busy));
        for handle in handles {
            table.park(handle, operation());
        }
        assert_eq!(table.reserve(), Err(Status::Blocked));
        let taken = table.take(handles[3].register()).unwrap();
        assert!(table.take(handles[3].register()).is_none(), "by two at once");
        assert_eq!(table.reserve(), Err(Status::Busy));
        table.end(taken.0);
        assert_eq!(table.reserve().unwrap().register(), 0x1_0300);
    }

    #[test]
    fn all_slots_are_reserved_at_once_or_none() {
        let table = TestTable::new();
        let mut meanwhile = None;
        assert_eq!(table.with_all(|| meanwhile = Some(table.reserve())), Ok(()));
        assert_eq!(meanwhile, Some(Err(Status::Busy)), "nothing begins meanwhile");
        let handles = [(); MAX_OPERATIONS].map(|()| table.reserve().unwrap());
        let last = handles[MAX_OPERATIONS - 1];
        handles[..MAX_OPERATIONS - 1].iter().for_each(|&handle| table.release(handle));
        assert_eq!(table.with_all(|| ()), Err(Status::Busy));
        table.park(last, operation());
        assert_eq!(table.with_all(|| ()), Err(Status::Blocked));
        assert!(table.take(last.register()).is_some());
        table.end(last);
        assert_eq!(table.with_all(|| ()), Ok(()));
        assert_eq!(table.reserve(), Ok(handles[0]), "all are free again");
    }

    #[test]
    fn a_region_is_wiped_in_parts_before_any_other_request() {
        let mut operation = operation();
        operation.add_region(Region { address: 0x8000_0000, granules: 5 }).unwrap();
        let part = |address, granules| Some(Region { address, granules });
        assert_eq!(operation.unwiped(2), part(0x8000_0000, 2));
        operation.note_wiped(2);
        assert_eq!(operation.unwiped(2), part(0x8000_2000, 2));
        operation.note_wiped(2);
        assert_eq!(operation.unwiped(2), part(0x8000_4000, 1));
        operation.note_wiped(1);
        assert_eq!(operation.unwiped(2), None);
    }

    #[test]
    fn a_register_that_is_no_handle_names_nothing() {
        let table = TestTable::new();
        let handle = table.reserve().unwrap();
        table.park(handle, operation());
        for register in [1, 0x80, 0x100, 0x800, 0x1_0000, 1 << 48, u64::MAX] {
            assert!(table.take(register).is_none(), "{register:#x}");
        }
        assert!(table.take(0).is_some());
    }

    #[test]
    fn only_the_requested_region_matches() {
        let request = DonateRequest::granules(4, true);
        let offer = |words: &[u64]| {
            words.iter().fold(Offer::Empty, |offer, &word| {
                offer.with(AddressRange::from_word(word), request)
            })
        };
        let good = AddressRange::granules(0x8000_4000, 4).word();
        let region = Offer::Region(Region { address: 0x8000_4000, granules: 4 });
        assert_eq!(offer(&[]), Offer::Empty);
        assert_eq!(offer(&[0, 0x8000_0000]), Offer::Empty, "entries of no blocks");
        assert_eq!(offer(&[good]), region);
        assert_eq!(offer(&[0, good, 0]), region);
        for wrong in [
            &[good, good][..],
            &[AddressRange::granules(0x8000_4000, 2).word()],
            &[AddressRange::granules(0x8000_4000, 8).word()],
            &[AddressRange::granules(0x8000_2000, 4).word()],
            &[
                AddressRange::granules(0x8000_4000, 2).word(),
                AddressRange::granules(0x8000_6000, 2).word(),
            ],
            &[good | 1 << 63],
            &[good | 1 << 55],
            &[good | 3],
            &[u64::MAX],
        ] {
            assert_eq!(offer(wrong), Offer::Mismatch, "{wrong:x?}");
        }
        let blocks = DonateRequest::region(512);
        let entry = AddressRange::from_word(0x8020_0000 | 1 << 2 | 1);
        let region = Region { address: 0x8020_0000, granules: 512 };
        assert_eq!(Offer::Empty.with(entry, blocks), Offer::Region(region), "a block of 2 MiB");
    }

    extern crate std;
}
