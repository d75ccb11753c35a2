/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/machine_pci and vmm/machine_devices, on the real platform and buses, with a KVM that is
 * played by the test: what a guest finds where, what it may put where, and what goes to KVM.
 */
#include "base/clock.h"
#include "tests/unit/machine_pci_test.h"
#include "tests/unit/state_copy.h"

#define SLOT_BALLOON 29U
#define SLOT_RNG     30U
#define SLOT_HVC     31U
/* PCI Local Bus 3.0, 6.1: offsets; virtio 1.2, 4.1.2: vendor and devices. */
#define SPEC_COMMAND   0x04
#define SPEC_BAR0      0x10
#define SPEC_LINE      0x3c
#define VIRTIO_RNG     0x10441af4U
#define VIRTIO_BALLOON 0x10451af4U
#define VIRTIO_BLK     0x10421af4
#define VIRTIO_CON     0x10431af4U

static void config_write(struct machine_test *t, unsigned int slot, unsigned int offset,
			 uint32_t value)
{
	bus_write(t->mmio, ecam(slot, offset), &value, sizeof(value));
}

static uint32_t port_read(struct machine_test *t, uint32_t address)
{
	uint32_t value;

	bus_write(t->ports, 0xcf8, &address, sizeof(address));
	bus_read(t->ports, 0xcfc, &value, sizeof(value));
	return value;
}

static void test_what_a_guest_finds(void **state _unused_)
{
	static struct machine_test t;
	uint8_t byte = 0x06;

	make(&t);
	assert_int_equal(config_read(&t, SLOT_RNG, 0), VIRTIO_RNG);
	assert_int_equal(config_read(&t, SLOT_HVC, 0), VIRTIO_CON);
	assert_int_equal(config_read(&t, 5, 0), UINT32_MAX);
	assert_int_equal(port_read(&t, 0x80000000U | SLOT_RNG << 11), VIRTIO_RNG);
	assert_int_equal(port_read(&t, 0x80000000U), config_read(&t, 0, 0));
	assert_string_equal(machine_devices_hvc(t.devices), "/dev/null");
	/* _PRT's interrupt, for who does not read it. */
	assert_int_equal(config_read(&t, SLOT_RNG, SPEC_LINE) & 0xff,
			 acpi_pci_intx_gsi(SLOT_RNG, 0));
	/* The reset register is amid the configuration ports. */
	bus_write(t.ports, 0xcf9, &byte, 1);
	assert_int_equal(t.resets, 1);
	unmake(&t);
}

static void test_bars(void **state _unused_)
{
	static struct machine_test t;
	uint32_t bar, other;
	uint16_t value;

	make(&t);
	bar = config_read(&t, SLOT_HVC, SPEC_BAR0);
	assert_in_range(bar, MMIO32_ADDR, MMIO32_END - 1);
	bus_read(t.mmio, bar + 18, &value, sizeof(value)); /* num_queues */
	assert_int_equal(value, 0xffff);
	config_write(&t, SLOT_HVC, SPEC_COMMAND, 2);
	bus_read(t.mmio, bar + 18, &value, sizeof(value));
	assert_int_equal(value, 2);
	assert_int_equal(kvm.bells, 2);
	assert_in_range(kvm.bell_addr, bar, bar + 0xffff);
	/* Elsewhere in the window; outside of it; over another's. */
	other = bar + 0x1000000;
	config_write(&t, SLOT_HVC, SPEC_BAR0, other);
	bus_read(t.mmio, other + 18, &value, sizeof(value));
	assert_int_equal(value, 2);
	assert_in_range(kvm.bell_addr, other, other + 0xffff);
	config_write(&t, SLOT_HVC, SPEC_BAR0, 0xfec00000);
	bus_read(t.mmio, 0xfec00000 + 18, &value, sizeof(value));
	assert_int_equal(value, 0xffff);
	assert_int_equal(kvm.bells, 0);
	config_write(&t, SLOT_RNG, SPEC_COMMAND, 2);
	config_write(&t, SLOT_HVC, SPEC_BAR0, config_read(&t, SLOT_RNG, SPEC_BAR0));
	assert_int_equal(kvm.bells, 1);
	bus_read(t.mmio, config_read(&t, SLOT_RNG, SPEC_BAR0) + 18, &value, sizeof(value));
	assert_int_equal(value, 1);
	unmake(&t);
}

/* Slots that share a pin: it stays up as long as one pulls. */
static void test_shared_pins(void **state _unused_)
{
	static struct machine_test t;
	struct pci_attach a, b, c;
	unsigned int gsi = acpi_pci_intx_gsi(1, 0);

	make(&t);
	a = machine_pci_attach(t.pci, 1);
	b = machine_pci_attach(t.pci, 5);
	c = machine_pci_attach(t.pci, 2);
	irq_line_set(&a.intx, true);
	assert_true(kvm.pin[gsi]);
	irq_line_set(&b.intx, true);
	irq_line_set(&c.intx, true);
	assert_true(kvm.pin[acpi_pci_intx_gsi(2, 0)]);
	irq_line_set(&a.intx, false);
	assert_true(kvm.pin[gsi]);
	assert_int_equal(kvm.pin_calls, 2);
	irq_line_set(&b.intx, false);
	assert_false(kvm.pin[gsi]);
	irq_line_set(&c.intx, false);
	unmake(&t);
}

/* api.rst, 4.75: KVM_IRQFD_FLAG_RESAMPLE, with the descriptor that an end of interrupt signals. */
static void test_pin_by_descriptor(void **state _unused_)
{
	struct error err = ERROR_INIT;
	static struct machine_test t;
	struct pci_attach attach;

	make(&t);
	attach = machine_pci_attach(t.pci, 3);
	assert_int_equal(attach.intx_fds->assign(attach.intx_fd_opaque, 70, 71, &err), 0);
	assert_int_equal(kvm.irqfd.fd, 70);
	assert_int_equal(kvm.irqfd.resamplefd, 71);
	assert_int_equal(kvm.irqfd.flags, KVM_IRQFD_FLAG_RESAMPLE);
	assert_int_equal(kvm.irqfd.gsi, arch_pci_intx_gsi(3));
	attach.intx_fds->remove(attach.intx_fd_opaque, 70);
	assert_int_equal(kvm.irqfd.flags, KVM_IRQFD_FLAG_DEASSIGN);
	assert_int_equal(kvm.irqfd.gsi, arch_pci_intx_gsi(3));
	unmake(&t);
}

static void test_without_devices(void **state _unused_)
{
	static struct machine_test t;
	struct state_object objects[MACHINE_DEVICES_MAX];

	make_with(&t, VM_MEMORY_MIN);
	t.config.rng.on = false;
	t.config.hvc.mode = CONSOLE_OFF;
	assert_int_equal(make_devices(&t, NULL), 0);
	assert_int_equal(machine_devices_objects(t.devices, objects), 0);
	assert_null(machine_devices_hvc(t.devices));
	assert_int_equal(config_read(&t, SLOT_RNG, 0), UINT32_MAX);
	unmake(&t);
}

/* What cannot be made is named, and what was made before it is gone. */
static void test_refused(void **state _unused_)
{
	static struct machine_test t;
	struct error err = ERROR_INIT;

	make_with(&t, VM_MEMORY_MIN);
	snprintf(t.config.rng.source, sizeof(t.config.rng.source), "/dev/no-such-generator");
	assert_int_equal(make_devices(&t, &err), -ENOENT);
	assert_non_null(strstr(err.message, "rng source /dev/no-such-generator: No such file"));
	vm_config_init(&t.config);
	t.config.hvc = (struct console_config){.mode = CONSOLE_SOCKET, .path = "/nowhere/hvc"};
	assert_true(make_devices(&t, &err) < 0);
	assert_non_null(strstr(err.message, "hvc: "));
	assert_non_null(strstr(err.message, "/nowhere/hvc"));
	assert_int_equal(config_read(&t, SLOT_RNG, 0), UINT32_MAX);
	unmake(&t);
}

/* As an OS does it: enables the event, is interrupted, reads and clears, and lets go. */
static void test_unplug_and_plug(void **state _unused_)
{
	static struct machine_test t;
	struct state_object objects[MACHINE_DEVICES_MAX];
	struct error err = ERROR_INIT;
	uint8_t event = 1U << ACPI_GPE_PCI_HOTPLUG, byte;

	make(&t);
	bus_write(t.ports, PORT_GPE0 + 8, &event, 1);
	assert_int_equal(machine_devices_request_unplug(t.devices, "disk", &err), -ENOENT);
	assert_non_null(strstr(err.message, "no device \"disk\""));
	assert_int_equal(machine_devices_request_unplug(t.devices, "rng", &err), 0);
	assert_true(kvm.pin[GSI_SCI]);
	bus_write(t.ports, PORT_GPE0, &event, 1);
	assert_false(kvm.pin[GSI_SCI]);
	assert_int_equal(hotplug_read(&t, 4), 1U << SLOT_RNG);
	hotplug_write(&t, 4, 1U << SLOT_RNG);
	assert_int_equal(hotplug_read(&t, 4), 0);
	/* Still there until it is let go of, then gone at once; the rest follows on the loop. */
	assert_int_equal(config_read(&t, SLOT_RNG, 0), VIRTIO_RNG);
	hotplug_write(&t, 8, 1U << SLOT_RNG | 1U << 7 | 1);
	assert_int_equal(config_read(&t, SLOT_RNG, 0), UINT32_MAX);
	assert_int_equal(config_read(&t, 0, 0) & 0xffff, 0x1b36);
	assert_string_equal(t.gone, "");
	assert_int_equal(loop_run_once(t.loop, 100), 0);
	assert_string_equal(t.gone, "rng");
	assert_int_equal(machine_devices_objects(t.devices, objects), 1);
	/* And another one. */
	t.config.rng = (struct rng_config){.on = true, .source = "/dev/no-such-generator"};
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), -ENOENT);
	assert_int_equal(hotplug_read(&t, 0), 0);
	snprintf(t.config.rng.source, sizeof(t.config.rng.source), "/dev/zero");
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), 0);
	assert_true(kvm.pin[GSI_SCI]);
	bus_read(t.ports, PORT_GPE0, &byte, 1);
	assert_int_equal(byte, event);
	assert_int_equal(hotplug_read(&t, 0), 1U << SLOT_RNG);
	assert_int_equal(config_read(&t, SLOT_RNG, 0), VIRTIO_RNG);
	assert_int_equal(config_read(&t, SLOT_RNG, SPEC_BAR0), 0); /* the OS places it */
	assert_int_equal(machine_devices_objects(t.devices, objects), 2);
	unmake(&t);
}

/* What a guest let go of just before it was stopped is not saved. */
static void add_disk(struct machine_test *t, unsigned int slot, const char *id, const char *path)
{
	struct virtio_blk_config *disk = &t->config.disks[t->config.disk_count++];

	virtio_blk_config_init(disk);
	snprintf(disk->id, sizeof(disk->id), "%s", id);
	snprintf(disk->path, sizeof(disk->path), "%s", path);
	disk->slot = (uint8_t)slot;
}

/* In its slot, on a thread of its own; asked for by name, and told when memory is kept. */
static void test_balloon(void **state _unused_)
{
	static struct machine_test t;
	struct error err = ERROR_INIT;
	json_t *json;

	make(&t);
	assert_int_equal(machine_devices_resize_balloon(t.devices, 0, &err), -ENOENT);
	assert_non_null(strstr(err.message, "--balloon"));
	assert_null(machine_devices_balloon_statistics(t.devices));
	machine_devices_keep_memory(t.devices, true);
	t.config.balloon = (struct virtio_balloon_config){.on = true, .size = VM_MEMORY_MIN + 4096};
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), -EINVAL);
	assert_int_equal(config_read(&t, SLOT_BALLOON, 0), UINT32_MAX);
	t.config.balloon.size = 8 * MIB;
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), 0);
	assert_int_equal(config_read(&t, SLOT_BALLOON, 0), VIRTIO_BALLOON);
	assert_int_equal(machine_devices_resize_balloon(t.devices, 16 * MIB, &err), 0);
	assert_int_equal(machine_devices_resize_balloon(t.devices, GIB, &err), -EINVAL);
	json = machine_devices_balloon_statistics(t.devices);
	assert_int_equal(json_integer_value(json_object_get(json, "size")), 16 * MIB);
	assert_int_equal(json_integer_value(json_object_get(json, "actual")), 0);
	assert_null(json_object_get(json, "statistics"));
	json_decref(json);
	json = machine_devices_counters(t.devices);
	assert_non_null(json_object_get(json_object_get(json, "balloon"), "given-back-bytes"));
	json_decref(json);
	machine_devices_keep_memory(t.devices, true);
	machine_devices_keep_memory(t.devices, false);
	hotplug_write(&t, 8, 1U << SLOT_BALLOON);
	machine_pci_settle(t.pci);
	assert_string_equal(t.gone, "balloon");
	assert_false(t.config.balloon.on);
	assert_null(machine_devices_balloon_statistics(t.devices));
	unmake(&t);
}

/* Two disks come, all or none; one goes by its name, and the slot of the other stays. */
static void test_disks_come_and_go(void **state _unused_)
{
	static struct machine_test t;
	struct state_object objects[MACHINE_DEVICES_MAX];
	char a[] = "/tmp/holdfast-disk-XXXXXX", b[] = "/tmp/holdfast-disk-XXXXXX";
	int fds[] = {mkstemp(a), mkstemp(b)};
	struct problems problems = {0};
	struct error err = ERROR_INIT;
	json_t *counters;

	make(&t);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
		assert_int_equal(ftruncate(fds[i], 1 << 20), 0);
		close(fds[i]);
	}
	add_disk(&t, 7, "data", a);
	add_disk(&t, 3, "root", "/no/such/image");
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/no/such/image"));
	assert_int_equal(machine_devices_objects(t.devices, objects), 2);
	assert_int_equal(config_read(&t, 7, 0), UINT32_MAX);

	snprintf(t.config.disks[1].path, sizeof(b), "%s", b);
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), 0);
	assert_int_equal(config_read(&t, 7, 0), VIRTIO_BLK);
	assert_int_equal(config_read(&t, 3, 0), VIRTIO_BLK);
	assert_int_equal(machine_devices_objects(t.devices, objects), 4);
	assert_string_equal(objects[0].instance, "3");
	assert_string_equal(objects[1].instance, "7");

	machine_devices_check_update(t.devices, &problems);
	assert_int_equal(problems.count, 0);
	assert_int_equal(unlink(b), 0);
	machine_devices_check_update(t.devices, &problems);
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text, b));
	assert_int_equal(machine_devices_resize_disk(t.devices, "data", 2 << 20, &err), 0);
	assert_int_equal(machine_devices_resize_disk(t.devices, "hvc", 2 << 20, &err), -ENOENT);
	counters = machine_devices_counters(t.devices);
	assert_int_equal(json_object_size(counters), 2);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(counters, "data"), "size")),
		2 << 20);
	json_decref(counters);

	hotplug_write(&t, 8, 1U << 3);
	machine_pci_settle(t.pci);
	assert_string_equal(t.gone, "root");
	assert_int_equal(t.config.disk_count, 1);
	assert_int_equal(config_read(&t, 3, 0), UINT32_MAX);
	assert_int_equal(config_read(&t, 7, 0), VIRTIO_BLK);
	unmake(&t);
	unlink(a);
}

static void test_eject_before_a_freeze(void **state _unused_)
{
	static struct machine_test t;
	struct state_object objects[MACHINE_DEVICES_MAX];

	make(&t);
	hotplug_write(&t, 8, 1U << SLOT_HVC);
	machine_pci_settle(t.pci);
	assert_string_equal(t.gone, "hvc");
	assert_null(machine_devices_hvc(t.devices));
	assert_int_equal(machine_devices_objects(t.devices, objects), 1);
	unmake(&t);
}

static size_t objects_of(struct machine_test *t, struct state_object *objects)
{
	size_t count = machine_pci_objects(t->pci, objects);

	return count + machine_devices_objects(t->devices, objects + count);
}

/* A guest's placement of the devices goes over, and what was saved fits into what was promised. */
static void test_state(void **state _unused_)
{
	static struct machine_test from, to;
	struct state_object objects[MACHINE_DEVICES_MAX + MACHINE_PCI_OBJECTS_MAX];
	struct state_writer *w;
	struct state_blob blob;
	const void *data;
	uint16_t value;
	size_t size;

	make(&from);
	config_write(&from, SLOT_HVC, SPEC_BAR0, 0xd0000000);
	config_write(&from, SLOT_HVC, SPEC_COMMAND, 6);
	assert_int_equal(machine_devices_request_unplug(from.devices, "hvc", NULL), 0);
	assert_int_equal(machine_devices_drain(from.devices, clock_monotonic_ns(), NULL), 0);
	assert_int_equal(state_writer_new(1 << 20, &w, NULL), 0);
	assert_int_equal(state_save_objects(objects, objects_of(&from, objects), w, NULL), 0);
	assert_int_equal(state_writer_finish(w, &data, &size, NULL), 0);
	assert_true(size < machine_devices_state_size_max(from.devices) + 2048);
	assert_string_equal(objects[2].instance, "1e");
	machine_devices_thaw(from.devices);

	assert_int_equal(state_blob_open(data, size, &blob, NULL), 0);
	unmake(&from);
	make(&to);
	assert_int_equal(state_load_objects(objects, objects_of(&to, objects), &blob, NULL,
					    STATE_APPLY, NULL),
			 0);
	machine_devices_resumed(to.devices);
	assert_int_equal(hotplug_read(&to, 4), 1U << SLOT_HVC);
	bus_read(to.mmio, 0xd0000000 + 18, &value, sizeof(value));
	assert_int_equal(value, 2);
	assert_int_equal(kvm.bells, 2);
	unmake(&to);
	state_writer_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_guest_finds),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_shared_pins),
		cmocka_unit_test(test_pin_by_descriptor),
		cmocka_unit_test(test_without_devices),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unplug_and_plug),
		cmocka_unit_test(test_balloon),
		cmocka_unit_test(test_disks_come_and_go),
		cmocka_unit_test(test_eject_before_a_freeze),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
