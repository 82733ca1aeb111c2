/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* In place of the headers of that name in docs/embedding.md: the registers are those of the model. */

#ifndef SMMUV3_EVENTS_ARCH_H
#define SMMUV3_EVENTS_ARCH_H

#include <libpsmmu.h>
#include <smmu_model.h>

#include "tf-rmm.h"

/* The one SMMU. */
extern struct lpsmmu_registers model_registers;

static inline void smmuv3_events_registers(struct lpsmmu_config *config, struct smmuv3_dev *smmu, unsigned int index)
{
	(void)smmu;
	(void)index;
	config->registers = &model_registers;
}

#endif
