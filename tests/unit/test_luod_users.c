/* SPDX-License-Identifier: Apache-2.0 */
/* Who may say to luod that he is which VM: the process that luod started, as the user of that VM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/sock.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/upgrade.h"
#include "luo/luod/vm.h"
#include "luod_bench.h"

/* No entries in passwd(5) of any host. */
#define USER_A "70001"
#define UID_A  70001
#define UID_B  70002
#define PID_A  4000001
#define PID_B  4000002

static struct bench bench;

static struct vm_record *add(const char *id, const char *user, pid_t pid)
{
	struct vm *vm = NULL;

	assert_int_equal(vm_get(&bench.luod, id, &vm, NULL), 0);
	registry_set_user(vm->record, user);
	vm->record->pid = pid;
	return vm->record;
}

static int set_up(void **state _unused_)
{
	bench_up(&bench);
	add("a", USER_A, PID_A);
	add("b", "70002:70002", PID_B);
	return 0;
}

static int tear_down(void **state _unused_)
{
	bench_kernel.peer_uid = 0;
	bench_kernel.peer_pid = 0;
	bench_down(&bench);
	return 0;
}

static bool says_it_is(uid_t uid, pid_t pid, const char *id)
{
	struct vm_record *record;

	bench_kernel.peer_uid = uid;
	bench_kernel.peer_pid = pid;
	bench_connect(&bench, &bench.vmms[0], id, AGENT_PHASE_RUNNING);
	record = bench_record(&bench, id);
	return record && record->vm->peer;
}

static void test_own_vmm(void **state _unused_)
{
	assert_true(says_it_is(UID_A, PID_A, "a"));
	assert_int_equal(bench_record(&bench, "a")->status, VM_CONNECTED);
}

static void test_other_vm(void **state _unused_)
{
	assert_false(says_it_is(UID_A, PID_A, "b"));
}

static void test_other_process(void **state _unused_)
{
	assert_false(says_it_is(UID_A, PID_A + 10, "a"));
}

static void test_other_user(void **state _unused_)
{
	assert_false(says_it_is(UID_B, PID_A, "a"));
}

static void test_new_vm(void **state _unused_)
{
	bench_kernel.peer_uid = UID_A;
	bench_kernel.peer_pid = PID_A;
	bench_connect(&bench, &bench.vmms[0], "c", AGENT_PHASE_RUNNING);
	assert_null(registry_find(&bench.luod.registry, "c"));
}

/* Not even a hello is read: sending it may fail already. */
static void test_unknown_user(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char byte;

	bench_kernel.peer_uid = UID_B + 1;
	assert_int_equal(sock_connect(bench.luod.options.socket, SOCK_SEQPACKET | SOCK_NONBLOCK,
				      &bench.vmms[0].fd, &err),
			 0);
	bench_settle(&bench);
	assert_int_equal(recv(bench.vmms[0].fd, &byte, 1, 0), 0);
}

/* Across an update and a luod that is started again; a luod that knows no users reads the rest. */
static void test_registry(void **state _unused_)
{
	struct registry again;
	struct error err = ERROR_INIT;
	json_t *json;

	add("c", "", 0);
	json = registry_to_json(&bench.luod.registry, false);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(json, "vms"), 0), "user")),
			    USER_A);
	assert_null(json_object_get(json_array_get(json_object_get(json, "vms"), 2), "user"));
	memset(&again, 0, sizeof(again));
	assert_int_equal(registry_init(&again), 0);
	assert_int_equal(registry_from_json(json, &again, &err), 0);
	assert_int_equal(registry_find(&again, "a")->run_uid, UID_A);
	assert_string_equal(registry_find(&again, "b")->user, "70002:70002");
	assert_int_equal(registry_find(&again, "c")->run_uid, 0);
	registry_done(&again);
	json_decref(json);
}

static void test_nobody_is_root(void **state _unused_)
{
	struct vm_record *record = bench_record(&bench, "a");

	registry_set_user(record, "0");
	assert_string_equal(record->user, "");
	assert_int_equal(record->run_uid, 0);
	/* And uid 0 of a record is no user that is let in. */
	assert_false(says_it_is(UID_A, PID_A, "a"));
}

static void test_resume_as_user(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm *vm = bench_record(&bench, "a")->vm;

	if (lifecycle_start_resuming(vm, "/bin/true", 1000, &err) < 0) {
		/* Only root can make a folder that is somebody else's. */
		assert_int_not_equal(geteuid(), 0);
		return;
	}
	assert_non_null(strstr(bench_kernel.spawned, "--user " USER_A));
}

/* The new vmm of an exchange is of the same user, and is let in as the one that it is. */
static void test_exchange(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm *vm = bench_record(&bench, "a")->vm;

	if (geteuid() != 0)
		return;
	bench.vmms[0].preserve = true;
	assert_true(says_it_is(UID_A, PID_A, "a"));
	bench_kernel.pid = PID_A + 1;
	assert_int_equal(upgrade_begin(vm, "/bin/true", 1000, &err), 0);
	bench_settle(&bench);
	assert_non_null(strstr(bench_kernel.spawned, "--user " USER_A));
	assert_non_null(upgrade_next(vm, PID_A + 1));
	bench_kernel.peer_pid = PID_A + 1;
	bench_connect(&bench, &bench.vmms[1], "a", AGENT_PHASE_WAITING);
	assert_non_null(upgrade_next(vm, PID_A + 1)->peer);
	upgrade_on_next_gone(vm->upgrade, "the test ends");
	bench_settle(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own_vmm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_vm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_user, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_new_vm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_user, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_registry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_is_root, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resume_as_user, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exchange, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
