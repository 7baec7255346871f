#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/container_filter.h"
#include "cmd/docker_config.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/ports_text.h"
#include "cmd/rows.h"
#include "cmd/text.h"

#define SHORT_ID      12
#define COMMAND_WIDTH 20

/* clang-format off */
static const struct option ps_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Show all containers (default shows just running)", false},
	{'f', "filter", OPTION_LIST, "filter", NULL, "Filter output based on conditions provided", false},
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{'n', "last", OPTION_INT, NULL, NULL, "Show n last created containers (includes all states)", false},
	{'l', "latest", OPTION_FLAG, NULL, NULL, "Show the latest created container (includes all states)", false},
	{0, "no-trunc", OPTION_FLAG, NULL, NULL, "Don't truncate output", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Only display container IDs", false},
	{'s', "size", OPTION_FLAG, NULL, NULL, "Display total file sizes", false},
	{0},
};
/* clang-format on */

const struct listing_column container_columns[] = {
	{"ID", "CONTAINER ID"},	   {"Image", "IMAGE"},
	{"Command", "COMMAND"},	   {"CreatedAt", "CREATED AT"},
	{"RunningFor", "CREATED"}, {"Status", "STATUS"},
	{"State", "STATE"},	   {"Ports", "PORTS"},
	{"Names", "NAMES"},	   {"Labels", "LABELS"},
	{"Mounts", "MOUNTS"},	   {"LocalVolumes", "LOCAL VOLUMES"},
	{"Networks", "NETWORKS"},  {"Size", "SIZE"},
	{"Platform", "PLATFORM"},  {0},
};

const char *container_name(const cJSON *container)
{
	const char *name = cJSON_GetStringValue(
		cJSON_GetArrayItem(member_of(container, "Names"), 0));

	if (!name)
		return "";
	return name[0] == '/' ? name + 1 : name;
}

static char *cut(const char *text, size_t width, bool whole)
{
	return whole ? xstrdup(text) : text_cut(text, width);
}

static char *mounts_text(const cJSON *container, bool whole, size_t *ret_local)
{
	struct str text = {0};
	const cJSON *mount;

	*ret_local = 0;
	cJSON_ArrayForEach(mount, member_of(container, "Mounts"))
	{
		const char *name = text_of(mount, "Name");
		cleanup_free char *shown = NULL;

		if (*name)
			(*ret_local)++;
		else
			name = text_of(mount, "Source");
		shown = cut(name, 15, whole);
		str_appendf(&text, "%s%s", text.length ? "," : "", shown);
	}
	return str_steal(&text);
}

static char *networks_text(const cJSON *container)
{
	struct str text = {0};
	const cJSON *network;

	cJSON_ArrayForEach(
		network,
		member_of(member_of(container, "NetworkSettings"), "Networks"))
	{
		str_appendf(&text, "%s%s", text.length ? "," : "",
			    network->string);
	}
	return str_steal(&text);
}

static char *size_text(const cJSON *container)
{
	cleanup_free char *writable = NULL;
	cleanup_free char *virtual = NULL;

	writable = format_bytes((uint64_t)number_of(container, "SizeRw"));
	virtual = format_bytes((uint64_t)number_of(container, "SizeRootFs"));
	return xasprintf("%s (virtual %s)", writable, virtual);
}

/* An ID short, a name without its digest. Caller frees. */
static char *image_text(const cJSON *container, bool whole)
{
	const char *image = text_of(container, "Image");
	const char *id = text_of(container, "ImageID");
	const char *digest = strchr(image, '@');

	if (!*image)
		return xstrdup("<no image>");
	if (whole)
		return xstrdup(image);
	if (str_starts(image, "sha256:"))
		image += strlen("sha256:");
	if (str_starts(id, "sha256:"))
		id += strlen("sha256:");
	if (strlen(image) >= SHORT_ID && strncmp(image, id, SHORT_ID) == 0)
		return xstrndup(image, SHORT_ID);
	return digest ? xstrndup(image, (size_t)(digest - image))
		      : xstrdup(image);
}

cJSON *container_row(const cJSON *container, bool whole)
{
	cleanup_free char *id = NULL;
	cleanup_free char *quoted = NULL;
	cleanup_free char *command = NULL;
	cleanup_free char *created = NULL;
	cleanup_free char *ago = NULL;
	cleanup_free char *running = NULL;
	cleanup_free char *ports = NULL;
	cleanup_free char *labels = NULL;
	cleanup_free char *mounts = NULL;
	cleanup_free char *networks = NULL;
	cleanup_free char *size = NULL;
	cleanup_free char *volumes = NULL;
	cleanup_free char *image = image_text(container, whole);
	int64_t epoch = number_of(container, "Created");
	cJSON *row = json_object();
	size_t local;

	id = whole ? xstrdup(text_of(container, "Id"))
		   : xstrndup(text_of(container, "Id"), SHORT_ID);
	command = cut(text_of(container, "Command"), COMMAND_WIDTH, whole);
	quoted = text_quote(command);
	created = created_text(epoch);
	ago = format_ago((int64_t)time(NULL) - epoch);
	running = xasprintf("%s ago", ago);
	ports = ports_text(member_of(container, "Ports"));
	labels = labels_text(member_of(container, "Labels"));
	mounts = mounts_text(container, whole, &local);
	volumes = xasprintf("%zu", local);
	networks = networks_text(container);
	size = size_text(container);
	json_set_string(row, "Command", quoted);
	json_set_string(row, "CreatedAt", created);
	json_set_string(row, "ID", id);
	json_set_string(row, "Image", image);
	json_set_string(row, "Labels", labels);
	json_set_string(row, "LocalVolumes", volumes);
	json_set_string(row, "Mounts", mounts);
	json_set_string(row, "Names", container_name(container));
	json_set_string(row, "Networks", networks);
	/* Known of some images only; docker has null then. */
	json_set(row, "Platform", NULL);
	json_set_string(row, "Ports", ports);
	json_set_string(row, "RunningFor", running);
	json_set_string(row, "Size", size);
	json_set_string(row, "State", text_of(container, "State"));
	json_set_string(row, "Status", text_of(container, "Status"));
	return row;
}

/* What is shown where nobody asks for columns. */
static cJSON *default_row(const cJSON *container, bool whole)
{
	cleanup_free char *id =
		xstrndup(text_of(container, "Id"), whole ? SIZE_MAX : SHORT_ID);
	cleanup_free char *image = image_text(container, whole);
	cleanup_free char *command =
		cut(text_of(container, "Command"), COMMAND_WIDTH, whole);
	cleanup_free char *quoted = text_quote(command);
	cleanup_free char *ago = format_ago((int64_t)time(NULL) -
					    number_of(container, "Created"));
	cleanup_free char *running = xasprintf("%s ago", ago);
	cleanup_free char *ports = ports_text(member_of(container, "Ports"));
	cJSON *row = json_object();

	json_set_string(row, "ID", id);
	json_set_string(row, "Image", image);
	json_set_string(row, "Command", quoted);
	json_set_string(row, "RunningFor", running);
	json_set_string(row, "Status", text_of(container, "Status"));
	json_set_string(row, "Ports", ports);
	json_set_string(row, "Names", container_name(container));
	return row;
}

/* All that -q shows. */
static cJSON *id_row(const cJSON *container, bool whole)
{
	cJSON *row = json_object();
	cleanup_free char *id =
		xstrndup(text_of(container, "Id"), whole ? SIZE_MAX : SHORT_ID);

	json_set_string(row, "ID", id);
	return row;
}

/* What of the command line decides about the rows. */
struct wanted {
	const char *format;
	bool quiet;
	bool whole;
	bool size;
	bool brief;   /* the default columns, or fewer, and no filter */
	int64_t last; /* -1: all */
};

static unsigned int list_flags(const struct wanted *wanted, bool all)
{
	return (all ? CONTAINER_LIST_ALL : 0) |
	       (wanted->size ? CONTAINER_LIST_SIZE : 0) |
	       (wanted->brief ? CONTAINER_LIST_BRIEF : 0);
}

static int rows_of(struct context *context, const struct options *options,
		   const struct wanted *wanted, cJSON *rows, cJSON *labels,
		   struct error *err)
{
	const struct filters filters = {option_list(options, "filter")};
	CLEANUP(container_ancestors_close)
	struct container_ancestors ancestors = {0};
	struct container_bounds bounds;
	cleanup_json cJSON *containers = NULL;
	bool all = option_flag(options, "all") || wanted->last >= 0 ||
		   container_filters_ask_all(&filters);
	int64_t last = wanted->last;
	const cJSON *container;
	int r;

	r = container_filters_check(&filters, err);
	r = r < 0 ? r
		  : container_bounds_read(&context->engine, &filters, &bounds,
					  err);
	if (r < 0)
		return r;
	/* A bound can be one that does not run. */
	r = engine_container_list(&context->engine,
				  list_flags(wanted, all || bounds.any),
				  &containers, err);
	if (r < 0)
		return r;
	container_ancestors_open(&context->engine, &filters, &ancestors);
	cJSON_ArrayForEach(container, containers)
	{
		if (last == 0)
			break;
		if (!container_bounds_pass(&bounds, container) ||
		    (!all && !container_runs(container)) ||
		    !container_filters_pass(&filters, container) ||
		    !container_ancestors_pass(&ancestors, container))
			continue;
		last -= last > 0;
		if (wanted->quiet) {
			json_push(rows, id_row(container, wanted->whole));
			continue;
		}
		if (wanted->brief) {
			json_push(rows, default_row(container, wanted->whole));
			continue;
		}
		json_push(rows, container_row(container, wanted->whole));
		json_push(
			labels,
			cJSON_Duplicate(member_of(container, "Labels"), true));
	}
	return 0;
}

static struct wanted wanted_of(const struct options *options,
			       const char *format)
{
	struct wanted wanted = {
		.format = format,
		.quiet = option_flag(options, "quiet"),
		.whole = option_flag(options, "no-trunc"),
		.last = option_flag(options, "latest") ? 1 : -1,
	};

	wanted.size = option_flag(options, "size") ||
		      (format && !wanted.quiet && strstr(format, ".Size"));
	wanted.brief = !wanted.size && (wanted.quiet || str_empty(format)) &&
		       !option_list(options, "filter")[0];
	if (option_given(options, "last") && wanted.last < 0)
		wanted.last = option_number(options, "last");
	return wanted;
}

static const char raw[] = "container_id: {{.ID}}\n"
			  "image: {{.Image}}\n"
			  "command: {{.Command}}\n"
			  "created_at: {{.CreatedAt}}\n"
			  "state: {{- pad .State 1 0}}\n"
			  "status: {{- pad .Status 1 0}}\n"
			  "names: {{.Names}}\n"
			  "labels: {{- pad .Labels 1 0}}\n"
			  "ports: {{- pad .Ports 1 0}}\n";

static int ps_main(struct context *context, const struct options *options)
{
	static const char *const shown[] = {"ID",	  "Image",  "Command",
					    "RunningFor", "Status", "Ports",
					    "Names",	  NULL};
	static const char *const shown_size[] = {
		"ID",	 "Image", "Command", "RunningFor", "Status",
		"Ports", "Names", "Size",    NULL};
	cleanup_free char *format = docker_config_format(
		options, "psFormat", option_flag(options, "quiet"));
	const struct wanted wanted = wanted_of(options, format);
	cleanup_json cJSON *rows = json_array();
	cleanup_json cJSON *labels = json_array();
	struct listing listing = {
		.columns = container_columns,
		.shown = option_flag(options, "size") ? shown_size : shown,
		.format = wanted.quiet ? NULL : format,
		.raw = raw,
		.quiet = wanted.quiet,
		.quiet_field = "ID",
		.labels = labels,
	};
	struct error err = {0};

	if (wanted.quiet && !str_empty(format))
		report_warning("Ignoring custom format, because both --format "
			       "and --quiet are set.");
	if (rows_of(context, options, &wanted, rows, labels, &err) < 0 ||
	    listing_print(&listing, rows, &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static const struct option *const tables[] = {ps_options, NULL};

const struct command command_ps = {
	.name = "ps",
	.usage = "[OPTIONS]",
	.summary = "List containers",
	.aliases = "moss container ls, moss container list, moss container ps, "
		   "moss ps",
	.options = tables,
	.run = ps_main,
	.group = "Common Commands",
};
