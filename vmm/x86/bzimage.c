/* SPDX-License-Identifier: Apache-2.0 */
/* A bzImage by the 64-bit protocol: Linux Documentation/arch/x86/boot.rst, section by name below.
 */
#include <asm/bootparam.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/x86/boot_image.h"
#include "vmm/x86/layout.h"

#define SETUP_HEADER	  0x1f1U /* where the header starts, in the file and in the zero page */
#define SETUP_JUMP	  0x201U /* its length, less 0x202 ("Details of Harder Fields", jump) */
#define SETUP_HEADER_MAX  0x290U /* the zero page has other things from here */
#define SETUP_HEADER_MIN  0x268U /* as far as protocol 2.12 reaches: handover_offset */
#define PROTOCOL_MIN	  0x20cU /* 2.12: xloadflags */
#define SECTOR		  512U
#define ENTRY64		  0x200U /* "64-bit Boot Protocol": start of the kernel plus 0x200 */
#define LOADER_UNDEFINED  0xffU	 /* type_of_loader: no number of our own */
#define VIDEO_MODE_NORMAL 0xffffU

/* The header of the image and what follows from it, all checked. */
struct bzimage {
	struct setup_header hdr;
	size_t header_end;    /* offset in the file */
	uint64_t payload;     /* offset of the protected-mode part in the file */
	uint64_t payload_len; /* bytes */
	uint64_t load_addr;
	uint64_t end; /* guest address after everything that the kernel uses before it knows the
			 memory map */
};

static int bad(const struct boot_job *job, struct error *err, const char *reason)
{
	return error_set(err, -ENOEXEC, "kernel %s: %s", job->kernel.path, reason);
}

static int parse_header(const struct boot_job *job, struct bzimage *image, struct error *err)
{
	struct setup_header *hdr = &image->hdr;

	if (job->head_size < SETUP_HEADER_MAX)
		return bad(job, err, "cut short: the file ends inside its setup header");
	memcpy(hdr, job->head + SETUP_HEADER, sizeof(*hdr));
	if (hdr->boot_flag != 0xaa55)
		return bad(job, err, "not a Linux kernel: no boot signature (0xaa55) at 0x1fe");
	if (hdr->version < PROTOCOL_MIN)
		return error_set(
			err, -ENOEXEC,
			"kernel %s: boot protocol %u.%02u is too old; 2.12 is needed (Linux "
			"3.8 and later)",
			job->kernel.path, hdr->version >> 8, hdr->version & 0xffU);
	image->header_end = SETUP_JUMP + 1U + job->head[SETUP_JUMP];
	if (image->header_end < SETUP_HEADER_MIN || image->header_end > SETUP_HEADER_MAX)
		return bad(job, err, "damaged: its setup header has an impossible length");
	if (!(hdr->xloadflags & XLF_KERNEL_64))
		return bad(job, err, "a 32-bit kernel; an x86-64 one is needed");
	if (!(hdr->loadflags & LOADED_HIGH))
		return bad(job, err, "a zImage; a bzImage is needed");
	return 0;
}

static int find_payload(const struct boot_job *job, struct bzimage *image, struct error *err)
{
	/* "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
	 */
	uint64_t sectors = image->hdr.setup_sects ? image->hdr.setup_sects : 4U;

	image->payload = (sectors + 1) * SECTOR;
	image->payload_len = (uint64_t)image->hdr.syssize * 16;
	if (image->payload_len <= ENTRY64)
		return bad(job, err, "damaged: its header says that there is no kernel in it");
	if (image->payload > job->kernel.size ||
	    image->payload_len > job->kernel.size - image->payload)
		return error_set(err, -ENOEXEC,
				 "kernel %s: cut short: its header says %" PRIu64
				 " bytes, the file has %" PRIu64 "; copy it again",
				 job->kernel.path, image->payload + image->payload_len,
				 job->kernel.size);
	return 0;
}

/*
 * Linux runs at pref_address or above even when it is loaded below, so that is where it goes and
 * what must fit ("Kernel runtime start address", init_size).
 */
static int place(const struct boot_job *job, struct bzimage *image, struct error *err)
{
	const struct setup_header *hdr = &image->hdr;
	uint64_t align = hdr->kernel_alignment, span = MAX_OF(hdr->init_size, image->payload_len);

	if (hdr->pref_address >= RAM_LOW_MAX)
		return error_set(err, -ENOEXEC,
				 "kernel %s: damaged: wants to be loaded at 0x%" PRIx64
				 ", where no guest has memory",
				 job->kernel.path, (uint64_t)hdr->pref_address);
	image->load_addr = hdr->pref_address;
	if (hdr->relocatable_kernel) {
		if (align == 0 || (align & (align - 1)) != 0)
			return bad(job, err, "damaged: its alignment is no power of two");
		image->load_addr = ALIGN_UP(MAX_OF(image->load_addr, KERNEL_ADDR), align);
	}
	if (image->load_addr < KERNEL_ADDR)
		return bad(job, err, "damaged: wants to be loaded below 1 MiB");
	image->end = image->load_addr + span; /* no overflow: less than 2^33 and 2^36 */
	if (image->end > job->low_end)
		return boot_no_memory(job, image->end,
				      (hdr->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) != 0, err);
	return 0;
}

static void fill_memory_map(const struct guest_ram *ram, struct boot_params *params)
{
	struct memory_map map;

	memory_map_build(ram, &map);
	for (unsigned int i = 0; i < map.count; i++)
		params->e820_table[i] = (struct boot_e820_entry){.addr = map.entries[i].addr,
								 .size = map.entries[i].size,
								 .type = map.entries[i].type};
	params->e820_entries = (uint8_t)map.count;
}

/* The zero page: everything zero but the image's header and what we have to say. */
static int put_zero_page(const struct boot_job *job, const struct bzimage *image,
			 const struct boot_initramfs *initramfs, struct error *err)
{
	struct boot_params params = {0};

	_Static_assert(sizeof(params) == PAGE_BYTES, "the zero page is a page");
	memcpy((uint8_t *)&params + SETUP_HEADER, job->head + SETUP_HEADER,
	       image->header_end - SETUP_HEADER);
	params.acpi_rsdp_addr = job->rsdp;
	params.hdr.type_of_loader = LOADER_UNDEFINED;
	params.hdr.loadflags = (uint8_t)(params.hdr.loadflags & ~CAN_USE_HEAP);
	params.hdr.vid_mode = VIDEO_MODE_NORMAL;
	params.hdr.code32_start = (uint32_t)image->load_addr;
	params.hdr.setup_data =
		0; /* a list in guest memory that the image has no business to name */
	params.hdr.cmd_line_ptr = (uint32_t)CMDLINE_ADDR;
	params.hdr.ramdisk_image = (uint32_t)initramfs->gpa;
	params.hdr.ramdisk_size = (uint32_t)initramfs->size;
	params.ext_ramdisk_image = (uint32_t)(initramfs->gpa >> 32);
	params.ext_ramdisk_size = (uint32_t)(initramfs->size >> 32);
	fill_memory_map(job->ram, &params);
	if (guest_ram_write(job->ram, ZERO_PAGE_ADDR, &params, sizeof(params)) < 0)
		return error_set(err, -EFAULT, "guest memory does not reach the zero page");
	return 0;
}

int bzimage_load(const struct boot_job *job, struct boot_entry *ret, struct error *err)
{
	struct bzimage image = {0};
	struct boot_initramfs initramfs;
	uint64_t limit;
	bool above_4g;
	int r;

	r = parse_header(job, &image, err);
	if (r == 0)
		r = find_payload(job, &image, err);
	if (r == 0)
		r = place(job, &image, err);
	if (r == 0)
		r = boot_put_cmdline(job, image.hdr.cmdline_size, err);
	if (r < 0)
		return r;

	/* A kernel that takes it above 4 GiB takes it anywhere below, whatever initrd_addr_max
	 * says. */
	above_4g = (image.hdr.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) != 0;
	limit = above_4g ? RAM_LOW_MAX : (uint64_t)image.hdr.initrd_addr_max + 1;
	r = boot_put_initramfs(job, image.end, limit, above_4g, &initramfs, err);
	if (r == 0)
		r = boot_file_load(&job->kernel, image.payload, job->ram, image.load_addr,
				   image.payload_len, err);
	if (r == 0)
		r = put_zero_page(job, &image, &initramfs, err);
	if (r == 0)
		r = long_mode_setup(job->ram, err);
	if (r < 0)
		return r;
	*ret = (struct boot_entry){
		.long_mode = true,
		.rip = image.load_addr + ENTRY64,
		.rsi = ZERO_PAGE_ADDR,
	};
	return 0;
}
