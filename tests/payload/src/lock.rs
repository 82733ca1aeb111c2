// SPDX-License-Identifier: MIT OR Apache-2.0

//! Data shared between CPUs and with the interrupt handler.

use spin::mutex::TicketMutex;

use crate::arch::Masked;

/// A value behind a lock that also keeps this CPU's interrupts away while it is held.
pub struct Locked<T>(TicketMutex<T>);

impl<T> Locked<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(TicketMutex::new(value))
    }

    /// Runs `work` on the value. Waits for other CPUs; asking for the same value inside of `work`
    /// would wait for ever.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _masked = Masked::new();
        work(&mut self.0.lock())
    }

    /// Runs `work` on the value unless the lock is held.
    pub fn try_with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let _masked = Masked::new();
        self.0.try_lock().map(|mut value| work(&mut value))
    }
}
