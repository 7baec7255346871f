/* moss images: a row for each name of each image. */
#include "cmd/command.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/time_option.h"
#include "storage/digest.h"
#include "storage/reference.h"

#define NONE "<none>"

/* clang-format off */
static const struct option images_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Show all images (default hides intermediate images)", false},
	{0, "digests", OPTION_FLAG, NULL, NULL, "Show digests", false},
	{'f', "filter", OPTION_LIST, "filter", NULL, "Filter output based on conditions provided", false},
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{0, "no-trunc", OPTION_FLAG, NULL, NULL, "Don't truncate output", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Only show image IDs", false},
	{0},
};
/* clang-format on */

static const struct listing_column columns[] = {
	{"Repository", "REPOSITORY"},
	{"Tag", "TAG"},
	{"Digest", "DIGEST"},
	{"ID", "IMAGE ID"},
	{"CreatedSince", "CREATED"},
	{"CreatedAt", "CREATED AT"},
	{"Size", "SIZE"},
	{"Containers", "CONTAINERS"},
	{"VirtualSize", "SIZE"},
	{"SharedSize", "SHARED SIZE"},
	{"UniqueSize", "UNIQUE SIZE"},
	{0},
};

static const char *const filter_keys[] = {
	"before", "dangling", "label", "reference", "since", "until", NULL,
};

/* An image under one of its names; repository and tag NONE for none. */
struct name {
	const cJSON *image;
	const char *repository;
	const char *tag;
};

/* The pattern as typed, or the reference it names: "docker.io/library/web". */
static bool match_reference(const char *value, const void *data)
{
	const struct name *name = data;
	struct reference reference;
	cleanup_free char *whole = NULL;
	cleanup_free char *familiar = NULL;

	if (str_equal(name->repository, NONE))
		return false;
	whole = xasprintf("%s:%s", name->repository, name->tag);
	if (fnmatch(value, name->repository, FNM_PATHNAME) == 0 ||
	    fnmatch(value, whole, FNM_PATHNAME) == 0)
		return true;
	if (reference_parse(value, &reference, NULL) < 0 || reference.digest[0])
		return false;
	familiar = reference_is_name_only(value)
			   ? reference_familiar_name(&reference)
			   : reference_familiar(&reference);
	return str_equal(familiar, reference_is_name_only(value)
					   ? name->repository
					   : whole);
}

static bool match_dangling(const char *value, const void *data)
{
	const struct name *name = data;
	bool wanted = false;

	(void)parse_bool(value, &wanted);
	return str_equal(name->repository, NONE) == wanted;
}

static bool match_label(const char *value, const void *data)
{
	return label_matches(
		value, member_of(((const struct name *)data)->image, "Labels"));
}

/* When the image was made that before=X or since=X names. */
static int image_time(struct context *context, const char *name,
		      int64_t *ret_time, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	struct timespec created;
	int r;

	r = engine_image_inspect(&context->engine, name, &json, err);
	if (r < 0)
		return r;
	*ret_time = parse_time(text_of(json, "Created"), &created) == 0
			    ? created.tv_sec
			    : 0;
	return 0;
}

/* Images made before or at these times pass. */
struct bounds {
	int64_t before;
	int64_t since;
};

static int bounds_of(struct context *context, const struct filters *filters,
		     struct bounds *ret_bounds, struct error *err)
{
	struct bounds bounds = {.before = INT64_MAX, .since = INT64_MIN};
	int r = 0;

	for (size_t i = 0; r >= 0 && filters->list[i]; i++) {
		const char *value = strchr(filters->list[i], '=') + 1;
		struct timespec time;

		if (str_starts(filters->list[i], "before=")) {
			r = image_time(context, value, &bounds.before, err);
		} else if (str_starts(filters->list[i], "since=")) {
			r = image_time(context, value, &bounds.since, err);
		} else if (str_starts(filters->list[i], "until=")) {
			r = time_option_parse("filter", value, &time, err);
			if (r >= 0)
				bounds.before = time.tv_sec;
		}
	}
	*ret_bounds = bounds;
	return r;
}

static bool passes(const struct filters *filters, const char *wanted,
		   const struct bounds *bounds, const struct name *name)
{
	int64_t created = number_of(name->image, "Created");

	return (!wanted || match_reference(wanted, name)) &&
	       filters_pass(filters, "reference", match_reference, name) &&
	       filters_pass(filters, "dangling", match_dangling, name) &&
	       filters_pass(filters, "label", match_label, name) &&
	       created < bounds->before && created > bounds->since;
}

/* The digest under which the repository has it. */
static const char *digest_of(const struct name *name)
{
	size_t length = strlen(name->repository);
	const cJSON *item;

	cJSON_ArrayForEach(item, member_of(name->image, "RepoDigests"))
	{
		const char *text = cJSON_GetStringValue(item);

		if (text && strncmp(text, name->repository, length) == 0 &&
		    text[length] == '@')
			return text + length + 1;
	}
	return NONE;
}

static cJSON *row_of(const struct name *name, bool whole)
{
	const char *id = text_of(name->image, "Id");
	int64_t created = number_of(name->image, "Created");
	char short_id[DIGEST_SHORT_MAX];
	cleanup_free char *created_at = NULL;
	cleanup_free char *since = NULL;
	cleanup_free char *size = NULL;
	cJSON *row = json_object();

	digest_short(short_id, id);
	size = format_bytes((uint64_t)number_of(name->image, "Size"));
	if (created > 0) {
		cleanup_free char *ago =
			format_ago((int64_t)time(NULL) - created);

		created_at = created_text(created);
		since = xasprintf("%s ago", ago);
	}
	json_set_string(row, "Containers", "N/A");
	json_set_string(row, "CreatedAt", created_at ? created_at : "N/A");
	json_set_string(row, "CreatedSince", since ? since : "N/A");
	json_set_string(row, "Digest", digest_of(name));
	json_set_string(row, "ID", whole ? id : short_id);
	json_set_string(row, "Repository", name->repository);
	json_set_string(row, "SharedSize", "N/A");
	json_set_string(row, "Size", size);
	json_set_string(row, "Tag", name->tag);
	json_set_string(row, "UniqueSize", "N/A");
	json_set_string(row, "VirtualSize", size);
	return row;
}

static int rows_of(struct context *context, const struct options *options,
		   cJSON *rows, struct error *err)
{
	struct filters filters = {option_list(options, "filter")};
	const char *wanted = options->operands ? options->operands[0] : NULL;
	bool whole = option_flag(options, "no-trunc");
	cleanup_json cJSON *images = NULL;
	struct bounds bounds;
	const cJSON *image;
	int r;

	r = filters_check(&filters, filter_keys, err);
	r = r < 0 ? r : bounds_of(context, &filters, &bounds, err);
	r = r < 0 ? r
		  : engine_image_list(&context->engine, false, &images, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(image, images)
	{
		const cJSON *tags = member_of(image, "RepoTags");
		struct name name = {
			.image = image, .repository = NONE, .tag = NONE};
		const cJSON *tag;

		if (!tags || !tags->child)
			if (passes(&filters, wanted, &bounds, &name))
				json_push(rows, row_of(&name, whole));
		cJSON_ArrayForEach(tag, tags)
		{
			cleanup_free char *text =
				xstrdup(cJSON_GetStringValue(tag));
			char *colon = text ? strrchr(text, ':') : NULL;

			if (!colon)
				continue;
			*colon = '\0';
			name.repository = text;
			name.tag = colon + 1;
			if (passes(&filters, wanted, &bounds, &name))
				json_push(rows, row_of(&name, whole));
		}
	}
	return 0;
}

static int images_main(struct context *context, const struct options *options)
{
	static const char *const shown[] = {"Repository",   "Tag",  "ID",
					    "CreatedSince", "Size", NULL};
	static const char *const shown_digests[] = {
		"Repository",	"Tag",	"Digest", "ID",
		"CreatedSince", "Size", NULL};
	cleanup_json cJSON *rows = json_array();
	struct listing listing = {
		.columns = columns,
		.shown =
			option_flag(options, "digests") ? shown_digests : shown,
		.format = option_string(options, "format"),
		.quiet = option_flag(options, "quiet"),
		.quiet_field = "ID",
	};
	struct error err = {0};

	if (rows_of(context, options, rows, &err) < 0 ||
	    listing_print(&listing, rows, &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static const struct option *const tables[] = {images_options, NULL};

const struct command command_images = {
	.name = "images",
	.usage = "[OPTIONS] [REPOSITORY[:TAG]]",
	.summary = "List images",
	.aliases = "moss image ls, moss image list, moss images",
	.options = tables,
	.operands_max = 1,
	.run = images_main,
	.group = "Common Commands",
	.completes = "image",
};
