// SPDX-License-Identifier: Apache-2.0
/* PID 1 of the test guest. See guest.h. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "guest.h"

static struct params params;

static void mounts(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
}

static void first_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "r");

	text[0] = '\0';
	if (file) {
		if (!fgets(text, (int)size, file))
			text[0] = '\0';
		fclose(file);
	}
	text[strcspn(text, "\n")] = '\0';
}

static const char *boot_id(void)
{
	static char id[16];

	if (!id[0])
		first_line("/proc/sys/kernel/random/boot_id", id, 9);
	return id;
}

/* Only the CPUs that exist, only what changes: a character costs an exit from the guest. */
static void beat(uint64_t sequence)
{
	char spins[GUEST_CPUS_MAX * 21] = "-";
	struct clocks now;
	size_t used = 0;

	for (int cpu = 0; cpu < GUEST_CPUS_MAX && used < sizeof(spins) - 24; cpu++) {
		if (!shared->cpus[cpu].present || shared->cpus[cpu].spins == 0)
			continue;
		used += (size_t)snprintf(spins + used, sizeof(spins) - used, "%s%lu",
					 used ? "," : "", shared->cpus[cpu].spins);
	}
	clocks_read(&now);
	say("beat seq=%lu counter=%lu mono=%lu boot=%lu real=%lu tsc=%lu id=%s spins=%s", sequence,
	    counter_value(), now.mono_ns, now.boot_ns, now.real_ns, now.tsc, boot_id(), spins);
}

static void *beats(void *arg)
{
	(void)arg;
	for (uint64_t sequence = 1;; sequence++) {
		beat(sequence);
		usleep(params.beat_ms * 1000);
	}
	return NULL;
}

static void introduce(void)
{
	char clocksource[32];
	struct utsname name;
	struct sysinfo info;

	uname(&name);
	sysinfo(&info);
	first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", clocksource,
		   sizeof(clocksource));
	say("start kernel=%s cpus=%ld memory=%lu clocksource=%s id=%s key=%lx", name.release,
	    sysconf(_SC_NPROCESSORS_ONLN), (uint64_t)info.totalram * info.mem_unit, clocksource,
	    boot_id(), params.key);
}

static void fill(void)
{
	struct clocks before, after;

	clocks_read(&before);
	if (!pattern_start(&params))
		say("fault kind=memory wanted=%lu", params.fill);
	clocks_read(&after);
	say("filled bytes=%lu above_4g=%lu ms=%lu", params.fill,
	    pattern_bytes_above(UINT64_C(1) << 32), (after.mono_ns - before.mono_ns) / 1000000);
}

static void work_start(void)
{
	pthread_t thread;

	fill();
	root_start(&params);
	processes_start(params.spin, params.calm);
	counter_start(params.calm);
	timers_start(params.calm);
	lost_start(params.lost);
	rng_start(params.calm);
	hvc_start();
	vsock_start();
	disks_init(&params);
	disks_start(params.disk_writers);
	net_start(&params);
	kmsg_mark_up();
	pthread_create(&thread, NULL, beats, NULL);
}

int main(void)
{
	sigset_t set;
	int console;

	mounts();
	console = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console >= 0)
		say_setup(console);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	params_read(&params);
	modules_load();
	introduce();
	if (params.leave_at_once)
		leave("poweroff");
	if (!params.quiet)
		work_start();
	commands_run(&params, console);
	return 0;
}
