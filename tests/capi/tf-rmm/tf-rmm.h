/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * Stand-ins for what docs/embedding.md uses of TF-RMM, so that its code can be compiled and linked here. The other
 * headers of this folder lead here.
 */

#ifndef TF_RMM_H
#define TF_RMM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

#define U(number) number##U
#define UL(number) number##UL
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define EXTRACT(field, value) (((value) >> field##_SHIFT) & ((UL(1) << field##_WIDTH) - 1UL))
#define GRANULE_SIZE 4096UL
#define RMM_MAX_SMMUS 4
#define SMC64_RMI_FID(offset) (0xC4000150UL + (offset))
#define SMC_RMI_PSMMU_IRQ_NOTIFY SMC64_RMI_FID(0x1FU)
#define RMI_ERROR_NOT_SUPPORTED U(5)
#define RMI_FEATURE_TRUE UL(1)
#define RMI_PSMMU_FLAGS_MSI_SHIFT U(0)
#define RMI_PSMMU_FLAGS_MSI_WIDTH U(1)

#define SMMU_R_IRQ_CTRL U(0x050)
#define SMMU_R_IRQ_CTRLACK U(0x054)
#define SMMU_R_GERROR U(0x060)
#define SMMU_R_GERRORN U(0x064)
#define SMMU_R_PAGE_1_OFFSET U(0x10000)
#define CMDQ_ERR_BIT U(1)
#define CMD_SYNC UL(0x46)
#define FEAT_MSI U(0x1000)

void report(const char *text, ...);
#define SMMU_ERROR(smmu, ...) ((void)(smmu), report(__VA_ARGS__))

__extension__ typedef unsigned __int128 uint128_t;
typedef struct {
	unsigned int value;
} spinlock_t;
void spinlock_acquire(spinlock_t *lock);
void spinlock_release(spinlock_t *lock);

uint32_t read32(const volatile void *address);
void write32(uint32_t value, volatile void *address);
void write64(uint64_t value, volatile void *address);
uint64_t read_cntpct_el0(void);
uint64_t read_cntfrq_el0(void);
void isb(void);
void full_barrier(void);
#define dsb(scope) full_barrier()

struct granule;
struct smc_result {
	unsigned long x[8];
};
enum { GRANULE_STATE_NS = 0 };
enum buffer_slot { SLOT_NS = 0 };

bool is_rmi_feat_da_enabled(void);
struct granule *find_granule(unsigned long addr);
unsigned char granule_unlocked_state(struct granule *g);
bool ns_buffer_write(enum buffer_slot slot, struct granule *ns_gr, unsigned int offset, size_t size, void *src);

struct psmmu_params {
	unsigned long flags, gerr_addr, gerr_data, eventq_addr, eventq_data, priq_addr, priq_data;
};
struct smmu_config {
	unsigned int features, cmdq_log2size, evtq_log2size;
};
struct smmu_queue {
	uintptr_t q_base;
	void *cons_reg;
};
struct smmuv3_dev {
	uintptr_t ns_base, ns_base_pa, r_base, evtq_pa;
	struct smmu_config config;
	struct smmu_queue cmdq, evtq;
	struct psmmu_params params;
};
struct smmuv3_driv {
	uint64_t num_smmus;
	struct smmuv3_dev *smmuv3_devs;
};
struct smmuv3_driv *get_smmuv3_driver(void);

#endif
