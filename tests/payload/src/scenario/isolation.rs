// SPDX-License-Identifier: MIT OR Apache-2.0

//! `isolation`: what the host and its devices cannot do to the Realm side of an SMMU that has one. Its
//! registers read zero and ignore writes, its memory is a granule protection fault for the CPU and for the
//! host's devices and event queue, and each side reports the faults of its own devices only.
//!
//! Wants a device of the Realm world and one of the host's.

use heapless::Vec;

use super::{Arguments, usage};
use crate::arch::Masked;
use crate::bring_up::{self, Bench};
use crate::edu::{Access, Dma, Edu};
use crate::granule::Granule;
use crate::platform::{HOST_STREAM, REALM_SMMU};
use crate::probe::{self, Fault};
use crate::smmu::{EVENTQ_ABT_ERR, OwnRecord, OwnSide};
use crate::{events, pool, smmu, time};

/// Offsets of registers of the Realm interface: IDR0, IDR1, CR0, CR0ACK, IRQ_CTRL, GERROR, STRTAB_BASE,
/// CMDQ_BASE, CMDQ_PROD, EVENTQ_BASE, EVENTQ_PROD, EVENTQ_CONS. While it is in use most are not zero.
const REGISTERS: [u64; 12] =
    [0x00, 0x04, 0x20, 0x24, 0x50, 0x60, 0x80, 0x90, 0x98, 0xA0, 0x1_00A8, 0x1_00AC];
/// C_BAD_STE.
const BAD_STE: u8 = 0x04;
/// Records that are in the Realm event queue while the host's device tries to change them.
const WAITING: u32 = 8;
/// Words of a granule.
const GRANULE_WORDS: u32 = 1024;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("isolation");
    }
    require!(smmu::has_realm_side(), "the SMMU has no Realm side");
    let mut bench = bring_up::all();
    expect_eq!(bench.two_edus()[1].stream, HOST_STREAM, "the host's device");
    registers();
    memory();
    side_by_side(&mut bench);
    own_device(&mut bench);
    own_queue(&mut bench);
    let count = events::count();
    let dma = Dma::new(Access::Write, 3);
    bench.edus[0].run(dma);
    events::wait_for(count + 3);
    let end = events::expect_faults(count, &[dma]);
    events::expect_no_more_than(end);
}

/// The registers of the Realm interface are out of the host's reach.
pub fn registers() {
    for round in 0..2 {
        for offset in REGISTERS {
            let came = probe::load(REALM_SMMU + offset);
            expect_eq!(came, Ok(0), "Realm register {offset:#x} in round {round}");
            // The second round finds out that this has written nothing: a later fault is reported as well.
            expect_eq!(probe::store(REALM_SMMU + offset, !0), Ok(()), "a write to {offset:#x}");
        }
    }
    say!("the host reads zero from {} registers of the Realm interface", REGISTERS.len());
}

/// The memory of the PSMMU is out of the host's reach.
pub fn memory() {
    let mut granules = 0;
    for address in pool::addresses_out() {
        let load = probe::load(address);
        expect_eq!(load, Err(Fault::granule_protection(false)), "a load from {address:#x}");
        let store = probe::store(address, 0);
        expect_eq!(store, Err(Fault::granule_protection(true)), "a store to {address:#x}");
        granules += 1;
    }
    require!(granules != 0, "no granule is donated");
    say!("the host takes granule protection faults on all {granules} donated granules");
}

/// A device of the host's and one of the Realm world fault; each side has the record of its own.
pub fn side_by_side(bench: &mut Bench) {
    static QUEUE: Granule = Granule::new();
    let mut own = OwnSide::start(QUEUE.address());
    let count = events::count();
    let (realm, host) = (Dma::new(Access::Write, 5), Dma::new(Access::Write, 4));
    let is_host = |edu: &Edu| edu.stream == HOST_STREAM;
    for edu in &mut bench.edus {
        if is_host(edu) {
            edu.start(host);
        } else if edu.stream < HOST_STREAM {
            edu.start(realm);
        }
    }
    bench.edus.iter().for_each(Edu::finish);
    events::wait_for(count + realm.words as usize);
    let end = events::expect_faults(count, &[realm]);
    expect_eq!(events::count(), end, "events that the RMM has reported");
    let records: Vec<OwnRecord, 8> = own.records();
    let wanted = OwnRecord { number: BAD_STE, stream: HOST_STREAM };
    expect_eq!(records.as_slice(), [wanted; 4], "the records on the host's own side");
    expect_eq!(own.active_errors(), 0, "errors on the host's own side");
    say!(
        "{} records of the host's device on its own side, {} events of the Realm device by the RMM",
        records.len(),
        realm.words
    );
}

/// The host's device, whose accesses nothing translates, neither changes the memory of the PSMMU nor reads
/// it.
fn own_device(bench: &mut Bench) {
    static OURS: Granule = Granule::new();
    let [realm, own] = bench.two_edus();
    let ours = |access| Dma { at: OURS.address(), words: GRANULE_WORDS, ..Dma::new(access, 1) };
    let donated: Vec<u64, 32> = pool::addresses_out().collect();

    let masked = Masked::new();
    let count = events::count();
    let waiting = Dma::new(Access::Write, WAITING);
    realm.run(waiting);
    for &at in &donated {
        OURS.scribble();
        own.run(ours(Access::Read));
        own.run(Dma { at, ..ours(Access::Write) });
        own.run(Dma { at, ..ours(Access::Read) });
        own.run(ours(Access::Write));
        require!(
            (0..GRANULE_WORDS as usize / 2).all(|word| OURS.word(word) == 0),
            "the host's device has read from {at:#x}, which is donated"
        );
    }
    drop(masked);
    events::wait_for(count + WAITING as usize);
    let end = events::expect_faults(count, &[waiting]);
    expect_eq!(events::count(), end, "number of events");
    say!("the host's device neither reads nor changes {} donated granules", donated.len());
}

/// The host's own event queue cannot be in memory of the PSMMU: a record is a write abort, not a leak.
fn own_queue(bench: &mut Bench) {
    let Some(queue) = pool::addresses_out().next() else { fail!("no granule is donated") };
    let own = OwnSide::start(queue);
    let [_, device] = bench.two_edus();
    device.run(Dma::new(Access::Write, 1));
    time::pass(1);
    expect_eq!(own.active_errors(), EVENTQ_ABT_ERR, "errors on the host's own side");
    say!("the host's own event queue in a donated granule is a write abort");
}
