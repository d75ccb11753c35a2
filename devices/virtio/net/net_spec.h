/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of virtio 1.2, 5.1. */
#ifndef HOLDFAST_DEVICES_VIRTIO_NET_NET_SPEC_H
#define HOLDFAST_DEVICES_VIRTIO_NET_NET_SPEC_H

#define NET_DEVICE_ID	   1
#define NET_CLASS_ETHERNET 0x020000

/* 5.1.3 */
#define NET_F_CSUM		  (1ULL << 0)
#define NET_F_GUEST_CSUM	  (1ULL << 1)
#define NET_F_CTRL_GUEST_OFFLOADS (1ULL << 2)
#define NET_F_MTU		  (1ULL << 3)
#define NET_F_MAC		  (1ULL << 5)
#define NET_F_GUEST_TSO4	  (1ULL << 7)
#define NET_F_GUEST_TSO6	  (1ULL << 8)
#define NET_F_GUEST_ECN		  (1ULL << 9)
#define NET_F_GUEST_UFO		  (1ULL << 10)
#define NET_F_HOST_TSO4		  (1ULL << 11)
#define NET_F_HOST_TSO6		  (1ULL << 12)
#define NET_F_HOST_ECN		  (1ULL << 13)
#define NET_F_HOST_UFO		  (1ULL << 14)
#define NET_F_MRG_RXBUF		  (1ULL << 15)
#define NET_F_STATUS		  (1ULL << 16)
#define NET_F_CTRL_VQ		  (1ULL << 17)
#define NET_F_CTRL_RX		  (1ULL << 18)
#define NET_F_CTRL_VLAN		  (1ULL << 19)
#define NET_F_GUEST_ANNOUNCE	  (1ULL << 21)
#define NET_F_MQ		  (1ULL << 22)
#define NET_F_CTRL_MAC_ADDR	  (1ULL << 23)

/* What a driver takes of segments and checksums; the bits of 5.1.6.5.6.1, too. */
#define NET_GUEST_OFFLOADS \
	(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN)

/* 5.1.4: offsets in the configuration space, and its size without what is not offered. */
#define NET_C_MAC	0
#define NET_C_STATUS	6
#define NET_C_MAX_PAIRS 8
#define NET_C_MTU	10
#define NET_CONFIG_SIZE 12
#define NET_S_LINK_UP	1U
#define NET_S_ANNOUNCE	2U

/* 5.1.6: the header of each frame. */
#define NET_H_FLAGS	  0
#define NET_H_GSO_TYPE	  1
#define NET_H_NUM_BUFFERS 10
#define NET_H_SIZE	  12
#define NET_H_NEEDS_CSUM  1U
#define NET_H_DATA_VALID  2U
#define NET_GSO_NONE	  0U
#define NET_GSO_TCPV4	  1U
#define NET_GSO_TCPV6	  4U
#define NET_GSO_ECN	  0x80U

/* 5.1.6.5: commands of the control queue, class and number. */
#define NET_CTRL_HEADER_SIZE	 2
#define NET_CTRL_OK		 0
#define NET_CTRL_ERR		 1
#define NET_CTRL_RX		 0
#define NET_CTRL_RX_PROMISC	 0
#define NET_CTRL_RX_ALLMULTI	 1
#define NET_CTRL_MAC		 1
#define NET_CTRL_MAC_TABLE_SET	 0
#define NET_CTRL_MAC_ADDR_SET	 1
#define NET_CTRL_ANNOUNCE	 3
#define NET_CTRL_ANNOUNCE_ACK	 0
#define NET_CTRL_MQ		 4
#define NET_CTRL_MQ_PAIRS_SET	 0
#define NET_CTRL_GUEST_OFFLOADS	 5
#define NET_CTRL_OFFLOADS_SET	 0
#define NET_CTRL_MAC_TABLE_COUNT 4 /* le32 in front of each table */

/* Ethernet (IEEE 802.3, 3): header, and one with a tag of a virtual LAN. */
#define ETHERNET_HEADER	    14U
#define ETHERNET_HEADER_MAX 18U
/* An IP packet of the largest size that segmentation is asked for, in its frame. */
#define NET_FRAME_MAX (65535U + ETHERNET_HEADER_MAX)

#endif
