/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), against a manager that
 * the test plays. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/notify.h"
#include "notify_manager.h"

/* SD_LISTEN_FDS_START */
#define SPEC_FIRST_FD 3

static struct notify_manager manager;

static int set_up(void **state _unused_)
{
	notify_manager_up(&manager);
	return 0;
}

static int tear_down(void **state _unused_)
{
	notify_manager_down(&manager);
	return 0;
}

static void test_says(void **state _unused_)
{
	struct notify n;
	int fd;

	notify_init(&n);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(n.watchdog_ns, 0);
	notify_say(&n, "READY=1\nSTATUS=all is well");
	notify_manager_heard(&manager, "READY=1\nSTATUS=all is well", &fd);
	assert_int_equal(fd, FD_NONE);
	notify_done(&n);
}

static void test_abstract_socket(void **state _unused_)
{
	char name[64];
	struct notify n;
	int fd;

	close(manager.fd);
	snprintf(name, sizeof(name), "@holdfast-test-notify-%d", getpid());
	setenv("NOTIFY_SOCKET", name, 1);
	name[0] = '\0';
	notify_manager_bind(&manager, name, strlen(name + 1) + 1);
	notify_init(&n);
	notify_say(&n, "WATCHDOG=1");
	notify_manager_heard(&manager, "WATCHDOG=1", &fd);
	notify_done(&n);
}

static void test_nobody_listens(void **state _unused_)
{
	static const char *const wrong[] = {"", "/", "relative", "vsock:2:1"};
	struct notify n;

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		setenv("NOTIFY_SOCKET", wrong[i], 1);
		notify_init(&n);
		assert_int_equal(n.address_size, 0);
		notify_say(&n, "READY=1");
		notify_done(&n);
	}
	setenv("NOTIFY_SOCKET", "/tmp/test-notify-nobody", 1);
	notify_init(&n);
	notify_say(&n, "READY=1");
	notify_done(&n);
}

static void test_stores(void **state _unused_)
{
	int fd = memfd_create("stored", MFD_CLOEXEC), got;
	struct stat sent, arrived;
	struct notify n;

	notify_init(&n);
	notify_store(&n, fd, "web1");
	notify_manager_heard(&manager, "FDSTORE=1\nFDPOLL=0\nFDNAME=web1", &got);
	assert_int_equal(fstat(fd, &sent), 0);
	assert_int_equal(fstat(got, &arrived), 0);
	assert_int_equal(sent.st_ino, arrived.st_ino);
	notify_unstore(&n, "web1");
	close(got);
	notify_manager_heard(&manager, "FDSTOREREMOVE=1\nFDNAME=web1", &got);
	assert_int_equal(got, FD_NONE);
	close(fd);
	notify_done(&n);
}

static uint64_t watchdog(const char *pid, const char *usec)
{
	struct notify n;
	uint64_t ns;

	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	notify_init(&n);
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	ns = n.watchdog_ns;
	notify_done(&n);
	return ns;
}

static void test_watchdog(void **state _unused_)
{
	char own[16];

	snprintf(own, sizeof(own), "%d", getpid());
	assert_int_equal(watchdog(own, "30000000"), 30000000000);
	assert_int_equal(watchdog(NULL, "1000"), 1000000);
	assert_int_equal(watchdog("1", "30000000"), 0);
	assert_int_equal(watchdog(own, "-1"), 0);
	assert_int_equal(watchdog(own, "30s"), 0);
	assert_int_equal(watchdog(own, "99999999999999999999"), 0);
}

static void test_gives_signs_of_life(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct loop_timer *timer;
	struct loop *loop;
	struct notify n;
	int fd;

	assert_int_equal(loop_new(&loop, &err), 0);
	notify_init(&n);
	assert_int_equal(notify_watchdog_new(&n, loop, &timer, &err), 0);
	assert_null(timer);
	notify_done(&n);

	setenv("NOTIFY_SOCKET", manager.path, 1);
	setenv("WATCHDOG_USEC", "1000", 1);
	notify_init(&n);
	assert_int_equal(notify_watchdog_new(&n, loop, &timer, &err), 0);
	assert_non_null(timer);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(loop_run_once(loop, -1), 0);
		notify_manager_heard(&manager, "WATCHDOG=1", &fd);
	}
	loop_timer_free(timer);
	notify_done(&n);
	loop_free(loop);
}

static void test_takes_descriptors(void **state _unused_)
{
	struct notify n;
	char own[16];
	int first, second;

	/* A program starts with nothing open but these. */
	for (int fd = SPEC_FIRST_FD; fd < SPEC_FIRST_FD + 3; fd++)
		if (fd != manager.fd)
			close(fd);
	assert_int_equal(dup3(manager.fd, 40, O_CLOEXEC), 40);
	close(manager.fd);
	manager.fd = 40;
	first = open("/dev/null", O_RDONLY);
	second = open("/dev/zero", O_RDONLY);
	assert_int_equal(first, SPEC_FIRST_FD);
	assert_int_equal(second, SPEC_FIRST_FD + 1);
	snprintf(own, sizeof(own), "%d", getpid());
	setenv("LISTEN_PID", own, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "web1:luod", 1);
	notify_init(&n);
	assert_null(getenv("LISTEN_FDS"));
	assert_int_equal(n.fd_count, 2);
	assert_int_equal(notify_take(&n, "web2"), FD_NONE);
	assert_int_equal(notify_take(&n, "web1"), first);
	assert_int_equal(notify_take(&n, "luod"), second);
	assert_int_equal(notify_take(&n, "luod"), FD_NONE);
	assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
	close(first);
	notify_done(&n);
	/* What was taken is the taker's. */
	assert_true(fcntl(second, F_GETFD) >= 0);
	close(second);
}

static void test_descriptors_of_another(void **state _unused_)
{
	struct notify n;

	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "2", 1);
	notify_init(&n);
	assert_int_equal(n.fd_count, 0);
	assert_null(getenv("LISTEN_PID"));
	notify_done(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_abstract_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_listens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stores, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_watchdog, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gives_signs_of_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_takes_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_descriptors_of_another, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
