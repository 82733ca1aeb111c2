// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls with every register in view: what the RMM answers, and what it leaves alone.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use psmmu_abi::SMCCC_NOT_SUPPORTED;
use psmmu_abi::{Function, Status, Version};
use psmmu_host::{Conduit, Rmi};

use crate::granule::Granule;
use crate::smc::{RMI, call_wide};

/// Outputs of a failed NOTIFY, and of one that has nothing to report.
pub const NOTHING: [u64; 6] = [0; 6];

/// Addresses that are no memory of the host, all of them aligned.
pub const NOT_HOST_MEMORY: [(u64, &str); 21] = [
    (0, "flash, which EL3 booted from"),
    (0x0800_0000, "the interrupt controller"),
    (0x0900_0000, "the console"),
    (0x0905_0000, "the SMMU"),
    (0x0A01_0000, "a hole"),
    (0x0E00_0000, "the Root's memory"),
    (0x0E10_0000, "Secure memory"),
    (0x3EFF_0000, "PCIe I/O"),
    (0x3FFF_F000, "the last page below DRAM"),
    (0x4010_0000, "the RMM's first page"),
    (0x4100_0000, "a page in the Realm region"),
    (0x418F_F000, "the page that the RMM shares with EL3"),
    (0xC000_0000, "the first page behind DRAM, in the bank of the manifest"),
    (0xF000_0000, "a page behind DRAM, in the bank of the manifest"),
    (0xFFFF_F000, "the last page of the bank"),
    (0x1_0000_0000, "the first page behind the bank"),
    (0xFF_FFFF_F000, "the last page below 1 TiB"),
    (1 << 40, "1 TiB"),
    (1 << 52, "2^52"),
    (1 << 63, "2^63"),
    (!0xFFF, "the last page of all"),
];

/// What must be added to a page's address to make it a bad one.
pub const OFFSETS: [(u64, &str); 7] = [
    (1, "one byte off"),
    (8, "eight bytes off"),
    (0x800, "half a page off"),
    (0xFFF, "one byte short of the next page"),
    (1 << 40, "1 TiB further on"),
    (1 << 52, "2^52 further on"),
    (1 << 63, "2^63 further on"),
];

/// Returns the word of X0 that carries a status.
pub const fn x0(status: Status) -> u64 {
    status as u64
}

/// Calls `fid` with `arguments` from X1 on and noise in all other registers, and checks that it answers
/// `x0` and `outputs`, from X1 on; that X1 to X3 are zero and X4 to X17 the caller's where they are no
/// outputs; and that the RMM answers the next call.
pub fn expect(what: fmt::Arguments<'_>, fid: u64, arguments: &[u64], x0: u64, outputs: &[u64]) {
    let (came, sent) = call(fid, arguments);
    expect_eq!(came[0], x0, "{what}: X0");
    for register in 1..came.len() {
        let wanted = match outputs.get(register - 1) {
            Some(&output) => output,
            None if register <= 3 => 0,
            None => sent[register],
        };
        expect_eq!(came[register], wanted, "{what}: X{register}");
    }
    expect_alive(what);
}

/// The host driver's way to the RMM, with every register in view: noise in X4 to X17, where no call of
/// the driver has an argument, and the checks of [`expect`] on X3 to X17. For calls whose outputs are X1
/// and X2 at most.
#[derive(Clone, Copy)]
pub struct Watched;

/// The RMM, watched.
pub const WATCHED: Rmi<Watched> = Rmi::new(Watched);

impl Conduit for Watched {
    fn call(&self, [fid, x1, x2, x3, ..]: [u64; 8]) -> [u64; 8] {
        let what = format_args!("function {fid:#x} with {x1:#x}, {x2:#x}, {x3:#x}");
        let (came, sent) = call(fid, &[x1, x2, x3]);
        expect_eq!(came[3], 0, "{what}: X3");
        for register in 4..came.len() {
            expect_eq!(came[register], sent[register], "{what}: X{register}");
        }
        expect_alive(what);
        [came[0], came[1], came[2], 0, 0, 0, 0, 0]
    }
}

/// Calls a function that EL3 refuses.
pub fn expect_refused_by_el3(what: fmt::Arguments<'_>, fid: u64) {
    let (came, _) = call(fid, &[]);
    expect_eq!(came[0], SMCCC_NOT_SUPPORTED, "{what}: X0");
    expect_alive(what);
}

/// As [`expect`], with a page of the host that the call must leave alone.
pub fn expect_untouched(
    what: fmt::Arguments<'_>,
    function: Function,
    arguments: &[u64],
    status: Status,
    page: &Granule,
) {
    page.scribble();
    expect(what, function.id(), arguments, x0(status), &[]);
    if let Some(word) = page.changed() {
        fail!("{what}: word {word} of a page has changed to {:#x}", page.word(word));
    }
    crate::check::held();
}

fn expect_alive(what: fmt::Arguments<'_>) {
    match RMI.version() {
        Ok(Version::RMI_2_0) => crate::check::held(),
        Ok(other) => fail!("{what}: afterwards RMI_VERSION answers {other}"),
        Err(error) => fail!("{what}: afterwards {error}"),
    }
}

fn call(fid: u64, arguments: &[u64]) -> ([u64; 18], [u64; 18]) {
    let mut sent = core::array::from_fn(|_| noise());
    sent[0] = fid;
    sent[1..=arguments.len()].copy_from_slice(arguments);
    (call_wide(sent), sent)
}

/// Returns a number that is never zero and equals no valid value; the same ones in every boot.
pub fn noise() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);
    let mut state = STATE.load(Ordering::Relaxed);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.store(state, Ordering::Relaxed);
    state
}
