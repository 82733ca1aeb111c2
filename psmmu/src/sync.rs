// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locks and atomics, in one place so that a model checker can stand in for them: with the feature
//! `shuttle`, which is for tests only, every lock and atomic is one of shuttle's.

#![forbid(unsafe_code)]

#[cfg(not(feature = "shuttle"))]
mod real {
    pub use core::hint::spin_loop;
    pub use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

    /// A spin lock that is granted in the order of asking: a CPU waits for at most one turn of each
    /// other CPU.
    pub type Lock<T> = spin::mutex::TicketMutex<T>;
}

#[cfg(feature = "shuttle")]
mod real {
    pub use shuttle::hint::spin_loop;
    pub use shuttle::sync::MutexGuard;
    pub use shuttle::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

    /// A lock that shuttle schedules.
    #[derive(Debug)]
    pub struct Lock<T>(shuttle::sync::Mutex<T>);

    impl<T> Lock<T> {
        /// Makes a lock that is free.
        pub const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Takes the lock.
        ///
        /// # Panics
        /// When a thread has panicked with it, as that ends the test anyway.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no thread panics with a lock")
        }

        /// Takes the lock if it is free.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

pub use real::*;
