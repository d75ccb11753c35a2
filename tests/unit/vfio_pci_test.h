/* SPDX-License-Identifier: Apache-2.0 */
/* A device that is passed through, for a program that tests it: on a fake kernel, in a fake
 * machine. */
#ifndef HOLDFAST_TESTS_UNIT_VFIO_PCI_TEST_H
#define HOLDFAST_TESTS_UNIT_VFIO_PCI_TEST_H

#include "devices/vfio/vfio_pci.h"

#include <linux/vfio.h>
#include <sys/eventfd.h>

#include "iommu/vfio.h"
#include "tests/unit/fake_vfio.h"
#include "tests/unit/pci_test.h"

#define SPEC_MSI_ENABLE 0x0001
#define SPEC_LAPIC	0xfee00000U
#define BAR0		0xc0000000U
#define MSI		0x40U /* where the device has its capability */

static struct fake_machine machine;
static struct loop *loop;
static struct iommufd *io;
static struct vfio_pci *v;
static struct pci_device *pci;
static unsigned int events[2];

static inline int setup(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_vfio_begin();
	fake_machine_init(&machine);
	fake_machine_offer_fds(&machine);
	memset(events, 0, sizeof(events));
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(iommufd_open("/dev/null", &io, &err), 0);
	return 0;
}

/* The test may have left the device to somebody else. */
static inline int teardown_kept(void **state _unused_)
{
	vfio_pci_free(v);
	v = NULL;
	fake_machine_check_empty(&machine);
	iommufd_free(io);
	loop_free(loop);
	fake_vfio_end();
	return 0;
}

static inline int teardown(void **state)
{
	vfio_pci_free(v);
	v = NULL;
	assert_false(fake_vfio.attached);
	return teardown_kept(state);
}

static void on_event(void *opaque _unused_, enum vfio_pci_event event)
{
	events[event]++;
}

static inline int try_open_with(int kept_fd, bool waits, struct error *err)
{
	static const struct vfio_pci_config config = {
		.host = FAKE_VFIO_ADDRESS, .fd = FD_NONE, .id = "nic0"};
	const struct vfio_pci_params params = {.config = &config,
					       .kept_fd = kept_fd,
					       .waits = waits,
					       .shares = true,
					       .root = fake_vfio.root,
					       .io = io,
					       .loop = loop,
					       .attach = &machine.attach,
					       .event = on_event};

	return vfio_pci_new(&params, &v, err);
}

static inline int try_open(struct error *err)
{
	return try_open_with(FD_NONE, false, err);
}

static inline void open_with(int kept_fd, bool waits)
{
	struct error err = ERROR_INIT;

	if (try_open_with(kept_fd, waits, &err) < 0)
		fail_msg("%s", error_message(&err));
	pci = vfio_pci_function(v);
}

static inline void open_device(void)
{
	open_with(FD_NONE, false);
}

static inline uint32_t get(unsigned int offset, unsigned int size)
{
	return pci_config_read(pci, offset, size);
}

static inline void put(unsigned int offset, uint32_t value, unsigned int size)
{
	pci_config_write(pci, offset, value, size);
}

/* Offset of a capability in what the guest sees; 0: none. */
static inline unsigned int find_cap(uint8_t id)
{
	unsigned int at = get(SPEC_CAP_POINTER, 1);

	for (int i = 0; i < 48 && at; i++) {
		assert_true(at >= 0x40 && at % 4 == 0);
		if (get(at, 1) == id)
			return at;
		at = get(at + 1, 1);
	}
	assert_int_equal(at, 0);
	return 0;
}

#endif
