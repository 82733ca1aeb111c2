/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * An SMMU that the library brings up, on static memory that would be the host's in a larger RMM, and whose
 * streams it configures: lpsmmu_activate_begin() to lpsmmu_enable_stream().
 */

#include "rmm.h"

const char how[] = "rmm: the SMMU is brought up by libpsmmu.a";

static uint64_t commands[512] __attribute__((aligned(4096)));
static uint64_t events[4 * 512] __attribute__((aligned(4 * 4096)));
static uint64_t level_1[2 * 512] __attribute__((aligned(2 * 4096)));
/* Level-2 tables that there can be. */
#define TABLES 16
static uint64_t level_2[TABLES][512] __attribute__((aligned(4096)));
static uint32_t tables;

/* The library repairs its command queue by itself. */
void check_commands(void)
{
}

static struct lpsmmu_region region(uint64_t *memory, uint64_t bytes)
{
	return (struct lpsmmu_region){memory, (uint64_t)(uintptr_t)memory, bytes};
}

uint64_t activate(uint64_t psmmu_ptr, uint64_t params)
{
	const struct lpsmmu_memory memory = {
		.stream_table = region(level_1, sizeof(level_1)),
		.command_queue = region(commands, sizeof(commands)),
		.event_queue = region(events, sizeof(events)),
	};
	struct lpsmmu_mem_req mem_req;
	uint64_t result = lpsmmu_activate_begin(set, psmmu_ptr, params, &mem_req);

	if (result != LPSMMU_RMI_SUCCESS)
		return result;
	/* A larger RMM would now ask the host for so much, and answer INCOMPLETE. */
	if (mem_req.stream_table * GRANULE > sizeof(level_1) || mem_req.command_queue * GRANULE > sizeof(commands) ||
	    mem_req.event_queue * GRANULE > sizeof(events)) {
		lpsmmu_activate_cancel(set, psmmu_ptr);
		return LPSMMU_RMI_ERROR_DEVICE;
	}
	return lpsmmu_activate_finish(set, psmmu_ptr, &memory, NULL);
}

uint64_t create_table(uint64_t psmmu_ptr, uint64_t first_stream)
{
	const struct lpsmmu_stage_2 stage_2 = {.table = fault_table(), .vmid = 1, .t0sz = 25, .sl0 = 1, .ps = 2};
	uint64_t result = lpsmmu_st_l2_create_begin(set, psmmu_ptr, first_stream);
	uint32_t index, stream = (uint32_t)first_stream;

	if (result != LPSMMU_RMI_SUCCESS)
		return result;
	index = __atomic_fetch_add(&tables, 1, __ATOMIC_RELAXED);
	if (index >= TABLES) {
		lpsmmu_st_l2_create_cancel(set, psmmu_ptr, first_stream);
		return LPSMMU_RMI_BUSY;
	}
	result = lpsmmu_st_l2_create_finish(set, psmmu_ptr, first_stream, (uint64_t)(uintptr_t)level_2[index], NULL);
	/* No device is assigned here: function 0 of each device on this bus begins to translate at once. */
	for (; result == LPSMMU_RMI_SUCCESS && stream < first_stream + 64; stream += 8) {
		if (lpsmmu_configure_stream(set, psmmu_ptr, stream, &stage_2) != LPSMMU_OK ||
		    lpsmmu_enable_stream(set, psmmu_ptr, stream) != LPSMMU_OK)
			result = LPSMMU_RMI_ERROR_DEVICE;
	}
	return result;
}
