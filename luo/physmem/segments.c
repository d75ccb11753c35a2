/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/physmem/segments.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "luo/physmem/file.h"

static int read_header(int fd, const char *what, Elf64_Ehdr *ehdr, struct error *err)
{
	int r = physmem_pread(fd, ehdr, sizeof(*ehdr), 0);

	if (r < 0)
		return error_sys(err, r, "%s: cannot read the ELF header", what);
	if (memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0)
		return error_set(err, -ENOEXEC, "%s: not an ELF file", what);
	if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_ident[EI_DATA] != ELFDATA2LSB ||
	    ehdr->e_type != ET_CORE)
		return error_set(err, -ENOEXEC,
				 "%s: not a 64-bit little-endian ELF core: dump the host's memory "
				 "with dump-guest-memory or makedumpfile -E",
				 what);
	if (ehdr->e_phentsize != sizeof(Elf64_Phdr))
		return error_set(err, -ENOEXEC, "%s: program headers of %u bytes", what,
				 ehdr->e_phentsize);
	return 0;
}

/* With more than 65534 segments their number is in section header 0 (gABI, e_phnum PN_XNUM). */
static int segment_count(int fd, const char *what, const Elf64_Ehdr *ehdr, size_t *ret,
			 struct error *err)
{
	Elf64_Shdr shdr;
	int r;

	*ret = ehdr->e_phnum;
	if (ehdr->e_phnum == PN_XNUM) {
		r = physmem_pread(fd, &shdr, sizeof(shdr), ehdr->e_shoff);
		if (r < 0)
			return error_sys(err, r, "%s: cannot read section header 0", what);
		*ret = shdr.sh_info;
	}
	if (*ret > ELF_SEGMENTS_MAX)
		return error_set(err, -EINVAL, "%s: %zu segments: the file is damaged", what, *ret);
	return 0;
}

int elf_read_segments(int fd, const char *what, struct elf_segment **ret, size_t *ret_count,
		      struct error *err)
{
	_cleanup_free_ Elf64_Phdr *phdrs = NULL;
	struct elf_segment *segments;
	Elf64_Ehdr ehdr;
	size_t count, used = 0;
	int r;

	r = read_header(fd, what, &ehdr, err);
	if (r < 0)
		return r;
	r = segment_count(fd, what, &ehdr, &count, err);
	if (r < 0)
		return r;
	phdrs = calloc(MAX_OF(count, 1U), sizeof(*phdrs));
	segments = calloc(MAX_OF(count, 1U), sizeof(*segments));
	if (!phdrs || !segments) {
		free(segments);
		return error_set(err, -ENOMEM, "%s: out of memory", what);
	}
	r = physmem_pread(fd, phdrs, count * sizeof(*phdrs), ehdr.e_phoff);
	if (r < 0) {
		free(segments);
		return error_sys(err, r, "%s: cannot read the program headers: truncated", what);
	}
	for (size_t i = 0; i < count; i++) {
		if (phdrs[i].p_type != PT_LOAD || phdrs[i].p_filesz == 0)
			continue;
		segments[used++] = (struct elf_segment){.vaddr = phdrs[i].p_vaddr,
							.paddr = phdrs[i].p_paddr,
							.offset = phdrs[i].p_offset,
							.size = phdrs[i].p_filesz};
	}
	*ret = segments;
	*ret_count = used;
	return 0;
}

/* A dump that was cut off says so here, and not at the first address that is missing. */
static int check_complete(int fd, const char *what, const struct elf_segment *segments,
			  size_t count, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "%s: cannot stat", what);
	for (size_t i = 0; i < count; i++)
		if (segments[i].size > (uint64_t)st.st_size ||
		    segments[i].offset > (uint64_t)st.st_size - segments[i].size)
			return error_set(err, -EINVAL,
					 "%s: truncated: segment %zu ends behind the file's %lld "
					 "bytes",
					 what, i, (long long)st.st_size);
	return 0;
}

int physmem_open_elf(const char *path, struct physmem **ret, struct error *err)
{
	_cleanup_free_ struct elf_segment *segments = NULL;
	_cleanup_free_ struct physmem_piece *pieces = NULL;
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t count;
	int r;

	if (fd < 0)
		return error_sys(err, -errno, "dump %s: cannot open", path);
	r = elf_read_segments(fd, path, &segments, &count, err);
	if (r < 0)
		return r;
	r = check_complete(fd, path, segments, count, err);
	if (r < 0)
		return r;
	pieces = calloc(MAX_OF(count, 1U), sizeof(*pieces));
	if (!pieces)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	for (size_t i = 0; i < count; i++) {
		pieces[i].range.start = segments[i].paddr;
		pieces[i].range.size = segments[i].size;
		pieces[i].offset = segments[i].offset;
	}
	return physmem_new_file(steal_fd(&fd), path, pieces, count, ret, err);
}
