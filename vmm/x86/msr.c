/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/msr.h"

#include <assert.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "base/util.h"

/* Ranges: Hyper-V TLFS, appendix B (synthetic MSRs); Intel SDM vol. 4, 2.1 (VMX, 480H to 491H). */
#define HYPERV_MSR_FIRST 0x40000000U
#define HYPERV_MSR_LAST	 0x400001ffU
#define VMX_MSR_FIRST	 0x480U
#define VMX_MSR_LAST	 0x491U

#define MTRR_VARIABLE_COUNT 8 /* what KVM emulates: IA32_MTRRCAP says so to the guest */
#define MC_BANK_MSRS	    4 /* CTL, STATUS, ADDR, MISC: Intel SDM vol. 3B, 17.3.2 */

/* As many as one KVM_GET_MSRS or KVM_SET_MSRS may have (kernel: MAX_IO_MSRS). */
#define MSRS_PER_CALL 256U

/* struct kvm_msrs with room. */
struct msr_batch {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entries[MSRS_PER_CALL];
};
static_assert(offsetof(struct msr_batch, entries) == sizeof(struct kvm_msrs),
	      "struct kvm_msrs has changed");

bool msr_is_saved(uint32_t index)
{
	if (index == MSR_IA32_TSC)
		return false;
	if (index >= HYPERV_MSR_FIRST && index <= HYPERV_MSR_LAST)
		return false;
	return index < VMX_MSR_FIRST || index > VMX_MSR_LAST;
}

static int list_add(struct msr_list *list, uint32_t index, struct error *err)
{
	unsigned int at = list->count;

	if (!msr_is_saved(index))
		return 0;
	while (at > 0 && list->indices[at - 1] > index)
		at--;
	if (at > 0 && list->indices[at - 1] == index)
		return 0;
	if (list->count == MSR_COUNT_MAX)
		return error_set(err, -E2BIG, "this kernel's KVM has more than %d MSRs",
				 MSR_COUNT_MAX);
	memmove(&list->indices[at + 1], &list->indices[at],
		(list->count - at) * sizeof(list->indices[0]));
	list->indices[at] = index;
	list->count++;
	return 0;
}

static int list_add_range(struct msr_list *list, uint32_t first, unsigned int count,
			  struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < count; i++)
		r = list_add(list, first + i, err);
	return r;
}

int msr_list_build(const uint32_t *kernel, unsigned int count, unsigned int mc_banks,
		   struct msr_list *ret, struct error *err)
{
	int r = 0;

	ret->count = 0;
	for (unsigned int i = 0; r == 0 && i < count; i++)
		r = list_add(ret, kernel[i], err);
	if (r == 0)
		r = list_add_range(ret, MSR_IA32_MTRRPHYS0, 2 * MTRR_VARIABLE_COUNT, err);
	if (r == 0)
		r = list_add_range(ret, MSR_IA32_MTRRFIX64K, 1, err);
	if (r == 0)
		r = list_add_range(ret, MSR_IA32_MTRRFIX16K0, 2, err);
	if (r == 0)
		r = list_add_range(ret, MSR_IA32_MTRRFIX4K0, 8, err);
	if (r == 0)
		r = list_add_range(ret, MSR_IA32_MTRRDEFTYPE, 1, err);
	if (r == 0)
		r = list_add_range(ret, MSR_IA32_MC0_CTL, MC_BANK_MSRS * mc_banks, err);
	return r;
}

int msr_list_new(int kvm_fd, unsigned int mc_banks, struct msr_list *ret, struct error *err)
{
	struct {
		uint32_t nmsrs; /* struct kvm_msr_list with room */
		uint32_t indices[MSR_COUNT_MAX];
	} list = {.nmsrs = MSR_COUNT_MAX};

	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &list) < 0)
		return error_sys(err, -errno, "cannot learn which MSRs KVM has");
	return msr_list_build(list.indices, list.nmsrs, mc_banks, ret, err);
}

int msr_get(int vcpu_fd, uint32_t index, uint64_t *ret)
{
	struct {
		uint32_t nmsrs, pad;
		struct kvm_msr_entry entry;
	} one = {.nmsrs = 1, .entry.index = index};
	int r = ioctl(vcpu_fd, KVM_GET_MSRS, &one);

	if (r != 1)
		return r < 0 ? -errno : -EINVAL;
	*ret = one.entry.data;
	return 0;
}

/* KVM_GET_MSRS stops at the first that it cannot read: that one is dropped, and on behind it. */
void msr_list_probe(int vcpu_fd, struct msr_list *list)
{
	unsigned int kept = 0, next = 0;

	while (next < list->count) {
		unsigned int n = MIN_OF(list->count - next, MSRS_PER_CALL);
		struct msr_batch batch = {.nmsrs = n};
		int readable;

		for (unsigned int i = 0; i < n; i++)
			batch.entries[i].index = list->indices[next + i];
		readable = ioctl(vcpu_fd, KVM_GET_MSRS, &batch);
		if (readable < 0)
			readable = 0;
		memmove(&list->indices[kept], &list->indices[next],
			(size_t)readable * sizeof(list->indices[0]));
		kept += (unsigned int)readable;
		next += (unsigned int)readable;
		if ((unsigned int)readable < n)
			log_debug("MSR 0x%x cannot be read: not saved", list->indices[next++]);
	}
	list->count = kept;
}

int msr_get_all(int vcpu_fd, const struct msr_list *list, struct kvm_msr_entry *entries,
		struct error *err)
{
	struct msr_batch batch;

	for (unsigned int done = 0; done < list->count;) {
		unsigned int n = MIN_OF(list->count - done, MSRS_PER_CALL);
		int r;

		memset(&batch, 0, sizeof(batch));
		batch.nmsrs = n;
		for (unsigned int i = 0; i < n; i++)
			batch.entries[i].index = list->indices[done + i];
		r = ioctl(vcpu_fd, KVM_GET_MSRS, &batch);
		if (r < 0)
			return error_sys(err, -errno, "cannot read MSRs");
		if ((unsigned int)r < n)
			return error_set(err, -EIO, "MSR 0x%x cannot be read any more",
					 list->indices[done + (unsigned int)r]);
		memcpy(&entries[done], batch.entries, n * sizeof(entries[0]));
		done += n;
	}
	return 0;
}

/*
 * What already has its value is left alone: writing it again does nothing but fill the host's log
 * where KVM knows an MSR only half.
 */
static void drop_equal(int vcpu_fd, struct msr_batch *batch)
{
	struct msr_batch present = *batch;
	int readable = ioctl(vcpu_fd, KVM_GET_MSRS, &present);
	unsigned int kept = 0;

	for (unsigned int i = 0; i < batch->nmsrs; i++) {
		if ((int)i < readable && present.entries[i].data == batch->entries[i].data)
			continue;
		batch->entries[kept++] = batch->entries[i];
	}
	batch->nmsrs = kept;
}

/* The next of entries that are TSC_DEADLINE (or all others), as many as fit. */
static void fill_batch(const struct kvm_msr_entry *entries, unsigned int count, unsigned int *next,
		       bool deadline, struct msr_batch *batch)
{
	unsigned int n = 0;

	memset(batch, 0, sizeof(*batch));
	for (; *next < count && n < MSRS_PER_CALL; ++*next) {
		const struct kvm_msr_entry *e = &entries[*next];

		if ((e->index == MSR_IA32_TSC_DEADLINE) != deadline)
			continue;
		batch->entries[n].index = e->index;
		batch->entries[n++].data = e->data;
	}
	batch->nmsrs = n;
}

/* KVM_SET_MSRS stops at the first it does not take: passed over if it may be, and on. */
static int set_batch(int vcpu_fd, struct msr_batch *batch, struct error *err)
{
	while (batch->nmsrs > 0) {
		int r = ioctl(vcpu_fd, KVM_SET_MSRS, batch);
		const struct kvm_msr_entry *refused;
		unsigned int done;

		if (r < 0)
			return error_sys(err, -errno, "cannot write MSRs");
		done = (unsigned int)r;
		if (done >= batch->nmsrs)
			return 0;
		refused = &batch->entries[done];
		if (refused->data != 0)
			return error_set(
				err, -EINVAL,
				"this kernel's KVM does not take MSR 0x%x with value 0x%llx: the "
				"guest uses something that this host kernel does not offer",
				refused->index, (unsigned long long)refused->data);
		log_debug("MSR 0x%x is not known here; it is 0 and left out", refused->index);
		batch->nmsrs -= done + 1;
		memmove(batch->entries, refused + 1, batch->nmsrs * sizeof(batch->entries[0]));
	}
	return 0;
}

static int set_pass(int vcpu_fd, const struct kvm_msr_entry *entries, unsigned int count,
		    bool deadline, struct error *err)
{
	struct msr_batch batch;
	unsigned int next = 0;
	int r = 0;

	while (r == 0 && next < count) {
		fill_batch(entries, count, &next, deadline, &batch);
		drop_equal(vcpu_fd, &batch);
		r = set_batch(vcpu_fd, &batch, err);
	}
	return r;
}

int msr_set_all(int vcpu_fd, const struct kvm_msr_entry *entries, unsigned int count,
		struct error *err)
{
	int r = set_pass(vcpu_fd, entries, count, false, err);

	return r < 0 ? r : set_pass(vcpu_fd, entries, count, true, err);
}
