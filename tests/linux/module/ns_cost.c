// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Counts what the kernel's own SMMUv3 driver spends in the thread of its event queue, to compare: counter
 * ticks in /sys/module/ns_cost/parameters/ticks.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/timex.h>

static unsigned long ticks;
module_param(ticks, ulong, 0444);
MODULE_PARM_DESC(ticks, "counter ticks spent in arm_smmu_evtq_thread");

static int entered(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	*(u64 *)instance->data = get_cycles();
	return 0;
}

static int returned(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	WRITE_ONCE(ticks, ticks + get_cycles() - *(u64 *)instance->data);
	return 0;
}

static struct kretprobe probe = {
	.kp.symbol_name = "arm_smmu_evtq_thread",
	.entry_handler = entered,
	.handler = returned,
	.data_size = sizeof(u64),
	.maxactive = 4,
};

static int __init ns_cost_init(void)
{
	return register_kretprobe(&probe);
}

static void __exit ns_cost_exit(void)
{
	unregister_kretprobe(&probe);
}

module_init(ns_cost_init);
module_exit(ns_cost_exit);
MODULE_DESCRIPTION("Cost of the kernel's own SMMUv3 event thread");
MODULE_LICENSE("Dual MIT/GPL");
