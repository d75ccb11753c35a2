/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's image as a state node. What a hostile blob could do with values that KVM takes is its
 * guest's own affair; checked here is what would make us or KVM misread the structure, and what
 * must not be there at all.
 */
#include <string.h>

#include "base/util.h"
#include "vmm/x86/vcpu_image.h"

#define CR4_VMXE  (1ULL << 13)
#define EFER_SVME (1ULL << 12)

/* XSAVE header, Intel SDM vol. 1, 13.4.2: at byte 512, XSTATE_BV, XCOMP_BV, then zeros. */
#define XSAVE_HEADER	   512
#define XSAVE_HEADER_WORDS 8
#define XSAVE_SIZE_MAX	   65536

#define EVENT_FLAGS                                                                           \
	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |                  \
	 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD | \
	 KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

/* Property, name in the node, field of the image: structures of the kernel's interface, whole. */
#define IMAGE_STRUCTS(X)          \
	X("mp-state", mp_state)   \
	X("regs", regs)           \
	X("sregs2", sregs)        \
	X("xcrs", xcrs)           \
	X("debugregs", debugregs) \
	X("lapic", lapic)         \
	X("events", events)

void vcpu_image_write(const struct vcpu_image *image, struct state_writer *w)
{
#define X(name, field) state_put_bytes(w, name, &image->field, sizeof(image->field));
	IMAGE_STRUCTS(X)
#undef X
	state_put_bytes(w, "cpuid", image->cpuid.entries,
			image->cpuid.nent * sizeof(image->cpuid.entries[0]));
	state_put_bytes(w, "msrs", image->msrs, image->msr_count * sizeof(image->msrs[0]));
	state_put_bytes(w, "xsave", image->xsave, image->xsave_size);
	state_put_u64(w, "mcg-cap", image->mcg_cap);
	if (image->has_ssp)
		state_put_u64(w, "ssp", image->ssp);
}

static void read_cpuid(struct state_reader *r, struct cpuid_table *table)
{
	size_t size;
	const void *data = state_get_blob(r, "cpuid", sizeof(table->entries), &size);

	state_require(r, size > 0 && size % sizeof(table->entries[0]) == 0,
		      "cpuid: not a number of whole entries");
	*table = (struct cpuid_table){.nent = (uint32_t)(size / sizeof(table->entries[0]))};
	if (data)
		memcpy(table->entries, data, size);
	for (uint32_t i = 0; i < table->nent; i++)
		state_require(r, (table->entries[i].flags & ~KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0,
			      "cpuid: entry %u has unknown flags", i);
}

static void read_msrs(struct state_reader *r, struct vcpu_image *image)
{
	size_t size;
	const void *data = state_get_blob(r, "msrs", sizeof(image->msrs), &size);

	state_require(r, size % sizeof(image->msrs[0]) == 0, "msrs: not a number of whole entries");
	image->msr_count = (unsigned int)(size / sizeof(image->msrs[0]));
	if (data)
		memcpy(image->msrs, data, size);
	for (unsigned int i = 0; i < image->msr_count; i++) {
		const struct kvm_msr_entry *m = &image->msrs[i];

		state_require(r, m->reserved == 0, "msrs: entry %u is not well-formed", i);
		state_require(r, msr_is_saved(m->index), "msrs: 0x%x does not belong there",
			      m->index);
		state_require(r, i == 0 || m->index > m[-1].index, "msrs: 0x%x is out of order",
			      m->index);
	}
}

/* What this host's area is larger by holds components that the guest was never offered: zero. */
static void read_xsave(struct state_reader *r, struct vcpu_image *image)
{
	size_t size;
	const void *data = state_get_blob(r, "xsave", XSAVE_SIZE_MAX, &size);
	uint64_t header[XSAVE_HEADER_WORDS] = {0};

	state_require(r, size >= sizeof(struct kvm_xsave), "xsave: too short");
	state_require(r, size <= image->xsave_size,
		      "xsave: %zu bytes, but this host's KVM has room for %zu: it lacks CPU "
		      "features that the guest has",
		      size, image->xsave_size);
	if (!data || r->code)
		return;
	memset(image->xsave, 0, image->xsave_size);
	memcpy(image->xsave, data, size);
	memcpy(header, (const char *)data + XSAVE_HEADER, sizeof(header));
	for (unsigned int i = 1; i < XSAVE_HEADER_WORDS; i++)
		state_require(r, header[i] == 0, "xsave: not in the standard format");
}

static void check_structs(struct state_reader *r, const struct vcpu_image *image)
{
	const struct kvm_vcpu_events *e = &image->events;

	state_require(r, image->mp_state.mp_state <= KVM_MP_STATE_SIPI_RECEIVED,
		      "mp-state: %u is unknown", image->mp_state.mp_state);
	state_require(r, (image->sregs.flags & ~(uint64_t)KVM_SREGS2_FLAGS_PDPTRS_VALID) == 0,
		      "sregs2: unknown flags");
	state_require(r, !(image->sregs.cr4 & CR4_VMXE) && !(image->sregs.efer & EFER_SVME),
		      "sregs2: nested virtualisation is on, which is not preserved");
	state_require(r, image->xcrs.nr_xcrs <= KVM_MAX_XCRS && image->xcrs.flags == 0,
		      "xcrs: not well-formed");
	state_require(r,
		      image->debugregs.flags == 0 && image->debugregs.dr6 >> 32 == 0 &&
			      image->debugregs.dr7 >> 32 == 0,
		      "debugregs: not well-formed");
	state_require(r, (e->flags & ~(uint32_t)EVENT_FLAGS) == 0, "events: unknown flags");
	state_require(r, e->exception.nr <= 31 && e->exception.injected <= 1,
		      "events: exception %u is not one", e->exception.nr);
	state_require(r, (image->mcg_cap & 0xff) <= 32, "mcg-cap: too many banks");
}

void vcpu_image_read(struct state_reader *r, struct vcpu_image *image)
{
#define X(name, field) state_get_bytes(r, name, &image->field, sizeof(image->field));
	IMAGE_STRUCTS(X)
#undef X
	read_cpuid(r, &image->cpuid);
	read_msrs(r, image);
	read_xsave(r, image);
	image->mcg_cap = state_get_u64(r, "mcg-cap");
	image->has_ssp = state_has(r, "ssp");
	image->ssp = image->has_ssp ? state_get_u64(r, "ssp") : 0;
	check_structs(r, image);
}

size_t vcpu_image_size_max(size_t xsave_size, unsigned int msr_count)
{
	/* Per property: token, length, name offset, padding; names are in the strings block. */
	const size_t overhead = 32;
	size_t size = 16 * overhead + MAX_OF(xsave_size, sizeof(struct kvm_xsave)) +
		      msr_count * sizeof(struct kvm_msr_entry) +
		      CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2);

#define X(name, field) size += sizeof(((struct vcpu_image *)NULL)->field);
	IMAGE_STRUCTS(X)
#undef X
	return size + 512;
}
