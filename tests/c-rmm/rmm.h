/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * An RMM in C around libpsmmu.a, as small as can be: it shows how the library is embedded, and that it works.
 * Read it in this order: entry.S (from EL3 and back), mmu.c (the address space), host.c (the host's memory),
 * main.c (boot, the library's functions, the RMI), smmu.c (an SMMU that the RMM brings up itself) or activate.c
 * (one that the library brings up).
 *
 * It knows one machine, QEMU's virt, and one SMMU. It keeps no account of granules: EL3 does.
 */

#ifndef RMM_H
#define RMM_H

#include <libpsmmu.h>

#define MAX_CPUS 32
#define STACK_SIZE 16384
#define GRANULE UINT64_C(4096)

/* Function identifiers of the RMI that the library does not know. */
#define FID_VERSION UINT64_C(0xC4000150)
#define FID_FEATURES UINT64_C(0xC4000165)
#define FID_RMM_CONFIG_SET UINT64_C(0xC400016E)
#define FID_RMM_CONFIG_GET UINT64_C(0xC40001EC)
#define FID_RANGE_DELEGATE UINT64_C(0xC40001F1)
#define FID_RANGE_UNDELEGATE UINT64_C(0xC40001F2)
#define FID_RMM_ACTIVATE UINT64_C(0xC4000202)
#define FID_SVE_HINT (UINT64_C(1) << 16)
#define RMI_ERROR_GLOBAL UINT64_C(11)
#define RMI_NOT_SUPPORTED UINT64_MAX

/* Calls to EL3. */
#define GTSI_DELEGATE UINT64_C(0xC40001B0)
#define GTSI_UNDELEGATE UINT64_C(0xC40001B1)

/* QEMU's virt machine. */
#define UART UINT64_C(0x09000000)
#define SMMU UINT64_C(0x09050000)
#define SMMU_PAGE_1 UINT64_C(0x10000)
/* The Non-secure view of memory lies this much behind its PA. */
#define HOST_VIEW (UINT64_C(1) << 38)

/* entry.S */
int64_t call_el3(uint64_t fid, uint64_t argument);

/* host.c */
struct dram {
	uint64_t base, size;
};
void host_open(const struct dram *dram);
bool host_replace(uint64_t granule, const uint64_t *words, size_t count);
bool host_read(uint64_t granule, size_t first, uint64_t *words, size_t count);
bool is_dram(uint64_t granule);
/* Zeroes a granule of Realm memory; false if it is none. */
bool wipe(uint64_t granule);

/* main.c */
extern struct lpsmmu_set *set;
void print(const char *text, uint64_t number);

/* smmu.c or activate.c: what becomes of the three commands that the library leaves to its embedder. */
extern const char how[];
uint64_t activate(uint64_t psmmu_ptr, uint64_t params);
uint64_t create_table(uint64_t psmmu_ptr, uint64_t first_stream);
/* Called before global errors are reported to the host. */
void check_commands(void);

/* faults.c: a stage 2 with something wrong at each address. */
uint64_t fault_table(void);
/* A stream whose entry is not valid. */
bool is_without_entry(uint32_t stream);

static inline void write_barrier(void)
{
	__asm__ volatile("dsb sy" ::: "memory");
}

#endif
