/*
 * moss version. There is no daemon: client and server are this one program, and
 * both members of docker's answer are there for the scripts that ask.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/format.h"
#include "cmd/member.h"

#define API_VERSION "1.48" /* of the objects that inspect and ps show */

/* clang-format off */
static const struct option version_options[] = {
	{'f', "format", OPTION_STRING, NULL, NULL, FORMAT_HELP, false},
	{0},
};

/* The kernel's names of machines to those of container images. */
static const struct {
	const char *machine;
	const char *architecture;
} architectures[] = {
	{"x86_64", "amd64"},
	{"aarch64", "arm64"},
	{"armv7l", "arm"},
	{"i686", "386"},
	{"riscv64", "riscv64"},
	{"ppc64le", "ppc64le"},
	{"s390x", "s390x"},
};
/* clang-format on */

static const char *architecture_of(const char *machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		if (str_equal(architectures[i].machine, machine))
			return architectures[i].architecture;
	return machine;
}

static cJSON *version_json(void)
{
	cJSON *json = json_object();
	struct utsname names = {0};

	uname(&names);
	json_set_string(json, "ApiVersion", API_VERSION);
	json_set_string(json, "Arch", architecture_of(names.machine));
	json_set_string(json, "KernelVersion", names.release);
	json_set_string(json, "Os", "linux");
	json_set_string(json, "Version", MOSS_VERSION);
	return json;
}

static void print_text(const cJSON *version)
{
	printf("moss:\n");
	printf(" Version:       %s\n", text_of(version, "Version"));
	printf(" API version:   %s\n", text_of(version, "ApiVersion"));
	printf(" OS/Arch:       %s/%s\n", text_of(version, "Os"),
	       text_of(version, "Arch"));
	printf(" Kernel:        %s\n", text_of(version, "KernelVersion"));
}

static int version_main(struct context *context, const struct options *options)
{
	cleanup_json cJSON *json = json_object();
	const char *format = option_string(options, "format");
	cJSON *version = version_json();

	json_set(json, "Client", version);
	json_set(json, "Server", cJSON_Duplicate(version, true));
	if (!str_empty(format))
		return format_object(context, format, json);
	print_text(version);
	return 0;
}

static const struct option *const tables[] = {version_options, NULL};

const struct command command_version = {
	.name = "version",
	.usage = "[OPTIONS]",
	.summary = "Show the moss version information",
	.options = tables,
	.no_engine = true,
	.run = version_main,
	.group = "Common Commands",
};
