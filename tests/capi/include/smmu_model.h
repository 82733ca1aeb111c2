/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * The software SMMUv3 of this project, for programs in C. It ends the program when a driver breaks a rule of
 * the architecture.
 */

#ifndef SMMU_MODEL_H
#define SMMU_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smmu_model;

/* Makes a device, for good. */
struct smmu_model *smmu_model_new(void);

/*
 * Lets the device use `words` words that the program has at `memory`, by the PA `pa`. What the device writes
 * shows at `memory` behind smmu_model_read_barrier(), what the program writes shows to the device behind
 * smmu_model_write_barrier(). Only one of the two writes: the device if `device_writes`.
 */
void smmu_model_share(struct smmu_model *model, uint64_t pa, uint64_t *memory, size_t words,
		      bool device_writes);

/* Registers: page 0 is page 0 of the Non-secure interface, 1 and 2 are pages 0 and 1 of the Realm one. */
uint32_t smmu_model_read32(void *model, uint32_t page, uint32_t offset);
void smmu_model_write32(void *model, uint32_t page, uint32_t offset, uint32_t value);
void smmu_model_write64(void *model, uint32_t page, uint32_t offset, uint64_t value);
void smmu_model_read_barrier(void *model);
void smmu_model_write_barrier(void *model);

/* Records an F_TRANSLATION of a write at stage 2. */
void smmu_model_fault(struct smmu_model *model, uint32_t stream, uint64_t address);
/* Lets a device behind the SMMU write, which the tables do not map. */
void smmu_model_dma(struct smmu_model *model, uint32_t stream, uint64_t address);
/* Raises bits of GERROR. */
void smmu_model_raise(struct smmu_model *model, uint32_t errors);
/* Puts an illegal command behind those that the device has, as a driver would. */
void smmu_model_illegal_command(struct smmu_model *model);
/* Says whether the wire of a source was pulsed since it was last asked: bit 0 GERROR, 2 EVENTQ. */
uint32_t smmu_model_take_interrupts(struct smmu_model *model);

#endif
