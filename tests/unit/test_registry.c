/* SPDX-License-Identifier: Apache-2.0 */
/*
 * luod's registry: round trip through document and memfd, and everything hostile refused with the
 * registry left empty.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"
#include "luo/luod/registry_memfd.h"
#include "luo/luod/view.h"

static void fill(struct registry *reg)
{
	struct vm_record *record;

	assert_int_equal(registry_init(reg), 0);
	reg->tsc_khz = 2100000;
	reg->update = (struct update_record){.id = "0d6c0a9c-2d4e-4c3b-8c5f-1b2a3c4d5e6f",
					     .state = UPDATE_REBOOTING,
					     .started_ns = 5,
					     .kexec_begin_tsc = 77,
					     .from = "7.2.12",
					     .to = "7.3.4"};
	record = registry_add(reg, "web1");
	record->status = VM_CONNECTED;
	record->phase = AGENT_PHASE_FROZEN;
	record->preserve = record->in_update = true;
	record->pid = 42;
	record->memory = 1ULL << 33;
	record->cpus = 2;
	record->owner = 1000;
	record->timeline.phases[TIMELINE_FREEZE].begin_tsc = 10;
	record->timeline.phases[TIMELINE_FREEZE].end_tsc = 20;
	registry_set_text(record->binary, sizeof(record->binary), "/usr/bin/vmm");
	registry_set_text(record->config, sizeof(record->config), "/run/holdfast/vms/web1.json");
	record = registry_add(reg, "off");
	record->status = VM_STOPPED;
	registry_set_text(record->why, sizeof(record->why), "poweroff");
}

static void assert_same_record(const struct vm_record *a, const struct vm_record *b)
{
	assert_string_equal(a->id, b->id);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->phase, b->phase);
	assert_int_equal(a->preserve, b->preserve);
	assert_int_equal(a->in_update, b->in_update);
	assert_int_equal(a->resume, b->resume);
	assert_string_equal(a->binary, b->binary);
	assert_string_equal(a->config, b->config);
	assert_string_equal(a->api_socket, b->api_socket);
	assert_string_equal(a->version, b->version);
	assert_string_equal(a->why, b->why);
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->memory, b->memory);
	assert_int_equal(a->cpus, b->cpus);
	assert_int_equal(a->owner, b->owner);
	assert_memory_equal(&a->timeline, &b->timeline, sizeof(a->timeline));
}

static void test_document(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct registry in, out;
	json_t *doc;

	fill(&in);
	in.update.state = UPDATE_DONE;
	registry_archive_update(&in);
	assert_int_equal(json_array_size(in.history), 1);
	doc = registry_to_json(&in, false);
	assert_int_equal(registry_init(&out), 0);
	assert_int_equal(registry_from_json(doc, &out, &err), 0);
	assert_int_equal(out.vm_count, 2);
	assert_same_record(in.vms, out.vms);
	assert_same_record(in.vms->next, out.vms->next);
	assert_memory_equal(&in.update, &out.update, sizeof(in.update));
	assert_int_equal(out.tsc_khz, in.tsc_khz);
	assert_true(json_equal(in.history, out.history));
	assert_int_equal(out.metrics.results[in.update.state], 1);
	assert_memory_equal(&in.metrics, &out.metrics, sizeof(in.metrics));
	json_decref(doc);
	registry_done(&in);
	registry_done(&out);
}

static void test_history(void **state _unused_)
{
	struct registry reg;

	fill(&reg);
	for (unsigned int i = 0; i < REGISTRY_HISTORY_MAX + 3; i++) {
		snprintf(reg.update.id, sizeof(reg.update.id), "update-%u", i);
		registry_archive_update(&reg);
	}
	assert_int_equal(json_array_size(reg.history), REGISTRY_HISTORY_MAX);
	/* One that ends again takes its own place. */
	reg.update.state = UPDATE_DONE;
	registry_archive_update(&reg);
	assert_int_equal(json_array_size(reg.history), REGISTRY_HISTORY_MAX);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(reg.history, 0), "state")),
		"done");
	registry_done(&reg);
}

static void test_memfd(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct registry in, out;
	int fd = -1;

	fill(&in);
	registry_archive_update(&in);
	assert_int_equal(registry_memfd_new(&in, &fd, &err), 0);
	assert_int_equal(registry_memfd_write(fd, &in, &err), 0);
	assert_int_equal(registry_init(&out), 0);
	assert_int_equal(registry_memfd_read(fd, &out, &err), 0);
	/* Only the VMs of the update go into the next kernel. */
	assert_int_equal(out.vm_count, 1);
	assert_same_record(in.vms, out.vms);
	/* No guest waits for the history. */
	assert_int_equal(json_array_size(out.history), 0);
	assert_int_equal(registry_memfd_read_history(fd, &out, &err), 0);
	assert_true(json_equal(in.history, out.history));
	/* Once, and only into a registry that has none. */
	assert_int_equal(registry_memfd_read_history(fd, &out, &err), 0);
	assert_int_equal(json_array_size(out.history), 1);
	registry_done(&out);
	/* Written again, shorter: nothing of the first is left to be read. */
	in.vms->in_update = false;
	assert_int_equal(registry_memfd_write(fd, &in, &err), 0);
	assert_int_equal(registry_init(&out), 0);
	assert_int_equal(registry_memfd_read(fd, &out, &err), 0);
	assert_int_equal(out.vm_count, 0);
	registry_done(&out);
	registry_done(&in);
	close(fd);
}

/* What was set aside before the prepare must be enough for the longest that may come after. */
static void test_growth(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct registry reg;
	int fd = -1;

	fill(&reg);
	for (unsigned int i = 0; i < 200; i++) {
		char id[LUO_VM_ID_MAX + 1];

		snprintf(id, sizeof(id), "vm-%u", i);
		registry_add(&reg, id)->in_update = true;
	}
	assert_int_equal(registry_memfd_new(&reg, &fd, &err), 0);
	for (struct vm_record *record = reg.vms; record; record = record->next) {
		memset(record->why, 'x', sizeof(record->why) - 1);
		for (unsigned int i = 0; i < TIMELINE_PHASE_MAX; i++) {
			record->timeline.phases[i].begin_tsc = INT64_MAX;
			record->timeline.phases[i].end_tsc = INT64_MAX;
		}
	}
	memset(reg.update.why, 'x', sizeof(reg.update.why) - 1);
	assert_int_equal(registry_memfd_write(fd, &reg, &err), 0);
	registry_done(&reg);
	close(fd);
}

static void test_too_small(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct registry in, out;
	int fd = -1;

	fill(&in);
	for (unsigned int i = 0; i < REGISTRY_HISTORY_MAX; i++) {
		snprintf(in.update.id, sizeof(in.update.id), "update-%u", i);
		memset(in.vms->why, 'y', sizeof(in.vms->why) - 1);
		memset(in.update.why, 'x', sizeof(in.update.why) - 1);
		registry_archive_update(&in);
	}
	assert_int_equal(registry_memfd_new(&in, &fd, &err), 0);
	assert_int_equal(registry_memfd_write(fd, &in, &err), 0);
	/* VMs do not take the place of the history. */
	for (unsigned int i = 0; i < 500; i++) {
		char id[LUO_VM_ID_MAX + 1];

		snprintf(id, sizeof(id), "vm-%u", i);
		registry_add(&in, id)->in_update = true;
	}
	assert_int_equal(registry_memfd_write(fd, &in, &err), -ENOSPC);
	assert_int_equal(registry_init(&out), 0);
	assert_int_equal(registry_memfd_read(fd, &out, &err), 0);
	assert_int_equal(out.vm_count, 1);
	assert_int_equal(registry_memfd_read_history(fd, &out, &err), 0);
	assert_true(json_equal(in.history, out.history));
	registry_done(&out);
	assert_int_equal(ftruncate(fd, 512), 0);
	assert_int_equal(registry_memfd_write(fd, &in, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "512 bytes"));
	assert_int_equal(ftruncate(fd, 16), 0);
	assert_int_equal(registry_memfd_write(fd, &in, &err), -ENOSPC);
	registry_done(&in);
	close(fd);
}

static void refuse_file(int fd, int expected)
{
	struct error err = ERROR_INIT;
	struct registry out;

	assert_int_equal(registry_init(&out), 0);
	assert_int_equal(registry_memfd_read(fd, &out, &err), expected);
	assert_non_null(strstr(err.message, "registry: "));
	assert_int_equal(out.vm_count, 0);
	assert_null(out.vms);
	registry_done(&out);
}

static void read_damaged_history(int fd)
{
	struct error err = ERROR_INIT;
	struct registry out;
	int r;

	assert_int_equal(registry_init(&out), 0);
	assert_int_equal(registry_memfd_read(fd, &out, &err), 0);
	r = registry_memfd_read_history(fd, &out, &err);
	/* Without its magic there is none. */
	if (r != 0 && r != -EPROTONOSUPPORT)
		assert_int_equal(r, -EBADMSG);
	assert_int_equal(json_array_size(out.history), 0);
	assert_int_equal(out.vm_count, 1);
	registry_done(&out);
}

static void test_damage(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct registry in;
	uint64_t length, history;
	uint8_t *data;
	struct stat st;
	int fd = -1;

	fill(&in);
	registry_archive_update(&in);
	assert_int_equal(registry_memfd_new(&in, &fd, &err), 0);
	assert_int_equal(registry_memfd_write(fd, &in, &err), 0);
	assert_int_equal(fstat(fd, &st), 0);
	data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(data != MAP_FAILED);
	memcpy(&length, data + 16, sizeof(length));
	for (size_t bit = 0; bit < (32 + length) * 8; bit++) {
		/* The version has an answer of its own. */
		bool version = bit / 8 >= 8 && bit / 8 < 12;

		data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		refuse_file(fd, version ? -EPROTONOSUPPORT : -EBADMSG);
		data[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	/* The VMs are there, whatever has become of the history. */
	memcpy(&history, data + st.st_size - 16, sizeof(history));
	assert_true(history > 0 && (off_t)history < st.st_size);
	for (size_t bit = 0; bit < (32 + history) * 8; bit++) {
		uint8_t *byte = data + st.st_size - 1 - bit / 8;

		*byte ^= (uint8_t)(1U << bit % 8);
		read_damaged_history(fd);
		*byte ^= (uint8_t)(1U << bit % 8);
	}
	munmap(data, (size_t)st.st_size);
	for (off_t size = 0; size < 32 + (off_t)length; size += 13) {
		assert_int_equal(ftruncate(fd, size), 0);
		refuse_file(fd, -EBADMSG);
		assert_int_equal(ftruncate(fd, st.st_size), 0);
		assert_int_equal(registry_memfd_write(fd, &in, &err), 0);
	}
	assert_int_equal(ftruncate(fd, 65 << 20), 0);
	refuse_file(fd, -EBADMSG);
	registry_done(&in);
	close(fd);
}

static void refuse(const char *text, int expected, const char *says)
{
	json_t *doc = json_loads(text, 0, NULL);
	struct error err = ERROR_INIT;
	struct registry reg;

	assert_non_null(doc);
	assert_int_equal(registry_init(&reg), 0);
	assert_int_equal(registry_from_json(doc, &reg, &err), expected);
	if (!strstr(err.message, says))
		fail_msg("\"%s\" does not say \"%s\"", err.message, says);
	assert_null(reg.vms);
	assert_int_equal(reg.vm_count, 0);
	registry_done(&reg);
	json_decref(doc);
}

#define HEAD "{\"format\":\"holdfast-registry\",\"version\":1,"
#define VM(id)                                                              \
	"{\"id\":\"" id "\",\"status\":\"connected\",\"phase\":\"frozen\"," \
	"\"timeline\":[]}"

static void test_hostile(void **state _unused_)
{
	refuse("[]", -EBADMSG, "it is not one");
	refuse("{\"format\":\"other\"}", -EBADMSG, "it is not one");
	refuse("{\"format\":\"holdfast-registry\",\"version\":2}", -EPROTONOSUPPORT, "version 2");
	refuse(HEAD "\"history\":[]}", -EBADMSG, "vms: missing");
	refuse(HEAD "\"vms\":[" VM("a") "," VM("a") "]}", -EBADMSG, "vms[1].id: not valid");
	refuse(HEAD "\"vms\":[" VM("../etc") "]}", -EBADMSG, "vms[0].id: not valid");
	refuse(HEAD "\"vms\":[{\"id\":\"a\",\"status\":\"odd\",\"phase\":\"frozen\","
		    "\"timeline\":[]}]}",
	       -EBADMSG, "vms[0].status: unknown \"odd\"");
	refuse(HEAD "\"vms\":[{\"id\":\"a\",\"status\":\"failed\",\"phase\":\"odd\","
		    "\"timeline\":[]}]}",
	       -EBADMSG, "vms[0].phase: unknown \"odd\"");
	refuse(HEAD "\"vms\":[{\"id\":\"a\",\"status\":\"failed\",\"phase\":\"frozen\"}]}",
	       -EBADMSG, "timeline: must be an array");
	refuse(HEAD "\"vms\":[7]}", -EBADMSG, "vms[0]: must be an object");
	refuse(HEAD "\"vms\":[],\"colour\":1}", -EBADMSG, "colour: unknown key");
	refuse(HEAD "\"vms\":[],\"update\":{\"id\":\"x\",\"state\":\"odd\"}}", -EBADMSG,
	       "update.state");
	refuse(HEAD "\"vms\":[],\"history\":[{\"id\":\"x\"}]}", -EBADMSG, "history[0]");
	refuse(HEAD "\"vms\":[],\"history\":[{\"id\":\"x\",\"state\":\"done\",\"timeline\":[],"
		    "\"vms\":[{\"id\":\"a b\",\"timeline\":[]}]}]}",
	       -EBADMSG, "vms[0].id");
	refuse(HEAD "\"vms\":[],\"history\":[0,0,0,0,0,0,0,0,0]}", -EBADMSG, "more than 8");
}

static void test_text(void **state _unused_)
{
	char field[8];
	json_t *json;

	registry_set_text(field, sizeof(field),
			  "Gr\xc3\xbc\xc3\x9f"
			  "e!");
	assert_string_equal(field, "Gr\xc3\xbc\xc3\x9f"
				   "e");
	/* Cut inside of a character, and not UTF-8 at all. */
	registry_set_text(field, sizeof(field), "abcdef\xc3\xbc");
	assert_string_equal(field, "abcdef?");
	registry_set_text(field, sizeof(field),
			  "a\xff"
			  "b");
	json = json_string(field);
	assert_non_null(json);
	json_decref(json);
}

static void test_limits(void **state _unused_)
{
	struct registry reg;
	struct vm_record *first;

	assert_int_equal(registry_init(&reg), 0);
	for (unsigned int i = 0; i < REGISTRY_VMS_MAX; i++) {
		char id[16];

		snprintf(id, sizeof(id), "v%u", i);
		assert_non_null(registry_add(&reg, id));
	}
	assert_null(registry_add(&reg, "one-more"));
	first = reg.vms;
	registry_remove(&reg, first->next);
	assert_int_equal(reg.vm_count, REGISTRY_VMS_MAX - 1);
	assert_null(registry_find(&reg, "v1"));
	assert_ptr_equal(registry_find(&reg, "v0"), first);
	registry_done(&reg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document),  cmocka_unit_test(test_history),
		cmocka_unit_test(test_memfd),	  cmocka_unit_test(test_growth),
		cmocka_unit_test(test_too_small), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_hostile),	  cmocka_unit_test(test_text),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
