// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A host's driver of the Realm side of SMMUv3s whose Realm half belongs to an RMM.
 *
 * One platform device for each SMMU of the device tree, whether the kernel's own driver has its
 * Non-secure side or not. This file has what only C can say: module entry, interrupts, debugfs; what the
 * driver does and decides is psmmu-host's, behind realm_smmu.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/arm-smccc.h>
#include <linux/debugfs.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/msi.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/of_irq.h>
#include <linux/platform_device.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <dt-bindings/interrupt-controller/arm-gic.h>

#include "glue.h"
#include "realm_smmu.h"

#define MAX_SMMUS 8
#define MAX_STREAMS 16
#define POLL_INTERVAL msecs_to_jiffies(100)

static unsigned int streams[MAX_STREAMS];
static int stream_count;
module_param_array(streams, uint, &stream_count, 0444);
MODULE_PARM_DESC(streams, "StreamIDs of Realm devices, for which level-2 tables are made at probe");

static unsigned int lines = 10;
module_param(lines, uint, 0444);
MODULE_PARM_DESC(lines, "lines that a source writes to the log in 5 s at most (default 10)");

static const char *const source_names[REALM_SOURCES] = { "eventq", "gerror", "priq" };

struct realm_source {
	/* Held while the source is serviced. */
	struct mutex lock;
	struct realm_source_state *state;
	struct realm_smmu *smmu;
	/* The rest of a burst that was more than the handler's budget, at ordinary priority. */
	struct work_struct rest;
	/* Where nothing interrupts. */
	struct delayed_work poll;
	bool stopping;
	bool is_polled;
	int irq;
	char name[32];
	/* For what an event costs: counter ticks spent in service, and runs of it. */
	u64 ticks;
	u64 runs;
};

struct realm_smmu {
	struct device *dev;
	struct realm_smmu_state *state;
	struct realm_source sources[REALM_SOURCES];
	/* By source, where interrupts are MSIs: the kernel allocates them, the RMM programs them. */
	struct realm_msi msis[REALM_SOURCES];
	size_t msi_count;
	u32 tables[MAX_STREAMS];
	unsigned int table_count;
	bool active;
	struct dentry *dir;
};

/* The RMM is one for all SMMUs; the lock is held for whole operations. */
static DEFINE_MUTEX(rmm_lock);
static struct realm_rmm *rmm;
static struct dentry *debug_root;
static struct platform_device *devices[MAX_SMMUS];
static struct page *shared[2];

/* Runs the service loop once. Returns whether more is pending. */
static bool realm_service(struct realm_source *source)
{
	u64 start;
	int more;

	mutex_lock(&source->lock);
	start = get_cycles();
	more = realm_source_service(source->state);
	source->ticks += get_cycles() - start;
	source->runs++;
	mutex_unlock(&source->lock);
	return more > 0;
}

static void realm_rest(struct work_struct *work)
{
	struct realm_source *source = container_of(work, struct realm_source, rest);

	while (!READ_ONCE(source->stopping) && realm_service(source))
		cond_resched();
}

/*
 * The thread of an interrupt has real-time priority: what its budget leaves goes to a worker, so that a
 * storm of one device does not keep the CPU from everything else.
 */
static irqreturn_t realm_irq(int irq, void *data)
{
	struct realm_source *source = data;

	if (realm_service(source) && !READ_ONCE(source->stopping))
		queue_work(system_unbound_wq, &source->rest);
	return IRQ_HANDLED;
}

static void realm_poll(struct work_struct *work)
{
	struct realm_source *source = container_of(work, struct realm_source, poll.work);

	realm_rest(&source->rest);
	if (!READ_ONCE(source->stopping))
		queue_delayed_work(system_unbound_wq, &source->poll, POLL_INTERVAL);
}

/* An INTID is the GIC's number, not the kernel's. */
static int realm_map_intid(struct device *dev, u32 intid)
{
	struct of_phandle_args spec = { .args_count = 3 };
	unsigned int irq;

	spec.np = of_find_compatible_node(NULL, NULL, "arm,gic-v3");
	if (!spec.np)
		return -ENODEV;
	if (intid >= 4096) {
		spec.args[0] = 2; /* ESPI */
		spec.args[1] = intid - 4096;
	} else {
		spec.args[0] = GIC_SPI;
		spec.args[1] = intid - 32;
	}
	spec.args[2] = IRQ_TYPE_EDGE_RISING;
	irq = irq_create_of_mapping(&spec);
	of_node_put(spec.np);
	if (!irq) {
		dev_err(dev, "no interrupt for INTID %u\n", intid);
		return -EINVAL;
	}
	return irq;
}

/* The registers are the RMM's: it gets the MSIs when the Realm side is started, and then alone. */
static void realm_write_msi(struct msi_desc *desc, struct msi_msg *msg)
{
	struct realm_smmu *smmu = dev_get_drvdata(msi_desc_to_dev(desc));
	struct realm_msi *msi = &smmu->msis[desc->msi_index];
	struct realm_msi new = { (u64)msg->address_hi << 32 | msg->address_lo, msg->data };

	/* Zeroes are of an interrupt that is freed. */
	if (smmu->active && new.address && (new.address != msi->address || new.data != msi->data))
		dev_err(smmu->dev, "the MSI for %s has changed after the start: it is lost\n",
			source_names[desc->msi_index]);
	*msi = new;
}

static int realm_alloc_msis(struct realm_smmu *smmu, size_t count)
{
	struct device *dev = smmu->dev;
	int err;

	/* The node of the Realm side says which MSI controller and which DeviceID. */
	of_msi_configure(dev, dev->of_node);
	if (!dev_get_msi_domain(dev))
		return -ENODEV;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	err = platform_device_msi_init_and_alloc_irqs(dev, count, realm_write_msi);
#else
	err = platform_msi_domain_alloc_irqs(dev, count, realm_write_msi);
#endif
	if (!err)
		smmu->msi_count = count;
	return err;
}

static void realm_free_msis(struct realm_smmu *smmu)
{
	if (!smmu->msi_count)
		return;
	smmu->msi_count = 0;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	platform_device_msi_free_irqs_all(smmu->dev);
#else
	platform_msi_domain_free_irqs(smmu->dev);
#endif
}

/* No handler and no worker runs after it. */
static void realm_quiesce_sources(struct realm_smmu *smmu)
{
	int i;

	for (i = 0; i < REALM_SOURCES; i++) {
		struct realm_source *source = &smmu->sources[i];

		WRITE_ONCE(source->stopping, true);
		if (source->irq > 0)
			disable_irq(source->irq);
		if (source->state) {
			cancel_work_sync(&source->rest);
			cancel_delayed_work_sync(&source->poll);
		}
	}
}

/* Behind realm_quiesce_sources, and with the Realm side stopped: nothing interrupts any more. */
static void realm_free_sources(struct realm_smmu *smmu)
{
	int i;

	for (i = 0; i < REALM_SOURCES; i++) {
		struct realm_source *source = &smmu->sources[i];

		if (source->irq <= 0)
			continue;
		free_irq(source->irq, source);
		if (i >= smmu->msi_count)
			irq_dispose_mapping(source->irq);
		source->irq = 0;
	}
	realm_free_msis(smmu);
}

/* Returns the kernel's interrupt number for a source, 0 for none, or a negative errno. */
static int realm_source_irq(struct realm_smmu *smmu, int i)
{
	u32 intid;

	if (i < smmu->msi_count)
		return msi_get_virq(smmu->dev, i);
	intid = realm_smmu_intid(smmu->state, i);
	return intid ? realm_map_intid(smmu->dev, intid) : 0;
}

static int realm_start_sources(struct realm_smmu *smmu)
{
	size_t msis = realm_smmu_msi_count(smmu->state);
	int i, err = msis ? realm_alloc_msis(smmu, msis) : 0;

	if (err)
		dev_warn(smmu->dev, "the kernel has no MSIs for this SMMU: %d\n", err);
	for (i = 0; i < REALM_SOURCES; i++) {
		struct realm_source *source = &smmu->sources[i];

		source->irq = realm_source_irq(smmu, i);
		if (source->irq < 0)
			return source->irq;
		if (!source->irq)
			continue;
		snprintf(source->name, sizeof(source->name), "%s-%s", dev_name(smmu->dev), source_names[i]);
		err = request_threaded_irq(source->irq, NULL, realm_irq, IRQF_ONESHOT, source->name, source);
		if (err) {
			dev_err(smmu->dev, "cannot request the interrupt of %s: %d\n", source_names[i], err);
			if (i >= smmu->msi_count)
				irq_dispose_mapping(source->irq);
			source->irq = 0;
			return err;
		}
	}
	/* An MSI is composed when its interrupt is requested, at the latest. */
	realm_smmu_set_msis(smmu->state, smmu->msis, smmu->msi_count);
	for (i = 0; i < REALM_SOURCES; i++)
		smmu->sources[i].is_polled = realm_smmu_is_polled(smmu->state, i);
	return 0;
}

static int realm_add_stream(struct realm_smmu *smmu, u32 stream)
{
	/* A level-2 table is for 64 streams. */
	u32 first = stream & ~63u;
	unsigned int i;
	int err;

	for (i = 0; i < smmu->table_count; i++)
		if (smmu->tables[i] == first)
			return 0;
	if (smmu->table_count == MAX_STREAMS)
		return -ENOSPC;
	err = realm_smmu_add_stream(smmu->state, rmm, stream);
	if (!err)
		smmu->tables[smmu->table_count++] = first;
	return err;
}

/* Stops everything; what the RMM does not give back is leaked and said. */
static void realm_stop(struct realm_smmu *smmu)
{
	int err = 0;

	if (!smmu->active)
		return;
	realm_quiesce_sources(smmu);
	mutex_lock(&rmm_lock);
	while (smmu->table_count && !err) {
		err = realm_smmu_remove_stream(smmu->state, rmm, smmu->tables[smmu->table_count - 1]);
		if (!err)
			smmu->table_count--;
	}
	if (!err)
		err = realm_smmu_deactivate(smmu->state, rmm);
	mutex_unlock(&rmm_lock);
	if (err)
		dev_err(smmu->dev, "not stopped (%d): the RMM keeps what it holds\n", err);
	realm_free_sources(smmu);
	smmu->active = false;
}

static int realm_counters_show(struct seq_file *seq, void *unused)
{
	struct realm_smmu *smmu = seq->private;
	int i;

	for (i = 0; i < REALM_SOURCES; i++) {
		struct realm_source *source = &smmu->sources[i];

		if (!source->irq && !source->is_polled)
			continue;
		mutex_lock(&source->lock);
		realm_source_show(source->state, seq);
		seq_printf(seq, "%s: runs %llu, ticks %llu\n", source_names[i], source->runs, source->ticks);
		mutex_unlock(&source->lock);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(realm_counters);

static int realm_memory_show(struct seq_file *seq, void *unused)
{
	seq_printf(seq, "donated %llu\nleaked %llu\n", realm_glue_donated(), realm_glue_leaked());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(realm_memory);

static ssize_t realm_stream_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	struct realm_smmu *smmu = file->private_data;
	u32 stream;
	int err = kstrtou32_from_user(from, count, 0, &stream);

	if (err)
		return err;
	mutex_lock(&rmm_lock);
	err = realm_add_stream(smmu, stream);
	mutex_unlock(&rmm_lock);
	return err ? err : count;
}

static const struct file_operations realm_stream_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = realm_stream_write,
	.llseek = no_llseek,
};

static u32 realm_idr0(phys_addr_t base)
{
	void __iomem *regs = ioremap(base, SZ_4K);
	u32 idr0 = 0;

	if (regs) {
		idr0 = readl(regs);
		iounmap(regs);
	}
	return idr0;
}

static int realm_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	const u64 *base = dev_get_platdata(dev);
	struct realm_smmu *smmu;
	int i, err;

	smmu = devm_kzalloc(dev, sizeof(*smmu), GFP_KERNEL);
	if (!smmu)
		return -ENOMEM;
	smmu->dev = dev;
	platform_set_drvdata(pdev, smmu);
	smmu->state = devm_kzalloc(dev, realm_smmu_size(), GFP_KERNEL);
	if (!smmu->state)
		return -ENOMEM;

	mutex_lock(&rmm_lock);
	err = realm_smmu_probe(smmu->state, rmm, dev, *base, realm_idr0(*base));
	mutex_unlock(&rmm_lock);
	if (err)
		return err;
	for (i = 0; i < REALM_SOURCES; i++) {
		struct realm_source *source = &smmu->sources[i];

		source->state = devm_kzalloc(dev, realm_source_size(), GFP_KERNEL);
		if (!source->state)
			return -ENOMEM;
		source->smmu = smmu;
		mutex_init(&source->lock);
		INIT_WORK(&source->rest, realm_rest);
		INIT_DELAYED_WORK(&source->poll, realm_poll);
		err = realm_source_init(source->state, smmu->state, i, lines);
		if (err)
			return err;
	}

	err = realm_start_sources(smmu);
	if (err)
		goto stop_sources;
	mutex_lock(&rmm_lock);
	err = realm_smmu_activate(smmu->state, rmm);
	smmu->active = !err;
	for (i = 0; i < stream_count && !err; i++)
		err = realm_add_stream(smmu, streams[i]);
	mutex_unlock(&rmm_lock);
	if (err)
		goto stop;

	/*
	 * Enabling interrupts raises none for what is there already. By workers: a storm may bring more for
	 * as long as it lasts, and the probe is to end.
	 */
	for (i = 0; i < REALM_SOURCES; i++) {
		struct realm_source *source = &smmu->sources[i];

		if (source->is_polled)
			queue_delayed_work(system_unbound_wq, &source->poll, 0);
		else if (source->irq)
			queue_work(system_unbound_wq, &source->rest);
	}
	smmu->dir = debugfs_create_dir(dev_name(dev), debug_root);
	debugfs_create_file("counters", 0444, smmu->dir, smmu, &realm_counters_fops);
	debugfs_create_file("add_stream", 0200, smmu->dir, smmu, &realm_stream_fops);
	return 0;

stop:
	realm_stop(smmu);
stop_sources:
	realm_quiesce_sources(smmu);
	realm_free_sources(smmu);
	return err;
}

static void realm_shutdown(struct platform_device *pdev)
{
	struct realm_smmu *smmu = platform_get_drvdata(pdev);

	/* After kexec the next kernel finds the RMM's side of this SMMU inactive. */
	if (smmu)
		realm_stop(smmu);
}

static int realm_remove(struct platform_device *pdev)
{
	struct realm_smmu *smmu = platform_get_drvdata(pdev);

	debugfs_remove_recursive(smmu->dir);
	realm_stop(smmu);
	return 0;
}

static struct platform_driver realm_driver = {
	.driver = { .name = "realm-smmu" },
	.probe = realm_probe,
	.remove = realm_remove,
	.shutdown = realm_shutdown,
};

static void realm_release_rmm(void)
{
	u64 leaked = 0, held = rmm ? realm_rmm_held(rmm, &leaked) : 0;
	int i;

	if (held)
		pr_err("the RMM still holds %llu pages\n", held);
	for (i = 0; i < ARRAY_SIZE(shared); i++)
		if (shared[i])
			__free_page(shared[i]);
	kfree(rmm);
	rmm = NULL;
}

static int realm_start_rmm(void)
{
	int i, err;

	if (arm_smccc_1_1_get_conduit() != SMCCC_CONDUIT_SMC || arm_smccc_get_version() < ARM_SMCCC_VERSION_1_2) {
		pr_err("no firmware with SMCCC 1.2 or later: no RMM\n");
		return -ENODEV;
	}
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		shared[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!shared[i])
			return -ENOMEM;
	}
	rmm = kzalloc(realm_rmm_size(), GFP_KERNEL);
	if (!rmm)
		return -ENOMEM;
	err = realm_rmm_start(rmm, NULL, page_address(shared[0]), page_to_phys(shared[0]),
			      page_address(shared[1]), page_to_phys(shared[1]));
	if (err) {
		kfree(rmm);
		rmm = NULL;
	}
	return err;
}

/*
 * The device for the Realm side of the SMMU of a node. Where that side has MSIs, a child node of the SMMU's
 * describes them.
 */
static struct platform_device *realm_register(struct device_node *smmu, int id)
{
	struct device_node *node = of_get_child_by_name(smmu, "realm");
	struct platform_device_info info = {
		.name = "realm-smmu",
		.id = id,
		.fwnode = of_fwnode_handle(node),
		.of_node_reused = true,
	};
	struct platform_device *pdev;
	struct resource res;
	u64 base;

	if (of_address_to_resource(smmu, 0, &res)) {
		of_node_put(node);
		return NULL;
	}
	/* Only an address here: the kernel's own driver may hold the region. */
	base = res.start;
	info.data = &base;
	info.size_data = sizeof(base);
	pdev = platform_device_register_full(&info);
	of_node_put(node);
	return pdev;
}

static int __init realm_init(void)
{
	struct device_node *node = NULL;
	int count = 0, err = realm_start_rmm();

	if (err)
		goto release;
	debug_root = debugfs_create_dir("realm-smmu", NULL);
	debugfs_create_file("memory", 0444, debug_root, NULL, &realm_memory_fops);
	err = platform_driver_register(&realm_driver);
	if (err)
		goto remove;
	while (count < MAX_SMMUS && (node = of_find_compatible_node(node, NULL, "arm,smmu-v3"))) {
		struct platform_device *pdev = realm_register(node, count);

		if (!pdev)
			continue;
		if (IS_ERR(pdev)) {
			err = PTR_ERR(pdev);
			break;
		}
		devices[count] = pdev;
		count++;
	}
	of_node_put(node);
	if (!count && !err) {
		pr_err("no SMMUv3 in the device tree\n");
		err = -ENODEV;
	}
	if (!err)
		return 0;

	while (count--)
		platform_device_unregister(devices[count]);
	platform_driver_unregister(&realm_driver);
remove:
	debugfs_remove_recursive(debug_root);
release:
	realm_release_rmm();
	return err;
}

static void __exit realm_exit(void)
{
	int i;

	for (i = 0; i < MAX_SMMUS; i++)
		platform_device_unregister(devices[i]);
	platform_driver_unregister(&realm_driver);
	debugfs_remove_recursive(debug_root);
	realm_release_rmm();
}

module_init(realm_init);
module_exit(realm_exit);
MODULE_DESCRIPTION("Host driver of the Realm side of SMMUv3s");
MODULE_LICENSE("Dual MIT/GPL");
