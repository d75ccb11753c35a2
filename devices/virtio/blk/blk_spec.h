/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of virtio 1.2, 5.2. */
#ifndef HOLDFAST_DEVICES_VIRTIO_BLK_BLK_SPEC_H
#define HOLDFAST_DEVICES_VIRTIO_BLK_BLK_SPEC_H

#define BLK_DEVICE_ID	  2
#define BLK_CLASS_STORAGE 0x018000 /* mass storage controller, other */

/* 5.2.3 */
#define BLK_F_SEG_MAX	   (1ULL << 2)
#define BLK_F_RO	   (1ULL << 5)
#define BLK_F_BLK_SIZE	   (1ULL << 6)
#define BLK_F_FLUSH	   (1ULL << 9)
#define BLK_F_TOPOLOGY	   (1ULL << 10)
#define BLK_F_CONFIG_WCE   (1ULL << 11)
#define BLK_F_MQ	   (1ULL << 12)
#define BLK_F_DISCARD	   (1ULL << 13)
#define BLK_F_WRITE_ZEROES (1ULL << 14)

/* 5.2.4: offsets in the configuration space, and its size without what is not offered. */
#define BLK_C_CAPACITY		  0
#define BLK_C_SEG_MAX		  12
#define BLK_C_BLK_SIZE		  20
#define BLK_C_PHYSICAL_BLOCK_EXP  24
#define BLK_C_ALIGNMENT_OFFSET	  25
#define BLK_C_MIN_IO_SIZE	  26
#define BLK_C_OPT_IO_SIZE	  28
#define BLK_C_WRITEBACK		  32
#define BLK_C_NUM_QUEUES	  34
#define BLK_C_MAX_DISCARD_SECTORS 36
#define BLK_C_MAX_DISCARD_SEG	  40
#define BLK_C_DISCARD_ALIGNMENT	  44
#define BLK_C_MAX_ZEROES_SECTORS  48
#define BLK_C_MAX_ZEROES_SEG	  52
#define BLK_C_ZEROES_MAY_UNMAP	  56
#define BLK_CONFIG_SIZE		  60

/* 5.2.6 */
#define BLK_HEADER_SIZE	   16 /* le32 type, le32 reserved, le64 sector */
#define BLK_RANGE_SIZE	   16 /* le64 sector, le32 num_sectors, le32 flags */
#define BLK_RANGE_UNMAP	   1U
#define BLK_ID_SIZE	   20
#define BLK_T_IN	   0
#define BLK_T_OUT	   1
#define BLK_T_FLUSH	   4
#define BLK_T_GET_ID	   8
#define BLK_T_DISCARD	   11
#define BLK_T_WRITE_ZEROES 13
#define BLK_S_OK	   0
#define BLK_S_IOERR	   1
#define BLK_S_UNSUPP	   2

#endif
