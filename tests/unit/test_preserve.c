/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of devices that stay with their guest: order and tokens (luo/tokens.h), what an
 * operator is told of a kernel without handlers, what comes back. The session is played by the
 * test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/tokens.h"
#include "vmm/passthrough_preserve.h"

static struct {
	struct source source;
	unsigned int count;
	struct {
		uint64_t token;
		ino_t inode;
		int fd; /* owned */
	} files[8];
	unsigned int fails_at; /* which call; 0: none */
	int code;
	unsigned int calls;
} fake;

static int files[3]; /* iommufd, two devices */
static struct kept_devices kept;
static struct vm_config config;

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int preserve(struct source *s _unused_, int fd, uint64_t token, const char *what,
		    struct error *err)
{
	if (++fake.calls == fake.fails_at)
		return error_set(err, fake.code, "%s: why", what);
	fake.files[fake.count].token = token;
	fake.files[fake.count].fd = dup(fd);
	fake.files[fake.count++].inode = inode(fd);
	return 0;
}

static int retrieve(struct source *s _unused_, uint64_t token, const char *what, int *ret_fd,
		    struct error *err)
{
	if (++fake.calls == fake.fails_at)
		return error_set(err, fake.code, "%s: why", what);
	for (unsigned int i = 0; i < fake.count; i++) {
		if (fake.files[i].token != token)
			continue;
		*ret_fd = dup(fake.files[i].fd);
		return 0;
	}
	return error_set(err, -ENOENT, "%s: no such token", what);
}

static struct source_ops ops = {.preserve = preserve, .retrieve = retrieve};

static void add_device(const char *id, unsigned int slot, enum vfio_pci_policy policy)
{
	struct vfio_pci_config *device = &config.devices[config.device_count++];

	*device = (struct vfio_pci_config){
		.fd = FD_NONE, .slot = (uint8_t)slot, .policy = policy, .kept = true};
	strcpy(device->id, id);
}

static int setup(void **state _unused_)
{
	memset(&fake, 0, sizeof(fake));
	ops.crosses_kexec = true;
	fake.source.ops = &ops;
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		files[i] = memfd_create("file", MFD_CLOEXEC);
		assert_true(files[i] >= 0);
	}
	vm_config_init(&config);
	add_device("nic", 9, VFIO_PCI_PRESERVE);
	add_device("gpu", 3, VFIO_PCI_PRESERVE);
	kept_devices_init(&kept);
	assert_int_equal(kept_devices_set_space(&kept, PASSTHROUGH_PRESERVED, files[0], 7, NULL),
			 0);
	assert_int_equal(kept_devices_add(&kept, 9, "nic", files[1], NULL), 0);
	assert_int_equal(kept_devices_add(&kept, 3, "gpu", files[2], NULL), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	kept_devices_done(&kept);
	while (fake.count > 0)
		close(fake.files[--fake.count].fd);
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++)
		close(files[i]);
	return 0;
}

static void assert_says(const struct error *err, const char *text)
{
	if (!strstr(err->message, text))
		fail_msg("\"%s\" does not say \"%s\"", err->message, text);
}

/* A device's handler asks for its iommufd: that one comes first. */
static void test_order(void **state _unused_)
{
	assert_int_equal(kept_devices_preserve(&kept, &fake.source, NULL), 0);
	assert_int_equal(fake.count, 3);
	assert_int_equal(fake.files[0].token, 0x200);
	assert_int_equal(fake.files[0].inode, inode(files[0]));
	assert_int_equal(fake.files[1].token, 0x309);
	assert_int_equal(fake.files[1].inode, inode(files[1]));
	assert_int_equal(fake.files[2].token, 0x303);
	kept_devices_done(&kept);
	/* Without devices there is nothing to preserve. */
	assert_int_equal(kept_devices_preserve(&kept, &fake.source, NULL), 0);
	assert_int_equal(fake.count, 3);
}

/* On the same kernel all devices stay: those of other policies have an address space of their own.
 */
static void test_two_spaces(void **state _unused_)
{
	ops.crosses_kexec = false;
	config.devices[1].policy = VFIO_PCI_RESET;
	assert_int_equal(kept_devices_set_space(&kept, PASSTHROUGH_OTHERS, files[2], 8, NULL), 0);
	assert_int_equal(kept_devices_preserve(&kept, &fake.source, NULL), 0);
	assert_int_equal(fake.count, 4);
	assert_int_equal(fake.files[0].token, 0x201);
	assert_int_equal(fake.files[1].token, 0x200);
	kept_devices_done(&kept);
	kept.spaces[PASSTHROUGH_OTHERS].ioas = 8;
	assert_int_equal(kept_devices_retrieve(&kept, &config, &fake.source, NULL), 0);
	assert_int_equal(kept.count, 2);
	assert_int_equal(inode(kept.spaces[PASSTHROUGH_OTHERS].iommufd), inode(files[2]));
	assert_int_equal(inode(kept.spaces[PASSTHROUGH_PRESERVED].iommufd), inode(files[0]));
	assert_int_equal(kept.spaces[PASSTHROUGH_OTHERS].ioas, 8);
}

static void refused(unsigned int at, int code, int expected, const char *device, const char *why)
{
	struct error err = ERROR_INIT;

	fake.calls = 0;
	fake.fails_at = at;
	fake.code = code;
	assert_int_equal(kept_devices_preserve(&kept, &fake.source, &err), expected);
	assert_true(strncmp(err.message, "device-preserve: ", 17) == 0);
	assert_says(&err, device);
	assert_says(&err, why);
}

static void test_no_handlers(void **state _unused_)
{
	refused(1, -ENOENT, -EOPNOTSUPP, "device nic", "no live update handler for iommufd");
	refused(2, -ENOENT, -EOPNOTSUPP, "device nic", "no live update handler for vfio-pci");
	refused(3, -ENOENT, -EOPNOTSUPP, "device gpu", "policy=reset or policy=detach");
	/* What else a handler says. */
	refused(3, -EINVAL, -EINVAL, "device gpu", "why");
	refused(1, -EBUSY, -EBUSY, "iommufd", "why");
}

static void test_given_back_since(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_int_equal(kept_devices_check(&kept, &config, &err), 0);
	vm_config_forget_device(&config, "nic");
	assert_int_equal(kept_devices_check(&kept, &config, &err), -ESTALE);
	assert_says(&err, "device nic: the guest has given it back");
}

static void test_retrieve(void **state _unused_)
{
	assert_int_equal(kept_devices_preserve(&kept, &fake.source, NULL), 0);
	kept_devices_done(&kept);
	config.devices[1].away = true;
	kept.spaces[PASSTHROUGH_PRESERVED].ioas = 7;
	assert_int_equal(kept_devices_retrieve(&kept, &config, &fake.source, NULL), 0);
	assert_int_equal(kept.count, 1);
	assert_int_equal(inode(kept.spaces[PASSTHROUGH_PRESERVED].iommufd), inode(files[0]));
	assert_int_equal(inode(kept_devices_find(&kept, 9)), inode(files[1]));
	assert_true(kept_devices_find(&kept, 3) < 0);
	assert_true(kept_devices_find(NULL, 9) < 0);
	/* The number of an address space means nothing to another kernel. */
	assert_int_equal(kept.spaces[PASSTHROUGH_PRESERVED].ioas, 0);
	kept_devices_done(&kept);
	ops.crosses_kexec = false;
	kept.spaces[PASSTHROUGH_PRESERVED].ioas = 7;
	assert_int_equal(kept_devices_retrieve(&kept, &config, &fake.source, NULL), 0);
	assert_int_equal(kept.spaces[PASSTHROUGH_PRESERVED].ioas, 7);
}

static void test_retrieve_fails(void **state _unused_)
{
	assert_int_equal(kept_devices_preserve(&kept, &fake.source, NULL), 0);
	kept_devices_done(&kept);
	for (unsigned int at = 1; at <= 3; at++) {
		struct error err = ERROR_INIT;

		fake.calls = 0;
		fake.fails_at = at;
		fake.code = -ENODEV;
		assert_int_equal(kept_devices_retrieve(&kept, &config, &fake.source, &err),
				 -ENODEV);
		assert_says(&err, at == 1 ? "iommufd" : at == 2 ? "device nic" : "device gpu");
		assert_int_equal(kept.count, 0);
		assert_true(kept.spaces[PASSTHROUGH_PRESERVED].iommufd < 0);
	}
	/* Nothing of the host is with the guest: nothing is asked for. */
	fake.calls = 0;
	config.device_count = 0;
	assert_int_equal(kept_devices_retrieve(&kept, &config, &fake.source, NULL), 0);
	assert_int_equal(fake.calls, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_order),	T(test_two_spaces),
					   T(test_no_handlers), T(test_given_back_since),
					   T(test_retrieve),	T(test_retrieve_fails)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
