/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/abi/model.h"

#include <string.h>

#include "base/util.h"

void abi_memfd_free(struct abi_memfd *memfd)
{
	if (!memfd)
		return;
	free(memfd->extents);
	free(memfd);
}

void abi_luo_free(struct abi_luo *luo)
{
	if (!luo)
		return;
	for (size_t i = 0; i < luo->session_count; i++) {
		struct abi_session *session = &luo->sessions[i];

		for (size_t j = 0; j < session->file_count; j++)
			abi_memfd_free(session->files[j].memfd);
		free(session->files);
	}
	free(luo->sessions);
	free(luo->flbs);
	free(luo);
}

void abi_preserved_free(struct abi_preserved *preserved)
{
	if (!preserved)
		return;
	for (size_t i = 0; i <= KHO_ORDER_MAX; i++)
		free(preserved->runs[i]);
	free(preserved);
}

void abi_kho_free(struct abi_kho *kho)
{
	if (!kho)
		return;
	abi_preserved_free(kho->preserved);
	abi_luo_free(kho->luo);
	free(kho);
}

const struct abi_entry *abi_kho_entry(const struct abi_kho *kho, const char *name)
{
	for (size_t i = 0; i < kho->entry_count; i++)
		if (strcmp(kho->entries[i].name, name) == 0)
			return &kho->entries[i];
	return NULL;
}

static bool find_in_runs(const struct abi_run *runs, size_t count, uint64_t pa, uint64_t size)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (pa < runs[mid].pa)
			high = mid;
		else if (pa - runs[mid].pa >= runs[mid].count * size)
			low = mid + 1;
		else
			return (pa - runs[mid].pa) % size == 0;
	}
	return false;
}

bool abi_preserved_find(const struct abi_preserved *preserved, uint64_t pa, uint32_t *ret_order)
{
	for (uint32_t order = 0; order <= KHO_ORDER_MAX; order++) {
		if (!find_in_runs(preserved->runs[order], preserved->run_count[order], pa,
				  UINT64_C(1) << (order + ABI_PAGE_SHIFT)))
			continue;
		*ret_order = order;
		return true;
	}
	return false;
}

int abi_grow(void **array, size_t count, size_t size)
{
	size_t capacity;
	void *grown;

	/* Capacities are powers of two from 8 on: a count that is one has just filled its array. */
	if (count != 0 && (count < 8 || (count & (count - 1)) != 0))
		return 0;
	capacity = count == 0 ? 8 : count * 2;
	if (capacity > SIZE_MAX / size)
		return -ENOMEM;
	grown = realloc(*array, capacity * size);
	if (!grown)
		return -ENOMEM;
	memset((char *)grown + count * size, 0, (capacity - count) * size);
	*array = grown;
	return 0;
}
