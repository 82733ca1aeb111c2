/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * The address space, filled once with the MMU off: the image by pages, text guarded by BTI; below it the
 * devices and behind it DRAM as Realm memory, one to one; and DRAM once more as the host has it.
 */

#include "rmm.h"

#define VALID UINT64_C(1)
#define TABLE_OR_PAGE (UINT64_C(1) << 1)
#define NORMAL (UINT64_C(1) << 2)
#define HOSTS (UINT64_C(1) << 5)
#define ALWAYS ((UINT64_C(1) << 6) | (UINT64_C(1) << 10)) /* AP[1], access flag */
#define READ_ONLY (UINT64_C(1) << 7)
#define INNER_SHAREABLE (UINT64_C(3) << 8)
#define GUARDED (UINT64_C(1) << 50)
#define EXECUTE_NEVER (UINT64_C(1) << 54)
#define MEMORY (VALID | NORMAL | ALWAYS | INNER_SHAREABLE)
#define DEVICE (VALID | ALWAYS | EXECUTE_NEVER)

#define GIB (UINT64_C(1) << 30)
#define MIB_2 (UINT64_C(1) << 21)
#define ENTRIES 512

uint64_t level_1[ENTRIES] __attribute__((aligned(4096)));
static uint64_t level_2[ENTRIES] __attribute__((aligned(4096)));
static uint64_t level_3[ENTRIES] __attribute__((aligned(4096)));

extern char image_start[], text_end[], rodata_end[], bss_end[];

void mmu_build(void);
void mmu_build(void)
{
	uint64_t i, page = (uint64_t)(uintptr_t)image_start;

	for (; page < (uint64_t)(uintptr_t)bss_end; page += GRANULE) {
		uint64_t attributes = MEMORY | TABLE_OR_PAGE;

		if (page < (uint64_t)(uintptr_t)text_end)
			attributes |= READ_ONLY | GUARDED;
		else
			attributes |= EXECUTE_NEVER | (page < (uint64_t)(uintptr_t)rodata_end ? READ_ONLY : 0);
		level_3[page / GRANULE % ENTRIES] = page | attributes;
	}
	level_2[0] = (uint64_t)(uintptr_t)level_3 | VALID | TABLE_OR_PAGE;
	for (i = 1; i < ENTRIES; i++)
		level_2[i] = (GIB + i * MIB_2) | MEMORY | EXECUTE_NEVER;
	level_1[0] = DEVICE;
	level_1[1] = (uint64_t)(uintptr_t)level_2 | VALID | TABLE_OR_PAGE;
	for (i = 2; i < 4; i++)
		level_1[i] = i * GIB | MEMORY | EXECUTE_NEVER;
	for (i = 1; i < 4; i++)
		level_1[HOST_VIEW / GIB + i] = i * GIB | MEMORY | EXECUTE_NEVER | HOSTS;
}
