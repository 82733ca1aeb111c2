/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The model's header, used: each function returns 0, or the line of what is not so. */

#include <smmu_model.h>
#include <string.h>

#define REQUIRE(what)                    \
	do {                             \
		if (!(what))             \
			return __LINE__; \
	} while (0)

#define TABLE UINT64_C(0x80000000)
#define EVENT_QUEUE UINT64_C(0x80010000)
#define COMMAND_QUEUE UINT64_C(0x80020000)

/* Offsets in page 0 of the Realm interface; the pointers of the event queue are in page 1. */
enum { CR0 = 0x20, CR0ACK = 0x24, CR1 = 0x28, CR2 = 0x2C, STRTAB_BASE = 0x80, STRTAB_BASE_CFG = 0x88,
       CMDQ_BASE = 0x90, CMDQ_PROD = 0x98, CMDQ_CONS = 0x9C, EVENTQ_BASE = 0xA0, EVENTQ_PROD = 0xA8,
       EVENTQ_CONS = 0xAC };

static uint64_t table[8 * 4], event_queue[4 * 4], command_queue[2 * 4];

/* Commands of fixed words: CFGI_ALL, TLBI_NSNH_ALL, SYNC. */
static const uint64_t commands[] = {0x04, 0x1F, 0x30, 0, 0x46, 0};

/* Brings a device up on a linear table of four streams: 0 invalid, 1 aborts, 2 bypasses, 3 has stage 2. */
static struct smmu_model *started(const struct smmu_model_config *config)
{
	struct smmu_model *model = smmu_model_new_with(config);

	memset(table, 0, sizeof(table));
	memset(event_queue, 0, sizeof(event_queue));
	memset(command_queue, 0, sizeof(command_queue));
	memcpy(command_queue, commands, sizeof(commands));
	table[8] = 1;
	table[16] = 9;
	table[24] = 13;
	table[26] = UINT64_C(32) << 32 | UINT64_C(1) << 38 | UINT64_C(1) << 51 | UINT64_C(1) << 58;
	smmu_model_share(model, TABLE, table, 8 * 4);
	smmu_model_share(model, EVENT_QUEUE, event_queue, 4 * 4);
	smmu_model_share(model, COMMAND_QUEUE, command_queue, 2 * 4);
	smmu_model_write32(model, 1, CR1, 0xD75);
	smmu_model_write32(model, 1, CR2, 2);
	smmu_model_write64(model, 1, STRTAB_BASE, TABLE);
	smmu_model_write32(model, 1, STRTAB_BASE_CFG, 2);
	smmu_model_write64(model, 1, CMDQ_BASE, COMMAND_QUEUE | 2);
	smmu_model_write32(model, 1, CMDQ_PROD, 0);
	smmu_model_write32(model, 1, CMDQ_CONS, 0);
	smmu_model_write64(model, 1, EVENTQ_BASE, EVENT_QUEUE | 2);
	smmu_model_write32(model, 2, EVENTQ_PROD, 0);
	smmu_model_write32(model, 2, EVENTQ_CONS, 0);
	smmu_model_write_barrier(model);
	smmu_model_write32(model, 1, CR0, 0xC);
	smmu_model_write32(model, 1, CMDQ_PROD, 3);
	smmu_model_write32(model, 1, CR0, 0xD);
	return model;
}

int model_has_outcomes(void)
{
	struct smmu_model_config config;
	struct smmu_model *model;

	smmu_model_default_config(&config);
	model = started(&config);
	REQUIRE(smmu_model_dma(model, 0, 0x1000) == SMMU_MODEL_RECORDED);
	REQUIRE(smmu_model_dma(model, 1, 0x1000) == SMMU_MODEL_ABORTED);
	REQUIRE(smmu_model_dma(model, 2, 0x1000) == SMMU_MODEL_BYPASSED);
	REQUIRE(smmu_model_dma(model, 3, 0x1000) == SMMU_MODEL_RECORDED);
	REQUIRE(smmu_model_dma_mapped(model, 3, 0x1000) == SMMU_MODEL_TRANSLATED);
	REQUIRE(smmu_model_queued_events(model) == 2);
	REQUIRE(event_queue[0] == 0);
	smmu_model_read_barrier(model);
	REQUIRE(event_queue[0] == 0x04 && event_queue[4] == (UINT64_C(3) << 32 | 0x10));
	return 0;
}

int model_has_configurations(void)
{
	struct smmu_model_config config;
	struct smmu_model *model;

	smmu_model_default_config(&config);
	REQUIRE((config.idr0 & SMMU_MODEL_IDR0_VMW) == 0 && (config.idr0 & SMMU_MODEL_IDR0_S2P) != 0);
	config.idr0 |= SMMU_MODEL_IDR0_VMW;
	config.idr0 &= ~SMMU_MODEL_IDR0_S2P;
	model = started(&config);
	REQUIRE(smmu_model_read32(model, 0, 0) == config.idr0);
	smmu_model_write32(model, 1, CR0, 0xD | 5 << 6);
	REQUIRE((smmu_model_read32(model, 1, CR0ACK) & 7 << 6) == 5 << 6);
	/* Stage 2 makes a bad entry. */
	REQUIRE(smmu_model_dma_mapped(model, 3, 0x1000) == SMMU_MODEL_RECORDED);
	smmu_model_read_barrier(model);
	REQUIRE((event_queue[0] & 0xFF) == 0x04);
	return 0;
}

int model_names_what_was_broken(void)
{
	struct smmu_model_config config;
	struct smmu_model *model;
	char name[64] = "";

	smmu_model_default_config(&config);
	model = started(&config);
	smmu_model_collect_violations(model, true);
	REQUIRE(!smmu_model_take_violation(model, name, sizeof(name)));
	smmu_model_write32(model, 1, CR2, 0);
	smmu_model_take_back(model, TABLE);
	REQUIRE(smmu_model_take_violation(model, name, sizeof(name)) && strcmp(name, "GuardedWrite") == 0);
	REQUIRE(smmu_model_take_violation(model, name, 6) && strcmp(name, "Taken") == 0);
	while (smmu_model_take_violation(model, NULL, 0))
		;
	smmu_model_write32(model, 1, CR0, 0);
	smmu_model_take_back(model, EVENT_QUEUE);
	REQUIRE(!smmu_model_take_violation(model, name, sizeof(name)) && name[0] == '\0');
	return 0;
}
