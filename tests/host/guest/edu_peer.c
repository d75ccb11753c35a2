// SPDX-License-Identifier: Apache-2.0
/*
 * DMA of the edu device into the memory that another device has in a BAR, and out of it: of QEMU's
 * ivshmem-plain (its docs/specs/ivshmem-spec.rst), where BAR 2 is nothing else, and of an NVMe
 * controller (NVM Express Base Specification 2.0, 8.14), whose persistent memory region has to be
 * switched on.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "guest.h"

#define MAPPED (3 * PAGE)

/* 3.1.4: registers of the region, in BAR 0. */
#define REG_PMRCTL 0xe04U
#define PMR_ENABLE 0x01U
#define REGISTERS  0x1000U
#define PMR_WAIT   1000000U /* us */

/* PCI Express Base 5.0, 7.5.3.4 and 6.6.2. */
#define CAP_EXP	    0x10
#define EXP_CONTROL 8
#define EXP_FLR	    0x8000U
#define FLR_WAIT    100000U /* us */

struct peer_kind {
	const char *name;
	uint32_t identity;
	unsigned int bar;
};

static const struct peer_kind plain = {"plain", 0x11101af4U, 2};
static const struct peer_kind pmr = {"pmr", 0x00101b36U, 4};

static const struct peer_kind *kind_of(const char *name)
{
	return !strcmp(name, pmr.name) ? &pmr : &plain;
}

static uint32_t transfers;

static const char *ok(bool good)
{
	return good ? "ok" : "bad";
}

static bool switch_on(void)
{
	volatile uint32_t *control;
	uint64_t start;
	struct edu peer;

	if (!edu_open_bar(&peer, pmr.identity, 0, REGISTERS, &start))
		return false;
	control = (volatile uint32_t *)(uintptr_t)(peer.bar + REG_PMRCTL);
	*control = PMR_ENABLE;
	usleep(PMR_WAIT);
	munmap((void *)(uintptr_t)peer.bar, REGISTERS);
	close(peer.config);
	return true;
}

static volatile uint32_t *words_at(const struct edu *peer, size_t offset)
{
	return (volatile uint32_t *)(uintptr_t)(peer->bar + offset);
}

/* Into the other device's second page; what the processor sees there counts. */
static bool move_to(const struct edu *edu, const struct edu *peer, uint64_t start)
{
	volatile uint32_t *pages = edu_pages(), *there = words_at(peer, PAGE);
	uint64_t from = pages ? memory_physical((void *)(uintptr_t)pages) : 0;
	bool good;

	for (uint32_t i = 0; from && i < WORDS; i++) {
		pages[i] = (i * 2654435761U) ^ transfers;
		there[i] = 0;
	}
	there[WORDS] = transfers;
	good = from && edu_move(edu, from, DMA_BUFFER, 0) &&
	       edu_move(edu, DMA_BUFFER, start + PAGE, DMA_TO_RAM);
	for (uint32_t i = 0; i < WORDS; i++)
		good = good && there[i] == pages[i];
	return good && there[WORDS] == transfers;
}

/* Out of its third. */
static bool move_from(const struct edu *edu, const struct edu *peer, uint64_t start)
{
	volatile uint32_t *pages = edu_pages(), *there = words_at(peer, 2 * (size_t)PAGE);
	uint64_t to = pages ? memory_physical((void *)(uintptr_t)pages) : 0;
	bool good;

	for (uint32_t i = 0; to && i < WORDS; i++) {
		there[i] = (i * 2246822519U) ^ transfers;
		pages[i] = 0;
	}
	good = to && edu_move(edu, start + 2 * (uint64_t)PAGE, DMA_BUFFER, 0) &&
	       edu_move(edu, DMA_BUFFER, to, DMA_TO_RAM);
	for (uint32_t i = 0; i < WORDS; i++)
		good = good && pages[i] == there[i];
	return good;
}

void edu_peer(const char *name)
{
	const struct peer_kind *kind = kind_of(name);
	struct edu edu, peer;
	uint64_t start;
	bool to, from;

	if (!edu_open(&edu)) {
		say("peer present=no");
		return;
	}
	if ((kind == &pmr && !switch_on()) ||
	    !edu_open_bar(&peer, kind->identity, kind->bar, MAPPED, &start)) {
		edu_close(&edu);
		say("peer present=no");
		return;
	}
	pthread_mutex_lock(&edu_engine);
	transfers++;
	to = move_to(&edu, &peer, start);
	from = move_from(&edu, &peer, start);
	say("peer present=yes kind=%s at=%lx to=%s from=%s transfers=%u", kind->name, start, ok(to),
	    ok(from), transfers);
	pthread_mutex_unlock(&edu_engine);
	munmap((void *)(uintptr_t)peer.bar, MAPPED);
	close(peer.config);
	edu_close(&edu);
}

void edu_peer_renew(const char *name)
{
	const struct peer_kind *kind = kind_of(name);
	uint32_t command;
	struct edu peer;
	off_t cap;

	if (!edu_find(&peer, kind->identity)) {
		say("peer-renew done=no");
		return;
	}
	cap = edu_find_cap(&peer, CAP_EXP);
	command = edu_config_read(&peer, COMMAND, 2);
	if (kind == &plain) {
		edu_config_write(&peer, COMMAND, command & ~COMMAND_ON, 2);
		edu_config_write(&peer, COMMAND, command, 2);
	} else if (cap) {
		edu_config_write(&peer, cap + EXP_CONTROL, EXP_FLR, 2);
		usleep(FLR_WAIT);
	}
	close(peer.config);
	say("peer-renew done=%s", kind == &plain || cap ? "yes" : "no");
}
