/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * An SMMU that the library brings up, on static memory that would be the host's in a larger RMM, and whose
 * streams it configures: psmmu_begin_activation() to psmmu_enable_stream().
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
void look_after_commands(void)
{
}

static struct psmmu_region region(uint64_t *memory, uint64_t bytes)
{
	return (struct psmmu_region){memory, (uint64_t)(uintptr_t)memory, bytes};
}

uint64_t activate(uint64_t name, uint64_t params)
{
	const struct psmmu_memory memory = {
		.stream_table = region(level_1, sizeof(level_1)),
		.command_queue = region(commands, sizeof(commands)),
		.event_queue = region(events, sizeof(events)),
	};
	struct psmmu_needs needs;
	uint64_t result = psmmu_begin_activation(set, name, params, &needs);

	if (result != PSMMU_RMI_SUCCESS)
		return result;
	/* A larger RMM would now ask the host for so much, and answer INCOMPLETE. */
	if (needs.stream_table * GRANULE > sizeof(level_1) || needs.command_queue * GRANULE > sizeof(commands) ||
	    needs.event_queue * GRANULE > sizeof(events)) {
		psmmu_abandon_activation(set, name);
		return PSMMU_RMI_ERROR_DEVICE;
	}
	return psmmu_activate(set, name, &memory, NULL);
}

uint64_t create_table(uint64_t name, uint64_t first_stream)
{
	const struct psmmu_stage_2 stage_2 = {.table = fault_table(), .vmid = 1, .t0sz = 25, .sl0 = 1, .ps = 2};
	uint64_t result = psmmu_begin_table(set, name, first_stream);
	uint32_t index, stream = (uint32_t)first_stream;

	if (result != PSMMU_RMI_SUCCESS)
		return result;
	index = __atomic_fetch_add(&tables, 1, __ATOMIC_RELAXED);
	if (index >= TABLES) {
		psmmu_abandon_table(set, name, first_stream);
		return PSMMU_RMI_BUSY;
	}
	result = psmmu_make_table(set, name, first_stream, (uint64_t)(uintptr_t)level_2[index], NULL);
	/* Nobody assigns devices here: function 0 of each device on this bus begins to translate at once. */
	for (; result == PSMMU_RMI_SUCCESS && stream < first_stream + 64; stream += 8) {
		if (psmmu_configure_stream(set, name, stream, &stage_2) != PSMMU_OK ||
		    psmmu_enable_stream(set, name, stream) != PSMMU_OK)
			result = PSMMU_RMI_ERROR_DEVICE;
	}
	return result;
}
