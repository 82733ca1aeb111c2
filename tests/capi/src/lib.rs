// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model of the SMMU for programs in C: `include/smmu_model.h`, whose functions these are.
//!
//! A program in C has plain memory, the model its own. What one of them wrote is carried over at the
//! barrier behind which the other may rely on it, and not earlier: a driver without its barriers sees
//! what was there before.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
pub struct Embedding;

use std::ffi::c_char;
use std::slice;
use std::sync::atomic::AtomicU64;

use smmu_model::{
    Config, Device, Mirror, Outcome, Output, Page, Record, Smmu, Source, Transaction, Walk,
};

/// A device and what it shares.
pub struct Model(Mirror<'static>);

/// struct smmu_model_config.
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct ConfigWords {
    pub idr0: u32,
    pub idr1: u32,
    pub idr3: u32,
    pub idr5: u32,
    pub iidr: u32,
    pub aidr: u32,
    pub r_idr0: u32,
    pub r_idr1: u32,
    pub r_idr3: u32,
    pub r_mecidr: u32,
    pub seed: u64,
}

impl From<&Config> for ConfigWords {
    fn from(config: &Config) -> Self {
        let Config { idr0, idr1, idr3, idr5, iidr, aidr, .. } = *config;
        let Config { r_idr0, r_idr1, r_idr3, r_mecidr, seed, .. } = *config;
        Self { idr0, idr1, idr3, idr5, iidr, aidr, r_idr0, r_idr1, r_idr3, r_mecidr, seed }
    }
}

impl From<&ConfigWords> for Config {
    fn from(words: &ConfigWords) -> Self {
        let ConfigWords { idr0, idr1, idr3, idr5, iidr, aidr, .. } = *words;
        let ConfigWords { r_idr0, r_idr1, r_idr3, r_mecidr, seed, .. } = *words;
        Self {
            idr0,
            idr1,
            idr3,
            idr5,
            iidr,
            aidr,
            r_idr0,
            r_idr1,
            r_idr3,
            r_mecidr,
            seed,
            ..Self::default()
        }
    }
}

/// Takes a model as a caller passes it.
///
/// # Safety
/// It is one that [`smmu_model_new`] gave.
unsafe fn model<'a>(model: *const Model) -> &'a Model {
    // SAFETY: it is never freed.
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
    new(Config::default())
}

fn new(config: Config) -> *const Model {
    Box::leak(Box::new(Model(Mirror::new(Smmu::new(config)))))
}

/// See `smmu_model.h`.
///
/// # Safety
/// `config` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_default_config(config: *mut ConfigWords) {
    // SAFETY: the condition.
    unsafe { config.write(ConfigWords::from(&Config::default())) }
}

/// See `smmu_model.h`.
///
/// # Safety
/// `config` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_new_with(config: *const ConfigWords) -> *const Model {
    // SAFETY: the condition.
    new(Config::from(unsafe { &*config }))
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
) {
    // SAFETY: so many words are there for good, and an AtomicU64 is as large as one and no less aligned.
    let words = unsafe { slice::from_raw_parts(memory.cast::<AtomicU64>(), words) };
    // SAFETY: it is one.
    unsafe { model(this) }.0.share(pa, words);
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_take_back(this: *const Model, pa: u64) {
    // SAFETY: it is one.
    unsafe { model(this) }.0.take_back(pa);
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_read32(this: *const Model, page_of: u32, offset: u32) -> u32 {
    // SAFETY: it is one.
    unsafe { model(this) }.0.read32(page(page_of), offset.into())
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
    unsafe { model(this) }.0.write32(page(page_of), offset.into(), value);
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
    unsafe { model(this) }.0.write64(page(page_of), offset.into(), value);
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_read_barrier(this: *const Model) {
    // SAFETY: it is one.
    unsafe { model(this) }.0.read_barrier();
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_write_barrier(this: *const Model) {
    // SAFETY: it is one.
    unsafe { model(this) }.0.write_barrier();
}

/// Does something with the device.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
unsafe fn device<T>(this: *const Model, with: impl FnOnce(&mut Device) -> T) -> T {
    // SAFETY: it is one.
    unsafe { model(this) }.0.smmu().with(with)
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
pub unsafe extern "C" fn smmu_model_dma(this: *const Model, stream: u32, address: u64) -> u32 {
    // SAFETY: the condition is the same.
    unsafe { transaction(this, &Transaction::write(stream, address)) }
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_dma_mapped(
    this: *const Model,
    stream: u32,
    address: u64,
) -> u32 {
    let transaction_of = Transaction::write(stream, address).with(Walk::Translates);
    // SAFETY: the condition is the same.
    unsafe { transaction(this, &transaction_of) }
}

/// Makes a transaction, and returns what came of it as enum smmu_model_outcome.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
unsafe fn transaction(this: *const Model, transaction: &Transaction) -> u32 {
    // SAFETY: the condition is the same.
    match unsafe { device(this, |device| device.transaction(transaction)) } {
        Outcome::Recorded(_) => 0,
        Outcome::Aborted => 1,
        Outcome::Bypassed => 2,
        Outcome::Translated => 3,
    }
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_queued_events(this: *const Model) -> u32 {
    // SAFETY: the condition is the same.
    unsafe { device(this, |device| device.used(Output::Events)) }
}

/// See `smmu_model.h`.
///
/// # Safety
/// The model is one that [`smmu_model_new`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_collect_violations(this: *const Model, collect: bool) {
    // SAFETY: the condition is the same.
    unsafe { device(this, |device| device.collect_violations(collect)) }
}

/// See `smmu_model.h`.
///
/// # Safety
/// 1. The model is one that [`smmu_model_new`] gave.
/// 2. `size` bytes at `name` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smmu_model_take_violation(
    this: *const Model,
    name: *mut c_char,
    size: usize,
) -> bool {
    // SAFETY: 1.
    let violation = unsafe { device(this, Device::take_violation) };
    let text = violation.as_ref().map_or(String::new(), smmu_model::Violation::name);
    let length = text.len().min(size.saturating_sub(1));
    if size > 0 {
        // SAFETY: 2.
        let name = unsafe { slice::from_raw_parts_mut(name.cast::<u8>(), size) };
        name[..length].copy_from_slice(&text.as_bytes()[..length]);
        name[length] = 0;
    }
    violation.is_some()
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
