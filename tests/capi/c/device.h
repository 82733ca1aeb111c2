/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* An SMMU as an RMM in C would bring it up by itself, here the model. */

#ifndef DEVICE_H
#define DEVICE_H

#include <libpsmmu.h>
#include <smmu_model.h>

/* Log2 of the entries. */
#define EVENTS 4
#define COMMANDS 4
/* Where the queues lie for the device. */
#define EVENT_QUEUE UINT64_C(0x90000000)
#define COMMAND_QUEUE UINT64_C(0x90010000)

/* The queues, as the program has them. */
extern uint64_t event_queue[4 << EVENTS];
extern uint64_t command_queue[2 << COMMANDS];

/* Brings the queues of a device up, with some past behind them; translation stays off. */
void bring_up(struct smmu_model *model);
/* Replaces the command that failed by a CMD_SYNC, which an RMM does that keeps its command queue. */
void repair_command(struct smmu_model *model);
/* Reads and writes 32-bit registers of the Realm pages. */
uint32_t get(struct smmu_model *model, uint32_t page, uint32_t offset);
void put(struct smmu_model *model, uint32_t page, uint32_t offset, uint32_t value);

#endif
