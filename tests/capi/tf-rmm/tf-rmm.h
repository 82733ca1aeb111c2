/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * Stand-ins for the few names of TF-RMM's that docs/embedding.md uses, so that its code can be compiled and
 * linked here. The other headers of this folder lead here.
 */

#ifndef TF_RMM_H
#define TF_RMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define U(number) number##U
#define GRANULE_SIZE 4096UL
#define RMM_MAX_SMMUS 4
#define RMI_ERROR_NOT_SUPPORTED 5UL
#define SMMU_R_PAGE_1_OFFSET 0x10000UL
#define PLAT_SMMU_GERROR_INTID 111U
#define PLAT_SMMU_EVENTQ_INTID 106U
#define SMC64_RMI_FID(offset) (0xC4000150UL + (offset))

struct granule;
struct smc_result {
	unsigned long x[8];
};
enum { GRANULE_STATE_NS = 0 };
enum buffer_slot { SLOT_NS = 0 };

struct granule *find_granule(unsigned long addr);
unsigned char granule_unlocked_state(struct granule *g);
bool ns_buffer_write(enum buffer_slot slot, struct granule *ns_gr, unsigned int offset, size_t size, void *src);

struct smmuv3_dev {
	uintptr_t ns_base, ns_base_pa, r_base, evtq_pa;
	struct {
		unsigned int evtq_log2size;
	} config;
	struct {
		uintptr_t q_base;
	} evtq;
};
struct smmuv3_driv {
	uint64_t num_smmus;
	struct smmuv3_dev *smmuv3_devs;
};
struct smmuv3_driv *get_smmuv3_driver(void);

/* What the new file offers to the others. */
int psmmu_events_init(void);
int psmmu_events_attach(const struct smmuv3_dev *smmu);
int psmmu_events_detach(const struct smmuv3_dev *smmu);
void psmmu_events_command_repaired(const struct smmuv3_dev *smmu);
void smc_psmmu_info(unsigned long psmmu, unsigned long page, struct smc_result *res);
void smc_psmmu_irq_notify(unsigned long psmmu, unsigned long sources, struct smc_result *res);
void smc_psmmu_event_consume(unsigned long psmmu, unsigned long sources, struct smc_result *res);

#endif
