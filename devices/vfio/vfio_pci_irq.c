/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: INTx until the guest switches MSI or MSI-X on (PCI 3.0, 6.8.3: one at a time). All of
 * them go from the device to the guest inside the kernel. And the two reports about the device.
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

/* ---- INTx. ---- */

static void intx_off(struct vfio_pci *v)
{
	if (v->intx_trigger < 0)
		return;
	vfio_irq_disable(v->device, VFIO_IRQ_INTX);
	v->attach.intx_fds->remove(v->attach.intx_fd_opaque, v->intx_trigger);
	close_fdp(&v->intx_trigger);
	close_fdp(&v->intx_resample);
}

static int intx_on(struct vfio_pci *v, struct error *err)
{
	int r;

	if (pci_config_peek(v->function, PCI_INTERRUPT_PIN, 1) == 0)
		return 0;
	v->intx_trigger = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->intx_resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->intx_trigger < 0 || v->intx_resample < 0) {
		r = error_sys(err, -errno, "%s: cannot create an eventfd", v->name);
		close_fdp(&v->intx_trigger);
		close_fdp(&v->intx_resample);
		return r;
	}
	r = v->attach.intx_fds->assign(v->attach.intx_fd_opaque, v->intx_trigger, v->intx_resample,
				       err);
	if (r < 0) {
		close_fdp(&v->intx_trigger);
		close_fdp(&v->intx_resample);
		return r;
	}
	r = vfio_irq_set(v->device, VFIO_IRQ_INTX, 0, &v->intx_trigger, 1, err);
	if (r == 0)
		r = vfio_irq_set_unmask(v->device, v->intx_resample, err);
	if (r < 0)
		intx_off(v);
	return r;
}

/* ---- MSI-X. ---- */

static void msix_off(struct vfio_pci *v)
{
	vfio_irq_disable(v->device, VFIO_IRQ_MSIX);
	memset(v->msix_wired, 0, v->msix_vectors * sizeof(*v->msix_wired));
	v->msix_sized = false;
}

/*
 * The first call says how many vectors the host is to have for the device: as few as will do where
 * more can be added, else all.
 */
static int msix_size(struct vfio_pci *v, unsigned int vector, int fd, struct error *err)
{
	bool grows = vfio_irq_grows(v->device, VFIO_IRQ_MSIX);
	unsigned int count = grows ? vector + 1 : v->msix_vectors;
	_cleanup_free_ int *fds = calloc(count, sizeof(*fds));
	int r;

	if (!fds)
		return error_set(err, -ENOMEM, "%s: out of memory", v->name);
	memset(fds, 0xff, count * sizeof(*fds));
	fds[vector] = fd;
	r = vfio_irq_set(v->device, VFIO_IRQ_MSIX, 0, fds, count, err);
	v->msix_sized = r == 0;
	return r;
}

/* Vectors that the guest uses from now on. Those that it masks keep what they have. */
static int msix_update(struct vfio_pci *v, struct error *err)
{
	for (unsigned int i = 0; i < v->msix_vectors; i++) {
		int fd, r;

		if (v->msix_wired[i] || !pci_msix_live(v->function, i))
			continue;
		fd = pci_msix_eventfd(v->function, i, err);
		if (fd < 0)
			return fd;
		r = v->msix_sized ? vfio_irq_set(v->device, VFIO_IRQ_MSIX, i, &fd, 1, err)
				  : msix_size(v, i, fd, err);
		if (r < 0)
			return r;
		v->msix_wired[i] = true;
	}
	return 0;
}

/* ---- Which of them. ---- */

static void switch_off(struct vfio_pci *v)
{
	if (v->mode == IRQ_INTX)
		intx_off(v);
	else if (v->mode == IRQ_MSI)
		vfio_pci_msi_off(v);
	else if (v->mode == IRQ_MSIX)
		msix_off(v);
	v->mode = IRQ_NONE;
}

static int switch_to(struct vfio_pci *v, enum irq_mode mode, struct error *err)
{
	int r = 0;

	switch_off(v);
	if (mode == IRQ_MSIX)
		r = msix_update(v, err);
	else if (mode == IRQ_MSI)
		r = vfio_pci_msi_on(v, err);
	else if (mode == IRQ_INTX)
		r = intx_on(v, err);
	/* MSI-X that is half done goes on when the guest writes its table again. */
	if (r == 0 || mode == IRQ_MSIX)
		v->mode = mode;
	return r;
}

static enum irq_mode wanted_mode(const struct vfio_pci *v)
{
	if (v->msix_vectors && pci_msix_enabled(v->function))
		return IRQ_MSIX;
	return vfio_pci_msi_wanted(v) ? IRQ_MSI : IRQ_INTX;
}

static int update(struct vfio_pci *v, struct error *err)
{
	enum irq_mode mode = wanted_mode(v);

	if (mode != v->mode)
		return switch_to(v, mode, err);
	if (mode == IRQ_MSIX)
		return msix_update(v, err);
	return mode == IRQ_MSI ? vfio_pci_msi_update(v, err) : 0;
}

void vfio_pci_irq_update(struct vfio_pci *v)
{
	struct error err = ERROR_INIT;

	pthread_mutex_lock(&v->irq_lock);
	if (!v->freed && !v->frozen && update(v, &err) < 0)
		log_ratelimited(&v->log, LOG_LEVEL_WARNING, "%s: interrupts do not work: %s",
				v->name, error_message(&err));
	pthread_mutex_unlock(&v->irq_lock);
}

/* ---- Reports. ---- */

static const enum vfio_irq reported[IRQ_EVENTS_MAX] = {
	[VFIO_PCI_EVENT_ERROR] = VFIO_IRQ_ERROR,
	[VFIO_PCI_EVENT_REQUEST] = VFIO_IRQ_REQUEST,
};

static void on_report(void *opaque, uint32_t mask _unused_)
{
	const struct vfio_pci_report *report = opaque;
	uint64_t count;

	if (read(report->fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&report->v->irq_lock);
	report->v->told[report->event]++;
	pthread_mutex_unlock(&report->v->irq_lock);
	if (report->v->event)
		report->v->event(report->v->opaque, report->event);
}

static int enable_report(struct vfio_pci *v, enum vfio_pci_event event, struct error *err)
{
	return vfio_irq_set(v->device, reported[event], 0, &v->reports[event].fd, 1, err);
}

static int start_report(struct vfio_pci *v, enum vfio_pci_event event, struct loop *loop,
			struct error *err)
{
	struct vfio_pci_report *report = &v->reports[event];
	int r;

	report->v = v;
	report->event = event;
	if (vfio_irq_count(v->device, reported[event]) == 0)
		return 0;
	report->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (report->fd < 0)
		return error_sys(err, -errno, "%s: cannot create an eventfd", v->name);
	r = loop_add_fd(loop, report->fd, EPOLLIN, on_report, report, &report->source, err);
	if (r < 0 || v->frozen)
		return r;
	return enable_report(v, event, err);
}

static unsigned int used_vectors(const struct vfio_pci *v)
{
	unsigned int count = 0;

	if (v->mode == IRQ_MSI)
		return v->msi_count;
	if (v->mode == IRQ_INTX)
		return v->intx_trigger >= 0;
	for (unsigned int i = 0; v->mode == IRQ_MSIX && i < v->msix_vectors; i++)
		count += v->msix_wired[i];
	return count;
}

void vfio_pci_get_counters(struct vfio_pci *v, struct vfio_pci_counters *ret)
{
	static const char *const names[] = {
		[IRQ_NONE] = "none", [IRQ_INTX] = "intx", [IRQ_MSI] = "msi", [IRQ_MSIX] = "msi-x"};

	pthread_mutex_lock(&v->irq_lock);
	*ret = (struct vfio_pci_counters){
		.vectors = used_vectors(v),
		.errors = v->told[VFIO_PCI_EVENT_ERROR],
		.requests = v->told[VFIO_PCI_EVENT_REQUEST],
		.can_reset = vfio_device_can_reset(v->device),
		.migrates = vfio_migration_is_offered(v->device),
		.tracks_dirty = vfio_device_tracks_dirty(v->device),
	};
	ret->interrupts = names[ret->vectors ? v->mode : IRQ_NONE];
	pthread_mutex_unlock(&v->irq_lock);
}

/* ---- Through an update. ---- */

void vfio_pci_irq_freeze(struct vfio_pci *v)
{
	pthread_mutex_lock(&v->irq_lock);
	v->frozen = true;
	switch_off(v);
	pthread_mutex_unlock(&v->irq_lock);
	for (unsigned int i = 0; i < IRQ_EVENTS_MAX; i++) {
		if (v->reports[i].fd >= 0)
			vfio_irq_disable(v->device, reported[i]);
	}
}

static void fire_all(struct vfio_pci *v)
{
	uint64_t one = 1;

	if (v->mode == IRQ_MSIX)
		pci_device_resumed(v->function);
	else if (v->mode == IRQ_MSI)
		vfio_pci_msi_fire(v);
	/* Its driver finds nothing to do, if there is nothing. The eventfd is empty and takes it.
	 */
	else if (v->intx_trigger >= 0 && write(v->intx_trigger, &one, sizeof(one)) < 0)
		return;
}

int vfio_pci_irq_thaw(struct vfio_pci *v, struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; i < IRQ_EVENTS_MAX && r == 0; i++) {
		if (v->reports[i].fd >= 0)
			r = enable_report(v, i, err);
	}
	pthread_mutex_lock(&v->irq_lock);
	v->frozen = false;
	if (r == 0)
		r = update(v, err);
	if (r == 0)
		fire_all(v);
	pthread_mutex_unlock(&v->irq_lock);
	return r;
}

int vfio_pci_irq_init(struct vfio_pci *v, struct loop *loop, struct error *err)
{
	int r = 0;

	v->msix_wired = calloc(MAX_OF(v->msix_vectors, 1U), sizeof(*v->msix_wired));
	if (!v->msix_wired)
		return error_set(err, -ENOMEM, "%s: out of memory", v->name);
	for (unsigned int i = 0; i < IRQ_EVENTS_MAX && r == 0; i++)
		r = start_report(v, i, loop, err);
	if (r < 0 || v->frozen)
		return r;
	pthread_mutex_lock(&v->irq_lock);
	r = update(v, err);
	pthread_mutex_unlock(&v->irq_lock);
	return r;
}

void vfio_pci_irq_done(struct vfio_pci *v)
{
	pthread_mutex_lock(&v->irq_lock);
	v->freed = true;
	switch_off(v);
	pthread_mutex_unlock(&v->irq_lock);
	for (unsigned int i = 0; i < IRQ_EVENTS_MAX; i++) {
		loop_remove_fd(v->reports[i].source);
		close_fdp(&v->reports[i].fd);
	}
	free(v->msix_wired);
}
