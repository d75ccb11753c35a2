/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boots a guest and takes it through N rounds of: pause, save, free the whole machine, build a new
 * one on the same memory, load, save again and compare, run. No kexec and no LUO: what is proved
 * here is that state and wiring are whole. Runs where KVM is real, for example in the emulated
 * host.
 *
 *   machine_roundtrip --kernel K --initramfs I [--rounds N] [--cpus N] [--memory 256M]
 *                     [--cmdline WORDS] [--console FILE] [--beats N] [--state FILE]
 *
 * The guest says "HF beat seq=N mono=NS real=NS" on its console (tests/host/guest). Between two
 * rounds it must have said --beats of them, each with a higher seq and a higher mono than the one
 * before, and real right to 1.5 s (it was read after the console had last been read to its end
 * without that line, and before now); any "HF fault" ends the test. The last
 * line is "roundtrip: N rounds passed".
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "tests/host/programs/state_compare.h"
#include "vmm/machine.h"

#define PAUSE_TIMEOUT_MS 10000
#define POLL_NS		 (20 * NSEC_PER_MSEC)
#define LINE_MAX_BYTES	 4096
#define REAL_MAX_NS	 (1500 * NSEC_PER_MSEC)

struct beat {
	uint64_t seq, mono_ns, real_ns;
	char id[32];
};

struct test {
	struct vm_config config;
	unsigned int rounds, beats_per_round;
	const char *state_path;
	struct loop *loop;
	struct loop_timer *timer;
	struct machine *machine;
	/* The console file as read so far. */
	int console_fd;
	char line[LINE_MAX_BYTES];
	size_t line_len;
	uint64_t heard_ns; /* when it was last read to its end */
	uint64_t since_ns; /* the same, before the line began */
	struct beat last;
	uint64_t beats; /* heard since the last round */
	unsigned int round;
	bool all_ran;
	int code; /* of the program */
};

static void fail(struct test *t, const char *what, const struct error *err)
{
	printf("roundtrip: FAILED in round %u: %s%s%s\n", t->round, what, err ? ": " : "",
	       err ? error_message(err) : "");
	t->code = 1;
	loop_stop(t->loop);
}

/* ---- What the guest says. ---- */

static bool number_of(const char *line, const char *key, uint64_t *ret)
{
	const char *at = strstr(line, key);

	return at && sscanf(at + strlen(key), "%" SCNu64, ret) == 1;
}

static void hear_beat(struct test *t, const char *line)
{
	struct beat beat = {0};
	uint64_t now = clock_realtime_ns();
	const char *id = strstr(line, " id=");

	if (!number_of(line, " seq=", &beat.seq) || !number_of(line, " mono=", &beat.mono_ns) ||
	    !number_of(line, " real=", &beat.real_ns) || !id ||
	    sscanf(id, " id=%31s", beat.id) != 1)
		return; /* another line ran into it */
	if (t->last.seq && beat.seq <= t->last.seq)
		fail(t, "the guest's counter did not go on", NULL);
	else if (beat.mono_ns <= t->last.mono_ns)
		fail(t, "the guest's monotonic clock stepped back", NULL);
	else if (t->last.id[0] && strcmp(beat.id, t->last.id) != 0)
		fail(t, "the guest has booted again", NULL);
	else if (t->beats > 0 &&
		 (beat.real_ns + REAL_MAX_NS < t->since_ns || beat.real_ns > now + REAL_MAX_NS))
		fail(t, "the guest's wall clock is wrong", NULL);
	t->last = beat;
	t->beats++;
}

static void hear_line(struct test *t, const char *line)
{
	static const char *const bad[] = {"HF fault",		"BUG:",	     "Oops",
					  "soft lockup",	"rcu: INFO", "Kernel panic",
					  "Marking clocksource"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (strstr(line, bad[i]))
			fail(t, line, NULL);
	}
	if (strstr(line, "HF beat"))
		hear_beat(t, line);
}

static void hear(struct test *t)
{
	uint64_t begin = clock_realtime_ns();
	char buf[4096];
	ssize_t n;

	while ((n = read(t->console_fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (t->line_len == 0)
				t->since_ns = t->heard_ns;
			if (buf[i] == '\n' || t->line_len == sizeof(t->line) - 1) {
				t->line[t->line_len] = '\0';
				t->line_len = 0;
				hear_line(t, t->line);
			} else if (buf[i] != '\r') {
				t->line[t->line_len++] = buf[i];
			}
		}
	}
	t->heard_ns = begin;
}

/* ---- One round. ---- */

static int save(struct test *t, struct state_writer **ret, struct state_blob *blob,
		struct error *err)
{
	size_t max = machine_state_size_max(t->machine);
	struct state_writer *w;
	const void *data;
	size_t size;
	int r = state_writer_new(max, &w, err);

	if (r == 0)
		r = machine_save(t->machine, w, err);
	if (r == 0)
		r = state_writer_finish(w, &data, &size, err);
	if (r == 0)
		r = state_blob_open(data, size, blob, err);
	*ret = w;
	return r;
}

static void on_event(void *opaque, enum machine_event event, const struct error *err)
{
	struct test *t = opaque;

	switch (event) {
	case MACHINE_EVENT_ALL_VCPUS_RAN:
		t->all_ran = true;
		return;
	case MACHINE_EVENT_DEVICE_NEWS:
	case MACHINE_EVENT_DEVICE_GONE:
		return;
	case MACHINE_EVENT_POWEROFF:
		fail(t, "the guest switched itself off", NULL);
		return;
	case MACHINE_EVENT_RESET:
		fail(t, "the guest reset itself", NULL);
		return;
	case MACHINE_EVENT_CRASHED:
		fail(t, "the guest crashed", err);
		return;
	}
}

/* Memory lives on in duplicates of its descriptors while there is no machine. */
static int rebuild(struct test *t, struct error *err)
{
	struct guest_ram *ram = machine_ram(t->machine);
	unsigned int count = guest_ram_region_count(ram);
	uint64_t size = guest_ram_size(ram);
	int fds[RAM_REGIONS_MAX], r;

	for (unsigned int i = 0; i < count; i++) {
		fds[i] = fcntl(guest_ram_region(ram, i)->fd, F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0)
			return error_sys(err, -errno, "cannot duplicate a descriptor");
	}
	machine_free(STEAL_PTR(t->machine));
	r = guest_ram_adopt(size, NULL, fds, count, &ram, err);
	return r < 0 ? r
		     : machine_build(&t->config, t->loop, ram, NULL, on_event, t, &t->machine, err);
}

static int load(struct test *t, const struct state_blob *blob, struct error *err)
{
	int r = machine_load(t->machine, blob, STATE_CHECK, err);

	return r < 0 ? r : machine_load(t->machine, blob, STATE_APPLY, err);
}

static void write_state(const struct test *t, const struct state_blob *blob)
{
	_cleanup_fd_ int fd =
		t->state_path ? open(t->state_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
			      : FD_NONE;

	if (fd >= 0 && write(fd, blob->fdt, blob->size) < 0)
		printf("roundtrip: cannot write %s\n", t->state_path);
}

static int round_trip(struct test *t, struct error *err)
{
	uint64_t begin = clock_monotonic_ns(), paused, saved, built, loaded;
	struct state_writer *writer = NULL, *again = NULL;
	struct state_blob blob, blob_again;
	int r = machine_pause(t->machine, PAUSE_TIMEOUT_MS, err);

	if (r == 0)
		r = machine_drain(t->machine, PAUSE_TIMEOUT_MS, err);
	paused = clock_monotonic_ns();
	if (r == 0)
		r = save(t, &writer, &blob, err);
	saved = clock_monotonic_ns();
	if (r == 0) {
		write_state(t, &blob);
		r = rebuild(t, err);
	}
	built = clock_monotonic_ns();
	if (r == 0)
		r = load(t, &blob, err);
	loaded = clock_monotonic_ns();
	if (r == 0)
		r = save(t, &again, &blob_again, err);
	if (r == 0)
		r = state_compare(&blob, &blob_again, err);
	if (r == 0)
		r = machine_resumed(t->machine, err);
	t->all_ran = false;
	if (r == 0)
		r = machine_start(t->machine, err);
	if (r == 0)
		printf("round %u: state %zu bytes; pause %" PRIu64 " us, save %" PRIu64
		       " us, free and build %" PRIu64 " us, load %" PRIu64 " us\n",
		       t->round, blob.size, (paused - begin) / 1000, (saved - paused) / 1000,
		       (built - saved) / 1000, (loaded - built) / 1000);
	state_writer_free(again);
	state_writer_free(writer);
	return r;
}

static void on_timer(void *opaque)
{
	struct test *t = opaque;
	struct error err = ERROR_INIT;

	hear(t);
	if (t->code || !t->all_ran || t->beats < t->beats_per_round)
		return;
	if (t->round == t->rounds) {
		printf("roundtrip: %u rounds passed\n", t->rounds);
		loop_stop(t->loop);
		return;
	}
	t->round++;
	t->beats = 0;
	if (round_trip(t, &err) < 0)
		fail(t, "round trip", &err);
}

/* ---- Set-up. ---- */

static int boot(struct test *t, struct error *err)
{
	struct guest_ram *ram;
	int r = guest_ram_create(t->config.memory, NULL, &ram, err);

	if (r == 0)
		r = machine_build(&t->config, t->loop, ram, NULL, on_event, t, &t->machine, err);
	if (r == 0)
		r = machine_boot(t->machine, err);
	if (r == 0)
		r = machine_start(t->machine, err);
	return r;
}

static int run(struct test *t, struct error *err)
{
	int r;

	t->console_fd =
		open(t->config.console.path, O_RDONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (t->console_fd < 0)
		return error_sys(err, -errno, "cannot open %s", t->config.console.path);
	r = loop_new(&t->loop, err);
	if (r == 0)
		r = loop_timer_new(t->loop, on_timer, t, &t->timer, err);
	if (r == 0)
		r = boot(t, err);
	if (r < 0)
		return r;
	loop_timer_arm(t->timer, POLL_NS, POLL_NS);
	return loop_run(t->loop);
}

static bool parse(struct test *t, int argc, char **argv)
{
	static const struct option options[] = {
		{"kernel", required_argument, NULL, 'k'},
		{"initramfs", required_argument, NULL, 'i'},
		{"rounds", required_argument, NULL, 'r'},
		{"cpus", required_argument, NULL, 'c'},
		{"memory", required_argument, NULL, 'm'},
		{"cmdline", required_argument, NULL, 'a'},
		{"console", required_argument, NULL, 'o'},
		{"beats", required_argument, NULL, 'b'},
		{"state", required_argument, NULL, 's'},
		{0},
	};
	struct vm_config *c = &t->config;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'k':
			snprintf(c->kernel, sizeof(c->kernel), "%s", optarg);
			break;
		case 'i':
			snprintf(c->initramfs, sizeof(c->initramfs), "%s", optarg);
			break;
		case 'r':
			t->rounds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'c':
			c->cpus = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'm':
			c->memory = strtoull(optarg, NULL, 0) << 20;
			break;
		case 'a':
			snprintf(c->cmdline, sizeof(c->cmdline), "%s", optarg);
			break;
		case 'o':
			snprintf(c->console.path, sizeof(c->console.path), "%s", optarg);
			break;
		case 'b':
			t->beats_per_round = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 's':
			t->state_path = optarg;
			break;
		default:
			return false;
		}
	}
	return c->kernel[0] && optind == argc;
}

int main(int argc, char **argv)
{
	struct test t = {
		.config = {.id = "roundtrip",
			   .cmdline = "console=ttyS0 panic=-1",
			   .cpus = 2,
			   .memory = 256 * MIB,
			   .console = {.mode = CONSOLE_FILE, .path = "/tmp/roundtrip-console.log"},
			   .hvc = {.mode = CONSOLE_FILE, .path = "/tmp/roundtrip-hvc.log"},
			   .rng = {.on = true, .source = VM_RNG_SOURCE_DEFAULT}},
		.rounds = 5,
		.beats_per_round = 4,
		.console_fd = FD_NONE,
	};
	struct error err = ERROR_INIT;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_setup("roundtrip", LOG_LEVEL_DEBUG, STDERR_FILENO);
	if (!parse(&t, argc, argv)) {
		fprintf(stderr,
			"usage: machine_roundtrip --kernel FILE [--initramfs FILE] "
			"[--rounds N] [--cpus N] [--memory MIB]\n"
			"       [--cmdline WORDS] [--console FILE] [--beats N] [--state FILE]\n");
		return 2;
	}
	if (run(&t, &err) < 0) {
		printf("roundtrip: FAILED: %s\n", error_message(&err));
		t.code = 1;
	}
	machine_free(t.machine);
	loop_timer_free(t.timer);
	loop_free(t.loop);
	close_fdp(&t.console_fd);
	return t.code;
}
