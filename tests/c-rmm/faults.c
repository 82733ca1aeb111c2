/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * Streams that fault, as those of the Rust RMM's image for tests do: one translation table, by which the
 * address of an access decides what is wrong with it. Streams 40 to 47 have no valid entry.
 */

#include "rmm.h"

#define BLOCK UINT64_C(1)
#define WRITE_BACK (UINT64_C(0xF) << 2)
#define READ (UINT64_C(1) << 6)
#define WRITE (UINT64_C(1) << 7)
#define INNER_SHAREABLE (UINT64_C(3) << 8)
#define ACCESSED (UINT64_C(1) << 10)
#define GIB (UINT64_C(1) << 30)

static uint64_t table[512] __attribute__((aligned(4096)));

uint64_t fault_table(void)
{
	const uint64_t memory = BLOCK | WRITE_BACK | INNER_SHAREABLE;

	table[2] = 2 * GIB | memory | READ | ACCESSED;
	table[3] = 3 * GIB | memory | READ | WRITE;
	table[4] = UINT64_C(1) << 40 | memory | READ | WRITE | ACCESSED;
	return (uint64_t)(uintptr_t)table;
}

bool is_without_entry(uint32_t stream)
{
	return stream >> 3 == 5;
}
