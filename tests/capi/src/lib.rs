// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model of the SMMU for programs in C: `include/smmu_model.h`, whose functions these are.
//!
//! A program in C has plain memory, the model its own. What one of them wrote is carried over at the
//! barrier behind which the other may rely on it, and not earlier: a driver without its barriers sees
//! what was there before.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
pub struct Embedding;

use std::sync::Mutex;

use smmu_model::{Config, Device, Page, Record, Region, Smmu, Source, Transaction};

/// Memory that device and program share.
struct Shared {
    region: Region,
    memory: *mut u64,
    device_writes: bool,
    /// What the model has: a store that changes nothing is none.
    carried: Vec<u64>,
}

// SAFETY: the pointer is used under the lock of `Model::shared` only, and the program that gave it keeps
// the memory for good.
unsafe impl Send for Shared {}

impl Shared {
    fn carry(&mut self) {
        for (index, carried) in self.carried.iter_mut().enumerate() {
            // SAFETY: the program has given so many words, which are its own or the model's.
            let word = unsafe { self.memory.add(index) };
            if self.device_writes {
                // SAFETY: as above.
                unsafe { word.write_volatile(self.region.load(index)) };
                continue;
            }
            // SAFETY: as above.
            let value = unsafe { word.read_volatile() };
            if value != *carried {
                *carried = value;
                self.region.store(index, value);
            }
        }
    }
}

/// A device and what it shares.
pub struct Model {
    smmu: Smmu,
    shared: Mutex<Vec<Shared>>,
}

impl Model {
    /// Carries over what the device, or what the program has written.
    fn carry(&self, device_writes: bool) {
        let mut shared = self.shared.lock().expect("nobody panics with it");
        shared
            .iter_mut()
            .filter(|shared| shared.device_writes == device_writes)
            .for_each(Shared::carry);
    }
}

/// Takes a model as a caller passes it.
///
/// # Safety
/// It is one that [`smmu_model_new`] gave.
unsafe fn model<'a>(model: *const Model) -> &'a Model {
    // SAFETY: it lives for good.
    unsafe { &*model }
}

fn page(page: u32) -> Page {
    match page {
        0 => Page::NonSecure0,
        1 => Page::Realm0,
        2 => Page::Realm1,
        other => panic!("there is no page {other}"),
    }
}

/// See `smmu_model.h`.
#[unsafe(no_mangle)]
pub extern "C" fn smmu_model_new() -> *const Model {
    let smmu = Smmu::new(Config::default());
    Box::leak(Box::new(Model { smmu, shared: Mutex::default() }))
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave; `words` words at `memory` are its and the program's for
/// good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_share(
    this: *const Model,
    pa: u64,
    memory: *mut u64,
    words: usize,
    device_writes: bool,
) {
    // SAFETY: it is one.
    let model = unsafe { model(this) };
    let region = model.smmu.memory().region(pa, words);
    let mut shared = Shared { region, memory, device_writes, carried: vec![0; words] };
    if !device_writes {
        shared.carry();
        model.smmu.write_barrier();
    }
    model.shared.lock().expect("nobody panics with it").push(shared);
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_read32(this: *const Model, page_of: u32, offset: u32) -> u32 {
    // SAFETY: it is one.
    unsafe { model(this) }.smmu.read32(page(page_of), offset.into())
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_write32(
    this: *const Model,
    page_of: u32,
    offset: u32,
    value: u32,
) {
    // SAFETY: it is one.
    unsafe { model(this) }.smmu.write32(page(page_of), offset.into(), value);
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_write64(
    this: *const Model,
    page_of: u32,
    offset: u32,
    value: u64,
) {
    // SAFETY: it is one.
    unsafe { model(this) }.smmu.write64(page(page_of), offset.into(), value);
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_read_barrier(this: *const Model) {
    // SAFETY: it is one.
    let model = unsafe { model(this) };
    model.smmu.read_barrier();
    model.carry(true);
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_write_barrier(this: *const Model) {
    // SAFETY: it is one.
    let model = unsafe { model(this) };
    model.carry(false);
    model.smmu.write_barrier();
}

/// Does something with the device.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
unsafe fn device<T>(this: *const Model, with: impl FnOnce(&mut Device) -> T) -> T {
    // SAFETY: it is one.
    with(&mut unsafe { model(this) }.smmu.device())
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_fault(this: *const Model, stream: u32, address: u64) {
    // SAFETY: the condition is the same.
    unsafe { device(this, |device| device.record(Record::stage_2_write(stream, address))) }
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_dma(this: *const Model, stream: u32, address: u64) {
    let transaction = Transaction::write(stream, address);
    // SAFETY: the condition is the same.
    let _ = unsafe { device(this, |device| device.transaction(&transaction)) };
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_raise(this: *const Model, errors: u32) {
    // SAFETY: the condition is the same.
    unsafe { device(this, |device| device.raise(errors)) }
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_illegal_command(this: *const Model) {
    // SAFETY: the condition is the same.
    unsafe { device(this, |device| device.inject_command([0, 0])) }
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_take_interrupts(this: *const Model) -> u32 {
    // SAFETY: the condition is the same.
    let pulses = unsafe { device(this, Device::take_interrupts) };
    [Source::Gerror, Source::Eventq]
        .into_iter()
        .filter(|&source| pulses.contains(source))
        .fold(0, |bits, source| bits | source.bit())
}
