/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/confine: what threads of a vmm can do that somebody else has taken over, role by role; what
 * they must still do; and that the same attacks work without limits, so that each refusal is one.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/confine/landlock.h"
#include "base/sock.h"
#include "base/util.h"
#include "tests/unit/config_test.h"
#include "tests/unit/hostile.h"
#include "vmm/cli.h"
#include "vmm/confine/confine.h"

#define OWN_USER "12345"

/* Its runtime has a thread of its own, which keeps the capabilities that this one gives up, and
 * glibc ends a process of which only some threads become a user (nptl(7), "NPTL and threads"). */
#if defined(__SANITIZE_THREAD__)
#define HAS_OTHER_THREAD true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_OTHER_THREAD true
#endif
#endif
#ifndef HAS_OTHER_THREAD
#define HAS_OTHER_THREAD false
#endif

static const char *const roles[] = {"main", "vcpu", "disk", "net", "balloon"};

struct stage {
	char folder[64], own_disk[96], disk[96], secret[96], private[96], socket[128];
	int listener;
	struct hostile_victim victim;
	struct vm_config own;
};

static void make_file(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, "secret", 6), 6);
	close(fd);
}

static pid_t start_victim(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

static int set_up(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->folder, sizeof(s->folder), "/tmp/holdfast-confine-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	assert_int_equal(chmod(s->folder, 0755), 0);
	snprintf(s->own_disk, sizeof(s->own_disk), "%s/own.img", s->folder);
	snprintf(s->disk, sizeof(s->disk), "%s/other.img", s->folder);
	snprintf(s->secret, sizeof(s->secret), "%s/secret", s->folder);
	snprintf(s->private, sizeof(s->private), "%s/private", s->folder);
	snprintf(s->socket, sizeof(s->socket), "%s/api", s->private);
	/* Open to everybody by their modes: what keeps a thread out is Landlock or a filter. */
	make_file(s->own_disk, 0666);
	make_file(s->disk, 0666);
	make_file(s->secret, 0644);
	assert_int_equal(mkdir(s->private, 0700), 0);
	assert_int_equal(sock_listen(s->socket, SOCK_STREAM, &s->listener, NULL), 0);
	s->victim = (struct hostile_victim){s->disk, s->secret, s->socket, start_victim()};
	vm_config_init(&s->own);
	snprintf(s->own.id, sizeof(s->own.id), "own");
	snprintf(s->own.kernel, sizeof(s->own.kernel), "%s", s->own_disk);
	s->own.console.mode = CONSOLE_OFF;
	s->own.disk_count = 1;
	virtio_blk_config_init(&s->own.disks[0]);
	snprintf(s->own.disks[0].path, sizeof(s->own.disks[0].path), "%s", s->own_disk);
	if (geteuid() == 0)
		snprintf(s->own.confine.user, sizeof(s->own.confine.user), "%s", OWN_USER);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct stage *s = *state;

	kill(s->victim.pid, SIGKILL);
	waitpid(s->victim.pid, NULL, 0);
	close(s->listener);
	unlink(s->socket);
	rmdir(s->private);
	unlink(s->own_disk);
	unlink(s->disk);
	unlink(s->secret);
	rmdir(s->folder);
	free(s);
	return 0;
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names;
}

/* What the main thread has need of itself, and what only Landlock can keep it from. */
static bool is_left_to_main(const struct hostile_attack *attack)
{
	static const char *const needed[] = {"make a virtual machine", "make an io_uring", NULL};
	static const char *const files[] = {"read another VM's disk",	"write another VM's disk",
					    "read a file of the host",	"make a file in /tmp",
					    "remove another VM's disk", NULL};
	bool landlock = landlock_abi(NULL) > 0;

	return is_one_of(attack->name, needed) || (!landlock && is_one_of(attack->name, files)) ||
	       /* By its folder's mode; of one user's VMs since ABI 9. */
	       (geteuid() != 0 && landlock_abi(NULL) < 9 &&
		strcmp(attack->name, "connect to another VM's API") == 0);
}

static void assert_unharmed(const struct stage *s)
{
	assert_int_equal(access(s->disk, F_OK), 0);
	assert_int_equal(waitpid(s->victim.pid, NULL, WNOHANG), 0);
}

static void test_attacks(void **state)
{
	struct stage *s = *state;
	struct hostile_result result;

	for (unsigned int i = 0; i < ARRAY_SIZE(roles); i++) {
		for (const struct hostile_attack *a = hostile_attacks; a->name; a++) {
			bool main = strcmp(roles[i], "main") == 0;

			if (main && is_left_to_main(a))
				continue;
			hostile_run(roles[i], a, &s->victim, &s->own, &result);
			if (result.end != HOSTILE_REFUSED && result.end != HOSTILE_KILLED)
				fail_msg("%s: %s: end %d, code %d: %s", roles[i], a->name,
					 (int)result.end, result.code, result.said);
			assert_unharmed(s);
		}
	}
}

/* The name of the thread and the call's, in one line, once. */
static void test_what_is_said(void **state)
{
	struct stage *s = *state;
	struct hostile_result result;
	const char *line;

	for (const struct hostile_attack *a = hostile_attacks; a->name; a++) {
		if (strcmp(a->name, "run a program") != 0)
			continue;
		hostile_run("vcpu", a, &s->victim, &s->own, &result);
		assert_int_equal(result.end, HOSTILE_KILLED);
		line = strstr(result.said, "thread vcpu:h is not allowed the system call execve (");
		assert_non_null(line);
		assert_null(strstr(line + 24, "is not allowed"));
		assert_non_null(strstr(line, "--seccomp log"));
		return;
	}
	fail();
}

static void test_duties(void **state)
{
	struct stage *s = *state;
	struct hostile_result result;

	for (unsigned int i = 0; i < ARRAY_SIZE(roles); i++) {
		for (const struct hostile_attack *a = hostile_duties; a->name; a++) {
			hostile_run(roles[i], a, &s->victim, &s->own, &result);
			if (result.end != HOSTILE_DONE)
				fail_msg("%s: %s: end %d, code %d: %s", roles[i], a->name,
					 (int)result.end, result.code, result.said);
		}
	}
}

/* Without limits the attacks are no empty words. */
static void test_without_limits(void **state)
{
	static const char *const works[] = {"read another VM's disk",
					    "write another VM's disk",
					    "read a file of the host",
					    "connect to another VM's API",
					    "make a TCP socket",
					    "make a process",
					    "run a program",
					    "make code",
					    "make a virtual machine",
					    "type into the operator's terminal",
					    NULL};
	struct stage *s = *state;
	struct hostile_result result;
	unsigned int done = 0;

	s->own.confine.seccomp = FILTER_OFF;
	s->own.confine.landlock_off = true;
	s->own.confine.user[0] = '\0';
	for (const struct hostile_attack *a = hostile_attacks; a->name; a++) {
		if (!is_one_of(a->name, works))
			continue;
		hostile_run("vcpu", a, &s->victim, &s->own, &result);
		if (result.end != HOSTILE_DONE)
			fail_msg("%s: end %d, code %d: %s", a->name, (int)result.end, result.code,
				 result.said);
		done++;
	}
	assert_int_equal(done, ARRAY_SIZE(works) - 1);
}

/* Each of the two alone: what the filters would stop is done with "log", what Landlock would with
 * "off". */
static void test_log_only(void **state)
{
	struct stage *s = *state;
	struct hostile_result result;

	s->own.confine.seccomp = FILTER_LOG;
	for (const struct hostile_attack *a = hostile_attacks; a->name; a++) {
		if (strcmp(a->name, "make a TCP socket") == 0) {
			hostile_run("vcpu", a, &s->victim, &s->own, &result);
			assert_int_equal(result.end, HOSTILE_DONE);
		} else if (strcmp(a->name, "read another VM's disk") == 0 &&
			   landlock_abi(NULL) > 0) {
			hostile_run("main", a, &s->victim, &s->own, &result);
			assert_int_equal(result.end, HOSTILE_REFUSED);
			assert_int_equal(result.code, EACCES);
		}
	}
}

static int open_own(const struct hostile_victim *v _unused_, const struct vm_config *own)
{
	_cleanup_fd_ int fd = open(own->disks[0].path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

/* It runs all the same: who takes a guest up early in a boot must not wait for what it has no need
 * of. But a reset will have. */
static void test_missing_images(void **state)
{
	const struct hostile_attack own = {"own disk", open_own};
	struct stage *s = *state;
	struct hostile_result result;

	hostile_run("main", &own, &s->victim, &s->own, &result);
	assert_int_equal(result.end, HOSTILE_DONE);
	assert_null(strstr(result.said, "next reset"));
	if (landlock_abi(NULL) < 0)
		skip();
	snprintf(s->own.kernel, sizeof(s->own.kernel), "%s/not-mounted/vmlinuz", s->folder);
	hostile_run("main", &own, &s->victim, &s->own, &result);
	assert_int_equal(result.end, HOSTILE_DONE);
	assert_non_null(strstr(result.said, "not-mounted/vmlinuz: is not there"));
	assert_non_null(strstr(result.said, "luoctl upgrade-vmm own"));
}

static int open_under_rule(const struct hostile_victim *v, const struct vm_config *own _unused_)
{
	_cleanup_fd_ int fd = open(v->disk, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

static int who_am_i(const struct hostile_victim *v _unused_, const struct vm_config *own _unused_)
{
	if (geteuid() == 0 || getuid() == 0 || getegid() == 0)
		return -EPERM;
	/* The files of /proc belong to root then: nobody of that user can look into it. */
	return syscall(SYS_prctl, 15 /* PR_SET_NAME */, "x", 0, 0, 0) < 0 ? -errno : 0;
}

static void test_own_files(void **state)
{
	const struct hostile_attack own = {"own disk", open_own},
				    rule = {"under a rule", open_under_rule},
				    who = {"user", who_am_i};
	struct stage *s = *state;
	struct hostile_result result;

	hostile_run("main", &own, &s->victim, &s->own, &result);
	assert_int_equal(result.end, HOSTILE_DONE);
	if (geteuid() == 0) {
		hostile_run("main", &who, &s->victim, &s->own, &result);
		assert_int_equal(result.end, HOSTILE_DONE);
	}
	s->own.confine.rule_count = 1;
	snprintf(s->own.confine.rules[0].path, PATH_MAX, "%s", s->disk);
	s->own.confine.rules[0].write = true;
	hostile_run("main", &rule, &s->victim, &s->own, &result);
	assert_int_equal(result.end, HOSTILE_DONE);
	s->own.confine.rules[0].write = false;
	hostile_run("main", &rule, &s->victim, &s->own, &result);
	if (landlock_abi(NULL) > 0)
		assert_int_equal(result.end, HOSTILE_REFUSED);
}

/* A disk that comes late: no limits yet, and none of the guest. */
static void test_missing_disk(void **state)
{
	const struct hostile_attack own = {"own disk", open_own};
	struct stage *s = *state;
	struct hostile_result result;

	if (landlock_abi(NULL) <= 0)
		return;
	assert_int_equal(unlink(s->own_disk), 0);
	hostile_run("main", &own, &s->victim, &s->own, &result);
	assert_int_equal(result.end, HOSTILE_BROKEN);
	assert_non_null(strstr(result.said, "came only while its machine was being made"));
}

static void test_users(void **state _unused_)
{
	struct identity who;
	struct error err = ERROR_INIT;

	assert_int_equal(identity_parse("1234", &who, &err), 0);
	assert_int_equal(who.uid, 1234);
	assert_int_equal(identity_parse("1234:99", &who, &err), 0);
	assert_int_equal(who.gid, 99);
	assert_int_equal(identity_parse("root", &who, &err), -EINVAL);
	assert_non_null(strstr(error_message(&err), "must not be root"));
	assert_int_equal(identity_parse("0", &who, &err), -EINVAL);
	assert_int_equal(identity_parse("1234:0", &who, &err), -EINVAL);
	assert_int_equal(identity_parse("no-such-user-here", &who, &err), -EINVAL);
	assert_int_equal(identity_parse("4294967295", &who, &err), -EINVAL);
	assert_int_equal(identity_parse("", &who, &err), -EINVAL);
}

/* Whether a process that began without the VM's configuration becomes the user that it names. */
static bool becomes_user(const struct stage *s, bool later)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct confine confine = {0};
		struct vm_config before, own = s->own;
		struct error err = ERROR_INIT;

		vm_config_init(&before);
		own.confine.seccomp = FILTER_OFF;
		own.confine.landlock_off = true;
		if (confine_begin(&before, later, STDERR_FILENO, STDOUT_FILENO, &err) < 0)
			_exit(2);
		if (confine_enter(&confine, &own, false, &err) < 0)
			_exit(1);
		_exit(geteuid() == (uid_t)strtoul(OWN_USER, NULL, 10) ? 0 : 3);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_in_range(WEXITSTATUS(status), 0, 1);
	return WEXITSTATUS(status) == 0;
}

/* From a session or a snapshot: the process must still be able to become the VM's user. */
static void test_user_that_comes_later(void **state)
{
	const struct stage *s = *state;

	if (geteuid() != 0 || HAS_OTHER_THREAD) {
		print_message("only as root, and without ThreadSanitizer's own thread\n");
		skip();
	}
	assert_true(becomes_user(s, true));
	assert_false(becomes_user(s, false));
}

/* Defaults are not written: a vmm of before there was confinement reads such a state. */
static void test_keys(void **state _unused_)
{
	static const char text[] =
		"{\"id\": \"a\", \"seccomp\": \"log\", \"landlock\": \"off\", \"user\": \"123:45\","
		" \"landlock-rules\": [\"path=/srv,access=rw\", {\"path\": \"/dev/vfio\"}]}";
	static const char *const keys[] = {"seccomp", "landlock", "landlock-rules", "user"};
	static struct vm_config config, again;
	struct error err = ERROR_INIT;
	json_t *json;

	assert_int_equal(read_text("{\"id\": \"a\"}", &config, &err), 0);
	assert_int_equal(config.confine.seccomp, FILTER_ON);
	assert_false(config.confine.landlock_off);
	json = vm_config_to_json(&config);
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		assert_null(json_object_get(json, keys[i]));
	json_decref(json);

	assert_int_equal(read_text(text, &config, &err), 0);
	json = vm_config_to_json(&config);
	vm_config_init(&again);
	assert_int_equal(vm_config_from_json(json, &again, &err), 0);
	json_decref(json);
	assert_int_equal(again.confine.seccomp, FILTER_LOG);
	assert_true(again.confine.landlock_off);
	assert_string_equal(again.confine.user, "123:45");
	assert_int_equal(again.confine.rule_count, 2);
	assert_string_equal(again.confine.rules[0].path, "/srv");
	assert_true(again.confine.rules[0].write);
	assert_string_equal(again.confine.rules[1].path, "/dev/vfio");
	assert_false(again.confine.rules[1].write);
}

static void test_wrong_keys(void **state _unused_)
{
	static const struct {
		const char *text, *said;
	} wrong[] = {
		{"{\"seccomp\": \"maybe\"}", "seccomp: must be on, log or off"},
		{"{\"landlock\": \"log\"}", "landlock: must be on or off"},
		{"{\"landlock-rules\": [\"path=srv\"]}", "landlock-rules[0].path"},
		{"{\"landlock-rules\": [\"path=/srv,access=x\"]}", "access: must be r or rw"},
		{"{\"landlock-rules\": [{\"pat\": \"/srv\"}]}", "unknown key"},
		{"{\"user\": \"0\"}", "must not be root"},
		{"{\"user\": \"no-such-user-here\"}", "there is none of that name"},
	};
	static struct vm_config config;

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(read_text(wrong[i].text, &config, &err), -EINVAL);
		if (!strstr(error_message(&err), wrong[i].said))
			fail_msg("\"%s\" does not say \"%s\"", error_message(&err), wrong[i].said);
	}
}

/* A resumed VM's own say goes over what was preserved, also where it says the default. */
static void test_resume_options(void **state _unused_)
{
	const char *const argv[] = {"vmm", "--resume",	 "--id", "a",	      "--user",
				    "123", "--landlock", "on",	 "--seccomp", "off"};
	struct error err = ERROR_INIT;
	static struct cli cli;

	assert_int_equal(cli_parse(ARRAY_SIZE(argv), argv, &cli, &err), 0);
	assert_string_equal(cli.config.confine.user, "123");
	assert_string_equal(json_string_value(json_object_get(cli.overrides, "landlock")), "on");
	assert_string_equal(json_string_value(json_object_get(cli.overrides, "seccomp")), "off");
	cli_done(&cli);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_attacks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_duties, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_log_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_images, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_disk, set_up, tear_down),
		cmocka_unit_test(test_users),
		cmocka_unit_test_setup_teardown(test_user_that_comes_later, set_up, tear_down),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_resume_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
