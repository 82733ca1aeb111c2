// SPDX-License-Identifier: MIT OR Apache-2.0

//! `psmmu_open`: from descriptions as C has them to a set of SMMUs.

use core::ffi::c_void;

use psmmu::{Config, Delivery, Interface, QueueAbortPolicy, Sizes};

use crate::ops::Callbacks;
use crate::registers::Pages;
use crate::set::{self, Set};
use crate::types::{self, Description, Error, Ops, SIZE_DEFAULT};

impl Description {
    /// Reads what a platform says of an SMMU.
    ///
    /// # Errors
    /// When a value does not exist.
    pub fn config(&self) -> Result<Config, Error> {
        let interface = match self.interface {
            0 => Interface::Realm,
            1 => Interface::NonSecureOnly,
            _ => return Err(Error::Argument),
        };
        let delivery = match self.delivery {
            0 => Delivery::Disabled,
            1 => Delivery::Wired {
                gerror: self.gerror_intid,
                eventq: self.eventq_intid,
                priq: self.priq_intid,
            },
            2 => Delivery::Msi,
            _ => return Err(Error::Argument),
        };
        let abort = match self.abort {
            0 => QueueAbortPolicy::Discard,
            1 => QueueAbortPolicy::Preserve,
            _ => return Err(Error::Argument),
        };
        let size = |size: u32, default: u8, least: u8, most: u8| match u8::try_from(size) {
            _ if size == SIZE_DEFAULT => Ok(default),
            Ok(size) if (least..=most).contains(&size) => Ok(size),
            _ => Err(Error::Argument),
        };
        let (default, max) = (Sizes::DEFAULT, Sizes::MAX);
        let sizes = Sizes {
            streams: size(self.max_streams, default.streams, 0, max.streams)?,
            commands: size(self.max_commands, default.commands, 2, max.commands)?,
            events: size(self.max_events, default.events, 0, max.events)?,
            requests: size(self.max_requests, default.requests, 0, max.requests)?,
        };
        if self.reserved != 0 {
            return Err(Error::Version);
        }
        Ok(Config { psmmu_ptr: self.name, interface, delivery, abort, sizes })
    }
}

/// See `psmmu.h`.
///
/// # Safety
/// 1. `memory` is null, or has `bytes` bytes that are readable and writable for good, which nobody else
///    uses from now on.
/// 2. `ops` is null or can be read; its functions do what the header says, on several CPUs at once, for
///    good.
/// 3. `descriptions` is null or `count` of them can be read; what each says of its registers is true, for
///    good.
/// 4. `set` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn psmmu_open(
    memory: *mut c_void,
    bytes: usize,
    ops: *const Ops,
    descriptions: *const Description,
    count: usize,
    set: *mut *const Set,
) -> i32 {
    // SAFETY: the conditions are the same.
    let opened = unsafe { open(memory, bytes, ops, descriptions, count) };
    let result = opened.map(|opened| {
        // SAFETY: it can be written (condition 4).
        unsafe { set::write(set, core::ptr::from_ref(opened)) };
    });
    types::code(result)
}

/// As [`psmmu_open`].
///
/// # Safety
/// Conditions 1 to 3 of [`psmmu_open`].
unsafe fn open(
    memory: *mut c_void,
    bytes: usize,
    ops: *const Ops,
    descriptions: *const Description,
    count: usize,
) -> Result<&'static Set, Error> {
    // SAFETY: null, or readable (condition 2).
    let ops = unsafe { set::read(ops) }.ok_or(Error::Argument)?;
    // SAFETY: the functions are what they must be (condition 2).
    let door = unsafe { Callbacks::new(&ops) }?;
    if descriptions.is_null() && count != 0 {
        return Err(Error::Argument);
    }
    let units = (0..count).map(|index| {
        let description = descriptions.wrapping_add(index);
        // SAFETY: there are `count` of them (condition 3).
        let description = unsafe { set::read(description) }.ok_or(Error::Argument)?;
        let config = description.config()?;
        // SAFETY: what it says is true (condition 3).
        let pages = unsafe { Pages::new(&description) }?;
        Ok((config, pages))
    });
    // SAFETY: the memory is there and ours (condition 1).
    unsafe { Set::place(memory, bytes, count, units, door) }
}
