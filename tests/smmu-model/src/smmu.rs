// SPDX-License-Identifier: MIT OR Apache-2.0

//! The handle that driver and test share: accesses, barriers, hooks, memory.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::memory::Identity;
use crate::registers::{Access, Page, Pas, Register};
use crate::{Config, Device};

type Action = Box<dyn FnOnce(&mut Device) + Send>;
type OnAccess = Box<dyn FnMut(&mut Device, &Access) + Send>;

/// Which accesses a hook waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Read,
    Write,
    Any,
}

/// What the test wants to be done at accesses. Not part of the device, which is plain data.
#[derive(Default)]
struct Hooks {
    before: VecDeque<(Register, Which, Action)>,
    on_access: Option<OnAccess>,
}

struct Inner {
    device: Device,
    hooks: Hooks,
}

struct Shared {
    inner: Mutex<Inner>,
    /// The thread that has locked it, 0 for none.
    owner: AtomicU64,
}

/// Returns a number for the current thread, not 0.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// A shared [`Device`].
///
/// Copies of the handle reach the same device. Hooks run while the device is locked: they get it as an
/// argument and must not use a handle.
#[derive(Clone)]
pub struct Smmu {
    shared: Arc<Shared>,
    pas: Pas,
}

/// The device, locked for steps of the test.
///
/// It is locked until the end of the statement, so two in one expression are one too many: that panics.
pub struct Guard<'a> {
    inner: MutexGuard<'a, Inner>,
    owner: &'a AtomicU64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.owner.store(0, Ordering::Relaxed);
    }
}

impl Deref for Guard<'_> {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.inner.device
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Device {
        &mut self.inner.device
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.device.fmt(f)
    }
}

impl fmt::Debug for Smmu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smmu").field("world", &self.pas).finish_non_exhaustive()
    }
}

impl From<Device> for Smmu {
    fn from(device: Device) -> Self {
        let inner = Inner { device, hooks: Hooks::default() };
        let shared = Shared { inner: Mutex::new(inner), owner: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), pas: Pas::Realm }
    }
}

impl Smmu {
    /// Makes a device that has just been reset and has no memory yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Device::new(config).into()
    }

    /// Returns a handle whose accesses are made in `pas`.
    #[must_use]
    pub fn with_pas(&self, pas: Pas) -> Self {
        Self { shared: Arc::clone(&self.shared), pas }
    }

    /// Does a step of the test with the device, and gives it free again: for any place where a driver may
    /// run on the same thread next, and any number of times in one expression.
    ///
    /// ```
    /// # use smmu_model::{Config, Register, Smmu};
    /// # let smmu = Smmu::new(Config::default());
    /// let peek = |register| smmu.with(|device| device.peek(register));
    /// assert_eq!(peek(Register::Cr0), peek(Register::Cr0Ack));
    /// ```
    pub fn with<T>(&self, step: impl FnOnce(&mut Device) -> T) -> T {
        step(&mut self.device())
    }

    /// Returns a copy of the device as it is now, to inspect or to restore. Nothing is locked, and memory
    /// is only copied when one of the two writes it.
    #[must_use]
    pub fn snapshot(&self) -> Device {
        self.device().clone()
    }

    /// Locks the device for steps of the test, for as long as the guard is there; [`with`](Self::with) and
    /// [`snapshot`](Self::snapshot) leave nothing locked. `*smmu.device() = copy` puts an earlier copy in its
    /// place; hooks stay.
    ///
    /// # Panics
    /// When this thread holds a guard already, be it in a variable, in the same expression or around a
    /// hook: it would wait for itself.
    pub fn device(&self) -> Guard<'_> {
        let Shared { inner, owner } = &*self.shared;
        // A violation panics while the device is locked; the device can still be inspected.
        let inner = match inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let is_mine = owner.load(Ordering::Relaxed) == this_thread();
                assert!(
                    !is_mine,
                    "a guard of Smmu::device() is still there on this thread; use Smmu::with() for a \
                     step, Smmu::snapshot() to inspect, and the argument of a hook inside of it"
                );
                inner.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        owner.store(this_thread(), Ordering::Relaxed);
        Guard { inner, owner }
    }

    fn access(&self, page: Page, offset: u64, bits: u32, write: Option<u64>) -> u64 {
        if self.pas == Pas::NonSecure && page != Page::NonSecure0 {
            return 0;
        }
        let access = Access { page, offset, bits, write };
        let mut guard = self.device();
        let Inner { device, hooks } = &mut *guard.inner;
        hooks.run(device, &access);
        device.access(&access)
    }

    /// Reads 32 bits at `offset` of `page`.
    #[must_use]
    pub fn read32(&self, page: Page, offset: u64) -> u32 {
        self.access(page, offset, 32, None) as u32
    }

    /// Reads 64 bits at `offset` of `page`.
    #[must_use]
    pub fn read64(&self, page: Page, offset: u64) -> u64 {
        self.access(page, offset, 64, None)
    }

    /// Writes 32 bits at `offset` of `page`.
    pub fn write32(&self, page: Page, offset: u64, value: u32) {
        self.access(page, offset, 32, Some(value.into()));
    }

    /// Writes 64 bits at `offset` of `page`.
    pub fn write64(&self, page: Page, offset: u64, value: u64) {
        self.access(page, offset, 64, Some(value));
    }

    /// Orders the register read before it ahead of the memory reads behind it: the CPU sees what the
    /// device has written so far. It counts for all CPUs.
    pub fn read_barrier(&self) {
        self.device().read_barrier();
    }

    /// Orders the memory accesses before it ahead of the register write behind it: the device sees all
    /// stores so far, and entries have been read before their slots are freed. It counts for all CPUs.
    pub fn write_barrier(&self) {
        self.device().write_barrier();
    }

    /// Returns the memory that driver and device share.
    #[must_use]
    pub const fn memory(&self) -> Memory<'_> {
        Memory { smmu: self }
    }

    /// Does `action` just before the next access of `register`, behind actions for the same register
    /// that were ordered earlier; each access takes one.
    pub fn before(&self, register: Register, action: impl FnOnce(&mut Device) + Send + 'static) {
        self.device().before(register, action);
    }
}

impl Guard<'_> {
    /// Does `action` just before the next access of `register`, behind actions for the same register
    /// that were ordered earlier; each access takes one.
    pub fn before(
        &mut self,
        register: Register,
        action: impl FnOnce(&mut Device) + Send + 'static,
    ) {
        self.inner.hooks.before.push_back((register, Which::Any, Box::new(action)));
    }

    /// As [`before`](Self::before), for reads only.
    pub fn before_read(
        &mut self,
        register: Register,
        action: impl FnOnce(&mut Device) + Send + 'static,
    ) {
        self.inner.hooks.before.push_back((register, Which::Read, Box::new(action)));
    }

    /// As [`before`](Self::before), for writes only.
    pub fn before_write(
        &mut self,
        register: Register,
        action: impl FnOnce(&mut Device) + Send + 'static,
    ) {
        self.inner.hooks.before.push_back((register, Which::Write, Box::new(action)));
    }

    /// Calls `hook` before each access, ahead of actions for its register: the place where a scheduler
    /// lets the device do steps. It takes the place of an earlier hook.
    ///
    /// ```
    /// # use smmu_model::{Config, Smmu};
    /// # let smmu = Smmu::new(Config::default());
    /// let mut random = 1u32;
    /// smmu.device().set_eager(false);
    /// smmu.device().on_access(move |device, _| {
    ///     random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    ///     // Whichever step it is, or none.
    ///     if let Some(step) = device.steps().get(random as usize >> 28) {
    ///         device.step(*step);
    ///     }
    /// });
    /// ```
    pub fn on_access(&mut self, hook: impl FnMut(&mut Device, &Access) + Send + 'static) {
        self.inner.hooks.on_access = Some(Box::new(hook));
    }

    /// Forgets all hooks, and returns how many actions had not been done yet.
    pub fn clear_hooks(&mut self) -> usize {
        std::mem::take(&mut self.inner.hooks).before.len()
    }
}

impl Hooks {
    fn run(&mut self, device: &mut Device, access: &Access) {
        if let Some(hook) = &mut self.on_access {
            hook(device, access);
        }
        let kind = if access.write.is_some() { Which::Write } else { Which::Read };
        let due = self.before.iter().position(|(register, which, _)| {
            access.register() == Some(*register) && (*which == Which::Any || *which == kind)
        });
        if let Some((_, _, action)) = due.and_then(|index| self.before.remove(index)) {
            action(device);
        }
    }
}

/// The memory that driver and device share.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    smmu: &'a Smmu,
}

impl Memory<'_> {
    /// Makes `words` words of zeroed memory at `address` and grants them to the driver. It may be done
    /// at any time, and where memory was taken back.
    ///
    /// # Panics
    /// When the region is empty, not aligned to 8 bytes, or overlaps one that was not taken back.
    #[must_use]
    pub fn region(&self, address: u64, words: usize) -> Region {
        let identity = self.smmu.device().insert_region(address, words, true);
        Region { smmu: self.smmu.clone(), address, words, identity }
    }

    /// Makes memory as [`region`](Self::region) does, which is not granted yet.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn ungranted(&self, address: u64, words: usize) -> Region {
        let identity = self.smmu.device().insert_region(address, words, false);
        Region { smmu: self.smmu.clone(), address, words, identity }
    }

    /// Finds the region that begins at `address`, such as in a copy of a device.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Region> {
        let (words, identity) = self.smmu.device().find_region(address)?;
        Some(Region { smmu: self.smmu.clone(), address, words, identity })
    }

    /// Takes the region that begins at `address` back; see [`Device::take_back`].
    ///
    /// # Panics
    /// When there is none.
    pub fn take_back(&self, address: u64) {
        self.smmu.device().take_back(address);
    }

    /// Takes `words` words at `address` back; see [`Device::take_back_part`].
    ///
    /// # Panics
    /// When not all of them are there.
    pub fn take_back_part(&self, address: u64, words: usize) {
        self.smmu.device().take_back_part(address, words);
    }
}

/// Memory as the driver reaches it.
///
/// A handle dies with its region: once that was taken back every load and store by it is a violation,
/// also when there is another region at the address by then.
#[derive(Clone, Debug)]
pub struct Region {
    smmu: Smmu,
    address: u64,
    words: usize,
    identity: Identity,
}

impl Region {
    /// Returns the physical address of the first byte.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// Returns the size in words of 64 bits.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.words
    }

    fn at(&self, device: &mut Device, index: usize) -> Option<u64> {
        if index < self.words {
            return Some(self.address + 8 * index as u64);
        }
        let address = self.address;
        device.violate(crate::Violation::DriverOutOfBounds { address, index });
        None
    }

    /// Reads the word at `index` as a CPU sees it.
    #[must_use]
    pub fn load(&self, index: usize) -> u64 {
        let mut device = self.smmu.device();
        self.at(&mut device, index).map_or(0, |address| device.cpu_load(address, self.identity))
    }

    /// Writes the word at `index`, which the device sees behind the next write barrier.
    pub fn store(&self, index: usize, value: u64) {
        let mut device = self.smmu.device();
        if let Some(address) = self.at(&mut device, index) {
            device.cpu_store(address, self.identity, value);
        }
    }

    /// Grants the memory to the driver.
    pub fn grant(&self) {
        self.smmu.device().grant(self.address);
    }

    /// Takes the memory back; see [`Device::take_back`].
    pub fn take_back(&self) {
        self.smmu.device().take_back_part(self.address, self.words);
    }

    /// Writes `value` to all words for the test; see [`Device::fill`].
    pub fn fill(&self, value: u64) {
        self.smmu.device().fill(self.address, value);
    }

    /// Makes all device accesses of the memory abort, or ends that.
    pub fn abort_accesses(&self, aborts: bool) {
        self.smmu.device().abort_accesses(self.address, aborts);
    }
}
