// SPDX-License-Identifier: MIT OR Apache-2.0

//! `lpsmmu_init`: from configurations as C has them to a set of SMMUs.

use core::ffi::c_void;

use psmmu::{Config, Delivery, Interface, QueueAbortPolicy, Sizes};

use crate::ops::Callbacks;
use crate::registers::Pages;
use crate::set::{self, Set};
use crate::types::{self, Error, Ops, SIZE_DEFAULT, SmmuConfig};

impl SmmuConfig {
    /// Reads what a platform says of an SMMU.
    ///
    /// # Errors
    /// When a value does not exist.
    pub fn config(&self) -> Result<Config, Error> {
        let interface = match self.interface {
            0 => Interface::Realm,
            1 => Interface::NonSecureOnly,
            _ => return Err(Error::Inval),
        };
        let delivery = match self.delivery {
            0 => Delivery::Disabled,
            1 => Delivery::Wired {
                gerror: self.gerror_intid,
                eventq: self.eventq_intid,
                priq: self.priq_intid,
            },
            2 => Delivery::Msi,
            _ => return Err(Error::Inval),
        };
        let abort = match self.queue_abort {
            0 => QueueAbortPolicy::Discard,
            1 => QueueAbortPolicy::Preserve,
            _ => return Err(Error::Inval),
        };
        let size = |size: u32, default: u8, least: u8, most: u8| match u8::try_from(size) {
            _ if size == SIZE_DEFAULT => Ok(default),
            Ok(size) if (least..=most).contains(&size) => Ok(size),
            _ => Err(Error::Inval),
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
        Ok(Config { psmmu_ptr: self.psmmu_ptr, interface, delivery, abort, sizes })
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `memory` is null, or has `bytes` bytes that are readable and writable for good, which are
///    the library's alone from now on.
/// 2. `ops` is null or can be read; its functions do what the header says, on several CPUs at once, for
///    good.
/// 3. `configs` is null or `count` of them can be read; what each says of its registers is true, for
///    good.
/// 4. `set` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_init(
    memory: *mut c_void,
    bytes: usize,
    ops: *const Ops,
    configs: *const SmmuConfig,
    count: usize,
    set: *mut *const Set,
) -> i32 {
    // SAFETY: the conditions are the same.
    let set_up = unsafe { init(memory, bytes, ops, configs, count) };
    let result = set_up.map(|set_up| {
        // SAFETY: it can be written (condition 4).
        unsafe { set::write(set, core::ptr::from_ref(set_up)) };
    });
    types::code(result)
}

/// As [`lpsmmu_init`].
///
/// # Safety
/// Conditions 1 to 3 of [`lpsmmu_init`].
unsafe fn init(
    memory: *mut c_void,
    bytes: usize,
    ops: *const Ops,
    configs: *const SmmuConfig,
    count: usize,
) -> Result<&'static Set, Error> {
    // SAFETY: null, or readable (condition 2).
    let ops = unsafe { set::read(ops) }.ok_or(Error::Inval)?;
    // SAFETY: the functions are what they must be (condition 2).
    let callbacks = unsafe { Callbacks::new(&ops) }?;
    if configs.is_null() && count != 0 {
        return Err(Error::Inval);
    }
    let units = (0..count).map(|index| {
        let given = configs.wrapping_add(index);
        // SAFETY: there are `count` of them (condition 3).
        let given = unsafe { set::read(given) }.ok_or(Error::Inval)?;
        let config = given.config()?;
        // SAFETY: what it says is true (condition 3).
        let pages = unsafe { Pages::new(&given) }?;
        Ok((config, pages))
    });
    // SAFETY: the memory is there and ours (condition 1).
    unsafe { Set::place(memory, bytes, count, units, callbacks) }
}
