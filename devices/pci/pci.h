/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions as devices build them: configuration space with write masks, BARs, capabilities,
 * INTx and MSI-X (PCI Local Bus 3.0 chapter 6; PCI Express Base 5.0 chapter 7). What a function
 * needs of the machine comes as struct pci_attach; it knows no bus and no KVM.
 *
 * Locks: configuration accesses (vCPU threads) are serialised by one mutex per function, which is
 * held while BARs are mapped and while the hooks of struct pci_params run. Configuration bytes, the
 * MSI-X table and INTA have a second, inner one: pci_msix_fire(), pci_intx_set() and the other
 * functions marked "any thread" take only that one, so they may be called from everywhere, hooks
 * and register handlers included.
 */
#ifndef HOLDFAST_DEVICES_PCI_PCI_H
#define HOLDFAST_DEVICES_PCI_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/state.h"
#include "devices/attach.h"

#define PCI_CONFIG_SIZE 4096
#define PCI_BAR_COUNT	6
#define PCI_SLOTS_MAX	32   /* bus 0; slot 0 is the host bridge */
#define PCI_VECTORS_MAX 2048 /* MSI-X: Message Control's table size field has 11 bits */

struct pci_device;

/* One message-signalled interrupt of the machine. */
struct msi_ops {
	/* A vector that fires nothing yet: masked. */
	int (*alloc)(void *opaque, void **ret_msi, struct error *err);
	/*
	 * Where it goes: address and data as the guest wrote them into the MSI-X table. While
	 * masked, signals through its eventfd are kept and come when it is unmasked; fire() is not
	 * called. Called under the function's inner mutex.
	 */
	int (*set)(void *opaque, void *msi, uint64_t address, uint32_t data, bool masked,
		   struct error *err);
	/* Any thread, not while masked: fires once, as set() last said. */
	void (*fire)(void *opaque, void *msi);
	/* An eventfd that fires it when written (irqfd), made at the first call: for the kernel's
	 * own signallers (vhost, vfio). Borrowed. */
	int (*eventfd)(void *opaque, void *msi, struct error *err);
	/* A signal came through the eventfd while masked. Any thread. */
	bool (*pending)(void *opaque, void *msi);
	void (*free)(void *opaque, void *msi);
};

/* Doorbells: a write of `size` bytes (0: of any size) to a guest physical address signals an
 * eventfd without leaving the kernel (ioeventfd). */
struct doorbell_ops {
	int (*add)(void *opaque, uint64_t gpa, unsigned int size, int eventfd, struct error *err);
	void (*remove)(void *opaque, uint64_t gpa, unsigned int size, int eventfd);
};

/*
 * INTA by descriptors, for an interrupt that the kernel signals (vfio): trigger raises the slot's
 * line, which stays up until the guest's end of interrupt; then the line goes down and resample is
 * signalled. Beside intx: the line is up while either of them pulls it.
 */
struct intx_fd_ops {
	int (*assign)(void *opaque, int trigger, int resample, struct error *err);
	void (*remove)(void *opaque, int trigger);
};

/* What the machine gives a PCI function. Copied at creation; ops and opaques outlive it. */
struct pci_attach {
	struct guest_memory memory;
	struct irq_line intx; /* INTA of its slot, level: told when it changes */
	const struct msi_ops *msi;
	void *msi_opaque;
	const struct doorbell_ops *doorbells; /* NULL: every write of a doorbell comes as an exit */
	void *doorbell_opaque;
	/*
	 * Puts a BAR's registers into the guest's MMIO or port space, or takes them out; after
	 * unmap_bar() no access is under way. Called when the guest programs the BAR or toggles
	 * decoding (vCPU threads), at load, and when the function is freed. map_bar() refuses what
	 * is no room for BARs: the BAR then answers nothing until it is programmed again.
	 */
	int (*map_bar)(void *opaque, bool io_space, uint64_t base, uint64_t size,
		       const struct io_ops *ops, void *ops_opaque, struct error *err);
	void (*unmap_bar)(void *opaque, bool io_space, uint64_t base);
	/*
	 * Memory of this process in the place of registers: accesses of the guest to size bytes at
	 * gpa, both whole pages inside of a BAR that is mapped, go to `memory` without an exit.
	 * From when unmap_memory() returns, none does. NULL: all accesses come to the registers.
	 */
	int (*map_memory)(void *opaque, uint64_t gpa, uint64_t size, void *memory,
			  struct error *err);
	void (*unmap_memory)(void *opaque, uint64_t gpa);
	void *bar_opaque;
	const struct intx_fd_ops *intx_fds; /* NULL: there is no such way */
	void *intx_fd_opaque;
};

enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_IO,
	PCI_BAR_MEM32,
	PCI_BAR_MEM64, /* takes two BAR registers */
	PCI_BAR_MEM64_PREFETCH,
};

struct pci_bar {
	enum pci_bar_kind kind;
	uint64_t size; /* power of two; memory: at least 4 KiB, I/O: 4 to 256 */
	const struct io_ops *ops;
	void *opaque; /* of ops and moved */
	/* After the BAR was mapped at a guest address (0: it is unmapped): doorbells follow it. May
	 * be NULL. */
	void (*moved)(void *opaque, uint64_t base);
};

struct pci_params {
	const char *name; /* "virtio-blk": for messages; borrowed for the function's life */
	uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	uint8_t interrupt_pin; /* 0: none, 1: INTA */
	struct pci_bar bars[PCI_BAR_COUNT];
	/* The expansion ROM: kind PCI_BAR_MEM32, or none. Its register has an enable bit of its own
	 * (6.2.5.2). moved is not told. */
	struct pci_bar rom;
	/*
	 * MSI-X: 0 vectors: none. Table and PBA lie in BAR msix_bar: one of kind PCI_BAR_NONE is
	 * made here (MEM32, table at 0, PBA behind it); else it is the device's own, whose ops get
	 * no access to the table (at msix_table_offset) and the PBA (at msix_pba_offset, 8 bytes
	 * aligned).
	 */
	unsigned int msix_vectors;
	unsigned int msix_bar;
	uint32_t msix_table_offset, msix_pba_offset;
	unsigned int msix_cap; /* offset of its capability; 0: the first that is free */
	/* The guest wrote the MSI-X table. vCPU threads, no lock held. May be NULL. */
	void (*msix_table_written)(void *opaque);
	/* The guest wrote bytes that no hook covers, and they are in place. Configuration mutex
	 * held. May be NULL. */
	void (*config_written)(void *opaque, unsigned int offset, unsigned int size);
	/* The guest wrote the command register: its value. Configuration mutex held. May be NULL.
	 */
	void (*command_changed)(void *opaque, uint16_t command);
	/* The guest wrote MSI-X's Message Control: it may have been switched on or off. Under the
	 * same rules. */
	void (*msix_changed)(void *opaque);
	void *opaque;
};

int pci_device_new(const struct pci_params *params, const struct pci_attach *attach,
		   struct pci_device **ret, struct error *err);
/* Unmaps its BARs (moved() is told) and frees its vectors. Off the bus already. NULL is fine. */
void pci_device_free(struct pci_device *dev);
/* The first half of that: BARs are unmapped, no register access is under way, none will come. */
void pci_device_unplug(struct pci_device *dev);
const char *pci_device_name(const struct pci_device *dev);

/*
 * Adds a capability: id, then len bytes from the one after "next" on (data); write_mask (NULL: all
 * read-only) has a bit for each that the guest may write. Returns its offset, -ENOSPC. Before the
 * guest runs.
 */
int pci_add_capability(struct pci_device *dev, uint8_t id, const void *data, size_t len,
		       const void *write_mask, struct error *err);
/* The same at an offset of the caller's choice, a multiple of 4 from 0x40 on, where nothing is. */
int pci_add_capability_at(struct pci_device *dev, unsigned int at, uint8_t id, const void *data,
			  size_t len, const void *write_mask, struct error *err);

/*
 * A range of configuration space that is the device's own: accesses that touch it come here whole,
 * as the guest made them (offset from the start of configuration space), with the configuration
 * mutex held. One per function. covers (NULL: all of them) says of an access in the range whether
 * it is one of those; no lock is held.
 */
struct pci_config_hook {
	unsigned int offset, size;
	uint32_t (*read)(void *opaque, unsigned int offset, unsigned int size);
	void (*write)(void *opaque, unsigned int offset, uint32_t value, unsigned int size);
	void *opaque;
	bool (*covers)(void *opaque, unsigned int offset, unsigned int size);
};
void pci_set_config_hook(struct pci_device *dev, const struct pci_config_hook *hook);
/* The bytes under a hook, or any others, past all hooks and masks; size 1, 2 or 4. Any thread. */
uint32_t pci_config_peek(const struct pci_device *dev, unsigned int offset, unsigned int size);
void pci_config_poke(struct pci_device *dev, unsigned int offset, uint32_t value,
		     unsigned int size);

/* Configuration space accesses by the guest: size 1, 2 or 4, naturally aligned, offset < 4096. */
uint32_t pci_config_read(struct pci_device *dev, unsigned int offset, unsigned int size);
void pci_config_write(struct pci_device *dev, unsigned int offset, uint32_t value,
		      unsigned int size);

/* Any thread. Fires MSI-X vector, or holds it pending while masked. MSI-X not enabled or no such
 * vector: does nothing, returns false. */
bool pci_msix_fire(struct pci_device *dev, unsigned int vector);
bool pci_msix_enabled(struct pci_device *dev);
/* MSI-X is on, and the vector masked by nothing: what its eventfd signals reaches the guest. */
bool pci_msix_live(struct pci_device *dev, unsigned int vector);
/* eventfd of a vector for the kernel's own signallers; borrowed, the same for the function's life.
 * Masks hold its signals back as they do pci_msix_fire(). */
int pci_msix_eventfd(struct pci_device *dev, unsigned int vector, struct error *err);
/* Any thread. Level of INTA, gated by the command register's Interrupt Disable and by MSI-X, and
 * reported in the status register. */
void pci_intx_set(struct pci_device *dev, bool level);
/* Any thread. Bus mastering on (command register): without it a device must not touch guest memory.
 */
bool pci_bus_master(struct pci_device *dev);

/* Guest address of a BAR as it is mapped now; 0: it is not. */
uint64_t pci_bar_address(struct pci_device *dev, unsigned int bar);
/* The BARs' kinds and sizes, MSI-X's own included: for whoever places them. */
void pci_bar_info(const struct pci_device *dev, unsigned int bar, enum pci_bar_kind *ret_kind,
		  uint64_t *ret_size);

/* Configuration space, BARs, MSI-X table and PBA: the part of a device's state that every PCI
 * function has: node "pci" inside the device's, which is open (r). Loading maps BARs and programs
 * vectors. */
void pci_device_save(const struct pci_device *dev, struct state_writer *w);
int pci_device_load(struct pci_device *dev, struct state_reader *r, enum state_mode mode,
		    struct error *err);
/* After a resume: fires every vector that the guest has enabled once, because a signal may have
 * been lost on its way through the kernel. */
void pci_device_resumed(struct pci_device *dev);

#endif
