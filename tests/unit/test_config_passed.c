/* SPDX-License-Identifier: Apache-2.0 */
/* What a user says about devices of the host: as an option, as JSON, and what is wrong with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/config_priv.h"

#define SPEC_SLOTS 27 /* docs/devices.md: what disks, cards and devices of the host share */

static struct vm_config config;
static struct problems problems;

static int start(void **state _unused_)
{
	vm_config_init(&config);
	problems = (struct problems){0};
	return 0;
}

/* devices: JSON, an array. */
static void add(const char *devices)
{
	json_t *array = json_loads(devices, 0, NULL);

	assert_non_null(array);
	config_add_passed(array, &config, &problems);
	config_name_devices(&config, &problems);
	json_decref(array);
}

static void assert_problem(const char *devices, const char *text)
{
	start(NULL);
	add(devices);
	if (!strstr(problems.text, text))
		fail_msg("\"%s\" does not say \"%s\"", problems.text, text);
}

static void test_text(void **state _unused_)
{
	add("[\"65:00.0\", \"0000:66:00.1,id=nic,policy=detach,slot=7\", "
	    "\"host=0000:67:00.0,policy=preserve\", \"fd=5,policy=detach\"]");
	assert_string_equal(problems.text, "");
	assert_int_equal(config.device_count, 4);
	assert_string_equal(config.devices[0].host, "0000:65:00.0");
	assert_string_equal(config.devices[0].id, "device0");
	assert_int_equal(config.devices[0].policy, VFIO_PCI_RESET);
	assert_int_equal(config.devices[0].fd, FD_NONE);
	assert_int_equal(config.devices[0].slot, 1);
	assert_string_equal(config.devices[1].id, "nic");
	assert_int_equal(config.devices[1].policy, VFIO_PCI_DETACH);
	assert_int_equal(config.devices[1].slot, 7);
	assert_int_equal(config.devices[2].policy, VFIO_PCI_PRESERVE);
	assert_int_equal(config.devices[2].slot, 2);
	assert_string_equal(config.devices[3].host, "");
	assert_int_equal(config.devices[3].fd, 5);
}

static void test_round_trip(void **state _unused_)
{
	json_t *first, *second;

	add("[{\"host\": \"0000:65:00.0\", \"id\": \"nic\", \"policy\": \"reset\", \"away\": true},"
	    "{\"fd\": 0, \"policy\": \"preserve\", \"slot\": 3}]");
	assert_string_equal(problems.text, "");
	assert_true(config.devices[0].away);
	first = config_passed_to_json(&config);
	vm_config_init(&config);
	config_add_passed(first, &config, &problems);
	assert_string_equal(problems.text, "");
	second = config_passed_to_json(&config);
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
}

static void test_refusals(void **state _unused_)
{
	assert_problem("[\"disk0\"]", "device[0].host: \"disk0\" is no PCI address");
	assert_problem("[\"0000:65:00.0,policy=keep\"]",
		       "policy: must be reset, detach or preserve, not \"keep\"");
	assert_problem("[\"id=nic\"]", "must have either host");
	assert_problem("[{\"host\": \"65:00.0\", \"fd\": 3}]", "must have either host");
	assert_problem("[\"fd=3\"]", "cannot be opened again after an update: say policy=detach");
	assert_problem("[\"65:00.0,slot=28\"]", "device[0].slot");
	assert_problem("[\"65:00.0,id=a b\"]", "printable ASCII without blanks");
	assert_problem("[\"65:00.0,rombar=0\"]", "rombar");
	assert_problem("[7]", "device[0]");
	assert_problem("[\"65:00.0,id=a\", \"66:00.0,id=a\"]", "already");
	assert_problem("[\"65:00.0,id=rng\"]", "already");
	assert_problem("[\"65:00.0,slot=5\", \"66:00.0,slot=5\"]", "in slot 5");
	assert_problem("[\"1:0.0\",\"1:0.1\",\"1:0.2\",\"1:0.3\",\"1:0.4\",\"1:0.5\",\"1:0.6\","
		       "\"1:0.7\",\"2:0.0\"]",
		       "a VM can have 8");
}

static void test_whole(void **state _unused_)
{
	add("[\"ffff:65:00.0,id=a\", \"ffff:65:00.0,id=b\"]");
	config.balloon.on = true;
	config_check_passed(&config, &problems);
	/* There is no such domain on any machine that runs this test. */
	assert_non_null(strstr(problems.text, "device ffff:65:00.0: this host has no such PCI"));
	assert_non_null(strstr(problems.text, "device a and device b: both are ffff:65:00.0"));
	assert_non_null(strstr(problems.text, "balloon and device"));
	/* One that is away for an update is not looked for. */
	start(NULL);
	add("[\"ffff:65:00.0\"]");
	config.devices[0].away = true;
	config_check_passed(&config, &problems);
	assert_string_equal(problems.text, "");
}

static void test_forget(void **state _unused_)
{
	struct vm_config copy;

	add("[\"65:00.0,id=a\", \"66:00.0,id=b\", \"67:00.0,id=c\"]");
	assert_int_equal(vm_config_has_device(&config, "device"), 0);
	vm_config_forget_device(&config, "b");
	assert_int_equal(config.device_count, 2);
	assert_string_equal(config.devices[1].id, "c");
	vm_config_forget_device(&config, "c");
	assert_null(vm_config_find_passed(&config, "c"));
	assert_non_null(vm_config_find_passed(&config, "a"));
	vm_config_init(&copy);
	vm_config_copy_devices(&copy, &config);
	assert_int_equal(copy.device_count, 1);
	/* Nothing else can have its name or its slot. */
	problems = (struct problems){0};
	config_check_place(&copy, "disk[0]", "a", copy.devices[0].slot, &problems);
	assert_non_null(strstr(problems.text, "disk[0].id: the VM has a device \"a\" already"));
	assert_non_null(strstr(problems.text, "disk[0].slot: another device is in slot 1"));
}

/* 16 disks, 8 network cards and 8 devices of the host would be more than there are slots. */
static void test_slots_run_out(void **state _unused_)
{
	config.disk_count = VM_DISKS_MAX;
	for (unsigned int i = 0; i < VM_DISKS_MAX; i++)
		config.disks[i].slot = (uint8_t)(SPEC_SLOTS - i);
	config.net_count = VM_NETS_MAX;
	add("[\"1:0.0\",\"1:0.1\",\"1:0.2\"]");
	assert_string_equal(problems.text, "");
	add("[\"1:0.3\"]");
	assert_non_null(strstr(problems.text, "device3: no PCI slot is left: a VM can have 27"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_text, start),
		cmocka_unit_test_setup(test_round_trip, start),
		cmocka_unit_test_setup(test_refusals, start),
		cmocka_unit_test_setup(test_whole, start),
		cmocka_unit_test_setup(test_forget, start),
		cmocka_unit_test_setup(test_slots_run_out, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
