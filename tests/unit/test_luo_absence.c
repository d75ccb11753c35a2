/* SPDX-License-Identifier: Apache-2.0 */
/* Why there is no /dev/liveupdate, told from what a kernel says about itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/device.h"

static void assert_says(const struct error *err, const char *text)
{
	if (!strstr(err->message, text))
		fail_msg("\"%s\" does not say \"%s\"", err->message, text);
}

static void explain(const char *cmdline, const char *config, bool listed, const char *says)
{
	struct luo_host_facts facts = {.cmdline = cmdline, .config = config, .misc_listed = listed};
	struct error err = ERROR_INIT;

	assert_int_equal(luo_explain_absence(&facts, &err), -ENOENT);
	assert_says(&err, says);
}

static void test_absence(void **state _unused_)
{
	static const char with[] = "CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\n";
	static const char with_default[] =
		"CONFIG_LIVEUPDATE=y\nCONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y";
	static const char without[] =
		"CONFIG_KEXEC_HANDOVER=y\n# CONFIG_LIVEUPDATE is not set\nCONFIG_LIVEUPDATE=yes\n";

	explain("quiet", with, true, "mount devtmpfs");
	explain("liveupdate=on", without, false, "without CONFIG_LIVEUPDATE");
	explain(NULL, with, false, "mount /proc");
	explain("quiet", with, false, "boot with liveupdate=on");
	explain("quiet", NULL, false, "does not show its configuration");
	explain("liveupdate=off kho=on", with, false, "boot with liveupdate=on");
	explain("xliveupdate=on", with, false, "boot with liveupdate=on");
	explain("quiet -- liveupdate=on", with, false, "boot with liveupdate=on");
	explain("liveupdate=on", with, false, "kexec handover is off");
	explain("kho=off liveupdate=1\n", with_default, false, "kexec handover is off");
	explain("liveupdate=on", with_default, false, "turned itself off");
	explain("liveupdate=on kho=y", with, false, "turned itself off");
	explain("liveupdate=on", NULL, false, "turned itself off");
}

static void test_switch(void **state _unused_)
{
	bool on = false;

	assert_int_equal(luo_cmdline_switch("", "kho", &on), -ENOENT);
	assert_int_equal(luo_cmdline_switch("kho", "kho", &on), -ENOENT);
	assert_int_equal(luo_cmdline_switch("a kho=on", "kho", &on), 0);
	assert_true(on);
	assert_int_equal(luo_cmdline_switch("kho=on kho=0 b", "kho", &on), 0);
	assert_false(on);
	assert_int_equal(luo_cmdline_switch("kho=", "kho", &on), 0);
	assert_false(on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absence),
		cmocka_unit_test(test_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
