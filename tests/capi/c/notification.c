/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * libpsmmu.a under an RMM in C, on a workstation: the model of the SMMU is the device, an array the host's
 * memory. First an SMMU that the RMM has brought up itself is attached and its events are taken by the
 * host; then one is brought up by the library, through its whole lifecycle.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "device.h"

#define ATTACHED UINT64_C(0x2B400000)
#define ACTIVATED UINT64_C(0x2B600000)
#define HOST_PAGE UINT64_C(0x80000000)
/* Granules for level-2 tables, one behind the other. */
#define TABLE UINT64_C(0x90200000)
#define TABLES 2


/* What the embedder gives. */

static uint64_t host_page[512];
static uint64_t tables[TABLES][512] __attribute__((aligned(4096)));
/* There is one place at which granules are mapped: this is held from open to close. */
static pthread_mutex_t mapping = PTHREAD_MUTEX_INITIALIZER;
static void *mapped;
static enum { OPENS, REFUSES, OPENS_BETWEEN_WORDS } opening;
static uint32_t owned = UINT32_MAX;

static bool replace_granule(void *cookie, uint64_t granule, const uint64_t *words, size_t count)
{
	(void)cookie;
	if (granule != HOST_PAGE)
		return false;
	memset(host_page, 0, sizeof(host_page));
	memcpy(host_page, words, count * sizeof(*words));
	return true;
}

static bool read_granule(void *cookie, uint64_t granule, size_t first, uint64_t *words, size_t count)
{
	(void)cookie;
	if (granule != HOST_PAGE)
		return false;
	memcpy(words, host_page + first, count * sizeof(*words));
	return true;
}

static bool owns_stream(void *cookie, uint32_t stream)
{
	(void)cookie;
	return stream == owned;
}

static uint64_t microseconds(void *cookie)
{
	/* A tenth of a second more each time, so that every wait ends. */
	atomic_ullong *now = cookie;

	return atomic_fetch_add(now, 100000);
}

static void *open_granule(void *cookie, uint64_t granule)
{
	const uint64_t index = (granule - TABLE) / 4096;

	(void)cookie;
	if (opening == REFUSES || granule % 4096 != 0 || index >= TABLES)
		return NULL;
	CHECK(pthread_mutex_lock(&mapping) == 0 && mapped == NULL);
	mapped = opening == OPENS ? (void *)tables[index] : (char *)tables[index] + 4;
	return mapped;
}

static void close_granule(void *cookie, void *granule)
{
	(void)cookie;
	CHECK(mapped != NULL && granule == mapped);
	mapped = NULL;
	CHECK(pthread_mutex_unlock(&mapping) == 0);
}

static atomic_ullong now;
static const struct lpsmmu_ops ops = {
	.version = LPSMMU_API_VERSION,
	.cookie = &now,
	.replace_granule = replace_granule,
	.read_granule = read_granule,
	.owns_stream = owns_stream,
	.microseconds = microseconds,
	.open_granule = open_granule,
	.close_granule = close_granule,
};

/* The host's calls. */

static uint64_t regs[8];

static uint64_t call(struct lpsmmu_set *set, uint64_t fid, uint64_t x1, uint64_t x2)
{
	const uint64_t before[8] = {fid, x1, x2, 3, 4, 5, 6, 7};

	memcpy(regs, before, sizeof(regs));
	CHECK(lpsmmu_rmi(set, regs));
	CHECK(regs[7] == 7);
	return regs[0];
}

/* NOTIFY; returns the kind of the event. */
static uint64_t notify(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t sources)
{
	CHECK(call(set, LPSMMU_FID_IRQ_NOTIFY, psmmu_ptr, sources) == LPSMMU_RMI_SUCCESS);
	return (regs[1] & LPSMMU_FLAG_EVENT_MASK) >> LPSMMU_FLAG_EVENT_SHIFT;
}

static void consume(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t sources)
{
	CHECK(call(set, LPSMMU_FID_EVENT_CONSUME, psmmu_ptr, sources) == LPSMMU_RMI_SUCCESS);
	CHECK(regs[1] == 0 && regs[2] == 0 && regs[3] == 0 && regs[4] == 4);
}

static void expect_fault(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t address, bool pending)
{
	CHECK(notify(set, psmmu_ptr, LPSMMU_IRQ_EVENTQ) == LPSMMU_EVENT_PSMMU);
	CHECK((regs[1] & LPSMMU_FLAG_PENDING) == (pending ? LPSMMU_FLAG_PENDING : 0));
	/* F_TRANSLATION, nothing of the stream, no fetch, the address, a write at stage 2. */
	CHECK(regs[2] == 0x10 && regs[3] == 0 && regs[4] == 0 && regs[5] == address && regs[6] == 0xA);
	consume(set, psmmu_ptr, LPSMMU_IRQ_EVENTQ);
}

static void expect_nothing(struct lpsmmu_set *set, uint64_t psmmu_ptr)
{
	const uint64_t all = LPSMMU_IRQ_GERROR | LPSMMU_IRQ_EVENTQ | LPSMMU_IRQ_PRIQ | LPSMMU_IRQ_CMDQ;

	CHECK(notify(set, psmmu_ptr, all) == LPSMMU_EVENT_NONE && regs[1] == 0);
}

static struct lpsmmu_registers functions(struct smmu_model *model)
{
	const struct lpsmmu_registers registers = {
		.cookie = model,
		.read32 = smmu_model_read32,
		.write32 = smmu_model_write32,
		.write64 = smmu_model_write64,
		.read_barrier = smmu_model_read_barrier,
		.write_barrier = smmu_model_write_barrier,
	};

	return registers;
}

static struct lpsmmu_config describe(uint64_t psmmu_ptr, const struct lpsmmu_registers *registers)
{
	const struct lpsmmu_config config = {
		.psmmu_ptr = psmmu_ptr,
		.registers = registers,
		.delivery = LPSMMU_DELIVERY_WIRED,
		.gerror_intid = 111,
		.eventq_intid = 106,
		.priq_intid = 107,
		.max_streams = LPSMMU_SIZE_DEFAULT,
		.max_commands = LPSMMU_SIZE_DEFAULT,
		.max_events = 4,
		.max_requests = LPSMMU_SIZE_DEFAULT,
	};

	return config;
}

static char state[LPSMMU_STATE_BYTES(2)] __attribute__((aligned(LPSMMU_STATE_ALIGN)));

static struct lpsmmu_set *open_both(const struct lpsmmu_config *two)
{
	struct lpsmmu_set *set = NULL;
	struct lpsmmu_ops other = ops;
	struct lpsmmu_config twice[2] = {two[0], two[0]};
	struct lpsmmu_config bad = two[0];

	other.version = LPSMMU_API_VERSION + 1;
	CHECK(lpsmmu_init(state, sizeof(state), &other, two, 2, &set) == LPSMMU_E_VERSION);
	other = ops;
	other.microseconds = NULL;
	CHECK(lpsmmu_init(state, sizeof(state), &other, two, 2, &set) == LPSMMU_E_INVAL);
	CHECK(lpsmmu_init(NULL, sizeof(state), &ops, two, 2, &set) == LPSMMU_E_INVAL);
	CHECK(lpsmmu_init(state, sizeof(state), NULL, two, 2, &set) == LPSMMU_E_INVAL);
	CHECK(lpsmmu_init(state, sizeof(state), &ops, NULL, 2, &set) == LPSMMU_E_INVAL);
	CHECK(lpsmmu_init(state + 8, sizeof(state) - 8, &ops, two, 1, &set) == LPSMMU_E_STATE_MEMORY);
	CHECK(lpsmmu_init(state, sizeof(state) - 1, &ops, two, 2, &set) == LPSMMU_E_STATE_MEMORY);
	CHECK(lpsmmu_init(state, sizeof(state), &ops, two, LPSMMU_MAX + 1, &set) == LPSMMU_E_COUNT);
	CHECK(lpsmmu_init(state, sizeof(state), &ops, twice, 2, &set) == LPSMMU_E_EXIST);
	bad.delivery = 3;
	CHECK(lpsmmu_init(state, sizeof(state), &ops, &bad, 1, &set) == LPSMMU_E_INVAL);
	bad = two[0];
	bad.registers = NULL;
	CHECK(lpsmmu_init(state, sizeof(state), &ops, &bad, 1, &set) == LPSMMU_E_INVAL);
	bad = two[0];
	bad.max_events = 20;
	CHECK(lpsmmu_init(state, sizeof(state), &ops, &bad, 1, &set) == LPSMMU_E_INVAL);
	CHECK(set == NULL);

	/* None at all is no device assignment. */
	CHECK(lpsmmu_init(state, sizeof(state), &ops, NULL, 0, &set) == LPSMMU_OK);
	CHECK(call(set, LPSMMU_FID_INFO, ATTACHED, HOST_PAGE) == LPSMMU_RMI_ERROR_NOT_SUPPORTED);
	CHECK(lpsmmu_init(state, sizeof(state), &ops, two, 2, &set) == LPSMMU_OK);
	return set;
}

static void play_attached(struct lpsmmu_set *set, struct smmu_model *model)
{
	const struct lpsmmu_queues queues = {
		.event_queue = {event_queue, EVENT_QUEUE, EVENTS},
	};
	struct lpsmmu_queues wrong = queues;
	struct lpsmmu_counters counters;
	struct lpsmmu_trace_entry trace[LPSMMU_TRACE_LENGTH];
	const struct lpsmmu_info *info = (const struct lpsmmu_info *)host_page;
	uint64_t i;

	/* INFO works in each state, the other two only when it runs. */
	memset(host_page, 0xAA, sizeof(host_page));
	CHECK(call(set, LPSMMU_FID_INFO | 1 << 16, ATTACHED, HOST_PAGE) == LPSMMU_RMI_SUCCESS);
	CHECK(info->flags == LPSMMU_DELIVERY_WIRED && info->gerror_intid == 111);
	CHECK(info->eventq_intid == 106 && info->priq_intid == 107 && info->cmdq_sync_intid == 0);
	for (i = 5; i < 512; i++)
		CHECK(host_page[i] == 0);
	CHECK(call(set, LPSMMU_FID_INFO, ATTACHED, HOST_PAGE + 8) == LPSMMU_RMI_ERROR_INPUT);
	CHECK(call(set, LPSMMU_FID_INFO, ATTACHED, HOST_PAGE + 4096) == LPSMMU_RMI_ERROR_INPUT);
	CHECK(call(set, LPSMMU_FID_INFO, ATTACHED + 8, HOST_PAGE) == LPSMMU_RMI_ERROR_INPUT);
	CHECK(call(set, LPSMMU_FID_IRQ_NOTIFY, ATTACHED, LPSMMU_IRQ_EVENTQ) == LPSMMU_RMI_ERROR_INPUT);

	/* What is not there or not so is refused, and nothing has changed. */
	CHECK(lpsmmu_attach(set, ATTACHED, &queues, NULL) == LPSMMU_E_NOT_ENABLED);
	bring_up(model);
	smmu_model_fault(model, 8, 0x1000);
	smmu_model_fault(model, 8, 0x2000);
	CHECK(lpsmmu_attach(set, ATTACHED + 8, &queues, NULL) == LPSMMU_E_NODEV);
	CHECK(lpsmmu_attach(set, ATTACHED, NULL, NULL) == LPSMMU_E_INVAL);
	wrong.event_queue.va = NULL;
	CHECK(lpsmmu_attach(set, ATTACHED, &wrong, NULL) == LPSMMU_E_INVAL);
	wrong = queues;
	wrong.event_queue.pa += 0x1000;
	CHECK(lpsmmu_attach(set, ATTACHED, &wrong, NULL) == LPSMMU_E_MEMORY);
	wrong = queues;
	wrong.event_queue.log2_entries--;
	CHECK(lpsmmu_attach(set, ATTACHED, &wrong, NULL) == LPSMMU_E_MEMORY);
	wrong.event_queue.log2_entries = 64;
	CHECK(lpsmmu_attach(set, ATTACHED, &wrong, NULL) == LPSMMU_E_MEMORY);
	wrong = queues;
	wrong.pri_queue = queues.event_queue;
	CHECK(lpsmmu_attach(set, ATTACHED, &wrong, NULL) == LPSMMU_E_PRI);
	CHECK(lpsmmu_get_state(set, ATTACHED) == LPSMMU_STATE_INACTIVE);
	CHECK(lpsmmu_attach(set, ATTACHED, &queues, NULL) == LPSMMU_OK);
	CHECK(lpsmmu_attach(set, ATTACHED, &queues, NULL) == LPSMMU_E_STATE);
	CHECK(lpsmmu_get_state(set, ATTACHED) == LPSMMU_STATE_ACTIVE);

	/* What was recorded before is reported, and what comes later interrupts. */
	CHECK(smmu_model_take_interrupts(model) == 0);
	expect_fault(set, ATTACHED, 0x1000, true);
	expect_fault(set, ATTACHED, 0x2000, false);
	expect_nothing(set, ATTACHED);
	smmu_model_fault(model, 8, 0x3000);
	CHECK(smmu_model_take_interrupts(model) == LPSMMU_IRQ_EVENTQ << 1);
	CHECK(notify(set, ATTACHED, LPSMMU_IRQ_EVENTQ) == LPSMMU_EVENT_PSMMU);
	expect_fault(set, ATTACHED, 0x3000, false);
	owned = 9;
	smmu_model_fault(model, 9, 0x4000);
	CHECK(notify(set, ATTACHED, LPSMMU_IRQ_EVENTQ) == LPSMMU_EVENT_VSMMU);
	CHECK(regs[2] == 0 && regs[3] == 9 && regs[5] == 0);
	consume(set, ATTACHED, LPSMMU_IRQ_EVENTQ);

	/* A queue that runs over: all that fitted, then one error, then what follows. */
	for (i = 0; i < (1 << EVENTS) + 3; i++)
		smmu_model_fault(model, 8, 0x10000 + (i << 12));
	for (i = 0; i < 1 << EVENTS; i++)
		expect_fault(set, ATTACHED, 0x10000 + (i << 12), true);
	CHECK(notify(set, ATTACHED, LPSMMU_IRQ_EVENTQ) == LPSMMU_EVENT_ERROR && regs[6] == UINT64_C(1) << 32);
	consume(set, ATTACHED, LPSMMU_IRQ_EVENTQ);
	expect_nothing(set, ATTACHED);
	(void)smmu_model_take_interrupts(model);

	/* An error of the command queue, which is the RMM's own: reported once, and acknowledged by its repair. */
	CHECK(!lpsmmu_command_repaired(set, ATTACHED));
	smmu_model_illegal_command(model);
	CHECK(smmu_model_take_interrupts(model) == LPSMMU_IRQ_GERROR);
	CHECK(notify(set, ATTACHED, LPSMMU_IRQ_GERROR) == LPSMMU_EVENT_ERROR && regs[6] == 1);
	consume(set, ATTACHED, LPSMMU_IRQ_GERROR);
	expect_nothing(set, ATTACHED);
	repair_command(model);
	CHECK(lpsmmu_command_repaired(set, ATTACHED));
	CHECK(!lpsmmu_command_repaired(set, ATTACHED));
	expect_nothing(set, ATTACHED);
	/* The other way round: repaired before the host has asked. */
	smmu_model_illegal_command(model);
	repair_command(model);
	CHECK(lpsmmu_command_repaired(set, ATTACHED));
	CHECK(notify(set, ATTACHED, LPSMMU_IRQ_GERROR) == LPSMMU_EVENT_ERROR && regs[6] == 1);
	consume(set, ATTACHED, LPSMMU_IRQ_GERROR);
	expect_nothing(set, ATTACHED);
	CHECK(lpsmmu_run_commands(set, ATTACHED, NULL, 0) == LPSMMU_E_STATE);

	CHECK(lpsmmu_read_counters(set, ATTACHED, &counters) == LPSMMU_OK);
	CHECK(counters.events.staged == 4 + (1 << EVENTS) && counters.events.overflows == 1);
	CHECK(counters.events.consumed == 5 + (1 << EVENTS) && counters.errors[0] == 2);
	CHECK(lpsmmu_read_trace(set, ATTACHED, trace) == 2);
	CHECK(trace[1].kind == LPSMMU_TRACE_GERROR && trace[1].value == 1);

	/* Let go with two events staged: they are counted. What comes then waits in the device. */
	smmu_model_fault(model, 8, 0x5000);
	smmu_model_fault(model, 8, 0x6000);
	CHECK(notify(set, ATTACHED, LPSMMU_IRQ_EVENTQ) == LPSMMU_EVENT_PSMMU);
	CHECK(lpsmmu_detach(set, ATTACHED) == LPSMMU_OK);
	CHECK(lpsmmu_detach(set, ATTACHED) == LPSMMU_E_STATE);
	CHECK(lpsmmu_read_counters(set, ATTACHED, &counters) == LPSMMU_OK && counters.events.dropped == 2);
	smmu_model_fault(model, 8, 0x7000);
	CHECK(lpsmmu_attach(set, ATTACHED, &queues, NULL) == LPSMMU_OK);
	expect_fault(set, ATTACHED, 0x7000, false);
	CHECK(lpsmmu_detach(set, ATTACHED) == LPSMMU_OK);

	/* With its command queue: the library repairs it, and runs the RMM's commands. */
	wrong = queues;
	wrong.command_queue = (struct lpsmmu_queue){command_queue, COMMAND_QUEUE, COMMANDS};
	CHECK(lpsmmu_attach(set, ATTACHED, &wrong, NULL) == LPSMMU_OK);
	{
		const struct lpsmmu_command good[3] = {{{0x04, 0x1F}}, {{0x30, 0}}, {{0x20, 0}}};
		const struct lpsmmu_command refused = {{0, 0}};

		CHECK(lpsmmu_run_commands(set, ATTACHED, good, 3) == LPSMMU_OK);
		CHECK(lpsmmu_run_commands(set, ATTACHED, good, 4) == LPSMMU_E_INVAL);
		CHECK(lpsmmu_run_commands(set, ATTACHED, NULL, 1) == LPSMMU_E_INVAL);
		CHECK(lpsmmu_run_commands(set, ATTACHED, &refused, 1) == LPSMMU_E_CMD);
		CHECK(lpsmmu_run_commands(set, ATTACHED, good, 3) == LPSMMU_OK);
	}
	CHECK(notify(set, ATTACHED, LPSMMU_IRQ_GERROR) == LPSMMU_EVENT_ERROR && regs[6] == 1);
	consume(set, ATTACHED, LPSMMU_IRQ_GERROR);
	expect_nothing(set, ATTACHED);
}

/* Memory for an activation. */
static struct lpsmmu_region region(struct smmu_model *model, uint64_t pa, uint64_t granules)
{
	const struct lpsmmu_region region = {aligned_alloc(4096, granules << 12), pa, granules << 12};

	CHECK(region.va != NULL);
	memset(region.va, 0xAA, granules << 12);
	smmu_model_share(model, pa, region.va, granules << 9);
	return region;
}

/* The table of stream 70, which is enabled, cannot be opened: each call says so, and nothing has changed. */
static void check_unopened(struct lpsmmu_set *set, struct smmu_model *model, const struct lpsmmu_stage_2 *stage_2)
{
	uint64_t granule = 1;

	for (opening = REFUSES; opening <= OPENS_BETWEEN_WORDS; opening++) {
		CHECK(lpsmmu_configure_stream(set, ACTIVATED, 70, stage_2) == LPSMMU_E_NOT_OPENED);
		CHECK(lpsmmu_enable_stream(set, ACTIVATED, 70) == LPSMMU_E_NOT_OPENED);
		CHECK(lpsmmu_disable_stream(set, ACTIVATED, 70) == LPSMMU_E_NOT_OPENED);
		CHECK(lpsmmu_release_stream(set, ACTIVATED, 70) == LPSMMU_E_NOT_OPENED);
		CHECK(lpsmmu_st_l2_destroy(set, ACTIVATED, 64, &granule) == LPSMMU_RMI_BUSY && granule == 1);
		CHECK(mapped == NULL);
	}
	opening = OPENS;
	(void)smmu_model_dma(model, 70, 0x4000);
	expect_fault(set, ACTIVATED, 0x4000, false);
}

static void *make_and_destroy(void *cookie)
{
	static atomic_uint threads;
	struct lpsmmu_set *set = cookie;
	const uint64_t mine = atomic_fetch_add(&threads, 1), first_stream = 64 * (mine + 1);
	uint64_t granule = 0, x0;
	bool mem_released = false;
	int i;

	for (i = 0; i < 200; i++) {
		CHECK(lpsmmu_st_l2_create_begin(set, ACTIVATED, first_stream) == LPSMMU_RMI_SUCCESS);
		do {
			x0 = lpsmmu_st_l2_create_finish(set, ACTIVATED, first_stream, TABLE + 4096 * mine, &mem_released);
		} while (x0 == LPSMMU_RMI_BUSY);
		CHECK(x0 == LPSMMU_RMI_SUCCESS);
		do {
			x0 = lpsmmu_st_l2_destroy(set, ACTIVATED, first_stream, &granule);
		} while (x0 == LPSMMU_RMI_BUSY);
		CHECK(x0 == LPSMMU_RMI_SUCCESS && granule == TABLE + 4096 * mine);
	}
	return NULL;
}

/* Both want the one place at which granules are mapped, and the SMMU: neither waits for ever. */
static void make_tables_on_two_cpus(struct lpsmmu_set *set, struct smmu_model *model)
{
	pthread_t cpus[TABLES];
	size_t i;

	smmu_model_share(model, TABLE + 4096, tables[1], 512);
	for (i = 0; i < TABLES; i++)
		CHECK(pthread_create(&cpus[i], NULL, make_and_destroy, set) == 0);
	for (i = 0; i < TABLES; i++)
		CHECK(pthread_join(cpus[i], NULL) == 0);
}

static void play_activated(struct lpsmmu_set *set, struct smmu_model *model)
{
	const struct lpsmmu_stage_2 stage_2 = {.table = 0x90300000, .vmid = 1, .t0sz = 25, .sl0 = 1, .ps = 2};
	struct lpsmmu_stage_2 bad = stage_2;
	struct lpsmmu_mem_req mem_req;
	struct lpsmmu_memory memory = {0}, back;
	uint64_t granule = 0;
	bool mem_released = false;

	memset(host_page, 0, sizeof(host_page));
	CHECK(lpsmmu_activate_begin(set, ACTIVATED + 8, HOST_PAGE, &mem_req) == LPSMMU_RMI_ERROR_INPUT);
	CHECK(lpsmmu_activate_begin(set, ACTIVATED, HOST_PAGE + 8, &mem_req) == LPSMMU_RMI_ERROR_INPUT);
	CHECK(lpsmmu_activate_begin(set, ACTIVATED, HOST_PAGE, &mem_req) == LPSMMU_RMI_SUCCESS);
	CHECK(mem_req.command_queue == 1 && mem_req.event_queue == 1 && mem_req.pri_queue == 0);
	CHECK(lpsmmu_activate_begin(set, ACTIVATED, HOST_PAGE, &mem_req) == LPSMMU_RMI_ERROR_INPUT);
	lpsmmu_activate_cancel(set, ACTIVATED);
	CHECK(lpsmmu_activate_finish(set, ACTIVATED, &memory, &mem_released) == LPSMMU_RMI_ERROR_INPUT && mem_released);
	CHECK(lpsmmu_activate_begin_with(set, ACTIVATED, NULL, &mem_req) == LPSMMU_RMI_SUCCESS);
	CHECK(lpsmmu_activate_finish(set, ACTIVATED, &memory, &mem_released) == LPSMMU_RMI_ERROR_INPUT && mem_released);

	CHECK(lpsmmu_activate_begin(set, ACTIVATED, HOST_PAGE, &mem_req) == LPSMMU_RMI_SUCCESS);
	memory.stream_table = region(model, 0x90100000, mem_req.stream_table);
	memory.command_queue = region(model, 0x90120000, mem_req.command_queue);
	memory.event_queue = region(model, 0x90130000, mem_req.event_queue);
	/* 48 bits of address are what the SMMU has. */
	memory.command_queue.pa |= UINT64_C(1) << 48;
	CHECK(lpsmmu_activate_finish(set, ACTIVATED, &memory, &mem_released) == LPSMMU_RMI_ERROR_INPUT && mem_released);
	CHECK(lpsmmu_get_state(set, ACTIVATED) == LPSMMU_STATE_INACTIVE);
	memory.command_queue.pa ^= UINT64_C(1) << 48;
	CHECK(lpsmmu_activate_begin(set, ACTIVATED, HOST_PAGE, &mem_req) == LPSMMU_RMI_SUCCESS);
	CHECK(lpsmmu_activate_finish(set, ACTIVATED, &memory, &mem_released) == LPSMMU_RMI_SUCCESS && !mem_released);
	CHECK(lpsmmu_get_state(set, ACTIVATED) == LPSMMU_STATE_ACTIVE);
	expect_nothing(set, ACTIVATED);

	/* A stream from its table to its fault and back. */
	smmu_model_share(model, TABLE, tables[0], 512);
	CHECK(lpsmmu_st_l2_create_begin(set, ACTIVATED, 65) == LPSMMU_RMI_ERROR_INPUT);
	CHECK(lpsmmu_st_l2_create_begin(set, ACTIVATED, 64) == LPSMMU_RMI_SUCCESS);
	CHECK(lpsmmu_st_l2_create_begin(set, ACTIVATED, 64) == LPSMMU_RMI_BLOCKED);
	lpsmmu_st_l2_create_cancel(set, ACTIVATED, 64);
	CHECK(lpsmmu_st_l2_create_finish(set, ACTIVATED, 64, TABLE, &mem_released) == LPSMMU_RMI_ERROR_INPUT && mem_released);
	CHECK(lpsmmu_st_l2_create_begin(set, ACTIVATED, 64) == LPSMMU_RMI_SUCCESS);
	for (opening = REFUSES; opening <= OPENS_BETWEEN_WORDS; opening++) {
		mem_released = false;
		CHECK(lpsmmu_st_l2_create_finish(set, ACTIVATED, 64, TABLE, &mem_released) == LPSMMU_RMI_BUSY && mem_released);
		CHECK(mapped == NULL && lpsmmu_st_l2_create_begin(set, ACTIVATED, 64) == LPSMMU_RMI_BLOCKED);
	}
	opening = OPENS;
	CHECK(lpsmmu_st_l2_create_finish(set, ACTIVATED, 64, TABLE, &mem_released) == LPSMMU_RMI_SUCCESS && !mem_released);
	CHECK(lpsmmu_st_l2_create_begin(set, ACTIVATED, 64) == (LPSMMU_RMI_ERROR_PSMMU_ST | 2 << 8));
	(void)smmu_model_dma(model, 70, 0x1000);
	expect_nothing(set, ACTIVATED);
	CHECK(lpsmmu_enable_stream(set, ACTIVATED, 70) == LPSMMU_E_STATE);
	CHECK(lpsmmu_configure_stream(set, ACTIVATED, 8, &stage_2) == LPSMMU_E_NO_TABLE);
	bad.t0sz = 0;
	CHECK(lpsmmu_configure_stream(set, ACTIVATED, 70, &bad) == LPSMMU_E_STAGE_2);
	bad = stage_2;
	bad.ps = 6;
	CHECK(lpsmmu_configure_stream(set, ACTIVATED, 70, &bad) == LPSMMU_E_STAGE_2);
	bad = stage_2;
	bad.table = UINT64_C(1) << 40;
	CHECK(lpsmmu_configure_stream(set, ACTIVATED, 70, &bad) == LPSMMU_E_STAGE_2);
	CHECK(lpsmmu_configure_stream(set, ACTIVATED, 70, NULL) == LPSMMU_E_INVAL);
	CHECK(lpsmmu_configure_stream(set, ACTIVATED, 70, &stage_2) == LPSMMU_OK);
	CHECK(lpsmmu_enable_stream(set, ACTIVATED, 70) == LPSMMU_OK);
	(void)smmu_model_dma(model, 70, 0x2000);
	CHECK(smmu_model_take_interrupts(model) == LPSMMU_IRQ_EVENTQ << 1);
	expect_fault(set, ACTIVATED, 0x2000, false);
	CHECK(lpsmmu_tlbi_s2_ipa(set, ACTIVATED, 1, 0x2000, true) == LPSMMU_OK);
	CHECK(lpsmmu_tlbi_s12_vmall(set, ACTIVATED, 1) == LPSMMU_OK);
	CHECK(lpsmmu_tlbi_s12_vmall(set, ACTIVATED + 8, 1) == LPSMMU_E_NODEV);
	check_unopened(set, model, &stage_2);
	CHECK(lpsmmu_st_l2_destroy(set, ACTIVATED, 64, &granule) == (LPSMMU_RMI_ERROR_PSMMU_ST | 2 << 8));
	CHECK(lpsmmu_deactivate_begin(set, ACTIVATED, &back) == LPSMMU_RMI_ERROR_INPUT);
	CHECK(lpsmmu_detach(set, ACTIVATED) == LPSMMU_E_STATE);
	CHECK(lpsmmu_disable_stream(set, ACTIVATED, 70) == LPSMMU_OK);
	(void)smmu_model_dma(model, 70, 0x3000);
	expect_nothing(set, ACTIVATED);
	CHECK(lpsmmu_release_stream(set, ACTIVATED, 70) == LPSMMU_OK);
	CHECK(lpsmmu_st_l2_destroy(set, ACTIVATED, 64, &granule) == LPSMMU_RMI_SUCCESS && granule == TABLE);
	make_tables_on_two_cpus(set, model);

	CHECK(lpsmmu_deactivate_begin(set, ACTIVATED, &back) == LPSMMU_RMI_SUCCESS);
	CHECK(back.stream_table.va == memory.stream_table.va && back.stream_table.pa == memory.stream_table.pa);
	CHECK(back.command_queue.bytes == memory.command_queue.bytes && back.event_queue.pa == 0x90130000);
	CHECK(back.pri_queue.va == NULL && back.completion.va == NULL);
	CHECK(lpsmmu_get_state(set, ACTIVATED) == LPSMMU_STATE_DEACTIVATING);
	CHECK(lpsmmu_tlbi_s2_ipa(set, ACTIVATED, 1, 0x2000, true) == LPSMMU_E_STATE);
	lpsmmu_deactivate_finish(set, ACTIVATED);
	CHECK(lpsmmu_get_state(set, ACTIVATED) == LPSMMU_STATE_INACTIVE);
	CHECK(mapped == NULL);
}

/* The clock of docs/embedding.md, with any frequency of the counter. */
static void check_clock(void)
{
	CHECK(lpsmmu_microseconds(24000000, 24000000) == 1000000);
	CHECK(lpsmmu_microseconds(3 * UINT64_C(24576001), 24576000) == 3000000);
	CHECK(lpsmmu_microseconds(65535, 32768) == 1999969);
	CHECK(lpsmmu_microseconds(5, 1) == 5000000);
	CHECK(lpsmmu_microseconds(12345, 0) == 0);
	CHECK(lpsmmu_microseconds(UINT64_MAX, UINT32_MAX) == UINT64_C(4294967297000000));
}

int main(void)
{
	struct smmu_model *models[2] = {smmu_model_new(), smmu_model_new()};
	const struct lpsmmu_registers registers[2] = {functions(models[0]), functions(models[1])};
	const struct lpsmmu_config two[2] = {
		describe(ATTACHED, &registers[0]),
		describe(ACTIVATED, &registers[1]),
	};
	struct lpsmmu_set *set = open_both(two);
	const uint64_t other[8] = {LPSMMU_FID_ACTIVATE, 1, 2, 3, 4, 5, 6, 7};

	memcpy(regs, other, sizeof(regs));
	CHECK(!lpsmmu_rmi(set, regs) && memcmp(regs, other, sizeof(regs)) == 0);
	CHECK(!lpsmmu_rmi(NULL, regs) && !lpsmmu_rmi(set, NULL));
	check_clock();
	play_attached(set, models[0]);
	play_activated(set, models[1]);
	printf("notification.c: %u checks\n", (unsigned)checks);
	return 0;
}
