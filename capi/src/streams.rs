// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams of devices that belong to Realms.

use psmmu::{Stage2, State, StateError, StreamError, Translation};

use crate::set::{self, Set, Unit};
use crate::types::{self, Error, Stage2Fields};

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::State(StateError::Wrong(State::Failed)) => Self::Failed,
            StreamError::State(_) | StreamError::WrongStep => Self::State,
            StreamError::NoTable => Self::NoTable,
            StreamError::NotOpened => Self::NotOpened,
            StreamError::Stage2 => Self::Stage2,
            StreamError::Device(error) => error.into(),
        }
    }
}

/// Takes a step of a stream.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
unsafe fn step(
    set: *const Set,
    psmmu_ptr: u64,
    step: impl FnOnce(&Set, &Unit) -> Result<(), StreamError>,
) -> i32 {
    // SAFETY: the condition is the same.
    let unit = unsafe { set::unit(set, psmmu_ptr) };
    types::code(unit.and_then(|(set, unit)| step(set, unit).map_err(Error::from)))
}

/// See `libpsmmu.h`.
///
/// # Safety
/// 1. `set` is null or one that `lpsmmu_init` gave.
/// 2. `stage_2` is null or can be read.
/// 3. What it says is as [`Translation::new`] asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_configure_stream(
    set: *const Set,
    psmmu_ptr: u64,
    stream: u32,
    stage_2: *const Stage2Fields,
) -> i32 {
    // SAFETY: 2.
    let Some(Stage2Fields { table, vmid, t0sz, sl0, ps, .. }) = (unsafe { set::read(stage_2) })
    else {
        return Error::Inval as i32;
    };
    // SAFETY: 3.
    let translation = unsafe { Translation::new(Stage2 { table, vmid, t0sz, sl0, ps }) };
    let configure = |set: &Set, unit: &Unit| {
        unit.psmmu.configure_stream(stream, translation, &set.callbacks, &set.callbacks)
    };
    // SAFETY: 1.
    unsafe { step(set, psmmu_ptr, configure) }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_enable_stream(set: *const Set, psmmu_ptr: u64, stream: u32) -> i32 {
    let enable =
        |set: &Set, unit: &Unit| unit.psmmu.enable_stream(stream, &set.callbacks, &set.callbacks);
    // SAFETY: the condition is the same.
    unsafe { step(set, psmmu_ptr, enable) }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_disable_stream(
    set: *const Set,
    psmmu_ptr: u64,
    stream: u32,
) -> i32 {
    let disable =
        |set: &Set, unit: &Unit| unit.psmmu.disable_stream(stream, &set.callbacks, &set.callbacks);
    // SAFETY: the condition is the same.
    unsafe { step(set, psmmu_ptr, disable) }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_release_stream(
    set: *const Set,
    psmmu_ptr: u64,
    stream: u32,
) -> i32 {
    let release =
        |set: &Set, unit: &Unit| unit.psmmu.release_stream(stream, &set.callbacks, &set.callbacks);
    // SAFETY: the condition is the same.
    unsafe { step(set, psmmu_ptr, release) }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_tlbi_s2_ipa(
    set: *const Set,
    psmmu_ptr: u64,
    vmid: u16,
    ipa: u64,
    leaf: bool,
) -> i32 {
    let invalidate =
        |set: &Set, unit: &Unit| unit.psmmu.tlbi_s2_ipa(vmid, ipa, leaf, &set.callbacks);
    // SAFETY: the condition is the same.
    unsafe { step(set, psmmu_ptr, invalidate) }
}

/// See `libpsmmu.h`.
///
/// # Safety
/// `set` is null or one that `lpsmmu_init` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lpsmmu_tlbi_s12_vmall(set: *const Set, psmmu_ptr: u64, vmid: u16) -> i32 {
    let invalidate = |set: &Set, unit: &Unit| unit.psmmu.tlbi_s12_vmall(vmid, &set.callbacks);
    // SAFETY: the condition is the same.
    unsafe { step(set, psmmu_ptr, invalidate) }
}
