/* SPDX-License-Identifier: Apache-2.0 */
/* Network cards of a configuration, beside its disks: names, slots, what two of them cannot share,
 * and their way through JSON. */
#include "tests/unit/config_test.h"

static void assert_reads(const char *text, struct vm_config *config)
{
	struct error err = ERROR_INIT;

	if (read_text(text, config, &err) < 0)
		fail_msg("%s", error_message(&err));
}

static void test_names_and_slots(void **state _unused_)
{
	struct vm_config config;

	assert_reads("{\"net\": [\"tap=t0\", {\"tap\": \"t1\", \"id\": \"net0\"},"
		     " \"tap=t2,slot=2\", \"tap=t3,id=wan\"],"
		     " \"disk\": [\"path=/a\", \"path=/b\"]}",
		     &config);
	assert_int_equal(config.net_count, 4);
	assert_string_equal(config.nets[0].id, "net1");
	assert_string_equal(config.nets[1].id, "net0");
	assert_string_equal(config.nets[2].id, "net2");
	assert_string_equal(config.nets[3].id, "wan");
	/* Disks come first, around what was given. */
	assert_int_equal(config.disks[0].slot, 1);
	assert_int_equal(config.disks[1].slot, 3);
	assert_int_equal(config.nets[0].slot, 4);
	assert_int_equal(config.nets[1].slot, 5);
	assert_int_equal(config.nets[2].slot, 2);
	assert_int_equal(config.nets[3].slot, 6);
}

/* All that a VM can have are in slots that are theirs. */
static void test_as_many_as_there_can_be(void **state _unused_)
{
	json_t *doc = json_object(), *disks = json_array(), *nets = json_array();
	struct error err = ERROR_INIT;
	struct vm_config config;
	bool used[32] = {false};

	for (unsigned int i = 0; i < VM_DISKS_MAX; i++)
		json_array_append_new(disks, json_sprintf("path=/%u", i));
	for (unsigned int i = 0; i < VM_NETS_MAX; i++)
		json_array_append_new(nets, json_sprintf("tap=t%u", i));
	json_object_set_new(doc, "net", nets);
	json_object_set_new(doc, "disk", disks);
	vm_config_init(&config);
	assert_int_equal(vm_config_from_json(doc, &config, &err), 0);
	for (unsigned int i = 0; i < VM_DISKS_MAX + VM_NETS_MAX; i++) {
		unsigned int slot = i < VM_DISKS_MAX ? config.disks[i].slot
						     : config.nets[i - VM_DISKS_MAX].slot;

		assert_in_range(slot, 1, 27);
		assert_false(used[slot]);
		used[slot] = true;
	}
	json_array_append_new(nets, json_string("tap=one-more"));
	assert_int_equal(vm_config_from_json(doc, &config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "net: a VM can have 8"));
	json_decref(doc);
}

static void test_round_trip(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vm_config config, again;
	json_t *json;

	assert_reads("{\"id\": \"a\", \"net\": [\"tap=t0,bridge=br0,mac=02:00:00:00:00:07,mtu=9000,"
		     "rx_bw_size=1M,rx_bw_refill_time=100\", \"tap=t1,queues=4,offload=off\"]}",
		     &config);
	json = vm_config_to_json(&config);
	assert_non_null(json);
	vm_config_init(&again);
	assert_int_equal(vm_config_from_json(json, &again, &err), 0);
	json_decref(json);
	assert_int_equal(again.net_count, 2);
	assert_memory_equal(again.nets, config.nets, 2 * sizeof(config.nets[0]));
}

static void test_mistakes(void **state _unused_)
{
	static const struct {
		const char *text, *message;
	} wrong[] = {
		{"{\"net\": [\"tap=a,id=x\", \"tap=b,id=x\"]}",
		 "net[1].id: the VM has a device \"x\" already"},
		{"{\"net\": [\"tap=a,id=x\"], \"disk\": [\"path=/a,id=x\"]}",
		 "net[0].id: the VM has a device \"x\" already"},
		{"{\"net\": [\"tap=a,id=rng\"]}", "net[0].id"},
		{"{\"net\": [\"tap=a,id=net\"]}", "net[0].id"},
		{"{\"net\": [\"tap=a,slot=3\", \"tap=b,slot=3\"]}",
		 "net[1].slot: another device is in slot 3"},
		{"{\"net\": [\"tap=a,slot=3\"], \"disk\": [\"path=/a,slot=3\"]}",
		 "net[0].slot: another device is in slot 3"},
		{"{\"net\": {\"tap\": \"a\"}}", "net: must be an array"},
		{"{\"net\": [\"mtu=1500\"]}", "net[0].tap: missing"},
		{"{\"net\": [\"fd=0\"]}", "net[0].fd: descriptor 0: is no tap"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		REFUSED(wrong[i].text, wrong[i].message);
}

static void test_what_two_cannot_share(void **state _unused_)
{
	static const char mac[] = ",mac=02:00:00:00:00:01";
	struct problems problems = {0};
	struct vm_config config;
	char text[128];

	assert_reads("{\"net\": [\"tap=a\", \"tap=a\"]}", &config);
	config_check_nets(&config, &problems);
	assert_non_null(strstr(problems.text, "net net0 and net net1: both are tap a"));
	problems = (struct problems){0};
	snprintf(text, sizeof(text), "{\"net\": [\"tap=a%s\", \"tap=b%s\"]}", mac, mac);
	assert_reads(text, &config);
	config_check_nets(&config, &problems);
	assert_non_null(strstr(problems.text, "net net0 and net net1: both have the same mac"));
	problems = (struct problems){0};
	assert_reads("{\"net\": [\"tap=a\", \"tap=b\"]}", &config);
	config_check_nets(&config, &problems);
	assert_int_equal(problems.count, 0);
}

/* What a configuration without the key means: of a guest that goes on, that it never had vhost. */
static void test_vhost(void **state _unused_)
{
	struct problems problems = {0};
	struct vm_config config;

	assert_reads("{\"net\": [\"tap=a\", \"tap=b,vhost=on\", \"tap=c,vhost=off\"]}", &config);
	vm_config_keep(&config);
	assert_int_equal(config.nets[0].vhost, NET_VHOST_OFF);
	assert_int_equal(config.nets[1].vhost, NET_VHOST_ON);
	assert_int_equal(config.nets[2].vhost, NET_VHOST_OFF);
	/* Asked for, it has to be there; which this host may have or not. */
	config_check_vhost(&config, 0, &problems);
	if (problems.count)
		assert_non_null(strstr(problems.text, "net net1: vhost: /dev/vhost-net"));
	problems = (struct problems){0};
	config_check_vhost(&config, 2, &problems);
	assert_int_equal(problems.count, 0);
	assert_reads("{\"net\": [\"tap=a\", \"tap=b,rx_ops_size=5,rx_ops_refill_time=9\"]}",
		     &config);
	vm_config_decide(&config);
	assert_int_not_equal(config.nets[0].vhost, NET_VHOST_AUTO);
	assert_int_equal(config.nets[1].vhost, NET_VHOST_OFF);
}

static void test_forgotten(void **state _unused_)
{
	struct vm_config config, copy;

	assert_reads("{\"net\": [\"tap=a\", \"tap=b\", \"tap=c\"], \"disk\": [\"path=/a\"]}",
		     &config);
	vm_config_init(&copy);
	vm_config_copy_devices(&copy, &config);
	assert_int_equal(copy.net_count, 3);
	vm_config_forget_device(&config, "net1");
	assert_int_equal(config.net_count, 2);
	assert_string_equal(config.nets[1].tap, "c");
	assert_int_equal(config.disk_count, 1);
	assert_int_equal(vm_config_has_device(&config, "net"), 0);
	assert_int_equal(vm_config_has_device(&config, "net2"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_slots),
		cmocka_unit_test(test_as_many_as_there_can_be),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_what_two_cannot_share),
		cmocka_unit_test(test_vhost),
		cmocka_unit_test(test_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
