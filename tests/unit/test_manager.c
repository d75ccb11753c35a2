/* SPDX-License-Identifier: Apache-2.0 */
/* A vmm as a service of its own: what its manager hears and keeps, and what the session tells. */
#include <fcntl.h>

#include "luo/client.h"
#include "notify_manager.h"
#include "vmm/manager.h"

int __wrap_luo_session_retrieve_fd(int session_fd, uint64_t token, const char *what, int *ret_fd,
				   struct error *err);

static struct notify_manager manager;
static int retrieve_result;

int __wrap_luo_session_retrieve_fd(int session_fd _unused_, uint64_t token _unused_,
				   const char *what _unused_, int *ret_fd, struct error *err)
{
	if (retrieve_result < 0)
		return error_set(err, retrieve_result, "cannot retrieve it");
	*ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

static int set_up(void **state _unused_)
{
	notify_manager_up(&manager);
	retrieve_result = 0;
	return 0;
}

static int tear_down(void **state _unused_)
{
	notify_manager_down(&manager);
	return 0;
}

static struct manager with_session(void)
{
	struct manager m;

	manager_init(&m);
	assert_int_equal(m.session_fd, FD_NONE);
	m.session_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return m;
}

static void heard(const char *text, bool with_fd)
{
	int fd;

	notify_manager_heard(&manager, text, &fd);
	assert_int_equal(fd >= 0, with_fd);
	close_fdp(&fd);
}

static void test_session_tells(void **state _unused_)
{
	static const struct {
		int retrieve, result;
		bool has;
	} cases[] = {
		{0, 0, true}, {-EINVAL, 0, false}, {-ENOENT, 0, false}, {-ENOMEM, -ENOMEM, false}};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct manager m = with_session();
		struct error err = ERROR_INIT;
		bool has = !cases[i].has;

		retrieve_result = cases[i].retrieve;
		assert_int_equal(manager_has_vm(&m, &has, &err), cases[i].result);
		assert_int_equal(has, cases[i].has);
		manager_done(&m);
	}
}

static void test_no_session(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct manager m;
	bool has = true;

	manager_init(&m);
	assert_int_equal(manager_has_vm(&m, &has, &err), 0);
	assert_false(has);
	assert_int_equal(manager_take_session(&m), FD_NONE);
	manager_done(&m);
}

/* LUOSession=: the manager has it already, and drops it when the update is given up. */
static void test_session_of_the_manager(void **state _unused_)
{
	struct manager m = with_session();
	int fd;

	manager_on_phase(&m, UPDATE_RUNNING, FD_NONE);
	heard("READY=1\nSTATUS=running", false);
	fd = manager_take_session(&m);
	assert_true(fd >= 0);
	manager_on_phase(&m, UPDATE_PREPARED, fd);
	heard("STATUS=prepared", false);
	manager_on_phase(&m, UPDATE_RUNNING, FD_NONE);
	heard("FDSTOREREMOVE=1\nFDNAME=session", false);
	heard("STATUS=running", false);
	/* The next is one of our own: the manager gets a copy, once. */
	assert_int_equal(manager_take_session(&m), FD_NONE);
	manager_on_phase(&m, UPDATE_PREPARED, fd);
	heard("FDSTORE=1\nFDPOLL=0\nFDNAME=session", true);
	heard("STATUS=prepared", false);
	manager_on_phase(&m, UPDATE_FROZEN, fd);
	heard("STATUS=frozen", false);
	manager_on_phase(&m, UPDATE_PREPARED, fd);
	heard("STATUS=prepared", false);
	notify_manager_silent(&manager);
	close(fd);
	manager_done(&m);
}

static void test_resumed(void **state _unused_)
{
	struct manager m = with_session();
	int fd = manager_take_session(&m);

	manager_on_phase(&m, UPDATE_LOADED, fd);
	heard("STATUS=loaded", false);
	manager_on_phase(&m, UPDATE_RESUMED, fd);
	heard("READY=1\nSTATUS=resumed", false);
	manager_on_phase(&m, UPDATE_RUNNING, FD_NONE);
	heard("FDSTOREREMOVE=1\nFDNAME=session", false);
	heard("STATUS=running", false);
	close(fd);
	manager_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_session_tells, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_session_of_the_manager, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resumed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
