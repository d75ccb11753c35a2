/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/config: what is read, what is refused and in how many words, and the round trip. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/unit/config_test.h"

static const char whole[] =
	"{\"id\": \"web-1.a\", \"kernel\": \"/boot/k\", \"initramfs\": \"/boot/i\","
	" \"cmdline\": \"console=ttyS0 quiet\", \"cpus\": 4, \"memory\": \"6G\","
	" \"console\": \"socket=/run/c\", \"hvc\": \"file=/var/hvc\", \"rng\": \"src=/dev/hwrng\","
	" \"balloon\": {\"size\": 4096}, \"vsock\": {\"cid\": 3},"
	" \"api-socket\": \"/run/a\","
	" \"agent\": \"/run/luod\", \"preserve-on-update\": true}";

static void test_whole(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_config config;

	assert_int_equal(read_text(whole, &config, &err), 0);
	assert_string_equal(config.id, "web-1.a");
	assert_string_equal(config.kernel, "/boot/k");
	assert_string_equal(config.initramfs, "/boot/i");
	assert_string_equal(config.cmdline, "console=ttyS0 quiet");
	assert_int_equal(config.cpus, 4);
	assert_int_equal(config.memory, 6 * GIB);
	assert_int_equal(config.console.mode, CONSOLE_SOCKET);
	assert_string_equal(config.console.path, "/run/c");
	assert_int_equal(config.hvc.mode, CONSOLE_FILE);
	assert_string_equal(config.hvc.path, "/var/hvc");
	assert_true(config.rng.on);
	assert_string_equal(config.rng.source, "/dev/hwrng");
	assert_int_equal(config.balloon.size, 4096);
	assert_true(config.vsock.on);
	assert_int_equal(config.vsock.cid, 3);
	assert_string_equal(config.api_socket, "/run/a");
	assert_string_equal(config.agent, "/run/luod");
	assert_true(config.preserve_on_update);
}

static void test_round_trip(void **state _unused_)
{
	static const char *const consoles[] = {"off", "stdio", "pty", "file=/a=b,c", "socket=/s"};

	for (unsigned int i = 0; i < ARRAY_SIZE(consoles); i++) {
		struct vm_config config, again;
		struct error err = ERROR_INIT;
		json_t *json;

		assert_int_equal(read_text(whole, &config, &err), 0);
		json = json_pack("{ss ss ss}", "console", consoles[i], "hvc",
				 consoles[(i + 1) % ARRAY_SIZE(consoles)], "rng",
				 i % 2 ? "off" : "src=/a b=c");
		assert_int_equal(vm_config_from_json(json, &config, &err), 0);
		json_decref(json);
		json = vm_config_to_json(&config);
		assert_non_null(json);
		vm_config_init(&again);
		assert_int_equal(vm_config_from_json(json, &again, &err), 0);
		json_decref(json);
		assert_string_equal(again.console.path, config.console.path);
		assert_int_equal(again.console.mode, config.console.mode);
		assert_memory_equal(&again.hvc, &config.hvc, sizeof(config.hvc));
		assert_memory_equal(&again.rng, &config.rng, sizeof(config.rng));
		assert_int_equal(again.rng.on, i % 2 == 0);
		assert_string_equal(again.id, config.id);
		assert_string_equal(again.kernel, config.kernel);
		assert_string_equal(again.initramfs, config.initramfs);
		assert_string_equal(again.cmdline, config.cmdline);
		assert_string_equal(again.api_socket, config.api_socket);
		assert_string_equal(again.agent, config.agent);
		assert_int_equal(again.cpus, config.cpus);
		assert_int_equal(again.memory, config.memory);
		assert_int_equal(again.preserve_on_update, config.preserve_on_update);
	}
}

static void test_all_problems_at_once(void **state _unused_)
{
	REFUSED("{\"id\": \"-x\", \"kernel\": 5, \"cpus\": 33, \"memory\": \"3M\","
		" \"console\": \"tty\", \"preserve-on-update\": \"yes\", \"kernal\": \"/k\"}",
		"id: must be 1 to 60", "kernel: must be a string", "cpus: must be from 1 to 32",
		"memory: must be from 33554432", "console: must be off, stdio, pty", "\"tty\"",
		"preserve-on-update: must be true or false", "kernal: unknown key");
}

static void test_refusals(void **state _unused_)
{
	REFUSED("[]", "must be an object");
	REFUSED("{\"memory\": 1073741825}", "memory: must be a multiple of 2M");
	REFUSED("{\"memory\": \"1.5G\"}", "memory");
	REFUSED("{\"memory\": \"99999999T\"}", "memory");
	REFUSED("{\"cpus\": 0}", "cpus: must be from 1");
	REFUSED("{\"cpus\": -1}", "cpus: must be from 1");
	REFUSED("{\"console\": \"file=\"}", "console");
	REFUSED("{\"console\": \"stdio2\"}", "console");
	REFUSED("{\"hvc\": \"tty\"}", "hvc: must be off, stdio, pty", "\"tty\"");
	REFUSED("{\"rng\": \"/dev/random\"}", "rng: must be off or src=FILE", "\"/dev/random\"");
	REFUSED("{\"rng\": \"src=\"}", "rng: must be off or src=FILE");
	REFUSED("{\"rng\": true}", "rng: must be a string");
	REFUSED("{\"id\": \"\"}", "id");
	REFUSED("{\"id\": \"a/b\"}", "id");
	REFUSED("{\"id\": \"abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijX\"}",
		"id");
}

static void test_longest_id(void **state _unused_)
{
	static const char id[] = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij";
	json_t *json = json_pack("{ss}", "id", id);
	struct error err = ERROR_INIT;
	struct vm_config config;

	vm_config_init(&config);
	assert_int_equal(vm_config_from_json(json, &config, &err), 0);
	assert_string_equal(config.id, id);
	json_decref(json);
}

static void test_nul_in_string(void **state _unused_)
{
	json_t *json = json_pack("{s:s#}", "kernel", "/a\0b", 4);
	struct error err = ERROR_INIT;
	struct vm_config config;

	vm_config_init(&config);
	assert_int_equal(vm_config_from_json(json, &config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "NUL"));
	json_decref(json);
}

static void test_over_what_is_there(void **state _unused_)
{
	json_t *json = json_pack("{ss}", "agent", "/run/other");
	struct error err = ERROR_INIT;
	struct vm_config config;

	assert_int_equal(read_text(whole, &config, &err), 0);
	assert_int_equal(vm_config_from_json(json, &config, &err), 0);
	assert_string_equal(config.agent, "/run/other");
	assert_string_equal(config.api_socket, "/run/a");
	assert_int_equal(config.cpus, 4);
	json_decref(json);
}

static void assert_memory_made(const char *text, uint64_t size, uint64_t max, unsigned int added,
			       bool prefault)
{
	struct vm_config config, again;
	struct error err = ERROR_INIT;
	json_t *json;

	if (read_text(text, &config, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	assert_int_equal(config.memory, size);
	assert_int_equal(config.growth.max, max);
	assert_int_equal(config.growth.count, added);
	assert_int_equal(config.prefault, prefault);
	snprintf(config.id, sizeof(config.id), "a");
	json = vm_config_to_json(&config);
	/* Where there is no more to say it is a number as ever, so that an older program reads it.
	 */
	assert_int_equal(json_is_integer(json_object_get(json, "memory")), max == 0 && !prefault);
	vm_config_init(&again);
	assert_int_equal(vm_config_from_json(json, &again, NULL), 0);
	json_decref(json);
	assert_int_equal(again.memory, size);
	assert_memory_equal(&again.growth, &config.growth, sizeof(config.growth));
	assert_int_equal(again.prefault, prefault);
}

static void assert_memory(const char *text, uint64_t size, uint64_t max, unsigned int added)
{
	assert_memory_made(text, size, max, added, false);
}

static void test_memory(void **state _unused_)
{
	struct vm_config config;
	struct error err = ERROR_INIT;

	assert_memory("{\"memory\": \"1G\"}", GIB, 0, 0);
	assert_memory("{\"memory\": 1073741824}", GIB, 0, 0);
	assert_memory("{\"memory\": \"size=1G\"}", GIB, 0, 0);
	assert_memory("{\"memory\": \"size=1G,hotplug_size=2G\"}", GIB, 2 * GIB, 0);
	assert_memory("{\"memory\": \"hotplug_size=128M\"}", 512 * MIB, 128 * MIB, 0);
	assert_memory("{\"memory\": {\"size\": \"1G\", \"hotplug_size\": 2147483648}}", GIB,
		      2 * GIB, 0);
	assert_memory("{\"memory\": {\"size\": \"1G\", \"hotplug_size\": \"1G\","
		      " \"added\": [134217728, 268435456]}}",
		      GIB, GIB, 2);
	assert_memory_made("{\"memory\": \"size=1G,prefault=on\"}", GIB, 0, 0, true);
	assert_memory_made("{\"memory\": {\"size\": \"1G\", \"hotplug_size\": \"2G\","
			   " \"prefault\": true, \"added\": [134217728]}}",
			   GIB, 2 * GIB, 1, true);
	assert_memory("{\"memory\": \"size=1G,prefault=off\"}", GIB, 0, 0);
	REFUSED("{\"memory\": \"size=1G,prefault=yes\"}", "memory.prefault");
	REFUSED("{\"memory\": \"size=1G,hotplug_size=64M\"}", "memory.hotplug_size",
		"multiple of 128M");
	REFUSED("{\"memory\": \"size=3T,hotplug_size=2T\"}", "4096 GiB");
	REFUSED("{\"memory\": {\"size\": 1073741825}}", "memory: must be a multiple of 2M");
	REFUSED("{\"memory\": {\"sise\": 1}}", "memory.sise: unknown key");
	REFUSED("{\"memory\": \"size=x\"}", "memory.size");
	REFUSED("{\"memory\": \"size=1G,shared=on\"}", "memory.shared: unknown key");
	REFUSED("{\"memory\": {\"hotplug_size\": \"1G\", \"added\": [1]}}", "128 MiB");
	REFUSED("{\"memory\": {\"hotplug_size\": \"1G\", \"added\": [true]}}", "memory.added");
	REFUSED("{\"memory\": {\"hotplug_size\": \"1G\", \"added\": [2147483648]}}",
		"more than can be added");
	REFUSED("{\"memory\": {\"hotplug_size\": \"1G\", \"added\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}}",
		"memory.added: 8 at most");
	REFUSED("{\"memory\": []}", "memory");
	/* At a boot there is one size, and as much to come as before. */
	assert_int_equal(read_text("{\"memory\": {\"size\": \"1G\", \"hotplug_size\": \"2G\","
				   " \"added\": [1073741824, 134217728]}}",
				   &config, &err),
			 0);
	assert_int_equal(vm_config_memory(&config), 2 * GIB + 128 * MIB);
	vm_config_fold_memory(&config);
	assert_int_equal(config.memory, 2 * GIB + 128 * MIB);
	assert_int_equal(config.growth.max, GIB - 128 * MIB);
	assert_int_equal(config.growth.count, 0);
	/* The balloon's limit is what there is. */
	assert_int_equal(read_text("{\"memory\": {\"size\": \"1G\", \"hotplug_size\": \"2G\","
				   " \"added\": [1073741824]}, \"balloon\": {\"size\": \"2G\"}}",
				   &config, &err),
			 0);
	vm_config_validate(&config, &err);
	assert_null(strstr(err.message, "balloon"));
	config.growth.count = 0;
	vm_config_validate(&config, &err);
	assert_non_null(strstr(err.message, "balloon"));
}

static void assert_balloon(const char *text, uint64_t size, bool deflate, bool report,
			   uint32_t interval)
{
	struct vm_config config, again;
	struct error err = ERROR_INIT;
	json_t *json;

	if (read_text(text, &config, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	assert_true(config.balloon.on);
	assert_int_equal(config.balloon.size, size);
	assert_int_equal(config.balloon.deflate_on_oom, deflate);
	assert_int_equal(config.balloon.free_page_reporting, report);
	assert_int_equal(config.balloon.stats_interval, interval);
	snprintf(config.id, sizeof(config.id), "a");
	json = vm_config_to_json(&config);
	vm_config_init(&again);
	assert_int_equal(vm_config_from_json(json, &again, NULL), 0);
	json_decref(json);
	assert_memory_equal(&again.balloon, &config.balloon, sizeof(config.balloon));
}

static void test_balloon(void **state _unused_)
{
	struct vm_config config;
	struct error err = ERROR_INIT;

	assert_balloon("{\"balloon\": {}}", 0, false, false, 0);
	assert_balloon("{\"balloon\": \"size=0\"}", 0, false, false, 0);
	assert_balloon("{\"balloon\": \"size=64M,deflate-on-oom=on,free-page-reporting=on,"
		       "stats-interval=5\"}",
		       64 * MIB, true, true, 5);
	assert_balloon("{\"balloon\": {\"size\": \"1G\", \"deflate-on-oom\": true,"
		       " \"free-page-reporting\": false, \"stats-interval\": 86400}}",
		       GIB, true, false, 86400);
	assert_int_equal(read_text("{\"balloon\": \"off\"}", &config, &err), 0);
	assert_false(config.balloon.on);
	REFUSED("{\"balloon\": {\"size\": 4097}}", "balloon.size: must be a multiple of 4K");
	REFUSED("{\"balloon\": \"size=1,stats-interval=x,colour=red\"}",
		"balloon.stats-interval: must be a number", "balloon.colour: unknown key");
	REFUSED("{\"balloon\": \"size=4K,deflate-on-oom=yes\"}",
		"balloon.deflate-on-oom: must be on or off");
	REFUSED("{\"balloon\": {\"sise\": 4096, \"stats-interval\": 86401}}", "balloon.sise",
		"balloon.stats-interval");
	REFUSED("{\"balloon\": true}", "balloon: must be");
	REFUSED("{\"balloon\": \"big\"}", "\"big\"");
	/* Not more than there is. */
	vm_config_init(&config);
	config.balloon = (struct virtio_balloon_config){.on = true, .size = config.memory};
	vm_config_validate(&config, &err);
	assert_null(strstr(err.message, "balloon"));
	config.balloon.size += 4096;
	assert_int_equal(vm_config_validate(&config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "balloon: a guest of 512 MiB"));
}

/* virtio 1.2, 5.10.4: 0 and 1 are reserved, 2 is the host, 0xffffffff is reserved. */
static void test_vsock(void **state _unused_)
{
	static const struct {
		const char *text;
		uint32_t cid;
	} good[] = {
		{"{\"vsock\": {\"cid\": 3}}", 3},
		{"{\"vsock\": \"cid=3\"}", 3},
		{"{\"vsock\": {\"cid\": 4294967294}}", 4294967294},
		{"{\"vsock\": \"cid=4294967294\"}", 4294967294},
	};
	struct vm_config config, again;
	struct error err = ERROR_INIT;

	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++) {
		json_t *json;

		if (read_text(good[i].text, &config, &err) < 0)
			fail_msg("%s: %s", good[i].text, err.message);
		assert_true(config.vsock.on);
		assert_int_equal(config.vsock.cid, good[i].cid);
		snprintf(config.id, sizeof(config.id), "a");
		json = vm_config_to_json(&config);
		vm_config_init(&again);
		assert_int_equal(vm_config_from_json(json, &again, NULL), 0);
		json_decref(json);
		assert_memory_equal(&again.vsock, &config.vsock, sizeof(config.vsock));
	}
	assert_int_equal(read_text("{\"vsock\": \"off\"}", &config, &err), 0);
	assert_false(config.vsock.on);
	REFUSED("{\"vsock\": {\"cid\": 2}}", "vsock.cid");
	REFUSED("{\"vsock\": {\"cid\": 4294967295}}", "vsock.cid");
	REFUSED("{\"vsock\": {\"cid\": -1}}", "vsock.cid");
	REFUSED("{\"vsock\": {\"cid\": \"x\"}}", "vsock.cid");
	REFUSED("{\"vsock\": {}}", "vsock.cid: must be given");
	REFUSED("{\"vsock\": \"cid=4294967299\"}", "vsock.cid");
	REFUSED("{\"vsock\": \"cid=x\"}", "vsock.cid: must be a number");
	REFUSED("{\"vsock\": \"cid=3,port=1\"}", "vsock.port: unknown key");
	REFUSED("{\"vsock\": 3}", "vsock: must be");
}

static void test_validate(void **state _unused_)
{
	char kernel[] = "/tmp/holdfast-test-kernel-XXXXXX";
	struct error err = ERROR_INIT;
	struct vm_config config;
	int fd = mkstemp(kernel);

	assert_true(fd >= 0);
	close(fd);
	vm_config_init(&config);
	snprintf(config.id, sizeof(config.id), "a");
	snprintf(config.kernel, sizeof(config.kernel), "%s", kernel);
	assert_int_equal(vm_config_validate(&config, &err), 0);

	snprintf(config.kernel, sizeof(config.kernel), "/");
	snprintf(config.initramfs, sizeof(config.initramfs), "/does/not/exist");
	snprintf(config.api_socket, sizeof(config.api_socket), "/nowhere/a.sock");
	snprintf(config.agent, sizeof(config.agent), "/nowhere/a.sock");
	snprintf(config.rng.source, sizeof(config.rng.source), "/dev/no-such-generator");
	config.hvc.mode = CONSOLE_STDIO;
	config.id[0] = '\0';
	assert_int_equal(vm_config_validate(&config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "id: must be given"));
	assert_non_null(strstr(err.message, "kernel: / is not a regular file"));
	assert_non_null(strstr(err.message, "initramfs: /does/not/exist: No such file"));
	assert_non_null(strstr(err.message, "api-socket: folder /nowhere: No such file"));
	assert_non_null(strstr(err.message, "api-socket and agent: both are"));
	assert_non_null(strstr(err.message, "rng: /dev/no-such-generator: No such file"));
	assert_non_null(strstr(err.message, "console and hvc: both are stdio"));

	vm_config_init(&config);
	snprintf(config.rng.source, sizeof(config.rng.source), "/dev");
	config.console = config.hvc =
		(struct console_config){.mode = CONSOLE_FILE, .path = "/tmp/c"};
	assert_int_equal(vm_config_validate(&config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "rng: /dev is a folder"));
	assert_non_null(strstr(err.message, "console and hvc: both are /tmp/c"));
	unlink(kernel);
}

static void test_socket_path_too_long(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_config config;

	vm_config_init(&config);
	memset(config.agent, 'a', 108);
	assert_int_equal(vm_config_validate(&config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "longer than the 107 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_all_problems_at_once),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_longest_id),
		cmocka_unit_test(test_nul_in_string),
		cmocka_unit_test(test_over_what_is_there),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_balloon),
		cmocka_unit_test(test_vsock),
		cmocka_unit_test(test_validate),
		cmocka_unit_test(test_socket_path_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
