// SPDX-License-Identifier: Apache-2.0
/* The commands that the guest reads from its console, and its answers. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "guest.h"

#define POWER_MAX 4U

static const char *ok(bool good)
{
	return good ? "ok" : "bad";
}

#define TIMER_STOPPED_NS 5000000000ULL

/* Nothing lost and nothing twice (a clock is not read at the very moment when a timer is), and it
 * goes on. */
static bool whole(const struct timer_count *count)
{
	struct clocks now;

	clocks_read(&now);
	return now.mono_ns - count->at_mono_ns < TIMER_STOPPED_NS &&
	       count->seen + 1 >= count->due_before && count->seen <= count->due_after + 1;
}

static bool timers_whole(const struct timers_view *timers)
{
	const struct timer_count *fast = &timers->fast, *slow = &timers->slow;
	struct clocks now;

	if (whole(fast) && whole(slow))
		return true;
	clocks_read(&now);
	say("timers fast=%lu fast_due=%lu..%lu fast_at=%lu slow=%lu slow_due=%lu..%lu slow_at=%lu "
	    "mono=%lu",
	    fast->seen, fast->due_before, fast->due_after, fast->at_mono_ns, slow->seen,
	    slow->due_before, slow->due_after, slow->at_mono_ns, now.mono_ns);
	return false;
}

static void check(void)
{
	struct pattern_result result;
	struct timers_view timers;
	uint64_t messages;
	unsigned int alarms = kmsg_check(&messages);

	pattern_check(&result);
	timers_view(&timers);
	if (result.bad > 0)
		say("pattern bad=%lu first=%lu got=%016lx want=%016lx", result.bad,
		    result.first_bad, result.got, result.want);
	say("check pattern=%s words=%lu rounds=%lu counter=%s value=%lu processes=%s timers=%s "
	    "tsc=%s mono=%s "
	    "kmsg=%s messages=%lu",
	    ok(result.bad == 0 && pattern_background_bad() == 0), result.words, pattern_rounds(),
	    ok(counter_faults() == 0), counter_value(), ok(processes_sound()),
	    ok(timers_whole(&timers)), ok(shared->tsc_back == 0), ok(shared->mono_back == 0),
	    ok(alarms == 0), messages);
}

static void stats(void)
{
	struct timers_view timers;
	uint64_t overslept = 0, sleeps = 0, spins = 0;

	timers_view(&timers);
	for (int cpu = 0; cpu < GUEST_CPUS_MAX; cpu++) {
		sleeps += shared->cpus[cpu].sleeps;
		spins += shared->cpus[cpu].spins;
		if (shared->cpus[cpu].overslept_max_ns > overslept)
			overslept = shared->cpus[cpu].overslept_max_ns;
	}
	say("stats fast=%lu fast_due=%lu slow=%lu slow_due=%lu late=%lu sleeps=%lu spins=%lu "
	    "overslept_ns=%lu "
	    "tsc_back=%lu tsc_back_max=%lu mono_back=%lu mono_back_max=%lu strayed=%lu tsc_khz=%lu",
	    timers.fast.seen, timers.fast.due_after, timers.slow.seen, timers.slow.due_after,
	    timers.fast.late, sleeps, spins, overslept, shared->tsc_back, shared->tsc_back_max,
	    shared->mono_back, shared->mono_back_max, shared->strayed, timers.tsc_khz);
}

static void tell_time(void)
{
	struct clocks now;

	clocks_read(&now);
	say("time real=%lu mono=%lu boot=%lu tsc=%lu", now.real_ns, now.mono_ns, now.boot_ns,
	    now.tsc);
}

static void pause_info(void)
{
	struct timers_view timers;

	timers_view(&timers);
	say("pause gaps=%lu longest_tsc=%lu longest_mono_ns=%lu longest_real_ns=%ld last_tsc=%lu "
	    "last_mono_ns=%lu "
	    "tsc_khz=%lu",
	    timers.gaps, timers.longest.tsc, timers.longest.mono_ns, (long)timers.longest.real_ns,
	    timers.last.tsc, timers.last.mono_ns, timers.tsc_khz);
}

/* "hvc N", "hvc run", "hvc stop" */
static void hvc(const char *what)
{
	bool run = !strcmp(what, "run");

	if (run || !strcmp(what, "stop"))
		hvc_run(run);
	say("hvc written=%lu", hvc_write(run ? 0 : (unsigned int)strtoul(what, NULL, 10)));
}

static void disk(void)
{
	disks_say(false);
}

static void disk_check(void)
{
	disks_say(true);
}

static void disk_start(const char *writers)
{
	disks_start((unsigned int)strtoul(writers, NULL, 10));
}

static void net(void)
{
	net_say(false);
}

static void net_check(void)
{
	net_say(true);
}

static void net_address(const char *address)
{
	say("net-address done=%s", net_configure(address) ? "yes" : "no");
}

static void stray(const char *address)
{
	edu_stray(strtoull(address, NULL, 16));
}

static void keep(const char *mib)
{
	memory_keep(strtoull(mib, NULL, 10));
}

static void use(const char *mib)
{
	memory_use(strtoull(mib, NULL, 10));
}

/* run: for the word alone; with: for what follows the word and a blank. */
static const struct {
	const char *word;
	void (*run)(void);
	void (*with)(const char *rest);
} words[] = {
	{"check", check, NULL},
	{"stats", stats, NULL},
	{"time", tell_time, NULL},
	{"pause-info", pause_info, NULL},
	{"pause-reset", timers_forget_longest, NULL},
	{"rng", rng_say, NULL},
	{"vsock", vsock_say, NULL},
	{"vsock-check", vsock_check, NULL},
	{"memory", memory_say, NULL},
	{"memory-kept", memory_kept, NULL},
	{"keep", NULL, keep},
	{"use", NULL, use},
	{"disk", disk, NULL},
	{"disk-check", disk_check, NULL},
	{"disk-start", NULL, disk_start},
	{"disk-sizes", disks_say_sizes, NULL},
	{"net", net, NULL},
	{"net-check", net_check, NULL},
	{"net-address", NULL, net_address},
	{"begin", NULL, root_begin},
	{"progress", root_progress, NULL},
	{"run", NULL, root_run},
	{"hvc", NULL, hvc},
	{"edu", edu_say, NULL},
	{"edu-stray", NULL, stray},
	{"edu-dma", NULL, edu_dma},
	{"edu-peer", NULL, edu_peer},
	{"edu-peer-renew", NULL, edu_peer_renew},
	{"lost", NULL, lost_say},
	{"bench", NULL, bench_obey},
};

static void obey(const char *command)
{
	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].word);

		if (strncmp(command, words[i].word, length) != 0)
			continue;
		if (words[i].run && !command[length]) {
			words[i].run();
			return;
		}
		if (words[i].with && command[length] == ' ') {
			words[i].with(command + length + 1);
			return;
		}
	}
	if (!strcmp(command, "poweroff") || !strcmp(command, "reboot") ||
	    !strcmp(command, "halt") || !strcmp(command, "panic"))
		leave(command);
	else if (*command)
		say("fault kind=command text=%.40s", command);
}

/* Commands by lines; a console without input never says anything. */
static bool read_console(int console)
{
	static char line[512];
	static size_t used;
	char byte;

	for (;;) {
		ssize_t n = read(console, &byte, 1);

		if (n <= 0)
			return n < 0; /* the end of the input is for good */
		if (byte == '\n' || byte == '\r') {
			line[used] = '\0';
			used = 0;
			obey(line);
			return true;
		}
		if (used < sizeof(line) - 1)
			line[used++] = byte;
	}
}

static int child_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void child_ended(int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == sizeof(info))
		;
	processes_reap();
}

void commands_run(const struct params *params, int console)
{
	struct pollfd fds[2 + POWER_MAX] = {
		{.fd = console, .events = POLLIN},
		{.fd = child_signals(), .events = POLLIN},
	};
	int keys[POWER_MAX];
	unsigned int count = power_open(keys, POWER_MAX);

	for (unsigned int i = 0; i < count; i++)
		fds[2 + i] = (struct pollfd){.fd = keys[i], .events = POLLIN};
	say("ready power=%s", count > 0 ? "yes" : "no");
	for (;;) {
		poll(fds, 2 + count, -1);
		if (fds[0].revents && !read_console(console))
			fds[0].fd = -1;
		if (fds[1].revents)
			child_ended(fds[1].fd);
		for (unsigned int i = 0; i < count; i++) {
			if (!fds[2 + i].revents || !power_pressed(fds[2 + i].fd))
				continue;
			say("power pressed=yes obeyed=%s", params->ignore_power ? "no" : "yes");
			if (!params->ignore_power)
				leave("poweroff");
		}
	}
}
