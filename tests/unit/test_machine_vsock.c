/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device in the machine, on a kernel's vhost-vsock that is played by the test. */
#include <fcntl.h>

#include "devices/virtio/vsock/vsock.h"
#include "tests/unit/machine_pci_test.h"
#include "tests/unit/vhost_fake.h"

#define SLOT_VSOCK   28U
#define VIRTIO_VSOCK 0x10531af4U /* virtio 1.2, 4.1.2 */

/* The host's device is there if the test says so. */
static bool has_vhost_vsock;

int __wrap_open64(const char *path, int flags, mode_t mode);
int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
	if (strcmp(path, VIRTIO_VSOCK_HOST_DEVICE) == 0)
		path = has_vhost_vsock ? "/dev/null" : "/nonexistent/vhost-vsock";
	return __real_open64(path, flags, mode);
}

int __wrap_access(const char *path, int mode);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode)
{
	if (strcmp(path, VIRTIO_VSOCK_HOST_DEVICE) == 0)
		path = has_vhost_vsock ? "/dev/null" : "/nonexistent/vhost-vsock";
	return __real_access(path, mode);
}

/* In its slot; the kernel is given the guest's RAM, both pieces of it. Preflight finds a host's
 * device that is gone. */
static void test_vsock(void **state _unused_)
{
	static struct machine_test t;
	struct problems problems = {0};
	struct error err = ERROR_INIT;

	vhost_fake_init();
	other_ioctl = vhost_fake_ioctl;
	has_vhost_vsock = false;
	make_with(&t, 5 * GIB);
	assert_int_equal(make_devices(&t, NULL), 0);
	t.config.vsock = (struct virtio_vsock_config){.on = true, .cid = 7};
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), -ENOENT);
	assert_non_null(strstr(err.message, VIRTIO_VSOCK_HOST_DEVICE));
	assert_int_equal(config_read(&t, SLOT_VSOCK, 0), UINT32_MAX);
	has_vhost_vsock = true;
	assert_int_equal(machine_devices_plug(t.devices, &t.config, &err), 0);
	assert_int_equal(config_read(&t, SLOT_VSOCK, 0), VIRTIO_VSOCK);
	assert_int_equal(vhost_fake.cid, 7);
	assert_int_equal(vhost_fake.regions, guest_ram_region_count(t.ram));
	for (unsigned int i = 0; i < vhost_fake.regions; i++) {
		const struct guest_memory_region *region = guest_ram_region(t.ram, i);

		assert_true(vhost_fake.region[i].gpa == region->gpa);
		assert_true(vhost_fake.region[i].size == region->size);
		assert_true(vhost_fake.region[i].hva == (uintptr_t)region->hva);
	}
	machine_devices_check_update(t.devices, &problems);
	assert_int_equal(problems.count, 0);
	has_vhost_vsock = false;
	machine_devices_check_update(t.devices, &problems);
	assert_int_equal(problems_result(&problems, &err), -EINVAL);
	assert_non_null(strstr(err.message, "modprobe vhost_vsock"));
	assert_int_equal(machine_devices_request_unplug(t.devices, "vsock", &err), 0);
	hotplug_write(&t, 8, 1U << SLOT_VSOCK);
	machine_pci_settle(t.pci);
	assert_string_equal(t.gone, "vsock");
	assert_false(t.config.vsock.on);
	unmake(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vsock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
