/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The code of docs/embedding.md for TF-RMM, run: the model is the SMMU, TF-RMM's own steps are played here. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "device.h"
#include "smc-rmi.h"
#include "smmuv3_events.h"
#include "prototypes.h"
#include "psmmu.c"
#include "smmuv3_events_arch.h"

/* FVP_Base_RevC has a line in the table of wired interrupts. */
#define PSMMU UINT64_C(0x2b400000)
#define HOST_PAGE UINT64_C(0x80000000)
#define REALM_PAGE_0 UINT64_C(0x10000)
#define RMI_ERROR_INPUT_STATUS 1UL

enum { CR0 = 0x20, CMDQ_CONS = 0x9C };

struct lpsmmu_registers model_registers;
static struct smmu_model *model;
static struct smmuv3_dev smmu;
static struct smmuv3_driv driver = {1, &smmu};
static bool has_driver, has_da = true;
static uint64_t host_page[512];
static struct smc_result res;

/* TF-RMM. */

struct smmuv3_driv *get_smmuv3_driver(void)
{
	return has_driver ? &driver : NULL;
}

bool is_rmi_feat_da_enabled(void)
{
	return has_da;
}

struct granule *find_granule(unsigned long addr)
{
	return addr == HOST_PAGE ? (struct granule *)host_page : NULL;
}

unsigned char granule_unlocked_state(struct granule *g)
{
	(void)g;
	return GRANULE_STATE_NS;
}

bool ns_buffer_write(enum buffer_slot slot, struct granule *ns_gr, unsigned int offset, size_t size, void *src)
{
	CHECK(slot == SLOT_NS && offset % 8 == 0 && size % 8 == 0 && offset + size <= GRANULE_SIZE);
	memcpy((char *)ns_gr + offset, src, size);
	return true;
}

void report(const char *text, ...)
{
	(void)text;
}

void spinlock_acquire(spinlock_t *lock)
{
	CHECK(lock->value == 0);
	lock->value = 1;
}

void spinlock_release(spinlock_t *lock)
{
	lock->value = 0;
}

uint32_t read32(const volatile void *address)
{
	return get(model, LPSMMU_PAGE_REALM_0, (uint32_t)((uintptr_t)address - REALM_PAGE_0));
}

void write32(uint32_t value, volatile void *address)
{
	put(model, LPSMMU_PAGE_REALM_0, (uint32_t)((uintptr_t)address - REALM_PAGE_0), value);
}

void write64(uint64_t value, volatile void *address)
{
	smmu_model_write64(model, LPSMMU_PAGE_REALM_0, (uint32_t)((uintptr_t)address - REALM_PAGE_0), value);
}

/* As in TF-RMM's unit tests, the clock stands still. */
uint64_t read_cntpct_el0(void)
{
	return 0;
}

uint64_t read_cntfrq_el0(void)
{
	return 0;
}

void isb(void)
{
}

void full_barrier(void)
{
	smmu_model_write_barrier(model);
}

/* The host. */

static unsigned long notify(uint64_t sources)
{
	smc_psmmu_irq_notify(PSMMU, sources, &res);
	return res.x[0];
}

static unsigned long kind(void)
{
	return (res.x[1] & LPSMMU_FLAG_EVENT_MASK) >> LPSMMU_FLAG_EVENT_SHIFT;
}

static void consume(uint64_t sources)
{
	smc_psmmu_event_consume(PSMMU, sources, &res);
	CHECK(res.x[0] == LPSMMU_RMI_SUCCESS);
}

static void check_gates(void)
{
	/* No SMMU is usable: the answer is a status, and not the identifier of the function. */
	CHECK(smmuv3_events_init() == -ENODEV);
	smc_psmmu_info(PSMMU, HOST_PAGE, &res);
	CHECK(res.x[0] == RMI_ERROR_NOT_SUPPORTED);
	CHECK(notify(LPSMMU_IRQ_GERROR) == RMI_ERROR_NOT_SUPPORTED);

	has_driver = true;
	CHECK(smmuv3_events_init() == 0);
	has_da = false;
	smc_psmmu_info(PSMMU, HOST_PAGE, &res);
	CHECK(res.x[0] == RMI_ERROR_NOT_SUPPORTED);
	has_da = true;
}

static void check_info(void)
{
	size_t i;

	memset(host_page, 0xAA, sizeof(host_page));
	smc_psmmu_info(PSMMU, HOST_PAGE + GRANULE_SIZE, &res);
	CHECK(res.x[0] == RMI_ERROR_INPUT_STATUS);
	smc_psmmu_info(PSMMU, HOST_PAGE, &res);
	CHECK(res.x[0] == LPSMMU_RMI_SUCCESS);
	CHECK(host_page[0] == LPSMMU_DELIVERY_WIRED && host_page[1] == 111 && host_page[2] == 106);
	for (i = 3; i < 512; i++)
		CHECK(host_page[i] == 0);
}

/* SMMUEN is acknowledged late, behind the attachment: the activation has failed, and TF-RMM unmaps the queues. */
static void check_failed_activation(void)
{
	CHECK(smmuv3_events_attach(&smmu) == -EIO);
	CHECK(notify(LPSMMU_IRQ_EVENTQ) == RMI_ERROR_INPUT_STATUS);
	bring_up(model);
	CHECK(smmuv3_events_attach(&smmu) == 0);
	smmu_model_fault(model, 8, 0x1000);
	smmuv3_events_detach(&smmu);
	/* What reads the queue from now on reads nonsense. */
	memset(event_queue, 0xFF, sizeof(event_queue));
	CHECK(notify(LPSMMU_IRQ_EVENTQ | LPSMMU_IRQ_GERROR) == RMI_ERROR_INPUT_STATUS && res.x[1] == 0);
	CHECK(!smmuv3_events_repair(&smmu));
	/* To detach once more does no harm. */
	smmuv3_events_detach(&smmu);
	put(model, LPSMMU_PAGE_REALM_0, CR0, 0);
	smmu_model_take_back(model, EVENT_QUEUE);
	smmu_model_take_back(model, COMMAND_QUEUE);
	memset(event_queue, 0, sizeof(event_queue));
	memset(command_queue, 0, sizeof(command_queue));
	bring_up(model);
	CHECK(smmuv3_events_attach(&smmu) == 0);
	CHECK(notify(LPSMMU_IRQ_EVENTQ) == LPSMMU_RMI_SUCCESS && kind() == LPSMMU_EVENT_NONE);
}

static void check_events(void)
{
	smmu_model_fault(model, 8, 0x2000);
	CHECK(notify(LPSMMU_IRQ_EVENTQ) == LPSMMU_RMI_SUCCESS && kind() == LPSMMU_EVENT_PSMMU);
	CHECK(res.x[2] == 0x10 && res.x[5] == 0x2000);
	consume(LPSMMU_IRQ_EVENTQ);
	CHECK(notify(LPSMMU_IRQ_EVENTQ) == LPSMMU_RMI_SUCCESS && kind() == LPSMMU_EVENT_NONE);
}

/* A command error is repaired by the call of the host, and reported; or by TF-RMM, and reported as well. */
static void check_command_errors(void)
{
	int by_host;

	for (by_host = 0; by_host < 2; by_host++) {
		smmu_model_illegal_command(model);
		if (by_host == 0)
			CHECK(smmuv3_events_repair(&smmu));
		CHECK(notify(LPSMMU_IRQ_GERROR) == LPSMMU_RMI_SUCCESS && kind() == LPSMMU_EVENT_ERROR && res.x[6] == 1);
		CHECK(((get(model, LPSMMU_PAGE_REALM_0, 0x60) ^ get(model, LPSMMU_PAGE_REALM_0, 0x64)) & 1) == 0);
		consume(LPSMMU_IRQ_GERROR);
		CHECK(notify(LPSMMU_IRQ_GERROR) == LPSMMU_RMI_SUCCESS && kind() == LPSMMU_EVENT_NONE);
	}
}

int main(void)
{
	model = smmu_model_new();
	model_registers = (struct lpsmmu_registers){
		.cookie = model,
		.read32 = smmu_model_read32,
		.write32 = smmu_model_write32,
		.write64 = smmu_model_write64,
		.read_barrier = smmu_model_read_barrier,
		.write_barrier = smmu_model_write_barrier,
	};
	smmu = (struct smmuv3_dev){
		.ns_base_pa = PSMMU,
		.r_base = REALM_PAGE_0,
		.evtq_pa = EVENT_QUEUE,
		.config = {.cmdq_log2size = COMMANDS, .evtq_log2size = EVENTS},
		.cmdq = {.q_base = (uintptr_t)command_queue, .cons_reg = (void *)(uintptr_t)(REALM_PAGE_0 + CMDQ_CONS)},
		.evtq = {.q_base = (uintptr_t)event_queue},
	};
	check_gates();
	check_info();
	check_failed_activation();
	check_events();
	check_command_errors();
	printf("recipe.c: %u checks\n", (unsigned)checks);
	return 0;
}
