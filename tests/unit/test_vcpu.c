/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/vcpu: starting, stopping, exits and failures, with a stand-in for KVM_RUN that keeps KVM's
 * promises: it completes pending I/O on entry, then looks at immediate_exit, and a signal ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/util.h"
#include "vmm/vcpu.h"

#define CPUS	   3
#define PATIENCE   20000 /* ms: only ever used up by a failure */
#define RUN_SIZE   8192
#define DATA_START 4096

enum script {
	SLEEP,	 /* halted in the kernel: only a signal ends KVM_RUN */
	PORT_IO, /* an OUT after another */
	DEAF,	 /* does not come out, whatever happens, until let go */
	TRIPLE,	 /* triple fault */
	ENTRY,	 /* the CPU refuses to enter */
	BAD_FD,	 /* KVM_RUN itself fails */
	WAKE_AP, /* EAGAIN once, then sleeps */
};

struct fake_vcpu {
	struct kvm_run *run;
	enum script script;
	bool io_pending, woken; /* of its own thread */
	atomic_bool in_run;
	atomic_uint runs, completed;
};

struct fake {
	struct fake_vcpu vcpus[CPUS];
	atomic_bool let_go;
	atomic_bool entered;
	/* What was told. */
	pthread_mutex_t lock;
	pthread_cond_t told;
	unsigned int events[4];
	struct error error;
	struct bus *ports, *mmio;
	atomic_uint out;
};

static int fake_create(void *backend, unsigned int index, struct kvm_run **ret_run,
		       size_t *ret_run_size, struct error *err _unused_)
{
	struct fake *f = backend;

	f->vcpus[index].run = calloc(1, RUN_SIZE);
	*ret_run = f->vcpus[index].run;
	*ret_run_size = RUN_SIZE;
	return 0;
}

static void fake_destroy(void *backend, unsigned int index)
{
	struct fake *f = backend;

	free(f->vcpus[index].run);
}

/* Waits for the kick. Blocked while it looks at immediate_exit, so that none is lost in between. */
static int sleep_in_kernel(struct fake_vcpu *v)
{
	sigset_t kick, old;
	int r = 0;

	sigemptyset(&kick);
	sigaddset(&kick, VCPU_KICK_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &kick, &old);
	if (!__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST))
		r = ppoll(NULL, 0, NULL, &old);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)r;
	return -EINTR;
}

static int exit_with(struct fake_vcpu *v, uint32_t reason)
{
	v->run->exit_reason = reason;
	return 0;
}

static int port_exit(struct fake_vcpu *v)
{
	v->run->io.direction = KVM_EXIT_IO_OUT;
	v->run->io.size = 1;
	v->run->io.count = 4;
	v->run->io.port = 0x80;
	v->run->io.data_offset = DATA_START;
	memset((char *)v->run + DATA_START, 1, 4);
	v->io_pending = true;
	return exit_with(v, KVM_EXIT_IO);
}

static int play(struct fake *f, struct fake_vcpu *v)
{
	switch (v->script) {
	case PORT_IO:
		return port_exit(v);
	case DEAF:
		while (!atomic_load(&f->let_go))
			sched_yield();
		return -EINTR;
	case TRIPLE:
		return exit_with(v, KVM_EXIT_SHUTDOWN);
	case ENTRY:
		v->run->fail_entry.hardware_entry_failure_reason = 0x80000021;
		return exit_with(v, KVM_EXIT_FAIL_ENTRY);
	case BAD_FD:
		return -EFAULT;
	case WAKE_AP:
		if (!v->woken) {
			v->woken = true;
			return -EAGAIN;
		}
		return sleep_in_kernel(v);
	case SLEEP:
		return sleep_in_kernel(v);
	}
	return -EINVAL;
}

static int fake_run(void *backend, unsigned int index)
{
	struct fake *f = backend;
	struct fake_vcpu *v = &f->vcpus[index];
	int r;

	atomic_fetch_add(&v->runs, 1);
	if (v->io_pending) {
		v->io_pending = false;
		atomic_fetch_add(&v->completed, 1);
	}
	if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST))
		return -EINTR;
	atomic_store(&v->in_run, true);
	r = play(f, v);
	atomic_store(&v->in_run, false);
	return r;
}

static bool fake_entered(void *backend, unsigned int index _unused_)
{
	struct fake *f = backend;

	return atomic_load(&f->entered);
}

static const struct vcpu_ops fake_ops = {
	.create = fake_create, .destroy = fake_destroy, .run = fake_run, .entered = fake_entered};

static void on_event(void *opaque, enum machine_event event, const struct error *err)
{
	struct fake *f = opaque;

	pthread_mutex_lock(&f->lock);
	f->events[event]++;
	if (err)
		f->error = *err;
	pthread_cond_broadcast(&f->told);
	pthread_mutex_unlock(&f->lock);
}

static uint64_t port_read(void *opaque _unused_, uint64_t offset _unused_,
			  unsigned int size _unused_)
{
	return 0;
}

static void port_write(void *opaque, uint64_t offset _unused_, uint64_t value,
		       unsigned int size _unused_)
{
	struct fake *f = opaque;

	atomic_fetch_add(&f->out, (unsigned int)value);
}

static const struct io_ops port_ops = {.name = "port", .read = port_read, .write = port_write};

static struct vcpu_set *make_beside(struct loop *loop, struct fake *f, enum script a, enum script b,
				    enum script c)
{
	const enum script scripts[CPUS] = {a, b, c};
	struct vcpu_set_params params = {.count = CPUS,
					 .on_event = on_event,
					 .opaque = f,
					 .ops = &fake_ops,
					 .backend = f,
					 .loop = loop};
	struct vcpu_set *set;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->told, NULL);
	for (unsigned int i = 0; i < CPUS; i++)
		f->vcpus[i].script = scripts[i];
	assert_int_equal(bus_new("port", &f->ports, NULL), 0);
	assert_int_equal(bus_new("MMIO", &f->mmio, NULL), 0);
	assert_int_equal(bus_add(f->ports, 0x80, 1, &port_ops, f, NULL), 0);
	params.ports = f->ports;
	params.mmio = f->mmio;
	assert_int_equal(vcpu_set_new(&params, &set, NULL), 0);
	return set;
}

static struct vcpu_set *make(struct fake *f, enum script a, enum script b, enum script c)
{
	return make_beside(NULL, f, a, b, c);
}

static void done(struct fake *f, struct vcpu_set *set)
{
	atomic_store(&f->let_go, true);
	vcpu_set_free(set);
	bus_free(f->ports);
	bus_free(f->mmio);
	pthread_cond_destroy(&f->told);
	pthread_mutex_destroy(&f->lock);
}

static void wait_event(struct fake *f, enum machine_event event)
{
	struct timespec end;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE / 1000;
	pthread_mutex_lock(&f->lock);
	while (f->events[event] == 0 && r == 0)
		r = pthread_cond_timedwait(&f->told, &f->lock, &end);
	assert_int_not_equal(f->events[event], 0);
	pthread_mutex_unlock(&f->lock);
}

static void test_starts_and_stops_many_times(void **state _unused_)
{
	struct fake f;
	struct vcpu_set *set = make(&f, SLEEP, PORT_IO, WAKE_AP);

	assert_false(vcpu_set_is_running(set));
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0); /* never started: at once */
	for (unsigned int i = 0; i < 200; i++) {
		assert_int_equal(vcpu_set_start(set, NULL), 0);
		assert_int_equal(vcpu_set_start(set, NULL), 0);
		assert_true(vcpu_set_is_running(set));
		assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
		assert_false(vcpu_set_is_running(set));
		/* Stopped means stopped, and with nothing half done. */
		for (unsigned int j = 0; j < CPUS; j++) {
			assert_false(atomic_load(&f.vcpus[j].in_run));
			assert_false(f.vcpus[j].io_pending);
		}
	}
	/* Each string access of four bytes reached the device whole. */
	assert_int_equal(atomic_load(&f.out), 4 * atomic_load(&f.vcpus[1].completed));
	done(&f, set);
}

static void test_one_that_does_not_stop(void **state _unused_)
{
	struct fake f;
	struct vcpu_set *set = make(&f, SLEEP, DEAF, SLEEP);
	struct error err = ERROR_INIT;

	assert_int_equal(vcpu_set_start(set, NULL), 0);
	while (!atomic_load(&f.vcpus[1].in_run))
		sched_yield();
	assert_int_equal(vcpu_set_pause(set, 30, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.message, "vCPU 1"));
	assert_true(vcpu_set_is_running(set));
	/* All run on, and can be stopped once the reason is gone. */
	atomic_store(&f.let_go, true);
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
	done(&f, set);
}

static void test_triple_fault_resets(void **state _unused_)
{
	struct fake f;
	struct vcpu_set *set = make(&f, SLEEP, TRIPLE, SLEEP);

	assert_int_equal(vcpu_set_start(set, NULL), 0);
	wait_event(&f, MACHINE_EVENT_RESET);
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
	assert_int_equal(vcpu_set_start(set, NULL), 0);
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
	assert_int_equal(atomic_load(&f.vcpus[1].runs), 1); /* dead is dead */
	done(&f, set);
}

static void check_crash(enum script script, const char *words)
{
	struct fake f;
	struct vcpu_set *set = make(&f, SLEEP, PORT_IO, script);

	assert_int_equal(vcpu_set_start(set, NULL), 0);
	wait_event(&f, MACHINE_EVENT_CRASHED);
	assert_non_null(strstr(f.error.message, "vCPU 2"));
	assert_non_null(strstr(f.error.message, words));
	/* The others have stopped by themselves, or are about to. */
	assert_false(vcpu_set_is_running(set));
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
	done(&f, set);
}

static void test_crashes_stop_all(void **state _unused_)
{
	check_crash(ENTRY, "0x80000021");
	check_crash(BAD_FD, "KVM_RUN failed");
}

/* Only threads of vCPUs ask, and the last is refused. */
static int let_in(void *opaque, const char *role, struct error *err)
{
	atomic_uint *asked = opaque;

	assert_string_equal(role, "vcpu");
	return atomic_fetch_add(asked, 1) == CPUS - 1 ? error_set(err, -EPERM, "no filter") : 0;
}

/* No guest on a thread that may do everything. */
static void test_thread_not_let_in(void **state _unused_)
{
	atomic_uint asked = 0;
	const struct loop_guard guard = {let_in, &asked};
	struct vcpu_set *set;
	struct loop *loop;
	struct fake f;

	assert_int_equal(loop_new(&loop, NULL), 0);
	loop_set_guard(loop, &guard);
	set = make_beside(loop, &f, SLEEP, SLEEP, SLEEP);
	assert_int_equal(vcpu_set_start(set, NULL), 0);
	wait_event(&f, MACHINE_EVENT_CRASHED);
	assert_non_null(strstr(f.error.message, "no filter"));
	assert_false(vcpu_set_is_running(set));
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
	done(&f, set);
	loop_free(loop);
}

static void test_all_have_run(void **state _unused_)
{
	struct fake f;
	struct vcpu_set *set = make(&f, SLEEP, PORT_IO, SLEEP);

	assert_int_equal(vcpu_set_start(set, NULL), 0);
	/* The two that sleep have not been in the guest yet: being interrupted is no proof. */
	for (unsigned int i = 0; i < 20; i++)
		assert_true(vcpu_set_nudge(set) >= 2);
	assert_int_equal(f.events[MACHINE_EVENT_ALL_VCPUS_RAN], 0);
	atomic_store(&f.entered, true);
	while (vcpu_set_nudge(set) > 0)
		sched_yield();
	wait_event(&f, MACHINE_EVENT_ALL_VCPUS_RAN);
	/* Once per start. */
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
	assert_int_equal(f.events[MACHINE_EVENT_ALL_VCPUS_RAN], 1);
	assert_int_equal(vcpu_set_start(set, NULL), 0);
	while (vcpu_set_nudge(set) > 0)
		sched_yield();
	assert_int_equal(vcpu_set_pause(set, PATIENCE, NULL), 0);
	assert_int_equal(f.events[MACHINE_EVENT_ALL_VCPUS_RAN], 2);
	done(&f, set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_and_stops_many_times),
		cmocka_unit_test(test_one_that_does_not_stop),
		cmocka_unit_test(test_triple_fault_resets),
		cmocka_unit_test(test_crashes_stop_all),
		cmocka_unit_test(test_thread_not_let_in),
		cmocka_unit_test(test_all_have_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
