/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel with iommufd and one device of vfio: a folder that looks like /sys and /dev, a file that
 * holds the device's regions, and ioctl() by the linker's --wrap. It answers with any errno, and
 * notes what it was asked. For failure paths, and for what a real device would not show.
 */
#ifndef HOLDFAST_TESTS_UNIT_FAKE_VFIO_H
#define HOLDFAST_TESTS_UNIT_FAKE_VFIO_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_VFIO_ADDRESS   "0000:65:00.0"
#define FAKE_VFIO_VECTORS   64
#define FAKE_VFIO_DEVICE_ID 11 /* in the iommufd */
/* Where regions lie in the device's file. */
#define FAKE_VFIO_OFFSET(index) ((uint64_t)(index) << 24)

struct fake_vfio {
	char root[64];
	int fd; /* the device's file */
	struct {
		uint64_t size;
		bool mappable;
		unsigned int areas; /* of a sparse mmap capability; 0: none */
		struct {
			uint64_t offset, size;
		} area[4];
	} regions[9];
	unsigned int irqs[5]; /* by enum vfio_irq: how many */
	bool no_resize;
	bool can_reset;
	struct {
		unsigned long request; /* 0: none */
		int code;	       /* positive errno */
		unsigned int after;    /* so many of them succeed before */
	} fails;
	/* IOVAs that may be used; all below 2^39 if there are none. */
	unsigned int range_count;
	struct {
		uint64_t start, last;
	} ranges[4];
	/* VFIO migration, version 2. */
	struct {
		bool offered;
		char data[64];	      /* what the device gives out */
		unsigned int size;    /* of that */
		uint64_t said;	      /* how much it says that it will be */
		unsigned int refuses; /* a state that cannot be gone to; 0: none */
		unsigned int state;   /* enum vfio_device_mig_state */
		char states[32];      /* a digit for each that it went to */
		char taken[64];	      /* what it was given */
		int fd;		      /* of the transfer under way; owned */
	} migration;
	bool tracks_dirty;
	bool gives_dmabufs;
	unsigned int dmabufs; /* given out */
	/* What happened. */
	unsigned int maps_by_file, maps_by_address, unmaps, resets;
	uint64_t last_iova, last_length;
	bool bound, attached;
	int vectors[5][FAKE_VFIO_VECTORS]; /* -1: none */
	int unmask_fd;
	unsigned int enables[5]; /* times that a kind went from off to on */
};

extern struct fake_vfio fake_vfio;

/* A device with an MSI capability and one BAR of 1 MiB, as QEMU's edu has. */
void fake_vfio_begin(void);
/* Another such device, as at the beginning. */
void fake_vfio_again(void);
void fake_vfio_end(void);

/* Configuration space of the device. */
void fake_vfio_config_put(unsigned int offset, uint32_t value, unsigned int size);
uint32_t fake_vfio_config_get(unsigned int offset, unsigned int size);

/* sysfs, below root. */
void fake_vfio_folder(const char *path);
void fake_vfio_link(const char *path, const char *target);
void fake_vfio_remove(const char *path);

#endif
