/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* Boot, the callbacks of the library, and the RMI. */

#include "rmm.h"

char stacks[MAX_CPUS][STACK_SIZE] __attribute__((aligned(4096)));
struct lpsmmu_set *set;

static char state[LPSMMU_STATE_BYTES(1)] __attribute__((aligned(LPSMMU_STATE_ALIGN)));
/* INIT or ACTIVE. */
static bool is_active;

/* The console. */

static void put(char c)
{
	volatile uint32_t *const uart = (volatile uint32_t *)UART;

	while (uart[0x18 / 4] & 1 << 5) /* UARTFR.TXFF */
		;
	uart[0] = (uint8_t)c;
}

void print(const char *text, uint64_t number)
{
	int shift;

	for (; *text != '\0'; text++) {
		if (*text != '#') {
			put(*text);
			continue;
		}
		put('0');
		put('x');
		for (shift = 60; shift > 0 && number >> shift == 0; shift -= 4)
			;
		for (; shift >= 0; shift -= 4)
			put("0123456789abcdef"[number >> shift & 0xF]);
	}
	put('\r');
	put('\n');
}

void report_exception(uint64_t esr, uint64_t elr, uint64_t far);
void report_exception(uint64_t esr, uint64_t elr, uint64_t far)
{
	print("rmm: exception: ESR_EL2 #", esr);
	print("rmm: ELR_EL2 #", elr);
	print("rmm: FAR_EL2 #", far);
}

/* Callbacks of the library. */

static bool replace_granule(void *cookie, uint64_t granule, const uint64_t *words, size_t count)
{
	(void)cookie;
	return host_replace(granule, words, count);
}

static bool read_granule(void *cookie, uint64_t granule, size_t first, uint64_t *words, size_t count)
{
	(void)cookie;
	return host_read(granule, first, words, count);
}

static uint64_t microseconds(void *cookie)
{
	uint64_t count, frequency;

	(void)cookie;
	__asm__ volatile("isb\n\tmrs %0, cntpct_el0\n\tmrs %1, cntfrq_el0" : "=r"(count), "=r"(frequency));
	return lpsmmu_microseconds(count, (uint32_t)frequency);
}

/* Realm memory is mapped one to one. */
static void *open_granule(void *cookie, uint64_t granule)
{
	(void)cookie;
	return (void *)(uintptr_t)granule;
}

static const struct lpsmmu_ops ops = {
	.version = LPSMMU_API_VERSION,
	.replace_granule = replace_granule,
	.read_granule = read_granule,
	.microseconds = microseconds,
	.open_granule = open_granule,
};

static const struct lpsmmu_config smmu = {
	.psmmu_ptr = SMMU,
	.non_secure_page_0 = (const void *)SMMU,
	.realm_page_0 = (void *)SMMU,
	.realm_page_1 = (void *)(SMMU + SMMU_PAGE_1),
	/* QEMU's SMMU has one programming interface, and calls a full queue an aborted write. */
	.interface = LPSMMU_INTERFACE_NON_SECURE_ONLY,
	.queue_abort = LPSMMU_QUEUE_ABORT_PRESERVE,
	.delivery = LPSMMU_DELIVERY_WIRED,
	.gerror_intid = 109,
	.eventq_intid = 106,
	.max_streams = LPSMMU_SIZE_DEFAULT,
	.max_commands = LPSMMU_SIZE_DEFAULT,
	.max_events = LPSMMU_SIZE_DEFAULT,
	.max_requests = LPSMMU_SIZE_DEFAULT,
};

/* Boots on the first CPU; returns the boot code for EL3. */
int64_t cold_boot(uint64_t version, uint64_t max_cpus, uint64_t shared_buffer);
int64_t cold_boot(uint64_t version, uint64_t max_cpus, uint64_t shared_buffer)
{
	const uint64_t *manifest = (const uint64_t *)(uintptr_t)shared_buffer;
	const struct dram *banks;
	int32_t error;

	if (version >> 16 > 2 || version < 2)
		return -2;
	if (max_cpus > MAX_CPUS)
		return -3;
	if (shared_buffer == 0 || shared_buffer % GRANULE != 0)
		return -5;
	/* Words 2 and 3: how many banks of DRAM there are, and where they are listed. */
	banks = (const struct dram *)(uintptr_t)manifest[3];
	if (manifest[2] == 0 || (manifest[3] & ~(GRANULE - 1)) != shared_buffer)
		return -7;
	host_open(&banks[0]);
	print("rmm: an RMM in C at Realm EL2, RMM-EL3 interface #", version);
	error = lpsmmu_init(state, sizeof(state), &ops, &smmu, 1, &set);
	if (error != LPSMMU_OK) {
		print("rmm: lpsmmu_init fails: -#", (uint64_t)-error);
		return -1;
	}
	print(how, 0);
	return 0;
}

/* The RMI. */

static uint64_t version(uint64_t regs[8])
{
	uint64_t wanted = regs[1];

	regs[1] = regs[2] = 0x20000;
	regs[3] = 0;
	return wanted == 0x20000 ? LPSMMU_RMI_SUCCESS : LPSMMU_RMI_ERROR_INPUT;
}

static uint64_t features(uint64_t index)
{
	switch (index) {
	case 0: return 40 | 5 << 14 | 3 << 20; /* 40 bits of address; break- and watchpoints */
	case 1: return 1 | 2 << 14;	       /* granules of 4 KiB; 40 protected bits */
	case 2: return 1;		       /* device assignment */
	default: return 0;
	}
}

/* Both fields zero are the only configuration there is. */
static uint64_t config_set(uint64_t granule)
{
	uint64_t fields[2];
	bool good = host_read(granule, 0, fields, 2) && fields[0] == 0 && fields[1] == 0;

	return good ? LPSMMU_RMI_SUCCESS : LPSMMU_RMI_ERROR_INPUT;
}

static uint64_t config_get(uint64_t granule)
{
	const uint64_t fields[2] = {0, 0};

	return host_replace(granule, fields, 2) ? LPSMMU_RMI_SUCCESS : LPSMMU_RMI_ERROR_INPUT;
}

/* One granule a call. EL3 knows whose it is. */
static uint64_t delegate(uint64_t base, uint64_t top, uint64_t *out)
{
	bool good = is_dram(base) && top % GRANULE == 0 && top > base;

	good = good && call_el3(GTSI_DELEGATE, base) == 0;
	*out = good ? base + GRANULE : base;
	return good ? LPSMMU_RMI_SUCCESS : LPSMMU_RMI_ERROR_INPUT;
}

static uint64_t undelegate(uint64_t base, uint64_t top, uint64_t *out)
{
	bool good = is_dram(base) && top % GRANULE == 0 && top > base;

	good = good && wipe(base) && call_el3(GTSI_UNDELEGATE, base) == 0;
	*out = good ? base + GRANULE : base;
	return good ? LPSMMU_RMI_SUCCESS : LPSMMU_RMI_ERROR_INPUT;
}

/* Commands that are allowed in each state, and the one that ends INIT. */
static bool handle_always(uint64_t fid, uint64_t regs[8], uint64_t *result)
{
	bool before;

	switch (fid) {
	case FID_VERSION:
		*result = version(regs);
		return true;
	case FID_FEATURES:
		regs[1] = features(regs[1]);
		regs[2] = regs[3] = 0;
		*result = LPSMMU_RMI_SUCCESS;
		return true;
	case FID_RMM_CONFIG_GET:
		*result = config_get(regs[1]);
		break;
	case FID_RMM_CONFIG_SET:
		before = __atomic_load_n(&is_active, __ATOMIC_ACQUIRE);
		*result = before ? RMI_ERROR_GLOBAL : config_set(regs[1]);
		break;
	case FID_RMM_ACTIVATE:
		before = __atomic_exchange_n(&is_active, true, __ATOMIC_ACQ_REL);
		*result = before ? RMI_ERROR_GLOBAL : LPSMMU_RMI_SUCCESS;
		break;
	default:
		return false;
	}
	regs[1] = regs[2] = regs[3] = 0;
	return true;
}

/* Commands that are allowed in ACTIVE and not the library's. */
static bool handle_active(uint64_t fid, uint64_t regs[8], uint64_t *result)
{
	uint64_t x1 = regs[1], x2 = regs[2], out = 0;

	switch (fid) {
	case FID_RANGE_DELEGATE:
		*result = delegate(x1, x2, &out);
		break;
	case FID_RANGE_UNDELEGATE:
		*result = undelegate(x1, x2, &out);
		break;
	case LPSMMU_FID_ACTIVATE:
		*result = activate(x1, x2);
		break;
	case LPSMMU_FID_ST_L2_CREATE:
		*result = create_table(x1, x2);
		break;
	default:
		return false;
	}
	regs[1] = out;
	regs[2] = regs[3] = 0;
	return true;
}

static bool is_gated(uint64_t fid)
{
	return fid == LPSMMU_FID_INFO || fid == LPSMMU_FID_IRQ_NOTIFY || fid == LPSMMU_FID_EVENT_CONSUME ||
	       fid == LPSMMU_FID_ACTIVATE || fid == LPSMMU_FID_ST_L2_CREATE || fid == FID_RANGE_DELEGATE ||
	       fid == FID_RANGE_UNDELEGATE;
}

/*
 * The library is called through a pointer, as from a table of handlers: on guarded pages that takes a landing
 * pad at its beginning.
 */
static bool (*volatile answer)(struct lpsmmu_set *, uint64_t *) = lpsmmu_rmi;

void handle(uint64_t regs[8]);
void handle(uint64_t regs[8])
{
	uint64_t fid = regs[0] & ~FID_SVE_HINT, result = RMI_NOT_SUPPORTED;

	if (handle_always(fid, regs, &result)) {
		regs[0] = result;
		return;
	}
	if (!__atomic_load_n(&is_active, __ATOMIC_ACQUIRE)) {
		regs[0] = is_gated(fid) ? RMI_ERROR_GLOBAL : RMI_NOT_SUPPORTED;
		regs[1] = regs[2] = regs[3] = 0;
		/* Outputs of NOTIFY. */
		if (fid == LPSMMU_FID_IRQ_NOTIFY)
			regs[4] = regs[5] = regs[6] = 0;
		return;
	}
	if (fid == LPSMMU_FID_IRQ_NOTIFY && (regs[2] & LPSMMU_IRQ_GERROR) != 0)
		check_commands();
	if (answer(set, regs))
		return;
	if (!handle_active(fid, regs, &result))
		regs[1] = regs[2] = regs[3] = 0;
	regs[0] = result;
}
