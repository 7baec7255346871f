#include "cmd/command.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
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
	{"ID", "CONTAINER ID"},
	{"Image", "IMAGE"},
	{"Command", "COMMAND"},
	{"CreatedAt", "CREATED AT"},
	{"RunningFor", "CREATED"},
	{"Status", "STATUS"},
	{"State", "STATE"},
	{"Ports", "PORTS"},
	{"Names", "NAMES"},
	{"Labels", "LABELS"},
	{"Mounts", "MOUNTS"},
	{"LocalVolumes", "LOCAL VOLUMES"},
	{"Networks", "NETWORKS"},
	{"Size", "SIZE"},
	{0},
};

static const char *const filter_keys[] = {
	"ancestor", "before",  "exited",  "expose", "health", "id",	"label",
	"name",	    "network", "publish", "since",  "status", "volume", NULL,
};

/* "/www" without its slash. */
static const char *name_of(const cJSON *container)
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
	json_set_string(row, "Image", text_of(container, "Image"));
	json_set_string(row, "Labels", labels);
	json_set_string(row, "LocalVolumes", volumes);
	json_set_string(row, "Mounts", mounts);
	json_set_string(row, "Names", name_of(container));
	json_set_string(row, "Networks", networks);
	json_set_string(row, "Ports", ports);
	json_set_string(row, "RunningFor", running);
	json_set_string(row, "Size", size);
	json_set_string(row, "State", text_of(container, "State"));
	json_set_string(row, "Status", text_of(container, "Status"));
	return row;
}

static bool match_id(const char *value, const void *data)
{
	return str_starts(text_of(data, "Id"), value);
}

/* docker takes a name filter for a regular expression. */
static bool match_name(const char *value, const void *data)
{
	regex_t regex;
	bool matched;

	if (regcomp(&regex, value, REG_EXTENDED | REG_NOSUB) != 0)
		return strstr(name_of(data), value) != NULL;
	matched = regexec(&regex, name_of(data), 0, NULL, 0) == 0;
	regfree(&regex);
	return matched;
}

static bool match_status(const char *value, const void *data)
{
	return str_equal(text_of(data, "State"), value);
}

static bool match_label(const char *value, const void *data)
{
	return label_matches(value, member_of(data, "Labels"));
}

static bool match_exited(const char *value, const void *data)
{
	int code;

	return str_equal(text_of(data, "State"), "exited") &&
	       sscanf(text_of(data, "Status"), "Exited (%d)", &code) == 1 &&
	       code == atoi(value);
}

static bool match_ancestor(const char *value, const void *data)
{
	const char *image = text_of(data, "Image");
	const char *id = text_of(data, "ImageID");
	size_t length = strlen(value);

	if (str_starts(id, "sha256:") && length >= 4 &&
	    str_starts(id + strlen("sha256:"), value))
		return true;
	return str_equal(id, value) || str_equal(image, value) ||
	       (strncmp(image, value, length) == 0 && image[length] == ':');
}

static bool match_volume(const char *value, const void *data)
{
	const cJSON *mount;

	cJSON_ArrayForEach(mount, member_of(data, "Mounts"))
	{
		if (str_equal(text_of(mount, "Name"), value) ||
		    str_equal(text_of(mount, "Source"), value) ||
		    str_equal(text_of(mount, "Destination"), value))
			return true;
	}
	return false;
}

static bool match_network(const char *value, const void *data)
{
	return cJSON_HasObjectItem(
		member_of(member_of(data, "NetworkSettings"), "Networks"),
		value);
}

/* "80", "80/udp", "8000-8100/tcp" against one side of the ports. */
static bool match_port(const char *value, const void *data, const char *side)
{
	unsigned int first, last;
	const char *slash = strchr(value, '/');
	const cJSON *port;
	int fields = sscanf(value, "%u-%u", &first, &last);

	if (fields < 1)
		return false;
	if (fields == 1)
		last = first;
	cJSON_ArrayForEach(port, member_of(data, "Ports"))
	{
		int64_t number = number_of(port, side);

		if (number >= first && number <= last &&
		    (!slash || str_equal(text_of(port, "Type"), slash + 1)))
			return true;
	}
	return false;
}

static bool match_publish(const char *value, const void *data)
{
	return match_port(value, data, "PublicPort");
}

static bool match_expose(const char *value, const void *data)
{
	return match_port(value, data, "PrivatePort");
}

static bool match_health(const char *value, const void *data)
{
	const char *health = text_of(member_of(data, "Health"), "Status");

	return str_equal(*health ? health : "none", value);
}

static const struct {
	const char *key;
	filter_match match;
} matches[] = {
	{"ancestor", match_ancestor},
	{"exited", match_exited},
	{"expose", match_expose},
	{"health", match_health},
	{"id", match_id},
	{"label", match_label},
	{"name", match_name},
	{"network", match_network},
	{"publish", match_publish},
	{"status", match_status},
	{"volume", match_volume},
};

static const char *const states[] = {"created",	   "running",  "paused",
				     "restarting", "removing", "exited",
				     "dead",	   NULL};
static const char *const healths[] = {"none", "starting", "healthy",
				      "unhealthy", NULL};

static bool is_one_of(const char *value, const char *const *words)
{
	while (*words && !str_equal(*words, value))
		words++;
	return *words != NULL;
}

/* Filters whose values are not free text. */
static int check_values(const struct filters *filters, struct error *err)
{
	for (size_t i = 0; filters->list[i]; i++) {
		const char *value = strchr(filters->list[i], '=') + 1;
		int64_t code;
		bool fine = true;

		if (str_starts(filters->list[i], "exited="))
			fine = parse_i64(value, &code) == 0;
		else if (str_starts(filters->list[i], "status="))
			fine = is_one_of(value, states);
		else if (str_starts(filters->list[i], "health="))
			fine = is_one_of(value, healths);
		if (!fine)
			return err_set(err, ERROR_INVALID,
				       "invalid filter '%s'", filters->list[i]);
	}
	return 0;
}

/* before=X and since=X: the creation time of X, or an error. */
static int bound_time(struct context *context, const struct filters *filters,
		      const char *key, int64_t *ret_time, struct error *err)
{
	size_t length = strlen(key);

	*ret_time = -1;
	for (size_t i = 0; filters->list[i]; i++) {
		cleanup_json cJSON *json = NULL;
		struct timespec created;
		char id[ID_TEXT_MAX];
		int r;

		if (strncmp(filters->list[i], key, length) != 0 ||
		    filters->list[i][length] != '=')
			continue;
		r = engine_container_resolve(&context->engine,
					     filters->list[i] + length + 1, id,
					     err);
		r = r < 0 ? r
			  : engine_container_inspect(&context->engine, id,
						     &json, err);
		if (r < 0)
			return r;
		if (parse_time(text_of(json, "Created"), &created) == 0)
			*ret_time = created.tv_sec;
	}
	return 0;
}

static bool passes(const struct filters *filters, const cJSON *container,
		   int64_t before, int64_t since)
{
	int64_t created = number_of(container, "Created");

	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		if (!filters_pass(filters, matches[i].key, matches[i].match,
				  container))
			return false;
	return (before < 0 || created < before) &&
	       (since < 0 || created > since);
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

static int rows_of(struct context *context, const struct options *options,
		   cJSON *rows, cJSON *labels, struct error *err)
{
	struct filters filters = {option_list(options, "filter")};
	cleanup_json cJSON *containers = NULL;
	bool whole = option_flag(options, "no-trunc");
	bool all = option_flag(options, "all");
	int64_t last = option_flag(options, "latest") ? 1 : -1;
	const char *format = option_string(options, "format");
	bool size = option_flag(options, "size") ||
		    (format && strstr(format, ".Size"));
	int64_t before, since;
	const cJSON *container;
	int r;

	r = filters_check(&filters, filter_keys, err);
	r = r < 0 ? r : check_values(&filters, err);
	r = r < 0 ? r : bound_time(context, &filters, "before", &before, err);
	r = r < 0 ? r : bound_time(context, &filters, "since", &since, err);
	if (r < 0)
		return r;
	if (option_given(options, "last"))
		last = option_number(options, "last");
	for (size_t i = 0; filters.list[i]; i++)
		all = all || str_starts(filters.list[i], "status=") ||
		      str_starts(filters.list[i], "exited=");
	r = engine_container_list(&context->engine, all || last >= 0, size,
				  &containers, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(container, containers)
	{
		if (last == 0)
			break;
		if (!passes(&filters, container, before, since))
			continue;
		last -= last > 0;
		if (option_flag(options, "quiet")) {
			json_push(rows, id_row(container, whole));
			continue;
		}
		json_push(rows, container_row(container, whole));
		json_push(
			labels,
			cJSON_Duplicate(member_of(container, "Labels"), true));
	}
	return 0;
}

static int ps_main(struct context *context, const struct options *options)
{
	static const char *const shown[] = {"ID",	  "Image",  "Command",
					    "RunningFor", "Status", "Ports",
					    "Names",	  NULL};
	static const char *const shown_size[] = {
		"ID",	 "Image", "Command", "RunningFor", "Status",
		"Ports", "Names", "Size",    NULL};
	cleanup_json cJSON *rows = json_array();
	cleanup_json cJSON *labels = json_array();
	struct listing listing = {
		.columns = container_columns,
		.shown = option_flag(options, "size") ? shown_size : shown,
		.format = option_string(options, "format"),
		.quiet = option_flag(options, "quiet"),
		.quiet_field = "ID",
		.labels = labels,
	};
	struct error err = {0};

	if (rows_of(context, options, rows, labels, &err) < 0 ||
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
