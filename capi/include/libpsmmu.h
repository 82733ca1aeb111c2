/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * The Realm side of the physical SMMUs, for an RMM that is written in C.
 *
 * libpsmmu.a reads the event queues (and PRI queues and GERROR) of SMMUv3s that run in the Realm world, and answers
 * RMI_PSMMU_INFO, RMI_PSMMU_IRQ_NOTIFY and RMI_PSMMU_EVENT_CONSUME. It allocates nothing, has no global
 * constructors, keeps all state in memory that it is given, uses general registers only, and needs nothing
 * from a C library but memcpy, memmove, memset and memcmp, of which it brings weak ones.
 *
 * Order of calls:
 *   1. lpsmmu_init() takes the callbacks and the SMMUs of the platform. No SMMU is touched.
 *   2. lpsmmu_attach(), for an SMMU that the RMM has brought up itself, when its event queue runs;
 *      or lpsmmu_activate_begin() and lpsmmu_activate_finish(), to have it brought up.
 *   3. lpsmmu_rmi() for each RMI command, in front of the RMM's own table.
 *
 * All functions but lpsmmu_init() may be called on several CPUs at once. None returns before it is done. No
 * pointer that is passed in is kept, but for the memory of lpsmmu_init(), of queues and tables, and the callbacks.
 *
 * lpsmmu_rmi() never waits for a device. Of a function that may wait, "Waits" says for how many waits of one
 * second each at most, the last of which may fail; a working SMMU takes microseconds. While one CPU waits for an
 * SMMU, calls that would wait for the same SMMU return LPSMMU_RMI_BUSY or LPSMMU_E_BUSY at once, have changed
 * nothing and are to be repeated.
 *
 * An SMMU is named by its psmmu_ptr, the physical address of its Non-secure register page 0, as in the RMI.
 *
 * Two kinds of results, each with a type of its own: an lpsmmu_err_t is for the caller, an lpsmmu_rmi_result_t is
 * X0 of the answer to the host. Function identifiers, statuses and structures of the RMI are those of RMI 2.0 as Linux
 * uses them. Every size and offset here is checked from both sides; structures change only together with
 * LPSMMU_API_VERSION.
 */

#ifndef LIBPSMMU_H
#define LIBPSMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function whose result must not be ignored. */
#if defined(__GNUC__) || defined(__clang__)
#define LPSMMU_MUST_CHECK __attribute__((warn_unused_result))
#else
#define LPSMMU_MUST_CHECK
#endif

/* Version of this header, for struct lpsmmu_ops. */
#define LPSMMU_API_VERSION UINT64_C(3)

/* Most SMMUs that one struct lpsmmu_set has. */
#define LPSMMU_MAX 16U

/* Bytes and alignment of the memory that lpsmmu_init() takes for `count` SMMUs. */
#define LPSMMU_SET_BYTES 1024U
#define LPSMMU_UNIT_BYTES 6400U
#define LPSMMU_STATE_ALIGN 64U
#define LPSMMU_STATE_BYTES(count) (LPSMMU_SET_BYTES + ((size_t)(count) * LPSMMU_UNIT_BYTES))

/**************************************************************************
 * The RMI
 **************************************************************************/

/* X0 for the host: an RmiResult, one of LPSMMU_RMI_* in bits 7:0. */
typedef uint64_t lpsmmu_rmi_result_t;

/* Function identifiers, X0 of a call. Bit 16 is a hint that lpsmmu_rmi() ignores. */
#define LPSMMU_FID_IRQ_NOTIFY UINT64_C(0xC400016F)
#define LPSMMU_FID_ACTIVATE UINT64_C(0xC40001D7)
#define LPSMMU_FID_DEACTIVATE UINT64_C(0xC40001D8)
#define LPSMMU_FID_ST_L2_CREATE UINT64_C(0xC40001DB)
#define LPSMMU_FID_ST_L2_DESTROY UINT64_C(0xC40001DC)
#define LPSMMU_FID_EVENT_CONSUME UINT64_C(0xC40001F0)
#define LPSMMU_FID_INFO UINT64_C(0xC400020E)

/* Statuses, as far as this library uses them. */
#define LPSMMU_RMI_SUCCESS UINT64_C(0)
#define LPSMMU_RMI_ERROR_INPUT UINT64_C(1)
#define LPSMMU_RMI_ERROR_NOT_SUPPORTED UINT64_C(5)
#define LPSMMU_RMI_ERROR_DEVICE UINT64_C(6)
#define LPSMMU_RMI_ERROR_PSMMU_ST UINT64_C(8) /* bits 15:8: level */
#define LPSMMU_RMI_BUSY UINT64_C(10)
#define LPSMMU_RMI_BLOCKED UINT64_C(14)

/* Sources, X2 of IRQ_NOTIFY and EVENT_CONSUME. */
#define LPSMMU_IRQ_GERROR UINT64_C(0x1)
#define LPSMMU_IRQ_EVENTQ UINT64_C(0x2)
#define LPSMMU_IRQ_PRIQ UINT64_C(0x4)
#define LPSMMU_IRQ_CMDQ UINT64_C(0x8)

/*
 * Flags, X1 of the answer of IRQ_NOTIFY; X2 to X6 are event number, StreamID, fetch address, input
 * address, syndrome.
 */
#define LPSMMU_FLAG_PENDING UINT64_C(0x1)
#define LPSMMU_FLAG_EVENT_SHIFT 1
#define LPSMMU_FLAG_EVENT_MASK UINT64_C(0x6)
#define LPSMMU_EVENT_NONE UINT64_C(0)
#define LPSMMU_EVENT_ERROR UINT64_C(1)
#define LPSMMU_EVENT_PSMMU UINT64_C(2)
#define LPSMMU_EVENT_VSMMU UINT64_C(3)

/* RmiPsmmuInfo: the granule of the host that PSMMU_INFO fills. */
struct lpsmmu_info {
	uint64_t flags;		  /* bits 1:0: enum lpsmmu_delivery */
	uint32_t gerror_intid;
	uint32_t reserved_gerror;
	uint32_t eventq_intid;
	uint32_t reserved_eventq;
	uint32_t priq_intid;
	uint32_t reserved_priq;
	uint32_t cmdq_sync_intid; /* always 0 */
	uint32_t reserved_cmdq_sync;
	uint8_t reserved[0xFD8];
};

/* An MSI: its address and its data. */
struct lpsmmu_msi {
	uint64_t address;
	uint64_t data;
};

/* The MSIs of an SMMU; without page requests priq is ignored. */
struct lpsmmu_msi_config {
	struct lpsmmu_msi gerror;
	struct lpsmmu_msi eventq;
	struct lpsmmu_msi priq;
};

/* RmiPsmmuFlags. */
#define LPSMMU_PARAMS_MSI UINT64_C(0x1)
#define LPSMMU_PARAMS_ATS UINT64_C(0x2)
#define LPSMMU_PARAMS_PRI UINT64_C(0x4)

/* RmiPsmmuParams: the granule of the host that PSMMU_ACTIVATE passes. */
struct lpsmmu_params {
	uint64_t flags; /* LPSMMU_PARAMS_* */
	struct lpsmmu_msi_config msi;
	uint8_t reserved[0xFC8];
};

/**************************************************************************
 * Results for the embedder
 **************************************************************************/

/* LPSMMU_OK, or one of the negative LPSMMU_E_*. */
typedef int32_t lpsmmu_err_t;

enum lpsmmu_error {
	LPSMMU_OK = 0,
	LPSMMU_E_INVAL = -1,	     /* a null pointer, or a value that does not exist */
	LPSMMU_E_VERSION = -2,	     /* the caller was compiled with another libpsmmu.h */
	LPSMMU_E_STATE_MEMORY = -3,  /* the memory for the state is too small or not aligned */
	LPSMMU_E_COUNT = -4,	     /* more than LPSMMU_MAX SMMUs */
	LPSMMU_E_EXIST = -5,	     /* two SMMUs of one psmmu_ptr */
	LPSMMU_E_NODEV = -6,	     /* no SMMU of that psmmu_ptr */
	LPSMMU_E_STATE = -7,	     /* it is not in the state that this begins in */
	LPSMMU_E_NOT_ENABLED = -8,   /* a queue to be attached is not enabled */
	LPSMMU_E_MEMORY = -9,	     /* a queue is not where or not as large as the SMMU has it, or above OAS */
	LPSMMU_E_PRI = -10,	     /* a PRI queue without command queue, or without PRI */
	LPSMMU_E_MSI = -11,	     /* MSIs that the SMMU cannot send */
	LPSMMU_E_TIMED_OUT = -12,    /* the SMMU does not answer */
	LPSMMU_E_CMD = -13,	     /* the SMMU reported an error for a command; the others have run */
	LPSMMU_E_FAILED = -14,	     /* the SMMU has failed */
	LPSMMU_E_NO_TABLE = -15,     /* the stream has no level-2 table */
	LPSMMU_E_STAGE_2 = -16,	     /* the SMMU would not take this stage 2 */
	LPSMMU_E_BUSY = -17,	     /* another CPU waits for the SMMU; nothing has changed, repeat */
	LPSMMU_E_NOT_OPENED = -18,   /* open_granule() returned null: nothing has changed, repeat */
};

/* State of an SMMU. */
enum lpsmmu_state {
	LPSMMU_STATE_INACTIVE = 0,
	LPSMMU_STATE_ACTIVATING = 1,
	LPSMMU_STATE_ACTIVE = 2,
	LPSMMU_STATE_FAILED = 3,
	LPSMMU_STATE_DEACTIVATING = 4,
};

/**************************************************************************
 * What the embedder provides
 **************************************************************************/

/* How interrupts reach the host, as PSMMU_INFO reports it. */
enum lpsmmu_delivery {
	LPSMMU_DELIVERY_DISABLED = 0, /* not at all: the host polls */
	LPSMMU_DELIVERY_WIRED = 1,    /* by wired interrupts of the given INTIDs */
	LPSMMU_DELIVERY_MSI = 2,      /* by the MSIs of PSMMU_ACTIVATE */
};

/* What an aborted write to a queue (EVENTQ_ABT_ERR) means for the records that are in it. */
enum lpsmmu_queue_abort {
	LPSMMU_QUEUE_ABORT_DISCARD = 0,	 /* none can be trusted: they are discarded */
	LPSMMU_QUEUE_ABORT_PRESERVE = 1, /* PROD never moves over a record that was not written */
};

/* Which programming interface the registers are. */
enum lpsmmu_interface {
	LPSMMU_INTERFACE_REALM = 0,
	/* The only one of an SMMU without Realms. For emulation: nothing isolates the host from it. */
	LPSMMU_INTERFACE_NON_SECURE_ONLY = 1,
};

/* Register pages, 64 KiB each. */
enum lpsmmu_page {
	LPSMMU_PAGE_NON_SECURE_0 = 0,
	LPSMMU_PAGE_REALM_0 = 1,
	LPSMMU_PAGE_REALM_1 = 2,
};

/*
 * Callbacks, called on the CPU that called the library, with `cookie`, on several CPUs at once.
 * `replace_granule` and `microseconds` are required, the others may be null.
 *
 * None may call the library. Some are called while the library holds a lock of the SMMU in question, its
 * queue lock or its command lock, as each says below. Such a callback may take a lock of the embedder's own,
 * unless the embedder calls the library with that lock held, by a function that takes the same lock of the
 * same SMMU:
 *   the queue lock: lpsmmu_rmi(), lpsmmu_attach(), lpsmmu_detach(), lpsmmu_activate_finish(),
 *   lpsmmu_deactivate_begin();
 *   the command lock: lpsmmu_attach(), lpsmmu_detach(), lpsmmu_run_commands(), lpsmmu_activate_finish(),
 *   lpsmmu_tlbi_s2_ipa(), lpsmmu_tlbi_s12_vmall(), lpsmmu_deactivate_begin(), lpsmmu_st_l2_create_finish(),
 *   lpsmmu_st_l2_destroy(), lpsmmu_configure_stream(), lpsmmu_enable_stream(), lpsmmu_disable_stream(),
 *   lpsmmu_release_stream().
 * The others take neither; lpsmmu_rmi() never takes the command lock.
 */
struct lpsmmu_ops {
	uint64_t version; /* LPSMMU_API_VERSION */
	void *cookie;

	/*
	 * Writes to a granule of the host, for PSMMU_INFO. No lock is held.
	 *
	 * Parameters:
	 *   granule	- PA of the granule: aligned, and otherwise anything.
	 *   words	- What goes to its beginning; zero goes to all of the rest.
	 *   count	- Number of words: 5.
	 *
	 * Return:
	 *   true	- the whole granule is written.
	 *   false	- it is not the host's memory, or was moved to another PAS meanwhile.
	 */
	bool (*replace_granule)(void *cookie, uint64_t granule, const uint64_t *words, size_t count);
	/*
	 * Reads from a granule of the host, for lpsmmu_activate_begin(), which fails without it. No lock is held.
	 *
	 * Parameters:
	 *   granule	- PA of the granule: aligned, and otherwise anything.
	 *   first	- Index of the first word.
	 *   words	- Where they go, each read once.
	 *   count	- Number of words.
	 *
	 * Return:
	 *   true	- all words were read.
	 *   false	- as above.
	 */
	bool (*read_granule)(void *cookie, uint64_t granule, size_t first, uint64_t *words, size_t count);
	/*
	 * Whether a virtual SMMU of some Realm owns the stream, for PSMMU_IRQ_NOTIFY. Without it no stream has
	 * an owner. Called with the queue lock of the SMMU held.
	 */
	bool (*owns_stream)(void *cookie, uint32_t stream);
	/*
	 * Microseconds since some fixed moment; lpsmmu_microseconds() makes them of a counter. It never steps
	 * back. Should it stand still, waits are bounded by a number of polls. For all functions that wait.
	 * Called with the command lock of the SMMU held, so it should only read a counter.
	 */
	uint64_t (*microseconds)(void *cookie);
	/*
	 * Returns the VA of the granule of Realm memory at PA `granule`, which the embedder has given for a
	 * level-2 stream table, until close_granule(); null if that cannot be done now. The function that
	 * needs it has then changed nothing, and returns LPSMMU_RMI_BUSY or, for a stream, LPSMMU_E_NOT_OPENED.
	 * Without it lpsmmu_st_l2_create_begin() fails.
	 *
	 * Both are called with the command lock of the SMMU held, one granule is open at a time on a CPU, and
	 * each is closed before the lock is released: a lock of the embedder's own may be held in between,
	 * such as that of the one place at which granules are mapped. The functions for streams keep it open
	 * while they wait for the SMMU.
	 */
	void *(*open_granule)(void *cookie, uint64_t granule);
	void (*close_granule)(void *cookie, void *granule);
};

/*
 * Converts a counter, such as CNTPCT_EL0, to microseconds.
 *
 * Parameters:
 *   count	- The counter.
 *   frequency	- In Hz, such as CNTFRQ_EL0. 0, one that was never set, gives a clock that stands still.
 *
 * Return:
 *		- The microseconds that `count` stands for.
 */
static inline LPSMMU_MUST_CHECK uint64_t lpsmmu_microseconds(uint64_t count, uint32_t frequency)
{
	if (frequency == 0U) {
		return 0U;
	}
	return ((count / frequency) * UINT64_C(1000000)) + (((count % frequency) * UINT64_C(1000000)) / frequency);
}

/*
 * Registers that are not mapped: functions that stand for an SMMU, for tests on a workstation. `page` is
 * an enum lpsmmu_page.
 */
struct lpsmmu_registers {
	void *cookie;
	uint32_t (*read32)(void *cookie, uint32_t page, uint32_t offset);
	void (*write32)(void *cookie, uint32_t page, uint32_t offset, uint32_t value);
	void (*write64)(void *cookie, uint32_t page, uint32_t offset, uint64_t value);
	/* Behind this, memory shows what the SMMU wrote before the register that was just read. */
	void (*read_barrier)(void *cookie);
	/* Behind this, the SMMU sees what was written to memory. */
	void (*write_barrier)(void *cookie);
};

/* A size that is left to the library. */
#define LPSMMU_SIZE_DEFAULT UINT32_MAX

/* An SMMU of the platform. */
struct lpsmmu_config {
	uint64_t psmmu_ptr; /* PA of the Non-secure register page 0; only ever compared */
	/*
	 * VAs of its register pages, device memory. The Non-secure page is read only, and may be null: then
	 * IDR0, IDR1 and IDR5 are taken from below. On a platform without Realm pages the Non-secure ones
	 * may stand in. If `registers` is not null, it is used in place of all three.
	 */
	const void *non_secure_page_0;
	void *realm_page_0;
	void *realm_page_1;
	const struct lpsmmu_registers *registers;
	uint32_t idr0;
	uint32_t idr1;
	uint32_t idr5;
	uint32_t interface;    /* enum lpsmmu_interface */
	uint32_t delivery;     /* enum lpsmmu_delivery */
	uint32_t gerror_intid; /* GIC INTIDs of wired interrupts, 0 for none */
	uint32_t eventq_intid;
	uint32_t priq_intid;
	uint32_t queue_abort; /* enum lpsmmu_queue_abort */
	/*
	 * Largest tables and queues that lpsmmu_activate_begin() asks memory for, each the log2 of a
	 * number, or LPSMMU_SIZE_DEFAULT: StreamIDs up to 24, commands 2 to 19, events and page requests 0
	 * to 19. Not for attached SMMUs.
	 */
	uint32_t max_streams;
	uint32_t max_commands;
	uint32_t max_events;
	uint32_t max_requests;
	uint32_t reserved; /* 0 */
};

/* A queue that runs. A null `va` for none. */
struct lpsmmu_queue {
	void *va;
	uint64_t pa;
	uint64_t log2_entries;
};

/* The queues of an SMMU that runs. */
struct lpsmmu_queues {
	struct lpsmmu_queue event_queue;   /* 32 bytes an entry */
	struct lpsmmu_queue pri_queue;	   /* 16 bytes an entry; may be null, needs the command queue */
	struct lpsmmu_queue command_queue; /* 16 bytes an entry; may be null */
};

/* A range of Realm memory. A null `va` for none. */
struct lpsmmu_region {
	void *va;
	uint64_t pa;
	uint64_t bytes;
};

/*
 * What an SMMU runs on, each range aligned to its size (the stream table to 64 bytes at least), and where the
 * SMMU can address it: below 2^OAS (IDR5). It is zeroed by lpsmmu_activate_finish().
 *
 * `completion` may be the same word for each activation of an SMMU, and of no other SMMU. It is returned
 * once no MSI can be under way to it; where it was given and is null in what is returned, the SMMU had
 * failed before that was known, and the word stays its own until it is reset.
 */
struct lpsmmu_memory {
	struct lpsmmu_region stream_table;
	struct lpsmmu_region command_queue;
	struct lpsmmu_region event_queue;
	struct lpsmmu_region pri_queue;	 /* with page requests */
	struct lpsmmu_region completion; /* 8 bytes for MSIs of commands; may be null, not used above OAS */
};

/* What memory an activation needs, in granules of 4 KiB: each a power of two, contiguous. */
struct lpsmmu_mem_req {
	uint64_t stream_table;
	uint64_t command_queue;
	uint64_t event_queue;
	uint64_t pri_queue;
};

/* What an SMMU is to do once it is active. */
struct lpsmmu_activate_args {
	uint64_t flags; /* LPSMMU_PARAMS_MSI, LPSMMU_PARAMS_PRI */
	struct lpsmmu_msi_config msi;
};

/* A command for the SMMU. */
struct lpsmmu_command {
	uint64_t words[2];
};

/*
 * Stage 2 of a stream: the fields of VTCR_EL2, with tables of 4 KiB. What an SMMU of these IDR0 and IDR5 would
 * take for a bad entry is refused (LPSMMU_E_STAGE_2).
 */
struct lpsmmu_stage_2 {
	uint64_t table; /* PA of the first table, aligned to its size, below 2^48 and within `ps` */
	uint16_t vmid;	/* below 256 without IDR0.VMID16 */
	uint8_t t0sz;	/* 16 to 39; no more input bits than OAS, or 40 with AArch32 tables */
	uint8_t sl0;	/* 0 to 2, to fit t0sz; 2 needs an OAS of more than 42 bits */
	uint8_t ps;	/* 0 to 6, not above IDR5.OAS */
	uint8_t reserved[3];
};

/* Counters of a queue that the SMMU fills. */
struct lpsmmu_queue_counters {
	uint64_t staged;     /* records copied out of the hardware queue */
	uint64_t consumed;   /* events consumed by the host, losses included */
	uint64_t overflows;  /* each lost at least one record */
	uint64_t discards;   /* times that entries were dropped: all, or slots that were never written */
	uint64_t dropped;    /* events that were not consumed when the SMMU was detached or deactivated */
	uint64_t high_water; /* most records seen in the hardware queue at once */
};

/* Bits of GERROR that are counted. */
#define LPSMMU_ERRORS 11U

/* Counters of an SMMU. They only grow, and outlive its deactivation. */
struct lpsmmu_counters {
	struct lpsmmu_queue_counters events;
	struct lpsmmu_queue_counters page_requests;
	uint64_t pri_resp_sent;	   /* page requests denied by a response that the SMMU took */
	uint64_t pri_resp_refused; /* responses for which the SMMU reported a command error */
	uint64_t pri_resp_dropped; /* responses that the SMMU never got, as it had failed before */
	uint64_t errors[LPSMMU_ERRORS]; /* times that each bit of GERROR was found active */
};

/* Entries that the trace keeps. */
#define LPSMMU_TRACE_LENGTH 16U

/* What an entry of the trace is about. */
enum lpsmmu_trace_kind {
	LPSMMU_TRACE_GERROR = 1,	   /* value: bits of GERROR that were found active */
	LPSMMU_TRACE_CMD_ERR = 2,	   /* value: CMDQ_CONS */
	LPSMMU_TRACE_PRI_RESP_DROPPED = 3, /* value: the StreamID of a page request */
	LPSMMU_TRACE_FAILED = 4,	   /* the SMMU has failed */
};

struct lpsmmu_trace_entry {
	uint32_t kind; /* enum lpsmmu_trace_kind */
	uint32_t reserved;
	uint64_t value;
};

/**************************************************************************
 * Functions
 **************************************************************************/

/* All SMMUs of a platform. */
struct lpsmmu_set;

/*
 * Initialize the library. The SMMUs are not touched.
 *
 * Parameters:
 *   memory	- Memory for the state, the library's from then on for good, aligned to LPSMMU_STATE_ALIGN.
 *   bytes	- Its size: LPSMMU_STATE_BYTES(count) at least.
 *   ops	- The callbacks; copied.
 *   configs	- The SMMUs of the platform; copied. May be null if `count` is 0.
 *   count	- How many there are.
 *   set	- Output: what the other functions take.
 *
 * Return:
 *   LPSMMU_OK		   - success.
 *   LPSMMU_E_INVAL	   - a null pointer, a missing callback or register page, or a value that does not exist.
 *   LPSMMU_E_VERSION	   - the caller was compiled with another version of this header.
 *   LPSMMU_E_STATE_MEMORY - `memory` is too small or not aligned.
 *   LPSMMU_E_COUNT	   - more than LPSMMU_MAX SMMUs.
 *   LPSMMU_E_EXIST	   - two SMMUs of one psmmu_ptr.
 *
 * On an error `set` is not written.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_init(void *memory, size_t bytes, const struct lpsmmu_ops *ops,
			 const struct lpsmmu_config *configs, size_t count, struct lpsmmu_set **set);

/*
 * Answer one RMI command if it is PSMMU_INFO, PSMMU_IRQ_NOTIFY or PSMMU_EVENT_CONSUME. To be called only while
 * the RMM is active and has device assignment: those gates are the embedder's.
 *
 * Parameters:
 *   set	- From lpsmmu_init(). Null is allowed.
 *   regs	- In: X0 to X7 as the host had them. Out: as the host finds them. X1 to X3 are zero but for the outputs
 *		  of IRQ_NOTIFY, X1 to X6; the others keep what the host had in them.
 *
 * Return:
 *   true	- the command is answered: RMI_SUCCESS, RMI_ERROR_INPUT, RMI_ERROR_NOT_SUPPORTED or RMI_ERROR_DEVICE.
 *   false	- it is another command, or `set` or `regs` is null. `regs` is unchanged.
 */
LPSMMU_MUST_CHECK
bool lpsmmu_rmi(struct lpsmmu_set *set, uint64_t regs[8]);

/*
 * Attach to an SMMU that the embedder has brought up: adopt its queues, program its interrupts and enable
 * them. The queues go on at their current pointers: what is in them, an announced overflow and active errors are
 * reported. No interrupt is raised for those: the host asks about each source once after PSMMU_ACTIVATE, as it
 * must.
 *
 * From then on EVENTQ_CONS, PRIQ_CONS (if given), GERRORN, IRQ_CTRL and *_IRQ_CFG* are the library's; so
 * is the command queue if it is given, and lpsmmu_run_commands() the way to use it. If it is not, the
 * embedder repairs it after a command error, and calls lpsmmu_command_repaired() in place of writing
 * GERRORN. Should it write GERRORN all the same, the command error is reported as well: the library reads the bit
 * back. But two errors that are acknowledged between two calls of the host are one then, and a write at the same time
 * as one of the library undoes that.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   queues	- The queues that run. The event queue must be there.
 *   msi	- The MSIs; null for wired interrupts.
 *
 * Return:
 *   LPSMMU_OK		  - success.
 *   LPSMMU_E_INVAL	  - a null pointer, or no event queue.
 *   LPSMMU_E_NODEV	  - no such SMMU.
 *   LPSMMU_E_STATE	  - it is not inactive.
 *   LPSMMU_E_NOT_ENABLED - a queue is not enabled.
 *   LPSMMU_E_MEMORY	  - a queue is not where or not as large as the SMMU has it, or above OAS.
 *   LPSMMU_E_PRI	  - a PRI queue without command queue, or without PRI.
 *   LPSMMU_E_MSI	  - MSIs that the SMMU cannot send.
 *   LPSMMU_E_TIMED_OUT	  - the SMMU does not acknowledge that its interrupts are off or on.
 *
 * On an error nothing has changed, but that the interrupts may be off; or, after LPSMMU_E_TIMED_OUT, the SMMU
 * has failed (lpsmmu_get_state()), as its interrupts did not come on, and is to be detached.
 *
 * Waits: 3.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_attach(struct lpsmmu_set *set, uint64_t psmmu_ptr, const struct lpsmmu_queues *queues,
			   const struct lpsmmu_msi_config *msi);

/*
 * Detach from an attached SMMU: turn its interrupts off and release its queues. Staged events are dropped and
 * counted.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *
 * Return:
 *   LPSMMU_OK		- success.
 *   LPSMMU_E_INVAL	- `set` is null.
 *   LPSMMU_E_NODEV	- no such SMMU.
 *   LPSMMU_E_STATE	- it is not attached.
 *   LPSMMU_E_TIMED_OUT	- it does not acknowledge; it has failed, and its queues are no longer accessed. To be
 *			  repeated before the next attachment.
 *   LPSMMU_E_BUSY	- another CPU waits for it; nothing has changed, repeat.
 *
 * Waits: 3.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_detach(struct lpsmmu_set *set, uint64_t psmmu_ptr);

/*
 * Acknowledge the command error of an attached SMMU whose command queue is the embedder's, after the
 * embedder has replaced the command. The error is reported to the host if it was not yet.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *
 * Return:
 *   true	- there was one.
 *   false	- there was none, or the SMMU is not attached, or its command queue is the library's.
 */
bool lpsmmu_command_repaired(struct lpsmmu_set *set, uint64_t psmmu_ptr);

/*
 * Run commands and a CMD_SYNC behind them, and wait until the SMMU has completed them.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   commands	- The commands. May be null if `count` is 0.
 *   count	- How many: 3 at most.
 *
 * Return:
 *   LPSMMU_OK		- success.
 *   LPSMMU_E_INVAL	- a null pointer, or too many.
 *   LPSMMU_E_NODEV	- no such SMMU.
 *   LPSMMU_E_STATE	- it is not active, or its command queue is the embedder's.
 *   LPSMMU_E_CMD	- the SMMU reported an error for a command; the others have run.
 *   LPSMMU_E_BUSY	- another CPU waits for it; nothing has changed, repeat.
 *   LPSMMU_E_TIMED_OUT	- it does not answer; it has failed.
 *
 * Waits: 2.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_run_commands(struct lpsmmu_set *set, uint64_t psmmu_ptr,
				 const struct lpsmmu_command *commands, size_t count);

/*
 * Begin PSMMU_ACTIVATE. To be ended by lpsmmu_activate_finish() or lpsmmu_activate_cancel().
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0, from the host.
 *   params	- PA of the host's granule with the parameters, from the host.
 *   mem_req	- Output: what memory it needs. May be null.
 *
 * Return: X0 for the host:
 *   LPSMMU_RMI_SUCCESS
 *   LPSMMU_RMI_ERROR_NOT_SUPPORTED	- there are no SMMUs.
 *   LPSMMU_RMI_ERROR_INPUT		- no such SMMU, it is not inactive, or bad parameters.
 *   LPSMMU_RMI_ERROR_DEVICE		- it has failed, or lacks what Realms need.
 *
 * On an error nothing has changed.
 */
LPSMMU_MUST_CHECK
lpsmmu_rmi_result_t lpsmmu_activate_begin(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t params,
					  struct lpsmmu_mem_req *mem_req);

/*
 * As lpsmmu_activate_begin(), with parameters of the embedder's own.
 *
 * Parameters:
 *   args	- The parameters; null for none.
 */
LPSMMU_MUST_CHECK
lpsmmu_rmi_result_t lpsmmu_activate_begin_with(struct lpsmmu_set *set, uint64_t psmmu_ptr,
					       const struct lpsmmu_activate_args *args,
					       struct lpsmmu_mem_req *mem_req);

/*
 * Finish what lpsmmu_activate_begin() has begun: bring the SMMU up on `memory`, and enable it.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   memory	- What it runs on.
 *   mem_released	- Output: whether the memory may be used for something else. May be null.
 *
 * Return: X0 for the host:
 *   LPSMMU_RMI_SUCCESS
 *   LPSMMU_RMI_ERROR_INPUT	- nothing was begun, or the memory does not fit or lies above OAS.
 *   LPSMMU_RMI_ERROR_DEVICE	- the SMMU reports a command error or does not answer.
 *
 * Waits: 12; 16 where the SMMU reports a command error and is disabled.
 */
LPSMMU_MUST_CHECK
lpsmmu_rmi_result_t lpsmmu_activate_finish(struct lpsmmu_set *set, uint64_t psmmu_ptr,
					   const struct lpsmmu_memory *memory, bool *mem_released);

/*
 * Cancel what lpsmmu_activate_begin() has begun, without effect.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 */
void lpsmmu_activate_cancel(struct lpsmmu_set *set, uint64_t psmmu_ptr);

/*
 * Begin PSMMU_DEACTIVATE: quiesce an SMMU. To be ended by lpsmmu_deactivate_finish() when the memory is reclaimed.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0, from the host.
 *   memory	- Output: the memory that it ran on. May be null.
 *
 * Return: X0 for the host:
 *   LPSMMU_RMI_SUCCESS
 *   LPSMMU_RMI_ERROR_NOT_SUPPORTED	- there are no SMMUs.
 *   LPSMMU_RMI_ERROR_INPUT		- no such SMMU, it is not active, was attached (and is to be detached), or has
 *					  level-2 tables.
 *   LPSMMU_RMI_BUSY			- another CPU waits for it; nothing has changed, repeat.
 *   LPSMMU_RMI_ERROR_DEVICE		- it does not answer.
 *
 * Waits: 7; with a PRI queue 10, and one for each 32 page requests in it for which the command queue has no room.
 */
LPSMMU_MUST_CHECK
lpsmmu_rmi_result_t lpsmmu_deactivate_begin(struct lpsmmu_set *set, uint64_t psmmu_ptr,
					    struct lpsmmu_memory *memory);

/*
 * Let an SMMU be activated again, once lpsmmu_deactivate_begin() has returned its memory. Otherwise nothing happens.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 */
void lpsmmu_deactivate_finish(struct lpsmmu_set *set, uint64_t psmmu_ptr);

/*
 * Begin PSMMU_ST_L2_CREATE for 64 streams, for which one granule is needed. To be ended by
 * lpsmmu_st_l2_create_finish() or lpsmmu_st_l2_create_cancel().
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0, from the host.
 *   first_stream	- First of its StreamIDs, from the host.
 *
 * Return: X0 for the host:
 *   LPSMMU_RMI_SUCCESS
 *   LPSMMU_RMI_ERROR_NOT_SUPPORTED	- there are no SMMUs, or no open_granule().
 *   LPSMMU_RMI_ERROR_INPUT		- no such SMMU, it is not active, or a bad StreamID.
 *   LPSMMU_RMI_ERROR_PSMMU_ST		- at level 2: there is one.
 *   LPSMMU_RMI_BLOCKED			- it is being created.
 *   LPSMMU_RMI_ERROR_DEVICE		- the SMMU has failed.
 *   LPSMMU_RMI_BUSY			- too many are being created.
 */
LPSMMU_MUST_CHECK
lpsmmu_rmi_result_t lpsmmu_st_l2_create_begin(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t first_stream);

/*
 * Finish what lpsmmu_st_l2_create_begin() has begun. The streams of the table abort in silence until they are
 * configured.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   first_stream	- As at the beginning.
 *   granule	- PA of the granule of Realm memory for the table.
 *   mem_released	- Output: whether the granule may be used for something else. May be null.
 *
 * Return: X0 for the host:
 *   LPSMMU_RMI_SUCCESS
 *   LPSMMU_RMI_ERROR_INPUT	- nothing was begun, or the granule is not aligned or lies above OAS.
 *   LPSMMU_RMI_BUSY		- another CPU waits for the SMMU, or open_granule() returned null; to be repeated, or
 *				  lpsmmu_st_l2_create_cancel() called.
 *   LPSMMU_RMI_ERROR_DEVICE	- the SMMU reports a command error or does not answer.
 *
 * Waits: 9.
 */
LPSMMU_MUST_CHECK
lpsmmu_rmi_result_t lpsmmu_st_l2_create_finish(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t first_stream,
					       uint64_t granule, bool *mem_released);

/*
 * Cancel what lpsmmu_st_l2_create_begin() has begun, without effect.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   first_stream	- As at the beginning.
 */
void lpsmmu_st_l2_create_cancel(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t first_stream);

/*
 * PSMMU_ST_L2_DESTROY: take a level-2 table out of the stream table.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0, from the host.
 *   first_stream	- First of its StreamIDs, from the host.
 *   granule	- Output: PA of the granule that it was in. May be null.
 *
 * Return: X0 for the host:
 *   LPSMMU_RMI_SUCCESS
 *   LPSMMU_RMI_ERROR_NOT_SUPPORTED	- there are no SMMUs.
 *   LPSMMU_RMI_ERROR_INPUT		- no such SMMU, it is not active, a bad StreamID, or there is no table.
 *   LPSMMU_RMI_ERROR_PSMMU_ST		- at level 2: a stream of it is configured.
 *   LPSMMU_RMI_BLOCKED			- it is being created.
 *   LPSMMU_RMI_BUSY			- another CPU waits for the SMMU, or open_granule() returned null; repeat.
 *   LPSMMU_RMI_ERROR_DEVICE		- the SMMU reports a command error, does not answer, or has failed.
 *
 * On an error the table is as before.
 *
 * Waits: 7.
 */
LPSMMU_MUST_CHECK
lpsmmu_rmi_result_t lpsmmu_st_l2_destroy(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint64_t first_stream,
					 uint64_t *granule);

/*
 * Configure a stream: it has an entry with its stage 2, and aborts still.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   stream	- StreamID.
 *   stage_2	- Its stage 2.
 *
 * Return: of this function and the next three, each of which has come into effect in the SMMU when it returns:
 *   LPSMMU_OK		 - success.
 *   LPSMMU_E_INVAL	 - a null pointer.
 *   LPSMMU_E_NODEV	 - no such SMMU.
 *   LPSMMU_E_STATE	 - the SMMU is not active, or the stream not in the state that the step begins in.
 *   LPSMMU_E_FAILED	 - the SMMU has failed.
 *   LPSMMU_E_NO_TABLE	 - the stream has no level-2 table.
 *   LPSMMU_E_NOT_OPENED - open_granule() returned null; nothing has changed, repeat.
 *   LPSMMU_E_STAGE_2	 - the SMMU would not take this stage 2.
 *   LPSMMU_E_CMD	 - the SMMU reported a command error.
 *   LPSMMU_E_TIMED_OUT	 - it does not answer; it has failed.
 *   LPSMMU_E_BUSY	 - another CPU waits for it; nothing has changed, repeat.
 *
 * Waits: 4.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_configure_stream(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint32_t stream,
				     const struct lpsmmu_stage_2 *stage_2);

/*
 * Enable a configured stream: it translates.
 *
 * Parameters and return: as lpsmmu_configure_stream().
 *
 * Waits: 4.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_enable_stream(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint32_t stream);

/*
 * Disable a stream: it aborts, and is still configured.
 *
 * Parameters and return: as lpsmmu_configure_stream().
 *
 * Waits: 7.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_disable_stream(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint32_t stream);

/*
 * Release a stream: it has the entry of an unassigned one.
 *
 * Parameters and return: as lpsmmu_configure_stream().
 *
 * Waits: 11.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_release_stream(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint32_t stream);

/*
 * Invalidate what the SMMU has cached of a stage-2 table that changes while streams translate by it. An SMMU that was
 * activated here may ignore broadcast TLBI of CPUs (CR2.PTM is set): after the stores to a table call this or
 * lpsmmu_tlbi_s12_vmall(), and reuse memory that was taken out of it once that has returned LPSMMU_OK.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   vmid	- VMID of the stage 2.
 *   ipa	- IPA, bits 55:12, in the page or block.
 *   leaf	- Only what is cached of the last level, and no tables on the way.
 *
 * Return:
 *   LPSMMU_OK		- success.
 *   LPSMMU_E_INVAL	- `set` is null.
 *   LPSMMU_E_NODEV	- no such SMMU.
 *   LPSMMU_E_STATE	- it is not active, or its command queue was not given.
 *   LPSMMU_E_CMD	- it reported a command error.
 *   LPSMMU_E_TIMED_OUT	- it does not answer; it has failed.
 *   LPSMMU_E_BUSY	- another CPU waits for it; nothing has changed, repeat.
 *
 * Waits: 7.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_tlbi_s2_ipa(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint16_t vmid, uint64_t ipa, bool leaf);

/*
 * As lpsmmu_tlbi_s2_ipa(), for all of a VMID.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_tlbi_s12_vmall(struct lpsmmu_set *set, uint64_t psmmu_ptr, uint16_t vmid);

/*
 * Read the state of an SMMU, which may change at any moment.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *
 * Return:
 *		- enum lpsmmu_state, or LPSMMU_E_INVAL or LPSMMU_E_NODEV.
 */
LPSMMU_MUST_CHECK
int32_t lpsmmu_get_state(struct lpsmmu_set *set, uint64_t psmmu_ptr);

/*
 * Read the counters of an SMMU. No lock is taken.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   counters	- Output.
 *
 * Return:
 *   LPSMMU_OK		- success.
 *   LPSMMU_E_INVAL	- `set` is null.
 *   LPSMMU_E_NODEV	- no such SMMU.
 */
LPSMMU_MUST_CHECK
lpsmmu_err_t lpsmmu_read_counters(struct lpsmmu_set *set, uint64_t psmmu_ptr, struct lpsmmu_counters *counters);

/*
 * Read the diagnostic trace of an SMMU, its latest entries. No lock is taken.
 *
 * Parameters:
 *   set	- From lpsmmu_init().
 *   psmmu_ptr	- PA of the Non-secure register page 0.
 *   trace	- Output: the entries, oldest first.
 *
 * Return:
 *		- How many there are, or LPSMMU_E_INVAL or LPSMMU_E_NODEV.
 */
LPSMMU_MUST_CHECK
int32_t lpsmmu_read_trace(struct lpsmmu_set *set, uint64_t psmmu_ptr,
			  struct lpsmmu_trace_entry trace[LPSMMU_TRACE_LENGTH]);

#ifdef __cplusplus
}
#endif

#endif /* LIBPSMMU_H */
