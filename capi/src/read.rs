// SPDX-License-Identifier: MIT OR Apache-2.0

//! State, counters and trace, for the embedder to read.

use psmmu::State;
use psmmu::{QueueCounters, TraceEvent};
use psmmu_abi::ErrorCause;

use crate::set::{self, Set};
use crate::types::{self, ERRORS, Error, Numbers, QueueNumbers, TRACE_LENGTH, TraceEntry};

impl From<&QueueCounters> for QueueNumbers {
    fn from(counters: &QueueCounters) -> Self {
        Self {
            staged: counters.staged.get(),
            consumed: counters.consumed.get(),
            overflows: counters.overflows.get(),
            discards: counters.discards.get(),
            dropped: counters.dropped.get(),
            high_water: counters.high_water().into(),
        }
    }
}

impl From<&psmmu::Counters> for Numbers {
    fn from(counters: &psmmu::Counters) -> Self {
        let mut errors = [0; ERRORS];
        for (bit, number) in errors.iter_mut().enumerate() {
            *number = counters.errors(ErrorCause::from_bits_retain(1_u64.wrapping_shl(bit as u32)));
        }
        Self {
            events: (&counters.events).into(),
            page_requests: (&counters.page_requests).into(),
            pri_resp_sent: counters.pri_resp_sent(),
            pri_resp_refused: counters.pri_resp_refused.get(),
            pri_resp_dropped: counters.pri_resp_dropped.get(),
            errors,
        }
    }
}

impl From<TraceEvent> for TraceEntry {
    fn from(event: TraceEvent) -> Self {
        let (kind, value) = match event {
            TraceEvent::Errors(causes) => (1, causes.bits()),
            TraceEvent::CommandRejected(cons) => (2, cons.into()),
            TraceEvent::Unanswered(stream) => (3, stream.into()),
            TraceEvent::Failed => (4, 0),
        };
        Self { kind, reserved: 0, value }
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_get_state(set: *const Set, psmmu_ptr: u64) -> i32 {
    // SAFETY: the condition is the same.
    match unsafe { set::unit(set, psmmu_ptr) } {
        Err(error) => error as i32,
        Ok((_, unit)) => match unit.psmmu.state() {
            State::Inactive => 0,
            State::Activating => 1,
            State::Active => 2,
            State::Failed => 3,
            State::Deactivating => 4,
        },
    }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `counters` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_read_counters(
    set: *const Set,
    psmmu_ptr: u64,
    counters: *mut Numbers,
) -> i32 {
    // SAFETY: 1.
    let unit = unsafe { set::unit(set, psmmu_ptr) };
    // SAFETY: 2.
    types::code(unit.map(|(_, unit)| unsafe { set::write(counters, unit.psmmu.counters().into()) }))
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `trace` is null or has room for `LPSMMU_TRACE_LENGTH` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_read_trace(
    set: *const Set,
    psmmu_ptr: u64,
    trace: *mut TraceEntry,
) -> i32 {
    // SAFETY: 1.
    let unit = match unsafe { set::unit(set, psmmu_ptr) } {
        Ok((_, unit)) => unit,
        Err(error) => return error as i32,
    };
    if trace.is_null() {
        return Error::Inval as i32;
    }
    let mut read = 0;
    for (index, event) in unit.psmmu.counters().trace.iter().take(TRACE_LENGTH).enumerate() {
        // SAFETY: 2.
        unsafe { set::write(trace.wrapping_add(index), event.into()) };
        read = index.wrapping_add(1) as i32;
    }
    read
}
