// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A driver of QEMU's edu device: DMA to or from any address, started by a write to a file, so that a
 * script can make faults.
 *
 *   echo "write 0x50000000 4096" > /sys/bus/pci/devices/0000:00:01.0/dma
 *
 * has the device write 4096 bytes to that address; "read" has it read. The write returns when the device
 * is done.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#define EDU_SOURCE 0x80
#define EDU_DESTINATION 0x88
#define EDU_COUNT 0x90
#define EDU_COMMAND 0x98
#define EDU_RUN BIT(0)
#define EDU_TO_MEMORY BIT(1)
#define EDU_BUFFER 0x40000
/* A longer one does nothing. */
#define EDU_MOST 4096

struct edu {
	void __iomem *regs;
	/* One DMA at a time. */
	struct mutex lock;
};

static int edu_dma(struct edu *edu, bool to_memory, u64 address, u64 count)
{
	int tries;

	writeq(to_memory ? EDU_BUFFER : address, edu->regs + EDU_SOURCE);
	writeq(to_memory ? address : EDU_BUFFER, edu->regs + EDU_DESTINATION);
	writeq(count, edu->regs + EDU_COUNT);
	writeq(EDU_RUN | (to_memory ? EDU_TO_MEMORY : 0), edu->regs + EDU_COMMAND);
	/* It takes 100 ms. */
	for (tries = 0; tries < 1000; tries++) {
		if (!(readq(edu->regs + EDU_COMMAND) & EDU_RUN))
			return 0;
		usleep_range(5000, 10000);
	}
	return -ETIMEDOUT;
}

static ssize_t dma_store(struct device *dev, struct device_attribute *attr, const char *text, size_t length)
{
	struct edu *edu = dev_get_drvdata(dev);
	u64 address, count;
	char verb[8];
	int err;

	if (sscanf(text, "%7s %lli %lli", verb, &address, &count) != 3)
		return -EINVAL;
	if ((strcmp(verb, "read") && strcmp(verb, "write")) || !count || count > EDU_MOST)
		return -EINVAL;
	if (mutex_lock_interruptible(&edu->lock))
		return -EINTR;
	err = edu_dma(edu, !strcmp(verb, "write"), address, count);
	mutex_unlock(&edu->lock);
	return err ? err : length;
}
static DEVICE_ATTR_WO(dma);

/* Reading it has the device copy a buffer of the kernel's to another: "ok" if it arrived. */
static ssize_t check_show(struct device *dev, struct device_attribute *attr, char *text)
{
	struct edu *edu = dev_get_drvdata(dev);
	dma_addr_t address;
	u8 *buffer = dma_alloc_coherent(dev, PAGE_SIZE, &address, GFP_KERNEL);
	int i, err;

	if (!buffer)
		return -ENOMEM;
	for (i = 0; i < 64; i++)
		buffer[i] = i + 1;
	mutex_lock(&edu->lock);
	err = edu_dma(edu, false, address, 64);
	if (!err)
		err = edu_dma(edu, true, address + 128, 64);
	mutex_unlock(&edu->lock);
	if (!err && memcmp(buffer, buffer + 128, 64))
		err = -EIO;
	dma_free_coherent(dev, PAGE_SIZE, buffer, address);
	return err ? err : sysfs_emit(text, "ok\n");
}
static DEVICE_ATTR_RO(check);

static struct attribute *edu_attrs[] = { &dev_attr_dma.attr, &dev_attr_check.attr, NULL };
ATTRIBUTE_GROUPS(edu);

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	int err;

	if (!edu)
		return -ENOMEM;
	mutex_init(&edu->lock);
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = pcim_iomap_regions(pdev, BIT(0), KBUILD_MODNAME);
	if (err)
		return err;
	edu->regs = pcim_iomap_table(pdev)[0];
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (err)
		return err;
	pci_set_master(pdev);
	pci_set_drvdata(pdev, edu);
	return 0;
}

static void edu_remove(struct pci_dev *pdev)
{
	pci_clear_master(pdev);
}

static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.dev_groups = edu_groups,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("DMA of QEMU's edu device to any address");
MODULE_LICENSE("Dual MIT/GPL");
