// SPDX-License-Identifier: MIT OR Apache-2.0

//! Activation and deactivation of SMMUs on memory that the embedder gives.

use core::ptr;

use psmmu::{ActivateParams, Activation, Memory, MemoryRequirements};
use psmmu_abi::{PsmmuParamsFlags, ResultWord, Status};

use crate::memory::Shared;
use crate::set::{self, Set, Unit};
use crate::types::{ActivateArgs, Error, MemReq, MemoryRegions, Region};

const NOTHING: Region = Region { va: ptr::null_mut(), pa: 0, bytes: 0 };

impl From<MemoryRequirements> for MemReq {
    fn from(needs: MemoryRequirements) -> Self {
        let MemoryRequirements { stream_table, command_queue, event_queue, pri_queue } = needs;
        Self {
            stream_table: stream_table.into(),
            command_queue: command_queue.into(),
            event_queue: event_queue.into(),
            pri_queue: pri_queue.unwrap_or(0).into(),
        }
    }
}

impl From<Memory<Shared>> for MemoryRegions {
    fn from(memory: Memory<Shared>) -> Self {
        let Memory { stream_table, command_queue, event_queue, pri_queue, completion } = memory;
        Self {
            stream_table: stream_table.into_region(),
            command_queue: command_queue.into_region(),
            event_queue: event_queue.into_region(),
            pri_queue: pri_queue.map_or(NOTHING, Shared::into_region),
            completion: completion.map_or(NOTHING, Shared::into_region),
        }
    }
}

impl Unit {
    /// Keeps the claim for [`lpsmmu_activate_finish`] and returns what it needs.
    fn begun(&self, activation: Activation) -> MemReq {
        let needs = activation.needs().into();
        *self.activation.lock() = Some(activation);
        needs
    }

    fn take_activation(&self) -> Option<Activation> {
        self.activation.lock().take()
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `mem_req` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_activate_begin(
    set: *const Set,
    psmmu_ptr: u64,
    params: u64,
    mem_req: *mut MemReq,
) -> u64 {
    let begin = || {
        // SAFETY: 1.
        let (set, unit) = unsafe { set::unit_for_host(set, psmmu_ptr) }?;
        let (_, activation) = set.responder.activate_begin(psmmu_ptr, params)?;
        Ok(unit.begun(activation))
    };
    // SAFETY: 2.
    set::x0(begin().map(|needed| unsafe { set::write(mem_req, needed) }))
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `args` is null or can be read.
/// 3. `mem_req` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_activate_begin_with(
    set: *const Set,
    psmmu_ptr: u64,
    args: *const ActivateArgs,
    mem_req: *mut MemReq,
) -> u64 {
    let begin = || {
        // SAFETY: 1.
        let (_, unit) = unsafe { set::unit_for_host(set, psmmu_ptr) }?;
        // SAFETY: 2.
        let wanted = match unsafe { set::read(args) } {
            None => ActivateParams::default(),
            Some(args) => args.parse().ok_or(Status::ErrorInput)?,
        };
        let activation = unit.psmmu.activate_begin(wanted).map_err(Status::from)?;
        Ok(unit.begun(activation))
    };
    // SAFETY: 3.
    set::x0(begin().map(|needed| unsafe { set::write(mem_req, needed) }))
}

impl ActivateArgs {
    /// Reads what is wanted; `None` for a flag that is not known.
    fn parse(&self) -> Option<ActivateParams> {
        let flags = PsmmuParamsFlags::from_bits(self.flags)?;
        if flags.contains(PsmmuParamsFlags::ATS) {
            return None;
        }
        Some(ActivateParams {
            page_requests: flags.contains(PsmmuParamsFlags::PRI),
            msis: flags.contains(PsmmuParamsFlags::MSI).then(|| (&self.msi).into()),
        })
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `memory` is null or can be read; its pieces are Realm memory as the header says, mapped until they
///    are given back.
/// 3. `mem_released` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_activate_finish(
    set: *const Set,
    psmmu_ptr: u64,
    memory: *const MemoryRegions,
    mem_released: *mut bool,
) -> u64 {
    let mut free = true;
    let mut activate = || {
        // SAFETY: 1.
        let (set, unit) = unsafe { set::unit_for_host(set, psmmu_ptr) }?;
        let activation = unit.take_activation().ok_or(Status::ErrorInput)?;
        // SAFETY: 2.
        let Some(memory) = (unsafe { take(memory) }) else {
            unit.psmmu.activate_cancel(activation);
            return Err(ResultWord::of(Status::ErrorInput));
        };
        let Memory { stream_table, command_queue, event_queue, pri_queue, completion } = &memory;
        let optional = [pri_queue, completion].into_iter().flatten();
        for piece in [stream_table, command_queue, event_queue].into_iter().chain(optional) {
            piece.wipe();
        }
        let activated = unit.psmmu.activate(activation, memory, &set.callbacks);
        free = matches!(&activated, Err(failure) if failure.memory.is_some());
        activated.map_err(|failure| Status::from(failure.error).into())
    };
    let result = activate();
    // SAFETY: 3.
    unsafe { set::write(mem_released, free) };
    set::x0(result)
}

/// Takes the pieces of an activation; `None` when one is missing or bad.
///
/// # Safety
/// Condition 2 of [`lpsmmu_activate_finish`].
unsafe fn take(memory: *const MemoryRegions) -> Option<Memory<Shared>> {
    // SAFETY: null, or readable.
    let pieces = unsafe { set::read(memory) }?;
    // SAFETY: each piece is Realm memory as it must be.
    let piece = |piece: &Region| -> Result<_, Error> { unsafe { Shared::piece(piece) } };
    Some(Memory {
        stream_table: piece(&pieces.stream_table).ok()??,
        command_queue: piece(&pieces.command_queue).ok()??,
        event_queue: piece(&pieces.event_queue).ok()??,
        pri_queue: piece(&pieces.pri_queue).ok()?,
        completion: piece(&pieces.completion).ok()?,
    })
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_activate_cancel(set: *const Set, psmmu_ptr: u64) {
    // SAFETY: the condition is the same.
    if let Ok((_, unit)) = unsafe { set::unit(set, psmmu_ptr) }
        && let Some(activation) = unit.take_activation()
    {
        unit.psmmu.activate_cancel(activation);
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `memory` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_deactivate_begin(
    set: *const Set,
    psmmu_ptr: u64,
    memory: *mut MemoryRegions,
) -> u64 {
    let begin = || {
        // SAFETY: 1.
        let set = unsafe { Set::from_raw(set) }.ok_or(Status::ErrorNotSupported)?;
        let (_, given_back) = set.responder.deactivate_begin(psmmu_ptr, &set.callbacks)?;
        Ok(given_back.map_or(
            MemoryRegions {
                stream_table: NOTHING,
                command_queue: NOTHING,
                event_queue: NOTHING,
                pri_queue: NOTHING,
                completion: NOTHING,
            },
            MemoryRegions::from,
        ))
    };
    // SAFETY: 2.
    set::x0(begin().map(|pieces| unsafe { set::write(memory, pieces) }))
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_deactivate_finish(set: *const Set, psmmu_ptr: u64) {
    // SAFETY: the condition is the same.
    if let Ok((_, unit)) = unsafe { set::unit(set, psmmu_ptr) } {
        unit.psmmu.finish_deactivation();
    }
}
