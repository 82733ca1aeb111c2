/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * The Realm side of the physical SMMUs, for an RMM that is written in C.
 *
 * libpsmmu.a tells the host what its devices did wrong: it reads the event queues (and PRI queues and
 * GERROR) of SMMUv3s that run in the Realm world, and answers RMI_PSMMU_INFO, RMI_PSMMU_IRQ_NOTIFY and
 * RMI_PSMMU_EVENT_CONSUME. It allocates nothing, has no global constructors, keeps all state in memory
 * that it is given, uses general registers only, and needs nothing from a C library but memcpy, memmove,
 * memset and memcmp, of which it brings weak ones.
 *
 * In this order:
 *   1. psmmu_open() takes the functions and the SMMUs of the platform. No SMMU is touched.
 *   2. psmmu_attach(), for an SMMU that the RMM has brought up itself, when its event queue runs;
 *      or psmmu_begin_activation() and psmmu_activate(), to have it brought up.
 *   3. psmmu_rmi() for each RMI command, in front of the RMM's own table.
 *
 * All functions but psmmu_open() may be called on several CPUs at once. None returns before it is done. No
 * pointer that is passed in is kept, but for the memory of psmmu_open(), of queues and tables, and the functions.
 *
 * psmmu_rmi() never waits for a device. A function that may wait says for how many waits of one second each, the
 * last of which may fail; an SMMU in order takes microseconds. While one CPU waits for an SMMU, calls that
 * would wait for the same SMMU return BUSY or PSMMU_E_BUSY at once, have changed nothing and are to be tried again.
 *
 * Numbers of the wire are those of RMI 2.0 as Linux uses them. Every size and offset here is checked
 * from both sides; structures change only together with PSMMU_API_VERSION.
 */

#ifndef PSMMU_H
#define PSMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header, to be put into struct psmmu_ops. */
#define PSMMU_API_VERSION UINT64_C(2)

/* Most SMMUs that one struct psmmu_set has. */
#define PSMMU_MAX 16

/* Bytes and alignment of the memory that psmmu_open() takes for `count` SMMUs. */
#define PSMMU_SET_BYTES 1024
#define PSMMU_UNIT_BYTES 4608
#define PSMMU_STATE_ALIGN 64
#define PSMMU_STATE_BYTES(count) (PSMMU_SET_BYTES + (size_t)(count) * PSMMU_UNIT_BYTES)

/*
 * The RMI.
 */

/* Function identifiers, X0 of a call. Bit 16 is a hint that psmmu_rmi() ignores. */
#define PSMMU_FID_IRQ_NOTIFY UINT64_C(0xC400016F)
#define PSMMU_FID_ACTIVATE UINT64_C(0xC40001D7)
#define PSMMU_FID_DEACTIVATE UINT64_C(0xC40001D8)
#define PSMMU_FID_ST_L2_CREATE UINT64_C(0xC40001DB)
#define PSMMU_FID_ST_L2_DESTROY UINT64_C(0xC40001DC)
#define PSMMU_FID_EVENT_CONSUME UINT64_C(0xC40001F0)
#define PSMMU_FID_INFO UINT64_C(0xC400020E)

/* Status, bits 7:0 of X0 of an answer; as far as this library uses them. */
#define PSMMU_RMI_SUCCESS UINT64_C(0)
#define PSMMU_RMI_ERROR_INPUT UINT64_C(1)
#define PSMMU_RMI_ERROR_NOT_SUPPORTED UINT64_C(5)
#define PSMMU_RMI_ERROR_DEVICE UINT64_C(6)
#define PSMMU_RMI_ERROR_PSMMU_ST UINT64_C(8) /* bits 15:8: level */
#define PSMMU_RMI_BUSY UINT64_C(10)
#define PSMMU_RMI_BLOCKED UINT64_C(14)

/* Sources, X2 of IRQ_NOTIFY and EVENT_CONSUME. */
#define PSMMU_IRQ_GERROR UINT64_C(0x1)
#define PSMMU_IRQ_EVENTQ UINT64_C(0x2)
#define PSMMU_IRQ_PRIQ UINT64_C(0x4)
#define PSMMU_IRQ_CMDQ UINT64_C(0x8)

/* Flags, X1 of the answer of IRQ_NOTIFY; X2 to X6 are event number, StreamID, fetch address, input
 * address, syndrome. */
#define PSMMU_FLAG_PENDING UINT64_C(0x1)
#define PSMMU_FLAG_EVENT_SHIFT 1
#define PSMMU_FLAG_EVENT_MASK UINT64_C(0x6)
#define PSMMU_EVENT_NONE UINT64_C(0)
#define PSMMU_EVENT_ERROR UINT64_C(1)
#define PSMMU_EVENT_PSMMU UINT64_C(2)
#define PSMMU_EVENT_VSMMU UINT64_C(3)

/* Granule of the host that PSMMU_INFO fills. */
struct psmmu_info {
	uint64_t flags; /* bits 1:0: enum psmmu_delivery */
	uint32_t gerror_intid, reserved_gerror;
	uint32_t eventq_intid, reserved_eventq;
	uint32_t priq_intid, reserved_priq;
	uint32_t cmdq_sync_intid, reserved_cmdq_sync; /* always 0 */
	uint8_t reserved[0xFD8];
};

/* An MSI: where, and what. */
struct psmmu_message {
	uint64_t address;
	uint64_t data;
};

/* The three MSIs of an SMMU; priq is not looked at without page requests. */
struct psmmu_messages {
	struct psmmu_message gerror;
	struct psmmu_message eventq;
	struct psmmu_message priq;
};

/* Granule of the host that PSMMU_ACTIVATE passes. */
#define PSMMU_PARAMS_MSI UINT64_C(0x1)
#define PSMMU_PARAMS_ATS UINT64_C(0x2)
#define PSMMU_PARAMS_PRI UINT64_C(0x4)
struct psmmu_params {
	uint64_t flags;
	struct psmmu_messages messages;
	uint8_t reserved[0xFC8];
};

/*
 * What the library answers to its embedder.
 */

/* Results of functions that return int32_t. */
enum psmmu_error {
	PSMMU_OK = 0,
	PSMMU_E_ARGUMENT = -1,	    /* a null pointer, or a value that does not exist */
	PSMMU_E_VERSION = -2,	    /* the caller was compiled with another psmmu.h */
	PSMMU_E_STATE_MEMORY = -3,  /* the memory for the state is too small or not aligned */
	PSMMU_E_COUNT = -4,	    /* more than PSMMU_MAX SMMUs */
	PSMMU_E_SAME_NAME = -5,	    /* two SMMUs of one name */
	PSMMU_E_UNKNOWN = -6,	    /* no SMMU of that name */
	PSMMU_E_STATE = -7,	    /* it is not in the state that this begins in */
	PSMMU_E_NOT_RUNNING = -8,   /* a queue to be attached is not enabled */
	PSMMU_E_MEMORY = -9,	    /* a queue is not where or not as large as the SMMU has it, or above OAS */
	PSMMU_E_PAGE_REQUESTS = -10, /* a PRI queue without command queue, or without PRI */
	PSMMU_E_MESSAGES = -11,	    /* MSIs that the SMMU cannot send */
	PSMMU_E_TIMED_OUT = -12,    /* the SMMU does not answer */
	PSMMU_E_REFUSED = -13,	    /* the SMMU refused a command; the others have run */
	PSMMU_E_FAILED = -14,	    /* the SMMU was given up */
	PSMMU_E_NO_TABLE = -15,	    /* the stream has no level-2 table */
	PSMMU_E_STAGE_2 = -16,	    /* the SMMU would not take this stage 2 */
	PSMMU_E_BUSY = -17,	    /* another CPU waits for the SMMU; nothing has changed, try again */
	PSMMU_E_NOT_OPENED = -18,   /* open_granule() returned null: nothing has changed, try again */
};

/* State of an SMMU. */
enum psmmu_state {
	PSMMU_INACTIVE = 0,
	PSMMU_ACTIVATING = 1,
	PSMMU_ACTIVE = 2,
	PSMMU_FAILED = 3,
	PSMMU_DEACTIVATING = 4,
};

/*
 * What the embedder gives.
 */

/* How interrupts reach the host; what PSMMU_INFO tells it. */
enum psmmu_delivery {
	PSMMU_DELIVERY_DISABLED = 0, /* not at all: the host polls */
	PSMMU_DELIVERY_WIRED = 1,    /* by the wires whose INTIDs are given */
	PSMMU_DELIVERY_MSI = 2,	     /* by the messages of PSMMU_ACTIVATE */
};

/* What an aborted write to a queue (EVENTQ_ABT_ERR) means for the records that are in it. */
enum psmmu_abort {
	PSMMU_ABORT_SPOILS_QUEUE = 0, /* none can be trusted: they are discarded */
	PSMMU_ABORT_KEEPS_QUEUE = 1,  /* PROD never moves over a record that was not written */
};

/* Which programming interface the registers are. */
enum psmmu_interface {
	PSMMU_INTERFACE_REALM = 0,
	/* The only one of an SMMU without Realms. Nothing isolates the host from it. */
	PSMMU_INTERFACE_STAND_IN = 1,
};

/* Pages of registers, 64 KiB each. */
enum psmmu_page {
	PSMMU_PAGE_NON_SECURE_0 = 0,
	PSMMU_PAGE_REALM_0 = 1,
	PSMMU_PAGE_REALM_1 = 2,
};

/*
 * What the library needs from outside: called back on the CPU that called it, with `cookie`, from several
 * CPUs at once. `replace_granule` and `microseconds` must be there, the others may be null.
 *
 * None may call the library. Some are called while the library holds a lock of the SMMU in question, its
 * queue lock or its command lock, as each says below. Such a function may take a lock of the embedder's own,
 * unless the embedder calls the library with that lock held, by a function that takes the same lock of the
 * same SMMU:
 *   the queue lock: psmmu_rmi(), psmmu_attach(), psmmu_detach(), psmmu_activate(),
 *   psmmu_begin_deactivation();
 *   the command lock: psmmu_attach(), psmmu_detach(), psmmu_run_commands(), psmmu_activate(),
 *   psmmu_tlbi_s2_ipa(), psmmu_tlbi_s12_vmall(),
 *   psmmu_begin_deactivation(), psmmu_make_table(), psmmu_destroy_table(), psmmu_configure_stream(),
 *   psmmu_enable_stream(), psmmu_disable_stream(), psmmu_release_stream().
 * The others take neither; psmmu_rmi() never takes the command lock.
 */
struct psmmu_ops {
	uint64_t version; /* PSMMU_API_VERSION */
	void *cookie;

	/*
	 * Writes `count` words to the beginning of the host's granule at PA `granule`, which is aligned and
	 * otherwise anything, and zero to all of the rest. False if it is not the host's memory or is
	 * moved to another world meanwhile. For PSMMU_INFO. Called without a lock.
	 */
	bool (*replace_granule)(void *cookie, uint64_t granule, const uint64_t *words, size_t count);
	/*
	 * Copies `count` words out of the host's granule at PA `granule`, from word `first` on, each of
	 * them once. False as above. For psmmu_begin_activation(); without it that fails. Called without a
	 * lock.
	 */
	bool (*read_granule)(void *cookie, uint64_t granule, size_t first, uint64_t *words, size_t count);
	/*
	 * Whether a virtual SMMU of some Realm owns the stream. For PSMMU_IRQ_NOTIFY; without it no stream
	 * has an owner. Called with the queue lock of the SMMU held.
	 */
	bool (*owns_stream)(void *cookie, uint32_t stream);
	/*
	 * Microseconds since some fixed moment; psmmu_microseconds() makes them of a counter. It never steps
	 * back. Should it stand still, waits are bounded by a number of polls. For all that wait for an SMMU:
	 * the functions that take the command lock. Called with that lock held, so it should only read a
	 * counter.
	 */
	uint64_t (*microseconds)(void *cookie);
	/*
	 * Returns the VA of the granule of Realm memory at PA `granule`, which the embedder has given for a
	 * level-2 stream table, until close_granule(); null if that cannot be done now. The function that
	 * needs it has then changed nothing, and says so: psmmu_make_table() and psmmu_destroy_table() by
	 * BUSY, the streams by PSMMU_E_NOT_OPENED. Without it psmmu_begin_table() fails.
	 *
	 * Both are called with the command lock of the SMMU held, one granule is open at a time on a CPU, and
	 * each is closed before the lock is released: a lock of the embedder's own may be held in between,
	 * such as that of the one place at which granules are mapped. The streams keep it open while they
	 * wait for the SMMU.
	 */
	void *(*open_granule)(void *cookie, uint64_t granule);
	void (*close_granule)(void *cookie, void *granule);
};

/*
 * Returns the microseconds that a counter of `frequency` in Hz, such as CNTPCT_EL0 with CNTFRQ_EL0, shows as
 * `count`. A frequency of 0, one that was never set, gives a clock that stands still.
 */
static inline uint64_t psmmu_microseconds(uint64_t count, uint32_t frequency)
{
	if (frequency == 0) {
		return 0;
	}
	return count / frequency * UINT64_C(1000000) + count % frequency * UINT64_C(1000000) / frequency;
}

/*
 * Registers that are not mapped: functions that stand for an SMMU, for tests on a workstation. `page` is
 * an enum psmmu_page.
 */
struct psmmu_registers {
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
#define PSMMU_SIZE_DEFAULT UINT32_MAX

/* An SMMU of the platform. */
struct psmmu_description {
	uint64_t name; /* PA of the Non-secure register page 0; only ever compared */
	/*
	 * VAs of its register pages, device memory. The Non-secure page is read only, and may be null: then
	 * IDR0, IDR1 and IDR5 are taken from below. On a platform without Realm pages the Non-secure ones
	 * may stand in. If `registers` is not null, it is used in place of all three.
	 */
	const void *non_secure_page_0;
	void *realm_page_0;
	void *realm_page_1;
	const struct psmmu_registers *registers;
	uint32_t idr0;
	uint32_t idr1;
	uint32_t idr5;
	uint32_t interface; /* enum psmmu_interface */
	uint32_t delivery;  /* enum psmmu_delivery */
	uint32_t gerror_intid; /* GIC INTIDs of the wires, 0 for none */
	uint32_t eventq_intid;
	uint32_t priq_intid;
	uint32_t abort; /* enum psmmu_abort */
	/*
	 * Largest tables and queues that psmmu_begin_activation() asks memory for, each the log2 of a
	 * number, or PSMMU_SIZE_DEFAULT: StreamIDs up to 24, commands 2 to 19, events and page requests 0
	 * to 19. Not for attached SMMUs.
	 */
	uint32_t max_streams;
	uint32_t max_commands;
	uint32_t max_events;
	uint32_t max_requests;
	uint32_t reserved; /* 0 */
};

/* A queue that runs. Null for none. */
struct psmmu_queue {
	void *va;
	uint64_t pa;
	uint64_t log2_entries;
};

/* The queues of an SMMU that runs. */
struct psmmu_running {
	struct psmmu_queue event_queue;	  /* 32 bytes an entry */
	struct psmmu_queue pri_queue;	  /* 16 bytes an entry; may be null, needs the command queue */
	struct psmmu_queue command_queue; /* 16 bytes an entry; may be null */
};

/* A piece of Realm memory. Null for none. */
struct psmmu_region {
	void *va;
	uint64_t pa;
	uint64_t bytes;
};

/*
 * What an SMMU runs on, each piece aligned to its size (the stream table to 64 bytes at least), and where the
 * SMMU can address it: below 2^OAS (IDR5). It is zeroed by psmmu_activate().
 *
 * `completion` may be the same word for each activation of an SMMU, and of no other SMMU. It is given back
 * once no MSI can be under way to it; where it was given and is null in what is given back, the SMMU had
 * failed before that was known, and the word stays its own until it is reset.
 */
struct psmmu_memory {
	struct psmmu_region stream_table;
	struct psmmu_region command_queue;
	struct psmmu_region event_queue;
	struct psmmu_region pri_queue;	/* if page requests are wanted */
	struct psmmu_region completion; /* 8 bytes for MSIs of commands; may be null, not used above OAS */
};

/* What memory an activation needs, in granules of 4 KiB: each a power of two, in one piece. */
struct psmmu_needs {
	uint64_t stream_table;
	uint64_t command_queue;
	uint64_t event_queue;
	uint64_t pri_queue;
};

/* What an SMMU is to do once it is active. */
struct psmmu_wanted {
	uint64_t flags; /* PSMMU_PARAMS_MSI, PSMMU_PARAMS_PRI */
	struct psmmu_messages messages;
};

/* A command for the SMMU. */
struct psmmu_command {
	uint64_t words[2];
};

/*
 * Stage 2 of a stream: the fields of VTCR_EL2, with tables of 4 KiB. What an SMMU of these IDR0 and IDR5 would
 * take for a bad entry is refused (PSMMU_E_STAGE_2).
 */
struct psmmu_stage_2 {
	uint64_t table; /* PA of the first table, aligned to its size, below 2^48 and within `ps` */
	uint16_t vmid;	/* below 256 without IDR0.VMID16 */
	uint8_t t0sz;	/* 16 to 39; no more input bits than OAS, or 40 with AArch32 tables */
	uint8_t sl0;	/* 0 to 2, to fit t0sz; 2 needs an OAS of more than 42 bits */
	uint8_t ps;	/* 0 to 6, not above IDR5.OAS */
	uint8_t reserved[3];
};

/* Counters of a queue that the SMMU fills. */
struct psmmu_queue_counters {
	uint64_t staged;     /* records copied out of the hardware queue */
	uint64_t consumed;   /* events consumed by the host, losses included */
	uint64_t overflows;  /* each lost at least one record */
	uint64_t discards;   /* times that entries were dropped: all, or slots that were never written */
	uint64_t dropped;    /* events that nobody had consumed when the SMMU was let go */
	uint64_t high_water; /* most records seen in the hardware queue at once */
};

/* Bits of GERROR that are counted. */
#define PSMMU_ERRORS 11

/* Counters of an SMMU. They only grow, and outlive its deactivation. */
struct psmmu_counters {
	struct psmmu_queue_counters events;
	struct psmmu_queue_counters page_requests;
	uint64_t pri_resp_sent;	   /* page requests denied by an answer that the SMMU did not refuse */
	uint64_t pri_resp_refused; /* answers that the SMMU refused */
	uint64_t pri_resp_dropped; /* answers that the SMMU was never given, as it was given up before */
	uint64_t errors[PSMMU_ERRORS]; /* times that each bit of GERROR was found active */
};

/* Something worth knowing. */
enum psmmu_trouble_kind {
	PSMMU_TROUBLE_ERRORS = 1,	   /* value: bits of GERROR that were found active */
	PSMMU_TROUBLE_COMMAND_REFUSED = 2, /* value: CMDQ_CONS */
	PSMMU_TROUBLE_UNANSWERED = 3,	   /* value: the StreamID of a page request */
	PSMMU_TROUBLE_FAILED = 4,	   /* the SMMU was given up */
};

struct psmmu_trouble {
	uint32_t kind;
	uint32_t reserved;
	uint64_t value;
};

/* Entries of the trace that are kept. */
#define PSMMU_TRACE_LENGTH 16

/*
 * The library.
 */

/* All SMMUs of a platform. */
struct psmmu_set;

/*
 * Puts the state of `count` SMMUs into `memory`, which is the library's from then on for good and has
 * PSMMU_STATE_BYTES(count) bytes aligned to PSMMU_STATE_ALIGN. The SMMUs are not touched.
 *
 * PSMMU_E_ARGUMENT, PSMMU_E_VERSION, PSMMU_E_STATE_MEMORY, PSMMU_E_COUNT, PSMMU_E_SAME_NAME.
 */
int32_t psmmu_open(void *memory, size_t bytes, const struct psmmu_ops *ops,
		   const struct psmmu_description *descriptions, size_t count,
		   struct psmmu_set **set);

/*
 * Answers one RMI command if it is one of PSMMU_INFO, PSMMU_IRQ_NOTIFY, PSMMU_EVENT_CONSUME: takes X0 to
 * X7 as the host had them, leaves what it shall find there, and returns true. All others are left alone,
 * and false says so. To be called only while the RMM is active: that gate is the embedder's.
 *
 * X1 to X3 are zero but for the outputs of IRQ_NOTIFY, X1 to X6; the rest keeps what the host had in it.
 */
bool psmmu_rmi(struct psmmu_set *set, uint64_t regs[8]);

/*
 * Takes over the queues of an SMMU that the embedder has brought up, programs its interrupts (the wires,
 * or `messages` if that is not null) and enables them. The pointers go on from where they stand: what is
 * in the queues, an announced overflow and active errors are told. Nothing interrupts for those: the host
 * asks about each source once after PSMMU_ACTIVATE, as it must.
 *
 * From then on EVENTQ_CONS, PRIQ_CONS (if given), GERRORN, IRQ_CTRL and *_IRQ_CFG* are the library's; so
 * is the command queue if it is given, and psmmu_run_commands() the way to use it. If it is not, the
 * embedder repairs it when a command is refused, and calls psmmu_command_repaired() in place of writing
 * GERRORN.
 *
 * PSMMU_E_ARGUMENT, PSMMU_E_UNKNOWN, PSMMU_E_STATE, PSMMU_E_PAGE_REQUESTS, PSMMU_E_MESSAGES,
 * PSMMU_E_NOT_RUNNING, PSMMU_E_MEMORY, PSMMU_E_TIMED_OUT. Then nothing has changed, but that the
 * interrupts may be off; or the SMMU has failed, as its interrupts did not come on, and is to be detached.
 * 3 waits.
 */
int32_t psmmu_attach(struct psmmu_set *set, uint64_t name, const struct psmmu_running *running,
		     const struct psmmu_messages *messages);

/*
 * Turns the interrupts off and lets the queues of an attached SMMU go; what was staged is dropped.
 *
 * PSMMU_E_ARGUMENT, PSMMU_E_UNKNOWN, PSMMU_E_STATE, PSMMU_E_TIMED_OUT, PSMMU_E_BUSY. 3 waits.
 */
int32_t psmmu_detach(struct psmmu_set *set, uint64_t name);

/*
 * Acknowledges the command error of an attached SMMU whose command queue is the embedder's, who has
 * repaired it; the host is told if it was not yet. Returns whether there was one.
 */
bool psmmu_command_repaired(struct psmmu_set *set, uint64_t name);

/*
 * Runs up to three commands and waits until the SMMU is through with them. Behind them a CMD_SYNC is put.
 *
 * PSMMU_E_ARGUMENT, PSMMU_E_UNKNOWN, PSMMU_E_STATE, PSMMU_E_REFUSED, PSMMU_E_BUSY, PSMMU_E_TIMED_OUT: then
 * the SMMU has failed. 2 waits.
 */
int32_t psmmu_run_commands(struct psmmu_set *set, uint64_t name,
			   const struct psmmu_command *commands, size_t count);

/*
 * Begins PSMMU_ACTIVATE with the parameters in the host's granule at PA `params`, and says what memory it
 * needs. Returns X0 for the host: 0, or ERROR_NOT_SUPPORTED, ERROR_INPUT or ERROR_DEVICE, and then nothing
 * has changed. To be ended by psmmu_activate() or psmmu_abandon_activation().
 */
uint64_t psmmu_begin_activation(struct psmmu_set *set, uint64_t name, uint64_t params,
				struct psmmu_needs *needs);

/* As psmmu_begin_activation(), with parameters of the embedder's own; null for none. */
uint64_t psmmu_begin_activation_with(struct psmmu_set *set, uint64_t name,
				     const struct psmmu_wanted *wanted, struct psmmu_needs *needs);

/*
 * Brings the SMMU up on `memory` and starts it. Returns X0 for the host: 0, or ERROR_INPUT when the memory
 * does not fit or lies above OAS, ERROR_DEVICE when the SMMU refuses or does not answer; `is_free` then says whether the
 * memory may be used for something else. 12 waits; 16 where the SMMU refuses a
 * command and is turned off.
 */
uint64_t psmmu_activate(struct psmmu_set *set, uint64_t name, const struct psmmu_memory *memory,
			bool *is_free);

/* Ends what psmmu_begin_activation() has begun, without effect. */
void psmmu_abandon_activation(struct psmmu_set *set, uint64_t name);

/*
 * Quiesces an SMMU, and returns what memory is to be given back before psmmu_finish_deactivation(). Returns
 * X0 for the host: 0, or ERROR_NOT_SUPPORTED, ERROR_INPUT when it is not active, was attached (and is to be
 * detached) or has level-2 tables, BUSY, ERROR_DEVICE when it does not answer. 7 waits;
 * with a PRI queue 10, and one for each 32 page requests in it for which the command queue has no room.
 */
uint64_t psmmu_begin_deactivation(struct psmmu_set *set, uint64_t name, struct psmmu_memory *memory);

/*
 * Lets the SMMU be activated again, once psmmu_begin_deactivation() has returned its memory. Otherwise nothing
 * happens.
 */
void psmmu_finish_deactivation(struct psmmu_set *set, uint64_t name);

/*
 * Begins PSMMU_ST_L2_CREATE for the 64 streams from `first_stream` on, for which one granule is needed.
 * Returns X0 for the host: 0, or ERROR_NOT_SUPPORTED, ERROR_INPUT, ERROR_PSMMU_ST at level 2 if there is
 * one, BLOCKED while it is being made, ERROR_DEVICE, BUSY when there are too many at once. To be ended by
 * psmmu_make_table() or psmmu_abandon_table(). Without open_granule() always ERROR_NOT_SUPPORTED.
 */
uint64_t psmmu_begin_table(struct psmmu_set *set, uint64_t name, uint64_t first_stream);

/*
 * Makes the table in the granule of Realm memory at PA `granule`. Its streams abort in silence until they
 * are configured. Returns X0 for the host, ERROR_INPUT when the granule is not aligned or lies above OAS; and on
 * failure whether it may be used for something else. After BUSY, also when open_granule() returned null, it is
 * to be called again, or psmmu_abandon_table(). 9 waits.
 */
uint64_t psmmu_make_table(struct psmmu_set *set, uint64_t name, uint64_t first_stream,
			  uint64_t granule, bool *is_free);

/* Ends what psmmu_begin_table() has begun, without effect. */
void psmmu_abandon_table(struct psmmu_set *set, uint64_t name, uint64_t first_stream);

/*
 * PSMMU_ST_L2_DESTROY: takes the table away and says which granule is to be given back. Returns X0 for the
 * host; ERROR_PSMMU_ST at level 2 when a stream of it is configured, BUSY, also when open_granule() returned
 * null. 7 waits.
 */
uint64_t psmmu_destroy_table(struct psmmu_set *set, uint64_t name, uint64_t first_stream,
			     uint64_t *granule);

/*
 * The life of a stream: configured (aborts still), enabled (translates), disabled (aborts, configured
 * still), released (at rest). Each step has come into effect in the SMMU when it returns.
 *
 * PSMMU_E_ARGUMENT, PSMMU_E_UNKNOWN, PSMMU_E_STATE, PSMMU_E_FAILED, PSMMU_E_NO_TABLE, PSMMU_E_NOT_OPENED,
 * PSMMU_E_STAGE_2, PSMMU_E_REFUSED, PSMMU_E_TIMED_OUT, PSMMU_E_BUSY. 4, 4, 7 and 11 waits.
 */
int32_t psmmu_configure_stream(struct psmmu_set *set, uint64_t name, uint32_t stream,
			       const struct psmmu_stage_2 *stage_2);
int32_t psmmu_enable_stream(struct psmmu_set *set, uint64_t name, uint32_t stream);
int32_t psmmu_disable_stream(struct psmmu_set *set, uint64_t name, uint32_t stream);
int32_t psmmu_release_stream(struct psmmu_set *set, uint64_t name, uint32_t stream);

/*
 * TLB maintenance for stage-2 tables that change while streams translate by them. An SMMU that was activated
 * here may ignore broadcast TLBI of CPUs (CR2.PTM is set): after the stores to a table call one of these, and
 * reuse memory that was taken out of it once that has returned PSMMU_OK. By IPA, bits 55:12, for the page or block
 * that maps it (`leaf`: of the last level only, and no tables on the way); or all of a VMID.
 *
 * PSMMU_E_ARGUMENT, PSMMU_E_UNKNOWN, PSMMU_E_STATE (not active, or its command queue was not given), PSMMU_E_REFUSED,
 * PSMMU_E_TIMED_OUT, PSMMU_E_BUSY. 7 waits.
 */
int32_t psmmu_tlbi_s2_ipa(struct psmmu_set *set, uint64_t name, uint16_t vmid, uint64_t ipa, bool leaf);
int32_t psmmu_tlbi_s12_vmall(struct psmmu_set *set, uint64_t name, uint16_t vmid);

/* Returns the enum psmmu_state of an SMMU, which may change at any moment; or a negative error. */
int32_t psmmu_get_state(struct psmmu_set *set, uint64_t name);

/* Reads what happened so far. No lock is taken. PSMMU_E_ARGUMENT, PSMMU_E_UNKNOWN. */
int32_t psmmu_read_counters(struct psmmu_set *set, uint64_t name, struct psmmu_counters *counters);

/* Reads the latest things worth knowing, oldest first, and returns how many; or a negative error. */
int32_t psmmu_read_trace(struct psmmu_set *set, uint64_t name,
			 struct psmmu_trouble trace[PSMMU_TRACE_LENGTH]);

#ifdef __cplusplus
}
#endif

#endif
