/* SPDX-License-Identifier: Apache-2.0 */
/* luod(8): setting up and taking down; the exit statuses are described there. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "luo/client.h"
#include "luo/luod/adopt.h"
#include "luo/luod/confine.h"
#include "luo/luod/events.h"
#include "luo/luod/http.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/options.h"
#include "luo/luod/peer.h"
#include "luo/luod/replace.h"
#include "luo/luod/resume.h"
#include "luo/luod/spawn.h"
#include "luo/luod/state_file.h"

/* A guest that is not taken up as it should be must not keep its operator from looking at it, nor
 * the host from booting. */
#define READY_WAIT_NS (5 * NSEC_PER_SEC)

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOTHING_TO_RESUME = 3 };

static int make_folder(const char *path, struct error *err)
{
	struct stat st;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_sys(err, -errno, "%s: cannot create it", path);
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, -ENOTDIR, "%s: it is not a folder", path);
	return 0;
}

static int make_folders(const struct luod *luod, struct error *err)
{
	char path[PATH_MAX];
	int r = make_folder(luod->options.run_dir, err);

	if (r < 0)
		return r;
	vm_file(luod, "", "", path);
	return make_folder(path, err);
}

static void save(struct luod *luod)
{
	struct error err = ERROR_INIT;
	uint64_t begin = clock_monotonic_ns();

	/* A vmm is on its way meanwhile, or nothing is in a hurry. */
	resume_read_history(luod);
	if (state_file_write(luod, &err) < 0)
		log_warning("%s; a luod that is started again will not know this", err.message);
	luod_saved(luod, begin);
}

/* After the turn in which something changed: once for all of it. */
static void on_save(void *opaque)
{
	struct luod *luod = opaque;

	if (luod_may_save(luod))
		save(luod);
	events_compare(luod->events, &luod->registry);
	if (luod->http)
		http_server_wake(luod->http);
}

static void on_signal(void *opaque, int signo)
{
	struct luod *luod = opaque;

	if (signo == SIGCHLD) {
		lifecycle_reap(luod);
		return;
	}
	log_info("told to end (%s); VMs go on", strsignal(signo));
	notify_say(&luod->notify, "STOPPING=1");
	luod_stop(luod);
}

/*
 * What is known from before: the previous kernel's registry, or the state file of an earlier luod
 * on this one. 1: VMs wait to be taken up from the previous kernel.
 */
static int recall(struct luod *luod)
{
	struct error err = ERROR_INIT;
	int r = resume_probe(luod, &err);

	if (r > 0)
		return r;
	if (r < 0)
		log_error("%s; VMs can still be taken up one by one: vmm --resume --id ID",
			  error_message(&err));
	error_clear(&err);
	r = state_file_read(luod, &err);
	if (r < 0)
		log_error("%s; VMs that run connect again", error_message(&err));
	if (r <= 0)
		return 0;
	state_file_settle(luod);
	return luod->registry.update.state == UPDATE_RESUMING;
}

/* What boots beside this has waited: it would take processors from guests that stand still. */
static void say_ready(struct luod *luod)
{
	if (luod->ready)
		return;
	luod->ready = true;
	log_info("ready: agents on %s, API on %s%s%s", luod->options.socket,
		 luod->options.api_socket, luod->options.listen[0] ? " and " : "",
		 luod->options.listen);
	notify_say(&luod->notify, "READY=1");
	/* A reader that is gone waits for nothing. */
	if (luod->options.ready_fd >= 0)
		(void)!write(luod->options.ready_fd, "\n", 1);
	close_fdp(&luod->options.ready_fd);
}

/* The guests run: whether somebody can look at them is not worth ending for. */
static void on_ready_time(void *opaque)
{
	struct luod *luod = opaque;
	struct error err = ERROR_INIT;

	resume_read_history(luod);
	if (luod->http && http_server_start(luod->http, &err) < 0) {
		log_error("no API: %s; when that is mended, start luod again: VMs go on",
			  error_message(&err));
		http_server_free(luod->http);
		luod->http = NULL;
	}
	say_ready(luod);
}

static int attach_all(struct luod *luod, struct error *err)
{
	for (struct vm_record *record = luod->registry.vms; record; record = record->next) {
		int r = vm_attach(luod, record, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int set_up(struct luod *luod, int *resuming, struct error *err)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGCHLD, -1};
	int r;

	r = registry_init(&luod->registry);
	if (r < 0)
		return error_set(err, r, "out of memory");
	r = events_new(&luod->events, err);
	if (r == 0)
		r = loop_new(&luod->loop, err);
	if (r == 0)
		r = loop_add_signals(luod->loop, signals, on_signal, luod, err);
	if (r == 0)
		r = loop_timer_new(luod->loop, on_save, luod, &luod->save_timer, err);
	if (r == 0)
		r = loop_timer_new(luod->loop, on_ready_time, luod, &luod->ready_timer, err);
	if (r == 0)
		r = notify_watchdog_new(&luod->notify, luod->loop, &luod->watchdog, err);
	if (r == 0)
		r = make_folders(luod, err);
	if (r == 0 && luod->options.replace)
		r = replace_other(luod->options.socket, err);
	/* Before anything is taken from the kernel: a second luod must find out here. */
	if (r == 0)
		r = agent_listener_new(luod, &luod->listener, err);
	if (r == 0)
		r = http_server_new(luod, &luod->http, err);
	if (r < 0)
		return r;
	*resuming = recall(luod);
	r = attach_all(luod, err);
	/* Guests that stand still come first. */
	if (r == 0 && !*resuming)
		r = http_server_start(luod->http, err);
	luod_changed(luod);
	return r;
}

static void take_down(struct luod *luod)
{
	struct error err = ERROR_INIT;

	luod->stopping = true;
	http_server_free(luod->http);
	luod->http = NULL;
	adopt_end_all(luod);
	resume_read_history(luod);
	if (luod->save_timer && state_file_write(luod, &err) < 0)
		log_warning("%s", error_message(&err));
	agent_listener_free(luod->listener);
	while (luod->registry.vms && luod->registry.vms->vm)
		vm_forget(luod->registry.vms->vm);
	registry_done(&luod->registry);
	events_free(luod->events);
	loop_timer_free(luod->save_timer);
	loop_timer_free(luod->ready_timer);
	loop_timer_free(luod->snapshot_timer);
	loop_timer_free(luod->watchdog);
	notify_done(&luod->notify);
	close_fdp(&luod->host_session);
	loop_free(luod->loop);
}

/* A session, a connection and a few files for each VM: more than the customary 1024 soon. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot raise the limit of open descriptors: %s", strerror(errno));
}

static int run(struct luod *luod, struct error *err)
{
	int resuming = 0, r;

	r = luod_confine(err);
	if (r == 0)
		r = set_up(luod, &resuming, err);
	if (r < 0)
		return r;
	if (luod->options.must_resume && !resuming)
		return error_set(err, -ENODATA, "the previous kernel handed over nothing");
	if (resuming) {
		loop_timer_arm(luod->ready_timer, READY_WAIT_NS, 0);
		resume_begin(luod);
		/* When the vmms are on their way. */
		log_info("update %s: taking up %u VMs from the previous kernel",
			 luod->registry.update.id, luod->registry.vm_count);
	} else {
		say_ready(luod);
	}
	r = loop_run(luod->loop);
	return r < 0 ? error_sys(err, r, "event loop") : 0;
}

int main(int argc, char **argv)
{
	struct luod luod = {.start_tsc = clock_tsc(),
			    .host_session = FD_NONE,
			    .registry_fd = FD_NONE,
			    .revision = 1};
	struct error err = ERROR_INIT;
	enum luod_action action;
	enum log_level level;
	int r;

	luod.start_ns = clock_monotonic_ns();
	if (luod_options_parse(argc, argv, &luod.options, &level, &action, &err) < 0) {
		fprintf(stderr, "luod: %s\nTry: luod --help\n", error_message(&err));
		return EXIT_USAGE;
	}
	if (action == LUOD_HELP) {
		fputs(luod_usage, stdout);
		return 0;
	}
	if (action == LUOD_VERSION) {
		puts("luod " HOLDFAST_VERSION);
		return 0;
	}
	log_setup("luod", level, STDERR_FILENO);
	/* The journal that the log goes to may end before the last guest is frozen. */
	signal(SIGPIPE, SIG_IGN);
	notify_init(&luod.notify);
	raise_descriptor_limit();
	r = run(&luod, &err);
	if (r < 0)
		log_error("%s", error_message(&err));
	take_down(&luod);
	if (r == -ENODATA)
		return EXIT_NOTHING_TO_RESUME;
	return r < 0 ? EXIT_FAILED : 0;
}
