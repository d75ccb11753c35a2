/* SPDX-License-Identifier: Apache-2.0 */
/* What a vCPU came out of the guest for: Linux Documentation/virt/kvm/api.rst, section 5. */
#include <linux/kvm.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/vcpu_priv.h"

static void tell(struct vcpu *vcpu, enum machine_event event, const struct error *err)
{
	vcpu->set->params.on_event(vcpu->set->params.opaque, event, err);
}

void vcpu_tell_crash(struct vcpu *vcpu, const struct error *err)
{
	struct vcpu_set *set = vcpu->set;

	pthread_mutex_lock(&set->lock);
	set->crashed = true;
	atomic_store(&set->hold, true);
	vcpu_kick_all(set);
	pthread_mutex_unlock(&set->lock);
	tell(vcpu, MACHINE_EVENT_CRASHED, err);
}

static enum vcpu_verdict crash(struct vcpu *vcpu, const struct error *err)
{
	vcpu_tell_crash(vcpu, err);
	return VCPU_DEAD;
}

static void access_bus(struct bus *bus, uint64_t addr, uint8_t *data, unsigned int size, bool write)
{
	if (write)
		bus_write(bus, addr, data, size);
	else
		bus_read(bus, addr, data, size);
}

/* count > 1: string I/O (INS, OUTS); each element is an access of its own to the same port. */
static enum vcpu_verdict handle_io(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	bool write = run->io.direction == KVM_EXIT_IO_OUT;
	uint64_t bytes = (uint64_t)run->io.size * run->io.count;
	struct error err = ERROR_INIT;
	uint8_t *data;

	if (run->io.data_offset > vcpu->run_size || bytes > vcpu->run_size - run->io.data_offset) {
		error_set(&err, -EPROTO, "vCPU %u: KVM gave port data outside of its own page",
			  vcpu->index);
		return crash(vcpu, &err);
	}
	data = (uint8_t *)vcpu->run + run->io.data_offset;
	for (uint32_t i = 0; i < run->io.count; i++)
		access_bus(vcpu->set->params.ports, run->io.port, data + (size_t)i * run->io.size,
			   run->io.size, write);
	return VCPU_RUN_ON;
}

/* An access that crosses a page comes in pieces of any length: made of powers of two, aligned. */
static enum vcpu_verdict handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned int len = MIN_OF(run->mmio.len, (uint32_t)sizeof(run->mmio.data));
	uint64_t addr = run->mmio.phys_addr;

	for (unsigned int done = 0; done < len;) {
		unsigned int size = 8;

		while (size > len - done || (size != len && (addr + done) % size != 0))
			size /= 2;
		access_bus(vcpu->set->params.mmio, addr + done, &run->mmio.data[done], size,
			   run->mmio.is_write);
		done += size;
	}
	return VCPU_RUN_ON;
}

static enum vcpu_verdict handle_system_event(struct vcpu *vcpu)
{
	struct error err = ERROR_INIT;

	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		tell(vcpu, MACHINE_EVENT_POWEROFF, NULL);
		return VCPU_DEAD;
	case KVM_SYSTEM_EVENT_RESET:
		tell(vcpu, MACHINE_EVENT_RESET, NULL);
		return VCPU_DEAD;
	default:
		error_set(&err, -EIO, "vCPU %u: the guest reported a crash (KVM system event %u)",
			  vcpu->index, vcpu->run->system_event.type);
		return crash(vcpu, &err);
	}
}

static const char *internal_error_name(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "an instruction that KVM cannot emulate";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "an exception during the delivery of another";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an exit during the delivery of an event";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "an exit that KVM does not know";
	default:
		return "unknown suberror";
	}
}

static enum vcpu_verdict handle_internal_error(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	unsigned int ndata = MIN_OF(run->internal.ndata, 4U);
	struct error err = ERROR_INIT;

	error_set(&err, -EIO, "vCPU %u: KVM internal error %u: %s", vcpu->index,
		  run->internal.suberror, internal_error_name(run->internal.suberror));
	for (unsigned int i = 0; i < ndata; i++)
		error_append(&err, "%s0x%llx",
			     i ? " " : "; data: ", (unsigned long long)run->internal.data[i]);
	return crash(vcpu, &err);
}

static enum vcpu_verdict handle_deadly(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	struct error err = ERROR_INIT;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		error_set(&err, -EIO,
			  "vCPU %u: the CPU refused to enter the guest (hardware reason 0x%llx, on "
			  "CPU %u): the vCPU's state is not valid on this host",
			  vcpu->index,
			  (unsigned long long)run->fail_entry.hardware_entry_failure_reason,
			  run->fail_entry.cpu);
	else
		error_set(&err, -EIO, "vCPU %u: KVM gave an exit that is not served here (%u)",
			  vcpu->index, run->exit_reason);
	return crash(vcpu, &err);
}

enum vcpu_verdict vcpu_handle_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_io(vcpu);
	case KVM_EXIT_MMIO:
		return handle_mmio(vcpu);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return VCPU_RUN_ON;
	case KVM_EXIT_SHUTDOWN: /* a PC resets */
		log_warning("vCPU %u: triple fault", vcpu->index);
		tell(vcpu, MACHINE_EVENT_RESET, NULL);
		return VCPU_DEAD;
	case KVM_EXIT_SYSTEM_EVENT:
		return handle_system_event(vcpu);
	case KVM_EXIT_INTERNAL_ERROR:
		return handle_internal_error(vcpu);
	default:
		return handle_deadly(vcpu);
	}
}
