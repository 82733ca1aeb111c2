/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The rest of an image around the code of docs/embedding.md, to be linked and not run. */

#include "smc-rmi.h"
#include "smmuv3_events.h"
#include "prototypes.h"

_Static_assert(SMC_RMI_PSMMU_IRQ_NOTIFY == 0xC400016F, "IRQ_NOTIFY");
_Static_assert(SMC_RMI_PSMMU_EVENT_CONSUME == 0xC40001F0, "EVENT_CONSUME");
_Static_assert(SMC_RMI_PSMMU_INFO == 0xC400020E, "INFO");

#include "psmmu.c"

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

bool is_rmi_feat_da_enabled(void)
{
	return rows[0].log;
}

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

void report(const char *text, ...)
{
	(void)text;
}

void spinlock_acquire(spinlock_t *lock)
{
	lock->value = 1;
}

void spinlock_release(spinlock_t *lock)
{
	lock->value = 0;
}

uint32_t read32(const volatile void *address)
{
	return *(const volatile uint32_t *)address;
}

void write32(uint32_t value, volatile void *address)
{
	*(volatile uint32_t *)address = value;
}

void write64(uint64_t value, volatile void *address)
{
	*(volatile uint64_t *)address = value;
}

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
}

void start(struct smc_result *res);
void start(struct smc_result *res)
{
	unsigned long i;

	(void)smmuv3_events_init();
	(void)smmuv3_events_attach(get_smmuv3_driver()->smmuv3_devs);
	(void)smmuv3_events_repair(get_smmuv3_driver()->smmuv3_devs);
	smmuv3_events_detach(get_smmuv3_driver()->smmuv3_devs);
	for (i = 0; i < 3; i++)
		rows[i].function(res->x[1], res->x[2], res);
}
