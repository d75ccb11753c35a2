// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translation by VT-d that goes on while the kernel is replaced.
 *
 * Sections are those of the "Intel Virtualization Technology for Directed I/O" specification.
 *
 * The tables in use are not handed over. Each unit gets a second root table, which holds the
 * context entries of preserved devices and nothing else; at the very end the unit is pointed at it,
 * so that no other device keeps a mapping, and an update that is given up has changed nothing. The
 * new kernel copies these entries to its own tables as it would for a crash dump. They go on
 * pointing to the old kernel's page tables until the device is attached to an equal one: then the
 * entry is exchanged in one step.
 */
#define pr_fmt(fmt) "DMAR: liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/iommu.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/devices.h>
#include <linux/liveupdate_devices.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "iommu.h"
#include "liveupdate.h"

#define PTE_ADDRESS GENMASK_ULL(51, 12)

/* Of the hand-over tables and the list of preserved domains. Taken before intel_iommu::lock. */
static DEFINE_MUTEX(handover_lock);
static struct iommu_liveupdate_ser *outgoing, *incoming;
static DEFINE_XARRAY(preserved_tops); /* page frame of a top table -> its levels */
static DEFINE_XARRAY(held_folios);    /* page frame -> folio */

/* -- page tables ------------------------------------------------------------------------------- */

struct walk {
	iommu_liveupdate_leaf_fn leaf;
	/* For each table, after all that it points to. */
	int (*table)(struct walk *walk, struct dma_pte *table);
	void *data;
	u64 tables;
};

static u64 level_size(unsigned int level)
{
	return 1ULL << (12 + 9 * (level - 1));
}

/* Second-stage paging entries, section 9.8. */
static int walk_table(struct walk *walk, u64 pa, unsigned int level, u64 iova)
{
	struct dma_pte *table = phys_to_virt(pa);
	unsigned int i;
	u64 size = level_size(level);
	int err;

	cond_resched();
	for (i = 0; i < 512; i++, iova += size) {
		struct dma_pte pte = { .val = READ_ONCE(table[i].val) };
		u64 to = pte.val & PTE_ADDRESS;

		err = 0;
		if (!dma_pte_present(&pte))
			continue;
		if (level > 1 && !dma_pte_superpage(&pte))
			err = walk_table(walk, to, level - 1, iova);
		else if (walk->leaf)
			err = walk->leaf(walk->data, iova, to & ~(size - 1), size);
		if (err)
			return err;
	}
	return walk->table ? walk->table(walk, table) : 0;
}

static int walk_domain(struct walk *walk, const struct iommu_liveupdate_domain_ser *ser)
{
	return walk_table(walk, ser->top, ser->levels, 0);
}

/* Where iova leads, and how many bytes from there on do so in a row; -ENOENT: nowhere. */
static int look_up(u64 pa, unsigned int level, u64 iova, phys_addr_t *to, u64 *size)
{
	for (;; level--) {
		struct dma_pte *table = phys_to_virt(pa);
		u64 step = level_size(level), offset = iova & (step - 1);
		struct dma_pte pte = { .val = READ_ONCE(table[(iova / step) & 511].val) };

		if (!dma_pte_present(&pte))
			return -ENOENT;
		pa = pte.val & PTE_ADDRESS;
		if (level > 1 && !dma_pte_superpage(&pte))
			continue;
		*to = (pa & ~(step - 1)) + offset;
		*size = step - offset;
		return 0;
	}
}

static void describe(struct dmar_domain *domain, struct iommu_liveupdate_domain_ser *ser)
{
	struct pt_iommu_vtdss_hw_info info;

	pt_iommu_vtdss_hw_info(&domain->sspt, &info);
	ser->top = info.ssptptr & PTE_ADDRESS;
	ser->levels = info.aw + 2; /* section 9.3, AW */
	ser->reserved = 0;
}

static int preserve_table(struct walk *walk, struct dma_pte *table)
{
	int err = kho_preserve_folio(virt_to_folio(table));

	if (!err)
		walk->tables++;
	return err;
}

/* As many as were preserved: walks come by in the same order. */
static int unpreserve_table(struct walk *walk, struct dma_pte *table)
{
	if (!walk->tables)
		return -ECANCELED;
	walk->tables--;
	kho_unpreserve_folio(virt_to_folio(table));
	return 0;
}

static int free_table(struct walk *walk, struct dma_pte *table)
{
	kho_restore_free(table);
	return 0;
}

int iommu_liveupdate_preserve_domain(struct iommu_domain *domain, iommu_liveupdate_leaf_fn verify,
				     void *data, struct iommu_liveupdate_domain_ser *ser)
{
	struct dmar_domain *dmar_domain = to_dmar_domain(domain);
	struct walk walk = { .leaf = verify, .data = data };
	int err;

	if (!intel_domain_is_ss_paging(dmar_domain))
		return -EOPNOTSUPP;
	describe(dmar_domain, ser);
	err = walk_domain(&walk, ser);
	if (err)
		return err;
	walk = (struct walk){ .table = preserve_table };
	err = walk_domain(&walk, ser);
	if (!err)
		err = xa_err(xa_store(&preserved_tops, PHYS_PFN(ser->top), xa_mk_value(ser->levels),
				      GFP_KERNEL));
	if (err) {
		walk.table = unpreserve_table;
		walk_domain(&walk, ser);
	}
	return err;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_preserve_domain);

void iommu_liveupdate_unpreserve_domain(const struct iommu_liveupdate_domain_ser *ser)
{
	struct walk walk = { .table = unpreserve_table, .tables = U64_MAX };

	xa_erase(&preserved_tops, PHYS_PFN(ser->top));
	walk_domain(&walk, ser);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_unpreserve_domain);

/* -- old kernel: the tables of the hand-over --------------------------------------------------- */

static struct device_domain_info *info_of(struct device *dev)
{
	if (!dev->iommu || dev->iommu->iommu_dev->ops != &intel_iommu_ops)
		return NULL;
	return dev_iommu_priv_get(dev);
}

static struct root_entry *root_of(const struct iommu_liveupdate_ser *ser, struct intel_iommu *iommu)
{
	u32 i;

	for (i = 0; ser && i < ser->nr_units; i++) {
		if (ser->units[i].reg == iommu->reg_phys)
			return phys_to_virt(ser->units[i].root);
	}
	return NULL;
}

/* The entry of a function in the tables of the hand-over, which are made with the first. */
static struct context_entry *handover_entry(struct device_domain_info *info)
{
	struct root_entry *root = root_of(outgoing, info->iommu);
	struct context_entry *context;

	lockdep_assert_held(&handover_lock);
	if (!root) {
		if (outgoing->nr_units == IOMMU_LIVEUPDATE_MAX)
			return ERR_PTR(-ENOSPC);
		root = kho_alloc_preserve(PAGE_SIZE);
		if (IS_ERR(root))
			return ERR_CAST(root);
		__iommu_flush_cache(info->iommu, root, PAGE_SIZE);
		outgoing->units[outgoing->nr_units++] =
			(struct iommu_liveupdate_unit_ser){ .reg = info->iommu->reg_phys,
							    .root = virt_to_phys(root) };
	}
	root += info->bus;
	if (!(root->lo & 1)) {
		context = kho_alloc_preserve(PAGE_SIZE);
		if (IS_ERR(context))
			return context;
		__iommu_flush_cache(info->iommu, context, PAGE_SIZE);
		root->lo = virt_to_phys(context) | 1;
		__iommu_flush_cache(info->iommu, root, sizeof(*root));
	}
	context = phys_to_virt(root->lo & PTE_ADDRESS);
	return &context[info->devfn];
}

/* Behind a conventional bridge it is called with that bridge and its own ID. */
static int other_alias(struct pci_dev *pdev, u16 alias, void *device)
{
	return alias != pci_dev_id(device);
}

static int check_device(struct device_domain_info *info)
{
	struct pci_dev *pdev = to_pci_dev(info->dev);

	if (sm_supported(info->iommu)) {
		pci_info(pdev,
			 "cannot be preserved: VT-d is in scalable mode (intel_iommu=sm_off)\n");
		return -EOPNOTSUPP;
	}
	/* Its translation cache would have to be flushed by the new kernel. */
	if (info->ats_enabled) {
		pci_info(pdev, "cannot be preserved: it uses ATS\n");
		return -EOPNOTSUPP;
	}
	if (pci_for_each_dma_alias(pdev, other_alias, pdev)) {
		pci_info(pdev, "cannot be preserved: it shares its requester ID\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The entry in use, if it leads to a page table that is preserved. */
static int live_entry(struct device_domain_info *info, struct context_entry *ret)
{
	struct intel_iommu *iommu = info->iommu;
	struct context_entry *context;

	spin_lock(&iommu->lock);
	context = iommu_context_addr(iommu, info->bus, info->devfn, 0);
	if (context)
		*ret = *context;
	spin_unlock(&iommu->lock);
	if (!context || !context_present(ret) ||
	    !xa_load(&preserved_tops, PHYS_PFN(ret->lo & PTE_ADDRESS)))
		return -EINVAL;
	return 0;
}

static int copy_entry(struct device *dev)
{
	struct device_domain_info *info = info_of(dev);
	struct context_entry entry, *context;
	int err;

	err = live_entry(info, &entry);
	if (err)
		return err;
	guard(mutex)(&handover_lock);
	context = handover_entry(info);
	if (IS_ERR(context))
		return PTR_ERR(context);
	*context = entry;
	__iommu_flush_cache(info->iommu, context, sizeof(*context));
	return 0;
}

int iommu_liveupdate_preserve_device(struct device *dev)
{
	struct device_domain_info *info = info_of(dev);
	int err;

	if (!info || !dev_is_pci(dev) || dev_is_real_dma_subdevice(dev))
		return -EOPNOTSUPP;
	err = check_device(info);
	return err ?: copy_entry(dev);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_preserve_device);

void iommu_liveupdate_unpreserve_device(struct device *dev)
{
	struct device_domain_info *info = info_of(dev);
	struct context_entry *context;

	guard(mutex)(&handover_lock);
	context = handover_entry(info);
	if (WARN_ON(IS_ERR(context)))
		return;
	context_clear_entry(context);
	__iommu_flush_cache(info->iommu, context, sizeof(*context));
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_unpreserve_device);

/* A reset in between detaches and attaches again, perhaps with another domain id. */
int iommu_liveupdate_freeze_device(struct device *dev)
{
	return copy_entry(dev);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_freeze_device);

/* Other processors have stopped, nothing changes the tables. */
bool intel_liveupdate_shutdown(struct intel_iommu *iommu)
{
	struct root_entry *root = root_of(outgoing, iommu);

	if (!root || !pci_liveupdate_frozen())
		return false;
	iommu->root_entry = root;
	intel_iommu_set_root_entry(iommu);
	return true;
}

static int iommu_flb_preserve(struct liveupdate_flb_op_args *args)
{
	struct iommu_liveupdate_ser *ser = kho_alloc_preserve(PAGE_SIZE);

	if (IS_ERR(ser))
		return PTR_ERR(ser);
	guard(mutex)(&handover_lock);
	outgoing = ser;
	args->obj = ser;
	args->data = virt_to_phys(ser);
	return 0;
}

/* give_back: takes a root or context table. */
static void free_tables(struct iommu_liveupdate_ser *ser, void (*give_back)(void *))
{
	struct root_entry *root;
	u32 i, bus;

	for (i = 0; i < ser->nr_units; i++) {
		root = phys_to_virt(ser->units[i].root);
		for (bus = 0; bus < 256; bus++) {
			if (root[bus].lo & 1)
				give_back(phys_to_virt(root[bus].lo & PTE_ADDRESS));
		}
		give_back(root);
	}
	give_back(ser);
}

static void iommu_flb_unpreserve(struct liveupdate_flb_op_args *args)
{
	scoped_guard(mutex, &handover_lock)
		outgoing = NULL;
	free_tables(args->obj, kho_unpreserve_free);
}

/* -- new kernel -------------------------------------------------------------------------------- */

/* Called with translation on, before anything of the unit is changed. */
bool intel_liveupdate_takes_over(struct intel_iommu *iommu)
{
	u64 rtaddr = readq(iommu->reg + DMAR_RTADDR_REG);
	struct root_entry *root = root_of(incoming, iommu);

	/* The mode cannot change while translation is on (section 10.4.5, TTM). */
	return root && rtaddr == virt_to_phys(root) && !sm_supported(iommu);
}

bool intel_liveupdate_copied(struct intel_iommu *iommu, u8 bus, u8 devfn)
{
	return incoming && context_copied(iommu, bus, devfn);
}

/* The domain id of the old kernel is free once no device uses it. */
static void put_old_did(struct intel_iommu *iommu, u16 did)
{
	struct context_entry *context;
	unsigned int sid;

	for_each_set_bit(sid, iommu->copied_tables, BIT(16)) {
		context = iommu_context_addr(iommu, sid >> 8, sid & 0xff, 1);
		if (context && context_domain_id(context) == did)
			return;
	}
	ida_free(&iommu->domain_ida, did);
}

/*
 * The unit reads a context entry as a whole (section 9.3 is 128 bits, aligned), so that it sees the
 * old entry or the new one. Then what it remembers of the old one is dropped (section 6.5.3.3).
 */
void intel_liveupdate_replace(struct intel_iommu *iommu, struct context_entry *context,
			      const struct context_entry *next, u8 bus, u8 devfn)
{
	union {
		struct context_entry entry;
		u128 full;
	} old = { .entry = *context }, new = { .entry = *next };
	u16 did = context_domain_id(context);

	assert_spin_locked(&iommu->lock);
	WARN_ON(!try_cmpxchg128((u128 *)context, &old.full, new.full));
	__iommu_flush_cache(iommu, context, sizeof(*context));
	iommu_flush_write_buffer(iommu);
	iommu->flush.flush_context(iommu, did, PCI_DEVID(bus, devfn), DMA_CCMD_MASK_NOBIT,
				   DMA_CCMD_DEVICE_INVL);
	iommu->flush.flush_iotlb(iommu, did, 0, 0, DMA_TLB_DSI_FLUSH);
	clear_bit(PCI_DEVID(bus, devfn), iommu->copied_tables);
	put_old_did(iommu, did);
}

bool iommu_liveupdate_copied(struct device *dev)
{
	struct device_domain_info *info = info_of(dev);

	return info && intel_liveupdate_copied(info->iommu, info->bus, info->devfn);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_copied);

static int check_leaf(void *data, u64 iova, phys_addr_t pa, u64 size)
{
	struct iommu_liveupdate_domain_ser *ser = data;
	phys_addr_t to;
	u64 got;
	int err;

	for (; size; size -= got, iova += got, pa += got) {
		err = look_up(ser->top, ser->levels, iova, &to, &got);
		if (err || to != pa) {
			pr_warn("the new table does not have 0x%llx at 0x%llx as the old one does\n",
				(u64)pa, iova);
			return -EUCLEAN;
		}
		got = min(got, size);
	}
	return 0;
}

int iommu_liveupdate_check(struct device *dev, struct iommu_domain *domain)
{
	struct device_domain_info *info = info_of(dev);
	struct iommu_liveupdate_domain_ser old, new;
	struct walk walk = { .leaf = check_leaf, .data = &new };
	struct context_entry *context;

	if (!intel_domain_is_ss_paging(to_dmar_domain(domain)))
		return -EOPNOTSUPP;
	spin_lock(&info->iommu->lock);
	context = iommu_context_addr(info->iommu, info->bus, info->devfn, 1);
	if (context)
		old = (struct iommu_liveupdate_domain_ser){ .top = context->lo & PTE_ADDRESS,
							    .levels = (context->hi & 7) + 2 };
	spin_unlock(&info->iommu->lock);
	if (!context)
		return -ENOMEM;
	describe(to_dmar_domain(domain), &new);
	return walk_domain(&walk, &old);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_check);

void iommu_liveupdate_detach(struct device *dev)
{
	static const struct context_entry none;
	struct device_domain_info *info = info_of(dev);
	struct context_entry *context;

	if (!info)
		return;
	spin_lock(&info->iommu->lock);
	if (intel_liveupdate_copied(info->iommu, info->bus, info->devfn)) {
		context = iommu_context_addr(info->iommu, info->bus, info->devfn, 1);
		if (context)
			intel_liveupdate_replace(info->iommu, context, &none, info->bus,
						 info->devfn);
	}
	spin_unlock(&info->iommu->lock);
	if (iommu_deferred_attach(dev, iommu_get_dma_domain(dev)))
		dev_warn(dev, "no translation for its next driver\n");
}

/* The function that still uses a table that is about to go; false: none does. */
static bool user_of_table(const struct iommu_liveupdate_domain_ser *ser, u16 *segment,
			  unsigned int *sid)
{
	struct dmar_drhd_unit *drhd;
	struct context_entry *context;
	struct intel_iommu *iommu;

	guard(rcu)();
	for_each_active_iommu(iommu, drhd) {
		if (!iommu->copied_tables)
			continue;
		*segment = iommu->segment;
		guard(spinlock)(&iommu->lock);
		for_each_set_bit(*sid, iommu->copied_tables, BIT(16)) {
			context = iommu_context_addr(iommu, *sid >> 8, *sid & 0xff, 1);
			if (context && (context->lo & PTE_ADDRESS) == ser->top)
				return true;
		}
	}
	return false;
}

void iommu_liveupdate_finish_domain(const struct iommu_liveupdate_domain_ser *ser)
{
	struct walk walk = { .table = free_table };
	struct pci_dev *pdev;
	unsigned int sid;
	u16 segment;

	/* A device's file is finished before this one: nothing should be left to be done here. */
	while (user_of_table(ser, &segment, &sid)) {
		pdev = pci_get_domain_bus_and_slot(segment, sid >> 8, sid & 0xff);
		if (!pdev) {
			pr_err("a page table of the previous kernel is in use by an unknown device, and stays\n");
			return;
		}
		pci_warn(pdev, "still uses a page table of the previous kernel\n");
		pci_liveupdate_abandon(pdev);
		iommu_liveupdate_detach(&pdev->dev);
		pci_dev_put(pdev);
	}
	walk_domain(&walk, ser);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_finish_domain);

void iommu_liveupdate_hold(struct folio *folio)
{
	if (!incoming)
		return;
	/* Without it the folio could move and a device write to what is free then. */
	xa_store(&held_folios, folio_pfn(folio), folio, GFP_KERNEL | __GFP_NOFAIL);
	folio_get(folio);
}

static int iommu_flb_retrieve(struct liveupdate_flb_op_args *args)
{
	struct iommu_liveupdate_ser *ser = phys_to_virt(args->data);

	if (ser->nr_units > IOMMU_LIVEUPDATE_MAX)
		return -EINVAL;
	incoming = ser;
	args->obj = ser;
	return 0;
}

static void iommu_flb_finish(struct liveupdate_flb_op_args *args)
{
	struct folio *folio;
	unsigned long pfn;

	incoming = NULL;
	xa_for_each(&held_folios, pfn, folio) {
		xa_erase(&held_folios, pfn);
		folio_put(folio);
	}
	free_tables(args->obj, kho_restore_free);
}

static const struct liveupdate_flb_ops iommu_flb_ops = {
	.preserve = iommu_flb_preserve,
	.unpreserve = iommu_flb_unpreserve,
	.retrieve = iommu_flb_retrieve,
	.finish = iommu_flb_finish,
	.owner = THIS_MODULE,
};

struct liveupdate_flb iommu_liveupdate_flb = {
	.ops = &iommu_flb_ops,
	.compatible = IOMMU_LIVEUPDATE_COMPATIBLE,
};
EXPORT_SYMBOL_GPL(iommu_liveupdate_flb);

/* Before VT-d is set up, and even if the switch is off now. */
static int __init iommu_liveupdate_find(void)
{
	void *obj;

	if (!liveupdate_flb_get_incoming(&iommu_liveupdate_flb, &obj))
		liveupdate_flb_put_incoming(&iommu_liveupdate_flb);
	return 0;
}
arch_initcall(iommu_liveupdate_find);
