/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/abi/fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fixture: %s\n", what);
	abort();
}

struct abi_kho *fixture_empty(uint32_t kho_version, uint32_t luo_version)
{
	struct abi_kho *kho = calloc(1, sizeof(*kho));

	must(kho != NULL, "out of memory");
	kho->luo = calloc(1, sizeof(*kho->luo));
	must(kho->luo != NULL, "out of memory");
	kho->version = kho_version;
	kho->luo->version = luo_version;
	kho->luo->liveupdate_number = 7;
	/* The metadata entry came with kho-v3's blobs. */
	kho->has_metadata = kho_version >= 3;
	strcpy(kho->metadata.previous_release, "7.2.12-holdfast");
	kho->metadata.kexec_count = 6;
	return kho;
}

struct abi_session *fixture_add_session(struct abi_kho *kho, const char *name)
{
	struct abi_session *session;

	must(ABI_GROW(kho->luo->sessions, kho->luo->session_count) == 0, "out of memory");
	session = &kho->luo->sessions[kho->luo->session_count++];
	snprintf(session->name, sizeof(session->name), "%s", name);
	return session;
}

struct abi_file *fixture_add_file(struct abi_session *session, const char *compatible,
				  uint64_t token)
{
	struct abi_file *file;

	must(ABI_GROW(session->files, session->file_count) == 0, "out of memory");
	file = &session->files[session->file_count++];
	snprintf(file->compatible, sizeof(file->compatible), "%s", compatible);
	file->token = token;
	if (strncmp(compatible, "memfd-v", 7) == 0) {
		file->memfd = calloc(1, sizeof(*file->memfd));
		must(file->memfd != NULL, "out of memory");
		file->memfd->version = (uint32_t)(compatible[7] - '0');
	}
	return file;
}

void fixture_add_extent(struct abi_file *file, uint64_t index, uint64_t pa, uint64_t folios,
			uint32_t order)
{
	struct abi_memfd *m = file->memfd;

	must(ABI_GROW(m->extents, m->extent_count) == 0, "out of memory");
	m->extents[m->extent_count++] =
		(struct abi_extent){.index = index,
				    .pa = pa,
				    .folios = folios,
				    .order = order,
				    .flags = MEMFD_FOLIO_DIRTY | MEMFD_FOLIO_UPTODATE};
	m->folios += folios;
	m->pages += folios << order;
	m->size = (index + (folios << order)) * ABI_PAGE_SIZE;
}

struct abi_kho *fixture_model(uint32_t kho_version, uint32_t luo_version, uint32_t memfd_version)
{
	struct abi_kho *kho = fixture_empty(kho_version, luo_version);
	char memfd[16];
	struct abi_session *session;
	struct abi_file *file;

	snprintf(memfd, sizeof(memfd), "memfd-v%u", memfd_version);
	session = fixture_add_session(kho, "vm:web1");
	file = fixture_add_file(session, memfd, 0);
	fixture_add_extent(file, 0, FIXTURE_DATA + 0x5000, 1, 0);
	fixture_add_extent(file, 1, FIXTURE_DATA + 0x9000, 1, 0);
	file->memfd->size -= 100;
	file->memfd->pos = 4242;
	file = fixture_add_file(session, memfd, 0x100);
	fixture_add_extent(file, 0, FIXTURE_DATA + 0x400000, 2, 9);
	fixture_add_extent(file, 1024, FIXTURE_DATA + 0x100000, 1, 8);
	/* SHRINK | GROW; v1 keeps none. */
	file->memfd->seals = memfd_version == 1 ? 0 : 0x6;
	file = fixture_add_file(session, "vfio-pci-v1", 0x300);
	file->data = UINT64_C(0x1122334455667788);
	session = fixture_add_session(kho, "luod");
	fixture_add_extent(fixture_add_file(session, memfd, 0), 0, FIXTURE_DATA + 0xa000, 1, 0);

	must(ABI_GROW(kho->luo->flbs, 0) == 0, "out of memory");
	strcpy(kho->luo->flbs[0].name, "test-flb-v1");
	kho->luo->flbs[0].data = UINT64_C(0xabcdef0102030405);
	kho->luo->flbs[0].count = 3;
	kho->luo->flb_count = 1;
	return kho;
}

struct zeros_and_bytes {
	const uint8_t *bytes; /* borrowed */
};

static int memory_read(void *ctx, uint64_t pa, void *buf, size_t len, struct error *err _unused_)
{
	const struct zeros_and_bytes *m = ctx;

	if (pa >= FIXTURE_DATA)
		memset(buf, 0, len);
	else
		memcpy(buf, m->bytes + (pa - FIXTURE_BASE), len);
	return 0;
}

static const struct physmem_ops memory_ops = {.read = memory_read, .free = free};

struct physmem *fixture_memory(const void *data, size_t size)
{
	struct physmem_range ranges[] = {{FIXTURE_BASE, size}, {FIXTURE_DATA, FIXTURE_DATA_SIZE}};
	struct zeros_and_bytes *m = malloc(sizeof(*m));
	struct physmem *mem = NULL;

	must(m != NULL, "out of memory");
	m->bytes = data;
	must(physmem_new(&memory_ops, m, "fixture", ranges, 2, &mem, NULL) == 0, "no memory");
	return mem;
}

void fixture_open(struct fixture *f, const struct abi_kho *kho, size_t capacity)
{
	struct error err = ERROR_INIT;

	*f = (struct fixture){0};
	must(abi_image_init(&f->image, FIXTURE_BASE, capacity, &err) == 0, error_message(&err));
	must(abi_write_kho(&f->image, kho, &f->fdt_pa, &err) == 0, error_message(&err));
	f->mem = fixture_memory(f->image.data, f->image.size);
}

void fixture_close(struct fixture *f)
{
	physmem_free(f->mem);
	abi_image_done(&f->image);
}

uint8_t *fixture_at(struct fixture *f, uint64_t pa)
{
	must(pa >= f->image.base && pa - f->image.base < f->image.size, "address not in the image");
	return f->image.data + (pa - f->image.base);
}

int fixture_read(const struct physmem *mem, uint64_t fdt_pa, struct abi_kho **kho,
		 struct error *err)
{
	_cleanup_reader_ struct abi_reader reader = {0};
	int r;

	abi_reader_init(&reader, mem);
	r = abi_read_kho(&reader, fdt_pa, kho, err);
	if (r == 0)
		r = abi_read_metadata(&reader, *kho, err);
	if (r == 0 && (*kho)->version >= 2)
		r = abi_read_preserved(&reader, *kho, err);
	return r < 0 ? r : abi_read_luo(&reader, *kho, err);
}
