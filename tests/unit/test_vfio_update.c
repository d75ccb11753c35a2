/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that stays with its guest through an update, on a kernel that is played by the test: it
 * is left at work, without interrupts, and comes back by its descriptor with what the guest sees of
 * it. That a real one goes on is for a scenario to show.
 */
#include "tests/unit/vfio_pci_test.h"

#include "tests/unit/state_copy.h"

#define DATA 0x4041U

/* As a driver does it: BAR, bus mastering, one message. */
static void guest_works(void)
{
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY | SPEC_CMD_MASTER, 2);
	put(MSI + 4, SPEC_LAPIC, 4);
	put(MSI + 12, DATA, 2);
	put(MSI + 2, SPEC_MSI_ENABLE, 2);
	assert_true(fake_vfio.vectors[VFIO_IRQ_MSI][0] >= 0);
}

static bool has_interrupts(void)
{
	for (unsigned int irq = 0; irq < VFIO_IRQ_MAX; irq++) {
		if (fake_vfio.vectors[irq][0] >= 0)
			return true;
	}
	return false;
}

static unsigned int fired(void)
{
	return atomic_load(&fake_msi_by_data(&machine, DATA)->fired);
}

/* Given up again: it goes on in the same process. */
static void test_freeze_and_thaw(void **state _unused_)
{
	unsigned int before;

	open_device();
	guest_works();
	assert_true(has_interrupts());
	before = fired();
	assert_int_equal(vfio_pci_freeze(v, NULL), 0);
	assert_false(has_interrupts());
	/* It may do DMA all the time. */
	assert_true(fake_vfio_config_get(SPEC_COMMAND, 2) & SPEC_CMD_MASTER);
	/* A guest's write does not switch them on. */
	put(MSI + 2, SPEC_MSI_ENABLE, 2);
	assert_false(has_interrupts());
	vfio_pci_thaw(v);
	assert_true(fake_vfio.vectors[VFIO_IRQ_MSI][0] >= 0);
	assert_true(fake_vfio.vectors[VFIO_IRQ_REQUEST][0] >= 0);
	/* What came meanwhile is lost: one for each vector makes up for it. */
	assert_int_equal(fired(), before + 1);
	vfio_pci_thaw(v);
	assert_int_equal(fired(), before + 1);
}

/* A kernel hands over only what is awake (D0); the guest finds it asleep again. */
static void test_freeze_asleep(void **state _unused_)
{
	fake_vfio_config_put(MSI + 1, 0x60, 1);
	fake_vfio_config_put(0x60, 0x00030001, 4);
	open_device();
	put(0x64, 3, 2);
	assert_int_equal(fake_vfio_config_get(0x64, 2), 3);
	vfio_pci_freeze(v, NULL);
	assert_int_equal(fake_vfio_config_get(0x64, 2), 0);
	assert_int_equal(pci_config_read(pci, 0x64, 2), 3);
	vfio_pci_thaw(v);
	assert_int_equal(fake_vfio_config_get(0x64, 2), 3);
}

static void test_thaw_intx(void **state _unused_)
{
	eventfd_t count = 0;

	open_device();
	assert_int_equal(vfio_pci_freeze(v, NULL), 0);
	assert_true(machine.intx_trigger < 0);
	vfio_pci_thaw(v);
	assert_true(machine.intx_trigger >= 0);
	assert_int_equal(eventfd_read(machine.intx_trigger, &count), 0);
	assert_int_equal(count, 1);
}

/* Not reset, not detached, bus mastering on: somebody else has it. */
static void test_kept_is_left_alone(void **state _unused_)
{
	fake_vfio.can_reset = true;
	open_device();
	guest_works();
	assert_int_equal(vfio_pci_freeze(v, NULL), 0);
	vfio_pci_keep(v, true);
	vfio_pci_free(v);
	v = NULL;
	assert_true(fake_vfio.attached);
	assert_int_equal(fake_vfio.resets, 0);
	assert_true(fake_vfio_config_get(SPEC_COMMAND, 2) & SPEC_CMD_MASTER);
}

/* Other devices of the VM may do DMA to its memory all the time; one that ends takes it away. */
static void test_memory_stays_shared(void **state _unused_)
{
	fake_vfio.gives_dmabufs = true;
	for (int kept = 1; kept >= 0; kept--) {
		open_device();
		guest_works();
		assert_true(fake_vfio.maps_by_file > 0);
		assert_int_equal(vfio_pci_freeze(v, NULL), 0);
		vfio_pci_keep(v, kept);
		vfio_pci_free(v);
		v = NULL;
		assert_int_equal(fake_vfio.unmaps, kept ? 0 : 1);
		fake_vfio_again();
		fake_vfio.gives_dmabufs = true;
	}
}

static void test_no_longer_kept(void **state _unused_)
{
	fake_vfio.can_reset = true;
	open_device();
	vfio_pci_keep(v, true);
	vfio_pci_keep(v, false);
	vfio_pci_free(v);
	v = NULL;
	assert_false(fake_vfio.attached);
	assert_int_equal(fake_vfio.resets, 1);
}

/* What a guest has made of a device, saved in one process and loaded in the next. */
static struct saved hand_over(void)
{
	struct saved s;

	open_device();
	guest_works();
	assert_int_equal(vfio_pci_freeze(v, NULL), 0);
	s = device_save(&vfio_pci_state_ops, v);
	vfio_pci_keep(v, true);
	vfio_pci_free(v);
	v = NULL;
	return s;
}

static void test_comes_back(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct saved s = hand_over();

	fake_vfio.can_reset = true;
	open_with(fake_vfio.fd, true);
	assert_string_equal(vfio_pci_name(v), FAKE_VFIO_ADDRESS);
	/* Still at work, and not heard until all is in place. */
	assert_true(fake_vfio_config_get(SPEC_COMMAND, 2) & SPEC_CMD_MASTER);
	assert_false(has_interrupts());
	assert_int_equal(device_load(&vfio_pci_state_ops, v, &s, STATE_CHECK, &err), 0);
	assert_int_equal(pci_config_read(pci, SPEC_COMMAND, 2), 0);
	assert_int_equal(device_load(&vfio_pci_state_ops, v, &s, STATE_APPLY, &err), 0);
	assert_int_equal(pci_config_read(pci, SPEC_COMMAND, 2), SPEC_CMD_MEMORY | SPEC_CMD_MASTER);
	assert_int_equal(pci_config_read(pci, SPEC_BAR0, 4) & ~0xfU, BAR0);
	assert_int_equal(machine.memory[0].gpa, BAR0);
	assert_false(has_interrupts());
	vfio_pci_thaw(v);
	assert_true(fake_vfio.vectors[VFIO_IRQ_MSI][0] >= 0);
	assert_int_equal(fired(), 1);
	assert_int_equal(fake_vfio.resets, 0);
	saved_free(&s);
}

/* An earlier try has bound it, or the process before: the kernel says EINVAL to the second. */
static void test_comes_back_bound(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct saved s = hand_over();
	struct vfio_pci_counters c;

	fake_vfio.tracks_dirty = true;
	fake_vfio.fails.request = VFIO_DEVICE_BIND_IOMMUFD;
	fake_vfio.fails.code = EINVAL;
	open_with(fake_vfio.fd, true);
	assert_true(fake_vfio.attached);
	/* What its IOMMU can is asked by a number that only the first was told. */
	assert_int_equal(device_load(&vfio_pci_state_ops, v, &s, STATE_APPLY, &err), 0);
	vfio_pci_get_counters(v, &c);
	assert_true(c.tracks_dirty);
	saved_free(&s);
	/* A try that fails leaves it as it was found. */
	vfio_pci_free(v);
	v = NULL;
	assert_true(fake_vfio.attached);
}

/* docs/state-format.md, version 1: without what the iommufd calls it. */
static int save_version_1(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct vfio_pci *device = obj;

	state_put_string(w, "host", vfio_pci_name(device));
	pci_device_save(pci, w);
	return 0;
}

static void test_older_state(void **state _unused_)
{
	static const struct state_ops version_1 = {
		.name = "vfio-pci", .version = 1, .min_version = 1, .save = save_version_1};
	struct error err = ERROR_INIT;
	struct saved s;

	open_device();
	guest_works();
	s = device_save(&version_1, v);
	vfio_pci_keep(v, true);
	vfio_pci_free(v);
	open_with(fake_vfio.fd, true);
	assert_int_equal(device_load(&vfio_pci_state_ops, v, &s, STATE_APPLY, &err), 0);
	assert_int_equal(pci_config_read(pci, SPEC_BAR0, 4) & ~0xfU, BAR0);
	saved_free(&s);
}

static void assert_state_refused(const struct saved *s, int code, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(device_load(&vfio_pci_state_ops, v, s, STATE_APPLY, &err), code);
	if (!strstr(err.message, text))
		fail_msg("\"%s\" does not say \"%s\"", err.message, text);
	assert_int_equal(pci_config_read(pci, SPEC_COMMAND, 2), 0);
}

static void test_refused_states(void **state _unused_)
{
	struct saved s = hand_over(), other;

	other = saved_with(&vfio_pci_state_ops, &s, "host", "0000:66:00.0", 13);
	/* One that was opened anew cannot be the one that the guest had. */
	open_device();
	assert_state_refused(&s, -EINVAL, "did not come back");
	vfio_pci_free(v);
	open_with(fake_vfio.fd, true);
	assert_state_refused(&other, -EINVAL, "the guest has 0000:66:00.0");
	saved_free(&other);
	vfio_pci_free(v);
	/* Another model under the same address. */
	fake_vfio_config_put(0x00, 0x10d38086, 4);
	open_with(fake_vfio.fd, true);
	assert_state_refused(&s, -EINVAL, "another device");
	saved_free(&s);
}

/* ---- VFIO migration: linux/vfio.h. ---- */

#define SPEC_STOP      '1'
#define SPEC_RUNNING   '2'
#define SPEC_STOP_COPY '3'
#define SPEC_RESUMING  '4'

static const char saving[] = {SPEC_STOP, SPEC_STOP_COPY, SPEC_STOP, 0};
static const char loading[] = {SPEC_RESUMING, SPEC_STOP, SPEC_RUNNING, 0};

static void offer_migration(void)
{
	fake_vfio.migration.offered = true;
	strcpy(fake_vfio.migration.data, "what is in the device");
	fake_vfio.migration.size = sizeof("what is in the device");
}

static struct saved migrate_away(void)
{
	struct saved s;

	offer_migration();
	open_device();
	assert_true(vfio_pci_migrates(v));
	guest_works();
	vfio_pci_set_migrates(v, true);
	assert_true(vfio_pci_state_size_max(v) >= fake_vfio.migration.size);
	assert_int_equal(vfio_pci_freeze(v, NULL), 0);
	s = device_save(&vfio_pci_state_ops, v);
	assert_string_equal(fake_vfio.migration.states, saving);
	vfio_pci_free(v);
	v = NULL;
	fake_vfio_again();
	return s;
}

static void test_migrates(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct saved s = migrate_away();

	offer_migration();
	open_with(FD_NONE, true);
	assert_false(has_interrupts());
	assert_int_equal(device_load(&vfio_pci_state_ops, v, &s, STATE_CHECK, &err), 0);
	assert_string_equal(fake_vfio.migration.states, "");
	if (device_load(&vfio_pci_state_ops, v, &s, STATE_APPLY, &err) < 0)
		fail_msg("%s", error_message(&err));
	vfio_pci_thaw(v);
	assert_string_equal(fake_vfio.migration.states, loading);
	assert_string_equal(fake_vfio.migration.taken, "what is in the device");
	assert_true(fake_vfio_config_get(SPEC_COMMAND, 2) & SPEC_CMD_MASTER);
	assert_int_equal(fired(), 1);
	saved_free(&s);
}

/* The freeze is given up: the device runs as before. */
static void test_migration_given_up(void **state _unused_)
{
	offer_migration();
	open_device();
	guest_works();
	vfio_pci_set_migrates(v, true);
	assert_int_equal(vfio_pci_freeze(v, NULL), 0);
	vfio_pci_thaw(v);
	assert_int_equal(fake_vfio.migration.state, SPEC_RUNNING - '0');
	assert_true(has_interrupts());
	/* Without an update nothing stops it. */
	vfio_pci_set_migrates(v, false);
	assert_int_equal(vfio_pci_freeze(v, NULL), 0);
	assert_int_equal(fake_vfio.migration.state, SPEC_RUNNING - '0');
}

static int try_save(struct error *err)
{
	struct state_object object = {.ops = &vfio_pci_state_ops, .obj = v};
	struct state_writer *w;
	int r;

	assert_int_equal(state_writer_new(SAVED_MAX, &w, NULL), 0);
	r = state_save_objects(&object, 1, w, err);
	state_writer_free(w);
	return r;
}

static void test_migration_fails(void **state _unused_)
{
	struct error err = ERROR_INIT;

	offer_migration();
	open_device();
	vfio_pci_set_migrates(v, true);
	fake_vfio.migration.refuses = SPEC_STOP - '0';
	assert_int_equal(vfio_pci_freeze(v, &err), -EINVAL);
	assert_non_null(strstr(err.message, "migration state STOP"));
	assert_true(has_interrupts());
	fake_vfio.migration.refuses = SPEC_STOP_COPY - '0';
	assert_int_equal(vfio_pci_freeze(v, &err), 0);
	assert_int_equal(try_save(&err), -EINVAL);
	assert_non_null(strstr(err.message, "STOP_COPY"));
	fake_vfio.migration.refuses = 0;
	assert_int_equal(try_save(&err), 0);
}

static void test_migration_refused(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct saved s = migrate_away();

	/* A kernel without that driver. */
	open_with(FD_NONE, true);
	assert_state_refused(&s, -EINVAL, "does not take a device's state");
	vfio_pci_free(v);
	offer_migration();
	open_with(FD_NONE, true);
	fake_vfio.migration.refuses = SPEC_RESUMING - '0';
	assert_int_equal(device_load(&vfio_pci_state_ops, v, &s, STATE_APPLY, &err), -EINVAL);
	assert_non_null(strstr(err.message, "RESUMING"));
	/* A driver says at the end that it does not like it. */
	fake_vfio.migration.refuses = SPEC_STOP - '0';
	assert_int_equal(device_load(&vfio_pci_state_ops, v, &s, STATE_APPLY, &err), -EINVAL);
	assert_non_null(strstr(err.message, "STOP"));
	saved_free(&s);
}

static void test_counters(void **state _unused_)
{
	struct vfio_pci_counters c;

	fake_vfio.tracks_dirty = fake_vfio.can_reset = true;
	open_device();
	vfio_pci_get_counters(v, &c);
	assert_string_equal(c.interrupts, "intx");
	assert_true(c.tracks_dirty && c.can_reset && !c.migrates);
	guest_works();
	offer_migration();
	vfio_pci_get_counters(v, &c);
	assert_string_equal(c.interrupts, "msi");
	assert_int_equal(c.vectors, 1);
	assert_true(c.migrates);
	assert_int_equal(c.requests, 0);
	assert_int_equal(eventfd_write(fake_vfio.vectors[VFIO_IRQ_REQUEST][0], 1), 0);
	for (unsigned int i = 0; c.requests == 0 && i < 100; i++) {
		assert_int_equal(loop_run_once(loop, 10), 0);
		vfio_pci_get_counters(v, &c);
	}
	assert_int_equal(c.requests, 1);
	assert_int_equal(c.errors, 0);
	vfio_pci_freeze(v, NULL);
	vfio_pci_get_counters(v, &c);
	assert_string_equal(c.interrupts, "none");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown_kept)
	const struct CMUnitTest tests[] = {
		T(test_freeze_and_thaw),
		T(test_freeze_asleep),
		T(test_thaw_intx),
		T(test_kept_is_left_alone),
		T(test_memory_stays_shared),
		T(test_no_longer_kept),
		T(test_comes_back),
		T(test_comes_back_bound),
		T(test_older_state),
		T(test_refused_states),
		T(test_migrates),
		T(test_migration_given_up),
		T(test_migration_fails),
		T(test_migration_refused),
		T(test_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
