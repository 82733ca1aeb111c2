/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * The host's memory. An address of the host's is compared with the DRAM first: beyond 1 TiB an access would
 * stop the machine. Whose memory it is the granule protection check knows, and only while it is accessed.
 */

#include "rmm.h"

bool copy_words(uint64_t to, uint64_t from, size_t count);
bool zero_words(uint64_t to, size_t count);

static struct dram dram;

void host_open(const struct dram *bank)
{
	dram = *bank;
}

bool is_dram(uint64_t granule)
{
	return granule % GRANULE == 0 && granule >= dram.base && granule - dram.base < dram.size;
}

bool host_replace(uint64_t granule, const uint64_t *words, size_t count)
{
	uint64_t view = HOST_VIEW + granule;

	return is_dram(granule) && copy_words(view, (uint64_t)(uintptr_t)words, count) &&
	       zero_words(view + 8 * count, GRANULE / 8 - count);
}

bool host_read(uint64_t granule, size_t first, uint64_t *words, size_t count)
{
	return is_dram(granule) &&
	       copy_words((uint64_t)(uintptr_t)words, HOST_VIEW + granule + 8 * first, count);
}

bool wipe(uint64_t granule)
{
	return is_dram(granule) && zero_words(granule, GRANULE / 8);
}
