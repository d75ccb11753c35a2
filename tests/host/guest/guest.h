/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest-init: PID 1 of a test guest. It fills memory with a pattern, counts, keeps timers, sleeping
 * and spinning processes, tells on the console how it is, and checks itself when asked. What it
 * says are lines "HF word key=value ... *xx"; xx is the exclusive or of all bytes from "HF" to the
 * last value, so that a line that the kernel's own output was mixed into is recognised.
 */
#ifndef HOLDFAST_TESTS_GUEST_H
#define HOLDFAST_TESTS_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define GUEST_CPUS_MAX 64
#define CACHE_LINE     64

/* From the kernel command line, see params.c. */
struct params {
	uint64_t fill;		/* hf.fill=512M: bytes of pattern */
	uint64_t key;		/* hf.key=0x1234: what the pattern is made from */
	unsigned int beat_ms;	/* hf.beat=250: between two heartbeat lines */
	unsigned int churn_kib; /* hf.churn=1024: KiB of pattern checked and rewritten ten times a
				   second, by calm more rarely */
	bool spin;		/* hf.spin=1: a spinning process on each CPU */
	bool ignore_power;	/* hf.power=ignore: the power button does nothing */
	unsigned int disk_writers; /* hf.disk=4: writers on each disk */
	char net[64];		   /* hf.net=OWN,PEER,PORT: addresses and a port to connect to */
	unsigned int disk_rest_ms; /* hf.rest=20: between two requests of a writer */
	char root[32];		   /* hf.root=/dev/vda: the disk with a Debian system */
	char srv[32];		   /* hf.srv=/dev/vdb: one with ext4 for /srv in it */
	bool leave_at_once;	   /* hf.once=poweroff: switch off after the first heartbeat */
	unsigned int calm;	   /* hf.calm=50: so many times rarer is all that goes by a clock */
	uint64_t lost;		   /* hf.lost=256M: bytes touched to see what CPU time is lost */
	bool quiet;		   /* hf.quiet=1: no work but what it is told, no heartbeats */
};

void params_read(struct params *params);

/* ---- What all processes of the guest share (one MAP_SHARED mapping, made before the first fork).
 * ---- */

struct cpu_work {
	uint64_t spins;	   /* by the spinning process of this CPU */
	uint64_t mirrored; /* the same, written second */
	uint64_t sleeps;   /* wake-ups of the sleeping process */
	uint64_t overslept_max_ns;
	bool present;
} __attribute__((aligned(CACHE_LINE)));

struct shared {
	struct cpu_work cpus[GUEST_CPUS_MAX];
	/* The latest that any CPU has seen: a CPU that sees less has a clock that is behind. */
	uint64_t tsc_latest __attribute__((aligned(CACHE_LINE)));
	uint64_t mono_latest;
	uint64_t tsc_back,
		tsc_back_max; /* how often less was seen, and by how many cycles at most */
	uint64_t mono_back, mono_back_max; /* the same for CLOCK_MONOTONIC, in ns */
	uint64_t strayed;		   /* a pinned process ran on another CPU */
};

extern struct shared *shared;

/* ---- Lines on the console. ---- */

/* fd: the console, borrowed. Any thread may say() afterwards; a line is written whole. */
void say_setup(int fd);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The console has sent everything that was said. */
void say_drain(void);

/* ---- The pattern. ---- */

struct pattern_result {
	uint64_t words, bad;
	uint64_t first_bad; /* word index */
	uint64_t got, want;
};

/* Maps and fills; false when there is not enough memory. Then a thread checks and rewrites it piece
 * by piece. */
bool pattern_start(const struct params *params);
/* How much of it is in memory at or above that physical address; by the first page of each piece.
 */
uint64_t pattern_bytes_above(uint64_t physical);
/* Checks all of it now. */
void pattern_check(struct pattern_result *ret);
uint64_t pattern_background_bad(void);
uint64_t pattern_rounds(void); /* pieces that the background thread has rewritten */

/* ---- Counters: a thread's, kept in three places, and the processes'. ---- */

void counter_start(unsigned int calm);
uint64_t counter_value(void);
uint64_t counter_faults(void); /* how often the three places did not agree */

/* Starts a sleeping and, if asked, a spinning process on each CPU; returns the number of CPUs. */
unsigned int processes_start(bool spin, unsigned int calm);
/* Spins and mirrors agree to within one piece of work; nothing strayed. */
bool processes_sound(void);
/* Whether that process is one of them. */
bool processes_has(pid_t pid);
/* To be called when a child has ended: says which, if it should not have. */
void processes_reap(void);

/* ---- Time. ---- */

struct clocks {
	uint64_t tsc;
	uint64_t mono_ns, boot_ns, real_ns;
};

uint64_t clock_ns(clockid_t id);
void clocks_read(struct clocks *ret);
/* Compares with the latest that any CPU has seen. */
void clocks_compare(void);

struct timer_count {
	uint64_t seen; /* expirations */
	uint64_t due_before,
		due_after;   /* by CLOCK_MONOTONIC just before and after they were read */
	uint64_t late;	     /* times that one was seen together with the next */
	uint64_t at_mono_ns; /* CLOCK_MONOTONIC at the last expiration seen */
};

struct timers_view {
	struct timer_count fast; /* 10 ms */
	struct timer_count slow; /* 1 s */
	uint64_t gaps;		 /* longer than 100 ms */
	struct clocks longest;	 /* the longest gap, on each clock */
	struct clocks last;	 /* the last one of more than 100 ms */
	uint64_t tsc_khz;	 /* measured; 0 in the first second */
};

/* A real-time thread with timers of 10 ms (times calm) and 1 s, which says gaps longer than
 * ten times the former. */
void timers_start(unsigned int calm);
void timers_view(struct timers_view *ret);
void timers_forget_longest(void);

/* A thread that spins and touches so many bytes here and there, and counts how much of the CPU time
 * that it had by its guest's books it did not get. Nothing of size 0. */
void lost_start(uint64_t size);
/* Says what came of it between two readings of the TSC, "BEGIN END", in the last half minute. */
void lost_say(const char *words);

/* ---- Memory. ---- */

/* Says how much there is, and how much of it is free. */
void memory_say(void);
/* Fills so much memory, looks at it, and gives it back. */
void memory_use(uint64_t mib);
/* Fills so many MiB more with a pattern, and keeps them; "memory-kept": looks at all of that. Both
 * tell how much of it is above 4 GiB. */
void memory_keep(uint64_t mib);
void memory_kept(void);
/* Of a page of this process; 0: it cannot be found out. */
uint64_t memory_physical(const void *address);

/* ---- Devices. ---- */

/* Reads the entropy device all the time, if there is one; says what came of it. */
void rng_start(unsigned int calm);
void rng_say(void);
/* Everything that QEMU's edu device can do, if there is one; says what came of it. */
void edu_say(void);
/* Makes it write and read that address, whatever is there. */
void edu_stray(uint64_t address);
/* DMA of the edu device into the memory of another one, and out of it. "plain": ivshmem; "pmr": an
 * NVMe controller that has no driver. */
void edu_peer(const char *kind);
/* Switches the memory of the first off and on again; resets the function of the second. */
void edu_peer_renew(const char *kind);
/* "run": has it do DMA all the time from now on; "stop": no more. Says what came of it so far. */
void edu_dma(const char *what);
/* Opens the virtio console, if there is one: what comes in is said as "heard text=...". */
void hvc_start(void);
/* Writes so many more numbered lines; returns how many were written in all. */
uint64_t hvc_write(unsigned int lines);
/* Writes lines all the time from now on, or no more. */
void hvc_run(bool on);

/* Sends back what comes in by the socket device, if there is one. */
void vsock_start(void);
/* Says what came of it, and of the connections to the host. */
void vsock_say(void);
/* Makes a connection to the host, which is to send back what comes in, and leaves it open; says
 * whether it did. */
void vsock_check(void);

/* Before the others. */
void disks_init(const struct params *params);
/* Starts so many writers on each of /dev/vda and so on that has none yet. */
void disks_start(unsigned int writers);
/* Says how large, in bytes, /dev/vda and so on are. */
void disks_say_sizes(void);
/* Says what they have done; check: first compares every block with what was acknowledged. */
void disks_say(bool check);

/* Gives eth0 an address, of a network of 24 bits, and switches it on. */
bool net_configure(const char *address);
/* Gives eth0 its address and connects to the peer, if the parameter asks for it; sends and receives
 * from then on. */
void net_start(const struct params *params);
/* Says what came of it; check: first waits until the peer has all that was sent. */
void net_say(bool check);

/* ---- Real programs, in a Debian system on a disk. ---- */

/* Mounts it, if the parameters ask for it; /work of the initramfs is /work there, too. */
void root_start(const struct params *params);
/* Starts the shell command that is to work all the time from now on; says its progress. */
void root_begin(const char *command);
/* Says whether it runs, its status as of waitpid(2), or -1, how many lines it has written, and the
 * last of them. */
void root_progress(void);
/* Runs a shell command beside it; says the same of it as "ran" when it has ended. */
void root_run(const char *command);
/* Whether the child that has ended is one of those programs, or one that they left behind. */
bool root_reaped(pid_t pid, int status);
/* Kills what runs there, and unmounts. */
void root_leave(void);

/* ---- Measuring. ---- */

/* Does what comes after "bench ", see bench.c and the two others, and says how long it took. */
void bench_obey(const char *words);
/* The same for what comes after "bench tcp-". */
void bench_tcp(const char *words);
/* shown_us: initcalls that took less are counted, but not said. */
void bench_boot(uint64_t shown_us);

/* ---- The rest. ---- */

/* Says every kernel message that should not be there; returns how many. total: messages in the log.
 */
unsigned int kmsg_check(uint64_t *total);
/* From now on messages count that a booting kernel may write. Says what should not have been there
 * so far. */
void kmsg_mark_up(void);
/* Inserts /modules/... in the order of their names. */
void modules_load(void);
/* Descriptors of the input devices that have a power key; returns how many. */
unsigned int power_open(int *fds, unsigned int max);
/* Whether the power key was pressed. */
bool power_pressed(int fd);
/* Reads and obeys the console until the guest ends. */
void commands_run(const struct params *params, int console);
/* Ends the guest: how is "poweroff", "reboot", "halt" or "panic". */
void leave(const char *how);

#endif
