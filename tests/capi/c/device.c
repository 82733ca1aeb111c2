/* SPDX-License-Identifier: MIT OR Apache-2.0 */

#include "device.h"

uint64_t event_queue[4 << EVENTS];
uint64_t command_queue[2 << COMMANDS];

enum {
	CR0 = 0x20,
	CR0ACK = 0x24,
	CR1 = 0x28,
	CR2 = 0x2C,
	CMDQ_BASE = 0x90,
	CMDQ_PROD = 0x98,
	CMDQ_CONS = 0x9C,
	EVENTQ_BASE = 0xA0,
	/* In page 1. */
	EVENTQ_PROD = 0xA8,
	EVENTQ_CONS = 0xAC,

	CR0_EVENTQEN = 1 << 2,
	CR0_CMDQEN = 1 << 3,
	/* Others may read as anything. */
	CR0_ENABLES = 0xF,
	WRITE_BACK_INNER_SHAREABLE = 0xD75,
	CMD_SYNC = 0x46,
};

uint32_t get(struct smmu_model *model, uint32_t page, uint32_t offset)
{
	return smmu_model_read32(model, page, offset);
}

void put(struct smmu_model *model, uint32_t page, uint32_t offset, uint32_t value)
{
	smmu_model_write32(model, page, offset, value);
}

static void enable(struct smmu_model *model, uint32_t enables)
{
	put(model, LPSMMU_PAGE_REALM_0, CR0, enables);
	while ((get(model, LPSMMU_PAGE_REALM_0, CR0ACK) & CR0_ENABLES) != enables)
		;
}

void bring_up(struct smmu_model *model)
{
	smmu_model_share(model, EVENT_QUEUE, event_queue, 4 << EVENTS);
	smmu_model_share(model, COMMAND_QUEUE, command_queue, 2 << COMMANDS);
	put(model, LPSMMU_PAGE_REALM_0, CR1, WRITE_BACK_INNER_SHAREABLE);
	put(model, LPSMMU_PAGE_REALM_0, CR2, 0);
	smmu_model_write64(model, LPSMMU_PAGE_REALM_0, CMDQ_BASE, COMMAND_QUEUE | COMMANDS);
	put(model, LPSMMU_PAGE_REALM_0, CMDQ_PROD, 0);
	put(model, LPSMMU_PAGE_REALM_0, CMDQ_CONS, 0);
	smmu_model_write64(model, LPSMMU_PAGE_REALM_0, EVENTQ_BASE, EVENT_QUEUE | EVENTS);
	/* As a queue stands that has wrapped once and was read up to its last entry. */
	put(model, LPSMMU_PAGE_REALM_1, EVENTQ_PROD, (2 << EVENTS) - 1);
	put(model, LPSMMU_PAGE_REALM_1, EVENTQ_CONS, (2 << EVENTS) - 1);
	enable(model, CR0_CMDQEN);
	enable(model, CR0_CMDQEN | CR0_EVENTQEN);
}

void repair_command(struct smmu_model *model)
{
	uint32_t at = get(model, LPSMMU_PAGE_REALM_0, CMDQ_CONS) & ((1 << COMMANDS) - 1);

	command_queue[2 * at] = CMD_SYNC;
	command_queue[2 * at + 1] = 0;
	smmu_model_write_barrier(model);
}
