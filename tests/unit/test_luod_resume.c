/* SPDX-License-Identifier: Apache-2.0 */
/*
 * luod in the new kernel: the registry found, each VM's vmm started and given its session, the
 * update ended; and every way in which one VM fails while the others come through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>

#include "luo/luod/lifecycle.h"
#include "luo/luod/registry_memfd.h"
#include "luo/luod/resume.h"
#include "luo/luod/state_file.h"
#include "luod_bench.h"

static struct bench bench;

/* What a luod of the previous kernel left: VMs a and b, frozen. */
static void hand_over(void)
{
	static const char *const ids[] = {"a", "b"};
	struct error err = ERROR_INIT;
	struct registry reg;

	assert_int_equal(registry_init(&reg), 0);
	reg.update = (struct update_record){
		.id = "an-update", .state = UPDATE_REBOOTING, .kexec_begin_tsc = 1, .from = "7.2"};
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		struct vm_record *record = registry_add(&reg, ids[i]);

		record->status = VM_CONNECTED;
		record->phase = AGENT_PHASE_FROZEN;
		record->preserve = record->in_update = true;
		record->pid = 7;
		record->timeline.phases[TIMELINE_FREEZE].begin_tsc = 1;
		record->timeline.phases[TIMELINE_FREEZE].end_tsc = 1;
		registry_set_text(record->binary, sizeof(record->binary), "/opt/vmm");
	}
	assert_int_equal(registry_memfd_new(&reg, &bench_kernel.registry_fd, &err), 0);
	assert_int_equal(registry_memfd_write(bench_kernel.registry_fd, &reg, &err), 0);
	bench_kernel.host_session = true;
	registry_done(&reg);
}

static void attach_all(void)
{
	for (struct vm_record *record = bench.luod.registry.vms; record; record = record->next)
		assert_int_equal(vm_attach(&bench.luod, record, NULL), 0);
}

/* As main() does it, until the vmms are started. */
static void start_luod(void)
{
	struct error err = ERROR_INIT;

	hand_over();
	assert_int_equal(resume_probe(&bench.luod, &err), 1);
	attach_all();
	resume_begin(&bench.luod);
}

static int set_up(void **state _unused_)
{
	bench_up(&bench);
	return 0;
}

static int tear_down(void **state _unused_)
{
	bench_down(&bench);
	return 0;
}

static enum update_state update_state(void)
{
	return bench.luod.registry.update.state;
}

static void connect_both(void)
{
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_WAITING);
	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_WAITING);
}

static void test_all_resumed(void **state _unused_)
{
	const struct vm_record *a;

	start_luod();
	assert_int_equal(update_state(), UPDATE_RESUMING);
	assert_int_equal(bench_kernel.spawns, 2);
	assert_non_null(strstr(bench_kernel.spawned, "/opt/vmm --resume --id b --agent "));
	/* Nothing is retrieved before somebody is there to have it. */
	assert_int_equal(bench_kernel.retrieved, 1);
	connect_both();
	bench_until(&bench, bench_update_ended);
	assert_int_equal(update_state(), UPDATE_DONE);
	assert_string_equal(bench.vmms[0].journal, "resume finish");
	assert_string_equal(bench.vmms[1].journal, "resume finish");
	assert_int_equal(bench.vmms[0].sessions, 1);
	assert_int_equal(bench_kernel.finished, 1);
	assert_int_equal(bench.luod.host_session, FD_NONE);
	a = bench_record(&bench, "a");
	assert_false(a->resume);
	assert_true(a->preserve);
	assert_int_equal(a->vm->session_fd, FD_NONE);
	assert_int_equal(a->timeline.phases[TIMELINE_KEXEC].begin_tsc, 1);
	assert_int_equal(a->timeline.phases[TIMELINE_KEXEC].end_tsc, bench.luod.start_tsc);
	assert_true(timeline_blackout_tsc(&a->timeline) > 0);
	assert_int_equal(json_array_size(bench.luod.registry.history), 1);
}

static void test_nothing_handed_over(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_int_equal(resume_probe(&bench.luod, &err), 0);
	bench_kernel.retrieve_fails = LUO_HOST_SESSION;
	bench_kernel.retrieve_error = EALREADY;
	assert_int_equal(resume_probe(&bench.luod, &err), 0);
	bench_kernel.retrieve_error = EIO;
	assert_int_equal(resume_probe(&bench.luod, &err), -EIO);
}

static void test_damaged_registry(void **state _unused_)
{
	struct error err = ERROR_INIT;

	hand_over();
	assert_int_equal(ftruncate(bench_kernel.registry_fd, 40), 0);
	assert_int_equal(resume_probe(&bench.luod, &err), -EBADMSG);
	assert_non_null(strstr(err.message, "registry: "));
	/* It is kept, and nothing was finished. */
	assert_true(bench.luod.host_session >= 0);
	assert_int_equal(bench_kernel.finished, 0);
	assert_int_equal(bench.luod.registry.vm_count, 0);
	/* A vmm that somebody starts by hand gets its session all the same. */
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_WAITING);
	bench_settle(&bench);
	assert_string_equal(bench.vmms[0].journal, "resume finish");
}

static bool update_is_partial(struct bench *b)
{
	return b->luod.registry.update.state == UPDATE_PARTIAL;
}

static bool update_is_done(struct bench *b)
{
	return b->luod.registry.update.state == UPDATE_DONE;
}

/* b does that when it is to be resumed, and a goes on. */
static struct vm_record *resume_without_b(enum conduct conduct)
{
	start_luod();
	bench.vmms[1].conduct[AGENT_RESUME] = conduct;
	connect_both();
	bench_until(&bench, update_is_partial);
	return bench_record(&bench, "b");
}

/* b fails, a goes on; then another binary takes b up. */
static void test_retry(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_record *b = resume_without_b(REFUSE);

	assert_string_equal(bench.vmms[0].journal, "resume finish");
	assert_string_equal(bench.vmms[1].journal, "resume");
	assert_int_equal(b->status, VM_FAILED);
	assert_string_equal(b->why, "vm b: resume: no");
	assert_non_null(strstr(bench.luod.registry.update.why, "vm b: resume: no"));
	/* What is preserved of it is there, and the registry too. */
	assert_true(b->resume);
	assert_true(b->vm->session_fd >= 0);
	assert_true(bench.luod.host_session >= 0);
	assert_int_equal(bench_kernel.finished, 0);
	assert_int_equal(update_check_vm(b, &err), -EBUSY);
	assert_int_equal(lifecycle_forget(b->vm, false, &err), -EBUSY);

	/* The one that failed is still there: it is ended, then the other starts. */
	assert_int_equal(lifecycle_resume(b->vm, "/opt/new-vmm", &err), 0);
	assert_int_equal(bench_kernel.kills, 1);
	close_fdp(&bench.vmms[1].fd);
	bench_settle(&bench);
	bench.vmms[1].conduct[AGENT_RESUME] = OBEY;
	bench.vmms[1].journal[0] = '\0';
	/* SIGCHLD would tell; here the test does. */
	lifecycle_on_gone(b->vm, "killed", false);
	assert_non_null(strstr(bench_kernel.spawned, "/opt/new-vmm --resume --id b"));
	assert_int_equal(lifecycle_resume(b->vm, NULL, &err), -EALREADY);
	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_WAITING);
	bench_until(&bench, update_is_done);
	assert_string_equal(bench.vmms[1].journal, "resume finish");
	assert_string_equal(bench.luod.registry.update.why, "");
	assert_int_equal(bench.luod.host_session, FD_NONE);
	/* The session was retrieved once: only its duplicate was handed out again. */
	assert_int_equal(bench_kernel.retrieved, 3);
	assert_int_equal(json_array_size(bench.luod.registry.history), 1);
}

static bool b_goes_on(struct bench *b)
{
	return !bench_record(b, "b")->resume;
}

/* A luod that came after the session was retrieved has no duplicate: ending that vmm would lose it.
 */
static void test_retry_without_a_duplicate(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_record *b;

	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_FAILED);
	b = bench_record(&bench, "b");
	assert_true(b->resume);
	assert_int_equal(lifecycle_resume(b->vm, "/opt/new-vmm", &err), -EOPNOTSUPP);
	assert_int_equal(lifecycle_resume(b->vm, NULL, &err), 0);
	assert_int_equal(b->status, VM_STARTING);
	bench_until(&bench, b_goes_on);
	assert_int_equal(bench_kernel.kills, 0);
	assert_int_equal(bench.vmms[1].sessions, 0);
	assert_string_equal(bench.vmms[1].journal, "resume finish");
	assert_int_equal(b->status, VM_CONNECTED);
}

/* The end of the connection comes first; what it died of is the better reason. */
static void test_vmm_dies_while_asked(void **state _unused_)
{
	struct vm_record *b = resume_without_b(DIE);

	assert_int_equal(b->status, VM_FAILED);
	assert_non_null(strstr(b->why, "went away"));
	lifecycle_on_gone(b->vm, "its vmm was ended by signal 9", false);
	assert_int_equal(b->status, VM_FAILED);
	assert_string_equal(b->why, "its vmm was ended by signal 9");
	assert_true(b->resume);
	assert_int_equal(update_state(), UPDATE_PARTIAL);
}

/* It came back, and what it said then is the better reason. */
static void test_vmm_goes_and_comes_back(void **state _unused_)
{
	struct vm_record *b = resume_without_b(DIE);

	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_FAILED);
	assert_non_null(strstr(b->why, "could not take it up"));
	lifecycle_on_gone(b->vm, "its vmm ended", false);
	assert_non_null(strstr(b->why, "could not take it up"));
}

static void test_vmm_dies_before_hello(void **state _unused_)
{
	struct vm_record *b;

	start_luod();
	b = bench_record(&bench, "b");
	lifecycle_on_gone(b->vm, "its vmm exited with status 1", false);
	assert_int_equal(b->status, VM_FAILED);
	assert_int_equal(update_state(), UPDATE_RESUMING);
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_WAITING);
	bench_until(&bench, update_is_partial);
	/* Its session is where it was. */
	assert_int_equal(bench_kernel.retrieved, 2);
	assert_int_equal(b->vm->session_fd, FD_NONE);
	assert_true(b->resume);
}

static void test_no_binary(void **state _unused_)
{
	bench_kernel.spawn_error = ENOENT;
	start_luod();
	assert_int_equal(update_state(), UPDATE_PARTIAL);
	assert_non_null(strstr(bench_record(&bench, "a")->why, "cannot start /opt/vmm"));
	assert_true(bench_record(&bench, "a")->resume);
}

static void test_discard(void **state _unused_)
{
	struct error err = ERROR_INIT;

	bench_kernel.spawn_error = ENOENT;
	start_luod();
	assert_int_equal(lifecycle_forget(bench_record(&bench, "a")->vm, false, &err), -ENOTEMPTY);
	assert_int_equal(lifecycle_forget(bench_record(&bench, "a")->vm, true, &err), 0);
	assert_null(registry_find(&bench.luod.registry, "a"));
	assert_int_equal(bench_kernel.finished, 1);
	assert_int_equal(update_state(), UPDATE_PARTIAL);
	assert_int_equal(lifecycle_forget(bench_record(&bench, "b")->vm, true, &err), 0);
	assert_int_equal(update_state(), UPDATE_DONE);
}

static void test_session_not_to_be_had(void **state _unused_)
{
	start_luod();
	bench_kernel.retrieve_fails = "vm:b";
	bench_kernel.retrieve_error = ENOENT;
	connect_both();
	bench_until(&bench, update_is_partial);
	assert_string_equal(bench.vmms[0].journal, "resume finish");
	assert_string_equal(bench.vmms[1].journal, "");
	assert_non_null(strstr(bench_record(&bench, "b")->why, "session vm:b"));
}

static void test_device_busy(void **state _unused_)
{
	start_luod();
	bench_kernel.retrieve_fails = "vm:b";
	bench_kernel.retrieve_error = EBUSY;
	connect_both();
	bench_until(&bench, update_is_done);
	assert_string_equal(bench.vmms[1].journal, "resume finish");
}

static bool b_was_started(struct bench *b _unused_)
{
	return bench_kernel.spawns == 2;
}

/* One at a time, as the update was told: b when a runs. */
static void becomes_ready(void *opaque)
{
	*(bool *)opaque = true;
}

/* The API, and the rest of the host, wait until no guest is on its way any more. */
static void test_at_once(void **state _unused_)
{
	struct error err = ERROR_INIT;
	bool ready = false;

	hand_over();
	assert_int_equal(resume_probe(&bench.luod, &err), 1);
	bench.luod.registry.update.at_once = 1;
	attach_all();
	assert_int_equal(loop_timer_new(bench.luod.loop, becomes_ready, &ready,
					&bench.luod.ready_timer, &err),
			 0);
	resume_begin(&bench.luod);
	assert_int_equal(bench_kernel.spawns, 1);
	assert_non_null(strstr(bench_kernel.spawned, "--id a"));
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_WAITING);
	bench_until(&bench, b_was_started);
	assert_non_null(strstr(bench_kernel.spawned, "--id b"));
	bench_settle(&bench);
	assert_false(ready);
	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_WAITING);
	bench_until(&bench, bench_update_ended);
	assert_int_equal(update_state(), UPDATE_DONE);
	bench_settle(&bench);
	assert_true(ready);
	loop_timer_free(bench.luod.ready_timer);
	bench.luod.ready_timer = NULL;
}

/* One that fails makes room, too. */
static void test_at_once_with_a_failure(void **state _unused_)
{
	struct error err = ERROR_INIT;

	hand_over();
	assert_int_equal(resume_probe(&bench.luod, &err), 1);
	bench.luod.registry.update.at_once = 1;
	attach_all();
	bench_kernel.spawn_error = ENOENT;
	resume_begin(&bench.luod);
	assert_int_equal(update_state(), UPDATE_PARTIAL);
	assert_int_equal(bench_record(&bench, "b")->status, VM_FAILED);
}

static bool b_is_loaded(struct bench *b)
{
	return bench_record(b, "b")->phase == AGENT_PHASE_LOADED;
}

/* A vmm may answer "loaded" and tell later that its guest runs. */
static void test_resumed_by_event(void **state _unused_)
{
	struct agent_reply reply = {.ok = true, .phase = AGENT_PHASE_LOADED};

	start_luod();
	bench.vmms[1].conduct[AGENT_RESUME] = WAIT;
	connect_both();
	bench_settle(&bench);
	reply.seq = bench_record(&bench, "b")->vm->request.seq;
	vm_on_reply(bench_record(&bench, "b")->vm, &reply, NULL, 0);
	bench_until(&bench, b_is_loaded);
	assert_string_equal(bench.vmms[1].journal, "resume");
	bench_say_phase(&bench.vmms[1], AGENT_PHASE_RESUMED);
	bench_until(&bench, update_is_done);
	assert_string_equal(bench.vmms[1].journal, "resume finish");
}

static void test_finish_fails(void **state _unused_)
{
	struct error err = ERROR_INIT;

	start_luod();
	bench.vmms[1].conduct[AGENT_FINISH] = REFUSE;
	connect_both();
	bench_until(&bench, update_is_partial);
	assert_int_equal(bench_record(&bench, "b")->status, VM_CONNECTED);
	bench.vmms[1].conduct[AGENT_FINISH] = OBEY;
	assert_int_equal(lifecycle_resume(bench_record(&bench, "b")->vm, NULL, &err), 0);
	bench_until(&bench, update_is_done);
	assert_string_equal(bench.vmms[1].journal, "resume finish finish");
}

/* luod dies in the middle of it: the state file lets the next one go on. */
static void test_luod_again(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_record *a, *b;

	start_luod();
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_WAITING);
	bench_settle(&bench);
	assert_int_equal(state_file_write(&bench.luod, &err), 0);
	/* The luod goes, with all it had in memory; its files stay. */
	close_fdp(&bench.vmms[0].fd);
	bench_settle(&bench);
	while (bench.luod.registry.vms)
		vm_forget(bench.luod.registry.vms->vm);
	registry_done(&bench.luod.registry);
	assert_int_equal(registry_init(&bench.luod.registry), 0);
	bench_kernel.retrieve_fails = LUO_HOST_SESSION;
	bench_kernel.retrieve_error = EALREADY;
	assert_int_equal(resume_probe(&bench.luod, &err), 0);
	assert_int_equal(state_file_read(&bench.luod, &err), 1);
	a = bench_record(&bench, "a");
	b = bench_record(&bench, "b");
	assert_false(a->resume);
	/* b's vmm was started, and is gone: it is still to be taken up. */
	b->pid = 0;
	state_file_settle(&bench.luod);
	assert_int_equal(b->status, VM_PRESERVED);
	assert_int_equal(update_state(), UPDATE_RESUMING);
	attach_all();
	resume_begin(&bench.luod);
	assert_non_null(strstr(bench_kernel.spawned, "--resume --id b"));
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_RUNNING);
	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_WAITING);
	bench_until(&bench, update_is_done);
	assert_string_equal(bench.vmms[1].journal, "resume finish");
}

static void test_state_file(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char path[128];
	FILE *file;

	assert_int_equal(state_file_read(&bench.luod, &err), 0);
	snprintf(path, sizeof(path), "%s/luod.json", bench.folder);
	file = fopen(path, "w");
	fputs("{\"boot-id\": \"another\", \"registry\": 7}", file);
	fclose(file);
	assert_int_equal(state_file_read(&bench.luod, &err), 0);
	file = fopen(path, "w");
	fputs("{\"boot-id\": ", file);
	fclose(file);
	assert_int_equal(state_file_read(&bench.luod, &err), -EINVAL);
	/* An update that was under way has failed. */
	snprintf(bench.luod.registry.update.id, UPDATE_ID_SIZE, "x");
	bench.luod.registry.update.state = UPDATE_FREEZING;
	assert_int_equal(state_file_write(&bench.luod, &err), 0);
	registry_done(&bench.luod.registry);
	registry_init(&bench.luod.registry);
	assert_int_equal(state_file_read(&bench.luod, &err), 1);
	state_file_settle(&bench.luod);
	assert_int_equal(update_state(), UPDATE_FAILED);
	assert_int_equal(json_array_size(bench.luod.registry.history), 1);
}

static char snapshot_path[96];

/* b came in a file, whose disk is mounted later. */
static void start_luod_with_snapshot(void)
{
	struct error err = ERROR_INIT;

	snprintf(snapshot_path, sizeof(snapshot_path), "%s/b.snapshot", bench.folder);
	hand_over();
	assert_int_equal(resume_probe(&bench.luod, &err), 1);
	attach_all();
	registry_set_text(bench_record(&bench, "b")->snapshot, PATH_MAX, snapshot_path);
	resume_begin(&bench.luod);
}

static void mount_it(void)
{
	close(open(snapshot_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static bool b_is_started(struct bench *b _unused_)
{
	return bench_kernel.spawns == 2;
}

static void test_from_a_snapshot(void **state _unused_)
{
	start_luod_with_snapshot();
	assert_int_equal(bench_kernel.spawns, 1);
	assert_non_null(strstr(bench_record(&bench, "b")->why, "mount the disk"));
	bench_connect(&bench, &bench.vmms[0], "a", AGENT_PHASE_WAITING);
	bench_until(&bench, bench_update_ended);
	assert_int_equal(update_state(), UPDATE_PARTIAL);
	mount_it();
	bench_until(&bench, b_is_started);
	bench_connect(&bench, &bench.vmms[1], "b", AGENT_PHASE_WAITING);
	bench_until(&bench, bench_update_ended);
	bench_settle(&bench);
	assert_int_equal(update_state(), UPDATE_DONE);
	assert_string_equal(bench.vmms[1].journal, "restore finish");
	assert_int_equal(bench.vmms[1].sessions, 1);
	/* Nobody can restore the guest of the past. */
	assert_int_equal(access(snapshot_path, F_OK), -1);
	assert_string_equal(bench_record(&bench, "b")->snapshot, "");
	assert_string_equal(bench_record(&bench, "b")->why, "");
}

static void test_snapshot_is_refused(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm *vm;

	start_luod_with_snapshot();
	mount_it();
	bench.vmms[1].conduct[AGENT_RESTORE] = REFUSE;
	bench_until(&bench, b_is_started);
	connect_both();
	bench_until(&bench, bench_update_ended);
	assert_int_equal(update_state(), UPDATE_PARTIAL);
	assert_string_equal(bench_record(&bench, "b")->why, "vm b: restore: no");
	/* It is kept until somebody says that it is to go. */
	assert_int_equal(access(snapshot_path, F_OK), 0);
	vm = bench_record(&bench, "b")->vm;
	/* Another try is another vmm's: the file is passed to one that is new. */
	assert_int_equal(lifecycle_resume(vm, NULL, &err), 0);
	assert_int_equal(bench_kernel.kills, 1);
	assert_string_equal(bench.vmms[1].journal, "restore");
	vm->restart = false;
	close_fdp(&bench.vmms[1].fd);
	bench_settle(&bench);
	lifecycle_on_gone(vm, "its vmm ended", false);
	assert_int_equal(lifecycle_forget(vm, false, &err), -ENOTEMPTY);
	assert_int_equal(access(snapshot_path, F_OK), 0);
	assert_int_equal(lifecycle_forget(vm, true, &err), 0);
	assert_int_equal(access(snapshot_path, F_OK), -1);
}

int main(void)
{
#define WITH_BENCH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_from_a_snapshot, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_is_refused, set_up, tear_down),
		WITH_BENCH(test_all_resumed),
		WITH_BENCH(test_nothing_handed_over),
		WITH_BENCH(test_damaged_registry),
		WITH_BENCH(test_retry),
		WITH_BENCH(test_retry_without_a_duplicate),
		WITH_BENCH(test_vmm_dies_before_hello),
		WITH_BENCH(test_no_binary),
		WITH_BENCH(test_discard),
		WITH_BENCH(test_session_not_to_be_had),
		WITH_BENCH(test_device_busy),
		WITH_BENCH(test_resumed_by_event),
		WITH_BENCH(test_finish_fails),
		WITH_BENCH(test_luod_again),
		WITH_BENCH(test_state_file),
		WITH_BENCH(test_vmm_dies_while_asked),
		WITH_BENCH(test_vmm_goes_and_comes_back),
		cmocka_unit_test_setup_teardown(test_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_at_once_with_a_failure, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
