/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_priv.h"
#include "luo/tokens.h"
#include "vmm/guest_memory_prefault.h"
#include "vmm/passthrough_preserve.h"

struct fake fake;

struct guest_ram {
	struct guest_memory_region region;
};

struct machine {
	struct vm_config config;
	struct guest_ram *ram;
	struct loop *loop;
	machine_event_fn *on_event;
	void *opaque;
	struct loop_timer *timer;
	unsigned int events; /* bits to be told by the timer, one at a time */
	struct device_news news[4];
	unsigned int news_count;
	uint64_t reg;
	bool running;
	bool drained;
	bool kept;
};

int fake_try(enum fake_call call, struct error *err)
{
	unsigned int n = fake.calls[call]++;

	if (fake.fails == call && n >= fake.fails_from)
		return error_set(err, -EIO, "fake call %d fails", (int)call);
	return 0;
}

int guest_memory_layout(uint64_t size, const struct ram_growth *growth,
			struct guest_memory_layout *ret, struct error *err _unused_)
{
	*ret = (struct guest_memory_layout){.count = 1};
	ret->regions[0].size = size + ram_growth_sum(growth);
	return 0;
}

static int map_ram(uint64_t size, int fd, struct guest_ram **ret)
{
	struct guest_ram *ram = calloc(1, sizeof(*ram));

	assert_non_null(ram);
	ram->region.size = size;
	ram->region.fd = fd;
	ram->region.hva = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(ram->region.hva, MAP_FAILED);
	*ret = ram;
	return 0;
}

int guest_ram_create(uint64_t size, const struct ram_growth *growth, struct guest_ram **ret,
		     struct error *err)
{
	int fd, r = fake_try(FAKE_RAM_CREATE, err);

	/* Of the boot is all of it. */
	assert_int_equal(growth->count, 0);
	if (r < 0)
		return r;
	fd = memfd_create("fake-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return map_ram(size, fd, ret);
}

int guest_ram_adopt(uint64_t size, const struct ram_growth *growth, int *fds, unsigned int count,
		    struct guest_ram **ret, struct error *err)
{
	int r = fake_try(FAKE_RAM_ADOPT, err);

	assert_int_equal(count, 1);
	return r < 0 ? r : map_ram(size + ram_growth_sum(growth), fds[0], ret);
}

int guest_ram_prefault(const struct guest_memory_region *regions _unused_, unsigned int count,
		       struct error *err)
{
	assert_int_equal(count, 1);
	return fake_try(FAKE_RAM_PREFAULT, err);
}

void guest_ram_prefault_again(const struct guest_ram *ram)
{
	struct error err = ERROR_INIT;

	guest_ram_prefault(&ram->region, 1, &err);
}

void guest_ram_free(struct guest_ram *ram)
{
	if (!ram)
		return;
	munmap(ram->region.hva, ram->region.size);
	close(ram->region.fd);
	free(ram);
}

uint64_t guest_ram_size(const struct guest_ram *ram)
{
	return ram->region.size;
}

unsigned int guest_ram_region_count(const struct guest_ram *ram _unused_)
{
	return 1;
}

const struct guest_memory_region *guest_ram_region(const struct guest_ram *ram, unsigned int index)
{
	assert_int_equal(index, 0);
	return &ram->region;
}

static void tell_next(void *opaque)
{
	struct machine *m = opaque;
	/* As the real one: what ends nothing first. */
	static const enum machine_event order[] = {
		MACHINE_EVENT_ALL_VCPUS_RAN, MACHINE_EVENT_DEVICE_NEWS, MACHINE_EVENT_DEVICE_GONE,
		MACHINE_EVENT_CRASHED,	     MACHINE_EVENT_POWEROFF,	MACHINE_EVENT_RESET};

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		const struct error crash = {.code = -EFAULT, .message = "fake crash"};

		if (!(m->events & (1U << order[i])))
			continue;
		m->events &= ~(1U << order[i]);
		if (m->events)
			loop_timer_arm(m->timer, 0, 0);
		m->on_event(m->opaque, order[i], order[i] == MACHINE_EVENT_CRASHED ? &crash : NULL);
		return;
	}
}

void fake_tell(struct machine *m, enum machine_event event)
{
	m->events |= 1U << event;
	loop_timer_arm(m->timer, 0, 0);
}

int machine_build(const struct vm_config *config, struct loop *loop, struct guest_ram *ram,
		  const struct kept_devices *kept, machine_event_fn *on_event, void *opaque,
		  struct machine **ret, struct error *err)
{
	struct machine *m;
	int r = fake_try(FAKE_BUILD, err);

	fake.came_back = kept ? kept->count : 0;
	if (r < 0) {
		guest_ram_free(ram);
		return r;
	}
	m = calloc(1, sizeof(*m));
	assert_non_null(m);
	*m = (struct machine){.config = *config,
			      .ram = ram,
			      .loop = loop,
			      .on_event = on_event,
			      .opaque = opaque,
			      .drained = true};
	assert_int_equal(loop_timer_new(loop, tell_next, m, &m->timer, err), 0);
	fake.machines++;
	fake.machine = m;
	*ret = m;
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	fake.machines--;
	if (fake.machine == m)
		fake.machine = NULL;
	loop_timer_free(m->timer);
	guest_ram_free(m->ram);
	free(m);
}

int machine_boot(struct machine *m, struct error *err)
{
	assert_false(m->running);
	return fake_try(FAKE_BOOT, err);
}

static int load(void *obj, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
		struct error *err)
{
	uint64_t value = state_get_u64(r, "value");
	int ret = state_reader_done(r, err);

	if (ret == 0 && mode == STATE_APPLY)
		((struct machine *)obj)->reg = value;
	return ret;
}

static int save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	state_put_u64(w, "value", ((const struct machine *)obj)->reg);
	return 0;
}

static const struct state_ops ops = {
	.name = "register", .version = 1, .min_version = 1, .save = save, .load = load};

int machine_load(struct machine *m, const struct state_blob *blob, enum state_mode mode,
		 struct error *err)
{
	static const char *const others[] = {MACHINE_STATE_OTHERS, NULL};
	const struct state_object object = {.ops = &ops, .obj = m};
	int r = fake_try(mode == STATE_CHECK ? FAKE_CHECK : FAKE_APPLY, err);

	assert_false(m->running);
	assert_true(m->drained);
	if (r == 0)
		r = state_load_objects(&object, 1, blob, others, mode, err);
	if (r == 0 && mode == STATE_APPLY)
		m->kept = true;
	return r;
}

int machine_save(struct machine *m, struct state_writer *w, struct error *err)
{
	const struct state_object object = {.ops = &ops, .obj = m};
	int r = fake_try(FAKE_SAVE, err);

	assert_false(m->running);
	assert_true(m->drained);
	return r < 0 ? r : state_save_objects(&object, 1, w, err);
}

size_t machine_state_size_max(const struct machine *m _unused_)
{
	return 4096;
}

int machine_can_preserve(struct machine *m _unused_, struct error *err)
{
	return fake_try(FAKE_CAN_PRESERVE, err);
}

int machine_start(struct machine *m, struct error *err)
{
	int r = fake_try(FAKE_START, err);

	if (r < 0)
		return r;
	m->running = true;
	machine_undrain(m);
	if (fake.crashes)
		fake_tell(m, MACHINE_EVENT_CRASHED);
	else if (!fake.silent)
		fake_tell(m, MACHINE_EVENT_ALL_VCPUS_RAN);
	return 0;
}

int machine_pause(struct machine *m, unsigned int timeout_ms _unused_, struct error *err)
{
	int r = fake_try(FAKE_PAUSE, err);

	if (r < 0)
		return r;
	if (fake.resets_in_pause)
		fake_tell(m, MACHINE_EVENT_RESET);
	m->running = false;
	return 0;
}

int machine_drain(struct machine *m, unsigned int timeout_ms _unused_, struct error *err)
{
	int r = fake_try(FAKE_DRAIN, err);

	assert_false(m->running);
	m->drained = r == 0;
	return r;
}

void machine_undrain(struct machine *m)
{
	fake.undrains += m->drained;
	m->drained = false;
}

bool machine_is_drained(const struct machine *m)
{
	return m->drained;
}

bool machine_is_running(const struct machine *m)
{
	return m->running;
}

int machine_resumed(struct machine *m, struct error *err)
{
	assert_false(m->running);
	return fake_try(FAKE_RESUMED, err);
}

int machine_plug(struct machine *m, const struct vm_config *config, struct error *err)
{
	int r = fake_try(FAKE_PLUG, err);

	if (r == 0)
		m->config = *config;
	return r;
}

int machine_request_unplug(struct machine *m, const char *device, struct error *err)
{
	int r = fake_try(FAKE_UNPLUG, err);

	if (r == 0 && vm_config_has_device(&m->config, device) <= 0)
		return error_set(err, -ENOENT, "no %s", device);
	return r;
}

void machine_give_up(struct machine *m)
{
	fake.gives_up++;
	for (unsigned int i = 0; i < m->config.device_count; i++)
		m->config.devices[i].asked =
			!m->config.devices[i].away && !m->config.devices[i].kept;
}

void machine_take_back(struct machine *m, bool updated)
{
	fake.takes_back++;
	for (unsigned int i = m->config.device_count; i-- > 0;) {
		if (updated && m->config.devices[i].policy == VFIO_PCI_DETACH)
			vm_config_forget_device(&m->config, m->config.devices[i].id);
		else
			m->config.devices[i].away = m->config.devices[i].asked = false;
	}
}

int machine_keep_devices(struct machine *m, bool all, struct kept_devices *ret, struct error *err)
{
	int r = fake_try(FAKE_KEEP, err);

	kept_devices_init(ret);
	for (unsigned int i = 0; i < m->config.device_count && r == 0; i++) {
		struct vfio_pci_config *device = &m->config.devices[i];

		device->kept = !device->away && (all || device->policy == VFIO_PCI_PRESERVE);
		if (!device->kept)
			continue;
		r = kept_devices_set_space(ret, passthrough_space_of(device), m->ram->region.fd,
					   FAKE_IOAS, err);
		if (r == 0)
			r = kept_devices_add(ret, device->slot, device->id, m->ram->region.fd, err);
	}
	return r;
}

void machine_unkeep_devices(struct machine *m)
{
	for (unsigned int i = 0; i < m->config.device_count; i++)
		m->config.devices[i].kept = false;
}

void machine_hand_over(struct machine *m _unused_, bool over)
{
	fake.handed_over = over;
}

void fake_forget_device(struct machine *m, const char *id)
{
	vm_config_forget_device(&m->config, id);
}

void fake_tell_news(struct machine *m, const struct device_news *news)
{
	assert_true(m->news_count < ARRAY_SIZE(m->news));
	m->news[m->news_count++] = *news;
	fake_tell(m, MACHINE_EVENT_DEVICE_NEWS);
}

bool machine_take_news(struct machine *m, struct device_news *ret)
{
	if (m->news_count == 0)
		return false;
	*ret = m->news[0];
	memmove(m->news, m->news + 1, --m->news_count * sizeof(*m->news));
	return true;
}

void fake_give_up_device(struct machine *m)
{
	for (unsigned int i = 0; i < m->config.device_count; i++) {
		if (!m->config.devices[i].asked)
			continue;
		m->config.devices[i].asked = false;
		m->config.devices[i].away = true;
		break;
	}
	fake_tell(m, MACHINE_EVENT_DEVICE_GONE);
}

int machine_resize_disk(struct machine *m _unused_, const char *id, uint64_t size _unused_,
			struct error *err)
{
	return error_set(err, -ENOENT, "no disk %s", id);
}

/* There is one region, which grows. */
int machine_resize_memory(struct machine *m, uint64_t size, struct error *err)
{
	struct guest_memory_region *region = &m->ram->region;
	struct ram_growth *growth = &m->config.growth;

	if (size < region->size || size - region->size > growth->max - ram_growth_sum(growth))
		return error_set(err, -ERANGE, "that cannot be");
	growth->sizes[growth->count++] = size - region->size;
	assert_int_equal(ftruncate(region->fd, (off_t)size), 0);
	region->hva = mremap(region->hva, region->size, size, MREMAP_MAYMOVE);
	assert_ptr_not_equal(region->hva, MAP_FAILED);
	region->size = size;
	return 0;
}

int machine_resize_balloon(struct machine *m, uint64_t size, struct error *err)
{
	if (!m->config.balloon.on)
		return error_set(err, -ENOENT, "no balloon");
	m->config.balloon.size = size;
	return 0;
}

json_t *machine_balloon_statistics(struct machine *m)
{
	return m->config.balloon.on ? json_pack("{sI}", "size", (json_int_t)m->config.balloon.size)
				    : NULL;
}

void machine_keep_memory(struct machine *m, bool keep)
{
	/* Not before we have given up the last preserved file; luod may still have its duplicate.
	 */
	if (!keep && !m->config.agent[0])
		assert_false(fake_session_open(LUO_VM_SESSION_PREFIX FAKE_ID));
	m->kept = keep;
	if (!keep)
		machine_hand_over(m, false);
}

bool machine_memory_is_kept(const struct machine *m)
{
	return m->kept;
}

json_t *machine_counters(const struct machine *m _unused_)
{
	return json_object();
}

void fake_give_back_rng(struct machine *m)
{
	m->config.rng = (struct rng_config){0};
}

void machine_power_button(struct machine *m _unused_)
{
	fake.power_button++;
}

struct guest_ram *machine_ram(struct machine *m)
{
	return m->ram;
}

const struct vm_config *machine_config(const struct machine *m)
{
	return &m->config;
}

uint32_t machine_tsc_khz(const struct machine *m _unused_)
{
	return 1000;
}

const char *machine_console(const struct machine *m _unused_)
{
	return "fake";
}

const char *machine_hvc(const struct machine *m)
{
	return m->config.hvc.mode == CONSOLE_OFF ? NULL : "fake-hvc";
}

void fake_set_register(struct machine *m, uint64_t value)
{
	m->reg = value;
}

uint64_t fake_register(const struct machine *m)
{
	return m->reg;
}
