// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI functions that go on while the kernel is replaced.
 *
 * The old kernel lists them and leaves their bus mastering on; the new one finds the list before it
 * scans the bus, binds them to nothing but vfio-pci, keeps them powered, and nobody resets them
 * until they are finished. One that nobody takes is stopped here, in an order that leaves no moment
 * in which it could write to memory that is given to somebody else.
 */
#define pr_fmt(fmt) "PCI: liveupdate: " fmt

#include <linux/init.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/devices.h>
#include <linux/liveupdate_devices.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/workqueue.h>

enum pci_liveupdate_state {
	PCI_LIVEUPDATE_WAITING,
	PCI_LIVEUPDATE_RETRIEVED,
	PCI_LIVEUPDATE_GONE, /* finished or abandoned: a device as any other */
};

/* Of both lists and the states. Leaf lock. */
static DEFINE_MUTEX(list_lock);
/* Whoever sees that a device is gone can rely on it. */
static DEFINE_MUTEX(leave_lock);
static struct pci_liveupdate_ser *outgoing, *incoming;
static u8 states[PCI_LIVEUPDATE_MAX]; /* of the devices of incoming */
static atomic_t frozen = ATOMIC_INIT(0);

static bool enabled;
static unsigned int deadline = 300;

static int __init liveupdate_devices_setup(char *arg)
{
	char *comma = arg ? strchr(arg, ',') : NULL;

	if (comma) {
		*comma = '\0';
		if (kstrtouint(comma + 1, 10, &deadline))
			pr_warn("liveupdate_devices: no number of seconds: %s\n", comma + 1);
	}
	return kstrtobool(arg, &enabled);
}
early_param("liveupdate_devices", liveupdate_devices_setup);

bool liveupdate_devices_enabled(void)
{
	return enabled;
}
EXPORT_SYMBOL_GPL(liveupdate_devices_enabled);

static struct pci_dev *device_of(const struct pci_liveupdate_device_ser *ser)
{
	return pci_get_domain_bus_and_slot(ser->domain, PCI_BUS_NUM(ser->bdf), ser->bdf & 0xff);
}

/* Its place in the list; -1: none. */
static int find(const struct pci_liveupdate_ser *ser, struct pci_dev *pdev)
{
	u32 i;

	lockdep_assert_held(&list_lock);
	for (i = 0; ser && i < ser->nr_devices; i++) {
		if (ser->devices[i].domain == pci_domain_nr(pdev->bus) &&
		    ser->devices[i].bdf == pci_dev_id(pdev))
			return i;
	}
	return -1;
}

/* -- old kernel -------------------------------------------------------------------------------- */

int pci_liveupdate_preserve(struct pci_dev *pdev)
{
	struct pci_liveupdate_device_ser *ser;

	guard(mutex)(&list_lock);
	if (WARN_ON(!outgoing))
		return -EINVAL;
	if (find(outgoing, pdev) >= 0)
		return -EBUSY;
	if (outgoing->nr_devices == PCI_LIVEUPDATE_MAX)
		return -ENOSPC;
	ser = &outgoing->devices[outgoing->nr_devices++];
	ser->domain = pci_domain_nr(pdev->bus);
	ser->bdf = pci_dev_id(pdev);
	return 0;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_preserve);

void pci_liveupdate_unpreserve(struct pci_dev *pdev)
{
	int i;

	guard(mutex)(&list_lock);
	i = find(outgoing, pdev);
	if (WARN_ON(i < 0))
		return;
	outgoing->devices[i] = outgoing->devices[--outgoing->nr_devices];
}
EXPORT_SYMBOL_GPL(pci_liveupdate_unpreserve);

int pci_liveupdate_freeze(struct pci_dev *pdev)
{
	/* An image that knows nothing of it would use the memory that devices write to. */
	if (!kexec_image || !kexec_image->file_mode || !kexec_image->kho.fdt) {
		pci_err(pdev,
			"the kernel to come was not loaded with kexec_file_load(), it would not know of this device\n");
		return -EINVAL;
	}
	atomic_inc(&frozen);
	return 0;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_freeze);

void pci_liveupdate_unfreeze(struct pci_dev *pdev)
{
	atomic_dec(&frozen);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_unfreeze);

bool pci_liveupdate_frozen(void)
{
	return kexec_in_progress && atomic_read(&frozen);
}

bool pci_liveupdate_keeps(struct pci_dev *pdev)
{
	struct pci_dev *bridge, *kept;
	bool keeps = false;
	u32 i;

	if (!pci_liveupdate_frozen())
		return false;
	guard(mutex)(&list_lock);
	for (i = 0; outgoing && i < outgoing->nr_devices && !keeps; i++) {
		kept = device_of(&outgoing->devices[i]);
		for (bridge = kept; bridge && !keeps; bridge = pci_upstream_bridge(bridge))
			keeps = bridge == pdev;
		pci_dev_put(kept);
	}
	return keeps;
}

static int pci_flb_preserve(struct liveupdate_flb_op_args *args)
{
	struct pci_liveupdate_ser *ser = kho_alloc_preserve(PAGE_SIZE);

	if (IS_ERR(ser))
		return PTR_ERR(ser);
	guard(mutex)(&list_lock);
	outgoing = ser;
	args->obj = ser;
	args->data = virt_to_phys(ser);
	return 0;
}

static void pci_flb_unpreserve(struct liveupdate_flb_op_args *args)
{
	scoped_guard(mutex, &list_lock)
		outgoing = NULL;
	kho_unpreserve_free(args->obj);
}

/* -- new kernel -------------------------------------------------------------------------------- */

bool pci_liveupdate_incoming(struct pci_dev *pdev)
{
	int i;

	guard(mutex)(&list_lock);
	i = find(incoming, pdev);
	return i >= 0 && states[i] != PCI_LIVEUPDATE_GONE;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_incoming);

/* Before any driver can see it. */
void pci_liveupdate_add_device(struct pci_dev *pdev)
{
	if (!pci_liveupdate_incoming(pdev))
		return;
	/* Kept until it is finished: an unused device would be put to sleep. */
	pm_runtime_get_noresume(&pdev->dev);
	if (device_set_driver_override(&pdev->dev, "vfio-pci"))
		pci_err(pdev, "cannot be kept for vfio-pci\n");
	pci_info(pdev, "handed over by the previous kernel, left running\n");
}

int pci_liveupdate_retrieve(struct pci_dev *pdev)
{
	int i;

	guard(mutex)(&list_lock);
	i = find(incoming, pdev);
	if (i < 0)
		return -ENOENT;
	if (states[i] != PCI_LIVEUPDATE_WAITING)
		return -ETIMEDOUT;
	states[i] = PCI_LIVEUPDATE_RETRIEVED;
	return 0;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_retrieve);

/* False: it was gone before. */
static bool leave(struct pci_dev *pdev)
{
	int i;

	guard(mutex)(&list_lock);
	i = find(incoming, pdev);
	if (i < 0 || states[i] == PCI_LIVEUPDATE_GONE)
		return false;
	states[i] = PCI_LIVEUPDATE_GONE;
	return true;
}

void pci_liveupdate_done(struct pci_dev *pdev)
{
	guard(mutex)(&leave_lock);
	if (leave(pdev))
		pm_runtime_put(&pdev->dev);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_done);

void pci_liveupdate_abandon(struct pci_dev *pdev)
{
	bool listed;
	int err;

	guard(mutex)(&leave_lock);
	listed = leave(pdev);
	/* The list may have been lost, and the device goes on all the same. */
	if (!listed && !iommu_liveupdate_copied(&pdev->dev))
		return;
	/* First nothing new is sent, then nothing is on its way, then there is no way. */
	pci_clear_master(pdev);
	if (!pci_wait_for_pending_transaction(pdev))
		pci_warn(pdev, "transactions are pending still\n");
	err = pci_reset_function(pdev);
	if (err)
		pci_warn(pdev, "cannot be reset (%pe), only cut off\n", ERR_PTR(err));
	iommu_liveupdate_detach(&pdev->dev);
	if (listed)
		pm_runtime_put(&pdev->dev);
	pci_info(pdev, "handed over by the previous kernel, wanted by nobody: stopped\n");
}
EXPORT_SYMBOL_GPL(pci_liveupdate_abandon);

bool pci_liveupdate_any(void)
{
	guard(mutex)(&list_lock);
	return incoming && incoming->nr_devices;
}

void pci_liveupdate_stop_all(void)
{
	struct pci_dev *pdev = NULL;

	/* Firmware may leave translation on, too, and knows what it does. */
	if (!is_kho_boot() && !enabled)
		return;
	pr_err("translation for devices of the previous kernel is lost, all devices are stopped\n");
	for_each_pci_dev(pdev) {
		if (pdev->hdr_type == PCI_HEADER_TYPE_NORMAL)
			pci_clear_master(pdev);
		if (leave(pdev))
			pm_runtime_put_noidle(&pdev->dev);
	}
}

static void pci_liveupdate_expire(struct work_struct *work)
{
	struct pci_dev *pdev;
	bool waits;
	u32 i;

	for (i = 0;; i++) {
		pdev = NULL;
		scoped_guard(mutex, &list_lock) {
			if (!incoming || i >= incoming->nr_devices)
				return;
			waits = states[i] == PCI_LIVEUPDATE_WAITING;
			if (waits)
				pdev = device_of(&incoming->devices[i]);
		}
		if (pdev)
			pci_liveupdate_abandon(pdev);
		pci_dev_put(pdev);
	}
}
static DECLARE_DELAYED_WORK(expire_work, pci_liveupdate_expire);

static int pci_flb_retrieve(struct liveupdate_flb_op_args *args)
{
	struct pci_liveupdate_ser *ser = phys_to_virt(args->data);

	if (ser->nr_devices > PCI_LIVEUPDATE_MAX)
		return -EINVAL;
	guard(mutex)(&list_lock);
	incoming = ser;
	args->obj = ser;
	return 0;
}

static void pci_flb_finish(struct liveupdate_flb_op_args *args)
{
	scoped_guard(mutex, &list_lock)
		incoming = NULL;
	cancel_delayed_work(&expire_work);
	kho_restore_free(args->obj);
}

static const struct liveupdate_flb_ops pci_flb_ops = {
	.preserve = pci_flb_preserve,
	.unpreserve = pci_flb_unpreserve,
	.retrieve = pci_flb_retrieve,
	.finish = pci_flb_finish,
	.owner = THIS_MODULE,
};

struct liveupdate_flb pci_liveupdate_flb = {
	.ops = &pci_flb_ops,
	.compatible = PCI_LIVEUPDATE_COMPATIBLE,
};
EXPORT_SYMBOL_GPL(pci_liveupdate_flb);

/* Before the bus is scanned, and even if the switch is off now. */
static int __init pci_liveupdate_find(void)
{
	void *obj;

	if (!liveupdate_flb_get_incoming(&pci_liveupdate_flb, &obj))
		liveupdate_flb_put_incoming(&pci_liveupdate_flb);
	return 0;
}
arch_initcall(pci_liveupdate_find);

static int __init pci_liveupdate_begin_wait(void)
{
	guard(mutex)(&list_lock);
	if (incoming)
		schedule_delayed_work(&expire_work, secs_to_jiffies(deadline));
	return 0;
}
late_initcall(pci_liveupdate_begin_wait);
