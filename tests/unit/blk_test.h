/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the block device share: a disk on an image file, a driver that sends requests
 * (virtio 1.2, 5.2, restated here), and a backend that does its operations when it is told to.
 */
#ifndef HOLDFAST_TESTS_UNIT_BLK_TEST_H
#define HOLDFAST_TESTS_UNIT_BLK_TEST_H

#include "devices/virtio/blk/blk_impl.h"
#include "tests/unit/virtio_driver.h"

#define SPEC_BLK_ID 2

#define SPEC_F_SEG_MAX	    (1ULL << 2)
#define SPEC_F_RO	    (1ULL << 5)
#define SPEC_F_BLK_SIZE	    (1ULL << 6)
#define SPEC_F_FLUSH	    (1ULL << 9)
#define SPEC_F_TOPOLOGY	    (1ULL << 10)
#define SPEC_F_CONFIG_WCE   (1ULL << 11)
#define SPEC_F_MQ	    (1ULL << 12)
#define SPEC_F_DISCARD	    (1ULL << 13)
#define SPEC_F_WRITE_ZEROES (1ULL << 14)

#define SPEC_T_IN	    0
#define SPEC_T_OUT	    1
#define SPEC_T_FLUSH	    4
#define SPEC_T_GET_ID	    8
#define SPEC_T_DISCARD	    11
#define SPEC_T_WRITE_ZEROES 13

#define SPEC_S_OK     0
#define SPEC_S_IOERR  1
#define SPEC_S_UNSUPP 2

#define SPEC_SECTOR 512

/* struct virtio_blk_config: 5.2.4. */
#define SPEC_CFG_CAPACITY	  0
#define SPEC_CFG_SEG_MAX	  12
#define SPEC_CFG_BLK_SIZE	  20
#define SPEC_CFG_WRITEBACK	  32
#define SPEC_CFG_NUM_QUEUES	  34
#define SPEC_CFG_MAX_DISCARD	  36
#define SPEC_CFG_MAX_DISCARD_SEG  40
#define SPEC_CFG_MAX_ZEROES	  48
#define SPEC_CFG_MAX_ZEROES_SEG	  52
#define SPEC_CFG_ZEROES_MAY_UNMAP 56

#define BLK_TEST_SECTORS  256U
#define BLK_TEST_SIZE	  (BLK_TEST_SECTORS * SPEC_SECTOR)
#define BLK_TEST_DATA	  0x20000U /* bytes of guest memory for data */
#define BLK_TEST_REQUESTS 64	   /* with a header and a status of their own */
#define BLK_TEST_NOTHING  0xee	   /* a status that was not written */

/* A backend in the test's hands: nothing is done before blk_test_finish(). */
struct slow_backend {
	struct blk_backend b;
	struct blk_io *held, **last;
	unsigned int count;	/* held now */
	unsigned int submitted; /* ever */
	bool started;
	bool lost; /* what is held fails undone: the host went away under it */
};

struct blk_test {
	struct fake_machine machine;
	struct loop *loop;
	struct virtio_blk_config config;
	char folder[32]; /* of the image */
	struct virtio_blk *blk;
	struct virtio_pci *v;
	struct virtio_driver d;
	uint64_t data, headers, statuses; /* guest addresses */
	unsigned int next;		  /* request slot */
	uint16_t ring_size;		  /* that the driver chooses */
	bool indirect;
};

extern struct slow_backend *blk_test_slow; /* the newest one */
blk_backend_new_fn blk_test_slow_new;

/* An image of BLK_TEST_SECTORS sectors, each filled with its number's bytes; config may be changed
 * before the device is made. */
void blk_test_image(struct blk_test *t);
/* make: NULL: as virtio_blk_new() would. */
void blk_test_device(struct blk_test *t, blk_backend_new_fn *make);
/* Image, device, driver with these features (what is not offered is left out). */
void blk_test_start(struct blk_test *t, blk_backend_new_fn *make, uint64_t features);
void blk_test_end(struct blk_test *t);
/* The driver begins with the device that is there. */
void blk_test_drive(struct blk_test *t, uint64_t features);

/* Sends one request on a queue: data at t->data + offset, size bytes. Returns its slot. */
unsigned int blk_test_send(struct blk_test *t, unsigned int queue, uint32_t type, uint64_t sector,
			   uint64_t offset, uint32_t size);
uint8_t blk_test_status(struct blk_test *t, unsigned int slot);
uint8_t *blk_test_data(struct blk_test *t, uint64_t offset);
/* The next buffer that comes back, waiting for it: its length. */
uint32_t blk_test_used(struct blk_test *t, unsigned int queue);
/* Nothing has come back. */
void blk_test_none_used(struct blk_test *t, unsigned int queue);
/* Sends one on queue 0 and waits: its status; length as the device said. */
uint8_t blk_test_do(struct blk_test *t, uint32_t type, uint64_t sector, uint64_t offset,
		    uint32_t size, uint32_t *ret_len);
/* Writes discard or write zeroes ranges at t->data: pairs of sector and count, and flags. */
struct blk_test_range {
	uint64_t sector;
	uint32_t count, flags;
};
uint8_t blk_test_ranges(struct blk_test *t, uint32_t type, const struct blk_test_range *ranges,
			unsigned int count);
/* Slow backend: does up to n of the held operations, oldest first. */
void blk_test_finish(unsigned int n);
/* What the file has. */
void blk_test_read_image(struct blk_test *t, uint64_t offset, void *buf, size_t size);
/* What a sector is filled with at first. */
uint8_t blk_test_fill(uint64_t sector);
uint32_t blk_test_config(struct blk_test *t, unsigned int offset, unsigned int size);

#endif
