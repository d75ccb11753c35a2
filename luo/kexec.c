/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/kexec.h"

#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "luo/device.h"
#include "luo/reasons.h"

static const struct luo_reason load_reasons[] = {
	{EADDRNOTAVAIL, 0,
	 "kernel and initrd do not fit in the memory that KHO keeps free for them; use a smaller"
	 " initrd, or boot this host once with a larger kho_scratch= (the size is inherited from"
	 " kernel to kernel, so a kexec does not change it)"},
	{ENOEXEC, 0, "it is not a kernel that kexec_file_load can start; give a bzImage"},
	{EINVAL, 0,
	 "the kernel refuses it: not a bootable image, or a command line that is too long"},
	{EBUSY, 0, "another kexec is being loaded or started; try again"},
	{EPERM, 0,
	 "not allowed: CAP_SYS_BOOT is missing, or kernel.kexec_load_disabled or the lockdown of"
	 " this kernel forbids it"},
	{EKEYREJECTED, 0, "its signature is not accepted; sign it with a key this kernel trusts"},
	{ENOKEY, 0, "its signature is of a key that this kernel does not know"},
	{ENODATA, 0, "it is not signed and this kernel wants a signature"},
	{EBADMSG, 0, "its signature is broken"},
	{ENOSYS, 0, "this kernel is built without CONFIG_KEXEC_FILE; boot one that has it"},
	{ENOMEM, 0, "the kernel is out of memory; free some on this host and try again"},
	{EFBIG, 0, "a file is too large to be loaded"},
	{0, 0, "see the kernel log"},
};

static const struct luo_reason reboot_reasons[] = {
	{EINVAL, 0, "no kernel is loaded; load one first"},
	{EBUSY, 0,
	 "another kexec is under way, or a preserved file is not ready to be handed over; the"
	 " kernel log (\"luo\") names it"},
	{EPERM, 0, "not allowed: CAP_SYS_BOOT is missing"},
	{0, 0,
	 "the kernel refused to hand over what is preserved; its log (\"luo\") names the file"},
};

static int read_running_cmdline(char *buf, size_t size, struct error *err)
{
	_cleanup_fd_ int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;

	if (n < 0)
		return error_sys(err, -errno, "/proc/cmdline");
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

int kexec_check_cmdline(const char *cmdline, const char *running, struct error *err)
{
	char own[KEXEC_CMDLINE_MAX * 2];
	bool on = false;

	if (strlen(cmdline) >= KEXEC_CMDLINE_MAX)
		return error_set(err, -EINVAL,
				 "command line of the next kernel: %zu bytes, and it may have %d",
				 strlen(cmdline), KEXEC_CMDLINE_MAX - 1);
	if (luo_cmdline_switch(cmdline, "liveupdate", &on) < 0 || !on)
		return error_set(
			err, -EINVAL,
			"command line of the next kernel: without liveupdate=on it would drop"
			" every guest; add it");
	if (luo_cmdline_switch(cmdline, "kho", &on) == 0) {
		if (on)
			return 0;
		return error_set(err, -EINVAL,
				 "command line of the next kernel: with kho off it would drop every"
				 " guest; say kho=on");
	}
	if (!running) {
		int r = read_running_cmdline(own, sizeof(own), err);

		if (r < 0)
			return r;
		running = own;
	}
	/* A kernel may have it on by default; the next one is taken to be built like this one. */
	if (luo_cmdline_switch(running, "kho", &on) == 0)
		return error_set(
			err, -EINVAL,
			"command line of the next kernel: without kho=on it would drop every"
			" guest; add it");
	return 0;
}

int kexec_reuse_cmdline(char buf[KEXEC_CMDLINE_MAX], struct error *err)
{
	static const char *const boot_loader[] = {"BOOT_IMAGE=", "initrd="};
	char running[KEXEC_CMDLINE_MAX * 2], *rest = running, *word;
	size_t used = 0;
	int r = read_running_cmdline(running, sizeof(running), err);

	if (r < 0)
		return r;
	buf[0] = '\0';
	while ((word = strsep(&rest, " "))) {
		bool skip = word[0] == '\0';

		for (unsigned int i = 0; i < ARRAY_SIZE(boot_loader); i++)
			skip |= strncmp(word, boot_loader[i], strlen(boot_loader[i])) == 0;
		if (skip)
			continue;
		if (used + strlen(word) + 2 > KEXEC_CMDLINE_MAX)
			return error_set(err, -E2BIG,
					 "/proc/cmdline: too long to be used again; give one");
		used += (size_t)snprintf(buf + used, KEXEC_CMDLINE_MAX - used, "%s%s",
					 used ? " " : "", word);
	}
	return 0;
}

static int open_image(const char *what, const char *path, int *ret_fd, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, -errno, "%s %s", what, path);
	*ret_fd = fd;
	return 0;
}

int kexec_load(const struct kexec_image *image, struct error *err)
{
	bool has_initrd = image->initrd && image->initrd[0];
	_cleanup_fd_ int kernel = FD_NONE, initrd = FD_NONE;
	unsigned long flags = has_initrd ? 0 : KEXEC_FILE_NO_INITRAMFS;
	int r;

	r = open_image("kernel", image->kernel, &kernel, err);
	if (r == 0 && has_initrd)
		r = open_image("initrd", image->initrd, &initrd, err);
	if (r < 0)
		return r;
	if (syscall(SYS_kexec_file_load, kernel, has_initrd ? initrd : -1,
		    strlen(image->cmdline) + 1, image->cmdline, flags) < 0)
		return luo_reason_set(load_reasons, errno, err, "kernel %s%s%s: cannot load it",
				      image->kernel, has_initrd ? " with initrd " : "",
				      has_initrd ? image->initrd : "");
	return 0;
}

int kexec_unload(struct error *err)
{
	if (syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, KEXEC_FILE_UNLOAD) < 0)
		return luo_reason_set(load_reasons, errno, err, "kexec: cannot unload the image");
	return 0;
}

int kexec_reboot(struct error *err)
{
	/* The C library's reboot() hides this command's name from nobody, but takes one argument.
	 */
	if (syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC,
		    NULL) < 0)
		return luo_reason_set(reboot_reasons, errno, err, "reboot into the loaded kernel");
	return error_set(err, -EIO, "reboot into the loaded kernel: came back without an error");
}
