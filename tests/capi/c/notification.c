/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * libpsmmu.a under an RMM in C, on a workstation: the model of the SMMU is the device, an array the host's
 * memory. First an SMMU that the RMM has brought up itself is attached and its events are taken by the
 * host; then one is brought up by the library, through its whole life.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define ATTACHED UINT64_C(0x2B400000)
#define ACTIVATED UINT64_C(0x2B600000)
#define HOST_PAGE UINT64_C(0x80000000)
/* Granules for level-2 tables, one behind the other. */
#define TABLE UINT64_C(0x90200000)
#define TABLES 2

static atomic_uint checks;

static void check(bool holds, const char *what, int line)
{
	checks++;
	if (!holds) {
		fprintf(stderr, "notification.c:%d: not true: %s\n", line, what);
		exit(1);
	}
}
#define CHECK(what) check(what, #what, __LINE__)

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
static const struct psmmu_ops ops = {
	.version = PSMMU_API_VERSION,
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

static uint64_t call(struct psmmu_set *set, uint64_t fid, uint64_t x1, uint64_t x2)
{
	const uint64_t before[8] = {fid, x1, x2, 3, 4, 5, 6, 7};

	memcpy(regs, before, sizeof(regs));
	CHECK(psmmu_rmi(set, regs));
	CHECK(regs[7] == 7);
	return regs[0];
}

/* NOTIFY; returns the kind of the event. */
static uint64_t notify(struct psmmu_set *set, uint64_t name, uint64_t sources)
{
	CHECK(call(set, PSMMU_FID_IRQ_NOTIFY, name, sources) == PSMMU_RMI_SUCCESS);
	return (regs[1] & PSMMU_FLAG_EVENT_MASK) >> PSMMU_FLAG_EVENT_SHIFT;
}

static void consume(struct psmmu_set *set, uint64_t name, uint64_t sources)
{
	CHECK(call(set, PSMMU_FID_EVENT_CONSUME, name, sources) == PSMMU_RMI_SUCCESS);
	CHECK(regs[1] == 0 && regs[2] == 0 && regs[3] == 0 && regs[4] == 4);
}

static void expect_fault(struct psmmu_set *set, uint64_t name, uint64_t address, bool pending)
{
	CHECK(notify(set, name, PSMMU_IRQ_EVENTQ) == PSMMU_EVENT_PSMMU);
	CHECK((regs[1] & PSMMU_FLAG_PENDING) == (pending ? PSMMU_FLAG_PENDING : 0));
	/* F_TRANSLATION, nothing of the stream, no fetch, the address, a write at stage 2. */
	CHECK(regs[2] == 0x10 && regs[3] == 0 && regs[4] == 0 && regs[5] == address && regs[6] == 0xA);
	consume(set, name, PSMMU_IRQ_EVENTQ);
}

static void expect_nothing(struct psmmu_set *set, uint64_t name)
{
	const uint64_t all = PSMMU_IRQ_GERROR | PSMMU_IRQ_EVENTQ | PSMMU_IRQ_PRIQ | PSMMU_IRQ_CMDQ;

	CHECK(notify(set, name, all) == PSMMU_EVENT_NONE && regs[1] == 0);
}

static struct psmmu_registers functions(struct smmu_model *model)
{
	const struct psmmu_registers registers = {
		.cookie = model,
		.read32 = smmu_model_read32,
		.write32 = smmu_model_write32,
		.write64 = smmu_model_write64,
		.read_barrier = smmu_model_read_barrier,
		.write_barrier = smmu_model_write_barrier,
	};

	return registers;
}

static struct psmmu_description describe(uint64_t name, const struct psmmu_registers *registers)
{
	const struct psmmu_description description = {
		.name = name,
		.registers = registers,
		.delivery = PSMMU_DELIVERY_WIRED,
		.gerror_intid = 111,
		.eventq_intid = 106,
		.priq_intid = 107,
		.max_streams = PSMMU_SIZE_DEFAULT,
		.max_commands = PSMMU_SIZE_DEFAULT,
		.max_events = 4,
		.max_requests = PSMMU_SIZE_DEFAULT,
	};

	return description;
}

static char state[PSMMU_STATE_BYTES(2)] __attribute__((aligned(PSMMU_STATE_ALIGN)));

static struct psmmu_set *open_both(const struct psmmu_description *two)
{
	struct psmmu_set *set = NULL;
	struct psmmu_ops other = ops;
	struct psmmu_description twice[2] = {two[0], two[0]};
	struct psmmu_description bad = two[0];

	other.version = PSMMU_API_VERSION + 1;
	CHECK(psmmu_open(state, sizeof(state), &other, two, 2, &set) == PSMMU_E_VERSION);
	other = ops;
	other.microseconds = NULL;
	CHECK(psmmu_open(state, sizeof(state), &other, two, 2, &set) == PSMMU_E_ARGUMENT);
	CHECK(psmmu_open(NULL, sizeof(state), &ops, two, 2, &set) == PSMMU_E_ARGUMENT);
	CHECK(psmmu_open(state, sizeof(state), NULL, two, 2, &set) == PSMMU_E_ARGUMENT);
	CHECK(psmmu_open(state, sizeof(state), &ops, NULL, 2, &set) == PSMMU_E_ARGUMENT);
	CHECK(psmmu_open(state + 8, sizeof(state) - 8, &ops, two, 1, &set) == PSMMU_E_STATE_MEMORY);
	CHECK(psmmu_open(state, sizeof(state) - 1, &ops, two, 2, &set) == PSMMU_E_STATE_MEMORY);
	CHECK(psmmu_open(state, sizeof(state), &ops, two, PSMMU_MAX + 1, &set) == PSMMU_E_COUNT);
	CHECK(psmmu_open(state, sizeof(state), &ops, twice, 2, &set) == PSMMU_E_SAME_NAME);
	bad.delivery = 3;
	CHECK(psmmu_open(state, sizeof(state), &ops, &bad, 1, &set) == PSMMU_E_ARGUMENT);
	bad = two[0];
	bad.registers = NULL;
	CHECK(psmmu_open(state, sizeof(state), &ops, &bad, 1, &set) == PSMMU_E_ARGUMENT);
	bad = two[0];
	bad.max_events = 20;
	CHECK(psmmu_open(state, sizeof(state), &ops, &bad, 1, &set) == PSMMU_E_ARGUMENT);
	CHECK(set == NULL);

	/* None at all is no device assignment. */
	CHECK(psmmu_open(state, sizeof(state), &ops, NULL, 0, &set) == PSMMU_OK);
	CHECK(call(set, PSMMU_FID_INFO, ATTACHED, HOST_PAGE) == PSMMU_RMI_ERROR_NOT_SUPPORTED);
	CHECK(psmmu_open(state, sizeof(state), &ops, two, 2, &set) == PSMMU_OK);
	return set;
}

static void play_attached(struct psmmu_set *set, struct smmu_model *model)
{
	const struct psmmu_running running = {
		.event_queue = {event_queue, EVENT_QUEUE, EVENTS},
	};
	struct psmmu_running wrong = running;
	struct psmmu_counters counters;
	struct psmmu_trouble trace[PSMMU_TRACE_LENGTH];
	const struct psmmu_info *info = (const struct psmmu_info *)host_page;
	uint64_t i;

	/* INFO works in each state, the other two only when it runs. */
	memset(host_page, 0xAA, sizeof(host_page));
	CHECK(call(set, PSMMU_FID_INFO | 1 << 16, ATTACHED, HOST_PAGE) == PSMMU_RMI_SUCCESS);
	CHECK(info->flags == PSMMU_DELIVERY_WIRED && info->gerror_intid == 111);
	CHECK(info->eventq_intid == 106 && info->priq_intid == 107 && info->cmdq_sync_intid == 0);
	for (i = 5; i < 512; i++)
		CHECK(host_page[i] == 0);
	CHECK(call(set, PSMMU_FID_INFO, ATTACHED, HOST_PAGE + 8) == PSMMU_RMI_ERROR_INPUT);
	CHECK(call(set, PSMMU_FID_INFO, ATTACHED, HOST_PAGE + 4096) == PSMMU_RMI_ERROR_INPUT);
	CHECK(call(set, PSMMU_FID_INFO, ATTACHED + 8, HOST_PAGE) == PSMMU_RMI_ERROR_INPUT);
	CHECK(call(set, PSMMU_FID_IRQ_NOTIFY, ATTACHED, PSMMU_IRQ_EVENTQ) == PSMMU_RMI_ERROR_INPUT);

	/* What is not there or not so is refused, and nothing has changed. */
	CHECK(psmmu_attach(set, ATTACHED, &running, NULL) == PSMMU_E_NOT_RUNNING);
	bring_up(model);
	smmu_model_fault(model, 8, 0x1000);
	smmu_model_fault(model, 8, 0x2000);
	CHECK(psmmu_attach(set, ATTACHED + 8, &running, NULL) == PSMMU_E_UNKNOWN);
	CHECK(psmmu_attach(set, ATTACHED, NULL, NULL) == PSMMU_E_ARGUMENT);
	wrong.event_queue.va = NULL;
	CHECK(psmmu_attach(set, ATTACHED, &wrong, NULL) == PSMMU_E_ARGUMENT);
	wrong = running;
	wrong.event_queue.pa += 0x1000;
	CHECK(psmmu_attach(set, ATTACHED, &wrong, NULL) == PSMMU_E_MEMORY);
	wrong = running;
	wrong.event_queue.log2_entries--;
	CHECK(psmmu_attach(set, ATTACHED, &wrong, NULL) == PSMMU_E_MEMORY);
	wrong.event_queue.log2_entries = 64;
	CHECK(psmmu_attach(set, ATTACHED, &wrong, NULL) == PSMMU_E_MEMORY);
	wrong = running;
	wrong.pri_queue = running.event_queue;
	CHECK(psmmu_attach(set, ATTACHED, &wrong, NULL) == PSMMU_E_PAGE_REQUESTS);
	CHECK(psmmu_get_state(set, ATTACHED) == PSMMU_INACTIVE);
	CHECK(psmmu_attach(set, ATTACHED, &running, NULL) == PSMMU_OK);
	CHECK(psmmu_attach(set, ATTACHED, &running, NULL) == PSMMU_E_STATE);
	CHECK(psmmu_get_state(set, ATTACHED) == PSMMU_ACTIVE);

	/* What was recorded before is told, and what comes later interrupts. */
	CHECK(smmu_model_take_interrupts(model) == 0);
	expect_fault(set, ATTACHED, 0x1000, true);
	expect_fault(set, ATTACHED, 0x2000, false);
	expect_nothing(set, ATTACHED);
	smmu_model_fault(model, 8, 0x3000);
	CHECK(smmu_model_take_interrupts(model) == PSMMU_IRQ_EVENTQ << 1);
	CHECK(notify(set, ATTACHED, PSMMU_IRQ_EVENTQ) == PSMMU_EVENT_PSMMU);
	expect_fault(set, ATTACHED, 0x3000, false);
	owned = 9;
	smmu_model_fault(model, 9, 0x4000);
	CHECK(notify(set, ATTACHED, PSMMU_IRQ_EVENTQ) == PSMMU_EVENT_VSMMU);
	CHECK(regs[2] == 0 && regs[3] == 9 && regs[5] == 0);
	consume(set, ATTACHED, PSMMU_IRQ_EVENTQ);

	/* A queue that runs over: all that fitted, then one error, then what follows. */
	for (i = 0; i < (1 << EVENTS) + 3; i++)
		smmu_model_fault(model, 8, 0x10000 + (i << 12));
	for (i = 0; i < 1 << EVENTS; i++)
		expect_fault(set, ATTACHED, 0x10000 + (i << 12), true);
	CHECK(notify(set, ATTACHED, PSMMU_IRQ_EVENTQ) == PSMMU_EVENT_ERROR && regs[6] == UINT64_C(1) << 32);
	consume(set, ATTACHED, PSMMU_IRQ_EVENTQ);
	expect_nothing(set, ATTACHED);
	(void)smmu_model_take_interrupts(model);

	/* An error of the command queue, which the RMM has kept: told once, and acknowledged by its repair. */
	CHECK(!psmmu_command_repaired(set, ATTACHED));
	smmu_model_illegal_command(model);
	CHECK(smmu_model_take_interrupts(model) == PSMMU_IRQ_GERROR);
	CHECK(notify(set, ATTACHED, PSMMU_IRQ_GERROR) == PSMMU_EVENT_ERROR && regs[6] == 1);
	consume(set, ATTACHED, PSMMU_IRQ_GERROR);
	expect_nothing(set, ATTACHED);
	repair_command(model);
	CHECK(psmmu_command_repaired(set, ATTACHED));
	CHECK(!psmmu_command_repaired(set, ATTACHED));
	expect_nothing(set, ATTACHED);
	/* The other way round: repaired before the host has asked. */
	smmu_model_illegal_command(model);
	repair_command(model);
	CHECK(psmmu_command_repaired(set, ATTACHED));
	CHECK(notify(set, ATTACHED, PSMMU_IRQ_GERROR) == PSMMU_EVENT_ERROR && regs[6] == 1);
	consume(set, ATTACHED, PSMMU_IRQ_GERROR);
	expect_nothing(set, ATTACHED);
	CHECK(psmmu_run_commands(set, ATTACHED, NULL, 0) == PSMMU_E_STATE);

	CHECK(psmmu_read_counters(set, ATTACHED, &counters) == PSMMU_OK);
	CHECK(counters.events.staged == 4 + (1 << EVENTS) && counters.events.overflows == 1);
	CHECK(counters.events.consumed == 5 + (1 << EVENTS) && counters.errors[0] == 2);
	CHECK(psmmu_read_trace(set, ATTACHED, trace) == 2);
	CHECK(trace[1].kind == PSMMU_TROUBLE_ERRORS && trace[1].value == 1);

	/* Let go with two events staged: they are counted. What comes then waits in the device. */
	smmu_model_fault(model, 8, 0x5000);
	smmu_model_fault(model, 8, 0x6000);
	CHECK(notify(set, ATTACHED, PSMMU_IRQ_EVENTQ) == PSMMU_EVENT_PSMMU);
	CHECK(psmmu_detach(set, ATTACHED) == PSMMU_OK);
	CHECK(psmmu_detach(set, ATTACHED) == PSMMU_E_STATE);
	CHECK(psmmu_read_counters(set, ATTACHED, &counters) == PSMMU_OK && counters.events.dropped == 2);
	smmu_model_fault(model, 8, 0x7000);
	CHECK(psmmu_attach(set, ATTACHED, &running, NULL) == PSMMU_OK);
	expect_fault(set, ATTACHED, 0x7000, false);
	CHECK(psmmu_detach(set, ATTACHED) == PSMMU_OK);

	/* With its command queue: the library repairs it, and runs the RMM's commands. */
	wrong = running;
	wrong.command_queue = (struct psmmu_queue){command_queue, COMMAND_QUEUE, COMMANDS};
	CHECK(psmmu_attach(set, ATTACHED, &wrong, NULL) == PSMMU_OK);
	{
		const struct psmmu_command good[3] = {{{0x04, 0x1F}}, {{0x30, 0}}, {{0x20, 0}}};
		const struct psmmu_command refused = {{0, 0}};

		CHECK(psmmu_run_commands(set, ATTACHED, good, 3) == PSMMU_OK);
		CHECK(psmmu_run_commands(set, ATTACHED, good, 4) == PSMMU_E_ARGUMENT);
		CHECK(psmmu_run_commands(set, ATTACHED, NULL, 1) == PSMMU_E_ARGUMENT);
		CHECK(psmmu_run_commands(set, ATTACHED, &refused, 1) == PSMMU_E_REFUSED);
		CHECK(psmmu_run_commands(set, ATTACHED, good, 3) == PSMMU_OK);
	}
	CHECK(notify(set, ATTACHED, PSMMU_IRQ_GERROR) == PSMMU_EVENT_ERROR && regs[6] == 1);
	consume(set, ATTACHED, PSMMU_IRQ_GERROR);
	expect_nothing(set, ATTACHED);
}

/* Memory for an activation. */
static struct psmmu_region region(struct smmu_model *model, uint64_t pa, uint64_t granules)
{
	const struct psmmu_region region = {aligned_alloc(4096, granules << 12), pa, granules << 12};

	CHECK(region.va != NULL);
	memset(region.va, 0xAA, granules << 12);
	smmu_model_share(model, pa, region.va, granules << 9);
	return region;
}

/* The table of stream 70, which is enabled, cannot be opened: each call says so, and nothing has changed. */
static void check_unopened(struct psmmu_set *set, struct smmu_model *model, const struct psmmu_stage_2 *stage_2)
{
	uint64_t granule = 1;

	for (opening = REFUSES; opening <= OPENS_BETWEEN_WORDS; opening++) {
		CHECK(psmmu_configure_stream(set, ACTIVATED, 70, stage_2) == PSMMU_E_NOT_OPENED);
		CHECK(psmmu_enable_stream(set, ACTIVATED, 70) == PSMMU_E_NOT_OPENED);
		CHECK(psmmu_disable_stream(set, ACTIVATED, 70) == PSMMU_E_NOT_OPENED);
		CHECK(psmmu_release_stream(set, ACTIVATED, 70) == PSMMU_E_NOT_OPENED);
		CHECK(psmmu_destroy_table(set, ACTIVATED, 64, &granule) == PSMMU_RMI_BUSY && granule == 1);
		CHECK(mapped == NULL);
	}
	opening = OPENS;
	(void)smmu_model_dma(model, 70, 0x4000);
	expect_fault(set, ACTIVATED, 0x4000, false);
}

static void *make_and_destroy(void *cookie)
{
	static atomic_uint threads;
	struct psmmu_set *set = cookie;
	const uint64_t mine = atomic_fetch_add(&threads, 1), first_stream = 64 * (mine + 1);
	uint64_t granule = 0, x0;
	bool is_free = false;
	int i;

	for (i = 0; i < 200; i++) {
		CHECK(psmmu_begin_table(set, ACTIVATED, first_stream) == PSMMU_RMI_SUCCESS);
		do {
			x0 = psmmu_make_table(set, ACTIVATED, first_stream, TABLE + 4096 * mine, &is_free);
		} while (x0 == PSMMU_RMI_BUSY);
		CHECK(x0 == PSMMU_RMI_SUCCESS);
		do {
			x0 = psmmu_destroy_table(set, ACTIVATED, first_stream, &granule);
		} while (x0 == PSMMU_RMI_BUSY);
		CHECK(x0 == PSMMU_RMI_SUCCESS && granule == TABLE + 4096 * mine);
	}
	return NULL;
}

/* Both want the one place at which granules are mapped, and the SMMU: neither waits for ever. */
static void make_tables_on_two_cpus(struct psmmu_set *set, struct smmu_model *model)
{
	pthread_t cpus[TABLES];
	size_t i;

	smmu_model_share(model, TABLE + 4096, tables[1], 512);
	for (i = 0; i < TABLES; i++)
		CHECK(pthread_create(&cpus[i], NULL, make_and_destroy, set) == 0);
	for (i = 0; i < TABLES; i++)
		CHECK(pthread_join(cpus[i], NULL) == 0);
}

static void play_activated(struct psmmu_set *set, struct smmu_model *model)
{
	const struct psmmu_stage_2 stage_2 = {.table = 0x90300000, .vmid = 1, .t0sz = 25, .sl0 = 1, .ps = 2};
	struct psmmu_stage_2 bad = stage_2;
	struct psmmu_needs needs;
	struct psmmu_memory memory = {0}, back;
	uint64_t granule = 0;
	bool is_free = false;

	memset(host_page, 0, sizeof(host_page));
	CHECK(psmmu_begin_activation(set, ACTIVATED + 8, HOST_PAGE, &needs) == PSMMU_RMI_ERROR_INPUT);
	CHECK(psmmu_begin_activation(set, ACTIVATED, HOST_PAGE + 8, &needs) == PSMMU_RMI_ERROR_INPUT);
	CHECK(psmmu_begin_activation(set, ACTIVATED, HOST_PAGE, &needs) == PSMMU_RMI_SUCCESS);
	CHECK(needs.command_queue == 1 && needs.event_queue == 1 && needs.pri_queue == 0);
	CHECK(psmmu_begin_activation(set, ACTIVATED, HOST_PAGE, &needs) == PSMMU_RMI_ERROR_INPUT);
	psmmu_abandon_activation(set, ACTIVATED);
	CHECK(psmmu_activate(set, ACTIVATED, &memory, &is_free) == PSMMU_RMI_ERROR_INPUT && is_free);
	CHECK(psmmu_begin_activation_with(set, ACTIVATED, NULL, &needs) == PSMMU_RMI_SUCCESS);
	CHECK(psmmu_activate(set, ACTIVATED, &memory, &is_free) == PSMMU_RMI_ERROR_INPUT && is_free);

	CHECK(psmmu_begin_activation(set, ACTIVATED, HOST_PAGE, &needs) == PSMMU_RMI_SUCCESS);
	memory.stream_table = region(model, 0x90100000, needs.stream_table);
	memory.command_queue = region(model, 0x90120000, needs.command_queue);
	memory.event_queue = region(model, 0x90130000, needs.event_queue);
	/* 48 bits of address are what the SMMU has. */
	memory.command_queue.pa |= UINT64_C(1) << 48;
	CHECK(psmmu_activate(set, ACTIVATED, &memory, &is_free) == PSMMU_RMI_ERROR_INPUT && is_free);
	CHECK(psmmu_get_state(set, ACTIVATED) == PSMMU_INACTIVE);
	memory.command_queue.pa ^= UINT64_C(1) << 48;
	CHECK(psmmu_begin_activation(set, ACTIVATED, HOST_PAGE, &needs) == PSMMU_RMI_SUCCESS);
	CHECK(psmmu_activate(set, ACTIVATED, &memory, &is_free) == PSMMU_RMI_SUCCESS && !is_free);
	CHECK(psmmu_get_state(set, ACTIVATED) == PSMMU_ACTIVE);
	expect_nothing(set, ACTIVATED);

	/* A stream from its table to its fault and back. */
	smmu_model_share(model, TABLE, tables[0], 512);
	CHECK(psmmu_begin_table(set, ACTIVATED, 65) == PSMMU_RMI_ERROR_INPUT);
	CHECK(psmmu_begin_table(set, ACTIVATED, 64) == PSMMU_RMI_SUCCESS);
	CHECK(psmmu_begin_table(set, ACTIVATED, 64) == PSMMU_RMI_BLOCKED);
	psmmu_abandon_table(set, ACTIVATED, 64);
	CHECK(psmmu_make_table(set, ACTIVATED, 64, TABLE, &is_free) == PSMMU_RMI_ERROR_INPUT && is_free);
	CHECK(psmmu_begin_table(set, ACTIVATED, 64) == PSMMU_RMI_SUCCESS);
	for (opening = REFUSES; opening <= OPENS_BETWEEN_WORDS; opening++) {
		is_free = false;
		CHECK(psmmu_make_table(set, ACTIVATED, 64, TABLE, &is_free) == PSMMU_RMI_BUSY && is_free);
		CHECK(mapped == NULL && psmmu_begin_table(set, ACTIVATED, 64) == PSMMU_RMI_BLOCKED);
	}
	opening = OPENS;
	CHECK(psmmu_make_table(set, ACTIVATED, 64, TABLE, &is_free) == PSMMU_RMI_SUCCESS && !is_free);
	CHECK(psmmu_begin_table(set, ACTIVATED, 64) == (PSMMU_RMI_ERROR_PSMMU_ST | 2 << 8));
	(void)smmu_model_dma(model, 70, 0x1000);
	expect_nothing(set, ACTIVATED);
	CHECK(psmmu_enable_stream(set, ACTIVATED, 70) == PSMMU_E_STATE);
	CHECK(psmmu_configure_stream(set, ACTIVATED, 8, &stage_2) == PSMMU_E_NO_TABLE);
	bad.t0sz = 0;
	CHECK(psmmu_configure_stream(set, ACTIVATED, 70, &bad) == PSMMU_E_STAGE_2);
	bad = stage_2;
	bad.ps = 6;
	CHECK(psmmu_configure_stream(set, ACTIVATED, 70, &bad) == PSMMU_E_STAGE_2);
	bad = stage_2;
	bad.table = UINT64_C(1) << 40;
	CHECK(psmmu_configure_stream(set, ACTIVATED, 70, &bad) == PSMMU_E_STAGE_2);
	CHECK(psmmu_configure_stream(set, ACTIVATED, 70, NULL) == PSMMU_E_ARGUMENT);
	CHECK(psmmu_configure_stream(set, ACTIVATED, 70, &stage_2) == PSMMU_OK);
	CHECK(psmmu_enable_stream(set, ACTIVATED, 70) == PSMMU_OK);
	(void)smmu_model_dma(model, 70, 0x2000);
	CHECK(smmu_model_take_interrupts(model) == PSMMU_IRQ_EVENTQ << 1);
	expect_fault(set, ACTIVATED, 0x2000, false);
	CHECK(psmmu_tlbi_s2_ipa(set, ACTIVATED, 1, 0x2000, true) == PSMMU_OK);
	CHECK(psmmu_tlbi_s12_vmall(set, ACTIVATED, 1) == PSMMU_OK);
	CHECK(psmmu_tlbi_s12_vmall(set, ACTIVATED + 8, 1) == PSMMU_E_UNKNOWN);
	check_unopened(set, model, &stage_2);
	CHECK(psmmu_destroy_table(set, ACTIVATED, 64, &granule) == (PSMMU_RMI_ERROR_PSMMU_ST | 2 << 8));
	CHECK(psmmu_begin_deactivation(set, ACTIVATED, &back) == PSMMU_RMI_ERROR_INPUT);
	CHECK(psmmu_detach(set, ACTIVATED) == PSMMU_E_STATE);
	CHECK(psmmu_disable_stream(set, ACTIVATED, 70) == PSMMU_OK);
	(void)smmu_model_dma(model, 70, 0x3000);
	expect_nothing(set, ACTIVATED);
	CHECK(psmmu_release_stream(set, ACTIVATED, 70) == PSMMU_OK);
	CHECK(psmmu_destroy_table(set, ACTIVATED, 64, &granule) == PSMMU_RMI_SUCCESS && granule == TABLE);
	make_tables_on_two_cpus(set, model);

	CHECK(psmmu_begin_deactivation(set, ACTIVATED, &back) == PSMMU_RMI_SUCCESS);
	CHECK(back.stream_table.va == memory.stream_table.va && back.stream_table.pa == memory.stream_table.pa);
	CHECK(back.command_queue.bytes == memory.command_queue.bytes && back.event_queue.pa == 0x90130000);
	CHECK(back.pri_queue.va == NULL && back.completion.va == NULL);
	CHECK(psmmu_get_state(set, ACTIVATED) == PSMMU_DEACTIVATING);
	CHECK(psmmu_tlbi_s2_ipa(set, ACTIVATED, 1, 0x2000, true) == PSMMU_E_STATE);
	psmmu_finish_deactivation(set, ACTIVATED);
	CHECK(psmmu_get_state(set, ACTIVATED) == PSMMU_INACTIVE);
	CHECK(mapped == NULL);
}

/* The clock of docs/embedding.md, with any frequency of the counter. */
static void check_clock(void)
{
	CHECK(psmmu_microseconds(24000000, 24000000) == 1000000);
	CHECK(psmmu_microseconds(3 * UINT64_C(24576001), 24576000) == 3000000);
	CHECK(psmmu_microseconds(65535, 32768) == 1999969);
	CHECK(psmmu_microseconds(5, 1) == 5000000);
	CHECK(psmmu_microseconds(12345, 0) == 0);
	CHECK(psmmu_microseconds(UINT64_MAX, UINT32_MAX) == UINT64_C(4294967297000000));
}

int main(void)
{
	struct smmu_model *models[2] = {smmu_model_new(), smmu_model_new()};
	const struct psmmu_registers registers[2] = {functions(models[0]), functions(models[1])};
	const struct psmmu_description two[2] = {
		describe(ATTACHED, &registers[0]),
		describe(ACTIVATED, &registers[1]),
	};
	struct psmmu_set *set = open_both(two);
	const uint64_t other[8] = {PSMMU_FID_ACTIVATE, 1, 2, 3, 4, 5, 6, 7};

	memcpy(regs, other, sizeof(regs));
	CHECK(!psmmu_rmi(set, regs) && memcmp(regs, other, sizeof(regs)) == 0);
	CHECK(!psmmu_rmi(NULL, regs) && !psmmu_rmi(set, NULL));
	check_clock();
	play_attached(set, models[0]);
	play_activated(set, models[1]);
	printf("notification.c: %u checks\n", (unsigned)checks);
	return 0;
}
