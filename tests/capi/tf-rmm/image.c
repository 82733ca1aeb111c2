/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The rest of an image around the code of docs/embedding.md, to be linked and not run. */

#include "smc-rmi.h"

_Static_assert(SMC_RMI_PSMMU_IRQ_NOTIFY == 0xC400016F, "IRQ_NOTIFY");
_Static_assert(SMC_RMI_PSMMU_EVENT_CONSUME == 0xC40001F0, "EVENT_CONSUME");
_Static_assert(SMC_RMI_PSMMU_INFO == 0xC400020E, "INFO");

typedef void (*handler)(unsigned long, unsigned long, struct smc_result *);
#define HANDLER(id, inputs, outputs, function, log, log_error) {SMC_RMI_##id, inputs, outputs, function, log, log_error}

struct row {
	unsigned long fid;
	unsigned int inputs, outputs;
	handler function;
	bool log, log_error;
};

extern const struct row rows[];
const struct row rows[] = {
#include "rows.h"
};

struct granule *find_granule(unsigned long addr)
{
	return (struct granule *)addr;
}

unsigned char granule_unlocked_state(struct granule *g)
{
	return g == NULL;
}

bool ns_buffer_write(enum buffer_slot slot, struct granule *ns_gr, unsigned int offset, size_t size, void *src)
{
	return slot == SLOT_NS && ns_gr != src && offset + size != 0;
}

struct smmuv3_driv *get_smmuv3_driver(void)
{
	static struct smmuv3_driv driver;

	return &driver;
}

void start(struct smc_result *res);
void start(struct smc_result *res)
{
	unsigned long i;

	(void)psmmu_events_init();
	(void)psmmu_events_attach(get_smmuv3_driver()->smmuv3_devs);
	psmmu_events_command_repaired(get_smmuv3_driver()->smmuv3_devs);
	(void)psmmu_events_detach(get_smmuv3_driver()->smmuv3_devs);
	for (i = 0; i < 3; i++)
		rows[i].function(res->x[1], res->x[2], res);
}
