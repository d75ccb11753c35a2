/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/abi/host_tree.h"

#include <elf.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

void host_tree_make(struct host_tree *t)
{
	strcpy(t->root, "/tmp/host-tree.XXXXXX");
	must(mkdtemp(t->root) != NULL, "mkdtemp");
}

static int remove_one(const char *path, const struct stat *st _unused_, int flag _unused_,
		      struct FTW *ftw _unused_)
{
	return remove(path);
}

void host_tree_remove(struct host_tree *t)
{
	nftw(t->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *host_tree_path(const struct host_tree *t, const char *path)
{
	static char buf[PATH_MAX];

	snprintf(buf, sizeof(buf), "%s%s", t->root, path);
	return buf;
}

static const char *make_way(const struct host_tree *t, const char *path)
{
	char *full = (char *)(uintptr_t)host_tree_path(t, path);

	for (char *p = full + strlen(t->root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0755);
		*p = '/';
	}
	return full;
}

void host_tree_put(const struct host_tree *t, const char *path, const void *data, size_t size)
{
	FILE *f = fopen(make_way(t, path), "we");

	must(f != NULL, path);
	must(fwrite(data, 1, size, f) == size, path);
	must(fclose(f) == 0, path);
}

void host_tree_put_text(const struct host_tree *t, const char *path, const char *text)
{
	host_tree_put(t, path, text, strlen(text));
}

void host_tree_link(const struct host_tree *t, const char *path, const char *target)
{
	must(symlink(target, make_way(t, path)) == 0, path);
}

void host_tree_put_memory(const struct host_tree *t, const char *path, struct fixture *f,
			  bool kcore)
{
	const uint64_t map = kcore ? UINT64_C(0xffff888000000000) : 0;
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr[2];
	} head = {0};
	FILE *file = fopen(make_way(t, path), "we");

	must(file != NULL, path);
	memcpy(head.ehdr.e_ident, ELFMAG, SELFMAG);
	head.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	head.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	head.ehdr.e_type = ET_CORE;
	head.ehdr.e_phoff = sizeof(head.ehdr);
	head.ehdr.e_phentsize = sizeof(Elf64_Phdr);
	head.ehdr.e_phnum = 2;
	head.phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				    .p_offset = 4096,
				    .p_vaddr = map + FIXTURE_BASE,
				    .p_paddr = FIXTURE_BASE,
				    .p_filesz = f->image.size};
	head.phdr[1] = (Elf64_Phdr){.p_type = PT_LOAD,
				    .p_offset = 4096 + f->image.size,
				    .p_vaddr = map + FIXTURE_DATA,
				    .p_paddr = FIXTURE_DATA,
				    .p_filesz = FIXTURE_DATA_SIZE};
	must(fwrite(&head, sizeof(head), 1, file) == 1, path);
	must(fseek(file, 4096, SEEK_SET) == 0, path);
	must(fwrite(f->image.data, 1, f->image.size, file) == f->image.size, path);
	must(fflush(file) == 0, path);
	must(ftruncate(fileno(file), (off_t)(4096 + f->image.size + FIXTURE_DATA_SIZE)) == 0, path);
	must(fclose(file) == 0, path);
}
