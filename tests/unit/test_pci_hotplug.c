/* SPDX-License-Identifier: Apache-2.0 */
/* devices/pci/pci_hotplug: what the DSDT's methods read and write, and the state. */
#include "devices/pci/pci_hotplug.h"
#include "tests/unit/device_test.h"

struct fixture {
	struct pci_hotplug *hotplug;
	unsigned int raised;
	uint32_t ejected; /* bit per slot */
};

static void on_raise(void *opaque)
{
	((struct fixture *)opaque)->raised++;
}

static void on_eject(void *opaque, unsigned int slot)
{
	struct fixture *f = opaque;

	assert_in_range(slot, 1, 31);
	assert_false(f->ejected & 1U << slot);
	f->ejected |= 1U << slot;
}

static void make(struct fixture *f)
{
	const struct pci_hotplug_params params = {on_raise, on_eject, f};

	*f = (struct fixture){0};
	assert_int_equal(pci_hotplug_new(&params, &f->hotplug, NULL), 0);
}

static uint32_t get(struct fixture *f, unsigned int offset)
{
	return (uint32_t)pci_hotplug_io_ops.read(f->hotplug, offset, 4);
}

static void put(struct fixture *f, unsigned int offset, uint32_t value)
{
	pci_hotplug_io_ops.write(f->hotplug, offset, value, 4);
}

static void test_told_and_cleared(void **state _unused_)
{
	struct fixture f;

	make(&f);
	pci_hotplug_plugged(f.hotplug, 1);
	pci_hotplug_plugged(f.hotplug, 31);
	pci_hotplug_unplug(f.hotplug, 7);
	assert_int_equal(f.raised, 3);
	assert_int_equal(get(&f, PCI_HOTPLUG_PLUGGED), 0x80000002);
	assert_int_equal(get(&f, PCI_HOTPLUG_UNPLUG), 1 << 7);
	assert_int_equal(get(&f, PCI_HOTPLUG_EJECT), 0);
	/* What came after the OS has looked stays. */
	put(&f, PCI_HOTPLUG_PLUGGED, 1U << 1);
	assert_int_equal(get(&f, PCI_HOTPLUG_PLUGGED), 0x80000000);
	put(&f, PCI_HOTPLUG_UNPLUG, UINT32_MAX);
	assert_int_equal(get(&f, PCI_HOTPLUG_UNPLUG), 0);
	/* Nobody writes bits into it. */
	put(&f, PCI_HOTPLUG_PLUGGED, 1U << 9);
	assert_int_equal(get(&f, PCI_HOTPLUG_PLUGGED), 0x80000000);
	pci_hotplug_forget(f.hotplug, 31);
	assert_int_equal(get(&f, PCI_HOTPLUG_PLUGGED), 0);
	assert_int_equal(f.ejected, 0);
	pci_hotplug_free(f.hotplug);
}

static void test_eject(void **state _unused_)
{
	struct fixture f;

	make(&f);
	put(&f, PCI_HOTPLUG_EJECT, 0x80000005); /* slot 0 is the host bridge's */
	assert_int_equal(f.ejected, 0x80000004);
	pci_hotplug_free(f.hotplug);
}

/* The DSDT's field has DWordAcc. */
static void test_other_widths_do_nothing(void **state _unused_)
{
	struct fixture f;

	make(&f);
	pci_hotplug_plugged(f.hotplug, 3);
	for (unsigned int size = 1; size <= 8; size *= 2) {
		if (size == 4)
			continue;
		pci_hotplug_io_ops.write(f.hotplug, PCI_HOTPLUG_PLUGGED, UINT32_MAX, size);
		pci_hotplug_io_ops.write(f.hotplug, PCI_HOTPLUG_EJECT, UINT32_MAX, size);
		assert_int_equal(pci_hotplug_io_ops.read(f.hotplug, PCI_HOTPLUG_PLUGGED, size), 0);
	}
	assert_int_equal(get(&f, PCI_HOTPLUG_PLUGGED), 1 << 3);
	assert_int_equal(f.ejected, 0);
	pci_hotplug_free(f.hotplug);
}

static void test_state(void **state _unused_)
{
	struct fixture f, other;

	make(&f);
	make(&other);
	assert_round_trip(&pci_hotplug_state_ops, f.hotplug, other.hotplug);
	pci_hotplug_plugged(f.hotplug, 30);
	pci_hotplug_unplug(f.hotplug, 2);
	assert_round_trip(&pci_hotplug_state_ops, f.hotplug, other.hotplug);
	assert_int_equal(get(&other, PCI_HOTPLUG_PLUGGED), 1 << 30);
	assert_int_equal(get(&other, PCI_HOTPLUG_UNPLUG), 1 << 2);
	assert_structure_is_checked(&pci_hotplug_state_ops, f.hotplug, "");
	assert_refuses_u32(&pci_hotplug_state_ops, f.hotplug, "plugged", 1);
	assert_refuses_u32(&pci_hotplug_state_ops, f.hotplug, "unplug", 3);
	pci_hotplug_free(f.hotplug);
	pci_hotplug_free(other.hotplug);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told_and_cleared),
		cmocka_unit_test(test_eject),
		cmocka_unit_test(test_other_widths_do_nothing),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
