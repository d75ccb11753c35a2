/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pci_fake.h"

#include <poll.h>
#include <sys/eventfd.h>

struct fake_msi *fake_msis[PCI_VECTORS_MAX];

static int msi_alloc(void *opaque, void **ret_msi, struct error *err)
{
	struct fake_machine *m = opaque;
	struct fake_msi *msi;

	if (m->refuse_msi)
		return error_set(err, -ENOSPC, "no vector left");
	msi = calloc(1, sizeof(*msi));
	assert_non_null(msi);
	msi->machine = m;
	msi->masked = true;
	msi->eventfd = FD_NONE;
	for (unsigned int i = 0; i < PCI_VECTORS_MAX; i++) {
		if (!fake_msis[i]) {
			fake_msis[i] = msi;
			break;
		}
	}
	m->msi_count++;
	*ret_msi = msi;
	return 0;
}

static int msi_set(void *opaque, void *p, uint64_t address, uint32_t data, bool masked,
		   struct error *err)
{
	struct fake_machine *m = opaque;
	struct fake_msi *msi = p;
	uint64_t value;

	if (m->refuse_msi)
		return error_set(err, -EINVAL, "refused");
	msi->address = address;
	msi->data = data;
	msi->masked = masked;
	/* As KVM does with an irqfd that is readable when it is assigned. */
	if (!masked && msi->eventfd >= 0 && read(msi->eventfd, &value, sizeof(value)) > 0)
		atomic_fetch_add(&msi->fired, 1);
	return 0;
}

static void msi_fire(void *opaque _unused_, void *p)
{
	struct fake_msi *msi = p;

	if (msi->masked)
		abort();
	atomic_fetch_add(&msi->fired, 1);
}

static int msi_eventfd(void *opaque _unused_, void *p, struct error *err _unused_)
{
	struct fake_msi *msi = p;

	if (msi->eventfd < 0)
		msi->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return msi->eventfd;
}

static bool msi_pending(void *opaque _unused_, void *p)
{
	struct fake_msi *msi = p;
	struct pollfd pfd = {.fd = msi->eventfd, .events = POLLIN};

	return msi->eventfd >= 0 && poll(&pfd, 1, 0) > 0;
}

static void msi_free(void *opaque, void *p)
{
	struct fake_machine *m = opaque;
	struct fake_msi *msi = p;

	for (unsigned int i = 0; i < PCI_VECTORS_MAX; i++) {
		if (fake_msis[i] == msi)
			fake_msis[i] = NULL;
	}
	close_fdp(&msi->eventfd);
	free(msi);
	m->msi_count--;
}

static const struct msi_ops fake_msi_ops = {.alloc = msi_alloc,
					    .set = msi_set,
					    .fire = msi_fire,
					    .eventfd = msi_eventfd,
					    .pending = msi_pending,
					    .free = msi_free};

static int bell_add(void *opaque, uint64_t gpa, unsigned int size, int eventfd, struct error *err)
{
	struct fake_machine *m = opaque;

	if (m->bell_count == FAKE_BELLS_MAX)
		return error_set(err, -ENOSPC, "no doorbell left");
	m->bells[m->bell_count++] = (struct fake_bell){gpa, size, eventfd};
	return 0;
}

static void bell_remove(void *opaque, uint64_t gpa, unsigned int size, int eventfd)
{
	struct fake_machine *m = opaque;

	for (unsigned int i = 0; i < m->bell_count; i++) {
		const struct fake_bell *b = &m->bells[i];

		if (b->gpa != gpa || b->size != size || b->eventfd != eventfd)
			continue;
		m->bells[i] = m->bells[--m->bell_count];
		return;
	}
	abort();
}

static const struct doorbell_ops fake_doorbell_ops = {.add = bell_add, .remove = bell_remove};

static int map_bar(void *opaque, bool io_space, uint64_t base, uint64_t size,
		   const struct io_ops *ops, void *ops_opaque, struct error *err)
{
	struct fake_machine *m = opaque;

	if (m->refuse_map || m->bar_count == FAKE_BARS_MAX)
		return error_set(err, -EEXIST, "no room");
	m->bars[m->bar_count++] = (struct fake_bar){io_space, base, size, ops, ops_opaque};
	return 0;
}

static void unmap_bar(void *opaque, bool io_space, uint64_t base)
{
	struct fake_machine *m = opaque;

	for (unsigned int i = 0; i < m->bar_count; i++) {
		if (m->bars[i].base != base || m->bars[i].io_space != io_space)
			continue;
		m->bars[i] = m->bars[--m->bar_count];
		return;
	}
	abort();
}

static void *ram_ptr(void *opaque, uint64_t gpa, uint64_t len)
{
	struct fake_machine *m = opaque;

	if (len == 0 || gpa < FAKE_RAM_BASE || gpa - FAKE_RAM_BASE >= FAKE_RAM_SIZE ||
	    len > FAKE_RAM_SIZE - (gpa - FAKE_RAM_BASE))
		return NULL;
	return &m->ram[gpa - FAKE_RAM_BASE];
}

static int map_memory(void *opaque, uint64_t gpa, uint64_t size, void *memory, struct error *err)
{
	struct fake_machine *m = opaque;

	if (m->refuse_memory || m->memory_count == FAKE_BARS_MAX)
		return error_set(err, -ENOSPC, "no slot left");
	/* As KVM has it. */
	assert_int_equal(gpa % 4096, 0);
	assert_int_equal(size % 4096, 0);
	assert_non_null(memory);
	m->memory[m->memory_count++] = (struct fake_memory){gpa, size, memory};
	return 0;
}

static void unmap_memory(void *opaque, uint64_t gpa)
{
	struct fake_machine *m = opaque;

	for (unsigned int i = 0; i < m->memory_count; i++) {
		if (m->memory[i].gpa != gpa)
			continue;
		m->memory[i] = m->memory[--m->memory_count];
		return;
	}
	abort();
}

static int intx_assign(void *opaque, int trigger, int resample, struct error *err)
{
	struct fake_machine *m = opaque;

	if (m->refuse_intx)
		return error_set(err, -EBUSY, "no irqfd");
	assert_true(m->intx_trigger < 0);
	m->intx_trigger = trigger;
	m->intx_resample = resample;
	return 0;
}

static void intx_remove(void *opaque, int trigger)
{
	struct fake_machine *m = opaque;

	assert_int_equal(m->intx_trigger, trigger);
	m->intx_trigger = m->intx_resample = FD_NONE;
}

static const struct intx_fd_ops fake_intx_fd_ops = {.assign = intx_assign, .remove = intx_remove};

void fake_machine_offer_fds(struct fake_machine *m)
{
	m->attach.map_memory = map_memory;
	m->attach.unmap_memory = unmap_memory;
	m->attach.intx_fds = &fake_intx_fd_ops;
	m->attach.intx_fd_opaque = m;
}

void fake_machine_init(struct fake_machine *m)
{
	memset(m, 0, sizeof(*m));
	m->intx_trigger = m->intx_resample = FD_NONE;
	m->attach = (struct pci_attach){.memory = {ram_ptr, m},
					.intx = fake_line_of(&m->line),
					.msi = &fake_msi_ops,
					.msi_opaque = m,
					.doorbells = &fake_doorbell_ops,
					.doorbell_opaque = m,
					.map_bar = map_bar,
					.unmap_bar = unmap_bar,
					.bar_opaque = m};
}

void fake_machine_check_empty(const struct fake_machine *m)
{
	assert_int_equal(m->bar_count, 0);
	assert_int_equal(m->bell_count, 0);
	assert_int_equal(m->msi_count, 0);
	assert_int_equal(m->memory_count, 0);
	assert_true(m->intx_trigger < 0);
	assert_false(m->line.level);
}

static const struct fake_bar *find_bar(const struct fake_machine *m, uint64_t addr)
{
	for (unsigned int i = 0; i < m->bar_count; i++) {
		if (addr >= m->bars[i].base && addr - m->bars[i].base < m->bars[i].size)
			return &m->bars[i];
	}
	return NULL;
}

uint64_t fake_mmio_read(struct fake_machine *m, uint64_t addr, unsigned int size)
{
	const struct fake_bar *bar = find_bar(m, addr);

	return bar ? bar->ops->read(bar->opaque, addr - bar->base, size) : UINT64_MAX;
}

void fake_mmio_write(struct fake_machine *m, uint64_t addr, uint64_t value, unsigned int size)
{
	const struct fake_bar *bar = find_bar(m, addr);
	uint64_t one = 1;

	for (unsigned int i = 0; i < m->bell_count; i++) {
		const struct fake_bell *b = &m->bells[i];

		if (b->gpa == addr && (b->size == 0 || b->size == size)) {
			assert_int_equal(write(b->eventfd, &one, sizeof(one)), sizeof(one));
			return;
		}
	}
	if (bar)
		bar->ops->write(bar->opaque, addr - bar->base, value, size);
}

uint8_t *fake_ram(struct fake_machine *m, uint64_t gpa)
{
	return ram_ptr(m, gpa, 1);
}

struct fake_msi *fake_msi_by_data(struct fake_machine *m, uint32_t data)
{
	for (unsigned int i = 0; i < PCI_VECTORS_MAX; i++) {
		if (fake_msis[i] && fake_msis[i]->machine == m && !fake_msis[i]->masked &&
		    fake_msis[i]->data == data)
			return fake_msis[i];
	}
	return NULL;
}
