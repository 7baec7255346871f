/*
 * moss inspect, container inspect, image inspect, volume inspect and network
 * inspect: the
 * engine's objects as they are. What is found is printed even when something
 * else is not.
 */
#include "cmd/command.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/format.h"
#include "cmd/member.h"

/* clang-format off */
static const struct option common_options[] = {
	{'f', "format", OPTION_STRING, NULL, NULL, FORMAT_HELP, false},
	{0},
};
static const struct option size_options[] = {
	{'s', "size", OPTION_FLAG, NULL, NULL, "Display total file sizes if the type is container", false},
	{0},
};
static const struct option platform_options[] = {
	{0, "platform", OPTION_STRING, NULL, NULL, "Inspect the image only if it is for the given platform (\"os[/arch[/variant]]\")", false},
	{0},
};
static const struct option verbose_options[] = {
	{'v', "verbose", OPTION_FLAG, NULL, NULL, "Verbose output for diagnostics", false},
	{0},
};
static const struct option type_options[] = {
	{0, "type", OPTION_STRING, NULL, NULL, "Only inspect objects of the given type (container, image, volume, network)", false},
	{0},
};
/* clang-format on */

struct inspection {
	struct context *context;
	bool size;
	const char *platform; /* that an image must be for, or NULL */
};

static int inspect_container(struct inspection *inspection, const char *name,
			     cJSON **ret_json, struct error *err)
{
	struct engine *engine = &inspection->context->engine;
	cleanup_json cJSON *json = NULL;
	char id[ID_TEXT_MAX];
	int r;

	r = engine_container_resolve(engine, name, id, err);
	r = r < 0 ? r : engine_container_inspect(engine, id, &json, err);
	if (r >= 0 && inspection->size)
		r = engine_container_sizes(engine, id, json, err);
	if (r < 0)
		return r;
	*ret_json = steal_ptr(&json);
	return 0;
}

static int inspect_image(struct inspection *inspection, const char *name,
			 cJSON **ret_json, struct error *err)
{
	struct engine *engine = &inspection->context->engine;
	int r = 0;

	if (inspection->platform)
		r = engine_image_check_platform(engine, name,
						inspection->platform, err);
	return r < 0 ? r : engine_image_inspect(engine, name, ret_json, err);
}

static int inspect_volume(struct inspection *inspection, const char *name,
			  cJSON **ret_json, struct error *err)
{
	return engine_volume_inspect(&inspection->context->engine, name,
				     ret_json, err);
}

static int inspect_network(struct inspection *inspection, const char *name,
			   cJSON **ret_json, struct error *err)
{
	return engine_network_inspect(&inspection->context->engine, name,
				      ret_json, err);
}

/* In the order in which a name without --type is looked for. */
static const struct kind {
	const char *name;
	int (*inspect)(struct inspection *inspection, const char *name,
		       cJSON **ret_json, struct error *err);
} kinds[] = {
	{"container", inspect_container},
	{"image", inspect_image},
	{"volume", inspect_volume},
	{"network", inspect_network},
};

static int inspect_any(struct inspection *inspection, const char *name,
		       cJSON **ret_json, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct error problem = {0};
		int r = kinds[i].inspect(inspection, name, ret_json, &problem);

		if (r >= 0)
			return 0;
		/* A name that no image can have may be another kind's. A
		   damaged store says what is damaged. */
		if (problem.kind != ERROR_NOT_FOUND &&
		    !str_starts(problem.message, "invalid "))
			return err_copy(err, &problem);
	}
	return err_set(err, ERROR_NOT_FOUND, "No such object: %s", name);
}

static const struct kind *kind_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_equal(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

/* kind NULL: whichever has the name. Problems come after what was found. */
static int inspect_all(struct inspection *inspection, const struct kind *kind,
		       const struct options *options)
{
	struct context *context = inspection->context;
	cleanup_json cJSON *found = json_array();
	cleanup_free struct error *problems = NULL;
	size_t problem_count = 0;
	int code;

	for (size_t i = 0; options->operands[i]; i++) {
		const char *name = options->operands[i];
		struct error err = {0};
		cJSON *json = NULL;
		int r;

		r = kind ? kind->inspect(inspection, name, &json, &err)
			 : inspect_any(inspection, name, &json, &err);
		if (r >= 0) {
			json_push(found, json);
			continue;
		}
		problems = xrealloc(problems, problem_count + 1, sizeof(err));
		problems[problem_count++] = err;
	}
	code = format_objects(context, option_string(options, "format"), found);
	for (size_t i = 0; i < problem_count; i++) {
		command_fail(context, &problems[i]);
		code = code ? code : 1;
	}
	return code;
}

static int inspect_main(struct context *context, const struct options *options)
{
	struct inspection inspection = {
		.context = context,
		.size = option_flag(options, "size"),
	};
	const char *type = option_string(options, "type");
	const struct kind *kind = kind_by_name(type);
	struct error err = {0};

	if (!str_empty(type) && !kind) {
		err_set(&err, ERROR_INVALID,
			"unknown type: \"%s\": must be one of \"container\", "
			"\"image\", \"volume\", \"network\"",
			type);
		return command_fail(context, &err);
	}
	return inspect_all(&inspection, kind, options);
}

static int container_main(struct context *context,
			  const struct options *options)
{
	struct inspection inspection = {
		.context = context,
		.size = option_flag(options, "size"),
	};

	return inspect_all(&inspection, kind_by_name("container"), options);
}

static int image_main(struct context *context, const struct options *options)
{
	struct inspection inspection = {
		.context = context,
		.platform = option_string(options, "platform"),
	};

	return inspect_all(&inspection, kind_by_name("image"), options);
}

static int volume_main(struct context *context, const struct options *options)
{
	struct inspection inspection = {.context = context};

	return inspect_all(&inspection, kind_by_name("volume"), options);
}

static int network_main(struct context *context, const struct options *options)
{
	struct inspection inspection = {.context = context};

	return inspect_all(&inspection, kind_by_name("network"), options);
}

static const struct option *const inspect_tables[] = {
	common_options, size_options, type_options, NULL};
static const struct option *const container_tables[] = {common_options,
							size_options, NULL};
static const struct option *const image_tables[] = {common_options,
						    platform_options, NULL};
/* Of what docker shows with --verbose, all is there without. */
static const struct option *const network_tables[] = {common_options,
						      verbose_options, NULL};
static const struct option *const plain_tables[] = {common_options, NULL};

const struct command command_inspect = {
	.name = "inspect",
	.usage = "[OPTIONS] NAME|ID [NAME|ID...]",
	.summary = "Return low-level information on containers, images, "
		   "volumes and networks",
	.options = inspect_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = inspect_main,
	.group = "Commands",
	.completes = "object",
};

const struct command command_container_inspect = {
	.name = "container-inspect",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Display detailed information on one or more containers",
	.options = container_tables,
	.operands_min = 1,
	.operands_max = -1,
	.hidden = true,
	.run = container_main,
	.completes = "container",
};

const struct command command_image_inspect = {
	.name = "image-inspect",
	.usage = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Display detailed information on one or more images",
	.options = image_tables,
	.operands_min = 1,
	.operands_max = -1,
	.hidden = true,
	.run = image_main,
	.completes = "image",
};

const struct command command_volume_inspect = {
	.name = "volume-inspect",
	.usage = "[OPTIONS] VOLUME [VOLUME...]",
	.summary = "Display detailed information on one or more volumes",
	.options = plain_tables,
	.operands_min = 1,
	.operands_max = -1,
	.hidden = true,
	.run = volume_main,
	.completes = "volume",
};

const struct command command_network_inspect = {
	.name = "network-inspect",
	.usage = "[OPTIONS] NETWORK [NETWORK...]",
	.summary = "Display detailed information on one or more networks",
	.options = network_tables,
	.operands_min = 1,
	.operands_max = -1,
	.hidden = true,
	.run = network_main,
	.completes = "network",
};
