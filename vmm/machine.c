/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine.h"

#include <string.h>

#include "base/util.h"
#include "vmm/machine_priv.h"

static void on_vcpu_event(void *opaque, enum machine_event event, const struct error *err)
{
	struct machine *m = opaque;

	machine_events_tell(&m->events, event, err);
}

static void on_request(void *opaque, enum machine_request request)
{
	struct machine *m = opaque;

	machine_events_tell(&m->events,
			    request == MACHINE_REQUEST_POWEROFF ? MACHINE_EVENT_POWEROFF
								: MACHINE_EVENT_RESET,
			    NULL);
}

static int make_buses(struct machine *m, struct error *err)
{
	int r = bus_new("port", &m->ports, err);

	return r < 0 ? r : bus_new("MMIO", &m->mmio, err);
}

static int make_vm(struct machine *m, struct error *err)
{
	int r = kvm_open(KVM_DEVICE, arch_kvm_needs, &m->kvm_fd, err);

	if (r == 0)
		r = kvm_create_vm(m->kvm_fd, &m->vm_fd, err);
	if (r == 0)
		r = arch_vm_new(m->kvm_fd, m->vm_fd, m->config.cpus, &m->arch, err);
	return r < 0 ? r : machine_memory_slots(m, err);
}

static int make_vcpus(struct machine *m, struct error *err)
{
	struct vcpu_set_params params = {.count = m->config.cpus,
					 .ports = m->ports,
					 .mmio = m->mmio,
					 .on_event = on_vcpu_event,
					 .opaque = m,
					 .loop = m->loop,
					 .ops = &vcpu_kvm_ops,
					 .backend = &m->kvm_vcpus};
	int r;

	vcpu_kvm_init(&m->kvm_vcpus, m->kvm_fd, m->vm_fd);
	r = vcpu_set_new(&params, &m->vcpus, err);
	for (unsigned int i = 0; r == 0 && i < m->config.cpus; i++)
		r = arch_vcpu_init(m->arch, i, m->kvm_vcpus.vcpus[i].fd, err);
	return r;
}

static int make_devices(struct machine *m, const struct kept_devices *kept, struct error *err)
{
	const struct arch_platform_params platform = {.config = &m->config,
						      .loop = m->loop,
						      .vm = m->arch,
						      .ports = m->ports,
						      .mmio = m->mmio,
						      .control = m->control};
	struct machine_pci_params pci = {.loop = m->loop,
					 .vm_fd = m->vm_fd,
					 .arch = m->arch,
					 .ram = m->ram,
					 .ports = m->ports,
					 .mmio = m->mmio};
	struct machine_devices_params devices = {
		.config = &m->config,
		.loop = m->loop,
		.ram = m->ram,
		.control = &m->control,
		.kept = kept,
		.gone = machine_device_gone,
		.told = machine_device_told,
		.opaque = m,
	};
	int r = arch_platform_new(&platform, &m->platform, err);

	if (r == 0)
		r = machine_memory_hotplug_new(m, err);
	if (r < 0)
		return r;
	pci.platform = m->platform;
	r = machine_pci_new(&pci, &m->pci, err);
	if (r < 0)
		return r;
	devices.pci = m->pci;
	return machine_devices_new(&devices, &m->devices, err);
}

void machine_list_objects(struct machine *m)
{
	m->object_count = arch_objects(m->arch, m->objects);
	m->object_count += arch_platform_objects(m->platform, &m->objects[m->object_count]);
	m->object_count += machine_pci_objects(m->pci, &m->objects[m->object_count]);
	if (m->memory_hotplug)
		m->objects[m->object_count++] = (struct state_object){
			.ops = &memory_hotplug_state_ops, .obj = m->memory_hotplug};
	m->object_count += machine_devices_objects(m->devices, &m->objects[m->object_count]);
}

int machine_build(const struct vm_config *config, struct loop *loop, struct guest_ram *ram,
		  const struct kept_devices *kept, machine_event_fn *on_event, void *opaque,
		  struct machine **ret, struct error *err)
{
	struct machine *m = calloc(1, sizeof(*m));
	int r;

	if (!m) {
		guest_ram_free(ram);
		return error_set(err, -ENOMEM, "out of memory for a machine");
	}
	m->config = *config;
	m->loop = loop;
	m->ram = ram;
	m->control = (struct machine_control){on_request, m};
	m->kvm_fd = m->vm_fd = FD_NONE;
	r = machine_events_init(&m->events, loop, on_event, opaque, err);
	if (r == 0)
		r = make_buses(m, err);
	if (r == 0)
		r = make_vm(m, err);
	if (r == 0)
		r = make_vcpus(m, err);
	if (r == 0)
		r = make_devices(m, kept, err);
	if (r == 0)
		r = loop_timer_new(loop, machine_nudge, m, &m->nudge, err);
	if (r < 0) {
		machine_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

/* vCPUs first: they call into everything else. */
void machine_free(struct machine *m)
{
	if (!m)
		return;
	loop_timer_free(m->nudge);
	vcpu_set_free(m->vcpus);
	machine_devices_free(m->devices);
	machine_pci_free(m->pci);
	arch_platform_free(m->platform);
	arch_vm_free(m->arch);
	close_fdp(&m->vm_fd);
	close_fdp(&m->kvm_fd);
	bus_free(m->mmio);
	bus_free(m->ports);
	memory_hotplug_free(m->memory_hotplug);
	machine_events_done(&m->events);
	guest_ram_free(m->ram);
	free(m);
}

int machine_boot(struct machine *m, struct error *err)
{
	return arch_boot(m->arch, &m->config, m->ram, err);
}

int machine_plug(struct machine *m, const struct vm_config *config, struct error *err)
{
	int r = machine_devices_plug(m->devices, config, err);

	if (r < 0)
		return r;
	vm_config_copy_devices(&m->config, config);
	return 0;
}

int machine_request_unplug(struct machine *m, const char *device, struct error *err)
{
	struct vfio_pci_config *passed = vm_config_find_passed(&m->config, device);

	/* Given up for an update, and not come back. */
	if (passed && passed->away) {
		vm_config_forget_device(&m->config, device);
		return 0;
	}
	/* Not any more for an update that was given up, after which it would come back. */
	if (passed)
		passed->asked = false;
	return machine_devices_request_unplug(m->devices, device, err);
}

int machine_resize_disk(struct machine *m, const char *id, uint64_t size, struct error *err)
{
	return machine_devices_resize_disk(m->devices, id, size, err);
}

int machine_resize_balloon(struct machine *m, uint64_t size, struct error *err)
{
	int r = machine_devices_resize_balloon(m->devices, size, err);

	if (r == 0)
		m->config.balloon.size = size;
	return r;
}

json_t *machine_balloon_statistics(struct machine *m)
{
	return machine_devices_balloon_statistics(m->devices);
}

void machine_keep_memory(struct machine *m, bool keep)
{
	m->memory_kept = keep;
	/* Nobody else has them any more. */
	if (!keep)
		machine_hand_over(m, false);
	machine_devices_keep_memory(m->devices, keep);
}

bool machine_memory_is_kept(const struct machine *m)
{
	return m->memory_kept;
}

json_t *machine_counters(const struct machine *m)
{
	return machine_devices_counters(m->devices);
}

void machine_power_button(struct machine *m)
{
	arch_platform_power_button(m->platform);
}

struct guest_ram *machine_ram(struct machine *m)
{
	return m->ram;
}

const struct vm_config *machine_config(const struct machine *m)
{
	return &m->config;
}

uint32_t machine_tsc_khz(const struct machine *m)
{
	return arch_tsc_khz(m->arch);
}

const char *machine_console(const struct machine *m)
{
	return arch_platform_console(m->platform);
}

const char *machine_hvc(const struct machine *m)
{
	return machine_devices_hvc(m->devices);
}
