// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The C half of the module: what the Rust half needs of the kernel.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "realm_smmu.h"
#include "glue.h"

/* Makes the n-th allocation from now on fail, once; for tests of what becomes of it. */
static int fail_alloc;
module_param(fail_alloc, int, 0644);
MODULE_PARM_DESC(fail_alloc, "let the n-th allocation of memory to donate fail (0: none)");

/* Lines are made and not printed: what a line costs without the console. */
static bool drop_lines;
module_param(drop_lines, bool, 0644);
MODULE_PARM_DESC(drop_lines, "make lines for the log and drop them, to count what they cost");

static atomic64_t donated_pages = ATOMIC64_INIT(0);
static atomic64_t leaked_pages = ATOMIC64_INIT(0);

u64 realm_glue_donated(void)
{
	return atomic64_read(&donated_pages);
}

u64 realm_glue_leaked(void)
{
	return atomic64_read(&leaked_pages);
}

void realm_glue_pause(void)
{
	cond_resched();
	cpu_relax();
}

/*
 * The RMM takes pages in one piece that is aligned to its size. They stay in the linear map: nothing in
 * this kernel touches a page that it has allocated and not given to anyone.
 */
u64 realm_glue_alloc(u64 granules)
{
	unsigned long bytes = granules << 12;
	struct page *page;
	unsigned int i;

	if (fail_alloc > 0 && --fail_alloc == 0)
		return 0;
	if (!granules || granules > MAX_ORDER_NR_PAGES)
		return 0;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN, get_order(bytes));
	if (!page)
		return 0;
	/* Single pages from here on: they may come back in any order, and what is too much goes now. */
	split_page(page, get_order(bytes));
	for (i = granules; i < (1U << get_order(bytes)); i++)
		__free_page(page + i);
	atomic64_add(granules, &donated_pages);
	return page_to_phys(page);
}

void realm_glue_free(u64 address, u64 granules)
{
	u64 i;

	for (i = 0; i < granules; i++)
		__free_page(pfn_to_page(PHYS_PFN(address) + i));
	atomic64_sub(granules, &donated_pages);
}

/* Another world may still use it: it is never allocated again. */
void realm_glue_leak(u64 address, u64 granules)
{
	pr_err("%llu pages from %#llx are leaked: the RMM did not give them back\n", granules, address);
	atomic64_sub(granules, &donated_pages);
	atomic64_add(granules, &leaked_pages);
}

void realm_glue_log(void *dev, u32 level, const char *text, size_t length)
{
	if (drop_lines)
		return;
	switch (level) {
	case 3:
		dev_err(dev, "%.*s\n", (int)length, text);
		break;
	case 4:
		dev_warn(dev, "%.*s\n", (int)length, text);
		break;
	default:
		dev_info(dev, "%.*s\n", (int)length, text);
	}
}

void realm_glue_show(void *seq, const char *text, size_t length)
{
	seq_write(seq, text, length);
	seq_putc(seq, '\n');
}

/* A panic of the Rust half: the log has it, the thread that met it waits, the kernel goes on. */
void __noreturn realm_glue_stop(const char *text, size_t length)
{
	pr_emerg("stopped: %.*s\n", (int)length, text);
	dump_stack();
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
}
