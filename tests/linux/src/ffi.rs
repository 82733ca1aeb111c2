// SPDX-License-Identifier: MIT OR Apache-2.0

//! The functions that the C half calls, as `module/realm_smmu.h` declares them.
//!
//! The objects live in memory of the C half: as many bytes as the `_size` functions say, aligned to 8,
//! and initialised by `_start`, `_probe` or `_init`. What the C half promises of each pointer:
//! 1. It is valid, and initialised by one of these three functions (their own first argument excepted).
//! 2. No other call that takes it as a mutable one is under way: there is a lock for the RMM, and one
//!    for each source.
//! 3. It does not move or go away while a call lasts.

use core::ffi::c_void;
use core::mem::{align_of, size_of};
use core::ptr::NonNull;

use psmmu_abi::MsiMessage;
use psmmu_host::Source;

use crate::driver::{Errno, Handler, Rmm, Smmu};
use crate::kernel::{Device, SharedPage, Show};

const _: () =
    assert!(align_of::<Rmm>() <= 8 && align_of::<Smmu>() <= 8 && align_of::<Handler>() <= 8);

/// Not a source: the C half has an error.
const EINVAL: Errno = -22;

fn source(number: u32) -> Option<Source> {
    Source::ALL.get(number as usize).copied()
}

fn code(result: Result<(), Errno>) -> Errno {
    result.err().unwrap_or(0)
}

/// Returns the bytes of the object for the RMM.
#[unsafe(no_mangle)]
pub extern "C" fn realm_rmm_size() -> usize {
    size_of::<Rmm>()
}

/// Returns the bytes of the object for an SMMU.
#[unsafe(no_mangle)]
pub extern "C" fn realm_smmu_size() -> usize {
    size_of::<Smmu>()
}

/// Returns the bytes of the object for a source.
#[unsafe(no_mangle)]
pub extern "C" fn realm_source_size() -> usize {
    size_of::<Handler>()
}

/// Probes the RMM and makes it active. Returns 0 and initialises `rmm`, or a negative errno.
///
/// # Safety
/// `rmm` points to [`realm_rmm_size`] bytes; each of `list` and `page` to 4 KiB that nothing else uses
/// as long as `rmm` is used, with the physical addresses given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_rmm_start(
    rmm: *mut Rmm,
    device: *mut c_void,
    list: NonNull<u64>,
    list_address: u64,
    page: NonNull<u64>,
    page_address: u64,
) -> Errno {
    // SAFETY: the caller's promise, for both pages.
    let (list, page) =
        unsafe { (SharedPage::new(list, list_address), SharedPage::new(page, page_address)) };
    match Rmm::start(Device(device), list, page) {
        Ok(started) => {
            // SAFETY: there is room for it.
            unsafe { rmm.write(started) };
            0
        }
        Err(error) => error,
    }
}

/// Returns how many granules the RMM holds, and in `leaked` how many it did not give back.
///
/// # Safety
/// 1 to 3 at the head of the file; `leaked` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_rmm_held(rmm: *const Rmm, leaked: *mut u64) -> u64 {
    // SAFETY: 1 and 2.
    let (held, lost) = unsafe { &*rmm }.held_and_leaked();
    // SAFETY: the caller's promise.
    unsafe { leaked.write(lost) };
    held
}

/// Asks the RMM about an SMMU. Returns 0 and initialises `smmu`, or a negative errno.
///
/// # Safety
/// 1 to 3 at the head of the file; `smmu` points to [`realm_smmu_size`] bytes; `device` outlives it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_probe(
    smmu: *mut Smmu,
    rmm: *mut Rmm,
    device: *mut c_void,
    psmmu_ptr: u64,
    idr0: u32,
) -> Errno {
    // SAFETY: 1 and 2.
    match Smmu::probe(Device(device), unsafe { &mut *rmm }, psmmu_ptr, idr0) {
        Ok(probed) => {
            // SAFETY: there is room for it.
            unsafe { smmu.write(probed) };
            0
        }
        Err(error) => error,
    }
}

/// Returns the INTID of the wired interrupt of source `number`, 0 for none.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_intid(smmu: *const Smmu, number: u32) -> u32 {
    // SAFETY: 1.
    source(number).map_or(0, |source| unsafe { &*smmu }.intid(source))
}

/// Returns how many MSIs to allocate: those of the sources with a lower number. 0 where interrupts are
/// wired.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_msi_count(smmu: *const Smmu) -> usize {
    // SAFETY: 1.
    unsafe { &*smmu }.msi_count()
}

/// Settles how the sources interrupt, before the Realm side is started: `msis` are the MSIs allocated, by
/// the number of their source. Without these the sources are polled where they have no wired interrupt.
///
/// # Safety
/// 1 to 3 at the head of the file; `msis` points to `count` MSIs, and is not null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_set_msis(
    smmu: *mut Smmu,
    msis: NonNull<MsiMessage>,
    count: usize,
) {
    // SAFETY: the caller's promise, for as long as the call lasts.
    let msis = unsafe { core::slice::from_raw_parts(msis.as_ptr(), count) };
    // SAFETY: 1 and 2.
    unsafe { &mut *smmu }.set_msis(msis);
}

/// Returns whether source `number` exists and nothing interrupts for it.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_is_polled(smmu: *const Smmu, number: u32) -> bool {
    // SAFETY: 1.
    source(number).is_some_and(|source| unsafe { &*smmu }.is_polled(source))
}

/// Starts the Realm side. Returns 0 or a negative errno; service each source once after it.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_activate(smmu: *const Smmu, rmm: *mut Rmm) -> Errno {
    // SAFETY: 1 and 2.
    code(unsafe { (*smmu).activate(&mut *rmm) })
}

/// Stops the Realm side. Returns 0 or a negative errno.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_deactivate(smmu: *const Smmu, rmm: *mut Rmm) -> Errno {
    // SAFETY: 1 and 2.
    code(unsafe { (*smmu).deactivate(&mut *rmm) })
}

/// Sees to a level-2 stream table for `stream`. Returns 0 or a negative errno.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_add_stream(
    smmu: *const Smmu,
    rmm: *mut Rmm,
    stream: u32,
) -> Errno {
    // SAFETY: 1 and 2.
    code(unsafe { (*smmu).add_stream(&mut *rmm, stream) })
}

/// Removes the level-2 stream table of `stream`. Returns 0 or a negative errno.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_smmu_remove_stream(
    smmu: *const Smmu,
    rmm: *mut Rmm,
    stream: u32,
) -> Errno {
    // SAFETY: 1 and 2.
    code(unsafe { (*smmu).remove_stream(&mut *rmm, stream) })
}

/// Initialises the object of source `number`, which writes at most `lines` lines to the log in 5 s. Returns 0 or -EINVAL.
///
/// # Safety
/// 1 to 3 at the head of the file; `handler` points to [`realm_source_size`] bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_source_init(
    handler: *mut Handler,
    smmu: *const Smmu,
    number: u32,
    lines: u32,
) -> Errno {
    let Some(source) = source(number) else { return EINVAL };
    // SAFETY: 1, and there is room for it.
    unsafe { handler.write(Handler::new(&*smmu, source, lines)) };
    0
}

/// Reports and consumes events up to a budget. Returns 1 if more is pending, 0 if nothing is, or a
/// negative errno.
///
/// # Safety
/// 1 to 3 at the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_source_service(handler: *mut Handler) -> Errno {
    // SAFETY: 1 and 2.
    match unsafe { &mut *handler }.run() {
        Ok(more) => more.into(),
        Err(error) => error,
    }
}

/// Writes the counters of a source to a `struct seq_file`.
///
/// # Safety
/// 1 to 3 at the head of the file; `file` is open for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realm_source_show(handler: *const Handler, file: *mut c_void) {
    // SAFETY: 1 and 2.
    unsafe { &*handler }.show(&mut Show(file));
}
