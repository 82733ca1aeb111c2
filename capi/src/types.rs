// SPDX-License-Identifier: MIT OR Apache-2.0

//! What crosses the border, as `psmmu.h` has it. The fields are explained there.
//!
//! The numbers below are written down on their own, from the header; `tests/capi` has them once more in C.

use core::ffi::c_void;
use core::mem::offset_of;

use psmmu_abi::MsiMessage;
use static_assertions::const_assert_eq;

/// PSMMU_API_VERSION.
pub const API_VERSION: u64 = 2;

/// PSMMU_SIZE_DEFAULT.
pub const SIZE_DEFAULT: u32 = u32::MAX;

/// Results of functions that return an int32_t.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    /// PSMMU_E_ARGUMENT.
    Argument = -1,
    /// PSMMU_E_VERSION.
    Version = -2,
    /// PSMMU_E_STATE_MEMORY.
    StateMemory = -3,
    /// PSMMU_E_COUNT.
    Count = -4,
    /// PSMMU_E_SAME_NAME.
    DuplicatePsmmuPtr = -5,
    /// PSMMU_E_UNKNOWN.
    Unknown = -6,
    /// PSMMU_E_STATE.
    State = -7,
    /// PSMMU_E_NOT_RUNNING.
    NotRunning = -8,
    /// PSMMU_E_MEMORY.
    Memory = -9,
    /// PSMMU_E_PAGE_REQUESTS.
    PageRequests = -10,
    /// PSMMU_E_MESSAGES.
    Messages = -11,
    /// PSMMU_E_TIMED_OUT.
    TimedOut = -12,
    /// PSMMU_E_REFUSED.
    Refused = -13,
    /// PSMMU_E_FAILED.
    Failed = -14,
    /// PSMMU_E_NO_TABLE.
    NoTable = -15,
    /// PSMMU_E_STAGE_2.
    Stage2 = -16,
    /// PSMMU_E_BUSY.
    Busy = -17,
    /// PSMMU_E_NOT_OPENED.
    NotOpened = -18,
}

/// Returns the number that C gets.
#[must_use]
pub const fn code(result: Result<(), Error>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => error as i32,
    }
}

/// struct psmmu_ops.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Ops {
    pub version: u64,
    pub cookie: *mut c_void,
    pub replace_granule: Option<unsafe extern "C" fn(*mut c_void, u64, *const u64, usize) -> bool>,
    pub read_granule:
        Option<unsafe extern "C" fn(*mut c_void, u64, usize, *mut u64, usize) -> bool>,
    pub owns_stream: Option<unsafe extern "C" fn(*mut c_void, u32) -> bool>,
    pub microseconds: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
    pub open_granule: Option<unsafe extern "C" fn(*mut c_void, u64) -> *mut c_void>,
    pub close_granule: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
}

const_assert_eq!(size_of::<Ops>(), 64);
const_assert_eq!(offset_of!(Ops, version), 0);
const_assert_eq!(offset_of!(Ops, cookie), 8);
const_assert_eq!(offset_of!(Ops, replace_granule), 16);
const_assert_eq!(offset_of!(Ops, read_granule), 24);
const_assert_eq!(offset_of!(Ops, owns_stream), 32);
const_assert_eq!(offset_of!(Ops, microseconds), 40);
const_assert_eq!(offset_of!(Ops, open_granule), 48);
const_assert_eq!(offset_of!(Ops, close_granule), 56);

/// struct psmmu_registers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct RegisterFunctions {
    pub cookie: *mut c_void,
    pub read32: Option<unsafe extern "C" fn(*mut c_void, u32, u32) -> u32>,
    pub write32: Option<unsafe extern "C" fn(*mut c_void, u32, u32, u32)>,
    pub write64: Option<unsafe extern "C" fn(*mut c_void, u32, u32, u64)>,
    pub read_barrier: Option<unsafe extern "C" fn(*mut c_void)>,
    pub write_barrier: Option<unsafe extern "C" fn(*mut c_void)>,
}

const_assert_eq!(size_of::<RegisterFunctions>(), 48);
const_assert_eq!(offset_of!(RegisterFunctions, cookie), 0);
const_assert_eq!(offset_of!(RegisterFunctions, read32), 8);
const_assert_eq!(offset_of!(RegisterFunctions, write32), 16);
const_assert_eq!(offset_of!(RegisterFunctions, write64), 24);
const_assert_eq!(offset_of!(RegisterFunctions, read_barrier), 32);
const_assert_eq!(offset_of!(RegisterFunctions, write_barrier), 40);

/// struct psmmu_description.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Description {
    pub name: u64,
    pub non_secure_page_0: *const c_void,
    pub realm_page_0: *mut c_void,
    pub realm_page_1: *mut c_void,
    pub registers: *const RegisterFunctions,
    pub idr0: u32,
    pub idr1: u32,
    pub idr5: u32,
    pub interface: u32,
    pub delivery: u32,
    pub gerror_intid: u32,
    pub eventq_intid: u32,
    pub priq_intid: u32,
    pub abort: u32,
    pub max_streams: u32,
    pub max_commands: u32,
    pub max_events: u32,
    pub max_requests: u32,
    pub reserved: u32,
}

const_assert_eq!(size_of::<Description>(), 96);
const_assert_eq!(offset_of!(Description, name), 0);
const_assert_eq!(offset_of!(Description, non_secure_page_0), 8);
const_assert_eq!(offset_of!(Description, realm_page_0), 16);
const_assert_eq!(offset_of!(Description, realm_page_1), 24);
const_assert_eq!(offset_of!(Description, registers), 32);
const_assert_eq!(offset_of!(Description, idr0), 40);
const_assert_eq!(offset_of!(Description, idr1), 44);
const_assert_eq!(offset_of!(Description, idr5), 48);
const_assert_eq!(offset_of!(Description, interface), 52);
const_assert_eq!(offset_of!(Description, delivery), 56);
const_assert_eq!(offset_of!(Description, gerror_intid), 60);
const_assert_eq!(offset_of!(Description, eventq_intid), 64);
const_assert_eq!(offset_of!(Description, priq_intid), 68);
const_assert_eq!(offset_of!(Description, abort), 72);
const_assert_eq!(offset_of!(Description, max_streams), 76);
const_assert_eq!(offset_of!(Description, max_commands), 80);
const_assert_eq!(offset_of!(Description, max_events), 84);
const_assert_eq!(offset_of!(Description, max_requests), 88);
const_assert_eq!(offset_of!(Description, reserved), 92);

/// struct psmmu_queue.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct RunningQueue {
    pub va: *mut c_void,
    pub pa: u64,
    pub log2_entries: u64,
}

const_assert_eq!(size_of::<RunningQueue>(), 24);
const_assert_eq!(offset_of!(RunningQueue, va), 0);
const_assert_eq!(offset_of!(RunningQueue, pa), 8);
const_assert_eq!(offset_of!(RunningQueue, log2_entries), 16);

/// struct psmmu_running.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct RunningQueues {
    pub event_queue: RunningQueue,
    pub pri_queue: RunningQueue,
    pub command_queue: RunningQueue,
}

const_assert_eq!(size_of::<RunningQueues>(), 72);
const_assert_eq!(offset_of!(RunningQueues, event_queue), 0);
const_assert_eq!(offset_of!(RunningQueues, pri_queue), 24);
const_assert_eq!(offset_of!(RunningQueues, command_queue), 48);

/// struct psmmu_msis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct MessageTriple {
    pub gerror: MsiMessage,
    pub eventq: MsiMessage,
    pub priq: MsiMessage,
}

const_assert_eq!(size_of::<MessageTriple>(), 48);
const_assert_eq!(offset_of!(MessageTriple, gerror), 0);
const_assert_eq!(offset_of!(MessageTriple, eventq), 16);
const_assert_eq!(offset_of!(MessageTriple, priq), 32);

impl From<&MessageTriple> for psmmu::MsiConfig {
    fn from(msis: &MessageTriple) -> Self {
        let MessageTriple { gerror, eventq, priq } = *msis;
        Self { gerror, eventq, priq }
    }
}

/// struct psmmu_region.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Piece {
    pub va: *mut c_void,
    pub pa: u64,
    pub bytes: u64,
}

const_assert_eq!(size_of::<Piece>(), 24);
const_assert_eq!(offset_of!(Piece, va), 0);
const_assert_eq!(offset_of!(Piece, pa), 8);
const_assert_eq!(offset_of!(Piece, bytes), 16);

/// struct psmmu_memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Pieces {
    pub stream_table: Piece,
    pub command_queue: Piece,
    pub event_queue: Piece,
    pub pri_queue: Piece,
    pub completion: Piece,
}

const_assert_eq!(size_of::<Pieces>(), 120);
const_assert_eq!(offset_of!(Pieces, stream_table), 0);
const_assert_eq!(offset_of!(Pieces, command_queue), 24);
const_assert_eq!(offset_of!(Pieces, event_queue), 48);
const_assert_eq!(offset_of!(Pieces, pri_queue), 72);
const_assert_eq!(offset_of!(Pieces, completion), 96);

/// struct psmmu_needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct NeededGranules {
    pub stream_table: u64,
    pub command_queue: u64,
    pub event_queue: u64,
    pub pri_queue: u64,
}

const_assert_eq!(size_of::<NeededGranules>(), 32);
const_assert_eq!(offset_of!(NeededGranules, stream_table), 0);
const_assert_eq!(offset_of!(NeededGranules, command_queue), 8);
const_assert_eq!(offset_of!(NeededGranules, event_queue), 16);
const_assert_eq!(offset_of!(NeededGranules, pri_queue), 24);

/// struct psmmu_wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct WantedFlags {
    pub flags: u64,
    pub msis: MessageTriple,
}

const_assert_eq!(size_of::<WantedFlags>(), 56);
const_assert_eq!(offset_of!(WantedFlags, flags), 0);
const_assert_eq!(offset_of!(WantedFlags, msis), 8);

/// struct psmmu_command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct CommandWords {
    pub words: [u64; 2],
}

const_assert_eq!(size_of::<CommandWords>(), 16);

/// struct psmmu_stage_2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Stage2Fields {
    pub table: u64,
    pub vmid: u16,
    pub t0sz: u8,
    pub sl0: u8,
    pub ps: u8,
    pub reserved: [u8; 3],
}

const_assert_eq!(size_of::<Stage2Fields>(), 16);
const_assert_eq!(offset_of!(Stage2Fields, table), 0);
const_assert_eq!(offset_of!(Stage2Fields, vmid), 8);
const_assert_eq!(offset_of!(Stage2Fields, t0sz), 10);
const_assert_eq!(offset_of!(Stage2Fields, sl0), 11);
const_assert_eq!(offset_of!(Stage2Fields, ps), 12);
const_assert_eq!(offset_of!(Stage2Fields, reserved), 13);

/// struct psmmu_queue_counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct QueueNumbers {
    pub staged: u64,
    pub consumed: u64,
    pub overflows: u64,
    pub discards: u64,
    pub dropped: u64,
    pub high_water: u64,
}

const_assert_eq!(size_of::<QueueNumbers>(), 48);
const_assert_eq!(offset_of!(QueueNumbers, staged), 0);
const_assert_eq!(offset_of!(QueueNumbers, consumed), 8);
const_assert_eq!(offset_of!(QueueNumbers, overflows), 16);
const_assert_eq!(offset_of!(QueueNumbers, discards), 24);
const_assert_eq!(offset_of!(QueueNumbers, dropped), 32);
const_assert_eq!(offset_of!(QueueNumbers, high_water), 40);

/// PSMMU_ERRORS.
pub const ERRORS: usize = 11;

/// struct psmmu_counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Numbers {
    pub events: QueueNumbers,
    pub page_requests: QueueNumbers,
    pub pri_resp_sent: u64,
    pub pri_resp_refused: u64,
    pub pri_resp_dropped: u64,
    pub errors: [u64; ERRORS],
}

const_assert_eq!(size_of::<Numbers>(), 208);
const_assert_eq!(offset_of!(Numbers, events), 0);
const_assert_eq!(offset_of!(Numbers, page_requests), 48);
const_assert_eq!(offset_of!(Numbers, pri_resp_sent), 96);
const_assert_eq!(offset_of!(Numbers, pri_resp_refused), 104);
const_assert_eq!(offset_of!(Numbers, pri_resp_dropped), 112);
const_assert_eq!(offset_of!(Numbers, errors), 120);

/// struct psmmu_trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct TraceEntry {
    pub kind: u32,
    pub reserved: u32,
    pub value: u64,
}

const_assert_eq!(size_of::<TraceEntry>(), 16);
const_assert_eq!(offset_of!(TraceEntry, kind), 0);
const_assert_eq!(offset_of!(TraceEntry, reserved), 4);
const_assert_eq!(offset_of!(TraceEntry, value), 8);

/// PSMMU_TRACE_LENGTH.
pub const TRACE_LENGTH: usize = 16;
const_assert_eq!(TRACE_LENGTH, psmmu::counters::Trace::LENGTH);
