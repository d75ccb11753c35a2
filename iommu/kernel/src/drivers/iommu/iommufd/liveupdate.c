// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file of an iommufd across a live update.
 *
 * Preserving it fixes what devices can reach: mappings and attachments do not change any more, and
 * every frame in a page table is one of a memfd that this session preserved before. The page tables
 * stay as they are, across the kexec, until the file is finished. What is retrieved is an empty
 * context, to which user space maps the same memfds at the same addresses; attaching a device to it
 * is checked to change nothing for the device.
 */
#define pr_fmt(fmt) "iommufd: liveupdate: " fmt

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/devices.h>
#include <linux/liveupdate_devices.h>
#include <linux/pagemap.h>

#include "io_pagetable.h"
#include "iommufd_private.h"

struct preserved {
	struct iommufd_liveupdate_ser *ser;
	/* Of ser->domains; a reference to each keeps its page table. */
	struct iommufd_hw_pagetable *hwpts[IOMMUFD_LIVEUPDATE_MAX];
};

static struct iommufd_ctx *ctx_of(struct file *file)
{
	return file->private_data;
}

struct file *iommufd_liveupdate_file(struct iommufd_ctx *ictx)
{
	return ictx->file;
}
EXPORT_SYMBOL_NS_GPL(iommufd_liveupdate_file, "IOMMUFD");

bool iommufd_liveupdate_preserved(struct iommufd_ctx *ictx)
{
	return READ_ONCE(ictx->liveupdate_preserved);
}
EXPORT_SYMBOL_NS_GPL(iommufd_liveupdate_preserved, "IOMMUFD");

/* -- what may be preserved --------------------------------------------------------------------- */

struct verify {
	struct io_pagetable *iopt;
	struct liveupdate_session *session;
	struct file *preserved; /* the file that was looked up last */
};

static int verify_file(struct verify *verify, struct iopt_area *area)
{
	struct iopt_pages *pages = area ? area->pages : NULL;
	u64 token;
	int err;

	if (!pages || pages->type != IOPT_ADDRESS_FILE) {
		pr_info("a mapping is not of a memfd, but of an address or a dma-buf\n");
		return -EINVAL;
	}
	if (pages->file == verify->preserved)
		return 0;
	err = liveupdate_get_token_outgoing(verify->session, pages->file, &token);
	if (err) {
		pr_info("a mapping is of a file that this session has not preserved before\n");
		return -EINVAL;
	}
	verify->preserved = pages->file;
	return 0;
}

/* The frames from pa on, as many as are of one folio, are those of the file; their size. */
static s64 verify_folio(struct iopt_area *area, u64 iova, phys_addr_t pa, u64 size)
{
	pgoff_t index = (area->pages->start + iopt_area_start_byte(area, iova)) >> PAGE_SHIFT;
	struct folio *folio = filemap_get_folio(area->pages->file->f_mapping, index);
	unsigned long first;
	s64 ret = -ESTALE;

	if (!IS_ERR(folio)) {
		first = index - folio->index;
		if (PFN_PHYS(folio_pfn(folio) + first) == pa)
			ret = min(size, (folio_nr_pages(folio) - first) * PAGE_SIZE);
		folio_put(folio);
	}
	if (ret < 0)
		pr_info("a page of the file was replaced after it had been mapped at 0x%llx\n",
			iova);
	return ret;
}

static int verify_leaf(void *data, u64 iova, phys_addr_t pa, u64 size)
{
	struct verify *verify = data;
	struct iopt_area *area;
	s64 done;
	int err;

	for (; size; size -= done, iova += done, pa += done) {
		area = iopt_area_iter_first(verify->iopt, iova, iova);
		err = verify_file(verify, area);
		if (err)
			return err;
		done = verify_folio(area, iova, pa,
				    min(size, iopt_area_last_iova(area) - iova + 1));
		if (done < 0)
			return done;
	}
	return 0;
}

static int preserve_hwpt(struct preserved *preserved, struct iommufd_hw_pagetable *hwpt,
			 struct liveupdate_session *session)
{
	struct io_pagetable *iopt = &to_hwpt_paging(hwpt)->ioas->iopt;
	struct verify verify = { .iopt = iopt, .session = session };
	struct iommufd_liveupdate_ser *ser = preserved->ser;
	int err;

	if (ser->nr_domains == IOMMUFD_LIVEUPDATE_MAX)
		return -ENOSPC;
	scoped_guard(rwsem_read, &iopt->iova_rwsem)
		err = iommu_liveupdate_preserve_domain(hwpt->domain, verify_leaf, &verify,
						       &ser->domains[ser->nr_domains]);
	if (err)
		return err;
	refcount_inc(&hwpt->obj.users);
	preserved->hwpts[ser->nr_domains++] = hwpt;
	return 0;
}

static int preserve_object(struct preserved *preserved, struct iommufd_object *obj,
			   struct liveupdate_session *session)
{
	switch (obj->type) {
	case IOMMUFD_OBJ_IOAS:
	case IOMMUFD_OBJ_DEVICE:
		return 0;
	case IOMMUFD_OBJ_HWPT_PAGING:
		return preserve_hwpt(preserved, container_of(obj, struct iommufd_hw_pagetable, obj),
				     session);
	default:
		pr_info("an object of type %d cannot be preserved\n", obj->type);
		return -EOPNOTSUPP;
	}
}

static int preserve_objects(struct iommufd_ctx *ictx, struct preserved *preserved,
			    struct liveupdate_session *session)
{
	struct iommufd_object *obj;
	unsigned long index;
	int err = 0;

	xa_for_each(&ictx->objects, index, obj) {
		/* A device may be closed, and its domain go with it */
		obj = iommufd_get_object(ictx, index, IOMMUFD_OBJ_ANY);
		if (IS_ERR(obj))
			continue;
		err = preserve_object(preserved, obj, session);
		iommufd_put_object(ictx, obj);
		if (err)
			break;
	}
	return err;
}

static void unpreserve_objects(struct iommufd_ctx *ictx, struct preserved *preserved)
{
	u32 i;

	for (i = preserved->ser->nr_domains; i-- > 0;) {
		iommu_liveupdate_unpreserve_domain(&preserved->ser->domains[i]);
		iommufd_hw_pagetable_put(ictx, preserved->hwpts[i]);
	}
}

/* -- the handler, old kernel ------------------------------------------------------------------- */

static bool iommufd_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	struct iommufd_ctx *ictx = iommufd_ctx_from_file(file);

	if (IS_ERR(ictx))
		return false;
	iommufd_ctx_put(ictx);
	return true;
}

static int iommufd_preserve(struct liveupdate_file_op_args *args)
{
	struct iommufd_ctx *ictx = ctx_of(args->file);
	struct preserved *preserved = kvzalloc(sizeof(*preserved), GFP_KERNEL);
	int err = -ENOMEM;

	if (!preserved)
		return -ENOMEM;
	preserved->ser = kho_alloc_preserve(PAGE_SIZE);
	if (IS_ERR(preserved->ser)) {
		err = PTR_ERR(preserved->ser);
		goto free;
	}
	/* Calls that change something have ended, and more are refused. */
	scoped_guard(rwsem_write, &ictx->liveupdate_rwsem)
		ictx->liveupdate_preserved = true;
	err = preserve_objects(ictx, preserved, args->session);
	if (err)
		goto undo;
	args->private_data = preserved;
	args->serialized_data = virt_to_phys(preserved->ser);
	return 0;

undo:
	unpreserve_objects(ictx, preserved);
	WRITE_ONCE(ictx->liveupdate_preserved, false);
	kho_unpreserve_free(preserved->ser);
free:
	kvfree(preserved);
	return err;
}

static void iommufd_unpreserve(struct liveupdate_file_op_args *args)
{
	struct iommufd_ctx *ictx = ctx_of(args->file);
	struct preserved *preserved = args->private_data;

	unpreserve_objects(ictx, preserved);
	WRITE_ONCE(ictx->liveupdate_preserved, false);
	kho_unpreserve_free(preserved->ser);
	kvfree(preserved);
}

/* -- the handler, new kernel ------------------------------------------------------------------- */

static int iommufd_retrieve(struct liveupdate_file_op_args *args)
{
	struct file *file = iommufd_liveupdate_open();

	if (IS_ERR(file))
		return PTR_ERR(file);
	args->file = file;
	return 0;
}

static void iommufd_finish(struct liveupdate_file_op_args *args)
{
	struct iommufd_liveupdate_ser *ser = phys_to_virt(args->serialized_data);
	u32 i;

	for (i = 0; i < min(ser->nr_domains, IOMMUFD_LIVEUPDATE_MAX); i++)
		iommu_liveupdate_finish_domain(&ser->domains[i]);
	kho_restore_free(ser);
}

static const struct liveupdate_file_ops iommufd_liveupdate_ops = {
	.can_preserve = iommufd_can_preserve,
	.preserve = iommufd_preserve,
	.unpreserve = iommufd_unpreserve,
	.retrieve = iommufd_retrieve,
	.finish = iommufd_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler iommufd_liveupdate_handler = {
	.ops = &iommufd_liveupdate_ops,
	.compatible = IOMMUFD_LIVEUPDATE_COMPATIBLE,
};

void iommufd_liveupdate_init(void)
{
	int err;

	if (!liveupdate_devices_enabled())
		return;
	err = liveupdate_register_file_handler(&iommufd_liveupdate_handler);
	if (!err)
		err = liveupdate_register_flb(&iommufd_liveupdate_handler, &iommu_liveupdate_flb);
	if (err && err != -EOPNOTSUPP)
		pr_err("no handler: %pe\n", ERR_PTR(err));
}
