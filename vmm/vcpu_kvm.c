/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vcpu_kvm.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/util.h"
#include "vmm/kvm.h"

/* More than any kernel has: a bound for what is read from it. */
#define STATS_MAX      1024
#define STATS_NAME_MAX 128

void vcpu_kvm_init(struct vcpu_kvm *v, int kvm_fd, int vm_fd)
{
	*v = (struct vcpu_kvm){.kvm_fd = kvm_fd, .vm_fd = vm_fd};
	for (unsigned int i = 0; i < VM_CPUS_MAX; i++) {
		v->vcpus[i].fd = FD_NONE;
		v->vcpus[i].stats_fd = FD_NONE;
	}
}

/* Where the value of a counter stands in the file (api.rst, 4.133 KVM_GET_STATS_FD). */
static int find_counter(int stats_fd, const char *name, uint64_t *ret_offset, struct error *err)
{
	struct kvm_stats_header header;
	size_t size;

	if (pread(stats_fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return error_set(err, -EIO, "cannot read KVM's statistics");
	if (header.num_desc > STATS_MAX || header.name_size > STATS_NAME_MAX)
		return error_set(err, -EPROTO, "KVM's statistics are not what was expected");
	size = sizeof(struct kvm_stats_desc) + header.name_size;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		_Alignas(struct kvm_stats_desc) char
			buf[sizeof(struct kvm_stats_desc) + STATS_NAME_MAX + 1] = "";
		const struct kvm_stats_desc *desc = (const void *)buf;

		if (pread(stats_fd, buf, size, (off_t)(header.desc_offset + i * size)) !=
		    (ssize_t)size)
			return error_set(err, -EIO, "cannot read KVM's statistics");
		if (strcmp(desc->name, name) == 0) {
			*ret_offset = header.data_offset + desc->offset;
			return 0;
		}
	}
	return error_set(err, -ENOENT, "KVM's statistics have no counter \"%s\"", name);
}

static void kvm_destroy(void *backend, unsigned int index)
{
	struct vcpu_kvm *v = backend;

	if (v->vcpus[index].run)
		munmap(v->vcpus[index].run, v->vcpus[index].run_size);
	v->vcpus[index].run = NULL;
	close_fdp(&v->vcpus[index].stats_fd);
	close_fdp(&v->vcpus[index].fd);
}

static int open_vcpu(struct vcpu_kvm *v, unsigned int index, struct error *err)
{
	int size = ioctl(v->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0L);
	void *run;
	int fd;

	if (size < (int)sizeof(struct kvm_run))
		return error_set(err, -ENOSYS, "vCPU %u: cannot learn the size of its run page",
				 index);
	fd = ioctl(v->vm_fd, KVM_CREATE_VCPU, (long)index);
	if (fd < 0)
		return error_sys(err, -errno, "cannot create vCPU %u (KVM_CREATE_VCPU)", index);
	v->vcpus[index].fd = fd;
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		return error_sys(err, -errno, "vCPU %u: cannot map its run page", index);
	v->vcpus[index].run = run;
	v->vcpus[index].run_size = (size_t)size;
	fd = ioctl(fd, KVM_GET_STATS_FD, NULL);
	if (fd < 0)
		return error_sys(err, -errno, "vCPU %u: cannot open its statistics", index);
	v->vcpus[index].stats_fd = fd;
	return v->exits_offset ? 0 : find_counter(fd, "exits", &v->exits_offset, err);
}

static int kvm_create(void *backend, unsigned int index, struct kvm_run **ret_run,
		      size_t *ret_run_size, struct error *err)
{
	struct vcpu_kvm *v = backend;
	int r = open_vcpu(v, index, err);

	if (r < 0) {
		kvm_destroy(v, index);
		return r;
	}
	*ret_run = v->vcpus[index].run;
	*ret_run_size = v->vcpus[index].run_size;
	return 0;
}

static int kvm_run_vcpu(void *backend, unsigned int index)
{
	struct vcpu_kvm *v = backend;

	return ioctl(v->vcpus[index].fd, KVM_RUN, 0L) < 0 ? -errno : 0;
}

static bool kvm_entered(void *backend, unsigned int index)
{
	struct vcpu_kvm *v = backend;
	struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};
	uint64_t exits = 0;

	if (pread(v->vcpus[index].stats_fd, &exits, sizeof(exits), (off_t)v->exits_offset) ==
		    (ssize_t)sizeof(exits) &&
	    exits > 0)
		return true;
	return ioctl(v->vcpus[index].fd, KVM_GET_MP_STATE, &mp) == 0 &&
	       mp.mp_state != KVM_MP_STATE_RUNNABLE;
}

const struct vcpu_ops vcpu_kvm_ops = {
	.create = kvm_create,
	.destroy = kvm_destroy,
	.run = kvm_run_vcpu,
	.entered = kvm_entered,
};
