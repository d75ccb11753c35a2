/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/msi on a KVM that is played by the test: what is signalled from here needs no route; an
 * eventfd gets one, follows the guest's address and data, and loses no signal to a mask.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/kvm.h>

#include "base/util.h"
#include "vmm/arch.h"
#include "vmm/msi.h"

#define VM_FD	1234
#define ADDRESS 0xfee01000ULL
#define PINS	38U /* routes of the controllers' pins: 15 of the PICs, 23 of the IOAPIC */

static struct {
	unsigned int signals, tables, assigns, deassigns;
	struct kvm_msi last;
	struct kvm_irqfd irqfd;
	uint32_t routes;
	struct kvm_irq_routing_entry last_route;
	unsigned long fails; /* request */
} kvm;

int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct kvm_irq_routing *table = arg;

	assert_int_equal(fd, VM_FD);
	if (request == kvm.fails) {
		errno = ENOSPC;
		return -1;
	}
	if (request == KVM_SIGNAL_MSI) {
		kvm.signals++;
		kvm.last = *(struct kvm_msi *)arg;
	} else if (request == KVM_SET_GSI_ROUTING) {
		kvm.tables++;
		kvm.routes = table->nr;
		kvm.last_route = table->entries[table->nr - 1];
	} else if (request == KVM_IRQFD) {
		kvm.irqfd = *(struct kvm_irqfd *)arg;
		if (kvm.irqfd.flags & KVM_IRQFD_FLAG_DEASSIGN)
			kvm.deassigns++;
		else
			kvm.assigns++;
	} else {
		fail_msg("ioctl 0x%lx", request);
	}
	return 0;
}

struct msi_test {
	struct msi_router *router;
	void *msi;
};

static void make(struct msi_test *t)
{
	struct error err = ERROR_INIT;

	memset(&kvm, 0, sizeof(kvm));
	assert_int_equal(msi_router_new(VM_FD, &t->router, &err), 0);
	assert_int_equal(kvm_msi_ops.alloc(t->router, &t->msi, &err), 0);
}

static void unmake(struct msi_test *t)
{
	kvm_msi_ops.free(t->router, t->msi);
	msi_router_free(t->router);
}

static int set(struct msi_test *t, uint64_t address, uint32_t data, bool masked)
{
	struct error err = ERROR_INIT;

	return kvm_msi_ops.set(t->router, t->msi, address, data, masked, &err);
}

static void test_signalled_from_here(void **state _unused_)
{
	struct msi_test t;

	make(&t);
	assert_int_equal(set(&t, ADDRESS | 5ULL << 32, 0x41, false), 0);
	kvm_msi_ops.fire(t.router, t.msi);
	assert_int_equal(kvm.signals, 1);
	assert_int_equal(kvm.last.address_lo, ADDRESS);
	assert_int_equal(kvm.last.address_hi, 5);
	assert_int_equal(kvm.last.data, 0x41);
	assert_false(kvm_msi_ops.pending(t.router, t.msi));
	/* An address that is nobody's: KVM refuses it, the device does not care. */
	kvm.fails = KVM_SIGNAL_MSI;
	kvm_msi_ops.fire(t.router, t.msi);
	unmake(&t);
	assert_int_equal(kvm.tables + kvm.assigns, 0);
}

static void test_eventfd(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct msi_test t;
	uint64_t one = 1;
	int fd;

	make(&t);
	fd = kvm_msi_ops.eventfd(t.router, t.msi, &err);
	assert_true(fd >= 0);
	assert_int_equal(kvm_msi_ops.eventfd(t.router, t.msi, &err), fd);
	/* Masked from the start: nothing listens, so a signal is kept and is seen as pending. */
	assert_int_equal(kvm.assigns, 0);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_true(kvm_msi_ops.pending(t.router, t.msi));
	assert_int_equal(set(&t, ADDRESS, 0x42, false), 0);
	assert_int_equal(kvm.signals, 1);
	assert_int_equal(kvm.last.data, 0x42);
	assert_false(kvm_msi_ops.pending(t.router, t.msi));
	assert_int_equal(kvm.assigns, 1);
	assert_int_equal(kvm.irqfd.fd, fd);
	assert_int_equal(kvm.routes, PINS + 1);
	assert_int_equal(kvm.last_route.type, KVM_IRQ_ROUTING_MSI);
	assert_int_equal(kvm.last_route.gsi, kvm.irqfd.gsi);
	assert_true(kvm.irqfd.gsi >= ARCH_GSI_MSI);
	/* Another address while it is live: a new table, the same irqfd. */
	assert_int_equal(set(&t, ADDRESS + 0x1000, 0x43, false), 0);
	assert_int_equal(kvm.assigns, 1);
	assert_int_equal(kvm.last_route.u.msi.address_lo, ADDRESS + 0x1000);
	assert_int_equal(kvm.last_route.u.msi.data, 0x43);
	assert_int_equal(set(&t, ADDRESS, 0x43, true), 0);
	assert_int_equal(kvm.deassigns, 1);
	assert_int_equal(set(&t, ADDRESS, 0x43, false), 0);
	assert_int_equal(kvm.assigns, 2);
	assert_int_equal(kvm.signals, 1);
	unmake(&t);
	assert_int_equal(kvm.deassigns, 2);
}

static void test_failures(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct msi_test t;

	make(&t);
	assert_int_equal(set(&t, ADDRESS, 0x42, false), 0);
	kvm.fails = KVM_IRQFD;
	assert_int_equal(kvm_msi_ops.eventfd(t.router, t.msi, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "KVM_IRQFD"));
	kvm.fails = KVM_SET_GSI_ROUTING;
	assert_int_equal(kvm_msi_ops.eventfd(t.router, t.msi, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "KVM_SET_GSI_ROUTING"));
	kvm.fails = 0;
	assert_true(kvm_msi_ops.eventfd(t.router, t.msi, &err) >= 0);
	assert_int_equal(kvm.assigns, 1);
	unmake(&t);
}

static void test_many_vectors(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct msi_test t;
	void *more[1024];
	int r = 0;

	make(&t);
	for (unsigned int i = 0; i < 1024; i++) {
		assert_int_equal(kvm_msi_ops.alloc(t.router, &more[i], &err), 0);
		r = kvm_msi_ops.eventfd(t.router, more[i], &err);
		assert_true(r >= 0);
	}
	assert_int_equal(kvm_msi_ops.eventfd(t.router, t.msi, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "more than 1024"));
	for (unsigned int i = 0; i < 1024; i++)
		kvm_msi_ops.free(t.router, more[i]);
	assert_true(kvm_msi_ops.eventfd(t.router, t.msi, &err) >= 0);
	unmake(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signalled_from_here),
		cmocka_unit_test(test_eventfd),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_many_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
