// SPDX-License-Identifier: MIT OR Apache-2.0

//! Structures that C fills are read here, and the other way round; constants of the header are those of
//! the library and of the wire.

use std::mem::{MaybeUninit, size_of};

use psmmu_abi::{Function, IrqDelivery, IrqSet, PsmmuInfo, PsmmuParams, PsmmuParamsFlags, Status};
use psmmu_capi::set::{SET_BYTES, STATE_ALIGN, UNIT_BYTES};
use psmmu_capi::types::{
    API_VERSION, ActivateArgs, ERRORS, Error, MemReq, MemoryRegions, Numbers, Queues, SIZE_DEFAULT,
    SmmuConfig, Stage2Fields, TRACE_LENGTH, TraceEntry,
};

/// The first number; small enough for fields of a byte.
const FIRST: usize = 33;

/// One structure's two directions.
macro_rules! both_ways {
    ($test:ident, $type:ty, $fill:ident, $wrong:ident, $size:ident, |$s:ident| [$($field:expr),* $(,)?]) => {
        unsafe extern "C" {
            fn $fill(s: *mut $type, next: usize);
            fn $wrong(s: *const $type, next: usize) -> u32;
            static $size: usize;
        }

        #[test]
        fn $test() {
            // SAFETY: a constant of the object that is linked in.
            assert_eq!(size_of::<$type>(), unsafe { $size });
            let mut of_c = MaybeUninit::<$type>::zeroed();
            // SAFETY: C writes fields of the structure, all of which may hold anything.
            let mut $s = unsafe {
                $fill(of_c.as_mut_ptr(), FIRST);
                of_c.assume_init()
            };
            let read: Vec<usize> = vec![$($field as usize),*];
            let expected: Vec<usize> = (FIRST..).take(read.len()).collect();
            assert_eq!(read, expected);

            let mut next = FIRST + 100;
            $(
                $field = next as _;
                next += 1;
            )*
            assert_eq!(next, FIRST + 100 + read.len());
            // SAFETY: C reads the structure.
            assert_eq!(unsafe { $wrong(&raw const $s, FIRST + 100) }, 0);
            // SAFETY: as above; and it would see something wrong.
            assert_eq!(unsafe { $wrong(&raw const $s, FIRST + 101) } as usize, read.len());
        }
    };
}

both_ways!(
    configs_are_the_same_on_both_sides,
    SmmuConfig,
    layout_fill_config,
    layout_wrong_config,
    layout_size_config,
    |s| [
        s.psmmu_ptr,
        s.non_secure_page_0,
        s.realm_page_0,
        s.realm_page_1,
        s.registers,
        s.idr0,
        s.idr1,
        s.idr5,
        s.interface,
        s.delivery,
        s.gerror_intid,
        s.eventq_intid,
        s.priq_intid,
        s.queue_abort,
        s.max_streams,
        s.max_commands,
        s.max_events,
        s.max_requests,
        s.reserved,
    ]
);
both_ways!(
    queues_are_the_same_on_both_sides,
    Queues,
    layout_fill_queues,
    layout_wrong_queues,
    layout_size_queues,
    |s| [
        s.event_queue.va,
        s.event_queue.pa,
        s.event_queue.log2_entries,
        s.pri_queue.va,
        s.pri_queue.pa,
        s.pri_queue.log2_entries,
        s.command_queue.va,
        s.command_queue.pa,
        s.command_queue.log2_entries,
    ]
);
both_ways!(
    memory_is_the_same_on_both_sides,
    MemoryRegions,
    layout_fill_memory,
    layout_wrong_memory,
    layout_size_memory,
    |s| [
        s.stream_table.va,
        s.stream_table.pa,
        s.stream_table.bytes,
        s.command_queue.va,
        s.command_queue.pa,
        s.command_queue.bytes,
        s.event_queue.va,
        s.event_queue.pa,
        s.event_queue.bytes,
        s.pri_queue.va,
        s.pri_queue.pa,
        s.pri_queue.bytes,
        s.completion.va,
        s.completion.pa,
        s.completion.bytes,
    ]
);
both_ways!(
    memory_requests_are_the_same_on_both_sides,
    MemReq,
    layout_fill_mem_req,
    layout_wrong_mem_req,
    layout_size_mem_req,
    |s| [s.stream_table, s.command_queue, s.event_queue, s.pri_queue]
);
both_ways!(
    activate_args_are_the_same_on_both_sides,
    ActivateArgs,
    layout_fill_activate_args,
    layout_wrong_activate_args,
    layout_size_activate_args,
    |s| [
        s.flags,
        s.msi.gerror.address,
        s.msi.gerror.data,
        s.msi.eventq.address,
        s.msi.eventq.data,
        s.msi.priq.address,
        s.msi.priq.data,
    ]
);
both_ways!(
    stage_2_is_the_same_on_both_sides,
    Stage2Fields,
    layout_fill_stage_2,
    layout_wrong_stage_2,
    layout_size_stage_2,
    |s| [s.table, s.vmid, s.t0sz, s.sl0, s.ps, s.reserved[0], s.reserved[1], s.reserved[2]]
);
both_ways!(
    counters_are_the_same_on_both_sides,
    Numbers,
    layout_fill_counters,
    layout_wrong_counters,
    layout_size_counters,
    |s| [
        s.events.staged,
        s.events.consumed,
        s.events.overflows,
        s.events.discards,
        s.events.dropped,
        s.events.high_water,
        s.page_requests.staged,
        s.page_requests.consumed,
        s.page_requests.overflows,
        s.page_requests.discards,
        s.page_requests.dropped,
        s.page_requests.high_water,
        s.pri_resp_sent,
        s.pri_resp_refused,
        s.pri_resp_dropped,
        s.errors[0],
        s.errors[1],
        s.errors[2],
        s.errors[3],
        s.errors[4],
        s.errors[5],
        s.errors[6],
        s.errors[7],
        s.errors[8],
        s.errors[9],
        s.errors[10],
    ]
);
both_ways!(
    trace_entries_are_the_same_on_both_sides,
    TraceEntry,
    layout_fill_trace_entry,
    layout_wrong_trace_entry,
    layout_size_trace_entry,
    |s| [s.kind, s.reserved, s.value]
);
both_ways!(
    the_info_granule_is_the_one_of_the_wire,
    PsmmuInfo,
    layout_fill_info,
    layout_wrong_info,
    layout_size_info,
    |s| [
        s.flags,
        s.gerror.number,
        s.gerror.reserved,
        s.eventq.number,
        s.eventq.reserved,
        s.priq.number,
        s.priq.reserved,
        s.cmdq_sync.number,
        s.cmdq_sync.reserved,
    ]
);
both_ways!(
    the_params_granule_is_the_one_of_the_wire,
    PsmmuParams,
    layout_fill_params,
    layout_wrong_params,
    layout_size_params,
    |s| [
        s.flags,
        s.gerror.address,
        s.gerror.data,
        s.eventq.address,
        s.eventq.data,
        s.priq.address,
        s.priq.data,
    ]
);

unsafe extern "C" {
    static layout_constants: [i64; 55];
    static layout_constants_count: usize;
}

#[test]
fn the_header_has_the_constants_of_library_and_wire() {
    let state = SET_BYTES + 3 * UNIT_BYTES;
    let flags = |flags: PsmmuParamsFlags| flags.bits() as i64;
    let expected: [i64; 55] = [
        API_VERSION as i64,
        lpsmmu_max(),
        SET_BYTES as i64,
        UNIT_BYTES as i64,
        STATE_ALIGN as i64,
        state as i64,
        SIZE_DEFAULT.into(),
        ERRORS as i64,
        TRACE_LENGTH as i64,
        Function::PsmmuIrqNotify as i64,
        Function::PsmmuActivate as i64,
        Function::PsmmuDeactivate as i64,
        Function::PsmmuStL2Create as i64,
        Function::PsmmuStL2Destroy as i64,
        Function::PsmmuEventConsume as i64,
        Function::PsmmuInfo as i64,
        Status::Success as i64,
        Status::ErrorInput as i64,
        Status::ErrorNotSupported as i64,
        Status::ErrorDevice as i64,
        Status::ErrorPsmmuSt as i64,
        Status::Busy as i64,
        Status::Blocked as i64,
        IrqSet::GERROR.bits() as i64,
        IrqSet::EVENTQ.bits() as i64,
        IrqSet::PRIQ.bits() as i64,
        IrqSet::CMDQ.bits() as i64,
        flags(PsmmuParamsFlags::MSI),
        flags(PsmmuParamsFlags::ATS),
        flags(PsmmuParamsFlags::PRI),
        psmmu_abi::EventKind::None as i64,
        psmmu_abi::EventKind::Error as i64,
        psmmu_abi::EventKind::Psmmu as i64,
        psmmu_abi::EventKind::Vsmmu as i64,
        IrqDelivery::Disabled as i64,
        IrqDelivery::Wired as i64,
        IrqDelivery::Msi as i64,
        Error::Inval as i64,
        Error::Version as i64,
        Error::StateMemory as i64,
        Error::Count as i64,
        Error::Exist as i64,
        Error::NoDev as i64,
        Error::State as i64,
        Error::NotEnabled as i64,
        Error::Memory as i64,
        Error::Pri as i64,
        Error::Msi as i64,
        Error::TimedOut as i64,
        Error::Cmd as i64,
        Error::Failed as i64,
        Error::NoTable as i64,
        Error::Stage2 as i64,
        Error::Busy as i64,
        Error::NotOpened as i64,
    ];
    // SAFETY: constants of the object that is linked in.
    let (constants, count) = unsafe { (layout_constants, layout_constants_count) };
    assert_eq!(count, expected.len());
    assert_eq!(constants, expected);
}

/// LPSMMU_MAX, which the library takes from the module.
const fn lpsmmu_max() -> i64 {
    16
}
