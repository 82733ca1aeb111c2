/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * psmmu.h against numbers that were written down on their own: those of the wire from the host's patch and
 * the specification, those of the library's own structures once more. Compiled for each machine that the
 * library is built for, and nothing else.
 */

#include <psmmu.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define IS(name, value) _Static_assert((name) == (value), #name)

/* The wire: function identifiers. */
IS(PSMMU_FID_IRQ_NOTIFY, 0xC400016F);
IS(PSMMU_FID_ACTIVATE, 0xC40001D7);
IS(PSMMU_FID_DEACTIVATE, 0xC40001D8);
IS(PSMMU_FID_ST_L2_CREATE, 0xC40001DB);
IS(PSMMU_FID_ST_L2_DESTROY, 0xC40001DC);
IS(PSMMU_FID_EVENT_CONSUME, 0xC40001F0);
IS(PSMMU_FID_INFO, 0xC400020E);

/* The wire: statuses. */
IS(PSMMU_RMI_SUCCESS, 0);
IS(PSMMU_RMI_ERROR_INPUT, 1);
IS(PSMMU_RMI_ERROR_NOT_SUPPORTED, 5);
IS(PSMMU_RMI_ERROR_DEVICE, 6);
IS(PSMMU_RMI_ERROR_PSMMU_ST, 8);
IS(PSMMU_RMI_BUSY, 10);
IS(PSMMU_RMI_BLOCKED, 14);

/* The wire: sources, flags, events. */
IS(PSMMU_IRQ_GERROR, 1 << 0);
IS(PSMMU_IRQ_EVENTQ, 1 << 1);
IS(PSMMU_IRQ_PRIQ, 1 << 2);
IS(PSMMU_IRQ_CMDQ, 1 << 3);
IS(PSMMU_FLAG_PENDING, 1);
IS(PSMMU_FLAG_EVENT_SHIFT, 1);
IS(PSMMU_FLAG_EVENT_MASK, 0x6);
IS(PSMMU_EVENT_NONE, 0);
IS(PSMMU_EVENT_ERROR, 1);
IS(PSMMU_EVENT_PSMMU, 2);
IS(PSMMU_EVENT_VSMMU, 3);

/* The wire: RmiPsmmuInfo and RmiPsmmuParams. */
IS(PSMMU_DELIVERY_DISABLED, 0);
IS(PSMMU_DELIVERY_WIRED, 1);
IS(PSMMU_DELIVERY_MSI, 2);
SIZE(struct psmmu_info, 0x1000);
AT(struct psmmu_info, flags, 0x00);
AT(struct psmmu_info, gerror_intid, 0x08);
AT(struct psmmu_info, eventq_intid, 0x10);
AT(struct psmmu_info, priq_intid, 0x18);
AT(struct psmmu_info, cmdq_sync_intid, 0x20);
AT(struct psmmu_info, reserved, 0x28);
IS(PSMMU_PARAMS_MSI, 1 << 0);
IS(PSMMU_PARAMS_ATS, 1 << 1);
IS(PSMMU_PARAMS_PRI, 1 << 2);
SIZE(struct psmmu_params, 0x1000);
AT(struct psmmu_params, flags, 0x00);
AT(struct psmmu_params, messages.gerror.address, 0x08);
AT(struct psmmu_params, messages.gerror.data, 0x10);
AT(struct psmmu_params, messages.eventq.address, 0x18);
AT(struct psmmu_params, messages.eventq.data, 0x20);
AT(struct psmmu_params, messages.priq.address, 0x28);
AT(struct psmmu_params, messages.priq.data, 0x30);
AT(struct psmmu_params, reserved, 0x38);

/* The library's own. */
IS(PSMMU_API_VERSION, 2);
IS(PSMMU_MAX, 16);
IS(PSMMU_SET_BYTES, 1024);
IS(PSMMU_UNIT_BYTES, 4608);
IS(PSMMU_STATE_ALIGN, 64);
IS(PSMMU_STATE_BYTES(1), 5632);
IS(PSMMU_STATE_BYTES(16), 74752);
IS(PSMMU_SIZE_DEFAULT, 0xFFFFFFFF);
IS(PSMMU_ERRORS, 11);
IS(PSMMU_TRACE_LENGTH, 16);
IS(PSMMU_OK, 0);
IS(PSMMU_E_ARGUMENT, -1);
IS(PSMMU_E_VERSION, -2);
IS(PSMMU_E_STATE_MEMORY, -3);
IS(PSMMU_E_COUNT, -4);
IS(PSMMU_E_SAME_NAME, -5);
IS(PSMMU_E_UNKNOWN, -6);
IS(PSMMU_E_STATE, -7);
IS(PSMMU_E_NOT_RUNNING, -8);
IS(PSMMU_E_MEMORY, -9);
IS(PSMMU_E_PAGE_REQUESTS, -10);
IS(PSMMU_E_MESSAGES, -11);
IS(PSMMU_E_TIMED_OUT, -12);
IS(PSMMU_E_REFUSED, -13);
IS(PSMMU_E_FAILED, -14);
IS(PSMMU_E_NO_TABLE, -15);
IS(PSMMU_E_STAGE_2, -16);
IS(PSMMU_E_BUSY, -17);
IS(PSMMU_E_NOT_OPENED, -18);
IS(PSMMU_INACTIVE, 0);
IS(PSMMU_ACTIVATING, 1);
IS(PSMMU_ACTIVE, 2);
IS(PSMMU_FAILED, 3);
IS(PSMMU_DEACTIVATING, 4);
IS(PSMMU_ABORT_SPOILS_QUEUE, 0);
IS(PSMMU_ABORT_KEEPS_QUEUE, 1);
IS(PSMMU_INTERFACE_REALM, 0);
IS(PSMMU_INTERFACE_STAND_IN, 1);
IS(PSMMU_PAGE_NON_SECURE_0, 0);
IS(PSMMU_PAGE_REALM_0, 1);
IS(PSMMU_PAGE_REALM_1, 2);
IS(PSMMU_TROUBLE_ERRORS, 1);
IS(PSMMU_TROUBLE_COMMAND_REFUSED, 2);
IS(PSMMU_TROUBLE_UNANSWERED, 3);
IS(PSMMU_TROUBLE_FAILED, 4);

SIZE(void *, 8);
SIZE(size_t, 8);
SIZE(bool, 1);
SIZE(struct psmmu_ops, 64);
AT(struct psmmu_ops, version, 0);
AT(struct psmmu_ops, cookie, 8);
AT(struct psmmu_ops, replace_granule, 16);
AT(struct psmmu_ops, read_granule, 24);
AT(struct psmmu_ops, owns_stream, 32);
AT(struct psmmu_ops, microseconds, 40);
AT(struct psmmu_ops, open_granule, 48);
AT(struct psmmu_ops, close_granule, 56);

SIZE(struct psmmu_registers, 48);
AT(struct psmmu_registers, cookie, 0);
AT(struct psmmu_registers, read32, 8);
AT(struct psmmu_registers, write32, 16);
AT(struct psmmu_registers, write64, 24);
AT(struct psmmu_registers, read_barrier, 32);
AT(struct psmmu_registers, write_barrier, 40);

SIZE(struct psmmu_description, 96);
AT(struct psmmu_description, name, 0);
AT(struct psmmu_description, non_secure_page_0, 8);
AT(struct psmmu_description, realm_page_0, 16);
AT(struct psmmu_description, realm_page_1, 24);
AT(struct psmmu_description, registers, 32);
AT(struct psmmu_description, idr0, 40);
AT(struct psmmu_description, idr1, 44);
AT(struct psmmu_description, idr5, 48);
AT(struct psmmu_description, interface, 52);
AT(struct psmmu_description, delivery, 56);
AT(struct psmmu_description, gerror_intid, 60);
AT(struct psmmu_description, eventq_intid, 64);
AT(struct psmmu_description, priq_intid, 68);
AT(struct psmmu_description, abort, 72);
AT(struct psmmu_description, max_streams, 76);
AT(struct psmmu_description, max_commands, 80);
AT(struct psmmu_description, max_events, 84);
AT(struct psmmu_description, max_requests, 88);
AT(struct psmmu_description, reserved, 92);

SIZE(struct psmmu_queue, 24);
AT(struct psmmu_queue, va, 0);
AT(struct psmmu_queue, pa, 8);
AT(struct psmmu_queue, log2_entries, 16);
SIZE(struct psmmu_running, 72);
AT(struct psmmu_running, event_queue, 0);
AT(struct psmmu_running, pri_queue, 24);
AT(struct psmmu_running, command_queue, 48);

SIZE(struct psmmu_message, 16);
AT(struct psmmu_message, address, 0);
AT(struct psmmu_message, data, 8);
SIZE(struct psmmu_messages, 48);
AT(struct psmmu_messages, gerror, 0);
AT(struct psmmu_messages, eventq, 16);
AT(struct psmmu_messages, priq, 32);

SIZE(struct psmmu_region, 24);
AT(struct psmmu_region, va, 0);
AT(struct psmmu_region, pa, 8);
AT(struct psmmu_region, bytes, 16);
SIZE(struct psmmu_memory, 120);
AT(struct psmmu_memory, stream_table, 0);
AT(struct psmmu_memory, command_queue, 24);
AT(struct psmmu_memory, event_queue, 48);
AT(struct psmmu_memory, pri_queue, 72);
AT(struct psmmu_memory, completion, 96);
SIZE(struct psmmu_needs, 32);
AT(struct psmmu_needs, stream_table, 0);
AT(struct psmmu_needs, command_queue, 8);
AT(struct psmmu_needs, event_queue, 16);
AT(struct psmmu_needs, pri_queue, 24);
SIZE(struct psmmu_wanted, 56);
AT(struct psmmu_wanted, flags, 0);
AT(struct psmmu_wanted, messages, 8);
SIZE(struct psmmu_command, 16);
SIZE(struct psmmu_stage_2, 16);
AT(struct psmmu_stage_2, table, 0);
AT(struct psmmu_stage_2, vmid, 8);
AT(struct psmmu_stage_2, t0sz, 10);
AT(struct psmmu_stage_2, sl0, 11);
AT(struct psmmu_stage_2, ps, 12);
AT(struct psmmu_stage_2, reserved, 13);

SIZE(struct psmmu_queue_counters, 48);
AT(struct psmmu_queue_counters, staged, 0);
AT(struct psmmu_queue_counters, consumed, 8);
AT(struct psmmu_queue_counters, overflows, 16);
AT(struct psmmu_queue_counters, discards, 24);
AT(struct psmmu_queue_counters, dropped, 32);
AT(struct psmmu_queue_counters, high_water, 40);
SIZE(struct psmmu_counters, 208);
AT(struct psmmu_counters, events, 0);
AT(struct psmmu_counters, page_requests, 48);
AT(struct psmmu_counters, pri_resp_sent, 96);
AT(struct psmmu_counters, pri_resp_refused, 104);
AT(struct psmmu_counters, pri_resp_dropped, 112);
AT(struct psmmu_counters, errors, 120);
SIZE(struct psmmu_trouble, 16);
AT(struct psmmu_trouble, kind, 0);
AT(struct psmmu_trouble, reserved, 4);
AT(struct psmmu_trouble, value, 8);
