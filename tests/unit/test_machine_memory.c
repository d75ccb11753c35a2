/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/machine_memory: RAM that is added to a machine, on the real platform and a KVM that is
 * played. */
#include "tests/unit/machine_pci_test.h"

#include "tests/unit/guest_ram_test.h"
#include "tests/unit/meminfo_test.h"
#include "vmm/machine_priv.h"

#define SPEC_PORTS 0x700U /* vmm/x86/layout.h, devices/memory_hotplug.h */
#define SPEC_ADDED (SPEC_PORTS + 256U)
#define SPEC_GPE0  0x620U
#define SPEC_EVENT 2U
#define BOOT	   (64 * MIB)
#define PIECE	   (128 * MIB)

static struct machine_test t;
static struct machine m;

/* As CPUID leaf 0x80000008 says. */
static void set_width(unsigned int bits)
{
	t.arch.supported.nent = 1;
	t.arch.supported.entries[0] =
		(struct kvm_cpuid_entry2){.function = 0x80000008, .eax = 0x3000 | bits};
}

static void setup_with(uint64_t growth)
{
	make_growing(&t, BOOT, growth);
	assert_int_equal(make_devices(&t, NULL), 0);
	set_width(40);
	m = (struct machine){.config = t.config,
			     .loop = t.loop,
			     .ram = t.ram,
			     .vm_fd = VM_FD,
			     .arch = &t.arch,
			     .ports = t.ports,
			     .mmio = t.mmio,
			     .platform = t.platform,
			     .pci = t.pci,
			     .devices = t.devices};
	assert_int_equal(machine_memory_slots(&m, NULL), 0);
	assert_int_equal(machine_memory_hotplug_new(&m, NULL), 0);
}

static int teardown(void **state _unused_)
{
	if (m.memory_hotplug)
		bus_remove(t.ports, SPEC_PORTS);
	memory_hotplug_free(m.memory_hotplug);
	pinnable = 0;
	unmake(&t);
	return 0;
}

static uint32_t port(uint32_t at)
{
	uint32_t value;

	bus_read(t.ports, at, &value, sizeof(value));
	return value;
}

static bool event(void)
{
	uint8_t status;

	bus_read(t.ports, SPEC_GPE0, &status, 1);
	return status & 1U << SPEC_EVENT;
}

static void test_added(void **state _unused_)
{
	setup_with(GIB);
	assert_int_equal(kvm.slots, 1);
	assert_int_equal(kvm.slot.memory_size, BOOT);
	assert_false(event());
	/* What it has is no change. */
	assert_int_equal(machine_resize_memory(&m, BOOT, NULL), 0);
	assert_int_equal(kvm.slots, 1);
	assert_int_equal(machine_resize_memory(&m, BOOT + PIECE, NULL), 0);
	assert_int_equal(kvm.slots, 2);
	assert_int_equal(kvm.slot.slot, 1);
	assert_int_equal(kvm.slot.guest_phys_addr, 4 * GIB);
	assert_int_equal(kvm.slot.memory_size, PIECE);
	assert_int_equal(kvm.slot.userspace_addr, (uintptr_t)guest_ram_ptr(t.ram, 4 * GIB, PIECE));
	assert_int_equal(m.config.growth.count, 1);
	assert_int_equal(m.config.growth.sizes[0], PIECE);
	/* The guest is told, and finds it. */
	assert_true(event());
	assert_int_equal(port(SPEC_ADDED), 1);
	assert_int_equal(port(SPEC_PORTS), 0);
	assert_int_equal(port(SPEC_PORTS + 4), 1);
	assert_int_equal(port(SPEC_PORTS + 16), PIECE);
	assert_int_equal(machine_resize_memory(&m, BOOT + 4 * PIECE, NULL), 0);
	assert_int_equal(kvm.slot.slot, 2);
	assert_int_equal(kvm.slot.guest_phys_addr, 4 * GIB + PIECE);
	assert_int_equal(port(SPEC_ADDED), 3);
	assert_int_equal(port(SPEC_PORTS + 32 + 16), 3 * PIECE);
}

/* Whatever fails, the guest has not heard of it, and it can be tried again. */
static void test_undone(void **state _unused_)
{
	struct error err = ERROR_INIT;

	setup_with(GIB);
	kvm.slot_fails = ENOMEM;
	assert_int_equal(machine_resize_memory(&m, BOOT + PIECE, &err), -ENOMEM);
	assert_non_null(strstr(err.message, "KVM_SET_USER_MEMORY_REGION"));
	assert_int_equal(guest_ram_size(t.ram), BOOT);
	assert_null(guest_ram_ptr(t.ram, 4 * GIB, 1));
	assert_int_equal(m.config.growth.count, 0);
	assert_false(event());
	assert_int_equal(port(SPEC_ADDED), 0);
	assert_int_equal(port(SPEC_PORTS + 16), 0);
	kvm.slot_fails = 0;
	assert_int_equal(machine_resize_memory(&m, BOOT + PIECE, &err), 0);
	assert_true(event());
}

/* With prefault=on all of it is there before the guest hears of it; else it comes as it is used. */
static void test_made_at_once(void **state _unused_)
{
	struct error err = ERROR_INIT;

	setup_with(GIB);
	assert_int_equal(machine_resize_memory(&m, BOOT + PIECE, NULL), 0);
	assert_int_equal(guest_ram_test_there(guest_ram_region(t.ram, 1)), 0);
	m.config.prefault = true;
	if (machine_resize_memory(&m, BOOT + 2 * PIECE, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(guest_ram_test_there(guest_ram_region(t.ram, 2)), PIECE);
}

static void test_cannot_be_made_at_once(void **state _unused_)
{
	struct error err = ERROR_INIT;

	setup_with(GIB);
	m.config.prefault = true;
	pinnable = PIECE - 1;
	assert_int_equal(machine_resize_memory(&m, BOOT + PIECE, &err), -ENOMEM);
	assert_non_null(strstr(err.message, "prefault=on"));
	assert_int_equal(guest_ram_size(t.ram), BOOT);
	assert_int_equal(m.config.growth.count, 0);
	assert_false(event());
	pinnable = PIECE;
	assert_int_equal(machine_resize_memory(&m, BOOT + PIECE, &err), 0);
	assert_true(event());
}

static void test_refused(void **state _unused_)
{
	struct error err = ERROR_INIT;

	setup_with(PIECE);
	assert_int_equal(machine_resize_memory(&m, BOOT - PIECE / 64, &err), -ERANGE);
	assert_non_null(strstr(err.message, "vm.resize-balloon"));
	assert_int_equal(machine_resize_memory(&m, BOOT + 1, &err), -EINVAL);
	assert_int_equal(machine_resize_memory(&m, BOOT + 2 * PIECE, &err), -ERANGE);
	assert_non_null(strstr(err.message, "hotplug_size"));
	assert_int_equal(kvm.slots, 1);
	assert_false(event());
}

static void test_cannot_grow(void **state _unused_)
{
	struct error err = ERROR_INIT;
	uint32_t value;

	setup_with(0);
	assert_null(m.memory_hotplug);
	assert_int_equal(machine_resize_memory(&m, BOOT + PIECE, &err), -ERANGE);
	assert_non_null(strstr(err.message, "--memory size=64M,hotplug_size="));
	/* No such ports. */
	bus_read(t.ports, SPEC_PORTS + 16, &value, sizeof(value));
	assert_int_equal(value, UINT32_MAX);
}

/* 64 GiB from 4 GiB on need 37 bits. */
static void test_address_width(void **state _unused_)
{
	struct error err = ERROR_INIT;

	setup_with(64 * GIB);
	assert_int_equal(guest_ram_end(t.ram), 68 * GIB);
	set_width(37);
	assert_int_equal(arch_check_ram(&t.arch, t.ram, &err), 0);
	set_width(36);
	assert_int_equal(arch_check_ram(&t.arch, t.ram, &err), -ERANGE);
	assert_non_null(strstr(err.message, "36 bits"));
	t.arch.supported.nent = 0;
	assert_int_equal(arch_check_ram(&t.arch, t.ram, &err), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_added, teardown),
		cmocka_unit_test_teardown(test_undone, teardown),
		cmocka_unit_test_teardown(test_made_at_once, teardown),
		cmocka_unit_test_teardown(test_cannot_be_made_at_once, teardown),
		cmocka_unit_test_teardown(test_refused, teardown),
		cmocka_unit_test_teardown(test_cannot_grow, teardown),
		cmocka_unit_test_teardown(test_address_width, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
