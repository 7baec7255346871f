/*
 * moss volume create, ls and rm. Inspecting them is in inspect.c.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/docker_config.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/rows.h"

/* clang-format off */
static const struct option create_options[] = {
	{'d', "driver", OPTION_STRING, NULL, "local", "Specify volume driver name", false},
	{0, "label", OPTION_LIST, NULL, NULL, "Set metadata for a volume", false},
	{'o', "opt", OPTION_LIST, "map", NULL, "Set driver specific options", false},
	{0},
};
static const struct option ls_options[] = {
	{'f', "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"dangling=true\")", false},
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Only display volume names", false},
	{0},
};
static const struct option rm_options[] = {
	{'f', "force", OPTION_FLAG, NULL, NULL, "Force the removal of one or more volumes", false},
	{0},
};
/* clang-format on */

const struct listing_column volume_columns[] = {
	{"Driver", "DRIVER"},
	{"Name", "VOLUME NAME"},
	{"Mountpoint", "MOUNTPOINT"},
	{"Scope", "SCOPE"},
	{"Labels", "LABELS"},
	{"Links", "LINKS"},
	{"Size", "SIZE"},
	{"Status", "STATUS"},
	{"Availability", "AVAILABILITY"},
	{"Group", "GROUP"},
	{0},
};

static const char *const filter_keys[] = {"dangling", "driver", "label", "name",
					  NULL};

static int create_main(struct context *context, const struct options *options)
{
	cleanup_json cJSON *body = json_object();
	cleanup_json cJSON *json = NULL;
	struct error err = {0};

	if (options->operands && options->operands[0])
		json_set_string(body, "Name", options->operands[0]);
	json_set_string(body, "Driver", option_string(options, "driver"));
	json_set(body, "Labels", option_map(option_list(options, "label")));
	if (option_given(options, "opt"))
		json_set(body, "DriverOpts",
			 option_map(option_list(options, "opt")));
	if (engine_volume_create(&context->engine, body, &json, &err) < 0)
		return command_fail(context, &err);
	printf("%s\n", text_of(json, "Name"));
	return 0;
}

static bool match_name(const char *value, const void *data)
{
	return name_matches(value, text_of(data, "Name"));
}

static bool match_driver(const char *value, const void *data)
{
	return str_equal(text_of(data, "Driver"), value);
}

static bool match_label(const char *value, const void *data)
{
	return label_matches(value, member_of(data, "Labels"));
}

/* A volume and whether no container mentions it. */
struct use {
	const cJSON *volume;
	bool dangling;
};

static bool match_dangling(const char *value, const void *data)
{
	const struct use *use = data;
	bool wanted = false;

	(void)parse_bool(value, &wanted);
	return use->dangling == wanted;
}

static bool is_used(const cJSON *containers, const char *name)
{
	const cJSON *container, *mount;

	cJSON_ArrayForEach(container, containers)
	{
		cJSON_ArrayForEach(mount, member_of(container, "Mounts"))
		{
			if (str_equal(text_of(mount, "Name"), name))
				return true;
		}
	}
	return false;
}

static bool passes(const struct filters *filters, const cJSON *containers,
		   const cJSON *volume)
{
	struct use use = {
		.volume = volume,
		.dangling = !is_used(containers, text_of(volume, "Name")),
	};

	return filters_pass(filters, "name", match_name, volume) &&
	       filters_pass(filters, "driver", match_driver, volume) &&
	       filters_pass_all(filters, "label", match_label, volume) &&
	       filters_pass(filters, "dangling", match_dangling, &use);
}

cJSON *volume_row(const cJSON *volume)
{
	cleanup_free char *labels = labels_text(member_of(volume, "Labels"));
	cJSON *row = json_object();

	json_set_string(row, "Availability", "N/A");
	json_set_string(row, "Driver", text_of(volume, "Driver"));
	json_set_string(row, "Group", "N/A");
	json_set_string(row, "Labels", labels);
	json_set_string(row, "Links", "N/A");
	json_set_string(row, "Mountpoint", text_of(volume, "Mountpoint"));
	json_set_string(row, "Name", text_of(volume, "Name"));
	json_set_string(row, "Scope", text_of(volume, "Scope"));
	json_set_string(row, "Size", "N/A");
	json_set_string(row, "Status", "N/A");
	return row;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(text_of(*(const cJSON *const *)a, "Name"),
		      text_of(*(const cJSON *const *)b, "Name"));
}

/* Rows by name, and their labels. */
static int rows_of(struct context *context, const struct filters *filters,
		   cJSON *rows, cJSON *labels, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	cleanup_json cJSON *containers = NULL;
	cleanup_free const cJSON **volumes = NULL;
	const cJSON *volume;
	size_t count = 0;
	int r;

	r = filters_check(filters, filter_keys, err);
	r = r < 0 ? r : engine_volume_list(&context->engine, &json, err);
	for (size_t i = 0; r >= 0 && filters->list[i]; i++)
		if (!containers && str_starts(filters->list[i], "dangling="))
			r = engine_container_list(&context->engine,
						  CONTAINER_LIST_ALL,
						  &containers, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(volume, member_of(json, "Volumes"))
	{
		volumes = xrealloc(volumes, count + 1, sizeof(*volumes));
		volumes[count++] = volume;
	}
	if (count > 1)
		qsort(volumes, count, sizeof(*volumes), compare_names);
	for (size_t i = 0; i < count; i++) {
		if (!passes(filters, containers, volumes[i]))
			continue;
		json_push(rows, volume_row(volumes[i]));
		json_push(
			labels,
			cJSON_Duplicate(member_of(volumes[i], "Labels"), true));
	}
	return 0;
}

static int ls_main(struct context *context, const struct options *options)
{
	static const char *const shown[] = {"Driver", "Name", NULL};
	struct filters filters = {option_list(options, "filter")};
	cleanup_free char *format = docker_config_format(
		options, "volumesFormat", option_flag(options, "quiet"));
	cleanup_json cJSON *rows = json_array();
	cleanup_json cJSON *labels = json_array();
	struct listing listing = {
		.columns = volume_columns,
		.shown = shown,
		.format = format,
		.raw = "name: {{.Name}}\ndriver: {{.Driver}}\n",
		.quiet = option_flag(options, "quiet"),
		.quiet_field = "Name",
		.labels = labels,
	};
	struct error err = {0};

	if (rows_of(context, &filters, rows, labels, &err) < 0 ||
	    listing_print(&listing, rows, &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static int rm_main(struct context *context, const struct options *options)
{
	bool force = option_flag(options, "force");
	int code = 0;

	for (size_t i = 0; options->operands[i]; i++) {
		const char *name = options->operands[i];
		struct error err = {0};

		if (engine_volume_remove(&context->engine, name, force, &err) <
		    0)
			code = command_fail(context, &err);
		else
			printf("%s\n", name);
	}
	return code;
}

static const struct option *const create_tables[] = {create_options, NULL};
static const struct option *const ls_tables[] = {ls_options, NULL};
static const struct option *const rm_tables[] = {rm_options, NULL};

const struct command command_volume_create = {
	.name = "volume-create",
	.usage = "[OPTIONS] [VOLUME]",
	.summary = "Create a volume",
	.options = create_tables,
	.operands_max = 1,
	.hidden = true,
	.run = create_main,
};

const struct command command_volume_ls = {
	.name = "volume-ls",
	.usage = "[OPTIONS]",
	.summary = "List volumes",
	.aliases = "moss volume ls, moss volume list",
	.options = ls_tables,
	.hidden = true,
	.run = ls_main,
};

const struct command command_volume_rm = {
	.name = "volume-rm",
	.usage = "[OPTIONS] VOLUME [VOLUME...]",
	.summary = "Remove one or more volumes that no container uses",
	.aliases = "moss volume rm, moss volume remove",
	.options = rm_tables,
	.operands_min = 1,
	.operands_max = -1,
	.hidden = true,
	.run = rm_main,
	.completes = "volume",
};
