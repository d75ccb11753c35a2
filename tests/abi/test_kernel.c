/* SPDX-License-Identifier: Apache-2.0 */
/* luo/preflight: images of every compression, cut and damaged ones, and what is read out of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/preflight/bzimage.h"
#include "luo/preflight/kernel.h"
#include "tests/abi/fake_kernel.h"

#define PATH "kernel-test.bzImage"

static void write_kernel(const struct fake_kernel *k, size_t cut, size_t flip)
{
	size_t size;
	uint8_t *data = fake_kernel_make(k, &size);
	FILE *f = fopen(PATH, "we");

	assert_non_null(f);
	if (flip)
		data[flip] ^= 0x10;
	fwrite(data, 1, size - cut, f);
	fclose(f);
	free(data);
}

static void test_compressions(void **state _unused_)
{
	/* The size of a block of LZ4's has four bytes: padding with room for one, and without. */
	static const struct {
		const char *name;
		unsigned int padding;
	} all[] = {{"gzip", 0}, {"xz", 0},  {"zstd", 0}, {"bzip2", 0},
		   {"lzma", 0}, {"lz4", 0}, {"lz4", 2},	 {"lz4", 6}};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct fake_kernel fake = {
			.compression = all[i].name,
			.padding = all[i].padding,
			.config = "CONFIG_A=y\nCONFIG_S=\"a \\\"b\\\" c\"\n"};
		_cleanup_kernel_ struct kernel kernel = {0};
		struct error err = ERROR_INIT;
		char text[32];

		write_kernel(&fake, 0, 0);
		if (kernel_load(PATH, &kernel, &err) < 0)
			fail_msg("%s: %s", all[i].name, error_message(&err));
		assert_string_equal(kernel.compression, all[i].name);
		assert_string_equal(kernel.release, "7.3.4-fake");
		assert_int_equal(kernel.abi.kho, 4);
		assert_int_equal(kernel.abi.luo, 5);
		assert_int_equal(kernel_handler_version(&kernel.abi, "memfd-v"), 2);
		assert_int_equal(kernel.abi.handler_count, 1);
		assert_int_equal(kernel.init_size, 16 * MIB);
		assert_non_null(kernel.config);
		assert_int_equal(kernel_config_tristate(kernel.config, "CONFIG_A"), 'y');
		assert_int_equal(kernel_config_tristate(kernel.config, "CONFIG_B"), 'n');
		assert_true(kernel_config_string(kernel.config, "CONFIG_S", text, sizeof(text)));
		assert_string_equal(text, "a \"b\" c");
	}
}

static void expect(int code, const char *message)
{
	_cleanup_kernel_ struct kernel kernel = {0};
	struct error err = ERROR_INIT;
	int r = kernel_load(PATH, &kernel, &err);

	if (r != code || !strstr(error_message(&err), message))
		fail_msg("expected %d \"%s\", got %d \"%s\"", code, message, r,
			 error_message(&err));
}

static void test_refused(void **state _unused_)
{
	static const struct fake_kernel good = {0};
	FILE *f;

	write_kernel(&good, 16, 0);
	expect(-EINVAL, PATH ": truncated: ");
	write_kernel(&good, 30000, 0);
	expect(-EINVAL, PATH ": truncated: ");
	write_kernel(&good, 0, 20000);
	expect(-EBADMSG, PATH ": damaged: its payload ");
	write_kernel(&good, 0, 5 * 512 + 256);
	expect(-EBADMSG, PATH ": damaged: its payload begins like no compression");
	write_kernel(&(struct fake_kernel){.compression = "xz"}, 0, 20000);
	expect(-EBADMSG, PATH ": damaged: its payload ");
	write_kernel(&(struct fake_kernel){.compression = "bzip2"}, 0, 20000);
	expect(-EBADMSG, PATH ": damaged: its payload ");
	/* These may have no checksum: the size of the first block. */
	write_kernel(&(struct fake_kernel){.compression = "zstd"}, 0, 5 * 512 + 256 + 8);
	expect(-EBADMSG, PATH ": damaged: its payload ");
	write_kernel(&(struct fake_kernel){.compression = "lz4"}, 0, 5 * 512 + 256 + 4);
	expect(-EBADMSG, PATH ": damaged: its payload ");
	write_kernel(&good, 0, 0x202);
	expect(-ENOEXEC, PATH ": not a bzImage");
	write_kernel(&(struct fake_kernel){.protocol = 0x20b}, 0, 0);
	expect(-ENOEXEC, PATH ": boot protocol 2.11, and kexec_file_load needs 2.12");
	write_kernel(&(struct fake_kernel){.xloadflags = 0x2}, 0, 0);
	expect(-ENOEXEC, PATH ": a 32-bit kernel");
	write_kernel(&(struct fake_kernel){.compression = "lzo"}, 0, 0);
	expect(-EOPNOTSUPP, PATH ": compressed with lzo");
	f = fopen(PATH, "we");
	fclose(f);
	expect(-ENOEXEC, PATH ": not a bzImage");
	unlink(PATH);
	expect(-ENOENT, PATH ": cannot open");
}

/* The payload's place comes from the file: it must lie in it. */
static void test_hostile_header(void **state _unused_)
{
	size_t size;
	uint8_t *data = fake_kernel_make(&(struct fake_kernel){0}, &size);
	static const uint32_t values[] = {0, 1, 0x7fffffff, 0x80000000, 0xfffff000, 0xffffffff};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(values) * 2; i++) {
		_cleanup_bzimage_ struct bzimage image = {0};
		size_t at = i % 2 ? 0x248 : 0x24c;
		uint32_t old;
		int r;

		memcpy(&old, data + at, 4);
		memcpy(data + at, &values[i / 2], 4);
		r = bzimage_parse(data, size, "x", &image, &err);
		if (r == 0)
			r = bzimage_decompress(data, "x", &image, &err);
		assert_true(r == -EINVAL || r == -EBADMSG);
		memcpy(data + at, &old, 4);
	}
	free(data);
}

static void test_names(void **state _unused_)
{
	static const char text[] = "\0luo-v5;block-v1\0kho-v\0kho-v4x\0-kho-v7\0kho-v12\0memfd-v1\0"
				   "memfd-v2\0vfio-pci-v1\0kho-v99999999999999";
	struct kernel_abi abi = {0};

	kernel_find_abi((const uint8_t *)text, sizeof(text), &abi);
	assert_int_equal(abi.kho, 12);
	assert_int_equal(abi.luo, 0);
	assert_int_equal(abi.handler_count, 3);
	assert_int_equal(kernel_handler_version(&abi, "memfd-v"), 2);
	assert_int_equal(kernel_handler_version(&abi, "vfio-pci-v"), 1);
	assert_int_equal(kernel_handler_version(&abi, "iommufd-v"), 0);
	/* At the very ends of the bytes. */
	abi = (struct kernel_abi){0};
	kernel_find_abi((const uint8_t *)"kho-v4", 7, &abi);
	assert_int_equal(abi.kho, 4);
	abi = (struct kernel_abi){0};
	kernel_find_abi((const uint8_t *)"kho-v4", 6, &abi);
	assert_int_equal(abi.kho, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compressions),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hostile_header),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
