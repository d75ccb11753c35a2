/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/api: a server on a UNIX socket, asked by curl and by clients that behave worse. The VM behind
 * it is a fake: what is tested is HTTP.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/sock.h"
#include "base/util.h"
#include "vmm/api/server.h"

#define OUTPUT_MAX 16384
/* Bounds that only a failure reaches, and a busy host does not. */
#define PATIENCE "120"

static struct {
	struct loop *loop;
	struct api *api;
	struct loop_timer *later; /* ends the verb that is under way */
	pthread_t thread;
	char folder[64], path[96];
	/* The fake VM: of the server's thread and the test's. */
	_Atomic enum vm_verb verb;
	_Atomic uint32_t timeout_ms;
	_Atomic int result;    /* of every verb, at once */
	_Atomic bool never;    /* verbs do not end */
	_Atomic bool by_timer; /* verbs end after a while */
	_Atomic unsigned int asked;
	_Atomic bool starved; /* two seconds pass whenever the clock is read */
	vm_done_fn *done;
	void *done_opaque;
} server;

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

/* The clock of a process that is seldom given a CPU. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	static _Atomic time_t lost;
	int r = __real_clock_gettime(clock, ts);

	if (server.starved)
		lost += 2;
	ts->tv_sec += lost;
	return r;
}

static json_t *fake_info(void *o _unused_)
{
	return json_pack("{ss ss}", "id", "web1", "state", "Running");
}

static json_t *fake_timeline(void *o _unused_)
{
	return json_pack("{s[]}", "phases");
}

static const char *fake_phase(void *o _unused_)
{
	return "running";
}

static int fake_request(void *o _unused_, enum vm_verb verb, uint32_t timeout_ms, vm_done_fn *done,
			void *done_opaque, struct error *err)
{
	server.verb = verb;
	server.timeout_ms = timeout_ms;
	server.asked++;
	if (server.result < 0)
		return error_set(err, server.result, "the fake says no");
	if (!server.never && !server.by_timer) {
		done(done_opaque, 0, NULL);
		return 0;
	}
	server.done = done;
	server.done_opaque = done_opaque;
	if (server.by_timer)
		loop_timer_arm(server.later, 300 * NSEC_PER_MSEC, 0);
	return 0;
}

static int fake_add(void *o _unused_, json_t *devices, struct error *err)
{
	server.asked++;
	if (!json_object_get(devices, "rng"))
		return error_set(err, -EINVAL, "the fake plugs in rng only");
	return server.result < 0 ? error_set(err, server.result, "the fake says no") : 0;
}

static int fake_remove(void *o _unused_, const char *device, struct error *err)
{
	server.asked++;
	return strcmp(device, "rng") ? error_set(err, -ENOENT, "no such thing") : 0;
}

static int fake_resize(void *o _unused_, const char *id, uint64_t size, struct error *err)
{
	server.asked++;
	if (strcmp(id, "disk0") != 0)
		return error_set(err, -ENOENT, "no such disk");
	return size == 3 * GIB ? 0 : error_set(err, -EINVAL, "only 3 GiB will do");
}

static int fake_resize_memory(void *o _unused_, uint64_t size, struct error *err)
{
	if (size > 2 * GIB)
		return error_set(err, -ENOMEM, "the host has not so much");
	return size == 2 * GIB ? 0 : error_set(err, -ERANGE, "it has more");
}

static int fake_resize_balloon(void *o _unused_, uint64_t size, struct error *err)
{
	server.asked++;
	if (server.result < 0)
		return error_set(err, server.result, "the fake says no");
	return size <= GIB ? 0 : error_set(err, -EINVAL, "more than it has");
}

static json_t *fake_balloon_statistics(void *o _unused_)
{
	return server.result < 0 ? NULL : json_pack("{si si}", "size", 4096, "actual", 0);
}

static json_t *fake_counters(void *o _unused_)
{
	return json_pack("{s{si}}", "disk0", "read-ops", 7);
}

static const struct api_backend backend = {
	.info = fake_info,
	.timeline = fake_timeline,
	.counters = fake_counters,
	.balloon_statistics = fake_balloon_statistics,
	.phase = fake_phase,
	.request = fake_request,
	.add_devices = fake_add,
	.remove_device = fake_remove,
	.resize_disk = fake_resize,
	.resize_balloon = fake_resize_balloon,
	.resize_memory = fake_resize_memory,
};

static void end_verb(void *o _unused_)
{
	server.done(server.done_opaque, 0, NULL);
}

static void *serve(void *o _unused_)
{
	loop_run(server.loop);
	return NULL;
}

static int start(void **state _unused_)
{
	struct error err = ERROR_INIT;

	memset(&server, 0, sizeof(server));
	strcpy(server.folder, "/tmp/holdfast-test-api-XXXXXX");
	assert_non_null(mkdtemp(server.folder));
	snprintf(server.path, sizeof(server.path), "%s/api", server.folder);
	assert_int_equal(loop_new(&server.loop, &err), 0);
	assert_int_equal(loop_timer_new(server.loop, end_verb, NULL, &server.later, &err), 0);
	if (api_new(server.loop, server.path, &backend, NULL, &server.api, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
	return 0;
}

static void stop_loop(void)
{
	loop_stop(server.loop);
	pthread_join(server.thread, NULL);
}

static int stop(void **state _unused_)
{
	stop_loop();
	api_free(server.api);
	loop_timer_free(server.later);
	loop_free(server.loop);
	/* The socket is gone with the server: the folder is empty. */
	return rmdir(server.folder);
}

/* Body, a newline and the status as curl reports it. */
static char *curl(const char *args)
{
	static char output[OUTPUT_MAX];
	char command[1024];
	size_t n;
	FILE *p;

	snprintf(command, sizeof(command),
		 "curl -s --max-time " PATIENCE
		 " --unix-socket %s -w '\\n%%{http_code} %%{content_type}' %s",
		 server.path, args);
	p = popen(command, "r");
	assert_non_null(p);
	n = fread(output, 1, sizeof(output) - 1, p);
	output[n] = '\0';
	pclose(p);
	return output;
}

static void assert_has(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("\"%s\" is not in \"%s\"", word, text);
}

#define URL "http://localhost/api/v1/"

static void test_get(void **state _unused_)
{
	struct stat st;
	char *out;

	assert_int_equal(stat(server.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	out = curl(URL "vmm.ping");
	assert_has(out, "\n200 application/json");
	assert_has(out, "\"version\"");
	out = curl(URL "vm.info");
	assert_has(out, "\"id\": \"web1\"");
	out = curl(URL "vm.timeline");
	assert_has(out, "\"phases\": []");
	out = curl("-I " URL "vm.info");
	assert_has(out, "\n200 application/json");
	assert_null(strstr(out, "web1"));
}

static void test_verbs(void **state _unused_)
{
	static const struct {
		const char *name;
		enum vm_verb verb;
		const char *answer;
	} verbs[] = {
		{"vm.pause", VM_PAUSE, "\n204"},
		{"vm.resume", VM_RESUME, "\n204"},
		{"vm.power-button", VM_POWER_BUTTON, "\n204"},
		{"vm.reboot", VM_REBOOT, "\n204"},
		{"vm.shutdown", VM_SHUTDOWN, "\n204"},
		{"vm.prepare", VM_PREPARE, "\"phase\": \"running\""},
		{"vm.freeze", VM_FREEZE, "\"phase\": \"running\""},
		{"vm.thaw", VM_THAW, "\"phase\": \"running\""},
		{"vm.abort", VM_ABORT, "\"phase\": \"running\""},
		{"vm.resume-preserved", VM_RESUME_PRESERVED, "\"phase\": \"running\""},
		{"vmm.shutdown", VM_QUIT, "\n204"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(verbs); i++) {
		char args[128];

		snprintf(args, sizeof(args), "-X PUT %s%s", URL, verbs[i].name);
		assert_has(curl(args), verbs[i].answer);
		assert_int_equal(server.verb, verbs[i].verb);
	}
	assert_int_equal(server.asked, ARRAY_SIZE(verbs));
}

static void test_devices(void **state _unused_)
{
	char *out = curl("-X PUT -d '{\"rng\": \"src=/x\"}' " URL "vm.add-device");

	assert_has(out, "\n204");
	assert_has(curl("-X PUT -d '{\"device\": \"rng\"}' " URL "vm.remove-device"), "\n204");
	assert_int_equal(server.asked, 2);
	out = curl("-X PUT -d '{\"cpus\": 1}' " URL "vm.add-device");
	assert_has(out, "\n400 application/problem+json");
	assert_has(out, "the fake plugs in rng only");
	assert_has(curl("-X PUT -d '[1]' " URL "vm.add-device"), "body: must be an object");
	out = curl("-X PUT -d '{\"device\": \"disk\"}' " URL "vm.remove-device");
	assert_has(out, "\n404 application/problem+json");
	assert_has(curl("-X PUT -d '{}' " URL "vm.remove-device"), "device: must be given");
	assert_has(curl("-X PUT -d '{\"id\": \"disk0\", \"size\": \"3G\"}' " URL "vm.resize-disk"),
		   "\n204");
	assert_has(curl("-X PUT -d '{\"id\": \"disk0\", \"size\": 512}' " URL "vm.resize-disk"),
		   "only 3 GiB will do");
	assert_has(curl("-X PUT -d '{\"id\": \"x\", \"size\": 512}' " URL "vm.resize-disk"),
		   "\n404");
	out = curl("-X PUT -d '{\"size\": 1}' " URL "vm.resize-disk");
	assert_has(out, "id: must be given");
	assert_has(out, "size: must be from 512");
	assert_has(curl(URL "vm.counters"), "\"read-ops\": 7");
	assert_has(curl("-X PUT -d '{\"device\": 5}' " URL "vm.remove-device"), "\n400");
	assert_has(curl("-X PUT -d '{' " URL "vm.remove-device"), "\n400");
	server.result = -EBUSY;
	out = curl("-X PUT -d '{\"rng\": \"src=/x\"}' " URL "vm.add-device");
	assert_has(out, "urn:holdfast:problem:wrong-phase");
}

static void test_memory(void **state _unused_)
{
	assert_has(curl("-X PUT -d '{\"desired_ram\": \"2G\"}' " URL "vm.resize"), "\n204");
	assert_has(curl("-X PUT " URL "vm.resize"), "desired_ram: must be given");
	assert_has(curl("-X PUT -d '{\"desired_ram\": -1}' " URL "vm.resize"), "\n400");
	assert_has(curl("-X PUT -d '{\"desired_ram\": 1, \"desired_vcpus\": 2}' " URL "vm.resize"),
		   "desired_vcpus: unknown key");
	assert_has(curl("-X PUT -d '{\"desired_ram\": 1}' " URL "vm.resize"), "memory-limit");
	assert_has(curl("-X PUT -d '{\"desired_ram\": 1}' " URL "vm.resize"), "\n409");
	assert_has(curl("-X PUT -d '{\"desired_ram\": \"4G\"}' " URL "vm.resize"), "no-room");
	assert_has(curl("-X PUT -d '{\"desired_ram\": \"4G\"}' " URL "vm.resize"), "\n503");
}

static void test_balloon(void **state _unused_)
{
	assert_has(curl("-X PUT -d '{\"size\": \"64M\"}' " URL "vm.resize-balloon"), "\n204");
	assert_has(curl("-X PUT -d '{\"size\": 0}' " URL "vm.resize-balloon"), "\n204");
	assert_int_equal(server.asked, 2);
	assert_has(curl("-X PUT " URL "vm.resize-balloon"), "size: must be given");
	assert_has(curl("-X PUT -d '{\"size\": -1}' " URL "vm.resize-balloon"), "\n400");
	assert_has(curl("-X PUT -d '{\"size\": 1, \"id\": \"x\"}' " URL "vm.resize-balloon"),
		   "id: unknown key");
	assert_int_equal(server.asked, 2);
	assert_has(curl("-X PUT -d '{\"size\": \"2G\"}' " URL "vm.resize-balloon"),
		   "more than it has");
	assert_has(curl(URL "vm.balloon-statistics"), "\"size\": 4096");
	assert_has(curl("-X PUT " URL "vm.balloon-statistics"), "\n405");
	server.result = -ENOENT;
	assert_has(curl(URL "vm.balloon-statistics"), "\n404 application/problem+json");
	assert_has(curl("-X PUT -d '{\"size\": 0}' " URL "vm.resize-balloon"), "\n404");
}

static void test_wrong_requests(void **state _unused_)
{
	char *out = curl(URL "vm.nothing");

	assert_has(out, "\n404 application/problem+json");
	assert_has(out, "urn:holdfast:problem:not-found");
	out = curl("-i -X POST " URL "vm.pause");
	assert_has(out, "\n405 application/problem+json");
	assert_has(out, "Allow: PUT");
	assert_has(curl("-i -X DELETE " URL "vm.info"), "Allow: GET, HEAD");
	out = curl("-X PUT -d '{\"timeout-ms\": 0, \"speed\": 1}' " URL "vm.freeze");
	assert_has(out, "\n400 application/problem+json");
	assert_has(out, "timeout-ms: must be from 1");
	assert_has(out, "speed: unknown key");
	assert_has(curl("-X PUT -d '{' " URL "vm.pause"), "\n400");
	assert_has(curl("-X PUT -d '[]' " URL "vm.pause"), "\n400");
	assert_has(curl("-X PUT -d '{\"a\":1}' " URL "vm.pause"), "a: unknown key");
	assert_int_equal(server.asked, 0);
	assert_has(curl("-X PUT -d '{\"timeout-ms\": 1500}' " URL "vm.freeze"), "\n200");
	assert_int_equal(server.timeout_ms, 1500);
}

static void test_errors_of_the_vm(void **state _unused_)
{
	static const struct {
		int code;
		const char *status, *type;
	} errors[] = {
		{-EBUSY, "\n409", "urn:holdfast:problem:wrong-phase"},
		{-EPERM, "\n409", "urn:holdfast:problem:driven-by-agent"},
		{-EOPNOTSUPP, "\n409", "urn:holdfast:problem:not-preservable"},
		{-ECANCELED, "\n409", "urn:holdfast:problem:cancelled"},
		{-ETIMEDOUT, "\n503", "urn:holdfast:problem:timeout"},
		{-ENOMEM, "\n500", "urn:holdfast:problem:failed"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(errors); i++) {
		char *out;

		server.result = errors[i].code;
		out = curl("-X PUT " URL "vm.prepare");
		assert_has(out, errors[i].status);
		assert_has(out, errors[i].type);
		assert_has(out, "the fake says no");
		assert_has(out, "\"phase\": \"running\"");
	}
}

static void *ask_prepare(void *o)
{
	char command[256];
	FILE *p;
	size_t n;

	snprintf(command, sizeof(command),
		 "curl -s --max-time " PATIENCE
		 " --unix-socket %s -w '%%{http_code}' -X PUT %svm.prepare",
		 server.path, URL);
	p = popen(command, "r");
	n = p ? fread(o, 1, 1023, p) : 0;
	((char *)o)[n] = '\0';
	if (p)
		pclose(p);
	return NULL;
}

/* While one client waits for the end of its verb, others are served. */
static void test_long_verb(void **state _unused_)
{
	static char answer[1024];
	pthread_t thread;

	server.by_timer = true;
	assert_int_equal(pthread_create(&thread, NULL, ask_prepare, answer), 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_has(curl(URL "vm.info"), "\n200");
	pthread_join(thread, NULL);
	assert_has(answer, "\"phase\"");
	assert_has(answer, "200");
	/* And its end is told although nobody else moves the server. */
	ask_prepare(answer);
	assert_has(answer, "200");
}

static void test_too_large(void **state _unused_)
{
	char *out = curl("-X PUT -H 'Expect:' -d "
			 "\"$(head -c 100000 /dev/zero | tr '\\0' x)\" " URL "vm.pause");

	assert_has(out, "\n413 application/problem+json");
	/* Told before it is sent. */
	out = curl(
		"-X PUT -H 'Expect: 100-continue' -T /dev/stdin -H 'Content-Length: 9999999' " URL
		"vm.pause </dev/null");
	assert_has(out, "\n413 application/problem+json");
	out = curl("-X PUT -H 'Expect:' -H 'Transfer-Encoding: chunked' -d "
		   "\"$(head -c 70000 /dev/zero | tr '\\0' x)\" " URL "vm.pause");
	assert_has(out, "\n413 application/problem+json");
	assert_int_equal(server.asked, 0);
	assert_has(curl(URL "vmm.ping"), "\n200");
}

static void talk(const char *text, size_t len, bool read_answer)
{
	struct error err = ERROR_INIT;
	char buf[4096];
	int fd;

	assert_int_equal(sock_connect(server.path, SOCK_STREAM, &fd, &err), 0);
	(void)!send(fd, text, len, MSG_NOSIGNAL);
	if (read_answer)
		(void)!read(fd, buf, sizeof(buf));
	close(fd);
}

static void test_broken_clients(void **state _unused_)
{
	static const char half[] =
		"PUT /api/v1/vm.pause HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
		"\r\n{";
	static const char chunk[] = "PUT /api/v1/vm.pause HTTP/1.1\r\nHost: x\r\n"
				    "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n";
	static char junk[65536];

	memset(junk, 'A', sizeof(junk));
	for (unsigned int i = 0; i < 50; i++) {
		talk("", 0, false);
		talk("\0\0\0", 3, false);
		talk("GET", 3, false);
		talk(half, sizeof(half) - 1, false);
		talk(chunk, sizeof(chunk) - 1, true);
		talk(junk, sizeof(junk), false);
	}
	assert_int_equal(server.asked, 0);
	assert_has(curl(URL "vmm.ping"), "\n200");
}

/* The vmm ends while a client waits for a verb: the client is told. */
static void end_while_waiting(bool starved)
{
	static char answer[1024];
	pthread_t thread;

	server.never = true;
	assert_int_equal(pthread_create(&thread, NULL, ask_prepare, answer), 0);
	while (!server.asked)
		usleep(1000);
	stop_loop();
	api_quiesce(server.api);
	server.starved = starved;
	api_free(server.api);
	server.starved = false;
	pthread_join(thread, NULL);
	assert_has(answer, "urn:holdfast:problem:ending");
	assert_has(answer, "503");
	loop_timer_free(server.later);
	loop_free(server.loop);
	assert_int_equal(rmdir(server.folder), 0);
}

static void test_end_while_waiting(void **state _unused_)
{
	end_while_waiting(false);
}

/* On a host so busy that the deadline for it is over before the vmm has its turn, too. */
static void test_end_on_busy_host(void **state _unused_)
{
	end_while_waiting(true);
}

/* A client that does not come to an end holds nobody up for long. */
static void test_end_beside_half_a_request(void **state _unused_)
{
	static const char half[] =
		"PUT /api/v1/vm.pause HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
		"\r\n{";
	struct error err = ERROR_INIT;
	int fd;

	assert_int_equal(sock_connect(server.path, SOCK_STREAM, &fd, &err), 0);
	assert_int_equal(send(fd, half, sizeof(half) - 1, MSG_NOSIGNAL), sizeof(half) - 1);
	assert_has(curl(URL "vmm.ping"), "\n200");
	assert_int_equal(stop(NULL), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, start, stop),
		cmocka_unit_test_setup_teardown(test_verbs, start, stop),
		cmocka_unit_test_setup_teardown(test_devices, start, stop),
		cmocka_unit_test_setup_teardown(test_memory, start, stop),
		cmocka_unit_test_setup_teardown(test_balloon, start, stop),
		cmocka_unit_test_setup_teardown(test_wrong_requests, start, stop),
		cmocka_unit_test_setup_teardown(test_errors_of_the_vm, start, stop),
		cmocka_unit_test_setup_teardown(test_long_verb, start, stop),
		cmocka_unit_test_setup_teardown(test_too_large, start, stop),
		cmocka_unit_test_setup_teardown(test_broken_clients, start, stop),
		cmocka_unit_test_setup(test_end_while_waiting, start),
		cmocka_unit_test_setup(test_end_on_busy_host, start),
		cmocka_unit_test_setup(test_end_beside_half_a_request, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
