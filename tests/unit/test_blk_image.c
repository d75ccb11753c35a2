/* SPDX-License-Identifier: Apache-2.0 */
/* devices/virtio/blk/image: what can be an image, who may have it, and operations on real block
 * devices (loop, as root). */
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "devices/virtio/blk/image.h"
#include "tests/unit/device_test.h"

#define SIZE (1U << 20)

static char folder[] = "/tmp/holdfast-image-XXXXXX";
static char path[PATH_MAX];

static int make_folder(void **state _unused_)
{
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/disk.img", folder);
	return 0;
}

static int remove_folder(void **state _unused_)
{
	unlink(path);
	return rmdir(folder);
}

static void make_file(off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static struct virtio_blk_config config_for(const char *which)
{
	struct virtio_blk_config config;

	virtio_blk_config_init(&config);
	snprintf(config.path, sizeof(config.path), "%s", which);
	return config;
}

static void assert_refused_image(const struct virtio_blk_config *config, int code, const char *why)
{
	struct blk_image image;
	struct error err = ERROR_INIT;

	assert_int_equal(blk_image_open(&image, config, &err), code);
	if (!strstr(err.message, why) || !strstr(err.message, config->path))
		fail_msg("says: %s", err.message);
	assert_true(image.fd < 0);
}

static void test_what_is_no_image(void **state _unused_)
{
	struct virtio_blk_config config = config_for("/nonexistent/disk.img");

	assert_refused_image(&config, -ENOENT, "cannot be opened");
	config = config_for("/tmp");
	assert_refused_image(&config, -EINVAL, "is a folder");
	config = config_for("/dev/null");
	assert_refused_image(&config, -EINVAL, "is a character device");
	config = config_for(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused_image(&config, -EINVAL, "is a pipe"); /* without waiting for a writer */
	unlink(path);
	make_file(0);
	assert_refused_image(&config, -EINVAL, "truncate -s");
	make_file(511);
	assert_refused_image(&config, -EINVAL, "no sector");
}

static void test_sizes(void **state _unused_)
{
	struct virtio_blk_config config = config_for(path);
	struct blk_image image;

	make_file(SIZE + 100);
	assert_int_equal(blk_image_open(&image, &config, NULL), 0);
	assert_int_equal(image.size, SIZE); /* what is no whole sector stays unused */
	assert_int_equal(image.memory_align, 1);
	assert_int_equal(image.offset_align, 1);
	assert_int_equal(image.limits.block_size, 512);
	blk_image_close(&image);
	config.direct = true;
	assert_refused_image(&config, -EINVAL, "not a multiple of");
	make_file(SIZE);
	assert_int_equal(blk_image_open(&image, &config, NULL), 0);
	assert_true(image.offset_align >= 512);
	assert_int_equal(image.limits.block_size, image.offset_align);
	blk_image_close(&image);
}

static void test_locks(void **state _unused_)
{
	struct virtio_blk_config rw = config_for(path), ro = rw, unlocked = rw;
	struct blk_image a, b, c;

	ro.readonly = true;
	unlocked.lock = false;
	make_file(SIZE);
	assert_int_equal(blk_image_open(&a, &rw, NULL), 0);
	assert_refused_image(&rw, -EBUSY, "another VM or program uses this image");
	assert_refused_image(&ro, -EBUSY, "writes this image");
	assert_int_equal(blk_image_open(&b, &unlocked, NULL), 0);
	blk_image_close(&b);
	/* Closing another descriptor of the same file gives nothing free. */
	assert_refused_image(&rw, -EBUSY, "readonly=on in both");
	/* What is still using the open file, as an operation of the kernel would, keeps the lock.
	 */
	b.fd = dup(a.fd);
	blk_image_close(&a);
	assert_refused_image(&rw, -EBUSY, "another VM");
	blk_image_close(&b);
	/* Readers share. */
	assert_int_equal(blk_image_open(&a, &ro, NULL), 0);
	assert_int_equal(blk_image_open(&b, &ro, NULL), 0);
	assert_refused_image(&rw, -EBUSY, "reads this image");
	blk_image_close(&a);
	blk_image_close(&b);
	assert_int_equal(blk_image_open(&c, &rw, NULL), 0);
	blk_image_close(&c);
}

static void test_identity(void **state _unused_)
{
	struct virtio_blk_config config = config_for(path);
	struct blk_image a, b;
	struct error err = ERROR_INIT;

	make_file(SIZE);
	assert_int_equal(blk_image_open(&a, &config, NULL), 0);
	blk_image_close(&a);
	assert_int_equal(blk_image_open(&b, &config, NULL), 0);
	assert_int_equal(blk_image_compare(&b, a.identity, a.size, &err), 0);
	assert_int_equal(blk_image_compare(&b, a.identity, a.size + 512, &err), -ESTALE);
	assert_int_equal(blk_image_compare(&b, "file 1 of device 8:1 born 0", a.size, &err),
			 -ESTALE);
	assert_non_null(strstr(err.message, "resume again"));
	blk_image_close(&b);
	/* The same name and size, but made anew. */
	unlink(path);
	make_file(SIZE);
	assert_int_equal(blk_image_open(&b, &config, NULL), 0);
	assert_int_equal(blk_image_compare(&b, a.identity, a.size, &err), -ESTALE);
	blk_image_close(&b);
}

/* ---- Block devices. ---- */

static char loop_path[32];

/* False: this machine gives none. */
static bool make_loop(uint32_t block_size)
{
	struct loop_config config = {.block_size = block_size};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, backing, fd, r;

	if (control < 0)
		return false;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	if (number < 0)
		return false;
	snprintf(loop_path, sizeof(loop_path), "/dev/loop%d", number);
	backing = open(path, O_RDWR | O_CLOEXEC);
	fd = open(loop_path, O_RDWR | O_CLOEXEC);
	config.fd = (uint32_t)backing;
	r = fd < 0 ? -1 : ioctl(fd, LOOP_CONFIGURE, &config);
	close(backing);
	if (fd >= 0)
		close(fd);
	return r == 0;
}

static void free_loop(void)
{
	int fd = open(loop_path, O_RDWR | O_CLOEXEC);

	assert_int_equal(ioctl(fd, LOOP_CLR_FD), 0);
	close(fd);
}

static void fill(const struct blk_image *image)
{
	uint8_t *bytes = NULL;
	struct iovec iov;

	assert_int_equal(posix_memalign((void **)&bytes, 4096, SIZE), 0);
	memset(bytes, 0xa5, SIZE);
	iov = (struct iovec){bytes, SIZE};
	assert_int_equal(blk_image_do(image, &(struct blk_io){.op = BLK_IO_WRITE,
							      .through = true,
							      .length = SIZE,
							      .iov = &iov,
							      .iov_count = 1}),
			 SIZE);
	free(bytes);
}

static void assert_bytes(const struct blk_image *image, uint64_t offset, uint64_t length,
			 uint8_t value)
{
	uint8_t *bytes = NULL;
	struct iovec iov;

	assert_int_equal(posix_memalign((void **)&bytes, 4096, SIZE), 0);
	iov = (struct iovec){bytes, SIZE};
	assert_int_equal(blk_image_do(image, &(struct blk_io){.op = BLK_IO_READ,
							      .length = SIZE,
							      .iov = &iov,
							      .iov_count = 1}),
			 SIZE);
	for (uint64_t i = offset; i < offset + length; i++)
		assert_int_equal(bytes[i], value);
	free(bytes);
}

static int64_t zero(const struct blk_image *image, uint64_t offset, uint64_t length, bool unmap)
{
	return blk_image_do(image, &(struct blk_io){.op = BLK_IO_ZERO,
						    .unmap = unmap,
						    .through = true,
						    .offset = offset,
						    .length = length});
}

static void check_operations(const struct blk_image *image)
{
	uint8_t pattern[1536];
	struct iovec iov = {pattern, sizeof(pattern)};

	memset(pattern, 0x3c, sizeof(pattern));
	fill(image);
	/* Across blocks, inside one, whole ones, all, nothing. */
	assert_int_equal(zero(image, 3584, 9216, false), 0);
	assert_bytes(image, 0, 3584, 0xa5);
	assert_bytes(image, 3584, 9216, 0);
	assert_bytes(image, 12800, 4096, 0xa5);
	assert_int_equal(zero(image, 20480 + 512, 512, true), 0);
	assert_bytes(image, 20480 + 512, 512, 0);
	assert_bytes(image, 20480 + 1024, 3072, 0xa5);
	assert_bytes(image, 20480, 512, 0xa5);
	assert_int_equal(zero(image, 65536, 131072, true), 0);
	assert_bytes(image, 65536, 131072, 0);
	assert_bytes(image, 65536 + 131072, 512, 0xa5);
	assert_int_equal(zero(image, 0, 0, true), 0);
	assert_int_equal(blk_image_do(image, &(struct blk_io){.op = BLK_IO_WRITE_UNALIGNED,
							      .offset = 400 * 512,
							      .length = sizeof(pattern),
							      .iov = &iov,
							      .iov_count = 1,
							      .through = true}),
			 sizeof(pattern));
	assert_bytes(image, 400 * 512, sizeof(pattern), 0x3c);
	assert_bytes(image, 399 * 512, 512, 0xa5);
	assert_bytes(image, 403 * 512, 512, 0xa5);
	/* A hint may do nothing, but never more than it was told. */
	assert_int_equal(blk_image_do(image, &(struct blk_io){.op = BLK_IO_DISCARD,
							      .offset = 800 * 512,
							      .length = 100 * 512}),
			 0);
	assert_bytes(image, 799 * 512, 512, 0xa5);
	assert_bytes(image, 900 * 512, 512, 0xa5);
	assert_int_equal(blk_image_do(image, &(struct blk_io){.op = BLK_IO_DISCARD,
							      .offset = 512 * 511,
							      .length = 512}),
			 0);
	assert_int_equal(blk_image_do(image, &(struct blk_io){.op = BLK_IO_FLUSH}), 0);
}

static void test_file_operations(void **state _unused_)
{
	for (unsigned int direct = 0; direct < 2; direct++) {
		struct virtio_blk_config config = config_for(path);
		struct blk_image image;

		config.direct = direct;
		make_file(SIZE);
		assert_int_equal(blk_image_open(&image, &config, NULL), 0);
		check_operations(&image);
		blk_image_close(&image);
	}
}

static void test_block_devices(void **state _unused_)
{
	static const uint32_t blocks[] = {512, 4096};

	for (unsigned int i = 0; i < 4; i++) {
		struct virtio_blk_config config;
		struct blk_image image, other;

		make_file(SIZE);
		if (!make_loop(blocks[i / 2])) {
			print_message("block devices are not tested: no free loop device here "
				      "(needs root and /dev/loop-control)\n");
			skip();
		}
		config = config_for(loop_path);
		config.direct = i % 2;
		assert_int_equal(blk_image_open(&image, &config, NULL), 0);
		assert_true(image.block_device);
		assert_int_equal(image.size, SIZE);
		assert_int_equal(image.limits.block_size, blocks[i / 2]);
		assert_true(image.limits.max_discard_sectors > 0);
		assert_true(image.limits.max_zeroes_sectors > 0);
		assert_non_null(strstr(image.identity, path)); /* what the loop device is made of */
		assert_refused_image(&config, -EBUSY, "in use");
		check_operations(&image);
		assert_int_equal(blk_image_compare(&image, image.identity, SIZE, NULL), 0);
		assert_int_equal(blk_image_compare(&image, "block device without a serial number",
						   SIZE, NULL),
				 0);
		assert_int_equal(blk_image_compare(&image, "block device abc", SIZE, NULL),
				 -ESTALE);
		blk_image_close(&image);
		/* Readers share a block device too. */
		config.readonly = true;
		assert_int_equal(blk_image_open(&image, &config, NULL), 0);
		assert_int_equal(image.limits.max_zeroes_sectors, 0);
		assert_int_equal(blk_image_open(&other, &config, NULL), 0);
		blk_image_close(&other);
		blk_image_close(&image);
		free_loop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_no_image, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_sizes, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_locks, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_identity, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_file_operations, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_block_devices, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
