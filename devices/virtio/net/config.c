/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "devices/option_text.h"

#define RX_LIMITS "rx_rate_limiter_config"
#define TX_LIMITS "tx_rate_limiter_config"

/* First octet of an address: IEEE 802, 8.4. */
#define MAC_GROUP 1U
#define MAC_LOCAL 2U

static const struct option_key keys[] = {
	{"id", OPTION_TEXT, NULL, NULL, NULL},	      {"tap", OPTION_TEXT, NULL, NULL, NULL},
	{"fd", OPTION_NUMBERS, NULL, NULL, NULL},     {"bridge", OPTION_TEXT, NULL, NULL, NULL},
	{"mac", OPTION_TEXT, NULL, NULL, NULL},	      {"mtu", OPTION_NUMBER, NULL, NULL, NULL},
	{"queues", OPTION_NUMBER, NULL, NULL, NULL},  {"size", OPTION_NUMBER, NULL, NULL, NULL},
	{"offload", OPTION_SWITCH, NULL, NULL, NULL}, {"slot", OPTION_NUMBER, NULL, NULL, NULL},
	{"vhost", OPTION_SWITCH, NULL, NULL, NULL},   OPTION_KEYS_RATE_LIMITS("rx_", RX_LIMITS),
	OPTION_KEYS_RATE_LIMITS("tx_", TX_LIMITS),
};
static const struct option_keys options = {keys, ARRAY_SIZE(keys)};

void virtio_net_config_init(struct virtio_net_config *config)
{
	*config = (struct virtio_net_config){
		.queues = 1, .queue_size = NET_QUEUE_SIZE_DEFAULT, .offload = true};
}

/* ---- Addresses. ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int net_mac_parse(const char *text, uint8_t mac[NET_MAC_SIZE])
{
	uint8_t all = 0;

	if (strlen(text) != NET_MAC_TEXT_SIZE - 1)
		return -EINVAL;
	for (unsigned int i = 0; i < NET_MAC_SIZE; i++) {
		int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);

		if (high < 0 || low < 0 || (i + 1 < NET_MAC_SIZE && text[3 * i + 2] != ':'))
			return -EINVAL;
		mac[i] = (uint8_t)(high << 4 | low);
		all |= mac[i];
	}
	return all && !(mac[0] & MAC_GROUP) ? 0 : -EINVAL;
}

void net_mac_format(const uint8_t mac[NET_MAC_SIZE], char text[NET_MAC_TEXT_SIZE])
{
	snprintf(text, NET_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

/* FNV-1a, 64 bits: it is about spreading, not about secrets. */
static uint64_t hash(uint64_t value, const char *text)
{
	do {
		value = (value ^ (uint8_t)*text) * 0x100000001b3ULL;
	} while (*text++);
	return value;
}

void net_mac_choose(const char *vm, const char *net, uint8_t mac[NET_MAC_SIZE])
{
	/* The end of the first is hashed as well: "a" and "bc" are not "ab" and "c". */
	uint64_t value = hash(hash(0xcbf29ce484222325ULL, vm), net);

	value ^= value >> 48;
	for (unsigned int i = 0; i < NET_MAC_SIZE; i++)
		mac[i] = (uint8_t)(value >> 8 * i);
	mac[0] = (uint8_t)((mac[0] & ~MAC_GROUP) | MAC_LOCAL);
}

bool virtio_net_config_has_limits(const struct virtio_net_config *c)
{
	return c->rx_limits.bandwidth.size || c->rx_limits.ops.size ||
	       c->tx_limits.bandwidth.size || c->tx_limits.ops.size;
}

/* ---- Reading. ---- */

/* What cannot be an interface's name: a folder's of sysfs or, "all" and "default", of sysctl. */
static bool is_reserved(const char *name)
{
	static const char *const names[] = {".", "..", "all", "default"};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* A name that the kernel takes for one interface: no path, no pattern ("tap%d"). */
static void read_name(struct json_reader *r, const char *key, char *field)
{
	json_get_text(r, key, true, field, NET_NAME_MAX + 1);
	if (!json_is_string(json_object_get(r->object, key)) ||
	    json_string_length(json_object_get(r->object, key)) > NET_NAME_MAX)
		return;
	if (!field[0] || strpbrk(field, "/%: ") || is_reserved(field))
		problem_add(r->problems, "%s.%s: \"%s\" is no name of a network interface", r->path,
			    key, field);
}

static void read_mac(struct json_reader *r, struct virtio_net_config *c)
{
	const char *text = json_get_string(r, "mac", NULL, 64);

	if (!text)
		return;
	c->has_mac = net_mac_parse(text, c->mac) == 0;
	if (!c->has_mac)
		problem_add(r->problems,
			    "%s.mac: must be the address of one station, as 02:00:00:00:00:01",
			    r->path);
}

static void read_fd(struct json_reader *r, json_t *value, struct virtio_net_config *c)
{
	json_int_t fd = json_integer_value(value);

	if (!json_is_integer(value) || fd < 0 || fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0)
		problem_add(
			r->problems,
			"%s.fd: must be open descriptors of the VMM, one for each pair of queues",
			r->path);
	else if (c->fd_count == NET_PAIRS_MAX)
		problem_add(r->problems, "%s.fd: %d at most", r->path, NET_PAIRS_MAX);
	else
		c->fds[c->fd_count++] = (int)fd;
}

static void read_fds(struct json_reader *r, struct virtio_net_config *c)
{
	json_t *value = json_get_value(r, "fd"), *one;
	unsigned int before = r->problems->count;
	size_t i;

	if (!value)
		return;
	if (!json_is_array(value)) {
		read_fd(r, value, c);
	} else {
		json_array_foreach(value, i, one)
		{
			read_fd(r, one, c);
		}
	}
	if (r->problems->count > before)
		return;
	if (!json_has(r, "queues"))
		c->queues = MAX_OF(c->fd_count, 1);
	if (c->fd_count != c->queues)
		problem_add(r->problems, "%s.fd: %u for %u pairs of queues", r->path, c->fd_count,
			    c->queues);
}

static void read_limits(struct json_reader *r, const char *key, struct rate_limiter_config *ret)
{
	char path[64];

	snprintf(path, sizeof(path), "%s.%s", r->path, key);
	rate_limiter_config_read(json_get_object(r, key), path, ret, r->problems);
}

static void read_vhost(struct json_reader *r, struct virtio_net_config *c)
{
	if (!json_has(r, "vhost"))
		return;
	c->vhost = json_get_bool(r, "vhost", false) ? NET_VHOST_ON : NET_VHOST_OFF;
	if (c->vhost == NET_VHOST_ON && virtio_net_config_has_limits(c))
		problem_add(r->problems,
			    "%s.vhost: only the VMM can keep rate limits: use vhost=off, or leave "
			    "the limits out",
			    r->path);
}

static void read_object(json_t *json, const char *path, struct virtio_net_config *c,
			struct problems *problems)
{
	struct json_reader r;

	json_reader_init(&r, json, path, problems);
	json_get_text(&r, "id", true, c->id, sizeof(c->id));
	read_name(&r, "tap", c->tap);
	read_name(&r, "bridge", c->bridge);
	read_mac(&r, c);
	c->mtu = (uint16_t)json_get_u64(&r, "mtu", 0, NET_MTU_MIN, NET_MTU_MAX);
	c->queues = (uint16_t)json_get_u64(&r, "queues", c->queues, 1, NET_PAIRS_MAX);
	c->queue_size = (uint16_t)json_get_u64(&r, "size", c->queue_size, NET_QUEUE_SIZE_MIN,
					       NET_QUEUE_SIZE_MAX);
	c->offload = json_get_bool(&r, "offload", c->offload);
	c->slot = (uint8_t)json_get_u64(&r, "slot", c->slot, 1, VIRTIO_SLOT_MAX);
	read_fds(&r, c);
	read_limits(&r, RX_LIMITS, &c->rx_limits);
	read_limits(&r, TX_LIMITS, &c->tx_limits);
	read_vhost(&r, c);
	json_reader_end(&r);
	if (!json_is_object(json))
		return;
	if (!json_object_get(json, "tap") && !json_object_get(json, "fd"))
		problem_add(problems,
			    "%s.tap: missing: the name of a tap, or fd= with descriptors of one",
			    path);
	if (json_object_get(json, "tap") && json_object_get(json, "fd"))
		problem_add(problems, "%s: tap or fd, not both", path);
	if (c->queue_size & (c->queue_size - 1))
		problem_add(problems, "%s.size: must be a power of two", path);
}

void virtio_net_config_read(json_t *json, const char *path, struct virtio_net_config *ret,
			    struct problems *problems)
{
	json_t *object = option_to_object(&options, json, path, problems);

	virtio_net_config_init(ret);
	if (object)
		read_object(object, path, ret, problems);
	json_decref(object);
}

/* ---- Writing. ---- */

static void put_limits(json_t *json, const char *key, const struct rate_limiter_config *config)
{
	json_t *limits = rate_limiter_config_to_json(config);

	if (limits)
		json_object_set_new(json, key, limits);
}

json_t *virtio_net_config_to_json(const struct virtio_net_config *c)
{
	json_t *json =
		json_pack("{ss ss si si sb}", "id", c->id, "tap", c->tap, "queues", (int)c->queues,
			  "size", (int)c->queue_size, "offload", (int)c->offload);
	char mac[NET_MAC_TEXT_SIZE];

	if (!json)
		return NULL;
	if (c->bridge[0])
		json_object_set_new(json, "bridge", json_string(c->bridge));
	if (c->has_mac) {
		net_mac_format(c->mac, mac);
		json_object_set_new(json, "mac", json_string(mac));
	}
	if (c->mtu)
		json_object_set_new(json, "mtu", json_integer(c->mtu));
	if (c->vhost != NET_VHOST_AUTO)
		json_object_set_new(json, "vhost", json_boolean(c->vhost == NET_VHOST_ON));
	if (c->slot)
		json_object_set_new(json, "slot", json_integer(c->slot));
	put_limits(json, RX_LIMITS, &c->rx_limits);
	put_limits(json, TX_LIMITS, &c->tx_limits);
	return json;
}
