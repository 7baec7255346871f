/*
 * moss container, volume, network, image, builder and system prune: what nobody
 * needs goes, after a question.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/prompt.h"
#include "cmd/time_option.h"

/* clang-format off */
static const struct option container_options[] = {
	{0, "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"until=<timestamp>\")", false},
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not prompt for confirmation", false},
	{0},
};
static const struct option volume_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Remove all unused volumes, not just anonymous ones", false},
	{0, "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"label=<label>\")", false},
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not prompt for confirmation", false},
	{0},
};
static const struct option network_options[] = {
	{0, "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"until=<timestamp>\")", false},
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not prompt for confirmation", false},
	{0},
};
static const struct option image_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Remove all unused images, not just dangling ones", false},
	{0, "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"until=<timestamp>\")", false},
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not prompt for confirmation", false},
	{0},
};
static const struct option builder_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Remove all unused build cache, not just dangling ones", false},
	{0, "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"until=24h\")", false},
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not prompt for confirmation", false},
	{0, "keep-storage", OPTION_BYTES, NULL, NULL, "Amount of disk space to keep for cache", false},
	{0, "reserved-space", OPTION_BYTES, NULL, NULL, "The same, under its newer name", false},
	{0},
};
static const struct option system_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Remove all unused images not just dangling ones", false},
	{0, "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"label=<key>=<value>\")", false},
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not prompt for confirmation", false},
	{0, "volumes", OPTION_FLAG, NULL, NULL, "Prune anonymous volumes", false},
	{0},
};
/* clang-format on */

static const char *const time_keys[] = {"label", "label!", "until", NULL};
static const char *const builder_keys[] = {"description", "id",		"inuse",
					   "private",	  "shared",	"type",
					   "until",	  "unused-for", NULL};
static const char *const volume_keys[] = {"all", "label", "label!", NULL};

struct prune {
	struct engine_prune wanted;
	char **labels;
	char **other_labels;
	cJSON *filters; /* of the build cache */
};

static void prune_release(struct prune *prune)
{
	cJSON_Delete(prune->filters);
	strv_free(prune->labels);
	strv_free(prune->other_labels);
}

/* until: once only, or docker would have to say which of them counts. */
static int read_until(const struct filters *filters, struct prune *prune,
		      struct error *err)
{
	cleanup_strv char **values = filters_values(filters, "until");
	cleanup_strv char **older = filters_values(filters, "unused-for");
	struct timespec time;
	int r;

	for (size_t i = 0; older && older[i]; i++)
		strv_push(&values, older[i]);
	if (!values)
		return 0;
	if (values[1])
		return err_set(err, ERROR_INVALID,
			       "more than one until filter specified");
	r = time_option_parse("filter", values[0], &time, err);
	if (r < 0)
		return r;
	prune->wanted.has_until = true;
	prune->wanted.until = time.tv_sec;
	return 0;
}

/* The filter all=true of volumes is the option's old name. */
static int read_all(const struct filters *filters, struct prune *prune,
		    struct error *err)
{
	cleanup_strv char **values = filters_values(filters, "all");

	for (size_t i = 0; values && values[i]; i++) {
		if (prune->wanted.all)
			return err_set(err, ERROR_INVALID,
				       "conflicting options: cannot specify "
				       "both --all and --filter all=%s",
				       values[i]);
		if (parse_bool(values[i], &prune->wanted.all) < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid filter 'all=%s': expected "
				       "true or false",
				       values[i]);
	}
	return 0;
}

static int prune_read(const struct options *options, const char *const *keys,
		      bool all, struct prune *prune, struct error *err)
{
	struct filters filters = {option_list(options, "filter")};
	int r;

	prune->wanted.all = all;
	r = filters_check(&filters, keys, err);
	r = r < 0 ? r : read_until(&filters, prune, err);
	r = r < 0 ? r : read_all(&filters, prune, err);
	prune->labels = filters_values(&filters, "label");
	prune->other_labels = filters_values(&filters, "label!");
	prune->wanted.labels = prune->labels;
	prune->wanted.other_labels = prune->other_labels;
	return r;
}

static bool confirmed(const struct options *options, const char *question)
{
	return option_flag(options, "force") || prompt_confirm(question);
}

/* ---- what went ---- */

/* Lines of "Deleted Images:" and the like; adds to *bytes. 1 when something
   could not be removed. */
static int print_deleted(const cJSON *report, const char *member,
			 const char *heading, int64_t *bytes)
{
	const cJSON *deleted = member_of(report, member);
	const cJSON *item;
	int code = 0;

	if (deleted && deleted->child)
		printf("%s\n", heading);
	cJSON_ArrayForEach(item, deleted)
	{
		if (cJSON_IsString(item))
			printf("%s\n", item->valuestring);
		else if (*text_of(item, "Untagged"))
			printf("untagged: %s\n", text_of(item, "Untagged"));
		else
			printf("deleted: %s\n", text_of(item, "Deleted"));
	}
	if (deleted && deleted->child)
		printf("\n");
	*bytes += number_of(report, "SpaceReclaimed");
	cJSON_ArrayForEach(item, member_of(member_of(report, "Moss"), "Errors"))
	{
		struct error err = {0};

		err_set(&err, ERROR_GENERIC, "%s", item->valuestring);
		report_error(&err);
		code = 1;
	}
	return code;
}

static void print_total(int64_t bytes)
{
	cleanup_free char *size = format_bytes((uint64_t)bytes);

	printf("Total reclaimed space: %s\n", size);
}

typedef int (*prune_function)(struct engine *engine,
			      const struct engine_prune *prune,
			      cJSON **ret_json, struct error *err);

/* One kind of object. */
struct step {
	prune_function run;
	const char *member;
	const char *heading;
};

static const struct step containers = {
	engine_container_prune, "ContainersDeleted", "Deleted Containers:"};
static const struct step volumes = {engine_volume_prune, "VolumesDeleted",
				    "Deleted Volumes:"};
static const struct step networks = {engine_network_prune, "NetworksDeleted",
				     "Deleted Networks:"};
static const struct step build_cache = {engine_build_prune, "CachesDeleted",
					"Deleted build cache objects:"};
static const struct step images = {engine_image_prune, "ImagesDeleted",
				   "Deleted Images:"};

/* The exit code. */
static int run_step(struct context *context, const struct step *step,
		    const struct engine_prune *wanted, int64_t *bytes)
{
	cleanup_json cJSON *report = NULL;
	struct error err = {0};

	if (step->run(&context->engine, wanted, &report, &err) < 0)
		return command_fail(context, &err);
	return print_deleted(report, step->member, step->heading, bytes);
}

static int run_alone(struct context *context, const struct step *step,
		     const struct prune *prune)
{
	int64_t bytes = 0;
	int code = run_step(context, step, &prune->wanted, &bytes);

	print_total(bytes);
	return code;
}

/* ---- the commands ---- */

static int container_main(struct context *context,
			  const struct options *options)
{
	CLEANUP(prune_release) struct prune prune = {0};
	struct error err = {0};

	if (prune_read(options, time_keys, false, &prune, &err) < 0)
		return command_fail(context, &err);
	if (!confirmed(options, "WARNING! This will remove all stopped "
				"containers."))
		return 0;
	return run_alone(context, &containers, &prune);
}

static int volume_main(struct context *context, const struct options *options)
{
	CLEANUP(prune_release) struct prune prune = {0};
	struct error err = {0};

	if (prune_read(options, volume_keys, option_flag(options, "all"),
		       &prune, &err) < 0)
		return command_fail(context, &err);
	if (!confirmed(options,
		       prune.wanted.all
			       ? "WARNING! This will remove all local volumes "
				 "not used by at least one container."
			       : "WARNING! This will remove anonymous local "
				 "volumes not used by at least one container."))
		return 0;
	return run_alone(context, &volumes, &prune);
}

static int image_main(struct context *context, const struct options *options)
{
	CLEANUP(prune_release) struct prune prune = {0};
	struct error err = {0};

	if (prune_read(options, time_keys, option_flag(options, "all"), &prune,
		       &err) < 0)
		return command_fail(context, &err);
	if (!confirmed(options,
		       prune.wanted.all
			       ? "WARNING! This will remove all images without "
				 "at least one container associated to them."
			       : "WARNING! This will remove all dangling "
				 "images."))
		return 0;
	return run_alone(context, &images, &prune);
}

/* Networks take no space, and docker tells of none. */
static int network_main(struct context *context, const struct options *options)
{
	CLEANUP(prune_release) struct prune prune = {0};
	struct error err = {0};
	int64_t bytes = 0;

	if (prune_read(options, time_keys, false, &prune, &err) < 0)
		return command_fail(context, &err);
	if (!confirmed(options, "WARNING! This will remove all custom networks "
				"not used by at least one container."))
		return 0;
	return run_step(context, &networks, &prune.wanted, &bytes);
}

/* What may stay: --keep-storage, which is --reserved-space as well. */
static int read_kept(const struct options *options, struct prune *prune,
		     struct error *err)
{
	int64_t kept = option_number(options, "keep-storage");
	int64_t reserved = option_number(options, "reserved-space");

	if (kept > 0 && reserved > 0)
		return err_set(err, ERROR_INVALID,
			       "conflicting options: --keep-storage and "
			       "--reserved-space are the same");
	prune->wanted.cache_kept = kept > 0 ? kept : reserved;
	return 0;
}

static int builder_main(struct context *context, const struct options *options)
{
	CLEANUP(prune_release) struct prune prune = {0};
	const struct filters filters = {option_list(options, "filter")};
	struct error err = {0};

	if (prune_read(options, builder_keys, option_flag(options, "all"),
		       &prune, &err) < 0 ||
	    read_kept(options, &prune, &err) < 0)
		return command_fail(context, &err);
	prune.filters = filters_json(&filters);
	prune.wanted.cache_filters = prune.filters;
	if (!confirmed(options,
		       prune.wanted.all
			       ? "WARNING! This will remove all build cache."
			       : "WARNING! This will remove all dangling build "
				 "cache."))
		return 0;
	return run_alone(context, &build_cache, &prune);
}

/* docker's question. */
static char *system_question(const struct options *options, bool all,
			     bool with_volumes)
{
	char *const *filters = option_list(options, "filter");
	struct str text = {0};

	str_append(&text, "WARNING! This will remove:\n"
			  "  - all stopped containers\n"
			  "  - all networks not used by at least one "
			  "container\n");
	if (with_volumes)
		str_append(&text, "  - all anonymous volumes not used by at "
				  "least one container\n");
	str_append(&text,
		   all ? "  - all images without at least one container "
			 "associated to them\n"
			 "  - all build cache\n"
		       : "  - all dangling images\n  - unused build cache\n");
	if (filters[0])
		str_append(&text, "\n  Items to be pruned will be filtered "
				  "with:\n");
	for (size_t i = 0; filters[i]; i++)
		str_appendf(&text, "  - %s\n", filters[i]);
	return str_steal(&text);
}

static int system_main(struct context *context, const struct options *options)
{
	CLEANUP(prune_release) struct prune prune = {0};
	bool with_volumes = option_flag(options, "volumes");
	cleanup_free char *question = NULL;
	struct engine_prune anonymous;
	struct error err = {0};
	int64_t bytes = 0;
	int code;

	if (prune_read(options, time_keys, option_flag(options, "all"), &prune,
		       &err) < 0)
		return command_fail(context, &err);
	if (with_volumes && prune.wanted.has_until) {
		err_set(&err, ERROR_INVALID,
			"the \"until\" filter is not supported with "
			"\"--volumes\"");
		return command_fail(context, &err);
	}
	question = system_question(options, prune.wanted.all, with_volumes);
	if (!confirmed(options, question))
		return 0;
	anonymous = prune.wanted;
	anonymous.all = false;
	code = run_step(context, &containers, &prune.wanted, &bytes);
	code |= run_step(context, &networks, &prune.wanted, &bytes);
	if (with_volumes)
		code |= run_step(context, &volumes, &anonymous, &bytes);
	code |= run_step(context, &images, &prune.wanted, &bytes);
	code |= run_step(context, &build_cache, &prune.wanted, &bytes);
	print_total(bytes);
	return code;
}

static const struct option *const container_tables[] = {container_options,
							NULL};
static const struct option *const volume_tables[] = {volume_options, NULL};
static const struct option *const network_tables[] = {network_options, NULL};
static const struct option *const image_tables[] = {image_options, NULL};
static const struct option *const builder_tables[] = {builder_options, NULL};
static const struct option *const system_tables[] = {system_options, NULL};

const struct command command_container_prune = {
	.name = "container-prune",
	.usage = "[OPTIONS]",
	.summary = "Remove all stopped containers",
	.options = container_tables,
	.hidden = true,
	.run = container_main,
};

const struct command command_volume_prune = {
	.name = "volume-prune",
	.usage = "[OPTIONS]",
	.summary = "Remove unused local volumes",
	.options = volume_tables,
	.hidden = true,
	.run = volume_main,
};

const struct command command_network_prune = {
	.name = "network-prune",
	.usage = "[OPTIONS]",
	.summary = "Remove all unused networks",
	.options = network_tables,
	.hidden = true,
	.run = network_main,
};

const struct command command_image_prune = {
	.name = "image-prune",
	.usage = "[OPTIONS]",
	.summary = "Remove unused images",
	.options = image_tables,
	.hidden = true,
	.run = image_main,
};

const struct command command_builder_prune = {
	.name = "builder-prune",
	.usage = "[OPTIONS]",
	.summary = "Remove build cache",
	.options = builder_tables,
	.hidden = true,
	.run = builder_main,
};

const struct command command_system_prune = {
	.name = "system-prune",
	.usage = "[OPTIONS]",
	.summary = "Remove unused data",
	.options = system_tables,
	.hidden = true,
	.run = system_main,
};
