/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state nodes of vCPUs, clock, interrupt controllers and PIT: what was written is read, and a
 * blob that is wrong in any one property is refused with the property's name. No KVM: nodes are
 * checked, not applied.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vmm/x86/clock_state.h"
#include "vmm/x86/irqchip_state.h"
#include "vmm/x86/vcpu_image.h"
#include "vmm/x86/vcpu_state.h"
#include "vmm/x86/vm.h"

#define XSAVE_SIZE 4096

/* ---- A blob with one node, made by a function. ---- */

typedef void write_fn(struct state_writer *w, const void *arg);

struct made {
	struct state_writer *w;
	struct state_blob blob;
};

static struct made make_blob(const char *node, const char *compatible, write_fn *fn,
			     const void *arg)
{
	struct made made;
	const void *data;
	size_t size;

	assert_int_equal(state_writer_new(1 << 20, &made.w, NULL), 0);
	state_begin(made.w, node);
	state_put_string(made.w, "compatible", compatible);
	state_put_u32(made.w, "version", 1);
	fn(made.w, arg);
	state_end(made.w);
	assert_int_equal(state_writer_finish(made.w, &data, &size, NULL), 0);
	assert_int_equal(state_blob_open(data, size, &made.blob, NULL), 0);
	return made;
}

/* Checks the node with ops; the message must have `words` if it is refused. */
static void check_node(const struct state_ops *ops, void *obj, const char *instance, write_fn *fn,
		       const void *arg, const char *words)
{
	struct state_object object = {.ops = ops, .obj = obj};
	struct error err = ERROR_INIT;
	char node[64], compatible[64];
	struct made made;
	int r;

	snprintf(object.instance, sizeof(object.instance), "%s", instance);
	snprintf(node, sizeof(node), "%s%s%s", ops->name, instance[0] ? "@" : "", instance);
	snprintf(compatible, sizeof(compatible), "holdfast,%s", ops->name);
	made = make_blob(node, compatible, fn, arg);
	r = state_load_objects(&object, 1, &made.blob, NULL, STATE_CHECK, &err);
	if (words) {
		assert_true(r < 0);
		assert_non_null(strstr(err.message, node));
		assert_non_null(strstr(err.message, words));
	} else {
		assert_int_equal(r, 0);
	}
	state_writer_free(made.w);
}

/* ---- vCPU. ---- */

static struct vcpu_image *good_image(void)
{
	struct vcpu_image *image;

	assert_int_equal(vcpu_image_new(XSAVE_SIZE, &image, NULL), 0);
	memset(&image->regs, 0x11, sizeof(image->regs));
	image->sregs.cr0 = 0x80000011;
	image->xcrs.nr_xcrs = 1;
	image->xcrs.xcrs[0].value = 7;
	image->mp_state.mp_state = KVM_MP_STATE_HALTED;
	memset(&image->lapic, 0x22, sizeof(image->lapic));
	image->events.flags = KVM_VCPUEVENT_VALID_SHADOW;
	image->cpuid.nent = 2;
	image->cpuid.entries[1] = (struct kvm_cpuid_entry2){
		.function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ebx = 5};
	image->msr_count = 2;
	image->msrs[0] = (struct kvm_msr_entry){.index = 0x174, .data = 1};
	image->msrs[1] = (struct kvm_msr_entry){.index = 0xc0000081, .data = 2};
	image->mcg_cap = 10;
	memset(image->xsave, 0x33, 512);
	return image;
}

static void write_image(struct state_writer *w, const void *arg)
{
	vcpu_image_write(arg, w);
}

static void test_vcpu_round_trip(void **state _unused_)
{
	struct vcpu_image *in = good_image(), *out;
	struct state_reader root, node;
	struct made made;

	in->has_ssp = true;
	in->ssp = 0x1234;
	made = make_blob("vcpu@0", "holdfast,vcpu", write_image, in);
	assert_true(made.blob.size <= vcpu_image_size_max(XSAVE_SIZE, 2) + 256);
	/* A host with a larger area: the rest must come out as zeros. */
	assert_int_equal(vcpu_image_new(XSAVE_SIZE + 4096, &out, NULL), 0);
	memset(out->xsave, 0xff, out->xsave_size);
	state_reader_root(&root, &made.blob);
	assert_int_equal(state_reader_child(&root, "vcpu@0", &node), 0);
	state_get_string(&node, "compatible", 64);
	state_get_u32(&node, "version");
	vcpu_image_read(&node, out);
	assert_int_equal(state_reader_done(&node, NULL), 0);
	assert_memory_equal(&out->regs, &in->regs, sizeof(in->regs));
	assert_memory_equal(&out->sregs, &in->sregs, sizeof(in->sregs));
	assert_memory_equal(&out->xcrs, &in->xcrs, sizeof(in->xcrs));
	assert_memory_equal(&out->lapic, &in->lapic, sizeof(in->lapic));
	assert_memory_equal(&out->events, &in->events, sizeof(in->events));
	assert_memory_equal(&out->cpuid, &in->cpuid, sizeof(in->cpuid));
	assert_memory_equal(out->msrs, in->msrs, sizeof(in->msrs));
	assert_memory_equal(out->xsave, in->xsave, XSAVE_SIZE);
	for (size_t i = XSAVE_SIZE; i < out->xsave_size; i++)
		assert_int_equal(((uint8_t *)out->xsave)[i], 0);
	assert_int_equal(out->msr_count, 2);
	assert_int_equal(out->mcg_cap, 10);
	assert_true(out->has_ssp);
	assert_int_equal(out->ssp, 0x1234);
	vcpu_image_free(in);
	vcpu_image_free(out);
	state_writer_free(made.w);
}

static void check_image(struct vcpu_image *image, const char *words)
{
	static struct arch_vm vm = {.xsave_size = XSAVE_SIZE};
	struct x86_vcpu vcpu = {.vm = &vm, .fd = FD_NONE};

	check_node(&x86_vcpu_state_ops, &vcpu, "0", write_image, image, words);
	vcpu_image_free(image);
}

#define REFUSED(words, change)                       \
	do {                                         \
		struct vcpu_image *i = good_image(); \
		change;                              \
		check_image(i, words);               \
	} while (0)

static void test_vcpu_hostile_values(void **state _unused_)
{
	check_image(good_image(), NULL);
	REFUSED("mp-state", i->mp_state.mp_state = 77);
	REFUSED("sregs2", i->sregs.flags = 1ULL << 40);
	REFUSED("nested", i->sregs.cr4 |= 1ULL << 13);
	REFUSED("nested", i->sregs.efer |= 1ULL << 12);
	REFUSED("xcrs", i->xcrs.nr_xcrs = KVM_MAX_XCRS + 1);
	REFUSED("xcrs", i->xcrs.flags = 1);
	REFUSED("debugregs", i->debugregs.dr7 = 1ULL << 32);
	REFUSED("debugregs", i->debugregs.flags = 1);
	REFUSED("events", i->events.flags = 1U << 31);
	REFUSED("events", i->events.exception.nr = 32);
	REFUSED("mcg-cap", i->mcg_cap = 255);
	REFUSED("cpuid", i->cpuid.nent = 0);
	REFUSED("cpuid", i->cpuid.entries[0].flags = 1U << 9);
	REFUSED("msrs", i->msrs[0].reserved = 1);
	REFUSED("msrs", i->msrs[1].index = 0x174);
	REFUSED("msrs", i->msrs[0].index = MSR_IA32_TSC);
	REFUSED("msrs", i->msrs[1].index = 0x480);
	REFUSED("standard format", ((uint64_t *)i->xsave)[65] = 1ULL << 63);
}

/* A host whose KVM has less room than the guest's state takes. */
static void test_vcpu_of_a_larger_host(void **state _unused_)
{
	struct vcpu_image *image = good_image();

	image->xsave = realloc(image->xsave, XSAVE_SIZE + 64);
	assert_non_null(image->xsave);
	memset((char *)image->xsave + XSAVE_SIZE, 0, 64);
	image->xsave_size = XSAVE_SIZE + 64;
	check_image(image, "lacks CPU features");
}

/* Every property, in turn: gone, cut by a byte, longer by a byte. */
struct spoiled {
	const struct vcpu_image *image;
	const char *name;
	int delta; /* -1, 1; 0: gone */
};

static void put_spoiled(struct state_writer *w, const struct spoiled *s, const char *name,
			const void *data, size_t size)
{
	uint8_t copy[XSAVE_SIZE + 1] = {0};

	if (strcmp(s->name, name) != 0) {
		state_put_bytes(w, name, data, size);
		return;
	}
	assert_true(size < sizeof(copy));
	memcpy(copy, data, size);
	if (s->delta)
		state_put_bytes(w, name, copy, size + (size_t)s->delta);
}

static void write_spoiled(struct state_writer *w, const void *arg)
{
	const struct spoiled *s = arg;
	const struct vcpu_image *i = s->image;
	uint8_t mcg[8] = {0, 0, 0, 0, 0, 0, 0, 10};

	put_spoiled(w, s, "mp-state", &i->mp_state, sizeof(i->mp_state));
	put_spoiled(w, s, "regs", &i->regs, sizeof(i->regs));
	put_spoiled(w, s, "sregs2", &i->sregs, sizeof(i->sregs));
	put_spoiled(w, s, "xcrs", &i->xcrs, sizeof(i->xcrs));
	put_spoiled(w, s, "debugregs", &i->debugregs, sizeof(i->debugregs));
	put_spoiled(w, s, "lapic", &i->lapic, sizeof(i->lapic));
	put_spoiled(w, s, "events", &i->events, sizeof(i->events));
	put_spoiled(w, s, "cpuid", i->cpuid.entries, i->cpuid.nent * sizeof(i->cpuid.entries[0]));
	put_spoiled(w, s, "msrs", i->msrs, i->msr_count * sizeof(i->msrs[0]));
	put_spoiled(w, s, "xsave", i->xsave, i->xsave_size);
	put_spoiled(w, s, "mcg-cap", mcg, sizeof(mcg));
}

static void test_vcpu_wrong_lengths(void **state _unused_)
{
	static const char *const names[] = {"mp-state",	 "regs",  "sregs2", "xcrs",
					    "debugregs", "lapic", "events", "cpuid",
					    "msrs",	 "xsave", "mcg-cap"};
	static struct arch_vm vm = {.xsave_size = XSAVE_SIZE};
	struct x86_vcpu vcpu = {.vm = &vm, .fd = FD_NONE};
	struct vcpu_image *image = good_image();
	struct spoiled s = {.image = image, .name = "none of them"};

	check_node(&x86_vcpu_state_ops, &vcpu, "0", write_spoiled, &s, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		s.name = names[i];
		for (s.delta = -1; s.delta <= 1; s.delta++)
			check_node(&x86_vcpu_state_ops, &vcpu, "0", write_spoiled, &s, names[i]);
	}
	vcpu_image_free(image);
}

/* ---- Clock. ---- */

struct clock_fields {
	uint32_t host_khz, guest_khz;
	size_t offsets, kvmclock_size;
};

static void write_clock(struct state_writer *w, const void *arg)
{
	const struct clock_fields *f = arg;
	uint64_t offsets[8] = {0};
	uint8_t kvmclock[128] = {0};

	state_put_bytes(w, "kvmclock", kvmclock, f->kvmclock_size);
	state_put_u64(w, "host-tsc", UINT64_MAX);
	state_put_u64(w, "realtime-ns", UINT64_MAX);
	state_put_u32(w, "host-tsc-khz", f->host_khz);
	state_put_u32(w, "guest-tsc-khz", f->guest_khz);
	state_put_u64s(w, "tsc-offsets", offsets, f->offsets);
}

static void test_clock(void **state _unused_)
{
	static struct arch_vm vm = {.cpus = 2, .tsc_khz = 2000000, .vm_fd = FD_NONE};
	const size_t size = sizeof(struct kvm_clock_data);
	static const struct {
		struct clock_fields fields;
		const char *words;
	} cases[] = {
		{{2000000, 2000000, 2, sizeof(struct kvm_clock_data)}, NULL},
		{{2001000, 1999000, 2, sizeof(struct kvm_clock_data)}, NULL},
		{{0, 2000000, 2, sizeof(struct kvm_clock_data)}, "0 kHz"},
		{{2000000, 0, 2, sizeof(struct kvm_clock_data)}, "0 kHz"},
		{{2000000, 2100000, 2, sizeof(struct kvm_clock_data)}, "not the machine"},
		{{2000000, 2000000, 1, sizeof(struct kvm_clock_data)}, "tsc-offsets"},
		{{2000000, 2000000, 3, sizeof(struct kvm_clock_data)}, "tsc-offsets"},
		{{2000000, 2000000, 2, sizeof(struct kvm_clock_data) - 1}, "kvmclock"},
	};

	assert_true(size < 128);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_node(&x86_clock_state_ops, &vm, "", write_clock, &cases[i].fields,
			   cases[i].words);
}

/* ---- Interrupt controllers and PIT. ---- */

struct bytes {
	const void *data;
	size_t size;
};

static void write_registers(struct state_writer *w, const void *arg)
{
	const struct bytes *b = arg;

	state_put_bytes(w, "registers", b->data, b->size);
}

static void check_registers(const struct state_ops *ops, void *obj, const char *instance,
			    const void *data, size_t size, const char *words)
{
	struct bytes b = {data, size};

	check_node(ops, obj, instance, write_registers, &b, words);
}

static void test_interrupt_controllers(void **state _unused_)
{
	struct x86_irqchip pic = {FD_NONE, KVM_IRQCHIP_PIC_MASTER};
	struct x86_irqchip ioapic = {FD_NONE, KVM_IRQCHIP_IOAPIC};
	struct kvm_ioapic_state io = {.irr = 0xffffff};
	struct kvm_pic_state p = {.init_state = 3};

	check_registers(&x86_pic_state_ops, &pic, "0", &p, sizeof(p), NULL);
	check_registers(&x86_pic_state_ops, &pic, "0", &p, sizeof(p) - 1, "registers");
	p.init_state = 9;
	check_registers(&x86_pic_state_ops, &pic, "0", &p, sizeof(p), "initialisation");
	p = (struct kvm_pic_state){.priority_add = 8};
	check_registers(&x86_pic_state_ops, &pic, "0", &p, sizeof(p), "priority");
	check_registers(&x86_ioapic_state_ops, &ioapic, "", &io, sizeof(io), NULL);
	check_registers(&x86_ioapic_state_ops, &ioapic, "", &io, sizeof(io) - 8, "registers");
	io.irr = 1U << 24;
	check_registers(&x86_ioapic_state_ops, &ioapic, "", &io, sizeof(io), "pin");
}

static void test_pit(void **state _unused_)
{
	static struct arch_vm vm = {.vm_fd = FD_NONE};
	struct {
		struct kvm_pit_state2 pit;
		uint32_t more;
	} longer = {.pit.channels = {{.count = 0x10000, .mode = 2, .rw_mode = 3}, {.mode = 0xff}}};
	struct kvm_pit_state2 *pit = &longer.pit;

	check_registers(&x86_pit_state_ops, &vm, "", pit, sizeof(*pit), NULL);
	check_registers(&x86_pit_state_ops, &vm, "", &longer, sizeof(longer), "registers");
	pit->flags = 1U << 31;
	check_registers(&x86_pit_state_ops, &vm, "", pit, sizeof(*pit), "flags");
	pit->flags = 0;
	pit->channels[2].mode = 200;
	check_registers(&x86_pit_state_ops, &vm, "", pit, sizeof(*pit), "channel 2");
	pit->channels[2].mode = 0;
	pit->channels[1].count = 0x10001;
	check_registers(&x86_pit_state_ops, &vm, "", pit, sizeof(*pit), "channel 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vcpu_round_trip),
		cmocka_unit_test(test_vcpu_hostile_values),
		cmocka_unit_test(test_vcpu_of_a_larger_host),
		cmocka_unit_test(test_vcpu_wrong_lengths),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_interrupt_controllers),
		cmocka_unit_test(test_pit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
