/* moss images: a row for each name of each image. */
#include "cmd/command.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/docker_config.h"
#include "cmd/images_tree.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/rows.h"
#include "cmd/time_option.h"
#include "storage/store/reference.h"

/* clang-format off */
static const struct option images_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Show all images (default hides intermediate images)", false},
	{0, "digests", OPTION_FLAG, NULL, NULL, "Show digests", false},
	{'f', "filter", OPTION_LIST, "filter", NULL, "Filter output based on conditions provided", false},
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{0, "no-trunc", OPTION_FLAG, NULL, NULL, "Don't truncate output", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Only show image IDs", false},
	{0, "tree", OPTION_FLAG, NULL, NULL, "List images with their platforms and what they take, as a tree", false},
	{0},
};
/* clang-format on */

static const char *const filter_keys[] = {
	"before",    "dangling", "label", "label!",
	"reference", "since",	 "until", NULL,
};

/* The pattern as typed, or the reference it names: "docker.io/library/web". */
static bool match_reference(const char *value, const void *data)
{
	const struct image_name *name = data;
	struct reference reference;
	cleanup_free char *whole = NULL;
	cleanup_free char *familiar = NULL;

	if (str_equal(name->repository, ROW_NONE))
		return false;
	whole = str_equal(name->tag, ROW_NONE)
			? xasprintf("%s@%s", name->repository, name->digest)
			: xasprintf("%s:%s", name->repository, name->tag);
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
	const struct image_name *name = data;
	bool wanted = false;

	(void)parse_bool(value, &wanted);
	/* docker's: one that has a digest only is neither, and found by both.
	 */
	return wanted ? str_equal(name->tag, ROW_NONE)
		      : !str_equal(name->repository, ROW_NONE);
}

static bool match_label(const char *value, const void *data)
{
	return label_matches(
		value,
		member_of(((const struct image_name *)data)->image, "Labels"));
}

/* One that does not tell is older than all others. */
static struct timespec created_time(const char *text)
{
	struct timespec time;

	if (parse_time(text, &time) < 0)
		time = (struct timespec){.tv_sec = INT64_MIN};
	return time;
}

static bool earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec
				      : a->tv_nsec < b->tv_nsec;
}

/* When the image was made that before=X or since=X names. */
static int image_time(struct context *context, const char *name,
		      struct timespec *ret_time, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	int r;

	r = engine_image_inspect(&context->engine, name, &json, err);
	if (r < 0)
		return r;
	*ret_time = created_time(text_of(json, "Created"));
	return 0;
}

/* Images made before the one and after the other pass. */
struct bounds {
	struct timespec before;
	struct timespec since;
	bool has_before;
	bool has_since;
};

/* Of several the narrowest counts, as in docker. */
static int add_bound(struct context *context, const char *filter,
		     struct bounds *bounds, struct error *err)
{
	const char *value = strchr(filter, '=') + 1;
	bool until = str_starts(filter, "until=");
	bool since = str_starts(filter, "since=");
	struct timespec time = {0};
	int r;

	if (!until && !since && !str_starts(filter, "before="))
		return 0;
	r = until ? time_option_parse("filter", value, &time, err)
		  : image_time(context, value, &time, err);
	if (r < 0)
		return r;
	if (since && (!bounds->has_since || earlier(&bounds->since, &time))) {
		bounds->since = time;
		bounds->has_since = true;
	}
	if (!since &&
	    (!bounds->has_before || earlier(&time, &bounds->before))) {
		bounds->before = time;
		bounds->has_before = true;
	}
	return 0;
}

static int bounds_of(struct context *context, const struct filters *filters,
		     struct bounds *ret_bounds, struct error *err)
{
	struct bounds bounds = {0};
	int r = 0;

	for (size_t i = 0; r >= 0 && filters->list[i]; i++)
		r = add_bound(context, filters->list[i], &bounds, err);
	*ret_bounds = bounds;
	return r;
}

static bool is_within(const struct bounds *bounds, const cJSON *image)
{
	struct timespec created =
		created_time(text_of(member_of(image, "Moss"), "Created"));

	return (!bounds->has_before || earlier(&created, &bounds->before)) &&
	       (!bounds->has_since || earlier(&bounds->since, &created));
}

static bool passes(const struct filters *filters, const char *wanted,
		   const struct bounds *bounds, const struct image_name *name)
{
	return (!wanted || match_reference(wanted, name)) &&
	       filters_pass(filters, "reference", match_reference, name) &&
	       filters_pass(filters, "dangling", match_dangling, name) &&
	       filters_pass_all(filters, "label", match_label, name) &&
	       !filters_refuse(filters, "label!", match_label, name) &&
	       is_within(bounds, name->image);
}

/* The names that pass, in the order of the images. */
struct selection {
	const struct filters *filters;
	const char *wanted; /* the operand or NULL */
	struct bounds bounds;
	bool whole;
	cJSON *rows;		  /* of the list, or */
	struct images_tree *tree; /* the tree */
};

static void select_name(const struct image_name *name, void *data)
{
	struct selection *selection = data;

	if (!passes(selection->filters, selection->wanted, &selection->bounds,
		    name))
		return;
	if (selection->tree)
		images_tree_add(selection->tree, name);
	else
		json_push(selection->rows, image_row(name, selection->whole));
}

static int select_names(struct context *context, const struct options *options,
			struct selection *selection, struct error *err)
{
	struct filters filters = {option_list(options, "filter")};
	cleanup_json cJSON *images = NULL;
	const cJSON *image;
	int r;

	selection->filters = &filters;
	selection->wanted = options->operands ? options->operands[0] : NULL;
	selection->whole = option_flag(options, "no-trunc");
	r = filters_check(&filters, filter_keys, err);
	r = r < 0 ? r : bounds_of(context, &filters, &selection->bounds, err);
	r = r < 0 ? r
		  : engine_image_list(&context->engine, selection->tree != NULL,
				      &images, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(image, images)
	{
		image_names_visit(image, option_flag(options, "digests"),
				  select_name, selection);
	}
	return 0;
}

static const char raw[] = "repository: {{.Repository}}\n"
			  "tag: {{.Tag}}\n"
			  "image_id: {{.ID}}\n"
			  "created_at: {{.CreatedAt}}\n"
			  "virtual_size: {{.Size}}\n";

static int print_list(struct context *context, const struct options *options,
		      struct error *err)
{
	static const char *const shown[] = {"Repository",   "Tag",  "ID",
					    "CreatedSince", "Size", NULL};
	static const char *const shown_digests[] = {
		"Repository",	"Tag",	"Digest", "ID",
		"CreatedSince", "Size", NULL};
	cleanup_free char *format = docker_config_format(
		options, "imagesFormat", option_flag(options, "quiet"));
	cleanup_json cJSON *rows = json_array();
	struct selection selection = {.rows = rows};
	struct listing listing = {
		.columns = image_columns,
		.shown =
			option_flag(options, "digests") ? shown_digests : shown,
		.format = format,
		.raw = raw,
		.quiet = option_flag(options, "quiet"),
		.quiet_field = "ID",
	};
	int r;

	r = select_names(context, options, &selection, err);
	return r < 0 ? r : listing_print(&listing, rows, err);
}

static int print_tree(struct context *context, const struct options *options,
		      struct error *err)
{
	static const char *const others[] = {"digests", "format", "no-trunc",
					     "quiet", NULL};
	CLEANUP(images_tree_release) struct images_tree tree = {0};
	struct selection selection = {.tree = &tree};
	cleanup_free char *text = NULL;
	struct winsize size = {0};
	int r;

	for (size_t i = 0; others[i]; i++)
		if (option_given(options, others[i]))
			return err_set(err, ERROR_INVALID,
				       "--%s and --tree do not go together",
				       others[i]);
	r = select_names(context, options, &selection, err);
	if (r < 0)
		return r;
	if (isatty(STDOUT_FILENO))
		(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	text = images_tree_text(&tree, size.ws_col, output_color());
	fputs(text, stdout);
	return 0;
}

static int images_main(struct context *context, const struct options *options)
{
	struct error err = {0};
	int r = option_flag(options, "tree")
			? print_tree(context, options, &err)
			: print_list(context, options, &err);

	return r < 0 ? command_fail(context, &err) : 0;
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
