/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves: Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst (0x40000000).
 */
#include "vmm/x86/cpuid.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"

static_assert(offsetof(struct cpuid_table, entries) == sizeof(struct kvm_cpuid2),
	      "struct kvm_cpuid2 has changed");

#define BIT(n) (1U << (n))

#define LEAF1_ECX_VMX	       BIT(5)
#define LEAF1_ECX_PDCM	       BIT(15)
#define LEAF1_ECX_X2APIC       BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR   BIT(31)
#define LEAF1_EDX_HTT	       BIT(28)
#define LEAF7_EBX_SGX	       BIT(2)
#define LEAF7_EBX_PT	       BIT(25)
#define LEAF7_ECX_SGX_LC       BIT(30)
#define EXT1_ECX_CMP_LEGACY    BIT(1)
#define EXT1_ECX_SVM	       BIT(2)
#define EXT1_ECX_PERFCTR_CORE  BIT(23)
#define EXT1_ECX_PERFCTR_NB    BIT(24)
#define EXT1_ECX_PERFCTR_LLC   BIT(28)
#define KVM_SIGNATURE_LEAF     0x40000000U
#define KVM_FEATURES_LEAF      0x40000001U
#define KVM_ASYNC_PF	       BIT(4)
#define KVM_PV_UNHALT	       BIT(7)
#define KVM_ASYNC_PF_VMEXIT    BIT(10)
#define KVM_ASYNC_PF_INT       BIT(14)
#define KVM_MSI_EXT_DEST_ID    BIT(15)
#define KVM_MIGRATION_CONTROL  BIT(17)
#define KVM_NOT_OFFERED                                                          \
	(KVM_ASYNC_PF | KVM_PV_UNHALT | KVM_ASYNC_PF_VMEXIT | KVM_ASYNC_PF_INT | \
	 KVM_MSI_EXT_DEST_ID | KVM_MIGRATION_CONTROL)

#define TOPOLOGY_LEVEL_SMT  1U
#define TOPOLOGY_LEVEL_CORE 2U

int cpuid_supported(int kvm_fd, struct cpuid_table *ret, struct error *err)
{
	*ret = (struct cpuid_table){.nent = CPUID_ENTRIES_MAX};
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, ret) < 0)
		return error_sys(err, -errno, "cannot learn which CPUID leaves KVM supports");
	return 0;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < table->nent; i++) {
		struct kvm_cpuid_entry2 *e = &table->entries[i];

		if (e->function == leaf &&
		    (e->index == subleaf || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

static void remove_leaf(struct cpuid_table *table, uint32_t leaf)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < table->nent; i++) {
		if (table->entries[i].function != leaf)
			table->entries[kept++] = table->entries[i];
	}
	table->nent = kept;
}

/* Bits of an APIC id that number the cores of the package. */
static unsigned int core_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while ((1U << bits) < cpus)
		bits++;
	return bits;
}

static void clear_bits(struct cpuid_table *t, uint32_t leaf, uint32_t ebx, uint32_t ecx)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(t, leaf, 0);

	if (e) {
		e->ebx &= ~ebx;
		e->ecx &= ~ecx;
	}
}

static void hide_unpreservable(struct cpuid_table *t)
{
	struct kvm_cpuid_entry2 *kvm;

	clear_bits(t, 1, 0, LEAF1_ECX_VMX | LEAF1_ECX_PDCM);
	clear_bits(t, 7, LEAF7_EBX_SGX | LEAF7_EBX_PT, LEAF7_ECX_SGX_LC);
	clear_bits(t, 0x80000001, 0,
		   EXT1_ECX_SVM | EXT1_ECX_PERFCTR_CORE | EXT1_ECX_PERFCTR_NB |
			   EXT1_ECX_PERFCTR_LLC);
	remove_leaf(t, 0xa);	    /* PMU */
	remove_leaf(t, 0x12);	    /* SGX */
	remove_leaf(t, 0x14);	    /* processor trace */
	remove_leaf(t, 0x8000000a); /* SVM */
	remove_leaf(t, 0x80000022); /* PMU of AMD */
	remove_leaf(t, 0x80000026); /* topology of AMD: 0xb says the same */
	kvm = cpuid_find(t, KVM_FEATURES_LEAF, 0);
	if (kvm)
		kvm->eax &= ~KVM_NOT_OFFERED;
}

static void set_leaf1(struct cpuid_table *t, unsigned int index, unsigned int cpus,
		      bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(t, 1, 0);

	if (!e)
		return;
	e->ebx = (e->ebx & 0xffff) | index << 24 | (1U << core_bits(cpus)) << 16;
	e->ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC;
	if (tsc_deadline)
		e->ecx |= LEAF1_ECX_TSC_DEADLINE;
	e->edx = cpus > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~LEAF1_EDX_HTT;
}

/* Caches: level 1 and 2 belong to a core, level 3 to the package. */
static void set_caches(struct cpuid_table *t, unsigned int cpus)
{
	uint32_t ids = (1U << core_bits(cpus)) - 1;

	for (uint32_t i = 0; i < t->nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->entries[i];
		uint32_t level = (e->eax >> 5) & 7, type = e->eax & 0x1f;

		if ((e->function != 4 && e->function != 0x8000001d) || type == 0)
			continue;
		e->eax &= 0x3fff;
		if (level >= 3)
			e->eax |= ids << 14;
		if (e->function == 4)
			e->eax |= ids << 26;
	}
}

static int add_topology_level(struct cpuid_table *t, uint32_t leaf, uint32_t level, uint32_t shift,
			      uint32_t threads, uint32_t type, uint32_t apic_id, struct error *err)
{
	if (t->nent == CPUID_ENTRIES_MAX)
		return error_set(err, -E2BIG, "this kernel's KVM has more than %d CPUID entries",
				 CPUID_ENTRIES_MAX);
	t->entries[t->nent++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = level,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = shift,
		.ebx = threads,
		.ecx = type << 8 | level,
		.edx = apic_id,
	};
	return 0;
}

/* Leaves 0xb and 0x1f: threads, then cores, then the end of the list. */
static int set_extended_topology(struct cpuid_table *t, uint32_t leaf, unsigned int index,
				 unsigned int cpus, struct error *err)
{
	int r;

	remove_leaf(t, leaf);
	if (t->entries[0].function != 0 || t->entries[0].eax < leaf)
		return 0;
	r = add_topology_level(t, leaf, 0, 0, 1, TOPOLOGY_LEVEL_SMT, index, err);
	if (r == 0)
		r = add_topology_level(t, leaf, 1, core_bits(cpus), cpus, TOPOLOGY_LEVEL_CORE,
				       index, err);
	if (r == 0)
		r = add_topology_level(t, leaf, 2, 0, 0, 0, index, err);
	return r;
}

static bool is_amd(struct cpuid_table *t)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(t, 0, 0);

	/* "AuthenticAMD", "HygonGenuine": the vendors that have these leaves. */
	return e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);
}

static void set_amd_topology(struct cpuid_table *t, unsigned int index, unsigned int cpus)
{
	struct kvm_cpuid_entry2 *e;

	if (!is_amd(t))
		return;
	e = cpuid_find(t, 0x80000001, 0);
	if (e)
		e->ecx = cpus > 1 ? e->ecx | EXT1_ECX_CMP_LEGACY : e->ecx & ~EXT1_ECX_CMP_LEGACY;
	e = cpuid_find(t, 0x80000008, 0);
	if (e)
		e->ecx = (e->ecx & ~0xf0ffU) | core_bits(cpus) << 12 | (cpus - 1);
	e = cpuid_find(t, 0x8000001e, 0);
	if (e) {
		e->eax = index; /* extended APIC id */
		e->ebx = index; /* core id; one thread per core */
		e->ecx = 0;	/* node 0, one node */
		e->edx = 0;
	}
}

int cpuid_for_vcpu(const struct cpuid_table *supported, unsigned int index, unsigned int cpus,
		   bool tsc_deadline, struct cpuid_table *ret, struct error *err)
{
	int r;

	*ret = *supported;
	hide_unpreservable(ret);
	set_leaf1(ret, index, cpus, tsc_deadline);
	set_caches(ret, cpus);
	set_amd_topology(ret, index, cpus);
	r = set_extended_topology(ret, 0xb, index, cpus, err);
	return r < 0 ? r : set_extended_topology(ret, 0x1f, index, cpus, err);
}

bool cpuid_has_nested(struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *e1 = cpuid_find(table, 1, 0);
	const struct kvm_cpuid_entry2 *ext = cpuid_find(table, 0x80000001, 0);

	return (e1 && e1->ecx & LEAF1_ECX_VMX) || (ext && ext->ecx & EXT1_ECX_SVM);
}

static bool find_lost_in(const struct kvm_cpuid_entry2 *wanted,
			 const struct kvm_cpuid_entry2 *offered, uint32_t mask_eax,
			 uint32_t mask_ebx, uint32_t mask_ecx, uint32_t mask_edx, char *buf,
			 size_t size)
{
	static const char *const names[] = {"eax", "ebx", "ecx", "edx"};
	uint32_t lost[] = {wanted->eax & mask_eax, wanted->ebx & mask_ebx, wanted->ecx & mask_ecx,
			   wanted->edx & mask_edx};

	if (offered) {
		lost[0] &= ~offered->eax;
		lost[1] &= ~offered->ebx;
		lost[2] &= ~offered->ecx;
		lost[3] &= ~offered->edx;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
		if (lost[i]) {
			snprintf(buf, size, "leaf 0x%x %s bit %d", wanted->function, names[i],
				 __builtin_ctz(lost[i]));
			return true;
		}
	}
	return false;
}

bool cpuid_find_lost(const struct cpuid_table *wanted, const struct cpuid_table *offered, char *buf,
		     size_t size)
{
	/* Only registers that are feature bits; bits that we set ourselves are left out. */
	static const struct {
		uint32_t leaf, subleaf, eax, ebx, ecx, edx;
	} masks[] = {
		{1, 0, 0, 0, ~(LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE),
		 ~LEAF1_EDX_HTT},
		{7, 0, 0, ~0U, ~0U, ~0U},
		{7, 1, ~0U, 0, 0, ~0U},
		{0xd, 0, ~0U, 0, 0, ~0U},
		{0xd, 1, ~0U, 0, ~0U, ~0U},
		{0x80000001, 0, 0, 0, ~EXT1_ECX_CMP_LEGACY, ~0U},
		{0x80000008, 0, 0, ~0U, 0, 0},
		{KVM_FEATURES_LEAF, 0, ~0U, 0, 0, 0},
	};
	struct cpuid_table a = *wanted, b = *offered;

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		const struct kvm_cpuid_entry2 *w = cpuid_find(&a, masks[i].leaf, masks[i].subleaf);

		if (w &&
		    find_lost_in(w, cpuid_find(&b, masks[i].leaf, masks[i].subleaf), masks[i].eax,
				 masks[i].ebx, masks[i].ecx, masks[i].edx, buf, size))
			return true;
	}
	return false;
}
