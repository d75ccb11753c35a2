/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/clock_state.h"

#include <inttypes.h>
#include <linux/kvm.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "vmm/kvm.h"
#include "vmm/x86/clock_gap.h"

/* Reading or setting a clock counts only if this thread was not kept from running meanwhile. */
#define CLOCK_SLIP_MAX_NS (100 * 1000ULL)
#define CLOCK_TRIES	  8

/* The RTC's whole seconds, and what it takes to read it. */
#define WALL_TOLERANCE_NS (2 * NSEC_PER_SEC)

struct clock_image {
	struct kvm_clock_data kvmclock;
	struct clock_instant at; /* when kvmclock had that value */
	uint32_t host_tsc_khz;
	uint32_t guest_tsc_khz;
	uint64_t tsc_offsets[VM_CPUS_MAX];
};

static int tsc_offset(int fd, unsigned long request, uint64_t *offset, struct error *err)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)offset};
	int r = kvm_ioctl(fd, request, &attr, "KVM_VCPU_TSC_OFFSET", err);

	return r;
}

int vcpu_tsc_offset_get(int vcpu_fd, uint64_t *ret, struct error *err)
{
	return tsc_offset(vcpu_fd, KVM_GET_DEVICE_ATTR, ret, err);
}

/*
 * KVM gives kvmclock, TSC and wall time of one instant where it can (master clock in use); where it
 * cannot, the three are read one after the other, again if that took long.
 */
static int read_clock(const struct arch_vm *vm, struct clock_image *image, struct error *err)
{
	uint64_t slip;

	for (unsigned int i = 0; i < CLOCK_TRIES; i++) {
		uint64_t before = clock_tsc();
		int r;

		memset(&image->kvmclock, 0, sizeof(image->kvmclock));
		r = kvm_ioctl(vm->vm_fd, KVM_GET_CLOCK, &image->kvmclock, "KVM_GET_CLOCK", err);
		if (r < 0)
			return r;
		image->at.host_tsc = before;
		image->at.realtime_ns = clock_realtime_ns();
		slip = tsc_to_ns(clock_tsc() - before, vm->tsc_khz);
		if (slip < CLOCK_SLIP_MAX_NS)
			break;
	}
	if (image->kvmclock.flags & KVM_CLOCK_HOST_TSC)
		image->at.host_tsc = image->kvmclock.host_tsc;
	if (image->kvmclock.flags & KVM_CLOCK_REALTIME)
		image->at.realtime_ns = image->kvmclock.realtime;
	return 0;
}

static int clock_save(const void *obj, struct state_writer *w, struct error *err)
{
	const struct arch_vm *vm = obj;
	struct clock_image image = {0};
	int r = read_clock(vm, &image, err);

	for (unsigned int i = 0; r == 0 && i < vm->cpus; i++)
		r = vcpu_tsc_offset_get(vm->vcpus[i].fd, &image.tsc_offsets[i], err);
	if (r < 0)
		return r;
	state_put_bytes(w, "kvmclock", &image.kvmclock, sizeof(image.kvmclock));
	state_put_u64(w, "host-tsc", image.at.host_tsc);
	state_put_u64(w, "realtime-ns", image.at.realtime_ns);
	state_put_u32(w, "host-tsc-khz", vm->tsc_khz);
	state_put_u32(w, "guest-tsc-khz", vm->guest_tsc_khz);
	state_put_u64s(w, "tsc-offsets", image.tsc_offsets, vm->cpus);
	return 0;
}

static int parse(const struct arch_vm *vm, struct state_reader *r, struct clock_image *image,
		 struct error *err)
{
	memset(image, 0, sizeof(*image));
	state_get_bytes(r, "kvmclock", &image->kvmclock, sizeof(image->kvmclock));
	image->at.host_tsc = state_get_u64(r, "host-tsc");
	image->at.realtime_ns = state_get_u64(r, "realtime-ns");
	image->host_tsc_khz = state_get_u32(r, "host-tsc-khz");
	image->guest_tsc_khz = state_get_u32(r, "guest-tsc-khz");
	state_get_u64s(r, "tsc-offsets", image->tsc_offsets, vm->cpus);
	state_require(r, image->host_tsc_khz > 0 && image->guest_tsc_khz > 0,
		      "a TSC rate of 0 kHz");
	state_require(r,
		      tsc_khz_same(image->host_tsc_khz, vm->tsc_khz) &&
			      tsc_khz_same(image->guest_tsc_khz, vm->tsc_khz),
		      "the guest's TSC runs at %u kHz, this host's at %u kHz: not the machine that "
		      "it was saved on",
		      image->guest_tsc_khz, vm->tsc_khz);
	return state_reader_done(r, err);
}

static void report_gap(const struct clock_gap *gap)
{
	int64_t off = gap->realtime_error_ns;

	log_debug("the guest stood still for %" PRIu64 " us (by %s)", gap->elapsed_ns / 1000,
		  gap->tsc_went_on ? "the TSC" : "wall time");
	if (!gap->tsc_went_on)
		log_warning("the host's TSC stepped back: the guest's clocks go on by the host's "
			    "wall clock");
	else if (off > (int64_t)WALL_TOLERANCE_NS || off < -(int64_t)WALL_TOLERANCE_NS)
		log_warning("the host's wall clock moved by %" PRId64 " ms against its TSC in the "
			    "update: the guest's clocks follow the TSC",
			    off / (int64_t)NSEC_PER_MSEC);
}

static struct clock_gap gap_now(const struct clock_image *image)
{
	struct clock_instant now = {.host_tsc = clock_tsc(), .realtime_ns = clock_realtime_ns()};

	return clock_gap(&image->at, &now, image->host_tsc_khz);
}

/* Equal offsets stay equal bit for bit: only then KVM keeps its master clock for the vCPUs. */
static int set_offsets(struct arch_vm *vm, const struct clock_image *image, uint64_t delta,
		       struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < vm->cpus; i++) {
		uint64_t offset = image->tsc_offsets[i] + delta;

		r = tsc_offset(vm->vcpus[i].fd, KVM_SET_DEVICE_ATTR, &offset, err);
	}
	return r;
}

/* After the offsets, because KVM takes the clock's reference by the master clock if that is in use.
 */
static int set_kvmclock(struct arch_vm *vm, const struct clock_image *image, struct error *err)
{
	for (unsigned int i = 0; i < CLOCK_TRIES; i++) {
		uint64_t before = clock_tsc();
		struct clock_gap gap = gap_now(image);
		struct kvm_clock_data data = {.clock = image->kvmclock.clock + gap.elapsed_ns};
		int r = kvm_ioctl(vm->vm_fd, KVM_SET_CLOCK, &data, "KVM_SET_CLOCK", err);

		if (r < 0)
			return r;
		if (tsc_to_ns(clock_tsc() - before, vm->tsc_khz) < CLOCK_SLIP_MAX_NS)
			break;
	}
	return 0;
}

/*
 * KVM_SET_TSC_KHZ is not called: saved and present rate are two measurements of one counter, and a
 * rate that differs from KVM's own by more than its tolerance (250 ppm) would make KVM scale the
 * TSC, or chase it in software.
 */
static int clock_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		      enum state_mode mode, struct error *err)
{
	struct arch_vm *vm = obj;
	struct clock_image image;
	struct clock_gap gap;
	int ret = parse(vm, r, &image, err);

	if (ret < 0 || mode == STATE_CHECK)
		return ret;
	gap = gap_now(&image);
	report_gap(&gap);
	ret = set_offsets(vm, &image, gap.offset_delta, err);
	if (ret == 0)
		ret = set_kvmclock(vm, &image, err);
	if (ret == 0)
		vm->guest_tsc_khz = image.guest_tsc_khz;
	return ret;
}

const struct state_ops x86_clock_state_ops = {
	.name = "clock", .version = 1, .min_version = 1, .save = clock_save, .load = clock_load};
