// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stateful operations: what is begun in one call of the host and ended in another, as memory changes
//! hands in between.
//!
//! An operation asks for memory (DONATE) until it has all of it, then goes on when the host says so
//! (CONTINUE), or gives memory back (RECLAIM) and then ends. While it asks it can be cancelled. One that
//! is cancelled, or whose donation fails, fails as a whole: what was donated before goes back, and then
//! the operation ends with the error. So no operation waits for something that cannot come.
//!
//! A large region is zeroed in parts, one with each CONTINUE, so that no call keeps interrupts masked for
//! long.
//!
//! A [`Table`] has a fixed number of operations. Whoever goes on with one takes it out while he works,
//! so no lock is held meanwhile and two callers never work on the same. Its [handle](Handle) has a
//! generation count, so that the handle of an operation that is over is not taken for that of the next.

use heapless::Vec;
use psmmu::sync::Lock;
use psmmu::{Activation, L2TableToken, Psmmu};
use psmmu_abi::{AddressRange, DonateRequest, MemState, MemoryTransfer, ResultWord, Status};

use crate::granules::Region;

/// Operations that can be under way at the same time.
pub const MAX_OPERATIONS: usize = 8;

/// Most regions of memory that an operation has.
pub const MAX_REGIONS: usize = 4;

/// What the host calls an operation: its place and how many were there before. The first one is 0, and
/// bits 7:0 are zero in all, which reports them from the flags of `OP_CONTINUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    place: u8,
    generation: u32,
}

impl Handle {
    const PLACE_SHIFT: u32 = 8;
    const GENERATION_SHIFT: u32 = 16;

    /// Returns the handle as it stands in a register.
    #[must_use]
    pub const fn register(self) -> u64 {
        (self.generation as u64) << Self::GENERATION_SHIFT
            | (self.place as u64) << Self::PLACE_SHIFT
    }

    /// Reads a handle as it came in a register; `None` if it cannot be one.
    #[cfg_attr(core_from_source, optimize(size))]
    pub(crate) fn from_register(register: u64) -> Option<Self> {
        let handle = Self {
            place: (register >> Self::PLACE_SHIFT) as u8,
            generation: (register >> Self::GENERATION_SHIFT) as u32,
        };
        (handle.register() == register).then_some(handle)
    }
}

/// What an operation is for.
#[derive(Debug)]
pub enum Purpose<'a, R, M> {
    /// To activate a PSMMU.
    Activate(&'a Psmmu<R, M>, Activation),
    /// To make a level-2 stream table.
    MakeTable(&'a Psmmu<R, M>, L2TableToken),
    /// To give back what a PSMMU ran on, and then to let others activate it.
    Deactivate(&'a Psmmu<R, M>),
    /// To give memory back and nothing else, and then to end with this result.
    GiveBack(ResultWord),
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The host donates this.
    Donation(DonateRequest),
    /// The host takes memory back.
    Reclaim,
    /// The host says that it goes on.
    Nothing,
}

impl Wants {
    /// Returns X0 and X2 of an answer that says so. What asks for memory can be cancelled: a host that has
    /// none may have no other way out.
    #[must_use]
    pub const fn answer(self) -> (ResultWord, u64) {
        let (transfer, can_cancel, x2) = match self {
            Self::Donation(request) => (MemoryTransfer::Donate, true, request.x2()),
            Self::Reclaim => (MemoryTransfer::Reclaim, false, 0),
            Self::Nothing => (MemoryTransfer::None, false, 0),
        };
        (ResultWord::incomplete(transfer, can_cancel), x2)
    }
}

/// A stateful operation.
#[derive(Debug)]
pub struct Operation<'a, R, M> {
    /// What it is for.
    pub purpose: Purpose<'a, R, M>,
    /// What it needs, each one contiguous region of so many granules, in this order.
    needs: Vec<u16, MAX_REGIONS>,
    /// What it has: the first of what it needs, or what is to be given back.
    pub regions: Vec<Region, MAX_REGIONS>,
    /// How many granules at the end of the last region are still to be zeroed.
    unwiped: u16,
    /// How many of the regions were given back.
    given: usize,
}

impl<'a, R, M> Operation<'a, R, M> {
    /// Begins one that needs memory.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn needing(purpose: Purpose<'a, R, M>, needs: impl IntoIterator<Item = u16>) -> Self {
        Self {
            purpose,
            needs: needs.into_iter().take(MAX_REGIONS).collect(),
            regions: Vec::new(),
            unwiped: 0,
            given: 0,
        }
    }

    /// Begins one that gives memory back.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn giving(purpose: Purpose<'a, R, M>, regions: impl IntoIterator<Item = Region>) -> Self {
        let regions = regions.into_iter().take(MAX_REGIONS).collect();
        Self { purpose, needs: Vec::new(), regions, unwiped: 0, given: 0 }
    }

    /// Adds a donated region that is still to be zeroed.
    ///
    /// # Errors
    /// The region, when there is no room for it.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn take(&mut self, region: Region) -> Result<(), Region> {
        self.regions.push(region)?;
        self.unwiped = region.granules;
        Ok(())
    }

    /// Returns the next part of what is to be zeroed, at most `granules`; `None` if all is.
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

    /// Notes that the first `granules` of what was to be zeroed are.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn note_wiped(&mut self, granules: u16) {
        self.unwiped = self.unwiped.saturating_sub(granules);
    }

    /// Returns what is still to be given back.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn left(&self) -> &[Region] {
        self.regions.get(self.given..).unwrap_or(&[])
    }

    /// Takes out the first of what is still to be given back.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn give(&mut self) -> Option<Region> {
        let region = self.left().first().copied();
        self.given = self.given.saturating_add(region.is_some().into());
        region
    }

    /// Returns what it waits for.
    #[must_use]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn wants(&self) -> Wants {
        match &self.purpose {
            Purpose::Activate(..) | Purpose::MakeTable(..) if self.unwiped != 0 => Wants::Nothing,
            Purpose::Activate(..) | Purpose::MakeTable(..) => {
                match self.needs.get(self.regions.len()) {
                    Some(&granules) => Wants::Donation(DonateRequest::region(granules)),
                    None => Wants::Nothing,
                }
            }
            Purpose::Deactivate(_) | Purpose::GiveBack(_) if !self.left().is_empty() => {
                Wants::Reclaim
            }
            Purpose::Deactivate(_) | Purpose::GiveBack(_) => Wants::Nothing,
        }
    }
}

/// What a list of the host says, with regard to a request for one contiguous region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Nothing.
    Nothing,
    /// This region.
    Region(Region),
    /// Something that was not asked for.
    Wrong,
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
        let fits = self == Self::Nothing
            && entry.state() == Ok(MemState::Delegated)
            && granules == wanted
            && entry.address().is_multiple_of(bytes);
        match u16::try_from(granules) {
            Ok(granules) if fits => Self::Region(Region { address: entry.address(), granules }),
            _ => Self::Wrong,
        }
    }
}

/// A place for an operation.
#[derive(Debug)]
struct Place<'a, R, M> {
    /// How many operations there were before.
    generation: u32,
    state: PlaceState<'a, R, M>,
}

#[derive(Debug)]
enum PlaceState<'a, R, M> {
    Free,
    /// Somebody works on it.
    Running,
    /// It waits for the host.
    Parked(Operation<'a, R, M>),
}

/// All operations.
#[derive(Debug)]
pub struct Table<'a, R, M> {
    places: [Lock<Place<'a, R, M>>; MAX_OPERATIONS],
}

impl<R, M> Default for Table<'_, R, M> {
    #[cfg_attr(core_from_source, optimize(size))]
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, R, M> Table<'a, R, M> {
    /// Makes an empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            places: [const { Lock::new(Place { generation: 0, state: PlaceState::Free }) };
                MAX_OPERATIONS],
        }
    }

    /// Reserves a place for an operation that is about to begin, which is then [parked](Self::park) or
    /// [forgotten](Self::forget).
    ///
    /// # Errors
    /// `Blocked` when all operations wait for the host, `Busy` when somebody works on one.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn reserve(&self) -> Result<Handle, Status> {
        let mut status = Status::Blocked;
        for (number, place) in self.places.iter().enumerate() {
            match Self::reserve_place(place) {
                Ok(generation) => return Ok(Handle { place: number as u8, generation }),
                Err(Status::Busy) => status = Status::Busy,
                Err(_) => {}
            }
        }
        Err(status)
    }

    /// Reserves all places, so that no operation begins while `with` runs; then they are free again.
    ///
    /// # Errors
    /// How the first place that is taken is, as [`reserve`](Self::reserve) says it; `with` does not run.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn with_all(&self, with: impl FnOnce()) -> Result<(), Status> {
        Self::with_each(&self.places, with)
    }

    #[cfg_attr(core_from_source, optimize(size))]
    fn with_each(places: &[Lock<Place<'a, R, M>>], with: impl FnOnce()) -> Result<(), Status> {
        let Some((first, rest)) = places.split_first() else {
            with();
            return Ok(());
        };
        Self::reserve_place(first)?;
        let result = Self::with_each(rest, with);
        first.lock().state = PlaceState::Free;
        result
    }

    /// Reserves a place and returns its generation, or says how it is taken.
    // Not eight times in a row.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn reserve_place(place: &Lock<Place<'a, R, M>>) -> Result<u32, Status> {
        let mut place = place.lock();
        match place.state {
            PlaceState::Free => {
                place.state = PlaceState::Running;
                Ok(place.generation)
            }
            PlaceState::Running => Err(Status::Busy),
            PlaceState::Parked(_) => Err(Status::Blocked),
        }
    }

    /// Gives up a place that was reserved. Nobody has seen the handle.
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn forget(&self, handle: Handle) {
        self.leave(handle, PlaceState::Free);
    }

    /// Leaves an operation to wait for the host.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn park(&self, handle: Handle, operation: Operation<'a, R, M>) {
        self.leave(handle, PlaceState::Parked(operation));
    }

    /// Ends an operation: its handle is that of nothing any more.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn end(&self, handle: Handle) {
        if let Some(place) = self.places.get(usize::from(handle.place)) {
            let mut place = place.lock();
            place.generation = place.generation.wrapping_add(1);
            place.state = PlaceState::Free;
        }
    }

    /// Takes out the operation that a register names, if it waits for the host.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    pub fn take(&self, register: u64) -> Option<(Handle, Operation<'a, R, M>)> {
        let handle = Handle::from_register(register)?;
        let mut place = self.places.get(usize::from(handle.place))?.lock();
        if place.generation != handle.generation {
            return None;
        }
        match core::mem::replace(&mut place.state, PlaceState::Running) {
            PlaceState::Parked(operation) => Some((handle, operation)),
            other => {
                place.state = other;
                None
            }
        }
    }

    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn leave(&self, handle: Handle, state: PlaceState<'a, R, M>) {
        if let Some(place) = self.places.get(usize::from(handle.place)) {
            place.lock().state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestTable = Table<'static, (), ()>;

    fn operation() -> Operation<'static, (), ()> {
        Operation::giving(Purpose::GiveBack(ResultWord::SUCCESS), [])
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
    fn a_place_that_was_given_up_keeps_its_handle() {
        let table = TestTable::new();
        for _ in 0..3 {
            let handle = table.reserve().unwrap();
            assert_eq!(handle.register(), 0);
            table.forget(handle);
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
    fn all_places_are_reserved_at_once_or_none() {
        let table = TestTable::new();
        let mut meanwhile = None;
        assert_eq!(table.with_all(|| meanwhile = Some(table.reserve())), Ok(()));
        assert_eq!(meanwhile, Some(Err(Status::Busy)), "nothing begins meanwhile");
        let handles = [(); MAX_OPERATIONS].map(|()| table.reserve().unwrap());
        let last = handles[MAX_OPERATIONS - 1];
        handles[..MAX_OPERATIONS - 1].iter().for_each(|&handle| table.forget(handle));
        assert_eq!(table.with_all(|| ()), Err(Status::Busy));
        table.park(last, operation());
        assert_eq!(table.with_all(|| ()), Err(Status::Blocked));
        assert!(table.take(last.register()).is_some());
        table.end(last);
        assert_eq!(table.with_all(|| ()), Ok(()));
        assert_eq!(table.reserve(), Ok(handles[0]), "all are free again");
    }

    #[test]
    fn a_region_is_wiped_in_parts_before_anything_else_is_wanted() {
        let mut operation = operation();
        operation.take(Region { address: 0x8000_0000, granules: 5 }).unwrap();
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
    fn only_the_region_that_was_asked_for_is_an_offer() {
        let request = DonateRequest::granules(4, true);
        let offer = |words: &[u64]| {
            words.iter().fold(Offer::Nothing, |offer, &word| {
                offer.with(AddressRange::from_word(word), request)
            })
        };
        let good = AddressRange::granules(0x8000_4000, 4).word();
        let region = Offer::Region(Region { address: 0x8000_4000, granules: 4 });
        assert_eq!(offer(&[]), Offer::Nothing);
        assert_eq!(offer(&[0, 0x8000_0000]), Offer::Nothing, "entries of no blocks");
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
            assert_eq!(offer(wrong), Offer::Wrong, "{wrong:x?}");
        }
        let blocks = DonateRequest::region(512);
        let entry = AddressRange::from_word(0x8020_0000 | 1 << 2 | 1);
        let region = Region { address: 0x8020_0000, granules: 512 };
        assert_eq!(Offer::Nothing.with(entry, blocks), Offer::Region(region), "a block of 2 MiB");
    }

    extern crate std;
}
