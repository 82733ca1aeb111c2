/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The Rust half of the module: psmmu-host behind a C ABI (src/ffi.rs), and what it calls here
 * (src/kernel.rs). One object for the RMM, one for each SMMU, one for each source of an SMMU; each lies
 * in memory of this side, of the size that the _size function says. Calls with the same RMM, and calls
 * with the same source, are made one after the other.
 */
#ifndef REALM_SMMU_H
#define REALM_SMMU_H

#include <linux/types.h>

struct realm_rmm;
struct realm_smmu_state;
struct realm_source_state;

/* The sources of an SMMU, as the Rust half numbers them. */
enum { REALM_EVENTQ, REALM_GERROR, REALM_PRIQ, REALM_SOURCES };

/* What an MSI writes, and where to. */
struct realm_msi {
	u64 address;
	u64 data;
};

size_t realm_rmm_size(void);
size_t realm_smmu_size(void);
size_t realm_source_size(void);

int realm_rmm_start(struct realm_rmm *rmm, void *dev, void *list, u64 list_pa, void *page, u64 page_pa);
u64 realm_rmm_held(const struct realm_rmm *rmm, u64 *leaked);

int realm_smmu_probe(struct realm_smmu_state *smmu, struct realm_rmm *rmm, void *dev, u64 psmmu_ptr,
		     u32 idr0);
size_t realm_smmu_msi_count(const struct realm_smmu_state *smmu);
void realm_smmu_set_msis(struct realm_smmu_state *smmu, const struct realm_msi *msis, size_t count);
u32 realm_smmu_intid(const struct realm_smmu_state *smmu, u32 source);
bool realm_smmu_is_polled(const struct realm_smmu_state *smmu, u32 source);
int realm_smmu_activate(const struct realm_smmu_state *smmu, struct realm_rmm *rmm);
int realm_smmu_deactivate(const struct realm_smmu_state *smmu, struct realm_rmm *rmm);
int realm_smmu_add_stream(const struct realm_smmu_state *smmu, struct realm_rmm *rmm, u32 stream);
int realm_smmu_remove_stream(const struct realm_smmu_state *smmu, struct realm_rmm *rmm, u32 stream);

int realm_source_init(struct realm_source_state *source, const struct realm_smmu_state *smmu, u32 number,
		      u32 lines);
int realm_source_service(struct realm_source_state *source);
void realm_source_show(const struct realm_source_state *source, void *seq);

/* What the Rust half calls. */
void realm_glue_pause(void);
u64 realm_glue_alloc(u64 granules);
void realm_glue_free(u64 address, u64 granules);
void realm_glue_leak(u64 address, u64 granules);
void realm_glue_log(void *dev, u32 level, const char *text, size_t length);
void realm_glue_show(void *seq, const char *text, size_t length);
void __noreturn realm_glue_stop(const char *text, size_t length);

#endif
