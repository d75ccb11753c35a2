/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of a configuration: names, slots, what two of them cannot share, and their way through
 * JSON. */
#include <unistd.h>

#include "tests/unit/config_test.h"

static void test_names_and_slots(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_config config;

	assert_int_equal(read_text("{\"disk\": [\"path=/a\", {\"path\": \"/b\", \"id\": \"disk0\"},"
				   " \"path=/c,slot=1\", \"path=/d,id=data,readonly=on\"]}",
				   &config, &err),
			 0);
	assert_int_equal(config.disk_count, 4);
	/* What was given stays, what was not goes around it. */
	assert_string_equal(config.disks[0].id, "disk1");
	assert_string_equal(config.disks[1].id, "disk0");
	assert_string_equal(config.disks[2].id, "disk2");
	assert_string_equal(config.disks[3].id, "data");
	assert_int_equal(config.disks[0].slot, 2);
	assert_int_equal(config.disks[1].slot, 3);
	assert_int_equal(config.disks[2].slot, 1);
	assert_int_equal(config.disks[3].slot, 4);
	assert_true(config.disks[3].readonly);
}

static void test_round_trip(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_config config, again;
	json_t *json;

	assert_int_equal(read_text("{\"id\": \"a\", \"disk\": "
				   "[\"path=/a,direct=on,bw_size=1M,bw_refill_time=100\","
				   " \"path=/b,num_queues=4,serial=xyz\"]}",
				   &config, &err),
			 0);
	json = vm_config_to_json(&config);
	assert_non_null(json);
	vm_config_init(&again);
	assert_int_equal(vm_config_from_json(json, &again, &err), 0);
	json_decref(json);
	assert_int_equal(again.disk_count, 2);
	assert_memory_equal(again.disks, config.disks, 2 * sizeof(config.disks[0]));
}

static void test_refusals(void **state _unused_)
{
	REFUSED("{\"disk\": \"path=/a\"}", "disk: must be an array");
	REFUSED("{\"disk\": [\"readonly=on\"]}", "disk[0].path: missing");
	REFUSED("{\"disk\": [\"path=/a\", \"path=/b,size=3\"]}", "disk[1].size: unknown key");
	REFUSED("{\"disk\": [\"path=/a,id=x\", \"path=/b,id=x\"]}",
		"disk[1].id: the VM has a device \"x\" already");
	REFUSED("{\"disk\": [\"path=/a,id=rng\"]}", "a device \"rng\" already");
	REFUSED("{\"disk\": [\"path=/a,slot=5\", \"path=/b,slot=5\"]}",
		"disk[1].slot: another device is in slot 5");
	REFUSED("{\"disk\": [\"path=/a,slot=30\"]}", "disk[0].slot");
}

static void test_too_many(void **state _unused_)
{
	json_t *array = json_array();
	struct problems problems = {0};
	struct vm_config config;

	vm_config_init(&config);
	for (unsigned int i = 0; i <= VM_DISKS_MAX; i++)
		json_array_append_new(array, json_sprintf("path=/d%u", i));
	config_add_disks(array, &config, &problems);
	json_decref(array);
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(problems.text, "disk: a VM can have 16"));
}

static void test_added_and_forgotten(void **state _unused_)
{
	json_t *more = json_pack("[s]", "path=/c");
	struct problems problems = {0};
	struct error err = ERROR_INIT;
	struct vm_config config;

	assert_int_equal(read_text("{\"disk\": [\"path=/a\", \"path=/b\"]}", &config, &err), 0);
	vm_config_forget_device(&config, "disk0");
	assert_int_equal(config.disk_count, 1);
	assert_string_equal(config.disks[0].path, "/b");
	assert_int_equal(config.disks[0].slot, 2);
	config_add_disks(more, &config, &problems);
	json_decref(more);
	config_name_devices(&config, &problems);
	assert_int_equal(problems.count, 0);
	/* The other one keeps its name and its slot. */
	assert_string_equal(config.disks[0].id, "disk1");
	assert_int_equal(config.disks[0].slot, 2);
	assert_string_equal(config.disks[1].id, "disk0");
	assert_int_equal(config.disks[1].slot, 1);
	assert_int_equal(vm_config_has_device(&config, "disk"), 0);
}

static void test_checked_on_this_host(void **state _unused_)
{
	char image[] = "/tmp/holdfast-image-XXXXXX";
	int fd = mkstemp(image);
	struct problems problems = {0};
	struct error err = ERROR_INIT;
	struct vm_config config;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(read_text("{\"disk\": [\"path=/no/such,id=a\", \"path=/tmp,id=b\","
				   " \"path=X,id=c\", \"path=X,id=d,readonly=on\"]}",
				   &config, &err),
			 0);
	memcpy(config.disks[2].path, image, sizeof(image));
	memcpy(config.disks[3].path, image, sizeof(image));
	config_check_disks(&config, &problems);
	assert_non_null(strstr(problems.text, "disk a: /no/such: No such file"));
	assert_non_null(strstr(problems.text, "disk b: /tmp is neither a file nor a block device"));
	assert_non_null(strstr(problems.text, "disk c and disk d: both are /tmp/holdfast-image-"));
	assert_int_equal(problems.count, 3);

	/* Several may read one image. */
	problems = (struct problems){0};
	config.disks[2].readonly = true;
	memmove(&config.disks[0], &config.disks[2], 2 * sizeof(config.disks[0]));
	config.disk_count = 2;
	config_check_disks(&config, &problems);
	assert_int_equal(problems.count, 0);
	unlink(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_slots),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_added_and_forgotten),
		cmocka_unit_test(test_checked_on_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
