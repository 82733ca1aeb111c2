/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * Structures of libpsmmu.h that are filled here and read in Rust, and the other way round. Each field gets a
 * number of its own, so that two that are swapped are found. For tests/layout.rs.
 */

#include <libpsmmu.h>

/* Puts the next number into a field. */
#define PUT(field) ((field) = (__typeof__(field))(uintptr_t)next++)
/* Counts a field that is not the next number. */
#define SEE(field) (wrong += (uintptr_t)(field) != (uintptr_t)(__typeof__(field))(uintptr_t)next++)

/* Each structure's fields, in the order of the header, for PUT and for SEE alike. */
#define CONFIG(DO, s) \
	DO((s)->psmmu_ptr), DO((s)->non_secure_page_0), DO((s)->realm_page_0), DO((s)->realm_page_1), \
	DO((s)->registers), DO((s)->idr0), DO((s)->idr1), DO((s)->idr5), DO((s)->interface), \
	DO((s)->delivery), DO((s)->gerror_intid), DO((s)->eventq_intid), DO((s)->priq_intid), \
	DO((s)->queue_abort), DO((s)->max_streams), DO((s)->max_commands), DO((s)->max_events), \
	DO((s)->max_requests), DO((s)->reserved)
#define QUEUE(DO, s) DO((s).va), DO((s).pa), DO((s).log2_entries)
#define QUEUES(DO, s) \
	QUEUE(DO, (s)->event_queue), QUEUE(DO, (s)->pri_queue), QUEUE(DO, (s)->command_queue)
#define REGION(DO, s) DO((s).va), DO((s).pa), DO((s).bytes)
#define MEMORY(DO, s) \
	REGION(DO, (s)->stream_table), REGION(DO, (s)->command_queue), REGION(DO, (s)->event_queue), \
	REGION(DO, (s)->pri_queue), REGION(DO, (s)->completion)
#define MEM_REQ(DO, s) \
	DO((s)->stream_table), DO((s)->command_queue), DO((s)->event_queue), DO((s)->pri_queue)
#define MSI(DO, s) DO((s).address), DO((s).data)
#define ACTIVATE_ARGS(DO, s) \
	DO((s)->flags), MSI(DO, (s)->msi.gerror), MSI(DO, (s)->msi.eventq), \
	MSI(DO, (s)->msi.priq)
#define STAGE_2(DO, s) \
	DO((s)->table), DO((s)->vmid), DO((s)->t0sz), DO((s)->sl0), DO((s)->ps), DO((s)->reserved[0]), \
	DO((s)->reserved[1]), DO((s)->reserved[2])
#define NUMBERS(DO, s) \
	DO((s).staged), DO((s).consumed), DO((s).overflows), DO((s).discards), DO((s).dropped), \
	DO((s).high_water)
#define COUNTERS(DO, s) \
	NUMBERS(DO, (s)->events), NUMBERS(DO, (s)->page_requests), DO((s)->pri_resp_sent), \
	DO((s)->pri_resp_refused), DO((s)->pri_resp_dropped), DO((s)->errors[0]), DO((s)->errors[1]), DO((s)->errors[2]), \
	DO((s)->errors[3]), DO((s)->errors[4]), DO((s)->errors[5]), DO((s)->errors[6]), \
	DO((s)->errors[7]), DO((s)->errors[8]), DO((s)->errors[9]), DO((s)->errors[10])
#define TRACE_ENTRY(DO, s) DO((s)->kind), DO((s)->reserved), DO((s)->value)
#define INFO(DO, s) \
	DO((s)->flags), DO((s)->gerror_intid), DO((s)->reserved_gerror), DO((s)->eventq_intid), \
	DO((s)->reserved_eventq), DO((s)->priq_intid), DO((s)->reserved_priq), \
	DO((s)->cmdq_sync_intid), DO((s)->reserved_cmdq_sync)
#define PARAMS(DO, s) \
	DO((s)->flags), MSI(DO, (s)->msi.gerror), MSI(DO, (s)->msi.eventq), \
	MSI(DO, (s)->msi.priq)

/* Fills a structure with the numbers from `next` on; counts what is wrong in one. */
#define BOTH(name, FIELDS) \
	void layout_fill_##name(struct lpsmmu_##name *s, uintptr_t next); \
	void layout_fill_##name(struct lpsmmu_##name *s, uintptr_t next) \
	{ \
		(void)(FIELDS(PUT, s)); \
	} \
	unsigned layout_wrong_##name(const struct lpsmmu_##name *s, uintptr_t next); \
	unsigned layout_wrong_##name(const struct lpsmmu_##name *s, uintptr_t next) \
	{ \
		unsigned wrong = 0; \
		(void)(FIELDS(SEE, s)); \
		return wrong; \
	} \
	const size_t layout_size_##name = sizeof(struct lpsmmu_##name);

BOTH(config, CONFIG)
BOTH(queues, QUEUES)
BOTH(memory, MEMORY)
BOTH(mem_req, MEM_REQ)
BOTH(activate_args, ACTIVATE_ARGS)
BOTH(stage_2, STAGE_2)
BOTH(counters, COUNTERS)
BOTH(trace_entry, TRACE_ENTRY)
BOTH(info, INFO)
BOTH(params, PARAMS)

/* Constants of the header, in the order in which tests/layout.rs has its own. */
const int64_t layout_constants[] = {
	(int64_t)LPSMMU_API_VERSION, LPSMMU_MAX, LPSMMU_SET_BYTES, LPSMMU_UNIT_BYTES, LPSMMU_STATE_ALIGN,
	(int64_t)LPSMMU_STATE_BYTES(3), LPSMMU_SIZE_DEFAULT, LPSMMU_ERRORS, LPSMMU_TRACE_LENGTH,
	(int64_t)LPSMMU_FID_IRQ_NOTIFY, (int64_t)LPSMMU_FID_ACTIVATE, (int64_t)LPSMMU_FID_DEACTIVATE,
	(int64_t)LPSMMU_FID_ST_L2_CREATE, (int64_t)LPSMMU_FID_ST_L2_DESTROY,
	(int64_t)LPSMMU_FID_EVENT_CONSUME, (int64_t)LPSMMU_FID_INFO, (int64_t)LPSMMU_RMI_SUCCESS,
	(int64_t)LPSMMU_RMI_ERROR_INPUT, (int64_t)LPSMMU_RMI_ERROR_NOT_SUPPORTED,
	(int64_t)LPSMMU_RMI_ERROR_DEVICE, (int64_t)LPSMMU_RMI_ERROR_PSMMU_ST, (int64_t)LPSMMU_RMI_BUSY,
	(int64_t)LPSMMU_RMI_BLOCKED, (int64_t)LPSMMU_IRQ_GERROR, (int64_t)LPSMMU_IRQ_EVENTQ,
	(int64_t)LPSMMU_IRQ_PRIQ, (int64_t)LPSMMU_IRQ_CMDQ, (int64_t)LPSMMU_PARAMS_MSI,
	(int64_t)LPSMMU_PARAMS_ATS, (int64_t)LPSMMU_PARAMS_PRI, (int64_t)LPSMMU_EVENT_NONE,
	(int64_t)LPSMMU_EVENT_ERROR, (int64_t)LPSMMU_EVENT_PSMMU, (int64_t)LPSMMU_EVENT_VSMMU,
	LPSMMU_DELIVERY_DISABLED, LPSMMU_DELIVERY_WIRED, LPSMMU_DELIVERY_MSI, LPSMMU_E_INVAL,
	LPSMMU_E_VERSION, LPSMMU_E_STATE_MEMORY, LPSMMU_E_COUNT, LPSMMU_E_EXIST, LPSMMU_E_NODEV,
	LPSMMU_E_STATE, LPSMMU_E_NOT_ENABLED, LPSMMU_E_MEMORY, LPSMMU_E_PRI, LPSMMU_E_MSI,
	LPSMMU_E_TIMED_OUT, LPSMMU_E_CMD, LPSMMU_E_FAILED, LPSMMU_E_NO_TABLE, LPSMMU_E_STAGE_2,
	LPSMMU_E_BUSY, LPSMMU_E_NOT_OPENED,
};
const size_t layout_constants_count = sizeof(layout_constants) / sizeof(layout_constants[0]);
