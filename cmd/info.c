/*
 * moss info: what the engine found on this machine, in docker's layout.
 * Warnings go to standard error, as docker's do.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/format.h"
#include "cmd/member.h"
#include "cmd/text.h"
#include "cmd/version.h"

/* clang-format off */
static const struct option info_options[] = {
	{'f', "format", OPTION_STRING, NULL, NULL, FORMAT_HELP, false},
	{0},
};
/* clang-format on */

/* The value is a machine's or a file's: nothing in it may steer a terminal. */
static void line(int indent, const char *label, const char *value)
{
	cleanup_free char *plain = text_printable(value, true);

	printf("%*s%s%s%s\n", indent, "", label, *plain ? ": " : ":", plain);
}

static void line_of(int indent, const char *label, const cJSON *object,
		    const char *member)
{
	const cJSON *value = member_of(object, member);
	cleanup_free char *number = NULL;

	if (cJSON_IsNumber(value)) {
		number =
			xasprintf("%lld", (long long)number_of(object, member));
		line(indent, label, number);
	} else if (cJSON_IsString(value)) {
		line(indent, label, value->valuestring);
	}
}

/* "a b c" of an array of texts; caller frees. */
static char *words_of(const cJSON *array)
{
	struct str text = {0};
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		if (cJSON_IsString(item))
			str_appendf(&text, "%s%s", text.length ? " " : "",
				    item->valuestring);
	}
	return str_steal(&text);
}

static void words_line(int indent, const char *label, const cJSON *array)
{
	cleanup_free char *words = words_of(array);

	line(indent, label, *words ? words : "none");
}

static void print_drivers(const cJSON *info)
{
	const cJSON *pair, *reason;

	line_of(1, "Storage Driver", info, "Driver");
	cJSON_ArrayForEach(pair, member_of(info, "DriverStatus"))
	{
		const char *name =
			cJSON_GetStringValue(cJSON_GetArrayItem(pair, 0));
		const char *value =
			cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1));

		if (name && value)
			line(2, name, value);
	}
	cJSON_ArrayForEach(reason,
			   member_of(member_of(info, "Moss"), "Drivers"))
	{
		cleanup_free char *plain = NULL;

		if (!cJSON_IsString(reason))
			continue;
		plain = text_printable(reason->valuestring, true);
		printf("  %s\n", plain);
	}
}

/* "name=seccomp,profile=builtin" as docker spreads it. */
static void print_security(const cJSON *info)
{
	const cJSON *item;

	printf(" Security Options:\n");
	cJSON_ArrayForEach(item, member_of(info, "SecurityOptions"))
	{
		cleanup_strv char **parts =
			strv_split(cJSON_GetStringValue(item), ',');

		for (size_t i = 0; parts && parts[i]; i++) {
			char *equals = strchr(parts[i], '=');

			if (!equals)
				continue;
			*equals++ = '\0';
			if (str_equal(parts[i], "name")) {
				printf("  %s\n", equals);
				continue;
			}
			*parts[i] &= (char)~0x20;
			line(3, parts[i], equals);
		}
	}
}

static void print_identity(const cJSON *identity)
{
	cleanup_free char *user = NULL;
	cleanup_free char *ids = NULL;

	if (!identity)
		return;
	user = xasprintf("%s (%lld:%lld)", text_of(identity, "User"),
			 (long long)number_of(identity, "Uid"),
			 (long long)number_of(identity, "Gid"));
	line(1, "User", user);
	if (flag_of(identity, "Mapped"))
		ids = xasprintf("%lld users, %lld groups",
				(long long)number_of(identity, "Uids"),
				(long long)number_of(identity, "Gids"));
	line(2, "IDs", ids ? ids : "1 (single-ID mode: no sub-IDs)");
}

/* Under its heading, if there are any. */
static void print_list(const char *heading, char *const *texts)
{
	if (!texts)
		return;
	printf(" %s:\n", heading);
	for (size_t i = 0; texts[i]; i++) {
		cleanup_free char *plain = text_printable(texts[i], true);

		printf("  %s\n", plain);
	}
}

static void push_texts(char ***texts, const cJSON *array)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		strv_push(texts, cJSON_GetStringValue(item));
	}
}

static void print_registries(const cJSON *registries)
{
	cleanup_strv char **insecure = NULL;
	cleanup_strv char **mirrors = NULL;
	const cJSON *index;

	cJSON_ArrayForEach(index, member_of(registries, "IndexConfigs"))
	{
		if (!flag_of(index, "Secure"))
			strv_push(&insecure, text_of(index, "Name"));
	}
	push_texts(&insecure, member_of(registries, "InsecureRegistryCIDRs"));
	push_texts(&mirrors, member_of(registries, "Mirrors"));
	print_list("Insecure Registries", insecure);
	print_list("Registry Mirrors", mirrors);
}

/* "7.6GiB" */
static char *memory_text(int64_t bytes)
{
	static const char *const units[] = {"B",   "KiB", "MiB",
					    "GiB", "TiB", "PiB"};
	double size = (double)bytes;
	size_t unit = 0;

	while (size >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		size /= 1024;
		unit++;
	}
	return xasprintf("%.4g%s", size, units[unit]);
}

static void flag_line(int indent, const char *label, const cJSON *object,
		      const char *member)
{
	line(indent, label, flag_of(object, member) ? "true" : "false");
}

/* docker leaves out what is empty. */
static void text_line(int indent, const char *label, const cJSON *object,
		      const char *member)
{
	if (*text_of(object, member))
		line_of(indent, label, object, member);
}

/* "moss b" of an object's names; caller frees. */
static char *names_of(const cJSON *object)
{
	struct str text = {0};
	const cJSON *item;

	cJSON_ArrayForEach(item, object)
	{
		str_appendf(&text, "%s%s", text.length ? " " : "",
			    item->string);
	}
	return str_steal(&text);
}

/* There is no client apart from what it asks, but scripts look for both. */
static void print_client(const cJSON *client)
{
	printf("Client:\n");
	printf(" Version:    %s\n", text_of(client, "Version"));
	printf(" Context:    %s\n", text_of(client, "Context"));
	printf(" Debug Mode: false\n\n");
}

static void print_machine(const cJSON *info)
{
	cleanup_free char *memory = memory_text(number_of(info, "MemTotal"));

	line_of(1, "Kernel Version", info, "KernelVersion");
	line_of(1, "Operating System", info, "OperatingSystem");
	line_of(1, "OSType", info, "OSType");
	line_of(1, "Architecture", info, "Architecture");
	line_of(1, "CPUs", info, "NCPU");
	line(1, "Total Memory", memory);
	line_of(1, "Name", info, "Name");
}

static void print_runtimes(const cJSON *info)
{
	cleanup_free char *runtimes = names_of(member_of(info, "Runtimes"));

	line_of(1, "Swarm", member_of(info, "Swarm"), "LocalNodeState");
	line(1, "Runtimes", runtimes);
	line_of(1, "Default Runtime", info, "DefaultRuntime");
}

static void print_text(const cJSON *info)
{
	const cJSON *moss = member_of(info, "Moss");
	const cJSON *plugins = member_of(info, "Plugins");

	print_client(member_of(info, "ClientInfo"));
	printf("Server:\n");
	line_of(1, "Containers", info, "Containers");
	line_of(2, "Running", info, "ContainersRunning");
	line_of(2, "Paused", info, "ContainersPaused");
	line_of(2, "Stopped", info, "ContainersStopped");
	line_of(1, "Images", info, "Images");
	line_of(1, "Server Version", info, "ServerVersion");
	print_drivers(info);
	line_of(1, "Logging Driver", info, "LoggingDriver");
	line_of(1, "Cgroup Driver", info, "CgroupDriver");
	line_of(1, "Cgroup Version", info, "CgroupVersion");
	words_line(2, "Delegated Controllers",
		   member_of(moss, "DelegatedControllers"));
	printf(" Plugins:\n");
	words_line(2, "Volume", member_of(plugins, "Volume"));
	words_line(2, "Network", member_of(plugins, "Network"));
	words_line(2, "Log", member_of(plugins, "Log"));
	print_runtimes(info);
	print_security(info);
	print_identity(member_of(moss, "Identity"));
	print_machine(info);
	text_line(1, "ID", info, "ID");
	line_of(1, "Docker Root Dir", info, "DockerRootDir");
	flag_line(1, "Debug Mode", info, "Debug");
	text_line(1, "HTTP Proxy", info, "HttpProxy");
	text_line(1, "HTTPS Proxy", info, "HttpsProxy");
	text_line(1, "No Proxy", info, "NoProxy");
	flag_line(1, "Experimental", info, "ExperimentalBuild");
	print_registries(member_of(info, "RegistryConfig"));
	flag_line(1, "Live Restore Enabled", info, "LiveRestoreEnabled");
	printf("\n");
}

static void print_warnings(const cJSON *info)
{
	const cJSON *warnings = member_of(info, "Warnings");
	const cJSON *item;

	fflush(stdout);
	cJSON_ArrayForEach(item, warnings)
	{
		const char *text = cJSON_GetStringValue(item);

		if (str_starts(text, "WARNING: "))
			text += strlen("WARNING: ");
		if (text)
			report_warning("%s", text);
	}
	if (cJSON_GetArraySize(warnings) > 0)
		report_warning("moss doctor tells what can be done about it");
}

static cJSON *client_info(void)
{
	cJSON *client = version_client_json();

	/* What it speaks is the server's, above. */
	cJSON_DeleteItemFromObjectCaseSensitive(client, "ApiVersion");
	json_set_bool(client, "Debug", false);
	json_set(client, "Plugins", json_array());
	json_set(client, "Warnings", NULL);
	return client;
}

static int info_main(struct context *context, const struct options *options)
{
	const char *format = option_string(options, "format");
	cleanup_json cJSON *info = NULL;
	struct error err = {0};

	if (engine_info(&context->engine, &info, &err) < 0)
		return command_fail(context, &err);
	json_set(info, "ClientInfo", client_info());
	if (!str_empty(format))
		return format_object(context, format, info);
	print_text(info);
	/* The note on single-ID mode is among them. */
	print_warnings(info);
	return 0;
}

static const struct option *const tables[] = {info_options, NULL};

const struct command command_info = {
	.name = "info",
	.usage = "[OPTIONS]",
	.summary = "Display system-wide information",
	.aliases = "moss system info, moss info",
	.options = tables,
	.run = info_main,
	.group = "Common Commands",
};
