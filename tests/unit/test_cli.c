/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/cli: options, the file beneath them, and everything that is refused, all at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/cli.h"

static char kernel[] = "/tmp/holdfast-test-cli-kernel-XXXXXX";
static char file[] = "/tmp/holdfast-test-cli-config-XXXXXX";

static int make_files(void **state _unused_)
{
	int a = mkstemp(kernel), b = mkstemp(file);

	close(a);
	close(b);
	return a < 0 || b < 0;
}

static int remove_files(void **state _unused_)
{
	unlink(kernel);
	unlink(file);
	return 0;
}

static void write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int parse(const char *const *args, struct cli *cli, struct error *err)
{
	int argc = 0;

	while (args[argc])
		argc++;
	return cli_parse(argc, args, cli, err);
}

#define PARSE(cli, err, ...) parse((const char *const[]){"vmm", __VA_ARGS__, NULL}, cli, err)

static void assert_words(const struct error *err, const char *const *words)
{
	for (; *words; words++) {
		if (!strstr(err->message, *words))
			fail_msg("\"%s\" is not in \"%s\"", *words, err->message);
	}
}

#define WORDS(err, ...) assert_words(err, (const char *const[]){__VA_ARGS__, NULL})

static void test_cold(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char disks[3][128];
	struct cli cli;

	snprintf(disks[0], sizeof(disks[0]), "path=%s,id=a,readonly=on", kernel);
	snprintf(disks[1], sizeof(disks[1]), "path=%s,id=b,readonly=on", kernel);
	snprintf(disks[2], sizeof(disks[2]), "--disk=path=%s,id=c,readonly=on", kernel);
	assert_int_equal(PARSE(&cli, &err, "--id", "web1", "--kernel", kernel, "--cpus=2",
			       "--memory", "2G", "--cmdline", "console=ttyS0", "--console", "pty",
			       "--hvc", "pty", "--rng=off", "--preserve-on-update", "--log-level",
			       "debug", "--shutdown-timeout", "5", "--disk", disks[0], disks[1],
			       disks[2]),
			 0);
	assert_int_equal(cli.action, CLI_RUN);
	assert_false(cli.resume);
	assert_string_equal(cli.config.id, "web1");
	assert_int_equal(cli.config.disk_count, 3);
	assert_string_equal(cli.config.disks[0].id, "a");
	assert_string_equal(cli.config.disks[2].id, "c");
	assert_int_equal(cli.config.cpus, 2);
	assert_int_equal(cli.config.memory, 2 * GIB);
	assert_string_equal(cli.config.cmdline, "console=ttyS0");
	assert_int_equal(cli.config.console.mode, CONSOLE_PTY);
	assert_int_equal(cli.config.hvc.mode, CONSOLE_PTY);
	assert_false(cli.config.rng.on);
	assert_true(cli.config.preserve_on_update);
	assert_int_equal(cli.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(cli.shutdown_timeout, 5);
	cli_done(&cli);
}

static void test_command_line_over_file(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;
	char text[512];

	snprintf(
		text, sizeof(text),
		"{\"id\": \"web1\", \"kernel\": \"%s\", \"cpus\": 4, \"preserve-on-update\": true}",
		kernel);
	write_file(text);
	assert_int_equal(
		PARSE(&cli, &err, "--config", file, "--cpus", "8", "--preserve-on-update=false"),
		0);
	assert_string_equal(cli.config.id, "web1");
	assert_int_equal(cli.config.cpus, 8);
	assert_false(cli.config.preserve_on_update);
	cli_done(&cli);
}

static void test_everything_wrong_at_once(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;

	write_file("{\"memmory\": \"1G\", \"initramfs\": \"/no/initramfs\", \"cmdline\": null}");
	assert_int_equal(PARSE(&cli, &err, "--config", file, "--kernel", "/no/kernel", "--cpus",
			       "two", "--cpus", "3", "--speed", "fast", "stray", "--log-level",
			       "loud", "--api-socket"),
			 -EINVAL);
	WORDS(&err, "memmory: unknown key", "initramfs: /no/initramfs: No such file",
	      "cmdline: must be a string", "kernel: /no/kernel: No such file",
	      "--cpus: must be a whole number, not \"two\"", "--cpus: given twice",
	      "--speed: unknown option", "\"stray\": unexpected argument",
	      "log-level: must be error", "--api-socket: needs a value", "id: must be given");
	assert_null(strstr(err.message, "fast"));
}

static void test_wrong_is_not_missing(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;

	assert_int_equal(PARSE(&cli, &err, "--id", "a b", "--kernel"), -EINVAL);
	WORDS(&err, "id: must be 1 to 60", "--kernel: needs a value");
	assert_null(strstr(err.message, "must be given"));
}

static void test_missing_file_hides_nothing_else(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;

	assert_int_equal(PARSE(&cli, &err, "--config", "/no/vm.json", "--cpus", "99"), -EINVAL);
	WORDS(&err, "config: /no/vm.json: No such file", "cpus: must be from 1 to 32");
	assert_null(strstr(err.message, "must be given"));
	write_file("{ \"id\": ");
	assert_int_equal(PARSE(&cli, &err, "--config", file), -EINVAL);
	WORDS(&err, "line 1");
	write_file("{\"id\": \"a\", \"id\": \"b\"}");
	assert_int_equal(PARSE(&cli, &err, "--config", file), -EINVAL);
	WORDS(&err, "duplicate");
	write_file("[1]");
	assert_int_equal(PARSE(&cli, &err, "--config", file), -EINVAL);
	WORDS(&err, "must be a JSON object");
}

static void test_resume(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;

	assert_int_equal(PARSE(&cli, &err, "--resume", "--id", "web1", "--agent", "/run/l",
			       "--console", "off", "--hvc", "pty"),
			 0);
	assert_true(cli.resume);
	assert_string_equal(cli.config.id, "web1");
	assert_string_equal(cli.config.agent, "/run/l");
	assert_int_equal(json_object_size(cli.overrides), 3);
	assert_string_equal(json_string_value(json_object_get(cli.overrides, "hvc")), "pty");
	assert_string_equal(json_string_value(json_object_get(cli.overrides, "agent")), "/run/l");
	assert_string_equal(json_string_value(json_object_get(cli.overrides, "console")), "off");
	cli_done(&cli);
}

static void test_resume_conflicts(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;

	assert_int_equal(PARSE(&cli, &err, "--resume", "--kernel", kernel, "--memory", "1G",
			       "--config", file),
			 -EINVAL);
	WORDS(&err, "--kernel and --resume", "--memory and --resume", "--config and --resume",
	      "--id: must be given");
}

static void test_relative_paths(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;

	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(PARSE(&cli, &err, "--id", "a", "--kernel", kernel + strlen("/tmp/")), 0);
	assert_string_equal(cli.config.kernel, kernel);
	cli_done(&cli);
}

static void test_help_and_version(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct cli cli;

	assert_int_equal(PARSE(&cli, &err, "--nonsense", "--help"), 0);
	assert_int_equal(cli.action, CLI_HELP);
	cli_done(&cli);
	assert_int_equal(PARSE(&cli, &err, "--version"), 0);
	assert_int_equal(cli.action, CLI_VERSION);
	cli_done(&cli);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cold),
		cmocka_unit_test(test_command_line_over_file),
		cmocka_unit_test(test_everything_wrong_at_once),
		cmocka_unit_test(test_wrong_is_not_missing),
		cmocka_unit_test(test_missing_file_hides_nothing_else),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_resume_conflicts),
		cmocka_unit_test(test_relative_paths),
		cmocka_unit_test(test_help_and_version),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
