/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * libpsmmu.h against numbers that were written down on their own: those of the wire from the host's patch and
 * the specification, those of the library's own structures once more. Compiled for each machine that the
 * library is built for, and nothing else.
 */

#include <libpsmmu.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define IS(name, value) _Static_assert((name) == (value), #name)

/* The wire: function identifiers. */
IS(LPSMMU_FID_IRQ_NOTIFY, 0xC400016F);
IS(LPSMMU_FID_ACTIVATE, 0xC40001D7);
IS(LPSMMU_FID_DEACTIVATE, 0xC40001D8);
IS(LPSMMU_FID_ST_L2_CREATE, 0xC40001DB);
IS(LPSMMU_FID_ST_L2_DESTROY, 0xC40001DC);
IS(LPSMMU_FID_EVENT_CONSUME, 0xC40001F0);
IS(LPSMMU_FID_INFO, 0xC400020E);

/* The wire: statuses. */
IS(LPSMMU_RMI_SUCCESS, 0);
IS(LPSMMU_RMI_ERROR_INPUT, 1);
IS(LPSMMU_RMI_ERROR_NOT_SUPPORTED, 5);
IS(LPSMMU_RMI_ERROR_DEVICE, 6);
IS(LPSMMU_RMI_ERROR_PSMMU_ST, 8);
IS(LPSMMU_RMI_BUSY, 10);
IS(LPSMMU_RMI_BLOCKED, 14);

/* The wire: sources, flags, events. */
IS(LPSMMU_IRQ_GERROR, 1 << 0);
IS(LPSMMU_IRQ_EVENTQ, 1 << 1);
IS(LPSMMU_IRQ_PRIQ, 1 << 2);
IS(LPSMMU_IRQ_CMDQ, 1 << 3);
IS(LPSMMU_FLAG_PENDING, 1);
IS(LPSMMU_FLAG_EVENT_SHIFT, 1);
IS(LPSMMU_FLAG_EVENT_MASK, 0x6);
IS(LPSMMU_EVENT_NONE, 0);
IS(LPSMMU_EVENT_ERROR, 1);
IS(LPSMMU_EVENT_PSMMU, 2);
IS(LPSMMU_EVENT_VSMMU, 3);

/* The wire: RmiPsmmuInfo and RmiPsmmuParams. */
IS(LPSMMU_DELIVERY_DISABLED, 0);
IS(LPSMMU_DELIVERY_WIRED, 1);
IS(LPSMMU_DELIVERY_MSI, 2);
SIZE(struct lpsmmu_info, 0x1000);
AT(struct lpsmmu_info, flags, 0x00);
AT(struct lpsmmu_info, gerror_intid, 0x08);
AT(struct lpsmmu_info, eventq_intid, 0x10);
AT(struct lpsmmu_info, priq_intid, 0x18);
AT(struct lpsmmu_info, cmdq_sync_intid, 0x20);
AT(struct lpsmmu_info, reserved, 0x28);
IS(LPSMMU_PARAMS_MSI, 1 << 0);
IS(LPSMMU_PARAMS_ATS, 1 << 1);
IS(LPSMMU_PARAMS_PRI, 1 << 2);
SIZE(struct lpsmmu_params, 0x1000);
AT(struct lpsmmu_params, flags, 0x00);
AT(struct lpsmmu_params, msi.gerror.address, 0x08);
AT(struct lpsmmu_params, msi.gerror.data, 0x10);
AT(struct lpsmmu_params, msi.eventq.address, 0x18);
AT(struct lpsmmu_params, msi.eventq.data, 0x20);
AT(struct lpsmmu_params, msi.priq.address, 0x28);
AT(struct lpsmmu_params, msi.priq.data, 0x30);
AT(struct lpsmmu_params, reserved, 0x38);

/* The library's own. */
IS(LPSMMU_API_VERSION, 3);
IS(LPSMMU_MAX, 16);
IS(LPSMMU_SET_BYTES, 1024);
IS(LPSMMU_UNIT_BYTES, 6400);
IS(LPSMMU_STATE_ALIGN, 64);
IS(LPSMMU_STATE_BYTES(1), 7424);
IS(LPSMMU_STATE_BYTES(16), 103424);
IS(LPSMMU_SIZE_DEFAULT, 0xFFFFFFFF);
IS(LPSMMU_ERRORS, 11);
IS(LPSMMU_TRACE_LENGTH, 16);
IS(LPSMMU_OK, 0);
IS(LPSMMU_E_INVAL, -1);
IS(LPSMMU_E_VERSION, -2);
IS(LPSMMU_E_STATE_MEMORY, -3);
IS(LPSMMU_E_COUNT, -4);
IS(LPSMMU_E_EXIST, -5);
IS(LPSMMU_E_NODEV, -6);
IS(LPSMMU_E_STATE, -7);
IS(LPSMMU_E_NOT_ENABLED, -8);
IS(LPSMMU_E_MEMORY, -9);
IS(LPSMMU_E_PRI, -10);
IS(LPSMMU_E_MSI, -11);
IS(LPSMMU_E_TIMED_OUT, -12);
IS(LPSMMU_E_CMD, -13);
IS(LPSMMU_E_FAILED, -14);
IS(LPSMMU_E_NO_TABLE, -15);
IS(LPSMMU_E_STAGE_2, -16);
IS(LPSMMU_E_BUSY, -17);
IS(LPSMMU_E_NOT_OPENED, -18);
IS(LPSMMU_STATE_INACTIVE, 0);
IS(LPSMMU_STATE_ACTIVATING, 1);
IS(LPSMMU_STATE_ACTIVE, 2);
IS(LPSMMU_STATE_FAILED, 3);
IS(LPSMMU_STATE_DEACTIVATING, 4);
IS(LPSMMU_QUEUE_ABORT_DISCARD, 0);
IS(LPSMMU_QUEUE_ABORT_PRESERVE, 1);
IS(LPSMMU_INTERFACE_REALM, 0);
IS(LPSMMU_INTERFACE_NON_SECURE_ONLY, 1);
IS(LPSMMU_PAGE_NON_SECURE_0, 0);
IS(LPSMMU_PAGE_REALM_0, 1);
IS(LPSMMU_PAGE_REALM_1, 2);
IS(LPSMMU_TRACE_GERROR, 1);
IS(LPSMMU_TRACE_CMD_ERR, 2);
IS(LPSMMU_TRACE_PRI_RESP_DROPPED, 3);
IS(LPSMMU_TRACE_FAILED, 4);

SIZE(void *, 8);
SIZE(size_t, 8);
SIZE(bool, 1);
SIZE(struct lpsmmu_ops, 64);
AT(struct lpsmmu_ops, version, 0);
AT(struct lpsmmu_ops, cookie, 8);
AT(struct lpsmmu_ops, replace_granule, 16);
AT(struct lpsmmu_ops, read_granule, 24);
AT(struct lpsmmu_ops, owns_stream, 32);
AT(struct lpsmmu_ops, microseconds, 40);
AT(struct lpsmmu_ops, open_granule, 48);
AT(struct lpsmmu_ops, close_granule, 56);

SIZE(struct lpsmmu_registers, 48);
AT(struct lpsmmu_registers, cookie, 0);
AT(struct lpsmmu_registers, read32, 8);
AT(struct lpsmmu_registers, write32, 16);
AT(struct lpsmmu_registers, write64, 24);
AT(struct lpsmmu_registers, read_barrier, 32);
AT(struct lpsmmu_registers, write_barrier, 40);

SIZE(struct lpsmmu_config, 96);
AT(struct lpsmmu_config, psmmu_ptr, 0);
AT(struct lpsmmu_config, non_secure_page_0, 8);
AT(struct lpsmmu_config, realm_page_0, 16);
AT(struct lpsmmu_config, realm_page_1, 24);
AT(struct lpsmmu_config, registers, 32);
AT(struct lpsmmu_config, idr0, 40);
AT(struct lpsmmu_config, idr1, 44);
AT(struct lpsmmu_config, idr5, 48);
AT(struct lpsmmu_config, interface, 52);
AT(struct lpsmmu_config, delivery, 56);
AT(struct lpsmmu_config, gerror_intid, 60);
AT(struct lpsmmu_config, eventq_intid, 64);
AT(struct lpsmmu_config, priq_intid, 68);
AT(struct lpsmmu_config, queue_abort, 72);
AT(struct lpsmmu_config, max_streams, 76);
AT(struct lpsmmu_config, max_commands, 80);
AT(struct lpsmmu_config, max_events, 84);
AT(struct lpsmmu_config, max_requests, 88);
AT(struct lpsmmu_config, reserved, 92);

SIZE(struct lpsmmu_queue, 24);
AT(struct lpsmmu_queue, va, 0);
AT(struct lpsmmu_queue, pa, 8);
AT(struct lpsmmu_queue, log2_entries, 16);
SIZE(struct lpsmmu_queues, 72);
AT(struct lpsmmu_queues, event_queue, 0);
AT(struct lpsmmu_queues, pri_queue, 24);
AT(struct lpsmmu_queues, command_queue, 48);

SIZE(struct lpsmmu_msi, 16);
AT(struct lpsmmu_msi, address, 0);
AT(struct lpsmmu_msi, data, 8);
SIZE(struct lpsmmu_msi_config, 48);
AT(struct lpsmmu_msi_config, gerror, 0);
AT(struct lpsmmu_msi_config, eventq, 16);
AT(struct lpsmmu_msi_config, priq, 32);

SIZE(struct lpsmmu_region, 24);
AT(struct lpsmmu_region, va, 0);
AT(struct lpsmmu_region, pa, 8);
AT(struct lpsmmu_region, bytes, 16);
SIZE(struct lpsmmu_memory, 120);
AT(struct lpsmmu_memory, stream_table, 0);
AT(struct lpsmmu_memory, command_queue, 24);
AT(struct lpsmmu_memory, event_queue, 48);
AT(struct lpsmmu_memory, pri_queue, 72);
AT(struct lpsmmu_memory, completion, 96);
SIZE(struct lpsmmu_mem_req, 32);
AT(struct lpsmmu_mem_req, stream_table, 0);
AT(struct lpsmmu_mem_req, command_queue, 8);
AT(struct lpsmmu_mem_req, event_queue, 16);
AT(struct lpsmmu_mem_req, pri_queue, 24);
SIZE(struct lpsmmu_activate_args, 56);
AT(struct lpsmmu_activate_args, flags, 0);
AT(struct lpsmmu_activate_args, msi, 8);
SIZE(struct lpsmmu_command, 16);
SIZE(struct lpsmmu_stage_2, 16);
AT(struct lpsmmu_stage_2, table, 0);
AT(struct lpsmmu_stage_2, vmid, 8);
AT(struct lpsmmu_stage_2, t0sz, 10);
AT(struct lpsmmu_stage_2, sl0, 11);
AT(struct lpsmmu_stage_2, ps, 12);
AT(struct lpsmmu_stage_2, reserved, 13);

SIZE(struct lpsmmu_queue_counters, 48);
AT(struct lpsmmu_queue_counters, staged, 0);
AT(struct lpsmmu_queue_counters, consumed, 8);
AT(struct lpsmmu_queue_counters, overflows, 16);
AT(struct lpsmmu_queue_counters, discards, 24);
AT(struct lpsmmu_queue_counters, dropped, 32);
AT(struct lpsmmu_queue_counters, high_water, 40);
SIZE(struct lpsmmu_counters, 208);
AT(struct lpsmmu_counters, events, 0);
AT(struct lpsmmu_counters, page_requests, 48);
AT(struct lpsmmu_counters, pri_resp_sent, 96);
AT(struct lpsmmu_counters, pri_resp_refused, 104);
AT(struct lpsmmu_counters, pri_resp_dropped, 112);
AT(struct lpsmmu_counters, errors, 120);
SIZE(struct lpsmmu_trace_entry, 16);
AT(struct lpsmmu_trace_entry, kind, 0);
AT(struct lpsmmu_trace_entry, reserved, 4);
AT(struct lpsmmu_trace_entry, value, 8);
