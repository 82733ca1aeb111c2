/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * The software SMMUv3 of this project, for programs in C: the Realm side and nothing else; of the Non-secure side
 * the identification registers. It ends the program when a driver breaks a rule of the architecture, or keeps
 * what was broken.
 */

#ifndef SMMU_MODEL_H
#define SMMU_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smmu_model;

/* What kind of SMMU it is: its identification registers. */
struct smmu_model_config {
	uint32_t idr0, idr1, idr3, idr5, iidr, aidr; /* of the Non-secure page */
	uint32_t r_idr0, r_idr1, r_idr3, r_mecidr;   /* of the Realm page */
	uint64_t seed; /* from which registers get their UNKNOWN values at reset */
};

/* Bits that are set or cleared to choose a feature. MSI, ATS and PRI count in r_idr0. */
#define SMMU_MODEL_IDR0_S2P UINT32_C(0x00000001)
#define SMMU_MODEL_IDR0_S1P UINT32_C(0x00000002)
#define SMMU_MODEL_IDR0_BTM UINT32_C(0x00000020)
#define SMMU_MODEL_IDR0_HYP UINT32_C(0x00000200)
#define SMMU_MODEL_IDR0_ATS UINT32_C(0x00000400)
#define SMMU_MODEL_IDR0_MSI UINT32_C(0x00002000)
#define SMMU_MODEL_IDR0_PRI UINT32_C(0x00010000)
#define SMMU_MODEL_IDR0_VMW UINT32_C(0x00020000)
#define SMMU_MODEL_IDR0_VMID16 UINT32_C(0x00040000)
#define SMMU_MODEL_IDR0_ST_LEVEL UINT32_C(0x08000000)

/*
 * Makes a device, for good: a Realm SMMU with MSIs, ATS, PRI, EL2, 16-bit StreamIDs, 48 bits of address; or one of
 * `config`, which smmu_model_default_config() fills to begin with.
 */
struct smmu_model *smmu_model_new(void);
void smmu_model_default_config(struct smmu_model_config *config);
struct smmu_model *smmu_model_new_with(const struct smmu_model_config *config);

/*
 * Lets the device use `words` words that the program has at `memory`, by the PA `pa`. What the device writes
 * shows at `memory` behind smmu_model_read_barrier(), what the program writes shows to the device behind
 * smmu_model_write_barrier(). smmu_model_take_back() ends it, which the device must be done with.
 */
void smmu_model_share(struct smmu_model *model, uint64_t pa, uint64_t *memory, size_t words);
void smmu_model_take_back(struct smmu_model *model, uint64_t pa);

/* Registers: page 0 is page 0 of the Non-secure interface, 1 and 2 are pages 0 and 1 of the Realm one. */
uint32_t smmu_model_read32(void *model, uint32_t page, uint32_t offset);
void smmu_model_write32(void *model, uint32_t page, uint32_t offset, uint32_t value);
void smmu_model_write64(void *model, uint32_t page, uint32_t offset, uint64_t value);
void smmu_model_read_barrier(void *model);
void smmu_model_write_barrier(void *model);

/* Records an F_TRANSLATION of a write at stage 2. */
void smmu_model_fault(struct smmu_model *model, uint32_t stream, uint64_t address);
/* What came of a transaction. */
enum smmu_model_outcome {
	SMMU_MODEL_RECORDED = 0,   /* aborted, with an event record */
	SMMU_MODEL_ABORTED = 1,	   /* aborted, without one */
	SMMU_MODEL_BYPASSED = 2,   /* passed untranslated */
	SMMU_MODEL_TRANSLATED = 3, /* translated */
};
/*
 * Lets a device behind the SMMU write, to an address that the translation tables do not map, or do map: tables are
 * not walked. Returns an enum smmu_model_outcome.
 */
uint32_t smmu_model_dma(struct smmu_model *model, uint32_t stream, uint64_t address);
uint32_t smmu_model_dma_mapped(struct smmu_model *model, uint32_t stream, uint64_t address);
/* Returns how many records lie between CONS and PROD of the event queue. */
uint32_t smmu_model_queued_events(struct smmu_model *model);
/* Keeps the rules that are broken from here on, or ends the program at one, as it does at first. */
void smmu_model_collect_violations(struct smmu_model *model, bool collect);
/* Takes the name of the oldest one that was kept into `size` bytes at `name`; false if there is none. */
bool smmu_model_take_violation(struct smmu_model *model, char *name, size_t size);
/* Raises bits of GERROR. */
void smmu_model_raise(struct smmu_model *model, uint32_t errors);
/* Puts an illegal command behind those that the device has, as a driver would. */
void smmu_model_illegal_command(struct smmu_model *model);
/* Says whether the wire of a source was pulsed since it was last asked: bit 0 GERROR, 2 EVENTQ. */
uint32_t smmu_model_take_interrupts(struct smmu_model *model);

#endif
