/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * An SMMU that the RMM brings up itself, on static memory, and whose command queue it keeps: the library only
 * gets the event queue, when that runs, by lpsmmu_attach().
 */

#include "rmm.h"

const char how[] = "rmm: the SMMU is brought up here and attached to libpsmmu.a";

enum {
	CR0 = 0x20,
	CR0ACK = 0x24,
	CR1 = 0x28,
	CR2 = 0x2C,
	IRQ_CTRL = 0x50,
	IRQ_CTRLACK = 0x54,
	GERROR = 0x60,
	GERRORN = 0x64,
	STRTAB_BASE = 0x80,
	STRTAB_BASE_CFG = 0x88,
	CMDQ_BASE = 0x90,
	CMDQ_PROD = 0x98,
	CMDQ_CONS = 0x9C,
	EVENTQ_BASE = 0xA0,
	EVENTQ_PROD = 0x100A8,
	EVENTQ_CONS = 0x100AC,

	SMMUEN = 1 << 0,
	EVENTQEN = 1 << 2,
	CMDQEN = 1 << 3,
	WRITE_BACK_INNER_SHAREABLE = 0xD75,
	RECINVSID_PTM = 0x6,
	CMDQ_ERR = 1 << 0,
};

/* Log2: commands, events, StreamIDs, StreamIDs of a level-2 table. */
#define COMMANDS 8
#define EVENTS 9
#define STREAMS 16
#define SPLIT 6
/* Level-2 tables that there can be. */
#define TABLES 16

#define CFGI_ALL UINT64_C(0x04)
#define CFGI_STE UINT64_C(0x03)
#define TLBI_EL2_ALL UINT64_C(0x20)
#define TLBI_NSNH_ALL UINT64_C(0x30)
#define SYNC UINT64_C(0x46)

static uint64_t commands[2 << COMMANDS] __attribute__((aligned(4096)));
static uint64_t events[4 << EVENTS] __attribute__((aligned(4 * 4096)));
static uint64_t level_1[1 << (STREAMS - SPLIT)] __attribute__((aligned(2 * 4096)));
static uint64_t level_2[TABLES][512] __attribute__((aligned(4096)));
static uint32_t tables;

/* Its holder changes tables and issues commands. */
static uint32_t locked;

static void lock(void)
{
	while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE) != 0)
		;
}

static void unlock(void)
{
	__atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
}

static uint32_t get(uint32_t offset)
{
	return *(volatile uint32_t *)(SMMU + offset);
}

static void put(uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(SMMU + offset) = value;
}

static void put_base(uint32_t offset, const void *memory, uint64_t log2)
{
	*(volatile uint64_t *)(SMMU + offset) = UINT64_C(1) << 62 | (uint64_t)(uintptr_t)memory | log2;
}

/* All waits here are bounded by turns: on this machine the device answers at once. */
static bool acknowledged(uint32_t offset, uint32_t value)
{
	uint32_t turns;

	for (turns = 0; turns < 1000000; turns++) {
		if (get(offset) == value)
			return true;
	}
	return false;
}

static bool enable(uint32_t enables)
{
	put(CR0, enables);
	return acknowledged(CR0ACK, enables);
}

static void push(uint64_t first, uint64_t second)
{
	uint32_t prod = get(CMDQ_PROD), index = prod & ((1 << COMMANDS) - 1);

	commands[2 * index] = first;
	commands[2 * index + 1] = second;
	write_barrier();
	put(CMDQ_PROD, (prod + 1) & ((2 << COMMANDS) - 1));
}

/* Lets the SMMU run what was pushed. */
static bool sync(void)
{
	uint32_t turns, mask = (2 << COMMANDS) - 1;

	push(SYNC, 0);
	for (turns = 0; turns < 1000000; turns++) {
		if (((get(CMDQ_CONS) ^ get(CMDQ_PROD)) & mask) == 0)
			return true;
	}
	return false;
}

/* A command that the SMMU refuses holds all behind it. A SYNC takes its place; GERRORN is the library's. */
void check_commands(void)
{
	uint32_t index;

	if (((get(GERROR) ^ get(GERRORN)) & CMDQ_ERR) == 0)
		return;
	lock();
	if (((get(GERROR) ^ get(GERRORN)) & CMDQ_ERR) != 0) {
		index = get(CMDQ_CONS) & ((1 << COMMANDS) - 1);
		commands[2 * index] = SYNC;
		commands[2 * index + 1] = 0;
		write_barrier();
		(void)lpsmmu_command_repaired(set, SMMU);
	}
	unlock();
}

static bool bring_up(void)
{
	if (!enable(0))
		return false;
	put(IRQ_CTRL, 0);
	if (!acknowledged(IRQ_CTRLACK, 0))
		return false;
	put(GERRORN, get(GERROR));
	put(CR1, WRITE_BACK_INNER_SHAREABLE);
	put(CR2, RECINVSID_PTM);
	put_base(STRTAB_BASE, level_1, 0);
	put(STRTAB_BASE_CFG, 1 << 16 | SPLIT << 6 | STREAMS);
	put_base(CMDQ_BASE, commands, COMMANDS);
	put(CMDQ_PROD, 0);
	put(CMDQ_CONS, 0);
	put_base(EVENTQ_BASE, events, EVENTS);
	put(EVENTQ_PROD, 0);
	put(EVENTQ_CONS, 0);
	write_barrier();
	if (!enable(CMDQEN) || !enable(CMDQEN | EVENTQEN))
		return false;
	push(CFGI_ALL, 0x1F);
	push(TLBI_EL2_ALL, 0);
	push(TLBI_NSNH_ALL, 0);
	return sync();
}

uint64_t activate(uint64_t psmmu_ptr, uint64_t params)
{
	const struct lpsmmu_queues queues = {
		.event_queue = {events, (uint64_t)(uintptr_t)events, EVENTS},
	};
	uint64_t flags, result = LPSMMU_RMI_ERROR_DEVICE;

	if (psmmu_ptr != SMMU || !host_read(params, 0, &flags, 1) || flags != 0)
		return LPSMMU_RMI_ERROR_INPUT;
	lock();
	if (lpsmmu_get_state(set, psmmu_ptr) != LPSMMU_STATE_INACTIVE)
		result = LPSMMU_RMI_ERROR_INPUT;
	/* The interrupts come on before translation does, so that no event is recorded unheard. */
	else if (bring_up() && lpsmmu_attach(set, psmmu_ptr, &queues, NULL) == LPSMMU_OK)
		result = enable(CMDQEN | EVENTQEN | SMMUEN) ? LPSMMU_RMI_SUCCESS : LPSMMU_RMI_ERROR_DEVICE;
	/* On each error path: an attached SMMU that is not active would go on being served. */
	if (result == LPSMMU_RMI_ERROR_DEVICE && lpsmmu_detach(set, psmmu_ptr) != LPSMMU_OK)
		print("rmm: not attached, or does not acknowledge", 0);
	unlock();
	return result;
}

static void fill(uint64_t *entry, uint32_t stream)
{
	/* Stage 2: VMID 1, 39 bits from level 1, write-back, 40 bits out, AArch64, faults recorded. */
	entry[2] = 1 | UINT64_C(25) << 32 | UINT64_C(1) << 38 | UINT64_C(1) << 40 | UINT64_C(1) << 42 |
		   UINT64_C(3) << 44 | UINT64_C(2) << 48 | UINT64_C(1) << 51 | UINT64_C(1) << 58;
	entry[3] = fault_table();
	entry[0] = is_without_entry(stream) ? 0 : 0xD;
}

uint64_t create_table(uint64_t psmmu_ptr, uint64_t first_stream)
{
	uint64_t *descriptor, *table, result = LPSMMU_RMI_SUCCESS;
	uint32_t stream;

	if (psmmu_ptr != SMMU || lpsmmu_get_state(set, psmmu_ptr) != LPSMMU_STATE_ACTIVE)
		return LPSMMU_RMI_ERROR_INPUT;
	if (first_stream >> STREAMS != 0 || (first_stream & ((1 << SPLIT) - 1)) != 0)
		return LPSMMU_RMI_ERROR_INPUT;
	lock();
	descriptor = &level_1[first_stream >> SPLIT];
	if (*descriptor != 0) {
		result = LPSMMU_RMI_ERROR_PSMMU_ST | 2 << 8;
	} else if (tables == TABLES) {
		result = LPSMMU_RMI_BUSY;
	} else {
		table = level_2[tables++];
		for (stream = 0; stream < 1 << SPLIT; stream++)
			fill(table + 8 * stream, (uint32_t)first_stream + stream);
		write_barrier();
		*descriptor = (uint64_t)(uintptr_t)table | (SPLIT + 1);
		push(CFGI_STE | first_stream << 32, 0);
		if (!sync())
			result = LPSMMU_RMI_ERROR_DEVICE;
	}
	unlock();
	return result;
}
