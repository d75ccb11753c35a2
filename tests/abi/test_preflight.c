/* SPDX-License-Identifier: Apache-2.0 */
/* luo/preflight: a host that can be updated, and every finding that speaks against it. */
#include <errno.h>
#include <linux/memfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/preflight/preflight.h"
#include "tests/abi/fake_kernel.h"
#include "tests/abi/host_tree.h"

#define CMDLINE "console=ttyS0 kho=on liveupdate=on"

struct host {
	struct host_tree tree;
	char kernel[128], initrd[128], program[128];
	struct preflight_request request;
};

static void put_kernel(struct host *h, const char *path, const struct fake_kernel *fake)
{
	size_t size;
	uint8_t *data = fake_kernel_make(fake, &size);

	host_tree_put(&h->tree, path, data, size);
	free(data);
}

/* A host of Linux 7.2 that is fine, and a kernel 7.3 for it. */
static void host_open(struct host *h, const struct fake_kernel *next)
{
	memset(h, 0, sizeof(*h));
	host_tree_make(&h->tree);
	host_tree_put_text(&h->tree, "/proc/sys/kernel/osrelease", "7.2.12-holdfast\n");
	host_tree_put_text(&h->tree, "/proc/cmdline", "BOOT_IMAGE=/vmlinuz " CMDLINE "\n");
	host_tree_put_text(&h->tree, "/proc/meminfo",
			   "MemTotal: 8000000 kB\nMemAvailable:    1448576 kB\n"
			   "CmaTotal: 500000 kB\nCmaFree:    400000 kB\n");
	host_tree_put_text(&h->tree, "/proc/sys/kernel/kexec_load_disabled", "0\n");
	host_tree_put_text(&h->tree, "/sys/kernel/debug/kho/out/scratch_phys",
			   "0x1000000\n0x20000000\n");
	host_tree_put_text(&h->tree, "/sys/kernel/debug/kho/out/scratch_len",
			   "0x1000000\n0x4000000\n");
	host_tree_put_text(&h->tree, "/initrd", "070701 an archive");
	put_kernel(h, "/next", next);
	snprintf(h->kernel, sizeof(h->kernel), "%s", host_tree_path(&h->tree, "/next"));
	snprintf(h->initrd, sizeof(h->initrd), "%s", host_tree_path(&h->tree, "/initrd"));
	h->request.kernel = h->kernel;
	h->request.initrd = h->initrd;
	h->request.root = h->tree.root;
}

static void run(struct host *h, struct report *report)
{
	struct error err = ERROR_INIT;

	*report = (struct report){0};
	assert_int_equal(preflight_run(&h->request, report, &err), 0);
}

static void host_close(struct host *h)
{
	host_tree_remove(&h->tree);
}

/* Exactly these errors and warnings, in any order; codes separated by blanks. */
static void expect(struct host *h, const char *codes)
{
	_cleanup_report_ struct report report = {0};
	size_t wanted = 0;
	char text[512] = "", list[256], *rest;

	run(h, &report);
	for (size_t i = 0; i < report.count; i++)
		if (report.findings[i].severity != SEVERITY_INFO) {
			strcat(text, report.findings[i].code);
			strcat(text, " ");
			assert_true(report.findings[i].reason[0] != '\0');
			assert_true(report.findings[i].way_out[0] != '\0');
		}
	snprintf(list, sizeof(list), "%s", codes);
	for (char *code = strtok_r(list, " ", &rest); code; code = strtok_r(NULL, " ", &rest)) {
		if (!report_find(&report, code))
			fail_msg("%s is missing in: %s", code, text);
		wanted++;
	}
	if (report_count(&report, SEVERITY_ERROR) + report_count(&report, SEVERITY_WARNING) !=
	    wanted)
		fail_msg("wanted \"%s\", got \"%s\"", codes, text);
}

static void expect_with(const struct fake_kernel *next, const char *cmdline, const char *codes)
{
	struct host h;

	host_open(&h, next);
	h.request.cmdline = cmdline;
	expect(&h, codes);
	host_close(&h);
}

static void test_good(void **state _unused_)
{
	static const struct fake_kernel with_config = {
		.config =
			"CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\nCONFIG_LIVEUPDATE_MEMFD=y\n"
			"CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y\nCONFIG_KVM=m\n"
			"CONFIG_KEXEC_FILE=y\n"};
	_cleanup_report_ struct report report = {0};
	struct host h;
	json_t *json;

	expect_with(&(struct fake_kernel){0}, NULL, "");
	expect_with(&with_config, "liveupdate=1", "");
	host_open(&h, &with_config);
	run(&h, &report);
	assert_true(report_ok(&report));
	assert_string_equal(report_find(&report, "abi-match")->reason,
			    "7.3.4-fake reads what this kernel (7.2.12-holdfast) writes: kho-v4, "
			    "luo-v5, memfd-v2 (known from the sources of Linux 7.2.x)");
	json = report_to_json(&report);
	assert_true(json_is_true(json_object_get(json, "ok")));
	assert_int_equal(json_array_size(json_object_get(json, "findings")), report.count);
	json_decref(json);
	host_close(&h);
}

static void test_kernels(void **state _unused_)
{
	static const char cmdline[] = CMDLINE;
	struct host h;

	expect_with(&(struct fake_kernel){.kho = "kho-v5"}, cmdline, "abi-kho");
	expect_with(&(struct fake_kernel){.luo = "luo-v6"}, cmdline, "abi-luo");
	expect_with(&(struct fake_kernel){.memfd = "memfd-v3"}, cmdline, "abi-memfd");
	expect_with(&(struct fake_kernel){.kho = "", .luo = "", .memfd = ""}, cmdline,
		    "kernel-no-kho kernel-no-liveupdate kernel-no-memfd");
	expect_with(&(struct fake_kernel){.config = "CONFIG_KEXEC_HANDOVER=y\n"}, cmdline,
		    "kernel-no-liveupdate kernel-no-memfd kernel-no-kvm kernel-no-kexec-file");
	expect_with(&(struct fake_kernel){.compression = "lzo"}, cmdline, "kernel-compression");
	expect_with(&(struct fake_kernel){.xloadflags = 2}, cmdline, "kernel-format");
	expect_with(&(struct fake_kernel){.init_size = 100 << 20}, cmdline, "scratch-too-small");
	host_open(&h, &(struct fake_kernel){0});
	assert_int_equal(truncate(h.kernel, 9000), 0);
	expect(&h, "kernel-truncated");
	unlink(h.kernel);
	expect(&h, "kernel-unreadable");
	snprintf(h.kernel, sizeof(h.kernel), "%s", h.tree.root);
	expect(&h, "kernel-unreadable");
	host_close(&h);
}

static void test_cmdlines(void **state _unused_)
{
	static const struct fake_kernel plain = {0};
	static const struct fake_kernel overriding = {
		.config =
			"CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\nCONFIG_LIVEUPDATE_MEMFD=y\n"
			"CONFIG_KVM=y\nCONFIG_KEXEC_FILE=y\nCONFIG_CMDLINE_BOOL=y\n"
			"CONFIG_CMDLINE=\"quiet\"\nCONFIG_CMDLINE_OVERRIDE=y\n"};
	char lengthy[3000] = CMDLINE " ";

	memset(lengthy + strlen(CMDLINE) + 1, 'x', 2000);
	expect_with(&plain, "kho=on", "cmdline-liveupdate");
	expect_with(&plain, "kho=on liveupdate=off", "cmdline-liveupdate");
	expect_with(&plain, "kho=on liveupdate=maybe", "cmdline-liveupdate");
	expect_with(&plain, "kho=on -- liveupdate=on", "cmdline-liveupdate");
	expect_with(&plain, "liveupdate=on", "cmdline-kho");
	expect_with(&plain, "liveupdate=on kho=on kho=0", "cmdline-kho");
	expect_with(&plain, lengthy, "cmdline-too-long");
	expect_with(&plain, CMDLINE " mem=2G", "cmdline-memory");
	expect_with(&plain, CMDLINE " elfcorehdr=0x1000", "cmdline-kdump");
	expect_with(&plain, CMDLINE " kho_scratch=16M,64M,64M", "cmdline-kho-scratch");
	expect_with(&overriding, CMDLINE, "cmdline-liveupdate cmdline-kho");
}

static void test_host_findings(void **state _unused_)
{
	struct host h;

	host_open(&h, &(struct fake_kernel){.xloadflags = 0x3});
	host_tree_put_text(&h.tree, "/proc/sys/kernel/kexec_load_disabled", "1\n");
	host_tree_put_text(&h.tree, "/sys/kernel/security/lockdown",
			   "none [integrity] confidentiality\n");
	host_tree_put_text(&h.tree, "/proc/cpuinfo", "flags\t\t: fpu la57 npt\n");
	host_tree_put_text(&h.tree, "/initrd", "garbage and more of it");
	expect(&h, "kexec-disabled kexec-lockdown kernel-5level initrd-format");
	host_close(&h);

	host_open(&h, &(struct fake_kernel){0});
	host_tree_put_text(&h.tree, "/proc/sys/kernel/osrelease", "6.99.0\n");
	unlink(host_tree_path(&h.tree, "/sys/kernel/debug/kho/out/scratch_len"));
	h.request.initrd = "/nowhere";
	expect(&h, "abi-unknown scratch-unknown initrd-unreadable");
	/* Its image tells what the table does not. */
	put_kernel(&h, "/boot/vmlinuz-6.99.0", &(struct fake_kernel){.release = "6.99.0"});
	h.request.initrd = NULL;
	expect(&h, "scratch-unknown");
	put_kernel(&h, "/boot/vmlinuz-6.99.0",
		   &(struct fake_kernel){.release = "6.99.0", .kho = "", .luo = "", .memfd = ""});
	expect(&h, "host-no-kho scratch-unknown");
	put_kernel(&h, "/boot/vmlinuz-6.99.0",
		   &(struct fake_kernel){.release = "6.99.0", .luo = "", .memfd = ""});
	expect(&h, "host-no-liveupdate scratch-unknown");
	put_kernel(&h, "/boot/vmlinuz-6.99.0",
		   &(struct fake_kernel){.release = "6.99.0", .memfd = ""});
	expect(&h, "host-no-memfd scratch-unknown");
	host_close(&h);
}

/*
 * Its own names: literals, and what its handlers carry. What lies elsewhere in its image may be
 * pages that it has freed: another kernel, for one, that this program has just looked into.
 */
static void test_running(void **state _unused_)
{
	static const char literals[] = "\0kho-v4\0luo-v5", handler[] = "\0memfd-v2";
	static const char freed[] = "\0memfd-v3";
	_Alignas(4096) static uint8_t memory[4 * 4096];
	struct fixture f = {.image = {.data = memory, .size = sizeof(memory)}};
	const unsigned int base = FIXTURE_BASE;
	char iomem[192];
	struct host h;

	memcpy(memory, freed, sizeof(freed));
	memcpy(memory + 4096 + 100, literals, sizeof(literals));
	memcpy(memory + 8192, freed, sizeof(freed));
	memcpy(memory + 12288, handler, sizeof(handler));
	snprintf(iomem, sizeof(iomem),
		 "00000000-ffffffff : System RAM\n  %08x-%08x : Kernel rodata\n"
		 "  %08x-%08x : Kernel data\n",
		 base + 4096, base + 8191, base + 12288, base + 16383);
	host_open(&h, &(struct fake_kernel){0});
	host_tree_put_text(&h.tree, "/proc/sys/kernel/osrelease", "9.9.9\n");
	host_tree_put_text(&h.tree, "/proc/iomem", iomem);
	expect(&h, "abi-unknown");
	host_tree_put_memory(&h.tree, "/proc/kcore", &f, true);
	expect(&h, "");
	put_kernel(&h, "/next", &(struct fake_kernel){.memfd = "memfd-v3"});
	expect(&h, "abi-memfd");
	memset(memory + 12288, 0, 4096);
	host_tree_put_memory(&h.tree, "/proc/kcore", &f, true);
	expect(&h, "host-no-memfd");
	memset(memory, 0, sizeof(memory));
	host_tree_put_memory(&h.tree, "/proc/kcore", &f, true);
	expect(&h, "host-no-kho");
	host_close(&h);
}

/* Descriptors of a process, as links to files that are what vmm would have. */
static void put_fd(struct host *h, const char *fd, const char *target)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/4711/fd/%s", fd);
	unlink(host_tree_path(&h->tree, path));
	host_tree_link(&h->tree, path, target);
}

/* One that says its version, as the vmm does. */
static void put_program(struct host *h, const char *path, const char *version)
{
	char text[64];

	snprintf(text, sizeof(text), "#!/bin/sh\necho '%s'\n", version);
	host_tree_put_text(&h->tree, path, text);
	snprintf(h->program, sizeof(h->program), "%s", host_tree_path(&h->tree, path));
	assert_int_equal(chmod(h->program, 0755), 0);
}

#define CONFIG_WHOLE                                                                              \
	"CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\nCONFIG_LIVEUPDATE_MEMFD=y\nCONFIG_KVM=y\n" \
	"CONFIG_KEXEC_FILE=y\n"

/* A device of the kernel's that is opened anew: known only where the image tells. */
static void test_vhost_vsock(void **state _unused_)
{
	static const struct {
		struct fake_kernel next;
		const char *codes;
	} cases[] = {
		{{.config = CONFIG_WHOLE}, "vm-vhost-vsock"},
		{{.config = CONFIG_WHOLE "CONFIG_VHOST_VSOCK=m\n"}, ""},
		{{.config = CONFIG_WHOLE "CONFIG_VHOST_VSOCK=y\n"}, ""},
		{{.config = NULL}, ""},
	};
	struct preflight_vm vm = {.id = "web1", .pid = 4711, .preserve = true, .phase = "running"};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host h;

		host_open(&h, &cases[i].next);
		h.request.vms = &vm;
		h.request.vm_count = 1;
		put_fd(&h, "3", "/dev/vhost-vsock");
		expect(&h, cases[i].codes);
		put_fd(&h, "3", "/dev/null");
		expect(&h, "");
		host_close(&h);
	}
}

/* One that can do without is mentioned, once for a VM. */
static void test_vhost_net(void **state _unused_)
{
	static const struct {
		struct fake_kernel next;
		bool told;
	} cases[] = {
		{{.config = CONFIG_WHOLE}, true},
		{{.config = CONFIG_WHOLE "CONFIG_VHOST_NET=y\n"}, false},
		{{.config = NULL}, false},
	};
	struct preflight_vm vm = {.id = "web1", .pid = 4711, .preserve = true, .phase = "running"};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host h;
		unsigned int told = 0;

		host_open(&h, &cases[i].next);
		h.request.vms = &vm;
		h.request.vm_count = 1;
		put_fd(&h, "3", "/dev/vhost-net");
		put_fd(&h, "4", "/dev/vhost-net");
		expect(&h, "");
		{
			_cleanup_report_ struct report report = {0};

			run(&h, &report);
			for (size_t k = 0; k < report.count; k++)
				told += strcmp(report.findings[k].code, "vm-vhost-net") == 0;
		}
		assert_int_equal(told, cases[i].told);
		host_close(&h);
	}
}

/* Of a VM whose devices stay with it. running, next: NULL: without such handlers. */
static void expect_kept(const char *const *running, const char *const *next, const char *cmdline,
			const char *codes)
{
	struct preflight_vm vm = {.id = "web1",
				  .pid = 4711,
				  .preserve = true,
				  .phase = "running",
				  .keeps_devices = true};
	struct host h;

	host_open(&h, &(struct fake_kernel){.handlers = next});
	host_tree_put_text(&h.tree, "/proc/sys/kernel/osrelease", "6.99.0\n");
	put_kernel(&h, "/boot/vmlinuz-6.99.0",
		   &(struct fake_kernel){.release = "6.99.0", .handlers = running});
	h.request.cmdline = cmdline;
	h.request.vms = &vm;
	h.request.vm_count = 1;
	put_fd(&h, "3", "/dev/iommu");
	put_fd(&h, "4", "/dev/vfio/devices/vfio0");
	put_fd(&h, "5", "/dev/vfio/devices/vfio1");
	expect(&h, codes);
	host_close(&h);
}

static void test_devices_that_stay(void **state _unused_)
{
	static const char *const ours[] = {"iommufd-v1", "vfio-pci-v1", "holdfast-iommu-v1", NULL};
	static const char *const later[] = {"iommufd-v1", "vfio-pci-v1", "holdfast-iommu-v2", NULL};
	static const char *const theirs[] = {"iommufd-v1", "vfio-pci-v1", "iommu-liveupdate-v1",
					     NULL};
	static const char good[] = CMDLINE " intel_iommu=on liveupdate_devices=on,60";

	expect_kept(ours, ours, good, "");
	expect_kept(theirs, theirs, CMDLINE, "");
	expect_kept(ours, NULL, good, "vm-device-preserve");
	expect_kept(NULL, ours, good, "vm-device-preserve");
	expect_kept(ours, later, good, "vm-device-preserve");
	/* The files have the same names, and what goes with them does not. */
	expect_kept(ours, theirs, good, "vm-device-preserve");
	expect_kept(theirs, ours, good, "vm-device-preserve");
	expect_kept(ours, ours, CMDLINE " intel_iommu=on", "cmdline-devices");
	expect_kept(ours, ours, CMDLINE " intel_iommu=on liveupdate_devices=off",
		    "cmdline-devices");
	expect_kept(ours, ours, CMDLINE " liveupdate_devices=on", "cmdline-devices");
	expect_kept(ours, ours, CMDLINE " intel_iommu=off liveupdate_devices=on",
		    "cmdline-devices");
	expect_kept(ours, ours, CMDLINE " intel_iommu=on iommu=off liveupdate_devices=on",
		    "cmdline-devices");
	expect_kept(ours, ours, CMDLINE " intel_iommu=on,sm_on liveupdate_devices=on",
		    "cmdline-devices");
	expect_kept(ours, ours, CMDLINE " intel_iommu=on pci=assign-busses liveupdate_devices=on",
		    "cmdline-devices");
	expect_kept(ours, ours, CMDLINE " intel_iommu=on,sm_off pci=noaer liveupdate_devices=on",
		    "");
}

static void test_vms(void **state _unused_)
{
	struct preflight_vm vm = {.id = "web1", .pid = 4711, .preserve = true, .phase = "running"};
	struct host h;

	host_open(&h, &(struct fake_kernel){0});
	h.request.vms = &vm;
	h.request.vm_count = 1;
	put_fd(&h, "3", "/dev/null");
	expect(&h, "");
	put_fd(&h, "4", "/dev/vfio/devices/vfio0");
	expect(&h, "vm-fd-handler");
	put_fd(&h, "4", "anon_inode:[iommufd]");
	expect(&h, "vm-fd-handler");
	put_fd(&h, "4", "/dev/null");
	vm.phase = "failed";
	expect(&h, "vm-phase");
	vm.phase = "running";
	vm.binary = "/nowhere/vmm";
	expect(&h, "vmm-missing");
	/* The one that runs is 0.3; what would take it up is older, the same, and newer. */
	put_program(&h, "/vmm", "vmm (holdfast) 0.2.9");
	vm.binary = h.program;
	vm.version = "0.3.0";
	expect(&h, "vmm-older");
	put_program(&h, "/vmm", "vmm (holdfast) 0.3.0");
	expect(&h, "");
	put_program(&h, "/vmm", "vmm (holdfast) 0.10");
	expect(&h, "");
	put_program(&h, "/vmm", "hello");
	expect(&h, "vmm-missing");
	vm.binary = NULL;
	vm.preserve = false;
	expect(&h, "vm-not-preserved");
	vm.preserve = true;
	vm.pid = 4712;
	expect(&h, "vm-unreadable");
	host_close(&h);
}

/* This process's own memfds, seen through its own /proc. */
static void test_memfds(void **state _unused_)
{
	struct preflight_vm vm = {
		.id = "web1", .pid = getpid(), .preserve = true, .phase = "running"};
	int fd = memfd_create("holdfast-ram-0", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct host h;
	char path[64];

	assert_true(fd >= 0);
	host_open(&h, &(struct fake_kernel){0});
	snprintf(path, sizeof(path), "/proc/%d", getpid());
	host_tree_link(&h.tree, path, path);
	h.request.vms = &vm;
	h.request.vm_count = 1;
	assert_int_equal(ftruncate(fd, 64 << 20), 0);
	expect(&h, "");
	/* 900 MiB of the GiB that is available, then more than that, then more than a memfd may be.
	 */
	assert_int_equal(ftruncate(fd, 900 << 20), 0);
	expect(&h, "memory-headroom");
	assert_int_equal(ftruncate(fd, 2LL << 30), 0);
	expect(&h, "memory-headroom");
	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	expect(&h, "memory-headroom vm-memfd-too-large");
	/* All that is available is in the scratch areas. */
	host_tree_put_text(&h.tree, "/proc/meminfo", "MemAvailable: 1000 kB\nCmaFree: 1000 kB\n");
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	expect(&h, "memory-headroom");
	close(fd);
	/* Not executable and so sealed: Linux mm/memfd.c. */
	fd = memfd_create("holdfast-ram-0", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	if (fd >= 0)
		expect(&h, "vm-memfd-noexec");
	else
		assert_int_equal(errno, EINVAL); /* before Linux 6.3 */
	close(fd);
	host_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_kernels),
		cmocka_unit_test(test_cmdlines),
		cmocka_unit_test(test_host_findings),
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_vms),
		cmocka_unit_test(test_vhost_vsock),
		cmocka_unit_test(test_vhost_net),
		cmocka_unit_test(test_devices_that_stay),
		cmocka_unit_test(test_memfds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
