/*
 * moss version. There is no daemon: client and server are this one program, and
 * both members of docker's answer are there for the scripts that ask.
 */
#include "cmd/version.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/command.h"
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

/* Members of a client and of a server; there is no compiler of Go to tell of,
   and of two builds of a version nothing tells which it is. */
static cJSON *common_json(void)
{
	cJSON *json = json_object();
	struct utsname names = {0};

	uname(&names);
	json_set_string(json, "Version", MOSS_VERSION);
	json_set_string(json, "ApiVersion", API_VERSION);
	json_set_string(json, "GitCommit", "");
	json_set_string(json, "GoVersion", "");
	json_set_string(json, "Os", "linux");
	json_set_string(json, "Arch", architecture_of(names.machine));
	json_set_string(json, "BuildTime", "");
	return json;
}

cJSON *version_client_json(void)
{
	cJSON *json = common_json();

	json_set_string(json, "DefaultAPIVersion", API_VERSION);
	json_set_string(json, "Context", "default");
	return json;
}

static void set_platform(cJSON *json)
{
	cJSON *platform = json_object();

	json_set_string(platform, "Name", "moss");
	json_set(json, "Platform", platform);
}

static cJSON *engine_component(const cJSON *server)
{
	static const char *const details[] = {
		"ApiVersion", "Arch",	       "BuildTime",	"GitCommit",
		"GoVersion",  "KernelVersion", "MinAPIVersion", "Os"};
	cJSON *component = json_object();
	cJSON *object = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(details); i++)
		json_set_string(object, details[i],
				text_of(server, details[i]));
	json_set_string(object, "Experimental", "false");
	json_set_string(component, "Name", "Engine");
	json_set_string(component, "Version", MOSS_VERSION);
	json_set(component, "Details", object);
	return component;
}

static cJSON *server_json(void)
{
	cJSON *json = common_json();
	cJSON *components = json_array();
	struct utsname names = {0};

	uname(&names);
	set_platform(json);
	json_set_string(json, "MinAPIVersion", API_VERSION);
	json_set_string(json, "KernelVersion", names.release);
	json_push(components, engine_component(json));
	json_set(json, "Components", components);
	return json;
}

static void print_text(const cJSON *version)
{
	const cJSON *client = member_of(version, "Client");
	const cJSON *server = member_of(version, "Server");

	printf("Client:\n");
	printf(" Version:           %s\n", text_of(client, "Version"));
	printf(" API version:       %s\n", text_of(client, "ApiVersion"));
	printf(" OS/Arch:           %s/%s\n", text_of(client, "Os"),
	       text_of(client, "Arch"));
	printf(" Context:           %s\n\n", text_of(client, "Context"));
	printf("Server: %s\n", text_of(member_of(server, "Platform"), "Name"));
	printf(" Engine:\n");
	printf("  Version:          %s\n", text_of(server, "Version"));
	printf("  API version:      %s (minimum version %s)\n",
	       text_of(server, "ApiVersion"), text_of(server, "MinAPIVersion"));
	printf("  OS/Arch:          %s/%s\n", text_of(server, "Os"),
	       text_of(server, "Arch"));
	printf("  Kernel:           %s\n", text_of(server, "KernelVersion"));
	printf("  Experimental:     false\n");
}

static int version_main(struct context *context, const struct options *options)
{
	cleanup_json cJSON *json = json_object();
	const char *format = option_string(options, "format");

	json_set(json, "Client", version_client_json());
	json_set(json, "Server", server_json());
	if (!str_empty(format))
		return format_object(context, format, json);
	print_text(json);
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
