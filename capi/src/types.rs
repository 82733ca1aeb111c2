// SPDX-License-Identifier: MIT OR Apache-2.0

//! What crosses the border, as `libpsmmu.h` has it. The fields are explained there.
//!
//! The numbers below are written down on their own, from the header; `tests/capi` has them once more in C.

use core::ffi::c_void;
use core::mem::offset_of;

use psmmu_abi::MsiMessage;
use static_assertions::const_assert_eq;

/// LPSMMU_API_VERSION.
pub const API_VERSION: u64 = 3;

/// LPSMMU_SIZE_DEFAULT.
pub const SIZE_DEFAULT: u32 = u32::MAX;

/// Results of functions that return an int32_t.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    /// LPSMMU_E_INVAL.
    Inval = -1,
    /// LPSMMU_E_VERSION.
    Version = -2,
    /// LPSMMU_E_STATE_MEMORY.
    StateMemory = -3,
    /// LPSMMU_E_COUNT.
    Count = -4,
    /// LPSMMU_E_EXIST.
    Exist = -5,
    /// LPSMMU_E_NODEV.
    NoDev = -6,
    /// LPSMMU_E_STATE.
    State = -7,
    /// LPSMMU_E_NOT_ENABLED.
    NotEnabled = -8,
    /// LPSMMU_E_MEMORY.
    Memory = -9,
    /// LPSMMU_E_PRI.
    Pri = -10,
    /// LPSMMU_E_MSI.
    Msi = -11,
    /// LPSMMU_E_TIMED_OUT.
    TimedOut = -12,
    /// LPSMMU_E_CMD.
    Cmd = -13,
    /// LPSMMU_E_FAILED.
    Failed = -14,
    /// LPSMMU_E_NO_TABLE.
    NoTable = -15,
    /// LPSMMU_E_STAGE_2.
    Stage2 = -16,
    /// LPSMMU_E_BUSY.
    Busy = -17,
    /// LPSMMU_E_NOT_OPENED.
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

/// struct lpsmmu_ops.
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

/// struct lpsmmu_registers.
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

/// struct lpsmmu_config.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct SmmuConfig {
    pub psmmu_ptr: u64,
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
    pub queue_abort: u32,
    pub max_streams: u32,
    pub max_commands: u32,
    pub max_events: u32,
    pub max_requests: u32,
    pub reserved: u32,
}

const_assert_eq!(size_of::<SmmuConfig>(), 96);
const_assert_eq!(offset_of!(SmmuConfig, psmmu_ptr), 0);
const_assert_eq!(offset_of!(SmmuConfig, non_secure_page_0), 8);
const_assert_eq!(offset_of!(SmmuConfig, realm_page_0), 16);
const_assert_eq!(offset_of!(SmmuConfig, realm_page_1), 24);
const_assert_eq!(offset_of!(SmmuConfig, registers), 32);
const_assert_eq!(offset_of!(SmmuConfig, idr0), 40);
const_assert_eq!(offset_of!(SmmuConfig, idr1), 44);
const_assert_eq!(offset_of!(SmmuConfig, idr5), 48);
const_assert_eq!(offset_of!(SmmuConfig, interface), 52);
const_assert_eq!(offset_of!(SmmuConfig, delivery), 56);
const_assert_eq!(offset_of!(SmmuConfig, gerror_intid), 60);
const_assert_eq!(offset_of!(SmmuConfig, eventq_intid), 64);
const_assert_eq!(offset_of!(SmmuConfig, priq_intid), 68);
const_assert_eq!(offset_of!(SmmuConfig, queue_abort), 72);
const_assert_eq!(offset_of!(SmmuConfig, max_streams), 76);
const_assert_eq!(offset_of!(SmmuConfig, max_commands), 80);
const_assert_eq!(offset_of!(SmmuConfig, max_events), 84);
const_assert_eq!(offset_of!(SmmuConfig, max_requests), 88);
const_assert_eq!(offset_of!(SmmuConfig, reserved), 92);

/// struct lpsmmu_queue.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Queue {
    pub va: *mut c_void,
    pub pa: u64,
    pub log2_entries: u64,
}

const_assert_eq!(size_of::<Queue>(), 24);
const_assert_eq!(offset_of!(Queue, va), 0);
const_assert_eq!(offset_of!(Queue, pa), 8);
const_assert_eq!(offset_of!(Queue, log2_entries), 16);

/// struct lpsmmu_queues.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Queues {
    pub event_queue: Queue,
    pub pri_queue: Queue,
    pub command_queue: Queue,
}

const_assert_eq!(size_of::<Queues>(), 72);
const_assert_eq!(offset_of!(Queues, event_queue), 0);
const_assert_eq!(offset_of!(Queues, pri_queue), 24);
const_assert_eq!(offset_of!(Queues, command_queue), 48);

/// struct lpsmmu_msi_config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct MsiTriple {
    pub gerror: MsiMessage,
    pub eventq: MsiMessage,
    pub priq: MsiMessage,
}

const_assert_eq!(size_of::<MsiTriple>(), 48);
const_assert_eq!(offset_of!(MsiTriple, gerror), 0);
const_assert_eq!(offset_of!(MsiTriple, eventq), 16);
const_assert_eq!(offset_of!(MsiTriple, priq), 32);

impl From<&MsiTriple> for psmmu::MsiConfig {
    fn from(msi: &MsiTriple) -> Self {
        let MsiTriple { gerror, eventq, priq } = *msi;
        Self { gerror, eventq, priq }
    }
}

/// struct lpsmmu_region.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct Region {
    pub va: *mut c_void,
    pub pa: u64,
    pub bytes: u64,
}

const_assert_eq!(size_of::<Region>(), 24);
const_assert_eq!(offset_of!(Region, va), 0);
const_assert_eq!(offset_of!(Region, pa), 8);
const_assert_eq!(offset_of!(Region, bytes), 16);

/// struct lpsmmu_memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct MemoryRegions {
    pub stream_table: Region,
    pub command_queue: Region,
    pub event_queue: Region,
    pub pri_queue: Region,
    pub completion: Region,
}

const_assert_eq!(size_of::<MemoryRegions>(), 120);
const_assert_eq!(offset_of!(MemoryRegions, stream_table), 0);
const_assert_eq!(offset_of!(MemoryRegions, command_queue), 24);
const_assert_eq!(offset_of!(MemoryRegions, event_queue), 48);
const_assert_eq!(offset_of!(MemoryRegions, pri_queue), 72);
const_assert_eq!(offset_of!(MemoryRegions, completion), 96);

/// struct lpsmmu_mem_req.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct MemReq {
    pub stream_table: u64,
    pub command_queue: u64,
    pub event_queue: u64,
    pub pri_queue: u64,
}

const_assert_eq!(size_of::<MemReq>(), 32);
const_assert_eq!(offset_of!(MemReq, stream_table), 0);
const_assert_eq!(offset_of!(MemReq, command_queue), 8);
const_assert_eq!(offset_of!(MemReq, event_queue), 16);
const_assert_eq!(offset_of!(MemReq, pri_queue), 24);

/// struct lpsmmu_activate_args.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct ActivateArgs {
    pub flags: u64,
    pub msi: MsiTriple,
}

const_assert_eq!(size_of::<ActivateArgs>(), 56);
const_assert_eq!(offset_of!(ActivateArgs, flags), 0);
const_assert_eq!(offset_of!(ActivateArgs, msi), 8);

/// struct lpsmmu_command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "they are explained in the header")]
pub struct CommandWords {
    pub words: [u64; 2],
}

const_assert_eq!(size_of::<CommandWords>(), 16);

/// struct lpsmmu_stage_2.
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

/// struct lpsmmu_queue_counters.
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

/// LPSMMU_ERRORS.
pub const ERRORS: usize = 11;

/// struct lpsmmu_counters.
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

/// struct lpsmmu_trace_entry.
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

/// LPSMMU_TRACE_LENGTH.
pub const TRACE_LENGTH: usize = 16;
const_assert_eq!(TRACE_LENGTH, psmmu::Trace::LENGTH);
