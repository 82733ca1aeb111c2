// SPDX-License-Identifier: MIT OR Apache-2.0

//! Manual calls, register by register, with the numbers of the wire and not those of the ABI crate:
//! for hosts that are not as the host driver is.

use psmmu::State;

use crate::{HOST_PAGE, Machine, PSMMU, RAW_LIST, Ram};

/// Function identifiers.
pub mod fid {
    #![expect(missing_docs, reason = "the names are those of the commands")]
    pub const VERSION: u64 = 0xC400_0150;
    pub const FEATURES: u64 = 0xC400_0165;
    pub const CONFIG_SET: u64 = 0xC400_016E;
    pub const IRQ_NOTIFY: u64 = 0xC400_016F;
    pub const PSMMU_ACTIVATE: u64 = 0xC400_01D7;
    pub const PSMMU_DEACTIVATE: u64 = 0xC400_01D8;
    pub const ST_L2_CREATE: u64 = 0xC400_01DB;
    pub const ST_L2_DESTROY: u64 = 0xC400_01DC;
    pub const TRACKING_GET: u64 = 0xC400_01E1;
    pub const CONFIG_GET: u64 = 0xC400_01EC;
    pub const STATE_GET: u64 = 0xC400_01EE;
    pub const EVENT_CONSUME: u64 = 0xC400_01F0;
    pub const RANGE_DELEGATE: u64 = 0xC400_01F1;
    pub const RANGE_UNDELEGATE: u64 = 0xC400_01F2;
    pub const RMM_ACTIVATE: u64 = 0xC400_0202;
    pub const OP_CONTINUE: u64 = 0xC400_0203;
    pub const OP_MEM_DONATE: u64 = 0xC400_0208;
    pub const OP_MEM_RECLAIM: u64 = 0xC400_0209;
    pub const OP_CANCEL: u64 = 0xC400_020A;
    pub const PSMMU_INFO: u64 = 0xC400_020E;
    pub const RMM_DEACTIVATE: u64 = 0xC400_020F;
    pub const GPT_INFO: u64 = 0xC400_0211;
    /// Those of virtual SMMUs.
    pub const VSMMU: [u64; 6] =
        [0xC400_016A, 0xC400_016B, 0xC400_01D6, 0xC400_020B, 0xC400_020C, 0xC400_020D];
}

/// Values of X0.
pub mod x0 {
    #![expect(missing_docs, reason = "the names are those of the statuses")]
    pub const SUCCESS: u64 = 0;
    pub const INPUT: u64 = 1;
    pub const NOT_SUPPORTED: u64 = 5;
    pub const DEVICE: u64 = 6;
    pub const BUSY: u64 = 10;
    pub const GLOBAL: u64 = 11;
    pub const BLOCKED: u64 = 14;
    /// Incomplete; the host goes on.
    pub const CONTINUE: u64 = 0x00D;
    /// Incomplete; the host donates, or cancels.
    pub const DONATE: u64 = 0x50D;
    /// Incomplete; the host reclaims.
    pub const RECLAIM: u64 = 0x20D;
    /// The walk of the stream table ended at level 2.
    pub const TABLE: u64 = 0x208;
    /// There is no such command.
    pub const UNKNOWN: u64 = u64::MAX;
}

/// X2 that asks for one granule.
pub const ONE_GRANULE: u64 = 4;

/// Returns the number of granules that X2 of a "donate" answer asks for, in one piece.
///
/// # Panics
/// When it asks for something else.
#[must_use]
pub fn granules_of(x2: u64) -> u64 {
    // Blocks of 4 KiB or 2 MiB, delegated, contiguous unless it is a single granule.
    let contiguous = if x2 == ONE_GRANULE { 0 } else { 1 << 16 };
    assert_eq!(x2 & !(0x3FFF << 2 | 1), contiguous, "X2 {x2:#x}");
    let (count, in_a_block) = (x2 >> 2 & 0x3FFF, if x2 & 1 == 0 { 1 } else { 512 });
    assert!(count.is_power_of_two() && count < 1024, "X2 {x2:#x}");
    count * in_a_block
}

/// Returns the entry of a list for `granules` delegated granules at `address`, in blocks of 2 MiB if
/// they are too many to be counted.
#[must_use]
pub const fn entry(address: u64, granules: u64) -> u64 {
    if granules < 1024 { address | granules << 2 } else { address | (granules / 512) << 2 | 1 }
}

/// Returns address and number of granules of an entry that the RMM wrote.
///
/// # Panics
/// When it is not one of delegated granules.
#[must_use]
pub fn range(entry: u64) -> (u64, u64) {
    assert_eq!(entry & (0xFFF << 52 | 2), 0, "entry {entry:#x}");
    let in_a_block = if entry & 1 == 0 { 1 } else { 512 };
    (entry & 0x000F_FFFF_FFFF_F000, (entry >> 2 & 0x3FF) * in_a_block)
}

/// Returns the handle that X1 and X2 of `OP_CONTINUE` mean: TF-A-Tests has it in X2. A handle is 48
/// bits, of which the lowest eight are zero.
#[must_use]
pub const fn continued(x1: u64, x2: u64) -> u64 {
    let is_handle = x2 & 0xFF == 0 && x2 >> 48 == 0;
    if x1 == 0 && is_handle { x2 } else { x1 }
}

impl Machine {
    /// Makes a call with arguments X1 to X3, and junk in X4 to X7, which must come back. Returns X0 to
    /// X3.
    ///
    /// # Panics
    /// When X4 to X7 were touched.
    #[must_use]
    pub fn ask(&self, function: u64, [x1, x2, x3]: [u64; 3]) -> [u64; 4] {
        const JUNK: [u64; 4] = [0x4444_0000_0000_4444, 5 << 60, !6, 0x77];
        let [x4, x5, x6, x7] = JUNK;
        let [x0, x1, x2, x3, kept @ ..] = self.call([function, x1, x2, x3, x4, x5, x6, x7]);
        assert_eq!(kept, JUNK, "X4 to X7 behind {function:#x}");
        [x0, x1, x2, x3]
    }

    /// As [`ask`](Self::ask), for a command whose answer is its status alone.
    #[must_use]
    pub fn status(&self, function: u64, arguments: [u64; 3]) -> u64 {
        let [x0, outputs @ ..] = self.ask(function, arguments);
        assert_eq!(outputs, [0; 3], "outputs of {function:#x} that answers {x0:#x}");
        x0
    }

    /// Begins an operation on the first PSMMU, and returns its handle and X2.
    ///
    /// # Panics
    /// When X0 is not `wants`.
    pub fn begin(&self, function: u64, x2: u64, wants: u64) -> (u64, u64) {
        let [x0, handle, request, x3] = self.ask(function, [PSMMU, x2, 0x3333]);
        assert_eq!((x0, x3), (wants, 0), "{function:#x}");
        (handle, request)
    }

    /// Begins an activation with the parameters in [`HOST_PAGE`].
    #[must_use]
    pub fn begin_activate(&self) -> (u64, u64) {
        self.begin(fid::PSMMU_ACTIVATE, HOST_PAGE, x0::DONATE)
    }

    /// Begins to make the level-2 table of the streams from `stream` on.
    #[must_use]
    pub fn begin_create(&self, stream: u64) -> (u64, u64) {
        self.begin(fid::ST_L2_CREATE, stream, x0::DONATE)
    }

    /// Delegates a granule and returns X0.
    #[must_use]
    pub fn delegate(&self, granule: u64) -> u64 {
        self.ask(fid::RANGE_DELEGATE, [granule, granule + 0x1000, 0])[0]
    }

    /// Undelegates a granule and returns X0.
    #[must_use]
    pub fn undelegate(&self, granule: u64) -> u64 {
        self.ask(fid::RANGE_UNDELEGATE, [granule, granule + 0x1000, 0])[0]
    }

    /// Allocates and delegates granules in one piece, aligned to its size.
    ///
    /// # Panics
    /// When the RMM refuses.
    #[must_use]
    pub fn allocate(&self, granules: u64) -> u64 {
        let address = self.heap.take(granules);
        for granule in Ram::granules(address, granules * 0x1000) {
            assert_eq!(self.delegate(granule), x0::SUCCESS, "delegate {granule:#x}");
        }
        address
    }

    /// Undelegates and frees granules that were donated and are not in use any more.
    ///
    /// # Panics
    /// When the RMM refuses.
    pub fn free(&self, address: u64, granules: u64) {
        for granule in Ram::granules(address, granules * 0x1000) {
            assert_eq!(self.undelegate(granule), x0::SUCCESS, "undelegate {granule:#x}");
            self.heap.put(granule);
        }
    }

    /// Writes a list to [`RAW_LIST`] and returns its PA.
    pub fn list(&self, entries: &[u64]) -> u64 {
        for (index, entry) in entries.iter().enumerate() {
            self.host.set_word(RAW_LIST, index, *entry);
        }
        RAW_LIST
    }

    /// Donates what `entries` say, and returns X0 to X2.
    ///
    /// # Panics
    /// When X3 is not zero.
    #[must_use]
    pub fn donate(&self, handle: u64, entries: &[u64]) -> [u64; 3] {
        let list = self.list(entries);
        let [x0, x1, x2, x3] = self.ask(fid::OP_MEM_DONATE, [handle, list, entries.len() as u64]);
        assert_eq!(x3, 0);
        [x0, x1, x2]
    }

    /// Allocates what `request` asks for and donates it. Returns X0, X2 and what was donated.
    ///
    /// # Panics
    /// When the RMM does not take all of it.
    pub fn give(&self, handle: u64, request: u64) -> (u64, u64, u64) {
        let granules = granules_of(request);
        let address = self.allocate(granules);
        let [x0, taken, x2] = self.donate(handle, &[entry(address, granules)]);
        assert_eq!(taken, granules, "X0 {x0:#x}");
        (x0, x2, address)
    }

    /// Goes on with an operation and returns X0 and X2.
    ///
    /// # Panics
    /// When X1 or X3 are not what they must be.
    #[must_use]
    pub fn proceed(&self, handle: u64) -> (u64, u64) {
        let [x0, x1, x2, x3] = self.ask(fid::OP_CONTINUE, [handle, 0, 0x3333]);
        let is_open = x0 & 0xFF == x0::CONTINUE;
        assert_eq!((x1, x3), (if is_open { handle } else { 0 }, 0), "X0 {x0:#x}");
        (x0, x2)
    }

    /// Reclaims all that an operation gives back, one entry at a time, and frees it. Returns the
    /// number of granules.
    ///
    /// # Panics
    /// When the RMM does not end.
    pub fn reclaim_all(&self, handle: u64) -> u64 {
        let mut granules = 0;
        for _ in 0..100 {
            let [x0, entries, x2, x3] = self.ask(fid::OP_MEM_RECLAIM, [handle, RAW_LIST, 1]);
            assert_eq!((entries, x2, x3), (1, 0, 0), "X0 {x0:#x}");
            let (address, count) = range(self.host.word(RAW_LIST, 0));
            self.free(address, count);
            granules += count;
            match x0 {
                x0::RECLAIM => {}
                x0::CONTINUE => return granules,
                other => panic!("RECLAIM answers {other:#x}"),
            }
        }
        panic!("RECLAIM does not end");
    }

    /// Leads an operation to its end, wherever it is, as a host does that has memory and keeps retrying.
    /// Returns the last X0.
    ///
    /// # Panics
    /// When it does not come to an end.
    pub fn finish(&self, handle: u64) -> u64 {
        // The largest queue is zeroed in 256 parts.
        for _ in 0..1000 {
            match self.proceed(handle) {
                (x0::CONTINUE, _) => {}
                (x0::RECLAIM, _) => {
                    self.reclaim_all(handle);
                }
                (x0::DONATE, request) => {
                    self.give(handle, request);
                }
                (x0, _) => return x0,
            }
        }
        panic!("operation {handle:#x} does not come to an end");
    }

    /// Checks that all that the host ever gave is back, and that PSMMUs and devices are disabled.
    ///
    /// # Panics
    /// When they are not.
    pub fn check_quiesced(&self) {
        assert_eq!(self.handles(), [0; 0], "operations are open");
        assert_eq!(self.host.realm(), [0; 0], "granules are in Realm PAS");
        assert_eq!(self.harness.opened(), [0; 0], "granules are open for a device");
        assert_eq!((self.heap.used(), self.heap.lost()), (0, vec![]), "granules are not back");
        for index in 0..self.rmm().responder().psmmus().len() {
            assert_eq!(self.psmmu_of(index).state(), State::Inactive);
            let device = self.device_of(index);
            // SMMUEN, PRIQEN, EVENTQEN, CMDQEN.
            assert_eq!((device.cr0() & 0xF, device.cr0ack() & 0xF), (0, 0), "CR0 of {index}");
            assert_eq!((device.irq_ctrl(), device.irq_ctrlack()), (0, 0), "IRQ_CTRL of {index}");
        }
    }
}
